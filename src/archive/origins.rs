//! What other nodes gave of each hour, and who: the account by which what others gave neither displaces what is the archive's own nor
//! fills its disk.
//!
//! 1. An hour is *fetched* if it was empty when the first file was taken from a peer, and holds no more segments than peers gave. All
//!    else is *own*: what was there before, what a recorder wrote, whatever nobody knows about. What peers add to an hour that is own
//!    is counted beside it.
//! 2. A channel and quality is a *stranger's* if it is named nowhere in the configuration and no hour of it is own.
//!
//! The account is kept as lines of text, each with a check of its own; the last line about an hour and a peer counts, and a line that
//! does not add up makes its hour own. It says as well how long this node had lived, by which lists of single files grow old
//! (`sync::crawl::gifts`). Reads and writes no file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::blocks::on_disk;
use super::lived::LivedTime;
use super::{Hour, HourPlace, Stream};

/// The first line.
const FIRST_LINE: &str = "gapless-fetched 1";
/// What would break a line.
const BREAKS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
const GIVEN: &str = "given";
const OWN: &str = "own";
const GONE: &str = "gone";
const LIVED: &str = "lived";
/// Time lived is written down after so many seconds.
const LIVED_STEP_S: u64 = 600;
/// Lines that do not add up and are told.
const TOLD: usize = 10;

/// What the configuration names: it is never a stranger's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfiguredStreams {
    /// Channels that are to be fetched, where some are named.
    pub channels: BTreeSet<String>,
    /// Qualities of them; all if there are none.
    pub qualities: BTreeSet<String>,
    /// Channels that have a section of their own, with the quality if that has.
    pub sections: BTreeSet<(String, Option<String>)>,
}

impl ConfiguredStreams {
    /// Whether it names this channel and quality. A quality without a channel names nothing: anybody can invent a channel that has it.
    pub fn has(&self, stream: &Stream) -> bool {
        let (channel, quality) = (stream.channel.as_str(), stream.quality.as_str());
        let is_fetched =
            self.channels.contains(channel) && (self.qualities.is_empty() || self.qualities.contains(quality));
        let in_section = |of: Option<&str>| self.sections.contains(&(channel.to_owned(), of.map(str::to_owned)));
        is_fetched || in_section(None) || in_section(Some(quality))
    }
}

/// Whose an hour is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// It holds nothing but what peers gave.
    pub fetched: bool,
    /// The configuration names its channel and quality.
    pub named: bool,
    /// What peers have added to it, where it is own, as far as it is here.
    pub added: GiftedHour,
}

/// What a peer gave of an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GiftedHour {
    /// Segments and chat batches.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tombstones for names that were not here.
    pub tombstones: u64,
}

/// What one peer gave of strangers' channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StrangersUse {
    /// Bytes of the disk.
    pub bytes: u64,
    /// Channels and qualities.
    pub streams: u64,
}

/// What peers gave of an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct HourOrigins {
    peers: BTreeMap<Arc<str>, GiftedHour>,
    /// It holds something of the archive's own as well.
    is_own: bool,
}

impl GiftedHour {
    /// Bytes of the disk that it takes.
    pub const fn on_disk(&self) -> u64 {
        on_disk(self.files.saturating_add(self.tombstones), self.bytes)
    }
}

impl std::ops::Add for GiftedHour {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            bytes: self.bytes.saturating_add(other.bytes),
            tombstones: self.tombstones.saturating_add(other.tombstones),
        }
    }
}

impl std::ops::Sub for GiftedHour {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_sub(other.files),
            bytes: self.bytes.saturating_sub(other.bytes),
            tombstones: self.tombstones.saturating_sub(other.tombstones),
        }
    }
}

impl HourOrigins {
    fn given(&self) -> GiftedHour {
        self.peers.values().fold(GiftedHour::default(), |sum, given| sum + *given)
    }

    /// Lines that say all of it.
    fn lines(&self) -> usize {
        self.peers.len() + usize::from(self.is_own)
    }
}

/// Who gave what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GiftAccount {
    streams: BTreeMap<Stream, BTreeMap<Hour, HourOrigins>>,
    lived: LivedTime,
    /// As it was written last.
    lived_written: Option<LivedTime>,
    /// Lines that were read or written: many more than entries call for a shorter file.
    lines: usize,
    entries: usize,
    /// The first of the lines that do not add up.
    pub damaged: Vec<String>,
    /// How many there are.
    pub damaged_lines: usize,
}

