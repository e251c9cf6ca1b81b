//! From what is to be cut to what is cut: each segment with the way to its bytes, and neighbours that may hold sound of it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use super::frame::Near;
use super::segment::{Clip, CutSegment, LookAhead};
use super::sound_apart::PackedSegments;
use super::transition::{Part, Transition};
use crate::archive::{Edges, Hash, SegmentKind, Sequence, SequencePiece, Span, Stream, Timestamp, Tracks};
use crate::media::Change;
use crate::play::playback::{self, CutClip, CutPlan, Playback};
use crate::sync::crawl::Keeper;

/// Segments that are looked at before the first byte of a cut: each is read as a whole.
const MOST_AHEAD: usize = 100;
/// Decoding does not go on behind a longer hole.
const HOLE: Span = Span::from_us(500_000);

/// A segment of the archive.
pub fn segment(keeper: &Arc<Keeper>, stream: &Stream, piece: &SequencePiece) -> CutSegment {
    let (keeper, len) = (Arc::clone(keeper), piece.file.size);
    let path = format!("{stream}/{}/{}", piece.hour, piece.file.name());
    CutSegment {
        start: piece.start(),
        duration: piece.end() - piece.start(),
        is_full: piece.file.key.kind == SegmentKind::Full,
        ahead: LookAhead::Nothing,
        open: Box::new(move || playback::open(&keeper, &path, len).map_err(io::Error::other)),
    }
}

/// All of what is to be packed as it lies here, without so many bytes at the beginning of each.
pub fn packed(keeper: &Arc<Keeper>, plan: &CutPlan, left_out: &[u64]) -> PackedSegments {
    let pieces = plan.clips.iter().flat_map(|clip| &clip.pieces).zip(left_out);
    let segments = pieces.map(|(piece, without)| (segment(keeper, &plan.stream, piece), *without));
    PackedSegments { container: plan.container(), segments: segments.collect() }
}

/// Segments around a moment, and which of them join.
pub fn near(keeper: &Arc<Keeper>, stream: &Stream, sequence: &Sequence) -> Vec<Near> {
    let before = [None].iter().chain(sequence);
    let each = before.zip(sequence).filter_map(|(before, each)| Some((before.is_some(), each.as_ref()?)));
    each.map(|(joins, piece)| Near { segment: segment(keeper, stream, piece), joins }).collect()
}

/// What a cut is put together from, with so many transitions between its stretches. Blocks: not for async code.
pub fn clips(playback: &Playback, plan: &CutPlan, transitions: &[Option<Transition>]) -> Vec<Part> {
    let ahead = look_ahead(playback, plan);
    let mut parts = Vec::new();
    let mut before: Option<(&CutClip, &Transition)> = None;
    for (at, clip) in plan.clips.iter().enumerate() {
        let after = transitions.get(at).and_then(Option::as_ref);
        let start = clip.start + before.map_or(Span(0), |(_, transition)| transition.lasts);
        if let Some((left, transition)) = before {
            let tail = with_sound(playback, plan, &within(left, left.end - transition.lasts, left.end));
            let head = with_sound(playback, plan, &within(clip, clip.start, start));
            parts.push(Part::Transition { tail, head, transition: transition.clone() });
        }
        let end = clip.end - after.map_or(Span(0), |transition| transition.lasts);
        let between = within(clip, start, end);
        if start < end && !between.pieces.is_empty() {
            parts.push(Part::Clip(with_sound(playback, plan, &between)));
        }
        before = after.map(|transition| (clip, transition));
    }
    for segment in parts.iter_mut().flat_map(Part::segments) {
        segment.ahead = ahead.get(&segment.start).copied().unwrap_or_default();
    }
    parts
}

