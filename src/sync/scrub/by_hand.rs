//! What a person orders of the quarantine: files go back to where they lay, or are deleted. A node that runs does it itself, so that its
//! index, its lists and what it fetches follow at once.

use super::work::Scrub;
use crate::archive::{FilePlace, HourPlace};
use crate::disk::{Base, DiskError, Quarantine};
use crate::jobs::NodeEvent;
use crate::sync::crawl::CrawlError;
use crate::wire::{HandledFile, QuarantineChange};

/// Why an order was not begun.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineOrderError {
    #[error("{0} is not in the quarantine; see `gapless quarantine list`")]
    Absent(FilePlace),
    #[error(transparent)]
    Crawl(#[from] CrawlError),
}

impl Scrub {
    /// Moves these files back. What is none of the quarantine ends it before anything is done.
    pub fn restore_all(&self, files: &[FilePlace]) -> Result<QuarantineChange, QuarantineOrderError> {
        let base = self.begin(files)?;
        Ok(each(&base, files, |FilePlace { hour, name }| self.restore(hour, name)))
    }

    /// Deletes these files for good, and with `healed` all those that are here again.
    pub fn purge_all(&self, files: &[FilePlace], healed: bool) -> Result<QuarantineChange, QuarantineOrderError> {
        let base = self.begin(files)?;
        let mut all = files.to_vec();
        if healed {
            let here_again = self.quarantine().all(|file| !file.is_lost());
            all.extend(here_again.into_iter().map(|(hour, stored, _)| FilePlace { hour, name: stored.into() }));
        }
        Ok(each(&base, &all, |FilePlace { hour, name }| self.purge(&base, hour, name)))
    }

    /// Another process may have been here before.
    fn begin(&self, files: &[FilePlace]) -> Result<std::sync::Arc<Base>, QuarantineOrderError> {
        let base = self.prepare()?;
        self.look_again();
        all_held(&base, files)?;
        Ok(base)
    }

    fn purge(&self, base: &Base, place: &HourPlace, stored: &str) -> Result<bool, CrawlError> {
        let known = self.quarantine().of_hour(place).into_iter().find(|(name, _)| name == stored);
        let is_deleted = {
            let _moving = self.quarantine().moving();
            let deleted = Quarantine::of(base).delete(place, stored)?;
            self.quarantine().remove(place, stored);
            deleted.is_some()
        };
        if known.is_some_and(|(_, file)| file.is_bad_by_name()) {
            self.tell(NodeEvent::BadNameForgotten);
        }
        Ok(is_deleted)
    }
}

/// An error that names the first of them that does not lie in the quarantine.
pub fn all_held(base: &Base, files: &[FilePlace]) -> Result<(), QuarantineOrderError> {
    for file in files {
        if size(base, file).map_err(CrawlError::from)?.is_none() {
            return Err(QuarantineOrderError::Absent(file.clone()));
        }
    }
    Ok(())
}

/// Does it to one file after the other. The first that it cannot be done to ends it.
pub fn each<E: std::fmt::Display>(
    base: &Base,
    files: &[FilePlace],
    mut handle: impl FnMut(&FilePlace) -> Result<bool, E>,
) -> QuarantineChange {
    let mut change = QuarantineChange::default();
    for file in files {
        // Named twice it has gone by now.
        let Ok(Some(bytes)) = size(base, file) else { continue };
        match handle(file) {
            Ok(true) => change.files.push(HandledFile { path: file.to_string(), size: bytes }),
            Ok(false) => {}
            Err(error) => {
                change.failed = Some(format!("{file}: {error}"));
                break;
            }
        }
    }
    change
}

fn size(base: &Base, file: &FilePlace) -> Result<Option<u64>, DiskError> {
    let held = Quarantine::of(base).held(&file.hour)?;
    Ok(held.into_iter().find(|held| *held.stored == *file.name).map(|held| held.size))
}
