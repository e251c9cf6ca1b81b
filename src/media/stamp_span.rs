//! When a file begins by its time stamps, and how long it lasts, for files whose names do not say so.
//!
//! 1. Times are those of decoding, which never run back in a stream that goes on; the last unit lasts as long as units do on average.
//! 2. The picture decides. Where the sound lasts noticeably longer, the picture has frozen, and the sound decides.
//! 3. Time stamps that leap within the file measure nothing: how long that lasts is unknown.
//! 4. Bytes come in pieces of any size; memory is constant, and no bytes make this panic.

use super::coding::Role;
use super::packet::Packet;
use super::pes::{self, Begin, Times};
use super::psi::Program;
use super::reader::{Reader, Sink};
use super::time::{TICKS, WRAP, distance};
use super::unit::BACKWARDS;

/// Further forwards than this within a file is a leap.
const FORWARDS: i64 = 60 * TICKS;

/// Sound that lasts so much longer than the picture goes on behind a frozen one.
const FROZEN: i64 = TICKS / 2;

/// No real file has more streams; further ones are not timed.
const MOST_STREAMS: usize = 16;

/// Where a file lies on the clock of its time stamps, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampSpan {
    /// Its first time stamp, modulo 2³³.
    pub first: i64,
    /// How long it lasts.
    pub length: i64,
}

impl StampSpan {
    /// That of the picture, or of sound that goes on behind one that has frozen.
    pub(super) fn longer(picture: Option<Self>, sound: Option<Self>) -> Option<Self> {
        match (picture, sound) {
            (Some(picture), Some(sound)) if sound.length > picture.length + FROZEN => Some(sound),
            (picture, sound) => picture.or(sound),
        }
    }

    /// Its first time stamp after its end, modulo 2³³.
    pub fn end(&self) -> i64 {
        (self.first + self.length).rem_euclid(WRAP)
    }
}

/// Measures one file while its bytes come.
#[derive(Debug, Default)]
pub struct StampMeter {
    reader: Reader,
    clocks: StampReader,
}

#[derive(Debug, Default)]
struct StampReader {
    program: Option<Program>,
    tracks: Vec<Track>,
    leaps: bool,
}

/// The time stamps of one stream.
#[derive(Debug)]
struct Track {
    pid: u16,
    is_video: bool,
    first: i64,
    last: i64,
    /// From the first to the last.
    ticks: i64,
    units: i64,
}

impl StampMeter {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reader.push(bytes, &mut self.clocks);
    }

    /// All bytes have come; `None` if they are no transport stream with time stamps that measure something.
    pub fn finish(mut self) -> Option<StampSpan> {
        self.reader.finish(&mut self.clocks);
        let clocks = self.clocks;
        let longest = |is_video: bool| {
            let of_kind = clocks.tracks.iter().filter(|track| track.is_video == is_video);
            of_kind.filter_map(Track::measured).max_by_key(|measured| measured.length)
        };
        StampSpan::longer(longest(true), longest(false)).filter(|_| !clocks.leaps)
    }
}

impl Sink for StampReader {
    const UNITS: bool = false;

    #[inline]
    fn packet(&mut self, _at: u64, packet: &Packet<'_>) {
        if packet.begins
            && !packet.damaged
            && !packet.scrambled
            && let Some(payload) = packet.payload
            && let Begin::Header(header) = pes::read(payload)
            && let Some(times) = header.times.filter(|_| header.is_media())
        {
            let stream = self.program.as_ref().and_then(|all| all.streams.iter().find(|one| one.pid == packet.pid));
            match stream.map(|stream| stream.coding.role()) {
                Some(Role::Data) => {}
                Some(Role::Video) => self.unit(packet.pid, true, times),
                Some(Role::Sound) => self.unit(packet.pid, false, times),
                Some(Role::Unknown) | None => self.unit(packet.pid, header.is_video(), times),
            }
        }
    }

    fn tables(&mut self, program: &Program) {
        self.program = Some(program.clone());
    }
}

impl StampReader {
    fn unit(&mut self, pid: u16, is_video: bool, times: Times) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.pid == pid) else {
            if self.tracks.len() < MOST_STREAMS {
                let (first, last) = (times.decoded, times.decoded);
                self.tracks.push(Track { pid, is_video, first, last, ticks: 0, units: 1 });
            }
            return;
        };
        let step = distance(track.last, times.decoded);
        self.leaps |= !(-BACKWARDS..=FORWARDS).contains(&step);
        track.last = times.decoded;
        track.ticks = track.ticks.saturating_add(step);
        track.units += 1;
    }
}

impl Track {
    /// Unknown for a single unit: nothing says how long it lasts.
    fn measured(&self) -> Option<StampSpan> {
        let unit = self.ticks.checked_div(self.units - 1)?;
        let length = self.ticks.saturating_add(unit);
        (length > 0).then_some(StampSpan { first: self.first, length })
    }
}
