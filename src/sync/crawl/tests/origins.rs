//! What came from other nodes, over restarts, lost indexes and recorders that come later.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::archive::blocks::BLOCK;
use crate::archive::origins::{ConfiguredStreams, GiftedHour};
use crate::archive::{HourPlace, guards};
use crate::disk::{ArchiveId, Base, BaseGuard, BaseIdentity, marker};
use crate::index::{Index, IndexOptions};
use crate::sync::crawl::{Allowance, Keeper, StrangersBudget};

const STEM: &str = "2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";
const BOUNDS: StrangersBudget = StrangersBudget { budget: Some(10 * BLOCK), streams: 3 };

pub(super) struct Archive(tempfile::TempDir);

impl Archive {
    pub(super) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    pub(super) fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        marker::create(&Base::open(tree.path()).unwrap(), ArchiveId::random()).unwrap();
        Self(tree)
    }

    /// A node over it that begins with an empty index.
    pub(super) fn keeper(&self) -> Arc<Keeper> {
        let index =
            Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
        let guard = BaseGuard::new(Base::open(self.0.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        Arc::new(Keeper::new(index, Arc::new(guard)))
    }

    /// Somebody writes so many segments of ten bytes into an hour.
    fn write(&self, keeper: &Keeper, place: &HourPlace, seconds: std::ops::Range<usize>) {
        let hour = self.0.path().join(place.path());
        std::fs::create_dir_all(&hour).unwrap();
        seconds.for_each(|second| std::fs::write(hour.join(format!("00:{second:02}-{STEM}")), "0123456789").unwrap());
        keeper.reconcile_structure().unwrap();
        keeper.reconcile(std::slice::from_ref(place), true).unwrap();
    }

    /// A peer gives so many; tells how many there was room for.
    fn give(&self, keeper: &Arc<Keeper>, peer: &str, place: &HourPlace, seconds: std::ops::Range<usize>) -> usize {
        let is_empty = !self.0.path().join(place.path()).exists();
        let allowance = keeper.allowance(peer, &place.stream, &BOUNDS).unwrap();
        if matches!(allowance, Allowance::Full(_)) {
            return 0;
        }
        let filling = keeper.fill(peer, place, is_empty, &allowance).unwrap();
        let taken = seconds.clone().take_while(|_| filling.take(10)).count();
        filling.book(&ten_bytes(taken as u64)).unwrap();
        self.write(keeper, place, seconds.start..seconds.start + taken);
        taken
    }
}

fn ten_bytes(files: u64) -> GiftedHour {
    GiftedHour { files, bytes: files * 10, tombstones: 0 }
}

pub(super) fn place(text: &str) -> HourPlace {
    HourPlace::parse(text).unwrap()
}

#[test]
fn what_a_peer_gave_stays_so_when_the_index_is_lost_and_until_a_recorder_comes() {
    let archive = Archive::new();
    let (junk, own) = (place("a/source/2019-11-13T02"), place("a/source/2019-11-13T03"));
    let first = archive.keeper();
    archive.write(&first, &own, 0..3);
    assert_eq!(archive.give(&first, "evil", &junk, 0..4), 4);
    assert_eq!(archive.give(&first, "evil", &own, 3..4), 1, "it may mend what is here");
    let later = archive.keeper();
    archive.write(&later, &junk, 0..0);
    archive.write(&later, &own, 0..0);
    later.settle_origins(&|| true).unwrap();
    assert!(later.origin(&junk, (4, 90)).unwrap().fetched && !later.origin(&own, (4, 90)).unwrap().fetched);
    assert!(later.would_be_fetched(&junk) && !later.would_be_fetched(&own));
    assert!(later.would_be_fetched(&place("a/source/2019-11-13T04")), "what is not here would come from others");
    assert_eq!((later.origin(&own, (4, 40)).unwrap().added, later.added_bytes(|_| true)), (ten_bytes(1), BLOCK));
    assert_eq!(later.fetched_bytes().unwrap(), 50);
    // The recorder's own segment makes the hour its own, for good.
    archive.write(&later, &junk, 4..5);
    later.settle_origins(&|| true).unwrap();
    assert!(!archive.keeper().origin(&junk, (4, 90)).unwrap().fetched);
    later.guards().remove(guards::Guard::OwnFirst);
    assert!(!later.origin(&junk, (0, 90)).unwrap().fetched);
}

#[test]
fn a_stranger_fills_its_budget_and_not_the_disk() {
    let archive = Archive::new();
    let keeper = archive.keeper();
    assert_eq!(archive.give(&keeper, "evil", &place("x/q/2019-11-13T02"), 0..7), 7);
    assert_eq!(archive.give(&keeper, "evil", &place("y/q/2019-11-13T02"), 0..7), 3, "ten blocks in all");
    // It is known after a restart with a lost index, and another peer has a budget of its own.
    let later = archive.keeper();
    for stream in ["x/q", "y/q"] {
        archive.write(&later, &place(&format!("{stream}/2019-11-13T02")), 0..0);
    }
    assert_eq!(archive.give(&later, "evil", &place("z/q/2019-11-13T02"), 0..1), 0);
    assert_eq!(later.filled("evil", &BOUNDS).unwrap().used.bytes, 10 * BLOCK);
    assert_eq!(archive.give(&later, "other", &place("z/q/2019-11-13T02"), 0..1), 1);
    // What is recorded or named is nobody's budget.
    archive.write(&later, &place("own/q/2019-11-13T03"), 0..1);
    assert_eq!(archive.give(&later, "evil", &place("own/q/2019-11-13T02"), 0..20), 20);
    let channels = BTreeSet::from(["w".to_owned()]);
    let named = Arc::into_inner(archive.keeper())
        .unwrap()
        .naming(ConfiguredStreams { channels, ..ConfiguredStreams::default() });
    assert_eq!(archive.give(&Arc::new(named), "evil", &place("w/q/2019-11-13T02"), 0..20), 20);
    // With the guard taken away it would go on.
    later.guards().remove(guards::Guard::PeerBudget);
    assert_eq!(archive.give(&later, "evil", &place("z/q/2019-11-13T04"), 0..20), 20);
}

#[test]
fn tombstones_for_made_up_names_fill_a_budget_as_files_do_for_as_long_as_they_lie_there() {
    let archive = Archive::new();
    let (keeper, hour) = (archive.keeper(), place("x/q/2019-11-13T02"));
    let made_up = GiftedHour { tombstones: 10, ..GiftedHour::default() };
    keeper.fill("evil", &hour, true, &Allowance::Unbounded).unwrap().book(&made_up).unwrap();
    let dir = archive.0.path().join(hour.path());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(format!("00:00-{}", STEM.replace(".ts", ".tombstone"))), "").unwrap();
    archive.write(&keeper, &hour, 0..0);
    keeper.settle_origins(&|| true).unwrap();
    // No segment is in the hour, and all the same they count.
    keeper.fill("evil", &hour, true, &Allowance::Unbounded).map(drop).unwrap();
    for node in [&keeper, &archive.keeper()] {
        assert_eq!(node.filled("evil", &BOUNDS).unwrap().used.bytes, 10 * BLOCK);
        assert!(matches!(node.allowance("evil", &hour.stream, &BOUNDS).unwrap(), Allowance::Full(_)));
    }
    std::fs::remove_dir_all(archive.0.path().join("x")).unwrap();
    keeper.reconcile_structure().unwrap();
    keeper.settle_origins(&|| true).unwrap();
    assert_eq!(keeper.filled("evil", &BOUNDS).unwrap().used.bytes, 0);
}

