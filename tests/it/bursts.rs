//! Tombstones of peers: what hides nothing is taken at once; what hides much of what is here waits for a person, however it is asked
//! for; and what waits anywhere is fetched from nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::replication::{backfill, files, told};
use crate::support::archive::{hash_text, packets};
use crate::support::peer::{FalsePeer, Sent};
use crate::support::{Kind, TestArchive};

const HOUR: &str = "chan/source/2020-01-01T05";

/// Names by hour, with what lies behind them, which a test may change.
type Tree = Arc<Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>>>;

/// A peer of the fixed part.
fn peer(tree: &Tree) -> FalsePeer {
    let tree = Arc::clone(tree);
    FalsePeer::start(move |path| {
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        let path = path.trim_end_matches("?tombstones=true");
        let tree = tree.lock();
        let hours = || tree.keys().map(|hour| hour.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>();
        match path.split_once('/').map_or("", |(_, rest)| rest) {
            "files" => Sent::list(&["chan".to_owned()]),
            "files/chan" => Sent::list(&["source".to_owned()]),
            "files/chan/source" => Sent::list(&hours()),
            rest => match rest.split_once('/') {
                Some(("files", hour)) => tree
                    .get(hour)
                    .map_or_else(Sent::not_found, |names| Sent::list(&names.keys().cloned().collect::<Vec<_>>())),
                Some(("segments", file)) => {
                    let (hour, name) = file.rsplit_once('/').unwrap();
                    let content =
                        tree.get(hour).and_then(|names| names.get(name)).filter(|content| !content.is_empty());
                    content.map_or_else(Sent::not_found, |content| Sent::answer("200 OK", "", content))
                }
                _ => Sent::not_found(),
            },
        }
    })
}

fn tree<'n>(names: impl IntoIterator<Item = (&'n str, Vec<u8>)>) -> Tree {
    let names = names.into_iter().map(|(name, content)| (name.to_owned(), content)).collect();
    Arc::new(Mutex::new(BTreeMap::from([(HOUR.to_owned(), names)])))
}

/// So many segments of an hour, and their names.
fn filled(count: usize) -> (TestArchive, Vec<String>) {
    let archive = TestArchive::empty();
    for number in 0..count {
        archive.segment(HOUR, &format!("{:02}:{:02}", number / 30, number % 30 * 2), 2.0, Kind::Full);
    }
    let names = archive.listing(HOUR, false);
    (archive, names)
}

fn grave(name: &str) -> String {
    name.replace(".ts", ".tombstone")
}

fn junk(number: usize) -> (String, Vec<u8>) {
    let content = format!("junk {number}").into_bytes();
    (format!("50:{:02}.{number:06}-2.0-full-{}.ts", number % 60, hash_text(&content)), content)
}

#[test]
fn names_that_a_peer_makes_up_do_not_let_it_hide_more() {
    let (archive, names) = filled(30);
    let graves: Vec<String> = names.iter().map(|name| grave(name)).collect();
    let made_up: Vec<String> = (0..300).map(|number| junk(number).0).collect();
    let free: Vec<String> = (300..350).map(|number| grave(&junk(number).0)).collect();
    let all = graves.iter().chain(&made_up).chain(&free).map(|name| (name.as_str(), Vec::new()));
    let suspect = peer(&tree(all));
    for round in 0..2 {
        let report = told(&backfill(archive.path(), &[suspect.address], &[]), 1).remove(0);
        assert_eq!(archive.listing(HOUR, false), names, "round {round}");
        assert_eq!(report["bursts"].as_array().map(Vec::len), Some(1), "{report}");
        // What hides nothing is taken at once, beside those that wait.
        assert_eq!(report["tombstones"], if round == 0 { free.len() } else { 0 }, "{report}");
    }
    // The operator's word lets them in.
    let accepting = backfill(archive.path(), &[suspect.address], &["--accept-tombstone-bursts"]);
    assert_eq!(told(&accepting, 1).remove(0)["errors"], made_up.len(), "what is listed and does not come is told");
    assert_eq!(archive.listing(HOUR, false), [""; 0]);
}

