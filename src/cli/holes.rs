//! The verbs `holes` and `timespans`: what is missing of a channel and quality, or was, and what is there, in one piece each.

use std::process::ExitCode;

use console::Term;

use super::absent;
use super::api::{Api, ApiRequest, OpenNeeds};
use super::args::{WindowArgs, parse_stream};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::out::stdout;
use crate::archive::coverage::{CoverageKind, Window};
use crate::archive::escape::shown;
use crate::archive::{Span, Stream, Timestamp};
use crate::wire::{ClosedHoleList, HoleList, Timespan, TimespanList, microseconds};

#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct HolesArgs {
    #[command(flatten)]
    pub window: WindowArgs,
    /// Also count what is missing at the edges of the window
    #[arg(long)]
    pub edges: bool,
    /// Holes in the playable sequence instead of holes that nothing covers
    #[arg(long)]
    pub editable: bool,
    /// Only holes that nobody can fill: every peer was asked, and none has anything
    #[arg(long, conflicts_with_all = ["edges", "editable"])]
    pub unfillable: bool,
    /// Holes that were filled, and by whom
    #[arg(long, conflicts_with_all = ["edges", "editable", "unfillable"])]
    pub closed: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub struct TimespansArgs {
    #[command(flatten)]
    pub window: WindowArgs,
}

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
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
        kind: lane.into(),
        covered_seconds: 0.0,
        holes: Vec::new(),
        next: None,
    };
    let mut covered_us = 0;
    Api::with(config, OpenNeeds::default(), async |api| {
        let holes = question(api, "api/v1/holes", &stream, window)
            .with("editable", args.editable)
            .with("edges", args.edges)
            .with("unfillable", args.unfillable);
        let each = |page: HoleList| {
            covered_us += microseconds(page.covered_seconds);
            join(&mut list.holes, page.holes, |last, next| {
                let is_one = last.end == next.start;
                if is_one {
                    last.end = next.end;
                    let us = microseconds(last.seconds) + microseconds(next.seconds);
                    last.seconds = Span::from_us(us).seconds();
                }
                is_one
            });
            Ok(())
        };
        holes.pages("from", |page: &HoleList| page.next, each).await?;
        here(api, &stream, covered_us == 0).await
    })
    .await?;
    list.covered_seconds = Span::from_us(covered_us).seconds();
    if config.json {
        return print_json(&list);
    }
    print_lines(
        "REASON",
        list.holes.iter().map(|hole| {
            let peers = if hole.peers.is_empty() { String::new() } else { format!(" ({})", hole.peers.join(", ")) };
            let reason = hole.reason.as_ref().map(|reason| format!("{reason}{peers}")).unwrap_or_default();
            (hole.start, hole.end, hole.seconds, reason)
        }),
    )
}

async fn closed(config: &Config, stream: &Stream, window: Window) -> anyhow::Result<ExitCode> {
    let (channel, quality) = (stream.channel.clone(), stream.quality.clone());
    let mut list = ClosedHoleList { channel, quality, closed: Vec::new(), next: None };
    Api::with(config, OpenNeeds::default(), async |api| {
        let each = |page: ClosedHoleList| {
            list.closed.extend(page.closed);
            Ok(())
        };
        question(api, "api/v1/ledger", stream, window)
            .pages("after", |page: &ClosedHoleList| page.next.clone(), each)
            .await?;
        here(api, stream, list.closed.is_empty()).await
    })
    .await?;
    if config.json {
        return print_json(&list);
    }
    print_lines(
        "CLOSED",
        list.closed.iter().map(|hole| {
            let by = hole.closed_by.as_deref().unwrap_or("nobody");
            let history = format!("first seen {}, closed {} by {by}", hole.first_seen, hole.closed);
            (hole.start, hole.end, hole.seconds, history)
        }),
    )
}

pub async fn timespans(config: &Config, args: &TimespansArgs) -> anyhow::Result<ExitCode> {
    let (stream, window) = read(&args.window, false)?;
    let (channel, quality) = (stream.channel.clone(), stream.quality.clone());
    let mut list = TimespanList { channel, quality, timespans: Vec::new(), next: None };
    Api::with(config, OpenNeeds::default(), async |api| {
        let each = |page: TimespanList| {
            join(&mut list.timespans, page.timespans, |last, next| {
                let is_one = end(last) == next.start;
                if is_one {
                    let us = microseconds(last.duration) + microseconds(next.duration);
                    last.duration = Span::from_us(us).seconds();
                }
                is_one
            });
            Ok(())
        };
        question(api, "api/v1/timespans", &stream, window).pages("from", |page: &TimespanList| page.next, each).await?;
        here(api, &stream, list.timespans.is_empty()).await
    })
    .await?;
    if config.json {
        return print_json(&list);
    }
    print_lines("", list.timespans.iter().map(|run| (run.start, end(run), run.duration, String::new())))
}

fn question<'a>(api: &'a Api, path: &str, stream: &Stream, window: Window) -> ApiRequest<'a> {
    api.get(path).of(stream).with_some("from", window.from).with_some("to", window.to)
}

/// An answer that holds nothing is one only about what is here.
async fn here(api: &Api, stream: &Stream, is_empty: bool) -> anyhow::Result<()> {
    if is_empty {
        absent::require(api, stream.channel.as_str(), Some(stream.quality.as_str())).await?;
    }
    Ok(())
}

fn end(run: &Timespan) -> Timestamp {
    run.start + Span::from_us(microseconds(run.duration))
}

/// Adds the records of a page. What the page before has cut goes on in the first of them: `joins` then makes them one.
fn join<T>(found: &mut Vec<T>, page: Vec<T>, joins: impl FnOnce(&mut T, &T) -> bool) {
    let mut page = page.into_iter().peekable();
    if let (Some(last), Some(first)) = (found.last_mut(), page.peek())
        && joins(last, first)
    {
        page.next();
    }
    found.extend(page);
}

fn read(args: &WindowArgs, edges: bool) -> Result<(Stream, Window), UsageError> {
    let stream = parse_stream(&args.stream)?;
    if stream.quality.is_chat() {
        return Err(UsageError(format!("{stream} holds lines of chat, and only video has coverage")));
    }
    let window = Window::new(args.from, args.to, edges).map_err(|error| UsageError(error.to_string()))?;
    Ok((stream, window))
}

fn print_json(answer: &impl serde::Serialize) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    out.json(&answer)?;
    Ok(Exit::Done.into())
}

/// Start, end and seconds, and what else there is to say; on a terminal with a heading, which a script would take for a line.
fn print_lines(
    more_title: &str,
    stretches: impl Iterator<Item = (Timestamp, Timestamp, f64, String)>,
) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if Term::stdout().is_term() {
        writeln!(out, "{:<27}  {:<27}  {:>12}  {more_title}", "START", "END", "SECONDS")?;
    }
    for (start, end, seconds, more) in stretches {
        let (start, end, length) = (start.to_string(), end.to_string(), format!("{seconds:.3} s"));
        let line = format!("{start:<27}  {end:<27}  {length:>12}  {}", shown(&more));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(Exit::Done.into())
}
