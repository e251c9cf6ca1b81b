//! The best segments of hours, kept until the hour changes.
//!
//! Whether a kept hour is still right is decided by its version, after the keeper has compared the hour with the disk. Those that have
//! not been used for longest go when the bound is reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::hour_media::HourMedia;
use super::piece::PieceText;
use crate::archive::{
    Chain, Container, Edges, Hour, HourPlace, Link, SegmentFile, SegmentKind, SequencePiece, SequenceStep, Span,
    Stream, into_best_playable,
};
use crate::index::Version;
use crate::play::playlist::hls::{DISCONTINUITY, HourLines, room};
use crate::sync::crawl::{CrawlError, Keeper};

/// The best segments of an hour that can be played, one for each start, in order of start.
#[derive(Debug)]
pub struct BestHour {
    hour: Hour,
    version: Option<Version>,
    best: Vec<SegmentFile>,
    media: Mutex<Option<Arc<HourMedia>>>,
    text: Mutex<Option<Arc<HourText>>>,
    longest: Span,
    longest_full: Span,
    used: AtomicU64,
}

/// What the first segment of an hour is to a list, whether players need an initialisation segment for it, and what was kept last then.
type HourBegin = (SequenceStep, bool, Option<Link>);

/// The lines of a whole hour in the middle of a list.
#[derive(Debug)]
pub(super) struct HourText {
    /// What its first segment was to the list, and what was kept last then: of what comes before nothing else matters.
    begins: Option<HourBegin>,
    /// What was known of its segments.
    media: Option<Arc<HourMedia>>,
    /// The segment that was kept last; none if the hour has none that is kept.
    last: Option<Link>,
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

    /// What the segment after the hour depends on.
    pub(super) fn chain_after(&self, before: Chain) -> Chain {
        self.last.map_or(before, |last| before.with_last(last))
    }
}

impl BestHour {
    /// The hour.
    pub fn hour(&self) -> Hour {
        self.hour
    }

    /// The segments.
    pub fn best(&self) -> impl DoubleEndedIterator<Item = SequencePiece> {
        self.best.iter().map(|file| self.piece(file))
    }

    /// Their files.
    pub(super) fn files(&self) -> &[SegmentFile] {
        &self.best
    }

    /// One of its files as a segment of a sequence.
    pub(super) fn piece(&self, file: &SegmentFile) -> SequencePiece {
        SequencePiece { hour: self.hour, file: file.clone() }
    }

    /// How long the longest lasts.
    pub const fn longest(&self) -> Span {
        self.longest
    }

    /// How long the longest that is `full` lasts.
    pub const fn longest_full(&self) -> Span {
        self.longest_full
    }

    /// What is known of what is in the segments.
    pub(super) fn media(&self) -> Option<Arc<HourMedia>> {
        self.media.lock().clone()
    }

    /// More is known.
    pub(super) fn set_media(&self, media: &Arc<HourMedia>) {
        *self.media.lock() = Some(Arc::clone(media));
    }

    /// The segments that players can be told of, each with what it is to a sequence.
    pub(super) fn told(&self) -> impl Iterator<Item = (Link, &SegmentFile)> {
        self.linked().filter(|(link, _)| link.is_playable())
    }

    /// Whether any segment is in MP4.
    pub(super) fn has_mp4(&self) -> bool {
        self.best.iter().any(|file| file.key.container == Container::Mp4)
    }

    /// The segments, each with what it is to a sequence.
    pub(super) fn linked(&self) -> impl Iterator<Item = (Link, &SegmentFile)> {
        self.linked_with(self.media())
    }

    fn linked_with(&self, media: Option<Arc<HourMedia>>) -> impl Iterator<Item = (Link, &SegmentFile)> {
        self.best.iter().enumerate().map(move |(at, file)| {
            let known = media.as_ref().and_then(|media| media.edges(at));
            (Link { media: known, ..Link::of(self.hour, file) }, file)
        })
    }

