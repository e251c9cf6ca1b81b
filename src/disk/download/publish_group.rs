//! Publishes many small files of one hour at the price of few flushes.
//!
//! 1. All are flushed, many by one `syncfs`: a flush of each would wait for the disk's journal thousands of times. It also
//!    flushes what others wrote, which costs them nothing but the time at which it happens.
//! 2. Each is renamed without replacing anything, and the directory is flushed.
//!
//! A flush that failed takes all of them down: which file it is about is not known, and it is never tried again on the same ones.

use rustix::fs::syncfs;
use rustix::io::Errno;

use super::{Dir, DiskError, Download, DownloadError, Published, Verified, sync_dir};

/// From so many files on, flushing the file system costs less than flushing each.
const MANY: usize = 8;

impl Verified {
    /// Publishes downloads of one directory together; tells of each what became of it, in the same order. Blocks.
    ///
    /// `dir` was opened for this batch alone and before its first byte was written: a failed flush is told only once to each.
    ///
    /// An error in place of that list means that the directory could not be flushed: what is visible by then may not last.
    pub fn finish_together(
        dir: &Dir,
        downloads: Vec<Self>,
    ) -> Result<Vec<Result<Published, DownloadError>>, DownloadError> {
        let mut outcomes: Vec<Result<Download, DownloadError>> =
            downloads.into_iter().map(|Self(download)| Ok(download)).collect();
        let whole = outcomes.len() >= MANY && !super::super::events::is_silent(dir);
        if whole && let Err(errno) = flush_all(dir) {
            let failed = |outcome: Result<Download, DownloadError>| {
                let path = outcome?.path();
                Err(DiskError::io("flush", &path, errno).into())
            };
            return Ok(outcomes.into_iter().map(failed).collect());
        }
        if !whole {
            for outcome in &mut outcomes {
                if let Ok(download) = outcome
                    && let Err(error) = download.file.flush()
                {
                    *outcome = Err(error.into());
                }
            }
        }
        let published: Vec<_> = outcomes.into_iter().map(|outcome| outcome?.publish()).collect();
        if published.iter().any(|outcome| matches!(outcome, Ok(Published::New))) {
            sync_dir(dir)?;
        }
        Ok(published)
    }
}

impl Download {
    /// Makes a flushed file visible.
    pub(super) fn publish(mut self) -> Result<Published, DownloadError> {
        let bytes = self.bytes();
        Ok(self.file.temporary.publish(Some(bytes))?)
    }
}

/// Flushes the file system that the directory is on. The directory has been open since before the files were written, so that
/// the kernel tells of every error since.
fn flush_all(dir: &Dir) -> Result<(), Errno> {
    loop {
        match syncfs(dir) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
