//! The verb `retention`: what is to be deleted and why, delete it, list what was, and keep hours.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use reqwest::StatusCode;

use super::absent;
use super::api::{Api, OpenNeeds};
use super::args::{PeerArgs, parse_hour_place};
use super::config::Config;
use super::exit::Exit;
use super::options;
use super::out::{LineOutput, stderr_line, stdout};
use crate::archive::HourPlace;
use crate::archive::escape::shown;
use crate::archive::quantity::count;
use crate::jobs::Stop;
use crate::wire::{
    AbsentHour, AcceptedRecords, AskingGuard, BucketPlan, KeepHours, KeptHours, PlanLimits, RetentionPlan,
    RetentionReport, RetentionView, RunRetention,
};

#[derive(Debug, Clone, clap::Args)]
pub struct RetentionArgs {
    #[command(subcommand)]
    pub verb: RetentionVerb,
}

/// What a bare `--yes` stands for.
const NOW: &str = "now";

/// Which question is answered by yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardAnswer {
    /// The one that is asked now.
    Now,
    Named(AskingGuard),
}

fn guard(text: &str) -> Result<GuardAnswer, String> {
    if text == NOW {
        return Ok(GuardAnswer::Now);
    }
    let named = AskingGuard::ALL.into_iter().find(|guard| guard.as_str() == text);
    named.map(GuardAnswer::Named).ok_or_else(|| {
        let all = AskingGuard::ALL.map(AskingGuard::as_str).join(", ");
        format!("there is no such guard, expected one of {all}")
    })
}

#[derive(Debug, Clone, Subcommand)]
pub enum RetentionVerb {
    /// What would be deleted now, and why; deletes nothing
    Plan,
    /// Delete what is to be deleted
    Run {
        /// Say yes to the question that `retention plan` shows: that the clock is right, or that so much is to go. It
        /// answers the guard that asks now, or the one that is named; another one asks by itself. May be given more than once
        #[arg(long, value_name = "GUARD", num_args = 0..=1, require_equals = true, default_missing_value = NOW, value_parser = guard)]
        yes: Vec<GuardAnswer>,
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// List the hours that were deleted or are being deleted: hour, state, reason, time
    List,
    /// Recreate damaged or missing protective records from what can still be read
    #[command(
        long_about = "Recreate damaged or missing protective records from what can still be read.\n\nNothing is deleted while one of them cannot be relied on. Look at `gapless doctor` and at the files beneath BASE/.gapless first: a line of the journal that is lost may have said that an hour is kept. Damaged copies stay there as NAME.damaged."
    )]
    Accept,
    /// Exempt hours from all limits, and fetch them again
    Keep {
        /// The hours
        #[arg(value_name = "CHANNEL/QUALITY/HOUR", required = true)]
        places: Vec<String>,
        /// End the exemption
        #[arg(long)]
        release: bool,
    },
}

pub async fn run(config: &Config, args: &RetentionArgs) -> anyhow::Result<ExitCode> {
    let places = match &args.verb {
        RetentionVerb::Keep { places, .. } => {
            places.iter().map(|text| parse_hour_place(text)).collect::<Result<Vec<_>, _>>()?
        }
        _ => Vec::new(),
    };
    let needs = OpenNeeds { every_hour: true, retention: true, ..OpenNeeds::default() };
    Api::with(config, needs, async |api| match &args.verb {
        RetentionVerb::Plan => print_plan(config, &plan(config, api).await?),
        RetentionVerb::List => print_list(config, &api.get("api/v1/retention").json().await?),
        RetentionVerb::Accept => {
            let question = api.post("api/v1/retention/accept", &serde_json::json!({}))?;
            print_accepted(config, &question.json().await?)
        }
        RetentionVerb::Run { yes, .. } => {
            let answered = answered(api, yes).await?;
            print_run(config, &run_once(api, answered.clone()).await?, &answered)
        }
        RetentionVerb::Keep { release, .. } => {
            let order = KeepHours { places: places.iter().map(HourPlace::to_string).collect(), release: *release };
            let exempt: KeptHours = api.post("api/v1/retention/keep", &order)?.json().await?;
            report_absent(api, &exempt.not_here, *release).await
        }
    })
    .await
}

