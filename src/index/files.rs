//! The tables `files` and `odd_files`: every listed file of every hour with its size.
//!
//! A file whose name its key gives back is in the first, all others by their exact names in the second. The row of an hour knows how many
//! rows it has in both and what they add up to: whatever writes here keeps that, and whatever reads an hour compares it.

use redb::{
    CursorMut, ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction,
};

use super::IndexError;
use super::codec::{HourKey, RowReader, damaged};
use super::hours::HourRow;
use crate::archive::{AnyFile, Container, Hash, HourContents, SegmentFile, SegmentKey, SegmentKind, Spelling};

pub(super) const FILES: TableDefinition<'static, &FileKey, &FileValue> = TableDefinition::new("files.1");
pub(super) const ODD_FILES: TableDefinition<'static, &[u8], &FileValue> = TableDefinition::new("odd_files.1");

/// The largest size that is kept: 256 TiB less one byte.
pub const MAX_SIZE: u64 = (1 << 48) - 1;

/// Stream, hour, start, container with kind and tombstone, duration, spelling, hash.
pub type FileKey = [u8; 50];
/// The size.
pub type FileValue = [u8; 6];

/// The key of a file.
pub fn file_key(hour: HourKey, key: &SegmentKey) -> FileKey {
    let mut bytes = [0; 50];
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
pub fn file_value(size: u64) -> FileValue {
    let mut value = FileValue::default();
    value.copy_from_slice(&size.min(MAX_SIZE).to_le_bytes()[..6]);
    value
}

/// The inverse of [`file_value`].
pub fn read_file_value(value: FileValue) -> u64 {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&value);
    u64::from_le_bytes(bytes)
}

/// A file from its row.
pub fn read_file(key: &FileKey, value: FileValue) -> Result<SegmentFile, IndexError> {
    Ok(SegmentFile { key: read_segment_key(&key[8..])?, size: read_file_value(value), exact: None })
}

/// The key of a file by its exact name.
pub fn odd_key(hour: HourKey, name: &str) -> Vec<u8> {
    [hour.as_slice(), name.as_bytes()].concat()
}

/// A row's share in the sum over an hour's rows.
pub fn row_sum(key: &[u8], value: FileValue) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(key, read_file_value(value) ^ 0x9e37_79b9_7f4a_7c15)
}

/// The keys of files of an hour that start from `first` to `last`, both included, lie between these.
fn from_start_to_start(hour: HourKey, first: u32, last: u32) -> (FileKey, FileKey) {
    let (mut lowest, mut highest) = ([0; 50], [0xff; 50]);
    for (key, start_us) in [(&mut lowest, first), (&mut highest, last)] {
        key[..8].copy_from_slice(&hour);
        key[8..12].copy_from_slice(&start_us.to_be_bytes());
    }
    (lowest, highest)
}

/// What a row was before it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowBefore {
    /// What it is now: nothing was written.
    Same,
    /// There was none.
    None,
    /// The file had this size.
    Size(u64),
}

/// Both tables in a transaction that writes.
pub(super) struct FileTables<'t> {
    files: Table<'t, &'static FileKey, &'static FileValue>,
    odd: Table<'t, &'static [u8], &'static FileValue>,
}

