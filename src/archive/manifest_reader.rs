//! Reads manifests of sealed hours, and takes nothing but what this program would have written: whatever is damaged is refused, and never
//! read as another manifest.
//!
//! What the lines say is gathered first, and written again; then both must be the same, to the byte. So counts, offsets, order, filling and
//! the hash in the last line are compared without a rule for each.

use super::escape::shown;
use super::manifest::MOST_ENTRIES;
use super::manifest_writer::{FIRST_LINE, escaped, unescaped};
use super::media_line::MediaLine;
use super::object_trailer::LARGEST_MANIFEST;
use super::segment::Hash;
use super::{FilePlace, HourManifest, HourPlace, ManifestError, ManifestFile};

/// Characters of a line that are shown, at most.
const SHOWN: usize = 200;

/// Why a text is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestTextError {
    /// It begins otherwise.
    #[error(
        "line 1: expected '{FIRST_LINE}': this is no manifest of a sealed hour, or it is damaged; delete it and seal the hour again"
    )]
    NoManifest,
    /// Another version wrote it.
    #[error(
        "line 1: the manifest has version {0} of the format, and this program reads version 1; a newer gapless reads it"
    )]
    Version(String),
    /// More than is read.
    #[error("line {line}: a manifest has at most {LARGEST_MANIFEST} bytes, and {MOST_ENTRIES} files and tombstones")]
    TooLarge {
        /// Where it was too much.
        line: usize,
    },
    /// A line is none of a manifest.
    #[error("line {line}: '{found}' is {expected}; the manifest is damaged: delete it and seal the hour again")]
    Line {
        /// Its number.
        line: usize,
        /// What it says.
        found: String,
        /// What is wrong with it.
        expected: &'static str,
    },
    /// What the lines say together cannot be.
    #[error("line {line}: {error}; the manifest is damaged: delete it and seal the hour again")]
    Entry {
        /// The last line that names it.
        line: usize,
        /// Why not.
        error: ManifestError,
    },
    /// The lines are not those that a manifest with these files has.
    #[error(
        "line {line}: '{found}' where '{expected}' was expected; the manifest is damaged: delete it and seal the hour again"
    )]
    Differs {
        /// The first line that is not.
        line: usize,
        /// What it says.
        found: String,
        /// What a manifest of these files says there.
        expected: String,
    },
}

impl HourManifest {
    /// Reads what [`HourManifest::to_bytes`] wrote, and nothing else.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestTextError> {
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err(ManifestTextError::TooLarge { line: 1 });
        }
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if first != FIRST_LINE.as_bytes() {
            return Err(first_line_error(first));
        }
        let text = str::from_utf8(bytes).map_err(|error| {
            let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
            line_error(line, "", "no UTF-8")
        })?;
        let mut gathered = Gathered::default();
        for (line, content) in (1..).zip(text.split('\n')) {
            gathered.line(line, content)?;
        }
        let Some(place) = gathered.place else {
            return Err(line_error(2, "", "missing: the hour, '# hour CHANNEL/QUALITY/HOUR', was expected"));
        };
        let manifest = Self::new(place, gathered.files, gathered.tombstones)
            .and_then(|manifest| manifest.with_media(gathered.media))
            .map_err(|error| ManifestTextError::Entry { line: line_of(&error, text), error })?;
        same_lines(text, &manifest.to_bytes())?;
        Ok(manifest)
    }
}

/// What the lines have said so far.
#[derive(Default)]
struct Gathered {
    place: Option<HourPlace>,
    files: Vec<ManifestFile>,
    tombstones: Vec<Box<str>>,
    media: Vec<(Box<str>, MediaLine)>,
    /// Of the file in the next line.
    size: Option<u64>,
    of_next: Option<MediaLine>,
}

