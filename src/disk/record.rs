//! Small records that protect the archive, each kept in two copies: `BASE/.gapless/NAME` and `NAME.2`.
//!
//! What is lost with such a record is not the record: it is what the record held back from being deleted. So a copy that does not
//! add up is never used, and where no copy can be used that is an answer of its own ([`RecordReading::Unusable`]), not an empty record.
//!
//! ```text
//! gapless-levels 1 17 42 00c0ffee00c0ffee00c0ffee00c0ffee 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! (42 bytes)
//! ```
//!
//! The first line has the name, the version of the format, a number that grows with each writing, the length of what follows, the id
//! of the archive, and the SHA-256 of the line up to there and of what follows. One copy is written, flushed and renamed into place,
//! then the other: a crash leaves one of them whole, and the greater number is the newer. Copies that carry another archive's id, or a
//! smaller number than is remembered elsewhere ([`RecordHistory`]), do not count. Earlier versions wrote no id: such a copy counts only as long
//! as nobody remembers a number. What the content means is not known here.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, linkat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::archive_id::{ArchiveId, OWN_DIR};
use super::atomic::{move_new, replace, sync_dir};
use super::base::Base;
use super::dir::{Dir, SmallFile};
use super::error::{DiskError, Result};
use super::marker::{self, Ids};
use super::record_progress::{RecordHistory, RecordMark};

/// The first line is never longer.
const HEAD_BYTES: u64 = 256;
/// Of a checksum, 64 bits are remembered.
const CHECK_DIGITS: usize = 16;
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
    /// Whether it is written so often that only the roster hears of each writing; whoever else remembers hears of it with the others.
    pub is_frequent: bool,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The version of its format.
    pub version: u32,
    /// How often it was written.
    pub generation: u64,
    /// Its first line.
    head: String,
    /// Whether it carries the archive's id of now, and not a former one or none.
    pub is_bound: bool,
    /// The content itself.
    pub bytes: Vec<u8>,
}

impl Content {
    /// How far the record is.
    pub(super) fn mark(&self) -> RecordMark {
        let sum = self.head.rsplit(' ').next().unwrap_or_default();
        RecordMark { count: self.generation, check: sum.chars().take(CHECK_DIGITS).collect() }
    }
}

/// What became of reading a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordReading {
    /// There is none.
    Absent,
    /// As it was written last.
    Intact(Content),
    /// The same, from one copy; the other could not be used, for this reason, and was made anew.
    Mended(Content, String),
    /// It is there, or should be, and cannot be relied on, for this reason.
    Unusable(String),
}

/// What a copy must fit.
struct ExpectedCopy<'p> {
    ids: Ids,
    past: &'p RecordHistory,
}

impl RecordReading {
    /// The content, if it can be relied on.
    pub fn content(self) -> Option<Content> {
        match self {
            Self::Intact(content) | Self::Mended(content, _) => Some(content),
            Self::Absent | Self::Unusable(_) => None,
        }
    }
}

/// One copy as it lies there.
enum FoundCopy {
    Missing,
    Bytes(Vec<u8>),
    Damaged(String),
}

