//! The verbs `holes` and `timespans`: what is missing of a channel and quality, and what is there, in one piece each. Asks the daemon
//! if one runs, and the index itself if none does; reads no more hours than the window needs.

use std::io::Write as _;
use std::process::ExitCode;

use super::args::{HolesArgs, TimespansArgs, WindowArgs};
use super::config::Config;
use super::side::Side;
use super::{Exit, UsageError};
use crate::domain::coverage::{Gather, HourLine, Lane, Stretch, Window};
use crate::domain::{HourPlace, Span, Stream, Timestamp};
use crate::wire::{HoleList, HoleRecord, Timespan, TimespanList};

/// Prints the holes of a window.
pub async fn holes(config: &Config, args: &HolesArgs) -> anyhow::Result<ExitCode> {
    let (stream, window) = read(&args.window, args.edges)?;
    if args.edges && window.from.is_none() && window.to.is_none() {
        return Err(UsageError("--edges is about the edges of a window: give --from, --to or both".to_owned()).into());
    }
    let lane = if args.editable { Lane::Editable } else { Lane::Raw };
    let gathered = gather(config, &stream, window).await?;
    let found = gathered.coverage().holes_within(lane, &window);
    if config.json {
        let holes = found.iter().map(|hole| HoleRecord {
            start: hole.start.to_string(),
            end: hole.end.to_string(),
            seconds: hole.length().seconds(),
        });
        return print_json(&HoleList {
            channel: stream.channel.to_string(),
            quality: stream.quality.to_string(),
            kind: lane.as_str().to_owned(),
            covered_seconds: seconds(gathered.covered_us(lane)),
            holes: holes.collect(),
        });
    }
    print_lines(&found)
}

/// Prints the timespans of a window.
pub async fn timespans(config: &Config, args: &TimespansArgs) -> anyhow::Result<ExitCode> {
    let (stream, window) = read(&args.window, false)?;
    let gathered = gather(config, &stream, window).await?;
    let found = gathered.coverage().timespans(&window);
    if config.json {
        let timespans =
            found.iter().map(|run| Timespan { start: run.start.to_string(), duration: run.length().seconds() });
        return print_json(&TimespanList {
            channel: stream.channel.to_string(),
            quality: stream.quality.to_string(),
            timespans: timespans.collect(),
        });
    }
    print_lines(&found)
}

/// Microseconds as seconds, for display.
pub(super) fn seconds(us: u64) -> f64 {
    Span::from_us(i64::try_from(us).unwrap_or(i64::MAX)).seconds()
}

fn read(args: &WindowArgs, edges: bool) -> Result<(Stream, Window), UsageError> {
    let stream = Stream::parse(&args.stream).map_err(|error| {
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

/// Reads what a window needs.
async fn gather(config: &Config, stream: &Stream, window: Window) -> anyhow::Result<Gather> {
    let here = Side::here(config).await?;
    let gathered = from_side(&here, stream, window).await;
    here.close();
    gathered
}

async fn from_side(here: &Side, stream: &Stream, window: Window) -> anyhow::Result<Gather> {
    let mut gather = Gather::new(window, here.hours(stream, true).await?);
    while let Some(hour) = gather.wanted() {
        let contents = here.contents(&HourPlace { stream: stream.clone(), hour }).await?;
        gather.give(HourLine::of(&contents));
    }
    Ok(gather)
}

fn print_json(answer: &impl serde::Serialize) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    writeln!(out)?;
    Ok(Exit::Done.into())
}

/// Start, end and seconds.
fn print_lines(stretches: &[Stretch]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for stretch in stretches {
        writeln!(out, "{}  {}  {:.6} s", stretch.start, stretch.end, stretch.length().seconds())?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}
