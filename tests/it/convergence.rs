//! Nodes that run, with each other as peers, come to have the union of what they have, less what anybody deleted; whatever lies
//! between them, and whoever was away meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::archive::packets;
use crate::support::cluster::{Cluster, Ground};
use crate::support::link::Manner;
use crate::support::network::Network;
use crate::support::peer::{FalsePeer, Sent};
use crate::support::trouble::Chance;
use crate::support::{Connection, SOON, eventually};

const HOURS: [&str; 4] =
    ["chan/source/2010-01-01T05", "chan/source/2010-01-01T23", "chan/480p/2010-01-01T05", "other/source/2012-02-29T00"];

fn three() -> Cluster {
    Cluster::of(&[Ground::default(); 3])
}

fn hour(chance: &mut Chance) -> &'static str {
    HOURS[chance.below(HOURS.len())]
}

/// Random things on random nodes, some of them deleted somewhere.
fn scatter(cluster: &mut Cluster, chance: &mut Chance, count: usize) {
    for _ in 0..count {
        let bits = 1 + chance.below((1 << cluster.len()) - 1);
        let holders: Vec<usize> = (0..cluster.len()).filter(|at| bits >> at & 1 == 1).collect();
        let path = cluster.thing(hour(chance), &holders, chance);
        if chance.below(8) == 0 {
            cluster.delete(chance.below(cluster.len()), &path);
        }
    }
}

/// R1: restarts and rebuilds bring nothing back, not for a moment.
fn restarts_and_rebuilds_change_nothing(cluster: &mut Cluster) {
    let deleted = cluster.union.deleted();
    assert!(!deleted.is_empty(), "the story is about what was deleted");
    for at in 0..cluster.len() {
        cluster.restart(at);
        cluster.nobody_lists(&deleted);
        cluster.rebuild(at);
        cluster.nobody_lists(&deleted);
        cluster.lose_index(at);
        cluster.nobody_lists(&deleted);
    }
    cluster.converges();
    cluster.nobody_lists(&deleted);
}

/// Whether a node lists this.
fn has(cluster: &Cluster, at: usize, path: &str) -> bool {
    let (hour, name) = path.rsplit_once('/').unwrap();
    let answer = cluster.node(at).get(&format!("/files/{hour}"));
    answer.status == 200 && answer.list().iter().any(|listed| listed == name)
}

#[test]
fn three_nodes_come_to_have_the_union_less_what_anybody_deletes_at_any_time() {
    let mut chance = Chance::new("three nodes");
    let mut cluster = three();
    scatter(&mut cluster, &mut chance, 150);
    for (at, hour) in HOURS.iter().enumerate().take(3) {
        cluster.oddity(at, hour, &mut chance);
    }
    cluster.start_all();
    // While they are at it, recorders and people go on.
    for _ in 0..60 {
        scatter(&mut cluster, &mut chance, 1);
        if chance.below(4) == 0 {
            let paths = cluster.union.paths();
            let path = &paths[chance.below(paths.len())];
            if !path.ends_with(".tombstone") {
                cluster.delete(chance.below(3), path);
            }
        }
        std::thread::sleep(Duration::from_millis(chance.below(30) as u64));
    }
    cluster.converges();
    cluster.is_in_order();
    restarts_and_rebuilds_change_nothing(&mut cluster);
    cluster.is_in_order();
}

#[test]
fn one_that_was_away_for_a_year_brings_nothing_back() {
    let mut chance = Chance::new("away for a year");
    let mut cluster = Cluster::of(&[Ground::default(), Ground::default(), Ground { clock: true, ..Ground::default() }]);
    scatter(&mut cluster, &mut chance, 60);
    cluster.start_all();
    cluster.converges();
    cluster.terminate(2);
    // What only it has, what all have, and what nobody has any more is deleted meanwhile.
    let only_there = cluster.thing(HOURS[0], &[2], &mut chance);
    let never_seen = cluster.thing("gone/source/2010-01-01T05", &[2], &mut chance);
    for path in [only_there, never_seen].iter().chain(cluster.union.paths().iter().take(10)) {
        if !path.ends_with(".tombstone") {
            cluster.delete(chance.below(2), path);
        }
    }
    let deleted = cluster.union.deleted();
    for at in [0, 1] {
        eventually(SOON, || deleted.iter().all(|path| !has(&cluster, at, path)));
        cluster.rebuild(at);
    }
    cluster.member(2).clock.iter().for_each(|clock| clock.set("-365d"));
    cluster.start(2);
    let away: BTreeSet<String> = deleted.clone();
    eventually(SOON, || {
        // R1, for those that knew: not for a moment.
        assert!(away.iter().all(|path| !has(&cluster, 0, path) && !has(&cluster, 1, path)), "the dead came back");
        away.iter().all(|path| !has(&cluster, 2, path))
    });
    cluster.converges();
    restarts_and_rebuilds_change_nothing(&mut cluster);
    cluster.is_in_order();
}

