//! The text of a media playlist (RFC 8216): its head, and the lines of each segment.
//!
//! Which segments it has is not decided here. Durations and times are written to the microsecond where they have such, so that nothing
//! drifts over a day. Names are percent-encoded, also the colon: what stands before one could be taken for a scheme.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::archive::digits::{push_fraction, push_two};
use crate::archive::time::{HOUR_US, Hour, SECOND_US, Span, Timestamp};
use crate::archive::{Link, SegmentFile, Stream};

/// What playlists are served as (RFC 8216, 4).
pub const MEDIA_TYPE: &str = "application/vnd.apple.mpegurl";

/// Bytes of a transport stream that hold its tables, where they come first: two packets.
const TABLES: u64 = 2 * 188;

/// The target duration where no segment is known.
pub const TARGET_OF_NOTHING: u32 = 6;

/// Characters that stand as they are (RFC 3986, 2.3).
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a list is to players (RFC 8216, 4.3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// It never changes.
    Vod,
    /// It only grows at its end.
    Event,
}

/// What stands above the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaylistHead {
    /// What the list is.
    pub list_type: ListType,
    /// Seconds; no segment lasts longer.
    pub target: u32,
    /// Whether each segment can be shown without the ones before it.
    pub independent: bool,
    /// Whether holes are told as entries.
    pub gaps: bool,
    /// Whether there are segments in MP4.
    pub mp4: bool,
    /// Where players are to begin, seconds after the beginning of the list.
    pub begin_at: Option<Span>,
}

/// The least whole number of seconds that no segment of this length exceeds.
pub fn target(longest: Span) -> u32 {
    u32::try_from(longest.us().max(1).unsigned_abs().div_ceil(SECOND_US.unsigned_abs())).unwrap_or(u32::MAX)
}

/// The text of a head.
pub fn head(head: &PlaylistHead) -> String {
    // EXT-X-GAP came with version 8 of the protocol; EXT-X-MAP for any list with version 6, and what it says of fragmented MP4 with 7; times
    // with a fraction with version 3.
    let version = match head {
        PlaylistHead { gaps: true, .. } => 8,
        PlaylistHead { mp4: true, .. } => 7,
        _ => 3,
    };
    let list_type = if head.list_type == ListType::Vod { "VOD" } else { "EVENT" };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{list_type}\n",
        head.target
    );
    if head.independent {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    if let Some(at) = head.begin_at {
        text.push_str("#EXT-X-START:TIME-OFFSET=");
        push_seconds(&mut text, at.us());
        text.push_str(",PRECISE=YES\n");
    }
    text
}

/// What stands below the segments of a list that is complete.
pub const END: &str = "#EXT-X-ENDLIST\n";

/// Stands before a segment that does not go on where the one before it ended.
pub const DISCONTINUITY: &str = "#EXT-X-DISCONTINUITY\n";

/// Writes segments of one hour directory.
#[derive(Debug, Clone)]
pub struct HourLines {
    start: Timestamp,
    /// `#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:`
    time: String,
    /// `/segments/chan/source/2019-11-13T02/`
    path: String,
}

impl HourLines {
    /// Of this hour.
    pub fn new(stream: &Stream, hour: Hour) -> Self {
        let mut path = String::from("/segments");
        for part in [stream.channel.as_str(), stream.quality.as_str(), &hour.to_string()] {
            path.push('/');
            path.extend(utf8_percent_encode(part, KEPT));
        }
        path.push('/');
        Self { start: hour.start(), time: format!("#EXT-X-PROGRAM-DATE-TIME:{hour}:"), path }
    }

    /// Writes a segment of this hour that comes after another one, by this node's address or, where it is given, by another one's
    /// (`http://host:port`).
    ///
    /// A file in MP4 is told in two parts, the initialisation segment and what comes behind it.
    pub fn push(&self, text: &mut String, before: Option<&Link>, link: &Link, file: &SegmentFile, node: Option<&str>) {
        let init = link.init().map(|init| u64::from(init.length()));
        if link.needs_init(before) {
            text.push_str("#EXT-X-MAP:URI=\"");
            self.push_address(text, file, node);
            // Of a transport stream its tables, which every segment has: nothing else ends what the list said of MP4.
            writeln!(text, "\",BYTERANGE=\"{}@0\"", init.unwrap_or(TABLES)).unwrap_or_default();
        }
        text.push_str(&self.time);
        push_within(text, u64::from(file.key.start_us));
        text.push_str("Z\n#EXTINF:");
        push_seconds(text, i64::from(file.key.duration_us));
        text.push_str(",\n");
        if let Some(init) = init {
            writeln!(text, "#EXT-X-BYTERANGE:{}@{init}", file.size.saturating_sub(init)).unwrap_or_default();
        }
        self.push_address(text, file, node);
        text.push('\n');
    }

    fn push_address(&self, text: &mut String, file: &SegmentFile, node: Option<&str>) {
        text.push_str(node.unwrap_or_default());
        text.push_str(&self.path);
        match &file.exact {
            Some(name) => text.extend(utf8_percent_encode(name, KEPT)),
            // A name that is made from its key has one colon, and nothing else to encode.
            None => file.key.push_name_with(text, "%3A"),
        }
    }

