//! Makes files of a peer visible, and records the outcome of each fetch: counted, indexed, or noted as missing.
//!
//! What others have to know about a file is noted once it was found to hold what its name says, and before it appears. No later, because whoever
//! sees it first must know that a peer gave it, and a process that is killed must not forget it. No sooner, because a peer can offer whatever
//! name it likes: what is recorded under that name later would count as given by the peer.

use std::ffi::OsStr;
use std::path::Path;

use super::fetch::is_there;
use super::report::RoundError;
use super::shared::{PeerJob, Shared};
use super::targets::HourTarget;
use crate::archive::HourPlace;
use crate::archive::guards::Guard;
use crate::archive::origins::GiftedHour;
use crate::disk::{Dir, DiskError, DownloadError, MissingFile, Published, Verified};
use crate::sync::crawl::{CrawlError, Keeper};

pub(super) type PublishOutcome = Result<Published, DownloadError>;

/// Publishes files of an hour, for each of which there is room in the target: gives `note` those that are about to appear, books
/// them, and has them made visible by `finish`. Returns the outcome of each, in the same order. Blocks.
pub(super) fn publish(
    (keeper, target): (&Keeper, &HourTarget),
    files: Vec<(&str, Verified)>,
    note: impl FnOnce(&[&str]) -> Result<(), CrawlError>,
    finish: impl FnOnce(Vec<Verified>) -> Result<Vec<PublishOutcome>, DownloadError>,
) -> Result<Vec<PublishOutcome>, RoundError> {
    let sizes: Vec<u64> = files.iter().map(|(_, file)| file.bytes()).collect();
    let done = try_to_publish((keeper, target), files, note, finish);
    let appeared = |number: usize| match &done {
        Ok(outcomes) => matches!(outcomes.get(number), Some(Ok(Published::New))),
        Err(_) => false,
    };
    for (_, bytes) in sizes.iter().enumerate().filter(|(number, _)| !appeared(*number)) {
        target.give_back(*bytes);
    }
    done
}

fn try_to_publish(
    (keeper, target): (&Keeper, &HourTarget),
    files: Vec<(&str, Verified)>,
    note: impl FnOnce(&[&str]) -> Result<(), CrawlError>,
    finish: impl FnOnce(Vec<Verified>) -> Result<Vec<PublishOutcome>, DownloadError>,
) -> Result<Vec<PublishOutcome>, RoundError> {
    let (mut names, mut gifts, mut verified) = (Vec::new(), Vec::with_capacity(files.len()), Vec::new());
    for (name, file) in files {
        // A recorder may have written it while it was fetched: then nobody gives it.
        let gift = (!is_there(&target.dir, name)?).then_some(file.bytes());
        names.extend(gift.map(|_| name));
        gifts.push(gift);
        verified.push(file);
    }
    note(&names)?;
    target.book(&sum(gifts.iter().flatten()))?;
    // Where this fails as a whole some of them may be visible: they stay booked.
    let outcomes: Vec<PublishOutcome> =
        finish(verified)?.into_iter().map(|outcome| looked_at(keeper, outcome)).collect();
    let in_vain = gifts.iter().zip(&outcomes).filter(|(_, outcome)| !matches!(outcome, Ok(Published::New)));
    target.take_back(&sum(in_vain.filter_map(|(gift, _)| gift.as_ref())))?;
    Ok(outcomes)
}

fn sum<'b>(sizes: impl Iterator<Item = &'b u64>) -> GiftedHour {
    sizes.fold(GiftedHour::default(), |sum, bytes| sum + GiftedHour { files: 1, bytes: *bytes, tombstones: 0 })
}

/// Notes that these files of a peer are about to appear. Blocks.
pub(super) fn note(shared: &Shared, peer: &str, target: &HourTarget, names: &[&str]) -> Result<(), CrawlError> {
    let names = || names.iter().copied();
    // The watcher may see them first.
    shared.keeper.index().expect_from(peer, &target.place, names());
    shared.arrivals.note(&target.place, names());
    shared.keeper.note_gifts(&target.place, peer, names())
}

