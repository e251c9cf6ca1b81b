//! What a segment holds: its pictures and its sound as units with their times, in the order of decoding.
//!
//! 1. Read are the first video and the first sound of the program. What else there is, is said and not read.
//! 2. A segment is cut into stretches: one ends where the table says something else of picture or sound, where a discontinuity is announced,
//!    and where decoding times run backwards or leap by more than a minute. Within a stretch all times have one base.
//! 3. The times of all stretches are put on one line. Where they go on, or an unannounced gap is at most a minute, they stay; a stretch
//!    with a time base of its own begins where the one before it ended.
//! 4. Sound of the old base may come after pictures of the new one: each stream is in the new stretch from its own first unit in it.
//! 5. A unit without times goes on with the one before it.
//! 6. Fragmented MP4 is told in the same words as a transport stream, and held as one would be.

use super::coding::{Coding, Role};
use super::entry::{DecodeEntry, Marks};
use super::mp4::{Mp4Reader, read_samples};
use super::packet::Packet;
use super::pes::{Header, Times};
use super::psi::{Elementary, Program};
use super::reader::{Reader, Sink, program_of};
use super::sound::{SoundFrame, refined, sound_frames};
use super::time::{TICKS, distance, near};
use super::unit::{BACKWARDS, JOINT, PICTURE, PlannedPicture, TableSpan, Unit, begins, shortest};
use super::{h264, hevc};

/// Further forwards than this is a time base of its own, and no gap.
const FORWARDS: i64 = 60 * TICKS;
/// Tables that change more often are noise.
const MOST_STRETCHES: usize = 1_000;

/// What a segment holds, in the order of decoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// None without tables.
    pub stretches: Vec<TableSpan>,
    /// Pictures.
    pub video: Vec<Unit>,
    /// Sound.
    pub sound: Vec<Unit>,
}

impl Segment {
    /// Reads the bytes of one segment: a transport stream, or fragmented MP4 that begins with its initialisation segment.
    pub fn read(bytes: &[u8]) -> Self {
        if Mp4Reader::begins(bytes) {
            let mut builder = Builder::default();
            read_samples(bytes, &mut builder);
            return builder.finish();
        }
        let Some(program) = program_of(bytes) else { return Self::default() };
        let (mut builder, mut reader) = (Builder::new(&program), Reader::knowing(&program));
        reader.push(bytes, &mut builder);
        reader.finish(&mut builder);
        builder.finish()
    }

    /// The time at which the segment begins: that of a key frame that comes first, which is what segments are named by, even where pictures
    /// that are shown before it follow; otherwise the earliest.
    pub fn first_pts(&self) -> Option<i64> {
        let units = if self.video.is_empty() { &self.sound } else { &self.video };
        begins(units.iter().map(|unit| (unit.pts, unit.marks)))
    }

    /// What the video is, and the sound, in whichever stretch there is any.
    pub fn codings(&self) -> (Option<Coding>, Option<Coding>) {
        let stretches = || self.stretches.iter();
        (stretches().find_map(|stretch| stretch.video), stretches().find_map(|stretch| stretch.sound))
    }

    /// Its pictures, as an exact cut plans with them.
    pub fn pictures(&self) -> Vec<PlannedPicture> {
        let picture = |unit: &Unit| PlannedPicture { pts: unit.pts, bytes: unit.data.len(), marks: unit.marks };
        self.video.iter().map(picture).collect()
    }

    /// The frames of sound that can be cut between them.
    pub fn sound_frames(&self) -> Vec<SoundFrame> {
        let of = |units: &[Unit]| self.stretches.get(units.first()?.stretch)?.sound;
        let stretches = self.sound.chunk_by(|one, next| one.stretch == next.stretch);
        let cut = stretches.filter_map(|units| Some((of(units)?, units)));
        cut.filter(|(coding, _)| coding.is_cut_in_frames())
            .flat_map(|(coding, units)| sound_frames(coding, units))
            .collect()
    }
}

