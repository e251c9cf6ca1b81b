//! The verb `node`: run the daemon until it is asked to stop. Builds nothing itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Args, NodeArgs};
use super::config::{Config, HttpConfig};
use super::out::stdout;
use super::{Exit, UsageError};
use crate::archive::Span;
use crate::archive::problems::video::ProblemThresholds;
use crate::http::{Auth, ConnectionLimits, Hosts, RequestBounds};
use crate::net::tls;
use crate::node::service::{Beat, Notify, with_patience};
use crate::node::{ENDING, Node, NodeOptions, NodePulse};
use crate::play::ffmpeg::PoolOptions;
use crate::play::playback::PlaybackOptions;
use crate::sync::crawl::WatchOptions;
use crate::sync::scrub::ScrubOptions;

/// How long fetching may take once a segment is old enough.
const AFTER_CUTOFF: Duration = Duration::from_secs(180);

/// Runs the daemon. What it counts goes to `registry`, which counts log events already.
pub async fn run(config: &Config, all: &Args, args: &NodeArgs, registry: Registry) -> anyhow::Result<ExitCode> {
    raise_descriptor_limit();
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for ctrl-C")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let notify = Arc::new(Notify::new(&|name| std::env::var_os(name)));
    let starting = Node::start(options(config, args)?, registry);
    let node = with_patience(&notify, "opening the index", starting).await?;
    let pulse = node.pulse();
    notify.ready("listening");
    let beating = tokio::spawn(beat(&notify, pulse).run());
    {
        let mut out = stdout();
        writeln!(out, "listening on {}://{}", node.scheme, node.address)?;
        out.flush()?;
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                notify.reloading();
                super::pace::reload(all, node.pacing());
                notify.reloaded();
            }
        }
    }
    tracing::info!(name: "ending", "stopping: no new connections; finishing requests in hand");
    notify.stopping(ENDING);
    node.stop().await;
    beating.abort();
    Ok(Exit::Done.into())
}

/// Reports to the service manager until the process ends.
fn beat(notify: &Arc<Notify>, pulse: NodePulse) -> Beat {
    let living = pulse.clone();
    Beat {
        notify: Arc::clone(notify),
        alive: Box::new(move || living.is_alive()),
        line: Arc::new(move || pulse.line()),
    }
}

/// The node as configured.
pub fn options(config: &Config, args: &NodeArgs) -> anyhow::Result<NodeOptions> {
    let http = &config.http;
    let auth = Auth::open(http.write_tokens.as_deref(), http.read_tokens.as_deref());
    let auth = auth.map_err(|error| UsageError(error.to_string()))?;
    Ok(NodeOptions {
        sources: super::backfill::sources(config)?,
        backfill: super::backfill::defaults(config, &args.peers)?,
        retention: super::retention::options(config),
        named: super::backfill::named(config, &[], &[]),
        name: config.node.name.clone(),
        base_dir: config.base_dir.clone(),
        state_dir: config.state_dir.clone(),
        listen: config.node.listen,
        index: super::offline::index_options(config),
        watch: watch_options(config),
        crawl: super::pace::of(config),
        verify_one_in: config.crawl.verify_one_in as u64,
        scrub: scrub_options(config),
        doubt_above: config.crawl.doubt_above,
        thresholds: thresholds(config),
        http: ConnectionLimits {
            max_connections: http.max_connections,
            header_timeout: http.header_timeout,
            idle_timeout: http.idle_timeout,
            body_timeout: http.body_timeout,
            write_stall_timeout: http.write_stall_timeout,
            min_rate: http.min_rate,
            max_header_bytes: usize::try_from(http.max_header_bytes).unwrap_or(usize::MAX),
            drain: http.drain,
        },
        hosts: hosts(config),
        auth: Arc::new(auth),
        tls: certificate(http)?,
        bounds: bounds(config),
        gauges: config
            .coverage
            .gauges
            .then(|| (u32::try_from(config.coverage.gauge_hours).unwrap_or(u32::MAX), config.coverage.gauge_series)),
        maps: config.coverage.maps,
        listing_cache: usize::try_from(http.listing_cache).unwrap_or(usize::MAX),
        playback: playback_options(config),
        ffmpeg: ffmpeg_options(config),
    })
}

/// From where on something is a problem. What is fetched is as old as the cutoff at least, and must not look like a silent recorder.
pub(super) fn thresholds(config: &Config) -> ProblemThresholds {
    let longer = config.backfill.recent_cutoff + AFTER_CUTOFF;
    let silent_after = config
        .problems
        .silent_after
        .map(|after| Span::from_us(i64::try_from(after.max(longer).as_micros()).unwrap_or(i64::MAX)));
    ProblemThresholds {
        silent_after,
        missing_share: config.problems.missing_share,
        keep_free: config.backfill.keep_free,
    }
}

/// What is watched.
pub(super) fn watch_options(config: &Config) -> WatchOptions {
    let watch = &config.watch;
    WatchOptions { hours_per_quality: watch.hours_per_quality, max_watches: watch.max_watches, window: watch.window }
}

/// What becomes of damaged files.
pub(super) fn scrub_options(config: &Config) -> ScrubOptions {
    ScrubOptions { structure: config.scrub.structure, keep: config.scrub.keep_quarantined }
}

/// What may be asked at once.
pub(super) fn bounds(config: &Config) -> RequestBounds {
    let http = &config.http;
    // Where few connections are allowed, those who stay leave room for those who come and go.
    let room = (http.max_connections / 4).max(1);
    let seats = |total: usize, each: usize| (total.min(room), each.min(room));
    RequestBounds {
        max_page: http.max_page,
        max_hours: http.max_hours_at_once,
        max_extras: http.max_extras,
        held: usize::try_from(http.held_answers).unwrap_or(usize::MAX),
        listeners: seats(http.max_listeners, http.max_listeners_per_client),
        waiting: seats(http.max_waiting, http.max_waiting_per_client),
    }
}

/// The names that are this machine's, and those that the operator gives the node.
fn hosts(config: &Config) -> Hosts {
    let own = [super::config::host_name(), config.node.name.clone()];
    Hosts::new(own.iter().chain(&config.http.hosts))
}

/// How much may be watched at once.
pub(super) fn playback_options(config: &Config) -> PlaybackOptions {
    let cache = usize::try_from(config.playback.cache).unwrap_or(usize::MAX);
    PlaybackOptions { max_hours: config.playback.max_hours, cache }
}

/// What ffmpeg may do.
pub(super) fn ffmpeg_options(config: &Config) -> PoolOptions {
    PoolOptions {
        program: config.playback.ffmpeg.clone(),
        processes: config.playback.ffmpeg_processes,
        time: config.playback.ffmpeg_time,
    }
}

/// The certificate and key to show, if any are configured.
fn certificate(http: &HttpConfig) -> anyhow::Result<Option<Arc<tls::TlsServer>>> {
    let (certificate, key) = match (&http.tls_certificate, &http.tls_key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return Err(half("http.tls_certificate", "http.tls_key")),
        (None, Some(_)) => return Err(half("http.tls_key", "http.tls_certificate")),
    };
    let server = tls::TlsServer::new(certificate, key).map_err(|error| UsageError(error.to_string()))?;
    Ok(Some(Arc::new(server)))
}

fn half(given: &str, missing: &str) -> anyhow::Error {
    UsageError(format!("{given} is given and {missing} is not; give both for https, or neither for http")).into()
}

/// Connections are limited by half the descriptors: as many as the system lets us have.
pub(super) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(name: "descriptor_limit", %error, "the limit of open files could not be raised");
    }
}
