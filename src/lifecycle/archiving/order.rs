//! Archiving that somebody asked for: some hours, now.

use std::sync::atomic::{AtomicU64, Ordering};

use super::archiver::{ArchiveError, ArchiveOutcome, ArchiveWatch, Archiver, CopyState};
use crate::archive::quantity::count;
use crate::archive::{HourManifest, HourPlace};
use crate::disk::BucketManifests;
use crate::sync::crawl::CrawlError;
use crate::wire::{ArchiveLine, ArchiveReport, ArchiveSummary, ArchivedHour};

/// Receives what is done.
pub trait ArchiveObserver: Sync {
    fn tell(&self, line: ArchiveLine);
    fn is_stopped(&self) -> bool;
}

/// Bytes between two lines about progress.
const TELL_EVERY: u64 = 16 << 20;

impl Archiver {
    /// Uploads these hours, or only says which it would, the oldest first.
    pub fn run(
        &self,
        places: &[HourPlace],
        is_dry: bool,
        observer: &dyn ArchiveObserver,
    ) -> Result<ArchiveSummary, ArchiveError> {
        let mut work = Work::begin(self, places, observer)?;
        if is_dry {
            work.summary.requests = Some(0);
        }
        for place in places.iter().rev().filter(|_| !observer.is_stopped()) {
            if is_dry {
                self.plan(place, &mut work)?;
                continue;
            }
            let done = self.archive(place, &work);
            work.told();
            match done {
                Ok(ArchiveOutcome::Open { has_manifest }) => work.open(has_manifest),
                Ok(ArchiveOutcome::WasArchived) => work.summary.before += 1,
                Ok(ArchiveOutcome::TooOld) => work.too_old(place),
                Ok(ArchiveOutcome::Changed) => {
                    work.summary.open += 1;
                    work.hour(place, "changed", |_| ());
                }
                Ok(ArchiveOutcome::Archived { object, bytes, hidden }) => {
                    work.summary.done += 1;
                    work.hour(place, "archived", |hour| {
                        (hour.object, hour.bytes) = (object.map(|object| object.to_string()), Some(bytes));
                        hour.why = (hidden > 0).then(|| {
                            let files = count(hidden, "file");
                            format!("without {files} in sight here that tombstones in the bucket hide")
                        });
                    });
                }
                Err(error) => work.failed(place, error)?,
            }
        }
        if is_dry && work.summary.done > 0 {
            work.summary.requests = work.summary.requests.map(|requests| requests + 1);
        } else if !is_dry && work.summary.done + work.summary.errors > 0 && !observer.is_stopped() {
            // Where no node runs, nobody else looks for what a killed run has left. What was uploaded is, whatever comes of that.
            if let Err(error) = self.end_abandoned(&work) {
                tracing::warn!(name: "uploads_unseen", %error, "uploads that were left behind could not be looked for; hours are uploaded all the same");
            }
        }
        Ok(work.end())
    }

    /// What of these hours lies in the bucket.
    pub fn report(&self, places: &[HourPlace]) -> Result<ArchiveReport, CrawlError> {
        let count = self.count(places)?;
        count.unseen.map_or(Ok(ArchiveReport { failing: self.figures.known().failing, ..count.report }), |error| {
            Err(error.into())
        })
    }

    fn plan(&self, place: &HourPlace, work: &mut Work<'_>) -> Result<(), CrawlError> {
        match self.state(place)? {
            CopyState::Open { has_manifest } => work.open(has_manifest),
            CopyState::Archived { .. } | CopyState::InBucket => work.summary.before += 1,
            CopyState::TooOld => work.too_old(place),
            CopyState::Waiting => {
                let new = self.new_bytes(place)?;
                let bytes = new.unwrap_or(0);
                work.summary.done += 1;
                // Sent, and read back.
                work.summary.bytes += 2 * bytes;
                let requests = new.map_or(0, |files| self.bucket.requests_of(files));
                work.summary.requests = work.summary.requests.map(|before| before + requests);
                work.hour(place, "planned", |hour| hour.bytes = Some(bytes));
            }
        }
        Ok(())
    }

