//! The verb `scrub`: reads files and compares them with their names, now. Asks the daemon if one runs; opens the index itself if none does.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::args::ScrubArgs;
use super::client::Daemon;
use super::config::Config;
use super::cut::end_by_signal;
use super::offline::Offline;
use super::out::stdout;
use super::progress::Progress;
use super::{Exit, UsageError};
use crate::domain::escape::shown;
use crate::scrub::{QuarantineContents, Scrub, ScrubFinding, ScrubLimits, ScrubObserver, ScrubOptions, damaged_file};
use crate::wire::{DamagedFile, ScrubLine, ScrubOrder, ScrubSummary};

/// Verifies what was asked for; exits with 1 if something is damaged.
pub async fn run(config: &Config, args: &ScrubArgs) -> anyhow::Result<ExitCode> {
    let stop = end_by_signal()?;
    let told = Arc::new(Told::new(config.json, stop.clone()));
    let places = args.targets.iter().map(ToString::to_string).collect();
    let order = ScrubOrder { places, yes: args.yes };
    let summary = if let Some(daemon) = Daemon::find(&config.state_dir).await {
        // A daemon whose answer nobody reads ends the work.
        tokio::select! {
            done = ask(&daemon, &order, &told) => done?,
            () = stop.cancelled() => ScrubSummary::default(),
        }
    } else {
        let (config, threads, working) = (config.clone(), usize::from(args.threads), Arc::clone(&told));
        let work = tokio::task::spawn_blocking(move || offline(&config, &order, threads, &working));
        work.await.context("the work ended badly")??
    };
    anyhow::ensure!(!stop.is_cancelled(), "stopped by a signal before the scrub was complete");
    told.end(&summary)?;
    Ok(if summary.is_fine() { Exit::Done.into() } else { Exit::DataWrong.into() })
}

fn offline(config: &Config, order: &ScrubOrder, threads: usize, told: &Told) -> anyhow::Result<ScrubSummary> {
    let opened = Offline::begin(config)?;
    opened.catch_up(|_| true)?;
    let options = ScrubOptions { structure: config.scrub.structure, keep: config.scrub.keep_quarantined };
    let scrub = Scrub::new(Arc::clone(&opened.keeper), options, Arc::new(QuarantineContents::default()));
    let places = scrub.places(&order.places).map_err(|place| UsageError(format!("{place}: no hour of it is here")))?;
    let limits = if order.yes { ScrubLimits::NONE } else { ScrubLimits::CAREFUL };
    let summary = scrub.run(&places, limits, threads, told);
    opened.close();
    Ok(summary?)
}

async fn ask(daemon: &Daemon, order: &ScrubOrder, told: &Told) -> anyhow::Result<ScrubSummary> {
    let mut lines = daemon.post_lines("/api/v1/scrub", order).await?;
    while let Some(line) = lines.next().await? {
        match serde_json::from_str(&line).context("the daemon answered something else than expected")? {
            ScrubLine::Begin { files, bytes } => told.begin(files, bytes),
            ScrubLine::Progress { files, bytes } => told.advance(files, bytes),
            ScrubLine::Damaged(file) => told.damaged(&file),
            ScrubLine::Unseen { path, why } => told.failed(&path, &why),
            ScrubLine::Done(summary) => return Ok(summary),
            ScrubLine::Failed { why } => anyhow::bail!("the scrub could not be completed: {why}"),
        }
    }
    anyhow::bail!("the daemon ended before the scrub was complete")
}

/// Prints what is damaged on stdout as it is found, and how far it is on stderr.
struct Told {
    json: bool,
    progress: Progress,
    stop: CancellationToken,
    damaged: Mutex<Vec<DamagedFile>>,
    began: std::time::Instant,
}

impl Told {
    fn new(json: bool, stop: CancellationToken) -> Self {
        Self { json, progress: Progress::stderr(), stop, damaged: Mutex::default(), began: std::time::Instant::now() }
    }

    fn damaged(&self, file: &DamagedFile) {
        if self.json {
            if let Ok(mut all) = self.damaged.lock() {
                all.push(file.clone());
            }
            return;
        }
        let detail = file.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let (path, faults) = (shown(&file.path), file.faults.join("; "));
        // A disk that is full where this goes is no reason to leave files unread.
        writeln!(stdout(), "{}: {path}: {faults}{detail}", file.outcome).unwrap_or_default();
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn end(&self, summary: &ScrubSummary) -> anyhow::Result<()> {
        self.progress.finish();
        let seconds = self.began.elapsed().as_secs_f64();
        let mut out = stdout();
        if self.json {
            let damaged = self.damaged.lock().map(|all| all.clone()).unwrap_or_default();
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

impl ScrubObserver for Told {
    fn begin(&self, files: u64, _bytes: u64) {
        self.progress.start(Some(files), "files");
    }

    fn advance(&self, files: u64, _bytes: u64) {
        self.progress.advance(files);
    }

    fn found(&self, finding: &ScrubFinding) {
        self.damaged(&damaged_file(finding));
    }

    fn failed(&self, path: &str, error: &str) {
        tracing::error!(name: "scrub_unseen", path, error, "something could not be looked at");
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }
}
