//! Hears of changes as they happen, and has the keeper look at just what changed.
//!
//! 1. Watches lie on the base, on channels and qualities, on the newest hours of each quality and on hours that have just changed.
//!    Old hours hold none. What is the newest is [`Horizon::watched`](crate::archive::Horizon::watched): a stray hour of the future is not.
//! 2. A watch is placed first and the directory is compared afterwards: changes in between are found by one or the other.
//! 3. Where no watch can be placed (limit reached, no events from this file system) the newest hours are compared twice a second instead.
//! 4. What is touched in several hours is committed together. Where there was more than one, the next commit is not before [`REST`] times as
//!    long as this one took, so that commits take a tenth of the time however many recorders write; one segment alone never waits.
//! 5. After an overflow everything that is watched is read again, and the loss is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{CrawlError, Keeper};
use crate::archive::{HourPlace, Stream};
use crate::disk::{DirWatcher, DiskError, DiskEvent, Waker, WatchOutcome};
use crate::jobs::Stop;

/// How often what cannot be watched is compared.
const POLL: Duration = Duration::from_millis(500);
/// How long an hour that is not among the newest keeps its watch after its last event.
const LINGER: Duration = Duration::from_secs(60);
/// New hours that are looked at one by one.
const FEW_HOURS: usize = 8;
/// Directories beneath a top-level one without hours that are watched at most: extras can have very many.
const EXTRAS_WATCHED: usize = 16;

/// How long is rested after a commit of several hours, in times of what it took, and the longest: a segment is to be listed within 100 ms.
const REST: u32 = 9;
const LONGEST_REST: Duration = Duration::from_millis(50);

/// What can be chosen about watching.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// Newest hours of each quality that hold watches.
    pub hours_per_quality: usize,
    /// Most watches.
    pub max_watches: usize,
    /// How long events are gathered before they are looked at.
    pub window: Duration,
}

/// What the watcher has met, for status and metrics.
#[derive(Debug, Default)]
pub struct WatchStatus {
    /// Watches that are placed.
    pub watches: AtomicU64,
    /// Events read.
    pub events: AtomicU64,
    /// Overflows of the event queue.
    pub overflows: AtomicU64,
    /// Directories that could not be watched and are compared instead.
    pub unwatched: AtomicU64,
    /// Failures to bring an hour into line.
    pub errors: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl WatchStatus {
    /// Why not everything can be watched, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }
}

/// The watcher. Runs in a thread of its own.
pub struct Watch {
    keeper: Arc<Keeper>,
    options: WatchOptions,
    stop: Stop,
    status: Arc<WatchStatus>,
    again: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What the thread holds.
struct Watching {
    watcher: Option<DirWatcher>,
    hours: HashMap<HourPlace, Instant>,
    /// Hours to compare, and whether comparing does not suffice: of a file that was changed in place the directory shows nothing.
    poll_hours: BTreeMap<HourPlace, bool>,
    poll_structure: bool,
    /// Nothing is committed before.
    rests_until: Instant,
}

impl Watch {
    /// Ready to [`Watch::run`].
    pub fn new(keeper: Arc<Keeper>, options: WatchOptions, stop: Stop) -> Self {
        Self { keeper, options, stop, status: Arc::default(), again: AtomicBool::new(false), waker: Mutex::default() }
    }

    /// What it has met.
    pub fn status(&self) -> &Arc<WatchStatus> {
        &self.status
    }

    /// Places all watches anew: the disk has come back, or the index began anew.
    pub fn rewatch(&self) {
        self.again.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Ends a blocked reading, so that a stop is noticed.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake();
        }
    }

