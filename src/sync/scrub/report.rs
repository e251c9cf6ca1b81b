//! What the scrub finds, and how the API and the command line show it.

use std::path::Path;

use super::quarantine_contents::{KeptFile, QuarantineContents};
use crate::archive::{FilePlace, HourPlace};
use crate::disk::Quarantine;
use crate::wire::{DamagedFile, QuarantineList, QuarantinedFile};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageOutcome {
    Quarantined(String),
    /// It stays: the settings say so, or it was not read.
    Reported,
    /// It stays until the operator says that so many may go.
    Waits,
    /// It stays because it cannot be moved: a full or read-only disk.
    Stays(String),
}

impl DamageOutcome {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Quarantined(_) => "quarantined",
            Self::Reported => "suspicious",
            Self::Waits => "waiting",
            Self::Stays(_) => "unmoved",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubFinding {
    /// `CHANNEL/QUALITY/HOUR/NAME`.
    pub path: String,
    pub problem: &'static str,
    pub faults: Vec<String>,
    pub outcome: DamageOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleId {
    pub number: u64,
    /// When it began, as it would stand in a report.
    pub began: String,
}

impl CycleId {
    pub(super) fn has(&self, file: &KeptFile) -> bool {
        // Earlier versions did not write when their cycle began.
        let is_ours = file.report.began.as_ref().map_or(file.report.at >= self.began, |began| *began == self.began);
        file.report.cycle == Some(self.number) && is_ours
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrubEvent {
    Sound,
    /// It is not there any more, or another one than a moment ago.
    Gone,
    Damaged(ScrubFinding),
    /// It was damaged, and was moved before an end that kept this from being booked.
    MovedBefore {
        bytes: u64,
    },
    Failed(String),
}

/// Files in one answer.
pub(super) const MOST_LISTED: usize = 1_000;

pub fn damaged_file(finding: &ScrubFinding) -> DamagedFile {
    let detail = match &finding.outcome {
        DamageOutcome::Quarantined(stored) => FilePlace::parse(&finding.path)
            .ok()
            .map(|place| format!("lies in {}", quarantine_path(&place.hour, stored))),
        DamageOutcome::Stays(why) => Some(why.clone()),
        DamageOutcome::Reported | DamageOutcome::Waits => None,
    };
    DamagedFile {
        path: finding.path.clone(),
        problem: finding.problem.to_owned(),
        faults: finding.faults.clone(),
        outcome: finding.outcome.kind().to_owned(),
        detail,
    }
}

/// The quarantine, listing at most so many files.
pub fn list_of(kept: &QuarantineContents, most: usize) -> QuarantineList {
    let (count, bytes) = kept.count(|_| true);
    let (lost, _) = kept.count(KeptFile::is_lost);
    let file = |(place, stored, file): (HourPlace, String, KeptFile)| QuarantinedFile {
        kept: quarantine_path(&place, &stored),
        size: file.size,
        report: file.report,
    };
    let files = kept.all(|_| true).into_iter().take(most).map(file).collect();
    QuarantineList { count, bytes, lost, files }
}

/// Where a quarantined file lies, relative to the base.
pub fn quarantine_path(place: &HourPlace, stored: &str) -> String {
    Path::new(&Quarantine::path(place)).join(stored).to_string_lossy().into_owned()
}
