//! The verb `demo`: three nodes and their recorders on this machine, to show what gapless does.
//!
//! 1. A directory is made, and the past is written into the base directories of three nodes.
//! 2. The nodes are started, all in this process: any signal that ends it ends all of them, and no process is left.
//!    They know nothing of each other but their addresses and speak over sockets, as nodes on three machines do.
//! 3. Their recorders record from an origin in this process, over lines that drop, stall and break, until ctrl-C, SIGTERM, SIGHUP, the time
//!    that it was given, or an error.
//! 4. The nodes end in order, and the directory is removed. After `kill -9` it stays; nothing can be done about that.

mod nodes;

use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::now;
use super::config::{Config, time_between};
use super::exit::{Exit, UsageError};
use super::out::stdout;
use crate::archive::Span;
use crate::demo::{CHANNELS, DemoEvent, DemoOrigin, DemoPlan, DemoRecorders, QUALITIES, RecordedPast};
use crate::disk::Base;

use nodes::{NodeLines, Nodes};

#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// How much history to start with, at most 6h
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = |text: &str| time_between(text, "0s", "6h"))]
    pub history: Duration,
    /// End after this time, at most 24h
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = |text: &str| time_between(text, "1s", "24h"))]
    pub lasts: Duration,
    /// How long ago a segment must have ended before a node that lacks it fetches it, at most 10min; until then its hole is visible
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = |text: &str| time_between(text, "0s", "10min"))]
    pub recent_cutoff: Duration,
    /// Seed for reproducible failures of the recorders; random by default
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Use this directory, which must be empty or missing, and leave everything in it at the end
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Often enough that no recorder or line appears late.
const TICK: Duration = Duration::from_millis(250);

pub async fn run(config: &Config, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let stop = end_by_signal()?;
    super::node::raise_descriptor_limit();
    let home = Home::make(args.dir.as_deref())?;
    let printer = DemoPrinter::new(config.json);
    let played = match room_for(args, &home) {
        Ok(()) => play(args, &home, printer, &stop).await,
        refused => refused,
    };
    // In any case, even if standard output is closed.
    let left = tokio::task::block_in_place(|| home.leave());
    played?;
    if let Some(directory) = left? {
        printer.stays(&directory)?;
    }
    Ok(Exit::Done.into())
}

/// Turns true on the first signal. Further ones change nothing: what is in hand takes no more than a few seconds.
pub(super) fn end_by_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let canceller = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            canceller.cancel();
        });
    }
    Ok(stop)
}

fn room_for(args: &DemoArgs, home: &Home) -> anyhow::Result<()> {
    let needed = nodes::KEEP_FREE + bytes_of_the_past(args.history) + bytes_of_an_hour_in(args.lasts);
    let free = home.free_bytes()?;
    if free < needed {
        anyhow::bail!(
            "{} has {} MiB free, and {} MiB may be needed: choose another place with --dir, or ask for less with --history and --for",
            home.path().display(),
            free >> 20,
            needed >> 20
        );
    }
    Ok(())
}

async fn play(args: &DemoArgs, home: &Home, printer: DemoPrinter, stop: &CancellationToken) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let history = Span::from_us(i64::try_from(args.history.as_micros()).unwrap_or(i64::MAX));
    let plan = DemoPlan::new(seed, now(), history);
    let places = nodes::NodePaths::make(home.path(), args.recent_cutoff)?;
    let mut recorders = DemoRecorders::new(plan, places.bases(), now());
    printer.preparing(args.history)?;
    let past = tokio::task::block_in_place(|| recorders.record_past(|| stop.is_cancelled()))?;
    if stop.is_cancelled() {
        return Ok(());
    }
    recorders.begin(now());
    let origin = DemoOrigin::start(plan).await.context("cannot listen on 127.0.0.1 for the origin of the stream")?;
    let nodes = Nodes::start(&places, &origin).await?;
    let shown = async {
        printer.started(&nodes.described(&places), home, args, seed, &past)?;
        record(&mut recorders, &origin, args.lasts, printer, stop).await
    };
    let shown = shown.await;
    let shown_end = shown.and_then(|()| printer.ending(home));
    nodes.stop().await;
    shown_end
}

async fn record(
    recorders: &mut DemoRecorders,
    origin: &DemoOrigin,
    lasts: Duration,
    printer: DemoPrinter,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = tokio::time::sleep(lasts);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = &mut end => return Ok(()),
            _ = ticks.tick() => {}
        }
        let late = origin.take_late();
        for event in tokio::task::block_in_place(|| recorders.advance(now(), &late)) {
            printer.event(&event)?;
        }
    }
}

#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    /// Removed with the value too, so that a panic leaves nothing behind.
    temporary: Option<TempDir>,
}

