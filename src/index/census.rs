//! The table `census`: totals of each day of each stream, kept in the transaction that changes the hours they are made of.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::IndexError;
use super::apply::Session;
use super::codec::{HourKey, RowReader, check, hour_key, read_hour_key};
use super::hours::{self, HourRow};
use super::store::Index;
use crate::archive::census::{Census, NUMBERS};
use crate::archive::{Day, Hour, Stream};

/// By stream and the first hour of the day.
const CENSUS: TableDefinition<'static, &HourKey, &[u8]> = TableDefinition::new("census.1");

/// A row as bytes; the check covers the key, so that it cannot pass for another day's.
fn encode(key: HourKey, census: &Census) -> Vec<u8> {
    let body = census.numbers().map(u64::to_le_bytes).concat();
    [body.as_slice(), &check(&key, &body).to_le_bytes()].concat()
}

/// The inverse of [`encode`].
fn decode(key: HourKey, bytes: &[u8]) -> Result<Census, IndexError> {
    let damaged = || IndexError::Damaged("a row of the census cannot be read".into());
    let (body, written) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
    if check(&key, body) != u64::from_le_bytes(*written) {
        return Err(damaged());
    }
    let mut reader = RowReader::new(body, "census");
    let mut numbers = [0; NUMBERS];
    for number in &mut numbers {
        *number = reader.u64()?;
    }
    reader.end()?;
    Ok(Census::from_numbers(numbers))
}

/// The key of the day that an hour lies in: that of its first hour.
fn day_key(hour: HourKey) -> Result<HourKey, IndexError> {
    let (stream, at) = read_hour_key(hour)?;
    Ok(hour_key(stream, Day::of(at).first()))
}

impl Session<'_> {
    /// An hour has these totals now, in place of those.
    pub(super) fn count(
        &mut self,
        hour: HourKey,
        old: Option<&HourRow>,
        new: Option<&HourRow>,
    ) -> Result<(), IndexError> {
        let of = |row: Option<&HourRow>| row.map_or_else(Census::default, |row| Census::of_hour(&row.totals));
        let (before, after) = (of(old), of(new));
        if before == after {
            return Ok(());
        }
        self.census.change(hour, |known| known.minus(before).plus(after))
    }

    /// Counts a day afresh from its hours.
    pub(super) fn recount_day(&mut self, stream: u32, day: Day) -> Result<(), IndexError> {
        let counted = sum(&self.hours.of_stream(stream, day.first(), day.last())?);
        self.census.set(hour_key(stream, day.first()), &counted)
    }
}

/// The table in a transaction that writes.
pub(super) struct DayTable<'t>(Table<'t, &'static HourKey, &'static [u8]>);

impl<'t> DayTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(CENSUS)?))
    }

    /// Changes what is kept of the day in which an hour lies.
    pub(super) fn change(&mut self, hour: HourKey, change: impl FnOnce(Census) -> Census) -> Result<(), IndexError> {
        let key = day_key(hour)?;
        let known = self.0.get(&key)?.map(|row| decode(key, row.value())).transpose()?.unwrap_or_default();
        self.set(key, &change(known))
    }

    fn set(&mut self, key: HourKey, census: &Census) -> Result<(), IndexError> {
        if *census == Census::default() {
            drop(self.0.remove(&key)?);
        } else {
            drop(self.0.insert(&key, encode(key, census).as_slice())?);
        }
        Ok(())
    }
}

/// What hours come to.
fn sum(hours: &[(Hour, HourRow)]) -> Census {
    hours.iter().fold(Census::default(), |sum, (_, row)| sum.plus(Census::of_hour(&row.totals)))
}

impl Index {
    /// What each day of a stream from `first` to `last` holds, oldest first; days without an hour are left out.
    pub fn census(&self, stream: &Stream, first: Day, last: Day) -> Result<Vec<(Day, Census)>, IndexError> {
        self.read(|transaction, _| {
            let Some(id) = self.stream_id(&stream.to_string()).filter(|_| first <= last) else { return Ok(Vec::new()) };
            days(transaction, id, first, last)
        })
    }

    /// What every stream holds, by `CHANNEL/QUALITY`: days are added up, no hour is read.
    pub fn census_of_all(&self) -> Result<BTreeMap<String, Census>, IndexError> {
        let names: BTreeMap<u32, String> =
            self.catalog().read().streams.iter().map(|(name, entry)| (entry.row.id, name.clone())).collect();
        self.read(|transaction, _| {
            let mut found: BTreeMap<String, Census> = BTreeMap::new();
            for row in transaction.open_table(CENSUS)?.iter()? {
                let (key, value) = row?;
                let (stream, _) = read_hour_key(*key.value())?;
                let Some(name) = names.get(&stream) else { continue };
                let sum = found.entry(name.clone()).or_default();
                *sum = sum.plus(decode(*key.value(), value.value())?);
            }
            Ok(found)
        })
    }

    /// Days of a stream of which something else is kept than their hours come to.
    pub fn wrong_days(&self, stream: &Stream) -> Result<Vec<Day>, IndexError> {
        self.read(|transaction, _| {
            let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(Vec::new()) };
            let mut counted: BTreeMap<Day, Census> = BTreeMap::new();
            for row in hours::rows(transaction, id, Hour::MIN, Hour::MAX)? {
                let (key, value) = row?;
                let counts = HourRow::decode(*key.value(), value.value())?;
                let (_, hour) = read_hour_key(*key.value())?;
                let sum = counted.entry(Day::of(hour)).or_default();
                *sum = sum.plus(Census::of_hour(&counts.totals));
            }
            let kept: BTreeMap<Day, Census> =
                days(transaction, id, Day::of(Hour::MIN), Day::of(Hour::MAX))?.into_iter().collect();
            let differs = |day: &&Day| counted.get(day) != kept.get(day);
            let all: std::collections::BTreeSet<&Day> = counted.keys().chain(kept.keys()).collect();
            Ok(all.into_iter().filter(differs).copied().collect())
        })
    }

    /// Whether what is kept of a day is what its hours come to.
    pub fn is_census_right(&self, stream: &Stream, day: Day) -> Result<bool, IndexError> {
        self.read(|transaction, _| {
            let Some(id) = self.stream_id(&stream.to_string()) else { return Ok(true) };
            let counted = sum(&hours::of_stream(transaction, id, day.first(), day.last())?);
            let kept = days(transaction, id, day, day)?.pop().map(|(_, census)| census).unwrap_or_default();
            Ok(kept == counted)
        })
    }
}

fn days(transaction: &ReadTransaction, stream: u32, first: Day, last: Day) -> Result<Vec<(Day, Census)>, IndexError> {
    let (from, to): (Hour, Hour) = (first.first(), last.first());
    let table = transaction.open_table(CENSUS)?;
    let mut found = Vec::new();
    for row in table.range::<&HourKey>(&hour_key(stream, from)..=&hour_key(stream, to))? {
        let (key, value) = row?;
        let at = read_hour_key(*key.value())?.1;
        found.push((Day::of(at), decode(*key.value(), value.value())?));
    }
    Ok(found)
}
