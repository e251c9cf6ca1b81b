//! What a cut or a frame would lose is kept, or said.

use std::io::{Read as _, Seek as _, Write as _};

use futures_util::StreamExt as _;

use super::support::{BEGIN, RATE, SEGMENT, pool, record, recording, time};
use crate::domain::Span;
use crate::ffmpeg::{Clip, Container, CutSegment, FfmpegError, frame, smart};
use crate::media::{Coding, Mux, Segment};

/// Segments of which the first ones have no sound.
fn silent_until(sound: usize) -> Vec<CutSegment> {
    let silent = record(&["-c:v", "libx264", "-bf", "2", "-x264-params", "scenecut=0", "-an"]);
    let mut segments: Vec<CutSegment> = (0..sound).map(|at| silent.segment(at)).collect();
    segments.extend((sound..6).map(|at| recording().segment(at)));
    // Their files go with the directory of the recording.
    for segment in segments.iter_mut().take(sound) {
        let mut bytes = Vec::new();
        (segment.open)().unwrap().read_to_end(&mut bytes).unwrap();
        segment.open = Box::new(move || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&bytes)?;
            file.rewind()?;
            Ok(file)
        });
    }
    segments
}

#[tokio::test]
async fn sound_that_comes_later_is_kept_and_announced_from_the_beginning() {
    let clip = |sound| Clip { start: time(10), end: time(290), segments: silent_until(sound) };
    let mut stream = smart(&pool(), vec![clip(1)], Container::Ts).await.unwrap();
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
    let error = smart(&pool(), vec![clip(3)], Container::Mp4).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("AAC sound only from")), "{error}");
}

#[tokio::test]
async fn a_segment_that_holds_less_than_its_name_promises_is_refused_with_its_place() {
    let twice = SEGMENT + SEGMENT;
    for (is_full, refused) in [(true, true), (false, false)] {
        let segments = vec![CutSegment { duration: twice, is_full, ..recording().segment(1) }];
        let clip = Clip { start: time(60), end: time(150), segments };
        let cut = smart(&pool(), vec![clip], Container::Ts).await;
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

#[tokio::test]
async fn a_frame_without_a_key_frame_before_it_is_refused() {
    let mut mux = Mux::h264();
    mux.tables();
    for at in 0..50 {
        mux.video(900_000 + at * 3_600, 900_000 + at * 3_600, false, &[0, 0, 0, 1, 0x41, 0x9a, 1, 2, 3]);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), mux.take()).unwrap();
    let path = file.path().to_owned();
    let open = Box::new(move || std::fs::File::open(&path));
    let segment = CutSegment { start: BEGIN, duration: SEGMENT, is_full: true, open };
    let error = frame(&pool(), segment, BEGIN + Span::from_us(1_000_000 / RATE * 20)).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("no key frame")), "{error}");
}
