//! Questions to the index. Each is answered from one snapshot, and what is read is checked before it is believed.

use super::catalog::Version;
use super::codec::hour_key;
use super::hours::HourRow;
use super::store::Index;
use super::{IndexError, files, hours};
use crate::archive::{Hour, HourContents};

/// One hour as the index knows it.
#[derive(Debug, Clone)]
pub struct HourView {
    /// Totals, stamp and the like.
    pub row: HourRow,
    /// Its files.
    pub contents: HourContents,
    /// Which state this is.
    pub version: Version,
}

impl Index {
    /// An hour with its files; `None` if there is no such hour.
    pub fn hour(&self, stream: &str, hour: Hour) -> Result<Option<HourView>, IndexError> {
        self.read(|transaction, generation| {
            let Some(id) = self.stream_id(stream) else { return Ok(None) };
            let key = hour_key(id, hour);
            let Some(row) = hours::read(transaction, key)? else { return Ok(None) };
            let contents = files::contents(transaction, key, &row)?;
            let version = Version { generation, changed: row.changed };
            Ok(Some(HourView { row, contents, version }))
        })
    }

    pub(super) fn stream_id(&self, stream: &str) -> Option<u32> {
        self.catalog().read().streams.get(stream).map(|entry| entry.row.id)
    }
}
