//! What is read agrees with what ffmpeg says of the same file, and no bytes make it panic.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use proptest::prelude::*;

use crate::media::packet::LEN;
use crate::media::{Coding, Facts, Reading, facts as read, h264, hevc, nal, sound};

fn run(program: &str, arguments: &str) -> Option<String> {
    let output = Command::new(program).args(arguments.split_whitespace()).output().ok()?;
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A transport stream of a second that a real encoder made, and what ffprobe says of its picture.
struct Made {
    bytes: Vec<u8>,
    size: Option<(u32, u32)>,
    rate_millis: Option<u32>,
    /// As ffmpeg writes it into a master playlist.
    codecs: String,
}

/// `None` where there is no ffmpeg; `scripts/test` sees to it that there is one.
fn made(options: &str) -> Option<Made> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (file, list) = (at("list0.ts"), at("list.m3u8"));
    let hls = format!("-f hls -hls_time 60 -master_pl_name master.m3u8 {list}");
    run("ffmpeg", &format!("-nostdin -v error -f lavfi -i sine=r=48000:d=1 {options} {hls}"))?;
    let said = run(
        "ffprobe",
        &format!("-v error -select_streams v -show_entries stream=width,height,r_frame_rate -of csv=p=0 {file}"),
    )?;
    let picture: Vec<u32> =
        said.lines().next().unwrap_or_default().split([',', '/']).filter_map(|part| part.parse().ok()).collect();
    let (size, rate_millis) = match picture.as_slice() {
        [width, height, pictures, seconds] => {
            (Some((*width, *height)), Some((pictures * 1_000 + seconds / 2) / seconds))
        }
        _ => (None, None),
    };
    let master = fs::read_to_string(at("master.m3u8")).unwrap_or_default();
    let codecs = master.split_once("CODECS=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(codecs, _)| codecs);
    Some(Made { bytes: fs::read(file).unwrap(), size, rate_millis, codecs: codecs.unwrap_or_default().to_owned() })
}

/// A picture of this size, so often a second.
fn film(size: &str, rate: &str) -> String {
    format!("-f lavfi -i testsrc=size={size}:rate={rate}:d=1")
}

#[test]
fn what_real_encoders_write_is_read_as_ffmpeg_reads_it() {
    let cases = [
        (film("640x360", "30"), "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"),
        (film("1920x1080", "30000/1001"), "-c:v libx264 -preset ultrafast -profile:v main -pix_fmt yuv420p -c:a aac"),
        (film("1920x1080", "25"), "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -flags +ilme+ildct -c:a aac"),
        (film("426x238", "60"), "-c:v libx264 -preset ultrafast -profile:v baseline -pix_fmt yuv420p -c:a aac"),
        (film("322x182", "50"), "-c:v libx264 -preset veryfast -pix_fmt yuv422p -c:a aac"),
        (film("321x181", "24"), "-c:v libx264 -preset veryfast -pix_fmt yuv444p -c:a aac"),
        (film("320x180", "24000/1001"), "-c:v libx264 -preset ultrafast -pix_fmt gray -c:a aac"),
    ];
    for (film, encoders) in cases {
        let Some(made) = made(&format!("{film} {encoders}")) else { return };
        let Reading { facts, wants_more } = read(&made.bytes);
        assert_eq!(facts.codecs.as_deref(), Some(made.codecs.as_str()), "{film} {encoders}");
        assert_eq!((facts.size, facts.rate_millis), (made.size, made.rate_millis), "{film} {encoders}");
        assert!(facts.independent && !wants_more, "{film} {encoders}");
        assert!(facts.size.is_some() && facts.rate_millis.is_some());
    }
}

#[test]
fn other_codecs_are_told_where_they_are_known_and_otherwise_none_are() {
    let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=error:open-gop=0 -pix_fmt yuv420p";
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let cases = [
        // Main, level 2 (60 in thirtieths): as the standard's annex E writes it.
        (format!("{} {hevc} -c:a aac", film("320x180", "25")), Some("hvc1.1.6.L60.90,mp4a.40.2"), true),
        (format!("{} {x264} -c:a libmp3lame", film("320x180", "25")), Some("avc1.42c00c,mp4a.40.34"), true),
        (format!("{} {x264} -c:a mp2", film("320x180", "25")), Some("avc1.42c00c,mp4a.40.33"), true),
        (format!("{} {x264} -c:a ac3", film("320x180", "25")), Some("avc1.42c00c,ac-3"), true),
        (format!("{} {x264} -c:a eac3", film("320x180", "25")), Some("avc1.42c00c,ec-3"), true),
        (format!("{} {x264} -c:a libopus", film("320x180", "25")), None, true),
        (format!("{} -c:v mpeg2video -c:a aac", film("320x180", "25")), None, false),
        ("-c:a aac".to_owned(), Some("mp4a.40.2"), true),
    ];
    for (options, codecs, independent) in cases {
        let Some(made) = made(&options) else { return };
        let facts = read(&made.bytes).facts;
        assert_eq!(facts.codecs.as_deref(), codecs, "{options}");
        assert_eq!(facts.independent, independent, "{options}");
        if facts.size.is_some() {
            assert_eq!(facts.size, made.size, "{options}");
        }
    }
}

#[test]
fn what_begins_in_the_middle_does_not_stand_by_itself() {
    let options = format!("{} -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 10 -c:a aac", film("320x180", "25"));
    let Some(made) = made(&options) else { return };
    let whole = read(&made.bytes).facts;
    assert!(whole.independent);
    let (packets, _) = made.bytes.as_chunks::<LEN>();
    // PAT (0) and PMT (0x1000); the picture is 0x100.
    let is_table = |packet: &[u8; LEN]| matches!((packet[1] & 0x1f, packet[2]), (0 | 0x10, 0));
    let tables = || packets.iter().filter(|packet| is_table(packet)).take(2);
    let pictures: Vec<usize> = packets
        .iter()
        .enumerate()
        .filter(|(_, packet)| packet[1] == 0x41 && packet[2] == 0)
        .map(|(at, _)| at)
        .collect();
    let from = |at: usize| tables().chain(&packets[at..]).flatten().copied().collect::<Vec<u8>>();
    // Of the ten pictures of a group only the first one stands by itself.
    let stand: Vec<bool> = pictures.iter().map(|at| read(&from(*at)).facts.independent).collect();
    let every_tenth: Vec<bool> = (0..25).map(|picture| picture % 10 == 0).collect();
    assert_eq!(stand, every_tenth);
    // What comes later still says what the pictures are.
    let later = read(&from(pictures[1])).facts;
    assert_eq!(later, Facts { independent: false, ..whole.clone() });
    // In the middle of a picture, and before the tables.
    assert!(!read(&from(pictures[0] + 1)).facts.independent);
    let late: Vec<u8> = packets[pictures[0]..].iter().flatten().copied().collect();
    assert!(!read(&late).facts.independent);
}

#[test]
fn samples_are_what_ffprobe_says_of_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/desertbus");
    for (quality, size) in [("source", (64, 36)), ("480p", (48, 32))] {
        let mut count = 0;
        for file in fs::read_dir(root.join(quality).join("2019-11-13T02")).unwrap().map(|file| file.unwrap().path()) {
            if file.to_str().unwrap().contains("-full-") && file.extension().unwrap() == "ts" {
                let facts = read(&fs::read(&file).unwrap()).facts;
                let codecs = Some("avc1.f4000a,mp4a.40.2".to_owned());
                assert_eq!(
                    facts,
                    Facts { codecs, size: Some(size), rate_millis: Some(3_000), independent: true },
                    "{file:?}"
                );
                count += 1;
            }
        }
        assert!(count > 100);
    }
}

