//! What the settings mean to each room: its options, made from the configuration. Starts nothing, and opens
//! nothing but the files that settings name for tokens and authorities.

use std::sync::Arc;
use std::time::Duration;

use super::args::{CutoffArg, PeerArgs, parse_since};
use super::config::{Config, PlacementConfig, directories, host_name};
use super::exit::UsageError;
use super::peer_access::{token, trusted};
use crate::archive::origins::ConfiguredStreams;
use crate::archive::problems::video::ProblemThresholds;
use crate::archive::retention::{LEAVES_SOON, RetentionLimits};
use crate::archive::{Hour, Span};
use crate::bucket::{Bucket, BucketSettings, CacheBounds, CredentialSource};
use crate::disk::BaseGuard;
use crate::http::{Hosts, RequestBounds};
use crate::index::IndexOptions;
use crate::lifecycle::archiving::{LearnedStreams, LocalLimits};
use crate::lifecycle::handoffs::HandoffOptions;
use crate::lifecycle::retention::RetentionOptions;
use crate::net::tls;
use crate::node::BucketOptions;
use crate::play::ffmpeg::PoolOptions;
use crate::play::playback::PlaybackOptions;
use crate::replicate::backfill::{BackfillOptions, Wants};
use crate::replicate::placement::LayoutOptions;
use crate::replicate::sources::Trust;
use crate::sync::crawl::{AbsentFiles, CrawlPace, ReadAllowance, StrangersBudget, WatchOptions};
use crate::sync::scrub::ScrubOptions;

/// Bytes a second below which a store gives up a connection.
const SLOWEST: u64 = 64 << 10;
/// How long fetching may take once a segment is old enough.
const AFTER_CUTOFF: Duration = Duration::from_secs(180);

pub fn index(config: &Config) -> IndexOptions {
    IndexOptions {
        cache_bytes: usize::try_from(config.index.cache).unwrap_or(usize::MAX),
        changes_kept: config.index.changes_kept,
        closed_kept: span(config.index.closed_holes_kept),
        closed_most: config.index.closed_holes,
        ..IndexOptions::default()
    }
}

/// From where on something is a problem. What is fetched is as old as the cutoff at least, and must not look like a silent recorder.
pub fn thresholds(config: &Config) -> ProblemThresholds {
    let longer = config.backfill.recent_cutoff + AFTER_CUTOFF;
    let silent_after = config.problems.silent_after.map(|after| span(after.max(longer)));
    ProblemThresholds {
        silent_after,
        missing_share: config.problems.missing_share,
        keep_free: config.backfill.keep_free,
    }
}

pub fn watch(config: &Config) -> WatchOptions {
    let watch = &config.watch;
    WatchOptions { hours_per_quality: watch.hours_per_quality, max_watches: watch.max_watches, window: watch.window }
}

pub fn scrub(config: &Config) -> ScrubOptions {
    ScrubOptions { structure: config.scrub.structure, keep: config.scrub.keep_quarantined }
}

pub fn seal_after(config: &Config) -> Span {
    Span::from_us(i64::try_from(config.archive.seal_after.as_micros()).unwrap_or(i64::MAX))
}

/// What opens files that lie in the bucket alone, if one is named; nobody is asked yet. Needs a runtime around it.
pub fn absent_files(config: &Config, guard: &Arc<BaseGuard>) -> anyhow::Result<Option<Arc<dyn AbsentFiles>>> {
    let Some(bucket) = bucket(config)? else { return Ok(None) };
    let options = node_bucket(config, bucket);
    let reader = options.reader(&config.state_dir);
    Ok(Some(options.files(guard, reader)))
}

/// What a node does with its bucket.
pub fn node_bucket(config: &Config, bucket: Bucket) -> BucketOptions {
    let archive = &config.archive;
    let limits = LocalLimits { keep_local: archive.keep_local, make_room: archive.make_room };
    let learns = archive.learn.then(|| learned_streams(config));
    BucketOptions { bucket, every: archive.minimum_cycle, learns, limits, cache: bucket_cache(config) }
}

/// Of which hours a node learns from its bucket: of those that it would fetch from others.
pub fn learned_streams(config: &Config) -> LearnedStreams {
    let all = |names: &[String]| names.iter().cloned().collect();
    LearnedStreams { channels: all(&config.backfill.channels), qualities: all(&config.backfill.qualities) }
}

