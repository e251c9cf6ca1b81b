//! What is in segments, as far as a playlist has to know: from the index, and read from the files where the index does not know.
//!
//! 1. Reading takes a list [`READING`] at most, between files; what was not read by then is not known, which is no discontinuity, and a
//!    thread of its own goes on with it: who asks again after a moment is told more.
//! 2. At most [`MOST_OPEN`] files are open at a time, whoever asks, and nothing is held while they are read: no transaction, no lock.
//! 3. What was read goes into the index without waiting for that, and is remembered in memory until then and where the index takes
//!    nothing.
//! 4. A segment that cannot be read is unknown for a while ([`AGAIN`]), and not tried each time somebody asks.
//! 5. Of one that lies in a bucket alone it is known what the manifest of its object says ([`BucketFacts`]).

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::BestHour;
use super::bucket_facts::{BucketFacts, has_changed};
use super::hour_media::{FactsState, HourMedia};
use super::open::{OpenError, open, open_here};
use super::read::edges_of;
use super::threads::by_threads;
use crate::archive::{Hash, HourPlace, SequencePiece, Stream, Timestamp};
use crate::index::{Batch, Learnt};
use crate::jobs::Clock;
use crate::sync::crawl::Keeper;

/// How long one list waits for files to be read.
pub(super) const READING: Duration = Duration::from_secs(1);
/// The same where there is MP4, of which players cannot be told before.
pub(super) const READING_MP4: Duration = Duration::from_secs(10);
/// Files that are open at a time.
const MOST_OPEN: usize = 4;
/// How long a file that could not be read is left alone.
const AGAIN: Duration = Duration::from_secs(60);
/// Segments that are remembered in memory, of some 150 bytes each.
const REMEMBERED: usize = 16_384;
/// How often it is looked whether there is still time to wait for a turn.
const TURN: Duration = Duration::from_millis(10);

/// Which segments are read first, where there may not be time for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// A list that is complete is played from its beginning.
    Oldest,
    /// One that grows is played from its end.
    Newest,
}

/// See the module.
pub(super) struct Learner {
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    recent: Mutex<Recent>,
    turns: FilePermits,
    /// A thread goes on with what there was no time for.
    goes_on: AtomicBool,
}

/// Segments of an hour that are to be read.
struct LearnTask {
    hour: Arc<BestHour>,
    places: Vec<usize>,
}

impl LearnTask {
    /// Notes what was found of some segments of an hour, and returns what of it is to be kept.
    fn note(&self, stream: &Stream, found: &[Option<FactsState>]) -> Option<Learnt> {
        let before = self.hour.media();
        let mut all = before.as_ref().map(|media| media.known.clone()).unwrap_or_default();
        let mut segments = Vec::new();
        for (place, known) in self.places.iter().zip(found) {
            let (Some(known), Some(slot)) = (known, all.get_mut(*place)) else { continue };
            *slot = *known;
            if let (FactsState::Edges(edges), Some(file)) = (known, self.hour.files().get(*place)) {
                segments.push((file.clone(), *edges));
            }
        }
        self.hour.set_media(&Arc::new(HourMedia::new(all, before.and_then(|media| media.noted))));
        let learnt = Learnt { stream: stream.clone(), hour: self.hour.hour(), segments };
        Some(learnt).filter(|learnt| !learnt.segments.is_empty())
    }
}

impl Learner {
    pub(super) fn new(keeper: Arc<Keeper>, clock: Arc<dyn Clock>) -> Self {
        let turns = FilePermits { left: Mutex::new(MOST_OPEN), freed: Condvar::new() };
        Self { keeper, clock, recent: Mutex::default(), turns, goes_on: AtomicBool::new(false) }
    }

    /// Has the segments of a window read of which nothing is known; false if there was no time for all of them.
    pub(super) fn learn(
        self: &Arc<Self>,
        stream: &Stream,
        hours: &[Arc<BestHour>],
        window: (Timestamp, Timestamp),
        first: First,
    ) -> bool {
        self.learn_until(self.clock.now() + READING, stream, hours, window, first)
    }

