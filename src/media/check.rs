//! Finds in a segment's bytes what a right hash cannot tell: that a `full` segment was cut short, or put together from pieces,
//! before its name was made.
//!
//! 1. The bytes come in pieces of any size; memory is constant, and no bytes make this panic.
//! 2. Where a file begins with three packets it is a transport stream. Anything else (another container, a short file, a stream behind
//!    something else) is not judged: [`StreamVerdict::Other`]. A file of nothing but zeros is a fault, and so is one of nothing.
//! 3. Judged are: every packet's sync byte and error mark, the counters of each program's packets, leaps of its time stamps,
//!    and how long the time stamps last against the duration in the name.
//!
//! Only what is broken without doubt is a fault. How long a stream lasts is none where pictures come rarely or its tables change: that is
//! [`StreamVerdict::Odd`].
//!
//! **Tolerances.** A playlist's durations may be rounded to whole seconds (RFC 8216, 4.3.2.1: off by up to 0.5 s), and duplicates of
//! one recording with durations 0.5 s apart are known; so the time stamps may last [`TOLERANCE_US`] and one frame longer or
//! shorter than the name says. A source that loses frames leaves a gap in the time stamps of a sound file: a leap forwards is
//! a fault only where the whole does not last as long as its name says. A last packet that is cut short is forgiven where what is
//! there, the torn frame counted for half, still lasts as long as the name says.

use super::coding::Role;
use super::fault::StreamFault;
use super::packet::{LEN, Packet};
use super::pes::{self, Begin, Times};
use super::psi::Program;
use super::reader::{Reader, Sink};
use super::time::{TICKS, distance};
use super::unit::BACKWARDS;

/// How far time stamps and name may differ, besides one frame.
pub const TOLERANCE_US: u64 = 500_000;

/// A frame is not believed to last longer than this.
const LONGEST_FRAME_US: u64 = 1_000_000;

/// Pictures that come as rarely as this say little about when the last one ends.
const SLOW: i64 = TICKS / 2;

/// Further than this forwards is a leap, in ticks.
const FORWARDS: i64 = 2 * TICKS;

/// A report of more faults in one file helps nobody.
const MOST_FAULTS: usize = 8;

/// Fewer bytes are no stream.
const ENOUGH: u64 = 3 * LEN as u64;

/// No real file has more streams with time stamps; further ones are not timed.
const MOST_TIMED: usize = 16;

/// A packet number has 13 bits.
const PIDS: usize = 1 << 13;

/// No counter was seen yet.
const UNSEEN: u8 = 0xff;

/// This packet repeats the one before it, which is allowed once.
const REPEATED: u8 = 0x80;

/// What the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamVerdict {
    /// No transport stream: nothing can be said.
    Other,
    /// A transport stream with nothing wrong.
    Sound,
    /// What is strange, and may be as it was sent: it proves nothing. Never empty.
    Odd(Vec<StreamFault>),
    /// What is wrong, in the order in which it was found; never empty.
    Faulty(Vec<StreamFault>),
}

/// The check of one file while its bytes come.
#[derive(Debug)]
pub struct TsCheck {
    reader: Reader,
    length: u64,
    zeros_only: bool,
    packets: Packets,
}

/// What its packets have shown.
#[derive(Debug)]
struct Packets {
    program: Option<Program>,
    counters: Box<[u8; PIDS]>,
    timed: Vec<Timed>,
    /// How often a stream has said that clocks begin anew.
    epoch: u32,
    faults: Vec<StreamFault>,
    leaps: Vec<StreamFault>,
    /// What is strange and proves nothing.
    odd: Vec<StreamFault>,
    /// The tables have said something else than before.
    has_changed: bool,
}

/// The time stamps of one stream.
#[derive(Debug, Clone, Copy)]
struct Timed {
    pid: u16,
    is_video: bool,
    epoch: u32,
    /// The first time stamp of the stretch at hand; the others are relative to it.
    origin: i64,
    decoded: i64,
    earliest: i64,
    latest: i64,
    /// The shortest step from one decoding time to the next.
    step: i64,
    frames: u64,
    /// What ended stretches have lasted, and their frames.
    before: Lasting,
}

/// How long something lasts, in ticks, from its first frame to its last, and how many frames and stretches that are.
#[derive(Debug, Clone, Copy, Default)]
struct Lasting {
    ticks: u64,
    frames: u64,
    stretches: u64,
}

impl Default for TsCheck {
    fn default() -> Self {
        let packets = Packets {
            program: None,
            counters: Box::new([UNSEEN; PIDS]),
            timed: Vec::new(),
            epoch: 0,
            faults: Vec::new(),
            leaps: Vec::new(),
            odd: Vec::new(),
            has_changed: false,
        };
        Self { reader: Reader::default(), length: 0, zeros_only: true, packets }
    }
}

impl TsCheck {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.zeros_only = self.zeros_only && bytes.iter().all(|byte| *byte == 0);
        self.length = self.length.saturating_add(bytes.len() as u64);
        self.reader.push(bytes, &mut self.packets);
    }

    /// All bytes have come: what they are, for a file that is to last this long.
    pub fn finish(mut self, named_us: u64) -> StreamVerdict {
        if self.length == 0 && named_us > 0 {
            return StreamVerdict::Faulty(vec![StreamFault::Empty]);
        }
        if self.zeros_only && self.length > 0 {
            return StreamVerdict::Faulty(vec![StreamFault::AllZero]);
        }
        self.reader.finish(&mut self.packets);
        let begins = self.reader.first().is_some_and(|(at, distance)| at == 0 || at + LEN as u64 == distance as u64);
        let mut packets = self.packets;
        if !begins || self.length < ENOUGH {
            return StreamVerdict::Other;
        }
        packets.judge_length(named_us, self.reader.torn());
        match (packets.faults.is_empty(), packets.odd.is_empty()) {
            (true, true) => StreamVerdict::Sound,
            (true, false) => StreamVerdict::Odd(packets.odd),
            (false, _) => StreamVerdict::Faulty([packets.faults, packets.odd].concat()),
        }
    }
}

