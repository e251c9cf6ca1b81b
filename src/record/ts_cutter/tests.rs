//! Streams that are cut: whole ones, ones without key frames, ones whose time leaps, and any bytes.

use proptest::prelude::*;

use super::*;
use crate::media::{Mux, StreamVerdict, TsCheck};

/// A segment as it was cut.
type CutSegment = (Vec<u8>, CutEnd);

/// Time stamps begin shortly before they start over.
const FIRST: i64 = (1 << 33) - 5 * TICKS;

/// A picture each tenth of a second, with a key frame at each of these.
fn stream(pictures: i64, is_key: impl Fn(i64) -> bool, leap: i64) -> Vec<u8> {
    let mut mux = Mux::h264();
    for number in 0..pictures {
        let time = FIRST + number * TICKS / 10 + if number >= pictures / 2 { leap } else { 0 };
        let key = [0, 0, 0, 1, 0x67, 66, 0, 30, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 9, 9];
        let mut picture = if is_key(number) { key.to_vec() } else { vec![0, 0, 1, 0x41, 9, 9] };
        picture.extend(number.to_be_bytes());
        picture.resize(if number % 7 == 0 { 700 } else { 90 }, 0x55);
        if number == 0 || is_key(number) {
            mux.tables();
        }
        mux.video(time, time, is_key(number), &picture);
    }
    mux.take()
}

/// What is cut of it, if it comes in pieces of such sizes, and what passed by.
fn cut(bytes: &[u8], pieces: &[usize]) -> Vec<CutSegment> {
    let (mut cutter, mut rest, mut steps) = (TsCutter::default(), bytes, Vec::new());
    for size in pieces.iter().cycle() {
        let (piece, later) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
        steps.extend(cutter.push(piece, Timestamp::from_us(0)));
        assert!(cutter.state.held.len() <= HELD);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    steps.extend(cutter.finish());
    let (mut segments, mut open) = (Vec::new(), None::<Vec<u8>>);
    for step in steps {
        match step {
            TsStep::Begin => assert!(open.replace(Vec::new()).is_none()),
            TsStep::Bytes(piece) => open.as_mut().unwrap().extend(piece),
            TsStep::End(end) => segments.push((open.take().unwrap(), end)),
        }
    }
    assert!(open.is_none());
    segments
}

fn lengths(segments: &[CutSegment]) -> Vec<(i64, bool, bool)> {
    segments.iter().map(|(_, end)| (end.duration.us(), end.plays_alone, end.is_anew)).collect()
}

/// The segments one behind the other, without the two packets of tables that each begins with.
fn joined(segments: &[CutSegment]) -> Vec<u8> {
    segments.iter().flat_map(|(bytes, _)| bytes[2 * PACKET_LENGTH..].to_vec()).collect()
}

#[test]
fn segments_begin_with_key_frames_and_nothing_is_lost_between_them() {
    // The first five pictures need one that nobody has.
    let bytes = stream(100, |number| number % 10 == 5, 0);
    let segments = cut(&bytes, &[1_000]);
    let whole = [(2_000_000, true, false); 3];
    let [first, .., last] = lengths(&segments)[..] else { panic!("{segments:?}") };
    assert_eq!((first, last), ((2_000_000, true, true), (1_500_000, true, false)));
    assert_eq!(lengths(&segments)[1..segments.len() - 1], whole);
    assert!(segments.iter().all(|(_, end)| end.is_cut_off == (end.duration.us() < 2_000_000)));
    assert!(bytes.ends_with(&joined(&segments)));
    for (segment, end) in &segments {
        let mut check = TsCheck::default();
        check.feed(segment);
        assert_eq!(check.finish(end.duration.us().unsigned_abs()), StreamVerdict::Sound);
    }
}

#[test]
fn without_key_frames_it_is_cut_anyway_and_no_segment_is_relied_on() {
    let segments = cut(&stream(700, |_| false, 0), &[5_000]);
    assert_eq!(lengths(&segments)[0], (30_000_000, false, true), "{:?}", lengths(&segments));
    let only_one = cut(&stream(700, |number| number == 0, 0), &[5_000]);
    assert_eq!(lengths(&only_one)[..2], [(30_000_000, true, true), (30_000_000, false, false)]);
}

#[test]
fn where_time_leaps_it_is_cut_and_begins_anew() {
    for leap in [60 * TICKS, -60 * TICKS] {
        let segments = cut(&stream(80, |number| number % 10 == 0, leap), &[333]);
        assert_eq!(
            lengths(&segments),
            [(2_000_000, true, true), (2_000_000, true, false), (2_000_000, true, true), (2_000_000, true, false)]
        );
    }
}

#[test]
fn a_segment_began_with_the_part_that_came_with_the_least_delay() {
    let bytes = stream(25, |number| number % 20 == 0, 0);
    let mut cutter = TsCutter::default();
    // All at once at ten seconds: what a server had kept.
    let mut steps = cutter.push(&bytes, Timestamp::from_us(10_000_000));
    steps.extend(cutter.finish());
    let end = steps.iter().find_map(|step| if let TsStep::End(end) = step { Some(*end) } else { None });
    assert_eq!(end.unwrap().begun.us(), 10_000_000 - 1_900_000);
}

#[test]
fn sound_alone_is_cut_between_any_of_its_units() {
    let mut mux = Mux::aac();
    mux.tables();
    for number in 0..100 {
        mux.sound(number * TICKS / 10, &[0xff, 0xf1, 0x50, 0x80, 1, 0x1f, 0xfc, 0]);
    }
    let segments = cut(&mux.take(), &[700]);
    assert_eq!(segments.len(), 6, "{:?}", lengths(&segments));
    assert!(segments.iter().all(|(_, end)| end.plays_alone));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_cut_does_not_depend_on_the_pieces(pieces in prop::collection::vec(1_usize..5_000, 1..20), keys in 1_i64..40) {
        let bytes = stream(120, |number| number % keys == 0, 0);
        let segments = cut(&bytes, &pieces);
        prop_assert!(joined(&segments) == joined(&cut(&bytes, &[usize::MAX])));
        prop_assert!(bytes.ends_with(&joined(&segments)));
        prop_assert!(segments.iter().all(|(segment, _)| segment.len() % PACKET_LENGTH == 0));
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more(
        garbage in prop::collection::vec((any::<u16>(), any::<u8>()), 0..300),
        cuts in prop::collection::vec(0_usize..20_000, 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let mut bytes = stream(60, |number| number % 8 == 0, 0);
        for (at, value) in garbage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        for at in cuts {
            let at = at % bytes.len();
            bytes.splice(at..at, noise.iter().copied());
        }
        cut(&bytes, &[700]);
        cut(&noise, &[50]);
    }
}
