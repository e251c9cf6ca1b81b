//! The best segments of hours, kept until the hour changes.
//!
//! Whether a kept hour is still right is decided by its version, after the keeper has compared the hour with the disk. Those that have
//! not been used for longest go when the bound is reached.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::learn::HourMedia;
use super::piece::PieceText;
use crate::archive::hls::{DISCONTINUITY, HourLines, longest, room};
use crate::archive::{
    Chain, Hour, HourPlace, Link, SegmentKind, SequencePiece, SequenceStep, Span, Stream, best_playable,
};
use crate::index::Version;
use crate::sync::crawl::{CrawlError, Keeper};

/// The best segments of an hour that can be played, one for each start, in order of start.
#[derive(Debug)]
pub struct BestHour {
    hour: Hour,
    version: Option<Version>,
    best: Vec<SequencePiece>,
    media: Mutex<Option<Arc<HourMedia>>>,
    text: Mutex<Option<Arc<HourText>>>,
    longest: OnceLock<Span>,
    longest_full: OnceLock<Span>,
    used: AtomicU64,
}

/// The lines of a whole hour in the middle of a list.
#[derive(Debug)]
pub(super) struct HourText {
    /// What was told last before it.
    before: Option<Link>,
    /// What was known of its segments.
    media: Option<Arc<HourMedia>>,
    /// What comes after it depends on this.
    pub after: Chain,
    /// The lines.
    pub text: Arc<PieceText>,
}

impl HourText {
    /// Whether as much was known of the segments.
    fn is_of(&self, media: Option<&Arc<HourMedia>>) -> bool {
        match (self.media.as_ref(), media) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            (then, now) => then.is_none() && now.is_none(),
        }
    }

    /// Whether it is what comes after this, with as much known of the segments.
    fn is_after(&self, chain: Chain, media: Option<&Arc<HourMedia>>) -> bool {
        self.is_of(media) && self.before == chain.last()
    }
}

impl BestHour {
    /// The hour.
    pub fn hour(&self) -> Hour {
        self.hour
    }

    /// The segments.
    pub fn best(&self) -> &[SequencePiece] {
        &self.best
    }

    /// How long the longest lasts.
    pub fn longest(&self) -> Span {
        *self.longest.get_or_init(|| longest(&self.best))
    }

    /// How long the longest that is `full` lasts.
    pub fn longest_full(&self) -> Span {
        *self
            .longest_full
            .get_or_init(|| longest(self.best.iter().filter(|piece| piece.file.key.kind == SegmentKind::Full)))
    }

    /// What is known of what is in the segments.
    pub(super) fn media(&self) -> Option<Arc<HourMedia>> {
        self.media.lock().clone()
    }

    /// More is known.
    pub(super) fn set_media(&self, media: &Arc<HourMedia>) {
        *self.media.lock() = Some(Arc::clone(media));
    }

    /// The segments, each with what it is to a sequence.
    pub(super) fn linked(&self) -> impl Iterator<Item = (Link, &SequencePiece)> {
        linked(&self.best, self.media())
    }

    /// Whether lines of all of it are kept, whatever they come after, and nothing more is known of its segments.
    pub(super) fn is_written(&self) -> bool {
        let media = self.media();
        self.text.lock().as_ref().is_some_and(|text| text.is_of(media.as_ref()))
    }

    /// The lines of all of it, if they are kept as they would be after `chain`.
    pub(super) fn kept_text(&self, chain: Chain) -> Option<Arc<HourText>> {
        let media = self.media();
        self.text.lock().clone().filter(|text| text.is_after(chain, media.as_ref()))
    }

    /// The lines of all of it, coming after `chain`, whose window must begin before the hour and end after it.
    pub(super) fn text(&self, stream: &Stream, chain: Chain) -> Arc<HourText> {
        let media = self.media();
        let mut kept = self.text.lock();
        if let Some(text) = kept.as_ref().filter(|text| text.is_after(chain, media.as_ref())) {
            return Arc::clone(text);
        }
        let (mut after, lines) = (chain, HourLines::new(stream, self.hour));
        let mut text = String::with_capacity(room(self.best.len()));
        for (link, piece) in linked(&self.best, media.clone()) {
            match after.step(link) {
                SequenceStep::Skipped => continue,
                SequenceStep::Joined => {}
                SequenceStep::Changed | SequenceStep::Broken => text.push_str(DISCONTINUITY),
            }
            lines.push(&mut text, &piece.file, None);
        }
        let text = Arc::new(HourText { before: chain.last(), media, after, text: Arc::new(PieceText::new(text)) });
        *kept = Some(Arc::clone(&text));
        text
    }

