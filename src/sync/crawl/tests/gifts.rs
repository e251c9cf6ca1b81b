//! What peers gave of late, over restarts, days and losses.

use super::origins::{Archive, place};
use crate::sync::crawl::Keeper;

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
