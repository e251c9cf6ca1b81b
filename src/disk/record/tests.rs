//! Copies that are damaged, missing, older, or of somebody else.

use std::fs;

use proptest::prelude::*;

use super::*;

const RECORD: Record = Record { name: "levels", version: 2, most: 1_000, is_frequent: false };

const OURS: ArchiveId = ArchiveId::from_bytes([7; 16]);
const OTHERS: ArchiveId = ArchiveId::from_bytes([8; 16]);

fn archive() -> (tempfile::TempDir, Base) {
    archive_of(OURS)
}

fn archive_of(id: ArchiveId) -> (tempfile::TempDir, Base) {
    let tree = tempfile::tempdir().unwrap();
    let base = Base::open(tree.path()).unwrap();
    marker::create(&base, id).unwrap();
    (tree, base)
}

fn read(base: &Base) -> RecordReading {
    RECORD.read(base, &RecordHistory::default()).unwrap().0
}

fn write(base: &Base, bytes: &[u8]) -> Result<RecordMark> {
    RECORD.write(base, &RecordHistory::default(), bytes)
}

/// What is remembered after it had come to this.
fn after(mark: RecordMark) -> RecordHistory {
    RecordHistory::of("levels", &[&[("levels".to_owned(), Some(mark))].into()])
}

/// A copy as earlier versions wrote it.
fn unbound(generation: u64, bytes: &[u8]) -> Vec<u8> {
    let front = format!("gapless-levels 1 {generation} {}", bytes.len());
    let head = format!("{front} {}", sum_of(&front, bytes));
    text(&Content { version: 1, generation, head, is_bound: false, bytes: bytes.to_vec() })
}

fn parsed(bytes: &[u8]) -> Result<ReadCopy, Cow<'static, str>> {
    RECORD.parse(bytes, &ExpectedCopy { ids: OURS.into(), past: &RecordHistory::default() })
}

fn file(base: &Base, name: &str) -> PathBuf {
    base.path().join(OWN_DIR).join(name)
}

fn bytes(reading: RecordReading) -> Option<Vec<u8>> {
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
    assert_eq!(read(&base), RecordReading::Absent);
    for text in ["one\ntwo", "", "three"] {
        write(&base, text.as_bytes()).unwrap();
        let RecordReading::Intact(content) = read(&base) else { panic!("{text}") };
        assert_eq!((content.version, content.bytes), (2, text.as_bytes().to_vec()));
    }
    assert_eq!(read(&base).content().unwrap().generation, 3);
    assert!(write(&base, &[0; 1_001]).is_err());
    assert_eq!(bytes(read(&base)), Some(b"three".to_vec()));
}

