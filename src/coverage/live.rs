//! The gauges of a daemon: the latest hours of each quality one by one, all older ones in one sum, as of now.
//!
//! 1. What is shown hour by hour is read anew for every scrape: a summary for each hour.
//! 2. The sum of the older hours is kept until one of them changes, so that an archive of a hundred thousand hours costs a scrape no
//!    more than a small one. It is made from one summary after the other, and holds none of them.
//! 3. What lies beyond the horizon is told in none of them: one stray hour would take the place of the latest.
//! 4. Where summaries are still being made a scrape waits a moment, and then leaves that quality out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Gauges;
use crate::domain::coverage::{Adder, Coverage, Window};
use crate::domain::{Horizon, Hour, Stream, Timestamp};
use crate::index::{Index, IndexError};

/// How long a scrape waits for summaries that are still being made, for all qualities together: a Prometheus gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the text, and remembers the sums of what is old.
#[derive(Debug)]
pub struct LiveGauges {
    hours: u32,
    older: Mutex<BTreeMap<Stream, (State, Adder)>>,
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

impl LiveGauges {
    /// Shows so many hours of each quality by themselves.
    pub fn new(hours: u32) -> Self {
        Self { hours, older: Mutex::default() }
    }

    /// The gauges as Prometheus text, of the hours up to the horizon. Blocks: not for async code.
    pub fn text(&self, index: &Index, horizon: Horizon) -> String {
        let until = Instant::now() + PATIENCE;
        let mut gauges = Gauges::default();
        let mut there = BTreeSet::new();
        for stream in index.catalog().streams().into_iter().filter(|stream| !stream.quality.is_chat()) {
            if let Err(error) = self.add((index, horizon), until, &stream, &mut gauges) {
                tracing::debug!(name: "gauges_left_out", %stream, %error, "the coverage of this quality is not told now");
            }
            there.insert(stream);
        }
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        older.retain(|stream, _| there.contains(stream));
        gauges.finish()
    }

    fn add(
        &self,
        (index, horizon): (&Index, Horizon),
        until: Instant,
        stream: &Stream,
        gauges: &mut Gauges,
    ) -> Result<(), IndexError> {
        let Some((state, bound)) = self.state(index, horizon, stream) else { return Ok(()) };
        let older = self.older((index, horizon), until, stream, state)?;
        let Some(from) = state.shown_from else {
            let nothing_more = Coverage::after(older.ends());
            if let Some(totals) = older.before(Timestamp::MAX, &nothing_more) {
                gauges.add_older(stream, &totals);
            }
            return Ok(());
        };
        let window = Window { from: Some(from.start()), last: Some(bound), ..Window::default() };
        let shown = index.coverage_until(until, stream, &window, usize::MAX)?.coverage;
        // The same text whatever changes meanwhile: nothing of a quality is told before all of it is known.
        if let Some(totals) = older.before(from.start(), &shown) {
            gauges.add_older(stream, &totals);
        }
        shown.figures(from, Hour::MAX).for_each(|figures| gauges.add(stream, &figures));
        Ok(())
    }

    /// How the older hours are now, and the last hour that is shown; `None` if there are no hours.
    fn state(&self, index: &Index, horizon: Horizon, stream: &Stream) -> Option<(State, Hour)> {
        let catalog = index.catalog().read();
        let entry = catalog.streams.get(&stream.to_string())?;
        let (bound, last) = (horizon.bound(&entry.hours), horizon.newest(&entry.hours).next()?);
        let shown_from = self.hours.checked_sub(1).map(|more| last.earlier(more));
        let sum_until = shown_from.or((bound < Hour::MAX).then(|| bound.next()));
        let older = entry.hours.iter().take_while(|(hour, _)| sum_until.is_none_or(|end| **hour < end));
        let changed = older.map(|(_, changed)| *changed).max().unwrap_or(0);
        let (generation, structure) = (catalog.generation, entry.structure);
        Some((State { generation, structure, changed, shown_from, sum_until }, bound))
    }

    fn older(
        &self,
        (index, horizon): (&Index, Horizon),
        until: Instant,
        stream: &Stream,
        state: State,
    ) -> Result<Adder, IndexError> {
        let known =
            |of: &BTreeMap<Stream, (State, Adder)>| of.get(stream).filter(|(known, _)| *known == state).cloned();
        let kept = known(&self.older.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((_, sum)) = kept {
            return Ok(sum);
        }
        let sum = index.add_up(until, stream, state.sum_until)?;
        // What changed since the state was read may or may not be in the sum: then it is not kept.
        if self.state(index, horizon, stream).is_some_and(|(now, _)| now == state) {
            let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
            older.insert(stream.clone(), (state, sum.clone()));
        }
        Ok(sum)
    }
}
