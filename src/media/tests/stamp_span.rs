//! When a file begins and how long it lasts, by its time stamps.

use proptest::prelude::*;

use super::support::{SOUND, VIDEO, picture, sound, tables};
use crate::media::{StampMeter, StampSpan, WRAP};

fn measured(bytes: &[u8], piece: usize) -> Option<StampSpan> {
    let mut measure = StampMeter::default();
    bytes.chunks(piece).for_each(|piece| measure.feed(piece));
    measure.finish()
}

fn stream(pictures: &[i64], sounds: &[i64]) -> Vec<u8> {
    let mut bytes = tables(&[VIDEO, SOUND]);
    bytes.extend((0..).zip(pictures).flat_map(|(count, time)| picture(VIDEO.1, count & 15, *time, None)));
    bytes.extend((0..).zip(sounds).flat_map(|(count, time)| sound(SOUND.1, count & 15, *time, None)));
    bytes
}

#[test]
fn the_last_picture_lasts_as_long_as_the_others_across_the_end_of_the_clock() {
    let found = measured(&stream(&[WRAP - 3_600, 0, 3_600], &[5]), 188);
    assert_eq!(found, Some(StampSpan { first: WRAP - 3_600, length: 10_800 }));
    assert_eq!(found.map(|found| found.end()), Some(7_200));
}

#[test]
fn sound_decides_behind_a_frozen_picture_and_where_there_is_none() {
    let sounds: Vec<i64> = (0..50).map(|at| at * 9_000).collect();
    let expected = Some(StampSpan { first: 0, length: 450_000 });
    assert_eq!(measured(&stream(&[0, 3_600], &sounds), 188), expected);
    assert_eq!(measured(&stream(&[], &sounds), 188), expected);
    assert_eq!(measured(&stream(&[7_200, 10_800], &[0, 3_600]), 188), Some(StampSpan { first: 7_200, length: 7_200 }));
}

#[test]
fn what_leaps_or_is_one_picture_or_no_stream_is_not_measured() {
    for bytes in [stream(&[0, 3_600, 90_000_000], &[]), stream(&[900_000, 0, 3_600], &[]), stream(&[0], &[])] {
        assert_eq!(measured(&bytes, 188), None);
    }
    assert_eq!(measured(b"ftyp is no packet", 3), None);
}

proptest! {
    #[test]
    fn pieces_do_not_matter_and_nothing_panics(
        times in prop::collection::vec(0..WRAP, 0..20), piece in 1..700_usize, spoilt in prop::collection::vec((0..4_000_usize, 0_u8..), 0..5),
    ) {
        let mut bytes = stream(&times, &times);
        for (at, byte) in spoilt {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        prop_assert_eq!(measured(&bytes, piece), measured(&bytes, 188));
    }
}
