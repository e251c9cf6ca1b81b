//! The journal on the disk, `BASE/.gapless/retired`, and in memory: written first, then believed.
//!
//! It lies beside the marker and not in the index, because the index may be lost at any time. While it cannot be read nothing is
//! retired and nothing is fetched: an hour that was retired must not come back for want of a note about it.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::RetentionError;
use super::journal::{Entry, Journal, line};
use crate::disk::{Base, Dir, DiskError, append, atomic, marker};
use crate::domain::HourPlace;
use crate::domain::retention::Horizons;

const FILE: &str = "retired";
/// Where a journal with lines that do not add up is kept as it was.
const DAMAGED: &str = "retired.damaged";
/// The largest journal that is read: a hundred bytes an hour make this 76 years of one quality.
const MOST_BYTES: u64 = 64 << 20;

/// What is known of retired hours.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    known: RwLock<Option<Known>>,
    writing: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    journal: Journal,
    horizons: Horizons,
}

impl Ledger {
    /// Reads it from the disk. Lines that do not add up are told, kept aside, and left out from then on.
    pub(super) fn load(&self, base: &Base) -> Result<(), RetentionError> {
        let _one = self.lock();
        let bytes = read(base)?;
        let mut journal = Journal::parse(&bytes);
        if journal.damaged_lines > 0 {
            let lines = journal.damaged.join("; ");
            tracing::error!(name: "retired_damaged", lines = journal.damaged_lines, first = lines, "lines of the journal of retired hours do not add up and are left out; the file is kept as retired.damaged");
            if let Some(own) = own_dir(base)? {
                atomic::replace(&own, OsStr::new(DAMAGED), &bytes)?;
            }
        }
        if journal.wants_rewriting()
            && let Some(own) = own_dir(base)?
        {
            atomic::replace(&own, OsStr::new(FILE), journal.text().as_bytes())?;
            journal.rewritten();
        }
        self.put(journal);
        Ok(())
    }

    /// Forgets what it knows: the disk may be another by now.
    pub(super) fn forget(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes a line and believes it when it is durable.
    pub(super) fn note(&self, base: &Base, place: &HourPlace, entry: Option<Entry>) -> Result<(), RetentionError> {
        let _one = self.lock();
        let own = own_dir(base)?.ok_or(RetentionError::NoMarker)?;
        let head = self.ask(|journal, _| journal.head()).ok_or(RetentionError::NotRead)?;
        append(&own, OsStr::new(FILE), (head + &line(place, entry.as_ref())).as_bytes())?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Known { journal, horizons }) = known.as_mut() else { return Err(RetentionError::NotRead) };
        journal.note(place.clone(), entry);
        *horizons = journal.horizons();
        if !journal.wants_rewriting() || journal.damaged_lines > 0 {
            return Ok(());
        }
        let text = journal.text();
        drop(known);
        atomic::replace(&own, OsStr::new(FILE), text.as_bytes())?;
        if let Some(now) = self.known.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            now.journal.rewritten();
        }
        Ok(())
    }

    /// Begins the file if there is none, with room for lines to come: on a full disk they could not be written, and nothing could
    /// be deleted to make room.
    pub(super) fn make_room(&self, base: &Base) {
        let _one = self.lock();
        let head = self.ask(|journal, _| journal.head()).unwrap_or_default();
        let is_there = base.open_file(&Path::new(marker::OWN_DIR).join(FILE)).is_ok_and(|file| file.is_some());
        if head.is_empty() || is_there {
            return;
        }
        let begun =
            own_dir(base).and_then(|own| own.map_or(Ok(()), |own| append(&own, OsStr::new(FILE), head.as_bytes())));
        if let Err(error) = begun {
            tracing::debug!(name: "journal_not_begun", %error, "no room is kept for the journal of retired hours");
        }
    }

    /// What it says; `None` while it could not be read.
    pub(super) fn journal(&self) -> Option<Journal> {
        self.read().as_ref().map(|known| known.journal.clone())
    }

    /// Asks something of it; `None` while it could not be read.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Journal, &Horizons) -> T) -> Option<T> {
        self.read().as_ref().map(|known| question(&known.journal, &known.horizons))
    }

    fn put(&self, journal: Journal) {
        let horizons = journal.horizons();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Known { journal, horizons });
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own_dir(base: &Base) -> Result<Option<Dir>, DiskError> {
    base.dir(Path::new(marker::OWN_DIR))
}

fn read(base: &Base) -> Result<Vec<u8>, RetentionError> {
    let path = Path::new(marker::OWN_DIR).join(FILE);
    let mut bytes = Vec::new();
    if let Some(file) = base.open_file(&path)? {
        let path = base.path().join(path);
        let failed = |cause| RetentionError::Unreadable { path: path.clone(), cause };
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(failed(std::io::Error::other(format!("it is larger than {MOST_BYTES} bytes"))));
        }
    }
    Ok(bytes)
}
