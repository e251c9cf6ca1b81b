//! The verb `scrub`: reads files and compares them with their names, now.

use std::process::ExitCode;

use anyhow::Context as _;

use super::api::{Api, OpenNeeds};
use super::args::{ArchiveTarget, ScrubArgs};
use super::config::Config;
use super::cut::end_by_signal;
use super::out::stdout;
use super::progress::Progress;
use super::{Exit, absent};
use crate::archive::escape::shown;
use crate::wire::{DamagedFile, ScrubLine, ScrubOrder, ScrubSummary};

/// Verifies what was asked for; exits with 1 if something is damaged.
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
            "{files} files of {hours} hours read, {bytes} bytes, {rate:.0} MB/s: {quarantined} quarantined, {left} damaged and left, {errors} could not be read"
        )?;
        Ok(())
    }
}
