//! The verb `coverage`: a table of the hours of each quality, and, on request, gauges, maps and pages. Writes nothing that was not
//! asked for.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::absent;
use super::archive_client::{ArchiveClient, ArchiveScope};
use super::args::{StreamFilter, now};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::out::{LineOutput, stdout};
use crate::archive::coverage::{CoverageKind, HourFigures};
use crate::archive::escape::shown;
use crate::archive::{Channel, Horizon, Quality, Stream};
use crate::disk::Base;
use crate::replicate::sources::SourceEntry;
use crate::report::coverage::{self, CoverageGauges, ShownNode, map};
use crate::wire::{CoverageList, HourCoverage, Status, seconds};

#[derive(Debug, Clone, clap::Args)]
pub struct CoverageArgs {
    /// Print it once, then exit: the default, accepted for scripts
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub streams: StreamFilter,
    /// Write gauges into this file as Prometheus text, in one piece
    #[arg(long, value_name = "FILE")]
    pub gauges: Option<PathBuf>,
    /// Draw a map of each quality, and a page that shows it beside those of other nodes, into BASE/coverage-maps
    #[arg(long)]
    pub maps: bool,
}

pub async fn run(config: &Config, args: &CoverageArgs) -> anyhow::Result<ExitCode> {
    let selection = Selection::new(&args.streams);
    let here = ArchiveClient::here(config).await?;
    let done = all(config, args, &selection, &here).await;
    here.close().await?;
    done.map(ExitCode::from)
}

struct Selection {
    channels: BTreeSet<Channel>,
    qualities: BTreeSet<Quality>,
}

impl Selection {
    fn new(named: &StreamFilter) -> Self {
        Self { channels: named.channel.iter().cloned().collect(), qualities: named.quality.iter().cloned().collect() }
    }

