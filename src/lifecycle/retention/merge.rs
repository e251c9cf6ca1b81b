//! What two copies of the journal say together, and whether that is all that there has been. Pure; reads and writes no file.
//!
//! A line that does not add up is never left out: it may be the one that says that an hour is kept. It is taken from the other copy,
//! or else the journal cannot be relied on. The one line that may go is a last one without an end, which the other copy has not got:
//! a crash came while it was written, before anything relied on it. A copy of another archive does not count. What two whole copies say must
//! not be less than is remembered of them elsewhere: both may have been cut at the end of a line, or put back from a backup.

use super::journal::{FirstLine, Journal, JournalHead, JournalLine, read, read_head};
use crate::disk::{ArchiveId, Ids, RecordHistory};

#[derive(Debug, Clone, Copy)]
pub struct Expected<'p> {
    pub ids: Ids,
    pub past: &'p RecordHistory,
}

impl Expected<'_> {
    fn is_ours(&self, id: ArchiveId) -> bool {
        id == self.ids.id || Some(id) == self.ids.former
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum MergeResult {
    Absent,
    /// This; and why both are to be written anew, if they are.
    Journal(Journal, Option<RewriteReason>),
    /// It cannot be relied on, for this reason. What can be read nevertheless is for a person who says that it will do.
    Unusable(String, Journal),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteReason {
    pub why: String,
    /// Whether it is damage, and nothing that a crash or an earlier version leaves.
    pub is_damage: bool,
}

impl RewriteReason {
    fn damage(why: &str) -> Self {
        Self { why: why.to_owned(), is_damage: true }
    }

    fn other(why: &str) -> Self {
        Self { why: why.to_owned(), is_damage: false }
    }
}

#[derive(Debug)]
pub enum CopyBytes {
    Missing,
    Unreadable(String),
    Content(Vec<u8>),
}

#[derive(Debug, Default)]
struct JournalCopy {
    head: Option<JournalHead>,
    lines: Vec<Option<JournalLine>>,
    is_torn: bool,
    /// Whether it was put there from elsewhere: from another archive, or from before this version.
    is_foreign: bool,
    wrong: Option<String>,
}

impl JournalCopy {
    fn is_whole(&self) -> bool {
        self.wrong.is_none()
    }

    fn good(&self) -> impl Iterator<Item = &JournalLine> {
        self.lines.iter().flatten()
    }

    fn wrong(why: String) -> Self {
        Self { wrong: Some(why), ..Self::default() }
    }

    fn parse(bytes: &[u8], expected: &Expected<'_>) -> Result<Self, u32> {
        let mut lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let mut copy = Self { is_torn: !bytes.ends_with(b"\n"), ..Self::default() };
        match std::str::from_utf8(first).map_or(FirstLine::Damaged, read_head) {
            FirstLine::Known(JournalHead { id: Some(id), .. }) if !expected.is_ours(id) => {
                return Ok(Self { is_foreign: true, ..Self::wrong(format!("it is of another archive, {id}")) });
            }
            FirstLine::Known(JournalHead { id: None, .. }) if expected.past.is_marked => {
                let why = "an earlier gapless has written it, or it was put back from then";
                (copy.is_foreign, copy.wrong) = (true, Some(why.to_owned()));
            }
            FirstLine::Known(head) => copy.head = Some(head),
            FirstLine::Later(version) => return Err(version),
            FirstLine::Damaged => copy.wrong = Some(does_not_add_up(1, first)),
        }
        for (number, line) in lines.enumerate() {
            let good = std::str::from_utf8(line).ok().and_then(read);
            if good.is_none() {
                copy.wrong.get_or_insert_with(|| does_not_add_up(number + 2, line));
            }
            copy.lines.push(good);
        }
        if let Some(head) = copy.head.filter(|head| copy.lines.len() < head.entries) {
            copy.wrong.get_or_insert(format!("it ends after {} of {} lines", copy.lines.len(), head.entries));
        }
        Ok(copy)
    }
}

fn does_not_add_up(number: usize, line: &[u8]) -> String {
    let begins = String::from_utf8_lossy(line.get(..line.len().min(80)).unwrap_or_default()).into_owned();
    format!("line {number} does not add up: {begins:?}")
}

pub fn merge(first: CopyBytes, second: CopyBytes, expected: &Expected<'_>) -> MergeResult {
    let (first, second) = match (understand(first, expected), understand(second, expected)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(later), _) | (_, Err(later)) => {
            let why = format!("it has version {later}, which a later gapless wrote");
            return MergeResult::Unusable(why, Journal::default());
        }
    };
    let merged = match (first, second) {
        (None, None) if expected.past.was_there => {
            MergeResult::Unusable("there was one, and it is gone".to_owned(), Journal::default())
        }
        (None, None) => MergeResult::Absent,
        (Some(only), None) | (None, Some(only)) => alone(only, expected.past.was_there),
        (Some(first), Some(second)) => both(&first, &second),
    };
    let MergeResult::Journal(journal, mended) = merged else { return merged };
    if let Some(why) = expected.past.contradicts(journal.count(), |count| journal.check_at(count)) {
        return MergeResult::Unusable(why, journal);
    }
    let is_bound = journal.head.id == Some(expected.ids.id);
    let bound = || (!is_bound).then(|| RewriteReason::other("it did not carry the archive's id of now"));
    MergeResult::Journal(journal, mended.or_else(bound))
}

fn understand(bytes: CopyBytes, expected: &Expected<'_>) -> Result<Option<JournalCopy>, u32> {
    match bytes {
        CopyBytes::Missing => Ok(None),
        CopyBytes::Unreadable(why) => Ok(Some(JournalCopy::wrong(why))),
        CopyBytes::Content(bytes) if bytes.is_empty() => Ok(None),
        CopyBytes::Content(bytes) => JournalCopy::parse(&bytes, expected).map(Some),
    }
}

/// The content of the other copy is unknown, even whether the unfinished line was written there.
fn alone(only: JournalCopy, was_there: bool) -> MergeResult {
    let journal = Journal::of(only.head.unwrap_or_default(), only.good().cloned());
    match only.wrong {
        Some(why) => MergeResult::Unusable(format!("{why}, and there is no other copy"), journal),
        None if !was_there => MergeResult::Journal(journal, Some(RewriteReason::other("there was no second copy yet"))),
        None => MergeResult::Journal(journal, Some(RewriteReason::damage("one copy was not there"))),
    }
}

fn both(first: &JournalCopy, second: &JournalCopy) -> MergeResult {
    let unusable = |why: String| {
        let head = [first, second].into_iter().filter_map(|copy| copy.head).max_by_key(|head| head.generation);
        let head = JournalHead { entries: 0, ..head.unwrap_or_default() };
        MergeResult::Unusable(why, Journal::of(head, second.good().chain(first.good()).cloned()))
    };
    let whole_one = || whole_one(first, second).unwrap_or_else(|| unusable(both_wrong(first, second)));
    let (Some(one), Some(other)) = (first.head, second.head) else { return whole_one() };
    if one.generation != other.generation && one.generation.min(other.generation) == 0 {
        return unusable(
            "one of its copies is of version 1: an earlier gapless has written it, or it was restored".to_owned(),
        );
    }
    // A crash came between the two writes. Both say the same, in another form.
    if one.generation != other.generation {
        let order = if one.generation > other.generation { [first, second] } else { [second, first] };
        let whole = order.into_iter().find(|copy| copy.is_whole()).and_then(|copy| Some((copy.head?, copy)));
        let Some((head, whole)) = whole else { return unusable(both_wrong(first, second)) };
        let head = JournalHead { generation: one.generation.max(other.generation), ..head };
        return MergeResult::Journal(
            Journal::of(head, whole.good().cloned()),
            Some(RewriteReason::other("one copy was older")),
        );
    }
    let lines = by_lines(first, second).filter(|lines| one == other && lines.len() >= one.entries);
    let Some(lines) = lines else { return whole_one() };
    let wrong = first.wrong.as_ref().or(second.wrong.as_ref()).map(|why| RewriteReason::damage(why));
    let is_uneven = first.lines.len() != second.lines.len() || first.is_torn || second.is_torn;
    let mended = wrong.or_else(|| is_uneven.then(|| RewriteReason::other("one copy was shorter")));
    MergeResult::Journal(Journal::of(one, lines), mended)
}

/// Line by line, each from the copy in which it adds up; nothing if it does in neither, or if they differ.
fn by_lines(first: &JournalCopy, second: &JournalCopy) -> Option<Vec<JournalLine>> {
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

/// The one copy that adds up, if all that can be read of the other stands in it, too; unless that is none of ours.
fn whole_one(first: &JournalCopy, second: &JournalCopy) -> Option<MergeResult> {
    let (whole, other) = match (first.is_whole(), second.is_whole()) {
        (true, false) => (first, second),
        (false, true) => (second, first),
        _ => return None,
    };
    let known: std::collections::HashSet<String> = whole.good().map(|line| format!("{line:?}")).collect();
    let mut good = other.good();
    (other.is_foreign || good.all(|line| known.contains(&format!("{line:?}")))).then(|| {
        let journal = Journal::of(whole.head.unwrap_or_default(), whole.good().cloned());
        MergeResult::Journal(journal, other.wrong.as_deref().map(RewriteReason::damage))
    })
}

fn both_wrong(first: &JournalCopy, second: &JournalCopy) -> String {
    match (&first.wrong, &second.wrong) {
        (Some(one), Some(other)) => format!("{one}; in the second copy: {other}"),
        (Some(why), None) | (None, Some(why)) => format!("its copies differ, and {why}"),
        (None, None) => "its copies differ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::journal::{JournalEntry, JournalStep, line};
    use super::*;
    use crate::archive::{HourPlace, Timestamp};
    use crate::disk::{RecordMark, record_progress};

    const OURS: ArchiveId = ArchiveId::from_bytes([7; 16]);
    const OTHERS: ArchiveId = ArchiveId::from_bytes([8; 16]);

    fn kept(hour: u32) -> JournalLine {
        let since = Timestamp::parse("2026-11-20T21:40:00").unwrap();
        let entry = JournalEntry { step: JournalStep::Kept, reason: None, since, lived: None, holders: Arc::new([]) };
        (HourPlace::parse(&format!("a/b/2019-11-13T{hour:02}")).unwrap(), Some(entry))
    }

    /// A journal of an archive with lines for these hours, as it lies on the disk.
    fn of(id: ArchiveId, hours: std::ops::Range<u32>) -> (Journal, Vec<u8>) {
        let mut journal = Journal::default();
        let mut text = journal.rewrite(id, 0);
        for (place, entry) in hours.map(kept) {
            text += &line(&place, entry.as_ref());
            journal.note(place, entry);
        }
        (journal, text.into_bytes())
    }

    fn text(hours: std::ops::Range<u32>) -> Vec<u8> {
        of(OURS, hours).1
    }

    fn bytes(text: &[u8]) -> CopyBytes {
        if text.is_empty() { CopyBytes::Missing } else { CopyBytes::Content(text.to_vec()) }
    }

    fn after(mark: Option<RecordMark>) -> RecordHistory {
        RecordHistory::of("retired", &[&[("retired".to_owned(), mark)].into()])
    }

    /// Where it is remembered that there has been one.
    fn merged(first: &[u8], second: &[u8]) -> MergeResult {
        merged_after(first, second, &after(None))
    }

    fn merged_after(first: &[u8], second: &[u8], past: &RecordHistory) -> MergeResult {
        merge(bytes(first), bytes(second), &Expected { ids: OURS.into(), past })
    }

    fn hours(merged: MergeResult) -> usize {
        match merged {
            MergeResult::Journal(journal, _) => journal.entries().len(),
            other => panic!("{other:?}"),
        }
    }

    fn why(merged: MergeResult) -> String {
        match merged {
            MergeResult::Unusable(why, _) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Without its last lines.
    fn cut(text: &[u8], lines: usize) -> Vec<u8> {
        let all: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        all[..all.len() - lines].concat()
    }

    #[test]
    fn a_bit_flipped_in_one_copy_costs_no_line_wherever_it_is() {
        let (journal, whole) = of(OURS, 0..5);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for (first, second) in [(&flipped, &whole), (&whole, &flipped)] {
                let merged = merged_after(first, second, &after(Some(journal.mark())));
                let MergeResult::Journal(found, mended) = merged else { panic!("bit {bit}: {merged:?}") };
                assert_eq!(found.entries().len(), 5, "bit {bit}");
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
        let MergeResult::Unusable(_, salvaged) = merged(&damaged(1), &damaged(1)) else { panic!() };
        assert_eq!(salvaged.entries().len(), 4);
    }

    #[test]
    fn what_a_crash_leaves_is_no_damage() {
        let ((mut journal, longer), (before, shorter)) = (of(OURS, 0..5), of(OURS, 0..4));
        let past = after(Some(before.mark()));
        for cut in shorter.len()..=longer.len() {
            let found = hours(merged_after(&longer[..cut], &shorter, &past));
            // A line that has its check is whole without its end.
            assert_eq!(found, if cut + 1 < longer.len() { 4 } else { 5 }, "{cut}");
        }
        let now = after(Some(journal.mark()));
        assert_eq!(hours(merged_after(&longer, &[], &now)), 5, "the other copy was lost");
        // While both were written anew, and after that.
        let anew = journal.rewrite(OURS, 0).into_bytes();
        for (first, second) in [(&anew, &longer), (&anew, &anew)] {
            assert_eq!(hours(merged_after(first, second, &now)), 5);
        }
        assert_eq!(hours(merged_after(&anew, &anew, &after(Some(journal.mark())))), 5);
    }

    #[test]
    fn a_journal_cut_at_the_end_of_a_line_or_put_back_is_not_all_that_there_has_been() {
        let (journal, whole) = of(OURS, 0..5);
        let past = after(Some(journal.mark()));
        for lines in 1..=5 {
            let short = cut(&whole, lines);
            assert!(why(merged_after(&short, &short, &past)).contains("older"), "{lines} lines cut off both");
            for (first, second) in [(&short, &Vec::new()), (&Vec::new(), &short)] {
                assert!(why(merged_after(first, second, &past)).contains("older"), "the other deleted or emptied");
            }
            assert_eq!(hours(merged_after(&whole, &short, &past)), 5, "the other is whole");
        }
        let (other, same_length) = of(OURS, 1..6);
        assert_eq!(other.count(), journal.count());
        assert!(why(merged_after(&same_length, &same_length, &past)).contains("another one"));
        // What was written at once cannot have been cut by a crash.
        let mut shorter = journal;
        let anew = cut(shorter.rewrite(OURS, 0).as_bytes(), 1);
        assert!(why(merged(&anew, &anew)).contains("ends after 4 of 5 lines"));
    }

    #[test]
    fn a_lone_copy_that_is_torn_is_unusable_of_either_version() {
        let whole = text(0..3);
        for cut in 2..60 {
            why(merged(&whole[..whole.len() - cut], &[]));
            why(merged(&[], &whole[..whole.len() - cut]));
        }
        let mut one = b"gapless-retired 1\nkept - x a/b/2019-11-13T02 00000000\n".to_vec();
        why(merged_after(&one, &[], &RecordHistory::default()));
        one.pop();
        why(merged_after(&one, &[], &RecordHistory::default()));
    }

    #[test]
    fn copies_of_another_archive_are_none() {
        let ((journal, ours), (_, theirs)) = (of(OURS, 0..3), of(OTHERS, 3..9));
        let past = after(Some(journal.mark()));
        assert_eq!(hours(merged_after(&ours, &theirs, &past)), 3);
        assert_eq!(hours(merged_after(&theirs, &ours, &past)), 3);
        let MergeResult::Unusable(why, salvaged) = merged_after(&theirs, &theirs, &past) else { panic!() };
        assert!(why.contains("another archive") && salvaged.entries().is_empty(), "{why}");
        // Unless the archive had that id before, and its records are being carried over.
        let ids = Ids { former: Some(OTHERS), ..OURS.into() };
        let carried = merge(bytes(&theirs), bytes(&theirs), &Expected { ids, past: &after(None) });
        assert!(matches!(carried, MergeResult::Journal(_, Some(mended)) if !mended.is_damage));
    }

    #[test]
    fn earlier_versions_are_read_until_somebody_knows_how_far_this_one_has_come() {
        let second = |generation: u64| {
            let front = format!("gapless-retired 2 {generation}");
            let check = u32::from_be_bytes(
                *<[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(&front)).first_chunk().unwrap(),
            );
            let (place, entry) = kept(1);
            format!("{front} {check:08x}\n{}", line(&place, entry.as_ref())).into_bytes()
        };
        let one = b"gapless-retired 1\n".to_vec();
        assert!(matches!(merged_after(&one, &[], &RecordHistory::default()), MergeResult::Journal(_, Some(_))));
        let found = merged(&second(4), &second(4));
        let MergeResult::Journal(mut journal, Some(mended)) = found else { panic!("{found:?}") };
        assert!(!mended.is_damage && journal.entries().len() == 1);
        // A crash while it is written anew.
        let anew = journal.rewrite(OURS, 0).into_bytes();
        assert_eq!(hours(merged(&anew, &second(4))), 1);
        let past = after(Some(journal.mark()));
        assert_eq!(hours(merged_after(&anew, &second(4), &past)), 1);
        let MergeResult::Unusable(_, salvaged) = merged_after(&second(4), &second(4), &past) else { panic!() };
        assert_eq!(salvaged.entries().len(), 1);
    }

    #[test]
    fn a_journal_that_is_gone_of_a_later_version_or_of_two_versions_is_unusable() {
        assert_eq!(merged_after(&[], &[], &RecordHistory::default()), MergeResult::Absent);
        why(merged(&[], &[]));
        why(merge(
            CopyBytes::Content(Vec::new()),
            CopyBytes::Missing,
            &Expected { ids: OURS.into(), past: &after(None) },
        ));
        why(merged(b"gapless-retired 1\n", &text(0..2)));
        why(merged_after(b"gapless-retired 7\n", &[], &RecordHistory::default()));
        why(merged(&text(0..2), &text(1..3)));
        assert_eq!(record_progress::parse("retired"), [("retired".to_owned(), None)].into());
    }
}
