//! Runs ffmpeg: so many at once, for so long, writing so much; what hangs, floods or fails harms nobody else.
//!
//! 1. A turn is waited for, for a while, and before anything is read: what waits takes no memory. Cuts have turns of their own for
//!    as long as they are downloaded: a slow download must not keep others from their pictures.
//! 2. The process is fed from a stream, and what it writes goes to whoever waits, piece by piece, or into the file that it was started with,
//!    whose size is looked at every second; neither is held in whole.
//! 3. It is killed, with whatever it started, at its limit of time or bytes, when nobody waits any more, and when the node ends.
//!    Only when it has been collected its turn is given back and the outcome told.

use std::fs::File;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::FfmpegError;
use super::metrics::Metrics;
use crate::process::{Process, ProcessOrder, last_words};

/// How long a question waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);
/// Cuts that may be downloaded for each process that may run: most of the time a cut runs none, or one that only packs.
const DOWNLOADS: usize = 4;
/// What is read from a process at once.
const PIECE: usize = 64 << 10;
/// Pieces that wait for who is to take them.
const WAITING: usize = 4;
/// A program that started a moment ago will start again.
const SEEN: Duration = Duration::from_secs(60);
/// How often a file is looked at that a process writes.
const LOOK: Duration = Duration::from_secs(1);
/// The file that a process was started with, as its last argument: it can go back in it, which it cannot in a pipe. `-protocol_whitelist` in
/// front of the inputs does not apply to it.
pub(super) const TO_FILE: &str = "file:/proc/self/fd/1";
/// Below everything that serves and records, above the crawl.
const NICENESS: i32 = 10;
/// What has ended has said what it had to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What ffmpeg may do.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The program.
    pub program: String,
    /// Processes that decode or encode at once.
    pub processes: usize,
    /// How long a process may take.
    pub time: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { program: "ffmpeg".into(), processes: 2, time: Duration::from_secs(120) }
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Order {
    /// What for, as metrics and log name it.
    pub work: &'static str,
    /// The arguments after those that all have.
    pub args: Vec<String>,
    /// How long it may take at most.
    pub limit: Limit,
    /// Bytes that it may write.
    pub most: u64,
}

/// When a process has taken too long.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// From its start to its end.
    Whole(Duration),
    /// With nothing read and nothing written, although nobody but the process itself is waited for.
    Still(Duration),
}

/// Leave to work; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// What a process reads.
pub(super) type Input = Pin<Box<dyn Stream<Item = Result<Bytes, FfmpegError>> + Send>>;
/// What it writes. Whoever drops it ends the process.
pub(super) type Output = mpsc::Receiver<Result<Bytes, FfmpegError>>;

/// All that run.
#[derive(Debug)]
pub struct Pool {
    options: PoolOptions,
    turns: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    metrics: Metrics,
    ending: CancellationToken,
    /// When the program was seen to start.
    seen: Mutex<Option<Instant>>,
}

