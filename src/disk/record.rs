//! Small records that protect the archive, each kept in two copies: `BASE/.gapless/NAME` and `NAME.2`.
//!
//! What is lost with such a record is not the record: it is what the record held back from being deleted. So a copy that does not
//! add up is never used, and where no copy can be used that is an answer of its own ([`Reading::Unusable`]), not an empty record.
//!
//! ```text
//! gapless-levels 1 17 42 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! (42 bytes)
//! ```
//!
//! The first line has the name, the version of the format, a number that grows with each writing, the length of what follows, and the
//! SHA-256 of the line up to there and of what follows. One copy is written, flushed and renamed into place, then the other: a
//! crash leaves one of them whole, and the greater number is the newer. What the content means is not known here.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::atomic::{move_new, replace, sync_dir};
use super::base::Base;
use super::dir::{Dir, Small};
use super::error::{DiskError, Result};
use super::marker::OWN_DIR;

/// The first line is never longer.
const HEAD_BYTES: u64 = 256;
/// Damaged copies of one record that are kept aside.
const MOST_ASIDE: u32 = 9;

/// One kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The name of its first copy, also in its first line.
    pub name: &'static str,
    /// The version that is written; earlier ones are read.
    pub version: u32,
    /// Bytes that its content has at most.
    pub most: u64,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The version of its format.
    pub version: u32,
    /// How often it was written.
    pub generation: u64,
    /// The content itself.
    pub bytes: Vec<u8>,
}

/// What became of reading a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// There is none.
    Absent,
    /// As it was written last.
    Intact(Content),
    /// The same, from one copy; the other could not be used, for this reason, and was made anew.
    Mended(Content, String),
    /// It is there, or should be, and cannot be relied on, for this reason.
    Unusable(String),
}

impl Reading {
    /// The content, if it can be relied on.
    pub fn content(self) -> Option<Content> {
        match self {
            Self::Intact(content) | Self::Mended(content, _) => Some(content),
            Self::Absent | Self::Unusable(_) => None,
        }
    }
}

/// One copy as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Copy {
    Missing,
    Whole(Content),
    Later(u32),
    Damaged(String),
}

/// What two copies are worth together.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Absent,
    /// Both hold this.
    Equal(Content),
    /// This counts; the copy of that number is to be made anew, and that is worth telling if there is a reason.
    Use(Content, usize, Option<String>),
    Unusable(String),
}

impl Record {
    /// Reads it, and makes a copy anew that cannot be used. Where nothing may be written that is left for another time.
    pub fn read(&self, base: &Base) -> Result<Reading> {
        let Some(own) = own_dir(base)? else { return Ok(Reading::Absent) };
        Ok(match self.judge(&own)? {
            Judged::Absent => Reading::Absent,
            Judged::Unusable(why) => Reading::Unusable(why),
            Judged::Equal(content) => Reading::Intact(content),
            Judged::Use(content, bad, why) => {
                self.mend(&own, &content, bad, why.as_deref());
                match why {
                    Some(why) => Reading::Mended(content, why),
                    None => Reading::Intact(content),
                }
            }
        })
    }

    /// Reads it and changes nothing.
    pub fn peek(&self, base: &Base) -> Result<Reading> {
        let Some(own) = own_dir(base)? else { return Ok(Reading::Absent) };
        Ok(match self.judge(&own)? {
            Judged::Absent => Reading::Absent,
            Judged::Unusable(why) => Reading::Unusable(why),
            Judged::Equal(content) | Judged::Use(content, _, None) => Reading::Intact(content),
            Judged::Use(content, _, Some(why)) => Reading::Mended(content, why),
        })
    }

    /// Writes it anew. It is durable in both copies when this returns. What cannot be relied on is not written over.
    pub fn write(&self, base: &Base, bytes: &[u8]) -> Result<()> {
        let own = own_dir(base)?.ok_or_else(|| DiskError::io("write", &self.path(base), Errno::NOENT))?;
        if bytes.len() as u64 > self.most {
            let text = format!("it would have {} bytes, and {} are allowed", bytes.len(), self.most);
            return Err(DiskError::io("write", &self.path(base), std::io::Error::other(text)));
        }
        let generation = match self.judge(&own)? {
            Judged::Absent => 1,
            Judged::Equal(content) | Judged::Use(content, ..) => content.generation.saturating_add(1),
            Judged::Unusable(why) => return Err(DiskError::Record { path: self.path(base), why }),
        };
        let text = self.text(generation, bytes);
        replace(&own, OsStr::new(self.name), &text)?;
        replace(&own, &self.second(), &text)
    }

