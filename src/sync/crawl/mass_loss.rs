//! Holds what is missing where it looks like an accident. What that is is worked out in `doubts`; here it is asked for what the index
//! has, kept for as long as the index is the same, and logged.

mod doubts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

pub use self::doubts::{ABOVE, MassLoss};
use self::doubts::{Doubts, LossVerdict};
use super::{CrawlError, Keeper};
use crate::archive::{Channel, Hour, HourPlace};
use crate::index::Index;

pub(super) type HourLoss = (HourPlace, u64);

pub(super) struct MassLossGuard {
    above: u64,
    state: Mutex<DoubtState>,
    /// Whether there is any doubt: the quick check for nodes without one.
    any: AtomicBool,
}

struct DoubtState {
    /// What is known is known of this generation of the index.
    generation: u64,
    doubts: Doubts,
}

impl MassLossGuard {
    pub(super) fn new(above: u64) -> Self {
        let state = Mutex::new(DoubtState { generation: 0, doubts: Doubts::new(above) });
        Self { above, state, any: AtomicBool::new(false) }
    }

    fn state(&self, generation: u64) -> MutexGuard<'_, DoubtState> {
        let mut state = self.state.lock();
        if generation > state.generation {
            // An index that began anew has nothing to lose.
            *state = DoubtState { generation, doubts: Doubts::new(self.above) };
            self.any.store(false, Ordering::SeqCst);
        }
        state
    }

    /// Everything is compared from now on: losses are counted anew.
    pub(super) fn begin(&self) {
        self.state.lock().doubts.begin();
    }

    /// The channels of which these losses may not be concluded. Those of the others count as gone, with `counts`; without, they
    /// will be weighed once more in parts.
    pub(super) fn weigh(
        &self,
        index: &Index,
        all: Vec<HourLoss>,
        counts: bool,
    ) -> Result<BTreeSet<Channel>, CrawlError> {
        let mut by_channel: BTreeMap<Channel, Vec<HourLoss>> = BTreeMap::new();
        for loss in all.into_iter().filter(|(_, files)| *files > 0) {
            by_channel.entry(loss.0.stream.channel.clone()).or_default().push(loss);
        }
        let mut held = BTreeSet::new();
        for (channel, losses) in by_channel {
            let mut state = self.state(index.catalog().generation());
            let has = || files_of(index, &channel);
            let verdict = if counts {
                state.doubts.weigh(&channel, &losses, has)?
            } else {
                state.doubts.weigh_whole(&channel, &losses, has)?
            };
            self.any.store(!state.doubts.all().is_empty(), Ordering::SeqCst);
            if verdict == LossVerdict::Doubt
                && let Some(doubt) = losses.first().and_then(|(place, _)| state.doubts.of(place))
            {
                tracing::error!(name: "crawl_doubt", channel = doubt.channel.as_str(), missing = doubt.missing, had = doubt.had, "{doubt}");
            }
            if verdict != LossVerdict::Go {
                held.insert(channel);
            }
        }
        Ok(held)
    }

    /// Losses that were weighed and were not written.
    pub(super) fn give_back(&self, losses: &[HourLoss]) {
        let mut state = self.state.lock();
        for (place, files) in losses {
            state.doubts.give_back(&place.stream.channel, *files);
        }
    }

    pub(super) fn found(&self, place: &HourPlace) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let mut state = self.state.lock();
        if state.doubts.found(place) {
            tracing::info!(name: "crawl_doubt_over", channel = %place.stream.channel, "nothing of the channel is missing any more");
        }
        self.any.store(!state.doubts.all().is_empty(), Ordering::SeqCst);
    }

    /// The doubt by which an hour is held, if it is.
    pub(super) fn of(&self, place: &HourPlace) -> Option<MassLoss> {
        if self.any.load(Ordering::SeqCst) { self.state.lock().doubts.of(place) } else { None }
    }

    pub(super) fn holds(&self, stream: &str, hour: Hour) -> bool {
        self.any.load(Ordering::SeqCst)
            && HourPlace::parse(&format!("{stream}/{hour}"))
                .is_ok_and(|place| self.state.lock().doubts.of(&place).is_some())
    }

    pub(super) fn all(&self) -> Vec<MassLoss> {
        if self.any.load(Ordering::SeqCst) { self.state.lock().doubts.all() } else { Vec::new() }
    }

    /// What is missing of a channel may go; these are its hours.
    pub(super) fn accept(&self, channel: &Channel) -> Option<(MassLoss, Vec<HourPlace>)> {
        let mut state = self.state.lock();
        let (doubt, hours) = state.doubts.accept(channel)?;
        self.any.store(!state.doubts.all().is_empty(), Ordering::SeqCst);
        tracing::warn!(name: "crawl_doubt_accepted", channel = doubt.channel.as_str(), missing = doubt.missing, "what is missing of the channel leaves the index");
        Some((doubt, hours))
    }
}

fn files_of(index: &Index, channel: &Channel) -> Result<u64, CrawlError> {
    let mut files = 0;
    for stream in index.catalog().streams().iter().filter(|stream| stream.channel == *channel) {
        let rows = index.hour_rows(&stream.to_string(), Hour::MIN, Hour::MAX)?;
        files += rows.iter().map(|(_, row)| u64::from(row.rows)).sum::<u64>();
    }
    Ok(files)
}

impl Keeper {
    /// Everything is compared from now on: what is missing is counted anew.
    pub fn begin_comparing(&self) {
        self.doubting.begin();
    }

    /// The channels of which too much is missing at once.
    pub fn doubts(&self) -> Vec<MassLoss> {
        self.doubting.all()
    }

    /// Why nothing is concluded from what is missing in an hour, if so.
    pub fn doubt_of(&self, place: &HourPlace) -> Option<MassLoss> {
        self.local().doubting.of(place)
    }

    /// What is missing of a channel leaves the index. Says what that is; `None` if there is no doubt about it.
    pub fn accept(&self, channel: &Channel) -> Option<MassLoss> {
        let (doubt, hours) = self.doubting.accept(channel)?;
        self.hand_over(hours);
        Some(doubt)
    }
}