/// A segment while it is read.
#[derive(Default)]
struct Builder {
    program: Program,
    stretches: Vec<TableSpan>,
    video: TrackBuilder,
    sound: TrackBuilder,
}

/// Pictures or sound while they are read; times are as they stand there.
#[derive(Default)]
struct TrackBuilder {
    stream: Option<Elementary>,
    /// The stretch in which its last unit lies.
    stretch: usize,
    /// A discontinuity was announced since the last unit.
    announced: bool,
    /// The packet that came last says that decoding may begin in it.
    random_access: bool,
    /// A unit is being read.
    is_open: bool,
    units: Vec<Unit>,
}

impl Builder {
    fn new(program: &Program) -> Self {
        let mut builder = Self { program: Program { streams: Vec::new(), ..program.clone() }, ..Self::default() };
        builder.tables(program);
        builder
    }

    fn begin_stretch(&mut self, rebased: bool) {
        let unknown = self.program.streams.iter().find(|stream| stream.coding.role() == Role::Unknown);
        let coding = |line: &TrackBuilder| line.stream.map(|stream| stream.coding);
        let stretch = TableSpan {
            video: coding(&self.video),
            sound: coding(&self.sound),
            unknown: unknown.map(|stream| stream.coding),
            scrambled: false,
            rebased,
        };
        if self.stretches.len() < MOST_STRETCHES {
            self.stretches.push(stretch);
        }
    }

    fn line(&mut self, pid: u16) -> Option<&mut TrackBuilder> {
        [&mut self.video, &mut self.sound].into_iter().find(|line| line.stream.is_some_and(|stream| stream.pid == pid))
    }

    /// Puts a unit into the stretch in which its time lies.
    fn place(&mut self, pid: u16, times: Times) {
        let last = self.stretches.len().saturating_sub(1);
        let Some(line) = self.line(pid) else { return };
        let before = line.units.last().map(|unit| distance(unit.dts, times.decoded));
        let goes_on = before.is_none_or(|leap| (-BACKWARDS..=FORWARDS).contains(&leap));
        if goes_on && !line.announced {
            return;
        }
        line.announced = false;
        let has_begun = line.units.last().is_some_and(|unit| unit.stretch == last);
        if has_begun {
            self.begin_stretch(true);
        } else if line.stretch == last {
            // Announced where its stretch begins, with nothing of it there yet.
            return;
        } else if let Some(stretch) = self.stretches.last_mut() {
            stretch.rebased = true;
        }
        let now = self.stretches.len().saturating_sub(1);
        if let Some(placed) = self.line(pid) {
            placed.stretch = now;
        }
    }

    fn finish(mut self) -> Segment {
        join(&self.stretches, &mut self.video.units, &mut self.sound.units);
        let mut segment = Segment { stretches: self.stretches, video: self.video.units, sound: self.sound.units };
        for unit in &mut segment.video {
            let coding = segment.stretches.get(unit.stretch).and_then(|stretch| stretch.video);
            let found = match coding {
                Some(Coding::H264) => h264::marks(&unit.data),
                Some(Coding::Hevc) => hevc::marks(&unit.data),
                _ => Marks::default(),
            };
            // Some mark a picture with which it is only begun to mend the others.
            let is_marked = unit.marks.random_access && !matches!(found.entry, Some(DecodeEntry::Refresh(_)));
            unit.marks = Marks { random_access: is_marked || found.random_access, ..found };
        }
        for (number, stretch) in segment.stretches.iter_mut().enumerate() {
            stretch.sound = stretch.sound.map(|coding| refined(coding, within(&mut segment.sound, number)));
        }
        segment
    }
}

