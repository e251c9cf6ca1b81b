//! Entries of the ledger as rows.

use super::super::IndexError;
use super::super::codec::{RowReader, check};
use crate::archive::Timestamp;
use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::{
    ClosedHoleReason, DETAIL_BYTES, HoleFiller, HoleKnowledge, HoleReason, MOST_PEERS, MissedRecording, NAME_BYTES,
    OpenHole, shortened,
};

const WHAT: &str = "holes";

/// A stream and two times: of an open hole its start and its end, of a closed one its start and when it closed.
pub type HoleKey = [u8; 20];

/// A key; those of a stream sort by their times.
pub fn key(stream: u32, first: Timestamp, second: Timestamp) -> HoleKey {
    let mut key = HoleKey::default();
    key[..4].copy_from_slice(&stream.to_be_bytes());
    key[4..12].copy_from_slice(&sortable(first));
    key[12..].copy_from_slice(&sortable(second));
    key
}

/// The inverse of [`key`].
pub fn read_key(key: &HoleKey) -> Result<(u32, Timestamp, Timestamp), IndexError> {
    let mut reader = RowReader::new(key, WHAT);
    let stream = u32::from_be_bytes(reader.array()?);
    Ok((stream, unsortable(reader.array()?), unsortable(reader.array()?)))
}

/// A time and what it belongs to, in the order of time: of closed holes, to forget the oldest first.
pub fn by_time(at: Timestamp, stream: u32, start: Timestamp) -> HoleKey {
    let mut key = HoleKey::default();
    key[..8].copy_from_slice(&sortable(at));
    key[8..12].copy_from_slice(&stream.to_be_bytes());
    key[12..].copy_from_slice(&sortable(start));
    key
}

/// The inverse of [`by_time`].
pub fn read_by_time(key: &HoleKey) -> Result<(Timestamp, u32, Timestamp), IndexError> {
    let mut reader = RowReader::new(key, WHAT);
    let (at, stream) = (unsortable(reader.array()?), u32::from_be_bytes(reader.array()?));
    Ok((at, stream, unsortable(reader.array()?)))
}

fn sortable(at: Timestamp) -> [u8; 8] {
    (at.us() ^ i64::MIN).to_be_bytes()
}

fn unsortable(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_us(i64::from_be_bytes(bytes) ^ i64::MIN)
}

/// The key of what a recorder missed: its stream, its start, and why.
pub fn missed_key(stream: u32, start: Timestamp, reason: u8) -> HoleKey {
    key(stream, start, Timestamp::from_us(i64::from(reason)))
}

/// What a recorder missed as bytes; the check covers the key.
pub fn encode_missed(key: &HoleKey, missed: &MissedRecording) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(missed.missed.end.us().to_le_bytes());
    text(&mut bytes, &missed.detail, DETAIL_BYTES);
    sealed(key, bytes)
}

/// The inverse of [`encode_missed`].
pub fn decode_missed(key: &HoleKey, bytes: &[u8]) -> Result<(u32, MissedRecording), IndexError> {
    let (stream, start, reason) = read_key(key)?;
    let reason = u8::try_from(reason.us()).ok().and_then(HoleReason::from_number).ok_or_else(damaged)?;
    let mut reader = unsealed(key, bytes)?;
    let (end, detail) = (time(&mut reader)?, read_text(&mut reader)?);
    reader.end()?;
    Ok((stream, MissedRecording { missed: Stretch { start, end }, reason, detail }))
}

/// An open entry as bytes; the check covers the key.
pub fn encode_open(key: &HoleKey, entry: &OpenHole) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(entry.first_seen.us().to_le_bytes());
    bytes.extend(entry.grown.us().to_le_bytes());
    bytes.push(u8::from(entry.known.is_some()));
    if let Some(known) = &entry.known {
        bytes.push(known.reason as u8);
        bytes.push(u8::from(known.unfillable));
        bytes.extend(known.since.us().to_le_bytes());
        let peers = known.peers.get(..MOST_PEERS).unwrap_or(&known.peers);
        bytes.push(u8::try_from(peers.len()).unwrap_or(0));
        for name in peers {
            text(&mut bytes, name, NAME_BYTES);
        }
        text(&mut bytes, &known.detail, DETAIL_BYTES);
    }
    sealed(key, bytes)
}

/// The inverse of [`encode_open`].
pub fn decode_open(key: &HoleKey, bytes: &[u8]) -> Result<(u32, OpenHole), IndexError> {
    let (stream, start, end) = read_key(key)?;
    let mut reader = unsealed(key, bytes)?;
    let (first_seen, grown) = (time(&mut reader)?, time(&mut reader)?);
    let [is_known] = reader.array()?;
    let known = if is_known == 1 {
        let ([reason], [unfillable]) = (reader.array()?, reader.array()?);
        let reason = HoleReason::from_number(reason).ok_or_else(damaged)?;
        let since = time(&mut reader)?;
        let [count] = reader.array()?;
        let peers = (0..count).map(|_| read_text(&mut reader)).collect::<Result<_, _>>()?;
        Some(HoleKnowledge { reason, unfillable: unfillable == 1, since, peers, detail: read_text(&mut reader)? })
    } else {
        None
    };
    reader.end()?;
    Ok((stream, OpenHole { hole: Stretch { start, end }, first_seen, grown, known }))
}

/// A closed entry as bytes; the check covers the key.
pub fn encode_closed(key: &HoleKey, entry: &ClosedHoleReason) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(48);
    bytes.extend(entry.hole.end.us().to_le_bytes());
    bytes.extend(entry.first_seen.us().to_le_bytes());
    bytes.push(match entry.by {
        HoleFiller::Peer(_) => 0,
        HoleFiller::Recorder => 1,
        HoleFiller::Nothing => 2,
    });
    if let HoleFiller::Peer(name) = &entry.by {
        text(&mut bytes, name, NAME_BYTES);
    }
    sealed(key, bytes)
}