impl<'t> FileTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self { files: transaction.open_table(FILES)?, odd: transaction.open_table(ODD_FILES)? })
    }

    /// Writes a file whose name its key gives back, and keeps the sum in the hour's row.
    pub(super) fn put(
        &mut self,
        hour: HourKey,
        row: &mut HourRow,
        file: &SegmentFile,
    ) -> Result<RowBefore, IndexError> {
        let (key, value) = (file_key(hour, &file.key), file_value(file.size));
        let before = self.files.insert(&key, &value)?.map(|before| *before.value());
        Ok(written(row, &key, before, value))
    }

    /// Removes one, and says how large it was if it was there.
    pub(super) fn remove(
        &mut self,
        hour: HourKey,
        row: &mut HourRow,
        file: &SegmentKey,
    ) -> Result<Option<u64>, IndexError> {
        let key = file_key(hour, file);
        let before = self.files.remove(&key)?.map(|before| *before.value());
        Ok(removed(row, &key, before))
    }

    /// Writes a file by its exact name.
    pub(super) fn put_odd(
        &mut self,
        hour: HourKey,
        row: &mut HourRow,
        file: &AnyFile,
    ) -> Result<RowBefore, IndexError> {
        let (key, value) = (odd_key(hour, &file.name()), file_value(file.size()));
        let before = self.odd.insert(key.as_slice(), &value)?.map(|before| *before.value());
        Ok(written(row, &key, before, value))
    }

    /// Removes one.
    pub(super) fn remove_odd(
        &mut self,
        hour: HourKey,
        row: &mut HourRow,
        file: &AnyFile,
    ) -> Result<Option<u64>, IndexError> {
        let key = odd_key(hour, &file.name());
        let before = self.odd.remove(key.as_slice())?.map(|before| *before.value());
        Ok(removed(row, &key, before))
    }

    /// How large a file is, whose name its key gives back.
    pub(super) fn size(&self, hour: HourKey, file: &SegmentKey) -> Result<Option<u64>, IndexError> {
        Ok(self.files.get(&file_key(hour, file))?.map(|value| read_file_value(*value.value())))
    }

    /// The same by its exact name.
    pub(super) fn odd_size(&self, hour: HourKey, name: &str) -> Result<Option<u64>, IndexError> {
        Ok(self.odd.get(odd_key(hour, name).as_slice())?.map(|value| read_file_value(*value.value())))
    }

    /// Whether an hour has files by their exact names.
    pub(super) fn has_odd(&self, hour: HourKey) -> Result<bool, IndexError> {
        let first = self.odd.range::<&[u8]>(hour.as_slice()..)?.next().transpose()?;
        Ok(first.is_some_and(|(key, _)| key.value().starts_with(&hour)))
    }

    /// The files of an hour, checked against its row.
    pub(super) fn contents(&self, hour: HourKey, row: &HourRow) -> Result<HourContents, IndexError> {
        gather(&self.files, &self.odd, hour, row)
    }

    /// The files of an hour that start at this time, by names that their keys give back.
    pub(super) fn starting_at(&self, hour: HourKey, start_us: u32) -> Result<Vec<SegmentFile>, IndexError> {
        let (first, last) = from_start_to_start(hour, start_us, start_us);
        let mut found = Vec::new();
        for row in self.files.range::<&FileKey>(&first..=&last)? {
            let (key, value) = row?;
            found.push(read_file(key.value(), *value.value())?);
        }
        Ok(found)
    }

    /// To append hours in the order of their keys, behind all that there are.
    pub(super) fn at_end(&mut self) -> Result<FileAppender<'_, 't>, IndexError> {
        let files = self.files.upper_bound_mut(std::ops::Bound::<&FileKey>::Unbounded)?;
        Ok(FileAppender { files, odd: &mut self.odd })
    }
}

fn written(row: &mut HourRow, key: &[u8], before: Option<FileValue>, value: FileValue) -> RowBefore {
    if before == Some(value) {
        return RowBefore::Same;
    }
    let size = removed(row, key, before);
    row.rows = row.rows.wrapping_add(1);
    row.sum = row.sum.wrapping_add(row_sum(key, value));
    size.map_or(RowBefore::None, RowBefore::Size)
}

fn removed(row: &mut HourRow, key: &[u8], before: Option<FileValue>) -> Option<u64> {
    let before = before?;
    row.rows = row.rows.wrapping_sub(1);
    row.sum = row.sum.wrapping_sub(row_sum(key, before));
    Some(read_file_value(before))
}

/// Appends the files of hours.
pub(super) struct FileAppender<'c, 't> {
    files: CursorMut<'c, &'static FileKey, &'static FileValue>,
    odd: &'c mut Table<'t, &'static [u8], &'static FileValue>,
}

impl FileAppender<'_, '_> {
    /// Writes all files of an hour, and keeps the sum in its row.
    pub(super) fn append(
        &mut self,
        hour: HourKey,
        row: &mut HourRow,
        contents: &HourContents,
    ) -> Result<(), IndexError> {
        for file in contents.files() {
            let value = file_value(file.size);
            if let Some(exact) = &file.exact {
                self.append_odd(hour, row, exact, value)?;
            } else {
                let key = file_key(hour, &file.key);
                written(row, &key, None, value);
                self.files.insert_before(&key, &value)?;
            }
        }
        contents.odd().iter().try_for_each(|file| self.append_odd(hour, row, &file.name, file_value(file.size)))
    }

    fn append_odd(&mut self, hour: HourKey, row: &mut HourRow, name: &str, value: FileValue) -> Result<(), IndexError> {
        let key = odd_key(hour, name);
        written(row, &key, None, value);
        drop(self.odd.insert(key.as_slice(), &value)?);
        Ok(())
    }
}

