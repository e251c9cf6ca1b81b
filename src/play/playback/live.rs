//! A list that grows: what was told of a stretch, to be told again and only ever appended to.

use std::sync::Arc;

use super::piece::PieceText;
use crate::archive::{Chain, Hour, Link, SequencePiece, SequenceStep, Span, Stream, Timestamp};
use crate::play::playlist::hls::{self, DISCONTINUITY, HourLines, PlaylistHead};
use crate::play::playlist::live_edge::{AskedAt, Growth, PublishedEdge};

/// Entries of holes in one list: a day of holes told every two seconds has 43,200.
pub(super) const MOST_GAPS: u64 = 100_000;

/// A piece is closed when it has so many bytes: what is open is copied and deflated anew each time the list grows.
const CLOSED_AT: usize = 32 * 1024;

/// The list.
#[derive(Debug)]
pub(super) struct Live {
    stream: Stream,
    start: Timestamp,
    told: PublishedEdge,
    target: u32,
    gaps: bool,
    /// A hole is no discontinuity by itself.
    apart: bool,
    gap_entries: u64,
    closed: Vec<Arc<PieceText>>,
    open: String,
    lines: Option<(Hour, HourLines)>,
    /// What was told last.
    last: Option<Link>,
    is_over: bool,
}

impl Live {
    /// Nothing told yet, of a stretch that begins at `start`.
    pub(super) fn new(stream: &Stream, start: Timestamp, head: &PlaylistHead, apart: bool) -> Self {
        Self {
            stream: stream.clone(),
            start,
            told: PublishedEdge::new(start, Span::from_us(i64::from(head.target) * 1_000_000)),
            target: head.target,
            gaps: head.gaps,
            apart,
            gap_entries: 0,
            closed: Vec::new(),
            open: hls::head(head),
            lines: None,
            last: None,
            is_over: false,
        }
    }

    /// The first hour in which something may be that can still be told.
    pub(super) fn first_hour(&self) -> Hour {
        self.told.last().map_or_else(|| self.start.hour().previous(), |last| last.start.hour())
    }

    /// What begins before is told, or never will be.
    pub(super) fn told_until(&self) -> Timestamp {
        self.told.last().map_or(self.start, |last| last.start)
    }

    /// Tells what may be told of the best segments before `end`. Says how long it takes until more may be, if anything waits.
    pub(super) fn grow<'a>(
        &mut self,
        best: impl Iterator<Item = (Link, (SequencePiece, Option<&'a str>))>,
        end: Option<Timestamp>,
        now: AskedAt,
    ) -> Option<std::time::Duration> {
        if self.is_over {
            return None;
        }
        let mut before = self.told.last();
        let Growth { told, wait } = self.told.grow(best, now);
        let mut until = before.map_or(self.start, |last| last.end);
        for (step, link, (piece, node)) in told {
            let mut is_told = step != SequenceStep::Joined;
            if step == SequenceStep::Broken {
                let entries = hls::gap_entries(piece.start() - until, self.target);
                // More are told as discontinuities alone: a list that has begun cannot be refused.
                if self.gaps && self.gap_entries + entries <= MOST_GAPS {
                    self.gap_entries += entries;
                    hls::push_gap(&mut self.open, until, piece.start(), self.target);
                    is_told = !self.apart || before.is_some_and(|last| !last.goes_on_behind_a_hole(&link));
                }
            }
            if is_told {
                self.open.push_str(DISCONTINUITY);
            }
            self.push(&piece, &link, node);
            (before, until) = (Some(link), piece.end());
        }
        match end {
            Some(end) if self.told.is_over(end, now) => {
                self.open.push_str(hls::END);
                self.is_over = true;
                None
            }
            _ => wait,
        }
    }

    /// What comes next depends on this.
    pub(super) fn chain(&self) -> Chain {
        self.told.chain()
    }

    /// The segment that was told last.
    pub(super) fn last(&self) -> Option<Link> {
        self.told.last()
    }

    /// Its target duration in seconds.
    pub(super) fn target(&self) -> u32 {
        self.target
    }

    /// When it is over, if what was told reaches `end`.
    pub(super) fn reaches(&self, end: Timestamp) -> bool {
        self.told.last().is_some_and(|last| last.end >= end)
    }

    fn push(&mut self, piece: &SequencePiece, link: &Link, node: Option<&str>) {
        let is_same = self.lines.as_ref().is_some_and(|(hour, _)| *hour == piece.hour);
        if !is_same {
            self.lines = Some((piece.hour, HourLines::new(&self.stream, piece.hour)));
        }
        if let Some((_, lines)) = &self.lines {
            lines.push(&mut self.open, self.last.as_ref(), link, &piece.file, node);
        }
        self.last = Some(*link);
        if self.open.len() >= CLOSED_AT {
            self.closed.push(Arc::new(PieceText::new(std::mem::take(&mut self.open))));
        }
    }

    /// The list as it is now.
    pub(super) fn pieces(&self) -> Vec<Arc<PieceText>> {
        let mut pieces = self.closed.clone();
        pieces.push(Arc::new(PieceText::new(self.open.clone())));
        pieces
    }
}
