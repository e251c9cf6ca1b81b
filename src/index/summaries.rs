//! Summaries of hours as rows: what coverage, holes and maps of any window are made of.

use super::IndexError;
use super::codec::{RowReader, check};
use super::tables::HourKey;
use crate::archive::Timestamp;
use crate::archive::coverage::{Ends, HourSummary, Stretch, TimeTally};

const WHAT: &str = "coverage";

/// A summary as bytes; the check covers the key, so that a row cannot pass for another hour's.
pub fn encode(key: HourKey, summary: &HourSummary) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for ends in [summary.before, summary.after] {
        bytes.push(u8::from(ends.is_some()));
        if let Some(Ends { covered, furthest, kept, kept_furthest, not_full }) = ends {
            for at in [covered, furthest, kept, kept_furthest, not_full] {
                time(&mut bytes, at);
            }
        }
    }
    for first in [summary.first, summary.first_covering] {
        bytes.push(u8::from(first.is_some()));
        if let Some(at) = first {
            time(&mut bytes, at);
        }
    }
    for tally in summary.video.iter().chain(&summary.overlaps) {
        bytes.extend(tally.count.to_le_bytes());
        bytes.extend(tally.us.to_le_bytes());
    }
    bytes.extend(summary.bad.to_le_bytes());
    summary.covered_us.iter().for_each(|us| bytes.extend(us.to_le_bytes()));
    for stretches in summary.holes.iter().chain([&summary.not_full]) {
        bytes.extend(u32::try_from(stretches.len()).unwrap_or(u32::MAX).to_le_bytes());
        for stretch in stretches {
            time(&mut bytes, stretch.start);
            time(&mut bytes, stretch.end);
        }
    }
    bytes.extend(check(&key, &bytes).to_le_bytes());
    bytes
}

/// The inverse of [`encode`]; any other bytes are damage.
pub fn decode(key: HourKey, bytes: &[u8]) -> Result<HourSummary, IndexError> {
    let damaged = || IndexError::Damaged(format!("a row of {WHAT} cannot be read"));
    let (body, tail) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
    if check(&key, body) != u64::from_le_bytes(*tail) {
        return Err(damaged());
    }
    let mut reader = RowReader::new(body, WHAT);
    let (before, after) = (read_ends(&mut reader)?, read_ends(&mut reader)?);
    let (first, first_covering) = (read_first(&mut reader)?, read_first(&mut reader)?);
    let mut tallies = [TimeTally::default(); 6];
    for tally in &mut tallies {
        *tally = TimeTally { count: reader.u64()?, us: reader.u64()? };
    }
    let [full, suspect, partial, full_over, suspect_over, partial_over] = tallies;
    let bad = reader.u64()?;
    let covered_us = [reader.u64()?, reader.u64()?];
    let holes = [read_stretches(&mut reader)?, read_stretches(&mut reader)?];
    let not_full = read_stretches(&mut reader)?;
    reader.end()?;
    Ok(HourSummary {
        before,
        after,
        first,
        first_covering,
        video: [full, suspect, partial],
        bad,
        overlaps: [full_over, suspect_over, partial_over],
        covered_us,
        holes,
        not_full,
    })
}

fn time(bytes: &mut Vec<u8>, at: Timestamp) {
    bytes.extend(at.us().to_le_bytes());
}

fn read_time(reader: &mut RowReader<'_>) -> Result<Timestamp, IndexError> {
    Ok(Timestamp::from_us(i64::from_le_bytes(reader.array()?)))
}

fn is_there(reader: &mut RowReader<'_>) -> Result<bool, IndexError> {
    let [flag] = reader.array()?;
    Ok(flag == 1)
}

fn read_first(reader: &mut RowReader<'_>) -> Result<Option<Timestamp>, IndexError> {
    if is_there(reader)? { read_time(reader).map(Some) } else { Ok(None) }
}

fn read_ends(reader: &mut RowReader<'_>) -> Result<Option<Ends>, IndexError> {
    if !is_there(reader)? {
        return Ok(None);
    }
    Ok(Some(Ends {
        covered: read_time(reader)?,
        furthest: read_time(reader)?,
        kept: read_time(reader)?,
        kept_furthest: read_time(reader)?,
        not_full: read_time(reader)?,
    }))
}

fn read_stretches(reader: &mut RowReader<'_>) -> Result<Vec<Stretch>, IndexError> {
    let count = reader.u32()?;
    // Not reserved: a number that is wrong ends with the bytes.
    (0..count).map(|_| Ok(Stretch { start: read_time(reader)?, end: read_time(reader)? })).collect()
}