/// By the limits that are configured for this command: a change can be tried here before the daemon has it.
async fn plan(config: &Config, api: &Api) -> anyhow::Result<RetentionPlan> {
    let limits = options::retention(config).limits;
    let is_asked = config.file.is_some() || !limits.are_off();
    let limits = is_asked.then(|| serde_json::to_string(&PlanLimits::from(&limits))).transpose()?;
    let view: RetentionView = api.get("api/v1/retention").with_some("limits", limits).json().await?;
    Ok(view.plan)
}

/// A daemon is asked for a run and makes it in a thread of its own; without one it is made here, however long it takes.
async fn run_once(api: &Api, yes: Vec<AskingGuard>) -> anyhow::Result<RetentionReport> {
    let Some(local) = api.local() else {
        let answer = api.post("api/v1/retention/run", &RunRetention { yes })?.ask().await?;
        if answer.status() == StatusCode::ACCEPTED {
            stderr_line(format_args!(
                "the run goes on, and `gapless status` shows what it did; what follows is the one before"
            ));
        }
        return Ok(answer.json().await?);
    };
    let retention = Arc::clone(local.retention());
    let running = tokio::task::spawn_blocking(move || retention.once(&yes.into_iter().collect(), &Stop::new(), None));
    running.await.context("the run crashed")
}

/// Guards that are answered by `--yes`: a bare one answers the guard that asks now. Should another one ask before the run begins, it is not
/// answered.
async fn answered(api: &Api, yes: &[GuardAnswer]) -> anyhow::Result<Vec<AskingGuard>> {
    let mut all = Vec::new();
    for answer in yes {
        let guard = match answer {
            GuardAnswer::Now => asking(api).await?,
            GuardAnswer::Named(guard) => Some(*guard),
        };
        all.extend(guard.filter(|guard| !all.contains(guard)));
    }
    Ok(all)
}

async fn asking(api: &Api) -> anyhow::Result<Option<AskingGuard>> {
    let view: RetentionView = api.get("api/v1/retention").json().await?;
    if let Some(doubt) = &view.plan.doubt {
        stderr_line(format_args!("answered by yes: {doubt}"));
    }
    Ok(view.plan.asks)
}

/// Says which of them are not here. They are kept if they appear; but of a channel and quality of which nothing is here the name is wrong,
/// most likely.
async fn report_absent(api: &Api, not_here: &[AbsentHour], release: bool) -> anyhow::Result<ExitCode> {
    let mut exit = Exit::Done;
    for AbsentHour { hour, meant } in not_here.iter().filter(|_| !release) {
        let meant =
            meant.as_ref().map(|meant| format!("; is {} meant?", shown(&meant.to_string()))).unwrap_or_default();
        stderr_line(format_args!(
            "{}: nothing is here under that name; it is kept if it appears{meant}",
            shown(&hour.to_string())
        ));
        let stream = &hour.stream;
        if let Err(error) = absent::require(api, stream.channel.as_str(), Some(stream.quality.as_str())).await {
            stderr_line(format_args!("gapless: {error:#}"));
            exit = Exit::DataWrong;
        }
    }
    Ok(exit.into())
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

fn print_plan(config: &Config, plan: &RetentionPlan) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(plan)?;
    } else {
        for hour in &plan.hours {
            writeln!(
                out,
                "{:<48} {:<7} {:>8} segments {:>12} {:>6} tombstones stay",
                shown(&hour.hour.to_string()),
                hour.reason,
                hour.segments,
                size(hour.bytes),
                hour.tombstones
            )?;
        }
        let more = plan.planned_hours.saturating_sub(plan.hours.len() as u64);
        if more > 0 {
            writeln!(out, "and {more} newer ones")?;
        }
        writeln!(
            out,
            "{} of {} hours would go: {} segments, {} of {}",
            plan.planned_hours,
            plan.archive_hours,
            plan.segments,
            size(plan.bytes),
            size(plan.archive_bytes)
        )?;
        if let Some(bucket) = &plan.bucket {
            print_bucket(&mut out, bucket)?;
        }
        if !plan.enabled {
            writeln!(out, "no limit is set: see [retention] in docs/configuration.md")?;
        }
        if plan.other_limits {
            writeln!(
                out,
                "by the limits that are configured for this command; the daemon has others until it is started with these"
            )?;
        }
        for why in plan.doubt.iter().chain(&plan.blocked) {
            writeln!(out, "but: {why}")?;
        }
    }
    Ok(Exit::Done.into())
}