impl Gathered {
    fn line(&mut self, line: usize, content: &str) -> Result<(), ManifestTextError> {
        if let Some(hour) = content.strip_prefix("# hour ") {
            let hour = unescaped(hour).ok_or_else(|| line_error(line, content, "escaped wrongly"))?;
            let place =
                HourPlace::parse(&hour).map_err(|_| line_error(line, content, "not '# hour CHANNEL/QUALITY/HOUR'"))?;
            self.place.get_or_insert(place);
        } else if let Some(name) = content.strip_prefix("# tombstone ") {
            let name = unescaped(name).ok_or_else(|| line_error(line, content, "escaped wrongly"))?;
            self.tombstones.push(name.into());
        } else if let Some(numbers) = content.strip_prefix("# offset ") {
            let size = numbers.split_once(" size ").and_then(|(_, size)| size.parse().ok());
            self.size = Some(size.ok_or_else(|| line_error(line, content, "not '# offset NUMBER size NUMBER'"))?);
        } else if let Some(words) = content.strip_prefix("# media ") {
            let read = MediaLine::parse(words);
            self.of_next =
                Some(read.ok_or_else(|| line_error(line, content, "not '# media NUMBER' and what follows"))?);
        } else if !content.starts_with('#') && !content.is_empty() {
            self.file(line, content)?;
        }
        if self.files.len() + self.tombstones.len() > MOST_ENTRIES {
            return Err(ManifestTextError::TooLarge { line });
        }
        Ok(())
    }

    fn file(&mut self, line: usize, content: &str) -> Result<(), ManifestTextError> {
        let (is_escaped, rest) = content.strip_prefix('\\').map_or((false, content), |rest| (true, rest));
        let (sha256, path) = rest
            .split_once("  ")
            .and_then(|(hash, path)| Some((Hash::parse_hexadecimal(hash)?, path)))
            .ok_or_else(|| line_error(line, content, "not a SHA-256, two spaces and a path"))?;
        let path = if is_escaped { unescaped(path) } else { Some(path.to_owned()) };
        let path = path.ok_or_else(|| line_error(line, content, "escaped wrongly"))?;
        let size =
            self.size.take().ok_or_else(|| line_error(line, content, "without its offset and size before it"))?;
        let file = FilePlace::parse(&path)
            .map_err(|_| line_error(line, content, "without a path CHANNEL/QUALITY/HOUR/NAME of a visible file"))?;
        if self.place.as_ref() != Some(&file.hour) {
            return Err(line_error(line, content, "of another hour"));
        }
        self.media.extend(self.of_next.take().map(|media| (file.name.clone(), media)));
        self.files.push(ManifestFile { name: file.name, size, sha256 });
        Ok(())
    }
}

fn first_line_error(first: &[u8]) -> ManifestTextError {
    let version = FIRST_LINE.strip_suffix('1').and_then(|before| first.strip_prefix(before.as_bytes()));
    match version.and_then(|version| str::from_utf8(version).ok()).and_then(|version| version.parse::<u32>().ok()) {
        Some(version) if version != 1 => ManifestTextError::Version(version.to_string()),
        _ => ManifestTextError::NoManifest,
    }
}

fn line_error(line: usize, found: &str, expected: &'static str) -> ManifestTextError {
    ManifestTextError::Line { line, found: beginning(found), expected }
}

/// The last line that ends in the name that is wrong.
fn line_of(error: &ManifestError, text: &str) -> usize {
    let (ManifestError::Name(name)
    | ManifestError::Kind { name, .. }
    | ManifestError::Twice(name)
    | ManifestError::Hidden(name)
    | ManifestError::Media(name)
    | ManifestError::Size { name, .. }) = error
    else {
        return 1;
    };
    let name = escaped(name);
    text.split('\n').zip(1..).filter(|(line, _)| line.ends_with(&*name)).last().map_or(1, |(_, number)| number)
}

fn same_lines(text: &str, written: &[u8]) -> Result<(), ManifestTextError> {
    if text.as_bytes() == written {
        return Ok(());
    }
    let mut lines = written.split(|byte| *byte == b'\n');
    let pairs = text.split('\n').map(|found| (found, lines.next().unwrap_or_default()));
    let different = (1..).zip(pairs).find(|(_, (found, wanted))| found.as_bytes() != *wanted);
    let no_line_feed = || (text.split('\n').count(), ("", &b"a line feed"[..]));
    let (line, (found, wanted)) = different.unwrap_or_else(no_line_feed);
    let expected = beginning(&String::from_utf8_lossy(wanted));
    Err(ManifestTextError::Differs { line, found: beginning(found), expected })
}

