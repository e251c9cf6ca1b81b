//! Records that vanish, are put back from elsewhere, or are caught half-written by a crash.

use std::fs;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::archive_id::{ArchiveId, OWN_DIR};
use super::*;

const LEVELS: Record = Record { name: "levels", version: 1, most: 1_000, is_frequent: false };
const BURSTS: Record = Record { name: "bursts", version: 1, most: 1_000, is_frequent: false };

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<RecordMarks>>);

impl RecordPositions for Memory {
    fn marks(&self) -> RecordMarks {
        self.0.lock().clone()
    }

    fn remember(&self, marks: &RecordMarks) {
        self.0.lock().clone_from(marks);
    }
}

fn archive() -> (tempfile::TempDir, Base) {
    let tree = tempfile::tempdir().unwrap();
    let base = Base::open(tree.path()).unwrap();
    marker::create(&base, ArchiveId::random()).unwrap();
    (tree, base)
}

fn file(base: &Base, name: &str) -> PathBuf {
    base.path().join(OWN_DIR).join(name)
}

/// All files beside the marker, by name.
type Files = BTreeMap<String, Vec<u8>>;

fn files(base: &Base) -> Files {
    let entries = fs::read_dir(base.path().join(OWN_DIR)).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn put_back(base: &Base, files: &Files, which: impl Fn(&str) -> bool) {
    for (name, bytes) in files.iter().filter(|(name, _)| which(name)) {
        fs::write(file(base, name), bytes).unwrap();
    }
}

fn text_of(reading: RecordReading) -> Option<String> {
    reading.content().map(|content| String::from_utf8(content.bytes).unwrap())
}

fn remove(base: &Base, name: &str) {
    for copy in [name.to_owned(), format!("{name}.2")] {
        fs::remove_file(base.path().join(OWN_DIR).join(copy)).unwrap();
    }
}

fn names(records: &Records) -> Vec<String> {
    records.unusable().into_iter().map(|record| record.name).collect()
}

#[test]
fn a_new_archive_has_no_record_and_one_that_vanished_is_unusable_after_a_restart() {
    let (_tree, base) = archive();
    let records = Records::default();
    assert_eq!(records.read(&base, &LEVELS).unwrap(), RecordReading::Absent);
    records.write(&base, &LEVELS, b"12").unwrap();
    remove(&base, "levels");
    let again = Records::default();
    assert!(matches!(again.read(&base, &LEVELS).unwrap(), RecordReading::Unusable(_)));
    assert_eq!(again.read(&base, &BURSTS).unwrap(), RecordReading::Absent);
    assert_eq!(names(&again), ["levels"]);
    assert!(again.write(&base, &LEVELS, b"1").is_err(), "it is not begun anew unasked");
    assert_eq!(again.accept(&base, &[]).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(again.read(&base, &LEVELS).unwrap(), RecordReading::Absent);
    again.write(&base, &LEVELS, b"1").unwrap();
    assert!(again.unusable().is_empty());
}

#[test]
fn records_that_vanish_together_with_the_roster_are_remembered() {
    let (_tree, base) = archive();
    let memory = Memory::default();
    Records::new(Box::new(memory.clone())).write(&base, &LEVELS, b"12").unwrap();
    assert_eq!(memory.marks().into_keys().collect::<Vec<_>>(), ["levels"]);
    remove(&base, "levels");
    remove(&base, "records");
    let records = Records::new(Box::new(memory.clone()));
    assert!(matches!(records.read(&base, &LEVELS).unwrap(), RecordReading::Unusable(_)));
    assert_eq!(names(&records), ["levels", "records"]);
    records.accept(&base, &[]).unwrap();
    assert!(!RecordHistory::of("levels", &[&memory.marks()]).was_there);
    assert_eq!(records.read(&base, &LEVELS).unwrap(), RecordReading::Absent);
    records.write(&base, &LEVELS, b"1").unwrap();
    assert_eq!(names(&records), Vec::<String>::new());
}

#[test]
fn what_was_accepted_lies_aside_and_the_others_stay() {
    let (_tree, base) = archive();
    let records = Records::default();
    for record in [&LEVELS, &BURSTS] {
        records.write(&base, record, b"12").unwrap();
    }
    for name in ["levels", "levels.2"] {
        fs::write(base.path().join(OWN_DIR).join(name), "?").unwrap();
    }
    assert!(matches!(records.read(&base, &LEVELS).unwrap(), RecordReading::Unusable(_)));
    assert_eq!(records.accept(&base, &[]).unwrap().len(), 2);
    assert!(matches!(records.read(&base, &BURSTS).unwrap(), RecordReading::Intact(_)));
    assert_eq!(fs::read(base.path().join(OWN_DIR).join("levels.damaged")).unwrap(), b"?");
}

#[test]
fn a_record_in_another_form_is_on_the_roster_too() {
    let (_tree, base) = archive();
    let records = Records::default();
    assert!(!records.was_there(&base, "retired").unwrap());
    records.is_there(&base, "retired");
    assert!(Records::default().was_there(&base, "retired").unwrap());
    records.mark(&base, "retired", RecordMark { count: 7, check: "x".to_owned() });
    assert_eq!(Records::default().past(&base, "retired").unwrap().newest, 7);
}

#[test]
fn an_older_backup_of_both_copies_is_seen_by_the_roster_or_by_who_remembers() {
    for with_roster in [false, true] {
        let (_tree, base) = archive();
        let memory = Memory::default();
        let records = || Records::new(Box::new(memory.clone()));
        records().write(&base, &LEVELS, b"old").unwrap();
        let backup = files(&base);
        records().write(&base, &LEVELS, b"new").unwrap();
        put_back(&base, &backup, |name| name.starts_with("levels") || with_roster && name.starts_with("records"));
        let again = records();
        let RecordReading::Unusable(why) = again.read(&base, &LEVELS).unwrap() else { panic!("{with_roster}") };
        assert!(why.contains("older"), "{why}");
        assert!(again.write(&base, &LEVELS, b"x").is_err());
        again.accept(&base, &[]).unwrap();
        again.write(&base, &LEVELS, b"anew").unwrap();
        assert_eq!(text_of(records().read(&base, &LEVELS).unwrap()), Some("anew".to_owned()));
    }
}

#[test]
fn what_is_written_often_is_told_elsewhere_at_first_and_with_the_others() {
    let time = Record { name: "time", is_frequent: true, ..LEVELS };
    let (_tree, base) = archive();
    let memory = Memory::default();
    let records = Records::new(Box::new(memory.clone()));
    let count = || memory.marks()["time"].as_ref().unwrap().count;
    for _ in 0..3 {
        records.write(&base, &time, b"x").unwrap();
    }
    assert_eq!(count(), 1);
    records.write(&base, &LEVELS, b"x").unwrap();
    assert_eq!(count(), 3);
    records.write(&base, &time, b"x").unwrap();
    Records::new(Box::new(memory.clone())).read(&base, &time).unwrap();
    assert_eq!(count(), 4, "after a restart");
}

#[test]
fn a_record_that_is_put_back_while_the_process_runs_is_not_written_over() {
    let (_tree, base) = archive();
    let records = Records::default();
    records.write(&base, &LEVELS, b"old").unwrap();
    let backup = files(&base);
    records.write(&base, &LEVELS, b"new").unwrap();
    put_back(&base, &backup, |name| name != "marker");
    assert!(records.write(&base, &LEVELS, b"x").is_err());
    assert_eq!(names(&records), ["levels"]);
}

#[test]
fn all_records_lost_but_the_marker_are_no_new_archive() {
    let (_tree, base) = archive();
    assert_eq!(Records::default().read(&base, &LEVELS).unwrap(), RecordReading::Absent, "a new archive");
    Records::default().write(&base, &LEVELS, b"x").unwrap();
    remove(&base, "levels");
    remove(&base, "records");
    let records = Records::default();
    records.read(&base, &LEVELS).unwrap();
    assert_eq!(names(&records), ["records"]);
    let (unusable, _) = Records::examine(&base, &[LEVELS]).unwrap();
    assert_eq!(unusable.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["records"]);
    records.accept(&base, &[]).unwrap();
    records.write(&base, &LEVELS, b"x").unwrap();
    let again = Records::default();
    assert!(matches!(again.read(&base, &LEVELS).unwrap(), RecordReading::Intact(_)) && names(&again).is_empty());
}

#[test]
fn what_earlier_versions_wrote_is_bound_without_stopping_and_not_believed_afterwards() {
    let (_tree, base) = archive();
    // As the version before wrote both: without an id, and names alone.
    let unbound = |name: &str, content: &str| {
        let front = format!("gapless-{name} 1 4 {}", content.len());
        let sum = super::super::record::sum_of(&front, content.as_bytes());
        format!("{front} {sum}\n{content}").into_bytes()
    };
    let before: Files = [("levels", "l"), ("records", "levels\n")]
        .into_iter()
        .flat_map(|(name, content)| {
            [(name.to_owned(), unbound(name, content)), (format!("{name}.2"), unbound(name, content))]
        })
        .collect();
    put_back(&base, &before, |_| true);
    let memory = Memory::default();
    memory.remember(&record_progress::parse("levels\n"));
    let records = Records::new(Box::new(memory.clone()));
    assert_eq!(text_of(records.read(&base, &LEVELS).unwrap()), Some("l".to_owned()));
    assert!(names(&records).is_empty());
    let RecordReading::Intact(content) = Records::default().read(&base, &LEVELS).unwrap() else { panic!() };
    assert!(content.is_bound && content.generation == 5 && memory.marks()["levels"] == Some(content.mark()));
    put_back(&base, &before, |name| name.starts_with("levels"));
    assert!(matches!(Records::default().read(&base, &LEVELS).unwrap(), RecordReading::Unusable(_)));
    put_back(&base, &before, |name| name.starts_with("records"));
    let again = Records::default();
    again.read(&base, &LEVELS).unwrap();
    assert_eq!(names(&again), ["records"]);
}

/// What one writing changes, in its order; a crash comes after any of them.
const ORDER: [&str; 5] = ["levels", "levels.2", "records", "records.2", "marker"];

proptest! {
    #[test]
    fn no_crash_makes_a_good_record_unusable(crashes in prop::collection::vec((0..=6_usize, any::<bool>()), 1..6)) {
        let (_tree, base) = archive();
        let memory = Memory::default();
        let mut last = None;
        for (number, (done, is_read_between)) in crashes.into_iter().enumerate() {
            let records = Records::new(Box::new(memory.clone()));
            if is_read_between {
                records.read(&base, &LEVELS).unwrap();
            }
            let (before, remembered) = (files(&base), memory.marks());
            let next = number.to_string();
            records.write(&base, &LEVELS, next.as_bytes()).unwrap();
            for name in ORDER.iter().skip(done) {
                match before.get(*name) {
                    Some(bytes) => fs::write(file(&base, name), bytes).unwrap(),
                    None => fs::remove_file(file(&base, name)).unwrap(),
                }
            }
            if done < 6 {
                memory.remember(&remembered);
            }
            let again = Records::new(Box::new(memory.clone()));
            let read = text_of(again.read(&base, &LEVELS).unwrap());
            prop_assert_eq!(names(&again), Vec::<String>::new());
            let expected = if done == 0 { last } else { Some(next) };
            prop_assert_eq!(&read, &expected);
            last = expected;
        }
    }
}
