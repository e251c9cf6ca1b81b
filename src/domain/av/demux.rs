//! Takes the access units of the first program out of a transport stream.

use super::h264::{Marks, marks};
use super::{H264, is_sound, is_video};

const LEN: usize = 188;
const SYNC: u8 = 0x47;
/// A time stamp has 33 bits.
const WRAP: i64 = 1 << 33;
/// A table has at most so many bytes (ISO/IEC 13818-1, 2.4.4.1).
const LONGEST_SECTION: usize = 1_024;

/// A picture, or a few frames of sound: what came as one packet of the elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// When it is shown.
    pub pts: i64,
    /// When it is decoded.
    pub dts: i64,
    /// Its bytes as they came.
    pub data: Vec<u8>,
    /// What the bytes of a picture say about it.
    pub marks: Marks,
}

/// What a segment holds, in the order of decoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Av {
    /// `stream_type` of the video, if there is any.
    pub video_type: Option<u8>,
    /// `stream_type` of the sound, if there is any.
    pub sound_type: Option<u8>,
    /// Pictures.
    pub video: Vec<Unit>,
    /// Sound.
    pub sound: Vec<Unit>,
}

impl Av {
    /// The earliest time at which a picture is shown: where the segment begins.
    pub fn first_pts(&self) -> Option<i64> {
        let units = if self.video.is_empty() { &self.sound } else { &self.video };
        units.iter().map(|unit| unit.pts).min()
    }
}

/// One elementary stream while its packets come.
#[derive(Debug, Default)]
struct Track {
    pid: Option<u16>,
    waiting: Vec<u8>,
    open: bool,
    random_access: bool,
    units: Vec<Unit>,
}

#[derive(Debug, Default)]
struct State {
    pmt_pid: Option<u16>,
    table: Vec<u8>,
    av: Av,
    video: Track,
    sound: Track,
    reference: Option<i64>,
}

