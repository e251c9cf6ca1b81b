//! The verbs `scrub`, `quarantine` and `flagged`: reads files and compares them with their names, now; what it found damaged, and what
//! it found odd. The last two need no index: all of it lies beneath the base, and a running daemon notices files that come back.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

use super::absent;
use super::api::{Api, OpenNeeds};
use super::args::ArchiveTarget;
use super::config::Config;
use super::cut::end_by_signal;
use super::exit::{Exit, UsageError};
use super::out::stdout;
use super::progress::Progress;
use crate::archive::FilePlace;
use crate::archive::escape::{shown, unshown};
use crate::archive::quantity::{count, size};
use crate::disk::{Base, DiskError, Quarantine};
use crate::sync::scrub::{QuarantineContents, all_held, each, list_of, read_flagged};
use crate::wire::{
    DamagedFile, HandledFile, QuarantineChange, QuarantineList, QuarantineOrder, QuarantinedFile, ScrubLine,
    ScrubOrder, ScrubSummary,
};

pub async fn run(config: &Config, args: &ScrubArgs) -> anyhow::Result<ExitCode> {
    let stop = end_by_signal()?;
    let mut report = Report::new(config.json);
    let needs = OpenNeeds { every_hour: true, new_index: true, ..OpenNeeds::default() };
    let summary = Api::with(config, needs, async |api| {
        for target in &args.targets {
            absent::require_target(api, target).await?;
        }
        let places = args.targets.iter().map(ArchiveTarget::to_string).collect();
        let order = ScrubOrder { places, yes: args.yes, threads: args.threads.or(api.local().map(|_| 2)) };
        // The work ends when the answer is not read.
        tokio::select! {
            done = ask(api, &order, &mut report) => done,
            () = stop.cancelled() => anyhow::bail!("stopped by a signal before the scrub was complete"),
        }
    })
    .await;
    report.progress.finish();
    let summary = summary?;
    report.end(&summary)?;
    Ok(if summary.is_fine() { Exit::Done.into() } else { Exit::DataWrong.into() })
}

async fn ask(api: &Api, order: &ScrubOrder, report: &mut Report) -> anyhow::Result<ScrubSummary> {
    let mut lines = api.post("api/v1/scrub", order)?.ask().await?;
    while let Some(line) = lines.line().await? {
        match serde_json::from_str(&line).context("the node answered something else than expected")? {
            ScrubLine::Begin { files, .. } => report.progress.start(Some(files), "files"),
            ScrubLine::Progress { files, .. } => report.progress.advance(files),
            ScrubLine::Damaged(file) => report.damaged(file),
            ScrubLine::Unseen { path, why } => {
                tracing::error!(name: "scrub_unseen", path, error = why, "something could not be scrubbed");
            }
            ScrubLine::Done(summary) => return Ok(summary),
            ScrubLine::Failed { why } => anyhow::bail!("the scrub could not be completed: {why}"),
        }
    }
    anyhow::bail!("the node ended before the scrub was complete")
}

/// Prints what is damaged on stdout as it is found, and how far it is on stderr.
struct Report {
    json: bool,
    progress: Progress,
    damaged: Vec<DamagedFile>,
    began: std::time::Instant,
}

impl Report {
    fn new(json: bool) -> Self {
        Self { json, progress: Progress::stderr(), damaged: Vec::new(), began: std::time::Instant::now() }
    }

    fn damaged(&mut self, file: DamagedFile) {
        if self.json {
            self.damaged.push(file);
            return;
        }
        let detail = file.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let (path, faults) = (shown(&file.path), file.faults.join("; "));
        // A disk that is full where this goes is no reason to leave files unread.
        writeln!(stdout(), "{}: {path}: {faults}{detail}", file.outcome).unwrap_or_default();
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn end(&self, summary: &ScrubSummary) -> anyhow::Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut out = stdout();
        if self.json {
            let damaged = &self.damaged;
            return Ok(out.json(&serde_json::json!({ "summary": summary, "damaged": damaged, "seconds": seconds }))?);
        }
        let ScrubSummary { hours, files, bytes, quarantined, left, errors } = summary;
        let rate = *bytes as f64 / 1e6 / seconds.max(1e-3);
        writeln!(
            out,
            "{} of {} read, {}, {rate:.0} MB/s: {quarantined} quarantined, {left} damaged and left, {errors} could not be read",
            count(*files, "file"),
            count(*hours, "hour"),
            size(*bytes)
        )?;
        Ok(())
    }
}

pub async fn quarantine(config: &Config, args: &QuarantineArgs) -> anyhow::Result<ExitCode> {
    let base = Base::open(&config.base_dir)?;
    match args.what.as_ref().unwrap_or(&QuarantineVerb::List) {
        QuarantineVerb::List => list(config, &base),
        QuarantineVerb::Restore { paths } => restore(config, &base, paths).await,
        QuarantineVerb::Purge { paths, healed } => purge(config, &base, paths, *healed).await,
    }
}

fn read(base: &Base) -> anyhow::Result<QuarantineList> {
    let contents = QuarantineContents::default();
    contents.look(base, &|_| false)?;
    Ok(list_of(&contents, usize::MAX))
}