    /// The hour's beginning.
    pub fn start(&self) -> Timestamp {
        self.start
    }
}

/// Writes a hole as entries that no player fetches (RFC 8216bis, 4.4.4.7), none longer than the target duration. The last one takes up
/// what is left.
pub fn push_gap(text: &mut String, from: Timestamp, to: Timestamp, target: u32) {
    let step = i64::from(target) * SECOND_US;
    let mut at = from.us();
    while at < to.us() {
        let length = step.min(to.us() - at);
        let within = at.rem_euclid(HOUR_US).unsigned_abs();
        write!(text, "#EXT-X-PROGRAM-DATE-TIME:{}:", Timestamp(at).hour()).unwrap_or_default();
        push_within(text, within);
        text.push_str("Z\n#EXT-X-GAP\n#EXTINF:");
        push_seconds(text, length);
        text.push_str(",hole\nhole.ts\n");
        at += length;
    }
}

/// How many entries a hole takes.
pub fn gap_entries(hole: Span, target: u32) -> u64 {
    hole.us().max(0).unsigned_abs().div_ceil(u64::from(target.max(1)) * SECOND_US.unsigned_abs())
}

/// How many bytes of text a segment takes at most, but for long names.
pub fn room(segments: usize) -> usize {
    segments.saturating_mul(224)
}

fn push_seconds(text: &mut String, us: i64) {
    let us = us.max(0).unsigned_abs();
    match us / 1_000_000 {
        seconds @ 0..10 => text.push(char::from(b'0' + u8::try_from(seconds).unwrap_or_default())),
        // A write to a String cannot fail.
        seconds => write!(text, "{seconds}").unwrap_or_default(),
    }
    push_us(text, us % 1_000_000);
}

/// A time within an hour: minutes, seconds and a fraction.
fn push_within(text: &mut String, us: u64) {
    let us = u32::try_from(us).unwrap_or_default();
    push_two(text, us / 60_000_000);
    text.push(':');
    push_two(text, us / 1_000_000 % 60);
    push_us(text, u64::from(us % 1_000_000));
}

/// A fraction of a second, with three digits where they suffice, otherwise with six.
fn push_us(text: &mut String, us: u64) {
    push_fraction(text, u32::try_from(us).unwrap_or_default(), if us.is_multiple_of(1_000) { 3 } else { 6 });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::AnyFile;
    use crate::archive::test_names::hash_text;

    fn segment(name: &str) -> SegmentFile {
        match AnyFile::read(name, 1) {
            Some(AnyFile::Segment(file)) => file,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_segment_is_told_with_its_time_its_length_and_its_address() {
        let stream = Stream::parse("a b&c/süd").unwrap();
        let lines_hour = Hour::parse("2019-11-13T02").unwrap();
        let lines = HourLines::new(&stream, lines_hour);
        let hash = hash_text(3);
        let mut text = String::new();
        let mut push = |name: String, node| {
            let file = segment(&name);
            let link = Link::of(lines_hour, &file);
            lines.push(&mut text, None, &link, &file, node);
        };
        push(format!("45:51.608000-2.0-full-{hash}.ts"), None);
        push(format!("05:01.000001-02.0020-full-{hash}.ts"), Some("http://peer:8000"));
        let at = "/segments/a%20b%26c/s%C3%BCd/2019-11-13T02/";
        assert_eq!(
            text,
            format!(
                "#EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:45:51.608Z\n#EXTINF:2.000,\n{at}45%3A51.608000-2.0-full-{hash}.ts\n\
                 #EXT-X-PROGRAM-DATE-TIME:2019-11-13T02:05:01.000001Z\n#EXTINF:2.002,\nhttp://peer:8000{at}05%3A01.000001-02.0020-full-{hash}.ts\n"
            )
        );
    }

    #[test]
    fn no_segment_is_longer_than_the_target_duration() {
        for (us, seconds) in [(0, 1), (1, 1), (1_000_000, 1), (1_000_001, 2), (2_002_000, 3), (3_600_000_000, 3_600)] {
            assert_eq!(target(Span(us)), seconds);
        }
    }

    #[test]
    fn a_hole_is_told_in_entries_of_at_most_the_target_duration() {
        let mut text = String::new();
        let from = Timestamp::parse("2019-11-13T02:59:58.5").unwrap();
        push_gap(&mut text, from, from + Span(5_000_000), 2);
        let times: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).collect();
        assert_eq!(times, ["2019-11-13T02:59:58.500Z", "2019-11-13T03:00:00.500Z", "2019-11-13T03:00:02.500Z"]);
        let lengths: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")).collect();
        assert_eq!(lengths, ["2.000,hole", "2.000,hole", "1.000,hole"]);
        assert_eq!(text.lines().filter(|line| *line == "#EXT-X-GAP").count(), 3);
        assert_eq!(gap_entries(Span(5_000_000), 2), 3);
    }
}
