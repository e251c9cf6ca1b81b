//! The verb `cut`: a stretch as a file. Asks the daemon if one runs, and reads the archive itself if none does.
//!
//! 1. What is written is a hidden temporary beside the file until it is complete and flushed; then it is renamed.
//! 2. A file that is there is not replaced, unless that is said.
//! 3. Signals end it in order: the temporary is removed, ffmpeg is killed, the index is closed.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use prometheus::Registry;
use tempfile::{Builder, NamedTempFile};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::{CutArgs, CutType};
use super::client::{ClientError, Daemon, path, query};
use super::config::Config;
use super::offline::Offline;
use super::out::{raw_stdout, stderr_line};
use super::progress::Progress;
use super::{Exit, UsageError};
use crate::domain::escape::{shown, unshown};
use crate::domain::{Stream, Timestamp};
use crate::ffmpeg::{self, Container, Pool};
use crate::playback::{self, CutAsk, CutPlan, Playback, PlaybackError};
use crate::runtime::SystemClock;

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// Writes a stretch to a file.
pub async fn run(config: &Config, args: &CutArgs) -> anyhow::Result<ExitCode> {
    let (stream, start, end) = read(args)?;
    let stop = end_by_signal()?;
    let target = Target::begin(&args.output, args.force)?;
    let progress = Progress::stderr();
    let work = async {
        match Daemon::find(&config.state_dir).await {
            Some(daemon) => by_daemon(&daemon, &stream, (start, end), args, target, &progress).await,
            None => tokio::task::block_in_place(|| {
                by_itself(config, &stream, (start, end), args, (target, &stop), &progress)
            }),
        }
    };
    // What is dropped removes its temporary, and hangs up on the daemon.
    let done = tokio::select! {
        done = work => done,
        () = stop.cancelled() => go_on(&stop),
    };
    progress.finish();
    match done {
        Ok(()) => Ok(Exit::Done.into()),
        Err(error) if error.is::<Enough>() => Ok(Exit::Done.into()),
        Err(error) if is_about_holes(&error) => {
            stderr_line(format_args!("{error:#}"));
            stderr_line(format_args!(
                "What is missing: gapless holes {} --editable --edges --from {start} --to {end}; with --allow-holes it is cut around.",
                shown(&stream.to_string())
            ));
            Ok(Exit::DataWrong.into())
        }
        Err(error) => Err(error),
    }
}

/// Is cancelled by the first signal. A second one ends this process at once: what is written may go to who does not read.
pub(super) fn end_by_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let telling = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            if telling.is_cancelled() {
                std::process::exit(Exit::Failed as i32);
            }
            telling.cancel();
            signals.recv().await;
            std::process::exit(Exit::Failed as i32);
        });
    }
    Ok(stop)
}

/// An error if a signal came.
fn go_on(stop: &CancellationToken) -> anyhow::Result<()> {
    anyhow::ensure!(!stop.is_cancelled(), "stopped by a signal before the cut was complete");
    Ok(())
}

fn is_about_holes(error: &anyhow::Error) -> bool {
    let by_daemon = matches!(error.downcast_ref(), Some(ClientError::Refused { status, .. }) if status.as_u16() == 406);
    by_daemon || matches!(error.downcast_ref(), Some(PlaybackError::Holes { .. } | PlaybackError::Nothing(_)))
}

fn read(args: &CutArgs) -> Result<(Stream, Timestamp, Timestamp), UsageError> {
    let stream = Stream::parse(&unshown(&args.stream))
        .map_err(|error| UsageError(format!("{:?}: {error}; expected is CHANNEL/QUALITY", args.stream)))?;
    let time = |text: &str| {
        let expected = "expected is an ISO 8601 time in UTC, such as 2019-11-13T02:55:08";
        Timestamp::parse(text).ok_or_else(|| UsageError(format!("{text:?} is no time; {expected}")))
    };
    let (start, end) = (time(&args.start)?, time(&args.end)?);
    if end <= start {
        return Err(UsageError(format!("the end, {end}, is not after the start, {start}")));
    }
    Ok((stream, start, end))
}

async fn by_daemon(
    daemon: &Daemon,
    stream: &Stream,
    (start, end): (Timestamp, Timestamp),
    args: &CutArgs,
    mut target: Target,
    progress: &Progress,
) -> anyhow::Result<()> {
    let file = format!("{}.ts", stream.quality);
    let address = path(["cut", stream.channel.as_str(), &file]);
    let (start, end) = (start.to_string(), end.to_string());
    let allow_holes = args.allow_holes.to_string();
    let pairs =
        [("start", &*start), ("end", &*end), ("type", args.kind.as_str()), ("allow_holes", allow_holes.as_str())];
    let mut pieces = daemon.get_pieces(&query(&address, pairs)).await?;
    progress.start(pieces.total(), "bytes");
    while let Some(piece) = pieces.next().await? {
        tokio::task::block_in_place(|| target.write(&piece))?;
        progress.advance(piece.len() as u64);
    }
    tokio::task::block_in_place(|| target.finish())
}

