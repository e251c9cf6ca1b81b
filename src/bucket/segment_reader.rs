//! Gives single files of archived hours, as if they were local: each is an opened file with exactly the bytes that the hour's manifest promises.
//!
//! 1. What is in the cache costs no request. What is on its way is waited for, so that many who ask for one file cause one request.
//! 2. A file is given out when all of it is here and its hash is right, and never otherwise.
//! 3. Who goes on from file to file finds them here: several come in one request, and the next one begins before it is needed. Who asks for single
//!    files here and there causes nothing but these.
//! 4. Whoever goes away holds up nobody, and takes nothing from others who wait for the same.
//! 5. A store that is away, refuses or has too much to do is left alone for a while; meanwhile its answer is the one that it gave.
//! 6. A few requests are under way at a time, and what they hold in memory is a few pieces each.

use std::fs::File;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::back_off::{BackOff, FailedPart};
use super::client::Bucket;
use super::error::BucketError;
use super::range_fetch::FetchTools;
use super::range_request::{GivenFile, RangeRequest};
use super::read_ahead::{ReadAhead, asked_range, next_range};
use super::read_error::SegmentReadError;
use super::reader_figures::{ReaderCounters, ReaderFigures, count};
use super::segment_cache::SegmentCache;
use crate::archive::{Hash, ManifestFile, ObjectName, PackedHour};

/// Requests under way at a time: as many as there are connections that are kept.
const MOST_REQUESTS: usize = 4;

/// Bytes that one request brings at most for who goes on from file to file, unless one file has more.
pub const READ_AHEAD: u64 = 32 << 20;

/// The reader. Cloning it is cheap, and shares everything.
#[derive(Debug, Clone)]
pub struct SegmentReader {
    shared: Arc<Shared>,
    runtime: Handle,
}

#[derive(Debug)]
struct Shared {
    tools: Arc<FetchTools>,
    places: Semaphore,
    state: Mutex<ReaderState>,
}

#[derive(Debug)]
struct ReaderState {
    /// Under way, or waiting for a place.
    requests: Vec<Arc<RangeRequest>>,
    back_off: BackOff<SegmentReadError>,
    read_ahead: ReadAhead,
}

/// What somebody asks for.
struct AskedFile<'o> {
    object: &'o Arc<PackedHour>,
    name: ObjectName,
    /// In the order of the manifest.
    at: usize,
}

/// What there is to do for a file.
enum Step {
    /// It is in the cache now.
    Look,
    Wait(oneshot::Receiver<GivenFile>),
}

impl SegmentReader {
    /// One whose requests are done by this runtime.
    pub fn new(bucket: Bucket, cache: SegmentCache, runtime: Handle) -> Self {
        Self::reading_ahead(bucket, cache, runtime, READ_AHEAD)
    }

    /// The same with another limit than [`READ_AHEAD`].
    pub fn reading_ahead(bucket: Bucket, cache: SegmentCache, runtime: Handle, bytes: u64) -> Self {
        let tools = FetchTools { bucket, cache: Arc::new(cache), counters: ReaderCounters::default() };
        let state = ReaderState { requests: Vec::new(), back_off: BackOff::new(), read_ahead: ReadAhead::new(bytes) };
        let places = Semaphore::new(MOST_REQUESTS);
        Self { shared: Arc::new(Shared { tools: Arc::new(tools), places, state: Mutex::new(state) }), runtime }
    }

    /// A file of an object, opened for reading at its beginning. Dropping the future gives up the place among those who wait.
    pub async fn open(&self, object: &Arc<PackedHour>, name: &str) -> Result<File, SegmentReadError> {
        let files = object.manifest().files();
        let no_file = || SegmentReadError::NoFile { object: object.object_name(), name: name.to_owned() };
        let at = object.manifest().position(name).ok_or_else(no_file)?;
        let file = files.get(at).ok_or_else(no_file)?;
        let counters = &self.shared.tools.counters;
        let asked = AskedFile { object, name: object.object_name(), at };
        let ahead = self.note(&asked);
        loop {
            if let Some(kept) = self.kept(file).await {
                self.read_on(&asked, ahead);
                count(&counters.hits, 1);
                count(&counters.hit_bytes, file.size);
                return Ok(kept);
            }
            match self.step(&asked, ahead)? {
                Step::Look => {}
                Step::Wait(given) => {
                    self.read_on(&asked, ahead);
                    count(&counters.misses, 1);
                    // It goes without a word only with the runtime.
                    return given.await.unwrap_or_else(|_| Err(BucketError::Stopped.into()));
                }
            }
        }
    }

