//! Reads HLS playlists, master and media (RFC 8216, and of its successor what live playlists need), from bytes that nobody vouches for.
//!
//! 1. Durations are exact decimals and times exact microseconds: names are made of them, and must be the same on every node.
//! 2. What is needed and cannot be understood is an error that names its line; what is not needed is passed over. A playlist is never
//!    taken for shorter than it is.
//! 3. Lines, segments, variants and what variables stand for are bounded; memory grows with the bytes that were given and no faster.
//!
//! `docs/recorder.md` says why no library does this. Nothing is fetched here, and no address is resolved.

mod ads;
mod attributes;
mod line_problem;
mod line_text;
#[cfg(test)]
mod tests;
mod variables;

use std::sync::Arc;

use ads::{AdTimes, ad_range, is_ad_title};
use attributes::{Attributes, micros};
use line_problem::LineProblem;
use line_text::line_text;
use variables::DeclaredVariables;
pub use variables::{PlaylistPlace, Variables};

use crate::archive::coverage::Stretch;
use crate::archive::time::HOUR_US;
use crate::archive::time::SECOND_US;
use crate::archive::{Span, Timestamp};

/// Segments of one playlist: a window of twelve hours in segments of one second, and some.
pub const MOST_SEGMENTS: usize = 50_000;
/// Variants and renditions of a master playlist: real ones have a dozen.
pub const MOST_VARIANTS: usize = 500;
/// Bytes of a line. Addresses with signatures have one or two thousand.
const LONGEST_LINE: usize = 16 << 10;
/// Bytes of a line that are shown in an error.
const SHOWN: usize = 60;

/// Why something is no playlist that can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    #[error("it is no HLS playlist: it begins with {begins:?}, expected #EXTM3U")]
    NotAPlaylist { begins: String },
    #[error("line {line} of the playlist is {text:?}: {why}")]
    Line { line: usize, text: String, why: &'static str },
    #[error("the playlist has more than {limit} {what}; that is refused, to bound memory")]
    TooMany { what: &'static str, limit: usize },
    #[error("the playlist has neither segments nor variants; is the stream on air?")]
    Empty,
}

/// A playlist of either sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HlsPlaylist {
    Master(MasterList),
    Media(MediaList),
}

/// Which variants there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterList {
    pub variants: Vec<VariantStream>,
    pub renditions: Vec<Rendition>,
    /// What playlists that it leads to may take over.
    pub variables: Arc<Variables>,
}

/// One variant: the same stream, coded in another way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VariantStream {
    pub uri: String,
    pub bandwidth: u64,
    /// Width and height.
    pub resolution: Option<(u32, u32)>,
    /// Pictures in a thousand seconds.
    pub frame_rate: Option<u64>,
    pub codecs: Option<String>,
    /// The group of its picture's renditions.
    pub video: Option<String>,
    /// The group of its sound's renditions.
    pub audio: Option<String>,
    /// `NAME`, which is no part of the standard and which many servers write.
    pub name: Option<String>,
}

/// What a group of renditions says of one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendition {
    pub kind: String,
    pub group: String,
    pub name: String,
    pub language: Option<String>,
    /// It is the one that is heard or seen unless another one is chosen.
    pub is_default: bool,
    /// None where it is in the variant's own segments.
    pub uri: Option<String>,
}

impl Rendition {
    /// Whether it is sound with a playlist of its own.
    pub fn is_separate_sound(&self) -> bool {
        self.kind == "AUDIO" && self.uri.is_some()
    }
}

/// The window of segments that can be fetched now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaList {
    /// No segment lasts longer, rounded to seconds.
    pub target: Span,
    /// Nothing will be added.
    pub has_ended: bool,
    /// It says the times of some segments alone, and those of others are counted from there: as durations are rounded, they depend on which ones are listed.
    pub counts_times: bool,
    /// All times that it says are whole seconds: each may be off by up to one.
    pub rounds_times: bool,
    pub segments: Vec<ListedSegment>,
}

