//! The reader finds what `ffprobe -show_packets` finds: pictures, frames of sound, and the first and the last of their times, in samples
//! and in streams that were put together at random.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::media::packet::LEN;
use crate::media::{Coding, Segment, distance};

/// Streams that are put together at random.
const STREAMS: usize = 10;

/// Times of frames that lie in one unit are reckoned, and rounded.
const ROUNDED: u64 = 2;

/// The output; `None` where there is no such program. `scripts/test` sees to it that there is.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// When pictures are shown and frames of sound are heard, in order.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    pictures: Vec<i64>,
    frames: Vec<i64>,
}

fn probed(file: &Path) -> Option<Found> {
    let mut found = Found { pictures: Vec::new(), frames: Vec::new() };
    let args = ["-v", "quiet", "-f", "mpegts", "-show_entries", "packet=codec_type,pts", "-of", "csv=p=0"];
    for line in run("ffprobe", &[&args, &[file.to_str().unwrap()][..]].concat())?.lines() {
        let mut parts = line.split(',');
        let (kind, pts) = (parts.next(), parts.next().and_then(|pts| pts.parse().ok()));
        match (kind, pts) {
            (Some("video"), Some(pts)) => found.pictures.push(pts),
            (Some("audio"), Some(pts)) => found.frames.push(pts),
            _ => {}
        }
    }
    Some(found)
}

fn read(bytes: &[u8]) -> Found {
    let segment = Segment::read(bytes);
    let pictures = segment.video.iter().map(|unit| unit.pts).collect();
    Found { pictures, frames: segment.sound_frames().iter().map(|frame| frame.pts).collect() }
}

/// Compares; times only where they have one base, and of sound that is not cut between its frames nothing.
fn compare(what: &str, bytes: &[u8], probed: &Found, with_times: bool) {
    let found = read(bytes);
    assert_eq!(found.pictures.len(), probed.pictures.len(), "pictures of {what}");
    if Segment::read(bytes).codings().1.is_some_and(Coding::is_cut_in_frames) {
        assert_eq!(found.frames.len(), probed.frames.len(), "frames of sound of {what}");
    }
    if !with_times {
        return;
    }
    for (ours, theirs) in [(&found.pictures, &probed.pictures), (&found.frames, &probed.frames)] {
        let (Some(first), Some(last)) = (ours.first().zip(theirs.first()), ours.last().zip(theirs.last())) else {
            continue;
        };
        for (time, wanted) in [first, last] {
            assert!(distance(*wanted, *time).unsigned_abs() <= ROUNDED, "{what}: {time} and not {wanted}");
        }
    }
}

#[test]
fn samples_hold_what_ffprobe_finds_in_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/desertbus");
    for quality in ["source", "480p"] {
        let mut files: Vec<PathBuf> = Vec::new();
        for hour in fs::read_dir(root.join(quality)).unwrap() {
            files.extend(fs::read_dir(hour.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
        files.retain(|file| {
            file.to_string_lossy().contains("-full-") && file.extension().is_some_and(|end| end == "ts")
        });
        files.sort();
        for file in files.iter().step_by(files.len() / 6) {
            let bytes = fs::read(file).unwrap();
            // Where a file ends within a packet, what is left of its last unit is a matter of taste.
            if bytes.len().is_multiple_of(LEN) {
                let Some(probed) = probed(file) else { return };
                compare(&file.to_string_lossy(), &bytes, &probed, true);
            }
        }
    }
}

/// Numbers that follow from a seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A second of film by a real encoder.
fn film(directory: &Path, at: usize, codecs: &str) -> Option<String> {
    let file = directory.join(format!("film{at}.ts")).to_str().unwrap().to_owned();
    let source = "-v error -nostdin -f lavfi -i testsrc2=size=64x48:rate=25:d=1 -f lavfi -i sine=d=1 -pix_fmt yuv420p";
    let args: Vec<&str> = source.split(' ').chain(codecs.split(' ')).chain([file.as_str()]).collect();
    run("ffmpeg", &args).map(|_| file)
}

/// The same packed anew, without encoding.
fn packed(film: &str, options: &str) -> Option<Vec<u8>> {
    let output = format!("{film}.packed.ts");
    let args = format!("-v error -nostdin -y -i {film} -c copy {options} -f mpegts {output}");
    run("ffmpeg", &args.split_whitespace().collect::<Vec<_>>())?;
    Some(fs::read(output).unwrap())
}

#[test]
fn streams_that_change_at_random_hold_what_ffprobe_finds_in_them() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let given = std::env::var("GAPLESS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| u64::try_from(now % 1_000_000_007).unwrap());
    let mut chance = Chance(seed + 1);
    let directory = tempfile::tempdir().unwrap();
    let codecs = [
        "-c:v libx264 -preset veryfast -bf 2 -c:a aac",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a aac -ar 48000",
        "-c:v mpeg2video -c:a mp2",
        "-c:v libx264 -preset veryfast -c:a ac3 -ar 44100",
        "-c:v libx264 -preset veryfast -c:a eac3",
    ];
    let films: Option<Vec<String>> =
        codecs.iter().enumerate().map(|(at, codecs)| film(directory.path(), at, codecs)).collect();
    let Some(films) = films else { return };
    for round in 0..STREAMS {
        let film = &films[usize::try_from(chance.below(5)).unwrap()];
        // Near where stamps start over, or anywhere else.
        let begin = if chance.one_in(3) { 95_441 } else { chance.below(90_000) };
        let mut what = Vec::new();
        let announced = chance.one_in(3);
        let later = if announced { chance.below(90_000) } else { begin + 1 };
        let (mut first, mut second) = (format!("-output_ts_offset {begin}"), format!("-output_ts_offset {later}"));
        if announced {
            what.push("announced");
            second += " -mpegts_flags initial_discontinuity";
        }
        match chance.below(5) {
            0 => {
                what.push("other numbers");
                second += " -mpegts_start_pid 0x300 -tables_version 1";
            }
            1 => {
                what.push("sound comes");
                first += " -an";
                second += " -tables_version 1";
            }
            2 => {
                what.push("sound goes");
                second += " -an -tables_version 1";
            }
            _ => {}
        }
        if chance.one_in(3) {
            what.push("stuffed");
            first += " -muxrate 900k";
        }
        if chance.one_in(4) {
            what.push("short units");
            first += " -pes_payload_size 1";
        }
        let (Some(one), Some(two)) = (packed(film, &first), packed(film, &second)) else { return };
        let mut bytes = [one, two].concat();
        let after = match chance.below(4) {
            0 => 4,
            1 => 16,
            _ => 0,
        };
        if after > 0 {
            what.push(if after == 4 { "packets of 192" } else { "packets of 204" });
            let (before, behind): (&[u8], &[u8]) = if after == 4 { (&[0; 4], &[]) } else { (&[], &[0; 16]) };
            bytes = bytes.chunks(LEN).flat_map(|packet| [before, packet, behind].concat()).collect();
        }
        let what = format!("stream {round} of GAPLESS_SEED={seed}: {film} {what:?} {first} + {second}");
        let stream = directory.path().join("stream.ts");
        fs::write(&stream, &bytes).unwrap();
        let Some(probed) = probed(&stream) else { return };
        compare(&what, &bytes, &probed, !announced);
    }
}
