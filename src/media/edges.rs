//! What the two ends of a segment say, in a few bytes, and whether another segment goes on where it ends: a playlist must tell players
//! where time stamps, tracks or coding change (RFC 8216, 4.3.2.3), however well names join.
//!
//! 1. Read are at most [`WINDOW`] bytes at either end, and once; what is in between is not looked at.
//! 2. Time stamps are those of decoding (DTS), which never run back in a stream that goes on; the end is the last one and how long the
//!    unit before it took. Picture and sound are kept apart: on its way one may be ahead of the other by more than a second.
//! 3. Tracks are the streams of picture and sound, and those that are not understood: kinds and packet numbers, which the standard
//!    calls identifiers. Data (timed metadata, marks for advertisements) come and go without a player's decoders.
//! 4. Coding is the parameter sets of the picture and what the frames of the sound say of themselves.
//! 5. What was not found is unknown, and nothing unknown is a change. No bytes make this panic.

use std::num::{NonZeroU32, NonZeroU64};

use super::coding::{Coding, Role};
use super::facts::{Head, Heads};
use super::psi::{Program, checksum};
use super::reader::program_of;
use super::time::{TICKS, WRAP, distance, ticks};
use super::unit::JOINT;
use super::{nal, sound};

/// Bytes that are read at either end, at most.
pub const WINDOW: usize = 64 << 10;

/// A unit lasts no longer, or its length is not known.
const LONGEST_UNIT: i64 = 60 * TICKS;

/// A time stamp: 33 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeStamp(NonZeroU64);

/// When a stream begins and where it ends; the next segment is to begin there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// Its first time stamp.
    pub first: Option<TimeStamp>,
    /// Its last one, and as much later as a unit lasts.
    pub end: Option<TimeStamp>,
}

/// Fingerprints of what a segment is made of; 0 is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tracks {
    /// Of the streams in its tables.
    pub streams: u32,
    /// Of the parameters of its picture.
    pub picture: u32,
    /// Of the parameters of its sound.
    pub sound: u32,
}

/// What the two ends of a segment say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edges {
    /// Its picture in time.
    pub picture: Extent,
    /// Its sound in time.
    pub sound: Extent,
    /// What it is made of where it begins.
    pub begins: Tracks,
    /// The same where it ends.
    pub ends: Tracks,
    /// Whether decoding can begin with it: a key frame with its parameters, behind the tables.
    pub independent: Option<bool>,
    /// Of MP4: the initialisation segment with which it begins.
    pub init: Option<InitSection>,
}

/// The initialisation segment at the beginning of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InitSection {
    length: NonZeroU32,
    print: u32,
}

impl InitSection {
    /// Of so many bytes, with this fingerprint.
    pub fn new(length: u32, print: u32) -> Option<Self> {
        Some(Self { length: NonZeroU32::new(length)?, print })
    }

    /// How many bytes it has.
    pub const fn length(self) -> u32 {
        self.length.get()
    }

    /// What two that are alike have in common, beside their length.
    pub const fn print(self) -> u32 {
        self.print
    }
}

/// What is not the same from one segment to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Time stamps do not go on.
    Times,
    /// Streams come, go or get other packets.
    Tracks,
    /// The picture or the sound is encoded with other parameters.
    Coding,
}

impl TimeStamp {
    /// So many ticks, modulo 2³³.
    pub fn new(ticks: i64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(ticks.rem_euclid(WRAP).unsigned_abs()))
    }

    /// Its ticks.
    pub fn ticks(self) -> i64 {
        (self.0.get() - 1).cast_signed()
    }
}

impl Extent {
    /// Whether the next one begins where this one ends, by its last unit, or by the segment's length: what is missing at its end, or is
    /// shown for long, does not change the clock.
    fn goes_on(&self, length: i64, next: &Self) -> Option<bool> {
        let begins = next.first?.ticks();
        let by_length = self.first.map(|first| first.ticks() + length);
        let ends = [self.end.map(TimeStamp::ticks), by_length];
        let mut gaps = ends.iter().flatten().map(|end| distance(*end, begins)).peekable();
        gaps.peek()?;
        Some(gaps.any(|gap| gap.abs() <= JOINT))
    }
}

impl Tracks {
    fn differ(known: u32, next: u32) -> bool {
        known != 0 && next != 0 && known != next
    }

    /// With what is not known taken from before.
    fn or(self, before: Self) -> Self {
        let known = |now, then| if now == 0 { then } else { now };
        Self {
            streams: known(self.streams, before.streams),
            picture: known(self.picture, before.picture),
            sound: known(self.sound, before.sound),
        }
    }
}

