//! Takes a transport stream apart: the tables that say which streams a program has (ISO/IEC 13818-1, 2.4.4), and of each stream
//! the first bytes.

use crate::domain::ts::packet::{LEN, Packet, SYNC};

/// Bytes of a sound stream that are looked at.
const SOUND: usize = 16 << 10;

/// No real program has more streams.
const MOST_STREAMS: usize = 16;

/// Times of so many pictures are looked at.
const MOST_STAMPS: usize = 128;

/// What a stream is, as the tables call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    H264,
    Hevc,
    Aac,
    MpegAudio,
    Dolby,
    /// Marks, subtitles as pictures: what no list of codecs names.
    Data,
    Unknown,
}

impl Coding {
    pub fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::Hevc)
    }

    /// From its number and descriptors (ISO/IEC 13818-1, table 2-34; ATSC A/53; ETSI EN 300 468).
    fn new(number: u8, descriptors: &[u8]) -> Self {
        match number {
            0x1b => Self::H264,
            0x24 => Self::Hevc,
            0x0f => Self::Aac,
            0x03 | 0x04 => Self::MpegAudio,
            0x81 | 0x87 => Self::Dolby,
            // Timed metadata, sections, and marks for advertisements.
            0x05 | 0x15 | 0x86 => Self::Data,
            0x06 => Self::private(descriptors),
            _ => Self::Unknown,
        }
    }

    fn private(mut descriptors: &[u8]) -> Self {
        while let [tag, length, rest @ ..] = descriptors {
            match tag {
                0x6a | 0x7a => return Self::Dolby,
                // Teletext and subtitles.
                0x56 | 0x59 => return Self::Data,
                _ => descriptors = rest.get(usize::from(*length)..).unwrap_or_default(),
            }
        }
        Self::Unknown
    }
}

/// A stream's first bytes.
#[derive(Debug)]
pub(super) struct Elementary {
    pid: u16,
    pub coding: Coding,
    pub bytes: Vec<u8>,
    /// It begins with a beginning, and behind the tables.
    pub begins_whole: bool,
    was_seen: bool,
    stamps: Vec<u64>,
}

impl Elementary {
    /// Whether two pictures that are shown one after the other are as far apart as so many in a thousand seconds are, and none less.
    pub fn shows_at(&self, rate_millis: u32) -> bool {
        let mut stamps = self.stamps.clone();
        stamps.sort_unstable();
        let gaps = stamps.windows(2).map(|pair| if let [a, b] = pair { b - a } else { 0 });
        let told = 90_000_000 / u64::from(rate_millis.max(1));
        // Time stamps are whole numbers, and so is what is left of a frame's length.
        gaps.filter(|gap| *gap > 0).min().is_some_and(|gap| gap.abs_diff(told) <= 1)
    }
}

/// The first program of a transport stream.
#[derive(Debug)]
pub(super) struct Program {
    /// None if no tables were found.
    pub streams: Vec<Elementary>,
}

impl Program {
    /// Nothing if this is no transport stream.
    pub fn read(head: &[u8]) -> Option<Self> {
        let (packets, _torn) = head.as_chunks::<LEN>();
        if packets.is_empty() || packets.iter().take(3).any(|packet| packet[0] != SYNC) {
            return None;
        }
        let packets = || packets.iter().filter(|packet| packet[0] == SYNC).enumerate();
        let sound = || {
            packets().filter_map(|(at, packet)| Some((at, Packet::read(packet)?))).filter(|(_, packet)| !packet.damaged)
        };
        let Some((tables_end, mut streams)) = tables(sound) else { return Some(Self { streams: Vec::new() }) };
        for (at, packet) in sound() {
            if let Some(stream) = streams.iter_mut().find(|stream| stream.pid == packet.pid) {
                stream.take(&packet, at > tables_end);
            }
        }
        Some(Self { streams })
    }
}

