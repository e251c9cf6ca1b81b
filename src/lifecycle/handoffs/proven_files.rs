//! Which hours here hold what the names of their files say. An owner confirms nothing that it has not read: a file of that name and size may
//! be another one, after a disk has decayed or a power cut, and whoever asks deletes its own copy.
//!
//! 1. An hour that is asked about is read once, every file of it, by a job of its own. Until then nothing of it is confirmed, and whoever
//!    asks is told to come again.
//! 2. What was read is remembered with size and time of change of each file, which nobody can set back; for as long as the process lives.
//! 3. Files whose names say nothing of their bytes are neither read nor confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::archive::{FileName, Hash, HourPlace, parse_file_name};
use crate::disk::{Dir, DiskError};

/// Entries of one directory at most.
const MOST_ENTRIES: usize = 2 << 20;
/// Hours that are remembered; with more, all of them are forgotten, and read again if somebody asks.
const MOST_HOURS: usize = 100_000;
/// Hours that wait to be read; who asks about others is heard when they come again.
const MOST_WAITING: usize = 10_000;
/// Name, size and time of change of each file of an hour, as one hash.
pub(super) type HourLook = Hash;

/// What is known of the bytes of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HourProof {
    /// They are what the names say.
    Right,
    /// They are not; the log has said of which file.
    Wrong,
    /// They are being read, or will be.
    Reading,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct ProvenFiles(Mutex<Proofs>);

#[derive(Debug, Default)]
struct Proofs {
    read: BTreeMap<HourPlace, (HourLook, bool)>,
    waiting: BTreeSet<HourPlace>,
}

impl ProvenFiles {
    /// Of an hour's directory, looked at now. What was not read yet is read soon.
    pub(super) fn of(&self, place: &HourPlace, dir: &Dir) -> Result<HourProof, DiskError> {
        let now = look(dir, &files(dir)?)?;
        let mut proofs = self.0.lock();
        match proofs.read.get(place) {
            Some((read, true)) if *read == now => Ok(HourProof::Right),
            Some((read, false)) if *read == now => Ok(HourProof::Wrong),
            _ => {
                if proofs.waiting.len() < MOST_WAITING {
                    proofs.waiting.insert(place.clone());
                }
                Ok(HourProof::Reading)
            }
        }
    }

    /// One that waits to be read.
    pub(super) fn next(&self) -> Option<HourPlace> {
        self.0.lock().waiting.first().cloned()
    }

    /// How it was found, as it looked before; nothing if it has to be read again.
    pub(super) fn note(&self, place: &HourPlace, result: Option<(HourLook, bool)>) {
        let mut proofs = self.0.lock();
        proofs.waiting.remove(place);
        if proofs.read.len() >= MOST_HOURS {
            proofs.read.clear();
        }
        if let Some(result) = result {
            proofs.read.insert(place.clone(), result);
        }
    }
}

/// Files whose names say what is in them, with that.
pub(super) fn files(dir: &Dir) -> Result<BTreeMap<String, Hash>, DiskError> {
    let entries = dir.entries(MOST_ENTRIES)?.into_iter().filter(|(_, is_file)| *is_file);
    let names = entries.filter_map(|(name, _)| name.into_string().ok());
    let understood = names.filter_map(|name| match parse_file_name(&name) {
        FileName::Understood(key) if !key.tombstone => Some((name, key.hash)),
        _ => None,
    });
    Ok(understood.collect())
}

/// How an hour looks now.
pub(super) fn look(dir: &Dir, files: &BTreeMap<String, Hash>) -> Result<HourLook, DiskError> {
    let mut seen = Sha256::new();
    for name in files.keys() {
        let (name_os, nothing) = (OsStr::new(name), (0, 0));
        let size = dir.stat_file(name_os)?.map_or(nothing.0, |meta| meta.size);
        let changed = dir.ctime_of(name_os)?.unwrap_or(nothing.1);
        seen.update(format!("{name}/{size}/{changed}\n"));
    }
    Ok(Hash(seen.finalize().into()))
}
