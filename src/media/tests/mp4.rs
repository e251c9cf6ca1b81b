//! What real encoders write as fragmented MP4 is read as it was meant, whatever is missing is noticed, and no bytes make it panic.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use crate::media::{Change, Coding, Mp4Reader, Segment, StreamFault, StreamVerdict, Unit};

/// A stream of six seconds in segments of two, as ffmpeg writes it for players; nothing where there is no ffmpeg, which `scripts/test` installs.
pub(super) struct Clip {
    init: Vec<u8>,
    pub(super) media: Vec<Vec<u8>>,
    /// What ffmpeg says that it is.
    codecs: String,
}

impl Clip {
    fn of(encoder: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let input = "-v error -f lavfi -i testsrc=s=320x180:r=25:d=6 -f lavfi -i sine=f=440:r=48000:d=6 -g 50 -keyint_min 50 -sc_threshold 0";
        let muxer =
            "-f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -master_pl_name master.m3u8 list.m3u8";
        let args = input.split(' ').chain(encoder.iter().copied()).chain(muxer.split(' '));
        let output = Command::new("ffmpeg").args(args).current_dir(dir.path()).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let master = String::from_utf8(read("master.m3u8")).unwrap();
        let codecs = master.split_once("CODECS=\"").map_or("", |(_, rest)| rest.split('"').next().unwrap());
        let media = (0..3).map(|number| read(&format!("list{number}.m4s"))).collect();
        Some(Self { init: read("init.mp4"), media, codecs: codecs.to_owned() })
    }

    pub(super) fn h264() -> Option<Self> {
        Self::of(&["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"])
    }

    pub(super) fn segment(&self, number: usize) -> Vec<u8> {
        [&self.init[..], &self.media[number]].concat()
    }
}

fn verdict(bytes: &[u8], named_us: u64) -> StreamVerdict {
    Mp4Reader::of(bytes).finish(named_us)
}

