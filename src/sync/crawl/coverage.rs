//! Coverage of a window, from an index that is as up to date as time allows.

use super::{CrawlError, Keeper};
use crate::archive::coverage::Window;
use crate::archive::{Hour, HourPlace, Stream, Timestamp};
use crate::index::Covered;

impl Keeper {
    /// What a window needs, of at most `most` hours; one that is open at its end reaches to the horizon. Where it has no more than `compared` hours they are compared with the disk
    /// first, as for any other question; wider ones are answered from what the watcher and the crawl have found. Blocks: not for async code.
    pub fn coverage(
        &self,
        stream: &Stream,
        window: &Window,
        compared: usize,
        most: usize,
    ) -> Result<Covered, CrawlError> {
        let window = self.up_to_horizon(stream, window);
        self.compare_window(stream, &window, compared)?;
        Ok(self.index().coverage(stream, &window, most)?)
    }

    /// Compares the hours of a window with the disk, if there are no more than `most`. Blocks: not for async code.
    pub fn compare_window(&self, stream: &Stream, window: &Window, most: usize) -> Result<(), CrawlError> {
        self.ensure_structure()?;
        for hour in self.few_hours(&stream.to_string(), window, most).unwrap_or_default() {
            match self.ensure(&HourPlace { stream: stream.clone(), hour }) {
                // An index that takes no writes still knows what it knew.
                Ok(()) | Err(CrawlError::Index(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Of a disk that is away nothing is known.
        drop(self.base()?);
        Ok(())
    }

    /// The hours that a window touches, and those beside it whose segments may reach into it; `None` if there are too many.
    fn few_hours(&self, stream: &str, window: &Window, most: usize) -> Option<Vec<Hour>> {
        let first = window.from.map_or(Hour::MIN, |from| from.hour().previous());
        let last = window.to.map_or(window.last.unwrap_or(Hour::MAX), Timestamp::hour);
        let state = self.index().catalog().read();
        let Some(entry) = state.streams.get(stream) else { return Some(Vec::new()) };
        let hours: Vec<Hour> =
            entry.hours.range(first..=last).map(|(hour, _)| *hour).take(most.saturating_add(1)).collect();
        (hours.len() <= most).then_some(hours)
    }
}
