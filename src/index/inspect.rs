//! Looks at the file of an index that nobody has open: changes nothing, checks no page, begins no index.

use std::path::Path;

use redb::{ReadOnlyDatabase, ReadableDatabase as _};

use super::{IndexError, file, hours, meta, schema};

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLook {
    /// Its format.
    pub format: u32,
    /// The format that this version writes.
    pub current: u32,
    /// The archive that it belongs to, where it knows that.
    pub archive: Option<[u8; 16]>,
    /// Whether it knows no hour.
    pub is_empty: bool,
}

/// Looks at the index at `path`; `None` for one that was not closed in order, which tells nothing until it is opened to be mended.
pub fn look(path: &Path) -> Result<Option<FileLook>, IndexError> {
    file::guarded(|| {
        let database = match ReadOnlyDatabase::open(path) {
            Ok(database) => database,
            Err(redb::DatabaseError::RepairAborted) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let format = schema::refuse_newer(&database)?;
        let transaction = database.begin_read()?;
        let archive = match meta::archive(&transaction) {
            // What makes no sense is mended when the index is opened.
            Err(IndexError::Damaged(_)) => None,
            archive => archive?,
        };
        let is_empty = hours::is_empty(&transaction)?.unwrap_or(false);
        Ok(Some(FileLook { format, current: schema::FORMAT, archive, is_empty }))
    })
}
