//! What a generated segment holds, and its name: packets of an MPEG transport stream with tables and time stamps that are valid, and
//! bytes without meaning where a picture would be. Pure.

use sha2::{Digest as _, Sha256};

use super::plan::{CHANNELS, Piece, QUALITIES};
use crate::domain::{Hash, Kind, SegmentKey, Spelling};

/// Bytes of a packet.
const PACKET: usize = 188;
/// Packets of data in a segment of each quality. With the two tables none is over 4 KiB, which is what a file takes on most disks.
const DATA_PACKETS: [u8; QUALITIES.len()] = [19, 6];
/// The stream of data that the tables announce: private data, so that no player takes it for a picture.
const DATA_PID: u16 = 0x100;
/// Where the table about it is.
const PROGRAM_PID: u16 = 0x1000;
/// Bytes of a packet after its header.
const PAYLOAD: usize = PACKET - 4;

/// One program, described on [`PROGRAM_PID`]; with the sum that ends such a table.
const PROGRAMS: [u8; 16] =
    [0x00, 0xb0, 0x0d, 0x00, 0x01, 0xc1, 0x00, 0x00, 0x00, 0x01, 0xf0, 0x00, 0x2a, 0xb1, 0x04, 0xb2];
/// The program: private data on [`DATA_PID`], no clock reference.
const PROGRAM: [u8; 21] = [
    0x02, 0xb0, 0x12, 0x00, 0x01, 0xc1, 0x00, 0x00, 0xff, 0xff, 0xf0, 0x00, 0x06, 0xe1, 0x00, 0xf0, 0x00, 0x6a, 0x99,
    0xac, 0xe4,
];

/// A file as a recorder writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// `CHANNEL/QUALITY/HOUR`
    pub hour: String,
    /// Its name in the hour.
    pub name: String,
    /// What it holds.
    pub content: Vec<u8>,
}

impl Generated {
    /// Where it lies beneath the base.
    pub fn path(&self) -> String {
        format!("{}/{}", self.hour, self.name)
    }
}

/// The segment of a piece, complete or the part of it that the first half of its packets are.
pub fn generate(piece: &Piece, is_partial: bool) -> Generated {
    let mut content = packets(piece);
    let kind = if is_partial { Kind::Partial } else { Kind::Full };
    if is_partial {
        content.truncate(content.len() / PACKET / 2 * PACKET);
    }
    let hour = piece.start.hour();
    let key = SegmentKey {
        start_us: u32::try_from((piece.start - hour.start()).us()).unwrap_or_default(),
        kind,
        tombstone: false,
        duration_us: u32::try_from(piece.duration.us()).unwrap_or_default(),
        spelling: Spelling::new(0, 1).unwrap_or(Spelling::EXACT),
        hash: Hash(Sha256::digest(&content).into()),
    };
    let mut name = String::new();
    key.push_name(&mut name);
    Generated { hour: format!("{}/{}/{hour}", CHANNELS[piece.channel], QUALITIES[piece.quality]), name, content }
}

fn packets(piece: &Piece) -> Vec<u8> {
    let count = DATA_PACKETS[piece.quality];
    let mut content = Vec::with_capacity((usize::from(count) + 2) * PACKET);
    table(&mut content, 0, piece.number, &PROGRAMS);
    table(&mut content, PROGRAM_PID, piece.number, &PROGRAM);
    let data = elementary(piece, usize::from(count) * PAYLOAD);
    for (number, payload) in (0..count).zip(data.chunks(PAYLOAD)) {
        let counted = piece.number.wrapping_mul(count.into()).wrapping_add(number.into());
        content.extend(header(number == 0, DATA_PID, counted));
        content.extend(payload);
    }
    content
}

/// A packet that is one table.
fn table(content: &mut Vec<u8>, pid: u16, counted: i64, section: &[u8]) {
    let end = content.len() + PACKET;
    content.extend(header(true, pid, counted));
    // The table begins with the next byte.
    content.push(0);
    content.extend(section);
    content.resize(end, 0xff);
}

/// `counted` goes on from segment to segment, so that what is played in a row shows where something is missing.
fn header(starts: bool, pid: u16, counted: i64) -> [u8; PACKET - PAYLOAD] {
    let [high, low] = (pid | if starts { 0x4000 } else { 0 }).to_be_bytes();
    [0x47, high, low, 0x10 | u8::try_from(counted.rem_euclid(16)).unwrap_or_default()]
}

