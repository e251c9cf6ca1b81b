//! Reads a JSON array of strings while it arrives, in pieces of any size.
//!
//! Written by hand because of what it must bear: a list may hold ten million names, a name of ten megabytes, or one that
//! is no Unicode (lone surrogates, which services in Python write for such file names). None of these may cost the memory,
//! and the last must not cost the rest of the list. A string that `accept` does not take is counted and forgotten.
//! Which names are acceptable is not known here.

use super::body::{BodyProblem, BodySink};

/// Longest string that is looked at; longer ones are refused. Paths of extras are at most this long on any system.
const KEPT_BYTES: usize = 4096;

/// A string longer than this is no name of anything: the whole is no list.
const STRING_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    First,
    Next,
    Behind,
    Text,
    Escape,
    /// In the digits behind `\u`, with those read so far and how many they are.
    Unit(u16, u8),
    End,
}

pub(super) struct ListReader<T> {
    accept: fn(&str) -> Option<T>,
    most: usize,
    at: At,
    /// The string so far, unless it is too long or broken.
    text: Vec<u8>,
    length: usize,
    broken: bool,
    /// The first half of a surrogate pair that was just read.
    high: Option<u16>,
    seen: usize,
    names: Vec<T>,
    refused: u64,
}

impl<T> ListReader<T> {
    /// Reads at most so many strings and keeps what `accept` makes of them.
    pub(super) fn new(most: usize, accept: fn(&str) -> Option<T>) -> Self {
        let (text, names) = (Vec::new(), Vec::new());
        Self { accept, most, at: At::Start, text, length: 0, broken: false, high: None, seen: 0, names, refused: 0 }
    }

    /// What was accepted, and how many were refused; a problem if the list has not come to its end.
    pub(super) fn finish(self) -> Result<(Vec<T>, u64), BodyProblem> {
        match self.at {
            At::End => Ok((self.names, self.refused)),
            At::Start => Err(BodyProblem::Unexpected("expected a JSON list of names and found nothing".to_owned())),
            _ => Err(BodyProblem::Unexpected("the JSON list of names is cut off".to_owned())),
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), BodyProblem> {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at = match (self.at, byte) {
            (At::Start | At::First | At::Next | At::Behind | At::End, _) if blank => return Ok(()),
            (At::Start, b'[') => At::First,
            (At::First | At::Next, b'"') => self.begin()?,
            (At::First | At::Behind, b']') => At::End,
            (At::Behind, b',') => At::Next,
            (At::Escape, b'u') => At::Unit(0, 0),
            (At::Escape, _) => {
                let meant = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Err(not_a_list()),
                };
                self.push(&[meant])?;
                At::Text
            }
            (At::Unit(value, count), _) => {
                let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                let value = value << 4 | digit.ok_or_else(not_a_list)?;
                if count < 3 {
                    At::Unit(value, count + 1)
                } else {
                    self.unit(value)?;
                    At::Text
                }
            }
            _ => return Err(not_a_list()),
        };
        Ok(())
    }

    /// Takes what lies within a string up to its end or an escape; answers how many bytes that were.
    fn run(&mut self, bytes: &[u8]) -> Result<usize, BodyProblem> {
        let special = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let (plain, rest) = bytes.split_at(special.unwrap_or(bytes.len()));
        if !plain.is_empty() {
            self.push(plain)?;
        }
        match rest.first() {
            None => return Ok(plain.len()),
            Some(b'"') => self.end(),
            Some(b'\\') => self.at = At::Escape,
            Some(_) => return Err(not_a_list()),
        }
        Ok(plain.len() + 1)
    }

    fn begin(&mut self) -> Result<At, BodyProblem> {
        if self.seen == self.most {
            return Err(BodyProblem::TooLarge { what: "names", limit: self.most as u64 });
        }
        self.seen += 1;
        self.text.clear();
        (self.length, self.broken, self.high) = (0, false, None);
        Ok(At::Text)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), BodyProblem> {
        self.broken |= self.high.take().is_some();
        self.length += bytes.len();
        if self.length > STRING_BYTES {
            return Err(BodyProblem::TooLarge { what: "bytes as one name", limit: STRING_BYTES as u64 });
        }
        self.broken |= self.length > KEPT_BYTES;
        if !self.broken {
            self.text.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// One `\uXXXX`, which may be half a character.
    fn unit(&mut self, unit: u16) -> Result<(), BodyProblem> {
        let units = match self.high.take() {
            Some(high) => vec![high, unit],
            None if (0xD800..0xDC00).contains(&unit) => {
                self.high = Some(unit);
                return Ok(());
            }
            None => vec![unit],
        };
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or_else(|_| {
                self.broken = true;
                char::REPLACEMENT_CHARACTER
            });
            self.push(character.encode_utf8(&mut [0; 4]).as_bytes())?;
        }
        Ok(())
    }

    fn end(&mut self) {
        self.broken |= self.high.take().is_some();
        let text = if self.broken { None } else { std::str::from_utf8(&self.text).ok() };
        match text.and_then(self.accept) {
            Some(name) => self.names.push(name),
            None => self.refused += 1,
        }
        self.at = At::Behind;
    }
}

impl<T> BodySink for ListReader<T> {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), BodyProblem> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.at == At::Text {
                let taken = self.run(bytes)?;
                bytes = bytes.get(taken..).unwrap_or_default();
            } else {
                self.step(*first)?;
                bytes = rest;
            }
        }
        Ok(())
    }
}

