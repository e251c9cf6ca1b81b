//! Cuts, judged by a decoder.

use std::collections::HashSet;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use tempfile::TempDir;

use super::support::{RATE, Recording, SEGMENTS, mpeg2, pictures, pool, record, recording, run, time};
use crate::archive::{Span, Timestamp};
use crate::play::ffmpeg::{Clip, CutFormat, CutSegment, FfmpegError, check, smart};

/// A cut in a file.
pub(super) struct Made {
    _directory: TempDir,
    pub(super) file: PathBuf,
}

pub(super) fn clip(recording: &Recording, start: Timestamp, end: Timestamp) -> Clip {
    // With the neighbours, for their sound.
    let (from, to) = (start - Clip::SOUND, end + Clip::SOUND);
    let covers =
        |segment: &crate::play::ffmpeg::CutSegment| segment.start < to && segment.start + segment.duration > from;
    Clip { start, end, segments: recording.segments().into_iter().filter(covers).collect(), lead: Vec::new() }
}

pub(super) async fn made(recording: &Recording, windows: &[(Timestamp, Timestamp)], format: CutFormat) -> Made {
    made_of(windows.iter().map(|(start, end)| clip(recording, *start, *end)).collect(), format).await
}

pub(super) async fn made_of(clips: Vec<Clip>, format: CutFormat) -> Made {
    let mut stream = smart(&pool(), clips, format).await.unwrap();
    assert_eq!(stream.content_type, format.content_type());
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(format!("cut.{}", format.extension()));
    std::fs::write(&file, bytes).unwrap();
    Made { _directory: directory, file }
}

impl Made {
    pub(super) fn probe(&self, stream: &str, what: &str) -> Vec<String> {
        let file = self.file.to_str().unwrap();
        let args = [
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            what,
            "-of",
            "csv=p=0",
            "-show_data_hash",
            "md5",
            file,
        ];
        let text = String::from_utf8(run("ffprobe", &args)).unwrap();
        text.lines().map(|line| line.trim_matches(',').to_owned()).filter(|line| !line.is_empty()).collect()
    }