fn list(config: &Config, base: &Base) -> anyhow::Result<ExitCode> {
    let list = read(base)?;
    let mut out = stdout();
    if config.json {
        out.json(&list)?;
        return Ok(Exit::Done.into());
    }
    for QuarantinedFile { kept, size: bytes, report } in &list.files {
        let fate = match &report.healed {
            Some(when) => format!("here again since {when}"),
            None if report.problem == "structure" => "not fetched again under this name".to_owned(),
            None => "not here again".to_owned(),
        };
        writeln!(out, "{}", shown(path_of(kept)))?;
        writeln!(out, "  lies in {}, {}, since {}", shown(kept), size(*bytes), report.at)?;
        writeln!(out, "  {}", report.faults.join("; "))?;
        writeln!(out, "  {fate}")?;
    }
    if list.count == 0 {
        writeln!(out, "the quarantine is empty")?;
    } else {
        writeln!(out, "{}, {}; {} not restored", count(list.count, "damaged file"), size(list.bytes), list.lost)?;
    }
    Ok(Exit::Done.into())
}

/// `CHANNEL/QUALITY/HOUR/NAME` of where something lies in the quarantine.
fn path_of(kept: &str) -> &str {
    kept.strip_prefix(".gapless/quarantine/").unwrap_or(kept)
}

/// A daemon does it itself, so that all that it says follows at once.
async fn restore(config: &Config, base: &Base, paths: &[String]) -> anyhow::Result<ExitCode> {
    let files = places(paths)?;
    let change = if let Some(change) = ordered(config, "restore", &files, false).await? {
        change
    } else {
        all_held(base, &files)?;
        each(base, &files, |file| put_back(base, file))
    };
    print_change(config, &change, |file| format!("restored {}", shown(&file.path)))
}

fn put_back(base: &Base, FilePlace { hour: place, name }: &FilePlace) -> Result<bool, DiskError> {
    let hour = place.hour.to_string();
    let dir = base.make_dirs([place.stream.channel.as_str(), place.stream.quality.as_str(), &hour])?;
    Quarantine::of(base).put_back(place, &dir, name)
}

async fn purge(config: &Config, base: &Base, paths: &[String], healed: bool) -> anyhow::Result<ExitCode> {
    let mut files = places(paths)?;
    let change = if let Some(change) = ordered(config, "purge", &files, healed).await? {
        change
    } else {
        if healed {
            let here_again = read(base)?.files.into_iter().filter(|file| file.report.healed.is_some());
            files.extend(here_again.map(|file| place(&file.kept)).collect::<Result<Vec<_>, _>>()?);
        }
        all_held(base, &files)?;
        each(base, &files, |file| Ok::<_, DiskError>(Quarantine::of(base).delete(&file.hour, &file.name)?.is_some()))
    };
    print_change(config, &change, |file| format!("deleted {}, {}", shown(&file.path), size(file.size)))
}

/// What a daemon did of it, if one runs.
async fn ordered(
    config: &Config,
    what: &str,
    files: &[FilePlace],
    healed: bool,
) -> anyhow::Result<Option<QuarantineChange>> {
    let Some(daemon) = Api::running(config).await else { return Ok(None) };
    let order = QuarantineOrder { paths: files.iter().map(FilePlace::to_string).collect(), healed };
    Ok(Some(daemon.post(&format!("api/v1/quarantine/{what}"), &order)?.json().await?))
}

fn print_change(
    config: &Config,
    change: &QuarantineChange,
    line: impl Fn(&HandledFile) -> String,
) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(change)?;
    } else {
        change.files.iter().try_for_each(|file| writeln!(out, "{}", line(file)))?;
    }
    match &change.failed {
        Some(why) => anyhow::bail!("{}", shown(why)),
        None => Ok(Exit::Done.into()),
    }
}

fn places(paths: &[String]) -> Result<Vec<FilePlace>, UsageError> {
    paths.iter().map(|path| place(&unshown(path))).collect()
}

fn place(path: &str) -> Result<FilePlace, UsageError> {
    let within = path_of(path);
    FilePlace::parse(within).map_err(|error| {
        UsageError(format!(
            "{}: {error}; expected CHANNEL/QUALITY/HOUR/NAME as `gapless quarantine list` prints it",
            Path::new(path).display()
        ))
    })
}

pub fn flagged(config: &Config) -> anyhow::Result<ExitCode> {
    let list = read_flagged(&Base::open(&config.base_dir)?)?;
    let mut out = stdout();
    if config.json {
        out.json(&list)?;
        return Ok(Exit::Done.into());
    }
    for file in &list.files {
        writeln!(out, "{}", shown(&file.path))?;
        writeln!(out, "  {} since {}: {}", file.problem, file.at, file.faults.join("; "))?;
    }
    let (flagged, left_out) = (count(list.count, "segment"), list.left_out);
    let more = if left_out > 0 { format!("; {left_out} more were found in this cycle") } else { String::new() };
    writeln!(out, "{flagged} flagged{more}")?;
    Ok(Exit::Done.into())
}

#[derive(Debug, Clone, clap::Args)]
pub struct ScrubArgs {
    /// What to check; everything by default. A file means its whole hour
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub targets: Vec<ArchiveTarget>,
    /// Check once, then exit: the default, accepted for scripts
    #[arg(long)]
    pub once: bool,
    /// Move damaged files to the quarantine however many they are
    #[arg(long)]
    pub yes: bool,
    /// Threads that read; one where a daemon does it, and two where none runs, unless it is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    pub what: Option<QuarantineVerb>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum QuarantineVerb {
    /// List what lies there, and why
    List,
    /// Move files back, if their place is free; the next scrub finds damaged ones again
    Restore {
        /// Path, as `list` prints it
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
    },
    /// Delete files for ever
    Purge {
        /// Path, as `list` prints it
        #[arg(value_name = "PATH", required_unless_present = "healed")]
        paths: Vec<String>,
        /// All those that are here again with the right content
        #[arg(long)]
        healed: bool,
    },
}
