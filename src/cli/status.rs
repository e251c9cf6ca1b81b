//! The verb `status`: what a node says about itself, on one screen. Works nothing out on its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use super::Exit;
use super::args::StatusArgs;
use super::client::Daemon;
use super::config::Config;
use crate::wire::{PeerReport, Status};

/// Prints the state of the daemon on this archive, or of the one that was named. Ends with 1 if something is wrong.
pub async fn run(config: &Config, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let daemon = match args.node.daemon(config)? {
        Some(daemon) => Some(daemon),
        None => Daemon::find(&config.state_dir).await,
    };
    let Some(daemon) = daemon else {
        anyhow::bail!("no daemon runs on {}; start one with `gapless node`", config.base_dir.display());
    };
    let status: Status = daemon.get_json("/api/v1/status").await?;
    let mut out = std::io::stdout().lock();
    if config.json {
        serde_json::to_writer_pretty(&mut out, &status)?;
        writeln!(out)?;
    } else {
        out.write_all(screen(&status).as_bytes())?;
    }
    out.flush()?;
    Ok(if status.troubles.is_empty() { Exit::Done.into() } else { Exit::DataWrong.into() })
}

/// A size for people.
fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A length of time for people.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds for display; never negative"
)]
fn length(seconds: f64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds as u64)).to_string()
}

/// How far behind another node this one is.
fn behind(peer: &PeerReport) -> String {
    match (peer.behind_segments, peer.behind_seconds) {
        (0, seconds) if seconds < 1.0 => "nothing is missing".to_owned(),
        (0, seconds) => format!("not in agreement for {}", length(seconds)),
        (segments, seconds) => format!("{segments} segments behind, for {}", length(seconds)),
    }
}

fn screen(status: &Status) -> String {
    let mut text = String::new();
    // A write to a String cannot fail.
    write_screen(&mut text, status).unwrap_or_default();
    text
}

fn write_screen(text: &mut String, status: &Status) -> std::fmt::Result {
    let ready = if status.ready { "ready" } else { "not ready" };
    writeln!(text, "{}  gapless {}  {ready}  since {}", status.name, status.version, status.started)?;
    write!(text, "disk     {}  {}", status.disk.state, status.base_dir)?;
    if let (Some(free), Some(total)) = (status.disk.free_bytes, status.disk.total_bytes) {
        write!(text, "  {} free of {}", size(free), size(total))?;
    }
    let index = &status.index;
    writeln!(
        text,
        "\nindex    {}  {}  change {}  epoch {}",
        index.state,
        size(index.file_bytes),
        index.seq,
        index.epoch
    )?;
    for aside in &index.set_aside {
        writeln!(text, "         set aside: {aside}")?;
    }
    let crawl = &status.crawl;
    write!(
        text,
        "crawl    {}  cycle {}  {} of {} hours",
        crawl.state, crawl.cycle, crawl.hours_done, crawl.hours_total
    )?;
    if let Some(left) = crawl.seconds_left {
        write!(text, "  {} left", length(left))?;
    }
    if let Some(next) = &crawl.next_cycle {
        write!(text, "  next {next}")?;
    }
    writeln!(text)?;
    if let Some(last) = &crawl.last {
        writeln!(
            text,
            "         last cycle: {:.2} s, {} hours read, {} files put, {} removed, {} errors",
            last.seconds, last.hours_read, last.files_put, last.files_removed, last.errors
        )?;
    }
    let watch = &status.watch;
    writeln!(
        text,
        "watch    {} directories  {} events  {} overflows  {} compared instead",
        watch.watches, watch.events, watch.overflows, watch.unwatched
    )?;
    writeln!(
        text,
        "\n{:<32} {:>7} {:>10} {:>12} {:>14} {:>6} {:>10}  hours",
        "channel/quality", "hours", "segments", "size", "video", "bad", "tombstones"
    )?;
    for stream in &status.streams {
        let (first, last) = (stream.first_hour.as_deref().unwrap_or("-"), stream.last_hour.as_deref().unwrap_or("-"));
        writeln!(
            text,
            "{:<32} {:>7} {:>10} {:>12} {:>14} {:>6} {:>10}  {first} to {last}",
            format!("{}/{}", stream.channel, stream.quality),
            stream.hours,
            stream.segments,
            size(stream.bytes),
            length(stream.seconds),
            stream.bad,
            stream.tombstones
        )?;
    }
    for (stream, day) in status.streams.iter().filter_map(|stream| Some((stream, stream.last_day?))) {
        writeln!(
            text,
            "last day {}/{}: {} covered, {} holes, {:.3} s missing",
            stream.channel,
            stream.quality,
            length(day.covered_seconds),
            day.holes,
            day.hole_seconds
        )?;
    }
    for peer in &status.peers {
        writeln!(
            text,
            "\npeer     {}  {}  {}  {} rounds  {}\n         last: {} segments ({}) in {:.2} s, {} requests{}",
            peer.name,
            peer.speaks.as_deref().unwrap_or("not reached yet"),
            peer.state,
            peer.rounds,
            behind(peer),
            peer.fetched,
            size(peer.bytes),
            peer.seconds,
            peer.requests,
            if peer.failures > 0 { format!("  {} failures in a row", peer.failures) } else { String::new() }
        )?;
        if let Some(error) = &peer.error {
            writeln!(text, "         {error}")?;
        }
    }
    for source in &status.sources {
        let read = source.read.as_ref().map_or_else(String::new, |time| format!("  read {time}"));
        let remembered = if source.remembered { "  from before the last start" } else { "" };
        writeln!(text, "\nnodes    {}  {}  {} known{read}{remembered}", source.kind, source.place, source.peers)?;
    }
    if status.troubles.is_empty() {
        writeln!(text, "\nall is well")
    } else {
        status.troubles.iter().try_for_each(|trouble| writeln!(text, "\nwrong: {trouble}"))
    }
}
