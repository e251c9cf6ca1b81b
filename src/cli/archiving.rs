//! The verb `archive`: takes sealed hours to the bucket, says what is there, reads it back, and brings back what is missing here.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use reqwest::StatusCode;
use serde::Serialize;

use super::absent;
use super::api::{Api, ApiError, OpenNeeds};
use super::args::ArchiveTarget;
use super::config::Config;
use super::cut::end_by_signal;
use super::exit::Exit;
use super::out::{LineOutput, stdout};
use super::progress::Progress;
use crate::archive::escape::{shown, words};
use crate::archive::quantity::{count, size};
use crate::wire::{
    ArchiveLine, ArchiveObjects, ArchiveOrder, ArchiveReport, ArchiveRestoreOrder, ArchiveSummary, ArchiveVerifyOrder,
    ArchivedHour,
};

#[derive(Debug, Clone, clap::Args)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    pub verb: ArchiveVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ArchiveVerb {
    /// Say what would be uploaded, with bytes and requests; send nothing
    Plan {
        /// What to look at; everything by default
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
        targets: Vec<ArchiveTarget>,
    },
    /// Upload sealed hours now, and read each of them back
    Run {
        /// What to upload; everything by default
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
        targets: Vec<ArchiveTarget>,
    },
    /// Say how many hours lie in the bucket
    Status,
    /// Read objects back; exit code 1 if one is damaged or gone
    Verify {
        /// Which hours; everything by default
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
        targets: Vec<ArchiveTarget>,
        /// Only a share of them, chosen by chance, such as 1%
        #[arg(long, value_name = "SHARE", value_parser = share)]
        sample: Option<f64>,
    },
    /// Bring files that are missing here back from the bucket
    Restore {
        /// Which hours
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]", required = true)]
        targets: Vec<ArchiveTarget>,
    },
    /// Delete files here that lie in the bucket as well; they are read from there from then on
    Drop {
        /// Which hours
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]", required = true)]
        targets: Vec<ArchiveTarget>,
        /// Only say which would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete in the bucket what tombstones hide: objects that hold it are replaced by others without it
    Purge {
        /// Which hours
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]", required = true)]
        targets: Vec<ArchiveTarget>,
        /// Only say what would be deleted, and what that costs
        #[arg(long)]
        dry_run: bool,
    },
    /// List the objects in the bucket
    Ls {
        /// What to list; everything by default
        #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
        target: Option<ArchiveTarget>,
    },
}

fn share(text: &str) -> Result<f64, String> {
    let (number, per) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let read = number.trim().parse::<f64>().ok().map(|number| number / per);
    read.filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(|| "expected a share such as 1% or 0.01".to_owned())
}

pub async fn run(config: &Config, args: &ArchiveArgs) -> anyhow::Result<ExitCode> {
    let words = |targets: &[ArchiveTarget]| targets.iter().map(ArchiveTarget::to_string).collect::<Vec<_>>();
    match &args.verb {
        ArchiveVerb::Status => status(config).await,
        ArchiveVerb::Ls { target } => list(config, target.as_ref()).await,
        ArchiveVerb::Plan { targets } => {
            let order = ArchiveOrder { places: words(targets), dry_run: true };
            work(config, "api/v1/archive/run", &order, targets, Verbs::PLAN).await
        }
        ArchiveVerb::Run { targets } => {
            let order = ArchiveOrder { places: words(targets), dry_run: false };
            work(config, "api/v1/archive/run", &order, targets, Verbs::RUN).await
        }
        ArchiveVerb::Verify { targets, sample } => {
            let order = ArchiveVerifyOrder { places: words(targets), sample: *sample };
            // What is gone from here may have a receipt.
            work(config, "api/v1/archive/verify", &order, &[], Verbs::VERIFY).await
        }
        ArchiveVerb::Restore { targets } => {
            let order = ArchiveRestoreOrder { places: words(targets) };
            // What is gone from here is in the bucket's list alone.
            work(config, "api/v1/archive/restore", &order, &[], Verbs::RESTORE).await
        }
        ArchiveVerb::Drop { targets, dry_run } => {
            let order = ArchiveOrder { places: words(targets), dry_run: *dry_run };
            let verbs = if *dry_run { Verbs::DROPPABLE } else { Verbs::DROP };
            work(config, "api/v1/archive/drop", &order, targets, verbs).await
        }
        ArchiveVerb::Purge { targets, dry_run } => {
            let order = ArchiveOrder { places: words(targets), dry_run: *dry_run };
            let verbs = if *dry_run { Verbs::PURGEABLE } else { Verbs::PURGE };
            work(config, PURGE, &order, targets, verbs).await
        }
    }
}

