//! What the reader tells of streams that are not as plain as most.

use proptest::prelude::*;

use super::support::{PMT, SOUND, VIDEO, packet, picture, program, programs, section, sound, table, tables, unit};
use crate::media::packet::LEN;
use crate::media::{Coding, Elementary, Header, Mux, Packet, Program, Reader, Role, Segment, Sink, TICKS, WRAP};

/// When pictures are shown, in hundredths of a second from the first.
fn shown(segment: &Segment) -> Vec<i64> {
    let first = segment.first_pts().unwrap_or_default();
    segment.video.iter().map(|unit| (unit.pts - first) / 900).collect()
}

/// All that a sink is told, as text.
#[derive(Default)]
struct Log(Vec<String>);

impl Sink for Log {
    fn packet(&mut self, at: u64, packet: &Packet<'_>) {
        self.0.push(format!("{at} {packet:?}"));
    }
    fn lost(&mut self, at: u64, found: u8) {
        self.0.push(format!("{at} lost {found}"));
    }
    fn tables(&mut self, program: &Program) {
        self.0.push(format!("{program:?}"));
    }
    fn begin(&mut self, stream: &Elementary, header: &Header) {
        self.0.push(format!("{stream:?} {header:?}"));
    }
    fn content(&mut self, stream: &Elementary, piece: &[u8]) {
        self.0.push(format!("{} {piece:?}", stream.pid));
    }
    fn end(&mut self, stream: &Elementary) {
        self.0.push(format!("{} ends", stream.pid));
    }
}

fn told(pieces: &[&[u8]]) -> (Vec<String>, u64) {
    let (mut log, mut reader) = (Log::default(), Reader::default());
    for piece in pieces {
        reader.push(piece, &mut log);
    }
    reader.finish(&mut log);
    (log.0, reader.torn())
}

/// A second of pictures and sound, as our own writer makes it.
fn written_stream() -> Vec<u8> {
    let mut mux = Mux::new(Some(Coding::H264), Some(Coding::Aac));
    mux.tables();
    for at in 0..25 {
        let data = [&[0, 0, 1, 0x65][..], &vec![u8::try_from(at + 2).unwrap(); 300]].concat();
        mux.video(900_000 + at * 3_600, 900_000 + at * 3_600, at == 0, &data);
        mux.sound(900_000 + at * 3_600, &[0xff, 0xf1, 0x4c, 0x80, 1, 0x3f, 0xfc, 1, 2]);
    }
    mux.take()
}

#[test]
fn packets_of_other_lengths_and_behind_other_bytes_hold_the_same() {
    let plain = written_stream();
    let expected = Segment::read(&plain);
    assert_eq!((expected.video.len(), expected.sound.len()), (25, 25));
    let packets = || plain.chunks(LEN);
    let with_parity: Vec<u8> = packets().flat_map(|packet| [packet, &[0xaa; 16]].concat()).collect();
    let with_times: Vec<u8> = packets().flat_map(|packet| [&[0, 1, 2, 3], packet].concat()).collect();
    let behind: Vec<u8> = [&[0x47; 77][..], &plain].concat();
    for (what, bytes) in [("204", with_parity), ("192", with_times), ("behind", behind)] {
        assert_eq!(Segment::read(&bytes), expected, "{what}");
    }
}

#[test]
fn packets_are_found_again_behind_damage() {
    let plain = written_stream();
    let whole = Segment::read(&plain).video;
    for (from, until) in [(1_000, 1_040), (1_000, 1_700), (5 * LEN, 9 * LEN)] {
        let mut zeroed = plain.clone();
        zeroed[from..until].fill(0);
        for bytes in [[&plain[..from], &plain[until..]].concat(), zeroed] {
            let found = Segment::read(&bytes).video;
            assert!(found.len() >= 20, "{from} {until} {}", found.len());
            assert_eq!(found[found.len() - 15..], whole[10..], "{from} {until}");
        }
    }
}