/// What is looked at before the first byte, by what the index knows of the ends of segments: the first of each kind, those that last otherwise
/// than their names say, and those that cannot be decoded without the one before them where that is missing.
fn look_ahead(playback: &Playback, plan: &CutPlan) -> HashMap<Timestamp, LookAhead> {
    let (mut kinds, mut ahead) = (HashSet::new(), HashMap::new());
    for (number, clip) in plan.clips.iter().enumerate() {
        let edges = playback.edges(&plan.stream, clip).unwrap_or_default();
        let found = ahead_of(clip, &edges, &mut kinds);
        // The very first segment of a cut is read before its first byte in any case.
        let found = found
            .into_iter()
            .filter(|(start, _)| number > 0 || clip.pieces.first().is_none_or(|first| first.start() != *start));
        for (start, what) in found.take(MOST_AHEAD - ahead.len().min(MOST_AHEAD)) {
            // Two ranges may have the same segment.
            let known: &mut LookAhead = ahead.entry(start).or_default();
            *known = (*known).max(what);
        }
    }
    ahead
}

fn ahead_of(
    clip: &CutClip,
    edges: &HashMap<Hash, Edges>,
    kinds: &mut HashSet<(Tracks, Tracks)>,
) -> Vec<(Timestamp, LookAhead)> {
    let mut found = Vec::new();
    let mut before: Option<(&SequencePiece, Option<&Edges>)> = None;
    for piece in &clip.pieces {
        let known = edges.get(&piece.file.key.hash);
        let lasts = (piece.end() - piece.start()).us();
        let goes_on = before.is_some_and(|(last, other)| {
            let change =
                other.zip(known).and_then(|(other, known)| other.change((last.end() - last.start()).us(), known));
            piece.start() - last.end() <= HOLE && change != Some(Change::Times)
        });
        let is_entry = known.and_then(|known| known.independent);
        let is_new = known.is_some_and(|known| kinds.insert((known.begins, known.ends)));
        let is_full = piece.file.key.kind == SegmentKind::Full;
        let is_long = is_full && known.is_some_and(|known| known.differs(lasts));
        if !goes_on && (is_entry == Some(false) || is_entry.is_none() && before.is_none()) {
            found.push((piece.start(), LookAhead::Entry));
        } else if is_new || is_long {
            found.push((piece.start(), LookAhead::Content));
        }
        before = Some((piece, known));
    }
    found
}

/// A part of a stretch.
fn within(clip: &CutClip, start: Timestamp, end: Timestamp) -> CutClip {
    let pieces = clip.pieces.iter().filter(|piece| piece.end() > start && piece.start() < end).cloned().collect();
    CutClip { start, end, pieces }
}

/// With the neighbours that may hold sound of it, and what joins before. Without them it is still a cut.
fn with_sound(playback: &Playback, plan: &CutPlan, clip: &CutClip) -> Clip {
    let sequence = |from, to| playback.sequence(&plan.stream, from, to).unwrap_or_default();
    let segment = |piece: &SequencePiece| segment(playback.keeper(), &plan.stream, piece);
    let begins = clip.pieces.first().map_or(clip.start, SequencePiece::start);
    let ends = clip.pieces.last().map_or(clip.end, SequencePiece::end);
    let is_before = |piece: &&SequencePiece| piece.end() <= clip.start && piece.start() < begins;
    let around: Vec<SequencePiece> =
        sequence(clip.start - Clip::SOUND, clip.end + Clip::SOUND).into_iter().flatten().collect();
    let after = around.iter().filter(|piece| piece.start() >= clip.end && piece.end() > ends);
    let segments = around.iter().filter(is_before).chain(&clip.pieces).chain(after).map(segment).collect();
    // What joins the first segment, without a hole.
    let earlier = sequence(clip.start - Near::BACK, begins);
    let joining = earlier.rsplit(Option::is_none).next().unwrap_or_default().iter().flatten();
    let lead = joining.filter(is_before).filter(|piece| piece.end() <= clip.start - Clip::SOUND);
    Clip { start: clip.start, end: clip.end, segments, lead: lead.map(segment).collect() }
}
