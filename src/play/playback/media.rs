//! Makes media playlists.
//!
//! 1. What was made for the same question is given again as long as it is right.
//! 2. A stretch that is over and reaches its end is told as it is now, with its end.
//! 3. Anything else is a list that grows: begun once, remembered, and appended to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ahead::{is_within, write_anew};
use super::ask::{Ask, check_implicit};
use super::federated::{HOLDS, Other, RemoteSegment};
use super::learn::{First, READING, READING_MP4};
use super::live::{Live, MOST_GAPS};
use super::piece::{PieceText, Playlist};
use super::window_state::WindowState;
use super::{BestHour, Playback, PlaybackError};
use crate::archive::{
    Chain, Container, Edges, Hash, Link, SegmentFile, SegmentKind, SequenceStep, Span, Stream, Timestamp,
};
use crate::play::playlist::hls::{self, DISCONTINUITY, HourLines, ListType, PlaylistHead, TARGET_OF_NOTHING};
use crate::play::playlist::live_edge::{AHEAD, HOLD_BACK};

/// Hours at the end of a stream that say how long its segments are.
const KNOWN_HOURS: usize = 6;

/// How long a list is right for which manifests say what is in segments: these may come here, and are read then.
const NOTED_HOLDS: Duration = Duration::from_secs(60);

/// A list that grows, which is grown by one at a time.
type Growing = Arc<Mutex<Live>>;

impl Playback {
    /// The media playlist that was made for this, if it is known to be right. Does not block.
    pub fn kept(&self, ask: &Ask) -> Option<Arc<Playlist>> {
        self.lists.lock().right(&self.keeper, ask, self.clock.now())
    }

    /// The media playlist of a stretch.
    pub fn playlist(&self, ask: &Ask) -> Result<Arc<Playlist>, PlaybackError> {
        self.playlist_with(ask, &[])
    }

    /// The same with what others have of it.
    pub fn playlist_with(&self, ask: &Ask, others: &[Other]) -> Result<Arc<Playlist>, PlaybackError> {
        if let Some(kept) = self.kept(ask) {
            return Ok(kept);
        }
        self.exists(&ask.stream)?;
        let extent = if ask.start.is_some() && ask.end.is_some() { None } else { self.extent(&ask.stream)? };
        check_implicit(
            ask.start,
            ask.end,
            extent.map(|(first, last)| (first, last.min(self.now().wall + AHEAD).max(first))),
        )?;
        let live = self.lists.lock().live(ask);
        let (made, live) = match live {
            Some(live) => (self.grown(ask, &live, others)?, Some(live)),
            None => self.begun(ask, extent.map(|(first, _)| first), others)?,
        };
        self.lists.lock().keep(ask, &made, live.as_ref(), self.clock.now());
        Ok(made)
    }

    /// A list that was not made before: with its end, or to be grown from now on.
    fn begun(
        &self,
        ask: &Ask,
        first: Option<Timestamp>,
        others: &[Other],
    ) -> Result<(Arc<Playlist>, Option<Growing>), PlaybackError> {
        let now = self.now().wall;
        let over = ask.end.filter(|end| now >= *end + span(HOLD_BACK));
        // Without a single segment there is nothing to begin with.
        let start = ask.start.or(first).unwrap_or(now);
        if let Some(end) = over
            && let Some(whole) = self.whole(ask, start, end, others)?
        {
            return Ok((whole, None));
        }
        let head = PlaylistHead {
            list_type: ListType::Event,
            target: self.known_target(&ask.stream, start, ask.end)?,
            independent: false,
            gaps: ask.gaps || ask.apart,
            mp4: are_in_mp4(others) || self.has_mp4(&ask.stream, start, ask.end)?,
            begin_at: over.map(|_| Span::default()),
        };
        // Somebody else may have begun it in the meantime: then it is one and the same.
        let live = self.lists.lock().begin(ask, Live::new(&ask.stream, start, &head, ask.apart), self.clock.now());
        Ok((self.grown(ask, &live, others)?, Some(live)))
    }

