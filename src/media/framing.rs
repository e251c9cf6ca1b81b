//! Finds the packets in bytes that come in pieces of any size, and finds them again where some are damaged.
//!
//! 1. Packets lie 188 bytes apart, or 192 (with a time before each, as disc recorders write them) or 204 (with 16 bytes of error
//!    correction behind each, as receivers do). Which of them it is says the distance of the sync bytes.
//! 2. At the beginning of a file three in a row are enough; behind bytes that are something else, five.
//! 3. A packet without its sync byte is damage. What is looked for then is the next place from which on three packets lie as far apart
//!    as before, or five at another distance.
//! 4. At the end of the bytes what is there must do.
//! 5. What is found depends on the bytes alone, not on the pieces; memory is constant; a packet that lies in one piece is not copied.

use super::packet::{LEN, SYNC};

/// How far apart packets lie.
const DISTANCES: [usize; 3] = [LEN, 192, 204];

/// Bytes before the sync byte in packets of 192.
const TIME: u64 = 4;

/// Where so many sync bytes lie in a row, packets lie.
const ENOUGH: usize = 5;

/// The same where something else speaks for it: it is where a file begins, or the distance is as it was.
const ENOUGH_IN_PLACE: usize = 3;

/// Bytes that have to be there to decide about a place.
const SEEN: usize = (ENOUGH - 1) * 204 + 1;

/// Bytes that are held while packets are looked for.
const HELD: usize = 8 << 10;

/// What was found.
#[derive(Debug)]
pub(super) enum Framed<'b> {
    /// A packet, and where it begins.
    Packet(u64, &'b [u8; LEN]),
    /// There is no packet where one has to be: where that is, and what stands there.
    Lost(u64, u8),
}

/// The state between two pieces.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// What awaits its end, or a decision.
    held: Vec<u8>,
    /// Where the next byte that was neither passed on nor passed over stands in the file.
    at: u64,
    /// How far apart packets lie; `None` while they are looked for.
    distance: Option<usize>,
    /// How far apart they lay, and where that ended.
    before: Option<(usize, u64)>,
    first: Option<(u64, usize)>,
}

impl Framing {
    /// Where the first packet begins, and how far apart they lie.
    pub fn first(&self) -> Option<(u64, usize)> {
        self.first
    }

    /// Bytes of a packet that is not whole. After the last bytes: those of the one that is torn off.
    pub fn torn(&self) -> u64 {
        if self.distance.is_some() { self.held.len() as u64 } else { 0 }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Framed<'_>)) {
        loop {
            let wanted = self.distance.unwrap_or(HELD);
            if self.held.is_empty()
                && let Some(distance) = self.distance
            {
                bytes = self.pass_on(bytes, distance, each);
                if self.distance.is_some() {
                    self.held.extend_from_slice(bytes);
                    return;
                }
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(wanted.saturating_sub(self.held.len())));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() < wanted {
                return;
            }
            match self.distance {
                Some(distance) => self.one_held(distance, each),
                None => self.search(false),
            }
        }
    }

    /// There are no more bytes.
    pub fn finish(&mut self, each: &mut impl FnMut(Framed<'_>)) {
        while self.held.len() >= LEN {
            match self.distance {
                Some(distance) => self.one_held(distance, each),
                None => self.search(true),
            }
        }
    }

    /// Passes on what lies in a piece, without copying; what is left is shorter than a packet, or begins with none.
    fn pass_on<'b>(&mut self, mut bytes: &'b [u8], distance: usize, each: &mut impl FnMut(Framed<'_>)) -> &'b [u8] {
        let mut at = self.at;
        while let (Some(packet), Some(rest)) = (bytes.first_chunk::<LEN>(), bytes.get(distance..)) {
            if packet[0] != SYNC {
                break;
            }
            each(Framed::Packet(at, packet));
            at += distance as u64;
            bytes = rest;
        }
        self.at = at;
        if let Some(found) = bytes.first().filter(|_| bytes.len() >= distance) {
            self.lose(distance, *found, each);
        }
        bytes
    }

    fn one_held(&mut self, distance: usize, each: &mut impl FnMut(Framed<'_>)) {
        let Some(packet) = self.held.first_chunk::<LEN>() else { return };
        if packet[0] != SYNC {
            let found = packet[0];
            return self.lose(distance, found, each);
        }
        each(Framed::Packet(self.at, packet));
        self.pass_over(distance);
    }

    fn lose(&mut self, distance: usize, found: u8, each: &mut impl FnMut(Framed<'_>)) {
        self.distance = None;
        self.before = Some((distance, self.at));
        each(Framed::Lost(self.at, found));
    }

    fn pass_over(&mut self, count: usize) {
        let count = count.min(self.held.len());
        self.held.drain(..count);
        self.at += count as u64;
    }

    /// Looks for packets in what is held, as far as it can be decided; at the end all can.
    fn search(&mut self, is_end: bool) {
        let most = if is_end { self.held.len() } else { self.held.len().saturating_sub(SEEN - 1) };
        let found = (0..most).find_map(|place| Some((place, self.distance_from(place)?)));
        if let Some((place, distance)) = found {
            self.pass_over(place);
            self.distance = Some(distance);
            self.first.get_or_insert((self.at, distance));
        } else {
            self.pass_over(most);
        }
    }

    /// How far apart packets lie from this place on, if they do.
    fn distance_from(&self, place: usize) -> Option<usize> {
        let rest = self.held.get(place..)?;
        if rest.first() != Some(&SYNC) || rest.len() < LEN {
            return None;
        }
        let at = self.at + place as u64;
        DISTANCES.into_iter().find(|distance| {
            let is_in_place = match self.before {
                Some((before, _)) => before == *distance,
                None => self.first.is_none() && (at == 0 || at == TIME && *distance == 192),
            };
            let needed = if is_in_place { ENOUGH_IN_PLACE } else { ENOUGH };
            let there = rest.iter().step_by(*distance).take(needed);
            let (count, all) = there.fold((0, true), |(count, all), byte| (count + 1, all && *byte == SYNC));
            // Where the bytes end, fewer are enough if the place speaks for it.
            let goes_on = self.before.is_some_and(|(_, since)| (at - since).is_multiple_of(*distance as u64));
            all && (count == needed || is_in_place && (count >= 2 || goes_on || at == 0 || at == TIME))
        })
    }
}
