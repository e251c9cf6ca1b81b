//! Rows ↔ bytes. Everything is big-endian where it sorts, little-endian where it is counted, and decoded fallibly:
//! bytes that cannot be right are damage, never a panic.

use xxhash_rust::xxh3::xxh3_64;

use super::IndexError;
use crate::archive::{Hour, Stamp};

/// The key of an hour: the number of its stream, and the hour.
pub type HourKey = [u8; 8];

/// A row of this table makes no sense.
pub(super) fn damaged(what: &str) -> IndexError {
    IndexError::Damaged(format!("a row of {what} cannot be read"))
}

/// Reads fixed-size pieces off a row.
pub struct RowReader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> RowReader<'a> {
    /// Over the bytes of a row of this table.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or_else(|| damaged(self.what))?;
        self.bytes = tail;
        Ok(*head)
    }

    /// The next little-endian number of 4 bytes.
    pub fn u32(&mut self) -> Result<u32, IndexError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next little-endian number of 8 bytes.
    pub fn u64(&mut self) -> Result<u64, IndexError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or_else(|| damaged(self.what))?;
        self.bytes = tail;
        Ok(head)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<(), IndexError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(damaged(self.what)) }
    }
}

/// The key of an hour.
pub fn hour_key(stream: u32, hour: Hour) -> HourKey {
    let mut key = HourKey::default();
    key[..4].copy_from_slice(&stream.to_be_bytes());
    key[4..].copy_from_slice(&hour.sortable().to_be_bytes());
    key
}

/// The inverse of [`hour_key`].
pub fn read_hour_key(key: HourKey) -> Result<(u32, Hour), IndexError> {
    let (number, sortable) = (u64::from_be_bytes(key) >> 32, u64::from_be_bytes(key) & 0xffff_ffff);
    let hour = u32::try_from(sortable).ok().and_then(Hour::from_sortable).ok_or_else(|| damaged("hours"))?;
    Ok((u32::try_from(number).map_err(|_| damaged("hours"))?, hour))
}

/// The check over a row, which belongs to its key.
pub fn check(key: &[u8], body: &[u8]) -> u64 {
    xxh3_64(body) ^ xxh3_64(key).rotate_left(17)
}

/// A stamp, or that there is none.
pub fn encode_stamp(stamp: Option<Stamp>) -> [u8; 25] {
    let mut bytes = [0; 25];
    if let Some(stamp) = stamp {
        bytes[0] = 1;
        bytes[1..9].copy_from_slice(&stamp.ino.to_le_bytes());
        bytes[9..17].copy_from_slice(&stamp.mtime_ns.to_le_bytes());
        bytes[17..].copy_from_slice(&stamp.ctime_ns.to_le_bytes());
    }
    bytes
}

/// The inverse of [`encode_stamp`].
pub fn read_stamp(reader: &mut RowReader<'_>) -> Result<Option<Stamp>, IndexError> {
    let [present] = reader.array()?;
    let stamp = Stamp {
        ino: reader.u64()?,
        mtime_ns: i64::from_le_bytes(reader.array()?),
        ctime_ns: i64::from_le_bytes(reader.array()?),
    };
    Ok((present == 1).then_some(stamp))
}
