//! Sealing that somebody asked for: some hours, now. It is not bound by the pace of the crawl.

use std::ops::ControlFlow;

use super::outcome::SealOutcome;
use super::seal_hour::Sealer;
use crate::archive::{HourPlace, Span};
use crate::sync::crawl::CrawlError;
use crate::wire::{SealLine, SealSummary};

/// Receives what is done.
pub trait SealObserver {
    fn tell(&self, line: SealLine);
    fn is_stopped(&self) -> bool;
}

/// Bytes between two lines about progress.
const TELL_EVERY: u64 = 16 << 20;

impl Sealer {
    /// Seals these hours, or only says which it would. Breaks off where the archive is not there, and where the observer says so.
    pub fn run(
        &self,
        places: &[HourPlace],
        after: Span,
        is_dry: bool,
        observer: &dyn SealObserver,
    ) -> Result<SealSummary, CrawlError> {
        let mut ahead = 0;
        for place in places {
            let row = self.keeper().index().hour_row(&place.stream.to_string(), place.hour)?;
            let tallies = row.iter().flat_map(|row| row.totals.video.iter().chain([&row.totals.chat]));
            ahead += tallies.map(|tally| tally.bytes).sum::<u64>();
        }
        observer.tell(SealLine::Begin { hours: places.len() as u64, bytes: ahead });
        let mut summary = SealSummary::default();
        for place in places {
            if observer.is_stopped() {
                break;
            }
            let mut untold = 0;
            let read = |bytes: u64| {
                untold += bytes;
                summary.bytes += bytes;
                if untold >= TELL_EVERY {
                    observer.tell(SealLine::Progress { bytes: std::mem::take(&mut untold) });
                }
                if observer.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let done = if is_dry { self.look(place, after) } else { self.seal(place, after, read).map(Some) };
            if untold > 0 {
                observer.tell(SealLine::Progress { bytes: untold });
            }
            let hour = place.to_string();
            match done {
                Ok(None) => {
                    summary.sealed += 1;
                    observer.tell(SealLine::Sealed { hour, files: None, manifest: None });
                }
                Ok(Some(SealOutcome::Sealed(sealed))) => {
                    summary.sealed += 1;
                    observer.tell(SealLine::Sealed { hour, files: Some(sealed.files), manifest: Some(sealed.id) });
                }
                Ok(Some(SealOutcome::WasSealed | SealOutcome::InBucket)) => summary.sealed_before += 1,
                Ok(Some(SealOutcome::NotSealed(why))) if why.is_fault() => {
                    summary.errors += 1;
                    observer.tell(SealLine::Unseen { hour, why: why.to_string() });
                }
                Ok(Some(SealOutcome::NotSealed(why))) => {
                    summary.open += 1;
                    observer.tell(SealLine::Open { hour, why: why.to_string() });
                }
                Ok(Some(SealOutcome::Stopped)) => break,
                Err(CrawlError::Disk(error)) if error.is_shortage() => return Err(error.into()),
                Err(error @ (CrawlError::Disk(_) | CrawlError::Doubt(_))) => {
                    summary.errors += 1;
                    observer.tell(SealLine::Unseen { hour, why: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(summary)
    }
}
