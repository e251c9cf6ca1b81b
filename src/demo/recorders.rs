//! What the nodes' recorders have recorded and miss: writes the past, as recorders do, and tells what of the present does not come over the
//! lines, and what becomes of it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::plan::{CHANNELS, DemoPlan, NODES, PieceFate, PlannedPiece};
use super::segment::{Generated, generate};
use super::{DemoEvent, RecordedStretch, rounded};
use crate::archive::{Span, Timestamp};

/// Live segments that are looked at later than they should be: a minute's worth. What is older was slept through.
const CATCH_UP: i64 = 30;

#[derive(Debug)]
pub struct DemoRecorders {
    plan: DemoPlan,
    bases: Vec<PathBuf>,
    /// The first number that has not been looked at.
    next: i64,
    misses: Misses,
    began: Timestamp,
}

/// What was recorded of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPast {
    pub written: usize,
    /// How many each node lacks that others have.
    pub lacking: Vec<usize>,
    /// Pieces that nobody has as a whole.
    pub lost: usize,
}

impl DemoRecorders {
    pub fn new(plan: DemoPlan, bases: Vec<PathBuf>, now: Timestamp) -> Self {
        let misses = Misses::new(plan, bases.clone());
        Self { plan, bases, next: 0, misses, began: now }
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

    /// Tells what has happened since the last time, in which these late pieces were sent to these nodes' recorders. Blocks.
    pub fn advance(&mut self, now: Timestamp, late: &[(usize, PlannedPiece)]) -> Vec<DemoEvent> {
        let mut events = Vec::new();
        let until = self.plan.not_ended(now);
        if until - self.next > CATCH_UP {
            let asleep = DemoPlan::live_length(until - self.next);
            events.push(DemoEvent::Asleep { seconds: asleep.seconds() });
            self.next = until;
        }
        while self.next < until {
            self.note(self.next, &mut events);
            self.next += 1;
        }
        for (node, piece) in late {
            self.misses.came_late(*node, &generate(piece, false));
        }
        events.extend(self.misses.look(now, self.began, self.next));
        events
    }

    /// Notes what does not come of one number.
    fn note(&mut self, number: i64, events: &mut Vec<DemoEvent>) {
        for channel in 0..CHANNELS.len() {
            events.extend(self.outage(channel, number));
        }
        for piece in self.plan.pieces(number) {
            for node in 0..self.bases.len() {
                if self.plan.fate(&piece, node) != PieceFate::Complete {
                    self.misses.add(&piece, node);
                }
            }
            events.extend(self.events_of(&piece));
        }
    }

    fn events_of(&self, piece: &PlannedPiece) -> Vec<DemoEvent> {
        let what = RecordedStretch::of_piece(piece);
        let fates: Vec<PieceFate> = (0..self.bases.len()).map(|node| self.plan.fate(piece, node)).collect();
        if fates.contains(&PieceFate::Silent) {
            return Vec::new();
        }
        if !fates.iter().any(|fate| fate.is_whole()) {
            return vec![DemoEvent::Lost { what }];
        }
        let event = |(node, fate): (&'static str, PieceFate)| match fate {
            PieceFate::Partial => Some(DemoEvent::Partial { node, what: what.clone() }),
            PieceFate::Late(by) => Some(DemoEvent::Late { node, what: what.clone(), late_seconds: rounded(by) }),
            PieceFate::Dropped => Some(DemoEvent::Missed { node, what: what.clone() }),
            PieceFate::Complete | PieceFate::Away | PieceFate::Silent => None,
        };
        NODES.into_iter().zip(fates).filter_map(event).collect()
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

/// Longer than any segment is left to be missing where nodes can reach each other; so that the list stays short.
const PATIENCE: Span = Span::from_us(10 * 60 * 1_000_000);

/// Segments in a row that one node's recorder missed in one quality.
#[derive(Debug)]
struct Miss {
    node: usize,
    channel: usize,
    quality: usize,
    start: Timestamp,
    end: Timestamp,
    /// When the first of them should have been there.
    due: Timestamp,
    /// The number that would follow.
    next: i64,
    files: Vec<PathBuf>,
    recorded_by: Vec<usize>,
}

#[derive(Debug)]
pub struct Misses {
    plan: DemoPlan,
    bases: Vec<PathBuf>,
    live: Vec<Miss>,
    /// Of the past, by node, with how many there were.
    past: Vec<(usize, Vec<PathBuf>)>,
}

impl Misses {
    pub fn new(plan: DemoPlan, bases: Vec<PathBuf>) -> Self {
        let past = bases.iter().map(|_| (0, Vec::new())).collect();
        Self { plan, bases, live: Vec::new(), past }
    }

    /// Remembers a piece that a node lacks as a whole, if any node has it.
    pub fn add(&mut self, piece: &PlannedPiece, node: usize) {
        let holders = self.plan.holders(piece);
        if holders.is_empty() {
            return;
        }
        let file = self.bases[node].join(generate(piece, false).path());
        if piece.number < 0 {
            let (count, files) = &mut self.past[node];
            *count += 1;
            files.push(file);
            return;
        }
        let stream = (node, piece.channel, piece.quality);
        let goes_on = |miss: &&mut Miss| (miss.node, miss.channel, miss.quality) == stream && miss.next == piece.number;
        if let Some(miss) = self.live.iter_mut().find(goes_on) {
            (miss.end, miss.next) = (piece.end(), piece.number + 1);
            miss.files.push(file);
            miss.recorded_by.extend(holders);
        } else {
            self.live.push(Miss {
                node,
                channel: piece.channel,
                quality: piece.quality,
                start: piece.start,
                end: piece.end(),
                due: piece.end(),
                next: piece.number + 1,
                files: vec![file],
                recorded_by: holders,
            });
        }
    }

    /// How many segments of the past a node lacks that others have.
    pub fn of_the_past(&self, node: usize) -> usize {
        self.past[node].1.len()
    }

    /// Whether anything is waited for that ended with an earlier number.
    #[cfg(test)]
    pub(super) fn is_waiting_before(&self, number: i64) -> bool {
        self.live.iter().any(|miss| miss.next <= number)
    }

    /// A node's recorder has got this late, and as far as is known before it came from elsewhere.
    pub fn came_late(&mut self, node: usize, file: &Generated) {
        let path = self.bases[node].join(file.path());
        if let Some(miss) = self.live.iter_mut().find(|miss| miss.node == node && miss.files == [path.as_path()]) {
            miss.recorded_by = vec![node];
        }
    }

    /// Looks what has come. `recorded` is the first number that no recorder has come to.
    pub fn look(&mut self, now: Timestamp, began: Timestamp, recorded: i64) -> Vec<DemoEvent> {
        let mut events = Vec::new();
        for (node, (count, files)) in self.past.iter_mut().enumerate().filter(|(_, (_, files))| !files.is_empty()) {
            drop_those_that_came(files);
            if files.is_empty() {
                let after_seconds = rounded(now - began);
                events.push(DemoEvent::CaughtUp { node: NODES[node], segments: *count, after_seconds });
            }
        }
        self.live.retain_mut(|miss| {
            drop_those_that_came(&mut miss.files);
            let goes_on = miss.next >= recorded;
            let after = now - miss.due;
            let event = if miss.files.is_empty() && !goes_on {
                miss.filled(after)
            } else if after > PATIENCE {
                let after_seconds = rounded(after);
                DemoEvent::StillMissing { node: NODES[miss.node], what: miss.what(), after_seconds }
            } else {
                return true;
            };
            events.push(event);
            false
        });
        events
    }
}

/// From the end on, up to the first that has not come: all of them are waited for anyway, and looking costs something.
fn drop_those_that_came(files: &mut Vec<PathBuf>) {
    while files.pop_if(|file| file.exists()).is_some() {}
}

impl Miss {
    fn what(&self) -> RecordedStretch {
        RecordedStretch::of(self.channel, self.quality, self.start, self.end)
    }

    fn filled(&mut self, after: Span) -> DemoEvent {
        let others = self.recorded_by.iter().filter(|holder| **holder != self.node).count();
        if others > 0 {
            let own = self.node;
            self.recorded_by.retain(|holder| *holder != own);
        }
        self.recorded_by.sort_unstable();
        self.recorded_by.dedup();
        let recorded_by = self.recorded_by.iter().map(|holder| NODES[*holder]).collect();
        DemoEvent::Filled { node: NODES[self.node], what: self.what(), after_seconds: rounded(after), recorded_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Span;
    use std::collections::BTreeSet;

    const BEGIN: &str = "2019-11-13T02:59:00";

    struct Story {
        home: tempfile::TempDir,
        plan: DemoPlan,
        recorders: DemoRecorders,
        now: Timestamp,
    }

    impl Story {
        fn begin(seed: u64, history: Span) -> Self {
            let (home, now) = (tempfile::tempdir().unwrap(), Timestamp::parse(BEGIN).unwrap());
            let plan = DemoPlan::new(seed, now, history);
            let bases = NODES.map(|name| home.path().join(name)).to_vec();
            Self { home, plan, recorders: DemoRecorders::new(plan, bases, now), now }
        }

        /// Goes on in steps as the program does, and tells what happened. What comes late is recorded when it does.
        fn go_on(&mut self, seconds: i64) -> Vec<DemoEvent> {
            let mut events = Vec::new();
            for _ in 0..seconds * 4 {
                let before = self.now;
                self.now = before + Span::from_us(250_000);
                let late = self.late(before);
                for (node, piece) in &late {
                    write(&self.home.path().join(NODES[*node]), &generate(piece, false)).unwrap();
                }
                events.extend(self.recorders.advance(self.now, &late));
            }
            events
        }

        /// What has come late since.
        fn late(&self, since: Timestamp) -> Vec<(usize, PlannedPiece)> {
            let newest = self.plan.not_ended(self.now);
            let pieces =
                (newest - 20..newest).filter(|number| *number >= 0).flat_map(|number| self.plan.pieces(number));
            let all = pieces.flat_map(|piece| (0..NODES.len()).map(move |node| (node, piece)));
            let is_due = |(node, piece): &(usize, PlannedPiece)| match self.plan.fate(piece, *node) {
                PieceFate::Late(by) => since < piece.end() + by && piece.end() + by <= self.now,
                _ => false,
            };
            all.filter(is_due).collect()
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
    fn of_the_past_lies_there_what_the_plan_says() {
        let mut story = Story::begin(5, Span::from_us(900_000_000));
        story.recorders.record_past(|| false).unwrap();
        for piece in story.plan.past() {
            for (node, name) in NODES.into_iter().enumerate() {
                let (full, partial) = (generate(&piece, false), generate(&piece, true));
                let found = (story.has(node, &full), story.has(node, &partial));
                let expected = match story.plan.fate(&piece, node) {
                    PieceFate::Complete | PieceFate::Late(_) => (true, false),
                    PieceFate::Partial => (false, true),
                    PieceFate::Dropped | PieceFate::Away | PieceFate::Silent => (false, false),
                };
                assert_eq!(found, expected, "{piece:?} at {name}");
            }
        }
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
        let lines: Vec<String> = filled.map(|event| serde_json::to_string(event).unwrap()).collect();
        assert!(lines.len() > 5, "{after:?}");
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
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
    fn what_was_slept_through_is_not_told_afterwards() {
        let mut story = Story::begin(5, Span(0));
        story.go_on(10);
        story.now = story.now + Span::from_us(3_600_000_000);
        let events = story.go_on(1);
        assert!(
            events.iter().any(|event| matches!(event, DemoEvent::Asleep { seconds } if *seconds > 3590.0)),
            "{events:?}"
        );
        assert!(events.len() < 20, "{events:?}");
    }

    #[test]
    fn a_past_that_is_told_to_end_ends() {
        let mut story = Story::begin(5, Span::from_us(3_600_000_000));
        let past = story.recorders.record_past(|| true).unwrap();
        assert_eq!((past.written, past.lost), (0, 0));
    }
}
