//! Puts access units into a new transport stream: one program, one video, one sound.

use super::coding::Coding;
use super::packet::{LEN, SYNC};
use super::psi::checksum;
use super::time::{self, WRAP};

/// Packets of the video have this number; those of other tools have it too.
pub const VIDEO_PID: u16 = 0x100;
/// Packets of the sound.
pub const SOUND_PID: u16 = 0x101;
const PMT_PID: u16 = 0x1000;

/// The clock runs this far ahead of decoding: what a decoder buffers.
const BUFFERED: i64 = 63_000;

/// Writes a transport stream.
#[derive(Debug)]
pub struct Mux {
    video: Option<Coding>,
    sound: Option<Coding>,
    version: u8,
    counters: [u8; 4],
    out: Vec<u8>,
}

impl Mux {
    /// Of these codings.
    pub fn new(video: Option<Coding>, sound: Option<Coding>) -> Self {
        Self { video, sound, version: 0, counters: [0; 4], out: Vec::new() }
    }

    /// One of H.264 video alone.
    pub fn h264() -> Self {
        Self::new(Some(Coding::H264), None)
    }

    /// One of AAC sound alone.
    pub fn aac() -> Self {
        Self::new(None, Some(Coding::Aac))
    }

    /// From here on there is sound, too, if there was none.
    pub fn begin_sound(&mut self, sound: Coding) {
        if self.sound.is_none() {
            self.sound = Some(sound);
            self.version = (self.version + 1) & 0x1f;
            self.tables();
        }
    }

    /// What the sound is, if there is any.
    pub fn codes_sound(&self) -> Option<Coding> {
        self.sound
    }

    /// The tables: at the beginning, and before each key frame, so that one may begin there.
    pub fn tables(&mut self) {
        let pmt = PMT_PID.to_be_bytes();
        self.section(0, 0, &[0, 1, 0xc1, 0, 0, 0, 1, 0xe0 | pmt[0], pmt[1]]);
        let clock = if self.video.is_some() { VIDEO_PID } else { SOUND_PID }.to_be_bytes();
        let mut body = vec![0, 1, 0xc1 | self.version << 1, 0, 0, 0xe0 | clock[0], clock[1], 0xf0, 0];
        for (kind, pid) in [(self.video, VIDEO_PID), (self.sound, SOUND_PID)] {
            if let Some(kind) = kind {
                let pid = pid.to_be_bytes();
                let registered = kind.registration();
                let length = u8::try_from(registered.len()).unwrap_or_default();
                body.extend([kind.stream_type(), 0xe0 | pid[0], pid[1], 0xf0, length]);
                body.extend(registered);
            }
        }
        self.section(PMT_PID, 2, &body);
    }

    /// A picture. `is_key`: decoding may begin here.
    pub fn video(&mut self, pts: i64, dts: i64, is_key: bool, data: &[u8]) {
        // Unbounded: pictures may be longer than what the field can hold.
        let header = packet_header(0xe0, 0, pts, Some(dts).filter(|dts| *dts != pts));
        self.packets(VIDEO_PID, Some(dts), is_key, &[&header, data].concat());
    }

    /// Frames of sound, one right after the other.
    pub fn sound(&mut self, pts: i64, data: &[u8]) {
        let length = u16::try_from(data.len() + 8).unwrap_or(0);
        // AC-3 comes as private_stream_1 (ATSC A/52, annex A).
        let is_private = matches!(self.sound, Some(Coding::Dolby | Coding::EnhancedDolby));
        let header = packet_header(if is_private { 0xbd } else { 0xc0 }, length, pts, None);
        let clock = self.video.is_none().then_some(pts);
        self.packets(SOUND_PID, clock, true, &[&header, data].concat());
    }

    /// What was written since it was taken last.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// How much that is.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn section(&mut self, pid: u16, table: u8, body: &[u8]) {
        let length = u16::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
        let mut section = vec![table, 0xb0 | length[0], length[1]];
        section.extend_from_slice(body);
        let sum = checksum(&section).to_be_bytes();
        section.extend(sum);
        let counter = self.count(pid);
        let name = pid.to_be_bytes();
        self.out.extend([SYNC, 0x40 | name[0], name[1], 0x10 | counter, 0]);
        self.out.extend_from_slice(&section);
        self.out.resize(self.out.len() + LEN.saturating_sub(5 + section.len()), 0xff);
    }

    fn packets(&mut self, pid: u16, clock: Option<i64>, is_key: bool, data: &[u8]) {
        let name = pid.to_be_bytes();
        let (mut rest, mut first) = (data, true);
        while !rest.is_empty() {
            let counter = self.count(pid);
            let mut field = Vec::new();
            if first && (clock.is_some() || is_key) {
                field.push(u8::from(is_key) << 6 | u8::from(clock.is_some()) << 4);
                field.extend(clock.map(reference).into_iter().flatten());
            }
            // Length and flags of the field cost two bytes, unless all that is missing is one.
            let mut room = LEN - 4 - if field.is_empty() { 0 } else { 1 + field.len() };
            let mut has_field = !field.is_empty();
            if rest.len() < room {
                let missing = room - rest.len();
                if has_field {
                    field.resize(field.len() + missing, 0xff);
                } else {
                    has_field = true;
                    if missing > 1 {
                        field.push(0);
                        field.resize(missing - 1, 0xff);
                    }
                }
                room = rest.len();
            }
            let starts = if first { 0x40 } else { 0 };
            let control = if has_field { 0x30 } else { 0x10 };
            self.out.extend([SYNC, starts | name[0], name[1], control | counter]);
            if has_field {
                self.out.push(u8::try_from(field.len()).unwrap_or_default());
                self.out.extend_from_slice(&field);
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.out.extend_from_slice(now);
            (rest, first) = (later, false);
        }
    }

    fn count(&mut self, pid: u16) -> u8 {
        let at = match pid {
            0 => 0,
            PMT_PID => 1,
            VIDEO_PID => 2,
            _ => 3,
        };
        let counter = self.counters[at];
        self.counters[at] = (counter + 1) & 0x0f;
        counter
    }
}

/// The clock as it stands in the field: 33 bits of 90 kHz, and nothing of the finer part.
fn reference(dts: i64) -> [u8; 6] {
    let base = (dts - BUFFERED).rem_euclid(WRAP);
    let byte = |shift: i64| u8::try_from(base >> shift & 0xff).unwrap_or_default();
    [byte(25), byte(17), byte(9), byte(1), u8::try_from(base & 1).unwrap_or_default() << 7 | 0x7e, 0]
}

fn packet_header(id: u8, length: u16, pts: i64, dts: Option<i64>) -> Vec<u8> {
    let length = length.to_be_bytes();
    let (flags, size) = if dts.is_some() { (0xc0, 10) } else { (0x80, 5) };
    let mut header = vec![0, 0, 1, id, length[0], length[1], 0x84, flags, size];
    header.extend(time::written(if dts.is_some() { 3 } else { 2 }, pts));
    header.extend(dts.map(|dts| time::written(1, dts)).into_iter().flatten());
    header
}