fn print_bucket(out: &mut LineOutput<'_>, plan: &BucketPlan) -> std::io::Result<()> {
    for hour in &plan.hours {
        writeln!(
            out,
            "{:<48} {:<7} {:>8} files    {:>12} {:>6} objects in the bucket{}",
            shown(&hour.hour.to_string()),
            "age",
            hour.files,
            size(hour.bytes),
            hour.objects,
            if hour.is_here { "; what lies here stays" } else { "" }
        )?;
    }
    let more = plan.planned_hours.saturating_sub(plan.hours.len() as u64);
    if more > 0 {
        writeln!(out, "and {more} newer ones in the bucket")?;
    }
    writeln!(out, "{} of {} hours would leave the bucket", plan.planned_hours, plan.bucket_hours)
}

fn print_list(config: &Config, view: &RetentionView) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(view)?;
    } else {
        for hour in &view.retired {
            writeln!(out, "{:<48} {:<8} {:<7} {}", shown(&hour.hour.to_string()), hour.state, hour.reason, hour.since)?;
        }
        for hour in &view.kept {
            writeln!(out, "{:<48} kept", shown(&hour.to_string()))?;
        }
        let more = view.retired_hours.saturating_sub(view.retired.len() as u64);
        if more > 0 {
            writeln!(out, "and {more} older ones")?;
        }
    }
    Ok(Exit::Done.into())
}

fn print_accepted(config: &Config, accepted: &AcceptedRecords) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(accepted)?;
    } else {
        for record in &accepted.records {
            writeln!(out, "{} was recreated: {}", record.name, shown(&record.why))?;
        }
        for path in &accepted.kept_aside {
            writeln!(out, "kept aside: {}", shown(path))?;
        }
        if accepted.records.is_empty() {
            writeln!(out, "all records can be relied on; nothing was changed")?;
        }
    }
    Ok(Exit::Done.into())
}

/// Ends with 1 if something that should be gone is not.
fn print_run(config: &Config, report: &RetentionReport, answered: &[AskingGuard]) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(report)?;
    } else {
        writeln!(
            out,
            "retired {}: {}, {}; took the tombstones of {}",
            count(report.hours, "hour"),
            count(report.segments, "segment"),
            size(report.bytes),
            count(report.reclaimed, "hour")
        )?;
        if report.bucket_hours + report.bucket_overdue_hours > 0 {
            let (gone, stay) = (count(report.bucket_hours, "hour"), report.bucket_overdue_hours);
            writeln!(out, "deleted {gone} in the bucket; {stay} are too old for it and still there")?;
        }
        if report.last_copies > 0 {
            writeln!(out, "{} segments stay as the last copies:", report.last_copies)?;
            report.first_last_copies.iter().try_for_each(|name| writeln!(out, "  {}", shown(name)))?;
        }
        if report.pinned_hours > 0 {
            let hours = count(report.pinned_hours, "hour");
            writeln!(out, "note: {hours} stay for now, as another node was promised that, for an hour at most")?;
        }
        report.unproven_copies.iter().try_for_each(|why| writeln!(out, "note: {why}"))?;
        if report.tombstones_stay > 0 {
            let hours = report.tombstones_stay;
            writeln!(out, "tombstones of {hours} retired hours stay, because what they hide could reappear:")?;
            report.first_tombstones_stay.iter().try_for_each(|why| writeln!(out, "  {}", shown(why)))?;
        }
        for why in report.doubt.iter().chain(&report.error) {
            writeln!(out, "but: {why}")?;
        }
        if let Some(asks) = report.asks.filter(|_| !answered.is_empty()) {
            let all = answered.iter().chain([&asks]).map(|guard| format!(" --yes={}", guard.as_str()));
            writeln!(
                out,
                "this asks besides what was answered; `gapless retention run{}` answers all",
                all.collect::<String>()
            )?;
        }
        if let Some(disk) = &report.disk {
            let (own, fetched, other) = (size(disk.own), size(disk.fetched), size(disk.other));
            writeln!(
                out,
                "the disk: {own} of this archive's own, {fetched} from other nodes, {other} of everything else, {} free",
                size(disk.free)
            )?;
        }
    }
    let is_done = report.overdue_bytes == 0
        && report.bucket_overdue_hours == 0
        && report.doubt.is_none()
        && report.error.is_none();
    Ok(if is_done { Exit::Done.into() } else { Exit::DataWrong.into() })
}