fn needs() -> OpenNeeds {
    OpenNeeds { every_hour: true, new_index: true, bucket: true, ..OpenNeeds::default() }
}

/// Where a purge of the bucket is asked for.
const PURGE: &str = "api/v1/archive/purge";

async fn work(
    config: &Config,
    address: &str,
    order: &(impl Serialize + Sync),
    targets: &[ArchiveTarget],
    verbs: Verbs,
) -> anyhow::Result<ExitCode> {
    let stop = end_by_signal()?;
    let mut report = Report { json: config.json, verbs, progress: Progress::stderr(), hours: Vec::new(), done: 0 };
    let mut has_node = false;
    // Who else has what is to go is asked only where that counts.
    let needs = OpenNeeds { retention: address == PURGE, ..needs() };
    let summary = Api::with(config, needs, async |api| {
        has_node = api.local().is_none();
        for target in targets {
            absent::require_target(api, target).await?;
        }
        // The work ends when the answer is not read; here, before the archive is closed.
        tokio::select! {
            done = ask(api, address, order, &mut report) => done.map(Some),
            () = stop.cancelled() => Ok(None),
        }
    })
    .await;
    report.progress.finish();
    let Some(summary) = summary? else { anyhow::bail!(report.stopped(has_node)) };
    report.end(&summary)?;
    Ok(if summary.errors == 0 { Exit::Done.into() } else { Exit::DataWrong.into() })
}

async fn ask(
    api: &Api,
    address: &str,
    order: &(impl Serialize + Sync),
    report: &mut Report,
) -> anyhow::Result<ArchiveSummary> {
    let mut lines = api.post(address, order)?.ask().await?;
    while let Some(line) = lines.line().await? {
        match serde_json::from_str(&line).context("the node answered something else than expected")? {
            ArchiveLine::Begin { bytes, .. } if report.verbs.ways > 0 => {
                report.progress.start(Some(bytes * report.verbs.ways), "bytes");
            }
            ArchiveLine::Begin { .. } => {}
            ArchiveLine::Progress { bytes } => report.progress.advance(bytes),
            ArchiveLine::Hour(hour) => report.hour(hour),
            ArchiveLine::Done(summary) => return Ok(summary),
            ArchiveLine::Failed { why, .. } => anyhow::bail!("{why}"),
        }
    }
    anyhow::bail!("the node ended before all was done")
}

/// What is hidden and lies in objects of the bucket, in these places or everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HiddenInBucket {
    pub files: u64,
    pub bytes: u64,
}