    pub(super) fn learn_until(
        self: &Arc<Self>,
        until: Duration,
        stream: &Stream,
        hours: &[Arc<BestHour>],
        window: (Timestamp, Timestamp),
        first: First,
    ) -> bool {
        let asked: Vec<&Arc<BestHour>> = hours.iter().filter(|hour| !is_known(hour, window)).collect();
        for hour in asked.iter().filter(|hour| hour.media().is_none()) {
            self.recall(stream, hour, window);
        }
        let tasks = asked
            .iter()
            .map(|hour| LearnTask { hour: Arc::clone(hour), places: unread(hour, window).unwrap_or_default() });
        let mut tasks: VecDeque<LearnTask> = tasks.filter(|task| !task.places.is_empty()).collect();
        if first == First::Newest {
            tasks = tasks.into_iter().rev().collect();
        }
        let mut learnt = Vec::new();
        while let Some(task) = tasks.front() {
            let is_late = || self.clock.now() >= until;
            let found = by_threads(&task.places, |place| self.look(stream, &task.hour, *place, &is_late));
            learnt.extend(task.note(stream, &found.unwrap_or_default()));
            if is_late() {
                break;
            }
            tasks.pop_front();
        }
        if !learnt.is_empty() {
            self.keeper.index().offer(self.batch(learnt));
        }
        let is_all = asked.iter().all(|hour| is_known(hour, window));
        if !is_all {
            self.go_on(stream, tasks);
        }
        is_all
    }

    /// Takes what the index, memory, or a manifest knows of an hour, unless that is known of all its segments in a window; whether it is now.
    pub(super) fn recall(&self, stream: &Stream, hour: &BestHour, window: (Timestamp, Timestamp)) -> bool {
        let (before, place) = (hour.media(), HourPlace { stream: stream.clone(), hour: hour.hour() });
        let noted = before.as_ref().and_then(|media| media.noted);
        let is_stale = noted.is_some_and(|seen| has_changed(&self.keeper, &place, seen));
        if !is_stale && is_known(hour, window) {
            return true;
        }
        let facts = self.keeper.index().facts(&stream.to_string(), hour.hour());
        let facts = facts.inspect_err(|error| {
            tracing::debug!(name: "facts_unread", %stream, hour = %hour.hour(), %error, "the index does not say what is in segments; they are read");
        });
        // What was read stays right, whatever has come or gone since.
        let is_right = |found: &FactsState| !is_stale || matches!(found, FactsState::Edges(_));
        let kept = |at: usize| before.as_ref().and_then(|media| media.found(at)).filter(is_right);
        let hashes = || hour.files().iter().map(|file| &file.key.hash);
        let facts = facts.unwrap_or_default();
        let known = hashes().zip(facts.of(hashes())).enumerate().map(|(at, (hash, indexed))| match indexed {
            Some(edges) => FactsState::Edges(edges),
            None => kept(at).or_else(|| self.remembered(hash)).unwrap_or(FactsState::Unread),
        });
        let media = HourMedia::new(known.collect(), noted.filter(|_| !is_stale));
        let is_asked = media.unread > 0 && media.noted.is_none();
        let in_bucket = Some(place).filter(|_| is_asked).and_then(|place| BucketFacts::of(&self.keeper, &place));
        let media = match in_bucket {
            Some(said) => said.added_to(&media, hour.files()),
            None => media,
        };
        if before.as_deref() != Some(&media) {
            hour.set_media(&Arc::new(media));
        }
        is_known(hour, window)
    }

    /// Looks at one segment; nothing if it is too late for that.
    fn look(&self, stream: &Stream, hour: &BestHour, place: usize, is_late: &dyn Fn() -> bool) -> Option<FactsState> {
        self.read(stream, &hour.piece(hour.files().get(place)?), is_late)
    }

    /// Reads one segment, unless that was done a moment ago; nothing if it is too late for that.
    pub(super) fn read(
        &self,
        stream: &Stream,
        piece: &SequencePiece,
        is_late: &dyn Fn() -> bool,
    ) -> Option<FactsState> {
        if is_late() {
            return None;
        }
        let _turn = self.turns.take(is_late)?;
        if let Some(known) = self.remembered(&piece.file.key.hash) {
            return Some(known);
        }
        let path = format!("{stream}/{}/{}", piece.hour, piece.file.name());
        let file = open_here(&self.keeper, &path, piece.file.size);
        Some(self.read_opened(piece, &path, file))
    }

    /// The same, also of one that lies in a bucket alone, which is brought here for it.
    pub(super) fn read_anywhere(&self, stream: &Stream, piece: &SequencePiece) -> FactsState {
        if let Some(known @ FactsState::Edges(_)) = self.remembered(&piece.file.key.hash) {
            return known;
        }
        let path = format!("{stream}/{}/{}", piece.hour, piece.file.name());
        self.read_opened(piece, &path, open(&self.keeper, &path, piece.file.size))
    }

