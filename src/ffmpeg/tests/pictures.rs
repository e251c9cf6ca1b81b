//! Pictures and curves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::support::{BEGIN, HEIGHT, RATE, SEGMENT, WIDTH, pool, pool_of, record, recording, run, time};
use crate::domain::Span;
use crate::ffmpeg::{CutSegment, FfmpegError, frame, waveform};

async fn shown(at: crate::domain::Timestamp, segment: usize) -> usize {
    let png = frame(&pool(), recording().segment(segment), at).await.unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    std::fs::write(file.path(), png).unwrap();
    let name = file.path().to_str().unwrap();
    let grey = run("ffmpeg", &["-loglevel", "error", "-i", name, "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    assert_eq!(grey.len(), WIDTH * HEIGHT);
    recording().number(&grey, 0)
}

#[tokio::test]
async fn the_frame_is_the_one_that_is_shown_at_that_time() {
    for (picture, late_us, segment) in
        [(0, 0, 0), (1, 0, 0), (1, 39_000, 0), (26, 0, 0), (49, 20_000, 0), (50, 0, 1), (124, 39_000, 2)]
    {
        let at = time(picture) + Span::from_us(late_us);
        assert_eq!(shown(at, segment).await, usize::try_from(picture).unwrap(), "{picture} + {late_us} µs");
    }
    // The clock of a name may be a little off its pictures.
    assert_eq!(shown(BEGIN - Span::from_us(5_000), 0).await, 0);
    assert_eq!(shown(BEGIN + SEGMENT + Span::from_us(900_000), 0).await, 49);
}

#[tokio::test]
async fn a_waveform_shows_sound_where_it_is_and_nothing_in_holes() {
    let columns = 60;
    // Of twelve seconds the two from the fourth on are missing.
    let segments = [0, 1, 3, 4, 5].map(|at| recording().segment(at));
    let end = BEGIN + Span::from_us(12_000_000);
    let peaks = waveform(&pool(), segments.into(), (BEGIN, end), columns).await.unwrap();
    assert_eq!(peaks.len(), columns);
    for (at, peak) in peaks.iter().enumerate() {
        let silent = (21..29).contains(&at);
        let loud = peak.is_some_and(|peak| peak.high > 2_000 && peak.low < -2_000);
        // Where a hole begins and ends a frame of sound may reach over.
        assert!(if silent { peak.is_none() } else { loud || (20..30).contains(&at) }, "{at}: {peak:?}");
    }
    // Each column has something, even where one is shorter than a sample of a coarse curve.
    let short = (time(RATE), time(RATE) + Span::from_us(100_000));
    let fine = waveform(&pool(), vec![recording().segment(0)], short, 2_000).await.unwrap();
    assert!(fine.iter().all(Option::is_some));
}

#[tokio::test]
async fn what_is_not_there_is_not_made() {
    let silent = record(&["-c:v", "libx264", "-an"]);
    let window = (BEGIN, BEGIN + SEGMENT);
    let error = waveform(&pool(), silent.segments(), window, 10).await.unwrap_err();
    assert!(matches!(error, FfmpegError::Unsuitable(_)), "{error}");
    let blind = || crate::ffmpeg::CutSegment {
        start: BEGIN,
        duration: SEGMENT,
        is_full: true,
        open: Box::new(|| std::fs::File::open("/dev/null")),
    };
    assert!(matches!(frame(&pool(), blind(), BEGIN).await, Err(FfmpegError::Unsuitable(_))));
    assert!(matches!(waveform(&pool(), vec![blind()], window, 10).await, Err(FfmpegError::Unsuitable(_))));
}

#[tokio::test]
async fn what_has_no_sound_is_not_read_for_ever_nor_for_nobody() {
    let window = (BEGIN, BEGIN + SEGMENT);
    for is_given_up in [false, true] {
        let (gate, waiting) = mpsc::channel::<()>();
        let (waiting, opened) = (Arc::new(Mutex::new(waiting)), Arc::new(AtomicUsize::new(0)));
        let silent = |_| {
            let (waiting, opened) = (Arc::clone(&waiting), Arc::clone(&opened));
            let open = move || {
                opened.fetch_add(1, Ordering::SeqCst);
                waiting.lock().unwrap().recv().ok();
                std::fs::File::open("/dev/null")
            };
            CutSegment { start: BEGIN, duration: SEGMENT, is_full: true, open: Box::new(open) }
        };
        let segments = (0..100).map(silent).collect();
        if is_given_up {
            let pool = pool();
            let mut asking = Box::pin(waveform(&pool, segments, window, 10));
            while opened.load(Ordering::SeqCst) == 0 {
                assert!(futures_util::poll!(&mut asking).is_pending());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } else {
            let limit = Duration::from_millis(200);
            let error = waveform(&pool_of("ffmpeg", limit), segments, window, 10).await.unwrap_err();
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
