//! Cuts a transport stream that does not end into segments that play alone. Pure: bytes and times in, steps out.
//!
//! 1. A segment begins with a key frame of the picture, behind a copy of the latest tables, and lasts at least [`LEAST`]. Where there are no
//!    pictures, any unit of the sound will do.
//! 2. Where no key frame comes for [`MOST`] or [`MOST_BYTES`], it is cut anyway, and what begins so is no segment to rely on.
//! 3. Where time stamps leap, it is cut: how much time lies between nobody knows.
//! 4. Nothing but the beginning of one picture is held; bytes come in pieces of any size, and none make this panic.
//!
//! How long a segment lasts is what its time stamps say, summed up without rounding.

use crate::archive::{Span, Timestamp};
use crate::media::{
    Coding, Elementary, Header, PACKET_LENGTH, Packet, Program, Reader, Role, Sink, TICKS, begins_with_key_frame,
    distance,
};

/// Segments last at least as long, in ticks: two seconds, less what the milliseconds of other containers round away.
const LEAST: i64 = 2 * TICKS - TICKS / 10;
/// Without a key frame they last so long.
const MOST: i64 = 30 * TICKS;
/// And so many bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Time stamps that step further leap.
const FORWARDS: i64 = 10 * TICKS;
const BACKWARDS: i64 = TICKS / 2;
/// How long a picture lasts if nothing else is known.
const PICTURE: i64 = TICKS / 25;
/// Bytes of a picture by which it is told whether it is a key frame: parameters and messages stand before the first slice.
const HEAD: usize = 32 << 10;
/// Bytes that are held, at most: those of a picture's beginning, and what is not understood.
const HELD: usize = 256 << 10;
/// Packets of one table.
const TABLE: usize = 8 * PACKET_LENGTH;
/// Packets of this number carry the table of programs.
const PROGRAMS_PID: u16 = 0;

/// What is to be done with a stream, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TsStep {
    /// A segment begins.
    Begin,
    /// These are bytes of it.
    Bytes(Vec<u8>),
    /// It is over.
    End(CutEnd),
}

/// What is known of a segment at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutEnd {
    pub duration: Span,
    /// When it began, by the part of it that came with the least delay.
    pub begun: Timestamp,
    /// It does not go on where the one before it ended.
    pub is_anew: bool,
    /// It begins with a key frame, or has no pictures.
    pub plays_alone: bool,
    /// More of it was to come.
    pub is_cut_off: bool,
}

/// Cuts one stream.
#[derive(Debug)]
pub struct TsCutter {
    reader: Reader,
    state: CutterState,
}

#[derive(Debug)]
struct CutterState {
    /// What is not in a segment yet, and where that begins in the stream.
    held: Vec<u8>,
    base: u64,
    /// Where the packet at hand begins, and whose it is.
    at: u64,
    pid: u16,
    is_marked: bool,
    /// Up to here packets were seen.
    seen: u64,
    tables: LatestTables,
    /// What it is cut by.
    lead: Option<Elementary>,
    beginning: Option<UnitBeginning>,
    open: Option<OpenSegment>,
    /// The time stamp of the latest unit, and how long the one before it lasted.
    latest: Option<i64>,
    step: i64,
    /// How long, and how much, passed by without a segment.
    waited: i64,
    skipped: u64,
    /// Time in this line of time stamps up to the open segment.
    before: i64,
    is_anew: bool,
    arrived: Timestamp,
    steps: Vec<TsStep>,
}

/// The packets of the tables that came last.
#[derive(Debug, Default)]
struct LatestTables {
    programs: Vec<u8>,
    program_pid: Option<u16>,
    program: Vec<u8>,
}

/// A unit of which it is not known yet what it is.
#[derive(Debug)]
struct UnitBeginning {
    at: u64,
    decoded: i64,
    coding: Coding,
    head: Vec<u8>,
}

#[derive(Debug)]
struct OpenSegment {
    ticks: i64,
    bytes: u64,
    begun: Timestamp,
    is_anew: bool,
    plays_alone: bool,
}

impl Default for TsCutter {
    fn default() -> Self {
        let state = CutterState {
            held: Vec::new(),
            base: 0,
            at: 0,
            pid: 0,
            is_marked: false,
            seen: 0,
            tables: LatestTables::default(),
            lead: None,
            beginning: None,
            open: None,
            latest: None,
            step: PICTURE,
            waited: 0,
            skipped: 0,
            before: 0,
            is_anew: true,
            arrived: Timestamp::from_us(0),
            steps: Vec::new(),
        };
        Self { reader: Reader::default(), state }
    }
}

impl TsCutter {
    /// Takes the next bytes, which came at that time.
    pub fn push(&mut self, bytes: &[u8], arrived: Timestamp) -> Vec<TsStep> {
        let Self { reader, state } = self;
        state.arrived = arrived;
        for piece in bytes.chunks(HELD / 4) {
            state.held.extend_from_slice(piece);
            reader.push(piece, state);
            if state.held.len() > HELD {
                state.decide(false);
                state.flush(u64::MAX);
            }
            let sure = state.beginning.as_ref().map_or(state.seen, |beginning| beginning.at);
            state.flush(sure);
        }
        std::mem::take(&mut state.steps)
    }

    /// No more comes.
    pub fn finish(mut self) -> Vec<TsStep> {
        let Self { reader, state } = &mut self;
        reader.finish(state);
        state.decide(false);
        state.flush(u64::MAX);
        let last = state.step;
        state.close(last, true);
        self.state.steps
    }

    /// So much came without a beginning: what comes is nothing that can be cut.
    pub const fn skipped(&self) -> u64 {
        self.state.skipped
    }
}