/// The same with what passes by left out.
fn in_pieces(bytes: &[u8], piece: usize) -> Mp4Reader {
    let (mut reader, mut at) = (Mp4Reader::default(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let now = &rest[..piece.min(rest.len())];
        reader.feed(now);
        at += now.len();
        let passing = usize::try_from(reader.passing()).unwrap().min(bytes.len() - at);
        reader.pass(passing as u64);
        at += passing;
    }
    reader
}

fn faults(bytes: &[u8]) -> Vec<StreamFault> {
    match verdict(bytes, 2_000_000) {
        StreamVerdict::Faulty(faults) => faults,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_ffmpeg_writes_is_sound_and_says_what_ffmpeg_says_of_it() {
    let Some(clip) = Clip::h264() else { return };
    for number in 0..3 {
        let bytes = clip.segment(number);
        let reader = Mp4Reader::of(&bytes);
        assert_eq!(reader.section().unwrap().length() as usize, clip.init.len());
        let facts = reader.facts();
        assert_eq!(facts.codecs.as_deref().unwrap().to_lowercase(), clip.codecs.to_lowercase());
        assert_eq!((facts.size, facts.rate_millis, facts.independent), (Some((320, 180)), Some(25_000), true));
        assert_eq!(reader.finish(2_000_000), StreamVerdict::Sound);
        for piece in [1, 7, 1_000, bytes.len()] {
            let other = in_pieces(&bytes, piece);
            assert_eq!(other.edges(true), Mp4Reader::of(&bytes).edges(true), "{piece}");
            assert_eq!(other.finish(2_000_000), StreamVerdict::Sound, "{piece}");
        }
        assert!(
            matches!(verdict(&bytes, 3_000_000), StreamVerdict::Faulty(faults) if matches!(faults[..], [StreamFault::Span { found_us: 1_980_000..2_020_000, .. }]))
        );
    }
}

#[test]
fn segments_go_on_where_the_one_before_ends_and_leaps_are_seen() {
    let Some(clip) = Clip::h264() else { return };
    let edges: Vec<_> = (0..3).map(|number| Mp4Reader::of(&clip.segment(number)).edges(true)).collect();
    assert_eq!(edges[0].change(2_000_000, &edges[1]), None);
    assert_eq!(edges[1].change(2_000_000, &edges[2]), None);
    assert_eq!(edges[0].change(2_000_000, &edges[2]), Some(Change::Times));
    assert!(edges.iter().all(|one| one.init == edges[0].init && one.init.is_some()));
}

#[test]
fn other_codecs_are_called_by_their_names() {
    let coded: [(&[&str], &str); 3] = [
        (
            &[
                "-c:v",
                "libx265",
                "-tag:v",
                "hvc1",
                "-x265-params",
                "log-level=none",
                "-pix_fmt",
                "yuv420p",
                "-c:a",
                "ac3",
            ],
            "hvc1.1.6.L60.90,ac-3",
        ),
        (
            &["-c:v", "libx265", "-tag:v", "hev1", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p", "-an"],
            "hev1.1.6.L60.90",
        ),
        (&["-vn", "-c:a", "aac"], "mp4a.40.2"),
    ];
    for (encoder, codecs) in coded {
        let Some(clip) = Clip::of(encoder) else { return };
        let reader = Mp4Reader::of(&clip.segment(0));
        assert_eq!(reader.facts().codecs.as_deref(), Some(codecs));
        assert!(reader.facts().independent);
    }
}

#[test]
fn whatever_is_missing_is_noticed() {
    let Some(clip) = Clip::h264() else { return };
    let whole = clip.segment(1);
    for cut in (clip.init.len() + 1..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let kinds: Vec<&str> = faults(&whole[..cut]).iter().map(StreamFault::kind).collect();
        assert!(matches!(kinds[..], ["cut" | "samples", ..] | ["no_media"]), "{cut}: {kinds:?}");
    }
    assert_eq!(faults(&clip.init), [StreamFault::NoMedia]);
    assert_eq!(faults(&clip.media[1]), [StreamFault::NoInit]);
    assert_eq!(faults(&[]), [StreamFault::Empty]);
    assert_eq!(faults(&[0; 4_096]), [StreamFault::AllZero]);
    let twice = [&whole[..], &clip.media[0]].concat();
    assert!(matches!(faults(&twice)[0], StreamFault::Jump { by_us: ..-1_000_000, .. }), "{:?}", faults(&twice));
    // Samples of a track that the initialisation segment of another stream does not have.
    let Some(other) = Clip::of(&["-vn", "-c:a", "aac"]) else { return };
    assert!(faults(&[&other.init[..], &clip.media[0]].concat()).iter().any(|fault| fault.kind() == "track"));
    // A file that is complete has no fragments, and is not judged.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.mp4"), &whole).unwrap();
    let run = Command::new("ffmpeg").args("-v error -i in.mp4 -c copy out.mp4".split(' ')).current_dir(&dir).status();
    assert!(run.unwrap().success());
    assert_eq!(verdict(&std::fs::read(dir.path().join("out.mp4")).unwrap(), 2_000_000), StreamVerdict::Other);
    assert_eq!(verdict(&[0x47; 1_880], 2_000_000), StreamVerdict::Other);
    assert!(
        Mp4Reader::begins(&whole)
            && !Mp4Reader::begins(&[0x47; 188])
            && !Mp4Reader::begins(Path::new("x").as_os_str().as_encoded_bytes())
    );
}

/// The same packed into a transport stream by ffmpeg.
fn packed_anew(segment: &[u8]) -> Segment {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.mp4"), segment).unwrap();
    let args = "-v error -i in.mp4 -c copy -muxdelay 0 -muxpreload 0 -f mpegts out.ts";
    assert!(Command::new("ffmpeg").args(args.split(' ')).current_dir(&dir).status().unwrap().success());
    Segment::read(&std::fs::read(dir.path().join("out.ts")).unwrap())
}

/// Times from the first picture on, and whether decoding may begin there. ffmpeg writes parameters beside few of these.
fn said(units: &[Unit], first: i64) -> Vec<(i64, i64, bool)> {
    units.iter().map(|unit| (unit.pts - first, unit.dts - first, unit.marks.random_access)).collect()
}

#[test]
fn pictures_and_sound_are_those_of_the_same_stream_in_a_transport_stream() {
    let hevc = "-c:v libx265 -tag:v hvc1 -x265-params log-level=none:bframes=3 -pix_fmt yuv420p -c:a ac3";
    let in_band = "-c:v libx265 -tag:v hev1 -x265-params log-level=none -pix_fmt yuv420p -c:a eac3";
    let open = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 -x264-params open-gop=1 -c:a mp2";
    let closed = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 3 -c:a aac -ac 2";
    let codings = [
        (closed, Coding::H264, Coding::Aac),
        (open, Coding::H264, Coding::MpegAudio),
        (hevc, Coding::Hevc, Coding::Dolby),
        (in_band, Coding::Hevc, Coding::EnhancedDolby),
    ];
    for (encoder, video, sound) in codings {
        let Some(clip) = Clip::of(&encoder.split(' ').collect::<Vec<_>>()) else { return };
        for number in 0..3 {
            let segment = clip.segment(number);
            let (ours, theirs) = (Segment::read(&segment), packed_anew(&segment));
            assert_eq!(ours.codings(), (Some(video), Some(sound)), "{encoder}");
            assert_eq!(ours.stretches.len(), 1, "{encoder}");
            let (first, other) = (ours.first_pts().unwrap(), theirs.first_pts().unwrap());
            assert_eq!(said(&ours.video, first), said(&theirs.video, other), "{encoder} {number}");
            let parameters = ours.video[0].marks.entry.is_some();
            assert!(parameters && ours.video[0].data.starts_with(&[0, 0, 0, 1]), "{encoder} {number}");
            // What lies before the first stamp of a new stream is not packed, and times are rounded by the clocks of both.
            let (mine, frames) = (ours.sound_frames(), theirs.sound_frames());
            let frames: Vec<_> = frames.iter().filter(|frame| frame.pts - other > 4_000).collect();
            let mine: Vec<_> = mine.iter().filter(|frame| frame.pts - first > 4_000).collect();
            assert!(mine.len() > 40 && mine.len().abs_diff(frames.len()) <= 1, "{encoder} {number}");
            let begin = mine.iter().position(|frame| frame.data == frames[1].data).expect("the same frame");
            let off = (mine[begin].pts - first) - (frames[1].pts - other);
            assert!(off.abs() <= 10 && begin <= 2, "{encoder} {number}: {off} {begin}");
            assert!(mine.iter().skip(begin).zip(frames.iter().skip(1)).all(|(mine, frame)| mine.data == frame.data));
        }
        // Where the end is missing all before it is there.
        let whole = clip.segment(1);
        let all = Segment::read(&whole);
        let cuts = (clip.init.len()..whole.len()).step_by(200).map(|length| Segment::read(&whole[..length]));
        let part = cuts.into_iter().find(|part| part.video.len() > 10).unwrap();
        assert!(part.video.len() < all.video.len(), "{encoder}: {}", part.video.len());
        assert_eq!(part.video[..], all.video[..part.video.len()]);
    }
}

#[test]
fn what_is_encrypted_or_not_understood_is_there_and_is_not_read() {
    let Some(clip) = Clip::h264() else { return };
    let renamed = |from: &[u8; 4], to: &[u8; 4]| {
        let mut bytes = clip.segment(0);
        let table = bytes.windows(4).position(|name| name == b"stsd").unwrap();
        let entry = table
            + bytes[table..].windows(4).position(|name| name == from).unwrap_or_else(|| {
                let second = bytes[table + 4..].windows(4).position(|name| name == b"stsd").unwrap() + 4;
                second + bytes[table + second..].windows(4).position(|name| name == from).unwrap()
            });
        bytes[entry..entry + 4].copy_from_slice(to);
        Segment::read(&bytes)
    };
    let encrypted = renamed(b"avc1", b"encv");
    assert!(encrypted.stretches[0].scrambled && encrypted.video.is_empty() && !encrypted.sound.is_empty());
    let other = renamed(b"avc1", b"vp09");
    assert!(other.stretches[0].unknown.is_some() && other.stretches[0].video.is_none() && other.video.is_empty());
    let silent = renamed(b"mp4a", b"enca");
    assert!(silent.stretches[0].scrambled && silent.sound.is_empty() && silent.video.len() == 50);
}

#[test]
fn what_is_told_of_samples_has_a_bound_whatever_describes_them() {
    let Some(clip) = Clip::h264() else { return };
    let mut bytes = clip.segment(0);
    let run = bytes.windows(4).position(|name| name == b"trun").unwrap();
    // None is described any more, there are four thousand million of them, and each has as many bytes as the box that says so, or none.
    for size in [0, 1, 600] {
        let header = bytes.windows(4).position(|name| name == b"tfhd").unwrap();
        bytes[header + 20..header + 24].copy_from_slice(&u32::to_be_bytes(size));
        bytes[run + 4..run + 12].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        let segment = Segment::read(&bytes);
        let told: usize = segment.video.iter().map(|unit| unit.data.len()).sum();
        assert!(segment.video.len() <= 500_000 && told <= 3 * bytes.len() + (1 << 20), "{size}: {told}");
    }
}

/// Boxes of any names that matter, within each other, whose lengths are mostly right.
pub(super) fn any_boxes() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop::collection::vec(any::<u8>(), 0..80);
    leaf.prop_recursive(6, 64, 5, |inner| {
        let names = "(ftyp|moov|trak|mdia|minf|stbl|stsd|avc1|avcC|hvc1|hvcC|mp4a|esds|hdlr|tkhd|mdhd|mvex|trex|moof|traf|tfhd|tfdt|trun|mdat|styp)";
        let one = (names, inner, prop::option::weighted(0.1, any::<u32>())).prop_map(|(name, body, length)| {
            let length = length.unwrap_or(u32::try_from(body.len()).unwrap() + 8);
            [&length.to_be_bytes()[..], name.as_bytes(), &body].concat()
        });
        prop::collection::vec(one, 1..6).prop_map(|all| all.concat())
    })
}

fn read_all(bytes: &[u8], piece: usize) -> (String, StreamVerdict) {
    let reader = in_pieces(bytes, piece);
    let held = Segment::read(bytes);
    let (first, frames) = (held.first_pts(), held.sound_frames().len());
    let said = format!("{:?} {:?} {:?} {first:?} {frames}", reader.facts(), reader.edges(true), reader.wants_more());
    (said, reader.finish(2_000_000))
}

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_in_any_pieces(bytes in any_boxes(), piece in 1_usize..200) {
        prop_assert_eq!(read_all(&bytes, piece), read_all(&bytes, usize::MAX));
    }

    #[test]
    fn bytes_that_are_changed_in_a_real_file_are_read_or_refused(places in prop::collection::vec((0_usize..3_000, any::<u8>()), 1..12), piece in 1_usize..2_000) {
        static CLIP: std::sync::OnceLock<Option<Clip>> = std::sync::OnceLock::new();
        let Some(clip) = CLIP.get_or_init(Clip::h264) else { return Ok(()) };
        let mut bytes = clip.segment(0);
        for (place, byte) in places {
            bytes[place] = byte;
        }
        prop_assert_eq!(read_all(&bytes, piece), read_all(&bytes, usize::MAX));
    }
}