/// Asks a node, or this archive, without asking the bucket; nothing where no bucket is named, or nobody knows of it.
pub async fn hidden_in_bucket(api: &Api, places: Vec<String>) -> anyhow::Result<HiddenInBucket> {
    let mut hidden = HiddenInBucket::default();
    let order = ArchiveOrder { places, dry_run: true };
    let mut lines = match api.post(PURGE, &order)?.ask().await {
        Ok(lines) => lines,
        // Nothing of it is known there, by an older node that has no such address, or because there is no bucket.
        Err(ApiError::Refused {
            status: StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST,
            ..
        }) => {
            return Ok(hidden);
        }
        Err(error) => return Err(error.into()),
    };
    while let Some(line) = lines.line().await? {
        match serde_json::from_str(&line).context("the node answered something else than expected")? {
            ArchiveLine::Hour(hour) if hour.state == Verbs::PURGEABLE.state => {
                hidden.files += hour.files.unwrap_or_default();
                hidden.bytes += hour.bytes.unwrap_or_default();
            }
            ArchiveLine::Failed { why, .. } => anyhow::bail!("{why}"),
            ArchiveLine::Begin { .. } | ArchiveLine::Progress { .. } | ArchiveLine::Hour(_) | ArchiveLine::Done(_) => {}
        }
    }
    Ok(hidden)
}

/// How the end of each verb reads.
#[derive(Debug, Clone, Copy)]
struct Verbs {
    /// What an hour is said to be with which it was done.
    state: &'static str,
    done: &'static str,
    before: &'static str,
    open: &'static str,
    /// How often the bytes of an hour go over the line.
    ways: u64,
}

impl Verbs {
    const PLAN: Self =
        Self { state: "planned", done: "would be uploaded", before: "in the bucket", open: "not sealed", ways: 0 };
    const RUN: Self = Self { state: "archived", done: "uploaded and read back", ways: 2, ..Self::PLAN };
    const VERIFY: Self =
        Self { state: "right", done: "right", before: "in the bucket", open: "not in the bucket", ways: 1 };
    const RESTORE: Self = Self { state: "restored", done: "restored", before: "complete", open: "left out", ways: 1 };
    const DROP: Self = Self {
        state: "dropped",
        done: "deleted here and left in the bucket",
        before: "in the bucket alone",
        open: "not in the bucket",
        ways: 0,
    };
    const PURGE: Self = Self {
        state: "purged",
        done: "purged in the bucket",
        before: "without anything hidden there",
        open: "with something that no other node has",
        ways: 0,
    };
    const PURGEABLE: Self = Self { state: "purgeable", done: "would be purged in the bucket", ..Self::PURGE };
    const DROPPABLE: Self =
        Self { state: "droppable", done: "would be deleted here and left in the bucket", ..Self::DROP };
}

/// Prints what becomes of each hour on stdout, and how far it is on stderr.
struct Report {
    json: bool,
    verbs: Verbs,
    progress: Progress,
    hours: Vec<ArchivedHour>,
    /// Hours with which all went well.
    done: u64,
}

impl Report {
    fn hour(&mut self, hour: ArchivedHour) {
        self.done += u64::from(hour.state == self.verbs.state);
        if self.json {
            self.hours.push(hour);
            return;
        }
        let files = hour.files.map_or_else(String::new, |files| format!(", {}", count(files, "file")));
        let bytes = hour.bytes.map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
        let why = hour.why.as_ref().map_or_else(String::new, |why| format!(": {}", shown(why)));
        let (place, state) = (shown(&hour.hour), shown(&hour.state));
        // A disk that is full where this goes is no reason to end.
        writeln!(stdout(), "{place}: {state}{files}{bytes}{why}").unwrap_or_default();
    }

    /// What there is to say when somebody had enough before the end.
    fn stopped(&self, has_node: bool) -> String {
        let who = if has_node { "the node ends what was under way" } else { "what was under way was ended" };
        format!("stopped by a signal: {} {} before, and {who}", count(self.done, "hour"), self.verbs.done)
    }

