//! What a demonstration prints: lines for people, or with `--json` one object a line.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::home::Home;
use crate::cli::args::DemoArgs;
use crate::cli::out::stdout;
use crate::demo::{CHANNELS, DemoEvent, QUALITIES, RecordedPast};

/// What an hour of the past takes on three nodes together: a block of 4 KiB for each of 600 segments in two channels and two qualities.
const PAST_HOUR: u64 = 3 * 4 * 600 * 4096;
/// The same for an hour that is recorded live, with 1800 segments.
const LIVE_HOUR: u64 = 3 * PAST_HOUR;

/// What the past will take.
pub(super) fn bytes_of_the_past(history: Duration) -> u64 {
    PAST_HOUR * history.as_secs() / 3600
}

/// What will be recorded in so long a time.
pub(super) fn bytes_of_an_hour_in(lasts: Duration) -> u64 {
    LIVE_HOUR * lasts.as_secs() / 3600
}

/// A node as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct NodeLines {
    pub(super) name: &'static str,
    pub(super) url: String,
    pub(super) base_dir: PathBuf,
}

/// Prints.
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

    /// The nodes run.
    pub(super) fn begun(
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

    /// A directory that was given stays.
    pub(super) fn kept(self, home: &Path) -> anyhow::Result<()> {
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
         Each of the three nodes records {channels} in {qualities}: 2 s at a time, with a small test picture. Its recorder\n\
         misses some, gets a part of some, is late with some and is away now and then. What others have is fetched once it is {} old;\n\
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
    Ok(out.flush()?)
}

fn line(line: &dyn Display) -> anyhow::Result<()> {
    let mut out = stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
