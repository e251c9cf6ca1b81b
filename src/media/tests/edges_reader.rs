//! What is found in bytes that pass by is what whoever opens the file finds.

use std::convert::Infallible;

use proptest::prelude::*;

use super::mp4::{Clip, any_boxes};
use crate::media::{Coding, Edges, EdgesReader, WINDOW, mp4_edges, ts_edges};

/// As a file of these bytes is read.
fn opened(bytes: &[u8], is_mp4: bool) -> Edges {
    let part = |from: u64, length: u64| {
        let from = usize::try_from(from).unwrap();
        let found = if length == 0 { &[][..] } else { &bytes[from..from + usize::try_from(length).unwrap()] };
        Ok::<_, Infallible>(found.to_vec())
    };
    let length = bytes.len() as u64;
    let Ok(edges) = if is_mp4 { mp4_edges(length, part) } else { ts_edges(length, part) };
    edges
}

fn passing(bytes: &[u8], is_mp4: bool, piece: usize) -> Edges {
    let mut reader = if is_mp4 { EdgesReader::mp4() } else { EdgesReader::ts() };
    bytes.chunks(piece).for_each(|each| reader.push(each));
    reader.finish()
}

/// A recorded transport stream, again and again, as long as this.
fn stream(length: usize) -> Vec<u8> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/desertbus/source/2019-11-13T02");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "ts"));
    files.sort_unstable();
    let recorded: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    recorded.into_iter().cycle().take(length).collect()
}

#[test]
fn both_ends_of_a_transport_stream_of_any_length_are_found_in_any_pieces() {
    for base in [0, 188 * 5, WINDOW, 2 * WINDOW, 3 * WINDOW, 5 * WINDOW] {
        for length in [base, base + 1, (base + 187).next_multiple_of(188), base + 100_000] {
            let bytes = stream(length);
            let expected = opened(&bytes, false);
            assert_eq!(expected != Edges::default(), length > 188 * 4, "{length}");
            for piece in [1_000, 4_096, WINDOW, WINDOW + 1, 1 << 20] {
                assert_eq!(passing(&bytes, false, piece), expected, "{length} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn fragments_are_found_in_any_pieces_and_no_more_of_them_than_in_a_file() {
    let Some(clip) = Clip::h264() else { return };
    let (whole, many) = (clip.segment(0), [clip.segment(0), clip.media[1].repeat(60)].concat());
    let ends = |edges: &Edges| edges.picture.end.is_some();
    assert!(ends(&opened(&whole, true)) && !ends(&opened(&many, true)), "not all of the second one is read");
    for bytes in [&whole[..], &many, &whole[..whole.len() - 1], &whole[..clip.segment(0).len() / 2]] {
        for piece in [1_000, 16 << 10, 1 << 20] {
            assert_eq!(passing(bytes, true, piece), opened(bytes, true), "{} in pieces of {piece}", bytes.len());
        }
    }
}

/// Fingerprints that stand in manifests are made of these: another name is another rule.
#[test]
fn names_of_codings_stay_as_they_are_in_manifests() {
    let names = [
        (Coding::MpegVideo, "MPEG-2 video"),
        (Coding::Mpeg4Video, "MPEG-4 video"),
        (Coding::H264, "H.264"),
        (Coding::Hevc, "HEVC"),
        (Coding::Vvc, "VVC"),
        (Coding::Av1, "AV1"),
        (Coding::Aac, "AAC"),
        (Coding::AacLatm, "AAC in LATM"),
        (Coding::MpegAudio, "MPEG audio"),
        (Coding::Mp3, "MP3"),
        (Coding::Dolby, "AC-3"),
        (Coding::EnhancedDolby, "E-AC-3"),
        (Coding::Dts, "DTS"),
        (Coding::Opus, "Opus"),
        (Coding::Unknown(6), "an unknown codec"),
    ];
    for (coding, name) in names {
        assert_eq!(coding.name(), name);
    }
}

proptest! {
    #[test]
    fn any_bytes_say_the_same_opened_and_passing_by(
        boxes in any_boxes(), noise in prop::collection::vec(any::<u8>(), 0..2_000), times in 1..300_usize, piece in 1_usize..70_000,
    ) {
        for bytes in [boxes.repeat(times), noise.repeat(times), [&boxes[..], &noise].concat().repeat(times)] {
            for is_mp4 in [false, true] {
                prop_assert_eq!(passing(&bytes, is_mp4, piece), opened(&bytes, is_mp4));
            }
        }
    }
}
