//! What recorders missed and other nodes have: looked for until it lies there. The only thing that it does is to look.

use std::path::PathBuf;

use super::event::{DemoEvent, RecordedStretch, rounded};
use super::plan::{DemoPlan, NODES, PlannedPiece};
use super::segment::{Generated, generate};
use crate::archive::{Span, Timestamp};

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

/// What was missed and is not yet there.
#[derive(Debug)]
pub struct Misses {
    plan: DemoPlan,
    bases: Vec<PathBuf>,
    live: Vec<Miss>,
    /// Of the past, by node, with how many there were.
    past: Vec<(usize, Vec<PathBuf>)>,
}

impl Misses {
    /// Nothing yet, at nodes with these base directories.
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

    /// A node's recorder is about to write this late, before it came from elsewhere.
    pub fn wrote_late(&mut self, node: usize, file: &Generated) {
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
            let told = if miss.files.is_empty() && !goes_on {
                miss.filled(after)
            } else if after > PATIENCE {
                let after_seconds = rounded(after);
                DemoEvent::StillMissing { node: NODES[miss.node], what: miss.what(), after_seconds }
            } else {
                return true;
            };
            events.push(told);
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