/// How many files there are.
pub(super) fn count(transaction: &ReadTransaction) -> Result<u64, IndexError> {
    Ok(transaction.open_table(FILES)?.len()? + transaction.open_table(ODD_FILES)?.len()?)
}

/// The files of an hour, checked against its row.
pub(super) fn contents(
    transaction: &ReadTransaction,
    hour: HourKey,
    row: &HourRow,
) -> Result<HourContents, IndexError> {
    gather(&transaction.open_table(FILES)?, &transaction.open_table(ODD_FILES)?, hour, row)
}

/// What of an hour is wanted, of what starts from `first` to `last` microseconds in it and of all whose names are kept.
pub(super) fn starting_between(
    transaction: &ReadTransaction,
    hour: HourKey,
    row: &HourRow,
    (first, last): (u32, u32),
    is_wanted: impl Fn(&SegmentKey) -> bool,
) -> Result<Vec<SegmentFile>, IndexError> {
    let mut found = Vec::new();
    let (first, last) = from_start_to_start(hour, first, last);
    let mut left = row.rows;
    for entry in transaction.open_table(FILES)?.range::<&FileKey>(&first..=&last)? {
        let (key, value) = entry?;
        // Pages that lead in a circle would have no end.
        left = left.checked_sub(1).ok_or_else(|| IndexError::Damaged("an hour has more rows than it counts".into()))?;
        let file = read_file(key.value(), *value.value())?;
        if is_wanted(&file.key) {
            found.push(file);
        }
    }
    for entry in transaction.open_table(ODD_FILES)?.range::<&[u8]>(hour.as_slice()..)? {
        let (key, value) = entry?;
        let Some(name) = key.value().strip_prefix(hour.as_slice()) else { break };
        if let AnyFile::Segment(file) = read_exact(name, *value.value())?
            && is_wanted(&file.key)
        {
            found.push(file);
        }
    }
    Ok(found)
}

/// The files of an hour, checked against the count and sum in its row.
fn gather(
    files: &impl ReadableTable<&'static FileKey, &'static FileValue>,
    odd: &impl ReadableTable<&'static [u8], &'static FileValue>,
    hour: HourKey,
    summary: &HourRow,
) -> Result<HourContents, IndexError> {
    let (mut left, mut sum) = (summary.rows, summary.sum);
    let mut check = |key: &[u8], value| {
        // Also what ends the reading of pages that lead in a circle.
        left = left.checked_sub(1).ok_or_else(contradiction)?;
        sum = sum.wrapping_sub(row_sum(key, value));
        Ok::<_, IndexError>(())
    };
    let mut understood: Vec<SegmentFile> = Vec::with_capacity((summary.rows as usize).min(100_000));
    let mut exact = Vec::new();
    let (first, last) = from_start_to_start(hour, 0, u32::MAX);
    for row in files.range::<&FileKey>(&first..=&last)? {
        let (key, value) = row?;
        check(key.value(), *value.value())?;
        understood.push(read_file(key.value(), *value.value())?);
    }
    for row in odd.range::<&[u8]>(hour.as_slice()..)? {
        let (key, value) = row?;
        let (key, value) = (key.value(), *value.value());
        let Some(name) = key.strip_prefix(hour.as_slice()) else { break };
        check(key, value)?;
        match read_exact(name, value)? {
            AnyFile::Segment(file) => understood.push(file),
            AnyFile::Odd(file) => exact.push(file),
        }
    }
    if (left, sum) == (0, 0) { Ok(HourContents::new(understood, exact)) } else { Err(contradiction()) }
}

fn contradiction() -> IndexError {
    IndexError::Damaged("the rows of an hour do not add up to its summary".into())
}

pub(super) fn read_exact(name: &[u8], value: FileValue) -> Result<AnyFile, IndexError> {
    std::str::from_utf8(name)
        .ok()
        .and_then(|name| AnyFile::read(name, read_file_value(value)))
        .ok_or_else(|| IndexError::Damaged("a file row holds a name that is never indexed".into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::Hour;
    use crate::index::codec::hour_key;

    fn any_key() -> impl Strategy<Value = SegmentKey> {
        (0..3_600_000_000_u32, 0..8_u8, any::<bool>(), 0..=3_600_000_000_u32, 0..49_u8, any::<[u8; 32]>()).prop_map(
            |(start_us, kind, tombstone, duration_us, spelling, hash)| SegmentKey {
                start_us,
                container: Container::from_number(kind / 4).unwrap(),
                kind: SegmentKind::from_number(kind % 4).unwrap(),
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
            let _read = read_segment_key(&bytes);
        }
    }
}