    /// Whether it is known that a player can begin with any of the segments. One that is not full may begin anywhere.
    pub(super) fn is_independent(&self) -> bool {
        self.best.is_empty() || self.media().is_some_and(|media| media.is_independent) && self.best.iter().all(is_full)
    }

    /// What the first segment is to a list, and what was kept last then.
    fn begins(&self, media: Option<&Arc<HourMedia>>, mut chain: Chain) -> Option<HourBegin> {
        let (first, _) = self.linked_with(media.cloned()).find(|(link, _)| link.is_playable())?;
        let needs_init = first.needs_init(chain.last().as_ref());
        Some((chain.step(first), needs_init, chain.last()))
    }

    /// Writes lines of all of it, unless there are some: as if it went on where the segment before it ended, which hardly ever is not so.
    pub(super) fn write_ahead(&self, stream: &Stream) {
        let (start, media) = (self.hour.start(), self.media());
        let is_written = self.text.lock().as_ref().is_some_and(|text| text.is_of(media.as_ref()));
        let Some(first) = self.best.first().filter(|_| !is_written) else { return };
        let (kind, container) = (SegmentKind::Full, first.key.container);
        let media_before =
            media.as_ref().and_then(|media| media.edges(0)).map(|edges| Edges { init: edges.init, ..Edges::default() });
        let before = Link { start, end: first.key.start(self.hour), kind, container, media: media_before };
        drop(self.text(stream, Chain::new(start).with_last(before)));
    }

    /// The lines of all of it, if they are kept as they would be after `chain`.
    pub(super) fn kept_text(&self, chain: Chain) -> Option<Arc<HourText>> {
        let media = self.media();
        let begins = self.begins(media.as_ref(), chain);
        self.text.lock().clone().filter(|text| text.is_of(media.as_ref()) && text.begins == begins)
    }

    /// The lines of all of it, coming after `chain`, whose window must begin before the hour and end after it.
    pub(super) fn text(&self, stream: &Stream, chain: Chain) -> Arc<HourText> {
        if let Some(text) = self.kept_text(chain) {
            return text;
        }
        let (media, mut kept) = (self.media(), self.text.lock());
        let (mut after, mut last, lines) = (chain, None, HourLines::new(stream, self.hour));
        let mut text = String::with_capacity(room(self.best.len()));
        for (link, file) in self.linked_with(media.clone()).filter(|(link, _)| link.is_playable()) {
            let before = after.last();
            match after.step(link) {
                SequenceStep::Skipped => continue,
                SequenceStep::Joined => {}
                SequenceStep::Changed | SequenceStep::Broken => text.push_str(DISCONTINUITY),
            }
            lines.push(&mut text, before.as_ref(), &link, file, None);
            last = after.last();
        }
        let begins = self.begins(media.as_ref(), chain);
        let text = Arc::new(HourText { begins, media, last, text: Arc::new(PieceText::new(text)) });
        *kept = Some(Arc::clone(&text));
        text
    }

    fn size(&self) -> usize {
        let text = self.text.lock();
        let text = text.as_ref().map_or(0, |text| text.text.size());
        let media = self.media().map_or(0, |media| media.size());
        256 + self.best.len() * size_of::<SegmentFile>() + media + text
    }
}

fn is_full(file: &SegmentFile) -> bool {
    file.key.kind == SegmentKind::Full
}

/// How long the longest of these lasts.
fn longest<'f>(files: impl Iterator<Item = &'f SegmentFile>) -> Span {
    files.map(|file| file.key.duration()).max().unwrap_or_default()
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
        let best = into_best_playable(answer.contents);
        let best = Arc::new(BestHour {
            hour,
            version: answer.version,
            longest: longest(best.iter()),
            longest_full: longest(best.iter().filter(|file| is_full(file))),
            best,
            media: Mutex::default(),
            text: Mutex::default(),
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
