//! The gauges of a daemon: the latest hours of each quality one by one, all older ones in one sum, as of now.
//!
//! 1. What is shown hour by hour is read anew for every scrape: a summary for each hour.
//! 2. The sum of the older hours is kept until one of them changes, so that an archive of a hundred thousand hours costs a scrape no
//!    more than a small one. It is made from one summary after the other, and holds none of them.
//! 3. There are no more series than the bound says: see [`crate::archive::metric_series`].
//! 4. What lies beyond the horizon is told in none of them: one stray hour would take the place of the latest.
//! 5. Where summaries are still being made a scrape waits a moment, and then leaves that quality out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::CoverageGauges;
use super::gauges::SERIES;
use crate::archive::coverage::{Coverage, CoverageTotals, Totals, Window};
use crate::archive::metric_series::{OTHERS, OwnSeries};
use crate::archive::{Horizon, Hour, Stream, Timestamp};
use crate::index::{Index, IndexError};

/// How long a scrape waits for summaries that are still being made, for all qualities together: a Prometheus gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the text, and remembers the sums of what is old.
#[derive(Debug)]
pub struct LiveGauges {
    hours: u32,
    series: usize,
    older: Mutex<BTreeMap<Stream, (State, CoverageTotals)>>,
}

/// Which state of the older hours a sum is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
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

/// What a scrape looks at.
struct Scrape<'i> {
    index: &'i Index,
    horizon: Horizon,
    /// How long it waits for summaries.
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
        state: State,
    ) -> Result<CoverageTotals, IndexError> {
        let known = |of: &BTreeMap<Stream, (State, CoverageTotals)>| {
            of.get(stream).filter(|(known, _)| *known == state).cloned()
        };
        let kept = known(&self.older.lock());
        if let Some((_, sum)) = kept {
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
    fn state(&self, stream: &Stream, hours: u32) -> Option<(State, Hour)> {
        let catalog = self.index.catalog().read();
        let entry = catalog.streams.get(&stream.to_string())?;
        let (bound, last) = (self.horizon.bound(&entry.hours), self.horizon.newest(&entry.hours).next()?);
        let shown_from = hours.checked_sub(1).map(|more| last.earlier(more));
        let sum_until = shown_from.or((bound < Hour::MAX).then(|| bound.next()));
        let older = entry.hours.iter().take_while(|(hour, _)| sum_until.is_none_or(|end| **hour < end));
        let changed = older.map(|(_, changed)| *changed).max().unwrap_or(0);
        let (generation, structure) = (catalog.generation, entry.structure);
        Some((State { generation, structure, changed, shown_from, sum_until }, bound))
    }
}
