//! From what is to be cut to what is cut: each segment with the way to its bytes, and neighbours that may hold sound of it.

use std::io;
use std::sync::Arc;

use super::segment::{Clip, CutSegment};
use crate::crawl::Keeper;
use crate::domain::{Kind, Piece, Stream};
use crate::playback::{self, CutClip, CutPlan, Playback};

/// A segment of the archive.
pub fn segment(keeper: &Arc<Keeper>, stream: &Stream, piece: &Piece) -> CutSegment {
    let (keeper, len) = (Arc::clone(keeper), piece.file.size);
    let path = format!("{stream}/{}/{}", piece.hour, piece.file.name());
    CutSegment {
        start: piece.start(),
        duration: piece.end() - piece.start(),
        is_full: piece.file.key.kind == Kind::Full,
        open: Box::new(move || playback::open(&keeper, &path, len).map_err(io::Error::other)),
    }
}

/// The stretches of a cut. Blocks: not for async code.
pub fn clips(playback: &Playback, plan: &CutPlan) -> Vec<Clip> {
    plan.clips.iter().map(|clip| with_sound(playback, plan, clip)).collect()
}

/// With the neighbours that may hold sound of it. Without them it is still a cut.
fn with_sound(playback: &Playback, plan: &CutPlan, clip: &CutClip) -> Clip {
    let around = playback.sequence(&plan.stream, clip.start - Clip::SOUND, clip.end + Clip::SOUND);
    let around: Vec<Piece> = around.unwrap_or_default().into_iter().flatten().collect();
    let begins = clip.pieces.first().map_or(clip.start, Piece::start);
    let ends = clip.pieces.last().map_or(clip.end, Piece::end);
    let before = around.iter().filter(|piece| piece.end() <= clip.start && piece.start() < begins);
    let after = around.iter().filter(|piece| piece.start() >= clip.end && piece.end() > ends);
    let pieces = before.chain(&clip.pieces).chain(after);
    let segments = pieces.map(|piece| segment(playback.keeper(), &plan.stream, piece)).collect();
    Clip { start: clip.start, end: clip.end, segments }
}
