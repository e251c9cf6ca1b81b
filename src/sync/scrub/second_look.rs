//! A second look at what lies in the quarantine: a file that was still being written when it was put aside may be what its name says by now.
//!
//! A program that writes a file in place under its final name goes on writing into it wherever it was moved to. Such a file goes back to where it lay,
//! soon after the writer has finished, and at the latest before anything is deleted for its age.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use super::check::{Check, FileVerdict};
use super::quarantine_contents::KeptFile;
use super::work::{Scrub, now_ns};
use crate::archive::{FileName, HourPlace, parse_file_name};
use crate::disk::{Base, DiskError, Quarantine};
use crate::sync::crawl::CrawlError;

/// Files that were put aside longer ago are looked at again before they are deleted, and not every minute.
const YOUNG_NS: i64 = 24 * 3_600 * 1_000_000_000;

impl Scrub {
    /// Puts back what was written to after it was put aside and is what its name says now; says how many files.
    pub fn rescue(&self) -> Result<u64, CrawlError> {
        let base = self.prepare()?;
        let since = now_ns().saturating_sub(YOUNG_NS);
        let is_young = |file: &KeptFile| file.is_lost() && file.reported_ns.is_some_and(|at| at >= since);
        let mut rescued = 0;
        for (place, stored, file) in self.kept().all(is_young) {
            let Some(dir) = base.dir(&Quarantine::path(&place))? else { continue };
            let meta = dir.stat_file(OsStr::new(&stored))?;
            let is_written = meta.is_some_and(|meta| Some(meta.mtime_ns) > file.reported_ns);
            if is_written && self.put_back_if_sound(&base, &place, &stored, &file)? {
                rescued += 1;
            }
        }
        Ok(rescued)
    }

    /// Puts a file back if it is what its name says; where something lies under its name it stays.
    pub(super) fn put_back_if_sound(
        &self,
        base: &Base,
        place: &HourPlace,
        stored: &str,
        file: &KeptFile,
    ) -> Result<bool, CrawlError> {
        // Fetched again it would be put aside again.
        if file.is_bad_by_name() {
            return Ok(false);
        }
        let FileName::Understood(key) = parse_file_name(&file.name) else { return Ok(false) };
        let Some(dir) = base.dir(&Quarantine::path(place))? else { return Ok(false) };
        let verdict = Check::new(&key, false).go_on(&dir, stored, &mut Vec::new(), |_| ControlFlow::Continue(()))?;
        if !matches!(verdict, FileVerdict::Sound { .. }) {
            return Ok(false);
        }
        match self.restore(place, stored) {
            Ok(true) => {
                tracing::info!(name: "quarantine_rescued", path = file.report.path, "a quarantined file is complete now and was put back");
                Ok(true)
            }
            // Its name is taken.
            Ok(false) | Err(CrawlError::Disk(DiskError::Exists { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