    fn size(&self) -> usize {
        let text = self.text.lock();
        let text = text.as_ref().map_or(0, |text| text.text.size());
        let media = self.media().map_or(0, |media| media.size());
        256 + self.best.len() * size_of::<SequencePiece>() + media + text
    }
}

fn linked(best: &[SequencePiece], media: Option<Arc<HourMedia>>) -> impl Iterator<Item = (Link, &SequencePiece)> {
    best.iter().enumerate().map(move |(at, piece)| {
        let known = media.as_ref().and_then(|media| media.edges(at));
        (Link { media: known, ..piece.link() }, piece)
    })
}

/// The kept hours.
#[derive(Debug)]
pub(super) struct Hours {
    cap: usize,
    clock: AtomicU64,
    put: AtomicU64,
    kept: Mutex<HashMap<String, HashMap<Hour, Arc<BestHour>>>>,
}

/// After so many new hours it is counted what all of them take.
const COUNT_EVERY: u64 = 16;

impl Hours {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, clock: AtomicU64::new(0), put: AtomicU64::new(1), kept: Mutex::default() }
    }

    pub(super) fn get(&self, keeper: &Keeper, stream: &Stream, hour: Hour) -> Result<Arc<BestHour>, CrawlError> {
        let place = HourPlace { stream: stream.clone(), hour };
        let name = stream.to_string();
        if let Some(kept) = self.kept(&name, hour)
            && keeper.ensure(&place).is_ok()
            && keeper.index().catalog().hour_version(&name, hour) == kept.version
        {
            return Ok(kept);
        }
        let answer = keeper.answer(&place)?;
        let best = best_playable(&answer.contents);
        let best = Arc::new(BestHour {
            hour,
            version: answer.version,
            best: best.into_iter().map(|file| SequencePiece { hour, file: file.clone() }).collect(),
            media: Mutex::default(),
            text: Mutex::default(),
            longest: OnceLock::new(),
            longest_full: OnceLock::new(),
            used: AtomicU64::new(0),
        });
        if best.version.is_some_and(|version| version.changed > 0) {
            self.keep(name, &best);
        }
        Ok(best)
    }

    fn kept(&self, stream: &str, hour: Hour) -> Option<Arc<BestHour>> {
        let kept = self.kept.lock();
        let found = kept.get(stream)?.get(&hour)?;
        found.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(found))
    }

    fn keep(&self, stream: String, hour: &Arc<BestHour>) {
        hour.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut kept = self.kept.lock();
        kept.entry(stream).or_default().insert(hour.hour, Arc::clone(hour));
        if self.put.fetch_add(1, Ordering::Relaxed).is_multiple_of(COUNT_EVERY) {
            shrink(&mut kept, self.cap);
        }
    }
}

/// Lets the least used go, down to three quarters, so that it is not done each time.
fn shrink(kept: &mut HashMap<String, HashMap<Hour, Arc<BestHour>>>, cap: usize) {
    let mut all: Vec<(u64, usize)> =
        kept.values().flat_map(HashMap::values).map(|hour| (hour.used.load(Ordering::Relaxed), hour.size())).collect();
    let mut bytes: usize = all.iter().map(|(_, size)| size).sum();
    if bytes <= cap {
        return;
    }
    all.sort_unstable();
    let mut oldest = 0;
    for (used, size) in all {
        if bytes <= cap / 4 * 3 {
            break;
        }
        (oldest, bytes) = (used + 1, bytes - size);
    }
    for hours in kept.values_mut() {
        hours.retain(|_, hour| hour.used.load(Ordering::Relaxed) >= oldest);
    }
    kept.retain(|_, hours| !hours.is_empty());
}
