//! Transitions, judged by a decoder; and what a browser plays.

use futures_util::StreamExt as _;

use super::cuts::clip;
use super::support::{RATE, Recording, pool, record, recording, run, time};
use crate::archive::Span;
use crate::media::{Coding, Segment};
use crate::play::ffmpeg::{Clip, CutFormat, FfmpegError, Part, Pool, Transition, smart};

const SECOND: i64 = RATE;

/// From 1 s to 4 s, and from 7 s to 9 s, with such a transition of a second.
fn parts(recording: &Recording, transition: &str) -> Vec<Part> {
    let clip = |from: i64, to: i64| -> Clip { clip(recording, time(from * SECOND), time(to * SECOND)) };
    let transition = Transition::parse(transition).unwrap();
    assert_eq!(transition.lasts, Span::from_us(1_000_000));
    vec![
        Part::Clip(clip(1, 3)),
        Part::Transition { tail: clip(3, 4), head: clip(7, 8), transition },
        Part::Clip(clip(8, 9)),
    ]
}

async fn made(pool: &std::sync::Arc<Pool>, transition: &str, format: CutFormat) -> Vec<u8> {
    made_of(recording(), pool, transition, format).await
}

async fn made_of(recording: &Recording, pool: &std::sync::Arc<Pool>, transition: &str, format: CutFormat) -> Vec<u8> {
    let mut stream = smart(pool, parts(recording, transition), format).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    bytes
}

#[tokio::test]
async fn a_transition_makes_the_cut_shorter_by_its_length_and_nothing_leaps() {
    for kind in ["fade,1", "clockwipe,1"] {
        let cut = Segment::read(&made(&pool(), kind, CutFormat::Ts).await);
        let mut times: Vec<i64> = cut.video.iter().map(|unit| unit.pts).collect();
        times.sort_unstable();
        assert_eq!(times.len(), 4 * 25, "{kind}");
        assert!(times.windows(2).all(|two| two[1] - two[0] == 3_600), "{kind}");
        let sound = cut.sound_frames();
        // Frames of 21 ms; where what was encoded anew meets the recording one may be missing or be shared.
        let steps = sound.windows(2).map(|two| two[1].pts - two[0].pts);
        assert!(steps.clone().all(|step| (900..4_000).contains(&step)), "{kind}: {:?}", steps.max());
        let lasts = sound.last().unwrap().pts - sound[0].pts;
        assert!((4 * 90_000 - 6_000..4 * 90_000).contains(&lasts), "{kind}: {lasts}");
    }
}

#[tokio::test]
async fn the_sound_of_a_transition_is_of_the_codec_around_it() {
    let recording = record(&["-c:v", "libx264", "-c:a", "ac3"]);
    let cut = Segment::read(&made_of(&recording, &pool(), "fade,1", CutFormat::Ts).await);
    let tables: Vec<_> = cut.stretches.iter().map(|table| table.sound).collect();
    assert_eq!((tables, cut.video.len()), (vec![Some(Coding::Dolby)], 4 * 25));
    let lasts = cut.sound_frames().iter().map(|frame| frame.ticks).sum::<i64>();
    assert!((4 * 90_000 - 9_000..=4 * 90_000 + 3_000).contains(&lasts), "{lasts}");
}

#[tokio::test]
async fn what_is_between_goes_from_one_picture_to_the_other() {
    let bytes = made(&pool(), "fade,1", CutFormat::Ts).await;
    let file = tempfile::NamedTempFile::with_suffix(".ts").unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let shown = super::support::pictures(file.path());
    let all = recording();
    let whole = |at: i64| &all.pictures()[usize::try_from(at).unwrap()];
    let distance = |one: &[u8], other: &[u8]| {
        one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>() / one.len() as u64
    };
    // Before and after it is the recording; in the middle it is half of each.
    assert!(distance(&shown[49], whole(74)) < 6 && distance(&shown[76], whole(201)) < 6);
    let half: Vec<u8> = whole(87).iter().zip(whole(187)).map(|(a, b)| a.midpoint(*b)).collect();
    assert!(distance(&shown[62], &half) < 8, "{}", distance(&shown[62], &half));
}

#[tokio::test]
async fn a_webm_with_a_transition_needs_one_turn_for_all() {
    let pool = super::support::pool_of_one();
    let file = tempfile::NamedTempFile::with_suffix(".webm").unwrap();
    std::fs::write(file.path(), made(&pool, "fade,1", CutFormat::Webm).await).unwrap();
    let args = ["-v", "error", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames", "-of", "csv=p=0"];
    let said = run("ffprobe", &[&args[..], &[file.path().to_str().unwrap()]].concat());
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("vp9,100") && said.contains("opus"), "{said}");
}

#[tokio::test]
async fn a_transition_that_the_program_does_not_know_is_said_before_the_first_byte() {
    // The program knows nothing but its version.
    let fake = super::faults::Fake::new("[ \"$1\" = -version ] && exit 0; exit 1");
    let pool = super::support::pool_of(&fake.program(), std::time::Duration::from_secs(60));
    let error = smart(&pool, parts(recording(), "fade,1"), CutFormat::Ts).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("fade")), "{error}");
}
