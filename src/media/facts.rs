//! What the first bytes of a segment say about the whole: which codecs, how large the picture, how many a second, and whether a
//! player can begin here.
//!
//! 1. The program's tables say which streams there are; of each its first bytes are read, not more.
//! 2. Nothing is guessed: one stream whose codec is not known, and no codecs are named, since players take a list for the whole one.
//! 3. A segment stands by itself if the tables come before the first picture, and that picture and its parameter sets need nothing
//!    from before: an IDR picture. A picture that merely *may* be begun at (recovery point, CRA) has followers that need more.
//! 4. No bytes make this panic, and work is bounded by their number.

use super::coding::{Coding, Role};
use super::description::Described;
use super::packet::Packet;
use super::pes::Header;
use super::psi::{Elementary, Program};
use super::reader::{Reader, Sink, program_of};
use super::time::{distance, near};
use super::unit::shortest;
use super::{h264, hevc, sound};

/// Bytes of a sound stream that are looked at.
const SOUND: usize = 16 << 10;

/// No real program has more streams.
const MOST_STREAMS: usize = 16;

/// Times of so many pictures are looked at.
const MOST_TIMES: usize = 128;

/// What the first bytes say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// As RFC 6381 writes them, video first: `avc1.64001f,mp4a.40.2`. None if one of them is not known.
    pub codecs: Option<String>,
    /// Width and height of the picture as it is shown, in pixels.
    pub size: Option<(u32, u32)>,
    /// Pictures in a thousand seconds, where the stream says how many.
    pub rate_millis: Option<u32>,
    /// Whether all of the segment can be decoded without any other.
    pub independent: bool,
}

/// What was read from the first bytes of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is known.
    pub facts: Facts,
    /// Whether more bytes could say more.
    pub wants_more: bool,
}

/// What the first bytes of a file say; nothing if they are no transport stream.
pub fn facts(head: &[u8]) -> Reading {
    let Some(program) = program_of(head) else {
        let mut reader = Reader::default();
        let mut nobody = Heads::default();
        reader.push(head, &mut nobody);
        reader.finish(&mut nobody);
        return Reading { facts: Facts::default(), wants_more: reader.first().is_some() };
    };
    let heads = Heads::read(head, &program);
    let media = heads.streams.iter().filter(|of| of.stream.coding.role() != Role::Data);
    let found: Vec<(Role, Described)> = media.map(|of| (of.stream.coding.role(), of.describe())).collect();
    let videos = found.iter().filter(|(role, _)| *role == Role::Video).map(|(_, found)| found);
    let others = found.iter().filter(|(role, _)| *role != Role::Video).map(|(_, found)| found);
    let mut codecs: Vec<&str> = Vec::new();
    let mut all_known = !found.is_empty();
    for each in videos.clone().chain(others) {
        match each.codec.as_deref() {
            Some(codec) if !codecs.contains(&codec) => codecs.push(codec),
            Some(_) => {}
            None => all_known = false,
        }
    }
    let video = videos.clone().next();
    let decides: Vec<&Described> =
        if video.is_some() { videos.collect() } else { found.iter().map(|(_, found)| found).collect() };
    let facts = Facts {
        codecs: all_known.then(|| codecs.join(",")),
        size: video.and_then(|video| video.size),
        rate_millis: video.and_then(|video| video.rate).map(|rate| rate.millis),
        independent: !decides.is_empty() && decides.iter().all(|each| each.independent),
    };
    Reading { facts, wants_more: found.iter().any(|(_, found)| found.wants_more) }
}

/// The first bytes of each stream.
#[derive(Debug, Default)]
pub(super) struct Heads {
    has_tables: bool,
    /// What the table says that came last.
    pub program: Option<Program>,
    pub streams: Vec<Head>,
    /// Where the first packet begins, and how far apart they lie.
    pub packets: Option<(u64, usize)>,
}