#[test]
fn files_that_a_peer_really_gave_do_not_let_it_or_another_hide_more_later() {
    let (archive, names) = filled(30);
    let gifts: Vec<(String, Vec<u8>)> = (0..300).map(junk).collect();
    let offered = tree(gifts.iter().map(|(name, content)| (name.as_str(), content.clone())));
    told(&backfill(archive.path(), &[peer(&offered).address], &[]), 0);
    assert_eq!(archive.listing(HOUR, false).len(), 330);
    // In another process, and under another name.
    let graves: Vec<String> = names.iter().take(14).map(|name| grave(name)).collect();
    let suspect = peer(&tree(graves.iter().map(|name| (name.as_str(), Vec::new()))));
    let report = told(&backfill(archive.path(), &[suspect.address], &[]), 1).remove(0);
    assert!(report["bursts"][0].as_str().is_some_and(|why| why.contains("14 of the 30 files")), "{report}");
    assert_eq!(archive.listing(HOUR, false).len(), 330);
}

#[test]
fn small_hours_are_not_hidden_one_by_one_beside_files_that_a_peer_gave() {
    let archive = TestArchive::empty();
    let hours: Vec<String> = (0..20).map(|hour| format!("chan/source/2020-01-01T{hour:02}")).collect();
    for (number, hour) in hours.iter().enumerate() {
        archive.segment(hour, &format!("00:{number:02}"), 2.0, Kind::Full);
    }
    let own: Vec<String> = hours.iter().map(|hour| archive.listing(hour, false).remove(0)).collect();
    // In half of those hours, and in others.
    let offered = Tree::default();
    for hour in hours.iter().step_by(2).cloned().chain((0..10).map(|hour| format!("chan/source/2020-01-02T{hour:02}")))
    {
        offered.lock().insert(hour, (0..20).map(junk).collect());
    }
    let suspect = peer(&offered);
    told(&backfill(archive.path(), &[suspect.address], &[]), 0);
    assert_eq!(archive.listing(&hours[0], false).len(), 21);
    for (hour, name) in hours.iter().zip(&own) {
        offered.lock().entry(hour.clone()).or_default().insert(grave(name), Vec::new());
    }
    told(&backfill(archive.path(), &[suspect.address], &[]), 1);
    let left = hours.iter().zip(&own).filter(|(hour, name)| archive.listing(hour, false).contains(name)).count();
    assert_eq!(left, 16, "a fifth of what was here");
}

#[test]
fn a_new_node_takes_ordinary_tombstones_for_what_it_has_just_fetched() {
    let (source, names) = filled(30);
    let contents = names.iter().map(|name| (name.as_str(), source.read(&format!("{HOUR}/{name}"))));
    let offered = tree(contents);
    let archive = TestArchive::empty();
    let other = peer(&offered);
    told(&backfill(archive.path(), &[other.address], &[]), 0);
    assert_eq!(archive.listing(HOUR, false), names);
    for name in names.iter().take(5) {
        offered.lock().get_mut(HOUR).unwrap().insert(grave(name), Vec::new());
    }
    told(&backfill(archive.path(), &[other.address], &[]), 0);
    assert_eq!(archive.listing(HOUR, false), names[5..]);
}

#[test]
fn bit_by_bit_and_under_two_names_is_no_more_than_all_at_once() {
    let (archive, names) = filled(30);
    let offered = tree([]);
    let suspects = [peer(&offered), peer(&offered)];
    for (number, name) in names.iter().enumerate() {
        offered.lock().get_mut(HOUR).unwrap().insert(grave(name), Vec::new());
        backfill(archive.path(), &[suspects[number % 2].address], &[]);
        if number > 12 {
            break;
        }
    }
    assert_eq!(archive.listing(HOUR, false).len(), 24, "a fifth, each time in a new process");
    // An account that cannot be relied on lets nothing more through.
    for copy in ["bursts", "bursts.2"] {
        std::fs::write(archive.path().join(".gapless").join(copy), "nonsense").unwrap();
    }
    backfill(archive.path(), &[suspects[0].address], &[]);
    assert_eq!(archive.listing(HOUR, false).len(), 24);
}