    /// Works until it is stopped.
    pub fn run(&self) {
        let mut watching = self.begin();
        let mut swept = Instant::now();
        while !self.stop.is_stopped() {
            if self.again.swap(false, Ordering::SeqCst) {
                watching = self.begin();
            }
            match self.gather(&mut watching) {
                Ok(events) if !events.is_empty() => self.handle(&mut watching, events),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(name: "watch_failed", %error, "watching has failed; all watches are placed anew");
                    self.stop.wait(POLL);
                    watching = self.begin();
                }
            }
            if swept.elapsed() >= POLL {
                self.poll(&mut watching);
                self.trim(&mut watching);
                swept = Instant::now();
            }
        }
    }

    fn begin(&self) -> Watching {
        self.keeper.freshness.clear();
        let watcher = DirWatcher::new().map_err(|error| self.status.set_trouble(Some(error.to_string()))).ok();
        *self.waker.lock() = watcher.as_ref().map(DirWatcher::waker);
        let mut watching = Watching {
            watcher,
            hours: HashMap::new(),
            poll_hours: BTreeMap::new(),
            poll_structure: false,
            rests_until: Instant::now(),
        };
        self.settle_structure(&mut watching);
        for place in self.newest() {
            self.watch_hour(&mut watching, &place, false);
        }
        watching
    }

    /// Waits for events, and a moment longer for their company.
    fn gather(&self, watching: &mut Watching) -> Result<Vec<DiskEvent>, DiskError> {
        let Some(watcher) = &mut watching.watcher else {
            self.stop.wait(POLL);
            return Ok(Vec::new());
        };
        let mut events = watcher.read(POLL)?;
        let window = self.options.window.max(watching.rests_until.saturating_duration_since(Instant::now()));
        if !events.is_empty() && !self.stop.wait(window) {
            events.extend(watcher.read(Duration::ZERO)?);
        }
        self.status.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        Ok(events)
    }

    fn handle(&self, watching: &mut Watching, events: Vec<DiskEvent>) {
        let mut touched: BTreeMap<HourPlace, BTreeSet<OsString>> = BTreeMap::new();
        let mut appeared = BTreeSet::new();
        let (mut structure, mut gone) = (false, Vec::new());
        for event in events {
            match event {
                DiskEvent::Appeared { dir, name, is_dir } | DiskEvent::Vanished { dir, name, is_dir } if !is_dir => {
                    if let Some(place) = hour_place(&dir) {
                        touched.entry(place).or_default().insert(name);
                    }
                }
                DiskEvent::Appeared { dir, name, .. } => match hour_place(&dir.join(name)) {
                    Some(place) => drop(appeared.insert(place)),
                    None => structure |= depth(&dir) < 3,
                },
                DiskEvent::Vanished { dir, .. } => structure |= depth(&dir) < 3,
                DiskEvent::DirGone(path) => {
                    if let Some(place) = hour_place(&path) {
                        self.forget(watching, &place);
                        gone.push(place);
                    }
                    structure = true;
                }
                DiskEvent::Overflow => {
                    self.status.overflows.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(name: "watch_overflow", "the queue of file events overflowed; everything that is watched is read again");
                    self.read_again(watching);
                    return;
                }
            }
        }
        // Many hours at once are one batch of the structure; the newest get their watches with it, the crawl reads the rest.
        let many = appeared.len() > FEW_HOURS;
        if structure || many {
            self.settle_structure(watching);
        }
        // What a bucket has of it stays, and nobody may ask for the hour.
        self.keeper.hand_over(gone);
        for place in appeared.into_iter().filter(|_| !many) {
            self.watch_hour(watching, &place, false);
        }
        let begun = Instant::now();
        for place in touched.keys() {
            if let Some(last_event) = watching.hours.get_mut(place) {
                *last_event = begun;
            }
        }
        for (place, error) in self.keeper.touch_all(&touched) {
            self.failed(watching, &place, &error);
        }
        if touched.len() > 1 {
            watching.rests_until = Instant::now() + (begun.elapsed() * REST).min(LONGEST_REST);
        }
    }

    fn read_again(&self, watching: &mut Watching) {
        let hours: Vec<HourPlace> = watching.hours.keys().cloned().collect();
        for place in &hours {
            self.forget(watching, place);
        }
        self.settle_structure(watching);
        let all: BTreeSet<HourPlace> = hours.into_iter().chain(self.newest()).collect();
        for place in all {
            self.watch_hour(watching, &place, true);
        }
    }

