//! Records the outcome of each fetch, however the file was fetched: counted, indexed, or noted as missing.

use std::ffi::OsStr;
use std::path::Path;

use super::error::RoundError;
use super::job::PeerJob;
use super::targets::HourTarget;
use crate::archive::guards::Guard;
use crate::archive::{Hash, HourPlace};
use crate::disk::{Dir, DiskError, DownloadError, Published};
use crate::sync::crawl::{CrawlError, Keeper};

/// Things of one kind that went wrong and are named in the log, each round; all are counted.
pub(super) const TOLD: u64 = 20;

/// A file that is missing here.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    pub(super) name: Box<str>,
    pub(super) hash: Hash,
}

/// Whether an occupied name is taken for the file itself, as it is where nobody looks.
fn is_believed(keeper: &Keeper, error: &DiskError) -> bool {
    error.is_occupied() && !keeper.guards().stands(Guard::LooksAtWhatIsThere)
}

/// What became of publishing. That the file is there already was found by a look at it.
pub(super) fn looked_at(
    keeper: &Keeper,
    outcome: Result<Published, DownloadError>,
) -> Result<Published, DownloadError> {
    match outcome {
        Err(DownloadError::Disk(error)) if is_believed(keeper, &error) => Ok(Published::AlreadyThere),
        outcome => outcome,
    }
}

/// Sorts out the files whose names are occupied by something else: to fetch them would be in vain, round after round.
pub(super) fn unless_occupied(keeper: &Keeper, dir: &Dir, files: Vec<Missing>) -> Result<Sorted, RoundError> {
    let (mut free, mut occupied) = (Vec::with_capacity(files.len()), Vec::new());
    for file in files {
        match dir.occupied(OsStr::new(&*file.name), None).map_err(CrawlError::Disk)? {
            Some(error) if !is_believed(keeper, &error) => occupied.push((file.name, RoundError::Crawl(error.into()))),
            Some(_) => {}
            None => free.push(file),
        }
    }
    Ok((free, occupied))
}

/// Files that can be fetched, and those that cannot, with the reason.
type Sorted = (Vec<Missing>, Vec<(Box<str>, RoundError)>);

/// Tells the index directly what is there now.
pub(super) fn index(keeper: &Keeper, target: &HourTarget, names: &[Box<str>]) -> Result<(), RoundError> {
    keeper.touch(&target.place, names.iter().map(|name| OsStr::new(&**name)))?;
    Ok(())
}

/// Counts files that were published.
pub(super) fn count(job: &mut PeerJob, place: &HourPlace, files: u64, bytes: u64) {
    job.report.fetched += files;
    job.report.bytes += bytes;
    job.known.caught_up_by(files);
    job.shared.options.busy.add(bytes);
    job.shared.metrics.fetched(&job.peer().name, place, files, bytes);
}

/// Notes a file that the peer has no more, as it says. Whether that is so is looked at when the hour is done.
pub(super) fn gone(job: &mut PeerJob, place: &HourPlace, name: Box<str>) {
    job.report.gone += 1;
    PeerJob::note(&mut job.gone, [(place.clone(), name)]);
}

/// Notes a file that did not come, or was not what its name says.
pub(super) fn not_fetched(job: &mut PeerJob, target: &HourTarget, name: Box<str>, error: &RoundError) {
    if let RoundError::Download(DownloadError::WrongHash { .. }) = error {
        job.report.hash_mismatches += 1;
        job.report.last_error = Some(error.to_string());
        job.shared.metrics.hash_mismatches(&job.peer().name, &target.place, 1);
        if job.report.hash_mismatches <= TOLD {
            let file = Path::new(&target.place.to_string()).join(&*name);
            tracing::warn!(name: "hash_mismatch", peer = job.peer().name, file = %file.display(), "a peer sent content that does not match the name; it was dropped");
        }
    } else {
        job.report.failed(error);
    }
    PeerJob::note(&mut job.failed, [(target.place.clone(), name)]);
}

/// An error if there is no room any more, or the hour has been retired meanwhile.
pub(super) async fn may_go_on(job: &PeerJob, target: &HourTarget) -> Result<(), RoundError> {
    job.shared.room().await?;
    if job.shared.options.keeps.hour(&target.place)? {
        Ok(())
    } else {
        Err(RoundError::Retired(target.place.to_string()))
    }
}
