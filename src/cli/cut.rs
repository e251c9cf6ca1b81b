//! The verb `cut`: a stretch as a file.
//!
//! 1. What is written is a hidden temporary beside the file until it is complete and flushed; then it is renamed.
//! 2. A file that is there is not replaced, unless that is said.
//! 3. Signals end it in order: the temporary is removed, ffmpeg is killed, the index is closed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use reqwest::StatusCode;
use tempfile::{Builder, NamedTempFile};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::absent;
use super::api::{Api, ApiError, OpenNeeds};
use super::args::{parse_stream, parse_time};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::out::{raw_stdout, stderr_line};
use super::progress::Progress;
use crate::archive::escape::shown;
use crate::archive::{Stream, Timestamp};

#[derive(Debug, Clone, clap::Args)]
pub struct CutArgs {
    /// The channel and quality
    #[arg(value_name = "CHANNEL/QUALITY")]
    pub stream: String,
    /// Start, such as 2019-11-13T04:05:06 (UTC), yesterday 14:30 or 1h ago
    #[arg(value_name = "START", value_parser = parse_time, allow_hyphen_values = true)]
    pub start: Timestamp,
    /// End
    #[arg(value_name = "END", value_parser = parse_time, allow_hyphen_values = true)]
    pub end: Timestamp,
    /// Where to write it; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// How to cut; without it, the name says it: .ts is rough, .mp4 is mp4
    #[arg(long = "type", value_enum)]
    pub kind: Option<CutType>,
    /// Write the rest if something is missing; by default nothing is written then
    #[arg(long)]
    pub allow_holes: bool,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CutType {
    /// Whole segments as they are; may start earlier and end later
    Rough,
    /// Transport stream, exact to the picture; only the ends are encoded. Needs ffmpeg
    Smart,
    /// The same, as MP4
    Mp4,
}

impl CutType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rough => "rough",
            Self::Smart => "smart",
            Self::Mp4 => "mp4",
        }
    }
}

pub async fn run(config: &Config, args: &CutArgs) -> anyhow::Result<ExitCode> {
    let (stream, start, end) = read(args)?;
    let kind = kind(args)?;
    let stop = end_by_signal()?;
    let target = Target::begin(&args.output, args.force)?;
    let progress = Progress::stderr();
    let done = Api::with(config, OpenNeeds::default(), async |api| {
        // What is dropped removes its temporary, and hangs up.
        tokio::select! {
            done = write(api, &stream, (start, end), (asked(args, kind), args.allow_holes), target, &progress) => done,
            () = stop.cancelled() => anyhow::bail!("stopped by a signal before the cut was complete"),
        }
    })
    .await;
    progress.finish();
    match done {
        Ok(()) => Ok(Exit::Done.into()),
        Err(error) if error.is::<Enough>() => Ok(Exit::Done.into()),
        Err(error) if status(&error) == Some(StatusCode::NOT_ACCEPTABLE) => {
            stderr_line(format_args!("gapless: {error:#}"));
            stderr_line(format_args!(
                "What is missing: gapless holes {}{} --editable --edges --from {start} --to {end}; with --allow-holes it is cut around.",
                elsewhere(&config.base_dir),
                shown(&stream.to_string())
            ));
            Ok(Exit::DataWrong.into())
        }
        Err(error) => Err(error),
    }
}

/// The flag that a command needs which is copied from what this one says, unless it finds the archive without.
fn elsewhere(base: &Path) -> String {
    if base == Path::new(".") { String::new() } else { format!("--base-dir {} ", shown(&base.to_string_lossy())) }
}

fn status(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref().and_then(ApiError::status)
}

fn kind(args: &CutArgs) -> Result<CutType, UsageError> {
    let by_name = match args.output.extension().and_then(|extension| extension.to_str()) {
        _ if args.kind.is_some() => args.kind,
        Some("ts") => Some(CutType::Rough),
        Some("mp4") => Some(CutType::Mp4),
        _ if args.output == Path::new("-") => Some(CutType::Rough),
        _ => None,
    };
    by_name.ok_or_else(|| {
        UsageError(format!(
            "{} does not say what to write: expected a name that ends in .ts (the segments as they are) or .mp4, or --type rough, smart or mp4",
            args.output.display()
        ))
    })
}

