//! Which archive the index belongs to.

use super::tables::META;
use super::{Index, IndexError};

impl Index {
    /// The id of the archive, if it was ever told.
    pub fn archive_id(&self) -> Result<Option<[u8; 16]>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(META)?;
            let Some(value) = table.get("archive")? else { return Ok(None) };
            value
                .value()
                .try_into()
                .map(Some)
                .map_err(|_| IndexError::Damaged("the archive's id has another length".into()))
        })
    }
}
