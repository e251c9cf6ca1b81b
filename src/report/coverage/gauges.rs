//! The gauges of coverage as Prometheus text, under the names that the dashboards of this field use.
//!
//! Written by hand, because a registry of the library holds some hundred bytes for each of the two dozen series of every hour, and
//! an archive of ten years has millions of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::archive::coverage::{Coverage, CoverageKind, CoverageTotals, HourFigures, Totals, Window};
use crate::archive::escape::exposition;
use crate::archive::metric_series::{OTHERS, OwnSeries};
use crate::archive::{Horizon, Hour, SegmentKind, Stream, Timestamp};
use crate::index::{Index, IndexError};

/// Name and meaning of each, in the order in which they are written.
const FAMILIES: [(&str, &str); 10] = [
    ("segment_count", "Files of an hour by type"),
    ("segment_duration", "Seconds of an hour's segments by type, overlaps included"),
    ("raw_coverage", "Seconds of an hour that any segment covers"),
    ("editable_coverage", "Seconds of an hour that the editable sequence covers"),
    ("raw_holes", "Holes of an hour in the raw coverage"),
    ("editable_holes", "Holes of an hour in the editable sequence"),
    ("overlap_count", "Overlaps of an hour by type"),
    ("overlap_duration", "Seconds of an hour's overlaps by type"),
    ("raw_hole_seconds", "Seconds of an hour in holes of the raw coverage"),
    ("editable_hole_seconds", "Seconds of an hour in holes of the editable sequence"),
];

/// Series that an hour has.
pub(super) const SERIES: usize = 19;

/// What stands in place of the hour where several hours are told in one.
const OLDER: &str = "older";

/// Gauges of any number of hours.
#[derive(Debug, Default)]
pub struct CoverageGauges {
    samples: [String; FAMILIES.len()],
}

impl CoverageGauges {
    /// Adds the figures of an hour.
    pub fn add(&mut self, stream: &Stream, figures: &HourFigures) {
        self.add_totals(stream, &figures.hour.to_string(), &Totals::from(figures));
    }

    /// Adds what all qualities come to that have no gauges of their own.
    pub fn add_others(&mut self, others: &Totals) {
        self.add_labelled(OTHERS, OTHERS, OLDER, others);
    }

    /// Adds what all earlier hours come to.
    pub fn add_older(&mut self, stream: &Stream, older: &Totals) {
        self.add_totals(stream, OLDER, older);
    }

    fn add_totals(&mut self, stream: &Stream, hour: &str, figures: &Totals) {
        self.add_labelled(&escaped(stream.channel.as_str()), &escaped(stream.quality.as_str()), hour, figures);
    }

    fn add_labelled(&mut self, channel: &str, quality: &str, hour: &str, figures: &Totals) {
        let labels = format!("channel=\"{channel}\",quality=\"{quality}\",hour=\"{hour}\"");
        for (index, kind) in SegmentKind::VIDEO.iter().enumerate() {
            let labels = format!("{labels},type=\"{}\"", kind.as_str());
            self.sample(0, &labels, &figures.video[index].count.to_string());
            self.sample(1, &labels, &seconds(figures.video[index].us));
            self.sample(6, &labels, &figures.overlaps[index].count.to_string());
            self.sample(7, &labels, &seconds(figures.overlaps[index].us));
        }
        self.sample(0, &format!("{labels},type=\"bad\""), &figures.bad.to_string());
        for (index, lane) in CoverageKind::ALL.into_iter().enumerate() {
            let of = figures.lanes[lane as usize];
            self.sample(2 + index, &labels, &seconds(of.covered_us));
            self.sample(4 + index, &labels, &of.holes.to_string());
            self.sample(8 + index, &labels, &seconds(of.hole_us));
        }
    }

    /// All of it as text.
    pub fn finish(self) -> String {
        self.into_pieces().concat()
    }

    /// The same in pieces, none of which is copied: the text of a large archive has megabytes.
    pub fn into_pieces(self) -> Vec<String> {
        let families = FAMILIES.iter().zip(self.samples);
        families
            .flat_map(|((name, help), samples)| [format!("# HELP {name} {help}\n# TYPE {name} gauge\n"), samples])
            .collect()
    }