    /// A stretch that is over; `None` if it does not reach its end.
    fn whole(
        &self,
        ask: &Ask,
        start: Timestamp,
        end: Timestamp,
        others: &[Other],
    ) -> Result<Option<Arc<Playlist>>, PlaybackError> {
        let (from, to) = (start.hour().previous(), (end - Span::from_us(1)).hour());
        // First what there is, then its contents: a change in between is seen next time.
        let seen = WindowState::now(&self.keeper, &ask.stream, from, Some(to));
        let is_plain = !ask.gaps && !ask.apart && others.is_empty();
        let hours = self.window_with(&ask.stream, start, end, |hour| {
            let is_known = self.learner.recall(&ask.stream, hour, (start, end));
            if is_known && is_plain && is_within(hour, start, end) {
                hour.write_ahead(&ask.stream);
            }
        })?;
        let target = if others.is_empty() {
            hls::target(hours.iter().map(|hour| hour.longest()).max().unwrap_or_default())
        } else {
            self.known_target(&ask.stream, start, ask.end)?
        };
        let mp4 = hours.iter().any(|hour| hour.has_mp4());
        // Of MP4 nobody can be told before it is read.
        let reading = if mp4 { READING_MP4 } else { READING };
        let is_known =
            self.learner.learn_until(self.clock.now() + reading, &ask.stream, &hours, (start, end), First::Oldest);
        if mp4 && !is_known {
            return Err(PlaybackError::StillReading);
        }
        // Nothing is known of what others have, nor of what a list that grows will hold.
        let independent = others.is_empty() && hours.iter().all(|hour| is_independent(hour, start, end));
        let mp4 = mp4 || are_in_mp4(others);
        let head = PlaylistHead {
            list_type: ListType::Vod,
            target,
            independent,
            gaps: ask.gaps || ask.apart,
            mp4,
            begin_at: None,
        };
        if is_plain {
            write_anew(&ask.stream, &hours, start, end);
        }
        let mut writer = PlaylistWriter::new(&ask.stream, start, end, &head, ask.apart);
        if others.is_empty() {
            hours.iter().try_for_each(|hour| writer.hour(hour))?;
        } else {
            let known = edges_by_hash(&hours);
            let placed = self.placed(&ask.stream, &hours, others, Chain::new(start), target)?;
            placed.iter().try_for_each(|placed| writer.placed(placed, &known))?;
        }
        if !writer.chain.reaches(end) {
            return Ok(None);
        }
        writer.open.push_str(hls::END);
        // What others have is not seen to change, nor that they are there again; nor what is still being read, nor that a file is here again.
        let noted = hours.iter().any(|hour| hour.media().is_some_and(|media| media.noted.is_some()));
        let holds = if ask.peers || !is_known { Some(HOLDS) } else { noted.then_some(NOTED_HOLDS) };
        let until = holds.map(|holds| self.clock.now() + holds);
        Ok(Some(Arc::new(Playlist::new(writer.finish(), seen, until))))
    }

