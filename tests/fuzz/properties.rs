//! What must hold of the reader and the writer of media, whatever the bytes are. The fuzz targets try it on new bytes; the test suite replays
//! those that are kept.
#![allow(dead_code, reason = "each fuzz target uses one of them")]

use std::hash::{DefaultHasher, Hasher as _};

use gapless::media::{
    Coding, Elementary, Header, Mp4Reader, Mux, Packet, Program, Reader, Segment, Sink, StreamCheck, TsCheck, Unit,
    facts, program_of,
};

#[path = "plans.rs"]
mod plans;

pub use plans::plan;

/// Bytes of a packet, of which the sync byte is set in half of what is tried: few random bytes are packets.
const PACKET: usize = 188;

/// All that the reader says, as one number and a count.
#[derive(Default)]
struct Heard(DefaultHasher, u64);

impl Heard {
    fn hear(&mut self, what: impl std::hash::Hash) {
        what.hash(&mut self.0);
        self.1 += 1;
    }
}

impl Sink for Heard {
    fn packet(&mut self, at: u64, packet: &Packet<'_>) {
        self.hear((at, packet.pid));
    }
    fn lost(&mut self, at: u64, found: u8) {
        self.hear((at, found));
    }
    fn tables(&mut self, program: &Program) {
        self.hear(format!("{program:?}"));
    }
    fn begin(&mut self, stream: &Elementary, header: &Header) {
        self.hear(format!("{stream:?} {header:?}"));
    }
    fn content(&mut self, stream: &Elementary, piece: &[u8]) {
        self.hear((stream.pid, piece));
    }
    fn end(&mut self, stream: &Elementary) {
        self.hear(stream.pid);
    }
}

/// The first byte says how the others come: in pieces of which size, and whether as packets.
fn arranged(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (first, rest) = bytes.split_first()?;
    let mut rest = rest.to_vec();
    if first & 1 == 1 {
        rest.chunks_mut(PACKET).for_each(|packet| packet[0] = 0x47);
    }
    Some((usize::from(first >> 1) + 1, rest))
}

fn heard<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> (u64, u64, u64) {
    let (mut reader, mut heard) = (Reader::default(), Heard::default());
    pieces.for_each(|piece| reader.push(piece, &mut heard));
    reader.finish(&mut heard);
    (heard.0.finish(), heard.1, reader.torn())
}

/// Nothing panics; pieces of any size say the same as the whole; a segment has no more bytes in its units than came in.
pub fn reader(bytes: &[u8]) {
    let Some((size, bytes)) = arranged(bytes) else { return };
    assert_eq!(heard(bytes.chunks(size)), heard(std::iter::once(&bytes[..])), "in pieces of {size}");
    let (mut whole, mut pieces) = (TsCheck::default(), TsCheck::default());
    whole.feed(&bytes);
    bytes.chunks(size).for_each(|piece| pieces.feed(piece));
    assert_eq!(whole.finish(2_000_000), pieces.finish(2_000_000), "in pieces of {size}");
    let segment = Segment::read(&bytes);
    let held: usize = segment.video.iter().chain(&segment.sound).map(|unit| unit.data.len()).sum();
    assert!(held <= bytes.len(), "{held} bytes of units in {}", bytes.len());
    let sound: usize = segment.sound_frames().iter().map(|frame| frame.data.len()).sum();
    assert!(sound <= bytes.len(), "{sound} bytes of sound in {}", bytes.len());
    assert!(segment.video.iter().all(|unit| unit.stretch < segment.stretches.len()));
    let (reading, program) = (facts(&bytes), program_of(&bytes));
    assert!(reading.facts.codecs.is_none() || program.is_some(), "{reading:?}");
}

/// Nothing panics; pieces of any size say the same as the whole; a segment has no more bytes in its units than twice what came in, and what
/// parameter sets add.
pub fn mp4(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let size = usize::from(*first) + 1;
    let of = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut reader = Mp4Reader::default();
        pieces.for_each(|piece| reader.feed(piece));
        let told = (reader.facts(), reader.edges(true), reader.span(), reader.section(), reader.is_init());
        format!("{told:?} {:?}", reader.finish(2_000_000))
    };
    let whole = of(&mut std::iter::once(bytes));
    assert_eq!(whole, of(&mut bytes.chunks(size)), "in pieces of {size}");
    // What a reader may leave out says nothing.
    let (mut passing, mut at) = (Mp4Reader::default(), 0);
    while at < bytes.len() {
        let pass = usize::try_from(passing.passing()).unwrap_or(usize::MAX).min(bytes.len() - at);
        passing.pass(pass as u64);
        at += pass;
        let end = bytes.len().min(at + size);
        passing.feed(&bytes[at..end]);
        at = end;
    }
    assert_eq!(format!("{:?}", passing.facts()), format!("{:?}", Mp4Reader::of(bytes).facts()), "left out by {size}");
    let (mut once, mut pieces) = (StreamCheck::mp4(), StreamCheck::mp4());
    once.feed(bytes);
    bytes.chunks(size).for_each(|piece| pieces.feed(piece));
    assert_eq!(once.finish(500_000), pieces.finish(500_000), "in pieces of {size}");
    let segment = Segment::read(bytes);
    let held: usize = segment.video.iter().chain(&segment.sound).map(|unit| unit.data.len()).sum();
    assert!(held <= 2 * bytes.len() + (1 << 20), "{held} bytes of units in {}", bytes.len());
    assert!(segment.video.iter().all(|unit| unit.stretch < segment.stretches.len()));
}

/// What the writer writes of a segment's pictures and sound is read again: every unit, to the byte, at its time.
pub fn writer(bytes: &[u8]) {
    let Some((_, bytes)) = arranged(bytes) else { return };
    let segment = Segment::read(&bytes);
    let video: Vec<&Unit> = segment.video.iter().filter(|unit| !unit.data.is_empty()).collect();
    // A cut has sound of one coding.
    let mut codings = segment.stretches.iter().filter_map(|stretch| stretch.sound);
    let coding = codings.next().unwrap_or(Coding::Aac);
    let is_one = codings.all(|other| other == coding);
    let mut mux = Mux::new(Some(Coding::H264), Some(coding));
    mux.tables();
    // As a cut does: in the order of decoding, a picture later than the other, none shown before it is decoded.
    for (at, unit) in (0_i64..).zip(&video) {
        mux.video(
            900_000 + at * 3_600 + i64::from(unit.pts > unit.dts) * 7_200,
            900_000 + at * 3_600,
            at == 0,
            &unit.data,
        );
    }
    let frames = segment.sound_frames().into_iter();
    let sound: Vec<_> = frames.filter(|frame| is_one && frame.data.len() < 60_000).collect();
    for (at, frame) in (0_i64..).zip(&sound) {
        mux.sound(900_000 + at * 1_920, &frame.data);
    }
    let again = Segment::read(&mux.take());
    assert_eq!(again.video.len(), video.len(), "pictures");
    for (at, (unit, before)) in (0_i64..).zip(again.video.iter().zip(&video)) {
        assert_eq!(unit.data, before.data, "picture {at}");
        assert_eq!(unit.dts, 900_000 + at * 3_600, "picture {at}");
    }
    let frames = again.sound_frames();
    assert_eq!(frames.len(), sound.len(), "frames of sound");
    assert!(frames.iter().zip(&sound).all(|(frame, before)| frame.data == before.data));
}