    fn times(&self, stream: &str) -> Vec<f64> {
        let mut times: Vec<f64> =
            self.probe(stream, "packet=pts_time").iter().map(|text| text.parse().unwrap()).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn hashes(&self, stream: &str) -> Vec<String> {
        self.probe(stream, "packet=data_hash")
    }

    /// Which pictures of the recording it has.
    pub(super) fn numbers(&self, recording: &Recording) -> Vec<i64> {
        let mut hint = 0;
        let numbers = pictures(&self.file).into_iter().map(|picture| {
            hint = recording.number(&picture, hint);
            i64::try_from(hint).unwrap()
        });
        numbers.collect()
    }

    /// The pictures it has are these of the recording, evenly spaced; the sound goes on all the time.
    pub(super) fn shows(&self, recording: &Recording, expected: impl IntoIterator<Item = i64>) {
        let expected: Vec<i64> = expected.into_iter().collect();
        assert_eq!(self.numbers(recording), expected);
        let (video, sound) = (self.times("v:0"), self.times("a:0"));
        assert_eq!(video.len(), expected.len());
        #[expect(clippy::cast_precision_loss, reason = "a rate of pictures")]
        let picture = 1.0 / RATE as f64;
        for two in video.windows(2) {
            assert!((two[1] - two[0] - picture).abs() < 0.001, "{two:?}");
        }
        if sound.is_empty() {
            return;
        }
        // 48 kHz: a frame of sound lasts 21.3 ms. Each end of a stretch may be half a frame off.
        assert!(sound.windows(2).all(|two| (0.010..0.043).contains(&(two[1] - two[0]))), "{sound:?}");
        assert!((sound[0] - video[0]).abs() < 0.022, "{} {}", sound[0], video[0]);
        let (ends, rings) = (video[video.len() - 1] + picture, sound[sound.len() - 1] + 0.0213);
        assert!((ends - rings).abs() < 0.022, "{ends} {rings}");
    }
}

/// The hashes of all packets of a recording.
fn recorded(recording: &Recording, stream: &str) -> HashSet<String> {
    let segments = (0..SEGMENTS).map(|at| Made { _directory: tempfile::tempdir().unwrap(), file: recording.path(at) });
    segments.flat_map(|segment| segment.hashes(stream)).collect()
}

const BOTH: [CutFormat; 2] = [CutFormat::Ts, CutFormat::Mp4];

#[tokio::test]
async fn a_cut_has_exactly_the_frames_of_its_window() {
    for (first, last) in [(0, 50), (7, 163), (10, 20), (25, 75), (24, 26), (60, 61), (49, 51), (3, 299)] {
        let made = made(recording(), &[(time(first), time(last))], CutFormat::Ts).await;
        made.shows(recording(), first..last);
    }
    for (first, last) in [(7, 163), (10, 20), (60, 61)] {
        let made = made(recording(), &[(time(first), time(last))], CutFormat::Mp4).await;
        made.shows(recording(), first..last);
    }
}

#[tokio::test]
async fn neighbouring_cuts_share_no_frame_and_lose_none() {
    // In the middle of a picture's time.
    let middle = time(87) + Span::from_us(13_333);
    let before = made(recording(), &[(time(60), middle)], CutFormat::Ts).await;
    before.shows(recording(), 60..88);
    let after = made(recording(), &[(middle, time(110))], CutFormat::Ts).await;
    after.shows(recording(), 88..110);
}

#[tokio::test]
async fn what_lies_between_the_ends_is_as_it_was_recorded() {
    let (video, sound) = (recorded(recording(), "v:0"), recorded(recording(), "a:0"));
    let cut = made(recording(), &[(time(7), time(163))], CutFormat::Ts).await;
    let hashes = cut.hashes("v:0");
    let kept: Vec<bool> = hashes.iter().map(|hash| video.contains(hash)).collect();
    // 18 pictures up to the key frame, five groups, and what is left of the last one.
    assert!(kept[18..143].iter().all(|kept| *kept), "{kept:?}");
    assert!(!kept[..18].iter().any(|kept| *kept), "{kept:?}");
    let same: Vec<bool> = cut.hashes("a:0").iter().map(|hash| sound.contains(hash)).collect();
    assert!(same.iter().all(|same| *same), "no sound is encoded anew: {same:?}");
    // From key frame to key frame nothing is.
    let plain = made(recording(), &[(time(25), time(100))], CutFormat::Ts).await;
    assert!(plain.hashes("v:0").iter().all(|hash| video.contains(hash)));
}

#[tokio::test]
async fn where_frames_are_decoded_as_they_are_shown_only_the_front_is_encoded() {
    let recording = record(&["-c:v", "libx264", "-bf", "0", "-profile:v", "baseline", "-c:a", "aac"]);
    let video = recorded(&recording, "v:0");
    let cut = made(&recording, &[(time(33), time(163))], CutFormat::Ts).await;
    cut.shows(&recording, 33..163);
    let kept: Vec<bool> = cut.hashes("v:0").iter().map(|hash| video.contains(hash)).collect();
    assert!(kept[17..].iter().all(|kept| *kept), "{kept:?}");
    assert_eq!(cut.probe("v:0", "stream=profile,pix_fmt,width,height")[0], "Constrained Baseline,160,90,yuv420p");
}

#[tokio::test]
async fn frames_that_need_the_group_before_theirs_are_no_obstacle() {
    let open = record(&["-c:v", "libx264", "-bf", "2", "-x264-params", "open-gop=1:scenecut=0", "-c:a", "aac"]);
    // The picture that is shown before the second segment's key frame lies behind it: its time is one before that segment.
    for (first, last) in [(61, 148), (40, 150), (50, 149), (49, 50)] {
        let cut = made(&open, &[(time(first), time(last))], CutFormat::Ts).await;
        assert_eq!(cut.numbers(&open), (first..last).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stream_without_sound_is_cut_as_well() {
    let silent = record(&["-c:v", "libx264", "-bf", "3", "-an"]);
    for format in BOTH {
        made(&silent, &[(time(61), time(148))], format).await.shows(&silent, 61..148);
    }
}

#[tokio::test]
async fn sound_is_cut_between_frames_whatever_it_is_and_otherwise_refused() {
    for (encoder, name, frame) in [("mp2", "mp2", 0.024), ("ac3", "ac3", 0.032), ("eac3", "eac3", 0.032)] {
        let recording = record(&["-c:v", "libx264", "-bf", "2", "-c:a", encoder, "-ac", "2"]);
        let whole = recorded(&recording, "a:0");
        for format in BOTH {
            let cut = made(&recording, &[(time(7), time(163)), (time(200), time(230))], format).await;
            // An MP4 does not say which layer.
            let says = if (encoder, format) == ("mp2", CutFormat::Mp4) { "mp3" } else { name };
            assert_eq!(cut.probe("a:0", "stream=codec_name")[0], says);
            assert!(cut.hashes("a:0").iter().all(|hash| whole.contains(hash)), "{name}");
            let (video, sound) = (cut.times("v:0"), cut.times("a:0"));
            assert_eq!(video.len(), 186, "{name}");
            assert!(sound.windows(2).all(|two| (frame / 2.0..frame * 2.0).contains(&(two[1] - two[0]))), "{sound:?}");
            let off = [sound[0] - video[0], sound[sound.len() - 1] + frame - video[185] - 0.04];
            assert!(off.iter().all(|off| off.abs() < frame / 2.0 + 0.001), "{name} in {format:?}: {off:?}");
        }
    }
    for (encoder, name) in [("libmp3lame", "is MP3"), ("libopus", "is Opus")] {
        let recording = record(&["-c:v", "libx264", "-c:a", encoder]);
        let error = smart(&pool(), vec![clip(&recording, time(10), time(40))], CutFormat::Ts).await.unwrap_err();
        assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains(name)), "{error}");
    }
}

#[tokio::test]
async fn several_stretches_come_one_after_the_other() {
    for format in BOTH {
        let windows = [(time(7), time(60)), (time(130), time(150)), (time(20), time(30))];
        let cut = made(recording(), &windows, format).await;
        cut.shows(recording(), (7..60).chain(130..150).chain(20..30));
    }
}

#[tokio::test]
async fn a_hole_is_closed_up_and_a_segment_without_pictures_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, sound) = (recording().path(2), directory.path().join("sound.ts"));
    let (whole, sound) = (whole.to_str().unwrap(), sound.to_str().unwrap());
    run("ffmpeg", &["-loglevel", "error", "-i", whole, "-map", "0:a", "-c", "copy", "-f", "mpegts", sound]);
    for instead in [None, Some("/dev/null"), Some(sound)] {
        let mut clip = clip(recording(), time(10), time(240));
        let _whole = clip.segments.remove(2);
        clip.segments.extend(instead.map(|file| opened(2, file)));
        clip.segments.sort_by_key(|segment| segment.start);
        made_of(vec![clip], CutFormat::Ts).await.shows(recording(), (10..100).chain(150..240));
    }
    let blind = (0..2).map(|at| opened(at, sound)).collect();
    let clip = Clip { start: time(0), end: time(100), segments: blind, lead: Vec::new() };
    let error = smart(&pool(), vec![clip], CutFormat::Ts).await.unwrap_err();
    assert!(matches!(&error, FfmpegError::Unsuitable(why) if why.contains("no video")), "{error}");
}

