//! The line of time of an archive: kept on its disk once a minute, held against the clock whenever somebody asks.
//!
//! While the clock is not believed the line goes on by elapsed time; only agreeing witnesses or a person lay it anew.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Clocks;
use crate::archive::clock::{ClockVerdict, TimeMark, Witnesses, judge};
use crate::archive::{Span, Timestamp};
use crate::disk::{Base, DiskError, Record, RecordReading, Records};

pub const TIME: Record = Record { name: "time", version: 1, most: 4 << 10, is_frequent: true };
/// How often it is written.
const WRITE_EVERY: Span = Span::from_us(60 * crate::archive::time::SECOND_US);

pub struct ClockTimeline {
    clocks: Arc<dyn Clocks>,
    state: Mutex<TimelineState>,
}

#[derive(Debug, Default)]
struct TimelineState {
    /// Nothing while it could not be read.
    line: Option<TimeMark>,
    /// When it was last written.
    written: Option<Span>,
    belief: Belief,
    logged: Belief,
}

/// Whether the clock is believed. What follows for deletion differs, so each change of it is logged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Belief {
    #[default]
    Right,
    Unknown,
    Wrong,
}

impl From<&ClockVerdict> for Belief {
    fn from(verdict: &ClockVerdict) -> Self {
        match verdict {
            ClockVerdict::Agree | ClockVerdict::Settle => Self::Right,
            ClockVerdict::Unknown(_) => Self::Unknown,
            ClockVerdict::Contradict(_) => Self::Wrong,
        }
    }
}

impl ClockTimeline {
    pub fn new(clocks: Arc<dyn Clocks>) -> Self {
        Self { clocks, state: Mutex::default() }
    }

    /// Reads it. Where there is none it begins with what the clock says, but not before `newest`, when one of our own files was
    /// written last.
    pub fn load(&self, base: &Base, records: &Records, newest: Option<Timestamp>) -> Result<(), DiskError> {
        let (boot, boottime, wall) = (self.boot(), self.clocks.boottime(), self.clocks.wall());
        let line = match records.read(base, &TIME)? {
            RecordReading::Unusable(_) => None,
            RecordReading::Absent => {
                let start = newest.filter(|newest| *newest > wall);
                Some(TimeMark::begin(boot, boottime, start.unwrap_or(wall), start.is_none()))
            }
            RecordReading::Intact(content) | RecordReading::Mended(content, _) => {
                let line = TimeMark::parse(&String::from_utf8_lossy(&content.bytes));
                if line.is_none() {
                    records.note(TIME.name, Some("it does not say what a line of time says"));
                }
                line.map(|line| line.resume(&boot, boottime))
            }
        };
        let mut state = self.state.lock();
        (state.line, state.written) = (line, None);
        drop(state);
        self.verdict();
        Ok(())
    }

    /// What it says of the clock now, for who only looks. Changes nothing.
    pub fn peek(clocks: Arc<dyn Clocks>, base: &Base) -> Result<ClockVerdict, DiskError> {
        let timeline = Self::new(clocks);
        let content = Records::peek(base, &TIME)?.content();
        let line = content.and_then(|content| TimeMark::parse(&String::from_utf8_lossy(&content.bytes)));
        let resumed = line.map(|line| line.resume(&timeline.boot(), timeline.clocks.boottime()));
        timeline.state.lock().line = resumed;
        Ok(timeline.verdict())
    }

    #[cfg(test)]
    pub fn is_known(&self) -> bool {
        self.state.lock().line.is_some()
    }

    /// Judges the clock, and writes the line if that is due. What goes wrong with that is logged and tried again.
    pub fn tick(&self, base: &Base, records: &Records) {
        let verdict = self.verdict();
        self.log(&verdict);
        let boottime = self.clocks.boottime();
        let is_due = |written: Option<Span>| written.is_none_or(|written| boottime - written >= WRITE_EVERY);
        if is_due(self.state.lock().written) {
            self.write(base, records);
        }
    }