/// The inverse of [`encode_closed`].
pub fn decode_closed(key: &HoleKey, bytes: &[u8]) -> Result<ClosedHoleReason, IndexError> {
    let (_, start, closed) = read_key(key)?;
    let mut reader = unsealed(key, bytes)?;
    let (end, first_seen) = (time(&mut reader)?, time(&mut reader)?);
    let by = match reader.array()? {
        [0] => HoleFiller::Peer(read_text(&mut reader)?.into()),
        [1] => HoleFiller::Recorder,
        [2] => HoleFiller::Nothing,
        _ => return Err(damaged()),
    };
    reader.end()?;
    Ok(ClosedHoleReason { hole: Stretch { start, end }, first_seen, closed, by })
}

fn damaged() -> IndexError {
    IndexError::Damaged(format!("a row of {WHAT} cannot be read"))
}

fn sealed(key: &HoleKey, mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(check(key, &bytes).to_le_bytes());
    bytes
}

fn unsealed<'b>(key: &HoleKey, bytes: &'b [u8]) -> Result<RowReader<'b>, IndexError> {
    let (body, tail) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
    if check(key, body) == u64::from_le_bytes(*tail) { Ok(RowReader::new(body, WHAT)) } else { Err(damaged()) }
}

fn time(reader: &mut RowReader<'_>) -> Result<Timestamp, IndexError> {
    Ok(Timestamp::from_us(i64::from_le_bytes(reader.array()?)))
}

fn text(bytes: &mut Vec<u8>, text: &str, most: usize) {
    let text = shortened(text, most);
    bytes.extend(u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn read_text(reader: &mut RowReader<'_>) -> Result<String, IndexError> {
    let length = usize::from(u16::from_le_bytes(reader.array()?));
    let bytes = reader.take(length)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_open() -> impl Strategy<Value = OpenHole> {
        let known = (0..14_u8, any::<bool>(), any::<i64>(), prop::collection::vec(".{0,20}", 0..4), ".{0,60}")
            .prop_map(|(reason, unfillable, since, peers, detail)| HoleKnowledge {
                reason: HoleReason::from_number(reason).unwrap(),
                unfillable,
                since: Timestamp::from_us(since),
                peers,
                detail,
            });
        (any::<[i64; 4]>(), prop::option::of(known)).prop_map(|([start, end, first_seen, grown], known)| OpenHole {
            hole: Stretch { start: Timestamp::from_us(start), end: Timestamp::from_us(end) },
            first_seen: Timestamp::from_us(first_seen),
            grown: Timestamp::from_us(grown),
            known,
        })
    }

    proptest! {
        #[test]
        fn rows_come_back_and_a_flipped_bit_is_noticed(
            entry in any_open(), stream: u32, closed: i64, by in prop::option::of(".{0,20}"), bit: prop::sample::Index,
        ) {
            let at = key(stream, entry.hole.start, entry.hole.end);
            let mut bytes = encode_open(&at, &entry);
            prop_assert_eq!(decode_open(&at, &bytes).unwrap(), (stream, entry.clone()));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_open(&at, &bytes).is_err());
            let by = by.map_or(HoleFiller::Recorder, |name| HoleFiller::Peer(name.into()));
            let closed = ClosedHoleReason { hole: entry.hole, first_seen: entry.first_seen, closed: Timestamp::from_us(closed), by };
            let behind = key(stream, closed.hole.start, closed.closed);
            prop_assert_eq!(decode_closed(&behind, &encode_closed(&behind, &closed)).unwrap(), closed.clone());
            let missed = MissedRecording {
                missed: entry.hole,
                reason: HoleReason::ALL[stream as usize % HoleReason::ALL.len()],
                detail: "the disk was full".to_owned(),
            };
            let here = missed_key(stream, missed.missed.start, missed.reason as u8);
            prop_assert_eq!(decode_missed(&here, &encode_missed(&here, &missed)).unwrap(), (stream, missed));
            let order = by_time(closed.closed, stream, closed.hole.start);
            prop_assert_eq!(read_by_time(&order).unwrap(), (closed.closed, stream, closed.hole.start));
        }

        #[test]
        fn keys_sort_by_stream_and_time(a: (u32, i64, i64), b: (u32, i64, i64)) {
            let of = |(stream, first, second): (u32, i64, i64)| key(stream, Timestamp::from_us(first), Timestamp::from_us(second));
            prop_assert_eq!(of(a).cmp(&of(b)), a.cmp(&b));
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let at = key(1, Timestamp::MIN, Timestamp::MAX);
            prop_assert!(decode_open(&at, &bytes).is_err() && decode_closed(&at, &bytes).is_err());
            prop_assert!(decode_missed(&missed_key(1, Timestamp::MIN, 8), &bytes).is_err());
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let at = key(1, Timestamp::MIN, Timestamp::MAX);
        let known = HoleKnowledge {
            reason: HoleReason::NotAsked,
            unfillable: false,
            since: Timestamp::MIN,
            peers: vec!["é".repeat(NAME_BYTES); 2 * MOST_PEERS],
            detail: "é".repeat(2 * DETAIL_BYTES),
        };
        let hole = Stretch::ALWAYS;
        let entry = OpenHole { hole, first_seen: Timestamp::MIN, grown: Timestamp::MIN, known: Some(known) };
        let read = decode_open(&at, &encode_open(&at, &entry)).unwrap().1.known.unwrap();
        assert_eq!((read.peers.len(), read.peers[0].len(), read.detail.len()), (MOST_PEERS, NAME_BYTES, DETAIL_BYTES));
    }
}