/// One segment of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSegment {
    /// Its number, which is counted on where the playlist numbers what was listed before anew.
    pub sequence: u64,
    /// As the playlist says it: what is encrypted without an initialisation vector has this one.
    pub said_sequence: u64,
    pub uri: String,
    pub duration: Span,
    /// When it begins, where the playlist says so of it or of one before it.
    pub time: Option<Timestamp>,
    /// It does not go on from the one before it.
    pub is_discontinuous: bool,
    /// There is nothing to fetch (`EXT-X-GAP`).
    pub is_gap: bool,
    /// It is this part of what its address leads to.
    pub range: Option<ByteRange>,
    pub cipher: Option<Arc<SegmentCipher>>,
    /// A server has stitched it in as an ad, as far as the playlist says so.
    pub is_ad: bool,
    /// The initialisation segment without which it cannot be read (`EXT-X-MAP`): it is fragmented MP4.
    pub map: Option<Arc<ListedInit>>,
}

/// Where an initialisation segment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedInit {
    pub uri: String,
    /// It is this part of what its address leads to.
    pub range: Option<ByteRange>,
    /// Of AES-128 always with its first block.
    pub cipher: Option<Arc<SegmentCipher>>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    pub first: u64,
    pub length: u64,
}

impl ByteRange {
    pub const fn end(self) -> u64 {
        self.first.saturating_add(self.length)
    }
}

/// How segments are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentCipher {
    /// The whole file, in cipher block chaining.
    Aes128 {
        /// Where the key is.
        uri: String,
        /// Without one it is the segment's number.
        iv: Option<[u8; 16]>,
    },
    /// What gapless does not decrypt, by its name.
    Other(String),
}

/// Reads a playlist that somebody has fetched.
pub fn parse_playlist(bytes: &[u8], place: PlaylistPlace) -> Result<HlsPlaylist, PlaylistError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !text.starts_with(b"#EXTM3U") {
        let begins = String::from_utf8_lossy(text.get(..text.len().min(SHOWN)).unwrap_or_default()).into_owned();
        return Err(PlaylistError::NotAPlaylist { begins });
    }
    let mut reader = PlaylistReader { variables: DeclaredVariables::at(place), ..PlaylistReader::default() };
    for (at, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        // Of one that is too long, enough to see that it is.
        let line = line_text(raw.get(..=LONGEST_LINE).unwrap_or(raw));
        let line = line.trim_end();
        reader.line(line).map_err(|problem| problem.at(at + 1, line))?;
    }
    reader.finish()
}

