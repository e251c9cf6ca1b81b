//! The verbs `holes` and `timespans`: what is missing of a channel and quality, or was, and what is there, in one piece each. Asks the daemon
//! if one runs, and the index itself if none does; reads no more hours than the window needs.

use std::process::ExitCode;

use console::Term;

use super::args::{HolesArgs, TimespansArgs, WindowArgs};
use super::client::Daemon;
use super::config::Config;
use super::offline::Offline;
use super::out::stdout;
use super::pages::Pages;
use super::{Exit, UsageError};
use crate::domain::coverage::{CoverageKind, Window};
use crate::domain::escape::unshown;
use crate::domain::hole_reasons::OpenHole;
use crate::domain::{Span, Stream, Timestamp};
use crate::index::Covered;
use crate::wire::{ClosedHole, ClosedHoleList, HoleList, HoleRecord, Timespan, TimespanList, microseconds, seconds};

/// Prints the holes of a window.
pub async fn holes(config: &Config, args: &HolesArgs) -> anyhow::Result<ExitCode> {
    let (stream, window) = read(&args.window, args.edges)?;
    if args.edges && window.from.is_none() && window.to.is_none() {
        return Err(UsageError("--edges is about the edges of a window: give --from, --to or both".to_owned()).into());
    }
    if args.closed {
        return closed(config, &stream, window).await;
    }
    let lane = if args.editable { CoverageKind::Editable } else { CoverageKind::Raw };
    let mut list = HoleList {
        channel: stream.channel.to_string(),
        quality: stream.quality.to_string(),
        kind: lane.as_str().to_owned(),
        covered_seconds: 0.0,
        holes: Vec::new(),
        next: None,
    };
    if let Some(daemon) = Daemon::find(&config.state_dir).await {
        let more = [("editable", args.editable), ("edges", args.edges), ("unfillable", args.unfillable)];
        let mut pages = Pages::new(&daemon, "holes", &stream, window, &more);
        let mut covered_us = 0;
        while let Some(page) = pages.next(|page: &HoleList| page.next.clone()).await? {
            covered_us += microseconds(page.covered_seconds);
            join(&mut list.holes, page.holes, |last, next| {
                let is_one = last.end == next.start;
                if is_one {
                    last.end.clone_from(&next.end);
                    let us = microseconds(last.seconds) + microseconds(next.seconds);
                    last.seconds = Span::from_us(us).seconds();
                }
                is_one
            });
        }
        list.covered_seconds = Span::from_us(covered_us).seconds();
    } else {
        let (found, ledger) = offline(config, &stream, window)?;
        let ledger = if lane == CoverageKind::Raw { ledger } else { Vec::new() };
        list.holes = HoleRecord::with_ledger(found.coverage.holes_within(lane, &window), &ledger);
        list.holes.retain(|hole| hole.unfillable || !args.unfillable);
        list.covered_seconds = seconds(found.coverage.covered_us(lane, &window, &found.lines));
    }
    if config.json {
        return print_json(&list);
    }
    print_lines(
        "REASON",
        list.holes.iter().map(|hole| {
            let peers = if hole.peers.is_empty() { String::new() } else { format!(" ({})", hole.peers.join(", ")) };
            let reason = hole.reason.as_ref().map(|reason| format!("{reason}{peers}")).unwrap_or_default();
            (hole.start.clone(), hole.end.clone(), hole.seconds, reason)
        }),
    )
}

/// Prints what was missing and is not any more.
async fn closed(config: &Config, stream: &Stream, window: Window) -> anyhow::Result<ExitCode> {
    let (channel, quality) = (stream.channel.to_string(), stream.quality.to_string());
    let mut list = ClosedHoleList { channel, quality, closed: Vec::new(), next: None };
    if let Some(daemon) = Daemon::find(&config.state_dir).await {
        let mut pages = Pages::after(&daemon, "ledger", stream, window);
        while let Some(page) = pages.next(|page: &ClosedHoleList| page.next.clone()).await? {
            list.closed.extend(page.closed);
        }
    } else {
        let page = tokio::task::block_in_place(|| {
            let offline = Offline::open(config)?;
            let found = offline.keeper.index().closed_holes(stream, &window, None, usize::MAX);
            offline.close();
            anyhow::Ok(found?)
        })?;
        list.closed = page.closed.iter().map(ClosedHole::from).collect();
    }
    if config.json {
        return print_json(&list);
    }
    print_lines(
        "CLOSED",
        list.closed.iter().map(|hole| {
            let by = hole.closed_by.as_deref().unwrap_or("nobody");
            let told = format!("first seen {}, closed {} by {by}", hole.first_seen, hole.closed);
            (hole.start.clone(), hole.end.clone(), hole.seconds, told)
        }),
    )
}

