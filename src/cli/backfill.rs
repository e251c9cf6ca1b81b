//! The verb `backfill`: fetch from other nodes what is missing here, once or until it is stopped. Needs no daemon.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;

use super::api::{Api, Offline};
use super::args::{PeerArgs, StreamFilter, parse_hour, parse_since};
use super::config::{self, Config};
use super::exit::{Exit, UsageError};
use super::out::{stderr_line, stdout};
use super::peer_access::{token, trusted};
use crate::archive::escape::shown;
use crate::archive::origins::ConfiguredStreams;
use crate::archive::quantity::count;
use crate::archive::{Hour, Span};
use crate::replicate::backfill::{Backfill, BackfillOptions, BackfillParts, PeerStatus, Wants};
use crate::replicate::peer::Peer;
use crate::replicate::sources::{
    Connection, Database, OwnNode, SourceEntry, SourceError, SourceOptions, Sources, Trust,
};
use crate::sync::crawl::StrangersBudget;

#[derive(Debug, Clone, clap::Args)]
pub struct BackfillArgs {
    #[command(flatten)]
    pub peers: PeerArgs,
    /// Make one round, then exit: 0 if complete, 1 if something could not be fetched. Without it, rounds go on until ctrl-C
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
    let options = options(config, args)?;
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
    let retention = super::retention::offline(config, &keeper, sources.peers())?;
    let parts = BackfillParts::alone(Arc::clone(&keeper), sources.peers(), retention);
    let board = Arc::clone(&parts.board);
    let backfill = Backfill::new(parts, options, &registry)?;
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
        if is_whole { done } else { Exit::DataWrong.into() }
    } else {
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

pub fn sources(config: &Config) -> anyhow::Result<SourceOptions> {
    let backfill = &config.backfill;
    let wrong = |error: SourceError| UsageError(format!("backfill.node_database: {error}"));
    let given = backfill
        .peers
        .iter()
        .map(|text| SourceEntry::parse(text).map_err(|error| UsageError(format!("--peer or backfill.peers: {error}"))));
    let database = match backfill.node_database.reveal() {
        Some(text) => Some(Database::new(
            Connection::parse(text).map_err(wrong)?,
            backfill.node_database_query.clone(),
            backfill.node_database_password_file.clone(),
            backfill.node_database_ca_file.clone(),
        )),
        None => None,
    };
    Ok(SourceOptions {
        given: given.collect::<Result<_, _>>()?,
        file: backfill.node_file.clone(),
        database: database.transpose().map_err(wrong)?,
        trust: Trust::parse(&backfill.tombstones_from),
        reread: backfill.reread,
    })
}

pub(super) async fn peers_now(config: &Config) -> anyhow::Result<tokio::sync::watch::Receiver<Vec<Peer>>> {
    let own = OwnNode { listen: None };
    let sources = Sources::new(sources(config)?, own, &config.state_dir, &Registry::new())?;
    sources.once().await;
    Ok(sources.peers())
}

/// Whether every list of nodes was read; an error if nothing is known at all because of that.
fn all_were_read(sources: &Sources) -> anyhow::Result<bool> {
    let errors: Vec<String> = sources.status().into_iter().filter_map(|status| status.error).collect();
    if sources.peers().borrow().is_empty() && !errors.is_empty() {
        anyhow::bail!("no other node is known: {}", errors.join("; "));
    }
    Ok(errors.is_empty())
}

/// Reads `[NAME=]URL`; without a name a peer is called by its address.
pub fn peer(text: &str, trusted: bool) -> Result<Peer, UsageError> {
    let entry = SourceEntry::parse(text).map_err(|error| UsageError(format!("--peer: {error}")))?;
    Ok(Peer { name: entry.name, url: entry.url, trusted })
}

fn options(config: &Config, args: &BackfillArgs) -> anyhow::Result<BackfillOptions> {
    let given = Wants {
        channels: args.streams.channels(),
        qualities: args.streams.qualities(),
        hours: args.hour.iter().copied().collect(),
        start: args.start,
        future: false,
    };
    let configured = defaults(config, &args.peers)?;
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

/// What the configuration names, beside what a command names for itself: it is no stranger's.
pub(super) fn named(config: &Config, channels: &[String], qualities: &[String]) -> ConfiguredStreams {
    let set = |configured: &[String], given: &[String]| {
        if given.is_empty() { configured } else { given }.iter().cloned().collect()
    };
    let sections = config.retention_streams.iter().map(|limit| (limit.channel.clone(), limit.quality.clone()));
    ConfiguredStreams {
        channels: set(&config.backfill.channels, channels),
        qualities: set(&config.backfill.qualities, qualities),
        sections: sections.collect(),
    }
}

fn extras(config: &Config, peers: &PeerArgs) -> anyhow::Result<Vec<String>> {
    let mut names = config.backfill.extras.clone();
    for text in &peers.extras {
        let more = config::directories(text).filter(|more| !more.is_empty());
        names.extend(more.ok_or_else(|| {
            UsageError(format!(
                "--extras {text:?}: expected the name of a directory beneath the base that is not hidden, and not coverage-maps, into which each node draws its own maps"
            ))
        })?);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// As given by the flag, or else as configured.
pub(super) fn recent_cutoff(config: &Config, given: Option<&str>) -> Result<Duration, UsageError> {
    let Some(text) = given else { return Ok(config.backfill.recent_cutoff) };
    humantime::parse_duration(text)
        .map_err(|error| UsageError(format!("--recent-cutoff {text:?}: {error}; expected a time such as 120s")))
}

pub fn defaults(config: &Config, peers: &PeerArgs) -> anyhow::Result<BackfillOptions> {
    let cutoff = recent_cutoff(config, peers.recent_cutoff.as_deref())?;
    Ok(BackfillOptions {
        wants: Wants {
            channels: config.backfill.channels.iter().cloned().collect(),
            qualities: config.backfill.qualities.iter().cloned().collect(),
            hours: std::collections::BTreeSet::new(),
            start: config.backfill.start.as_deref().map(start).transpose()?,
            future: config.backfill.future,
        },
        cutoff: Span::from_us(i64::try_from(cutoff.as_micros()).unwrap_or(i64::MAX)),
        concurrency: config.backfill.concurrency,
        interval: config.backfill.interval,
        bandwidth: config.backfill.bandwidth,
        free_floor: config.backfill.keep_free,
        name: config.node.name.clone(),
        report_file: Some(config.state_dir.join("replication.json")),
        tls: trusted(config)?,
        extras: extras(config, peers)?,
        extras_budget: config.backfill.extras_budget,
        max_extras_bytes: config.backfill.max_extras_bytes,
        strangers: StrangersBudget {
            budget: config.backfill.strangers_budget,
            streams: config.backfill.strangers_channels,
        },
        accept_bursts: peers.accept_tombstone_bursts,
        token: config.backfill.token_file.as_deref().map(token).transpose()?,
    })
}

fn start(text: &str) -> Result<Hour, UsageError> {
    parse_since(text).map_err(|advice| UsageError(format!("backfill.start is {text:?}: {advice}")))
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
                "near_duplicates": report.near_duplicates, "untrusted_tombstones": report.untrusted, "bursts": report.bursts,
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
