//! Format 8: rows of files may be of segments in MP4, which an earlier program takes for damage. Such files may lie in hours that were read when nobody
//! took them for segments, so every hour is to be read again: its stamp is forgotten.

use std::ops::Bound;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use xxhash_rust::xxh3::xxh3_64;

use crate::index::IndexError;

const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.2");

/// Where the stamp lies in a row, behind counts and digest, and how long it is.
const STAMP: std::ops::Range<usize> = 144..169;

/// Rows that are held in memory at a time.
const AT_ONCE: usize = 10_000;

/// Forgets the stamps.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    let mut hours = transaction.open_table(HOURS)?;
    let mut after = None;
    loop {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut changed = Vec::new();
        for row in hours.range::<&[u8; 8]>((from.as_ref(), Bound::Unbounded))?.take(AT_ONCE) {
            let (key, value) = row?;
            changed.push((*key.value(), without_stamp(*key.value(), value.value())?));
        }
        let Some((last, _)) = changed.last() else { return Ok(()) };
        after = Some(*last);
        for (key, row) in changed {
            hours.insert(&key, row.as_slice())?;
        }
    }
}

fn without_stamp(key: [u8; 8], row: &[u8]) -> Result<Vec<u8>, IndexError> {
    let damaged = || IndexError::Damaged("an hour row of format 7 cannot be read".into());
    let check = |body: &[u8]| xxh3_64(body) ^ xxh3_64(&key).rotate_left(17);
    let (body, tail) = row.split_last_chunk::<8>().ok_or_else(damaged)?;
    if check(body) != u64::from_le_bytes(*tail) {
        return Err(damaged());
    }
    let mut bytes = body.to_vec();
    bytes.get_mut(STAMP).ok_or_else(damaged)?.fill(0);
    let check = check(&bytes);
    bytes.extend(check.to_le_bytes());
    Ok(bytes)
}
