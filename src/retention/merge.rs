//! What two copies of the journal say together. Pure; reads and writes no file.
//!
//! A line that does not add up is never left out: it may be the one that says that an hour is kept. It is taken from the other copy,
//! or else the journal cannot be relied on. The one line that may go is a last one without an end, which the other copy has not got:
//! a crash came while it was written, before anybody relied on it.

use super::journal::{Head, Journal, Line, read, read_head};

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Merged {
    /// There is none.
    Absent,
    /// This; and why both are to be written anew, if they are.
    Journal(Journal, Option<Mended>),
    /// It cannot be relied on, for this reason. What can be read nevertheless is for a person who says that it will do.
    Unusable(String, Journal),
}

/// Why copies are written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// In words.
    pub why: String,
    /// Whether it is damage, and nothing that a crash or an earlier version leaves.
    pub is_damage: bool,
}

impl Mended {
    fn damage(why: &str) -> Self {
        Self { why: why.to_owned(), is_damage: true }
    }

    fn other(why: &str) -> Self {
        Self { why: why.to_owned(), is_damage: false }
    }
}

/// One copy as it lies there.
#[derive(Debug)]
pub enum Bytes {
    /// It is not there, or empty.
    Missing,
    /// It cannot be read.
    Unreadable(String),
    /// Its content.
    Content(Vec<u8>),
}

/// One copy as far as it can be understood.
#[derive(Debug, Default)]
struct Copy {
    head: Option<u64>,
    lines: Vec<Option<Line>>,
    /// Whether the last line has no end.
    is_torn: bool,
    /// The first thing that is wrong with it.
    wrong: Option<String>,
}

impl Copy {
    fn is_whole(&self) -> bool {
        self.wrong.is_none()
    }

    fn good(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().flatten()
    }

    fn parse(bytes: &[u8]) -> Result<Self, u32> {
        let mut copy = Self { is_torn: !bytes.ends_with(b"\n"), ..Self::default() };
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let text = std::str::from_utf8(line).ok();
            let is_good = if number == 0 {
                copy.head = match text.map_or(Head::Damaged, read_head) {
                    Head::Known(generation) => Some(generation),
                    Head::Later(version) => return Err(version),
                    Head::Damaged => None,
                };
                copy.head.is_some()
            } else {
                copy.lines.push(text.and_then(read));
                matches!(copy.lines.last(), Some(Some(_)))
            };
            if !is_good && copy.wrong.is_none() {
                let begins = String::from_utf8_lossy(line.get(..line.len().min(80)).unwrap_or_default()).into_owned();
                copy.wrong = Some(format!("line {} does not add up: {begins:?}", number + 1));
            }
        }
        Ok(copy)
    }

    /// Without a last line that a crash has cut short.
    fn without_torn(mut self) -> Self {
        if self.is_torn && matches!(self.lines.last(), Some(None)) {
            let others_are_good = self.head.is_some() && self.lines.iter().rev().skip(1).all(Option::is_some);
            self.lines.pop();
            self.wrong = self.wrong.filter(|_| !others_are_good);
        }
        self
    }
}

/// What two copies say. `was_there` is whether there has been a journal.
pub fn merge(first: Bytes, second: Bytes, was_there: bool) -> Merged {
    let (first, second) = match (understand(first), understand(second)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(later), _) | (_, Err(later)) => {
            let why = format!("it has version {later}, which a later gapless wrote");
            return Merged::Unusable(why, Journal::default());
        }
    };
    match (first, second) {
        (None, None) if was_there => Merged::Unusable("there was one, and it is gone".to_owned(), Journal::default()),
        (None, None) => Merged::Absent,
        (Some(only), None) | (None, Some(only)) => alone(only, was_there),
        (Some(first), Some(second)) => both(&first, &second),
    }
}

fn understand(bytes: Bytes) -> Result<Option<Copy>, u32> {
    match bytes {
        Bytes::Missing => Ok(None),
        Bytes::Unreadable(why) => Ok(Some(Copy { wrong: Some(why), ..Copy::default() })),
        Bytes::Content(bytes) if bytes.is_empty() => Ok(None),
        Bytes::Content(bytes) => Copy::parse(&bytes).map(Some),
    }
}

