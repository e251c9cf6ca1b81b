//! The visitor that reads the ends of segments of which the index does not know what they say, so that lists need not wait for that.
//!
//! It reads what can be played, is visible and lies here, and keeps what it found in the transaction that books it. An hour of which as much is known as it has
//! segments costs two rows. Its place inside an hour is the start of the segment that it read last.

use std::sync::Arc;

use super::Playback;
use super::bucket_facts::retain_here;
use super::hour_media::FactsState;
use super::learn::Learner;
use crate::archive::{HourPlace, SegmentFile, SequencePiece, is_playable};
use crate::index::Learnt;
use crate::media::WINDOW;
use crate::sync::crawl::{CrawlCounts, CrawlError, Keeper, Round, Visitor};

/// See the module.
pub struct FactsVisitor {
    keeper: Arc<Keeper>,
    learner: Arc<Learner>,
}

impl FactsVisitor {
    /// Its name.
    pub const NAME: &str = "facts";

    /// Reads what these lists would read.
    pub fn new(playback: &Playback) -> Self {
        Self { keeper: Arc::clone(&playback.keeper), learner: Arc::clone(&playback.learner) }
    }
}

impl Visitor for FactsVisitor {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        // Where the archive is away nothing is unreadable.
        self.keeper.guard().base().map_err(CrawlError::Away)?;
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            if !self.hour(place, round)? {
                break;
            }
        }
        Ok(())
    }
}

impl FactsVisitor {
    /// Goes on with the first hour ahead; true if it is done.
    fn hour(&self, place: &HourPlace, round: &mut Round<'_>) -> Result<bool, CrawlError> {
        let unread = self.unread(place)?;
        let before = round.within().first_chunk::<4>().map(|start| u32::from_be_bytes(*start));
        let mut ahead = unread.iter().filter(|file| before.is_none_or(|start| file.key.start_us > start)).peekable();
        let (mut segments, mut read, mut last) = (Vec::new(), 0_u64, None);
        while let Some(file) = ahead.next_if(|_| !round.is_over()) {
            let piece = SequencePiece { hour: place.hour, file: file.clone() };
            if let Some(FactsState::Edges(edges)) = self.learner.read(&place.stream, &piece, &|| false) {
                segments.push((piece.file, edges));
            }
            round.spend(file.size.min(2 * WINDOW as u64), 1);
            (read, last) = (read + 1, Some(file.key.start_us));
        }
        let is_done = ahead.peek().is_none();
        let unreadable = read - segments.len() as u64;
        let found = CrawlCounts::of("segments read", read).and("segments unreadable", unreadable);
        match last {
            _ if is_done => round.done(&found),
            Some(start) => round.part(&start.to_be_bytes(), &found),
            None => return Ok(false),
        }
        if !segments.is_empty() {
            let learnt = Learnt { stream: place.stream.clone(), hour: place.hour, segments };
            let mut batch = self.learner.batch(vec![learnt]);
            round.join(&mut batch);
            self.keeper.index().apply(batch)?;
        }
        Ok(is_done)
    }

    /// The segments of an hour of which nothing is known and that lie here, in order of time.
    fn unread(&self, place: &HourPlace) -> Result<Vec<SegmentFile>, CrawlError> {
        let (index, stream) = (self.keeper.index(), place.stream.to_string());
        let row = index.hour_row(&stream, place.hour)?.filter(|_| !place.stream.quality.is_chat());
        let Some(row) = row else { return Ok(Vec::new()) };
        let facts = index.facts(&stream, place.hour)?;
        let videos: u64 = row.totals.video.iter().map(|tally| u64::from(tally.files)).sum();
        if facts.len() as u64 >= videos {
            return Ok(Vec::new());
        }
        let Some(view) = index.hour(&stream, place.hour)? else { return Ok(Vec::new()) };
        let playable: Vec<&SegmentFile> = view.contents.visible().filter(|file| is_playable(file)).collect();
        let known = facts.of(playable.iter().map(|file| &file.key.hash));
        let unread = playable.iter().zip(known).filter(|(_, known)| known.is_none());
        let mut unread = unread.map(|(file, _)| (*file).clone()).collect();
        retain_here(&self.keeper, place, &mut unread);
        Ok(unread)
    }
}