    fn end(&self, summary: &ArchiveSummary) -> anyhow::Result<()> {
        let mut out = stdout();
        if self.json {
            return Ok(out.json(&serde_json::json!({ "summary": summary, "hours": self.hours }))?);
        }
        let ArchiveSummary { done, before, open, unsealed, errors, bytes, requests } = summary;
        let (verbs, hours) = (self.verbs, count(*done, "hour"));
        let wrong = if *errors == 0 { String::new() } else { format!(", something is wrong with {errors}") };
        let over = match requests {
            Some(requests) => format!("about {} over the line in {}", size(*bytes), count(*requests, "request")),
            None => format!("{} over the line", size(*bytes)),
        };
        writeln!(out, "{hours} {} ({over}); {before} {}, {open} {}{wrong}", verbs.done, verbs.before, verbs.open)?;
        say_unsealed(&mut out, *unsealed)
    }
}

async fn status(config: &Config) -> anyhow::Result<ExitCode> {
    let report: ArchiveReport =
        Api::with(config, needs(), async |api| Ok(api.get("api/v1/archive").json().await?)).await?;
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
        return Ok(Exit::Done.into());
    }
    let bucket = report.bucket.as_deref().map_or_else(|| "no bucket is named".into(), |bucket| shown(bucket));
    writeln!(out, "{bucket}")?;
    for (share, what) in
        [(report.archived, "in the bucket"), (report.waiting, "sealed, to be uploaded"), (report.open, "not sealed")]
    {
        writeln!(out, "{}, {}: {what}", count(share.hours, "hour"), size(share.bytes))?;
    }
    if let Some(failing) = &report.failing {
        writeln!(out, "no hour comes into it since {}: {}", failing.since, words(&failing.why))?;
    }
    if report.lost > 0 {
        writeln!(
            out,
            "{} in the bucket turned out to be damaged or gone; `gapless archive verify` looks again",
            count(report.lost, "object")
        )?;
    }
    say_unsealed(&mut out, report.unsealed)?;
    Ok(Exit::Done.into())
}

/// What is to be done where hours were sealed in another directory, or have changed since.
fn say_unsealed(out: &mut LineOutput<'_>, unsealed: u64) -> anyhow::Result<()> {
    if unsealed > 0 {
        writeln!(
            out,
            "{unsealed} of those not sealed have a manifest of another directory, as after a copy of the archive, or of what they were before; `gapless seal` looks at them, and reads only what has changed"
        )?;
    }
    Ok(())
}

/// Page by page: a bucket has more objects than fit into memory. What breaks off in the middle is no JSON.
async fn list(config: &Config, target: Option<&ArchiveTarget>) -> anyhow::Result<ExitCode> {
    let (mut others, mut count, mut last) = (0, 0_u64, None);
    let needs = OpenNeeds { new_index: true, bucket: true, ..OpenNeeds::default() };
    Api::with(config, needs, async |api| {
        let question = api.get("api/v1/archive/objects").with_some("below", target);
        let each = |page: ArchiveObjects| {
            others += page.others;
            let first = page.objects.first().map(|object| object.name.clone());
            if first.is_some() && first == last {
                anyhow::bail!("the bucket lists the same objects again and again; its list cannot be relied on");
            }
            last = first.or(last.take());
            let mut out = stdout();
            for object in page.objects {
                if config.json {
                    let before = if count == 0 { "{\"objects\":[" } else { "," };
                    out.json_piece(before, &object, "")?;
                } else {
                    writeln!(out, "{:>12}  {}", object.bytes, shown(&object.name))?;
                }
                count += 1;
            }
            Ok(())
        };
        question.pages("from", |page: &ArchiveObjects| page.next.clone(), each).await
    })
    .await?;
    if config.json {
        let before = if count == 0 { "{\"objects\":[],\"others\":" } else { "],\"others\":" };
        stdout().json_piece(before, &others, "}")?;
    }
    Ok(Exit::Done.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_or_a_percentage() {
        for (text, expected) in [
            ("1%", Some(0.01)),
            ("0.5", Some(0.5)),
            ("100%", Some(1.0)),
            ("0", None),
            ("x%", None),
            ("101%", None),
            ("nan", None),
        ] {
            assert_eq!(share(text).ok(), expected, "{text}");
        }
    }
}