/// Where sealed hours are uploaded to, if anywhere. Nobody is asked yet.
pub fn bucket(config: &Config) -> anyhow::Result<Option<Bucket>> {
    let archive = &config.archive;
    let Some(bucket) = &archive.bucket else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| UsageError(format!("[archive]: {error}"));
    let of_streams =
        config.retention_streams.iter().filter_map(|section| Some(("archive_max_age", section.bucket_age??)));
    for (key, max_age) in archive.max_age.map(|age| ("max_age", span(age))).into_iter().chain(of_streams) {
        if max_age <= span(archive.seal_after) {
            let why = format!(
                "{key} is no longer than seal_after, so that hours would be too old for the bucket before they are sealed; expected a longer {key}"
            );
            return Err(wrong(&why).into());
        }
        if archive.keep_local.is_some_and(|keep_local| max_age < span(keep_local) + LEAVES_SOON) {
            let why = format!(
                "{key} is not a day longer than keep_local, so that hours would not leave this disk, as files stay here of what leaves the bucket within a day; expected a longer {key}"
            );
            return Err(wrong(&why).into());
        }
    }
    let credentials = match &archive.credentials {
        Some(file) => CredentialSource::of_file(file),
        None => CredentialSource::of_environment(&|name| std::env::var(name).ok()),
    };
    let credentials = credentials.map_err(|error| wrong(&error))?;
    let amazon = || format!("https://s3.{}.amazonaws.com", archive.region);
    let endpoint = archive.endpoint.clone().unwrap_or_else(amazon);
    let prefix = archive.prefix.as_deref().unwrap_or_default();
    let settings = BucketSettings::new(&endpoint, bucket, &archive.region, prefix, archive.allow_http, credentials);
    let mut settings = settings.map_err(|error| wrong(&error))?;
    settings.part_bytes = archive.part_size;
    settings.bytes_per_second = Some(archive.bandwidth).filter(|rate| *rate > 0).map(|rate| rate.max(SLOWEST));
    let settings = if archive.bucket_in_host { settings.in_host() } else { settings };
    let tls = tls::trusting(archive.ca_file.as_deref()).map_err(|error| wrong(&error))?;
    Ok(Some(Bucket::new(settings, &tls).map_err(|error| wrong(&error))?))
}

/// How much of what is read from the bucket is kept.
pub fn bucket_cache(config: &Config) -> CacheBounds {
    // What is kept of the bucket makes room for what is recorded, and never the other way round.
    let wanted = [config.retention.min_free, config.archive.make_room];
    let keep_free = wanted.into_iter().flatten().fold(config.backfill.keep_free, u64::max);
    CacheBounds { limit: config.archive.cache, keep_free }
}

pub fn bounds(config: &Config) -> RequestBounds {
    let http = &config.http;
    // Where few connections are allowed, those who stay leave room for those who come and go.
    let room = (http.max_connections / 4).max(1);
    let seats = |total: usize, each: usize| (total.min(room), each.min(room));
    RequestBounds {
        max_page: http.max_page,
        max_hours: http.max_hours_at_once,
        max_extras: http.max_extras,
        listing_cache: usize::try_from(http.listing_cache).unwrap_or(usize::MAX),
        held: usize::try_from(http.held_answers).unwrap_or(usize::MAX),
        listeners: seats(http.max_listeners, http.max_listeners_per_client),
        waiting: seats(http.max_waiting, http.max_waiting_per_client),
    }
}

/// The names that are this machine's, and those that the operator gives the node.
pub fn hosts(config: &Config) -> Hosts {
    let own = [host_name(), config.node.name.clone()];
    Hosts::new(own.iter().chain(&config.http.hosts))
}

pub fn playback(config: &Config) -> PlaybackOptions {
    let cache = usize::try_from(config.playback.cache).unwrap_or(usize::MAX);
    PlaybackOptions { max_hours: config.playback.max_hours, cache }
}

pub fn ffmpeg(config: &Config) -> PoolOptions {
    PoolOptions {
        program: config.playback.ffmpeg.clone(),
        processes: config.playback.ffmpeg_processes,
        time: config.playback.ffmpeg_time,
    }
}