/// What the cut is called to the node, and its type if that decides. Segments in MP4 that cannot be cut exactly are sent as they are where
/// a name alone says MP4.
fn asked(args: &CutArgs, kind: CutType) -> (&'static str, Option<CutType>) {
    let is_mp4 = args.output.extension().is_some_and(|extension| extension == "mp4");
    match kind {
        CutType::Mp4 if args.kind.is_none() => (".mp4", None),
        CutType::Rough if is_mp4 => (".mp4", Some(kind)),
        _ => (".ts", Some(kind)),
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

fn read(args: &CutArgs) -> Result<(Stream, Timestamp, Timestamp), UsageError> {
    let stream = parse_stream(&args.stream)?;
    let (start, end) = (args.start, args.end);
    if end <= start {
        return Err(UsageError(format!("the end, {end}, is not after the start, {start}")));
    }
    Ok((stream, start, end))
}

async fn write(
    api: &Api,
    stream: &Stream,
    (start, end): (Timestamp, Timestamp),
    ((ending, kind), allow_holes): ((&str, Option<CutType>), bool),
    mut target: Target,
    progress: &Progress,
) -> anyhow::Result<()> {
    let question = api.get("cut").part(&stream.channel).part(format!("{}{ending}", stream.quality));
    let question = question.with("start", start).with("end", end).with_some("type", kind.map(CutType::as_str));
    let mut answer = match question.with("allow_holes", allow_holes).ask().await {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
            absent::require(api, stream.channel.as_str(), Some(stream.quality.as_str())).await?;
            return Err(error.into());
        }
        answer => answer?,
    };
    progress.start(answer.total(), "bytes");
    while let Some(piece) = answer.piece().await? {
        tokio::task::block_in_place(|| target.write(&piece))?;
        progress.advance(piece.len() as u64);
    }
    tokio::task::block_in_place(|| target.finish())
}

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
        if !directory.is_dir() {
            let words = format!("{} is not a directory; make it, or give another -o", directory.display());
            return Err(UsageError(words).into());
        }
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
        let persisted = if force { temporary.persist(&path) } else { temporary.persist_noclobber(&path) };
        persisted.map_err(|error| error.error).with_context(failed)?;
        Ok(())
    }
}

/// The reader may close the pipe early; then there is nothing left to do.
fn to_stdout(done: io::Result<()>) -> anyhow::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Enough.into()),
        done => done.context("cannot write to standard output"),
    }
}

/// The reader of the cut has gone.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
struct Enough;

/// A temporary is for its owner alone; what it becomes is an ordinary file.
fn share(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_says_how_to_cut_unless_that_is_given() {
        let chosen = |output: &str, given: Option<CutType>| {
            let args = CutArgs {
                stream: String::new(),
                start: Timestamp::from_us(0),
                end: Timestamp::from_us(1),
                output: output.into(),
                kind: given,
                allow_holes: false,
                force: false,
            };
            kind(&args)
        };
        assert_eq!(chosen("a.ts", None).unwrap(), CutType::Rough);
        assert_eq!(chosen("-", None).unwrap(), CutType::Rough);
        assert_eq!(chosen("dir.ts/a.mp4", None).unwrap(), CutType::Mp4);
        assert_eq!(chosen("a.mp4", Some(CutType::Rough)).unwrap(), CutType::Rough);
        assert_eq!(chosen("a", Some(CutType::Smart)).unwrap(), CutType::Smart);
        for none in ["a", "a.mkv", "a.", ".ts"] {
            let said = chosen(none, None).unwrap_err().0;
            assert!(said.contains("ends in .ts") && said.contains("--type rough, smart or mp4"), "{said}");
        }
    }
}