/// The first bytes of one stream.
#[derive(Debug)]
pub(super) struct Head {
    pub stream: Elementary,
    pub bytes: Vec<u8>,
    was_seen: bool,
    /// It begins with a beginning, and behind the tables.
    begins_whole: bool,
    /// When its first units are shown.
    times: Vec<i64>,
    /// When its first unit is decoded, and its last.
    pub first: Option<i64>,
    pub last: Option<i64>,
    /// How far apart the last two units are decoded.
    pub step: Option<i64>,
}

impl Heads {
    /// Of bytes whose first table is this one.
    pub fn read(bytes: &[u8], program: &Program) -> Self {
        let (mut heads, mut reader) = (Self::default(), Reader::knowing(program));
        heads.add(program);
        heads.program = Some(program.clone());
        reader.push(bytes, &mut heads);
        reader.finish(&mut heads);
        heads.packets = reader.first();
        heads
    }

    /// A stream that comes later is one of the segment, too.
    fn add(&mut self, program: &Program) {
        for stream in &program.streams {
            let is_known = self.streams.iter().any(|head| head.stream == *stream);
            if !is_known && self.streams.len() < MOST_STREAMS {
                self.streams.push(Head::new(*stream));
            }
        }
    }
}

impl Sink for Heads {
    fn packet(&mut self, _at: u64, packet: &Packet<'_>) {
        let has_tables = self.has_tables;
        let head = self.streams.iter_mut().find(|head| head.stream.pid == packet.pid && !head.was_seen);
        if let Some(head) = head.filter(|_| packet.payload.is_some() && !packet.damaged) {
            head.was_seen = true;
            head.begins_whole = packet.begins && has_tables;
        }
    }

    fn tables(&mut self, program: &Program) {
        self.has_tables = true;
        self.program = Some(program.clone());
        self.add(program);
    }

    fn begin(&mut self, stream: &Elementary, header: &Header) {
        let head = self.streams.iter_mut().find(|head| head.stream == *stream);
        if let (Some(head), Some(times)) = (head, header.times) {
            head.decoded(times.decoded);
            if head.times.len() < MOST_TIMES {
                let first = head.times.first().copied().unwrap_or(times.shown);
                head.times.push(near(times.shown, first));
            }
        }
    }

    fn content(&mut self, stream: &Elementary, piece: &[u8]) {
        if let Some(head) = self.streams.iter_mut().find(|head| head.stream == *stream)
            && (stream.coding.role() == Role::Video || head.bytes.len() < SOUND)
        {
            head.bytes.extend_from_slice(piece);
        }
    }
}

impl Head {
    fn new(stream: Elementary) -> Self {
        let (bytes, times) = (Vec::new(), Vec::new());
        Self { stream, bytes, was_seen: false, begins_whole: false, times, first: None, last: None, step: None }
    }

    /// A unit is decoded then.
    fn decoded(&mut self, time: i64) {
        self.first.get_or_insert(time);
        self.step = self.last.map(|last| distance(last, time));
        self.last = Some(time);
    }

    pub fn describe(&self) -> Described {
        let mut found = match self.stream.coding {
            Coding::H264 => h264::describe(&self.bytes),
            Coding::Hevc => hevc::describe(&self.bytes),
            Coding::Aac | Coding::MpegAudio | Coding::Dolby => sound::describe(self.stream.coding, &self.bytes),
            _ => Described::default(),
        };
        found.independent = found.independent && self.begins_whole;
        found.rate = found.rate.filter(|rate| rate.fixed || self.shows_at(rate.millis));
        found
    }

    /// Whether two pictures that are shown one after the other are as far apart as so many in a thousand seconds are, and none less.
    fn shows_at(&self, rate_millis: u32) -> bool {
        let mut times = self.times.clone();
        times.sort_unstable();
        let step = 90_000_000 / i64::from(rate_millis.max(1));
        // Times are whole numbers, and so is what is left of a frame's length.
        shortest(&times).is_some_and(|shortest| shortest.abs_diff(step) <= 1)
    }
}
