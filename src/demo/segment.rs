//! What a generated segment holds, and its name: a small picture that moves, H.264 in an MPEG transport stream, so that the page can play it.
//! Pure.
//!
//! The pictures of two seconds are part of the program, as `ffmpeg` made them (`src/demo/pictures/README.md`); of each segment only the time
//! stamps and the counters of packets are its own. A segment of the past shows the same pictures three times as slowly.

use sha2::{Digest as _, Sha256};

use super::plan::{CHANNELS, PlannedPiece, QUALITIES};
use crate::archive::{Container, Hash, SegmentKey, SegmentKind, Span, Spelling};

const PACKET: usize = 188;
/// The pictures of each channel and quality. With the two tables none is over 4 KiB, which is what a file takes on most disks.
const PICTURES: [[&[u8]; QUALITIES.len()]; CHANNELS.len()] = [
    [include_bytes!("pictures/harbour-source.ts"), include_bytes!("pictures/harbour-480p.ts")],
    [include_bytes!("pictures/square-source.ts"), include_bytes!("pictures/square-480p.ts")],
];
/// How long they last, which is what a live segment does.
const LASTS: Span = Span::from_us(2_000_000);
/// Time stamps are 90,000ths of a second in 33 bits.
const WRAP: i64 = 1 << 33;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// `CHANNEL/QUALITY/HOUR`
    pub hour: String,
    pub name: String,
    pub content: Vec<u8>,
}

impl Generated {
    pub fn path(&self) -> String {
        format!("{}/{}", self.hour, self.name)
    }
}

