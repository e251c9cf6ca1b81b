//! Findings and quarantined files, as the API and the command line show them.

use super::quarantine_contents::{KeptFile, QuarantineContents};
use super::work::{DamageOutcome, Scrub, ScrubFinding, kept_at};
use crate::archive::{FilePlace, HourPlace};
use crate::sync::crawl::CrawlError;
use crate::wire::{DamagedFile, FlaggedList, QuarantineList, QuarantinedFile};

/// Files in one answer.
const MOST_LISTED: usize = 1_000;

/// A finding as it is reported.
pub fn damaged_file(finding: &ScrubFinding) -> DamagedFile {
    let detail = match &finding.outcome {
        DamageOutcome::Quarantined(stored) => {
            FilePlace::parse(&finding.path).ok().map(|place| format!("lies in {}", kept_at(&place.hour, stored)))
        }
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
        kept: kept_at(&place, &stored),
        size: file.size,
        report: file.report,
    };
    let files = kept.all(|_| true).into_iter().take(most).map(file).collect();
    QuarantineList { count, bytes, lost, files }
}

impl Scrub {
    /// What lies in the quarantine.
    pub fn list(&self) -> Result<QuarantineList, CrawlError> {
        self.prepare()?;
        Ok(list_of(self.kept(), MOST_LISTED))
    }

    /// What was found odd and stays.
    pub fn list_flagged(&self) -> Result<FlaggedList, CrawlError> {
        self.prepare()?;
        Ok(self.flagged().list(MOST_LISTED))
    }

    /// The hours that the index knows in these places (`CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`), newest first; all of
    /// them for none. A place without one is an error.
    pub fn places(&self, within: &[String]) -> Result<Vec<HourPlace>, String> {
        let catalog = self.keeper().index().catalog();
        let hours = |stream: crate::archive::Stream| {
            let hours = catalog.hours(&stream.to_string(), ..);
            hours.into_iter().map(move |hour| HourPlace { stream: stream.clone(), hour })
        };
        let mut all: Vec<HourPlace> = catalog.streams().into_iter().flat_map(hours).collect();
        self.keeper().newest_first(&mut all);
        let lies_in = |place: &HourPlace, part: &str| {
            let path = place.to_string();
            path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(empty) = within.iter().find(|part| !all.iter().any(|place| lies_in(place, part))) {
            return Err(empty.clone());
        }
        all.retain(|place| within.is_empty() || within.iter().any(|part| lies_in(place, part)));
        Ok(all)
    }
}
