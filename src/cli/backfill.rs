//! The verb `backfill`: fetch from other nodes what is missing here, once or until it is stopped. Needs no daemon.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::args::{BackfillArgs, PeerArgs};
use super::client::Daemon;
use super::config::Config;
use super::{Exit, UsageError, node};
use crate::backfill::{Backfill, BackfillOptions, Keeps, PeerStatus, Wants};
use crate::crawl::{Keeper, Reconcile, Visitor as _};
use crate::disk::{Base, Guard};
use crate::domain::{Hour, HourPlace, Span, Stream, Timestamp};
use crate::peer::{Peer, PeerUrl};
use crate::startup::Locked;
use crate::tls::{self, ClientConfig};

/// Runs one round, or rounds until it is stopped.
pub async fn run(config: &Config, args: &BackfillArgs) -> anyhow::Result<ExitCode> {
    let peers = peers(&args.peers)?;
    if peers.is_empty() {
        return Err(UsageError("no peer was given: --peer [NAME=]URL".to_owned()).into());
    }
    let options = options(config, args)?;
    if let Some(daemon) = Daemon::find(&config.state_dir).await {
        anyhow::bail!(
            "the daemon at {} has the archive open; start it with --peer to have it fetch by itself",
            daemon.address()
        );
    }
    let config_of_index = node::index_options(config);
    let (base_dir, state_dir) = (config.base_dir.clone(), config.state_dir.clone());
    let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let locked = Locked::acquire(&base_dir, &state_dir)?;
        let index = Arc::new(locked.open_index(config_of_index)?);
        let guard = Arc::new(Guard::new(Base::open(&base_dir)?, locked.identify(&index)?));
        let keeper = Arc::new(Keeper::new(index, guard));
        catch_up(&keeper)?;
        Ok((locked, keeper))
    });
    let (locked, keeper) = opened.await.context("the work ended badly")??;
    // The list does not change while this runs.
    let (_list, peers) = tokio::sync::watch::channel(peers);
    let backfill = Backfill::new(Arc::clone(&keeper), peers, options, &prometheus::Registry::new())?;
    let exit = if args.once {
        report(config, &backfill.once().await)?
    } else {
        let stop = tokio_util::sync::CancellationToken::new();
        tokio::select! {
            () = backfill.run(stop.clone()) => {}
            result = tokio::signal::ctrl_c() => result.context("cannot listen for ctrl-C")?,
        }
        stop.cancel();
        Exit::Done.into()
    };
    tokio::task::spawn_blocking(move || {
        keeper.index().close();
        drop(locked);
    })
    .await
    .context("the index was not closed in order")?;
    Ok(exit)
}

/// Brings the whole index into line with the disk: what is here must not look missing.
fn catch_up(keeper: &Arc<Keeper>) -> anyhow::Result<()> {
    keeper.reconcile_structure()?;
    let catalog = keeper.index().catalog();
    let hours = |stream: Stream| {
        let hours = catalog.hours(&stream.to_string(), ..);
        hours.into_iter().rev().map(move |hour| HourPlace { stream: stream.clone(), hour })
    };
    let places: Vec<HourPlace> = catalog.streams().into_iter().flat_map(hours).collect();
    let found = Reconcile::new(Arc::clone(keeper)).visit(&places)?;
    if let Some(error) = found.last_error {
        tracing::warn!(name: "hours_unreadable", hours = found.errors, error, "some hours cannot be read here");
    }
    Ok(())
}

/// The peers that were given.
pub fn peers(args: &PeerArgs) -> anyhow::Result<Vec<Peer>> {
    args.peer.iter().map(|text| Ok(peer(text, !args.distrust_tombstones)?)).collect()
}

/// Reads `[NAME=]URL`; without a name a peer is called by its address.
pub fn peer(text: &str, trusted: bool) -> Result<Peer, UsageError> {
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains(['/', ':']) => (name, url),
        _ => (text, text),
    };
    let url = PeerUrl::parse(url).map_err(|error| UsageError(format!("the peer {text:?}: {error}")))?;
    Ok(Peer { name: name.to_owned(), url, trusted })
}