/// The segment of a piece, complete or the part of it that the first half of its packets are.
pub fn generate(piece: &PlannedPiece, is_partial: bool) -> Generated {
    let mut content = packets(piece);
    let kind = if is_partial { SegmentKind::Partial } else { SegmentKind::Full };
    if is_partial {
        content.truncate(content.len() / PACKET / 2 * PACKET);
    }
    let hour = piece.start.hour();
    let key = SegmentKey {
        start_us: u32::try_from((piece.start - hour.start()).us()).unwrap_or_default(),
        container: Container::Ts,
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

fn packets(piece: &PlannedPiece) -> Vec<u8> {
    let mut content = PICTURES[piece.channel][piece.quality].to_vec();
    let slowness = piece.duration.us() / LASTS.us();
    let begin = piece.start.us() / 100 * 9;
    let mut first = None;
    let pids: Vec<u16> = content.chunks(PACKET).map(pid).collect();
    for (at, packet) in content.chunks_mut(PACKET).enumerate() {
        let of_pid = |some: &[u16]| some.iter().filter(|of| **of == pid(packet)).count();
        let (before, all) = (of_pid(&pids[..at]), of_pid(&pids));
        let counted = piece.number.wrapping_mul(number(all)).wrapping_add(number(before));
        // It goes on from segment to segment, so that what is played in a row shows where something is missing.
        packet[3] = packet[3] & 0xf0 | low(counted.rem_euclid(16));
        shift(packet, |ticks| {
            let since = ticks - *first.get_or_insert(ticks);
            (begin + since * slowness).rem_euclid(WRAP)
        });
    }
    content
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or_default()
}

fn low(value: i64) -> u8 {
    u8::try_from(value & 0xff).unwrap_or_default()
}

/// Gives a packet other time stamps: the clock reference, and those of the picture that begins in it.
fn shift(packet: &mut [u8], mut time: impl FnMut(i64) -> i64) {
    let has_adaptation = packet[3] & 0x20 != 0;
    let payload = if has_adaptation { 5 + usize::from(packet[4]) } else { 4 };
    if has_adaptation && packet[4] >= 7 && packet[5] & 0x10 != 0 {
        let clock = &mut packet[6..11];
        let ticks = clock.iter().fold(0, |ticks, byte| ticks << 8 | i64::from(*byte)) >> 7;
        // What is finer than a tick stays.
        let fine = i64::from(clock[4] & 0x7f);
        let bits = time(ticks) << 7 | fine;
        for (byte, place) in clock.iter_mut().zip([32, 24, 16, 8, 0]) {
            *byte = low(bits >> place);
        }
    }
    let begins = packet[1] & 0x40 != 0 && packet.get(payload..payload + 3) == Some(&[0, 0, 1]);
    if !begins {
        return;
    }
    let stamps = match packet[payload + 7] >> 6 {
        0b10 => 1,
        0b11 => 2,
        _ => 0,
    };
    for stamp in packet[payload + 9..].chunks_mut(5).take(stamps) {
        let bits = |byte: u8, mask: u8| i64::from(byte & mask);
        let ticks = bits(stamp[0], 0x0e) << 29
            | bits(stamp[1], 0xff) << 22
            | bits(stamp[2], 0xfe) << 14
            | bits(stamp[3], 0xff) << 7
            | bits(stamp[4], 0xfe) >> 1;
        let ticks = time(ticks);
        stamp[0] = stamp[0] & 0xf1 | low(ticks >> 29) & 0x0e;
        stamp[1] = low(ticks >> 22);
        stamp[2] = low(ticks >> 14) | 1;
        stamp[3] = low(ticks >> 7);
        stamp[4] = low(ticks << 1) | 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::{FileName, FilePlace, Span, Timestamp, parse_file_name};
    use crate::demo::plan::DemoPlan;

    proptest! {
        #[test]
        fn names_are_understood_and_true_of_what_is_packets(seed: u64, number in -1800..100_000_i64, is_partial: bool) {
            let plan = DemoPlan::new(seed, Timestamp::parse("2019-11-13T02:55:11").unwrap(), Span(0));
            for piece in plan.pieces(number) {
                let made = generate(&piece, is_partial);
                let place = FilePlace::parse(&made.path()).unwrap();
                let FileName::Understood(key) = parse_file_name(&made.name) else { panic!("{}", made.name) };
                prop_assert_eq!((key.start(place.hour.hour), key.duration()), (piece.start, piece.duration));
                prop_assert_eq!(key.kind == SegmentKind::Partial, is_partial);
                prop_assert_eq!(key.hash.0, <[u8; 32]>::from(Sha256::digest(&made.content)));
                prop_assert!(made.content.len() < 4096 && made.content.len().is_multiple_of(PACKET));
                prop_assert!(made.content.chunks(PACKET).all(|packet| packet[0] == 0x47));
            }
        }
    }

    /// The time stamps of the pictures, in order.
    fn stamps(content: &[u8]) -> Vec<i64> {
        let mut stamps = Vec::new();
        for packet in content.to_vec().chunks_mut(PACKET).filter(|packet| packet[1] & 0x40 != 0) {
            // The clock reference has nothing to do with it.
            packet[5] &= if packet[3] & 0x20 != 0 { 0xef } else { 0xff };
            let mut of_packet = Vec::new();
            shift(packet, |ticks| {
                of_packet.push(ticks);
                ticks
            });
            stamps.extend(of_packet.first());
        }
        stamps
    }

    #[test]
    fn a_stream_goes_on_from_segment_to_segment() {
        let plan = DemoPlan::new(1, Timestamp::parse("2019-11-13T02:55:11").unwrap(), Span::from_us(60_000_000));
        let of = |number| generate(&plan.pieces(number).next().unwrap(), false).content;
        let played = [of(0), of(1), of(2)].concat();
        let mut counters: std::collections::BTreeMap<u16, Vec<u8>> = std::collections::BTreeMap::new();
        for packet in played.chunks(PACKET) {
            counters.entry(pid(packet)).or_default().push(packet[3] & 0x0f);
        }
        assert!(counters.len() == 3 && counters.values().all(|counted| counted.len() % 3 == 0), "{counters:?}");
        for counted in counters.values() {
            assert!(counted.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 16), "{counters:?}");
        }
        // The time from one picture to the next is the same, also from one segment to the next; in the past three times as long.
        for (numbers, tick) in [(0..3, 22_500), (-3..0, 67_500)] {
            let stamps = stamps(&numbers.map(of).collect::<Vec<_>>().concat());
            assert_eq!(stamps.len(), 24);
            assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == tick), "{stamps:?}");
        }
        let different: std::collections::BTreeSet<_> =
            plan.pieces(0).map(|piece| generate(&piece, false).name).collect();
        assert_eq!(different.len(), CHANNELS.len() * QUALITIES.len());
    }
}
