//! `kill -9` at random moments, while the archive changes: after each start the index is what the tree is.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use parking_lot::Mutex;

use crate::support::trouble::Chance;
use crate::support::{Kind, TestArchive, TestNode, invariants};

/// Rounds, unless `GAPLESS_KILLS` says otherwise.
const KILLS: usize = 20;
/// Hours at most, so that a round does not take longer than the one before.
const HOURS: usize = 24;
/// Files in an hour at most.
const FILES: usize = 60;

/// Does one random thing to the archive.
fn change(archive: &TestArchive, chance: &mut Chance, number: usize) {
    let hours = archive.all_hours();
    let some_hour = |chance: &mut Chance| hours.get(chance.below(hours.len().max(1))).cloned();
    let fresh = format!(
        "chan{}/{}/2020-01-01T{:02}",
        chance.below(2),
        ["source", "480p"][chance.below(2)],
        chance.below(HOURS)
    );
    let Some(hour) = some_hour(chance) else {
        archive.segment(&fresh, "00:00", 2.0, Kind::Full);
        return;
    };
    let files = archive.listing(&hour, true);
    let time = format!("{:02}:{:02}.{:06}", number / 60 % 60, number % 60, number);
    match chance.below(100) {
        0..50 if files.len() < FILES => drop(archive.segment(&hour, &time, 2.0, Kind::Full)),
        50..60 if files.len() < FILES => drop(archive.chat(&hour, &time)),
        60..70 if hours.len() < HOURS => drop(archive.segment(&fresh, &time, 2.0, Kind::Suspect)),
        70..74 => archive.remove(&hour),
        74..78 if hours.len() < HOURS && !archive.at(&fresh).exists() => archive.rename_dir(&hour, &fresh),
        78..80 => archive.raw(&format!("{hour}/{number}.ts"), &vec![0; chance.below(3000)]),
        other => {
            let Some(name) = files.get(chance.below(files.len().max(1))) else { return };
            if other % 3 == 0 {
                drop(archive.tombstone(&format!("{hour}/{name}")));
            } else {
                archive.remove(&format!("{hour}/{name}"));
            }
        }
    }
}

/// Starts a node and kills it at a moment at which it may not even listen.
fn stillborn(archive: &TestArchive, lives: Duration) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gapless"))
        .args(["node", "--listen", "127.0.0.1:0", "--base-dir"])
        .arg(archive.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    sleep(lives);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn after_every_kill_under_load_a_start_makes_the_index_what_the_tree_is() {
    let rounds = std::env::var("GAPLESS_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut chance = Chance::new("kill -9");
    let archive = TestArchive::empty();
    archive.segment("chan0/source/2020-01-01T00", "00:00", 2.0, Kind::Full);
    let (may_write, ended) = (Mutex::new(()), AtomicBool::new(false));
    let mut writers_chance = Chance::new("the writer");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !ended.load(Ordering::SeqCst) {
                let turn = may_write.lock();
                change(&archive, &mut writers_chance, number);
                drop(turn);
                number += 1;
                // Now in a hurry, now with pauses.
                sleep(Duration::from_micros(if number % 300 < 200 { 300 } else { 4000 }));
            }
        });
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut node = TestNode::start(&archive);
            for round in 1..=rounds {
                sleep(Duration::from_millis(chance.below(300) as u64));
                node.kill();
                if chance.below(3) == 0 {
                    stillborn(&archive, Duration::from_millis(chance.below(40) as u64));
                }
                sleep(Duration::from_millis(chance.below(30) as u64));
                let quiet = may_write.lock();
                node = TestNode::start(&archive);
                node.wait_ready();
                // Before any question that would bring an hour up to date.
                node.check();
                invariants::hold(&archive, &node);
                let set_aside = &node.get("/api/v1/status").json()["index"]["set_aside"];
                assert_eq!(set_aside.as_array().map(Vec::len), Some(0), "a kill damages no index: {set_aside}");
                assert!(!node.log().contains("panicked"), "{}", node.log());
                drop(quiet);
                if round % 50 == 0 {
                    println!("{round} kills survived");
                }
            }
        }));
        ended.store(true, Ordering::SeqCst);
        if let Err(panic) = work {
            std::panic::resume_unwind(panic);
        }
    });
    println!("{rounds} kills survived");
}