    /// The same for a thread that may wait. Not to be called from a task of a runtime.
    pub fn open_blocking(&self, object: &Arc<PackedHour>, name: &str) -> Result<File, SegmentReadError> {
        self.runtime.block_on(self.open(object, name))
    }

    /// By which its requests are done.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Lets go of what is kept of these contents. Blocks.
    pub fn let_go(&self, contents: impl IntoIterator<Item = Hash>) {
        let cache = &self.shared.tools.cache;
        contents.into_iter().for_each(|hash| cache.let_go(&hash));
    }

    /// What it has done.
    pub fn figures(&self) -> ReaderFigures {
        let FetchTools { cache, counters, .. } = &*self.shared.tools;
        let (kept_wrong, kept_bytes, limit_bytes) = (cache.wrong_files(), cache.bytes(), cache.limit());
        ReaderFigures { kept_wrong, kept_bytes, limit_bytes, ..counters.figures() }
    }

    /// Why a file of an object could not be read when it was last asked for; `None` if nothing is known against it.
    pub fn last_failure(&self, object: &PackedHour, name: &str) -> Option<SegmentReadError> {
        let at = object.manifest().position(name)?;
        self.shared.state.lock().back_off.last(object.object_name().manifest, at)
    }

    async fn kept(&self, file: &ManifestFile) -> Option<File> {
        let (hash, size) = (file.sha256, file.size);
        if !self.shared.tools.cache.contains(&hash) {
            return None;
        }
        let cache = Arc::clone(&self.shared.tools.cache);
        self.runtime.spawn_blocking(move || cache.get(&hash, size)).await.ok().flatten()
    }

    /// How many bytes whoever asks is to have ahead.
    fn note(&self, asked: &AskedFile<'_>) -> u64 {
        let kept_bytes = self.shared.tools.cache.bytes_for_reading_ahead();
        self.shared.state.lock().read_ahead.note(asked.name.manifest, asked.at, kept_bytes, Instant::now())
    }

    /// Joins a request that brings the file, or begins one.
    fn step(&self, asked: &AskedFile<'_>, ahead: u64) -> Result<Step, SegmentReadError> {
        let (object, cache) = (asked.name.manifest, &self.shared.tools.cache);
        let mut state = self.shared.state.lock();
        if let Some(given) = state.of_object(&asked.name).find_map(|request| request.join(asked.at)) {
            return Ok(Step::Wait(given));
        }
        let files = asked.object.manifest().files();
        // It may have come since it was looked for.
        if files.get(asked.at).is_some_and(|file| cache.contains(&file.sha256)) {
            return Ok(Step::Look);
        }
        if let Some(error) = state.back_off.answer(object, asked.at, Instant::now()) {
            return Err(error);
        }
        let range = asked_range(files, asked.at, ahead, |file, at| state.knows(cache, &asked.name, file, at));
        let request = Arc::new(RangeRequest::new(Arc::clone(asked.object), asked.name.clone(), range, false));
        let given = request.join(asked.at).ok_or(BucketError::Stopped)?;
        state.read_ahead.grow(object, asked.at);
        state.requests.push(Arc::clone(&request));
        drop(state);
        self.runtime.spawn(Arc::clone(&self.shared).run(request));
        Ok(Step::Wait(given))
    }