impl GiftAccount {
    /// Reads it.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut account = Self::default();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() || line == FIRST_LINE.as_bytes() {
                continue;
            }
            account.lines += 1;
            match std::str::from_utf8(line).ok().and_then(read) {
                Some(OriginLine::Given(place, peer, given)) => account.put(&place, &peer, given),
                Some(OriginLine::Own(place)) => account.hour(&place).is_own = true,
                Some(OriginLine::Gone(place)) => account.drop_hour(&place),
                Some(OriginLine::Lived(lived)) => (account.lived, account.lived_written) = (lived.clone(), Some(lived)),
                None => {
                    account.damaged_lines += 1;
                    if account.damaged.len() < TOLD {
                        let begins = String::from_utf8_lossy(line.get(..100).unwrap_or(line));
                        account.damaged.push(format!("line {}: {begins:?}", number + 1));
                    }
                }
            }
        }
        account.entries = account.streams.values().flat_map(BTreeMap::values).map(HourOrigins::lines).sum();
        account
    }

    /// The whole as text.
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n{}", lived_line(&self.lived));
        for (stream, hours) in &self.streams {
            for (hour, of_hour) in hours {
                let place = HourPlace { stream: stream.clone(), hour: *hour };
                if of_hour.is_own {
                    text.push_str(&place_line(OWN, &place));
                }
                for (peer, given) in &of_hour.peers {
                    text.push_str(&given_line(&place, peer, *given));
                }
            }
        }
        text
    }

    /// A peer gave so much of an hour, all in all. Gives the line about it.
    pub fn give(&mut self, place: &HourPlace, peer: &str, given: GiftedHour) -> String {
        self.lines += 1;
        self.put(place, peer, given);
        given_line(place, peer, given)
    }

    /// An hour holds something of the archive's own: it is no fetched one any more. Gives the line about it, if that is new.
    pub fn make_own(&mut self, place: &HourPlace) -> Option<String> {
        let of_hour = self.hour(place);
        if std::mem::replace(&mut of_hour.is_own, true) {
            return None;
        }
        self.lines += 1;
        self.entries += 1;
        Some(place_line(OWN, place))
    }

    /// Nothing of an hour is here any more. Gives the line about it, if there was anything to say.
    pub fn forget(&mut self, place: &HourPlace) -> Option<String> {
        self.streams.get(&place.stream)?.get(&place.hour)?;
        self.lines += 1;
        self.drop_hour(place);
        Some(place_line(GONE, place))
    }

    /// No segment of an hour is here any more, but tombstones may be. Gives the lines about it, if there was anything to say.
    pub fn forget_files(&mut self, place: &HourPlace) -> Option<String> {
        let of_hour = self.streams.get(&place.stream)?.get(&place.hour)?;
        let left = |given: &GiftedHour| GiftedHour { tombstones: given.tombstones, ..GiftedHour::default() };
        if !of_hour.is_own && of_hour.peers.values().all(|given| given.tombstones > 0 && left(given) == *given) {
            return None;
        }
        let peers = of_hour.peers.iter().filter(|(_, given)| given.tombstones > 0);
        let buried: Vec<(Arc<str>, GiftedHour)> = peers.map(|(peer, given)| (Arc::clone(peer), left(given))).collect();
        let mut lines = self.forget(place)?;
        for (peer, given) in buried {
            lines += &self.give(place, &peer, given);
        }
        Some(lines)
    }

    /// So many seconds have passed since the machine was started this time. Gives the line about it, if it is worth one.
    pub fn live(&mut self, boot: &str, uptime_s: u64) -> Option<String> {
        self.lived.pass(boot, uptime_s);
        let is_new = self.lived_written.as_ref().is_none_or(|written| {
            !written.is_of_boot_of(&self.lived) || self.lived.seconds() - written.seconds() >= LIVED_STEP_S
        });
        self.lived_written = if is_new { Some(self.lived.clone()) } else { self.lived_written.take() };
        self.lines += usize::from(is_new);
        is_new.then(|| lived_line(&self.lived))
    }

    /// How long this node has lived, as far as this account knows.
    pub fn lived(&mut self) -> &mut LivedTime {
        &mut self.lived
    }

    /// It was written anew.
    pub fn rewritten(&mut self) {
        (self.lines, self.damaged_lines) = (self.entries + 1, 0);
        self.lived_written = Some(self.lived.clone());
        self.damaged.clear();
    }

    /// Whether most of its lines have been overtaken, or some do not add up.
    pub fn wants_rewriting(&self) -> bool {
        self.damaged_lines > 0 || self.lines > 2 * self.entries + 1_000
    }

    /// What peers gave of an hour; `None` if nothing.
    pub fn given(&self, place: &HourPlace) -> Option<GiftedHour> {
        Some(self.streams.get(&place.stream)?.get(&place.hour)?.given())
    }

    /// What this peer gave of an hour.
    pub fn given_by(&self, place: &HourPlace, peer: &str) -> GiftedHour {
        let of_hour = self.streams.get(&place.stream).and_then(|hours| hours.get(&place.hour));
        of_hour.and_then(|of_hour| of_hour.peers.get(peer)).copied().unwrap_or_default()
    }

    /// Whether an hour held something of the archive's own beside what peers gave, as far as that was looked at.
    pub fn is_own(&self, place: &HourPlace) -> bool {
        self.streams.get(&place.stream).and_then(|hours| hours.get(&place.hour)).is_none_or(|of_hour| of_hour.is_own)
    }

    /// Whether an hour that holds so many segments holds nothing but what peers gave.
    pub fn is_fetched(&self, place: &HourPlace, segments: u64) -> bool {
        !self.is_own(place) && self.given(place).is_some_and(|given| segments <= given.files)
    }

    /// What peers have added to hours that are own, of those streams, in bytes of the disk.
    pub fn added(&self, of: impl Fn(&Stream) -> bool) -> u64 {
        let hours = self.streams.iter().filter(|(stream, _)| of(stream)).flat_map(|(_, hours)| hours.values());
        hours.filter(|of_hour| of_hour.is_own).map(|of_hour| of_hour.given().on_disk()).fold(0, u64::saturating_add)
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
    pub fn used(&self, peer: &str, is_strangers: impl Fn(&Stream) -> bool) -> StrangersUse {
        let mut used = StrangersUse::default();
        for (_, hours) in self.streams.iter().filter(|(stream, _)| is_strangers(stream)) {
            let of_peer = hours.values().filter_map(|of_hour| of_hour.peers.get(peer));
            let (count, bytes) = of_peer
                .fold((0_u64, 0_u64), |(count, bytes), given| (count + 1, bytes.saturating_add(given.on_disk())));
            used.streams += u64::from(count > 0);
            used.bytes = used.bytes.saturating_add(bytes);
        }
        used
    }

    fn hour(&mut self, place: &HourPlace) -> &mut HourOrigins {
        self.streams.entry(place.stream.clone()).or_default().entry(place.hour).or_default()
    }

    fn put(&mut self, place: &HourPlace, peer: &str, given: GiftedHour) {
        let is_new = self.hour(place).peers.insert(peer.into(), given).is_none();
        self.entries += usize::from(is_new);
    }

    fn drop_hour(&mut self, place: &HourPlace) {
        let Some(hours) = self.streams.get_mut(&place.stream) else { return };
        let lines = hours.remove(&place.hour).map_or(0, |of_hour| of_hour.lines());
        self.entries = self.entries.saturating_sub(lines);
        if hours.is_empty() {
            self.streams.remove(&place.stream);
        }
    }
}

