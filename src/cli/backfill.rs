//! The verb `backfill`: fetch from other nodes what is missing here, once or until it is stopped. Needs no daemon.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use prometheus::Registry;

use super::api::Api;
use super::args::{PeerArgs, StreamFilter, parse_hour, parse_since};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::offline::Offline;
use super::options;
use super::out::{stderr_line, stdout};
use super::peer_access::sources;
use crate::archive::Hour;
use crate::archive::escape::shown;
use crate::archive::quantity::count;
use crate::replicate::backfill::{Backfill, BackfillOptions, BackfillParts, PeerStatus, Wants};
use crate::replicate::placement::{LayoutOptions, LayoutStore};
use crate::replicate::sources::{OwnNode, Sources};

#[derive(Debug, Clone, clap::Args)]
pub struct BackfillArgs {
    #[command(flatten)]
    pub peers: PeerArgs,
    /// Make one round, then exit: 0 if complete, 1 if something could not be fetched, or the layout does not name this node. Without it, rounds go on until ctrl-C
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub streams: StreamFilter,
    /// Only this hour, such as 2019-11-13T02 or 1h ago; repeatable
    #[arg(long, value_name = "HOUR", value_parser = parse_hour, allow_hyphen_values = true)]
    pub hour: Vec<Hour>,
    /// Only from the hour of this time on, such as 2019-11-13, yesterday or 5h ago; a number alone counts hours back
    #[arg(long, value_name = "TIME", value_parser = parse_since, allow_hyphen_values = true)]
    pub start: Option<Hour>,
    #[arg(
        long,
        value_name = "NAME",
        help = "This node's name, to leave itself out of lists of nodes [env: GAPLESS_NAME] [default: the host's name]"
    )]
    pub name: Option<String>,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help = "Parallel downloads from one node [default: 5]")]
    pub concurrency: Option<u8>,
}

pub async fn run(config: &Config, args: &BackfillArgs) -> anyhow::Result<ExitCode> {
    let sources = sources(config)?;
    if sources.given.is_empty() && sources.file.is_none() && sources.database.is_none() {
        let ways = "--peer [NAME=]URL, --node-file FILE or --node-database URL";
        return Err(UsageError(format!("no other node was given: {ways}")).into());
    }
    let chosen = backfill_options(config, args)?;
    if let Some(daemon) = Api::running(config).await {
        anyhow::bail!("the daemon at {} has the archive open; start it with --peer to have it fetch", daemon.address());
    }
    let (configured, channels, qualities) =
        (config.clone(), args.streams.channels::<Vec<_>>(), args.streams.qualities::<Vec<_>>());
    let opened = tokio::task::spawn_blocking(move || {
        let offline = Offline::begin_for(&configured, &channels, &qualities)?;
        // What is here must not look missing.
        offline.catch_up(|_| true)?;
        anyhow::Ok(offline)
    });
    let offline = opened.await.context("the work crashed")??;
    let keeper = Arc::clone(&offline.keeper);
    let registry = Registry::new();
    let own = OwnNode { listen: None };
    let sources = Sources::new(sources, own, &config.state_dir, &registry)?;
    let retention = offline.retention(config, sources.peers(), None, None)?;
    let called = chosen.name.clone();
    let layout_options = LayoutOptions { name: called.clone(), ..options::layouts(config) };
    let layouts = Arc::new(LayoutStore::new(Arc::clone(keeper.guard()), layout_options));
    let parts = BackfillParts::alone(Arc::clone(&keeper), sources.peers(), retention);
    let parts = BackfillParts { layouts: Some(Arc::clone(&layouts)), ..parts };
    let board = Arc::clone(&parts.board);
    let backfill = Backfill::new(parts, chosen, &registry)?;
    let exit = if args.once {
        sources.once().await;
        let is_whole = all_were_read(&sources)?;
        let peers = backfill.once().await;
        let done = report(config, &peers)?;
        let names_a_part = !args.streams.is_empty();
        let nothing = |status: &PeerStatus| {
            status.last.as_ref().is_some_and(|(report, _)| report.hours == 0 && report.errors == 0)
        };
        if names_a_part && peers.iter().all(nothing) {
            stderr_line(format_args!(
                "nothing was compared: either nothing differs, or no other node has what --channel and --quality name; `gapless diff --peer URL` shows what one has"
            ));
        }
        let is_left_out = is_left_out(&layouts, &called);
        if is_whole && !is_left_out { done } else { Exit::DataWrong.into() }
    } else {
        is_left_out(&layouts, &called);
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::select! {
            ((), ()) = async { tokio::join!(backfill.run(stop.clone()), sources.run(stop.clone(), &board)) } => {}
            result = tokio::signal::ctrl_c() => result.context("cannot listen for ctrl-C")?,
        }
        stop.cancel();
        Exit::Done.into()
    };
    drop(keeper);
    tokio::task::spawn_blocking(move || offline.close()).await.context("the index was not closed in order")?;
    Ok(exit)
}