#[test]
fn an_occupied_name_of_a_tombstone_stops_nothing_else_and_counts_once_however_often_it_is_tried() {
    let (archive, names) = filled(6);
    let in_the_way = archive.path().join(HOUR).join(grave(&names[0]));
    std::fs::create_dir(&in_the_way).unwrap();
    let (wanted, content) = junk(0);
    let first = tree([(grave(&names[0]).as_str(), Vec::new()), (wanted.as_str(), content)]);
    for round in 0..3 {
        let report = told(&backfill(archive.path(), &[peer(&first).address], &[]), 1).remove(0);
        assert_eq!((&report["errors"], &report["fetched"]), (&1.into(), &u64::from(round == 0).into()), "{report}");
        assert!(report["bursts"].as_array().is_some_and(Vec::is_empty), "{report}");
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    told(&backfill(archive.path(), &[peer(&first).address], &[]), 0);
    let hidden = !archive.listing(HOUR, false).contains(&names[0]);
    assert!(hidden && archive.listing(HOUR, false).contains(&wanted));
}

#[test]
fn a_peer_that_has_filled_its_budget_still_hides_what_it_gave() {
    let archive = TestArchive::empty();
    let gifts: Vec<(String, Vec<u8>)> = (0..30).map(junk).collect();
    let offered = tree(gifts.iter().map(|(name, content)| (name.as_str(), content.clone())));
    let stranger = peer(&offered);
    told(&backfill(archive.path(), &[stranger.address], &[]), 0);
    {
        let (more, content) = junk(31);
        let mut there = offered.lock();
        let names = there.get_mut(HOUR).unwrap();
        names.extend([(grave(&gifts[0].0), Vec::new()), (more, content)]);
        // What is not here is worth no name.
        there.insert(HOUR.replace("T05", "T06"), BTreeMap::from([(grave(&gifts[0].0), Vec::new())]));
    }
    let config = archive.path().join("gapless.toml");
    std::fs::write(&config, "[backfill]\nstrangers_budget = 0\n").unwrap();
    let report =
        told(&backfill(archive.path(), &[stranger.address], &["--config", config.to_str().unwrap()]), 0).remove(0);
    assert_eq!(report["tombstones"], 1, "{report}");
    let mut left: Vec<String> = gifts.iter().skip(1).map(|(name, _)| name.clone()).collect();
    left.sort();
    assert_eq!(archive.listing(HOUR, false), left);
}

#[test]
fn a_new_node_does_not_fetch_what_one_peer_has_hidden_and_another_has_not_yet() {
    let contents: Vec<Vec<u8>> = (0..51).map(|number| packets(&format!("{number}"), 1)).collect();
    let named = contents.iter().enumerate().map(|(number, content)| {
        (format!("{:02}:{:02}-2.0-full-{}.ts", number / 30, number % 30 * 2, hash_text(content)), content.clone())
    });
    let files_there: Vec<(String, Vec<u8>)> = named.collect();
    let shows = peer(&tree(files_there.iter().map(|(name, content)| (name.as_str(), content.clone()))));
    let graves: Vec<String> = files_there.iter().map(|(name, _)| grave(name)).collect();
    let hides = peer(&tree(graves.iter().map(|name| (name.as_str(), Vec::new()))));
    for order in [[hides.address, shows.address], [shows.address, hides.address]] {
        let archive = TestArchive::empty();
        let reports = told(&backfill(archive.path(), &order, &[]), 0);
        assert!(reports.iter().all(|report| report["bursts"].as_array().is_some_and(Vec::is_empty)), "{reports:?}");
        let here = files(archive.path());
        assert!(here.iter().all(|path| path.ends_with(".tombstone")) && here.len() == 51, "{here:?}");
    }
}

#[test]
fn what_was_deleted_is_not_fetched_under_a_near_duplicates_name() {
    let (archive, names) = filled(10);
    let content = archive.read(&format!("{HOUR}/{}", names[3]));
    archive.tombstone(&format!("{HOUR}/{}", names[3]));
    archive.remove(&format!("{HOUR}/{}", names[3]));
    let near = format!("00:06.000500-2.1-partial-{}.ts", hash_text(&content));
    let other = peer(&tree([(near.as_str(), content)]));
    let report = told(&backfill(archive.path(), &[other.address], &[]), 0).remove(0);
    assert_eq!(report["fetched"], 0, "{report}");
    assert!(!archive.at(&format!("{HOUR}/{near}")).exists());
}
