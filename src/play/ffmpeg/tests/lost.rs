//! What a cut or a frame would lose is kept, or said.

use std::io::{Read as _, Seek as _, Write as _};

use futures_util::StreamExt as _;

use super::pictures::near;
use super::support::{BEGIN, RATE, SEGMENT, pool, record, recording, run, silent, time};
use crate::archive::{Span, Timestamp};
use crate::media::{Coding, Mux, Segment, Unit};
use crate::play::ffmpeg::{Clip, CutFormat, CutSegment, FfmpegError, LookAhead, Near, frame, smart};

/// Segments of which the first ones have no sound.
fn silent_until(sound: usize) -> Vec<CutSegment> {
    let without = (0..sound).map(|at| silent().segment(at));
    without.chain((sound..6).map(|at| recording().segment(at))).collect()
}

#[tokio::test]
async fn sound_that_comes_later_is_kept_and_announced_from_the_beginning() {
    let clip = |sound| Clip { start: time(10), end: time(290), segments: silent_until(sound), lead: Vec::new() };
    let mut stream = smart(&pool(), vec![clip(1)], CutFormat::Ts).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    let cut = Segment::read(&bytes);
    assert_eq!(cut.video.len(), 280);
    assert_eq!((cut.stretches.len(), cut.stretches[0].sound), (1, Some(Coding::Aac)));
    // From 2 s to 11.6 s, in frames of 1,024 samples; sound lies a little before its pictures.
    let frames = cut.sound_frames();
    assert!((450..460).contains(&frames.len()), "{}", frames.len());
    let first = cut.first_pts().unwrap();
    assert!((130_000..146_000).contains(&(frames[0].pts - first)), "{}", frames[0].pts - first);

    // ffmpeg has stopped looking for sound by then.
    let error = smart(&pool(), vec![clip(3)], CutFormat::Mp4).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("AAC sound only from")), "{error}");
}

#[tokio::test]
async fn a_segment_that_holds_less_than_its_name_promises_is_refused_with_its_place() {
    let twice = SEGMENT + SEGMENT;
    for (is_full, refused) in [(true, true), (false, false)] {
        let segments = vec![CutSegment { duration: twice, is_full, ..recording().segment(1) }];
        let clip = Clip { start: time(60), end: time(150), segments, lead: Vec::new() };
        let cut = smart(&pool(), vec![clip], CutFormat::Ts).await;
        if refused {
            let error = cut.unwrap_err();
            assert!(
                matches!(&error, FfmpegError::Unsuitable(why) if why.contains("name says 4.000 s") && why.contains(&format!("{}", BEGIN + SEGMENT))),
                "{error}"
            );
        } else {
            assert!(cut.is_ok());
        }
    }
}

/// 50 pictures of which none is a key frame.
fn without_key_frame(start: Timestamp) -> CutSegment {
    let mut mux = Mux::h264();
    mux.tables();
    for at in 0..50 {
        mux.video(900_000 + at * 3_600, 900_000 + at * 3_600, false, &[0, 0, 0, 1, 0x41, 0x9a, 1, 2, 3]);
    }
    let bytes = mux.take();
    let open = move || {
        let mut file = tempfile::tempfile()?;
        file.write_all(&bytes)?;
        file.rewind()?;
        Ok(file)
    };
    CutSegment { start, duration: SEGMENT, is_full: true, ahead: LookAhead::Nothing, open: Box::new(open) }
}