/// Reads the bytes of one segment.
pub fn demux(bytes: &[u8]) -> Av {
    let mut state = State::default();
    let mut rest = bytes;
    while let Some(packet) = rest.first_chunk::<LEN>() {
        let next_is_sync = rest.get(LEN).is_none_or(|byte| *byte == SYNC);
        if packet[0] == SYNC && next_is_sync {
            state.packet(packet);
            rest = rest.get(LEN..).unwrap_or_default();
        } else {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    state.finish()
}

impl State {
    fn packet(&mut self, packet: &[u8; LEN]) {
        if packet[1] & 0x80 != 0 {
            return;
        }
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let starts = packet[1] & 0x40 != 0;
        let (random_access, payload) = payload(packet);
        if pid == 0 && starts {
            self.pmt_pid = self.pmt_pid.or_else(|| program(payload));
        } else if Some(pid) == self.pmt_pid {
            self.table(starts, payload);
        } else if Some(pid) == self.video.pid {
            let is_h264 = self.av.video_type == Some(H264);
            self.video.take(starts, random_access, payload, &mut self.reference, is_h264);
        } else if Some(pid) == self.sound.pid {
            self.sound.take(starts, random_access, payload, &mut self.reference, false);
        }
    }

    /// The table of the program: which packets are video, which are sound. The first one that is whole counts.
    fn table(&mut self, starts: bool, payload: &[u8]) {
        if self.video.pid.is_some() || self.sound.pid.is_some() {
            return;
        }
        if starts {
            let pointer = payload.first().copied().map_or(0, usize::from);
            self.table = payload.get(1 + pointer..).unwrap_or_default().to_vec();
        } else if !self.table.is_empty() && self.table.len() < LONGEST_SECTION {
            self.table.extend_from_slice(payload);
        }
        let [2, high, low, ..] = self.table[..] else { return };
        let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
        // The last four bytes are the checksum.
        let Some(section) = self.table.get(..length.saturating_sub(4)) else { return };
        let skipped = section.get(10..12).map_or(0, |two| usize::from(two[0] & 0x0f) << 8 | usize::from(two[1]));
        let mut rest = section.get(12 + skipped..).unwrap_or_default();
        while let [kind, pid_high, pid_low, info_high, info_low, ..] = *rest {
            let pid = u16::from(pid_high & 0x1f) << 8 | u16::from(pid_low);
            if is_video(kind) && self.video.pid.is_none() {
                (self.video.pid, self.av.video_type) = (Some(pid), Some(kind));
            } else if is_sound(kind) && self.sound.pid.is_none() {
                (self.sound.pid, self.av.sound_type) = (Some(pid), Some(kind));
            }
            let info = usize::from(info_high & 0x0f) << 8 | usize::from(info_low);
            rest = rest.get(5 + info..).unwrap_or_default();
        }
    }

    fn finish(mut self) -> Av {
        self.video.close(&mut self.reference, self.av.video_type == Some(H264));
        self.sound.close(&mut self.reference, false);
        Av { video: self.video.units, sound: self.sound.units, ..self.av }
    }
}

impl Track {
    fn take(&mut self, starts: bool, random: bool, payload: &[u8], reference: &mut Option<i64>, is_h264: bool) {
        if starts {
            self.close(reference, is_h264);
            self.open = true;
            self.random_access = random;
        }
        if self.open {
            self.waiting.extend_from_slice(payload);
        }
    }

    /// The packet of the elementary stream is whole.
    fn close(&mut self, reference: &mut Option<i64>, is_h264: bool) {
        self.open = false;
        let packet = std::mem::take(&mut self.waiting);
        let Some((stamps, data)) = elementary(&packet) else { return };
        let Some((pts, dts)) = stamps else {
            // Without a time of its own it goes on where the one before it ended.
            if let Some(last) = self.units.last_mut() {
                last.data.extend_from_slice(data);
            }
            return;
        };
        let origin = *reference.get_or_insert(dts);
        let (pts, dts) = (unwrapped(pts, origin), unwrapped(dts, origin));
        let mut found = if is_h264 { marks(data) } else { Marks::default() };
        found.random_access |= self.random_access;
        self.units.push(Unit { pts, dts, data: data.to_vec(), marks: found });
    }
}

/// The time stamp that is meant, near the reference.
fn unwrapped(stamp: i64, reference: i64) -> i64 {
    let ahead = (stamp - reference).rem_euclid(WRAP);
    reference + if ahead < WRAP / 2 { ahead } else { ahead - WRAP }
}

/// Whether decoding may begin here, and the bytes after the header.
fn payload(packet: &[u8; LEN]) -> (bool, &[u8]) {
    let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
    let field = if has_field { 1 + usize::from(packet[4]) } else { 0 };
    let random_access = field > 1 && packet[5] & 0x40 != 0;
    let bytes = if has_payload { packet.get(4 + field..).unwrap_or_default() } else { &[] };
    (random_access, bytes)
}

/// Where the table of the first program is.
fn program(payload: &[u8]) -> Option<u16> {
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let [0, high, low, ..] = *section else { return None };
    let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
    let programs = section.get(8..length.saturating_sub(4))?;
    let real = programs.as_chunks::<4>().0.iter().find(|program| program[..2] != [0, 0])?;
    Some(u16::from(real[2] & 0x1f) << 8 | u16::from(real[3]))
}

type Stamps = Option<(i64, i64)>;

/// Time stamps and content of a packet of the elementary stream.
fn elementary(packet: &[u8]) -> Option<(Stamps, &[u8])> {
    let [0, 0, 1, _, long, short, _, flags, header, ..] = *packet else { return None };
    let length = usize::from(long) << 8 | usize::from(short);
    let whole = if length == 0 { packet } else { packet.get(..6 + length).unwrap_or(packet) };
    let data = whole.get(9 + usize::from(header)..)?;
    let pts = (flags & 0x80 != 0).then(|| packet.get(9..).and_then(stamp)).flatten();
    let dts = (flags & 0xc0 == 0xc0).then(|| packet.get(14..).and_then(stamp)).flatten();
    Some((pts.map(|pts| (pts, dts.unwrap_or(pts))), data))
}

/// Five bytes with 33 bits between marks.
fn stamp(bytes: &[u8]) -> Option<i64> {
    let [top, high, middle, low, last] = bytes.first_chunk::<5>()?.map(i64::from);
    Some((top >> 1 & 7) << 30 | high << 22 | (middle >> 1) << 15 | low << 7 | last >> 1)
}
