//! The journal on the disk, `BASE/.gapless/retired` and `retired.2`, and in memory: written first, then believed.
//!
//! It lies beside the marker and not in the index, because the index may be lost at any time. While it cannot be relied on nothing
//! is deleted and nothing is fetched: an hour that was retired must not come back for want of a note about it, and one that is kept
//! must not go.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::journal::{Journal, JournalLine, JournalStep, line};
use super::merge::{CopyBytes, Expected, MergeResult, RewriteReason, merge};
use super::schedule::Horizons;
use super::{Retention, RetentionError};
use crate::archive::guards::Guard;
use crate::archive::{HourPlace, Span, Timestamp};
use crate::disk::{ArchiveId, Base, Dir, DiskError, RecordHistory, Records, append, atomic, keep_aside, marker};
use crate::replicate::HourRules;

pub(super) const RETIRED: &str = "retired";
const COPIES: [&str; 2] = [RETIRED, "retired.2"];
/// The largest journal that is read: a hundred bytes an hour make this 76 years of one quality.
const MOST_BYTES: u64 = 64 << 20;
/// How far in the future an entry may have been written before a clock must have been wrong.
const FUTURE: Span = Span::from_us(24 * crate::archive::time::HOUR_US);

#[derive(Debug, Default)]
pub(super) struct RetirementLedger {
    known: RwLock<Option<ReadJournal>>,
    writing: Mutex<()>,
}

#[derive(Debug)]
struct ReadJournal {
    journal: Journal,
    horizons: Horizons,
}

pub(super) struct JournalNow {
    pub(super) time: Timestamp,
    pub(super) lived: Option<Span>,
    pub(super) holders: Arc<[String]>,
}

impl RetirementLedger {
    /// Reads it from the disk, and makes a copy anew that cannot be used. With `accept` what can still be read will do, on a
    /// person's word. Returns where copies were put aside.
    pub(super) fn load(
        &self,
        base: &Base,
        records: &Records,
        now: &JournalNow,
        accept: bool,
    ) -> Result<Vec<PathBuf>, RetentionError> {
        let _one = self.writing.lock();
        let past = records.past(base, RETIRED)?;
        let copies = [read(base, COPIES[0])?, read(base, COPIES[1])?];
        let is_absent = !past.was_there && copies.iter().all(|copy| matches!(copy, CopyBytes::Missing));
        if is_absent {
            records.note(RETIRED, None);
            self.put(Journal::default());
            return Ok(Vec::new());
        }
        let (own, ids) = own_dir(base)?.zip(marker::ids(base)?).ok_or(RetentionError::NoMarker)?;
        let [first, second] = copies;
        let (mut journal, mended) = match judged(merge(first, second, &Expected { ids, past: &past }), now) {
            MergeResult::Absent => (Journal::default(), None),
            MergeResult::Journal(journal, mended) => (journal, mended),
            MergeResult::Unusable(why, salvaged) if accept => (salvaged, Some(RewriteReason { why, is_damage: true })),
            MergeResult::Unusable(why, _) => {
                records.note(RETIRED, Some(&why));
                return Err(RetentionError::Unusable { path: base.path().join(marker::OWN_DIR).join(RETIRED), why });
            }
        };
        if let Some(lived) = now.lived {
            journal.begin_counting(lived, &now.holders);
        }
        let is_damage = mended.as_ref().is_some_and(|mended| mended.is_damage);
        if let Some(mended) = mended.as_ref().filter(|mended| mended.is_damage) {
            tracing::warn!(name: "retired_mended", why = mended.why, "the journal of retired hours was damaged; its copies are kept aside and written anew");
        }
        let aside = if mended.is_some() || journal.wants_rewriting() {
            rewrite((&own, ids.id), &mut journal, past.newest, is_damage)?
        } else {
            Vec::new()
        };
        records.note(RETIRED, None);
        if journal.is_begun() {
            records.mark(base, RETIRED, journal.mark());
        }
        self.put(journal);
        Ok(aside)
    }

    /// Forgets what it knows: the disk may be another by now.
    pub(super) fn forget(&self) {
        *self.known.write() = None;
    }

    /// Writes lines and believes them when they are durable in both copies.
    pub(super) fn note(&self, base: &Base, records: &Records, lines: Vec<JournalLine>) -> Result<(), RetentionError> {
        self.begin(base, records)?;
        let _one = self.writing.lock();
        let own = own_dir(base)?.ok_or(RetentionError::NoMarker)?;
        let text: String = lines.iter().map(|(place, entry)| line(place, entry.as_ref())).collect();
        for name in COPIES {
            if let Err(error) = append(&own, OsStr::new(name), text.as_bytes()) {
                // The copies may differ now: they are read again before anything else is written.
                self.forget();
                return Err(error.into());
            }
        }
        let mut known = self.known.write();
        let Some(ReadJournal { journal, horizons }) = known.as_mut() else { return Err(RetentionError::NotRead) };
        for (place, entry) in lines {
            journal.note(place, entry);
        }
        *horizons = journal.horizons();
        let mark = journal.mark();
        let shorter = journal.wants_rewriting().then(|| journal.clone());
        drop(known);
        records.mark(base, RETIRED, mark);
        shorter.map_or(Ok(()), |shorter| self.write_anew(base, records, shorter))
    }

    /// Begins the file if there is none, with room for lines to come: on a full disk they could not be written, and nothing could
    /// be deleted to make room.
    pub(super) fn begin(&self, base: &Base, records: &Records) -> Result<(), RetentionError> {
        let _one = self.writing.lock();
        let journal = self.journal().ok_or(RetentionError::NotRead)?;
        if journal.is_begun() {
            return Ok(());
        }
        self.write_anew(base, records, journal)?;
        let own = own_dir(base)?.ok_or(RetentionError::NoMarker)?;
        for name in COPIES {
            append(&own, OsStr::new(name), b"")?;
        }
        Ok(())
    }