/// Things of one kind that went wrong and are named in the log, each round; all are counted.
pub(super) const TOLD: u64 = 20;

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
pub(super) fn unless_occupied(keeper: &Keeper, dir: &Dir, files: Vec<MissingFile>) -> Result<Sorted, RoundError> {
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
type Sorted = (Vec<MissingFile>, Vec<(Box<str>, RoundError)>);

pub(super) fn index(keeper: &Keeper, target: &HourTarget, names: &[Box<str>]) -> Result<(), RoundError> {
    keeper.touch(&target.place, names.iter().map(|name| OsStr::new(&**name)))?;
    Ok(())
}

pub(super) fn count(job: &mut PeerJob, place: &HourPlace, files: u64, bytes: u64) {
    job.report.fetched += files;
    job.report.bytes += bytes;
    job.followed.caught_up_by(files);
    job.shared.parts.busy.add(bytes);
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
    if job.shared.keeps(&target.place)? { Ok(()) } else { Err(RoundError::Retired(target.place.to_string())) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sha2::{Digest as _, Sha256};

    use super::super::targets::Targets;
    use super::*;
    use crate::archive::{Hash, HourPlace};
    use crate::disk::{ArchiveId, Base, BaseGuard, BaseIdentity, Download, marker};
    use crate::index::{Index, IndexOptions};
    use crate::sync::crawl::Allowance;

    /// What came under the name of a file that holds `says`.
    fn fetched(target: &HourTarget, says: &str, holds: &str) -> (String, Result<Verified, DownloadError>) {
        let named = Hash(Sha256::digest(says).into());
        let name = format!("00:00-2.0-full-{named}.ts");
        let mut download = Download::begin(Arc::clone(&target.dir), &name).unwrap();
        download.write(holds.as_bytes()).unwrap();
        (name, download.verify(&named))
    }

    fn each(files: Vec<Verified>) -> Vec<PublishOutcome> {
        files.into_iter().map(Verified::finish).collect()
    }

    #[test]
    fn only_what_is_right_and_new_is_noted_as_given_and_before_it_appears() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        marker::create(&base, ArchiveId::random()).unwrap();
        let index =
            Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        let keeper = Arc::new(Keeper::new(index, Arc::new(guard)));
        let place = HourPlace::parse("a/source/2019-11-13T02").unwrap();
        let filling = keeper.fill("evil", &place, true, &Allowance::Unbounded).unwrap();
        let target = Targets::default().open(&base, &place).unwrap().filled_by(filling);
        let account = || std::fs::read_to_string(tree.path().join(".gapless/fetched")).unwrap();
        let hour = tree.path().join(place.path());

        let (wrong, refused) = fetched(&target, "recorded later", "junk");
        assert!(matches!(refused, Err(DownloadError::WrongHash { .. })));
        let ((new, is_new), (both, is_both)) = (fetched(&target, "new", "new"), fetched(&target, "both", "both"));
        std::fs::write(hour.join(&both), "both").unwrap();
        let noting = |names: &[&str]| {
            assert_eq!(names, [&new]);
            assert!(!hour.join(&new).exists());
            keeper.note_gifts(&place, "evil", names.iter().copied())
        };
        let booked = |files: Vec<Verified>| {
            assert!(account().contains("given 1 3 evil"), "{}", account());
            Ok(each(files))
        };
        let came = vec![(&*new, is_new.unwrap()), (&*both, is_both.unwrap())];
        let outcomes = publish((&keeper, &target), came, noting, booked).unwrap();
        assert!(matches!(outcomes[..], [Ok(Published::New), Ok(Published::AlreadyThere)]), "{outcomes:?}");
        let gifts = keeper.recent_gifts().unwrap().of(&place).unwrap();
        assert_eq!([&wrong, &new, &both].map(|name| gifts.giver(name)), [None, Some("evil"), None]);
        // What does not appear after all is nobody's.
        let (late, is_late) = fetched(&target, "late", "late");
        let in_vain = |files: Vec<Verified>| {
            std::fs::write(hour.join(&late), "late").unwrap();
            Ok(each(files))
        };
        publish((&keeper, &target), vec![(&*late, is_late.unwrap())], |_| Ok(()), in_vain).unwrap();
        assert!(account().lines().last().unwrap().starts_with("given 1 3 evil"), "{}", account());
    }
}
