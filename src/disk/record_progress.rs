//! How far protective records have come, as it is remembered apart from them: by the roster beside them, by the index, and by the process.
//!
//! A record that was cut short, or of which an older copy was put back, is whole in itself. It is only seen by somebody who knows how
//! often it has been written. What is remembered may lag behind the record, as a crash comes between the two, and never leads. Pure.

use std::collections::BTreeMap;

/// Stands in place of a check where a person has decided that the record begins anew.
const CLEARED: &str = "-";

/// Where a record was when somebody looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMark {
    /// How often it was written, or how many lines it has had.
    pub count: u64,
    /// A check of what it held then.
    pub check: String,
}

impl RecordMark {
    /// All that there was up to here counts no more, on a person's word.
    pub fn cleared(count: u64) -> Self {
        Self { count, check: CLEARED.to_owned() }
    }

    fn is_cleared(&self) -> bool {
        self.check == CLEARED
    }
}

/// The records that there have been, by name; no mark where it is not known how far one has come.
pub type RecordMarks = BTreeMap<String, Option<RecordMark>>;

/// Reads one record a line: its name alone, or name, count and check. The former was all that an earlier version wrote.
pub fn parse(text: &str) -> RecordMarks {
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            [name, count, check] => {
                (name.to_owned(), count.parse().ok().map(|count| RecordMark { count, check: check.to_owned() }))
            }
            _ => (line.to_owned(), None),
        }
    };
    text.lines().map(read).collect()
}

/// The opposite of [`parse`].
pub fn text(marks: &RecordMarks) -> String {
    let line = |(name, mark): (&String, &Option<RecordMark>)| match mark {
        Some(mark) => format!("{name} {} {}\n", mark.count, mark.check),
        None => format!("{name}\n"),
    };
    marks.iter().map(line).collect()
}

/// Takes in what another witness knows, where that is more.
pub fn take_in(marks: &mut RecordMarks, others: &RecordMarks) {
    let count = |mark: &Option<RecordMark>| mark.as_ref().map(|mark| mark.count);
    for (name, other) in others {
        let known = marks.entry(name.clone()).or_insert_with(|| other.clone());
        if count(other) > count(known) {
            known.clone_from(other);
        }
    }
}

/// What all who remember say of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordHistory {
    /// Whether there has been one, and nobody has decided since that it begins anew.
    pub was_there: bool,
    /// Whether anybody knows how far it has come: then it was written by a version that binds records to their archive.
    pub is_marked: bool,
    /// The most that anybody knows of; what is begun anew goes on from here.
    pub newest: u64,
    marks: Vec<RecordMark>,
}

impl RecordHistory {
    /// Of this record, by these witnesses.
    pub fn of(name: &str, witnesses: &[&RecordMarks]) -> Self {
        let known: Vec<&Option<RecordMark>> = witnesses.iter().filter_map(|marks| marks.get(name)).collect();
        let all = || known.iter().filter_map(|mark| mark.as_ref());
        let cleared = all().filter(|mark| mark.is_cleared()).map(|mark| mark.count).max();
        let counts = |mark: &&RecordMark| !mark.is_cleared() && cleared.is_none_or(|cleared| mark.count > cleared);
        let marks: Vec<RecordMark> = all().filter(counts).cloned().collect();
        Self {
            was_there: !marks.is_empty() || !known.is_empty() && cleared.is_none(),
            is_marked: all().next().is_some(),
            newest: all().map(|mark| mark.count).max().unwrap_or_default(),
            marks,
        }
    }

    /// Of the roster itself, which nobody counts.
    pub fn of_roster(was_there: bool, is_marked: bool) -> Self {
        Self { was_there, is_marked, ..Self::default() }
    }

    /// Why a record that has come so far is not the one that is remembered, if so. `check_at` says what its check was at a count;
    /// nothing where it does not reach back so far.
    pub fn contradicts(&self, found: u64, check_at: impl Fn(u64) -> Option<String>) -> Option<String> {
        if let Some(mark) = self.marks.iter().find(|mark| mark.count > found) {
            return Some(format!(
                "it is older than what is remembered of it ({found}, and it had come to {}): it was cut short, or an older one was put back",
                mark.count
            ));
        }
        let differs = |mark: &&RecordMark| check_at(mark.count).is_some_and(|check| check != mark.check);
        let mark = self.marks.iter().find(differs)?;
        Some(format!("it is another one than is remembered: at {} it held something else", mark.count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(count: u64, check: &str) -> RecordMark {
        RecordMark { count, check: check.to_owned() }
    }

    fn marks(all: &[(&str, Option<RecordMark>)]) -> RecordMarks {
        all.iter().map(|(name, mark)| ((*name).to_owned(), mark.clone())).collect()
    }

    #[test]
    fn names_alone_and_marks_are_written_and_read() {
        let all = marks(&[("bursts", Some(mark(7, "ab"))), ("fetched", None), ("time", Some(RecordMark::cleared(3)))]);
        assert_eq!(text(&all), "bursts 7 ab\nfetched\ntime 3 -\n");
        assert_eq!(parse(&text(&all)), all);
        assert_eq!(parse("levels\ntime\n"), marks(&[("levels", None), ("time", None)]));
    }

    #[test]
    fn what_a_person_has_cleared_was_not_there_and_what_came_after_was() {
        let cleared = marks(&[("time", Some(RecordMark::cleared(4)))]);
        for late in [None, Some(mark(4, "x"))] {
            let past = RecordHistory::of("time", &[&cleared, &marks(&[("time", late)])]);
            assert!(!past.was_there && past.is_marked && past.newest == 4, "an index that has not heard of it yet");
            assert_eq!(past.contradicts(0, |_| None), None);
        }
        let again = marks(&[("time", Some(mark(5, "x")))]);
        assert!(RecordHistory::of("time", &[&cleared, &again]).was_there);
        let name_alone = RecordHistory::of("time", &[&marks(&[("time", None)])]);
        assert!(name_alone.was_there && !name_alone.is_marked);
        assert_eq!(RecordHistory::of("time", &[&RecordMarks::new()]), RecordHistory::default());
    }

    #[test]
    fn one_witness_is_enough_and_a_record_may_be_ahead_of_all() {
        let (roster, index) = (marks(&[("time", Some(mark(4, "d")))]), marks(&[("time", Some(mark(6, "f")))]));
        let past = RecordHistory::of("time", &[&roster, &index]);
        let letters = |count: u64| Some(char::from(b'`' + u8::try_from(count).unwrap()).to_string());
        assert!(past.contradicts(5, letters).is_some_and(|why| why.contains("older")));
        assert_eq!(past.contradicts(6, letters), None);
        assert_eq!(past.contradicts(9, |count| letters(count).filter(|_| count == 9)), None);
        assert!(past.contradicts(9, |_| Some("x".to_owned())).is_some_and(|why| why.contains("another")));
    }

    #[test]
    fn the_greater_mark_is_taken_in() {
        let mut known = marks(&[("a", Some(mark(3, "x"))), ("b", None), ("c", Some(mark(9, "y")))]);
        take_in(&mut known, &marks(&[("a", Some(mark(2, "z"))), ("b", Some(mark(0, "-"))), ("d", None), ("c", None)]));
        assert_eq!(
            known,
            marks(&[("a", Some(mark(3, "x"))), ("b", Some(mark(0, "-"))), ("c", Some(mark(9, "y"))), ("d", None)])
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(line in ".{0,60}") {
            parse(&line);
        }
    }
}