#[tokio::test]
async fn what_cannot_be_cut_further_on_is_refused_before_the_first_byte_where_it_is_looked_at() {
    let other = record(&["-c:v", "libx264", "-c:a", "mp2"]);
    let place = BEGIN + SEGMENT + SEGMENT + SEGMENT;
    let behind_hole = |ahead| CutSegment { ahead, ..without_key_frame(place) };
    let other_sound = |ahead| CutSegment { ahead, ..other.segment(3) };
    let cut = async |last: CutSegment| {
        let segments = (0..2).map(|at| recording().segment(at)).chain([last]).collect();
        smart(&pool(), vec![Clip { start: time(0), end: time(200), segments, lead: Vec::new() }], CutFormat::Ts).await
    };
    // What nobody looks at breaks the answer off.
    assert!(cut(other_sound(LookAhead::Nothing)).await.is_ok());
    assert!(cut(behind_hole(LookAhead::Content)).await.is_ok());
    for (made, says) in [
        (cut(other_sound(LookAhead::Content)).await, "is MPEG audio and elsewhere AAC"),
        (cut(behind_hole(LookAhead::Entry)).await, "no key frame comes before"),
    ] {
        let (error, place) = (made.unwrap_err(), place.to_string());
        assert!(
            matches!(&error, FfmpegError::Unsuitable(why) if why.contains(says) && why.contains(&place)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_frame_without_a_key_frame_before_it_is_refused() {
    let at = BEGIN + Span::from_us(1_000_000 / RATE * 20);
    let error = frame(&pool(), near(vec![without_key_frame(BEGIN)]), at).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("no key frame")), "{error}");
    // What does not join is of no use.
    let segments = vec![recording().segment(0), without_key_frame(BEGIN + SEGMENT)];
    let apart = segments.into_iter().map(|segment| Near { segment, joins: false }).collect();
    let refused = frame(&pool(), apart, at + SEGMENT).await.unwrap_err();
    assert!(matches!(&refused, FfmpegError::Unsuitable(why) if why.contains("no key frame")), "{refused}");
}

/// Cut by time, and not at key frames, of which there is one every 25 pictures.
fn cut_by_time() -> [CutSegment; 3] {
    let mut units: Vec<Unit> = Vec::new();
    for segment in recording().segments().into_iter().take(3) {
        let mut bytes = Vec::new();
        (segment.open)().unwrap().read_to_end(&mut bytes).unwrap();
        units.extend(Segment::read(&bytes).video);
    }
    let first = units.iter().map(|unit| unit.pts).min().unwrap();
    [&units[..60], &units[60..110], &units[110..]].map(|part| {
        let mut mux = Mux::h264();
        mux.tables();
        for unit in part {
            mux.video(unit.pts, unit.dts, unit.marks.random_access, &unit.data);
        }
        let content = mux.take();
        let open = move || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&content)?;
            file.rewind()?;
            Ok(file)
        };
        let begins = part.iter().map(|unit| unit.pts).min().unwrap() - first;
        let start = BEGIN + Span::from_us(begins * 100 / 9);
        let lasts = i64::try_from(part.len()).unwrap() * 1_000_000 / RATE;
        CutSegment {
            start,
            duration: Span::from_us(lasts),
            is_full: true,
            ahead: LookAhead::Nothing,
            open: Box::new(open),
        }
    })
}

#[tokio::test]
async fn a_key_frame_is_looked_for_in_the_segments_before() {
    let png = frame(&pool(), near(cut_by_time().into()), time(66)).await.unwrap();
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    std::fs::write(file.path(), png).unwrap();
    let name = file.path().to_str().unwrap();
    let grey = run("ffmpeg", &["-loglevel", "error", "-i", name, "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    assert_eq!(recording().number(&grey, 0), 66);
}

#[tokio::test]
async fn a_cut_begins_to_decode_in_the_segments_before_or_is_refused() {
    for joins in [true, false] {
        let [first, second, third] = cut_by_time();
        let (start, end) = (second.start, third.start);
        let lead = if joins { vec![first] } else { Vec::new() };
        let cut = smart(&pool(), vec![Clip { start, end, segments: vec![second, third], lead }], CutFormat::Ts).await;
        if joins {
            let mut bytes = Vec::new();
            let mut stream = cut.unwrap();
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece.unwrap());
            }
            let mut times: Vec<i64> = Segment::read(&bytes).video.iter().map(|unit| unit.pts).collect();
            times.sort_unstable();
            assert_eq!(i64::try_from(times.len()).unwrap(), (end - start).us() * RATE / 1_000_000);
            assert!(times.windows(2).all(|two| two[1] - two[0] == 3_600), "{times:?}");
        } else {
            let error = cut.unwrap_err();
            assert!(
                matches!(&error, FfmpegError::Unsuitable(why) if why.contains("no key frame comes before")),
                "{error}"
            );
        }
    }
}
