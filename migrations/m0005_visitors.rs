//! Format 5: where each visitor of the crawl is, and the census: totals of each day, kept in step with the hours.

use std::collections::BTreeMap;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use xxhash_rust::xxh3::xxh3_64;

use crate::index::IndexError;

const HOURS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("hours.2");
const VISITORS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("visitors.1");
const CENSUS: TableDefinition<'static, &[u8; 8], &[u8]> = TableDefinition::new("census.1");

/// Bytes of an hour's row that hold its totals: seven tallies, three durations, the tombstones.
const TOTALS: usize = 12 * 7 + 8 * 3 + 4;
/// Numbers of a day: hours, files and bytes by kind, durations, tombstones.
const NUMBERS: usize = 1 + 7 * 2 + 3 + 1;

/// Makes the tables, and counts what is there.
pub fn run(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(VISITORS)?;
    let mut census = transaction.open_table(CENSUS)?;
    let mut days: BTreeMap<[u8; 8], [u64; NUMBERS]> = BTreeMap::new();
    for row in transaction.open_table(HOURS)?.iter()? {
        let (key, value) = row?;
        let (key, value) = (*key.value(), value.value());
        let totals = value.get(..TOTALS).ok_or_else(|| IndexError::Damaged("a row of hours cannot be read".into()))?;
        let numbers = days.entry(day_of(key)).or_default();
        for (number, more) in numbers.iter_mut().zip(read(totals)) {
            *number = number.wrapping_add(more);
        }
    }
    for (key, numbers) in days {
        let body = numbers.map(u64::to_le_bytes).concat();
        let check = xxh3_64(&body) ^ xxh3_64(&key).rotate_left(17);
        census.insert(&key, [body, check.to_le_bytes().to_vec()].concat().as_slice())?;
    }
    Ok(())
}

/// The key of the first hour of an hour's day.
fn day_of(mut key: [u8; 8]) -> [u8; 8] {
    let [.., a, b, c, d] = key;
    let hour = (u32::from_be_bytes([a, b, c, d]) ^ 0x8000_0000).cast_signed();
    let first = hour.div_euclid(24) * 24;
    key[4..].copy_from_slice(&(first.cast_unsigned() ^ 0x8000_0000).to_be_bytes());
    key
}

/// The numbers of an hour, in the order in which they are kept of a day.
fn read(totals: &[u8]) -> [u64; NUMBERS] {
    let number = |from: usize, to: usize| {
        totals.get(from..to).unwrap_or_default().iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    let mut numbers = [0; NUMBERS];
    numbers[0] = 1;
    for kind in 0..7 {
        numbers[1 + kind] = number(kind * 12, kind * 12 + 4);
        numbers[8 + kind] = number(kind * 12 + 4, kind * 12 + 12);
    }
    for kind in 0..3 {
        numbers[15 + kind] = number(84 + kind * 8, 92 + kind * 8);
    }
    numbers[18] = number(108, 112);
    numbers
}
