//! Finds in a segment's bytes what a right hash cannot tell: that a `full` segment was cut short, or put together from pieces,
//! before its name was made.
//!
//! 1. The bytes come in pieces of any size; memory is constant, and no bytes make this panic.
//! 2. Where bytes 0, 188 and 376 are the sync byte it is a transport stream. Anything else (another container, a short file) is not
//!    judged: [`TsVerdict::Other`]. A file of nothing but zeros is a fault, and so is one of nothing.
//! 3. Judged are: every packet's sync byte and error mark, the counters of each program's packets, leaps of its time stamps,
//!    and how long the time stamps last against the duration in the name.
//!
//! **Tolerances.** A playlist's durations may be rounded to whole seconds (RFC 8216, 4.3.2.1: off by up to 0.5 s), and duplicates of
//! one recording with durations 0.5 s apart are known; so the time stamps may last [`TOLERANCE_US`] and one frame longer or
//! shorter than the name says. A source that loses frames leaves a gap in the time stamps of a sound file: a leap forwards is
//! a fault only where the whole does not last as long as its name says. A last packet that is cut short is forgiven where what is
//! there, the torn frame counted for half, still lasts as long as the name says.

mod fault;
pub(in crate::domain) mod packet;
#[cfg(test)]
mod tests;

use packet::{LEN, Packet, SYNC, Times, distance};

pub use fault::TsFault;

/// How far time stamps and name may differ, besides one frame.
pub const TOLERANCE_US: u64 = 500_000;

/// A frame is not believed to last longer than this.
const LONGEST_FRAME_US: u64 = 1_000_000;

/// Decoding times never run backwards; this much of it is taken for an encoder's hiccup. In units of 1/90,000 s.
const BACKWARDS: i64 = 45_000;

/// Further than this forwards is a leap. In units of 1/90,000 s.
const FORWARDS: i64 = 180_000;

/// A report of more faults in one file helps nobody.
const MOST_FAULTS: usize = 8;

/// No real file has more programs with time stamps; further ones are not timed.
const MOST_TIMED: usize = 16;

/// A packet number has 13 bits.
const PIDS: usize = 1 << 13;

/// No counter was seen yet.
const UNSEEN: u8 = 0xff;

/// This packet repeats the one before it, which is allowed once.
const REPEATED: u8 = 0x80;

/// What the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TsVerdict {
    /// No transport stream: nothing can be said.
    Other,
    /// A transport stream with nothing wrong.
    Sound,
    /// What is wrong, in the order in which it was found; never empty.
    Faulty(Vec<TsFault>),
}

/// The check of one file while its bytes come.
#[derive(Debug)]
pub struct TsCheck {
    /// The bytes that await the rest of their packet.
    waiting: [u8; LEN],
    filled: usize,
    /// Where the next packet begins.
    at: u64,
    zeros_only: bool,
    sort: Sort,
    counters: Box<[u8; PIDS]>,
    timed: Vec<Timed>,
    /// How often a stream has said that clocks begin anew.
    epoch: u32,
    faults: Vec<TsFault>,
    leaps: Vec<TsFault>,
}

/// What the bytes have turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Unknown,
    Transport,
    Other,
}

/// The time stamps of one program.
#[derive(Debug, Clone, Copy)]
struct Timed {
    pid: u16,
    is_video: bool,
    epoch: u32,
    /// The first time stamp of the stretch at hand; the others are relative to it.
    origin: u64,
    decoded: u64,
    earliest: i64,
    latest: i64,
    frames: u64,
    /// What ended stretches have lasted, and their frames.
    before: Lasting,
}

/// How long something lasts, in units of 1/90,000 s, from its first frame to its last, and how many frames and stretches that are.
#[derive(Debug, Clone, Copy, Default)]
struct Lasting {
    ticks: u64,
    frames: u64,
    stretches: u64,
}

impl Default for TsCheck {
    fn default() -> Self {
        Self {
            waiting: [0; LEN],
            filled: 0,
            at: 0,
            zeros_only: true,
            sort: Sort::Unknown,
            counters: Box::new([UNSEEN; PIDS]),
            timed: Vec::new(),
            epoch: 0,
            faults: Vec::new(),
            leaps: Vec::new(),
        }
    }
}