#[test]
fn a_packet_that_is_sent_twice_counts_once_and_one_that_only_looks_like_it_counts() {
    let once = [tables(&[VIDEO]), picture(0x100, 0, 0, None), picture(0x100, 1, 3_600, None)].concat();
    let packets: Vec<&[u8]> = once.chunks(LEN).collect();
    let twice: Vec<u8> = packets.iter().flat_map(|packet| packet.repeat(2)).collect();
    assert_eq!(Segment::read(&twice), Segment::read(&once));
    let other = [tables(&[VIDEO]), picture(0x100, 0, 0, None), picture(0x100, 0, 3_600, None)].concat();
    assert_eq!(shown(&Segment::read(&other)), [0, 4]);
}

#[test]
fn tables_that_change_midway_are_followed_and_their_stretches_told_apart() {
    let bytes = [
        tables(&[VIDEO]),
        picture(0x100, 0, 0, None),
        table(PMT, 1, &program(1, 1, &[(0x1b, 0x200, &[]), SOUND])),
        picture(0x200, 0, 3_600, None),
        sound(0x101, 0, 3_600, None),
        // Damaged, and meant for later: neither counts.
        table(PMT, 2, &[&program(1, 2, &[VIDEO])[..20], &[9, 9]].concat()),
        picture(0x200, 1, 7_200, None),
        table(PMT, 3, &program(1, 3, &[(0x24, 0x200, &[])])),
        picture(0x200, 2, 10_800, None),
    ]
    .concat();
    let segment = Segment::read(&bytes);
    let stretches: Vec<_> = segment.stretches.iter().map(|stretch| (stretch.video, stretch.sound)).collect();
    let expected = [(Some(Coding::H264), None), (Some(Coding::H264), Some(Coding::Aac)), (Some(Coding::Hevc), None)];
    assert_eq!(stretches, expected);
    assert_eq!(segment.video.iter().map(|unit| unit.stretch).collect::<Vec<_>>(), [0, 1, 1, 2]);
    assert_eq!((shown(&segment), segment.sound.len()), (vec![0, 4, 8, 12], 1));
    assert_eq!(segment.codings(), (Some(Coding::H264), Some(Coding::Aac)));
}

#[test]
fn a_table_may_lie_in_several_packets_and_two_in_one() {
    let long: Vec<u8> = [&[0x0a, 200][..], &[b'x'; 200]].concat();
    let bytes = [tables(&[(0x0f, 0x101, &long), (0x1b, 0x100, &[])]), picture(0x100, 0, 0, None)].concat();
    assert_eq!(Segment::read(&bytes).codings(), (Some(Coding::H264), Some(Coding::Aac)));
    let both = [section(0x42, 1, 0, &[1, 2, 3]), program(1, 0, &[VIDEO])].concat();
    let short = [table(0, 0, &programs(&[(1, PMT)])), table(PMT, 0, &both), picture(0x100, 0, 0, None)].concat();
    assert_eq!(Segment::read(&short).video.len(), 1);
    // A packet of the table is missing: what is left is no table.
    let torn: Vec<u8> =
        tables(&[(0x0f, 0x101, &long), (0x1b, 0x100, &[])]).chunks(LEN).take(2).flatten().copied().collect();
    assert_eq!(Segment::read(&[torn, picture(0x100, 0, 0, None)].concat()), Segment::default());
}

#[test]
fn of_several_programs_the_first_real_one_is_read_and_stays_it() {
    let list = programs(&[(0, 0x10), (7, PMT), (9, 0x1001)]);
    let bytes = [
        table(0, 0, &list),
        table(0x1001, 0, &program(9, 0, &[(0x1b, 0x300, &[])])),
        table(PMT, 0, &program(7, 0, &[VIDEO])),
        picture(0x300, 0, 90_000, None),
        picture(0x100, 0, 0, None),
        table(0, 1, &programs(&[(9, 0x1001), (7, PMT)])),
        picture(0x100, 1, 3_600, None),
    ]
    .concat();
    assert_eq!(shown(&Segment::read(&bytes)), [0, 4]);
}