/// An elementary stream's packet of private data with its time stamp, of so many bytes.
fn elementary(piece: &Piece, size: usize) -> Vec<u8> {
    const HEADER: usize = 14;
    let text =
        format!("{}/{} {} generated, no picture\n", CHANNELS[piece.channel], QUALITIES[piece.quality], piece.start);
    // In 90,000ths of a second, in 33 bits.
    let stamp = (piece.start.us() / 100 * 9).rem_euclid(1 << 33).cast_unsigned();
    let bits = |shift: u32, mask: u64| u8::try_from(stamp >> shift & mask).unwrap_or_default();
    let [high, low] = u16::try_from(size - 6).unwrap_or_default().to_be_bytes();
    let stamps = [
        0x21 | bits(30, 0x07) << 1,
        bits(22, 0xff),
        0x01 | bits(15, 0x7f) << 1,
        bits(7, 0xff),
        0x01 | bits(0, 0x7f) << 1,
    ];
    let mut data = vec![0, 0, 1, 0xbd, high, low, 0x84, 0x80, 5];
    data.extend(stamps);
    let length = size - HEADER;
    data.extend(&text.repeat(length / text.len() + 1).as_bytes()[..length]);
    data
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::demo::plan::Plan;
    use crate::domain::{FileName, FilePlace, Span, Timestamp, parse_file_name};

    /// The sum over a table and the sum at its end is nothing.
    fn sum(section: &[u8]) -> u32 {
        section.iter().fold(u32::MAX, |sum, byte| {
            let shift = |bits: u32, _| bits << 1 ^ if bits >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            (0..8).fold(sum ^ u32::from(*byte) << 24, shift)
        })
    }

    #[test]
    fn the_tables_end_with_the_sums_that_belong_to_them() {
        assert_eq!((sum(&PROGRAMS), sum(&PROGRAM)), (0, 0));
    }

    proptest! {
        #[test]
        fn names_are_understood_and_true_of_what_is_packets(seed: u64, number in -1800..100_000_i64, is_partial: bool) {
            let plan = Plan::new(seed, Timestamp::parse("2019-11-13T02:55:11").unwrap(), Span(0));
            for piece in plan.pieces(number) {
                let made = generate(&piece, is_partial);
                let place = FilePlace::parse(&made.path()).unwrap();
                let FileName::Understood(key) = parse_file_name(&made.name) else { panic!("{}", made.name) };
                prop_assert_eq!((key.start(place.hour.hour), key.duration()), (piece.start, piece.duration));
                prop_assert_eq!(key.kind == Kind::Partial, is_partial);
                prop_assert_eq!(key.hash.0, <[u8; 32]>::from(Sha256::digest(&made.content)));
                prop_assert!(made.content.len() < 4096 && made.content.len().is_multiple_of(PACKET));
                prop_assert!(made.content.chunks(PACKET).all(|packet| packet[0] == 0x47));
            }
        }
    }

    #[test]
    fn a_stream_goes_on_from_segment_to_segment() {
        let plan = Plan::new(1, Timestamp::parse("2019-11-13T02:55:11").unwrap(), Span(0));
        let of = |number| generate(&plan.pieces(number).next().unwrap(), false).content;
        let played = [of(0), of(1), of(2)].concat();
        let counters = |pid: u16| {
            let of_pid = |packet: &&[u8]| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == pid;
            played.chunks(PACKET).filter(of_pid).map(|packet| packet[3] & 0x0f).collect::<Vec<u8>>()
        };
        for (pid, count) in [(0, 3), (PROGRAM_PID, 3), (DATA_PID, 57)] {
            let counters = counters(pid);
            assert_eq!(counters.len(), count);
            assert!(counters.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 16), "{counters:?}");
        }
        // Two seconds from one time stamp to the next.
        let stamp = |content: &[u8]| {
            let at = |byte: usize, mask: u8| u64::from(content[2 * PACKET + 4 + byte] & mask);
            at(9, 0x0e) << 29 | at(10, 0xff) << 22 | at(11, 0xfe) << 14 | at(12, 0xff) << 7 | at(13, 0xfe) >> 1
        };
        assert_eq!(stamp(&of(1)) - stamp(&of(0)), 180_000);
        let different: std::collections::BTreeSet<_> =
            plan.pieces(0).map(|piece| generate(&piece, false).name).collect();
        assert_eq!(different.len(), CHANNELS.len() * QUALITIES.len());
    }
}