impl Edges {
    /// What changes from this segment to the next, if it is known that something does; by its name this one lasts so long.
    pub fn change(&self, lasts_us: i64, next: &Self) -> Option<Change> {
        let length = ticks(lasts_us);
        let on = [self.picture.goes_on(length, &next.picture), self.sound.goes_on(length, &next.sound)];
        // A frozen camera may end long before its sound, and sound may pause: one of them that goes on is enough.
        if on.contains(&Some(false)) && !on.contains(&Some(true)) {
            return Some(Change::Times);
        }
        if Tracks::differ(self.ends.streams, next.begins.streams) {
            return Some(Change::Tracks);
        }
        let (ends, begins) = (self.ends, next.begins);
        let differ = Tracks::differ(ends.picture, begins.picture) || Tracks::differ(ends.sound, begins.sound);
        differ.then_some(Change::Coding)
    }

    /// Whether it is known that the next one, which begins so long after this one by its name, is of the same clock, tracks and coding: what is missing
    /// in between is all that is to be told of.
    pub fn goes_on_behind_a_hole(&self, until_us: i64, next: &Self) -> bool {
        let length = ticks(until_us);
        let on = [self.picture.goes_on(length, &next.picture), self.sound.goes_on(length, &next.sound)];
        on.contains(&Some(true)) && self.change(until_us, next).is_none()
    }

    /// Whether, by both ends, neither picture nor sound lasts as long as a name says. A jump in between looks like that, too.
    pub fn differs(&self, lasts_us: i64) -> bool {
        let is_off = |extent: &Extent| {
            let lasts = distance(extent.first?.ticks(), extent.end?.ticks());
            Some((lasts - ticks(lasts_us)).abs() > JOINT)
        };
        let found: Vec<bool> = [&self.picture, &self.sound].into_iter().filter_map(is_off).collect();
        !found.is_empty() && found.iter().all(|off| *off)
    }

    /// The same after a segment that it goes on from: parameters that are not repeated hold, in a stream that is one.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        if self.ends.streams == 0 { self } else { Self { ends: self.ends.or(before.ends), ..self } }
    }
}

/// What the first bytes of a segment say.
#[derive(Debug)]
pub struct Front {
    first: Option<Program>,
    heads: Heads,
}

impl Front {
    /// Reads them.
    pub fn read(head: &[u8]) -> Self {
        let first = program_of(head);
        let heads = first.as_ref().map(|program| Heads::read(head, program)).unwrap_or_default();
        Self { first, heads }
    }

    /// Whether more of the first bytes could say more that matters.
    pub fn wants_more(&self) -> bool {
        let main = self.main();
        main.is_none_or(|head| head.first.is_none() || head.describe().wants_more)
    }

    /// Where the first packet begins that begins at this place of the file or behind it.
    pub fn packet_from(&self, place: u64) -> u64 {
        let (first, distance) = self.heads.packets.unwrap_or((0, 1));
        first + place.saturating_sub(first).next_multiple_of(distance.max(1) as u64)
    }

    /// What both ends say. Without a tail the first bytes are all there are.
    pub fn with(&self, tail: Option<&[u8]>) -> Edges {
        let Some(first) = &self.first else { return Edges::default() };
        let latest = self.heads.program.as_ref().unwrap_or(first);
        let back = tail.map(|tail| Heads::read(tail, &program_of(tail).unwrap_or_else(|| latest.clone())));
        let last = back.as_ref().and_then(|heads| heads.program.as_ref()).unwrap_or(latest);
        let extent = |role| {
            let begins = stream(&self.heads, first, role);
            let ends = match &back {
                Some(heads) => stream(heads, last, role),
                None => stream(&self.heads, last, role),
            };
            Extent {
                first: begins.and_then(|head| head.first).map(TimeStamp::new),
                end: ends.and_then(|head| end(head, begins)).map(TimeStamp::new),
            }
        };
        let (front, back) = (&self.heads, back.as_ref().unwrap_or(&self.heads));
        let (begin, end) = (Coded::of(front, first), Coded::of(back, last));
        Edges {
            picture: extent(Role::Video),
            sound: extent(Role::Sound),
            // What the first bytes leave open is what the last ones say: few segments change in the middle.
            begins: begin.begin(first).or(end.begin(last).coding_if(streams(first) == streams(last))),
            ends: end.end(last).or(begin.end(first).coding_if(streams(first) == streams(last))),
            independent: self.main().and_then(independent),
            init: None,
        }
    }

    /// The stream that decides where one may begin: the picture, or the sound where there is none.
    fn main(&self) -> Option<&Head> {
        let program = self.first.as_ref()?;
        let video = stream(&self.heads, program, Role::Video);
        video.or_else(|| stream(&self.heads, program, Role::Sound))
    }
}