/// Whether the layout leaves this node out, so that it fetches nothing; says so.
fn is_left_out(layouts: &LayoutStore, called: &str) -> bool {
    let is_left_out = layouts.current().leaves_out();
    if is_left_out {
        stderr_line(format_args!(
            "the layout has no node {}, so that nothing belongs here and no file is fetched; expected the name that this node has in the layout: `name` in its settings, or --name (`gapless layout show` lists the names)",
            shown(called)
        ));
    }
    is_left_out
}

/// Whether every list of nodes was read; an error if nothing is known at all because of that.
fn all_were_read(sources: &Sources) -> anyhow::Result<bool> {
    let errors: Vec<String> = sources.status().into_iter().filter_map(|status| status.error).collect();
    if sources.peers().borrow().is_empty() && !errors.is_empty() {
        anyhow::bail!("no other node is known: {}", errors.join("; "));
    }
    Ok(errors.is_empty())
}

fn backfill_options(config: &Config, args: &BackfillArgs) -> anyhow::Result<BackfillOptions> {
    let given = Wants {
        channels: args.streams.channels(),
        qualities: args.streams.qualities(),
        hours: args.hour.iter().copied().collect(),
        start: args.start,
        future: false,
    };
    let configured = options::backfill(config, &args.peers)?;
    let concurrency = args.concurrency.map_or(configured.concurrency, usize::from);
    if given.everything() {
        return Ok(BackfillOptions { concurrency, ..configured });
    }
    let wants = Wants {
        channels: if given.channels.is_empty() { configured.wants.channels.clone() } else { given.channels },
        qualities: if given.qualities.is_empty() { configured.wants.qualities.clone() } else { given.qualities },
        hours: given.hours,
        start: given.start.or(configured.wants.start),
        future: configured.wants.future,
    };
    // A look at a part says nothing about the whole.
    Ok(BackfillOptions { wants, concurrency, report_file: None, ..configured })
}

fn report(config: &Config, peers: &[PeerStatus]) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    let mut complete = true;
    for status in peers {
        let done = status.last.as_ref().map(|(report, _)| report.clone());
        complete &= done.as_ref().is_some_and(|report| report.is_complete() && report.bursts.is_empty());
        let report = done.unwrap_or_default();
        if config.json {
            let line = serde_json::json!({
                "peer": status.peer.name, "requests": report.requests, "hours": report.hours, "fetched": report.fetched,
                "bytes": report.bytes, "extras": report.extras, "extras_bytes": report.extras_bytes, "tombstones": report.tombstones, "too_recent": report.too_recent,
                "near_duplicates": report.near_duplicates, "twins": report.twins, "untrusted_tombstones": report.untrusted, "bursts": report.bursts,
                "future_hours": report.future, "passed_over": report.passed_over,
                "refused_names": report.refused, "hash_mismatches": report.hash_mismatches, "errors": report.errors,
                "error": status.error,
            });
            out.json(&line)?;
            continue;
        }
        writeln!(
            out,
            "{}: {} fetched ({}), {} applied, {} compared in {}, {} too recent",
            shown(&status.peer.name),
            count(report.fetched, "segment"),
            indicatif::HumanBytes(report.bytes),
            count(report.tombstones, "tombstone"),
            count(report.hours, "hour"),
            count(report.requests, "request"),
            report.too_recent
        )?;
        if report.extras > 0 {
            writeln!(out, "  {} extras ({})", report.extras, indicatif::HumanBytes(report.extras_bytes))?;
        }
        if report.future > 0 {
            writeln!(
                out,
                "  {} hours are further ahead of the clock than any that is recorded now, and were left (--hour, or [backfill] future, fetches them)",
                report.future
            )?;
        }
        if report.passed_over > 0 {
            writeln!(
                out,
                "  passed over as no channels of it: {} names, such as {}",
                report.passed_over,
                report.passed_over_names.join(", ")
            )?;
        }
        if let Some(why) = &report.full {
            writeln!(
                out,
                "  something was left out: {why}; name the channels with --channel, or raise strangers_budget"
            )?;
        }
        for burst in &report.bursts {
            writeln!(out, "  held back; --accept-tombstone-bursts applies it: {burst}")?;
        }
        if let Some(error) = &status.error {
            writeln!(out, "  {} errors, {} wrong hashes; the last: {error}", report.errors, report.hash_mismatches)?;
        }
    }
    Ok(if complete { Exit::Done.into() } else { Exit::DataWrong.into() })
}
