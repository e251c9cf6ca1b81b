//! Opens segments of a sequence, if they are still what the index says: there, not hidden, and of the same length. What lies in a bucket alone is
//! brought here for that, but not where all segments of an hour are looked into.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;

use super::PlaybackError;
use crate::archive::{HourPlace, name};
use crate::disk::DiskError;
use crate::sync::crawl::{AbsentFile, CrawlError, Keeper};

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there any more, or hidden by a tombstone, or another length than the index says.
    #[error("{0} has changed since the stretch was put together; ask again")]
    Changed(String),
    /// The disk cannot answer.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The archive is not there.
    #[error(transparent)]
    Away(#[from] CrawlError),
}

/// Opens a segment by its path beneath the base, also one that lies in a bucket alone.
pub fn open(keeper: &Keeper, path: &str, len: u64) -> Result<File, OpenError> {
    let place_and_name = path.rsplit_once('/').and_then(|(hour, name)| Some((HourPlace::parse(hour).ok()?, name)));
    match (open_here(keeper, path, len), place_and_name, keeper.absent_files()) {
        (Err(OpenError::Changed(_)), Some((place, name)), Some(absent)) => {
            match absent.open_blocking(&place, name).map_err(CrawlError::Absent)? {
                AbsentFile::Open(file, _) if file.metadata().is_ok_and(|meta| meta.len() == len) => Ok(file),
                _ => Err(OpenError::Changed(path.to_owned())),
            }
        }
        (opened, ..) => opened,
    }
}

/// Opens a segment that lies here.
pub(super) fn open_here(keeper: &Keeper, path: &str, len: u64) -> Result<File, OpenError> {
    let base = keeper.guard().base().map_err(CrawlError::Away)?;
    let report = |error: DiskError| {
        keeper.guard().report(&error);
        OpenError::Disk(error)
    };
    let changed = || OpenError::Changed(path.to_owned());
    let place = PathBuf::from(path);
    let (Some(directory), Some(file_name)) = (place.parent(), place.file_name().and_then(OsStr::to_str)) else {
        return Err(changed());
    };
    let dir = base.dir(directory).map_err(report)?.ok_or_else(changed)?;
    let tombstone = name::tombstone_of(file_name);
    if dir.stat_file(OsStr::new(&tombstone)).map_err(report)?.is_some() {
        return Err(changed());
    }
    let file = base.open_file(&place).map_err(report)?.ok_or_else(changed)?;
    let is_same = file.metadata().is_ok_and(|meta| meta.len() == len);
    if is_same { Ok(file) } else { Err(changed()) }
}

impl From<OpenError> for PlaybackError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Changed(path) => Self::Changed(path),
            OpenError::Disk(error) => Self::Crawl(CrawlError::Disk(error)),
            OpenError::Away(error) => Self::Crawl(error),
        }
    }
}