/// The first stream of a kind.
fn stream<'h>(heads: &'h Heads, program: &Program, role: Role) -> Option<&'h Head> {
    let found = program.streams.iter().find(|stream| stream.coding.role() == role)?;
    heads.streams.iter().find(|head| head.stream == *found)
}

/// Where a stream ends: so long after its last unit as that is after the one before it, or as units last at its beginning. Of large
/// pictures only one may lie near an end; then their rate says how long it lasts, and otherwise it ends a moment early.
fn end(head: &Head, begins: Option<&Head>) -> Option<i64> {
    let is_plausible = |step: &i64| (1..=LONGEST_UNIT).contains(step);
    let of_beginning = || begins.and_then(|begins| begins.step).filter(is_plausible);
    let by_rate =
        || begins.and_then(|begins| begins.describe().rate).map(|rate| 1_000 * TICKS / i64::from(rate.millis.max(1)));
    let step = head.step.filter(is_plausible).or_else(of_beginning).or_else(by_rate);
    Some(head.last? + step.unwrap_or_default())
}

fn independent(head: &Head) -> Option<bool> {
    let is_understood =
        matches!(head.stream.coding, Coding::H264 | Coding::Hevc | Coding::Aac | Coding::MpegAudio | Coding::Dolby);
    let found = head.describe();
    (is_understood && !found.wants_more).then_some(found.independent)
}

/// A fingerprint that is not 0.
fn fingerprint(bytes: &[u8]) -> u32 {
    checksum(bytes).max(1)
}

fn streams(program: &Program) -> u32 {
    let media = program.streams.iter().filter(|stream| stream.coding.role() != Role::Data);
    let mut all: Vec<(u16, u8, &str)> =
        media.map(|stream| (stream.pid, stream.coding.stream_type(), stream.coding.name())).collect();
    all.sort_unstable();
    let mut bytes = Vec::new();
    for (pid, kind, name) in all {
        bytes.extend(pid.to_be_bytes());
        bytes.push(kind);
        bytes.extend(name.as_bytes());
    }
    fingerprint(&bytes)
}

/// How picture and sound are coded in some bytes: at their beginning and at their end.
struct Coded {
    picture: (u32, u32),
    sound: u32,
}

impl Coded {
    fn of(heads: &Heads, program: &Program) -> Self {
        let picture = stream(heads, program, Role::Video).and_then(|head| picture(head.stream.coding, &head.bytes));
        let sound = stream(heads, program, Role::Sound).and_then(|head| sound(head.stream.coding, &head.bytes));
        Self { picture: picture.unwrap_or_default(), sound: sound.unwrap_or_default() }
    }

    fn begin(&self, program: &Program) -> Tracks {
        Tracks { streams: streams(program), picture: self.picture.0, sound: self.sound }
    }

    fn end(&self, program: &Program) -> Tracks {
        Tracks { streams: streams(program), picture: self.picture.1, sound: self.sound }
    }
}

impl Tracks {
    /// Nothing of its coding unless it is that of the same streams.
    fn coding_if(self, is_same: bool) -> Self {
        if is_same { self } else { Self::default() }
    }
}

/// Parameter sets before the first picture that has any, and before the last one: a picture may have several.
fn picture(coding: Coding, stream: &[u8]) -> Option<(u32, u32)> {
    let (mut found, mut sets): (Option<(u32, u32)>, Vec<&[u8]>) = (None, Vec::new());
    for unit in nal::units(stream) {
        let (is_parameters, is_picture) = match (coding, unit.bytes.first().copied().unwrap_or_default()) {
            (Coding::H264, header) => (header & 0x1f == 7, (1..=5).contains(&(header & 0x1f))),
            (Coding::Hevc, header) => (header >> 1 & 0x3f == 33, header >> 1 & 0x3f <= 31),
            // ISO/IEC 13818-2, 6.2.2.1: size, shape and rate stand in the four bytes behind the start code.
            (Coding::MpegVideo, code) => (code == 0xb3, (1..=0xaf).contains(&code)),
            _ => return None,
        };
        if is_parameters && (unit.is_whole || coding == Coding::MpegVideo) {
            let set = if coding == Coding::MpegVideo { unit.bytes.get(..5).unwrap_or_default() } else { unit.bytes };
            if !sets.contains(&set) {
                sets.push(set);
            }
        } else if is_picture && !sets.is_empty() {
            let sum = fingerprint(&sets.concat());
            sets.clear();
            found = Some((found.map_or(sum, |(first, _)| first), sum));
        }
    }
    found
}

/// A fingerprint of how the sound is coded, by its first frame.
fn sound(coding: Coding, stream: &[u8]) -> Option<u32> {
    Some(fingerprint(&sound::setup(coding, stream)?))
}