#[test]
fn a_stranger_adds_only_so_many_names() {
    let archive = Archive::new();
    let keeper = archive.keeper();
    for number in 0..3 {
        assert_eq!(archive.give(&keeper, "evil", &place(&format!("junk{number}/q/2019-11-13T02")), 0..1), 1);
    }
    assert_eq!(archive.give(&keeper, "evil", &place("junk3/q/2019-11-13T02"), 0..1), 0);
    assert_eq!(archive.give(&keeper, "evil", &place("junk2/q/2019-11-13T03"), 0..1), 1, "what is there may go on");
    // Room comes back when what it gave is gone.
    std::fs::remove_dir_all(archive.0.path().join("junk0")).unwrap();
    keeper.reconcile_structure().unwrap();
    keeper.settle_origins(&|| true).unwrap();
    assert_eq!(archive.give(&keeper, "evil", &place("junk3/q/2019-11-13T02"), 0..1), 1);
}

#[test]
fn an_account_that_is_damaged_takes_nothing_for_a_strangers() {
    let archive = Archive::new();
    let keeper = archive.keeper();
    let junk = place("a/source/2019-11-13T02");
    archive.give(&keeper, "evil", &junk, 0..4);
    let file = archive.0.path().join(".gapless/fetched");
    let text = std::fs::read_to_string(&file).unwrap().replace("given 4", "given 9");
    std::fs::write(&file, text).unwrap();
    let later = archive.keeper();
    archive.write(&later, &junk, 0..0);
    assert!(!later.origin(&junk, (4, 90)).unwrap().fetched);
    assert!(archive.0.path().join(".gapless/fetched.damaged").exists());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(!archive.keeper().origin(&junk, (4, 90)).unwrap().fetched, "what is no file is as good as none");
}

