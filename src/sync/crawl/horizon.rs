//! Up to which hour the names in this archive are believed, as of now: the one place where the clock is asked about that.

use std::time::UNIX_EPOCH;

use super::Keeper;
use crate::archive::coverage::Window;
use crate::archive::guards::Guard;
use crate::archive::{Horizon, Hour, HourPlace, Stream, Timestamp};

impl Keeper {
    /// How far ahead an hour may be to be the newest.
    pub fn horizon(&self) -> Horizon {
        if !self.guards().stands(Guard::FutureHours) {
            return Horizon::OPEN;
        }
        let since = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Horizon::at(Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The last hour of a quality that may be its newest.
    pub fn bound(&self, stream: &Stream) -> Hour {
        let horizon = self.horizon();
        let state = self.index.catalog().read();
        state.streams.get(&stream.to_string()).map_or(Hour::MAX, |entry| horizon.bound(&entry.hours))
    }

    /// The first and last hour of a quality that are shown by default.
    pub fn view(&self, stream: &Stream) -> Option<(Hour, Hour)> {
        let horizon = self.horizon();
        horizon.view(&self.index.catalog().read().streams.get(&stream.to_string())?.hours)
    }

    /// A window that is open at its end reaches to the horizon, unless it begins beyond.
    pub fn up_to_horizon(&self, stream: &Stream, window: &Window) -> Window {
        let last = self.bound(stream);
        let is_open = window.to.is_none() && window.from.is_none_or(|from| from.hour() <= last);
        Window { last: if is_open && last < Hour::MAX { Some(last) } else { window.last }, ..*window }
    }

    /// Sorts hours newest first, and those beyond the horizon last.
    pub fn newest_first(&self, places: &mut [HourPlace]) {
        let horizon = self.horizon();
        places.sort_unstable_by(|a, b| {
            horizon.rank(a.hour).cmp(&horizon.rank(b.hour)).then_with(|| a.stream.cmp(&b.stream))
        });
    }
}
