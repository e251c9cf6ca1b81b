//! The table of a quality's hours, or one JSON object for each quality. Written as it comes.

use std::io;

use crate::archive::Stream;
use crate::archive::coverage::{CoverageKind, HourFigures};
use crate::archive::escape::shown;
use crate::cli::out::{LineOutput, stdout};
use crate::wire::{CoverageList, HourCoverage, seconds};

/// Columns of a whole row.
const WIDTH: u16 = 130;

/// Prints the hours of one quality.
pub(super) enum CoveragePrinter {
    /// Line by line.
    Table {
        /// Whether only what a terminal of 80 columns can hold is printed.
        is_narrow: bool,
    },
    /// All at the end.
    Json(CoverageList),
}

impl CoveragePrinter {
    pub(super) fn new(json: bool, stream: &Stream) -> io::Result<Self> {
        if json {
            let (channel, quality) = (stream.channel.to_string(), stream.quality.to_string());
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
        out.flush()?;
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
