//! A recording to cut: real segments made by a real ffmpeg, once for all tests; and what a decoder makes of what comes out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::Registry;
use tempfile::TempDir;

use crate::archive::{Span, Timestamp};
use crate::play::ffmpeg::{CutSegment, LookAhead, Pool, PoolOptions};

/// Pictures a second.
pub const RATE: i64 = 25;
pub const WIDTH: usize = 160;
pub const HEIGHT: usize = 90;
/// When the recording begins.
pub const BEGIN: Timestamp = Timestamp::from_us(1_573_613_708_000_000);
/// Each segment lasts so long, and has two groups of pictures.
pub const SEGMENT: Span = Span::from_us(2_000_000);
pub const SEGMENTS: usize = 6;

pub struct Recording {
    pub directory: TempDir,
    /// How its segments are called.
    ending: &'static str,
    /// Of which all of it is decoded, to know its pictures; the segments one behind the other, if none is named.
    original: Option<PathBuf>,
    pictures: OnceLock<Vec<Vec<u8>>>,
}

pub fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Without sound.
pub fn silent() -> &'static Recording {
    static SILENT: OnceLock<Recording> = OnceLock::new();
    SILENT.get_or_init(|| record(&["-c:v", "libx264", "-bf", "2", "-x264-params", "scenecut=0", "-an"]))
}

/// Of a kind that cannot be cut exactly.
pub fn mpeg2() -> &'static Recording {
    static MPEG2: OnceLock<Recording> = OnceLock::new();
    MPEG2.get_or_init(|| record(&["-c:v", "mpeg2video", "-c:a", "aac"]))
}

/// With pictures that are shown in another order than they are decoded.
pub fn recording() -> &'static Recording {
    static RECORDING: OnceLock<Recording> = OnceLock::new();
    RECORDING.get_or_init(|| record(&["-c:v", "libx264", "-bf", "2", "-x264-params", "scenecut=0", "-c:a", "aac"]))
}