#[test]
fn what_cannot_come_directly_comes_by_way_of_the_third() {
    let mut chance = Chance::new("by way of the third");
    let mut cluster = three();
    // Each asks only one other, and that one not back.
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        cluster.link(from, to).set(Manner::Cut);
    }
    scatter(&mut cluster, &mut chance, 40);
    cluster.start_all();
    cluster.converges();
    assert!(cluster.link(0, 1).troubles() > 0, "the cut was noticed");
    // One hears nothing any more; it is heard all the same.
    cluster.link(0, 2).set(Manner::HangAnswers);
    let there = cluster.thing(HOURS[0], &[0], &mut chance);
    eventually(SOON, || has(&cluster, 1, &there) && has(&cluster, 2, &there));
    cluster.heal();
    cluster.converges();
    cluster.is_in_order();
}

/// R4: each kind of bad line costs time and nothing else.
#[test]
fn no_bad_line_changes_what_comes_in_the_end() {
    const BAD: [Manner; 8] = [
        Manner::Truncate(100),
        Manner::Flip(77),
        Manner::Duplicate,
        Manner::Length(-7),
        Manner::Length(1000),
        Manner::Endless,
        Manner::Delay(Duration::from_millis(30)),
        Manner::Throttle(40_000),
    ];
    std::thread::scope(|scope| {
        for bad in BAD {
            scope.spawn(move || {
                let mut chance = Chance::new(&format!("{bad:?}"));
                let mut cluster = Cluster::of(&[Ground::default(); 2]);
                scatter(&mut cluster, &mut chance, 30);
                cluster.link(0, 1).set(bad);
                cluster.start_all();
                eventually(SOON, || cluster.link(0, 1).troubles() > 0);
                cluster.heal();
                cluster.converges();
                cluster.is_in_order();
                println!("{bad:?} is survived");
            });
        }
    });
}

/// Three nodes, the first of which has begun to fetch from the second what the third has, too, when the line to the second hangs.
fn one_hangs(chance: &mut Chance) -> (Cluster, Vec<String>) {
    let mut cluster = three();
    let both: Vec<String> = (0..40).map(|_| cluster.thing(HOURS[0], &[1, 2], chance)).collect();
    cluster.link(0, 1).set(Manner::Throttle(20_000));
    cluster.link(0, 2).set(Manner::Hang);
    cluster.start_all();
    // More than all the lists together.
    eventually(SOON, || cluster.link(0, 1).carried() > 12_000);
    cluster.link(0, 1).set(Manner::Hang);
    cluster.link(0, 2).set(Manner::Pass);
    (cluster, both)
}

/// R6: who says nothing at all keeps nothing back.
#[test]
fn one_that_never_answers_keeps_nothing_back() {
    let mut chance = Chance::new("one never answers");
    let mut cluster = three();
    cluster.link(0, 1).set(Manner::HangAnswers);
    cluster.link(2, 1).set(Manner::Hang);
    (0..40).for_each(|_| drop(cluster.thing(hour(&mut chance), &[1, 2], &mut chance)));
    cluster.start_all();
    cluster.converges();
    for _ in 0..5 {
        let fresh = cluster.thing(hour(&mut chance), &[2], &mut chance);
        eventually(SOON, || has(&cluster, 0, &fresh));
    }
    assert!(cluster.link(0, 1).troubles() > 0 && cluster.link(2, 1).troubles() > 0, "both were asked for an answer");
    cluster.is_in_order();
}

/// R6.
#[test]
fn one_that_hangs_in_the_middle_keeps_nothing_back_that_another_has() {
    let mut chance = Chance::new("one hangs");
    let (mut cluster, both) = one_hangs(&mut chance);
    let fresh = cluster.thing(HOURS[1], &[2], &mut chance);
    eventually(SOON * 2, || both.iter().filter(|path| has(&cluster, 0, path)).count() >= 30);
    eventually(SOON * 2, || has(&cluster, 0, &fresh));
    cluster.heal();
    cluster.converges();
}

/// R4: what was garbled once is no answer that anything is concluded from later.
#[test]
fn a_list_that_was_garbled_once_hides_nothing_for_ever() {
    let mut chance = Chance::new("a garbled list");
    let mut cluster = Cluster::of(&[Ground::default(); 2]);
    let path = cluster.thing(HOURS[0], &[1], &mut chance);
    cluster.start(1);
    cluster.node(1).wait_ready();
    let (to, garbled) = (cluster.node(1).address, AtomicBool::new(false));
    let peer = FalsePeer::start(move |asked| {
        let got = Connection::open(to).request("GET", asked, &[]);
        let once =
            asked.contains("/files/") && asked.contains("2010-01-01T05") && !garbled.swap(true, Ordering::SeqCst);
        // One bit: no name of a segment any more.
        let garble = |text: &str| text.replace(".ts\"", ".tr\"").replace(".json\"", ".jsoo\"").into_bytes();
        let body = if once { garble(&String::from_utf8_lossy(&got.body)) } else { got.body };
        Sent::answer(&format!("{} Passed-On", got.status), "", &body)
    });
    cluster.link(0, 1).lead_to(peer.address);
    cluster.start(0);
    eventually(SOON, || has(&cluster, 0, &path));
}

