//! Questions to the index. Each is answered from one snapshot, and what is read is checked before it is believed.

use redb::{ReadTransaction, ReadableTable as _};

use super::IndexError;
use super::catalog::Version;
use super::codec::{self, HourRow, RowReader};
use super::store::Index;
use super::tables::{CHANGES, DIRECTORIES, FILES, HOURS, HourKey, META, ODD_FILES};
use crate::archive::{AnyFile, Hour, HourContents, OddFile, SegmentFile, Stamp};

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

/// A row of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its number.
    pub seq: u64,
    /// `CHANNEL/QUALITY`; `None` if that has gone since.
    pub stream: Option<String>,
    /// The hour.
    pub hour: Hour,
    /// Whether the file appeared (or changed its size) rather than went.
    pub put: bool,
    /// The file.
    pub file: AnyFile,
}

impl Index {
    /// An hour with its files; `None` if there is no such hour.
    pub fn hour(&self, stream: &str, hour: Hour) -> Result<Option<HourView>, IndexError> {
        self.read(|transaction, generation| {
            let Some(id) = self.stream_id(stream) else { return Ok(None) };
            let key = codec::hour_key(id, hour);
            let Some(row) = read_row(transaction, key)? else { return Ok(None) };
            let contents = read_contents(transaction, key, &row)?;
            let version = Version { generation, changed: row.changed };
            Ok(Some(HourView { row, contents, version }))
        })
    }

    /// What is kept about an hour, without its files.
    pub fn hour_row(&self, stream: &str, hour: Hour) -> Result<Option<HourRow>, IndexError> {
        self.read(|transaction, _| {
            let Some(id) = self.stream_id(stream) else { return Ok(None) };
            read_row(transaction, codec::hour_key(id, hour))
        })
    }

    /// What is kept about every hour of a stream from `first` to `last`, oldest first.
    pub fn hour_rows(&self, stream: &str, first: Hour, last: Hour) -> Result<Vec<(Hour, HourRow)>, IndexError> {
        self.read(|transaction, _| {
            let Some(id) = self.stream_id(stream).filter(|_| first <= last) else { return Ok(Vec::new()) };
            let table = transaction.open_table(HOURS)?;
            let (from, to) = (codec::hour_key(id, first), codec::hour_key(id, last));
            let mut rows = Vec::new();
            for row in table.range::<&[u8; 8]>(&from..=&to)? {
                let (key, value) = row?;
                rows.push((codec::read_hour_key(*key.value())?.1, HourRow::decode(*key.value(), value.value())?));
            }
            Ok(rows)
        })
    }

    /// The trusted stamp of a directory above the hours (empty for the base).
    pub fn directory_stamp(&self, path: &str) -> Result<Option<Stamp>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(DIRECTORIES)?;
            let Some(value) = table.get(path)? else { return Ok(None) };
            let mut reader = RowReader::new(value.value(), "directories");
            let stamp = codec::read_stamp(&mut reader)?;
            reader.end()?;
            Ok(stamp)
        })
    }

    /// The archive's id, where it is known.
    pub fn archive(&self) -> Result<Option<[u8; 16]>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(META)?;
            let Some(value) = table.get("archive")? else { return Ok(None) };
            let id = value.value().try_into();
            id.map(Some).map_err(|_| IndexError::Damaged("the archive's id has another length".into()))
        })
    }

    /// How far the protective records of the archive have come, as it was given; empty if nobody has said.
    pub fn records(&self) -> Result<String, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(META)?;
            let found = table.get("records")?.map(|value| String::from_utf8_lossy(value.value()).into_owned());
            Ok(found.unwrap_or_default())
        })
    }

    /// Directories above the hours that are remembered, with their stamps.
    pub fn directories(&self) -> Result<Vec<(String, Option<Stamp>)>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(DIRECTORIES)?;
            let mut found = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                found.push((
                    key.value().to_owned(),
                    codec::read_stamp(&mut RowReader::new(value.value(), "directories"))?,
                ));
            }
            Ok(found)
        })
    }

    /// Up to `limit` changes after `seq`, oldest first; `None` if some of them are not kept any more.
    pub fn changes_after(&self, seq: u64, limit: usize) -> Result<Option<Vec<ChangeRow>>, IndexError> {
        self.read(|transaction, _| {
            if seq < super::schema::meta_number(transaction, "floor")?.unwrap_or(0) {
                return Ok(None);
            }
            let names: std::collections::HashMap<u32, String> =
                self.catalog().read().streams.iter().map(|(name, entry)| (entry.row.id, name.clone())).collect();
            let table = transaction.open_table(CHANGES)?;
            let mut changes = Vec::new();
            for row in table.range(seq.saturating_add(1)..)?.take(limit) {
                let (key, value) = row?;
                let expected = seq.saturating_add(changes.len() as u64 + 1);
                if key.value() != expected {
                    return Err(IndexError::Damaged(format!("change {expected} is missing")));
                }
                changes.push(read_change(key.value(), value.value(), &names)?);
            }
            Ok(Some(changes))
        })
    }

    /// Epoch and last sequence number of the change log.
    pub fn log_position(&self) -> Result<(u64, u64), IndexError> {
        self.read(|transaction, _| {
            let number = |name| super::schema::meta_number(transaction, name).map(Option::unwrap_or_default);
            Ok((number("epoch")?, number("seq")?))
        })
    }

    pub(super) fn stream_id(&self, stream: &str) -> Option<u32> {
        self.catalog().read().streams.get(stream).map(|entry| entry.row.id)
    }
}