    fn read_opened(&self, piece: &SequencePiece, path: &str, file: Result<File, OpenError>) -> FactsState {
        let file = file.map_err(io::Error::other);
        let known = match file.and_then(|file| edges_of(&file, piece.file.size, piece.file.key.container)) {
            Ok(edges) => FactsState::Edges(edges),
            Err(error) => {
                tracing::debug!(name: "ends_unread", file = %path, %error, "the ends of a segment cannot be read");
                FactsState::Unreadable
            }
        };
        self.recent.lock().put(piece.file.key.hash, known, self.clock.now());
        known
    }

    /// To be committed with what else there is, if anything is.
    pub(super) fn batch(&self, learnt: Vec<Learnt>) -> Batch {
        Batch { generation: Some(self.keeper.index().catalog().generation()), learnt, ..Batch::default() }
    }

    /// Reads the rest when nobody waits for it. One such thread is enough: what it does not get is read when it is asked for again.
    fn go_on(self: &Arc<Self>, stream: &Stream, tasks: VecDeque<LearnTask>) {
        if self.goes_on.swap(true, Ordering::SeqCst) {
            return;
        }
        let (learner, stream) = (Arc::clone(self), stream.clone());
        let started = std::thread::Builder::new().name("segment-ends".into()).spawn(move || {
            for task in tasks {
                let places = task.hour.media().map(|media| media.unread(0..media.known.len())).unwrap_or_default();
                let places = task.places.into_iter().filter(|place| places.contains(place)).collect();
                let rest = LearnTask { hour: task.hour, places };
                let found = rest.places.iter().map(|place| learner.look(&stream, &rest.hour, *place, &|| false));
                let found: Vec<Option<FactsState>> = found.collect();
                let learnt = rest.note(&stream, &found);
                let kept =
                    learnt.map_or(Ok(()), |learnt| learner.keeper.index().apply(learner.batch(vec![learnt])).map(drop));
                // An index that takes nothing is closed, or has other worries.
                if kept.is_err() {
                    break;
                }
            }
            learner.goes_on.store(false, Ordering::SeqCst);
        });
        if let Err(error) = started {
            tracing::debug!(name: "ends_left", %error, "no thread could be started to read the ends of segments");
            self.goes_on.store(false, Ordering::SeqCst);
        }
    }

    fn remembered(&self, hash: &Hash) -> Option<FactsState> {
        let recent = self.recent.lock();
        let (known, since) = recent.known.get(hash)?;
        let is_due = *known == FactsState::Unreadable && self.clock.now() >= *since + AGAIN;
        (!is_due).then_some(*known)
    }
}

/// Whether nothing of an hour is left to be read in a window.
fn is_known(hour: &BestHour, window: (Timestamp, Timestamp)) -> bool {
    unread(hour, window).is_some_and(|places| places.is_empty())
}

/// The places of an hour in a window of which nothing is known; `None` if nobody has looked at all.
fn unread(hour: &BestHour, (start, end): (Timestamp, Timestamp)) -> Option<Vec<usize>> {
    let media = hour.media();
    if media.as_ref().is_some_and(|media| media.unread == 0) {
        return Some(Vec::new());
    }
    let (best, of) = (hour.files(), hour.hour());
    let from = best.iter().position(|file| file.key.end(of) > start).unwrap_or(best.len());
    let to = best.partition_point(|file| file.key.start(of) < end);
    if from >= to {
        return Some(Vec::new());
    }
    media.map(|media| media.unread(from..to))
}

/// What was read last, by content.
#[derive(Debug, Default)]
struct Recent {
    known: HashMap<Hash, (FactsState, Duration)>,
    /// The oldest first.
    order: VecDeque<Hash>,
}

impl Recent {
    fn put(&mut self, hash: Hash, known: FactsState, now: Duration) {
        if self.known.insert(hash, (known, now)).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Files that may still be opened.
struct FilePermits {
    left: Mutex<usize>,
    freed: Condvar,
}

/// One file that is open.
struct FilePermit<'t>(&'t FilePermits);

impl FilePermits {
    /// Waits for a turn; nothing if it is too late.
    fn take(&self, is_late: &dyn Fn() -> bool) -> Option<FilePermit<'_>> {
        let mut left = self.left.lock();
        while *left == 0 {
            if is_late() {
                return None;
            }
            self.freed.wait_for(&mut left, TURN);
        }
        *left -= 1;
        Some(FilePermit(self))
    }
}

impl Drop for FilePermit<'_> {
    fn drop(&mut self) {
        *self.0.left.lock() += 1;
        self.0.freed.notify_one();
    }
}
