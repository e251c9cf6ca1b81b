//! Pictures and curves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;

use super::support::{BEGIN, HEIGHT, Recording, SEGMENT, WIDTH, pool, pool_of, recording, run, silent, time};
use crate::archive::Span;
use crate::play::ffmpeg::{CutSegment, FfmpegError, LookAhead, Near, frame, waveform};

/// Segments that join.
pub(super) fn near(segments: Vec<CutSegment>) -> Vec<Near> {
    segments.into_iter().enumerate().map(|(at, segment)| Near { segment, joins: at > 0 }).collect()
}

pub(super) async fn shown(recording: &Recording, at: crate::archive::Timestamp, segment: usize) -> usize {
    let png = frame(&pool(), near(vec![recording.segment(segment)]), at).await.unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    std::fs::write(file.path(), png).unwrap();
    let name = file.path().to_str().unwrap();
    let grey = run("ffmpeg", &["-loglevel", "error", "-i", name, "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    assert_eq!(grey.len(), WIDTH * HEIGHT);
    recording.number(&grey, 0)
}

#[tokio::test]
async fn the_frame_is_the_next_one_at_that_time() {
    for (picture, early_us, segment) in [(0, 0, 0), (1, 0, 0), (2, 39_000, 0), (26, 0, 0), (50, 0, 1), (124, 1_000, 2)]
    {
        let at = time(picture) - Span::from_us(early_us);
        assert_eq!(
            shown(recording(), at, segment).await,
            usize::try_from(picture).unwrap(),
            "{picture} - {early_us} µs"
        );
    }
    // Up to a second beside what there is.
    assert_eq!(shown(recording(), BEGIN - Span::from_us(900_000), 0).await, 0);
    assert_eq!(shown(recording(), BEGIN + SEGMENT + Span::from_us(900_000), 0).await, 49);
}

#[tokio::test]
async fn the_next_frame_may_be_the_first_of_the_next_segment() {
    let at = time(50) - Span::from_us(1_000);
    let png = frame(&pool(), near(vec![recording().segment(0), recording().segment(1)]), at).await.unwrap();
    let exact = frame(&pool(), near(vec![recording().segment(1)]), time(50)).await.unwrap();
    assert_eq!(png, exact);
}

#[tokio::test]
async fn a_waveform_has_whole_segments_side_by_side() {
    let columns = 100;
    // Of twelve seconds the two from the fourth on are missing: what is left is ten.
    let segments = [0, 1, 3, 4, 5].map(|at| recording().segment(at));
    let means = waveform(&pool(), segments.into(), columns).await.unwrap();
    assert_eq!(means.len(), columns);
    // A sine of an eighth of the full height.
    for (at, channels) in means.iter().enumerate() {
        assert!(channels.len() == 1 && (1_500..2_800).contains(&channels[0]), "{at}: {channels:?}");
    }
    // Each column has something, even where one is a few samples wide.
    let fine = waveform(&pool(), vec![recording().segment(0)], 4_000).await.unwrap();
    assert!(fine.iter().filter(|channels| channels.is_empty()).count() < 400);
}

#[tokio::test]
async fn a_waveform_shows_each_channel_and_high_tones() {
    // The right channel is the left one upside down: mixed they would be nothing. 9 kHz would be lost to a lower rate.
    let tone = "aevalsrc=0.5*sin(9000*2*PI*t)|-0.5*sin(9000*2*PI*t):s=48000";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tone.ts");
    let args =
        ["-loglevel", "error", "-f", "lavfi", "-i", tone, "-t", "2", "-c:a", "aac", "-b:a", "192k", "-f", "mpegts"];
    run("ffmpeg", &[&args[..], &[file.to_str().unwrap()]].concat());
    let open = Box::new(move || std::fs::File::open(&file));
    let segment = CutSegment { start: BEGIN, duration: SEGMENT, is_full: true, ahead: LookAhead::Nothing, open };
    let means = waveform(&pool(), vec![segment], 20).await.unwrap();
    for channels in &means[1..19] {
        // The mean of a sine is 0.64 of its height.
        assert!(channels.len() == 2 && channels.iter().all(|mean| (9_000..12_000).contains(mean)), "{channels:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_made() {
    let error = waveform(&pool(), silent().segments(), 10).await.unwrap_err();
    assert!(matches!(error, FfmpegError::Unsuitable(_)), "{error}");
    let blind = || crate::play::ffmpeg::CutSegment {
        start: BEGIN,
        duration: SEGMENT,
        is_full: true,
        ahead: LookAhead::Nothing,
        open: Box::new(|| std::fs::File::open("/dev/null")),
    };
    assert!(matches!(frame(&pool(), near(vec![blind()]), BEGIN).await, Err(FfmpegError::Unsuitable(_))));
    assert!(matches!(waveform(&pool(), vec![blind()], 10).await, Err(FfmpegError::Unsuitable(_))));
}

#[tokio::test]
async fn what_has_no_sound_is_not_read_for_ever_nor_for_nobody() {
    for is_given_up in [false, true] {
        let (gate, waiting) = mpsc::channel::<()>();
        let (waiting, opened) = (Arc::new(Mutex::new(waiting)), Arc::new(AtomicUsize::new(0)));
        let silent = |_| {
            let (waiting, opened) = (Arc::clone(&waiting), Arc::clone(&opened));
            let open = move || {
                opened.fetch_add(1, Ordering::SeqCst);
                waiting.lock().recv().ok();
                std::fs::File::open("/dev/null")
            };
            CutSegment {
                start: BEGIN,
                duration: SEGMENT,
                is_full: true,
                ahead: LookAhead::Nothing,
                open: Box::new(open),
            }
        };
        let segments = (0..100).map(silent).collect();
        if is_given_up {
            let pool = pool();
            let mut asking = Box::pin(waveform(&pool, segments, 10));
            while opened.load(Ordering::SeqCst) == 0 {
                assert!(futures_util::poll!(&mut asking).is_pending());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } else {
            let limit = Duration::from_millis(200);
            let error = waveform(&pool_of("ffmpeg", limit), segments, 10).await.unwrap_err();
            assert_eq!(error, FfmpegError::TooSlow(limit));
        }
        drop(gate);
        // Whoever reads them has them until it ends.
        while Arc::strong_count(&opened) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(opened.load(Ordering::SeqCst), 1, "the others are not read any more");
    }
}