/// What stands in that file, in place of a segment.
fn opened(at: usize, file: &str) -> CutSegment {
    let file = file.to_owned();
    CutSegment { open: Box::new(move || std::fs::File::open(&file)), ..recording().segment(at) }
}

#[tokio::test]
async fn a_cut_goes_on_without_neighbours_that_cannot_be_read() {
    let other = mpeg2().path(0);
    for instead in ["/nowhere", "/dev/null", other.to_str().unwrap()] {
        let segments = vec![opened(0, instead), recording().segment(1), opened(2, instead)];
        let clip = Clip { start: time(50), end: time(100), segments, lead: Vec::new() };
        let cut = made_of(vec![clip], CutFormat::Ts).await;
        assert_eq!(cut.numbers(recording()), (50..100).collect::<Vec<_>>(), "{instead}");
        assert!(cut.times("a:0").len() > 80, "its own sound is there");
    }
}

#[tokio::test]
async fn what_cannot_be_cut_exactly_is_refused_with_a_reason() {
    let other = mpeg2();
    let error = smart(&pool(), vec![clip(other, time(10), time(40))], CutFormat::Ts).await.unwrap_err();
    assert_eq!(check(&pool(), vec![clip(other, time(10), time(40))]).await.unwrap_err(), error);
    assert_eq!(check(&pool(), vec![clip(recording(), time(10), time(40))]).await, Ok(()));
    assert!(
        matches!(&error, FfmpegError::Unsuitable(why) if why.contains("MPEG-2") && why.contains("rough")),
        "{error}"
    );
    let empty = smart(&pool(), vec![clip(recording(), time(5_000), time(6_000))], CutFormat::Mp4).await.unwrap_err();
    assert!(matches!(empty, FfmpegError::Nothing(_)), "{empty}");
}