fn options(config: &Config, args: &BackfillArgs) -> anyhow::Result<BackfillOptions> {
    let hours = args.hour.iter().map(|hour| Hour::parse(hour).map_err(|error| UsageError(format!("{hour}: {error}"))));
    let wants = Wants {
        channels: args.channel.iter().cloned().collect(),
        qualities: args.quality.iter().cloned().collect(),
        hours: hours.collect::<Result<_, _>>()?,
        start: args.start.as_deref().map(start).transpose()?,
    };
    let configured = defaults(config, &args.peers)?;
    let concurrency = args.concurrency.map_or(configured.concurrency, usize::from);
    Ok(BackfillOptions { wants, concurrency, ..configured })
}

/// What is used where only peers are given.
pub fn defaults(config: &Config, peers: &PeerArgs) -> anyhow::Result<BackfillOptions> {
    let cutoff = match &peers.recent_cutoff {
        Some(text) => humantime::parse_duration(text).map_err(|error| {
            UsageError(format!("--recent-cutoff {text:?}: {error}; expected is a time such as 120s"))
        })?,
        None => config.backfill.recent_cutoff,
    };
    Ok(BackfillOptions {
        wants: Wants::default(),
        cutoff: Span::from_us(i64::try_from(cutoff.as_micros()).unwrap_or(i64::MAX)),
        concurrency: config.backfill.concurrency,
        interval: config.backfill.interval,
        bandwidth: config.backfill.bandwidth,
        free_floor: config.backfill.keep_free,
        instance: rand::random(),
        report_file: Some(config.state_dir.join("replication.json")),
        tls: trusted(config)?,
        keeps: Keeps::everything(),
        accept_bursts: peers.accept_tombstone_bursts,
    })
}

/// Whom to trust where another node is asked over https.
pub fn trusted(config: &Config) -> anyhow::Result<Arc<ClientConfig>> {
    let trusted = tls::trusting(config.backfill.ca_file.as_deref());
    Ok(trusted.map_err(|error| UsageError(format!("backfill.ca_file: {error}")))?)
}

/// A date, an hour, a time, or a number of hours ago.
fn start(text: &str) -> anyhow::Result<Hour> {
    if let Ok(hours) = text.parse::<u32>() {
        let ago = Duration::from_secs(u64::from(hours) * 3600);
        let since = std::time::SystemTime::now()
            .checked_sub(ago)
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let us = i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX);
        return Ok(Timestamp::from_us(us).hour());
    }
    let time = Timestamp::parse(text);
    let time = time
        .ok_or_else(|| UsageError(format!("--start {text:?}: expected is a date, a time, or a number of hours ago")))?;
    Ok(time.hour())
}

fn report(config: &Config, peers: &[PeerStatus]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut complete = true;
    for status in peers {
        let done = status.last.as_ref().map(|(report, _)| report.clone());
        complete &= done.as_ref().is_some_and(|report| report.is_complete() && report.bursts.is_empty());
        let report = done.unwrap_or_default();
        if config.json {
            let line = serde_json::json!({
                "peer": status.peer.name, "requests": report.requests, "hours": report.hours, "fetched": report.fetched,
                "bytes": report.bytes, "tombstones": report.tombstones, "too_recent": report.too_recent,
                "near_duplicates": report.near_duplicates, "untrusted_tombstones": report.untrusted, "bursts": report.bursts,
                "refused_names": report.refused, "hash_mismatches": report.hash_mismatches, "errors": report.errors,
                "error": status.error,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        writeln!(
            out,
            "{}: {} segments fetched ({}), {} tombstones taken over, {} hours compared in {} requests, {} too recent",
            status.peer.name,
            report.fetched,
            indicatif::HumanBytes(report.bytes),
            report.tombstones,
            report.hours,
            report.requests,
            report.too_recent
        )?;
        for burst in &report.bursts {
            writeln!(out, "  waits for your word (--accept-tombstone-bursts): {burst}")?;
        }
        if let Some(error) = &status.error {
            writeln!(out, "  {} errors, {} wrong hashes; the last: {error}", report.errors, report.hash_mismatches)?;
        }
    }
    out.flush()?;
    Ok(if complete { Exit::Done.into() } else { Exit::DataWrong.into() })
}
