//! The table `peers`: what is remembered of other nodes between two runs, by their names: how far each is followed, and how it went with it.
//!
//! It is a shortcut and a record, nothing more: whoever loses it compares digests once.

use redb::{ReadableTable as _, Table, TableDefinition, WriteTransaction};

use super::codec::{RowReader, check};
use super::store::Index;
use super::{Batch, IndexError};

const PEERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("peers.1");

/// Characters of an error that are kept.
const ERROR_CHARS: usize = 300;
/// Peers that are remembered: more than anybody has, and a bound on what is read at the start.
const MOST: usize = 10_000;

/// What is remembered of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerRow {
    /// Where it was: at another address it is another peer.
    pub url: String,
    /// The epoch of its change log, and the number up to which all is done here; `None` if it is not followed.
    pub followed: Option<(u64, u64)>,
    /// Rounds in a row that failed.
    pub failures: u32,
    /// When the last complete round ended, in microseconds since 1970; 0 if there was none.
    pub complete_us: u64,
    /// The id of its archive, as it named it last.
    pub archive: Option<[u8; 16]>,
    /// Why the last round failed; empty if it did not.
    pub error: String,
}

/// What the first byte of a row says.
const FOLLOWED: u8 = 1;
const ARCHIVE: u8 = 2;

impl PeerRow {
    /// As bytes.
    pub fn encode(&self, name: &str) -> Vec<u8> {
        let (epoch, seq) = self.followed.unwrap_or_default();
        let error: String = self.error.chars().take(ERROR_CHARS).collect();
        // No address that is taken is this long.
        let address = if self.url.len() > usize::from(u16::MAX) { "" } else { &self.url };
        let url = u16::try_from(address.len()).unwrap_or(0);
        let body = [
            [if self.followed.is_some() { FOLLOWED } else { 0 } | if self.archive.is_some() { ARCHIVE } else { 0 }]
                .as_slice(),
            &epoch.to_le_bytes(),
            &seq.to_le_bytes(),
            &self.failures.to_le_bytes(),
            &self.complete_us.to_le_bytes(),
            self.archive.as_ref().map_or(&[], <[u8; 16]>::as_slice),
            &url.to_le_bytes(),
            address.as_bytes(),
            error.as_bytes(),
        ]
        .concat();
        [check(name.as_bytes(), &body).to_le_bytes().as_slice(), &body].concat()
    }

    /// The inverse of [`PeerRow::encode`].
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, IndexError> {
        let damaged = || IndexError::Damaged("a row of peers cannot be read".into());
        let mut reader = RowReader::new(bytes, "peers");
        let written = reader.u64()?;
        let body = reader.rest();
        if check(name.as_bytes(), body) != written {
            return Err(damaged());
        }
        reader = RowReader::new(body, "peers");
        let [says] = reader.array()?;
        let followed = (reader.u64()?, reader.u64()?);
        let (failures, complete_us) = (reader.u32()?, reader.u64()?);
        let archive = if says & ARCHIVE == 0 { None } else { Some(reader.array()?) };
        let url = usize::from(u16::from_le_bytes(reader.array()?));
        let (url, error) = reader.rest().split_at_checked(url).ok_or_else(damaged)?;
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).map_err(|_| damaged());
        let followed = (says & FOLLOWED != 0).then_some(followed);
        Ok(Self { url: text(url)?, followed, failures, complete_us, archive, error: text(error)? })
    }
}

/// The table in a transaction that writes.
pub(super) struct PeerTable<'t>(Table<'t, &'static str, &'static [u8]>);

impl<'t> PeerTable<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, IndexError> {
        Ok(Self(transaction.open_table(PEERS)?))
    }

    pub(super) fn set(&mut self, name: &str, row: &PeerRow) -> Result<(), IndexError> {
        drop(self.0.insert(name, row.encode(name).as_slice())?);
        Ok(())
    }
}

impl Index {
    /// What is remembered of each peer, by name.
    pub fn peers(&self) -> Result<Vec<(String, PeerRow)>, IndexError> {
        self.read(|transaction, _| {
            let table = transaction.open_table(PEERS)?;
            let mut found = Vec::new();
            for row in table.iter()?.take(MOST) {
                let (key, value) = row?;
                found.push((key.value().to_owned(), PeerRow::decode(key.value(), value.value())?));
            }
            Ok(found)
        })
    }

    /// Remembers this of a peer, in place of what was known. Blocks: not for async code.
    pub fn remember_peer(&self, name: &str, row: PeerRow, generation: u64) -> Result<(), IndexError> {
        let peers = vec![(name.to_owned(), row)];
        self.apply(Batch { generation: Some(generation), peers, ..Batch::default() }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::IndexOptions;

    fn row(seq: u64) -> PeerRow {
        PeerRow {
            url: "http://archive.example".to_owned(),
            followed: Some((7, seq)),
            failures: 2,
            complete_us: 5,
            archive: Some([7; 16]),
            error: "é".repeat(2 * ERROR_CHARS),
        }
    }

    #[test]
    fn what_is_remembered_of_a_peer_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.redb");
        let index = Index::open(&path, IndexOptions::default()).unwrap();
        let generation = index.catalog().generation();
        index.remember_peer("a", row(1), generation).unwrap();
        index.remember_peer("a", row(3), generation).unwrap();
        index.remember_peer("b", PeerRow::default(), generation).unwrap();
        assert!(matches!(index.remember_peer("c", row(3), generation + 1), Err(IndexError::BeganAnew)));
        index.close();
        let peers = Index::open(&path, IndexOptions::default()).unwrap().peers().unwrap();
        assert_eq!(peers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(peers[0].1.followed, Some((7, 3)));
        assert_eq!(peers[0].1.error, "é".repeat(ERROR_CHARS), "cut short");
        assert_eq!(peers[1].1, PeerRow::default());
    }

    proptest! {
        #[test]
        fn a_row_comes_back_and_a_flipped_bit_is_noticed(seq: u64, failures: u32, url in "[a-z]{0,40}", error in ".{0,40}", archive: Option<[u8; 16]>, bit: prop::sample::Index) {
            let row = PeerRow { url, followed: Some((1, seq)), failures, complete_us: seq, archive, error };
            let mut bytes = row.encode("name");
            prop_assert_eq!(PeerRow::decode("name", &bytes).unwrap(), row);
            prop_assert!(PeerRow::decode("other", &bytes).is_err());
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(PeerRow::decode("name", &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(PeerRow::decode("name", &bytes).is_err());
        }
    }
}