/// One copy as far as it can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ReadCopy {
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
    /// Reads it, and makes a copy anew that cannot be used; says whether both copies hold it now. Where nothing may be written that is
    /// left for another time.
    pub(super) fn read(&self, base: &Base, past: &RecordHistory) -> Result<(RecordReading, bool)> {
        let Some((own, judged)) = self.judge(base, past)? else { return Ok((RecordReading::Absent, false)) };
        Ok(match judged {
            Judged::Absent => (RecordReading::Absent, false),
            Judged::Unusable(why) => (RecordReading::Unusable(why), false),
            Judged::Equal(content) => (RecordReading::Intact(content), true),
            Judged::Use(content, bad, why) => {
                let is_mended = self.mend(&own, &content, bad, why.as_deref());
                let reading = match why {
                    Some(why) => RecordReading::Mended(content, why),
                    None => RecordReading::Intact(content),
                };
                (reading, is_mended)
            }
        })
    }

    /// Reads it and changes nothing.
    pub(super) fn peek(&self, base: &Base, past: &RecordHistory) -> Result<RecordReading> {
        Ok(match self.judge(base, past)? {
            None | Some((_, Judged::Absent)) => RecordReading::Absent,
            Some((_, Judged::Unusable(why))) => RecordReading::Unusable(why),
            Some((_, Judged::Equal(content) | Judged::Use(content, _, None))) => RecordReading::Intact(content),
            Some((_, Judged::Use(content, _, Some(why)))) => RecordReading::Mended(content, why),
        })
    }

    /// Writes it anew, and says how far it is now. It is durable in both copies when this returns. What cannot be relied on is not
    /// written over.
    pub(super) fn write(&self, base: &Base, past: &RecordHistory, bytes: &[u8]) -> Result<RecordMark> {
        if bytes.len() as u64 > self.most {
            let text = format!("it would have {} bytes, and {} are allowed", bytes.len(), self.most);
            return Err(DiskError::io("write", &self.path(base), std::io::Error::other(text)));
        }
        let missing = || DiskError::io("write", &self.path(base), Errno::NOENT);
        let (own, judged) = self.judge(base, past)?.ok_or_else(missing)?;
        let ids = marker::ids(base)?.ok_or_else(|| no_marker(base))?;
        let before = match judged {
            Judged::Absent => 0,
            Judged::Equal(content) | Judged::Use(content, ..) => content.generation,
            Judged::Unusable(why) => return Err(DiskError::Record { path: self.path(base), why }),
        };
        let generation = before.max(past.newest).saturating_add(1);
        let content = self.content(generation, ids.id, bytes);
        let text = text(&content);
        replace(&own, OsStr::new(self.name), &text)?;
        replace(&own, &self.second(), &text)?;
        Ok(content.mark())
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

    /// What its copies are worth; nothing where there is no place for them.
    fn judge(&self, base: &Base, past: &RecordHistory) -> Result<Option<(Dir, Judged)>> {
        let Some(own) = base.dir(Path::new(OWN_DIR))? else { return Ok(None) };
        let [first, second] = self.copies().map(|name| self.look(&own, &name));
        let judged = match (first?, second?) {
            (FoundCopy::Missing, FoundCopy::Missing) if past.was_there => Judged::Unusable(missing()),
            (FoundCopy::Missing, FoundCopy::Missing) => Judged::Absent,
            (first, second) => {
                // Without a marker nobody knows whose they are.
                let expected = ExpectedCopy { ids: marker::ids(base)?.ok_or_else(|| no_marker(base))?, past };
                judge(self.understand(first, &expected), self.understand(second, &expected), past)
            }
        };
        Ok(Some((own, judged)))
    }

    fn look(&self, own: &Dir, name: &OsStr) -> Result<FoundCopy> {
        match own.read_small(name, self.most + HEAD_BYTES) {
            Ok(SmallFile::Absent) => Ok(FoundCopy::Missing),
            Ok(SmallFile::Larger) => {
                Ok(FoundCopy::Damaged(format!("it is larger than {} bytes", self.most + HEAD_BYTES)))
            }
            Ok(SmallFile::Content(bytes)) => Ok(FoundCopy::Bytes(bytes)),
            // A bad sector is damage like any other; everything else says nothing about the record.
            Err(error) if error.is_unreadable() => Ok(FoundCopy::Damaged(error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn understand(&self, found: FoundCopy, expected: &ExpectedCopy<'_>) -> ReadCopy {
        match found {
            FoundCopy::Missing => ReadCopy::Missing,
            FoundCopy::Damaged(why) => ReadCopy::Damaged(why),
            FoundCopy::Bytes(bytes) => {
                self.parse(&bytes, expected).unwrap_or_else(|why| ReadCopy::Damaged(why.into_owned()))
            }
        }
    }

    fn parse(&self, bytes: &[u8], expected: &ExpectedCopy<'_>) -> Result<ReadCopy, Cow<'static, str>> {
        const NO_HEAD: &str = "its first line is not that of a record";
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
        let (head, content) = bytes.split_at(end);
        let content = content.get(1..).unwrap_or_default();
        let (front, sum) = std::str::from_utf8(head).ok().and_then(|head| head.rsplit_once(' ')).ok_or(NO_HEAD)?;
        if sum != sum_of(front, content) {
            return Err("its checksum does not match".into());
        }
        let mut words = front.split(' ');
        let name = words.next().and_then(|word| word.strip_prefix("gapless-"));
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or(NO_HEAD);
        let (version, generation, length) = (number()?, number()?, number()?);
        if name != Some(self.name) {
            return Err("it is another record".into());
        }
        if length != content.len() as u64 {
            return Err("it has another length than its first line says".into());
        }
        let version = match u32::try_from(version) {
            Ok(version) if version <= self.version => version,
            later => return Ok(ReadCopy::Later(later.unwrap_or(u32::MAX))),
        };
        let id = words.next().map(|word| word.parse::<ArchiveId>().map_err(|_| NO_HEAD)).transpose()?;
        let is_bound = expected.is_bound(id)?;
        Ok(ReadCopy::Whole(Content {
            version,
            generation,
            head: format!("{front} {sum}"),
            is_bound,
            bytes: content.to_vec(),
        }))
    }

    fn content(&self, generation: u64, id: ArchiveId, bytes: &[u8]) -> Content {
        let front = format!("gapless-{} {} {generation} {} {id}", self.name, self.version, bytes.len());
        let head = format!("{front} {}", sum_of(&front, bytes));
        Content { version: self.version, generation, head, is_bound: true, bytes: bytes.to_vec() }
    }

    /// Makes a copy anew, as the other one is, and says whether that worked. The other one counts whether or not it did.
    fn mend(&self, own: &Dir, content: &Content, bad: usize, why: Option<&str>) -> bool {
        let [first, second] = self.copies();
        let name = if bad == 0 { first } else { second };
        let aside = why.map_or(Ok(None), |_| set_aside(own, self.name, &name));
        let mended = aside.and_then(|aside| replace(own, &name, &text(content)).map(|()| aside));
        let is_mended = mended.is_ok();
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
        is_mended
    }
}

impl ExpectedCopy<'_> {
    /// Whether a copy with this id is bound to the archive as it is now; an error if it is not a copy of ours at all.
    fn is_bound(&self, id: Option<ArchiveId>) -> Result<bool, Cow<'static, str>> {
        match id {
            Some(id) if id == self.ids.id => Ok(true),
            Some(id) if Some(id) == self.ids.former => Ok(false),
            Some(other) => Err(format!("it is of another archive, {other}").into()),
            None if self.past.is_marked => {
                Err("an earlier gapless has written it, or it was put back from then".into())
            }
            None => Ok(false),
        }
    }
}

/// Moves both copies of a record aside, so that there is none any more: a person has decided. Says where they are.
pub(super) fn set_copies_aside(base: &Base, record: &str) -> Result<Vec<PathBuf>> {
    let Some(own) = base.dir(Path::new(OWN_DIR))? else { return Ok(Vec::new()) };
    let mut moved = Vec::new();
    for name in [record.to_owned(), format!("{record}.2")] {
        moved.extend(set_aside(&own, record, OsStr::new(&name))?);
    }
    Ok(moved)
}

fn no_marker(base: &Base) -> DiskError {
    DiskError::io("read the marker", &marker::path(base), Errno::NOENT)
}

fn missing() -> String {
    "there was one, and it is gone".to_owned()
}

/// What two copies are worth, if what they say is not less than what is remembered.
fn judge(first: ReadCopy, second: ReadCopy, past: &RecordHistory) -> Judged {
    let judged = weigh(first, second);
    let (Judged::Equal(content) | Judged::Use(content, ..)) = &judged else { return judged };
    let check_at = |count| (count == content.generation).then(|| content.mark().check);
    past.contradicts(content.generation, check_at).map_or(judged, Judged::Unusable)
}

fn weigh(first: ReadCopy, second: ReadCopy) -> Judged {
    let gone = || "it was not there".to_owned();
    match (first, second) {
        (ReadCopy::Missing, ReadCopy::Missing) => Judged::Absent,
        (ReadCopy::Later(version), _) | (_, ReadCopy::Later(version)) => {
            Judged::Unusable(format!("it has version {version}, which a later gapless wrote"))
        }
        (ReadCopy::Whole(first), ReadCopy::Whole(second)) if first == second => Judged::Equal(first),
        (ReadCopy::Whole(first), ReadCopy::Whole(second)) if first.generation == second.generation => {
            Judged::Unusable(format!("its two copies have the same number, {}, and differ", first.generation))
        }
        // A crash came between the two writings.
        (ReadCopy::Whole(first), ReadCopy::Whole(second)) if first.generation > second.generation => {
            Judged::Use(first, 1, None)
        }
        (ReadCopy::Whole(_), ReadCopy::Whole(second)) => Judged::Use(second, 0, None),
        (ReadCopy::Whole(content), ReadCopy::Missing) => Judged::Use(content, 1, Some(gone())),
        (ReadCopy::Missing, ReadCopy::Whole(content)) => Judged::Use(content, 0, Some(gone())),
        (ReadCopy::Whole(content), ReadCopy::Damaged(why)) => Judged::Use(content, 1, Some(why)),
        (ReadCopy::Damaged(why), ReadCopy::Whole(content)) => Judged::Use(content, 0, Some(why)),
        (ReadCopy::Damaged(why), ReadCopy::Missing) | (ReadCopy::Missing, ReadCopy::Damaged(why)) => {
            Judged::Unusable(format!("{why}, and the other copy is not there"))
        }
        (ReadCopy::Damaged(first), ReadCopy::Damaged(second)) => {
            Judged::Unusable(format!("{first}; of the second copy: {second}"))
        }
    }
}

/// A copy as it is written.
fn text(content: &Content) -> Vec<u8> {
    [content.head.as_bytes(), b"\n", &content.bytes].concat()
}

pub(super) fn sum_of(front: &str, content: &[u8]) -> String {
    let sum: [u8; 32] = Sha256::new().chain_update(front).chain_update(b"\n").chain_update(content).finalize().into();
    sum.iter().fold(String::with_capacity(64), |mut text, byte| {
        // A write to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// Moves a file to `NAME.damaged`, or the first of `NAME.damaged.2` and so on that is free. The last of them is written over: what
/// was there first tells most about what went wrong.
fn set_aside(own: &Dir, record: &str, name: &OsStr) -> Result<Option<PathBuf>> {
    aside(own, record, name, |to| move_new((own, name), (own, to)))
}

/// The same, and leaves the file where it is, too.
pub fn keep_aside(own: &Dir, record: &str, name: &OsStr) -> Result<Option<PathBuf>> {
    aside(own, record, name, |to| match linkat(own, name, own, to, AtFlags::empty()) {
        // A file system without links.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => move_new((own, name), (own, to)),
        done => done,
    })
}

fn aside(
    own: &Dir,
    record: &str,
    name: &OsStr,
    put: impl Fn(&OsStr) -> std::result::Result<(), Errno>,
) -> Result<Option<PathBuf>> {
    let failed = |errno| DiskError::io("move aside", &own.path().join(name), errno);
    for number in 1..=MOST_ASIDE {
        let aside = if number == 1 { format!("{record}.damaged") } else { format!("{record}.damaged.{number}") };
        match put(OsStr::new(&aside)) {
            Ok(()) => {
                sync_dir(own)?;
                return Ok(Some(own.path().join(aside)));
            }
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::EXIST) if number == MOST_ASIDE => {
                unlinkat(own, aside.as_str(), AtFlags::empty())
                    .and_then(|()| put(OsStr::new(&aside)))
                    .map_err(failed)?;
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
mod tests;