    /// An error where one that was named is not here.
    fn are_all_among(&self, streams: &BTreeSet<Stream>) -> anyhow::Result<()> {
        let names = |of: fn(&Stream) -> String| -> Vec<String> {
            streams.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let (channels, qualities) =
            (names(|stream| stream.channel.to_string()), names(|stream| stream.quality.to_string()));
        let is_here =
            |what, name: &str, present: &[String]| absent::among(&format!("{what} {}", shown(name)), name, present);
        self.channels.iter().try_for_each(|channel| is_here("channel", channel.as_str(), &channels))?;
        self.qualities.iter().try_for_each(|quality| is_here("quality", quality.as_str(), &qualities))
    }

    fn holds(&self, stream: &Stream) -> bool {
        (self.channels.is_empty() || self.channels.contains(&stream.channel))
            && (self.qualities.is_empty() || self.qualities.contains(&stream.quality))
            && !stream.quality.is_chat()
    }
}

/// The nodes whose maps a page shows: this one, and those that its daemon knows, or else those that the configuration names.
async fn nodes(config: &Config, here: &ArchiveClient) -> anyhow::Result<Vec<ShownNode>> {
    let own = ShownNode { name: config.node.name.clone(), url: None };
    if let Some(daemon) = here.api().filter(|api| api.local().is_none()) {
        let status: Status = daemon.get("api/v1/status").json().await?;
        let peers = status.peers.into_iter().map(|peer| ShownNode::peer(peer.name, &peer.url));
        return Ok(std::iter::once(own).chain(peers).collect());
    }
    let other = |text: &String| {
        let entry = SourceEntry::parse(text).map_err(|error| UsageError(format!("backfill.peers: {error}")))?;
        Ok(ShownNode::peer(entry.name, &entry.url.to_string()))
    };
    std::iter::once(Ok(own)).chain(config.backfill.peers.iter().map(other)).collect()
}

async fn all(
    config: &Config,
    args: &CoverageArgs,
    selection: &Selection,
    here: &ArchiveClient,
) -> anyhow::Result<Exit> {
    let nodes = nodes(config, here).await?;
    let mut streams = here.streams(&ArchiveScope::default(), &BTreeSet::new()).await?;
    selection.are_all_among(&streams)?;
    streams.retain(|stream| selection.holds(stream));
    let mut gauges = args.gauges.as_ref().map(|_| CoverageGauges::default());
    let mut exit = Exit::Done;
    for stream in streams {
        let found = of_stream(here, &stream, args.maps).await?;
        let mut printer = CoveragePrinter::new(config.json, &stream)?;
        for figures in &found.hours {
            printer.hour(figures)?;
            if let Some(gauges) = &mut gauges {
                gauges.add(&stream, figures);
            }
        }
        printer.end()?;
        if let Some(picture) = found.picture {
            // One that cannot be written, its name too long, costs no other.
            if let Err(error) = draw(config, &stream, &nodes, &picture) {
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

fn draw(config: &Config, stream: &Stream, nodes: &[ShownNode], picture: &[u8]) -> anyhow::Result<()> {
    tokio::task::block_in_place(|| {
        let base = Base::open(&config.base_dir)?;
        Ok(coverage::publish(&base, stream, picture, &coverage::page(stream, nodes))?)
    })
}

/// Hours of a quality that are shown, the latest ones: eleven years of them. A single directory with a stray date would otherwise
/// ask for thousands of years.
const MOST_HOURS: u32 = 100_000;

#[derive(Debug, Default)]
pub(super) struct QualityCoverage {
    pub hours: Vec<HourFigures>,
    /// The map as a PNG, if it was asked for and there is anything.
    pub picture: Option<Vec<u8>>,
}

pub(super) async fn of_stream(here: &ArchiveClient, stream: &Stream, draws: bool) -> anyhow::Result<QualityCoverage> {
    let hours = here.hours(stream, true).await?;
    let hours = hours.into_iter().map(|hour| (hour, ())).collect();
    let Some((first, last)) = Horizon::at(now()).view(&hours) else { return Ok(QualityCoverage::default()) };
    let begin = hours.keys().next().map_or(first, |hour| *hour);
    let shown_from = begin.max(last.earlier(MOST_HOURS - 1));
    if shown_from > begin {
        tracing::warn!(name: "hours_cut", %stream, "only the latest {MOST_HOURS} hours are shown");
    }
    let drawn_from = first.max(last.earlier(map::MOST_HOURS - 1));
    if draws && drawn_from > first {
        tracing::warn!(name: "map_cut", %stream, from = %drawn_from, "the map shows the latest {} hours only", map::MOST_HOURS);
    }
    let Some(api) = here.api() else { return Ok(QualityCoverage::default()) };
    let mut found = QualityCoverage::default();
    let each = |page: CoverageList| {
        for hour in &page.hours {
            found.hours.push(HourFigures::from(hour));
        }
        Ok(())
    };
    let question = api.get("api/v1/coverage").of(stream).with("from", shown_from.start());
    question.pages("from", |page: &CoverageList| page.next, each).await?;
    if draws {
        found.picture = Some(api.get("api/v1/map").of(stream).ask().await?.bytes().await?);
    }
    Ok(found)
}

/// Columns of a whole row.
const WIDTH: u16 = 130;

pub(super) enum CoveragePrinter {
    Table {
        /// Whether only what a terminal of 80 columns can hold is printed.
        is_narrow: bool,
    },
    Json(CoverageList),
}

impl CoveragePrinter {
    pub(super) fn new(json: bool, stream: &Stream) -> io::Result<Self> {
        if json {
            let (channel, quality) = (stream.channel.clone(), stream.quality.clone());
            return Ok(Self::Json(CoverageList { channel, quality, hours: Vec::new(), next: None }));
        }
        let mut out = stdout();
        writeln!(out, "{}", shown(&stream.to_string()))?;
        let terminal = console::Term::stdout();
        let is_narrow = terminal.is_term() && terminal.size().1 < WIDTH;
        if is_narrow {
            writeln!(
                out,
                "{:<13} {:>6} {:>7} {:>7} {:>5} {:>10} {:>6} {:>9} {:>8}",
                "hour", "full", "suspect", "partial", "bad", "covered s", "holes", "hole s", "overlaps"
            )?;
            return Ok(Self::Table { is_narrow });
        }
        writeln!(
            out,
            "{:<13} {:>6} {:>7} {:>7} {:>5} {:>12} {:>6} {:>12} {:>12} {:>6} {:>12} {:>8} {:>12}",
            "hour",
            "full",
            "suspect",
            "partial",
            "bad",
            "covered s",
            "holes",
            "hole s",
            "editable s",
            "holes",
            "hole s",
            "overlaps",
            "overlap s"
        )?;
        Ok(Self::Table { is_narrow })
    }

    pub(super) fn hour(&mut self, figures: &HourFigures) -> anyhow::Result<()> {
        match self {
            Self::Table { is_narrow } => Ok(row(&mut stdout(), figures, *is_narrow)?),
            Self::Json(list) => {
                list.hours.push(HourCoverage::from(figures));
                Ok(())
            }
        }
    }

    pub(super) fn end(self) -> anyhow::Result<()> {
        let mut out = stdout();
        if let Self::Json(list) = self {
            out.json(&list)?;
        }
        Ok(())
    }
}

fn row(out: &mut LineOutput<'_>, figures: &HourFigures, is_narrow: bool) -> io::Result<()> {
    let [full, suspect, partial] = figures.video.map(|tally| tally.count);
    let overlaps: u64 = figures.overlaps.iter().map(|tally| tally.count).sum();
    let overlap_us: u64 = figures.overlaps.iter().map(|tally| tally.us).sum();
    let (raw, editable) = (figures.lane(CoverageKind::Raw), figures.lane(CoverageKind::Editable));
    if is_narrow {
        return writeln!(
            out,
            "{} {full:>6} {suspect:>7} {partial:>7} {:>5} {:>10.1} {:>6} {:>9.1} {overlaps:>8}",
            figures.hour,
            figures.bad,
            seconds(raw.covered_us),
            raw.holes,
            seconds(raw.hole_us),
        );
    }
    writeln!(
        out,
        "{} {full:>6} {suspect:>7} {partial:>7} {:>5} {:>12.6} {:>6} {:>12.6} {:>12.6} {:>6} {:>12.6} {overlaps:>8} {:>12.6}",
        figures.hour,
        figures.bad,
        seconds(raw.covered_us),
        raw.holes,
        seconds(raw.hole_us),
        seconds(editable.covered_us),
        editable.holes,
        seconds(editable.hole_us),
        seconds(overlap_us),
    )
}
