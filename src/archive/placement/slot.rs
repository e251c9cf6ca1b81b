//! The slot of an hour: hours are placed by the slot that they fall into, so that a table of 4,096 rows says who keeps which.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::archive::{Hour, HourPlace};

/// How many slots there are. Enough that 50 nodes get their shares to within 0.4 %, and few enough that a layout of three copies has 12 KB.
pub const SLOTS: usize = 4_096;

/// One of the 4,096 parts of an archive: all files of an hour share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of an hour: XXH3 of 64 bits, without a seed, of the bytes of `CHANNEL/QUALITY/HOUR`, modulo 4,096.
    pub fn of(hour: &HourPlace) -> Self {
        Self::of_path(&hour.to_string())
    }

    /// The slot of an hour of a stream, which is given as `CHANNEL/QUALITY`.
    pub fn in_stream(stream: &str, hour: Hour) -> Self {
        Self::of_path(&format!("{stream}/{hour}"))
    }

    fn of_path(path: &str) -> Self {
        let number = xxh3_64(path.as_bytes()) % SLOTS as u64;
        // It fits, as there are fewer slots.
        Self(u16::try_from(number).unwrap_or_default())
    }

    /// Its row in tables.
    pub fn row(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