    /// Of the files of a sealed hour that no object is known to hold; `None` if objects hold all of it.
    pub(super) fn new_bytes(&self, place: &HourPlace) -> Result<Option<u64>, CrawlError> {
        let base = self.keeper.guard().base()?;
        let held = self.disk(BucketManifests::of(&base).read(place))?;
        let Some((sealed, _)) = self.sealed(&base, place)?.filter(|_| !held.is_empty()) else {
            return self.bytes(place).map(Some);
        };
        let held: Vec<&HourManifest> = held.iter().map(|(_, manifest)| manifest).collect();
        Ok(sealed.without(&held).map(|new| new.bytes()))
    }

    /// Of an hour's files, as the index has them.
    pub(super) fn bytes(&self, place: &HourPlace) -> Result<u64, CrawlError> {
        let row = self.keeper.index().hour_row(&place.stream.to_string(), place.hour)?;
        let tallies = row.iter().flat_map(|row| row.totals.video.iter().chain([&row.totals.chat]));
        Ok(tallies.map(|tally| tally.bytes).sum())
    }
}

/// What was asked for, and how far it is.
pub(super) struct Work<'o> {
    observer: &'o dyn ArchiveObserver,
    pub(super) summary: ArchiveSummary,
    /// Over the line, and those of them that were not told yet.
    moved: AtomicU64,
    untold: AtomicU64,
}

impl<'o> Work<'o> {
    pub(super) fn begin(
        archiver: &Archiver,
        places: &[HourPlace],
        observer: &'o dyn ArchiveObserver,
    ) -> Result<Self, CrawlError> {
        let mut bytes = 0;
        for place in places {
            bytes += archiver.bytes(place)?;
        }
        Ok(Self::new(observer, places.len() as u64, bytes))
    }

    pub(super) fn new(observer: &'o dyn ArchiveObserver, hours: u64, bytes: u64) -> Self {
        observer.tell(ArchiveLine::Begin { hours, bytes });
        Self { observer, summary: ArchiveSummary::default(), moved: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    pub(super) fn hour(&self, place: &HourPlace, state: &str, fill: impl FnOnce(&mut ArchivedHour)) {
        let mut hour = ArchivedHour {
            hour: place.to_string(),
            state: state.to_owned(),
            object: None,
            bytes: None,
            files: None,
            reason: None,
            why: None,
        };
        fill(&mut hour);
        self.observer.tell(ArchiveLine::Hour(hour));
    }

    fn too_old(&self, place: &HourPlace) {
        self.hour(place, "too_old", |hour| {
            hour.why = Some("it is older than the bucket keeps any (archive.max_age)".to_owned());
        });
    }

    fn open(&mut self, has_manifest: bool) {
        self.summary.open += 1;
        self.summary.unsealed += u64::from(has_manifest);
    }

    /// Tells of an hour with which something is wrong; an error if it is not the hour's.
    pub(super) fn failed(&mut self, place: &HourPlace, error: ArchiveError) -> Result<(), ArchiveError> {
        if !error.is_about_the_hour() {
            return Err(error);
        }
        self.summary.errors += 1;
        let reason = error.reason();
        let state = match (&error, reason) {
            (ArchiveError::AskedFor(..), _) => "asked_for",
            (_, Some(word @ ("damaged" | "gone"))) => word,
            _ => "failed",
        };
        self.hour(place, state, |hour| {
            (hour.reason, hour.why) = (reason.map(str::to_owned), Some(error.to_string()));
        });
        Ok(())
    }

    pub(super) fn told(&self) {
        let bytes = self.untold.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            self.observer.tell(ArchiveLine::Progress { bytes });
        }
    }

    pub(super) fn end(mut self) -> ArchiveSummary {
        self.summary.bytes += self.moved.load(Ordering::Relaxed);
        self.summary
    }
}

impl ArchiveWatch for Work<'_> {
    fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        if self.untold.fetch_add(bytes, Ordering::Relaxed) + bytes >= TELL_EVERY {
            self.told();
        }
    }

    fn is_stopped(&self) -> bool {
        self.observer.is_stopped()
    }
}
