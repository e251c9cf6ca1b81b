//! Rows ↔ bytes. Everything is big-endian where it sorts, little-endian where it is counted, and decoded fallibly:
//! bytes that cannot be right are damage, never a panic.

use xxhash_rust::xxh3::xxh3_64;

use super::IndexError;
use super::tables::{FILE_KEY, FILE_VALUE, HOUR_KEY, HourKey};
use crate::archive::totals::{Digest, FileTally, HourTotals};
use crate::archive::{Container, Hash, Hour, SegmentFile, SegmentKey, SegmentKind, Spelling, Stamp};

/// The largest size that is kept: 256 TiB less one byte.
pub const MAX_SIZE: u64 = (1 << 48) - 1;

fn damaged(what: &str) -> IndexError {
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
    let mut key = [0; HOUR_KEY];
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

/// The key of a file.
pub fn file_key(hour: HourKey, key: &SegmentKey) -> [u8; FILE_KEY] {
    let mut bytes = [0; FILE_KEY];
    bytes[..8].copy_from_slice(&hour);
    bytes[8..].copy_from_slice(&segment_key(key));
    bytes
}

/// The part of a file's key that is about the file.
pub fn segment_key(key: &SegmentKey) -> [u8; 42] {
    let mut bytes = [0; 42];
    bytes[..4].copy_from_slice(&key.start_us.to_be_bytes());
    // From the top: five bits of container, two of kind, one of tombstone.
    bytes[4] = ((key.container as u8) << 3) | ((key.kind as u8) << 1) | u8::from(key.tombstone);
    bytes[5..9].copy_from_slice(&key.duration_us.to_be_bytes());
    bytes[9] = key.spelling.number();
    bytes[10..].copy_from_slice(&key.hash.0);
    bytes
}

/// The inverse of [`segment_key`].
pub fn read_segment_key(bytes: &[u8]) -> Result<SegmentKey, IndexError> {
    let mut reader = RowReader::new(bytes, "files");
    let start_us = u32::from_be_bytes(reader.array()?);
    let [bits] = reader.array()?;
    let duration_us = u32::from_be_bytes(reader.array()?);
    let [spelling] = reader.array()?;
    let hash = Hash(reader.array()?);
    reader.end()?;
    let (Some(spelling), Some(container), Some(kind)) =
        (Spelling::from_number(spelling), Container::from_number(bits >> 3), SegmentKind::from_number(bits >> 1 & 3))
    else {
        return Err(damaged("files"));
    };
    if start_us >= 3_600_000_000 || duration_us > 3_600_000_000 {
        return Err(damaged("files"));
    }
    Ok(SegmentKey { start_us, container, kind, tombstone: bits & 1 == 1, duration_us, spelling, hash })
}

/// The value of a file.
pub fn file_value(size: u64) -> [u8; FILE_VALUE] {
    let mut value = [0; FILE_VALUE];
    value.copy_from_slice(&size.min(MAX_SIZE).to_le_bytes()[..FILE_VALUE]);
    value
}

/// The inverse of [`file_value`].
pub fn read_file_value(value: [u8; FILE_VALUE]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..FILE_VALUE].copy_from_slice(&value);
    u64::from_le_bytes(bytes)
}

/// A file from its row.
pub fn read_file(key: &[u8; FILE_KEY], value: [u8; FILE_VALUE]) -> Result<SegmentFile, IndexError> {
    Ok(SegmentFile { key: read_segment_key(&key[HOUR_KEY..])?, size: read_file_value(value), exact: None })
}

/// The key of a file by its exact name.
pub fn odd_key(hour: HourKey, name: &str) -> Vec<u8> {
    [hour.as_slice(), name.as_bytes()].concat()
}

/// A row's share in the sum over an hour's rows.
pub fn row_sum(key: &[u8], value: [u8; FILE_VALUE]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, read_file_value(value) ^ 0x9e37_79b9_7f4a_7c15)
}

/// What is kept about an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourRow {
    /// Counts, bytes, durations, digest.
    pub totals: HourTotals,
    /// The directory as it was when it was last read, if that can be trusted.
    pub stamp: Option<Stamp>,
    /// The sequence number of the last change to the hour's files.
    pub changed: u64,
    /// How many rows the hour has.
    pub rows: u32,
    /// The sum over them, modulo 2⁶⁴.
    pub sum: u64,
}

const HOUR_ROW: usize = 12 * 7 + 8 * 3 + 4 + 32 + 25 + 8 + 4 + 8;