#[test]
fn an_account_that_is_lost_or_damaged_is_missed_after_each_start_until_somebody_has_looked() {
    for harm in ["lost", "emptied", "damaged"] {
        let archive = Archive::new();
        let first = archive.keeper();
        archive.give(&first, "evil", &place("a/source/2019-11-13T02"), 0..4);
        first.note_gifts(&place("a/source/2019-11-13T02"), "evil", ["x"]).unwrap();
        let file = archive.path().join(".gapless/fetched");
        match harm {
            "lost" => std::fs::remove_file(&file).unwrap(),
            "emptied" => std::fs::write(&file, "").unwrap(),
            _ => std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("given 4", "given 9")).unwrap(),
        }
        for start in 0..3 {
            let keeper = archive.keeper();
            keeper.load_origins().unwrap();
            assert!(keeper.unusable_records().iter().any(|record| record.name == "fetched"), "{harm}, start {start}");
            archive.give(&keeper, "evil", &place(&format!("a/source/2019-11-13T1{start}")), 0..1);
        }
        let keeper = archive.keeper();
        keeper.load_origins().unwrap();
        keeper.records().accept(&Base::open(archive.path()).unwrap(), &[]).unwrap();
        keeper.accept_origins().unwrap();
        let later = archive.keeper();
        later.load_origins().unwrap();
        assert!(later.unusable_records().iter().all(|record| record.name != "fetched"), "{harm}");
    }
}

#[test]
fn an_index_that_has_not_caught_up_takes_nothing_from_the_account() {
    let archive = Archive::new();
    archive.give(&archive.keeper(), "evil", &place("a/source/2019-11-13T02"), 0..4);
    let account = || std::fs::read_to_string(archive.path().join(".gapless/fetched")).unwrap();
    let before = account();
    // The index was lost, and nothing has been looked at yet.
    let later = archive.keeper();
    later.settle_origins(&|| false).unwrap();
    assert_eq!(account(), before);
    // Where that is not asked all of it is forgotten.
    later.settle_origins(&|| true).unwrap();
    assert_ne!(account(), before);
}

#[test]
fn a_damaged_account_is_written_anew_by_a_person_and_not_by_a_return_of_the_disk() {
    for harm in ["lost", "damaged"] {
        let archive = Archive::new();
        archive.give(&archive.keeper(), "evil", &place("a/source/2019-11-13T02"), 0..4);
        let file = archive.path().join(".gapless/fetched");
        let first = archive.keeper();
        first.note_gifts(&place("a/source/2019-11-13T02"), "evil", ["x"]).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        if harm == "damaged" {
            std::fs::write(&file, text.replace("given 4", "given 9")).unwrap();
        }
        let keeper = archive.keeper();
        // Somebody asks of the account first; only then the notes of before the return are cleared.
        keeper.fetched_bytes().unwrap();
        keeper.records().begin();
        archive.give(&keeper, "evil", &place("a/source/2019-11-13T12"), 0..1);
        keeper.load_origins().unwrap();
        let is_missed = || keeper.unusable_records().iter().any(|record| record.name == "fetched");
        assert!(is_missed(), "{harm}");
        let now = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(now.contains("given 9"), harm == "damaged", "{harm}: {now}");
        keeper.accept_origins().unwrap();
        keeper.load_origins().unwrap();
        assert!(!is_missed() && !std::fs::read_to_string(&file).unwrap().contains("given 9"), "{harm}");
    }
}