fn by_itself(
    config: &Config,
    stream: &Stream,
    (start, end): (Timestamp, Timestamp),
    args: &CutArgs,
    (mut target, stop): (Target, &CancellationToken),
    progress: &Progress,
) -> anyhow::Result<()> {
    let offline = Offline::open(config)?;
    let playback =
        Playback::new(Arc::clone(&offline.keeper), Arc::new(SystemClock::new()), super::node::playback_options(config));
    let ask = CutAsk { stream: stream.clone(), ranges: vec![(Some(start), Some(end))], allow_holes: args.allow_holes };
    let done = playback.cut(&ask).map_err(Into::into).and_then(|plan| match args.kind {
        CutType::Rough => rough(&playback, &plan, (&mut target, stop), progress),
        CutType::Smart => exact(config, &playback, &plan, Container::Ts, (&mut target, stop), progress),
        CutType::Mp4 => exact(config, &playback, &plan, Container::Mp4, (&mut target, stop), progress),
    });
    offline.close();
    done?;
    target.finish()
}

/// The files as they are, back to back.
fn rough(
    playback: &Playback,
    plan: &CutPlan,
    (target, stop): (&mut Target, &CancellationToken),
    progress: &Progress,
) -> anyhow::Result<()> {
    let files: Vec<(String, u64)> = plan.files().collect();
    progress.start(Some(files.iter().map(|(_, len)| len).sum()), "bytes");
    let mut chunk = vec![0; CHUNK];
    for (place, len) in files {
        let mut file = playback::open(playback.keeper(), &place, len)?;
        loop {
            go_on(stop)?;
            let read = file.read(&mut chunk).with_context(|| format!("cannot read {place}"))?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            target.write(bytes)?;
            progress.advance(bytes.len() as u64);
        }
    }
    Ok(())
}

/// Through ffmpeg, exact to the picture.
fn exact(
    config: &Config,
    playback: &Playback,
    plan: &CutPlan,
    format: Container,
    (target, stop): (&mut Target, &CancellationToken),
    progress: &Progress,
) -> anyhow::Result<()> {
    // Nobody asks this process for its metrics.
    let pool = Arc::new(Pool::new(super::node::ffmpeg_options(config), &Registry::new())?);
    let parts = ffmpeg::clips(playback, plan, &[]);
    progress.start(None, "bytes");
    let cutting = async {
        let mut pieces = ffmpeg::smart(&pool, parts, format).await?;
        while let Some(piece) = pieces.next().await {
            go_on(stop)?;
            let piece = piece?;
            target.write(&piece)?;
            progress.advance(piece.len() as u64);
        }
        Ok(())
    };
    tokio::runtime::Handle::current().block_on(async {
        tokio::select! {
            done = cutting => done,
            () = stop.cancelled() => go_on(stop),
        }
    })
}

/// Where the cut is written to.
enum Target {
    Stdout(io::Stdout),
    File { temporary: NamedTempFile, path: PathBuf, force: bool },
}

impl Target {
    fn begin(output: &Path, force: bool) -> anyhow::Result<Self> {
        if output == Path::new("-") {
            return Ok(Self::Stdout(raw_stdout()));
        }
        if !force && output.symlink_metadata().is_ok() {
            let words = format!("{} is there already; with --force it is replaced", output.display());
            return Err(UsageError(words).into());
        }
        let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = Builder::new().prefix(".gapless-cut-").suffix(".tmp").tempfile_in(directory);
        let temporary = temporary.with_context(|| format!("cannot write into {}", directory.display()))?;
        Ok(Self::File { temporary, path: output.to_owned(), force })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => to_stdout(out.write_all(bytes)),
            Self::File { temporary, path, .. } => {
                temporary.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        let (temporary, path, force) = match self {
            Self::Stdout(mut out) => return to_stdout(out.flush()),
            Self::File { temporary, path, force } => (temporary, path, force),
        };
        let failed = || format!("cannot write {}", path.display());
        share(temporary.as_file()).and_then(|()| temporary.as_file().sync_all()).with_context(failed)?;
        let kept = if force { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
        kept.map_err(|error| error.error).with_context(failed)?;
        Ok(())
    }
}

/// Whoever reads may have enough, and then there is nothing left to do.
fn to_stdout(done: io::Result<()>) -> anyhow::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Enough.into()),
        done => done.context("cannot write to standard output"),
    }
}

/// Nobody reads what is cut any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
struct Enough;

/// A temporary is for its owner alone; what it becomes is an ordinary file.
fn share(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}