impl Sink for CutterState {
    fn packet(&mut self, at: u64, packet: &Packet<'_>) {
        self.at = at;
        self.seen = at + PACKET_LENGTH as u64;
        self.pid = packet.pid;
        self.is_marked = packet.random_access;
        let is_programs = packet.pid == PROGRAMS_PID;
        if packet.damaged || !is_programs && Some(packet.pid) != self.tables.program_pid {
            return;
        }
        let Some(raw) = self.packet_at_hand() else { return };
        let table = if is_programs { &mut self.tables.programs } else { &mut self.tables.program };
        if packet.begins {
            table.clear();
        }
        if table.len() < TABLE {
            table.extend_from_slice(&raw);
        }
    }

    fn tables(&mut self, program: &Program) {
        // It is told with the packet that completes it.
        if self.tables.program_pid.replace(self.pid) != Some(self.pid) {
            self.tables.program = self.packet_at_hand().map(Vec::from).unwrap_or_default();
        }
        let of = |role: Role| program.streams.iter().find(|stream| stream.coding.role() == role);
        let lead = of(Role::Video).or_else(|| of(Role::Sound)).or_else(|| of(Role::Unknown)).copied();
        if lead != self.lead {
            self.lead = lead;
            self.latest = None;
        }
    }

    fn begin(&mut self, stream: &Elementary, header: &Header) {
        if Some(*stream) != self.lead {
            return;
        }
        let Some(times) = header.times else { return };
        self.decide(false);
        let (at, coding) = (self.at, stream.coding);
        self.beginning = Some(UnitBeginning { at, decoded: times.decoded, coding, head: Vec::new() });
        match (coding, coding.role()) {
            (Coding::H264 | Coding::Hevc, _) => {}
            (_, Role::Sound) => self.decide(true),
            _ => self.decide(self.is_marked),
        }
    }

    fn content(&mut self, stream: &Elementary, piece: &[u8]) {
        let Some(beginning) = self.beginning.as_mut().filter(|_| Some(*stream) == self.lead) else { return };
        beginning.head.extend_from_slice(piece);
        let is_enough = beginning.head.len() >= HEAD;
        match begins_with_key_frame(beginning.coding, &beginning.head) {
            Some(is_key) => self.decide(is_key),
            None if is_enough => self.decide(false),
            None => {}
        }
    }

    fn end(&mut self, stream: &Elementary) {
        if Some(*stream) == self.lead {
            self.decide(false);
        }
    }
}

impl CutterState {
    fn packet_at_hand(&self) -> Option<[u8; PACKET_LENGTH]> {
        let at = usize::try_from(self.at.checked_sub(self.base)?).ok()?;
        self.held.get(at..)?.first_chunk().copied()
    }

    /// What is held up to there is the segment's, or nobody's.
    fn flush(&mut self, up_to: u64) {
        let length = usize::try_from(up_to.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.held.len());
        if length == 0 {
            return;
        }
        self.base += length as u64;
        let bytes: Vec<u8> = self.held.drain(..length).collect();
        match &mut self.open {
            Some(open) => {
                open.bytes += length as u64;
                self.steps.push(TsStep::Bytes(bytes));
            }
            None => self.skipped = self.skipped.saturating_add(length as u64),
        }
    }

    /// The unit that began is a key frame, or none.
    fn decide(&mut self, is_key: bool) {
        let Some(UnitBeginning { at, decoded, .. }) = self.beginning.take() else { return };
        let step = self.latest.replace(decoded).map(|latest| distance(latest, decoded));
        let leaps = step.is_some_and(|step| !(-BACKWARDS..=FORWARDS).contains(&step));
        let last = self.step;
        if let Some(step) = step.filter(|step| *step > 0 && !leaps) {
            self.step = step;
        }
        let step = step.filter(|_| !leaps).unwrap_or(last);
        self.flush(at);
        let Some(open) = &mut self.open else {
            self.waited = self.waited.saturating_add(step.max(0));
            if is_key || self.waited > MOST || self.skipped > MOST_BYTES {
                self.begin_segment(is_key);
            }
            return;
        };
        open.ticks = open.ticks.saturating_add(step);
        let is_long = open.ticks >= MOST || open.bytes >= MOST_BYTES;
        if leaps || is_long || is_key && open.ticks >= LEAST {
            self.close(0, false);
            self.is_anew |= leaps;
            self.begin_segment(is_key);
        } else {
            open.begun = open.begun.min(self.arrived - span(open.ticks));
        }
    }

    fn begin_segment(&mut self, plays_alone: bool) {
        (self.waited, self.skipped) = (0, 0);
        let is_anew = std::mem::take(&mut self.is_anew);
        if is_anew {
            self.before = 0;
        }
        self.open = Some(OpenSegment { ticks: 0, bytes: 0, begun: self.arrived, is_anew, plays_alone });
        self.steps.push(TsStep::Begin);
        let tables = [self.tables.programs.as_slice(), &self.tables.program].concat();
        if !tables.is_empty() {
            self.steps.push(TsStep::Bytes(tables));
        }
    }

    /// The open segment is over; its last unit lasts so much longer than is known.
    fn close(&mut self, last: i64, is_cut_off: bool) {
        let Some(open) = self.open.take() else { return };
        let ticks = open.ticks.saturating_add(last).max(1);
        let end = self.before.saturating_add(ticks);
        let duration = span(end) - span(self.before);
        self.before = end;
        let OpenSegment { begun, is_anew, plays_alone, .. } = open;
        self.steps.push(TsStep::End(CutEnd { duration, begun, is_anew, plays_alone, is_cut_off }));
    }
}

fn span(ticks: i64) -> Span {
    Span::from_us(ticks.saturating_mul(100) / 9)
}

#[cfg(test)]
mod tests;