pub fn pace(config: &Config) -> CrawlPace {
    let (crawl, scrub) = (&config.crawl, &config.scrub);
    let limit = |rate: u64| Some(rate).filter(|rate| *rate > 0);
    CrawlPace {
        cpu_share: crawl.cpu_share,
        slice: crawl.slice,
        adaptive: crawl.adaptive,
        threads: crawl.threads,
        cycles: config.minimum_cycles().into_iter().map(|(name, least)| (name.to_owned(), least)).collect(),
        reading: ReadAllowance {
            bytes_per_second: limit(scrub.bytes_per_second),
            files_per_second: limit(scrub.files_per_second as u64),
        },
    }
}

/// What backfill does by the configuration and the arguments that every verb with peers has.
pub fn backfill(config: &Config, peers: &PeerArgs) -> anyhow::Result<BackfillOptions> {
    Ok(BackfillOptions {
        wants: Wants {
            channels: config.backfill.channels.iter().cloned().collect(),
            qualities: config.backfill.qualities.iter().cloned().collect(),
            hours: std::collections::BTreeSet::new(),
            start: config.backfill.start.as_deref().map(start).transpose()?,
            future: config.backfill.future,
        },
        cutoff: recent_cutoff(config, &peers.cutoff)?,
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

/// As given by the flag, or else as configured.
pub fn recent_cutoff(config: &Config, given: &CutoffArg) -> Result<Span, UsageError> {
    let Some(text) = &given.recent_cutoff else { return Ok(span(config.backfill.recent_cutoff)) };
    humantime::parse_duration(text)
        .map(span)
        .map_err(|error| UsageError(format!("--recent-cutoff {text:?}: {error}; expected a time such as 120s")))
}

fn start(text: &str) -> Result<Hour, UsageError> {
    parse_since(text).map_err(|advice| UsageError(format!("backfill.start is {text:?}: {advice}")))
}

fn extras(config: &Config, peers: &PeerArgs) -> anyhow::Result<Vec<String>> {
    let mut names = config.backfill.extras.clone();
    for text in &peers.extras {
        let more = directories(text).filter(|more| !more.is_empty());
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

/// What this node is called in a layout, and whose layouts it takes.
pub fn layouts(config: &Config) -> LayoutOptions {
    // Nothing proves a layout: whoever names nobody has chosen nobody.
    let from = &config.backfill.layouts_from;
    let from = if from.is_empty() { Trust::None } else { Trust::parse(from) };
    LayoutOptions { name: config.node.name.clone(), from }
}

/// Whether and how often hours leave for their owners.
pub fn handoffs(config: &Config) -> HandoffOptions {
    let PlacementConfig { handoffs, handoffs_every, .. } = &config.placement;
    HandoffOptions { leave: *handoffs, every: *handoffs_every, keep_free: config.backfill.keep_free }
}

/// Whether clients are sent to the nodes that have what they ask for.
pub fn redirect(config: &Config) -> anyhow::Result<bool> {
    let redirect = config.placement.redirect;
    if redirect && config.backfill.token_file.is_some() {
        let why = "placement.redirect sends clients to other nodes, and backfill.token_file says that those want a token, which no client \
                   takes along to another host; leave one of them out";
        return Err(UsageError(why.to_owned()).into());
    }
    Ok(redirect)
}

/// What the configuration names, or what a command names in its place: it is no stranger's.
pub fn named(config: &Config, channels: &[String], qualities: &[String]) -> ConfiguredStreams {
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

pub fn retention(config: &Config) -> RetentionOptions {
    let configured = &config.retention;
    RetentionOptions {
        limits: RetentionLimits {
            max_age: configured.max_age.map(span),
            max_bytes: configured.max_bytes,
            min_free: configured.min_free,
            bucket_age: config.archive.max_age.map(span),
            streams: config.retention_streams.clone(),
        },
        reclaim_age: span(configured.reclaim_age),
        interval: configured.interval,
        keep_last_copy: configured.keep_last_copy,
        copies_at: configured.copies_at.clone(),
    }
}

fn span(time: Duration) -> Span {
    Span::from_us(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}