    fn write_anew(&self, base: &Base, records: &Records, mut journal: Journal) -> Result<(), RetentionError> {
        let (own, ids) = own_dir(base)?.zip(marker::ids(base)?).ok_or(RetentionError::NoMarker)?;
        let newest = records.past(base, RETIRED)?.newest;
        rewrite((&own, ids.id), &mut journal, newest, false)?;
        records.mark(base, RETIRED, journal.mark());
        self.put(journal);
        Ok(())
    }

    /// What it says; `None` while it could not be read.
    pub(super) fn journal(&self) -> Option<Journal> {
        self.known.read().as_ref().map(|known| known.journal.clone())
    }

    /// Asks something of it; `None` while it could not be read.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Journal, &Horizons) -> T) -> Option<T> {
        self.known.read().as_ref().map(|known| question(&known.journal, &known.horizons))
    }

    fn put(&self, journal: Journal) {
        let horizons = journal.horizons();
        *self.known.write() = Some(ReadJournal { journal, horizons });
    }
}

/// Why the journal cannot be relied on, by what is remembered of it, if so. Changes nothing.
pub(super) fn examine(base: &Base, past: &RecordHistory) -> Result<Option<String>, DiskError> {
    Ok(match look(base, past)? {
        MergeResult::Unusable(why, _) => Some(why),
        MergeResult::Absent | MergeResult::Journal(..) => None,
    })
}

/// What can be read of the journal on the disk, for who only looks. Nothing may be deleted by it. Changes nothing.
pub(super) fn peek(base: &Base) -> Result<Option<Journal>, DiskError> {
    Ok(match look(base, &RecordHistory::default())? {
        MergeResult::Unusable(_, journal) | MergeResult::Journal(journal, _) => Some(journal),
        MergeResult::Absent => None,
    })
}

/// Why the journal on the disk is not what this process wrote there, if so. Changes nothing.
pub(super) fn examine_written(
    base: &Base,
    past: &RecordHistory,
    written: &Journal,
) -> Result<Option<String>, DiskError> {
    if !written.is_begun() {
        return Ok(None);
    }
    Ok(match look(base, past)? {
        MergeResult::Unusable(why, _) => Some(why),
        MergeResult::Journal(found, _) if found.entries() == written.entries() => None,
        MergeResult::Absent | MergeResult::Journal(..) => Some("it is not what this node has written there".to_owned()),
    })
}

fn look(base: &Base, past: &RecordHistory) -> Result<MergeResult, DiskError> {
    let Some(ids) = marker::ids(base)? else { return Ok(MergeResult::Absent) };
    Ok(merge(read(base, COPIES[0])?, read(base, COPIES[1])?, &Expected { ids, past }))
}

/// An entry from the future was written by a wrong clock, or this one is wrong.
fn judged(merged: MergeResult, now: &JournalNow) -> MergeResult {
    let MergeResult::Journal(journal, mended) = merged else { return merged };
    let Some((place, entry)) = journal.later_than(now.time + FUTURE) else {
        return MergeResult::Journal(journal, mended);
    };
    let why = format!("it says of {place} what was written at {}, which is in the future of {}", entry.since, now.time);
    MergeResult::Unusable(why, journal)
}

fn own_dir(base: &Base) -> Result<Option<Dir>, DiskError> {
    base.dir(Path::new(marker::OWN_DIR))
}

/// Writes both copies anew, one after the other, so that one of them is always there. With `keep` the old content is put aside, too.
fn rewrite(
    (own, id): (&Dir, ArchiveId),
    journal: &mut Journal,
    newest: u64,
    keep: bool,
) -> Result<Vec<PathBuf>, DiskError> {
    let text = journal.rewrite(id, newest);
    let mut aside = Vec::new();
    // None of them goes before all that can be read of both is in one.
    for name in COPIES.map(OsStr::new).into_iter().filter(|_| keep) {
        aside.extend(keep_aside(own, RETIRED, name)?);
    }
    for name in COPIES.map(OsStr::new) {
        atomic::replace(own, name, text.as_bytes())?;
    }
    Ok(aside)
}

fn read(base: &Base, name: &str) -> Result<CopyBytes, DiskError> {
    let path = Path::new(marker::OWN_DIR).join(name);
    let Some(file) = base.open_file(&path)? else { return Ok(CopyBytes::Missing) };
    let mut bytes = Vec::new();
    Ok(match file.take(MOST_BYTES + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MOST_BYTES => {
            CopyBytes::Unreadable(format!("it is larger than {MOST_BYTES} bytes"))
        }
        Ok(_) => CopyBytes::Content(bytes),
        Err(cause) => CopyBytes::Unreadable(cause.to_string()),
    })
}

impl HourRules for Retention {
    fn keeps(&self, place: &HourPlace) -> Option<bool> {
        let limits = &self.options.limits;
        let is_fetched = self.parts.keeper.would_be_fetched(place);
        self.ledger.ask(|journal, horizons| match journal.get(place).map(|entry| entry.step) {
            Some(JournalStep::Kept) => true,
            Some(JournalStep::Retiring | JournalStep::Retired | JournalStep::Gone) => false,
            None => horizons.has_room(place, is_fetched, limits) && !limits.too_old(place, self.now()),
        })
    }

    fn room_beside_own(&self, place: &HourPlace) -> u64 {
        let keeper = &self.parts.keeper;
        if !keeper.guards().stands(Guard::OwnFirst) {
            return u64::MAX;
        }
        self.options.limits.room_beside_own(&place.stream, |of| keeper.added_bytes(of))
    }
}
