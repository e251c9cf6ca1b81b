//! A file of an hour as a key: what its name says, in a fixed size and an order of its own.
//!
//! A key together with its *spelling* gives the name back to the byte. Keys of one hour sort by start time first.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::container::{Container, FileEnding};
use super::digits::{push_fraction, push_two};
use super::{Hour, Span, Timestamp};

/// Bytes of the largest file that is fetched, or read to be compared with its name. Segments have a few megabytes; this keeps one file
/// from filling the disk, and a sparse one of terabytes from being read for days.
pub const LARGEST_FILE: u64 = 1 << 30;

/// Each two characters of URL-safe base64, by the twelve bits that they stand for: lists are mostly made of hashes.
static PAIRS: [[u8; 2]; 4_096] = {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut pairs = [[0; 2]; 4_096];
    let mut at = 0;
    while at < pairs.len() {
        pairs[at] = [digits[at >> 6], digits[at & 63]];
        at += 1;
    }
    pairs
};

/// The SHA-256 of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Length of a hash in a name: URL-safe base64 without padding.
    pub const TEXT_LEN: usize = 43;

    /// Reads the 43 characters; `None` if they are anything but the one way to write a hash.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; 32];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (written == 32).then_some(Self(bytes))
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse_hexadecimal(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.bytes().all(is_digit) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// As `sha256sum` writes it.
    pub fn hexadecimal(&self) -> String {
        let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    fn push_to(&self, text: &mut String) {
        // One byte and one character more than there are make it whole groups.
        let (mut bytes, mut encoded) = ([0; 33], [0; Self::TEXT_LEN + 1]);
        bytes[..32].copy_from_slice(&self.0);
        for ([a, b, c], four) in bytes.as_chunks::<3>().0.iter().zip(encoded.as_chunks_mut::<4>().0) {
            let (first, second) =
                (usize::from(*a) << 4 | usize::from(*b) >> 4, usize::from(*b & 15) << 8 | usize::from(*c));
            four[..2].copy_from_slice(&PAIRS[first]);
            four[2..].copy_from_slice(&PAIRS[second]);
        }
        text.push_str(str::from_utf8(&encoded[..Self::TEXT_LEN]).unwrap_or_default());
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(Self::TEXT_LEN);
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

/// What a file holds, as its name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// Video, complete.
    Full = 0,
    /// Video that may be wrong.
    Suspect = 1,
    /// Video known to be incomplete.
    Partial = 2,
    /// A batch of chat lines.
    Chat = 3,
}

impl SegmentKind {
    /// The three kinds of video, in the order in which they are preferred.
    pub const VIDEO: [Self; 3] = [Self::Full, Self::Suspect, Self::Partial];

    /// As written in names and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Suspect => "suspect",
            Self::Partial => "partial",
            Self::Chat => "chat",
        }
    }

    /// From its number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Full),
            1 => Some(Self::Suspect),
            2 => Some(Self::Partial),
            3 => Some(Self::Chat),
            _ => None,
        }
    }

    /// Video or chat?
    pub const fn is_video(self) -> bool {
        !matches!(self, Self::Chat)
    }
}

impl std::fmt::Display for SegmentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How time and duration were written: the number of fraction digits of each, or *exact*, where that does not suffice to
/// write the name again and the name itself has to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spelling(u8);

impl Spelling {
    /// The name itself has to be kept (`02.0`, `2.0000000`).
    pub const EXACT: Self = Self(u8::MAX);

    /// Fraction digits of time and duration, at most 6 each.
    pub const fn new(time_digits: u8, duration_digits: u8) -> Option<Self> {
        if time_digits <= 6 && duration_digits <= 6 { Some(Self(time_digits * 7 + duration_digits)) } else { None }
    }

    /// From its number.
    pub const fn from_number(number: u8) -> Option<Self> {
        if number < 49 { Some(Self(number)) } else { None }
    }

    /// Its number; 255 is [`Spelling::EXACT`].
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A file of an hour that the grammar understands. The order is: start, container, kind, tombstone, duration, spelling, hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    /// Microseconds after the start of the hour.
    pub start_us: u32,
    /// What the video is in. Of chat and tombstones always the first one: a tombstone hides its stem in whatever container.
    pub container: Container,
    /// What the file holds, or what the tombstone hides.
    pub kind: SegmentKind,
    /// Whether this is the tombstone.
    pub tombstone: bool,
    /// Microseconds; 0 for chat.
    pub duration_us: u32,
    /// How it was written.
    pub spelling: Spelling,
    /// Of the content.
    pub hash: Hash,
}