pub(super) fn read_row(transaction: &ReadTransaction, key: HourKey) -> Result<Option<HourRow>, IndexError> {
    let table = transaction.open_table(HOURS)?;
    let Some(value) = table.get(&key)? else { return Ok(None) };
    HourRow::decode(key, value.value()).map(Some)
}

pub(super) fn read_contents(
    transaction: &ReadTransaction,
    key: HourKey,
    row: &HourRow,
) -> Result<HourContents, IndexError> {
    gather(&transaction.open_table(FILES)?, &transaction.open_table(ODD_FILES)?, key, row)
}

/// The files of an hour, checked against the count and sum in its row.
pub(super) fn gather(
    files: &impl redb::ReadableTable<&'static [u8; 50], &'static [u8; 6]>,
    odd: &impl redb::ReadableTable<&'static [u8], &'static [u8; 6]>,
    hour: HourKey,
    summary: &HourRow,
) -> Result<HourContents, IndexError> {
    let (mut left, mut sum) = (summary.rows, summary.sum);
    let mut check = |key: &[u8], value| {
        // Also what ends the reading of pages that lead in a circle.
        left = left.checked_sub(1).ok_or_else(contradiction)?;
        sum = sum.wrapping_sub(codec::row_sum(key, value));
        Ok::<_, IndexError>(())
    };
    let mut understood: Vec<SegmentFile> = Vec::with_capacity((summary.rows as usize).min(100_000));
    let mut exact = Vec::new();
    let (mut first, mut last) = ([0; 50], [0xff; 50]);
    first[..8].copy_from_slice(&hour);
    last[..8].copy_from_slice(&hour);
    for row in files.range::<&[u8; 50]>(&first..=&last)? {
        let (key, value) = row?;
        check(key.value(), *value.value())?;
        understood.push(codec::read_file(key.value(), *value.value())?);
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

pub(super) fn read_exact(name: &[u8], value: [u8; 6]) -> Result<AnyFile, IndexError> {
    std::str::from_utf8(name)
        .ok()
        .and_then(|name| AnyFile::read(name, codec::read_file_value(value)))
        .ok_or_else(|| IndexError::Damaged("a file row holds a name that is never indexed".into()))
}

/// A row of the change log as bytes.
pub(super) fn encode_change(stream: u32, hour: Hour, put: bool, file: &AnyFile) -> Vec<u8> {
    let mut bytes = codec::hour_key(stream, hour).to_vec();
    bytes.extend(codec::file_value(file.size()));
    match file {
        AnyFile::Segment(SegmentFile { key, exact: None, .. }) => {
            bytes.push(u8::from(put));
            bytes.extend(codec::segment_key(key));
        }
        AnyFile::Segment(SegmentFile { exact: Some(name), .. }) | AnyFile::Odd(OddFile { name, .. }) => {
            bytes.push(2 | u8::from(put));
            bytes.extend(name.as_bytes());
        }
    }
    bytes
}

pub(super) fn read_change(
    seq: u64,
    bytes: &[u8],
    names: &std::collections::HashMap<u32, String>,
) -> Result<ChangeRow, IndexError> {
    let mut reader = RowReader::new(bytes, "changes");
    let (stream, hour) = codec::read_hour_key(reader.array()?)?;
    let value = reader.array()?;
    let [tag] = reader.array()?;
    let file = if tag & 2 == 0 {
        let key = codec::read_segment_key(reader.rest())?;
        AnyFile::Segment(SegmentFile { key, size: codec::read_file_value(value), exact: None })
    } else {
        read_exact(reader.rest(), value)?
    };
    Ok(ChangeRow { seq, stream: names.get(&stream).cloned(), hour, put: tag & 1 == 1, file })
}