impl HourRow {
    /// As bytes; the check covers the key, so that a row cannot pass for another hour's.
    pub fn encode(&self, key: HourKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HOUR_ROW + 8);
        let totals = &self.totals;
        for tally in totals.video.iter().chain([&totals.chat, &totals.bad, &totals.other, &totals.hidden]) {
            bytes.extend(tally.files.to_le_bytes());
            bytes.extend(tally.bytes.to_le_bytes());
        }
        totals.video_us.iter().for_each(|us| bytes.extend(us.to_le_bytes()));
        bytes.extend(totals.tombstones.to_le_bytes());
        totals.digest.0.iter().for_each(|lane| bytes.extend(lane.to_le_bytes()));
        bytes.extend(encode_stamp(self.stamp));
        bytes.extend(self.changed.to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.sum.to_le_bytes());
        let check = check(&key, &bytes);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    /// The inverse of [`HourRow::encode`]; any other bytes are damage.
    pub fn decode(key: HourKey, bytes: &[u8]) -> Result<Self, IndexError> {
        let (body, tail) = bytes.split_last_chunk::<8>().ok_or_else(|| damaged("hours"))?;
        if check(&key, body) != u64::from_le_bytes(*tail) {
            return Err(damaged("hours"));
        }
        let mut reader = RowReader::new(body, "hours");
        let mut tallies = [FileTally::default(); 7];
        for tally in &mut tallies {
            *tally = FileTally { files: reader.u32()?, bytes: reader.u64()? };
        }
        let video_us = [reader.u64()?, reader.u64()?, reader.u64()?];
        let tombstones = reader.u32()?;
        let digest = Digest([reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?]);
        let [a, b, c, chat, bad, other, hidden] = tallies;
        let totals = HourTotals { video: [a, b, c], video_us, chat, bad, other, hidden, tombstones, digest };
        let stamp = read_stamp(&mut reader)?;
        let row = Self { totals, stamp, changed: reader.u64()?, rows: reader.u32()?, sum: reader.u64()? };
        reader.end()?;
        Ok(row)
    }
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

/// What is kept about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRow {
    /// Its number in the keys of hours and files.
    pub id: u32,
    /// How many hours it has.
    pub hours: u32,
    /// The sum over their keys, modulo 2⁶⁴.
    pub sum: u64,
}

impl StreamRow {
    /// As bytes.
    pub fn encode(self, name: &str) -> Vec<u8> {
        let mut bytes = [self.id.to_le_bytes().as_slice(), &self.hours.to_le_bytes(), &self.sum.to_le_bytes()].concat();
        let check = check(name.as_bytes(), &bytes);
        bytes.extend(check.to_le_bytes());
        bytes
    }

    /// The inverse of [`StreamRow::encode`].
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, IndexError> {
        let mut reader = RowReader::new(bytes, "streams");
        let row = Self { id: reader.u32()?, hours: reader.u32()?, sum: reader.u64()? };
        let written = reader.u64()?;
        reader.end()?;
        if check(name.as_bytes(), &row.encode(name)[..16]) == written { Ok(row) } else { Err(damaged("streams")) }
    }

    /// One hour more.
    pub fn add_hour(&mut self, key: HourKey) {
        self.hours = self.hours.wrapping_add(1);
        self.sum = self.sum.wrapping_add(xxh3_64(&key));
    }

    /// One hour less.
    pub fn remove_hour(&mut self, key: HourKey) {
        self.hours = self.hours.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(xxh3_64(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = SegmentKey> {
        (0..3_600_000_000_u32, 0..4_u8, any::<bool>(), 0..=3_600_000_000_u32, 0..49_u8, any::<[u8; 32]>()).prop_map(
            |(start_us, kind, tombstone, duration_us, spelling, hash)| SegmentKey {
                start_us,
                container: Container::Ts,
                kind: SegmentKind::from_number(kind).unwrap(),
                tombstone,
                duration_us,
                spelling: Spelling::from_number(spelling).unwrap(),
                hash: Hash(hash),
            },
        )
    }

    proptest! {
        #[test]
        fn file_rows_come_back_and_sort_as_their_keys(a in any_key(), b in any_key(), size in 0..=MAX_SIZE) {
            let hour = hour_key(7, Hour::parse("2019-11-13T02").unwrap());
            let row = (file_key(hour, &a), file_value(size));
            prop_assert_eq!(read_file(&row.0, row.1).unwrap(), SegmentFile { key: a, size, exact: None });
            prop_assert_eq!(file_key(hour, &a).cmp(&file_key(hour, &b)), a.cmp(&b));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = hour_key(1, Hour::MIN);
            prop_assert!(HourRow::decode(key, &bytes).is_err());
            prop_assert!(StreamRow::decode("a/b", &bytes).is_err());
            let _read = read_segment_key(&bytes);
        }

        #[test]
        fn one_flipped_bit_in_an_hour_row_is_noticed(bit in 0..(HOUR_ROW + 8) * 8, changed: u64, rows: u32) {
            let key = hour_key(1, Hour::MIN);
            let row = HourRow { changed, rows, stamp: Some(Stamp { ino: 1, mtime_ns: -2, ctime_ns: 3 }), ..HourRow::default() };
            let mut bytes = row.encode(key);
            prop_assert_eq!(bytes.len(), HOUR_ROW + 8);
            prop_assert_eq!(HourRow::decode(key, &bytes).unwrap(), row);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(HourRow::decode(key, &bytes).is_err());
        }
    }
}
