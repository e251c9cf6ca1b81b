//! The real samples are sound; what was done to them is found; and no bytes make the check panic.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use crate::media::packet::{LEN, SYNC};
use crate::media::{StreamFault, StreamVerdict, TsCheck};

/// Content and named duration of the real `full` segments of some quality.
fn samples(quality: &str) -> Vec<(String, Vec<u8>, u64)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/desertbus").join(quality);
    let mut found = Vec::new();
    for hour in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(hour.unwrap().path()).unwrap().map(|file| file.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            // Names of the samples are `55:08.0-2.0-full-HASH.ts`, and tombstones have another ending.
            let mut parts = name.splitn(4, '-').skip(1);
            let (duration, kind) = (parts.next().and_then(|part| part.parse::<f64>().ok()), parts.next());
            if let (Some(duration), Some("full"), true) = (duration, kind, !name.contains("tombstone")) {
                let named_us = std::time::Duration::from_secs_f64(duration).as_micros();
                found.push((name, fs::read(file).unwrap(), named_us.try_into().unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Two samples of two seconds.
fn two() -> [Vec<u8>; 2] {
    static TWO: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
        let all = samples("480p").into_iter().filter(|(_, _, named)| *named == 2_000_000);
        let mut contents = all.map(|(_, bytes, _)| bytes);
        [contents.next().unwrap(), contents.nth(100).unwrap()]
    });
    TWO.clone()
}

fn verdict(bytes: &[u8], named_us: u64) -> StreamVerdict {
    let mut check = TsCheck::default();
    check.feed(bytes);
    check.finish(named_us)
}

fn kinds(bytes: &[u8]) -> Vec<&'static str> {
    match verdict(bytes, 2_000_000) {
        StreamVerdict::Faulty(faults) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| fault.to_string().len() > 30));
            faults.iter().map(StreamFault::kind).collect()
        }
        StreamVerdict::Other | StreamVerdict::Sound | StreamVerdict::Odd(_) => Vec::new(),
    }
}

/// A packet with a time stamp, in 1/90,000 s.
fn picture(counter: u8, stamp: u64, announced: bool) -> Vec<u8> {
    let byte = |shift: u32, mask: u64| u8::try_from(stamp >> shift & mask).unwrap();
    let mut packet = vec![0x47, 0x41, 0x00, 0x30 | counter & 15, 1, if announced { 0x80 } else { 0 }];
    packet.extend([0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5]);
    packet.extend([
        0x21 | byte(30, 7) << 1,
        byte(22, 255),
        1 | byte(15, 127) << 1,
        byte(7, 255),
        1 | byte(0, 127) << 1,
    ]);
    packet.resize(LEN, 0xff);
    packet
}

/// So many pictures a tenth of a second apart.
fn film(first: u64, counter: u8, pictures: u8) -> Vec<u8> {
    let stamp = |number: u8| (first + 9_000 * u64::from(number)) & ((1 << 33) - 1);
    (0..pictures).flat_map(|number| picture(counter.wrapping_add(number), stamp(number), false)).collect()
}

#[test]
fn every_full_sample_is_sound() {
    for quality in ["source", "480p"] {
        let all = samples(quality);
        assert!(all.len() > 500);
        for (name, bytes, named_us) in all {
            assert_eq!(verdict(&bytes, named_us), StreamVerdict::Sound, "{quality} {name}");
        }
    }
}

#[test]
fn a_segment_that_was_cut_short_is_found() {
    let [whole, _] = two();
    for left in [whole.len() - 1, whole.len() - 100, whole.len() / 2 + 5, 4 * LEN + 9] {
        assert!(kinds(&whole[..left]).contains(&"torn"), "{left}");
    }
    let packets = whole.len() / LEN;
    for left in [packets / 2, packets / 3] {
        assert_eq!(kinds(&whole[..left * LEN]), ["span"], "{left} packets");
    }
}

#[test]
fn a_segment_that_was_put_together_is_found() {
    let [one, two] = two();
    let (middle, one_packets) = (one.len() / LEN / 2, one.len() / LEN);
    let spliced = [&one[..middle * LEN], &two[middle * LEN..]].concat();
    assert!(kinds(&spliced).iter().any(|kind| ["jump", "span", "continuity"].contains(kind)));
    let hole = [&one[..10 * LEN], &one[13 * LEN..]].concat();
    assert!(kinds(&hole).contains(&"continuity"), "three packets are missing");
    let moved = [&one[..10 * LEN + 50], &one[10 * LEN + 90..]].concat();
    assert!(kinds(&moved).contains(&"no_sync"), "forty bytes are missing");
    let mut zeroed = one.clone();
    zeroed[5 * LEN..9 * LEN].fill(0);
    assert!(kinds(&zeroed).contains(&"no_sync"));
    assert_eq!(kinds(&vec![0; one_packets * LEN]), ["all_zero"]);
    let mut marked = one;
    marked[7 * LEN + 1] |= 0x80;
    assert!(kinds(&marked).contains(&"damaged"));
}

