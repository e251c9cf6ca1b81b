//! The recorders: write what the plan says at the time that it says, under a temporary name first, and tell what they miss.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::event::{DemoEvent, RecordedStretch, rounded};
use super::misses::Misses;
use super::plan::{CHANNELS, DemoPlan, NODES, PieceFate, PlannedPiece};
use super::segment::{Generated, generate};
use crate::archive::Timestamp;

/// Live segments that are written later than they should be: a minute's worth. What is older was slept through.
const CATCH_UP: i64 = 30;

/// The recorders of all nodes.
#[derive(Debug)]
pub struct Recorders {
    plan: DemoPlan,
    bases: Vec<PathBuf>,
    /// The first number that has not been recorded.
    next: i64,
    late: Vec<Late>,
    misses: Misses,
    began: Timestamp,
}

/// A segment that its recorder will write later.
#[derive(Debug)]
struct Late {
    due: Timestamp,
    node: usize,
    file: Generated,
}

/// What was recorded of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPast {
    /// Segments that were written, on all nodes together.
    pub written: usize,
    /// How many each node lacks that others have.
    pub lacking: Vec<usize>,
    /// Pieces that nobody has as a whole.
    pub lost: usize,
}

impl Recorders {
    /// The recorders of nodes with these base directories, which begin now.
    pub fn new(plan: DemoPlan, bases: Vec<PathBuf>, now: Timestamp) -> Self {
        let misses = Misses::new(plan, bases.clone());
        Self { plan, bases, next: 0, late: Vec::new(), misses, began: now }
    }

    /// Writes the past, before the nodes are started. Ends early once it is told to.
    pub fn record_past(&mut self, is_told_to_end: impl Fn() -> bool) -> io::Result<RecordedPast> {
        let (mut written, mut lost) = (0, 0);
        for piece in self.plan.past().take_while(|_| !is_told_to_end()) {
            lost += usize::from(self.plan.holders(&piece).is_empty());
            let full = generate(&piece, false);
            for (node, base) in self.bases.iter().enumerate() {
                let fate = self.plan.fate(&piece, node);
                match fate {
                    PieceFate::Complete | PieceFate::Late(_) => write(base, &full)?,
                    PieceFate::Partial => write(base, &generate(&piece, true))?,
                    PieceFate::Dropped | PieceFate::Away | PieceFate::Silent => {}
                }
                written += usize::from(fate.is_whole() || fate == PieceFate::Partial);
                if !fate.is_whole() {
                    self.misses.add(&piece, node);
                }
            }
        }
        if let Some(hidden) = self.plan.hidden().filter(|_| !is_told_to_end()) {
            let file = generate(&hidden, false);
            let name = Path::new(&file.name).with_extension("tombstone");
            fs::write(self.bases[0].join(file.hour).join(name), [])?;
        }
        let lacking = (0..self.bases.len()).map(|node| self.misses.of_the_past(node)).collect();
        Ok(RecordedPast { written, lacking, lost })
    }

    /// The nodes are about to be started.
    pub fn begin(&mut self, now: Timestamp) {
        self.began = now;
    }