impl TsCheck {
    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.zeros_only = self.zeros_only && bytes.iter().all(|byte| *byte == 0);
        if self.filled > 0 {
            let taken = bytes.len().min(LEN - self.filled);
            let (now, later) = bytes.split_at(taken);
            if let Some(room) = self.waiting.get_mut(self.filled..self.filled + taken) {
                room.copy_from_slice(now);
            }
            self.filled += taken;
            bytes = later;
            if self.filled < LEN {
                return;
            }
            self.filled = 0;
            let whole = self.waiting;
            self.packet(&whole);
        }
        let (packets, rest) = bytes.as_chunks::<LEN>();
        for packet in packets {
            if self.sort == Sort::Other {
                self.at = self.at.saturating_add(LEN as u64);
            } else {
                self.packet(packet);
            }
        }
        if let Some(room) = self.waiting.get_mut(..rest.len()) {
            room.copy_from_slice(rest);
            self.filled = rest.len();
        }
    }

    /// All bytes have come: what they are, for a file that is to last this long.
    pub fn finish(mut self, named_us: u64) -> TsVerdict {
        let length = self.at.saturating_add(self.filled as u64);
        if length == 0 && named_us > 0 {
            return TsVerdict::Faulty(vec![TsFault::Empty]);
        }
        if self.zeros_only && length > 0 {
            return TsVerdict::Faulty(vec![TsFault::AllZero]);
        }
        if self.sort != Sort::Transport {
            return TsVerdict::Other;
        }
        self.judge_length(named_us);
        if self.faults.is_empty() { TsVerdict::Sound } else { TsVerdict::Faulty(self.faults) }
    }

    fn packet(&mut self, bytes: &[u8; LEN]) {
        let at = self.at;
        self.at = at.saturating_add(LEN as u64);
        if self.sort == Sort::Other {
            return;
        }
        if bytes[0] != SYNC {
            if self.sort == Sort::Unknown {
                self.sort = Sort::Other;
                // Whatever the first two packets seemed to be, they were none.
                self.faults.clear();
            } else if !self.faults.iter().any(|fault| matches!(fault, TsFault::NoSync { .. })) {
                self.fault(TsFault::NoSync { at, found: bytes[0] });
            }
            return;
        }
        if at >= 2 * LEN as u64 {
            self.sort = Sort::Transport;
        }
        let Some(packet) = Packet::read(bytes) else { return };
        if packet.damaged {
            // Nothing else in it can be relied on.
            self.fault(TsFault::Damaged { at, pid: packet.pid });
            return;
        }
        if packet.discontinuity {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.count(at, &packet);
        if let Some(times) = packet.times() {
            self.time(at, packet.pid, times);
        }
    }

    /// The counter goes up by one with each payload; one repetition is allowed, and an announced discontinuity begins anew.
    fn count(&mut self, at: u64, packet: &Packet<'_>) {
        let Some(last) = self.counters.get_mut(usize::from(packet.pid)) else { return };
        if packet.payload.is_none() {
            if packet.discontinuity {
                *last = UNSEEN;
            }
            return;
        }
        let (before, found) = (*last, packet.counter);
        *last = found;
        if before == UNSEEN || packet.discontinuity {
            return;
        }
        let expected = (before & 0x0f).wrapping_add(1) & 0x0f;
        let repeats = before & 0x0f == found;
        if repeats && before & REPEATED == 0 {
            *last = found | REPEATED;
        } else if found != expected {
            self.fault(TsFault::Continuity { at, pid: packet.pid, expected, found });
        }
    }

    fn time(&mut self, at: u64, pid: u16, stamps: Times) {
        let epoch = self.epoch;
        let Some(known) = self.timed.iter_mut().find(|known| known.pid == pid) else {
            if self.timed.len() < MOST_TIMED {
                self.timed.push(Timed::begin(pid, epoch, stamps));
            }
            return;
        };
        let by = distance(known.decoded, stamps.decoded);
        if known.epoch != epoch {
            known.begin_anew(epoch, stamps);
            return;
        }
        let by_us = by.saturating_mul(100) / 9;
        if by < -BACKWARDS {
            known.begin_anew(epoch, stamps);
            self.fault(TsFault::Jump { at, pid, by_us });
        } else {
            known.go_on(stamps);
            if by > FORWARDS && self.leaps.len() < MOST_FAULTS {
                self.leaps.push(TsFault::Jump { at, pid, by_us });
            }
        }
    }

    /// Compares how long the time stamps last with the name.
    fn judge_length(&mut self, named_us: u64) {
        let video = self.timed.iter().filter(|timed| timed.is_video).map(Timed::lasting).max_by_key(|all| all.ticks);
        let lasting = video.or_else(|| self.timed.iter().map(Timed::lasting).max_by_key(|all| all.ticks));
        let torn = self.filled as u64;
        let Some((found_us, frame_us)) = lasting.and_then(Lasting::us) else {
            // One picture or none: nothing to measure by.
            if torn > 0 && !self.timed.is_empty() {
                self.fault(TsFault::Torn { bytes: torn });
            }
            return;
        };
        if torn > 0 && found_us.saturating_sub(frame_us / 2) < named_us {
            self.fault(TsFault::Torn { bytes: torn });
        }
        if found_us.abs_diff(named_us) > TOLERANCE_US + frame_us {
            for leap in std::mem::take(&mut self.leaps) {
                self.fault(leap);
            }
            self.fault(TsFault::Span { named_us, found_us });
        }
    }

    fn fault(&mut self, fault: TsFault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }
}

impl Timed {
    fn begin(pid: u16, epoch: u32, times: Times) -> Self {
        let before = Lasting::default();
        let (origin, decoded) = (times.shown, times.decoded);
        Self { pid, is_video: times.is_video, epoch, origin, decoded, earliest: 0, latest: 0, frames: 1, before }
    }

    fn begin_anew(&mut self, epoch: u32, times: Times) {
        let before = self.lasting();
        *self = Self { before, ..Self::begin(self.pid, epoch, times) };
    }

    fn go_on(&mut self, times: Times) {
        let shown = distance(self.origin, times.shown);
        self.earliest = self.earliest.min(shown);
        self.latest = self.latest.max(shown);
        self.decoded = times.decoded;
        self.frames = self.frames.saturating_add(1);
    }

    fn lasting(&self) -> Lasting {
        Lasting {
            ticks: self.before.ticks.saturating_add(self.latest.abs_diff(self.earliest)),
            frames: self.before.frames.saturating_add(self.frames),
            stretches: self.before.stretches.saturating_add(1),
        }
    }
}

impl Lasting {
    /// Microseconds, each stretch's last frame included, and those of a frame; `None` if there is no frame after another.
    fn us(self) -> Option<(u64, u64)> {
        let steps = self.frames.saturating_sub(self.stretches);
        let us = |ticks: u64| ticks.saturating_mul(100) / 9;
        let frame_us = us(self.ticks.checked_div(steps)?).min(LONGEST_FRAME_US);
        Some((us(self.ticks).saturating_add(frame_us.saturating_mul(self.stretches)), frame_us))
    }
}
