//! The table `missed`: what recorders of this node did not get, by stream, start and reason. Like the rest of the ledger it does not follow from
//! the tree.

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction};

use super::super::store::Index;
use super::super::{Batch, IndexError};
use super::rows::{HoleKey, decode_missed, encode_missed, missed_key};
use crate::archive::hole_reasons::MissedRecording;
use crate::archive::{Span, Stream, Timestamp};

const MISSED: TableDefinition<'static, &HoleKey, &[u8]> = TableDefinition::new("missed.1");

/// Rows that are kept: all are looked at for every hole. Those that ended first give way.
const MOST: u64 = 4_096;
/// Rows before a new one that may be one with it: one for each reason.
const BESIDE: usize = 8;
/// What lies no further apart is one.
const ONE: Span = Span::from_us(1_000);

/// The table in a transaction that writes.
pub(in crate::index) struct MissedTable<'t>(Table<'t, &'static HoleKey, &'static [u8]>);

impl<'t> MissedTable<'t> {
    pub(in crate::index) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(MISSED)?))
    }

    /// Takes in one, together with what lies right before it for the same reason, or was known of it before.
    pub(in crate::index) fn put(&mut self, stream: u32, mut missed: MissedRecording) -> Result<(), IndexError> {
        let last = missed_key(stream, missed.missed.start, u8::MAX);
        let first = missed_key(stream, Timestamp::MIN, 0);
        let mut one = None;
        for row in self.0.range::<&HoleKey>(&first..=&last)?.rev().take(BESIDE) {
            let (key, value) = row?;
            let before = decode_missed(key.value(), value.value())?.1;
            if before.reason == missed.reason && before.missed.end + ONE >= missed.missed.start {
                one = Some((*key.value(), before.missed));
                break;
            }
        }
        if let Some((key, before)) = one {
            self.0.remove(&key)?;
            missed.missed.start = before.start;
            missed.missed.end = missed.missed.end.max(before.end);
        }
        let key = missed_key(stream, missed.missed.start, missed.reason as u8);
        drop(self.0.insert(&key, encode_missed(&key, &missed).as_slice())?);
        while self.0.len()? > MOST {
            self.forget_oldest()?;
        }
        Ok(())
    }

    fn forget_oldest(&mut self) -> Result<(), IndexError> {
        let mut oldest: Option<(Timestamp, HoleKey)> = None;
        for row in self.0.iter()? {
            let (key, value) = row?;
            let end = decode_missed(key.value(), value.value())?.1.missed.end;
            if oldest.is_none_or(|(known, _)| end < known) {
                oldest = Some((end, *key.value()));
            }
        }
        if let Some((_, key)) = oldest {
            self.0.remove(&key)?;
        }
        Ok(())
    }
}

impl Index {
    /// What recorders of this node missed, with the number of its quality, in order.
    pub fn missed(&self) -> Result<Vec<(u32, MissedRecording)>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(MISSED)?;
            let rows = table.iter()?;
            rows.map(|row| {
                let (key, value) = row?;
                decode_missed(key.value(), value.value())
            })
            .collect()
        })
    }

    /// Remembers what recorders missed. What is of a quality that is not known yet is left out. Blocks: not for async code.
    pub fn remember_missed(&self, missed: Vec<(Stream, MissedRecording)>) -> Result<(), IndexError> {
        self.apply(Batch { missed, ..Batch::default() }).map(drop)
    }
}