impl LineProblem {
    fn at(self, line: usize, text: &str) -> PlaylistError {
        match self {
            Self::Why(why) => {
                // What stands behind a question mark may be a secret.
                let (shown, rest) = text.split_once('?').map_or((text, ""), |(shown, _)| (shown, "?…"));
                PlaylistError::Line { line, text: shown.chars().take(SHOWN).chain(rest.chars()).collect(), why }
            }
            Self::TooMany(what, limit) => PlaylistError::TooMany { what, limit },
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct PlaylistReader {
    master: MasterList,
    media: MediaList,
    is_master: bool,
    is_media: bool,
    first: u64,
    /// The variant whose address is to come.
    variant: Option<VariantStream>,
    next: NextSegment,
    /// When the next segment begins, if somebody has said so of one before it.
    time: Option<Timestamp>,
    times_said: usize,
    /// One of them is no whole second.
    says_parts: bool,
    /// Where the part before ended, and in which file.
    range_end: Option<(String, u64)>,
    cipher: Option<Arc<SegmentCipher>>,
    map: Option<Arc<ListedInit>>,
    /// When ads are shown.
    ads: Vec<Stretch>,
    variables: DeclaredVariables,
}

/// What was said of the segment whose address is to come.
#[derive(Default)]
struct NextSegment {
    duration: Option<Span>,
    is_discontinuous: bool,
    is_gap: bool,
    is_ad: bool,
    /// How many bytes, and from where on if that is said.
    range: Option<(u64, Option<u64>)>,
}

impl PlaylistReader {
    fn line(&mut self, line: &str) -> Result<(), LineProblem> {
        if line.len() > LONGEST_LINE {
            return Err("it is longer than 16 KiB".into());
        }
        if line.is_empty() {
            return Ok(());
        }
        match line.strip_prefix("#EXT") {
            Some(tag) => {
                let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                match name {
                    "-X-DEFINE" | "-X-KEY" | "-X-MAP" | "-X-STREAM-INF" | "-X-MEDIA" => {
                        let value = self.variables.put_into(value)?;
                        self.tag(name, &value)
                    }
                    _ => self.tag(name, value),
                }
            }
            None if line.starts_with('#') => Ok(()),
            None => {
                let address = self.variables.put_into(line)?;
                self.address(&address)
            }
        }
    }

    fn tag(&mut self, name: &str, value: &str) -> Result<(), LineProblem> {
        match name {
            "INF" => {
                let (seconds, title) = value.split_once(',').unwrap_or((value, ""));
                let seconds = seconds.trim();
                self.next.is_ad = is_ad_title(title);
                self.next.duration = Some(duration(seconds).ok_or("expected a length in seconds, of at most an hour")?);
            }
            "-X-TARGETDURATION" => {
                self.is_media = true;
                self.media.target = duration(value.trim()).ok_or("expected a length in seconds, of at most an hour")?;
            }
            "-X-MEDIA-SEQUENCE" => self.first = value.trim().parse().map_err(|_| "expected a number")?,
            "-X-DISCONTINUITY" => {
                (self.next.is_discontinuous, self.time) = (true, None);
            }
            "-X-PROGRAM-DATE-TIME" => {
                let time = Timestamp::parse(value.trim());
                self.time = Some(time.ok_or("expected a time such as 2019-11-13T02:55:08.000Z")?);
                self.times_said += 1;
                self.says_parts |= time.is_some_and(|said| said.us() % SECOND_US != 0);
            }
            "-X-DATERANGE" => {
                if self.ads.len() >= MOST_SEGMENTS {
                    return Err(LineProblem::TooMany("date ranges of ads", MOST_SEGMENTS));
                }
                self.ads.extend(ad_range(value));
            }
            "-X-DEFINE" => self.variables.declare(value)?,
            "-X-GAP" => self.next.is_gap = true,
            "-X-BYTERANGE" => self.next.range = Some(byte_range(value)?),
            "-X-KEY" => self.key(value)?,
            "-X-MAP" => self.map(value)?,
            "-X-ENDLIST" => (self.is_media, self.media.has_ended) = (true, true),
            "-X-SKIP" => return Err("it leaves segments out, which was not asked for".into()),
            "-X-I-FRAMES-ONLY" => return Err("it lists single pictures and no stream".into()),
            "-X-STREAM-INF" => {
                self.is_master = true;
                self.variant = Some(variant(value)?);
            }
            "-X-MEDIA" => {
                self.is_master = true;
                self.rendition(value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn key(&mut self, text: &str) -> Result<(), LineProblem> {
        let (mut method, mut uri, mut iv, mut format) = (None, None, None, None);
        for attribute in Attributes::of(text) {
            let (name, value) = attribute?;
            match name {
                "METHOD" => method = Some(value),
                "URI" => uri = Some(value.to_owned()),
                "IV" => iv = Some(hexadecimal(value).ok_or("expected an IV of 128 bits in hexadecimal digits")?),
                "KEYFORMAT" => format = Some(value),
                _ => {}
            }
        }
        let is_plain = format.is_none_or(|format| format == "identity");
        self.cipher = match method.ok_or("expected METHOD")? {
            "NONE" => None,
            "AES-128" if is_plain => {
                Some(Arc::new(SegmentCipher::Aes128 { uri: uri.ok_or("expected the URI of a key")?, iv }))
            }
            method => {
                let other = format.filter(|_| !is_plain).map_or_else(String::new, |format| format!(" with {format}"));
                Some(Arc::new(SegmentCipher::Other(format!("{method}{other}"))))
            }
        };
        Ok(())
    }

    fn map(&mut self, text: &str) -> Result<(), LineProblem> {
        let (mut uri, mut range) = (None, None);
        for attribute in Attributes::of(text) {
            let (name, value) = attribute?;
            match name {
                "URI" => uri = Some(value.to_owned()),
                "BYTERANGE" => {
                    let (length, first) = byte_range(value)?;
                    range = Some(ByteRange { first: first.unwrap_or_default(), length });
                }
                _ => {}
            }
        }
        let cipher = self.cipher.clone();
        // It has no number by which it could be decrypted.
        if let Some(SegmentCipher::Aes128 { iv: None, .. }) = cipher.as_deref() {
            return Err("expected an IV in #EXT-X-KEY before it, as it is encrypted".into());
        }
        let uri = uri.ok_or("expected the URI of an initialisation segment")?;
        self.map = Some(Arc::new(ListedInit { uri, range, cipher }));
        Ok(())
    }

    fn rendition(&mut self, text: &str) -> Result<(), LineProblem> {
        if self.master.renditions.len() >= MOST_VARIANTS {
            return Err(LineProblem::TooMany("renditions", MOST_VARIANTS));
        }
        let mut rendition = Rendition::default();
        for attribute in Attributes::of(text) {
            let (name, value) = attribute?;
            match name {
                "TYPE" => value.clone_into(&mut rendition.kind),
                "GROUP-ID" => value.clone_into(&mut rendition.group),
                "NAME" => value.clone_into(&mut rendition.name),
                "LANGUAGE" => rendition.language = Some(value.to_owned()),
                "DEFAULT" => rendition.is_default = value == "YES",
                "URI" => rendition.uri = Some(value.to_owned()),
                _ => {}
            }
        }
        self.master.renditions.push(rendition);
        Ok(())
    }

    fn address(&mut self, line: &str) -> Result<(), LineProblem> {
        if let Some(variant) = self.variant.take() {
            if self.master.variants.len() >= MOST_VARIANTS {
                return Err(LineProblem::TooMany("variants", MOST_VARIANTS));
            }
            self.master.variants.push(VariantStream { uri: line.to_owned(), ..variant });
            return Ok(());
        }
        if self.is_master {
            return Err("it is an address without #EXT-X-STREAM-INF before it".into());
        }
        let next = std::mem::take(&mut self.next);
        let duration = next.duration.ok_or("it is an address without #EXTINF before it")?;
        if self.media.segments.len() >= MOST_SEGMENTS {
            return Err(LineProblem::TooMany("segments", MOST_SEGMENTS));
        }
        let range = match next.range {
            None => None,
            Some((length, Some(first))) => Some(ByteRange { first, length }),
            Some((length, None)) => {
                let before = self.range_end.as_ref().filter(|(uri, _)| uri == line);
                Some(ByteRange { first: before.ok_or("nothing says where its bytes begin")?.1, length })
            }
        };
        self.range_end = range.map(|range| (line.to_owned(), range.end()));
        let sequence = self.first.checked_add(self.media.segments.len() as u64);
        let sequence = sequence.ok_or("its number does not fit into 64 bits")?;
        self.media.segments.push(ListedSegment {
            sequence,
            said_sequence: sequence,
            uri: line.to_owned(),
            duration,
            time: self.time,
            is_discontinuous: next.is_discontinuous,
            is_gap: next.is_gap,
            is_ad: next.is_ad,
            range,
            cipher: self.cipher.clone(),
            map: self.map.clone(),
        });
        self.is_media = true;
        self.time = self.time.map(|time| time + duration);
        Ok(())
    }

    fn finish(mut self) -> Result<HlsPlaylist, PlaylistError> {
        if self.is_master && !self.is_media {
            self.master.variables = Arc::new(self.variables.into_known());
            let is_empty = self.master.variants.is_empty();
            return if is_empty { Err(PlaylistError::Empty) } else { Ok(HlsPlaylist::Master(self.master)) };
        }
        if !self.is_media {
            return Err(PlaylistError::Empty);
        }
        if self.media.target.us() <= 0 {
            let longest = self.media.segments.iter().map(|segment| segment.duration).max();
            self.media.target = longest.unwrap_or_default();
        }
        before_the_first_time(&mut self.media.segments);
        self.media.counts_times = self.media.segments.iter().filter(|one| one.time.is_some()).count() > self.times_said;
        self.media.rounds_times = self.times_said > 0 && !self.says_parts;
        let ads = AdTimes::new(self.ads);
        for segment in &mut self.media.segments {
            segment.is_ad |= segment.time.is_some_and(|start| ads.is_ad(start, segment.duration));
        }
        Ok(HlsPlaylist::Media(self.media))
    }
}

/// Segments before the first one of which a time is said lie before it by their durations, as far as they go on to it.
fn before_the_first_time(segments: &mut [ListedSegment]) {
    let Some(first) = segments.iter().position(|segment| segment.time.is_some()) else { return };
    let mut at = segments.get(first).and_then(|segment| segment.time);
    let mut is_joined = segments.get(first).is_some_and(|segment| !segment.is_discontinuous);
    for segment in segments.iter_mut().take(first).rev() {
        if !is_joined {
            return;
        }
        at = at.map(|at| at - segment.duration);
        segment.time = at;
        is_joined = !segment.is_discontinuous;
    }
}

fn variant(text: &str) -> Result<VariantStream, LineProblem> {
    let mut variant = VariantStream::default();
    for attribute in Attributes::of(text) {
        let (name, value) = attribute?;
        match name {
            "BANDWIDTH" => variant.bandwidth = value.parse().map_err(|_| "expected a number as BANDWIDTH")?,
            "RESOLUTION" => {
                let sides = value.split_once(['x', 'X']).ok_or("expected a RESOLUTION such as 1280x720")?;
                let side = |side: &str| side.parse().map_err(|_| "expected a RESOLUTION such as 1280x720");
                variant.resolution = Some((side(sides.0)?, side(sides.1)?));
            }
            "FRAME-RATE" => {
                let rate = micros(value).ok_or("expected a number as FRAME-RATE")?;
                variant.frame_rate = Some(rate.div_euclid(1_000).unsigned_abs());
            }
            "CODECS" => variant.codecs = Some(value.to_owned()),
            "VIDEO" => variant.video = Some(value.to_owned()),
            "AUDIO" => variant.audio = Some(value.to_owned()),
            "NAME" => variant.name = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(variant)
}

/// `LENGTH` or `LENGTH@FIRST`.
fn byte_range(value: &str) -> Result<(u64, Option<u64>), LineProblem> {
    let expected = "expected a byte range such as 1000@0";
    let value = value.trim().trim_matches('"');
    let (length, first) = value.split_once('@').map_or((value, None), |(length, first)| (length, Some(first)));
    let number = |text: &str| text.parse::<u64>().map_err(|_| expected);
    let (length, first) = (number(length)?, first.map(number).transpose()?);
    let fits = length > 0 && first.unwrap_or_default().checked_add(length).is_some();
    if fits { Ok((length, first)) } else { Err(expected.into()) }
}

/// Decimal seconds of at most an hour, which is as long as a segment's name can say.
fn duration(text: &str) -> Option<Span> {
    micros(text).filter(|us| *us <= HOUR_US).map(Span::from_us)
}

/// `0x` and up to 32 hexadecimal digits.
fn hexadecimal(text: &str) -> Option<[u8; 16]> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let is_plain = !digits.is_empty() && digits.len() <= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| u128::from_str_radix(digits, 16).ok()).flatten().map(u128::to_be_bytes)
}
