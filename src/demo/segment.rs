//! What a segment of the demonstration holds, and its name: a small picture with a clock in it, H.264 in an MPEG transport stream, so that the
//! page can play it. Pure.
//!
//! 1. The pictures of a minute are part of the program, as `ffmpeg` made them (`src/demo/pictures/README.md`). A segment has those of its own
//!    seconds of the minute, so that the picture shows the second at which it was taken.
//! 2. A live segment has all of its pictures. One of the past has one a second, which makes it small.
//! 3. The same segment has the same bytes whoever makes it, whenever.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::plan::{CHANNELS, PlannedPiece, QUALITIES};
use crate::archive::segment::recorded_name;
use crate::archive::time::SECOND_US;
use crate::archive::{Container, Hash, SegmentKind};
use crate::media::{Mux, PACKET_LENGTH, TICKS, VIDEO_PID, ticks};

/// Of each channel and quality.
const CLIPS: [[&[u8]; QUALITIES.len()]; CHANNELS.len()] = [
    [include_bytes!("pictures/harbour-source.h264"), include_bytes!("pictures/harbour-480p.h264")],
    [include_bytes!("pictures/square-source.h264"), include_bytes!("pictures/square-480p.h264")],
];
/// Pictures a second; the first of them is a key frame.
const RATE: usize = 10;
/// Seconds of a clip.
const MINUTE: usize = 60;
/// What each picture begins with: an access unit delimiter.
const DELIMITER: [u8; 5] = [0, 0, 0, 1, 9];

static PICTURES: LazyLock<[[Pictures; QUALITIES.len()]; CHANNELS.len()]> =
    LazyLock::new(|| CLIPS.map(|qualities| qualities.map(Pictures::of)));

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// `CHANNEL/QUALITY/HOUR`
    pub hour: String,
    pub name: String,
    pub content: Vec<u8>,
}

impl Generated {
    pub fn path(&self) -> String {
        format!("{}/{}", self.hour, self.name)
    }
}

/// The segment of a piece, complete or the part of it that [`cut_off`] leaves.
pub fn generate(piece: &PlannedPiece, is_partial: bool) -> Generated {
    let mut content = content(piece);
    let kind = if is_partial { SegmentKind::Partial } else { SegmentKind::Full };
    if is_partial {
        content.truncate(cut_off(content.len()));
    }
    let hash = Hash(Sha256::digest(&content).into());
    let (hour, name) = recorded_name(piece.start, piece.duration, kind, Container::Ts, hash);
    Generated { hour: format!("{}/{}/{hour}", CHANNELS[piece.channel], QUALITIES[piece.quality]), name, content }
}

/// How much comes of a segment of that length that breaks off: the first half of its packets.
pub fn cut_off(length: usize) -> usize {
    length / PACKET_LENGTH / 2 * PACKET_LENGTH
}

fn content(piece: &PlannedPiece) -> Vec<u8> {
    let pictures = &PICTURES[piece.channel][piece.quality];
    let is_past = piece.number < 0;
    let (step, tick) = if is_past { (RATE, TICKS) } else { (1, TICKS / number(RATE)) };
    let seconds = usize::try_from(piece.duration.us() / SECOND_US).unwrap_or_default();
    let second = usize::try_from(piece.start.us().div_euclid(SECOND_US)).unwrap_or_default() % MINUTE;
    let begin = ticks(piece.start.us());
    let mut mux = Mux::h264();
    mux.tables();
    for (count, at) in (second * RATE..(second + seconds) * RATE).step_by(step).enumerate() {
        let time = begin + number(count) * tick;
        mux.video(time, time, at % RATE == 0, pictures.at(at));
    }
    let mut content = mux.take();
    let minutes = piece.start.us().div_euclid(number(MINUTE) * SECOND_US);
    let before = [piece.start.us().div_euclid(piece.duration.us()), pictures.packets_before(minutes, second, step)];
    for packet in content.chunks_exact_mut(PACKET_LENGTH) {
        // It goes on from segment to segment, as players expect; tables have one packet each.
        let is_video = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == VIDEO_PID;
        let counter = i64::from(packet[3] & 0x0f) + before[usize::from(is_video)];
        packet[3] = packet[3] & 0xf0 | u8::try_from(counter.rem_euclid(16)).unwrap_or_default();
    }
    content
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or_default()
}

/// The pictures of a clip, one after the other.
struct Pictures {
    clip: &'static [u8],
    begins: Vec<usize>,
    /// How many packets of a transport stream each takes.
    packets: Vec<usize>,
}

impl Pictures {
    fn of(clip: &'static [u8]) -> Self {
        let is_begin = |at: &usize| clip[*at..].starts_with(&DELIMITER);
        let begins: Vec<usize> = (0..clip.len()).filter(is_begin).collect();
        let mut pictures = Self { clip, begins, packets: Vec::new() };
        let mut mux = Mux::h264();
        for at in 0..pictures.begins.len() {
            mux.video(0, 0, at % RATE == 0, pictures.at(at));
            pictures.packets.push(mux.take().len() / PACKET_LENGTH);
        }
        pictures
    }