pub fn record(codecs: &[&str]) -> Recording {
    let directory = tempfile::tempdir().unwrap();
    let (video, sound) =
        (format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}"), "sine=frequency=440:sample_rate=48000");
    let length = (SEGMENTS * 2).to_string();
    let mut args = vec!["-loglevel", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", sound, "-t", &length];
    args.extend(codecs);
    // As one stream first: each key frame brings its parameters then, as those of recorders do.
    let (stream, pattern) = (directory.path().join("stream"), directory.path().join("%03d.ts"));
    let (stream, pattern) = (stream.to_str().unwrap(), pattern.to_str().unwrap());
    args.extend(["-g", "25", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-f", "mpegts", stream]);
    run("ffmpeg", &args);
    let cut = ["-c", "copy", "-f", "segment", "-segment_time", "2", "-segment_format", "mpegts", pattern];
    run("ffmpeg", &[&["-loglevel", "error", "-i", stream], &cut[..]].concat());
    Recording { directory, ending: "ts", original: None, pictures: OnceLock::new() }
}

/// The same in fragmented MP4: each segment with the initialisation segment in front, as a recorder leaves it.
pub fn record_mp4(codecs: &[&str]) -> Recording {
    let directory = tempfile::tempdir().unwrap();
    let (video, sound) =
        (format!("testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}"), "sine=frequency=440:sample_rate=48000");
    let length = (SEGMENTS * 2).to_string();
    let mut args = vec!["-loglevel", "error", "-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", sound, "-t", &length];
    args.extend(codecs);
    let (stream, list) = (directory.path().join("stream.mp4"), directory.path().join("list.m3u8"));
    args.extend(["-g", "25", "-preset", "veryfast", "-pix_fmt", "yuv420p", stream.to_str().unwrap()]);
    run("ffmpeg", &args);
    let cut = ["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"];
    let (from, to) = (stream.to_str().unwrap(), list.to_str().unwrap());
    run("ffmpeg", &[&["-loglevel", "error", "-i", from], &cut[..], &[to]].concat());
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    for at in 0..SEGMENTS {
        let whole = [read("init.mp4"), read(&format!("list{at}.m4s"))].concat();
        std::fs::write(directory.path().join(format!("{at:03}.mp4")), whole).unwrap();
    }
    Recording { directory, ending: "mp4", original: Some(stream), pictures: OnceLock::new() }
}

/// With pictures that are shown in another order than they are decoded.
pub fn recording_mp4() -> &'static Recording {
    static RECORDING: OnceLock<Recording> = OnceLock::new();
    RECORDING.get_or_init(|| record_mp4(&["-c:v", "libx264", "-bf", "2", "-x264-params", "scenecut=0", "-c:a", "aac"]))
}

impl Recording {
    /// Each picture of the recording, in grey. Many a test looks at none.
    pub fn pictures(&self) -> &[Vec<u8>] {
        self.pictures.get_or_init(|| {
            let whole = self.original.clone().unwrap_or_else(|| {
                let whole = self.directory.path().join("whole.ts");
                let segments = (0..SEGMENTS).map(|at| std::fs::read(self.path(at)).unwrap());
                std::fs::write(&whole, segments.collect::<Vec<_>>().concat()).unwrap();
                whole
            });
            // Where segments meet the counters of their packets do not go on, which a decoder remarks upon.
            let pictures = decoded(&whole).0;
            assert_eq!(pictures.len(), SEGMENTS * 50);
            pictures
        })
    }

    pub fn path(&self, at: usize) -> PathBuf {
        self.directory.path().join(format!("{at:03}.{}", self.ending))
    }

    pub fn segment(&self, at: usize) -> CutSegment {
        let file = self.path(at);
        let start = BEGIN + Span::from_us(SEGMENT.us() * i64::try_from(at).unwrap());
        CutSegment {
            start,
            duration: SEGMENT,
            is_full: true,
            ahead: LookAhead::Nothing,
            open: Box::new(move || File::open(&file)),
        }
    }

    pub fn segments(&self) -> Vec<CutSegment> {
        (0..SEGMENTS).map(|at| self.segment(at)).collect()
    }

    /// Which picture of the recording this one is, as it may have been encoded anew. Looked for from `hint` on.
    pub fn number(&self, picture: &[u8], hint: usize) -> usize {
        let (mut best, mut nearest) = (u64::MAX, 0);
        let pictures = self.pictures();
        for at in (0..pictures.len()).map(|at| (at + hint) % pictures.len()) {
            let mut distance = 0;
            // Most are given up after the first lines.
            for (ours, other) in pictures[at].chunks(WIDTH).zip(picture.chunks(WIDTH)) {
                distance += ours.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>();
                if distance >= best {
                    break;
                }
            }
            if distance < best {
                (best, nearest) = (distance, at);
            }
        }
        nearest
    }
}

/// The pictures that a decoder makes of a file, without a complaint.
pub fn pictures(file: &Path) -> Vec<Vec<u8>> {
    let (pictures, said) = decoded(file);
    assert_eq!(said, "");
    pictures
}

fn decoded(file: &Path) -> (Vec<Vec<u8>>, String) {
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "warning", "-i", file.to_str().unwrap(), "-map", "0:v:0"])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (output.stdout.chunks(WIDTH * HEIGHT).map(<[u8]>::to_vec).collect(), said)
}

/// When that picture is shown.
pub fn time(picture: i64) -> Timestamp {
    BEGIN + Span::from_us(picture * 1_000_000 / RATE)
}

pub fn pool() -> Arc<Pool> {
    pool_of("ffmpeg", Duration::from_secs(60))
}

pub fn pool_of(program: &str, time: Duration) -> Arc<Pool> {
    of(program, 2, time)
}

/// One process at a time.
pub fn pool_of_one() -> Arc<Pool> {
    of("ffmpeg", 1, Duration::from_secs(60))
}

fn of(program: &str, processes: usize, time: Duration) -> Arc<Pool> {
    let options = PoolOptions { program: program.to_owned(), processes, time };
    Arc::new(Pool::new(options, &Registry::new()).unwrap())
}
