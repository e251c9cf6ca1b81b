//! Playlists in which segments that are missing here are told by the addresses of other nodes that have them.
//!
//! Who has what is found out by whoever asks for the list, between [`Playback::missing`] and [`Playback::playlist_with`]: nothing here
//! opens a connection. What others say is right for a moment only, and so is a list that was made with it.

use std::sync::Arc;
use std::time::Duration;

use super::ask::{Ask, check_implicit};
use super::{BestHour, Playback, PlaybackError};
use crate::archive::{Chain, Hour, HourPlace, PeerCopy, SequencePiece, Span, Stream};
use crate::play::playlist::gap_fill::{filled, missing_hours};
use crate::play::playlist::live_edge::HOLD_BACK;

/// Hours in which something is missing that others are asked about for one list; there are as many questions to each node.
const MOST_HOURS: usize = 24;

/// How long a list is right that others have a part in.
pub(super) const HOLDS: Duration = Duration::from_secs(3);

/// A segment that another node has, and which.
pub type Other = (SequencePiece, PeerCopy);

/// A segment of a list, and where it is if it is not here.
pub(super) type RemoteSegment = (SequencePiece, Option<PeerCopy>);

impl Playback {
    /// The hours of a stretch in which something is missing here, oldest first: those that others may be asked about.
    pub fn missing(&self, ask: &Ask) -> Result<Vec<Hour>, PlaybackError> {
        let Some((first, last)) = self.extent(&ask.stream)? else { return Ok(Vec::new()) };
        check_implicit(ask.start, ask.end, Some((first, last)))?;
        let told = self.lists.lock().live(ask);
        let told = told.and_then(|live| live.lock().last());
        let start = told.map_or(ask.start.unwrap_or(first), |told| told.end);
        // What is about to be recorded is not missing. Without an end it may go on elsewhere, but not for years.
        let newest = told.map_or(last, |told| told.end.max(last));
        let end = ask.end.unwrap_or_else(|| newest.hour().next().end());
        let recorded = self.now().wall - Span::from_us(i64::try_from(HOLD_BACK.as_micros()).unwrap_or(i64::MAX));
        let end = end.min(recorded);
        if end <= start {
            return Ok(Vec::new());
        }
        let own: Vec<SequencePiece> =
            self.window(&ask.stream, start, end)?.iter().flat_map(|hour| hour.best()).collect();
        Ok(missing_hours(&own, start, end, MOST_HOURS))
    }

    /// Our segments and those of others between them.
    pub(super) fn placed(
        &self,
        stream: &Stream,
        hours: &[Arc<BestHour>],
        others: &[Other],
        chain: Chain,
        target: u32,
    ) -> Result<Vec<RemoteSegment>, PlaybackError> {
        let own = hours.iter().flat_map(|hour| hour.best()).collect();
        let longest = Span::from_us(i64::from(target) * 1_000_000);
        let others = self.not_hidden(stream, others)?;
        Ok(filled(own, &others, chain, longest))
    }

    /// Without what our tombstones hide.
    fn not_hidden(&self, stream: &Stream, others: &[Other]) -> Result<Vec<Other>, PlaybackError> {
        let mut left = Vec::new();
        for of_hour in others.chunk_by(|one, other| one.0.hour == other.0.hour) {
            let Some((first, _)) = of_hour.first() else { continue };
            let answer = self.keeper.answer(&HourPlace { stream: stream.clone(), hour: first.hour })?;
            let hidden = answer.contents.hidden();
            left.extend(of_hour.iter().filter(|(piece, _)| !hidden.hides(&piece.file)).cloned());
        }
        Ok(left)
    }
}