fn beginning(line: &str) -> String {
    shown(line).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest_writer::sha256;
    use crate::archive::object_trailer::trailer_line;
    use crate::archive::test_manifests::any_hour;
    use proptest::prelude::*;

    fn manifest() -> HourManifest {
        let place = HourPlace::parse("desertbus/source/2019-11-13T02").unwrap();
        let file =
            |name: &str, size: u8| ManifestFile { name: name.into(), size: size.into(), sha256: Hash([size; 32]) };
        let files = vec![file("00:00-2-full-a.ts", 10), file("00:02-2-full-b.ts", 20), file("x.json", 0)];
        HourManifest::new(place, files, vec!["00:04-2-full-c.tombstone".into()]).unwrap()
    }

    /// The text with something in place of something else, and a last line that has the right hash.
    fn rewritten(from: &str, to: &str) -> String {
        let text = String::from_utf8(manifest().to_bytes()).unwrap();
        let (before, _) = text.rsplit_once("# gapless trailer").unwrap();
        assert!(before.contains(from), "{from} is in none of {before}");
        let before = before.replacen(from, to, 1);
        let begin = *manifest().offsets().last().unwrap();
        let line = trailer_line(&(begin..begin + text.len() as u64), sha256(before.as_bytes()));
        before + &line
    }

    fn error(text: &str) -> String {
        HourManifest::parse(text.as_bytes()).unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(hour in any_hour()) {
            let manifest = hour.manifest();
            prop_assert_eq!(HourManifest::parse(&manifest.to_bytes()), Ok(manifest));
        }

        #[test]
        fn whatever_is_damaged_is_refused(
            hour in any_hour(), at: prop::sample::Index, bits in 1..=255_u8, taken in 0..40_usize, put in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let bytes = hour.manifest().to_bytes();
            let at = at.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= bits;
            prop_assert!(HourManifest::parse(&flipped).is_err());
            prop_assert!(HourManifest::parse(&bytes[..at]).is_err());
            let end = (at + taken).min(bytes.len());
            let replaced = [&bytes[..at], &put, &bytes[end..]].concat();
            prop_assert_eq!(HourManifest::parse(&replaced).is_ok(), replaced == bytes);
        }

        #[test]
        fn whoever_moves_lines_and_writes_a_right_last_one_makes_another_manifest_or_none(
            hour in any_hour(), from: prop::sample::Index, to: prop::sample::Index, digit: prop::sample::Index, is_moved: bool,
        ) {
            let text = String::from_utf8(hour.manifest().to_bytes()).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.pop();
            let (taken, at) = (from.index(lines.len()), digit.index(200));
            let mut line = if is_moved { lines.remove(taken) } else { lines[taken].clone() };
            if let Some(found) = line.as_bytes().get(at).copied().filter(u8::is_ascii_digit) {
                line.replace_range(at..=at, if found == b'9' { "8" } else { "9" });
            }
            lines.insert(to.index(lines.len() + 1), line);
            let before = lines.join("\n") + "\n";
            let begin = *hour.manifest().offsets().last().unwrap();
            for size in [text.len(), before.len() + 128] {
                let changed = format!("{before}{}", trailer_line(&(begin..begin + size as u64), sha256(before.as_bytes())));
                if let Ok(read) = HourManifest::parse(changed.as_bytes()) {
                    prop_assert_eq!(read.to_bytes(), changed.as_bytes());
                }
            }
        }

        #[test]
        fn no_text_panics(lines in prop::collection::vec("(# hour |# tombstone |# offset |\\\\)?[0-9a-f]{0,64}(  )?[ -~\\\\é]{0,40}", 0..10)) {
            let text = format!("{FIRST_LINE}\n{}", lines.join("\n"));
            prop_assert!(HourManifest::parse(text.as_bytes()).is_err());
            prop_assert!(HourManifest::parse(lines.join("\n").as_bytes()).is_err());
        }
    }

    #[test]
    fn errors_say_in_which_line_what_was_expected() {
        assert!(HourManifest::parse(rewritten("# files 3", "# files 3").as_bytes()).is_ok());
        for (from, to, expected) in [
            (FIRST_LINE, "# gapless sealed hour v2", "line 1: the manifest has version 2 of the format"),
            (FIRST_LINE, "# something else", "line 1: expected '# gapless sealed hour v1'"),
            ("# hour desertbus/source/2019-11-13T02\n", "", "is of another hour"),
            (
                "T02\n",
                "T02/..\n",
                "line 2: '# hour desertbus/source/2019-11-13T02/..' is not '# hour CHANNEL/QUALITY/HOUR'",
            ),
            (
                "# files 3",
                "# files 4",
                "line 3: '# files 4 bytes 30 tombstones 1' where '# files 3 bytes 30 tombstones 1' was",
            ),
            ("bytes 30", "bytes 31", "line 3:"),
            ("tombstones 1", "tombstones 0", "line 3:"),
            ("c.tombstone", "c.ts", "line 4: '00:04-2-full-c.ts' is listed as a tombstone"),
            (
                "00:04-2-full-c.tomb",
                "00:00-2-full-a.tomb",
                "line 6: '00:00-2-full-a.ts' is listed although a tombstone hides it",
            ),
            ("offset 512", "offset 513", "line 5: '# offset 513 size 10' where '# offset 512 size 10' was expected"),
            ("offset 512 size 10", "offset 512 size 9999", "line 3:"),
            ("offset 512 size 10", "offset 512 size 1073741825", "line 6: '00:00-2-full-a.ts' has 1.00 GiB"),
            ("# offset 512 size 10\n", "# offset 512\n", "line 5: '# offset 512' is not '# offset NUMBER size NUMBER'"),
            ("# offset 512 size 10\n", "", "line 5: "),
            ("0a0a  desertbus", "0A0A  desertbus", "line 6: "),
            ("0a0a  desertbus", "0a0a *desertbus", "line 6: "),
            ("0a0a  desertbus/source", "0a0a  desertbus/480p", "is of another hour"),
            ("T02/00:00", "T02/../00:00", "line 6: "),
            ("T02/00:00-2-full-a.ts", "T02/.hidden", "line 6: "),
            ("T02/00:02-2-full-b.ts", "T02/00:00-2-full-a.ts", "line 8: '00:00-2-full-a.ts' is listed twice"),
            ("#--", "#-+", "line 11: "),
            ("#--", "#---", "line 11: "),
            ("#--", "# another\n#--", "line 11: '# another' where '#---"),
        ] {
            let said = error(&rewritten(from, to));
            assert!(said.contains(expected), "{from:?} → {to:?}: {said}");
        }
        assert_eq!(
            HourManifest::parse(&[b"# gapless sealed hour v1\n\xff", &[][..]].concat())
                .unwrap_err()
                .to_string()
                .split(';')
                .next(),
            Some("line 2: '' is no UTF-8")
        );
    }

    #[test]
    fn a_last_line_without_its_end_is_refused() {
        let bytes = manifest().to_bytes();
        let said = error(str::from_utf8(&bytes[..bytes.len() - 1]).unwrap());
        assert!(said.starts_with("line 12: '' where 'a line feed' was expected"), "{said}");
    }

    #[test]
    fn more_than_is_read_is_refused_before_it_is_held() {
        let many = format!("{FIRST_LINE}\n{}", "# tombstone x.tombstone\n".repeat(MOST_ENTRIES + 1));
        assert_eq!(HourManifest::parse(many.as_bytes()), Err(ManifestTextError::TooLarge { line: MOST_ENTRIES + 2 }));
        let large = vec![b'#'; usize::try_from(LARGEST_MANIFEST).unwrap() + 1];
        assert_eq!(HourManifest::parse(&large), Err(ManifestTextError::TooLarge { line: 1 }));
    }
}