#[test]
fn a_bit_flipped_anywhere_is_damage() {
    let text = text(&RECORD.content(7, OURS, b"kept\n"));
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(parsed(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_bit_flipped_in_one_copy_is_mended_from_the_other() {
    for name in ["levels", "levels.2"] {
        let (_tree, base) = archive();
        write(&base, b"kept\n").unwrap();
        flip(&base, name, 300);
        let peeked = RECORD.peek(&base, &RecordHistory::default()).unwrap();
        assert!(matches!(&peeked, RecordReading::Mended(..)) && !file(&base, "levels.damaged").exists());
        assert_eq!(read(&base), peeked);
        assert_eq!(bytes(peeked), Some(b"kept\n".to_vec()));
        assert!(file(&base, "levels.damaged").exists());
        assert!(matches!(read(&base), RecordReading::Intact(_)), "it is told once");
    }
}

#[test]
fn damage_in_both_copies_is_neither_an_empty_record_nor_written_over() {
    let (_tree, base) = archive();
    write(&base, b"kept\n").unwrap();
    flip(&base, "levels", 700);
    flip(&base, "levels.2", 40);
    assert!(matches!(read(&base), RecordReading::Unusable(_)));
    let error = write(&base, b"new").unwrap_err().to_string();
    assert!(error.contains("gapless retention accept"), "{error}");
    assert!(matches!(read(&base), RecordReading::Unusable(_)));
    assert_eq!(set_copies_aside(&base, "levels").unwrap().len(), 2);
    assert!(file(&base, "levels.damaged").exists() && file(&base, "levels.damaged.2").exists());
    assert_eq!(read(&base), RecordReading::Absent);
    write(&base, b"new").unwrap();
}

#[test]
fn of_two_whole_copies_the_newer_counts_as_after_a_crash_between_the_two_writings() {
    let (_tree, base) = archive();
    write(&base, b"old").unwrap();
    for crashed in ["levels", "levels.2"] {
        let before = fs::read(file(&base, crashed)).unwrap();
        write(&base, crashed.as_bytes()).unwrap();
        fs::write(file(&base, crashed), before).unwrap();
        assert!(matches!(read(&base), RecordReading::Intact(_)));
        assert_eq!(bytes(read(&base)), Some(crashed.as_bytes().to_vec()));
    }
    assert_eq!(fs::read(file(&base, "levels")).unwrap(), fs::read(file(&base, "levels.2")).unwrap());
}

#[test]
fn a_missing_copy_is_made_anew() {
    for gone in ["levels", "levels.2"] {
        let (_tree, base) = archive();
        write(&base, b"x").unwrap();
        fs::remove_file(file(&base, gone)).unwrap();
        assert!(matches!(read(&base), RecordReading::Mended(..)));
        assert!(file(&base, gone).exists());
    }
}

#[test]
fn a_later_version_and_equal_numbers_with_other_content_are_unusable_and_an_earlier_version_is_read() {
    let (_tree, base) = archive();
    let later = Record { version: 3, ..RECORD };
    later.write(&base, &RecordHistory::default(), b"x").unwrap();
    let RecordReading::Unusable(why) = read(&base) else { panic!("a later version") };
    assert!(why.contains("version 3"), "{why}");
    let earlier = Record { version: 1, ..RECORD };
    set_copies_aside(&base, "levels").unwrap();
    earlier.write(&base, &RecordHistory::default(), b"x").unwrap();
    fs::remove_file(file(&base, "levels.2")).unwrap();
    assert_eq!(read(&base).content().unwrap().version, 1);
    assert_eq!(read(&base).content().unwrap().version, 1, "mending keeps it");
    fs::write(file(&base, "levels.2"), text(&earlier.content(1, OURS, b"y"))).unwrap();
    assert!(matches!(read(&base), RecordReading::Unusable(_)));
}

#[test]
fn copies_of_another_archive_do_not_count() {
    let ((_tree, base), (_other_tree, other)) = (archive(), archive_of(OTHERS));
    write(&base, b"ours").unwrap();
    for _ in 0..3 {
        write(&other, b"theirs").unwrap();
    }
    fs::copy(file(&other, "levels"), file(&base, "levels")).unwrap();
    assert_eq!(bytes(read(&base)), Some(b"ours".to_vec()), "one of the two");
    for name in ["levels", "levels.2"] {
        fs::copy(file(&other, name), file(&base, name)).unwrap();
    }
    let RecordReading::Unusable(why) = read(&base) else { panic!("both") };
    assert!(why.contains("another archive"), "{why}");
}

#[test]
fn what_is_older_than_is_remembered_does_not_count() {
    let (_tree, base) = archive();
    let first = write(&base, b"old").unwrap();
    let old = fs::read(file(&base, "levels")).unwrap();
    let second = write(&base, b"new").unwrap();
    for past in [after(first), after(second.clone())] {
        let (reading, is_settled) = RECORD.read(&base, &past).unwrap();
        assert!(matches!(reading, RecordReading::Intact(_)) && is_settled, "what is remembered may lag");
    }
    fs::write(file(&base, "levels"), &old).unwrap();
    fs::remove_file(file(&base, "levels.2")).unwrap();
    assert!(matches!(RECORD.peek(&base, &after(second.clone())).unwrap(), RecordReading::Unusable(_)), "one is gone");
    assert!(!file(&base, "levels.2").exists());
    fs::write(file(&base, "levels.2"), &old).unwrap();
    let (reading, _) = RECORD.read(&base, &after(second.clone())).unwrap();
    assert!(matches!(&reading, RecordReading::Unusable(why) if why.contains("older")), "{reading:?}");
    assert!(RECORD.write(&base, &after(second.clone()), b"x").is_err());
    // As often written, but with something else.
    set_copies_aside(&base, "levels").unwrap();
    write(&base, b"else").unwrap();
    write(&base, b"else").unwrap();
    assert!(matches!(RECORD.read(&base, &after(second)).unwrap().0, RecordReading::Unusable(_)));
}

#[test]
fn copies_without_an_id_count_until_somebody_remembers_a_number() {
    let (_tree, base) = archive();
    for name in ["levels", "levels.2"] {
        fs::write(file(&base, name), unbound(4, b"kept\n")).unwrap();
    }
    let before = read(&base).content().unwrap();
    assert!(!before.is_bound && before.bytes == b"kept\n");
    let mark = write(&base, &before.bytes).unwrap();
    assert_eq!(mark.count, 5);
    let bound = read(&base).content().unwrap();
    assert!(bound.is_bound && bound.bytes == b"kept\n");
    fs::write(file(&base, "levels"), unbound(9, b"put back")).unwrap();
    let reading = RECORD.read(&base, &after(mark)).unwrap().0;
    assert_eq!(bytes(reading), Some(b"kept\n".to_vec()));
}

#[test]
fn only_so_many_damaged_copies_are_kept() {
    let (_tree, base) = archive();
    for _ in 0..15 {
        write(&base, b"x").unwrap();
        flip(&base, "levels", 800);
        read(&base);
    }
    assert_eq!(fs::read_dir(base.path().join(OWN_DIR)).unwrap().count(), 1 + 2 + 9);
}

proptest! {
    #[test]
    fn no_bytes_are_taken_for_a_record(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parsed(&garbage).is_err());
    }
}