impl SegmentKey {
    /// When it starts, lying in this hour.
    pub fn start(&self, hour: Hour) -> Timestamp {
        hour.start() + Span(i64::from(self.start_us))
    }

    /// When it ends.
    pub fn end(&self, hour: Hour) -> Timestamp {
        self.start(hour) + self.duration()
    }

    /// How long it lasts.
    pub fn duration(&self) -> Span {
        Span(i64::from(self.duration_us))
    }

    /// The same stem as a tombstone.
    #[must_use]
    pub fn as_tombstone(mut self) -> Self {
        self.tombstone = true;
        self.container = Container::default();
        self
    }

    /// The files that this tombstone may hide: all of its stem.
    pub fn hideable(self) -> impl Iterator<Item = Self> {
        FileEnding::hideable().filter_map(move |ending| match ending {
            FileEnding::Segment(container) if self.kind.is_video() => {
                Some(Self { tombstone: false, container, ..self })
            }
            FileEnding::Chat if !self.kind.is_video() => Some(Self { tombstone: false, ..self }),
            _ => None,
        })
    }

    /// What its name ends in.
    pub const fn ending(&self) -> FileEnding {
        match (self.tombstone, self.kind.is_video()) {
            (true, _) => FileEnding::Tombstone,
            (false, true) => FileEnding::Segment(self.container),
            (false, false) => FileEnding::Chat,
        }
    }

    /// Writes the name, which must not be one that is kept by its exact spelling.
    pub fn push_name(&self, text: &mut String) {
        self.push_name_with(text, ":");
    }

    /// The same with the colon written in another way.
    pub(crate) fn push_name_with(&self, text: &mut String, colon: &str) {
        let number = self.spelling.number();
        let (time_digits, duration_digits) = (number / 7, number % 7);
        push_two(text, self.start_us / 60_000_000);
        text.push_str(colon);
        push_two(text, self.start_us / 1_000_000 % 60);
        push_fraction(text, self.start_us % 1_000_000, time_digits);
        text.push('-');
        if self.kind.is_video() {
            // A write to a String cannot fail; most segments are shorter than ten seconds.
            match self.duration_us / 1_000_000 {
                seconds @ 0..10 => text.push(char::from_digit(seconds, 10).unwrap_or_default()),
                seconds => write!(text, "{seconds}").unwrap_or_default(),
            }
            push_fraction(text, self.duration_us % 1_000_000, duration_digits);
            text.push('-');
            text.push_str(self.kind.as_str());
            text.push('-');
        }
        self.hash.push_to(text);
        text.push_str(self.ending().suffix());
    }
}

/// The hour and the name of a new segment, as recorders of this field write it: the start with six digits, the duration with as many
/// as it needs and one at least.
pub fn recorded_name(
    start: Timestamp,
    duration: Span,
    kind: SegmentKind,
    container: Container,
    hash: Hash,
) -> (Hour, String) {
    let hour = start.hour();
    let within = |us: i64| u32::try_from(us).unwrap_or_default();
    let duration_us = within(duration.us());
    let digits = (1..6).rev().take_while(|digits| duration_us.is_multiple_of(10_u32.pow(6 - digits))).count();
    let duration_digits = u8::try_from(6 - digits).unwrap_or(6);
    let key = SegmentKey {
        start_us: within((start - hour.start()).us()),
        container,
        kind,
        tombstone: false,
        duration_us,
        spelling: Spelling::new(6, duration_digits).unwrap_or(Spelling::EXACT),
        hash,
    };
    let mut name = String::with_capacity(80);
    key.push_name(&mut name);
    (hour, name)
}

/// A file of an hour with its size, and its exact name where the key does not give it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// What the name says.
    pub key: SegmentKey,
    /// Bytes.
    pub size: u64,
    /// The name, where [`Spelling::EXACT`].
    pub exact: Option<Box<str>>,
}

impl SegmentFile {
    /// Writes the name, to the byte.
    pub fn push_name(&self, text: &mut String) {
        match &self.exact {
            Some(name) => text.push_str(name),
            None => self.key.push_name(text),
        }
    }

    /// The name, to the byte.
    pub fn name(&self) -> String {
        let mut text = String::with_capacity(80);
        self.push_name(&mut text);
        text
    }
}