fn not_a_list() -> BodyProblem {
    BodyProblem::Unexpected("expected a JSON list of names".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<(Vec<String>, u64), BodyProblem> {
        let mut reader = ListReader::new(10, |text| Some(text.to_owned()));
        pieces.iter().try_for_each(|piece| reader.take(piece))?;
        reader.finish()
    }

    fn of(text: &str) -> Result<(Vec<String>, u64), BodyProblem> {
        read(&[text.as_bytes()])
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(of("[]").unwrap(), (vec![], 0));
        assert_eq!(of(" [ \"a\" ,\n\"b\"\t] \r\n").unwrap(), (vec!["a".to_owned(), "b".to_owned()], 0));
        assert_eq!(of(r#"["\u00e9\"\\\/\b\f\n\r\t", "\ud83d\ude00"]"#).unwrap().0, ["é\"\\/\u{8}\u{c}\n\r\t", "😀"]);
    }

    #[test]
    fn what_is_no_list_is_told() {
        for text in [
            "",
            "<html>",
            "{}",
            "null",
            "[",
            "[1]",
            "[\"a\"",
            "[\"a\",]",
            "[,]",
            "[\"a\" \"b\"]",
            "[\"a\"]]",
            "[\"a\"]x",
            "[[\"a\"]]",
            "[\"a",
            "[\"\\x\"]",
            "[\"\\u12g4\"]",
            "[\"\n\"]",
            "\u{feff}[]",
            "[null]",
            "[\"a\"; \"b\"]",
        ] {
            assert!(of(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn one_broken_name_costs_nothing_but_itself() {
        for broken in [r"\udcff", r"\ud800", r"\ud800x", r"\ud800\ud800", r"\ud800\u0041", r"x\udc00", r"\ud83d\n"] {
            let text = format!("[\"a\", \"{broken}\", \"b\"]");
            assert_eq!(of(&text).unwrap(), (vec!["a".to_owned(), "b".to_owned()], 1), "{broken}");
        }
        assert_eq!(read(&[b"[\"\xff\", \"b\"]"]).unwrap(), (vec!["b".to_owned()], 1));
        let long = format!("[\"{}\", \"b\"]", "x".repeat(KEPT_BYTES + 1));
        assert_eq!(of(&long).unwrap(), (vec!["b".to_owned()], 1));
    }

    #[test]
    fn what_is_too_much_is_told() {
        assert!(matches!(of(&format!("[\"{}", "x".repeat(STRING_BYTES + 1))), Err(BodyProblem::TooLarge { .. })));
        assert!(matches!(of(&format!("[\"{}", r"\n".repeat(STRING_BYTES + 1))), Err(BodyProblem::TooLarge { .. })));
        assert!(of(&format!("[{}\"\"]", "\"\",".repeat(9))).is_ok());
        let eleven = of(&format!("[{}\"\"]", "\"\",".repeat(10)));
        assert!(matches!(eleven, Err(BodyProblem::TooLarge { limit: 10, .. })));
    }

    fn json_like() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::collection::vec(any::<String>(), 0..6).prop_map(|names| serde_json::to_string(&names).unwrap()),
            prop::collection::vec(
                prop::sample::select(vec![
                    "[",
                    "]",
                    "\"",
                    ",",
                    "a",
                    "\\",
                    "\\u00e9",
                    "\\ud83d\\ude00",
                    " ",
                    "\n",
                    "é",
                    "1"
                ]),
                0..12
            )
            .prop_map(|parts| parts.concat()),
        ]
    }

    proptest! {
        #[test]
        fn it_reads_what_any_reader_of_json_reads(text in json_like(), cuts in prop::collection::vec(0..200_usize, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            match (read(&pieces), serde_json::from_str::<Vec<String>>(&text)) {
                (Ok((names, 0)), Ok(expected)) => prop_assert_eq!(names, expected),
                (Ok((_, refused)), Err(_)) => prop_assert!(refused > 0),
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = (read(&[&bytes]), read(&[b"[\"", &bytes]));
        }
    }
}
