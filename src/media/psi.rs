//! Tables of a transport stream: which programs there are, and of which streams one is made (ISO/IEC 13818-1, 2.4.4).

use super::coding::{Coding, Role};
use super::packet::pid;

/// A section of these tables has at most so many bytes (2.4.4.1).
const LONGEST: usize = 1_024;

/// Bytes that begin and end every section of these tables: up to the number of the last one, and the checksum.
const HEAD: usize = 8;
const CHECKSUM: usize = 4;

/// One program, as its table lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its number.
    pub number: u16,
    /// The stream whose packets carry its clock.
    pub clock_pid: u16,
    /// What it is made of, in the order of the table.
    pub streams: Vec<Elementary>,
}

impl Program {
    /// What its sound is: the first stream of sound.
    pub fn sound(&self) -> Option<Coding> {
        self.streams.iter().map(|stream| stream.coding).find(|coding| coding.role() == Role::Sound)
    }
}

/// One stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elementary {
    /// The number of its packets.
    pub pid: u16,
    /// What it is.
    pub coding: Coding,
}

/// Puts the sections of one table together: one may lie in several packets, and several may lie in one.
#[derive(Debug, Default)]
pub(super) struct Sections {
    waiting: Vec<u8>,
}

impl Sections {
    /// A packet is missing.
    pub fn lose(&mut self) {
        self.waiting.clear();
    }

    /// Takes the payload of a packet. Only sections that are whole, in force, and not damaged are passed on.
    pub fn push(&mut self, begins: bool, payload: &[u8], each: &mut impl FnMut(&[u8])) {
        if !begins {
            if !self.waiting.is_empty() {
                self.take(payload, each);
            }
            return;
        }
        let Some((pointer, rest)) = payload.split_first() else { return };
        let Some((end, next)) = rest.split_at_checked(usize::from(*pointer)) else { return self.lose() };
        if !self.waiting.is_empty() {
            self.take(end, each);
        }
        self.waiting.clear();
        self.take(next, each);
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        self.waiting.extend_from_slice(bytes);
        let mut at = 0;
        while let Some([id, high, low, ..]) = self.waiting.get(at..) {
            let length = 3 + (usize::from(high & 0x0f) << 8 | usize::from(*low));
            if *id == 0xff || length > LONGEST {
                // Stuffing up to the end of the packet, or nothing that can be understood.
                at = self.waiting.len();
                break;
            }
            let Some(section) = self.waiting.get(at..at + length) else { break };
            let is_current = section.get(5).is_some_and(|byte| byte & 1 == 1);
            if length >= HEAD + CHECKSUM && is_current && checksum(section) == 0 {
                each(section);
            }
            at += length;
        }
        self.waiting.drain(..at);
    }
}

/// The programs in a section of the table of programs: number, and the packets in which its own table lies.
pub(super) fn programs(section: &[u8]) -> Option<impl Iterator<Item = (u16, u16)>> {
    let entries = section.get(HEAD..section.len().checked_sub(CHECKSUM)?).filter(|_| section.first() == Some(&0))?;
    let entries = entries.as_chunks::<4>().0.iter();
    // Number 0 is the network's.
    Some(
        entries
            .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), pid(entry[2], entry[3])))
            .filter(|(n, _)| *n != 0),
    )
}

/// A section of a program's table.
pub(super) fn program(section: &[u8]) -> Option<Program> {
    let table = section.get(..section.len().checked_sub(CHECKSUM)?)?;
    let [2, _, _, number_high, number_low, _, _, _, clock_high, clock_low, info_high, info_low, rest @ ..] = table
    else {
        return None;
    };
    let mut rest = rest.get(length(*info_high, *info_low)..)?;
    let mut streams = Vec::new();
    while let [kind, high, low, long, short, tail @ ..] = rest {
        let info = length(*long, *short);
        streams.push(Elementary { pid: pid(*high, *low), coding: Coding::new(*kind, tail.get(..info)?) });
        rest = tail.get(info..)?;
    }
    let number = u16::from_be_bytes([*number_high, *number_low]);
    Some(Program { number, clock_pid: pid(*clock_high, *clock_low), streams })
}

fn length(high: u8, low: u8) -> usize {
    usize::from(high & 0x0f) << 8 | usize::from(low)
}

/// CRC-32 (ISO/IEC 13818-1, annex A); of a section together with its checksum it is zero.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}