#[test]
fn too_few_bytes_ask_for_more() {
    let bytes = sample();
    assert_eq!(read(&bytes[..LEN]), Reading { facts: Facts::default(), wants_more: true });
    assert!(read(&bytes[..3 * LEN]).wants_more);
    assert!(!read(&bytes).wants_more);
    for other in [&b"ftypisom"[..], &[0; 4000], &[]] {
        assert_eq!(read(other), Reading::default());
    }
}

fn sample() -> Vec<u8> {
    static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let hour = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive/desertbus/480p/2019-11-13T02");
        fs::read(hour.join("55:21.000001-2.0-full-SlkXg7n8yJJ1SZtL6wkLzt5s9QviUy9TJnCx1HWsz54.ts")).unwrap()
    });
    SAMPLE.clone()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let mut packets = bytes.clone();
        for packet in packets.chunks_mut(LEN) {
            packet[0] = 0x47;
        }
        let _either = (read(&bytes), read(&packets));
        let _described = (h264::describe(&bytes), hevc::describe(&bytes), nal::units(&bytes).count());
        for coding in [Coding::Aac, Coding::MpegAudio, Coding::Dolby] {
            let _sound = sound::describe(coding, &bytes);
        }
    }

    #[test]
    fn no_parameters_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in prop::sample::select(vec![0x67_u8, 0x42])) {
        let stream = [&[0, 0, 1, kind, 1], bytes.as_slice(), &[0, 0, 1]].concat();
        let _either = (h264::describe(&stream), hevc::describe(&stream));
    }

    #[test]
    fn damage_to_a_real_one_never_panics(spots in prop::collection::vec((0..4_000_usize, any::<u8>()), 1..30), length in 0..8_000_usize) {
        let mut bytes = sample();
        for (at, byte) in spots {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        let _told = read(&bytes);
    }
}