impl Sink for Packets {
    const UNITS: bool = false;

    #[inline]
    fn packet(&mut self, at: u64, packet: &Packet<'_>) {
        if packet.damaged {
            // Nothing else in it can be relied on.
            self.fault(StreamFault::Damaged { at, pid: packet.pid });
            return;
        }
        if packet.discontinuity {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.follows(at, packet);
        if packet.begins
            && !packet.scrambled
            && let Some(payload) = packet.payload
            && let Begin::Header(header) = pes::read(payload)
            && let Some(times) = header.times.filter(|_| header.is_media())
        {
            let coding = self.program.as_ref().and_then(|program| {
                program.streams.iter().find(|stream| stream.pid == packet.pid).map(|stream| stream.coding.role())
            });
            let is_video = match coding {
                Some(Role::Data) => return,
                Some(Role::Video) => true,
                Some(Role::Sound) => false,
                Some(Role::Unknown) | None => header.is_video(),
            };
            self.time(at, packet.pid, is_video, times);
        }
    }

    fn lost(&mut self, at: u64, found: u8) {
        if !self.faults.iter().any(|fault| matches!(fault, StreamFault::NoSync { .. })) {
            self.fault(StreamFault::NoSync { at, found });
        }
    }

    fn tables(&mut self, program: &Program) {
        self.has_changed |= self.program.replace(program.clone()).is_some();
    }
}

impl Packets {
    /// The counter goes up by one with each payload; one repetition is allowed, and an announced discontinuity begins anew.
    fn follows(&mut self, at: u64, packet: &Packet<'_>) {
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
            self.fault(StreamFault::Continuity { at, pid: packet.pid, expected, found });
        }
    }

    fn time(&mut self, at: u64, pid: u16, is_video: bool, stamps: Times) {
        let epoch = self.epoch;
        let Some(known) = self.timed.iter_mut().find(|known| known.pid == pid) else {
            if self.timed.len() < MOST_TIMED {
                self.timed.push(Timed::begin(pid, is_video, epoch, stamps));
            }
            return;
        };
        let by = distance(known.decoded, stamps.decoded);
        if known.epoch != epoch {
            known.rebase(epoch, stamps);
            return;
        }
        let by_us = by.saturating_mul(100) / 9;
        if by < -BACKWARDS {
            known.rebase(epoch, stamps);
            self.fault(StreamFault::Jump { at, pid, by_us });
        } else {
            known.go_on(stamps);
            if by > FORWARDS && self.leaps.len() < MOST_FAULTS {
                self.leaps.push(StreamFault::Jump { at, pid, by_us });
            }
        }
    }

    /// Compares how long the time stamps last with the name. One stream that lasts as long is enough: a camera may freeze while the sound
    /// goes on, and pictures may come rarely.
    fn judge_length(&mut self, named_us: u64, torn: u64) {
        let each = || self.timed.iter().map(Timed::lasting);
        let fits = |lasting: Lasting| {
            lasting.us().is_some_and(|(found_us, frame_us)| found_us.abs_diff(named_us) <= TOLERANCE_US + frame_us)
        };
        let is_as_named = each().any(fits);
        let video = self.timed.iter().filter(|timed| timed.is_video).map(Timed::lasting).max_by_key(|all| all.ticks);
        let lasting = video.or_else(|| each().max_by_key(|all| all.ticks));
        let Some((found_us, frame_us)) = lasting.and_then(Lasting::us) else {
            // One picture or none: nothing to measure by.
            if torn > 0 && !self.timed.is_empty() && !is_as_named {
                self.fault(StreamFault::Torn { bytes: torn });
            }
            return;
        };
        let is_slow = self.timed.iter().all(|timed| timed.step >= SLOW);
        if torn > 0 && found_us.saturating_sub(frame_us / 2) < named_us {
            self.fault(StreamFault::Torn { bytes: torn });
        }
        if !is_as_named {
            let mut found = std::mem::take(&mut self.leaps);
            found.push(StreamFault::Span { named_us, found_us });
            // Where pictures come rarely, or streams change, nobody knows when the last one ends.
            if is_slow || self.has_changed {
                self.odd = found;
            } else {
                for fault in found {
                    self.fault(fault);
                }
            }
        }
    }

    fn fault(&mut self, fault: StreamFault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }
}

impl Timed {
    fn begin(pid: u16, is_video: bool, epoch: u32, times: Times) -> Self {
        let before = Lasting::default();
        let (origin, decoded) = (times.shown, times.decoded);
        Self { pid, is_video, epoch, origin, decoded, earliest: 0, latest: 0, step: i64::MAX, frames: 1, before }
    }

    fn rebase(&mut self, epoch: u32, times: Times) {
        let before = self.lasting();
        *self = Self { before, step: self.step, ..Self::begin(self.pid, self.is_video, epoch, times) };
    }

    fn go_on(&mut self, times: Times) {
        let shown = distance(self.origin, times.shown);
        self.earliest = self.earliest.min(shown);
        self.latest = self.latest.max(shown);
        let step = distance(self.decoded, times.decoded);
        if step > 0 {
            self.step = self.step.min(step);
        }
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
