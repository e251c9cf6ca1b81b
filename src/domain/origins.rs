//! Which hours hold nothing but what other nodes gave, and who gave how much: the account by which strangers' files neither displace
//! what is the archive's own nor fill its disk.
//!
//! 1. An hour is *fetched* if it was empty when the first file was taken from a peer, and holds no more segments than peers gave. All
//!    else is *own*: what was there before, what a recorder wrote, whatever nobody knows about.
//! 2. A channel and quality is a *stranger's* if it is named nowhere in the configuration and no hour of it is own.
//!
//! The account is kept as lines of text, each with a check of its own; the last line about an hour and a peer counts, and a line that
//! does not add up makes its hour own. Reads and writes no file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::{Hour, HourPlace, Stream};

/// The first line.
const FIRST_LINE: &str = "gapless-fetched 1";
/// What would break a line.
const BREAKS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
const GIVEN: &str = "given";
const OWN: &str = "own";
/// Lines that do not add up and are told.
const TOLD: usize = 10;

/// What the configuration names: it is never a stranger's, and what is fetched for it counts as own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Channels that are to be fetched, where some are named.
    pub channels: BTreeSet<String>,
    /// Qualities of them; all if there are none.
    pub qualities: BTreeSet<String>,
    /// Channels that have a section of their own, with the quality if that has.
    pub sections: BTreeSet<(String, Option<String>)>,
}

impl Named {
    /// Whether it names this channel and quality. A quality without a channel names nothing: anybody can invent a channel that has it.
    pub fn has(&self, stream: &Stream) -> bool {
        let (channel, quality) = (stream.channel.as_str(), stream.quality.as_str());
        let is_fetched =
            self.channels.contains(channel) && (self.qualities.is_empty() || self.qualities.contains(quality));
        let in_section = |of: Option<&str>| self.sections.contains(&(channel.to_owned(), of.map(str::to_owned)));
        is_fetched || in_section(None) || in_section(Some(quality))
    }
}

/// What a peer gave of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Segments and chat batches.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What one peer gave of strangers' channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Bytes.
    pub bytes: u64,
    /// Channels and qualities.
    pub streams: u64,
}

/// Who gave what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    streams: BTreeMap<Stream, BTreeMap<Hour, BTreeMap<Arc<str>, Given>>>,
    /// Lines that were read or written: many more than entries call for a shorter file.
    lines: usize,
    entries: usize,
    /// The first of the lines that do not add up.
    pub damaged: Vec<String>,
    /// How many there are.
    pub damaged_lines: usize,
}