    /// Begins a request for what is asked next, if that is neither here nor on its way, and others leave a place for it.
    fn read_on(&self, asked: &AskedFile<'_>, ahead: u64) {
        if ahead == 0 {
            return;
        }
        let (object, cache) = (asked.name.manifest, &self.shared.tools.cache);
        let mut state = self.shared.state.lock();
        if state.requests.len() + 1 >= MOST_REQUESTS {
            return;
        }
        let files = asked.object.manifest().files();
        let next = next_range(files, asked.at, ahead, |file, at| state.knows(cache, &asked.name, file, at));
        let Some(range) = next else { return };
        if state.back_off.answer(object, range.start, Instant::now()).is_some() {
            return;
        }
        let request = Arc::new(RangeRequest::new(Arc::clone(asked.object), asked.name.clone(), range, true));
        state.read_ahead.grow(object, asked.at);
        state.requests.push(Arc::clone(&request));
        drop(state);
        self.runtime.spawn(Arc::clone(&self.shared).run(request));
    }
}

impl ReaderState {
    fn of_object(&self, name: &ObjectName) -> impl Iterator<Item = &Arc<RangeRequest>> {
        self.requests.iter().filter(move |request| request.name == *name)
    }

    /// Whether a file is here or on its way.
    fn knows(&self, cache: &SegmentCache, name: &ObjectName, file: &ManifestFile, at: usize) -> bool {
        cache.contains(&file.sha256) || self.of_object(name).any(|request| request.brings(at))
    }
}

impl Shared {
    fn run(self: Arc<Self>, request: Arc<RangeRequest>) -> impl Future<Output = ()> {
        let listed = ListedRequest { shared: Arc::clone(&self), request: Arc::clone(&request) };
        async move {
            // The places are never closed.
            let Ok(_place) = self.places.acquire().await else { return };
            if let Some(error) = self.answer_instead(&request) {
                return listed.end(&error);
            }
            let outcome = self.tools.fetch(&request).await;
            let object = request.name.manifest;
            let mut state = self.state.lock();
            let now = Instant::now();
            for (at, error) in &outcome.damaged {
                state.back_off.failed(FailedPart::File(object, *at), error.clone(), now);
            }
            if let Some(error) = &outcome.failed {
                if let Some(part) = failed_part(error, &request) {
                    state.back_off.failed(part, error.clone(), now);
                }
            } else {
                state.back_off.went_well(FailedPart::Store);
                state.back_off.went_well(FailedPart::Object(object));
            }
            drop(state);
            for (at, error) in &outcome.damaged {
                request.fails_at(*at, error);
            }
            listed.end(&outcome.failed.unwrap_or_else(|| BucketError::Stopped.into()));
        }
    }

    /// Whether a request that has got its place is not to be done after all: nobody waits any more, or the store has failed meanwhile.
    fn answer_instead(&self, request: &RangeRequest) -> Option<SegmentReadError> {
        if !request.is_ahead && request.ends_unless_awaited() {
            return Some(BucketError::Stopped.into());
        }
        self.state.lock().back_off.answer(request.name.manifest, request.files.start, Instant::now())
    }
}

/// What an error says something of; `None` if it says nothing of the store.
fn failed_part(error: &SegmentReadError, request: &RangeRequest) -> Option<FailedPart> {
    match error {
        SegmentReadError::Bucket(error) if matches!(**error, BucketError::Stopped) => None,
        SegmentReadError::Bucket(error) if error.is_about_the_object() => {
            Some(FailedPart::Object(request.name.manifest))
        }
        SegmentReadError::Bucket(_) => Some(FailedPart::Store),
        SegmentReadError::NoFile { .. } | SegmentReadError::Disk(_) => None,
    }
}

/// A request in the list, which it leaves whatever happens; whoever still waits for it is told.
struct ListedRequest {
    shared: Arc<Shared>,
    request: Arc<RangeRequest>,
}

impl ListedRequest {
    fn end(self, error: &SegmentReadError) {
        self.leave();
        self.request.fails(error);
    }

    fn leave(&self) {
        self.shared.state.lock().requests.retain(|listed| !Arc::ptr_eq(listed, &self.request));
    }
}

impl Drop for ListedRequest {
    fn drop(&mut self) {
        self.leave();
        self.request.fails(&BucketError::Stopped.into());
    }
}
