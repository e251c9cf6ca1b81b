//! What others are given of coverage: gauges as text, the map as a picture, and a page that shows it. Works nothing out: that is
//! `archive::coverage` and, pixel by pixel, `map`. Thumbnails are here because their pictures are PNG, too (`picture`). Asks no other node.

mod gauges;
pub mod map;
mod picture;
mod publish;
pub mod thumbnail;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::map::{MOST_HOURS, Painter, ROWS};
use crate::archive::coverage::{Stretch, Window};
use crate::archive::{Hour, Stream, Timestamp};
use crate::disk::Base;
use crate::index::IndexError;
use crate::jobs::{Backoff, Failure, Job, JobHandle, JobState, Next, Stop, rest_after};
use crate::sync::crawl::Keeper;

use publish::{is_published, tidy};

pub use gauges::{CoverageGauges, LiveGauges};
pub use picture::{NoPicture, PictureError, curve, decode, encode, png};
pub use publish::{DIRECTORY, PublishError, ShownNode, maps_of, page, publish, write_file};

/// Share of a processor that drawing may take: an archive of very many qualities is drawn less often.
const CPU_SHARE: f64 = 0.1;

/// Hours that are in memory at a time.
const AT_ONCE: usize = 2_000;

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(10);

/// How long it may work without a sign of going on: one map takes seconds at most.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

/// What the job works with.
pub struct MapParts {
    /// Index and disk.
    pub keeper: Arc<Keeper>,
    /// Turns true when the index has caught up with the disk.
    pub ready: watch::Receiver<bool>,
    /// All known nodes, this one first.
    pub nodes: Box<dyn Fn() -> Vec<ShownNode> + Send + Sync>,
}

/// The job that keeps `coverage-maps/` beneath the base up to date, for plain file servers and links that are there already.
///
/// 1. Every so often it looks at the version of each quality in memory, and draws those that changed: however many segments came in
///    between, each map is drawn once.
/// 2. A quality whose map cannot be written costs no other. What goes wrong is logged when it begins and when it is over.
/// 3. A map shows what is shown by default ([`Horizon::view`](crate::archive::Horizon::view)): a stray hour of 2099 or 1970 is left out.
/// 4. Maps of qualities that are gone stay: they are small, and somebody may look for them.
pub struct MapWriter {
    parts: MapParts,
    every: Duration,
    stop: Stop,
    has_begun: bool,
    written: BTreeMap<Stream, DrawnState>,
    is_failing: bool,
    is_tidy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DrawnState {
    generation: u64,
    structure: u64,
    changed: u64,
    view: (Hour, Hour),
    page: String,
}

#[derive(Debug, thiserror::Error)]
enum MapError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Job for MapWriter {
    fn kind(&self) -> &'static str {
        "maps"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn backoff(&self) -> Backoff {
        Backoff::from(self.every)
    }

    /// The first maps come when the index has caught up and the first interval is over.
    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if !std::mem::replace(&mut self.has_begun, true) {
            handle.set_state(JobState::Waiting, "waits for the first run", Some(self.every));
            return Ok(Next::WhenWoken(self.every));
        }
        let began = Instant::now();
        if !*self.parts.ready.borrow() {
            handle.set_state(JobState::Waiting, "waits until the index has caught up", None);
            return Ok(Next::WhenWoken(self.every));
        }
        // While the disk is away the maps are, too.
        let Ok(base) = self.parts.keeper.guard().base() else {
            handle.set_state(JobState::Stalled, "the archive is not there", None);
            return Ok(Next::WhenWoken(self.every));
        };
        let drawn = self.once(&base, handle)?;
        handle.doing("the maps are as the archive is");
        let rest = self.every.max(rest_after(began.elapsed(), CPU_SHARE));
        Ok(if drawn > 0 { Next::After(rest) } else { Next::WhenWoken(rest) })
    }
}

