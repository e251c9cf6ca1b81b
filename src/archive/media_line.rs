//! What a manifest says of the media in a segment: what its two ends say, which a playlist has to know, and whoever does not have the file cannot read.
//!
//! `# media RULE …`, in plain words and numbers (`docs/archive-format.md`). It follows from the bytes of the segment and from nothing else, by a rule
//! that has a number: whoever makes something else of the same bytes gives it another one. What another rule says is kept, and not believed.

use std::fmt;
use std::sync::Arc;

use super::name::{FileName, parse_file_name};
use super::{Container, Edges, Extent, InitSection, TimeStamp, Tracks};
use crate::media::EdgesReader;

/// The rule by which this program makes such lines.
const RULE: &str = "1";

/// Bytes of a line, at most.
pub(super) const LONGEST: u64 = 200;

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLine(Said);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// By the rule of this program.
    Edges(Edges),
    /// By another rule: all of it, as it stands.
    Words(Arc<str>),
}

impl MediaLine {
    /// Of a segment whose ends say this.
    pub const fn new(edges: Edges) -> Self {
        Self(Said::Edges(edges))
    }

    /// What the ends of the segment say; nothing by a rule that this program does not know.
    pub fn edges(&self) -> Option<Edges> {
        if let Said::Edges(edges) = &self.0 { Some(*edges) } else { None }
    }

    /// Whether a segment of so many bytes can say so.
    pub(super) fn fits(&self, size: u64) -> bool {
        self.edges().and_then(|edges| edges.init).is_none_or(|init| u64::from(init.length()) <= size)
    }

    /// Reads what stands behind `# media `. More is read than is ever written, as whoever reads a manifest writes it again.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next()? != RULE {
            return Self::of_another_rule(text);
        }
        let (mut edges, mut ends) = (Edges::default(), None);
        while let Some(word) = words.next() {
            match word {
                "picture" => edges.picture = extent(&mut words)?,
                "sound" => edges.sound = extent(&mut words)?,
                "begins" => edges.begins = tracks(&mut words)?,
                "ends" => ends = Some(tracks(&mut words)?),
                "independent" => edges.independent = Some(true),
                "dependent" => edges.independent = Some(false),
                "init" => edges.init = InitSection::new(words.next()?.parse().ok()?, fingerprint(&mut words)?),
                _ => return None,
            }
        }
        Some(Self::new(Edges { ends: ends.unwrap_or(edges.begins), ..edges }))
    }

    /// What begins with the number of a rule, and is short and plain.
    fn of_another_rule(text: &str) -> Option<Self> {
        let rule = text.split(' ').next()?;
        let is_number = rule.bytes().all(|byte| byte.is_ascii_digit()) && !rule.is_empty() && !rule.starts_with('0');
        let is_plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let is_short = ("# media \n".len() + text.len()) as u64 <= LONGEST;
        (is_number && is_plain && is_short).then(|| Self(Said::Words(text.into())))
    }
}

impl fmt::Display for MediaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edges = match &self.0 {
            Said::Edges(edges) => edges,
            Said::Words(text) => return f.write_str(text),
        };
        f.write_str(RULE)?;
        for (word, extent) in [("picture", &edges.picture), ("sound", &edges.sound)] {
            if *extent != Extent::default() {
                let [first, end] = [extent.first, extent.end].map(|stamp| Ticks(stamp.map(TimeStamp::ticks)));
                write!(f, " {word} {first} {end}")?;
            }
        }
        let (begins, ends) = (&edges.begins, &edges.ends);
        for (word, tracks, unsaid) in [("begins", begins, &Tracks::default()), ("ends", ends, begins)] {
            if tracks != unsaid {
                let Tracks { streams, picture, sound } = tracks;
                write!(f, " {word} {streams:08x} {picture:08x} {sound:08x}")?;
            }
        }
        match edges.independent {
            Some(true) => f.write_str(" independent")?,
            Some(false) => f.write_str(" dependent")?,
            None => {}
        }
        edges.init.map_or(Ok(()), |init| write!(f, " init {} {:08x}", init.length(), init.print()))
    }
}

