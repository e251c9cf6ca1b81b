//! The verb `retention`: what is to be deleted and why, delete it, list what was, and keep hours. Asks the daemon if one runs.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::sync::watch;

use super::args::{RetentionArgs, RetentionVerb};
use super::client::Daemon;
use super::config::Config;
use super::offline::Offline;
use super::out::{stderr_line, stdout};
use super::{Exit, UsageError, backfill};
use crate::crawl::Keeper;
use crate::deleted::DeletionCounter;
use crate::domain::escape::{shown, unshown};
use crate::domain::retention::RetentionLimits;
use crate::domain::{HourPlace, Span};
use crate::peer::Peer;
use crate::retention::{Retention, RetentionOptions, RetentionParts};
use crate::runtime::Stop;
use crate::wire::{
    AbsentHour, AcceptedRecords, KeepHours, KeptHours, RetentionPlan, RetentionReport, RetentionView, RunRetention,
};

/// Runs it.
pub async fn run(config: &Config, args: &RetentionArgs) -> anyhow::Result<ExitCode> {
    let keep = match &args.verb {
        RetentionVerb::Keep { places, release } => Some((read_places(places)?, *release)),
        _ => None,
    };
    if let Some(daemon) = Daemon::find(&config.state_dir).await {
        return match &args.verb {
            RetentionVerb::Plan => print_plan(config, &view(&daemon).await?.plan),
            RetentionVerb::List => print_list(config, &view(&daemon).await?),
            RetentionVerb::Accept => {
                print_accepted(config, &daemon.post_json("/api/v1/retention/accept", &serde_json::json!({})).await?)
            }
            RetentionVerb::Run { yes, .. } => {
                let order = RunRetention { yes: *yes };
                print_run(config, &daemon.post_json("/api/v1/retention/run", &order).await?)
            }
            RetentionVerb::Keep { .. } => {
                let (places, release) = keep.unwrap_or_default();
                let order = KeepHours { places: places.iter().map(HourPlace::to_string).collect(), release };
                let kept: KeptHours = daemon.post_json("/api/v1/retention/keep", &order).await?;
                Ok(kept_hours(&kept.not_here, release))
            }
        };
    }
    let peers = backfill::peers_now(config).await?;
    let (config, verb) = (config.clone(), args.verb.clone());
    let done = tokio::task::spawn_blocking(move || alone(&config, &verb, keep.as_ref(), peers));
    done.await.context("the work ended badly")?
}

async fn view(daemon: &Daemon) -> anyhow::Result<RetentionView> {
    Ok(daemon.get_json("/api/v1/retention").await?)
}

fn read_places(texts: &[String]) -> anyhow::Result<Vec<HourPlace>> {
    let read = |text: &String| {
        let wrong = |error| UsageError(format!("{text}: {error}; expected is CHANNEL/QUALITY/HOUR"));
        Ok(HourPlace::parse(unshown(text).trim_end_matches('/')).map_err(wrong)?)
    };
    texts.iter().map(read).collect()
}

/// Works on the archive itself.
fn alone(
    config: &Config,
    verb: &RetentionVerb,
    keep: Option<&(Vec<HourPlace>, bool)>,
    peers: watch::Receiver<Vec<Peer>>,
) -> anyhow::Result<ExitCode> {
    let opened = Offline::open(config)?;
    opened.catch_up(|_| true)?;
    let retention = offline(config, &opened.keeper, peers)?;
    let exit = match (verb, keep) {
        (RetentionVerb::Plan, _) => print_plan(config, &retention.plan()?),
        (RetentionVerb::List, _) => print_list(config, &retention.view()?),
        (RetentionVerb::Accept, _) => print_accepted(config, &retention.accept()?),
        (RetentionVerb::Run { yes, .. }, _) => print_run(config, &retention.once(*yes, &Stop::new(), None)),
        (RetentionVerb::Keep { .. }, Some((places, release))) => {
            retention.keep(places, *release)?;
            Ok(kept_hours(&retention.not_here(places)?, *release))
        }
        (RetentionVerb::Keep { .. }, None) => Err(UsageError("no hour was given".to_owned()).into()),
    };
    opened.close();
    exit
}