    /// The hour could not be brought into line: it counts as unwatched and is tried again.
    fn failed(&self, watching: &mut Watching, place: &HourPlace, error: &CrawlError) {
        self.status.errors.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(name: "hour_not_updated", hour = %place, %error, "an hour could not be brought into line; it is tried again");
        self.keeper.freshness.unwatch(place);
        watching.poll_hours.insert(place.clone(), true);
    }

    fn forget(&self, watching: &mut Watching, place: &HourPlace) {
        self.keeper.freshness.unwatch(place);
        watching.poll_hours.remove(place);
        if watching.hours.remove(place).is_some()
            && let Some(watcher) = &mut watching.watcher
        {
            watcher.unwatch(&place.path());
        }
    }

    /// Watches an hour and compares it.
    fn watch_hour(&self, watching: &mut Watching, place: &HourPlace, read: bool) {
        let generation = self.keeper.index.catalog().generation();
        let placed = self.place(watching, &place.path());
        if placed != Some(true) {
            self.forget(watching, place);
        }
        if placed == Some(false) {
            return;
        }
        match self.keeper.reconcile(std::slice::from_ref(place), read) {
            Ok(_) if placed == Some(true) => {
                watching.hours.insert(place.clone(), Instant::now());
                watching.poll_hours.remove(place);
                self.keeper.freshness.watch(generation, place);
            }
            Ok(_) => drop(watching.poll_hours.insert(place.clone(), false)),
            Err(error) => {
                watching.hours.insert(place.clone(), Instant::now());
                self.failed(watching, place, &error);
            }
        }
    }

    /// Places a watch: true, or false if there is no such directory, or nothing where it cannot be watched.
    fn place(&self, watching: &mut Watching, path: &Path) -> Option<bool> {
        let base = self.keeper.base().ok()?;
        let watcher = watching.watcher.as_mut()?;
        if watcher.watched() >= self.options.max_watches && !watcher.is_watched(path) {
            self.status
                .set_trouble(Some(format!("all {} watches that are configured are in use", self.options.max_watches)));
            return None;
        }
        let outcome = watcher.watch(&base, path);
        self.status.watches.store(watcher.watched() as u64, Ordering::Relaxed);
        match outcome {
            Ok(WatchOutcome::Placed | WatchOutcome::AlreadyThere) => Some(true),
            Ok(WatchOutcome::Gone) => Some(false),
            Ok(WatchOutcome::LimitReached { allowed }) => {
                self.status.set_trouble(Some(format!(
                    "the system allows {allowed} watches and they are used up: raise fs.inotify.max_user_watches; \
                     until then the newest hours are compared twice a second"
                )));
                None
            }
            Ok(WatchOutcome::Unsupported) => {
                self.status.set_trouble(Some(
                    "this file system reports no changes; the newest hours are compared twice a second".into(),
                ));
                None
            }
            Err(error) => {
                self.status.set_trouble(Some(error.to_string()));
                None
            }
        }
    }