fn alone(only: Copy, was_there: bool) -> Merged {
    // Version 1 had one copy, so that a line that is cut short there is what a crash leaves.
    let only = only.without_torn();
    let generation = only.head.unwrap_or_default();
    let journal = Journal::of(generation, only.good().cloned());
    match only.wrong {
        Some(why) => Merged::Unusable(format!("{why}, and there is no other copy"), journal),
        None if generation == 0 && !was_there => Merged::Journal(journal, Some(Mended::other("it was of version 1"))),
        None => Merged::Journal(journal, Some(Mended::damage("one copy was not there"))),
    }
}

fn both(first: &Copy, second: &Copy) -> Merged {
    let salvaged = || {
        let generation = first.head.max(second.head).unwrap_or_default();
        Journal::of(generation, second.good().chain(first.good()).cloned())
    };
    match (first.head, second.head) {
        (Some(one), Some(other)) if one == other => {}
        (Some(0), Some(_)) | (Some(_), Some(0)) => {
            let why = "one of its copies is of version 1: an earlier gapless has written it, or it was restored";
            return Merged::Unusable(why.to_owned(), salvaged());
        }
        // A crash came between the two when they were written anew. Both say the same, in another form.
        (Some(one), Some(other)) => {
            let (newer, older) = if one > other { (first, second) } else { (second, first) };
            let Some(whole) = [newer, older].into_iter().find(|copy| copy.is_whole()) else {
                return Merged::Unusable(both_wrong(first, second), salvaged());
            };
            let journal = Journal::of(one.max(other), whole.good().cloned());
            return Merged::Journal(journal, Some(Mended::other("one copy was older")));
        }
        _ => {
            return whole_one(first, second).unwrap_or_else(|| Merged::Unusable(both_wrong(first, second), salvaged()));
        }
    }
    match by_lines(first, second) {
        Some(lines) => {
            let wrong = first.wrong.as_ref().or(second.wrong.as_ref()).map(|why| Mended::damage(why));
            let is_uneven = first.lines.len() != second.lines.len() || first.is_torn || second.is_torn;
            let mended = wrong.or_else(|| is_uneven.then(|| Mended::other("one copy was shorter")));
            Merged::Journal(Journal::of(first.head.unwrap_or_default(), lines), mended)
        }
        None => whole_one(first, second).unwrap_or_else(|| Merged::Unusable(both_wrong(first, second), salvaged())),
    }
}

/// Line by line, each from the copy in which it adds up; nothing if it does in neither, or if they differ.
fn by_lines(first: &Copy, second: &Copy) -> Option<Vec<Line>> {
    let most = first.lines.len().max(second.lines.len());
    let mut lines = Vec::with_capacity(most);
    for at in 0..most {
        match (first.lines.get(at), second.lines.get(at)) {
            (Some(Some(one)), Some(Some(other))) if one != other => return None,
            (Some(Some(line)), _) | (_, Some(Some(line))) => lines.push(line.clone()),
            // Cut short by a crash, before the other copy was written.
            (Some(None), None) if first.is_torn && at + 1 == most => {}
            (None, Some(None)) if second.is_torn && at + 1 == most => {}
            _ => return None,
        }
    }
    Some(lines)
}

/// The one copy that adds up, if all that can be read of the other stands in it, too.
fn whole_one(first: &Copy, second: &Copy) -> Option<Merged> {
    let (whole, other) = match (first.is_whole(), second.is_whole()) {
        (true, false) => (first, second),
        (false, true) => (second, first),
        _ => return None,
    };
    let known: std::collections::HashSet<String> = whole.good().map(|line| format!("{line:?}")).collect();
    let mut good = other.good();
    good.all(|line| known.contains(&format!("{line:?}"))).then(|| {
        let journal = Journal::of(whole.head.unwrap_or_default(), whole.good().cloned());
        Merged::Journal(journal, other.wrong.as_deref().map(Mended::damage))
    })
}