    /// A list with whatever may be told by now.
    fn grown(&self, ask: &Ask, live: &Growing, others: &[Other]) -> Result<Arc<Playlist>, PlaybackError> {
        let mut live = live.lock();
        let from = live.first_hour();
        let to = ask.end.map(|end| (end - Span::from_us(1)).hour());
        let seen = WindowState::now(&self.keeper, &ask.stream, from, to);
        let until = ask.end.unwrap_or_else(|| self.open_end(&ask.stream, from.start()));
        let untold = (live.told_until(), until);
        let hours = self.window_with(&ask.stream, from.start(), until, |hour| {
            self.learner.recall(&ask.stream, hour, untold);
        })?;
        // Who follows it begins near its end.
        self.learner.learn(&ask.stream, &hours, untold, First::Newest);
        let now = self.now();
        let held_back = if others.is_empty() {
            let best = hours.iter().flat_map(|hour| hour.linked().map(|(link, file)| (link, (hour.piece(file), None))));
            live.grow(best.take_while(|(link, _)| link.start < until), ask.end, now)
        } else {
            let known = edges_by_hash(&hours);
            let placed = self.placed(&ask.stream, &hours, others, live.chain(), live.target())?;
            let best = placed.iter().take_while(|(piece, _)| piece.start() < until);
            live.grow(
                best.map(|each| (link_of(each, &known), (each.0.clone(), each.1.as_ref().map(|copy| &*copy.node)))),
                ask.end,
                now,
            )
        };
        let ends = ask.end.filter(|end| live.reaches(*end)).map(|end| micros(end + span(HOLD_BACK) - now.wall));
        // What others have is not seen to change.
        let asks_again = ask.peers.then_some(HOLDS);
        let wait = held_back.into_iter().chain(ends.filter(|left| !left.is_zero())).chain(asks_again).min();
        Ok(Arc::new(Playlist::new(live.pieces(), seen, wait.map(|wait| now.since + wait))))
    }

    /// Whether a stretch has segments in MP4, or the newest hours have.
    fn has_mp4(&self, stream: &Stream, start: Timestamp, end: Option<Timestamp>) -> Result<bool, PlaybackError> {
        let window = self.window(stream, start, end.unwrap_or_else(|| self.open_end(stream, start)))?;
        let newest = self.keeper.index().catalog().hours(&stream.to_string(), ..=self.keeper.bound(stream));
        for hour in newest.into_iter().rev().take(KNOWN_HOURS) {
            if self.best_hour(stream, hour)?.has_mp4() {
                return Ok(true);
            }
        }
        Ok(window.iter().any(|hour| hour.has_mp4()))
    }

    /// The longest that a segment of this stream is known to be, in whole seconds.
    fn known_target(&self, stream: &Stream, start: Timestamp, end: Option<Timestamp>) -> Result<u32, PlaybackError> {
        let window = self.window(stream, start, end.unwrap_or_else(|| self.open_end(stream, start)))?;
        let newest = self.keeper.index().catalog().hours(&stream.to_string(), ..=self.keeper.bound(stream));
        let newest = newest.into_iter().rev().take(KNOWN_HOURS).map(|hour| self.best_hour(stream, hour));
        let mut longest = window.iter().map(|hour| hour.longest_full()).max().unwrap_or_default();
        for hour in newest {
            longest = longest.max(hour?.longest_full());
        }
        Ok(if longest == Span::default() { TARGET_OF_NOTHING } else { hls::target(longest) })
    }
}