    /// Writes what is due, and tells what has happened since the last time.
    pub fn advance(&mut self, now: Timestamp) -> io::Result<Vec<DemoEvent>> {
        let mut events = Vec::new();
        let until = self.plan.not_ended(now);
        if until - self.next > CATCH_UP {
            let asleep = DemoPlan::live_length(until - self.next);
            events.push(DemoEvent::Asleep { seconds: asleep.seconds() });
            self.next = until;
        }
        while self.next < until {
            self.record(self.next, &mut events)?;
            self.next += 1;
        }
        events.extend(self.misses.look(now, self.began, self.next));
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|late| late.due <= now);
        self.late = later;
        let due: Vec<Late> = due;
        for Late { node, file, .. } in due {
            if !self.bases[node].join(file.path()).exists() {
                self.misses.wrote_late(node, &file);
            }
            write(&self.bases[node], &file)?;
        }
        Ok(events)
    }

    /// Writes what is recorded of one number, and notes the rest.
    fn record(&mut self, number: i64, events: &mut Vec<DemoEvent>) -> io::Result<()> {
        for channel in 0..CHANNELS.len() {
            events.extend(self.outage(channel, number));
        }
        for piece in self.plan.pieces(number) {
            let full = generate(&piece, false);
            for (node, base) in self.bases.iter().enumerate() {
                let fate = self.plan.fate(&piece, node);
                match fate {
                    PieceFate::Complete => write(base, &full)?,
                    PieceFate::Partial => write(base, &generate(&piece, true))?,
                    PieceFate::Late(by) => self.late.push(Late { due: piece.end() + by, node, file: full.clone() }),
                    PieceFate::Dropped | PieceFate::Away | PieceFate::Silent => {}
                }
                if fate != PieceFate::Complete {
                    self.misses.add(&piece, node);
                }
            }
            events.extend(self.told_of(&piece));
        }
        Ok(())
    }

    /// What is told of a piece; of outages only that they begin.
    fn told_of(&self, piece: &PlannedPiece) -> Vec<DemoEvent> {
        let what = RecordedStretch::of_piece(piece);
        let fates: Vec<PieceFate> = (0..self.bases.len()).map(|node| self.plan.fate(piece, node)).collect();
        if fates.contains(&PieceFate::Silent) {
            return Vec::new();
        }
        if !fates.iter().any(|fate| fate.is_whole()) {
            return vec![DemoEvent::Lost { what }];
        }
        let told = |(node, fate): (&'static str, PieceFate)| match fate {
            PieceFate::Partial => Some(DemoEvent::Partial { node, what: what.clone() }),
            PieceFate::Late(by) => Some(DemoEvent::Late { node, what: what.clone(), late_seconds: rounded(by) }),
            PieceFate::Dropped => Some(DemoEvent::Missed { node, what: what.clone() }),
            PieceFate::Complete | PieceFate::Away | PieceFate::Silent => None,
        };
        NODES.into_iter().zip(fates).filter_map(told).collect()
    }

    fn outage(&self, channel: usize, number: i64) -> Option<DemoEvent> {
        let outage = self.plan.outage_from(channel, number)?;
        let first = self.plan.pieces(number).next()?;
        let what = RecordedStretch::of_all(channel, first.start, first.start + DemoPlan::live_length(outage.pieces));
        Some(match outage.node {
            Some(node) => DemoEvent::Away { node: NODES[node], what },
            None => DemoEvent::Lost { what },
        })
    }
}

/// Writes a file as recorders do: under the name of one that is still being written, which nobody lists, and then under its own.
fn write(base: &Path, file: &Generated) -> io::Result<()> {
    let hour = base.join(&file.hour);
    let temporary = hour.join(temporary(&file.name));
    let in_place = |error: io::Error| {
        io::Error::new(error.kind(), format!("a recorder cannot write {}: {error}", hour.join(&file.name).display()))
    };
    match fs::write(&temporary, &file.content) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&hour).and_then(|()| fs::write(&temporary, &file.content)).map_err(in_place)?;
        }
        other => other.map_err(in_place)?,
    }
    fs::rename(&temporary, hour.join(&file.name)).map_err(in_place)
}