    fn sample(&mut self, family: usize, labels: &str, value: &str) {
        if let (Some((name, _)), Some(samples)) = (FAMILIES.get(family), self.samples.get_mut(family)) {
            writeln!(samples, "{name}{{{labels}}} {value}").unwrap_or_default();
        }
    }
}

/// Exact to the microsecond.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// A value of a label.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    exposition(&text).into_owned()
}

/// How long a scrape waits for summaries that are still being made, for all qualities together: a Prometheus gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// The gauges of a daemon: the latest hours of each quality one by one, all older ones in one sum, as of now.
///
/// 1. What is shown hour by hour is read anew for every scrape: a summary for each hour.
/// 2. The sum of the older hours is remembered until one of them changes, so that an archive of a hundred thousand hours costs a scrape no
///    more than a small one. It is made from one summary after the other, and holds none of them.
/// 3. There are no more series than the bound says: see [`crate::archive::metric_series`].
/// 4. What lies beyond the horizon is in none of them: one stray hour would take the place of the latest.
/// 5. Where summaries are still being made a scrape waits a moment, and then leaves that quality out.
#[derive(Debug)]
pub struct LiveGauges {
    hours: u32,
    series: usize,
    older: Mutex<BTreeMap<Stream, (SumBasis, CoverageTotals)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SumBasis {
    generation: u64,
    /// Changes when an hour of the quality comes or goes.
    structure: u64,
    /// The sequence number of the last change of an older hour.
    changed: u64,
    /// The first hour that is shown by itself; none if all are in the sum.
    shown_from: Option<Hour>,
    /// The first hour that is not in the sum.
    sum_until: Option<Hour>,
}

struct Scrape<'i> {
    index: &'i Index,
    horizon: Horizon,
    until: Instant,
}

impl LiveGauges {
    /// Shows so many hours of each quality by themselves, and so many series in all.
    pub fn new(hours: u32, series: usize) -> Self {
        Self { hours, series, older: Mutex::default() }
    }

    /// The gauges as Prometheus text, in pieces, of the hours up to the horizon. Blocks: not for async code.
    pub fn text(&self, index: &Index, horizon: Horizon) -> Vec<String> {
        let scrape = Scrape { index, horizon, until: Instant::now() + PATIENCE };
        let mut gauges = CoverageGauges::default();
        let mut streams = index.catalog().streams_by_age();
        streams.retain(|stream| !stream.quality.is_chat());
        let share = OwnSeries::of(streams.len(), self.hours, self.series, SERIES);
        let others = streams.split_off(share.qualities.min(streams.len()));
        // As ever by name: who reads the text finds the same order from one scrape to the next.
        streams.sort_by_cached_key(ToString::to_string);
        for stream in &streams {
            if let Err(error) = self.add(&scrape, stream, share.hours, &mut gauges) {
                tracing::debug!(name: "gauges_left_out", %stream, %error, "the coverage of this quality is left out of this scrape");
            }
        }
        match self.together(&scrape, &others) {
            Ok(Some(totals)) => gauges.add_others(&totals),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(name: "gauges_left_out", stream = OTHERS, %error, "the coverage of this quality is left out of this scrape");
            }
        }
        let there: BTreeSet<&Stream> = streams.iter().chain(&others).collect();
        let mut older = self.older.lock();
        older.retain(|stream, _| there.contains(stream));
        gauges.into_pieces()
    }

    /// What all hours of these come to.
    fn together(&self, scrape: &Scrape<'_>, others: &[Stream]) -> Result<Option<Totals>, IndexError> {
        let mut sum = None;
        for stream in others {
            let Some((state, _)) = scrape.state(stream, 0) else { continue };
            let all = self.older(scrape, stream, 0, state)?;
            let ends = Coverage::after(all.ends());
            if let Some(totals) = all.before(Timestamp::MAX, &ends) {
                sum.get_or_insert_with(Totals::default).merge(&totals);
            }
        }
        Ok(sum)
    }

    fn add(
        &self,
        scrape: &Scrape<'_>,
        stream: &Stream,
        hours: u32,
        gauges: &mut CoverageGauges,
    ) -> Result<(), IndexError> {
        let Some((state, bound)) = scrape.state(stream, hours) else { return Ok(()) };
        let older = self.older(scrape, stream, hours, state)?;
        let Some(from) = state.shown_from else {
            let nothing_more = Coverage::after(older.ends());
            if let Some(totals) = older.before(Timestamp::MAX, &nothing_more) {
                gauges.add_older(stream, &totals);
            }
            return Ok(());
        };
        let window = Window { from: Some(from.start()), last: Some(bound), ..Window::default() };
        let shown = scrape.index.coverage_until(scrape.until, stream, &window, usize::MAX)?.coverage;
        // The same text whatever changes meanwhile: nothing of a quality is told before all of it is known.
        if let Some(totals) = older.before(from.start(), &shown) {
            gauges.add_older(stream, &totals);
        }
        shown.figures(from, Hour::MAX).for_each(|figures| gauges.add(stream, &figures));
        Ok(())
    }

    fn older(
        &self,
        scrape: &Scrape<'_>,
        stream: &Stream,
        hours: u32,
        state: SumBasis,
    ) -> Result<CoverageTotals, IndexError> {
        let sum_of = |of: &BTreeMap<Stream, (SumBasis, CoverageTotals)>| {
            of.get(stream).filter(|(then, _)| *then == state).cloned()
        };
        let cached = sum_of(&self.older.lock());
        if let Some((_, sum)) = cached {
            return Ok(sum);
        }
        let sum = scrape.index.add_up(scrape.until, stream, state.sum_until)?;
        // What changed since the state was read may or may not be in the sum: then it is not kept.
        if scrape.state(stream, hours).is_some_and(|(now, _)| now == state) {
            let mut older = self.older.lock();
            older.insert(stream.clone(), (state, sum.clone()));
        }
        Ok(sum)
    }
}