    /// How many packets those pictures take that come before this second, when so many minutes have passed.
    fn packets_before(&self, minutes: i64, second: usize, step: usize) -> i64 {
        let each = || self.packets.iter().step_by(step);
        let of_minute: usize = each().sum();
        let of_seconds: usize = each().take(second * RATE / step).sum();
        minutes.wrapping_mul(number(of_minute)).wrapping_add(number(of_seconds))
    }

    /// After the last one the first follows.
    fn at(&self, at: usize) -> &'static [u8] {
        let at = at % self.begins.len().max(1);
        let begin = self.begins.get(at).copied().unwrap_or_default();
        let end = self.begins.get(at + 1).copied().unwrap_or(self.clip.len());
        &self.clip[begin..end]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::{FileName, FilePlace, Span, Timestamp, parse_file_name};
    use crate::demo::plan::DemoPlan;
    use crate::media::{Coding, Segment, StreamCheck, StreamVerdict, WRAP, begins_with_key_frame};

    fn plan(seed: u64) -> DemoPlan {
        DemoPlan::new(seed, Timestamp::parse("2019-11-13T02:55:11").unwrap(), Span(3600 * SECOND_US))
    }

    /// Of 4 KiB, which is what most disks give; what a demonstration needs is counted in them.
    fn most_blocks(piece: &PlannedPiece) -> usize {
        if piece.number < 0 && piece.quality == 0 { 3 } else { 2 }
    }

    proptest! {
        #[test]
        fn names_are_understood_and_true_of_what_is_a_sound_stream(seed: u64, number in -1800..100_000_i64, is_partial: bool) {
            for piece in plan(seed).pieces(number) {
                let made = generate(&piece, is_partial);
                let place = FilePlace::parse(&made.path()).unwrap();
                let FileName::Understood(key) = parse_file_name(&made.name) else { panic!("{}", made.name) };
                prop_assert_eq!((key.start(place.hour.hour), key.duration()), (piece.start, piece.duration));
                prop_assert_eq!(key.kind == SegmentKind::Partial, is_partial);
                prop_assert_eq!(key.hash.0, <[u8; 32]>::from(Sha256::digest(&made.content)));
                prop_assert!(made.content.len() <= most_blocks(&piece) * 4096 && made.content.len().is_multiple_of(PACKET_LENGTH));
                let mut check = StreamCheck::ts();
                check.feed(&made.content);
                let length = u64::try_from(piece.duration.us()).unwrap();
                prop_assert!(is_partial || check.finish(length) == StreamVerdict::Sound);
            }
        }
    }

    #[test]
    fn a_stream_goes_on_from_segment_to_segment_and_shows_the_time_of_day() {
        for (numbers, pictures) in [(0..3, 20), (-3..0, 6)] {
            for piece in numbers.clone().flat_map(|number| plan(1).pieces(number)) {
                let read = Segment::read(&generate(&piece, false).content);
                let times: Vec<i64> = read.pictures().iter().map(|picture| picture.pts).collect();
                assert_eq!(times.len(), pictures, "{piece:?}");
                let tick = piece.duration.us() * 9 / 100 / number(pictures);
                let expected = (0..number(pictures)).map(|count| (ticks(piece.start.us()) + count * tick) % WRAP);
                assert_eq!(times, expected.collect::<Vec<_>>(), "{piece:?}");
            }
        }
        let of = |number| content(&plan(1).pieces(number).next().unwrap());
        for numbers in [-11..0, 0..32] {
            let mut check = StreamCheck::ts();
            let played = numbers.clone().map(of).collect::<Vec<_>>().concat();
            check.feed(&played);
            let length: i64 = numbers.map(|number| plan(1).pieces(number).next().unwrap().duration.us()).sum();
            assert_eq!(check.finish(u64::try_from(length).unwrap()), StreamVerdict::Sound, "played in a row");
        }
        for clip in PICTURES.iter().flatten() {
            assert_eq!(clip.begins.len(), RATE * MINUTE);
            for at in 0..RATE * MINUTE {
                let is_key = begins_with_key_frame(Coding::H264, clip.at(at));
                assert_eq!(is_key, Some(at % RATE == 0), "picture {at}");
            }
        }
        // A minute later the clock shows the same.
        let pictures = |number| Segment::read(&of(number)).pictures().len();
        assert_eq!(pictures(0), pictures(30));
        assert_ne!(of(0), of(30));
        let different: BTreeSet<_> = plan(1).pieces(0).map(|piece| generate(&piece, false).name).collect();
        assert_eq!(different.len(), CHANNELS.len() * QUALITIES.len());
    }
}
