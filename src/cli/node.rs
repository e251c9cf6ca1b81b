//! The verb `node`: run the daemon until it is asked to stop. Builds nothing itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::args::PeerArgs;
use super::config::{Config, GivenSettings, HttpConfig};
use super::exit::{Exit, UsageError};
use super::out::stdout;
use crate::archive::Span;
use crate::archive::problems::video::ProblemThresholds;
use crate::http::{Auth, ConnectionLimits, Hosts, RequestBounds};
use crate::net::tls;
use crate::node::service::{Beat, Notify, with_patience};
use crate::node::{ENDING, Node, NodeOptions, NodePulse};
use crate::play::ffmpeg::PoolOptions;
use crate::play::playback::PlaybackOptions;
use crate::sync::crawl::{CrawlPace, Pacing, ReadAllowance, WatchOptions};
use crate::sync::scrub::ScrubOptions;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct NodeArgs {
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where to listen; port 0 picks a free one [env: GAPLESS_LISTEN] [default: 127.0.0.1:8000]"
    )]
    pub listen: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "File with tokens that may write, one per line [env: GAPLESS_HTTP_WRITE_TOKENS]"
    )]
    pub write_tokens: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "File with tokens that may read, one per line; by default everybody may read [env: GAPLESS_HTTP_READ_TOKENS]"
    )]
    pub read_tokens: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Speak https with this certificate chain (PEM) [env: GAPLESS_HTTP_TLS_CERTIFICATE]"
    )]
    pub tls_certificate: Option<String>,
    #[arg(long, value_name = "FILE", help = "The private key of that certificate (PEM) [env: GAPLESS_HTTP_TLS_KEY]")]
    pub tls_key: Option<String>,
    #[arg(long, value_name = "NAME", help = "This node's name [env: GAPLESS_NAME] [default: the host's name]")]
    pub name: Option<String>,
    #[command(flatten)]
    pub peers: PeerArgs,
}

/// How long fetching may take once a segment is old enough.
const AFTER_CUTOFF: Duration = Duration::from_secs(180);

/// Runs the daemon. What it counts goes to `registry`, which counts log events already.
pub async fn run(
    config: &Config,
    given: &GivenSettings,
    args: &NodeArgs,
    registry: Registry,
) -> anyhow::Result<ExitCode> {
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
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                notify.reloading();
                reload(given, node.pacing());
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

fn beat(notify: &Arc<Notify>, pulse: NodePulse) -> Beat {
    let liveness = pulse.clone();
    Beat {
        notify: Arc::clone(notify),
        alive: Box::new(move || liveness.is_alive()),
        line: Arc::new(move || pulse.line()),
    }
}

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
        index: super::api::index_options(config),
        watch: watch_options(config),
        crawl: pace(config),
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

pub(super) fn watch_options(config: &Config) -> WatchOptions {
    let watch = &config.watch;
    WatchOptions { hours_per_quality: watch.hours_per_quality, max_watches: watch.max_watches, window: watch.window }
}

pub(super) fn scrub_options(config: &Config) -> ScrubOptions {
    ScrubOptions { structure: config.scrub.structure, keep: config.scrub.keep_quarantined }
}

pub(super) fn bounds(config: &Config) -> RequestBounds {
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
fn hosts(config: &Config) -> Hosts {
    let own = [super::config::host_name(), config.node.name.clone()];
    Hosts::new(own.iter().chain(&config.http.hosts))
}

pub(super) fn playback_options(config: &Config) -> PlaybackOptions {
    let cache = usize::try_from(config.playback.cache).unwrap_or(usize::MAX);
    PlaybackOptions { max_hours: config.playback.max_hours, cache }
}

pub(super) fn ffmpeg_options(config: &Config) -> PoolOptions {
    PoolOptions {
        program: config.playback.ffmpeg.clone(),
        processes: config.playback.ffmpeg_processes,
        time: config.playback.ffmpeg_time,
    }
}

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

pub fn pace(config: &Config) -> CrawlPace {
    let (crawl, scrub) = (&config.crawl, &config.scrub);
    let cycles = [
        ("reconcile", crawl.minimum_cycle),
        ("census", config.census.minimum_cycle),
        ("scrub", scrub.minimum_cycle),
        ("facts", config.facts.minimum_cycle),
        ("housekeeping", config.housekeeping.minimum_cycle),
    ];
    let limit = |rate: u64| Some(rate).filter(|rate| *rate > 0);
    CrawlPace {
        cpu_share: crawl.cpu_share,
        slice: crawl.slice,
        adaptive: crawl.adaptive,
        threads: crawl.threads,
        cycles: cycles.into_iter().map(|(name, least)| (name.to_owned(), least)).collect(),
        reading: ReadAllowance {
            bytes_per_second: limit(scrub.bytes_per_second),
            files_per_second: limit(scrub.files_per_second as u64),
        },
    }
}

/// Reads the configuration again. What cannot be read changes nothing; what belongs to the pace counts from the next slice on, and
/// what was changed over the API is as the file says again.
pub fn reload(given: &GivenSettings, pacing: &Pacing) {
    let read = Config::load(given);
    match read {
        Ok(config) => {
            pacing.set(pace(&config));
            tracing::info!(name: "configuration_read", "configuration reloaded: the pace of the crawl applies now, everything else from the next start");
        }
        Err(error) => {
            tracing::error!(name: "configuration_refused", %error, "the new configuration is invalid and was not applied");
        }
    }
}