impl Scrape<'_> {
    /// How the hours before the latest so many are now, and the last hour that is shown; `None` if there are no hours.
    fn state(&self, stream: &Stream, hours: u32) -> Option<(SumBasis, Hour)> {
        let catalog = self.index.catalog().read();
        let entry = catalog.streams.get(&stream.to_string())?;
        let (bound, last) = (self.horizon.bound(&entry.hours), self.horizon.newest(&entry.hours).next()?);
        let shown_from = hours.checked_sub(1).map(|more| last.earlier(more));
        let sum_until = shown_from.or((bound < Hour::MAX).then(|| bound.next()));
        let older = entry.hours.iter().take_while(|(hour, _)| sum_until.is_none_or(|end| **hour < end));
        let changed = older.map(|(_, changed)| *changed).max().unwrap_or(0);
        let (generation, structure) = (catalog.generation, entry.structure);
        Some((SumBasis { generation, structure, changed, shown_from, sum_until }, bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Hour;
    use crate::archive::coverage::{LaneFigures, TimeTally};

    #[test]
    fn gauges_have_the_names_labels_and_units_of_the_field() {
        let lane = |us| LaneFigures { covered_us: us, holes: 2, hole_us: 1 };
        let figures = HourFigures {
            hour: Hour::parse("2019-11-13T02").unwrap(),
            video: [
                TimeTally { count: 7, us: 14_000_001 },
                TimeTally::default(),
                TimeTally { count: 1, us: 2_000_000 },
            ],
            bad: 3,
            overlaps: [TimeTally { count: 1, us: 500_000 }, TimeTally::default(), TimeTally::default()],
            lanes: [lane(12_500_000), lane(10_000_000)],
        };
        let mut gauges = CoverageGauges::default();
        gauges.add(&Stream::parse("a\"\\/source").unwrap(), &figures);
        let text = gauges.finish();
        let labels = r#"channel="a\"\\",quality="source",hour="2019-11-13T02""#;
        for line in [
            format!("segment_count{{{labels},type=\"full\"}} 7"),
            format!("segment_count{{{labels},type=\"bad\"}} 3"),
            format!("segment_duration{{{labels},type=\"full\"}} 14.000001"),
            format!("overlap_duration{{{labels},type=\"full\"}} 0.500000"),
            format!("overlap_count{{{labels},type=\"partial\"}} 0"),
            format!("raw_coverage{{{labels}}} 12.500000"),
            format!("editable_coverage{{{labels}}} 10.000000"),
            format!("raw_holes{{{labels}}} 2"),
            format!("editable_hole_seconds{{{labels}}} 0.000001"),
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {text}");
        }
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 4 + 3 + 3 + 3 + 6);
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), SERIES);
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), FAMILIES.len());
    }
}