#[test]
fn an_announced_discontinuity_begins_a_time_base_that_follows_at_once() {
    for leap in [3_600 * TICKS, -3_600 * TICKS] {
        let old = 4_000 * TICKS;
        let new = old + leap;
        let bytes = [
            tables(&[VIDEO, SOUND]),
            picture(0x100, 0, old, Some(0x80)),
            sound(0x101, 0, old, Some(0x80)),
            picture(0x100, 1, old + 3_600, None),
            // Sound that is announced before its picture, and sound of the old base behind it.
            picture(0x100, 7, new, Some(0x80)),
            sound(0x101, 1, old + 3_600, None),
            sound(0x101, 9, new, Some(0x80)),
            picture(0x100, 8, new + 3_600, None),
        ]
        .concat();
        let segment = Segment::read(&bytes);
        assert_eq!(shown(&segment), [0, 4, 8, 12], "{leap}");
        let first = segment.first_pts().unwrap();
        let heard: Vec<i64> = segment.sound.iter().map(|unit| (unit.pts - first) / 900).collect();
        assert_eq!(heard, [0, 4, 8], "{leap}");
        assert_eq!(segment.stretches.len(), 2);
    }
}

#[test]
fn times_that_run_backwards_unannounced_begin_a_time_base_and_a_gap_stays_a_gap() {
    let of = |times: &[i64]| {
        let pictures = (0..).zip(times).flat_map(|(at, time)| picture(0x100, at, *time, None));
        shown(&Segment::read(&[tables(&[VIDEO]), pictures.collect()].concat()))
    };
    assert_eq!(of(&[900_000, 903_600, 90_000, 93_600]), [0, 4, 8, 12]);
    assert_eq!(of(&[900_000, 903_600, 1_803_600]), [0, 4, 1_004]);
    assert_eq!(of(&[0, 3_600, 1 << 31, (1 << 31) + 3_600]), [0, 4, 8, 12]);
    assert_eq!(of(&[WRAP - 3_600, 0, 3_600]), [0, 4, 8]);
}

#[test]
fn pictures_whose_order_wraps_before_their_decoding_keep_it() {
    let pictures = [(0, WRAP - 7_200), (WRAP - 3_600, WRAP - 3_600), (3_600, 0)].into_iter().zip(0..);
    let packets = pictures.flat_map(|((pts, dts), at)| packet(0x100, true, at, None, &unit(0xe0, pts, dts, &[0])));
    let segment = Segment::read(&[tables(&[VIDEO]), packets.collect()].concat());
    assert_eq!(shown(&segment), [4, 0, 8]);
}

#[test]
fn what_is_scrambled_or_unknown_is_said_and_not_taken_for_absent() {
    let mut scrambled = [tables(&[VIDEO, (0x99, 0x102, &[])]), picture(0x100, 0, 0, None)].concat();
    scrambled[2 * LEN + 3] |= 0x80;
    let segment = Segment::read(&scrambled);
    assert_eq!((segment.video.len(), segment.stretches.len()), (0, 1));
    let stretch = segment.stretches[0];
    assert!(stretch.scrambled);
    assert_eq!(
        (stretch.video, stretch.sound, stretch.unknown),
        (Some(Coding::H264), None, Some(Coding::Unknown(0x99)))
    );
    assert_eq!(Coding::Unknown(0x99).role(), Role::Unknown);
    let plain = [tables(&[VIDEO, (0x15, 0x102, b"\x05\x04ID3 ")]), picture(0x100, 0, 0, None)].concat();
    let clear = Segment::read(&plain).stretches[0];
    assert!(!clear.scrambled && clear.unknown.is_none());
}