    /// Where its first copy lies; for messages.
    pub fn path(&self, base: &Base) -> PathBuf {
        base.path().join(OWN_DIR).join(self.name)
    }

    fn second(&self) -> OsString {
        OsString::from(format!("{}.2", self.name))
    }

    fn copies(&self) -> [OsString; 2] {
        [OsString::from(self.name), self.second()]
    }

    fn judge(&self, own: &Dir) -> Result<Judged> {
        let [first, second] = self.copies();
        Ok(judge(self.look(own, &first)?, self.look(own, &second)?))
    }

    fn look(&self, own: &Dir, name: &OsStr) -> Result<Copy> {
        match own.read_small(name, self.most + HEAD_BYTES) {
            Ok(Small::Absent) => Ok(Copy::Missing),
            Ok(Small::Larger) => Ok(Copy::Damaged(format!("it is larger than {} bytes", self.most + HEAD_BYTES))),
            Ok(Small::Content(bytes)) => Ok(self.parse(&bytes)),
            // A bad sector is damage like any other; everything else says nothing about the record.
            Err(error) if error.is_unreadable() => Ok(Copy::Damaged(error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Copy {
        let damaged = |what: &str| Copy::Damaged(what.to_owned());
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return damaged("it has no first line") };
        let (head, content) = bytes.split_at(end);
        let content = content.get(1..).unwrap_or_default();
        let Some((front, sum)) = std::str::from_utf8(head).ok().and_then(|head| head.rsplit_once(' ')) else {
            return damaged("its first line is not that of a record");
        };
        if sum != sum_of(front, content) {
            return damaged("its checksum does not match");
        }
        let mut words = front.split(' ');
        let name = words.next().and_then(|word| word.strip_prefix("gapless-"));
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(version), Some(generation), Some(length)) = (number(), number(), number()) else {
            return damaged("its first line is not that of a record");
        };
        match u32::try_from(version) {
            _ if name != Some(self.name) => damaged("it is another record"),
            _ if length != content.len() as u64 => damaged("it has another length than its first line says"),
            Ok(version) if version <= self.version => {
                Copy::Whole(Content { version, generation, bytes: content.to_vec() })
            }
            later => Copy::Later(later.unwrap_or(u32::MAX)),
        }
    }

    fn text(&self, generation: u64, content: &[u8]) -> Vec<u8> {
        let front = format!("gapless-{} {} {generation} {}", self.name, self.version, content.len());
        let mut text = format!("{front} {}\n", sum_of(&front, content)).into_bytes();
        text.extend(content);
        text
    }

    /// Makes a copy anew. The other one counts whether or not that works.
    fn mend(&self, own: &Dir, content: &Content, bad: usize, why: Option<&str>) {
        let [first, second] = self.copies();
        let name = if bad == 0 { first } else { second };
        // As it was, down to its version: it is the other copy, not a new writing.
        let text = Self { version: content.version, ..*self }.text(content.generation, &content.bytes);
        let aside = why.map_or(Ok(None), |_| set_aside(own, self.name, &name));
        let mended = aside.and_then(|aside| replace(own, &name, &text).map(|()| aside));
        match (mended, why) {
            (Ok(_), None) => {
                tracing::debug!(name: "record_completed", record = self.name, "the older copy of a record was brought up to date");
            }
            (Ok(moved), Some(why)) => {
                let moved = moved.map(|path| path.display().to_string()).unwrap_or_default();
                tracing::warn!(name: "record_mended", record = self.name, copy = ?name, %why, aside = moved, "one copy of a protective record could not be used; it was made anew from the other");
            }
            (Err(error), _) => {
                tracing::warn!(name: "record_not_mended", record = self.name, copy = ?name, %error, "one copy of a protective record cannot be used, and cannot be made anew now; the other is used");
            }
        }
    }
}

/// Moves both copies of a record aside, so that there is none any more: a person has decided. Says where they are.
pub(super) fn set_copies_aside(base: &Base, record: &str) -> Result<Vec<PathBuf>> {
    let Some(own) = own_dir(base)? else { return Ok(Vec::new()) };
    let mut moved = Vec::new();
    for name in [record.to_owned(), format!("{record}.2")] {
        moved.extend(set_aside(&own, record, OsStr::new(&name))?);
    }
    Ok(moved)
}

fn own_dir(base: &Base) -> Result<Option<Dir>> {
    base.dir(Path::new(OWN_DIR))
}

fn judge(first: Copy, second: Copy) -> Judged {
    let gone = || "it was not there".to_owned();
    match (first, second) {
        (Copy::Missing, Copy::Missing) => Judged::Absent,
        (Copy::Later(version), _) | (_, Copy::Later(version)) => {
            Judged::Unusable(format!("it has version {version}, which a later gapless wrote"))
        }
        (Copy::Whole(first), Copy::Whole(second)) if first == second => Judged::Equal(first),
        (Copy::Whole(first), Copy::Whole(second)) if first.generation == second.generation => {
            Judged::Unusable(format!("its two copies have the same number, {}, and differ", first.generation))
        }
        // A crash came between the two writings.
        (Copy::Whole(first), Copy::Whole(second)) if first.generation > second.generation => {
            Judged::Use(first, 1, None)
        }
        (Copy::Whole(_), Copy::Whole(second)) => Judged::Use(second, 0, None),
        (Copy::Whole(content), Copy::Missing) => Judged::Use(content, 1, Some(gone())),
        (Copy::Missing, Copy::Whole(content)) => Judged::Use(content, 0, Some(gone())),
        (Copy::Whole(content), Copy::Damaged(why)) => Judged::Use(content, 1, Some(why)),
        (Copy::Damaged(why), Copy::Whole(content)) => Judged::Use(content, 0, Some(why)),
        (Copy::Damaged(why), Copy::Missing) | (Copy::Missing, Copy::Damaged(why)) => {
            Judged::Unusable(format!("{why}, and the other copy is not there"))
        }
        (Copy::Damaged(first), Copy::Damaged(second)) => {
            Judged::Unusable(format!("{first}; of the second copy: {second}"))
        }
    }
}

fn sum_of(front: &str, content: &[u8]) -> String {
    let sum: [u8; 32] = Sha256::new().chain_update(front).chain_update(b"\n").chain_update(content).finalize().into();
    sum.iter().fold(String::with_capacity(64), |mut text, byte| {
        // A write to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// Moves a file to `NAME.damaged`, or the first of `NAME.damaged.2` and so on that is free. The last of them is written over: what
/// was there first tells most about what went wrong.
pub fn set_aside(own: &Dir, record: &str, name: &OsStr) -> Result<Option<PathBuf>> {
    let failed = |errno| DiskError::io("move aside", &own.path().join(name), errno);
    for number in 1..=MOST_ASIDE {
        let aside = if number == 1 { format!("{record}.damaged") } else { format!("{record}.damaged.{number}") };
        match move_new((own, name), (own, OsStr::new(&aside))) {
            Ok(()) => {
                sync_dir(own)?;
                return Ok(Some(own.path().join(aside)));
            }
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::EXIST) if number == MOST_ASIDE => {
                rustix::fs::renameat(own, name, own, &aside).map_err(failed)?;
                sync_dir(own)?;
                return Ok(Some(own.path().join(aside)));
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const RECORD: Record = Record { name: "levels", version: 2, most: 1_000 };

    fn archive() -> (tempfile::TempDir, Base) {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join(OWN_DIR)).unwrap();
        let base = Base::open(tree.path()).unwrap();
        (tree, base)
    }

    fn file(base: &Base, name: &str) -> PathBuf {
        base.path().join(OWN_DIR).join(name)
    }

    fn bytes(reading: Reading) -> Option<Vec<u8>> {
        reading.content().map(|content| content.bytes)
    }

    fn flip(base: &Base, name: &str, bit: usize) {
        let mut content = fs::read(file(base, name)).unwrap();
        let at = (bit / 8) % content.len();
        content[at] ^= 1 << (bit % 8);
        fs::write(file(base, name), content).unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_none_is_an_answer() {
        let (_tree, base) = archive();
        assert_eq!(RECORD.read(&base).unwrap(), Reading::Absent);
        for text in ["one\ntwo", "", "three"] {
            RECORD.write(&base, text.as_bytes()).unwrap();
            let Reading::Intact(content) = RECORD.read(&base).unwrap() else { panic!("{text}") };
            assert_eq!((content.version, content.bytes), (2, text.as_bytes().to_vec()));
        }
        assert_eq!(RECORD.read(&base).unwrap().content().unwrap().generation, 3);
        assert!(RECORD.write(&base, &[0; 1_001]).is_err());
        assert_eq!(bytes(RECORD.read(&base).unwrap()), Some(b"three".to_vec()));
    }

    #[test]
    fn a_bit_flipped_anywhere_is_damage() {
        let text = RECORD.text(7, b"kept\n");
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(RECORD.parse(&flipped), Copy::Damaged(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_bit_flipped_in_one_copy_is_mended_from_the_other() {
        for name in ["levels", "levels.2"] {
            let (_tree, base) = archive();
            RECORD.write(&base, b"kept\n").unwrap();
            flip(&base, name, 300);
            let peeked = RECORD.peek(&base).unwrap();
            assert!(matches!(&peeked, Reading::Mended(..)) && !file(&base, "levels.damaged").exists());
            assert_eq!(RECORD.read(&base).unwrap(), peeked);
            assert_eq!(bytes(peeked), Some(b"kept\n".to_vec()));
            assert!(file(&base, "levels.damaged").exists());
            assert!(matches!(RECORD.read(&base).unwrap(), Reading::Intact(_)), "it is told once");
        }
    }

    #[test]
    fn damage_in_both_copies_is_neither_an_empty_record_nor_written_over() {
        let (_tree, base) = archive();
        RECORD.write(&base, b"kept\n").unwrap();
        flip(&base, "levels", 700);
        flip(&base, "levels.2", 40);
        assert!(matches!(RECORD.read(&base).unwrap(), Reading::Unusable(_)));
        let error = RECORD.write(&base, b"new").unwrap_err().to_string();
        assert!(error.contains("gapless retention accept"), "{error}");
        assert!(matches!(RECORD.read(&base).unwrap(), Reading::Unusable(_)));
        assert_eq!(set_copies_aside(&base, "levels").unwrap().len(), 2);
        assert!(file(&base, "levels.damaged").exists() && file(&base, "levels.damaged.2").exists());
        assert_eq!(RECORD.read(&base).unwrap(), Reading::Absent);
        RECORD.write(&base, b"new").unwrap();
    }

    #[test]
    fn of_two_whole_copies_the_newer_counts_as_after_a_crash_between_the_two_writings() {
        let (_tree, base) = archive();
        RECORD.write(&base, b"old").unwrap();
        for crashed in ["levels", "levels.2"] {
            let before = fs::read(file(&base, crashed)).unwrap();
            RECORD.write(&base, crashed.as_bytes()).unwrap();
            fs::write(file(&base, crashed), before).unwrap();
            assert!(matches!(RECORD.read(&base).unwrap(), Reading::Intact(_)));
            assert_eq!(bytes(RECORD.read(&base).unwrap()), Some(crashed.as_bytes().to_vec()));
        }
        assert_eq!(fs::read(file(&base, "levels")).unwrap(), fs::read(file(&base, "levels.2")).unwrap());
    }

    #[test]
    fn a_missing_copy_is_made_anew() {
        for gone in ["levels", "levels.2"] {
            let (_tree, base) = archive();
            RECORD.write(&base, b"x").unwrap();
            fs::remove_file(file(&base, gone)).unwrap();
            assert!(matches!(RECORD.read(&base).unwrap(), Reading::Mended(..)));
            assert!(file(&base, gone).exists());
        }
    }

    #[test]
    fn a_later_version_and_equal_numbers_with_other_content_are_unusable_and_an_earlier_version_is_read() {
        let (_tree, base) = archive();
        let later = Record { version: 3, ..RECORD };
        later.write(&base, b"x").unwrap();
        let Reading::Unusable(why) = RECORD.read(&base).unwrap() else { panic!("a later version") };
        assert!(why.contains("version 3"), "{why}");
        let earlier = Record { version: 1, ..RECORD };
        set_copies_aside(&base, "levels").unwrap();
        earlier.write(&base, b"x").unwrap();
        fs::remove_file(file(&base, "levels.2")).unwrap();
        assert_eq!(RECORD.read(&base).unwrap().content().unwrap().version, 1);
        assert_eq!(RECORD.read(&base).unwrap().content().unwrap().version, 1, "mending keeps it");
        fs::write(file(&base, "levels.2"), earlier.text(1, b"y")).unwrap();
        assert!(matches!(RECORD.read(&base).unwrap(), Reading::Unusable(_)));
    }

    #[test]
    fn only_so_many_damaged_copies_are_kept() {
        let (_tree, base) = archive();
        for _ in 0..15 {
            RECORD.write(&base, b"x").unwrap();
            flip(&base, "levels", 800);
            RECORD.read(&base).unwrap();
        }
        assert_eq!(fs::read_dir(base.path().join(OWN_DIR)).unwrap().count(), 2 + 9);
    }

    proptest! {
        #[test]
        fn no_bytes_are_taken_for_a_record(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(matches!(RECORD.parse(&garbage), Copy::Damaged(_)));
        }
    }
}