impl Pool {
    /// With nothing running.
    pub fn new(options: PoolOptions, registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(options.processes.max(1))),
            downloads: Arc::new(Semaphore::new(options.processes.max(1) * DOWNLOADS)),
            metrics: Metrics::register(registry)?,
            ending: CancellationToken::new(),
            seen: Mutex::new(None),
            options,
        })
    }

    /// How long a process may take.
    pub fn time(&self) -> Duration {
        self.options.time
    }

    /// Ends all that run; nothing is started any more.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Waits for leave to run a process for this work.
    pub(super) async fn turn(&self, work: &str) -> Result<Turn, FfmpegError> {
        self.among(&self.turns, PATIENCE, work).await
    }

    /// The same for somebody whose download has begun, and would be broken off.
    pub(super) async fn patient_turn(&self, work: &str) -> Result<Turn, FfmpegError> {
        self.among(&self.turns, self.options.time.max(PATIENCE), work).await
    }

    /// Waits for leave to make a cut.
    pub(super) async fn download(&self, work: &str) -> Result<Turn, FfmpegError> {
        self.among(&self.downloads, PATIENCE, work).await
    }

    /// Whether the program starts at all: what may want it only at its end is not begun without it.
    pub(super) async fn check(&self, work: &str) -> Result<(), FfmpegError> {
        let seen = *self.seen.lock();
        if seen.is_some_and(|at| at.elapsed() < SEEN) {
            return Ok(());
        }
        let started = self.process(&["-version".to_owned()], Stdio::piped());
        started.inspect_err(|error| self.told(work, Err(error)))?.end().await;
        *self.seen.lock() = Some(Instant::now());
        Ok(())
    }

    /// The same for whoever writes what comes out somewhere else.
    pub async fn installed(&self, work: &str) -> Result<(), FfmpegError> {
        self.check(work).await
    }

    async fn among(&self, turns: &Arc<Semaphore>, patience: Duration, work: &str) -> Result<Turn, FfmpegError> {
        let waiting = timeout(patience, Arc::clone(turns).acquire_owned());
        let turn = tokio::select! {
            biased;
            () = self.ending.cancelled() => Err(FfmpegError::Ending),
            turn = waiting => turn.ok().and_then(Result::ok).ok_or(FfmpegError::Busy),
        };
        turn.map(|permit| Turn { _permit: permit }).inspect_err(|error| self.told(work, Err(error)))
    }

    /// Does an order whose output is small.
    pub(super) async fn collect(
        self: &Arc<Self>,
        turn: Option<Turn>,
        order: Order,
        input: Vec<Bytes>,
    ) -> Result<Vec<u8>, FfmpegError> {
        let mut output = self.start(turn, order, Box::pin(stream::iter(input.into_iter().map(Ok))))?;
        let mut all = Vec::new();
        while let Some(piece) = output.recv().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// Starts an order; what is written comes as it is written. Without a turn where somebody else holds it until the end.
    pub(super) fn start(
        self: &Arc<Self>,
        turn: Option<Turn>,
        order: Order,
        input: Input,
    ) -> Result<Output, FfmpegError> {
        self.run(turn, order, input, None)
    }

    /// Starts an order that writes to a file, which it takes for [`TO_FILE`]. Nothing comes but the error that ended it, if one did.
    pub(super) fn start_to_file(
        self: &Arc<Self>,
        turn: Option<Turn>,
        order: Order,
        input: Input,
        file: Arc<File>,
    ) -> Result<Output, FfmpegError> {
        self.run(turn, order, input, Some(file))
    }

    fn run(
        self: &Arc<Self>,
        turn: Option<Turn>,
        order: Order,
        input: Input,
        file: Option<Arc<File>>,
    ) -> Result<Output, FfmpegError> {
        let to = match &file {
            None => Stdio::piped(),
            Some(file) => file.try_clone().map_err(|error| failed(&error))?.into(),
        };
        let process = self.process(&arguments(&order.args), to);
        let process = process.inspect_err(|error| self.told(order.work, Err(error)))?;
        let (sender, output) = mpsc::channel(WAITING);
        let pool = Arc::clone(self);
        tokio::spawn(async move { pool.attend(order, process, input, sender, file, turn).await });
        Ok(output)
    }

    fn process(&self, args: &[String], stdout: Stdio) -> Result<Process, FfmpegError> {
        let program = &self.options.program;
        let stdin = Stdio::piped();
        Ok(Process::start(ProcessOrder { program, args, environment: &[], stdin, stdout, niceness: NICENESS })?)
    }

    /// Stays with a process until nothing is left of it.
    async fn attend(
        &self,
        order: Order,
        mut process: Process,
        input: Input,
        sender: mpsc::Sender<Result<Bytes, FfmpegError>>,
        file: Option<Arc<File>>,
        turn: Option<Turn>,
    ) {
        self.metrics.running.inc();
        let _running = scopeguard(&self.metrics);
        let words = tokio::spawn(last_words(process.stderr.take()));
        let moved = Moved::default();
        let work = work(&mut process, input, &sender, file, &order, &moved);
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = sender.closed() => Err(FfmpegError::Gone),
            () = self.ending.cancelled() => Err(FfmpegError::Ending),
            limit = moved.over(order.limit) => Err(FfmpegError::TooSlow(limit)),
        };
        process.end().await;
        let words = timeout(LAST_WORDS, words).await.ok().and_then(Result::ok).unwrap_or_default();
        let outcome = outcome.map_err(|error| match error {
            FfmpegError::Failed { status, .. } => FfmpegError::Failed { status, said: words },
            other => other,
        });
        self.told(order.work, outcome.as_ref().copied());
        drop(turn);
        if let Err(error) = outcome {
            // Whoever has gone is not told.
            sender.send(Err(error)).await.ok();
        }
    }

    pub(super) fn told(&self, work: &str, outcome: Result<(), &FfmpegError>) {
        self.metrics.count(work, outcome);
        match outcome {
            Ok(()) | Err(FfmpegError::Gone | FfmpegError::Ending) => {}
            Err(FfmpegError::Failed { status, said }) => {
                tracing::warn!(name: "ffmpeg_failed", work, status, said, "ffmpeg failed");
            }
            Err(error) => {
                tracing::warn!(name: "ffmpeg_gave_nothing", work, %error, "ffmpeg produced no output");
            }
        }
    }
}