#[test]
fn what_a_peer_only_announces_makes_no_strangers_hour_of_what_is_recorded_there() {
    let archive = Archive::new();
    let hour = place("own/source/2019-11-13T02");
    let keeper = archive.keeper();
    archive.write(&keeper, &place("own/source/2019-11-13T03"), 0..10);
    // It lists thousands of names, gives two, and hangs.
    let filling = keeper.fill("evil", &hour, true, &Allowance::Unbounded).unwrap();
    filling.book(&ten_bytes(2)).unwrap();
    archive.write(&keeper, &hour, 0..2);
    keeper.settle_origins(&|| true).unwrap();
    assert!(keeper.origin(&hour, (2, 20)).unwrap().fetched && keeper.would_be_fetched(&hour));
    archive.write(&keeper, &hour, 2..12);
    // Whether the node runs on or is killed.
    let later = archive.keeper();
    archive.write(&later, &hour, 0..0);
    for node in [&keeper, &later] {
        assert!(!node.origin(&hour, (12, 120)).unwrap().fetched);
        node.settle_origins(&|| true).unwrap();
        assert!(!node.would_be_fetched(&hour));
        assert_eq!(node.origin(&hour, (12, 120)).unwrap().added, ten_bytes(2));
    }
}

#[test]
fn what_is_about_to_appear_is_in_the_account_and_what_does_not_leaves_it() {
    let archive = Archive::new();
    let hour = place("a/source/2019-11-13T02");
    let keeper = archive.keeper();
    // Two workers fill it in the name of the same peer.
    let both = [(); 2].map(|()| keeper.fill("evil", &hour, true, &Allowance::Unbounded).unwrap());
    both[0].book(&ten_bytes(3)).unwrap();
    both[1].book(&ten_bytes(2)).unwrap();
    both[0].take_back(&ten_bytes(1)).unwrap();
    both[0].take_back(&ten_bytes(0)).unwrap();
    archive.write(&keeper, &hour, 0..4);
    // It is killed here.
    let later = archive.keeper();
    archive.write(&later, &hour, 0..0);
    assert!(later.origin(&hour, (4, 40)).unwrap().fetched && !later.origin(&hour, (5, 50)).unwrap().fetched);
}

fn givers(keeper: &Keeper, names: [&str; 3]) -> [Option<String>; 3] {
    let gifts = keeper.recent_gifts().unwrap().of(&place("a/source/2019-11-13T02")).unwrap();
    names.map(|name| gifts.giver(name).map(str::to_owned))
}

fn days(archive: &Archive) -> Vec<String> {
    let entries = std::fs::read_dir(archive.path().join(".gapless/given")).unwrap();
    let mut days: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    days.sort();
    days
}

#[test]
fn who_gave_a_file_is_known_after_a_restart_and_for_three_days_that_were_lived() {
    let archive = Archive::new();
    let hour = place("a/source/2019-11-13T02");
    let first = archive.keeper();
    first.note_gifts(&hour, "one", ["a", "b"]).unwrap();
    first.note_gifts(&hour, "two", ["b"]).unwrap();
    first.note_gifts(&hour, "two", []).unwrap();
    let known = [Some("one".to_owned()), Some("two".to_owned()), None];
    for keeper in [&first, &archive.keeper()] {
        assert_eq!(givers(keeper, ["a", "b", "c"]), known);
    }
    assert_eq!(days(&archive), ["0"]);
    // The lists themselves say how long the node has lived: three days later they still count, and then they go.
    for day in ["3", "4"] {
        std::fs::create_dir(archive.path().join(".gapless/given").join(day)).unwrap();
        let kept = if day == "3" { known.clone() } else { [None, None, None] };
        assert_eq!(givers(&archive.keeper(), ["a", "b", "c"]), kept, "day {day}");
    }
    std::fs::remove_dir(archive.path().join(".gapless/given/4")).unwrap();
    // The account beside the marker remembers that it was the fourth.
    archive.keeper().note_gifts(&hour, "two", ["c"]).unwrap();
    assert_eq!(days(&archive), ["3", "4"]);
    assert_eq!(givers(&archive.keeper(), ["a", "b", "c"]), [None, None, Some("two".to_owned())]);
}

#[test]
fn a_damaged_list_says_so() {
    let archive = Archive::new();
    let hour = place("a/source/2019-11-13T02");
    archive.keeper().note_gifts(&hour, "one", ["a"]).unwrap();
    let day = archive.path().join(".gapless/given/0");
    let list = std::fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, &text[..text.len() - 4]).unwrap();
    // A line that is added to a torn one is whole.
    let keeper = archive.keeper();
    keeper.note_gifts(&hour, "one", ["b"]).unwrap();
    let gifts = keeper.recent_gifts().unwrap().of(&hour).unwrap();
    assert_eq!((gifts.giver("a"), gifts.giver("b"), gifts.is_damaged()), (None, Some("one"), true));
    assert!(!keeper.recent_gifts().unwrap().of(&place("a/source/2019-11-13T03")).unwrap().is_damaged());
}