impl Account {
    /// Reads it.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut account = Self::default();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() || line == FIRST_LINE.as_bytes() {
                continue;
            }
            account.lines += 1;
            match std::str::from_utf8(line).ok().and_then(read) {
                Some((place, Some((peer, given)))) => account.put(&place, &peer, given),
                Some((place, None)) => account.drop_hour(&place),
                None => {
                    account.damaged_lines += 1;
                    if account.damaged.len() < TOLD {
                        let begins = String::from_utf8_lossy(line.get(..100).unwrap_or(line));
                        account.damaged.push(format!("line {}: {begins:?}", number + 1));
                    }
                }
            }
        }
        account
    }

    /// The whole as text.
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for (stream, hours) in &self.streams {
            for (hour, peers) in hours {
                let place = HourPlace { stream: stream.clone(), hour: *hour };
                for (peer, given) in peers {
                    text.push_str(&given_line(&place, peer, *given));
                }
            }
        }
        text
    }

    /// What the file has to begin with, if this is its first line.
    pub fn head(&self) -> String {
        if self.lines == 0 { format!("{FIRST_LINE}\n") } else { String::new() }
    }

    /// A peer gave so much of an hour, all in all. Gives the line about it.
    pub fn give(&mut self, place: &HourPlace, peer: &str, given: Given) -> String {
        self.lines += 1;
        self.put(place, peer, given);
        given_line(place, peer, given)
    }

    /// An hour is own, or gone. Gives the line about it, if there was anything to say.
    pub fn forget(&mut self, place: &HourPlace) -> Option<String> {
        self.given(place)?;
        self.lines += 1;
        self.drop_hour(place);
        Some(checked(&format!("{OWN} {}", utf8_percent_encode(&place.to_string(), BREAKS))))
    }

    /// It was written anew.
    pub fn rewritten(&mut self) {
        (self.lines, self.damaged_lines) = (self.entries, 0);
        self.damaged.clear();
    }

    /// Whether most of its lines have been overtaken, or some do not add up.
    pub fn wants_rewriting(&self) -> bool {
        self.damaged_lines > 0 || self.lines > 2 * self.entries + 1_000
    }

    /// What peers gave of an hour; `None` if it is own.
    pub fn given(&self, place: &HourPlace) -> Option<Given> {
        let peers = self.streams.get(&place.stream)?.get(&place.hour)?;
        let add = |sum: Given, given: &Given| Given {
            files: sum.files.saturating_add(given.files),
            bytes: sum.bytes.saturating_add(given.bytes),
        };
        Some(peers.values().fold(Given::default(), add))
    }

    /// What this peer gave of an hour.
    pub fn given_by(&self, place: &HourPlace, peer: &str) -> Given {
        let peers = self.streams.get(&place.stream).and_then(|hours| hours.get(&place.hour));
        peers.and_then(|peers| peers.get(peer)).copied().unwrap_or_default()
    }

    /// Whether an hour that holds so many segments holds nothing but what peers gave.
    pub fn is_fetched(&self, place: &HourPlace, segments: u64) -> bool {
        self.given(place).is_some_and(|given| segments <= given.files)
    }

    /// The hours of a stream that peers gave.
    pub fn hours(&self, stream: &Stream) -> impl Iterator<Item = Hour> {
        self.streams.get(stream).into_iter().flat_map(|hours| hours.keys().copied())
    }

    /// The streams of which peers gave anything.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.keys()
    }

    /// What this peer gave of those streams that are strangers'.
    pub fn used(&self, peer: &str, is_strangers: impl Fn(&Stream) -> bool) -> Used {
        let mut used = Used::default();
        for (_, hours) in self.streams.iter().filter(|(stream, _)| is_strangers(stream)) {
            let of_peer = hours.values().filter_map(|peers| peers.get(peer));
            let (count, bytes) =
                of_peer.fold((0_u64, 0_u64), |(count, bytes), given| (count + 1, bytes.saturating_add(given.bytes)));
            used.streams += u64::from(count > 0);
            used.bytes = used.bytes.saturating_add(bytes);
        }
        used
    }

    fn put(&mut self, place: &HourPlace, peer: &str, given: Given) {
        let hours = self.streams.entry(place.stream.clone()).or_default();
        if hours.entry(place.hour).or_default().insert(peer.into(), given).is_none() {
            self.entries += 1;
        }
    }

    fn drop_hour(&mut self, place: &HourPlace) {
        let Some(hours) = self.streams.get_mut(&place.stream) else { return };
        self.entries -= hours.remove(&place.hour).map_or(0, |peers| peers.len());
        if hours.is_empty() {
            self.streams.remove(&place.stream);
        }
    }
}

fn given_line(place: &HourPlace, peer: &str, given: Given) -> String {
    let place = place.to_string();
    let (peer, place) = (utf8_percent_encode(peer, BREAKS), utf8_percent_encode(&place, BREAKS));
    checked(&format!("{GIVEN} {} {} {peer} {place}", given.files, given.bytes))
}

fn checked(text: &str) -> String {
    let mut line = text.to_owned();
    // A write to a String cannot fail.
    writeln!(line, " {}", check(text)).unwrap_or_default();
    line
}

type Line = (HourPlace, Option<(String, Given)>);

fn read(line: &str) -> Option<Line> {
    let (front, found) = line.rsplit_once(' ')?;
    if found != check(front) {
        return None;
    }
    let decoded = |word: &str| Some(percent_decode_str(word).decode_utf8().ok()?.into_owned());
    let place = |word: &str| HourPlace::parse(&decoded(word)?).ok();
    match *front.split(' ').collect::<Vec<_>>() {
        [GIVEN, files, bytes, peer, at] => {
            let given = Given { files: files.parse().ok()?, bytes: bytes.parse().ok()? };
            Some((place(at)?, Some((decoded(peer)?, given))))
        }
        [OWN, at] => Some((place(at)?, None)),
        _ => None,
    }
}

fn check(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    format!("{:08x}", hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests;