impl Sink for Builder {
    fn packet(&mut self, _at: u64, packet: &Packet<'_>) {
        let is_clock = packet.pid == self.program.clock_pid;
        let scrambled = packet.scrambled;
        if let Some(line) = self.line(packet.pid) {
            line.announced |= packet.discontinuity;
            if packet.begins {
                line.random_access = packet.random_access;
            }
            if scrambled && let Some(stretch) = self.stretches.last_mut() {
                stretch.scrambled = true;
            }
        } else if is_clock && packet.discontinuity {
            // The clock has packets of its own.
            (self.video.announced, self.sound.announced) = (true, true);
        }
    }

    fn tables(&mut self, program: &Program) {
        let first = |role| program.streams.iter().find(|stream| stream.coding.role() == role).copied();
        let (video, sound) = (first(Role::Video), first(Role::Sound));
        let is_same = self.video.stream == video && self.sound.stream == sound;
        self.program = program.clone();
        if is_same && !self.stretches.is_empty() {
            return;
        }
        (self.video.stream, self.sound.stream) = (video, sound);
        self.begin_stretch(false);
        let now = self.stretches.len().saturating_sub(1);
        (self.video.stretch, self.sound.stretch) = (now, now);
    }

    fn begin(&mut self, stream: &Elementary, header: &Header) {
        if header.scrambled && self.line(stream.pid).is_some() {
            if let Some(stretch) = self.stretches.last_mut() {
                stretch.scrambled = true;
            }
            return;
        }
        if let Some(times) = header.times {
            self.place(stream.pid, times);
        }
        let Some(line) = self.line(stream.pid) else { return };
        line.is_open = true;
        if let Some(times) = header.times {
            let marks = Marks { random_access: line.random_access, ..Marks::default() };
            let (pts, dts, stretch) = (times.shown, times.decoded, line.stretch);
            line.units.push(Unit { pts, dts, data: Vec::new(), marks, stretch });
        }
    }

    fn content(&mut self, stream: &Elementary, piece: &[u8]) {
        let Some(line) = self.line(stream.pid) else { return };
        if line.is_open
            && let Some(unit) = line.units.last_mut()
        {
            unit.data.extend_from_slice(piece);
        }
    }

    fn end(&mut self, stream: &Elementary) {
        if let Some(line) = self.line(stream.pid) {
            line.is_open = false;
        }
    }
}

/// Puts the times of all stretches on one line.
fn join(stretches: &[TableSpan], video: &mut [Unit], sound: &mut [Unit]) {
    let mut end: Option<i64> = None;
    for (number, stretch) in stretches.iter().enumerate() {
        let (pictures, frames) = (within(video, number), within(sound, number));
        let Some(origin) = pictures.first().or(frames.first()).map(|unit| unit.dts) else { continue };
        // What lies in a stretch lies near its beginning, however its stamps start over.
        let place = end.filter(|_| !stretch.rebased).map_or(origin, |end| near(origin, end));
        for units in [&mut *pictures, &mut *frames] {
            let mut last = place;
            for unit in units {
                let dts = near(unit.dts, last);
                unit.pts = dts + distance(unit.dts, unit.pts);
                (unit.dts, last) = (dts, dts);
            }
        }
        let main = if pictures.is_empty() { &*frames } else { &*pictures };
        let mut times: Vec<i64> = main.iter().map(|unit| unit.pts).collect();
        times.sort_unstable();
        let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else { continue };
        let shift = match end {
            Some(end) if stretch.rebased => {
                let leap = distance(end, first);
                if leap.abs() <= JOINT { near(first, end) - first } else { end - first }
            }
            _ => 0,
        };
        for unit in pictures.iter_mut().chain(frames) {
            (unit.pts, unit.dts) = (unit.pts + shift, unit.dts + shift);
        }
        end = Some(last + shift + shortest(&times).unwrap_or(PICTURE));
    }
}

/// The units of one stretch: those of a stream lie side by side.
fn within(units: &mut [Unit], stretch: usize) -> &mut [Unit] {
    let begin = units.partition_point(|unit| unit.stretch < stretch);
    let end = units.partition_point(|unit| unit.stretch <= stretch);
    units.get_mut(begin..end).unwrap_or_default()
}
