//! What people watch: the best sequence of any window, and playlists of it, straight from the index.
//!
//! 1. The best segments of an hour are kept until the hour changes (`hours`); a sequence is a walk over them.
//! 2. A playlist is put together from pieces of text (`piece`): hours in its middle are written once, and deflated once.
//! 3. A list that is not complete is remembered, and only ever appended to (`live`).
//! 4. What was made is kept until an hour of its window changes (`kept`).
//! 5. Segments that only others have are told by their addresses (`federated`).
//! 6. What the ends of segments say is looked at (`learn`) before they are told: names that join do not make their content go on. Of segments that lie in
//!    a bucket alone manifests say it (`bucket_facts`).
//! 7. A master playlist (`master`) says what the segments say of themselves (`headers`).
//!
//! It reads the index through the keeper, which makes hours right first, and writes into it what it learnt of segments, and nothing else. It blocks: not for async code.

mod ahead;
mod ask;
mod bucket_facts;
mod cut;
mod error;
mod federated;
mod headers;
mod hour_media;
mod hours;
mod learn;
mod list_cache;
mod live;
mod master;
mod media;
mod open;
mod piece;
mod read;
#[cfg(test)]
mod tests;
mod threads;
mod visitor;
mod window_state;

use std::fs::File;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

pub use ask::{Ask, IMPLICIT_HOURS, check_implicit};
pub use cut::{CutAsk, CutClip, CutPlan};
pub use error::PlaybackError;
pub use federated::Other;
use headers::Headers;
pub use hours::BestHour;
use hours::Hours;
use learn::Learner;
use list_cache::Lists;
pub use master::{Basis, MEASURED_HOURS, Master};
pub use open::{OpenError, open};
pub use piece::Playlist;
pub use read::edges_of;
use threads::by_threads;
pub use visitor::FactsVisitor;

use crate::archive::{Hour, Sequence, SequencePiece, Span, Stream, Timestamp, best_sequence};
use crate::jobs::Clock;
use crate::media::Facts;
use crate::play::playlist::live_edge::AskedAt;
use crate::sync::crawl::{CrawlError, Keeper};

/// How much may be asked, and kept.
#[derive(Debug, Clone, Copy)]
pub struct PlaybackOptions {
    /// Hours with segments in one answer.
    pub max_hours: usize,
    /// Bytes of playlists and best segments that are kept.
    pub cache: usize,
}

/// Answers what people watch.
pub struct Playback {
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    options: PlaybackOptions,
    hours: Hours,
    headers: Headers,
    learner: Arc<Learner>,
    lists: Mutex<Lists>,
}

impl Playback {
    /// Of this archive.
    pub fn new(keeper: Arc<Keeper>, clock: Arc<dyn Clock>, options: PlaybackOptions) -> Self {
        let half = options.cache / 2;
        let learner = Arc::new(Learner::new(Arc::clone(&keeper), Arc::clone(&clock)));
        Self {
            keeper,
            clock,
            learner,
            options,
            hours: Hours::new(half),
            headers: Headers::default(),
            lists: Mutex::new(Lists::new(half)),
        }
    }

    /// The same over another keeper, with nothing kept yet.
    #[must_use]
    pub fn over(&self, keeper: Arc<Keeper>) -> Self {
        Self::new(keeper, Arc::clone(&self.clock), self.options)
    }

    /// Index and disk.
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// The best sequence for `[start, end)`.
    pub fn sequence(&self, stream: &Stream, start: Timestamp, end: Timestamp) -> Result<Sequence, PlaybackError> {
        let hours = self.window(stream, start, end)?;
        let best = hours.iter().flat_map(|hour| hour.best());
        Ok(best_sequence(best, start, end))
    }

    /// Until when a window reaches whose end nobody has given: to the horizon, unless it begins beyond.
    pub(super) fn open_end(&self, stream: &Stream, start: Timestamp) -> Timestamp {
        let bound = self.keeper.bound(stream);
        if start.hour() > bound { Timestamp::MAX } else { bound.end() }
    }