impl Home {
    /// Makes a temporary directory, or takes this one, in which nothing may lie.
    pub(super) fn make(given: Option<&Path>) -> anyhow::Result<Self> {
        let temporary = if let Some(dir) = given {
            require_empty(dir)?;
            None
        } else {
            let made = tempfile::Builder::new().prefix("gapless-demo-").tempdir();
            let refused =
                || format!("cannot make a directory in {}; set TMPDIR or give --dir", std::env::temp_dir().display());
            Some(made.with_context(refused)?)
        };
        let path = temporary.as_ref().map(TempDir::path).or(given).unwrap_or(Path::new("."));
        // The nodes are given files in it.
        let path = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, temporary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub(super) fn free_bytes(&self) -> anyhow::Result<u64> {
        Ok(Base::open(&self.path)?.free_space()?.0)
    }

    /// Removes it if it is temporary; says where it stays if it is not. Blocks.
    pub(super) fn leave(self) -> anyhow::Result<Option<PathBuf>> {
        let Some(temporary) = self.temporary else { return Ok(Some(self.path)) };
        temporary.close().with_context(|| format!("cannot remove {}; remove it by hand", self.path.display()))?;
        Ok(None)
    }
}

fn require_empty(dir: &Path) -> anyhow::Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return fs::create_dir_all(dir).with_context(|| format!("cannot make --dir {}", dir.display()));
        }
        Err(error) => {
            return Err(UsageError(format!("--dir {}: {error}; expected a directory", dir.display())).into());
        }
    };
    if entries.next().is_some() {
        let wrong =
            format!("--dir {} is not empty, and nothing that lies there is to be touched; name another", dir.display());
        return Err(UsageError(wrong).into());
    }
    Ok(())
}

/// What an hour of the past takes on three nodes together: blocks of 4 KiB, three and two of them for each of 600 segments in the two qualities
/// of two channels.
const PAST_HOUR: u64 = 3 * 2 * 600 * (3 + 2) * 4096;
/// The same for an hour that is recorded live, with 1800 segments of two blocks.
const LIVE_HOUR: u64 = 3 * 2 * 1800 * (2 + 2) * 4096;

pub(super) fn bytes_of_the_past(history: Duration) -> u64 {
    PAST_HOUR * history.as_secs() / 3600
}

pub(super) fn bytes_of_an_hour_in(lasts: Duration) -> u64 {
    LIVE_HOUR * lasts.as_secs() / 3600
}

#[derive(Debug, Clone, Copy)]
pub(super) struct DemoPrinter {
    json: bool,
}

impl DemoPrinter {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn preparing(self, history: Duration) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        line(&format!("Recording {} of history for three nodes …", humantime::format_duration(history)))
    }

    pub(super) fn started(
        self,
        nodes: &[NodeLines],
        home: &Home,
        args: &DemoArgs,
        seed: u64,
        past: &RecordedPast,
    ) -> anyhow::Result<()> {
        let address = nodes.first().map(|node| node.url.as_str()).unwrap_or_default();
        if self.json {
            return json_line(&json!({
                "event": "started", "address": address, "nodes": nodes, "seed": seed,
                "directory": home.path(), "is_temporary": home.is_temporary(),
                "past": { "segments": past.written, "lacking": past.lacking, "lost": past.lost },
            }));
        }
        text(nodes, address, home, args, seed, past).split('\n').try_for_each(|part| line(&part))
    }

    pub(super) fn event(self, event: &DemoEvent) -> anyhow::Result<()> {
        if self.json { json_line(event) } else { line(event) }
    }

    /// On a busy disk it takes a while to remove so many files.
    pub(super) fn ending(self, home: &Home) -> anyhow::Result<()> {
        if self.json || !home.is_temporary() {
            return Ok(());
        }
        line(&format!("Ending: the nodes stop, and {} is removed.", home.path().display()))
    }

    pub(super) fn stays(self, home: &Path) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        line(&format!(
            "Everything stays in {0}; `gapless node --base-dir {0}/north` goes on with a node.",
            home.display()
        ))
    }
}

/// Seconds that the page shows at first: all of the history, and a little more, so that it goes on being so.
fn first_view(history: Duration) -> u64 {
    history.as_secs() + (history.as_secs() / 18).max(300)
}

fn text(nodes: &[NodeLines], address: &str, home: &Home, args: &DemoArgs, seed: u64, past: &RecordedPast) -> String {
    let time = |time: Duration| humantime::format_duration(time).to_string();
    let (channels, qualities) = (CHANNELS.join(" and "), QUALITIES.join(" and "));
    let each: Vec<String> = nodes
        .iter()
        .zip(&past.lacking)
        .map(|(node, lacking)| {
            format!("  {:<6} {}   lacks {lacking} segments of the history that others have", node.name, node.url)
        })
        .collect();
    let end = if home.is_temporary() { "removes" } else { "leaves everything in" };
    format!(
        "\n  Open {address}#live={}\n  and click a timeline to play it, or a red mark to see what is missing and why.\n\n\
         {}\n\n\
         Each of the three nodes records {channels} in {qualities}, 2 s at a time, with a clock in the picture. Its line to the\n\
         origin drops some, breaks off in some, is late with some and is away now and then. What others have is fetched once it is {} old;\n\
         what no node has whole stays missing, such as {} segments of the history. One segment is hidden by a tombstone.\n\n\
         On the command line: gapless holes {}/{} --base-dir {}\n\
         Ctrl-C ends it and {} {} (about {} MiB now, {} MiB more each hour). It ends after {}. Seed {seed}.\n",
        first_view(args.history),
        each.join("\n"),
        time(args.recent_cutoff),
        past.lost,
        CHANNELS[0],
        QUALITIES[0],
        nodes.first().map(|node| node.base_dir.display().to_string()).unwrap_or_default(),
        end,
        home.path().display(),
        bytes_of_the_past(args.history) >> 20,
        LIVE_HOUR >> 20,
        time(args.lasts),
    )
}

fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = stdout();
    out.json(value)?;
    Ok(())
}

fn line(line: &dyn Display) -> anyhow::Result<()> {
    let mut out = stdout();
    writeln!(out, "{line}")?;
    Ok(())
}