#[test]
fn a_splice_that_no_counter_shows_is_found_by_its_time_stamps() {
    let [forwards, backwards] = [film(9_000_000, 10, 10), film(90_000, 10, 10)];
    let found = kinds(&[film(900_000, 0, 10), forwards].concat());
    assert_eq!(found, ["jump", "span"]);
    assert_eq!(kinds(&[film(900_000, 0, 10), backwards].concat()), ["jump"], "each half lasts a second");
}

#[test]
fn time_stamps_may_start_over_and_begin_anew_where_that_is_announced() {
    assert_eq!(verdict(&film((1 << 33) - 90_000, 0, 20), 2_000_000), StreamVerdict::Sound);
    let announced = [film(900_000, 0, 10), picture(3, 77, true), film(77 + 9_000, 4, 9)].concat();
    assert_eq!(verdict(&announced, 2_000_000), StreamVerdict::Sound);
}

#[test]
fn pictures_that_the_source_lost_are_no_fault() {
    let gap = [film(900_000, 0, 5), film(900_000 + 90_000 * 9, 5, 10)].concat();
    assert_eq!(verdict(&gap, 10_000_000), StreamVerdict::Sound);
    assert_eq!(kinds(&gap), ["jump", "span"], "but not where the name says otherwise");
}

#[test]
fn a_packet_may_come_twice_and_not_three_times() {
    let packet = |counter| picture(counter, 900_000 + 9_000 * u64::from(counter), false);
    let repeated = |times: usize| [packet(0), packet(1).repeat(times), packet(2)].concat();
    assert_eq!(kinds(&repeated(2)), ["span"]);
    assert_eq!(kinds(&repeated(3)), ["continuity", "span"]);
}

#[test]
fn what_is_only_strange_proves_nothing() {
    let spaced = |step: u64, count: u8| -> Vec<u8> {
        (0..count).flat_map(|number| picture(number, 900_000 + step * u64::from(number), false)).collect()
    };
    // A picture each five seconds, without sound that says more.
    assert!(matches!(verdict(&spaced(450_000, 3), 15_000_000), StreamVerdict::Odd(_)));
    // A picture each 40 ms that ends too soon is a segment that was cut short, and one beside sound that goes on is a frozen camera.
    let frozen = spaced(3_600, 50);
    assert_eq!(kinds(&frozen[..40 * LEN]), [] as [&str; 0]);
    assert!(matches!(verdict(&frozen, 4_000_000), StreamVerdict::Faulty(_)));
    let mut sound = spaced(3_600, 100);
    for packet in sound.chunks_mut(LEN) {
        (packet[2], packet[9]) = (1, 0xc0);
    }
    assert_eq!(verdict(&[frozen, sound].concat(), 4_000_000), StreamVerdict::Sound);
}

#[test]
fn what_is_no_transport_stream_is_not_judged() {
    let mp4 = [&b"\0\0\0\x18ftypiso5"[..], &[0x11; 4_000]].concat();
    for bytes in [&b"G"[..], b"video", &mp4, &[0x47; 300]] {
        assert_eq!(verdict(bytes, 2_000_000), StreamVerdict::Other);
    }
    assert_eq!(verdict(b"", 2_000_000), StreamVerdict::Faulty(vec![StreamFault::Empty]));
    assert_eq!(verdict(b"", 0), StreamVerdict::Other);
    // Packets that only fill time, and what has no time stamps, have no length to compare.
    assert_eq!(
        verdict(&[&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat().repeat(5), 2_000_000),
        StreamVerdict::Sound
    );
    assert_eq!(verdict(&[0x47; 5_000], 2_000_000), StreamVerdict::Sound);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_one_verdict(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 30), 0..40),
        cuts in prop::collection::vec(1_usize..500, 1..20),
        sync: bool,
        tail in 0_usize..188,
        named_us: u32,
    ) {
        let mut bytes = Vec::new();
        for mut packet in packets {
            packet.resize(LEN, 0x5a);
            if sync { packet[0] = SYNC; }
            bytes.extend(packet);
        }
        bytes.extend(vec![SYNC; tail]);
        let mut check = TsCheck::default();
        let (mut rest, mut cut) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            check.feed(piece);
            rest = later;
        }
        prop_assert_eq!(check.finish(named_us.into()), verdict(&bytes, named_us.into()));
    }

    #[test]
    fn a_packet_that_is_left_out_is_found_by_counter_or_length(at in 0_usize..40) {
        let [whole, _] = two();
        let at = at % (whole.len() / LEN - 1) + 1;
        let without = [&whole[..at * LEN], &whole[(at + 1) * LEN..]].concat();
        // The last packet of a program, and one that fills time, are missed by nobody.
        let pid = |bytes: &[u8]| [bytes[1] & 0x1f, bytes[2]];
        let later = without[at * LEN..].chunks(LEN).any(|packet| pid(packet) == pid(&whole[at * LEN..]));
        let earlier = whole[..at * LEN].chunks(LEN).any(|packet| pid(packet) == pid(&whole[at * LEN..]));
        if later && earlier && whole[at * LEN + 3] & 0x10 != 0 && pid(&whole[at * LEN..]) != [0x1f, 0xff] {
            prop_assert!(!kinds(&without).is_empty());
        }
    }
}