/// The streams, and the packet in which the tables end.
fn tables<'b, P: Iterator<Item = (usize, Packet<'b>)>>(packets: impl Fn() -> P) -> Option<(usize, Vec<Elementary>)> {
    let (associations_end, map_pid) = section(packets(), 0, 0, |table| {
        let programs = table.get(8..)?;
        let (entries, _) = programs.as_chunks::<4>();
        // Number 0 is the network's.
        let program = entries.iter().find(|entry| entry[..2] != [0, 0])?;
        Some(pid_of(program[2], program[3]))
    })?;
    let (map_end, streams) = section(packets(), map_pid, 2, |table| {
        let skipped = usize::from(table.get(10)? & 0x0f) << 8 | usize::from(*table.get(11)?);
        let mut rest = table.get(12 + skipped..)?;
        let mut streams = Vec::new();
        while let [number, high, low, long_high, long_low, tail @ ..] = rest {
            let length = usize::from(long_high & 0x0f) << 8 | usize::from(*long_low);
            let (pid, coding) = (pid_of(*high, *low), Coding::new(*number, tail.get(..length)?));
            if streams.len() < MOST_STREAMS {
                streams.push(Elementary::new(pid, coding));
            }
            rest = tail.get(length..)?;
        }
        Some(streams)
    })?;
    Some((associations_end.max(map_end), streams))
}

fn pid_of(high: u8, low: u8) -> u16 {
    u16::from(high & 0x1f) << 8 | u16::from(low)
}

/// The first sound section of a table that can be read, without its checksum, and the packet in which it ends.
fn section<'b, T>(
    packets: impl Iterator<Item = (usize, Packet<'b>)>,
    pid: u16,
    id: u8,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Option<(usize, T)> {
    let mut waiting: Vec<u8> = Vec::new();
    for (at, packet) in packets.filter(|(_, packet)| packet.pid == pid) {
        let Some(payload) = packet.payload else { continue };
        if packet.begins {
            let Some((skipped, rest)) = payload.split_first() else { continue };
            waiting = rest.get(usize::from(*skipped)..).unwrap_or_default().to_vec();
        } else if !waiting.is_empty() {
            waiting.extend_from_slice(payload);
        }
        let [found, high, low, ..] = waiting.as_slice() else { continue };
        let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(*low));
        let Some(whole) = waiting.get(..length) else { continue };
        // Meant for later: bit 0 of the sixth byte.
        let is_current = whole.get(5).is_some_and(|byte| byte & 1 == 1);
        if *found == id && is_current && checksum(whole) == 0 {
            let table = whole.get(..length.saturating_sub(4)).unwrap_or_default();
            if let Some(told) = read(table) {
                return Some((at, told));
            }
        }
        waiting.clear();
    }
    None
}

/// CRC-32 of a section and its checksum: zero if nothing is damaged (ISO/IEC 13818-1, annex A).
fn checksum(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte) << 24,
            |sum, _| {
                if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 }
            },
        )
    })
}

impl Elementary {
    fn new(pid: u16, coding: Coding) -> Self {
        Self { pid, coding, bytes: Vec::new(), begins_whole: false, was_seen: false, stamps: Vec::new() }
    }

    fn take(&mut self, packet: &Packet<'_>, is_behind_tables: bool) {
        let Some(mut payload) = packet.payload else { return };
        if !self.was_seen {
            self.was_seen = true;
            self.begins_whole = packet.begins && is_behind_tables;
        }
        if packet.begins {
            if let Some(times) = packet.times().filter(|_| self.stamps.len() < MOST_STAMPS) {
                self.stamps.push(times.shown);
            }
            let [0, 0, 1, _, _, _, _, _, header, rest @ ..] = payload else { return };
            payload = rest.get(usize::from(*header)..).unwrap_or_default();
        } else if self.bytes.is_empty() {
            return;
        }
        if self.coding.is_video() || self.bytes.len() < SOUND {
            self.bytes.extend_from_slice(payload);
        }
    }
}
