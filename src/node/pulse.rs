//! Whether a node lives, and its state on one line. Reports to no one itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::archive::coverage::{CoverageKind, Window};
use crate::archive::{Span, Timestamp};
use crate::sync::crawl::{Crawl, Keeper};

const DAY: Span = Span::from_us(24 * crate::archive::time::HOUR_US);
/// Hours of a question about the last day.
const MOST_HOURS: usize = 26;
/// How often holes are counted: it is a question to the index for each quality.
const COUNT_AGAIN: Duration = Duration::from_secs(10);
/// The line of a node that is stopping.
pub const ENDING: &str = "stopping: finishing requests in hand";

/// The jobs that the node cannot do without: none of them may end before the node does.
#[derive(Debug, Clone, Default)]
pub(super) struct VitalJobs {
    ended: Arc<Mutex<Vec<&'static str>>>,
    ending: Arc<AtomicBool>,
}

impl VitalJobs {
    /// Held by a job while it runs; released also when the job panics.
    pub(super) fn hold(&self, name: &'static str) -> RunningJob {
        RunningJob { name, vital: self.clone() }
    }

    pub(super) fn ending(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    fn ended(&self) -> Vec<&'static str> {
        self.ended.lock().clone()
    }
}

#[derive(Debug)]
pub(super) struct RunningJob {
    name: &'static str,
    vital: VitalJobs,
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        if !self.vital.ending.load(Ordering::SeqCst) {
            tracing::error!(name: "vital_job_ended", job = self.name, "a vital job has ended; restart the node");
            self.vital.ended.lock().push(self.name);
        }
    }
}

#[derive(Clone)]
pub struct NodePulse {
    keeper: Arc<Keeper>,
    crawl: Arc<Crawl>,
    vital: VitalJobs,
    counted: Arc<Mutex<Option<HoleCount>>>,
}

/// Holes, if they could be counted, and when.
type HoleCount = (Instant, Option<usize>);

impl NodePulse {
    pub(super) fn new(keeper: Arc<Keeper>, crawl: Arc<Crawl>, vital: VitalJobs) -> Self {
        Self { keeper, crawl, vital, counted: Arc::default() }
    }

    /// Whether all vital jobs run, or are ending as they should. Waits for nothing.
    pub fn is_alive(&self) -> bool {
        self.vital.ended().is_empty()
    }

    /// How it is, on one line. May wait for the disk.
    pub fn line(&self) -> String {
        if self.vital.ending.load(Ordering::SeqCst) {
            return ENDING.to_owned();
        }
        let ended = self.vital.ended();
        if !ended.is_empty() {
            return format!("not whole: {} ended", ended.join(", "));
        }
        if let Err(away) = self.keeper.guard().base() {
            return format!("the archive is not there: {}", away.reason);
        }
        if self.crawl.is_ready() {
            return ready(self.holes_of_late());
        }
        let status = self.crawl.status();
        catching_up(status.done, status.total)
    }

    fn holes_of_late(&self) -> Option<usize> {
        let mut counted = self.counted.lock();
        if let Some((at, holes)) = *counted
            && at.elapsed() < COUNT_AGAIN
        {
            return holes;
        }
        let holes = self.holes();
        *counted = Some((Instant::now(), holes));
        holes
    }

    /// Holes of the last day in all qualities; `None` if that is unknown now.
    fn holes(&self) -> Option<usize> {
        let now = Timestamp::from(SystemTime::now());
        let window = Window { from: Some(now - DAY), to: Some(now), ..Window::default() };
        let index = self.keeper.index();
        let of_stream = |stream| {
            let found = index.coverage(stream, &window, MOST_HOURS).ok()?;
            Some(found.coverage.holes_within(CoverageKind::Raw, &window).len())
        };
        index.catalog().streams().iter().map(of_stream).sum()
    }
}

fn ready(holes: Option<usize>) -> String {
    match holes {
        None => "ready".to_owned(),
        Some(0) => "ready; no holes in the last day".to_owned(),
        Some(1) => "ready; 1 hole in the last day".to_owned(),
        Some(holes) => format!("ready; {} holes in the last day", grouped(holes as u64)),
    }
}

fn catching_up(done: u64, total: u64) -> String {
    if total == 0 {
        "catching up".to_owned()
    } else {
        format!("catching up, {} of {} hours", grouped(done), grouped(total))
    }
}

/// `12345` as `12,345`.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_for_people() {
        assert_eq!(catching_up(0, 0), "catching up");
        assert_eq!(catching_up(1200, 13_000), "catching up, 1,200 of 13,000 hours");
        assert_eq!(ready(Some(0)), "ready; no holes in the last day");
        assert_eq!(ready(Some(1)), "ready; 1 hole in the last day");
        assert_eq!(ready(Some(3)), "ready; 3 holes in the last day");
        assert_eq!(ready(None), "ready");
    }

    #[test]
    fn a_vital_job_that_ends_by_itself_or_by_a_panic_is_named() {
        let vital = VitalJobs::default();
        let held = vital.hold("watch");
        let ended = std::thread::spawn(move || {
            let _held = held;
            panic!("on purpose");
        });
        assert!(ended.join().is_err());
        assert_eq!(vital.ended(), ["watch"]);
    }

    #[test]
    fn jobs_may_end_when_the_node_ends() {
        let vital = VitalJobs::default();
        let held = vital.hold("watch");
        vital.ending();
        drop(held);
        assert!(vital.ended().is_empty());
    }
}
