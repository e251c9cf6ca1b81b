//! The verbs `seal` and `manifest`: writes manifests of hours that are over, and prints one.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::absent;
use super::api::{Api, OpenNeeds};
use super::args::ArchiveTarget;
use super::config::{Config, time_between};
use super::cut::end_by_signal;
use super::exit::{Exit, UsageError};
use super::out::{raw_stdout, stdout};
use super::progress::Progress;
use crate::archive::HourPlace;
use crate::archive::escape::shown;
use crate::archive::quantity::{count, size};
use crate::wire::{SealLine, SealOrder, SealSummary};

#[derive(Debug, Clone, clap::Args)]
pub struct SealArgs {
    /// What to seal; everything by default
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub targets: Vec<ArchiveTarget>,
    /// How long an hour must have been over, and unchanged [default: `archive.seal_after`]
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| time_between(text, "0s", "365days"))]
    pub after: Option<Duration>,
    /// Say what would be sealed; read no segment and write no manifest
    #[arg(long, visible_alias = "dry-run")]
    pub plan: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub struct ManifestArgs {
    /// The hour
    #[arg(value_name = "CHANNEL/QUALITY/HOUR")]
    pub hour: ArchiveTarget,
}

pub async fn run(config: &Config, args: &SealArgs) -> anyhow::Result<ExitCode> {
    let stop = end_by_signal()?;
    let mut report = Report { json: config.json, progress: Progress::stderr(), lines: Vec::new() };
    let needs = OpenNeeds { every_hour: true, new_index: true, ..OpenNeeds::default() };
    let after_seconds = args.after.map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX));
    let summary = Api::with(config, needs, async |api| {
        for target in &args.targets {
            absent::require_target(api, target).await?;
        }
        let places = args.targets.iter().map(ArchiveTarget::to_string).collect();
        let order = SealOrder { places, after_seconds, dry_run: args.plan };
        // The work ends when the answer is not read.
        tokio::select! {
            done = ask(api, &order, &mut report) => done,
            () = stop.cancelled() => anyhow::bail!("stopped by a signal before all was sealed"),
        }
    })
    .await;
    report.progress.finish();
    let summary = summary?;
    report.end(&summary, args.plan)?;
    Ok(if summary.errors == 0 { Exit::Done.into() } else { Exit::DataWrong.into() })
}

async fn ask(api: &Api, order: &SealOrder, report: &mut Report) -> anyhow::Result<SealSummary> {
    let mut lines = api.post("api/v1/seal", order)?.ask().await?;
    while let Some(line) = lines.line().await? {
        match serde_json::from_str(&line).context("the node answered something else than expected")? {
            SealLine::Begin { bytes, .. } if !order.dry_run => report.progress.start(Some(bytes), "bytes"),
            SealLine::Begin { .. } => {}
            SealLine::Progress { bytes } => report.progress.advance(bytes),
            SealLine::Done(summary) => return Ok(summary),
            SealLine::Failed { why } => anyhow::bail!("sealing could not be completed: {why}"),
            line => report.hour(line, order.dry_run),
        }
    }
    anyhow::bail!("the node ended before all was sealed")
}

/// Prints what becomes of each hour on stdout, and how far it is on stderr.
struct Report {
    json: bool,
    progress: Progress,
    lines: Vec<SealLine>,
}

impl Report {
    fn hour(&mut self, line: SealLine, is_plan: bool) {
        if self.json {
            self.lines.push(line);
            return;
        }
        let told = match &line {
            SealLine::Sealed { hour, .. } if is_plan => format!("{}: would be sealed", shown(hour)),
            SealLine::Sealed { hour, files, .. } => {
                format!("{}: sealed, {}", shown(hour), count(files.unwrap_or_default(), "file"))
            }
            SealLine::Open { hour, why } | SealLine::Unseen { hour, why } => {
                format!("{}: not sealed: {}", shown(hour), shown(why))
            }
            SealLine::Begin { .. } | SealLine::Progress { .. } | SealLine::Done(_) | SealLine::Failed { .. } => return,
        };
        // A disk that is full where this goes is no reason to leave hours open.
        writeln!(stdout(), "{told}").unwrap_or_default();
    }

    fn end(&self, summary: &SealSummary, is_plan: bool) -> anyhow::Result<()> {
        let mut out = stdout();
        if self.json {
            return Ok(out.json(&serde_json::json!({ "summary": summary, "hours": self.lines }))?);
        }
        let SealSummary { sealed, sealed_before, open, bytes, errors } = summary;
        let sealed = count(*sealed, "hour");
        let unseen = if *errors == 0 { String::new() } else { format!(", something is wrong with {errors}") };
        if is_plan {
            writeln!(out, "{sealed} would be sealed; {sealed_before} are, {open} stay open{unseen}")?;
        } else {
            let read = size(*bytes);
            writeln!(out, "{sealed} sealed ({read} read); {sealed_before} were before, {open} stay open{unseen}")?;
        }
        Ok(())
    }
}

pub async fn manifest(config: &Config, args: &ManifestArgs) -> anyhow::Result<ExitCode> {
    let asked = args.hour.to_string();
    let place = HourPlace::parse(&asked)
        .map_err(|error| UsageError(format!("{}: expected CHANNEL/QUALITY/HOUR: {error}", shown(&asked))))?;
    let bytes = Api::with(config, OpenNeeds::default(), async |api| {
        absent::require_target(api, &args.hour).await?;
        let answer = api.get("api/v1/manifest").of(&place.stream).part(place.hour).ask().await?;
        Ok(answer.bytes().await?)
    })
    .await?;
    if config.json {
        let text = String::from_utf8_lossy(&bytes);
        stdout().json(&serde_json::json!({ "hour": asked, "manifest": text }))?;
    } else {
        // To the byte: it is for other programs.
        let mut out = raw_stdout();
        match out.write_all(&bytes).and_then(|()| out.flush()) {
            // Whoever reads it has enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            done => done.context("cannot write to standard output")?,
        }
    }
    Ok(Exit::Done.into())
}