/// What all have in front: nothing but pipes is opened whatever the bytes say, and nothing is asked of a terminal.
fn arguments(own: &[String]) -> Vec<String> {
    let common = ["-nostdin", "-hide_banner", "-nostats", "-loglevel", "warning", "-protocol_whitelist", "pipe"];
    common.map(str::to_owned).into_iter().chain(own.iter().cloned()).collect()
}

/// Counts a process down when its attendant ends, however that is.
fn scopeguard(metrics: &Metrics) -> impl Drop + use<> {
    struct Down(Metrics);
    impl Drop for Down {
        fn drop(&mut self) {
            self.0.running.dec();
        }
    }
    Down(metrics.clone())
}

/// When something moved last, and whether somebody else is waited for.
#[derive(Debug)]
struct Moved {
    last: Mutex<Instant>,
    others: AtomicUsize,
}

impl Default for Moved {
    fn default() -> Self {
        Self { last: Mutex::new(Instant::now()), others: AtomicUsize::new(0) }
    }
}

impl Moved {
    /// Waits for somebody else: that is not the process's time.
    async fn away<T>(&self, other: impl Future<Output = T>) -> T {
        self.others.fetch_add(1, Ordering::Relaxed);
        let came = other.await;
        self.now();
        self.others.fetch_sub(1, Ordering::Relaxed);
        came
    }

    fn now(&self) {
        *self.last.lock() = Instant::now();
    }

    fn since(&self) -> Instant {
        let away = self.others.load(Ordering::Relaxed) > 0;
        if away { Instant::now() } else { *self.last.lock() }
    }

    /// Returns when the limit is over.
    async fn over(&self, limit: Limit) -> Duration {
        match limit {
            Limit::Whole(time) => {
                tokio::time::sleep(time).await;
                time
            }
            Limit::Still(time) => loop {
                let since = self.since();
                if since.elapsed() >= time {
                    return time;
                }
                tokio::time::sleep_until(since + time).await;
            },
        }
    }
}

/// Feeds it, takes what it writes, and waits for its end.
async fn work(
    process: &mut Process,
    input: Input,
    sender: &mpsc::Sender<Result<Bytes, FfmpegError>>,
    file: Option<Arc<File>>,
    order: &Order,
    moved: &Moved,
) -> Result<(), FfmpegError> {
    let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
    let written = async {
        pass_on(stdout, sender, order.most, moved).await?;
        let status = process.ended().await.map_err(|error| failed(&error))?;
        if status.success() { Ok(()) } else { Err(failed(&status)) }
    };
    tokio::select! {
        outcome = written => outcome,
        Err(error) = feed(stdin, input, moved) => Err(error),
        Err(error) = watch(file, order.most, moved) => Err(error),
    }
}

/// Looks at how large the file has become: nothing of it passes through here.
async fn watch(file: Option<Arc<File>>, most: u64, moved: &Moved) -> Result<std::convert::Infallible, FfmpegError> {
    let Some(file) = file else { return std::future::pending().await };
    let mut before = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        // A disk that hangs holds up nothing else.
        let looked = Arc::clone(&file);
        let found = tokio::task::spawn_blocking(move || looked.metadata()).await.map_err(|error| failed(&error))?;
        let bytes = found.map_err(|error| failed(&error))?.len();
        if bytes > most {
            return Err(FfmpegError::TooLarge(most));
        }
        if bytes != before {
            moved.now();
        }
        before = bytes;
    }
}

fn failed(status: &impl ToString) -> FfmpegError {
    FfmpegError::Failed { status: status.to_string(), said: String::new() }
}

/// Ends only when there is nothing to read: a process may well end before it has read all.
async fn feed(
    stdin: Option<ChildStdin>,
    mut input: Input,
    moved: &Moved,
) -> Result<std::convert::Infallible, FfmpegError> {
    if let Some(mut stdin) = stdin {
        loop {
            let Some(piece) = moved.away(input.next()).await else { break };
            if stdin.write_all(&piece?).await.is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}

async fn pass_on(
    stdout: Option<ChildStdout>,
    sender: &mpsc::Sender<Result<Bytes, FfmpegError>>,
    most: u64,
    moved: &Moved,
) -> Result<(), FfmpegError> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    let mut left = most;
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        let read = stdout.read_buf(&mut buffer).await.map_err(|error| failed(&error))?;
        if read == 0 {
            return Ok(());
        }
        left = left.checked_sub(read as u64).ok_or(FfmpegError::TooLarge(most))?;
        moved.away(sender.send(Ok(buffer.split().freeze()))).await.map_err(|_| FfmpegError::Gone)?;
    }
}