    pub fn write(&self, base: &Base, records: &Records) {
        let boottime = self.clocks.boottime();
        let mut state = self.state.lock();
        let Some(line) = state.line.as_mut() else { return };
        line.advance(boottime);
        let text = line.text();
        state.written = Some(boottime);
        drop(state);
        if let Err(error) = records.write(base, &TIME, text.as_bytes()) {
            tracing::debug!(name: "time_not_written", %error, "the line of time could not be written");
        }
    }

    pub fn verdict(&self) -> ClockVerdict {
        let witnesses = Witnesses {
            wall: self.clocks.wall(),
            boottime: self.clocks.boottime(),
            kernel: self.clocks.kernel(),
            is_synchronised: self.clocks.is_synchronised(),
            peers: self.clocks.peers(),
        };
        let mut state = self.state.lock();
        let Some(line) = state.line.as_mut() else {
            state.belief = Belief::Unknown;
            return ClockVerdict::Unknown("nothing is known of the time before now".to_owned());
        };
        let verdict = judge(line, &witnesses);
        line.take(&verdict, &witnesses);
        if verdict == ClockVerdict::Settle {
            state.written = None;
        }
        state.belief = Belief::from(&verdict);
        if verdict == ClockVerdict::Settle { ClockVerdict::Agree } else { verdict }
    }

    /// The time: what the clock says, or, where it was not believed when it was last judged, what it would be by elapsed time. What is
    /// dated by a clock that is years ahead would lie in the future once that is set right.
    pub fn now(&self) -> Timestamp {
        let (wall, boottime) = (self.clocks.wall(), self.clocks.boottime());
        let state = self.state.lock();
        state.line.as_ref().filter(|_| state.belief != Belief::Right).map_or(wall, |line| line.now(boottime))
    }

    /// How long this archive's node has lived; nothing while that is not known.
    pub fn lived(&self) -> Option<Span> {
        let boottime = self.clocks.boottime();
        self.state.lock().line.as_ref().map(|line| line.lived(boottime))
    }

    pub fn confirm(&self, base: &Base, records: &Records) {
        let (wall, boottime) = (self.clocks.wall(), self.clocks.boottime());
        if let Some(line) = self.state.lock().line.as_mut() {
            line.settle(boottime, wall);
        }
        self.verdict();
        self.write(base, records);
    }

    fn log(&self, verdict: &ClockVerdict) {
        let belief = Belief::from(verdict);
        if std::mem::replace(&mut self.state.lock().logged, belief) == belief {
            return;
        }
        match verdict {
            ClockVerdict::Contradict(why) => {
                tracing::error!(name: "clock_contradicted", %why, "the clock of this machine is contradicted; nothing is deleted until it agrees again, or `gapless retention run --yes`");
            }
            ClockVerdict::Unknown(why) => {
                tracing::warn!(name: "clock_unknown", %why, "the clock of this machine cannot be verified; no hour is deleted for its age until another machine agrees, or `gapless retention run --yes`");
            }
            ClockVerdict::Agree | ClockVerdict::Settle => {
                tracing::info!(name: "clock_agrees", "the clock of this machine can be believed again");
            }
        }
    }

    fn boot(&self) -> String {
        // Without it each start counts as another boot.
        self.clocks.boot_id().unwrap_or_else(|| format!("unknown-{:08x}", rand::random::<u32>()))
    }
}

