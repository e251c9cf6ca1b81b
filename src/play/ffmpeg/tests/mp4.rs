//! Segments in fragmented MP4: the same promises as of those in transport streams, judged by a decoder.

use std::sync::OnceLock;

use super::cuts::{clip, made, made_of};
use super::pictures::{near, shown};
use super::support::{Recording, pool, record_mp4, recording, recording_mp4, time};
use crate::archive::Span;
use crate::media::{Segment, Unit};
use crate::play::ffmpeg::{Clip, CutFormat, CutSegment, FfmpegError, frame, smart, waveform};

/// HEVC, which is not cut exactly.
fn hevc() -> &'static Recording {
    static HEVC: OnceLock<Recording> = OnceLock::new();
    let encoder = ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=25:bframes=2", "-tag:v", "hvc1", "-an"];
    HEVC.get_or_init(|| record_mp4(&encoder))
}

/// Key frames that others are shown before, which need the group before.
fn open_groups() -> Recording {
    record_mp4(&["-c:v", "libx264", "-bf", "2", "-x264-params", "open-gop=1:scenecut=0", "-c:a", "ac3"])
}

#[tokio::test]
async fn the_frame_is_the_one_of_the_stream_that_was_recorded() {
    let times = [(0, 0, 0), (1, 0, 0), (2, 39_000, 0), (26, 0, 0), (50, 0, 1), (124, 1_000, 2), (299, 0, 5)];
    for recording in [recording_mp4(), hevc(), &open_groups()] {
        for (picture, early_us, segment) in times {
            let at = time(picture) - Span::from_us(early_us);
            let found = shown(recording, at, segment).await;
            assert_eq!(found, usize::try_from(picture).unwrap(), "{picture} - {early_us} µs");
        }
    }
    let at = time(50) - Span::from_us(1_000);
    let both = near(vec![recording_mp4().segment(0), recording_mp4().segment(1)]);
    let next = frame(&pool(), near(vec![recording_mp4().segment(1)]), time(50)).await.unwrap();
    assert_eq!(frame(&pool(), both, at).await.unwrap(), next);
}

#[tokio::test]
async fn of_av1_there_are_no_pictures_and_that_is_said() {
    let av1 = record_mp4(&["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-c:a", "aac"]);
    let error = frame(&pool(), near(vec![av1.segment(0)]), time(3)).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("AV1")), "{error}");
    let refused = smart(&pool(), vec![clip(&av1, time(3), time(40))], CutFormat::Ts).await.unwrap_err();
    assert!(
        matches!(&refused, FfmpegError::Unsuitable(why) if why.contains("is AV1 and an exact cut wants")),
        "{refused}"
    );
    assert_eq!(waveform(&pool(), vec![av1.segment(0)], 10).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_waveform_is_that_of_the_same_sound_in_a_transport_stream() {
    let of = async |recording: &Recording| {
        let segments = [0, 1, 3, 4, 5].map(|at| recording.segment(at));
        waveform(&pool(), segments.into(), 100).await.unwrap()
    };
    let (ours, other) = (of(recording_mp4()).await, of(recording()).await);
    // A transport stream says that its sound begins a little earlier: at the edges of a tone that shows.
    for (at, (one, two)) in ours.iter().zip(&other).enumerate() {
        let most = if at == 0 { 500 } else { 100 };
        assert!(one.len() == 1 && two.len() == 1 && one[0].abs_diff(two[0]) < most, "{at}: {one:?} {two:?}");
    }
    let error = waveform(&pool(), hevc().segments(), 10).await.unwrap_err();
    assert!(matches!(error, FfmpegError::Unsuitable(_)), "{error}");
}

#[tokio::test]
async fn a_cut_has_exactly_the_frames_of_its_window() {
    for (first, last) in [(0, 50), (7, 163), (25, 75), (24, 26), (3, 299)] {
        let cut = made(recording_mp4(), &[(time(first), time(last))], CutFormat::Ts).await;
        cut.shows(recording_mp4(), first..last);
    }
    let two = made(recording_mp4(), &[(time(7), time(163)), (time(200), time(230))], CutFormat::Mp4).await;
    two.shows(recording_mp4(), (7..163).chain(200..230));
    let error = smart(&pool(), vec![clip(hevc(), time(10), time(40))], CutFormat::Mp4).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("HEVC") && why.contains("rough")), "{error}");
}

#[tokio::test]
async fn what_lies_between_the_ends_is_as_it_was_recorded() {
    let cut = made(recording_mp4(), &[(time(7), time(163))], CutFormat::Ts).await;
    let cut = Segment::read(&std::fs::read(&cut.file).unwrap());
    let recorded = (0..6).flat_map(|at| Segment::read(&std::fs::read(recording_mp4().path(at)).unwrap()).video);
    let recorded: Vec<Unit> = recorded.collect();
    let same: Vec<bool> = cut.video.iter().map(|unit| recorded.iter().any(|other| other.data == unit.data)).collect();
    // 18 pictures up to the key frame, five groups, and what is left of the last one.
    assert!(same.len() == 156 && !same[..18].iter().any(|same| *same), "{same:?}");
    assert!(same[18..143].iter().all(|same| *same), "{same:?}");
}

#[tokio::test]
async fn a_cut_goes_over_a_change_of_the_encoding_and_of_the_container() {
    // The picture of the second half has another profile, and so another initialisation segment.
    let other = record_mp4(&["-c:v", "libx264", "-bf", "0", "-profile:v", "baseline", "-c:a", "aac"]);
    for second in [&other, recording()] {
        for format in [CutFormat::Ts, CutFormat::Mp4] {
            let begun_anew = CutSegment { start: time(150), ..second.segment(0) };
            let segments = vec![recording_mp4().segment(1), recording_mp4().segment(2), begun_anew];
            let clip = Clip { start: time(110), end: time(190), segments, lead: Vec::new() };
            let cut = made_of(vec![clip], format).await;
            let expected: Vec<i64> = (110..150).chain(0..40).collect();
            assert_eq!(cut.numbers(recording_mp4()), expected, "{format:?}");
        }
    }
    // Where some are missing they are missing.
    let segments = [1, 4].map(|at| recording_mp4().segment(at)).into();
    let clip = Clip { start: time(60), end: time(240), segments, lead: Vec::new() };
    let cut = made_of(vec![clip], CutFormat::Mp4).await;
    assert_eq!(cut.numbers(recording_mp4()), (60..100).chain(200..240).collect::<Vec<_>>());
}