/// The name with `temp` for its type.
fn temporary(name: &str) -> String {
    let mut parts: Vec<&str> = name.splitn(4, '-').collect();
    if let Some(kind) = parts.get_mut(2) {
        *kind = "temp";
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::archive::Span;

    const BEGIN: &str = "2019-11-13T02:59:00";

    struct Story {
        home: tempfile::TempDir,
        plan: DemoPlan,
        recorders: Recorders,
        now: Timestamp,
    }

    impl Story {
        fn begin(seed: u64, history: Span) -> Self {
            let (home, now) = (tempfile::tempdir().unwrap(), Timestamp::parse(BEGIN).unwrap());
            let plan = DemoPlan::new(seed, now, history);
            let bases = NODES.map(|name| home.path().join(name)).to_vec();
            Self { home, plan, recorders: Recorders::new(plan, bases, now), now }
        }

        /// Goes on in steps as the program does, and tells what happened.
        fn go_on(&mut self, seconds: i64) -> Vec<DemoEvent> {
            let mut events = Vec::new();
            for _ in 0..seconds * 4 {
                self.now = self.now + Span::from_us(250_000);
                events.extend(self.recorders.advance(self.now).unwrap());
            }
            events
        }

        fn has(&self, node: usize, file: &Generated) -> bool {
            self.home.path().join(NODES[node]).join(file.path()).exists()
        }

        /// Gives every node what another has, as backfill does.
        fn backfill(&self, pieces: impl Iterator<Item = PlannedPiece>) {
            for piece in pieces.filter(|piece| !self.plan.holders(piece).is_empty()) {
                for node in NODES {
                    write(&self.home.path().join(node), &generate(&piece, false)).unwrap();
                }
            }
        }
    }

    fn all_names(dir: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            names.push(entry.file_name().into_string().unwrap());
            if entry.path().is_dir() {
                names.extend(all_names(&entry.path()));
            }
        }
        names
    }

    #[test]
    fn what_lies_there_is_what_the_plan_says() {
        let mut story = Story::begin(5, Span(0));
        story.go_on(300);
        let mut late = 0;
        for piece in (0..150).flat_map(|number| story.plan.pieces(number)) {
            for (node, name) in NODES.into_iter().enumerate() {
                let (full, partial) = (generate(&piece, false), generate(&piece, true));
                let found = (story.has(node, &full), story.has(node, &partial));
                let expected = match story.plan.fate(&piece, node) {
                    PieceFate::Complete => (true, false),
                    PieceFate::Partial => (false, true),
                    PieceFate::Late(by) => {
                        late += 1;
                        (piece.end() + by <= story.now, false)
                    }
                    PieceFate::Dropped | PieceFate::Away | PieceFate::Silent => (false, false),
                };
                assert_eq!(found, expected, "{piece:?} at {name}");
            }
        }
        assert!(late > 3, "{late}");
        let temporary = all_names(story.home.path()).into_iter().find(|name| name.contains("-temp-"));
        assert_eq!(temporary, None, "nothing is left under a temporary name");
    }

    #[test]
    fn what_was_missed_and_comes_is_told_once_and_what_nobody_has_is_not_waited_for() {
        let mut story = Story::begin(5, Span(0));
        let before = story.go_on(240);
        let is_own = |event: &DemoEvent| match event {
            DemoEvent::Filled { node, recorded_by, .. } => recorded_by[..] == [*node],
            _ => true,
        };
        assert!(before.iter().all(is_own), "nobody but its own recorder, late: {before:?}");
        assert!(before.iter().any(|event| matches!(event, DemoEvent::Filled { .. })));
        assert!(before.iter().any(|event| matches!(event, DemoEvent::Away { .. })));
        story.backfill((0..120).flat_map(|number| story.plan.pieces(number)));
        let after = story.go_on(3);
        let filled = after.iter().filter(|event| matches!(event, DemoEvent::Filled { .. }));
        let told: Vec<String> = filled.map(|event| serde_json::to_string(event).unwrap()).collect();
        assert!(told.len() > 5, "{after:?}");
        assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len());
        assert!(!story.recorders.misses.is_waiting_before(120), "{:?}", story.recorders.misses);
    }

    #[test]
    fn the_past_is_told_to_be_complete_when_it_is() {
        let mut story = Story::begin(5, Span::from_us(3_600_000_000));
        let past = story.recorders.record_past(|| false).unwrap();
        assert!(past.lacking.iter().all(|lacking| *lacking > 0), "{past:?}");
        assert_eq!(all_names(story.home.path()).iter().filter(|name| name.ends_with(".tombstone")).count(), 1);
        let is_told =
            |events: &[DemoEvent]| events.iter().filter(|event| matches!(event, DemoEvent::CaughtUp { .. })).count();
        assert_eq!(is_told(&story.go_on(1)), 0);
        story.backfill(story.plan.past());
        assert_eq!(is_told(&story.go_on(1)), NODES.len());
        assert_eq!(is_told(&story.go_on(1)), 0);
    }

    #[test]
    fn what_was_slept_through_is_not_recorded_afterwards() {
        let mut story = Story::begin(5, Span(0));
        story.go_on(10);
        story.now = story.now + Span::from_us(3_600_000_000);
        let events = story.go_on(1);
        assert!(
            events.iter().any(|event| matches!(event, DemoEvent::Asleep { seconds } if *seconds > 3590.0)),
            "{events:?}"
        );
        let names = all_names(story.home.path());
        assert!(names.iter().filter(|name| name.contains("-full-")).count() < 100, "{}", names.len());
    }

    #[test]
    fn a_past_that_is_told_to_end_ends() {
        let mut story = Story::begin(5, Span::from_us(3_600_000_000));
        let past = story.recorders.record_past(|| true).unwrap();
        assert_eq!((past.written, past.lost), (0, 0));
    }
}
