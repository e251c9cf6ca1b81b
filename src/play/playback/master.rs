//! Makes master playlists: for each quality of a channel with video in the range, what it takes and what it holds.
//!
//! 1. Sizes and durations come from the best sequence; of long ranges from the newest hours alone, and of ranges without an end from
//!    the newest up to the horizon.
//! 2. Codecs, picture and independence come from the first bytes of samples: the first segment, the middle one, the last one, and the first
//!    that is not `full`, which may begin anywhere.
//! 3. What was made is right until an hour that it was made from changes, or qualities come or go.

use std::sync::Arc;

use super::window_state::WindowState;
use super::{Playback, PlaybackError};
use crate::archive::{Channel, Hour, Quality, SegmentKind, SequencePiece, Span, Stream, Timestamp, best_sequence};
use crate::media::Facts;
use crate::play::playlist::master::{BitRates, MasterRange, Variant, render, together};
use crate::sync::crawl::{CrawlError, Keeper};

/// Hours with video in the range that the figures come from, the newest: more of them make a figure that is no better, and take longer.
pub const MEASURED_HOURS: usize = 24;

/// No channel has more qualities; more are left out.
const MOST_QUALITIES: usize = 100;

/// A master playlist, and what it was made from.
#[derive(Debug)]
pub struct Master {
    /// The list.
    pub text: String,
    /// Decides whether it is still right.
    pub basis: Basis,
}

/// What a master playlist was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    channel: Channel,
    qualities: Vec<String>,
    seen: Vec<WindowState>,
}

impl Basis {
    /// Whether it is known, without a look at the disk, that nothing has changed.
    pub fn is_right(&self, keeper: &Keeper) -> bool {
        keeper.structure_is_sure()
            && keeper.index().catalog().qualities(self.channel.as_str()) == self.qualities
            && self.seen.iter().all(|seen| seen.is_right(keeper))
    }
}

impl Playback {
    /// The master playlist of a channel.
    pub fn master(&self, channel: &Channel, range: &MasterRange) -> Result<Master, PlaybackError> {
        match self.keeper.ensure_structure() {
            // An index that takes no writes still knows what it knew.
            Ok(()) | Err(CrawlError::Index(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let qualities = self.keeper.index().catalog().qualities(channel.as_str());
        if qualities.is_empty() {
            self.keeper.confirm_readable(channel.as_str())?;
            return Err(PlaybackError::NoChannel(channel.clone()));
        }
        let (mut variants, mut seen) = (Vec::new(), Vec::new());
        let videos =
            qualities.iter().filter_map(|quality| Quality::new(quality).ok()).filter(|quality| !quality.is_chat());
        for quality in videos.take(MOST_QUALITIES) {
            let stream = Stream { channel: channel.clone(), quality };
            let (pieces, what) = self.newest(&stream, range)?;
            seen.push(what);
            variants.extend(self.variant(&stream, &pieces));
        }
        let basis = Basis { channel: channel.clone(), qualities, seen };
        Ok(Master { text: render(channel, variants, range), basis })
    }

    /// The newest segments of a range, in order, and what was looked at for them.
    fn newest(&self, stream: &Stream, range: &MasterRange) -> Result<(Vec<SequencePiece>, WindowState), PlaybackError> {
        let start = range.start.unwrap_or(Timestamp::MIN);
        let end = range.end.unwrap_or_else(|| self.open_end(stream, start));
        let last = (end - Span::from_us(1)).hour();
        // What begins in the hour before may reach into the range.
        let mut first = if start == Timestamp::MIN { Hour::MIN } else { start.hour().previous() };
        if last < first {
            return Ok((Vec::new(), WindowState::default()));
        }
        let mut found = 0;
        for hour in self.keeper.index().catalog().hours(&stream.to_string(), first..=last).into_iter().rev() {
            let is_within = |piece: SequencePiece| piece.end() > start && piece.start() < end;
            found += usize::from(self.best_hour(stream, hour)?.best().any(is_within));
            if found == MEASURED_HOURS {
                first = hour;
                break;
            }
        }
        // First what there is, then its contents: a change in between is seen next time.
        let seen = WindowState::now(&self.keeper, stream, first, range.end.map(|_| last));
        let mut best = Vec::new();
        for hour in seen.hours() {
            best.extend(self.best_hour(stream, hour)?.best());
        }
        Ok((best_sequence(best, start, end).into_iter().flatten().collect(), seen))
    }

    fn variant(&self, stream: &Stream, pieces: &[SequencePiece]) -> Option<Variant> {
        let sizes: Vec<(u64, u64)> =
            pieces.iter().map(|piece| (piece.file.size, u64::from(piece.file.key.duration_us))).collect();
        let rates = BitRates::of(&sizes)?;
        Some(Variant {
            quality: stream.quality.clone(),
            rates,
            facts: self.sampled(stream, &pieces.iter().collect::<Vec<_>>()),
        })
    }

    /// What samples of these segments say of all of them.
    pub fn sampled(&self, stream: &Stream, pieces: &[&SequencePiece]) -> Facts {
        let not_full = pieces.iter().find(|piece| piece.file.key.kind != SegmentKind::Full);
        let samples = [pieces.first(), pieces.get(pieces.len() / 2), pieces.last(), not_full];
        let wanted = samples.into_iter().flatten().count();
        let facts: Vec<Arc<Facts>> =
            samples.into_iter().flatten().filter_map(|piece| self.facts(stream, piece)).collect();
        let all = together(facts.iter().map(Arc::as_ref));
        // Of one that cannot be read nothing is known.
        Facts { independent: all.independent && facts.len() == wanted, ..all }
    }
}
