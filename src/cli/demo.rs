//! The verb `demo`: three nodes and their recorders on this machine, to show what gapless does.
//!
//! 1. A directory is made, and the past is written into the base directories of three nodes.
//! 2. The nodes are started, all in this process: any signal that ends it ends all of them, and no process is left.
//!    They know nothing of each other but their addresses and speak over sockets, as nodes on three machines do.
//! 3. The recorders write and miss, until ctrl-C, SIGTERM, SIGHUP, the time that it was given, or an error.
//! 4. The nodes end in order, and the directory is removed. After `kill -9` it stays; nothing can be done about that.

mod home;
mod lines;
mod nodes;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::args::DemoArgs;
use super::config::Config;
use crate::archive::{Span, Timestamp};
use crate::demo::{DemoPlan, Recorders};
use home::Home;
use lines::DemoPrinter;
use nodes::Nodes;

/// Often enough that no recorder or line appears late.
const TICK: Duration = Duration::from_millis(250);

/// Runs the demonstration until it is asked to stop.
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
    if let Some(kept) = left? {
        printer.kept(&kept)?;
    }
    Ok(Exit::Done.into())
}

/// Turns true on the first signal. Further ones change nothing: what is in hand takes no more than a few seconds.
fn end_by_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let telling = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            telling.cancel();
        });
    }
    Ok(stop)
}

/// Refuses to begin what there is no room for.
fn room_for(args: &DemoArgs, home: &Home) -> anyhow::Result<()> {
    let needed = nodes::KEEP_FREE + lines::bytes_of_the_past(args.history) + lines::bytes_of_an_hour_in(args.lasts);
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
    let mut recorders = Recorders::new(plan, places.bases(), now());
    printer.preparing(args.history)?;
    let past = tokio::task::block_in_place(|| recorders.record_past(|| stop.is_cancelled()))?;
    if stop.is_cancelled() {
        return Ok(());
    }
    recorders.begin(now());
    let nodes = Nodes::start(&places).await?;
    let shown = async {
        printer.begun(&nodes.described(&places), home, args, seed, &past)?;
        record(&mut recorders, args.lasts, printer, stop).await
    };
    let shown = shown.await;
    let shown_end = shown.and_then(|()| printer.ending(home));
    nodes.stop().await;
    shown_end
}

/// Lets the recorders do their work.
async fn record(
    recorders: &mut Recorders,
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
        for event in tokio::task::block_in_place(|| recorders.advance(now()))? {
            printer.event(&event)?;
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