/// A time stamp, or a dash where it is not known.
struct Ticks(Option<i64>);

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ticks) => ticks.fmt(f),
            None => f.write_str("-"),
        }
    }
}

type Words<'w> = std::str::Split<'w, char>;

fn extent(words: &mut Words<'_>) -> Option<Extent> {
    let mut stamp = || match words.next()? {
        "-" => Some(None),
        ticks => Some(Some(TimeStamp::new(ticks.parse().ok()?))),
    };
    Some(Extent { first: stamp()?, end: stamp()? })
}

fn tracks(words: &mut Words<'_>) -> Option<Tracks> {
    Some(Tracks { streams: fingerprint(words)?, picture: fingerprint(words)?, sound: fingerprint(words)? })
}

fn fingerprint(words: &mut Words<'_>) -> Option<u32> {
    u32::from_str_radix(words.next()?, 16).ok()
}

/// Whoever reads the media of a file of this name while its bytes pass by; `None` if it is no segment of video, of which nothing is said.
pub fn media_reader(name: &str) -> Option<EdgesReader> {
    Some(match segment_container(name)? {
        Container::Ts => EdgesReader::ts(),
        Container::Mp4 => EdgesReader::mp4(),
    })
}

/// What a segment of video of this name is in.
pub(super) fn segment_container(name: &str) -> Option<Container> {
    match parse_file_name(name) {
        FileName::Understood(key) if key.kind.is_video() && !key.tombstone => Some(key.container),
        FileName::Understood(_) | FileName::Odd(_) | FileName::Temporary | FileName::Foreign => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_manifests::any_media;
    use crate::archive::test_names::hash_text;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_is_read_as_it_is_written_and_is_short(line in any_media()) {
            let text = line.to_string();
            prop_assert_eq!(MediaLine::parse(&text), Some(line));
            prop_assert!(("# media \n".len() + text.len()) as u64 <= LONGEST, "{}", text);
            prop_assert!(text.is_ascii() && !text.contains('\n'));
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_written_as_it_is_read_again(
            words in prop::collection::vec("picture|sound|begins|ends|independent|dependent|init|-|-?[0-9]{1,20}|[0-9a-f]{1,9}|.{0,4}", 0..24),
        ) {
            let text = words.join(" ");
            if let Some(line) = MediaLine::parse(&text) {
                prop_assert_eq!(MediaLine::parse(&line.to_string()), Some(line));
            }
        }
    }

    #[test]
    fn only_segments_of_video_have_media() {
        let h = hash_text(1);
        let names = [
            format!("00:00.0-2.0-full-{h}.ts"),
            format!("00:00-2.0-partial-{h}.mp4"),
            format!("00:00-2.0-suspect-{h}.ts"),
        ];
        assert!(names.iter().all(|name| media_reader(name).is_some()));
        let others = [format!("00:00-{h}.json"), format!("00:00.0-2.0-full-{h}.tombstone"), "odd.ts".to_owned()];
        assert!(others.iter().all(|name| media_reader(name).is_none()));
    }

    #[test]
    fn what_another_rule_says_is_kept_and_not_believed() {
        for text in ["2 picture 1 2", "2 picture 1 2 newword 7", "2", "4294967296 blah  {}"] {
            let other = MediaLine::parse(text).unwrap();
            assert_eq!((other.edges(), other.to_string().as_str()), (None, text));
        }
        let long = format!("2 {}", "x".repeat(200));
        for text in ["", "0", "02 x", "x", "-2", "1 newword", "2 \u{e9}", "2\tx", &long] {
            assert_eq!(MediaLine::parse(text), None, "{text}");
        }
        assert!(MediaLine::parse("1 picture 1 2").unwrap().edges().is_some());
        let init = MediaLine::parse("1 init 800 0000002a").unwrap();
        assert!(init.fits(800) && !init.fits(799));
    }
}