#[test]
fn a_unit_has_the_bytes_that_its_header_counts_and_its_header_may_lie_in_two_packets() {
    let mut counted = unit(0xc0, 0, 0, b"frame");
    counted[5] = u8::try_from(counted.len() - 6).unwrap();
    counted.extend(b"more");
    let bytes = [tables(&[SOUND]), packet(0x101, true, 0, None, &counted).to_vec()].concat();
    assert_eq!(Segment::read(&bytes).sound[0].data, b"frame");
    for split in [4, 7, 11, 18] {
        let whole = unit(0xe0, 9_000, 5_400, b"picture");
        let (head, rest) = whole.split_at(split);
        let packets = [packet(0x100, true, 0, None, head), packet(0x100, false, 1, None, rest)].concat();
        let units = Segment::read(&[tables(&[VIDEO]), packets].concat()).video;
        assert_eq!(units.len(), 1, "{split}");
        assert_eq!((units[0].pts - units[0].dts, units[0].data.as_slice()), (3_600, &b"picture"[..]), "{split}");
    }
}

#[test]
fn a_unit_without_times_goes_on_with_the_one_before_it() {
    let untimed = packet(0x100, true, 1, None, &[&[0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0][..], b"rest"].concat());
    let units = Segment::read(&[tables(&[VIDEO]), picture(0x100, 0, 0, None), untimed.to_vec()].concat()).video;
    assert_eq!(units.len(), 1);
    assert!(units[0].data.ends_with(b"rest"));
}

#[test]
fn units_before_the_tables_are_read_as_well() {
    let late = [picture(0x100, 0, 0, None), tables(&[VIDEO]), picture(0x100, 1, 3_600, None)].concat();
    assert_eq!(shown(&Segment::read(&late)), [0, 4]);
}

/// Packets of any kind, of the numbers that mean something, with and without damage.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let any_packet = (
        prop::sample::select(vec![0_u16, 0x100, 0x101, PMT, 0x1fff]),
        any::<bool>(),
        0_u8..16,
        prop::option::of(any::<u8>()),
        prop::collection::vec(any::<u8>(), 0..180),
    );
    let made = any_packet
        .prop_map(|(pid, begins, counter, marks, payload)| packet(pid, begins, counter, marks, &payload).to_vec());
    let known = (0_u8..16, 0..WRAP).prop_map(|(counter, time)| picture(0x100, counter, time, None));
    let listed = (0_u8..4).prop_map(|version| table(PMT, version, &program(1, version, &[VIDEO, SOUND])));
    let garbage = prop::collection::vec(any::<u8>(), 0..300);
    let part = prop_oneof![4 => made, 4 => known, 1 => listed, 1 => garbage];
    prop::collection::vec(part, 0..60).prop_map(|parts| [tables(&[VIDEO, SOUND]), parts.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_any_size_give_the_same_as_one(
        bytes in noise(),
        distance in prop::sample::select(vec![LEN, 192, 204]),
        cuts in prop::collection::vec(1_usize..3_000, 1..20),
    ) {
        let bytes: Vec<u8> = bytes.chunks(LEN).flat_map(|one| [one, &vec![0; distance - LEN]].concat()).collect();
        let (mut rest, mut cut, mut pieces) = (&bytes[..], cuts.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        prop_assert_eq!(told(&pieces), told(&[&bytes]));
    }

    #[test]
    fn no_bytes_panic_and_what_is_found_lies_in_them(bytes in noise(), from in 0_usize..400) {
        let bytes = bytes.get(from..).unwrap_or_default();
        let segment = Segment::read(bytes);
        let length: usize = segment.video.iter().chain(&segment.sound).map(|unit| unit.data.len()).sum();
        prop_assert!(length <= bytes.len());
        for units in [&segment.video, &segment.sound] {
            prop_assert!(units.windows(2).all(|two| two[0].stretch <= two[1].stretch));
        }
        let _frames = segment.sound_frames();
        let _facts = crate::media::facts(bytes);
    }
}