/// Prints the timespans of a window.
pub async fn timespans(config: &Config, args: &TimespansArgs) -> anyhow::Result<ExitCode> {
    let (stream, window) = read(&args.window, false)?;
    let (channel, quality) = (stream.channel.to_string(), stream.quality.to_string());
    let mut list = TimespanList { channel, quality, timespans: Vec::new(), next: None };
    if let Some(daemon) = Daemon::find(&config.state_dir).await {
        let mut pages = Pages::new(&daemon, "timespans", &stream, window, &[]);
        while let Some(page) = pages.next(|page: &TimespanList| page.next.clone()).await? {
            join(&mut list.timespans, page.timespans, |last, next| {
                let is_one = end(last) == next.start;
                if is_one {
                    let us = microseconds(last.duration) + microseconds(next.duration);
                    last.duration = Span::from_us(us).seconds();
                }
                is_one
            });
        }
    } else {
        let (found, _) = offline(config, &stream, window)?;
        list.timespans = found.coverage.timespans(&window).into_iter().map(Timespan::from).collect();
    }
    if config.json {
        return print_json(&list);
    }
    print_lines("", list.timespans.iter().map(|run| (run.start.clone(), end(run), run.duration, String::new())))
}

/// When a timespan ends.
fn end(run: &Timespan) -> String {
    let start = Timestamp::parse(&run.start).unwrap_or(Timestamp::MIN);
    (start + Span::from_us(microseconds(run.duration))).to_string()
}

/// Adds the records of a page. What the page before has cut goes on in the first of them: `joins` then makes them one.
fn join<T>(known: &mut Vec<T>, page: Vec<T>, joins: impl FnOnce(&mut T, &T) -> bool) {
    let mut page = page.into_iter().peekable();
    if let (Some(last), Some(first)) = (known.last_mut(), page.peek())
        && joins(last, first)
    {
        page.next();
    }
    known.extend(page);
}

fn read(args: &WindowArgs, edges: bool) -> Result<(Stream, Window), UsageError> {
    let stream = Stream::parse(&unshown(&args.stream)).map_err(|error| {
        UsageError(format!("{:?}: {error}; expected is CHANNEL/QUALITY, such as desertbus/source", args.stream))
    })?;
    if stream.quality.is_chat() {
        return Err(UsageError(format!("{stream} holds lines of chat, and only video has coverage")));
    }
    let time = |flag: &str, given: &Option<String>| {
        let parse = |text: &String| {
            Timestamp::parse(text).filter(|at| (Timestamp::MIN..=Timestamp::MAX).contains(at)).ok_or_else(|| {
                UsageError(format!("{flag} {text:?} is no time such as 2019-11-13T04:05:06 (ISO 8601, UTC)"))
            })
        };
        given.as_ref().map(parse).transpose()
    };
    let (from, to) = (time("--from", &args.from)?, time("--to", &args.to)?);
    let window = Window::new(from, to, edges).map_err(|error| UsageError(error.to_string()))?;
    Ok((stream, window))
}

/// Reads what a window needs from the index itself, all its hours compared with the disk.
fn offline(config: &Config, stream: &Stream, window: Window) -> anyhow::Result<(Covered, Vec<OpenHole>)> {
    tokio::task::block_in_place(|| {
        let offline = Offline::open(config)?;
        let found = offline.keeper.coverage(stream, &window, usize::MAX, usize::MAX);
        let ledger = offline.keeper.index().open_holes(stream, &window, usize::MAX);
        offline.close();
        Ok((found?, ledger?))
    })
}

fn print_json(answer: &impl serde::Serialize) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    out.json(&answer)?;
    Ok(Exit::Done.into())
}

/// Start, end and seconds, and what else there is to say; on a terminal with a heading, which a script would take for a line.
fn print_lines(
    more_title: &str,
    stretches: impl Iterator<Item = (String, String, f64, String)>,
) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if Term::stdout().is_term() {
        writeln!(out, "{:<27}  {:<27}  {:>12}  {more_title}", "START", "END", "SECONDS")?;
    }
    for (start, end, seconds, more) in stretches {
        let line = format!("{start:<27}  {end:<27}  {:>12}  {more}", format!("{seconds:.3} s"));
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}