fn span(time: Duration) -> Span {
    Span::from_us(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

fn micros(span: Span) -> Duration {
    Duration::from_micros(u64::try_from(span.us()).unwrap_or(0))
}

/// Whether it is known that a player can begin with any segment of an hour in a window. One that is not full may begin anywhere.
fn is_independent(hour: &BestHour, start: Timestamp, end: Timestamp) -> bool {
    let begins_alone = |link: &Link| link.media.and_then(|media| media.independent) == Some(true);
    if is_within(hour, start, end) {
        return hour.is_independent();
    }
    let mut within = hour.linked().map(|(link, _)| link).filter(|link| link.end > start && link.start < end);
    within.all(|link| link.kind == SegmentKind::Full && begins_alone(&link))
}

/// What is known of our segments, to be found again among those of others.
fn edges_by_hash(hours: &[Arc<BestHour>]) -> HashMap<Hash, Edges> {
    let linked = hours.iter().flat_map(|hour| hour.linked());
    linked.filter_map(|(link, file)| Some((file.key.hash, link.media?))).collect()
}

/// A segment and what is known of it; of another node's nothing is but where its media begin.
fn link_of((piece, copy): &RemoteSegment, known: &HashMap<Hash, Edges>) -> Link {
    let media = match copy {
        None => known.get(&piece.file.key.hash).copied(),
        Some(copy) => copy.init.map(|init| Edges { init: Some(init), ..Edges::default() }),
    };
    Link { media, ..piece.link() }
}

fn are_in_mp4(others: &[Other]) -> bool {
    others.iter().any(|(piece, _)| piece.file.key.container == Container::Mp4)
}

/// Writes a list whose end is known.
struct PlaylistWriter<'a> {
    stream: &'a Stream,
    start: Timestamp,
    end: Timestamp,
    gaps: Option<u32>,
    /// A hole is no discontinuity by itself.
    apart: bool,
    gap_entries: u64,
    chain: Chain,
    pieces: Vec<Arc<PieceText>>,
    open: String,
}

impl<'a> PlaylistWriter<'a> {
    fn new(stream: &'a Stream, start: Timestamp, end: Timestamp, head: &PlaylistHead, apart: bool) -> Self {
        Self {
            stream,
            start,
            end,
            gaps: head.gaps.then_some(head.target),
            apart,
            gap_entries: 0,
            chain: Chain::new(start),
            pieces: Vec::new(),
            open: hls::head(head),
        }
    }

    fn hour(&mut self, hour: &BestHour) -> Result<(), PlaybackError> {
        if self.gaps.is_none() && is_within(hour, self.start, self.end) {
            let text = hour.text(self.stream, self.chain);
            self.chain = text.chain_after(self.chain);
            self.close();
            self.pieces.push(Arc::clone(&text.text));
            return Ok(());
        }
        let lines = HourLines::new(self.stream, hour.hour());
        let end = self.end;
        for (link, file) in hour.told().take_while(|(link, _)| link.start < end) {
            self.segment(&lines, link, file, None)?;
        }
        Ok(())
    }

    fn placed(&mut self, placed: &RemoteSegment, known: &HashMap<Hash, Edges>) -> Result<(), PlaybackError> {
        let (piece, copy) = placed;
        if piece.start() >= self.end {
            return Ok(());
        }
        let lines = HourLines::new(self.stream, piece.hour);
        let link = link_of(placed, known);
        let node = copy.as_ref().map(|copy| &*copy.node);
        if link.is_playable() { self.segment(&lines, link, &piece.file, node) } else { Ok(()) }
    }

    fn segment(
        &mut self,
        lines: &HourLines,
        link: Link,
        file: &SegmentFile,
        node: Option<&str>,
    ) -> Result<(), PlaybackError> {
        let before = self.chain.last();
        let until = before.map_or(self.start, |last| last.end);
        match self.chain.step(link) {
            SequenceStep::Skipped => return Ok(()),
            SequenceStep::Joined => {}
            SequenceStep::Changed => self.open.push_str(DISCONTINUITY),
            SequenceStep::Broken => {
                self.gap(until, link.start)?;
                if !self.apart || before.is_some_and(|last| !last.goes_on_behind_a_hole(&link)) {
                    self.open.push_str(DISCONTINUITY);
                }
            }
        }
        lines.push(&mut self.open, before.as_ref(), &link, file, node);
        Ok(())
    }

    fn gap(&mut self, from: Timestamp, to: Timestamp) -> Result<(), PlaybackError> {
        let Some(target) = self.gaps else { return Ok(()) };
        self.gap_entries += hls::gap_entries(to - from, target);
        if self.gap_entries > MOST_GAPS {
            return Err(PlaybackError::TooManyGaps { got: self.gap_entries, limit: MOST_GAPS });
        }
        hls::push_gap(&mut self.open, from, to, target);
        Ok(())
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push(Arc::new(PieceText::new(std::mem::take(&mut self.open))));
        }
    }

    fn finish(mut self) -> Vec<Arc<PieceText>> {
        self.close();
        self.pieces
    }
}
