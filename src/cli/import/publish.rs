//! Puts a recording into its hour: by a second name for the same bytes, or by a copy.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::super::args::ImportArgs;
use super::original::{Original, OriginalContent};
use super::report::Outcome;
use crate::archive::HourPlace;
use crate::disk::{Base, Dir, Download, DownloadError, Linked, Published, atomic, link_segment};

/// How a file gets into the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    links: bool,
    copies: bool,
    removes_original: bool,
}

/// What became of it, and what is to be said about that.
type Done = (Outcome, Option<String>);

/// Why a piece could not be copied: the disk of the original, or that of the archive.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("it cannot be read: {0}")]
    Original(#[from] std::io::Error),
    #[error(transparent)]
    Archive(#[from] DownloadError),
}

impl Way {
    /// A link keeps owner and mode. What others may not read is linked only for its owner's own archive.
    pub fn of(args: &ImportArgs, original: &Original, base: &Base) -> Self {
        let is_own = std::fs::metadata(base.path()).is_ok_and(|meta| meta.uid() == original.owner());
        let links = args.link || !args.copy && (original.is_for_all() || is_own);
        Self { links, copies: !args.link, removes_original: args.moving }
    }
}

/// Publishes it. The outer error ends the run; the inner one is about this file alone.
pub(super) fn publish(
    base: &Base,
    place: &HourPlace,
    name: &str,
    original: &mut Original,
    content: &OriginalContent,
    way: Way,
) -> anyhow::Result<Result<Done, String>> {
    let dir = Arc::new(base.make_hour_dir(place)?);
    let mut remark = None;
    let mut outcome = None;
    if way.links {
        match link_segment(&dir, name, &original.file) {
            Ok(Linked::Published(published)) => outcome = Some(done(published, Outcome::Linked)),
            Ok(Linked::Refused(cause)) if !way.copies => {
                return Ok(Err(format!("it cannot be linked: {cause}; leave --link out to copy it")));
            }
            Ok(Linked::Refused(cause)) => remark = Some(format!("not linked: {cause}")),
            Err(error) => return about(error.into()),
        }
    }
    let outcome = match outcome {
        Some(outcome) => outcome,
        None if !way.copies => return Ok(Err("it cannot be linked".to_owned())),
        None => match copy(&dir, name, original, content) {
            Ok(published) => done(published, Outcome::Copied),
            Err(error) => return about(error),
        },
    };
    atomic::sync_dir(&dir)?;
    if outcome == Outcome::Linked && !original.is_unchanged().unwrap_or_default() {
        remark =
            Some("somebody has written to it meanwhile: the scrub will find that it differs from its name".to_owned());
    } else if way.removes_original && outcome != Outcome::AlreadyThere {
        match original.remove(dir.path()) {
            Ok(()) => return Ok(Ok((Outcome::Moved, remark))),
            Err(why) => remark = Some(format!("the original stays: {why}")),
        }
    }
    Ok(Ok((outcome, remark)))
}

fn done(published: Published, outcome: Outcome) -> Outcome {
    if published == Published::New { outcome } else { Outcome::AlreadyThere }
}

/// Copies it as a download is written: what differs from the hash that was read before is not published.
fn copy(
    dir: &Arc<Dir>,
    name: &str,
    original: &mut Original,
    content: &OriginalContent,
) -> Result<Published, CopyError> {
    let mut download = Download::begin(Arc::clone(dir), name)?;
    original.pieces(|piece| download.write(piece).map_err(|error| CopyError::Archive(error.into())))?;
    Ok(download.finish(&content.hash)?)
}

/// A full or missing disk concerns all files, anything else this one.
fn about(error: CopyError) -> anyhow::Result<Result<Done, String>> {
    match error {
        CopyError::Archive(DownloadError::WrongHash { .. }) => {
            Ok(Err("it has changed while it was copied: it is still being written".to_owned()))
        }
        CopyError::Archive(DownloadError::Disk(disk)) if disk.is_occupied() => Ok(Err(disk.to_string())),
        CopyError::Archive(other) => Err(other.into()),
        CopyError::Original(_) => Ok(Err(error.to_string())),
    }
}
