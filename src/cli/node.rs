//! The verb `node`: run the daemon until it is asked to stop. Builds nothing itself.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};

use super::args::PeerArgs;
use super::config::{Config, GivenSettings, HttpConfig};
use super::exit::{Exit, UsageError};
use super::options;
use super::out::stdout;
use super::peer_access::sources;
use crate::http::{Auth, ConnectionLimits};
use crate::net::tls;
use crate::node::service::{Beat, Notify, with_patience};
use crate::node::{ENDING, Node, NodeOptions, NodePulse};

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
    let starting = Node::start(node_options(config, args)?, registry);
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
                reload(given, &node);
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

pub fn node_options(config: &Config, args: &NodeArgs) -> anyhow::Result<NodeOptions> {
    let http = &config.http;
    let auth = Auth::open(http.write_tokens.as_deref(), http.read_tokens.as_deref());
    let auth = auth.map_err(|error| UsageError(error.to_string()))?;
    Ok(NodeOptions {
        sources: sources(config)?,
        backfill: options::backfill(config, &args.peers)?,
        layouts: options::layouts(config),
        handoffs: options::handoffs(config),
        redirect: options::redirect(config)?,
        retention: options::retention(config),
        record: config.recorded.clone(),
        named: options::named(config, &[], &[]),
        name: config.node.name.clone(),
        base_dir: config.base_dir.clone(),
        state_dir: config.state_dir.clone(),
        listen: config.node.listen,
        index: options::index(config),
        watch: options::watch(config),
        crawl: options::pace(config),
        verify_one_in: config.crawl.verify_one_in as u64,
        scrub: options::scrub(config),
        seal: config.archive.seal,
        seal_after: options::seal_after(config),
        bucket: options::bucket(config)?.map(|bucket| options::node_bucket(config, bucket)),
        doubt_above: config.crawl.doubt_above,
        thresholds: options::thresholds(config),
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
        hosts: options::hosts(config),
        auth: Arc::new(auth),
        tls: certificate(http)?,
        bounds: options::bounds(config),
        gauges: config
            .coverage
            .gauges
            .then(|| (u32::try_from(config.coverage.gauge_hours).unwrap_or(u32::MAX), config.coverage.gauge_series)),
        maps: config.coverage.maps,
        playback: options::playback(config),
        ffmpeg: options::ffmpeg(config),
    })
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

/// Reads the configuration again. What cannot be read changes nothing; what belongs to the pace counts from the next slice on, and
/// what of it was changed over the API is as the file says again. Recorders that it names begin and end at once.
pub fn reload(given: &GivenSettings, node: &Node) {
    let read = Config::load(given);
    match read {
        Ok(config) => {
            node.pacing().set(options::pace(&config));
            node.recorders().configure(config.recorded);
            tracing::info!(name: "configuration_read", "configuration reloaded: the pace of the crawl and what is recorded apply now, everything else from the next start");
        }
        Err(error) => {
            tracing::error!(name: "configuration_refused", %error, "the new configuration is invalid and was not applied");
        }
    }
}