/// The same at random, with so much that comes later that it mostly goes well.
#[test]
fn lists_in_which_bits_are_wrong_hide_nothing_for_ever() {
    let mut chance = Chance::new("wrong bits");
    let mut cluster = Cluster::of(&[Ground::default(); 2]);
    (0..100).for_each(|_| drop(cluster.thing(hour(&mut chance), &[1], &mut chance)));
    cluster.start_all();
    for _ in 0..30 {
        cluster.link(0, 1).set(Manner::FlipLists(chance.below(100_000)));
        (0..3).for_each(|_| drop(cluster.thing(hour(&mut chance), &[1], &mut chance)));
        std::thread::sleep(Duration::from_millis(300));
    }
    cluster.heal();
    cluster.converges();
}

/// I8: what a kill leaves of downloads goes in the end; what is not ours stays.
#[test]
fn what_a_kill_leaves_of_downloads_is_cleared_away_and_nothing_else_is() {
    let mut cluster = Cluster::of(&[Ground::default(); 2]);
    for minute in 10..20 {
        let prefix = format!("{}/{minute}:00-2.0-full", HOURS[0]);
        cluster.put(&prefix, "ts", &packets(&prefix, 3000), &[1]);
    }
    let base = cluster.member(0).archive.path().to_owned();
    let hidden = || -> Vec<String> {
        let places = [HOURS[0], ".gapless/arriving"].map(|place| std::fs::read_dir(base.join(place)));
        let entries = places.into_iter().flatten().flatten().map(Result::unwrap);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with('.')).collect()
    };
    cluster.start(1);
    cluster.link(0, 1).set(Manner::Throttle(100_000));
    cluster.start(0);
    eventually(SOON, || !hidden().is_empty());
    cluster.link(0, 1).set(Manner::Hang);
    cluster.kill(0);
    assert!(!hidden().is_empty(), "the story is about what is left behind");
    let others = [".recorder.0123456789abcdef", ".00:00-2.0-full-x.ts.tmp"];
    for name in others {
        std::fs::write(base.join(HOURS[0]).join(name), b"a recorder's").unwrap();
    }
    cluster.start(0);
    cluster.heal();
    cluster.converges();
    eventually(SOON, || hidden().iter().all(|name| others.contains(&name.as_str())));
    assert_eq!(hidden().len(), others.len(), "a recorder's file was removed");
}

/// R5: a clock that is wrong by ten years, in either direction, delays what comes, and keeps nothing away.
#[test]
fn a_clock_ten_years_off_keeps_nothing_away() {
    let mut chance = Chance::new("ten years off");
    let ground = Ground { clock: true, ..Ground::default() };
    let mut cluster = Cluster::of(&[Ground::default(), ground, ground]);
    for (at, offset) in [(1, "-3650d"), (2, "+3650d")] {
        cluster.member(at).clock.iter().for_each(|clock| clock.set(offset));
    }
    // Of last year: to one of them that is long ago, to another far in the future.
    let last_year = chrono::Utc::now() - chrono::Duration::days(365);
    let hour = last_year.format("chan/source/%Y-%m-%dT05").to_string();
    for _ in 0..20 {
        let holder = chance.below(3);
        let path = cluster.thing(&hour, &[holder], &mut chance);
        if chance.below(5) == 0 {
            cluster.delete(chance.below(3), &path);
        }
    }
    cluster.start_all();
    cluster.converges();
    cluster.is_in_order();
}

#[test]
fn a_torn_network_is_whole_again_when_it_is_mended() {
    let mut chance = Chance::new("a torn network");
    let Some(network) = Network::new(3) else { return };
    let mut cluster = Cluster::within(network, 3);
    scatter(&mut cluster, &mut chance, 60);
    cluster.start_all();
    cluster.network().is_made_bad(0);
    let first = cluster.thing(HOURS[0], &[0], &mut chance);
    eventually(SOON * 3, || has(&cluster, 1, &first));
    // A cable is pulled, and what two others say to each other arrives in one direction only.
    cluster.network().cut(2);
    scatter(&mut cluster, &mut chance, 40);
    let apart = cluster.thing(HOURS[1], &[1], &mut chance);
    eventually(SOON * 3, || has(&cluster, 0, &apart));
    cluster.network().lose(1, 0);
    scatter(&mut cluster, &mut chance, 10);
    cluster.kill(2);
    cluster.network().heal(2);
    cluster.start(2);
    let round_about = cluster.thing(HOURS[2], &[1], &mut chance);
    eventually(SOON * 6, || has(&cluster, 0, &round_about));
    cluster.network().find(1, 0);
    cluster.converges();
    let deleted = cluster.union.deleted();
    cluster.is_in_order();
    cluster.converges();
    cluster.nobody_lists(&deleted);
}