/// Retention as configured, for a process that has the archive to itself and an index that has caught up.
pub fn offline(
    config: &Config,
    keeper: &Arc<Keeper>,
    peers: watch::Receiver<Vec<Peer>>,
) -> anyhow::Result<Arc<Retention>> {
    let registry = Registry::new();
    let parts = RetentionParts {
        keeper: Arc::clone(keeper),
        is_ready: Box::new(|| true),
        deletions: Arc::new(DeletionCounter::register(&registry)?),
        client: super::peer_access::client(config)?,
        peers,
        instance: rand::random(),
        handle: tokio::runtime::Handle::current(),
        clocks: Arc::new(crate::clock::SystemClocks::default()),
        free: crate::retention::free_space(),
    };
    Ok(Arc::new(Retention::new(parts, options(config), &registry)?))
}

/// Retention as configured.
pub fn options(config: &Config) -> RetentionOptions {
    let configured = &config.retention;
    let span = |time: std::time::Duration| Span::from_us(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    RetentionOptions {
        limits: RetentionLimits {
            max_age: configured.max_age.map(span),
            max_bytes: configured.max_bytes,
            min_free: configured.min_free,
            streams: config.retention_streams.clone(),
        },
        reclaim_age: span(configured.reclaim_age),
        interval: configured.interval,
        keep_last_copy: configured.keep_last_copy,
        copies_at: configured.copies_at.clone(),
    }
}

/// Tells which of them are not here. They may come, so that this is no failure.
fn kept_hours(not_here: &[AbsentHour], release: bool) -> ExitCode {
    for AbsentHour { hour, meant } in not_here.iter().filter(|_| !release) {
        let meant = meant.as_ref().map(|meant| format!("; is {} meant?", shown(meant))).unwrap_or_default();
        stderr_line(format_args!("{}: nothing is here under that name; it is kept if it comes{meant}", shown(hour)));
    }
    Exit::Done.into()
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

fn print_plan(config: &Config, plan: &RetentionPlan) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json_pretty(plan)?;
    } else {
        for hour in &plan.hours {
            writeln!(
                out,
                "{:<48} {:<7} {:>8} segments {:>12} {:>6} tombstones stay",
                shown(&hour.hour),
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
        if !plan.enabled {
            writeln!(out, "there is no limit: see [retention] in docs/configuration.md")?;
        }
        for why in plan.doubt.iter().chain(&plan.blocked) {
            writeln!(out, "but: {why}")?;
        }
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn print_list(config: &Config, view: &RetentionView) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json_pretty(view)?;
    } else {
        for hour in &view.retired {
            writeln!(out, "{:<48} {:<8} {:<7} {}", shown(&hour.hour), hour.state, hour.reason, hour.since)?;
        }
        for hour in &view.kept {
            writeln!(out, "{:<48} kept", shown(hour))?;
        }
        let more = view.retired_hours.saturating_sub(view.retired.len() as u64);
        if more > 0 {
            writeln!(out, "and {more} older ones")?;
        }
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn print_accepted(config: &Config, accepted: &AcceptedRecords) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json_pretty(accepted)?;
    } else {
        for record in &accepted.records {
            writeln!(out, "{} begins anew: {}", record.name, shown(&record.why))?;
        }
        for path in &accepted.kept_aside {
            writeln!(out, "kept aside: {}", shown(path))?;
        }
        if accepted.records.is_empty() {
            writeln!(out, "all records can be relied on; nothing was changed")?;
        }
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

/// Ends with 1 if something that should be gone is not.
fn print_run(config: &Config, report: &RetentionReport) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json_pretty(report)?;
    } else {
        writeln!(
            out,
            "{} hours were retired: {} segments, {}; tombstones of {} hours have gone",
            report.hours,
            report.segments,
            size(report.bytes),
            report.reclaimed
        )?;
        if report.last_copies > 0 {
            writeln!(out, "{} segments stay here as the last copies:", report.last_copies)?;
            report.first_last_copies.iter().try_for_each(|name| writeln!(out, "  {}", shown(name)))?;
        }
        report.unproven_copies.iter().try_for_each(|why| writeln!(out, "note: {why}"))?;
        if report.tombstones_stay > 0 {
            let hours = report.tombstones_stay;
            writeln!(out, "tombstones of {hours} retired hours stay, as what they hide might be shown again:")?;
            report.first_tombstones_stay.iter().try_for_each(|why| writeln!(out, "  {}", shown(why)))?;
        }
        for why in report.doubt.iter().chain(&report.error) {
            writeln!(out, "but: {why}")?;
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
    out.flush()?;
    let is_done = report.overdue_bytes == 0 && report.doubt.is_none() && report.error.is_none();
    Ok(if is_done { Exit::Done.into() } else { Exit::DataWrong.into() })
}