    /// Watches the base, channels and qualities, and compares them, until nothing new turns up.
    fn settle_structure(&self, watching: &mut Watching) {
        let generation = self.keeper.index.catalog().generation();
        self.keeper.freshness.structure_watched(generation, false);
        let mut watched_before = usize::MAX;
        let mut is_complete = false;
        // Each round reaches one level deeper at least.
        for _ in 0..8 {
            watching.poll_structure = self.place(watching, Path::new("")) != Some(true);
            let (directories, all) = self.directories();
            is_complete = all;
            for path in directories {
                if self.place(watching, Path::new(&path)).is_none() {
                    watching.poll_structure = true;
                }
            }
            match self.keeper.reconcile_structure() {
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(name: "structure_not_updated", %error, "channels and qualities could not be compared; it is tried again");
                    watching.poll_structure = true;
                    break;
                }
            }
            let now = watching.watcher.as_ref().map_or(0, DirWatcher::watched);
            if std::mem::replace(&mut watched_before, now) == now {
                break;
            }
        }
        self.keeper.freshness.structure_watched(generation, is_complete && !watching.poll_structure);
        let newest: BTreeSet<HourPlace> = self.newest().into_iter().collect();
        let unwatched: Vec<HourPlace> =
            newest.iter().filter(|place| !watching.hours.contains_key(*place)).cloned().collect();
        for place in unwatched {
            self.watch_hour(watching, &place, false);
        }
    }

    /// The directories above the hours that are worth a watch, and whether those are all.
    fn directories(&self) -> (Vec<String>, bool) {
        let Ok(known) = self.keeper.index.directories() else { return (Vec::new(), false) };
        let streams: BTreeSet<String> = self.keeper.index.catalog().streams().iter().map(Stream::to_string).collect();
        let mut without_hours: HashMap<String, usize> = HashMap::new();
        let (mut worth, mut all) = (Vec::new(), true);
        for (path, _) in known {
            match path.split_once('/') {
                _ if path.is_empty() => {}
                Some((top, _)) if !streams.contains(&path) => {
                    let count = without_hours.entry(top.to_owned()).or_default();
                    *count += 1;
                    all &= *count <= EXTRAS_WATCHED;
                    if *count <= EXTRAS_WATCHED {
                        worth.push(path);
                    }
                }
                _ => worth.push(path),
            }
        }
        (worth, all)
    }

    /// The newest hours of every quality, the one that runs among them, and what changes beyond the horizon.
    fn newest(&self) -> Vec<HourPlace> {
        let horizon = self.keeper.horizon();
        let state = self.keeper.index.catalog().read();
        let of_stream = |entry: &crate::index::catalog::StreamEntry| {
            let hours = horizon.watched(&entry.hours, self.options.hours_per_quality);
            hours.into_iter().map(|hour| HourPlace { stream: entry.stream.clone(), hour }).collect::<Vec<_>>()
        };
        state.streams.values().flat_map(of_stream).collect()
    }

    /// Compares what cannot be watched, and tries to watch it.
    fn poll(&self, watching: &mut Watching) {
        if watching.watcher.is_none() {
            *watching = self.begin();
        } else if watching.poll_structure {
            self.settle_structure(watching);
        }
        for (place, read) in std::mem::take(&mut watching.poll_hours) {
            self.watch_hour(watching, &place, read);
        }
        if !watching.poll_structure && watching.poll_hours.is_empty() && watching.watcher.is_some() {
            self.status.set_trouble(None);
        }
        self.status
            .unwatched
            .store(watching.poll_hours.len() as u64 + u64::from(watching.poll_structure), Ordering::Relaxed);
    }

    /// Gives up the watches of hours that are neither new nor busy.
    fn trim(&self, watching: &mut Watching) {
        let newest: BTreeSet<HourPlace> = self.newest().into_iter().collect();
        let idle: Vec<HourPlace> = watching
            .hours
            .iter()
            .filter(|(place, last_event)| !newest.contains(place) && last_event.elapsed() > LINGER)
            .map(|(place, _)| place.clone())
            .collect();
        for place in &idle {
            self.forget(watching, place);
            // Once more: an event of it may be behind an overflow that has not been read yet, and from now on nothing would look for it.
            if let Err(error) = self.keeper.reconcile(std::slice::from_ref(place), false) {
                self.failed(watching, place, &error);
            }
        }
        watching.poll_hours.retain(|place, read| *read || newest.contains(place));
    }
}

fn depth(path: &Path) -> usize {
    path.components().filter(|part| matches!(part, Component::Normal(_))).count()
}

fn hour_place(path: &Path) -> Option<HourPlace> {
    if depth(path) != 3 {
        return None;
    }
    HourPlace::parse(path.to_str()?).ok()
}
