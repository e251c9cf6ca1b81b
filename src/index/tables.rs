//! All tables of the index, in one place. A table whose rows change their layout gets a new number in its name.

use redb::TableDefinition;

/// Bytes of a file's key: stream, hour, start, kind and tombstone, duration, spelling, hash.
pub const FILE_KEY: usize = 50;
/// Bytes of a file's value: its size.
pub const FILE_VALUE: usize = 6;
/// Bytes of an hour's key: stream, hour.
pub const HOUR_KEY: usize = 8;

/// Bytes of the key of a hole: stream and two times.
pub const HOLE_KEY: usize = 20;

/// Bytes of the key of facts: stream, hour and number of the row.
pub const FACTS_KEY: usize = 9;

/// The key of an hour.
pub type HourKey = [u8; HOUR_KEY];

/// The format and identity of the index: `format`, `epoch`, `seq`, `floor`, `archive`, `next_stream`; and `away`, when the
/// disk was away.
pub const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

/// `CHANNEL/QUALITY` → its number, and how many hours it has with the sum over their keys.
pub const STREAMS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("streams.1");

/// Directory above the hours (empty for the base, `CHANNEL`, `CHANNEL/QUALITY`) → its stamp.
pub const DIRECTORIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("directories.1");

/// Stream and hour → totals, stamp, version and the sum over the hour's rows.
pub const HOURS: TableDefinition<'static, &[u8; HOUR_KEY], &[u8]> = TableDefinition::new("hours.2");

/// Stream and hour → what coverage, holes and maps need to know of the hour. Chat has none.
pub const COVERAGE: TableDefinition<'static, &[u8; HOUR_KEY], &[u8]> = TableDefinition::new("coverage.1");

/// Stream and hour whose row in `coverage` is still to be made.
pub const UNSETTLED: TableDefinition<'static, &[u8; HOUR_KEY], ()> = TableDefinition::new("unsettled.1");

/// Stream, start and end of every raw hole → when it was first seen, and why it is open.
pub const OPEN_HOLES: TableDefinition<'static, &[u8; HOLE_KEY], &[u8]> = TableDefinition::new("holes.1");

/// Stream, start and closing of what was missing and is not any more → until when it was missing, since when that was known, and
/// who gave it.
pub const CLOSED_HOLES: TableDefinition<'static, &[u8; HOLE_KEY], &[u8]> = TableDefinition::new("closed_holes.1");

/// The same by time: closing, stream and start.
pub const CLOSED_ORDER: TableDefinition<'static, &[u8; HOLE_KEY], ()> = TableDefinition::new("closed_order.1");

/// Every file whose name its key gives back → size.
pub const FILES: TableDefinition<'static, &[u8; FILE_KEY], &[u8; FILE_VALUE]> = TableDefinition::new("files.1");

/// Stream, hour and exact name of every other listed file → size.
pub const ODD_FILES: TableDefinition<'static, &[u8], &[u8; FILE_VALUE]> = TableDefinition::new("odd_files.1");

/// Name of another node → how far it is followed, and how it went.
pub const PEERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("peers.1");

/// Name of a visitor of the crawl → where it is and what it found.
pub const VISITORS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("visitors.1");

/// Stream and the first hour of a day → what the day holds.
pub const CENSUS: TableDefinition<'static, &[u8; HOUR_KEY], &[u8]> = TableDefinition::new("census.1");

/// Sequence number → what changed.
pub const CHANGES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("changes.1");

/// Stream, hour and number of the row → what the two ends of segments say, of as many as a page takes.
pub const FACTS: TableDefinition<'static, &[u8; FACTS_KEY], &[u8]> = TableDefinition::new("facts.1");
