//! What is put into a stream comes out of it, and no bytes do harm.

use proptest::prelude::*;

use crate::media::h264::marks;
use crate::media::{Coding, DecodeEntry, Marks, Mux, Segment, Unit, likeness, right_from, sound_frames};

fn unit(pts: i64, data: Vec<u8>) -> Unit {
    Unit { pts, dts: pts, data, marks: Marks::default(), stretch: 0 }
}

/// A frame of AAC at 48 kHz with so much content.
fn adts(content: &[u8]) -> Vec<u8> {
    let length = content.len() + 7;
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap();
    let head = [0xff, 0xf1, 0x4c, 0x80 | byte(length >> 11), byte(length >> 3), byte(length << 5) | 0x1f, 0xfc];
    [&head, content].concat()
}

#[test]
fn what_a_picture_says_is_understood() {
    let whole = marks(&[0, 0, 0, 1, 0x67, 66, 0, 30, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 9]);
    assert_eq!((whole.random_access, whole.entry, whole.reference), (true, Some(DecodeEntry::Closed), true));
    let bare = marks(&[0, 0, 1, 0x65, 9]);
    assert!(bare.random_access && bare.entry.is_none());
    assert!(!marks(&[0, 0, 1, 0x01, 9]).random_access && !marks(&[0, 0, 1, 0x01, 9]).reference);
    let found = likeness(&[0, 0, 0, 1, 0x67, 100, 0, 31, 5]).unwrap();
    assert_eq!((found.profile, found.level, found.interlaced), (100, 31, false));
}

#[test]
fn a_recovery_point_says_when_all_is_right() {
    // A message of recovery, behind one of another kind: ue(0) is 1, ue(5) is 00110.
    let with =
        |count: u8| marks(&[0, 0, 1, 0x67, 66, 0, 30, 0, 0, 1, 6, 5, 2, 7, 7, 6, 1, count, 0x80, 0, 0, 1, 0x41, 9]);
    assert_eq!((with(0xc0).entry, with(0xc0).random_access), (Some(DecodeEntry::Open), true));
    assert_eq!((with(0x34).entry, with(0x34).random_access), (Some(DecodeEntry::Refresh(5)), false));
    assert_eq!(marks(&[0, 0, 1, 6, 6, 1, 0xc0, 0x80, 0, 0, 1, 0x41, 9]).entry, None, "without parameters");
    let picture = |entry, reference| Marks { entry, reference, ..Marks::default() };
    let line = [(Some(DecodeEntry::Refresh(2)), true), (None, true), (None, false), (None, true), (None, true)];
    let line: Vec<(i64, Marks)> =
        (0..).zip(line).map(|(pts, (entry, reference))| (pts, picture(entry, reference))).collect();
    assert_eq!(right_from(line.iter().copied()), Some(3));
    assert_eq!(right_from(line[..2].iter().copied()), Some(i64::MAX));
    assert_eq!(right_from(line[1..].iter().copied()), None);
}

#[test]
fn time_stamps_go_on_where_they_wrap() {
    let mut mux = Mux::h264();
    mux.tables();
    let wrap = 1 << 33;
    for at in 0..4 {
        mux.video(wrap - 7_200 + at * 3_600, wrap - 7_200 + at * 3_600, at == 0, &[0, 0, 1, 0x41]);
    }
    let times: Vec<i64> = Segment::read(&mux.take()).video.iter().map(|unit| unit.pts - wrap).collect();
    assert_eq!(times, [-7_200, -3_600, 0, 3_600]);
}

#[test]
fn sound_is_found_wherever_it_was_torn() {
    let frames: Vec<Vec<u8>> = (1..9).map(|at| adts(&vec![at; usize::from(at) * 40])).collect();
    let all = frames.concat();
    let (a, rest) = all.split_at(300);
    let (b, c) = rest.split_at(500);
    let found = sound_frames(Coding::Aac, &[unit(0, a.to_vec()), unit(7_680, b.to_vec()), unit(11_520, c.to_vec())]);
    assert_eq!(found.iter().map(|frame| frame.data.clone()).collect::<Vec<_>>(), frames);
    assert!(found.windows(2).all(|two| two[0].pts < two[1].pts), "{found:?}");
    assert_eq!(found[0].ticks, 1_920);
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(sizes in prop::collection::vec((1..2_000_usize, 0..20_000_i64), 1..20), sound in 8..500_usize) {
        let mut mux = Mux::new(Some(Coding::H264), Some(Coding::Aac));
        mux.tables();
        let (mut pictures, mut heard) = (Vec::new(), Vec::new());
        for (at, (size, ahead)) in (0..).zip(sizes) {
            let data: Vec<u8> = (0..size).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            let dts = 100_000 + at * 3_600;
            mux.video(dts + ahead, dts, at == 0, &data);
            pictures.push((dts + ahead, dts, data));
            let frame = adts(&vec![7; sound]);
            mux.sound(dts, &frame);
            heard.push((dts, frame));
        }
        let bytes = mux.take();
        prop_assert!(bytes.len().is_multiple_of(188) && bytes.chunks(188).all(|packet| packet[0] == 0x47));
        let av = Segment::read(&bytes);
        prop_assert_eq!(av.codings(), (Some(Coding::H264), Some(Coding::Aac)));
        prop_assert_eq!(av.video.into_iter().map(|unit| (unit.pts, unit.dts, unit.data)).collect::<Vec<_>>(), pictures);
        prop_assert_eq!(sound_frames(Coding::Aac, &av.sound).into_iter().map(|frame| (frame.pts, frame.data)).collect::<Vec<_>>(), heard);
    }

    #[test]
    fn no_bytes_do_harm(start in 0..6_usize, noise in prop::collection::vec((0..4_000_usize, any::<u8>()), 0..60)) {
        let mut mux = Mux::new(Some(Coding::H264), Some(Coding::Aac));
        mux.tables();
        for at in 0..6 {
            mux.video(at * 3_600, at * 3_600, true, &[0, 0, 1, 0x65, 1, 2, 3].repeat(80));
            mux.sound(at * 3_600, &adts(&[1; 90]));
        }
        let mut bytes = mux.take();
        for (at, value) in noise {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        let av = Segment::read(&bytes[start..]);
        for coding in [Coding::Aac, Coding::MpegAudio, Coding::Dolby, Coding::EnhancedDolby] {
            let _frames = sound_frames(coding, &av.sound);
        }
        let _first = av.first_pts();
    }
}