fn both_wrong(first: &Copy, second: &Copy) -> String {
    match (&first.wrong, &second.wrong) {
        (Some(one), Some(other)) => format!("{one}; in the second copy: {other}"),
        (Some(why), None) | (None, Some(why)) => format!("its copies differ, and {why}"),
        (None, None) => "its copies differ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::journal::{Entry, Step, line};
    use super::*;
    use crate::domain::{HourPlace, Timestamp};

    fn kept(hour: u32) -> Line {
        let since = Timestamp::parse("2026-11-20T21:40:00").unwrap();
        let entry = Entry { step: Step::Kept, reason: None, since, lived: None, holders: Arc::new([]) };
        (HourPlace::parse(&format!("a/b/2019-11-13T{hour:02}")).unwrap(), Some(entry))
    }

    fn text(hours: std::ops::Range<u32>) -> Vec<u8> {
        let mut text = Journal::default().text();
        for hour in hours {
            let (place, entry) = kept(hour);
            text += &line(&place, entry.as_ref());
        }
        text.into_bytes()
    }

    fn merged(first: &[u8], second: &[u8]) -> Merged {
        merge(Bytes::Content(first.to_vec()), Bytes::Content(second.to_vec()), true)
    }

    fn hours(merged: Merged) -> usize {
        match merged {
            Merged::Journal(journal, _) => journal.entries().len(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bit_flipped_in_one_copy_costs_no_line_wherever_it_is() {
        let whole = text(0..5);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for merged in [merged(&flipped, &whole), merged(&whole, &flipped)] {
                let Merged::Journal(journal, mended) = merged else { panic!("bit {bit}: {merged:?}") };
                assert_eq!(journal.entries().len(), 5, "bit {bit}");
                assert!(mended.is_some(), "bit {bit}");
            }
        }
    }

    #[test]
    fn different_lines_damaged_in_each_copy_are_taken_from_the_other() {
        let whole = text(0..5);
        let damaged = |line: usize| {
            let mut copy = whole.clone();
            let at = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line).unwrap().0;
            copy[at + 3] ^= 1;
            copy
        };
        assert_eq!(hours(merged(&damaged(1), &damaged(3))), 5);
        assert!(matches!(merged(&damaged(1), &damaged(1)), Merged::Unusable(..)));
        let Merged::Unusable(_, salvaged) = merged(&damaged(1), &damaged(1)) else { panic!() };
        assert_eq!(salvaged.entries().len(), 4);
    }

    #[test]
    fn what_a_crash_leaves_is_no_damage() {
        let (longer, shorter) = (text(0..5), text(0..4));
        assert_eq!(hours(merged(&longer, &shorter)), 5);
        for cut in shorter.len()..longer.len() {
            assert!(hours(merged(&longer[..cut], &shorter)) >= 4, "{cut}");
        }
        // While both were written anew.
        let Merged::Journal(journal, _) = merged(&longer, &longer) else { panic!() };
        assert_eq!(hours(merged(journal.text().as_bytes(), &longer)), 5);
        assert_eq!(hours(merge(Bytes::Content(longer), Bytes::Missing, true)), 5);
    }

    #[test]
    fn a_journal_that_is_gone_of_a_later_version_or_of_two_versions_is_unusable() {
        assert_eq!(merge(Bytes::Missing, Bytes::Missing, false), Merged::Absent);
        assert!(matches!(merge(Bytes::Missing, Bytes::Content(Vec::new()), true), Merged::Unusable(..)));
        let one = b"gapless-retired 1\n".to_vec();
        assert!(matches!(merge(Bytes::Content(one.clone()), Bytes::Missing, false), Merged::Journal(_, Some(_))));
        assert!(matches!(merged(&one, &text(0..2)), Merged::Unusable(..)));
        let unknown = b"gapless-retired 7\n".to_vec();
        assert!(matches!(merge(Bytes::Content(unknown), Bytes::Missing, false), Merged::Unusable(..)));
        assert!(matches!(merged(&text(0..2), &text(1..3)), Merged::Unusable(..)));
    }

    #[test]
    fn a_journal_of_version_1_with_a_damaged_line_is_unusable() {
        let mut one = b"gapless-retired 1\nkept - x a/b/2019-11-13T02 00000000\n".to_vec();
        assert!(matches!(merge(Bytes::Content(one.clone()), Bytes::Missing, false), Merged::Unusable(..)));
        one.pop();
        assert!(
            matches!(merge(Bytes::Content(one), Bytes::Missing, false), Merged::Journal(..)),
            "cut short by a crash"
        );
    }
}