    /// From the first segment of a stream to the furthest end, of what is meant where nobody says which hours; `None` if it has none.
    pub fn extent(&self, stream: &Stream) -> Result<Option<(Timestamp, Timestamp)>, PlaybackError> {
        self.exists(stream)?;
        let Some(view) = self.keeper.view(stream) else { return Ok(None) };
        let hours = self.keeper.index().catalog().hours(&stream.to_string(), view.0..=view.1);
        let find = |hour: &Hour| -> Result<Option<Arc<BestHour>>, PlaybackError> {
            Ok(Some(self.best_hour(stream, *hour)?).filter(|hour| !hour.files().is_empty()))
        };
        // Hours may hold nothing but what is hidden; so many of them at an end are taken for nothing.
        let most = self.options.max_hours;
        let Some(first) = first_some(hours.iter().take(most), find)? else { return Ok(None) };
        let Some(last) = first_some(hours.iter().rev().take(most), find)? else { return Ok(None) };
        let before = self.best_hour(stream, last.hour().previous())?;
        let ends = last.best().chain(before.best()).map(|piece| piece.end());
        Ok(first.best().next().map(|piece| piece.start()).zip(ends.max()))
    }

    /// The best segments of an hour; none where there is no such hour.
    pub fn best_hour(&self, stream: &Stream, hour: Hour) -> Result<Arc<BestHour>, PlaybackError> {
        Ok(self.hours.get(&self.keeper, stream, hour)?)
    }

    /// The hours that a window needs, in order: also the one before it, whose segments may reach into it.
    pub fn window(
        &self,
        stream: &Stream,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Arc<BestHour>>, PlaybackError> {
        self.window_with(stream, start, end, |_| ())
    }

    /// The same; `each` is done with every hour right after it was read, by the thread that did.
    fn window_with(
        &self,
        stream: &Stream,
        start: Timestamp,
        end: Timestamp,
        each: impl Fn(&BestHour) + Sync,
    ) -> Result<Vec<Arc<BestHour>>, PlaybackError> {
        self.exists(stream)?;
        let (first, last) = (start.hour().previous(), (end - Span::from_us(1)).hour());
        if last < first {
            return Ok(Vec::new());
        }
        let hours = self.keeper.index().catalog().hours(&stream.to_string(), first..=last);
        // One more: the hour before the window is not counted.
        if hours.len() > self.options.max_hours.saturating_add(1) {
            return Err(PlaybackError::TooManyHours { got: hours.len() as u64, limit: self.options.max_hours as u64 });
        }
        let parts = by_threads(&hours, |hour| self.best_hour(stream, *hour).inspect(|best| each(best)));
        parts.ok_or(PlaybackError::ReadingFailed)?.into_iter().collect()
    }

    /// Opens a segment of a sequence.
    pub fn open(&self, stream: &Stream, piece: &SequencePiece) -> Result<File, OpenError> {
        let path = format!("{stream}/{}/{}", piece.hour, piece.file.name());
        open(&self.keeper, &path, piece.file.size)
    }

    /// What a segment says of itself; `None` if it cannot be read now.
    pub fn facts(&self, stream: &Stream, piece: &SequencePiece) -> Option<Arc<Facts>> {
        self.headers.of(stream, piece, || self.open(stream, piece).map_err(io::Error::other))
    }

    /// An error if there is no such stream, or if it holds no video.
    fn exists(&self, stream: &Stream) -> Result<(), PlaybackError> {
        match self.keeper.ensure_structure() {
            // An index that takes no writes still knows what it knew.
            Ok(()) | Err(CrawlError::Index(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let known = self.keeper.index().catalog().bounds(&stream.to_string()).is_some();
        if known && !stream.quality.is_chat() {
            return Ok(());
        }
        self.keeper.confirm_readable(stream.channel.as_str())?;
        Err(PlaybackError::NoStream(stream.clone()))
    }

    fn now(&self) -> AskedAt {
        AskedAt { wall: self.clock.wall().into(), since: self.clock.now() }
    }
}

/// The first that is found.
fn first_some<I, T>(
    all: impl Iterator<Item = I>,
    find: impl Fn(I) -> Result<Option<T>, PlaybackError>,
) -> Result<Option<T>, PlaybackError> {
    for each in all {
        if let Some(found) = find(each)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