fn given_line(place: &HourPlace, peer: &str, given: GiftedHour) -> String {
    let GiftedHour { files, bytes, tombstones } = given;
    let buried = if tombstones > 0 { format!(" {tombstones}") } else { String::new() };
    checked(&format!("{GIVEN} {files} {bytes}{buried} {} {}", encoded(peer), encoded(&place.to_string())))
}

fn place_line(word: &str, place: &HourPlace) -> String {
    checked(&format!("{word} {}", encoded(&place.to_string())))
}

fn lived_line(lived: &LivedTime) -> String {
    checked(&format!("{LIVED} {lived}"))
}

/// A word of a line.
pub(crate) fn encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, BREAKS)
}

/// What a word of a line says.
pub(crate) fn decoded(word: &str) -> Option<String> {
    Some(percent_decode_str(word).decode_utf8().ok()?.into_owned())
}

/// A line with its check.
pub(crate) fn checked(text: &str) -> String {
    let mut line = text.to_owned();
    // A write to a String cannot fail.
    writeln!(line, " {}", check(text)).unwrap_or_default();
    line
}

/// What a line says, if it adds up.
pub(crate) fn unchecked(line: &str) -> Option<&str> {
    let (front, found) = line.rsplit_once(' ')?;
    (found == check(front)).then_some(front)
}

enum OriginLine {
    Given(HourPlace, String, GiftedHour),
    Own(HourPlace),
    Gone(HourPlace),
    Lived(LivedTime),
}

fn read(line: &str) -> Option<OriginLine> {
    let front = unchecked(line)?;
    let place = |word: &str| HourPlace::parse(&decoded(word)?).ok();
    if let Some(lived) = front.strip_prefix(LIVED) {
        return LivedTime::parse(lived.trim_start()).map(OriginLine::Lived);
    }
    let given = |[files, bytes, tombstones]: [&str; 3], peer: &str, at: &str| {
        let number = |word: &str| word.parse().ok();
        let given = GiftedHour { files: number(files)?, bytes: number(bytes)?, tombstones: number(tombstones)? };
        Some(OriginLine::Given(place(at)?, decoded(peer)?, given))
    };
    match *front.split(' ').collect::<Vec<_>>() {
        [GIVEN, files, bytes, peer, at] => given([files, bytes, "0"], peer, at),
        [GIVEN, files, bytes, tombstones, peer, at] => given([files, bytes, tombstones], peer, at),
        [OWN, at] => Some(OriginLine::Own(place(at)?)),
        [GONE, at] => Some(OriginLine::Gone(place(at)?)),
        _ => None,
    }
}

fn check(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    format!("{:08x}", hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests;
