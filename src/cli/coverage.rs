//! The verb `coverage`: a table of the hours of each quality, and, if they are wanted, gauges, maps and pages. Asks the daemon if one
//! runs, and the index itself if none does. Writes nothing that was not asked for.

mod print;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context as _;

use self::print::Printer;
use super::args::CoverageArgs;
use super::config::Config;
use super::progress::Progress;
use super::side::{Scope, Side};
use super::{Exit, UsageError};
use crate::coverage::{self, Gauges, Shown};
use crate::disk::Base;
use crate::domain::coverage::{Coverage, HourFigures, HourLine};
use crate::domain::map::{Colour, paint_hours};
use crate::domain::{Channel, Hour, HourPlace, Quality, Stream};
use crate::sources::Entry;

/// Hours of a quality that are told and drawn, the latest ones: eleven years of them. A single directory with a stray date would
/// otherwise ask for thousands of years.
const MOST_HOURS: i32 = 100_000;
/// Hours of a map: two years and more. Wider ones are shown by no browser.
const MOST_MAP_HOURS: i32 = 20_000;

/// Works everything out once.
pub async fn run(config: &Config, args: &CoverageArgs) -> anyhow::Result<ExitCode> {
    let wanted = Wanted::new(args)?;
    let nodes = nodes(config)?;
    let here = Side::here(config).await?;
    let done = all(config, args, &wanted, &nodes, &here).await;
    here.close();
    done.map(ExitCode::from)
}

/// Which channels and qualities; all where none is named.
struct Wanted {
    channels: BTreeSet<Channel>,
    qualities: BTreeSet<Quality>,
}

impl Wanted {
    fn new(args: &CoverageArgs) -> Result<Self, UsageError> {
        let wrong = |text: &String, error: &dyn std::fmt::Display| UsageError(format!("{text}: {error}"));
        let channels = args.channel.iter().map(|text| Channel::new(text).map_err(|error| wrong(text, &error)));
        let qualities = args.quality.iter().map(|text| Quality::new(text).map_err(|error| wrong(text, &error)));
        Ok(Self { channels: channels.collect::<Result<_, _>>()?, qualities: qualities.collect::<Result<_, _>>()? })
    }

    fn holds(&self, stream: &Stream) -> bool {
        (self.channels.is_empty() || self.channels.contains(&stream.channel))
            && (self.qualities.is_empty() || self.qualities.contains(&stream.quality))
            && !stream.quality.is_chat()
    }
}

/// The nodes whose maps a page shows: this one, and those that the configuration names.
fn nodes(config: &Config) -> Result<Vec<Shown>, UsageError> {
    let other = |text: &String| {
        let entry = Entry::parse(text).map_err(|error| UsageError(format!("backfill.peers: {error}")))?;
        Ok(Shown { name: entry.name, url: Some(entry.url.to_string().trim_end_matches('/').to_owned()) })
    };
    let own = Shown { name: config.node.name.clone(), url: None };
    std::iter::once(Ok(own)).chain(config.backfill.peers.iter().map(other)).collect()
}

async fn all(
    config: &Config,
    args: &CoverageArgs,
    wanted: &Wanted,
    nodes: &[Shown],
    here: &Side,
) -> anyhow::Result<Exit> {
    let mut streams = here.streams(&Scope::default(), &BTreeSet::new()).await?;
    streams.retain(|stream| wanted.holds(stream));
    let mut gauges = args.gauges.as_ref().map(|_| Gauges::default());
    let mut exit = Exit::Done;
    for stream in streams {
        let found = of_stream(here, &stream, args.maps).await?;
        let mut printer = Printer::new(config.json, &stream)?;
        for figures in found.figures() {
            printer.hour(&figures)?;
            if let Some(gauges) = &mut gauges {
                gauges.add(&stream, &figures);
            }
        }
        printer.end()?;
        if args.maps && !found.pixels.is_empty() {
            // One that cannot be written, its name too long, costs no other.
            if let Err(error) = draw(config, &stream, nodes, &found.pixels) {
                let place = coverage::maps_of(&config.base_dir).display().to_string();
                tracing::error!(name: "map_failed", %stream, place, error = format!("{error:#}"), "the map was not written");
                exit = Exit::Failed;
            }
        }
    }
    if let (Some(path), Some(gauges)) = (&args.gauges, gauges) {
        tokio::task::block_in_place(|| coverage::write_file(path, gauges.finish().as_bytes()))
            .with_context(|| format!("the gauges were not written to {}", path.display()))?;
    }
    Ok(exit)
}

fn draw(config: &Config, stream: &Stream, nodes: &[Shown], pixels: &[Colour]) -> anyhow::Result<()> {
    tokio::task::block_in_place(|| {
        let base = Base::open(&config.base_dir)?;
        Ok(coverage::publish(&base, stream, pixels, &coverage::page(stream, nodes))?)
    })
}

/// What was worked out for a quality.
struct Found {
    coverage: Coverage,
    /// The first and the last directory.
    ends: Option<(Hour, Hour)>,
    pixels: Vec<Colour>,
}

impl Found {
    /// Of the latest hours.
    fn figures(&self) -> impl Iterator<Item = HourFigures> {
        let reach = self.coverage.extent().map(|extent| extent.end.hour());
        let last = self.ends.map(|(_, last)| last).max(reach);
        let first = last.map_or(Hour::MAX, |last| latest(Hour::MIN, last, MOST_HOURS));
        self.coverage.figures(first, Hour::MAX)
    }
}

/// The first of the latest `most` hours.
fn latest(first: Hour, last: Hour, most: i32) -> Hour {
    let earliest = i64::from(last.number()) - i64::from(most) + 1;
    let earliest = crate::domain::Timestamp::from_us(earliest.saturating_mul(crate::domain::time::HOUR_US)).hour();
    first.max(earliest)
}

async fn of_stream(here: &Side, stream: &Stream, draws: bool) -> anyhow::Result<Found> {
    let hours = here.hours(stream, true).await?;
    let ends = hours.first().copied().zip(hours.last().copied());
    if let Some((first, last)) = ends
        && latest(first, last, MOST_HOURS) > first
    {
        tracing::warn!(name: "hours_cut", %stream, "only the latest {MOST_HOURS} hours are told");
    }
    let progress = Progress::stderr();
    progress.start(Some(hours.len() as u64), &format!("hours of {stream}"));
    let mut coverage = Coverage::default();
    for hour in hours {
        let contents = here.contents(&HourPlace { stream: stream.clone(), hour }).await?;
        let line = HourLine::of(&contents);
        coverage.push(hour, &line);
        progress.advance(1);
    }
    progress.finish();
    let pixels = ends.filter(|_| draws).map(|(first, last)| {
        let from = latest(first, last, MOST_MAP_HOURS);
        if from > first {
            tracing::warn!(name: "map_cut", %stream, %from, "the map shows the latest {MOST_MAP_HOURS} hours only");
        }
        paint_hours(&coverage, from, last)
    });
    Ok(Found { coverage, ends, pixels: pixels.unwrap_or_default() })
}