impl std::fmt::Debug for ClockTimeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timeline").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::super::test_clocks::TestClocks;
    use super::*;
    use crate::disk::ArchiveId;
    use crate::disk::marker::{self, OWN_DIR};

    const DAY: Span = Span::from_us(24 * crate::archive::time::HOUR_US);

    struct ClockNode {
        _tree: tempfile::TempDir,
        base: Base,
        clocks: Arc<TestClocks>,
    }

    impl ClockNode {
        fn new() -> Self {
            let tree = tempfile::tempdir().unwrap();
            let base = Base::open(tree.path()).unwrap();
            marker::create(&base, ArchiveId::random()).unwrap();
            Self { _tree: tree, base, clocks: Arc::new(TestClocks::at("2026-11-20T12:00:00")) }
        }

        fn start(&self) -> (ClockTimeline, Records) {
            let (timeline, records) =
                (ClockTimeline::new(Arc::clone(&self.clocks) as Arc<dyn Clocks>), Records::default());
            timeline.load(&self.base, &records, None).unwrap();
            timeline.tick(&self.base, &records);
            (timeline, records)
        }
    }

    #[test]
    fn a_wrong_clock_is_contradicted_by_the_run_before_and_right_again_when_it_is() {
        let node = ClockNode::new();
        drop(node.start());
        let right = node.clocks.wall();
        node.clocks.set(|said| said.wall = said.wall + Span::from_us(40 * DAY.us()));
        let (timeline, records) = node.start();
        assert!(matches!(timeline.verdict(), ClockVerdict::Contradict(_)));
        assert_eq!(timeline.now(), right);
        node.clocks.pass(DAY);
        timeline.tick(&node.base, &records);
        let (again, _records) = node.start();
        assert!(matches!(again.verdict(), ClockVerdict::Contradict(_)), "the wrong clock does not move the line");
        node.clocks.set(|said| said.wall = said.wall - Span::from_us(40 * DAY.us()));
        assert_eq!(again.verdict(), ClockVerdict::Agree);
        assert_eq!(again.lived(), Some(DAY));
    }

    #[test]
    fn a_person_moves_the_line() {
        let node = ClockNode::new();
        let (timeline, records) = node.start();
        node.clocks.set(|said| said.wall = said.wall + DAY);
        assert!(matches!(timeline.verdict(), ClockVerdict::Contradict(_)));
        timeline.confirm(&node.base, &records);
        assert_eq!(timeline.verdict(), ClockVerdict::Agree);
        assert_eq!(node.start().0.verdict(), ClockVerdict::Agree);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_none() {
        let node = ClockNode::new();
        drop(node.start());
        for name in ["time", "time.2"] {
            std::fs::write(node.base.path().join(OWN_DIR).join(name), "gapless-time 1 1 1 1\n").unwrap();
        }
        let (timeline, records) = node.start();
        assert!(!timeline.is_known() && timeline.lived().is_none());
        assert!(matches!(timeline.verdict(), ClockVerdict::Unknown(_)));
        assert_eq!(records.unusable().len(), 1);
    }

    #[derive(Clone, Default)]
    struct LoggedNames(Arc<Mutex<Vec<&'static str>>>);

    impl<S: tracing::Subscriber> Layer<S> for LoggedNames {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(event.metadata().name());
        }
    }

    #[test]
    fn each_change_of_what_is_believed_is_logged_by_its_own_name() {
        let (node, names) = (ClockNode::new(), LoggedNames::default());
        drop(node.start());
        let years = Span::from_us(3_650 * DAY.us());
        node.clocks.set(|said| (said.wall, said.boot) = (said.wall + years, "second".to_owned()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(names.clone()), || {
            let (timeline, records) = node.start();
            timeline.tick(&node.base, &records);
            node.clocks.set(|said| said.wall = said.wall - Span::from_us(2 * years.us()));
            timeline.tick(&node.base, &records);
            node.clocks.set(|said| said.wall = said.wall + years);
            timeline.tick(&node.base, &records);
        });
        let logged = names.0.lock().clone();
        assert_eq!(logged, ["clock_unknown", "clock_contradicted", "clock_agrees"]);
    }

    #[test]
    fn a_clock_that_nobody_vouches_for_dates_nothing() {
        let node = ClockNode::new();
        drop(node.start());
        let right = node.clocks.wall();
        node.clocks
            .set(|said| (said.wall, said.boot) = (said.wall + Span::from_us(30 * DAY.us()), "second".to_owned()));
        let (timeline, records) = node.start();
        assert!(matches!(timeline.verdict(), ClockVerdict::Unknown(_)));
        assert_eq!(timeline.now(), right);
        timeline.confirm(&node.base, &records);
        assert_eq!(timeline.now(), node.clocks.wall());
    }

    #[test]
    fn a_line_does_not_begin_before_our_own_files_were_written() {
        let node = ClockNode::new();
        let (timeline, records) = (ClockTimeline::new(Arc::clone(&node.clocks) as Arc<dyn Clocks>), Records::default());
        timeline.load(&node.base, &records, Some(node.clocks.wall() + DAY)).unwrap();
        assert!(matches!(timeline.verdict(), ClockVerdict::Contradict(_)));
    }
}