impl MapWriter {
    /// Looks so often.
    pub fn new(parts: MapParts, every: Duration, stop: Stop) -> Self {
        let every = every.max(SHORTEST);
        Self { parts, every, stop, has_begun: false, written: BTreeMap::new(), is_failing: false, is_tidy: false }
    }

    /// Tells how many maps it drew; an error if there is one that could not be written, which keeps it from no other.
    fn once(&mut self, base: &Base, handle: &JobHandle) -> Result<u64, Failure> {
        if !std::mem::replace(&mut self.is_tidy, true)
            && let Err(error) = tidy(base)
        {
            tracing::debug!(name: "temporaries_kept", %error, "the directory of maps was not tidied");
        }
        let nodes = (self.parts.nodes)();
        let (mut failing, mut drawn) = (BTreeMap::new(), 0);
        let streams = self.parts.keeper.index().catalog().streams().into_iter();
        let streams: BTreeSet<Stream> = streams.filter(|stream| !stream.quality.is_chat()).collect();
        for stream in &streams {
            if self.stop.is_stopped() {
                return Ok(drawn);
            }
            handle.sign();
            match self.follow(base, stream, page(stream, &nodes), handle) {
                Ok(is_drawn) => drawn += u64::from(is_drawn),
                Err(error) => drop(failing.insert(stream.clone(), error)),
            }
        }
        self.written.retain(|stream, _| streams.contains(stream));
        self.tell(base, &failing);
        match failing.pop_first() {
            None => Ok(drawn),
            Some((stream, error)) => Err(format!("the map of {stream} cannot be written: {error}").into()),
        }
    }

    /// Draws the map of a quality, if it is not the one that is there; tells whether it did.
    fn follow(&mut self, base: &Base, stream: &Stream, page: String, handle: &JobHandle) -> Result<bool, MapError> {
        let index = self.parts.keeper.index();
        let Some(state) = self.look(stream, page) else { return Ok(false) };
        if self.written.get(stream) == Some(&state) && is_published(base, stream)? {
            return Ok(false);
        }
        handle.doing(format!("draws {stream}"));
        let (first, last) = state.view;
        let from = first.max(last.earlier(MOST_HOURS - 1));
        let mut painter = Painter::of_hours(from, last);
        let mut next = Some(from);
        while let Some(begin) = next {
            let found = index.coverage(stream, &Window::of_hours(begin, last), AT_ONCE)?;
            next = found.next;
            let end = next.map_or(Timestamp::MAX, Hour::start);
            painter.add(&found.coverage, Stretch { start: begin.start(), end });
        }
        let picture = png(&painter.finish(), ROWS).map_err(PublishError::from)?;
        publish(base, stream, &picture, &state.page)?;
        self.written.insert(stream.clone(), state);
        Ok(true)
    }

    /// How a quality is now. Before its coverage is read: so a map is never older than what is noted.
    fn look(&self, stream: &Stream, page: String) -> Option<DrawnState> {
        let horizon = self.parts.keeper.horizon();
        let catalog = self.parts.keeper.index().catalog().read();
        let entry = catalog.streams.get(&stream.to_string())?;
        let view = horizon.view(&entry.hours)?;
        let (structure, changed) = (entry.structure, entry.changed);
        Some(DrawnState { generation: catalog.generation, structure, changed, view, page })
    }

    fn tell(&mut self, base: &Base, failing: &BTreeMap<Stream, MapError>) {
        let place = maps_of(base.path()).display().to_string();
        // One more or one less is no news.
        let before = std::mem::replace(&mut self.is_failing, !failing.is_empty());
        if before == self.is_failing {
            return;
        }
        if let Some((stream, error)) = failing.first_key_value() {
            tracing::warn!(name: "maps_not_written", place, count = failing.len(), %stream, %error, "maps cannot be written, and will be retried; [coverage] maps = \"off\" turns them off");
        } else {
            tracing::info!(name: "maps_written_again", place, "all maps can be written again");
        }
    }
}
