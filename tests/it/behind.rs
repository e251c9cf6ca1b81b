//! An archive that changes behind the index's back, in every way one can think of: one cycle of the crawl later the index is what
//! the tree is.
//!
//! `GAPLESS_BEHIND_SEED` does the same again; `GAPLESS_BEHIND` lets more archives be changed.

use std::thread::sleep;
use std::time::Duration;

use crate::support::mischief::Hand;
use crate::support::trouble::{Chance, WITHOUT_PRIVILEGE, may_drop_privilege};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless, invariants};

/// From when on a directory that nobody changes is believed to show every later change.
const SETTLES: Duration = Duration::from_millis(2200);
/// Archives that are changed at the same time, if nothing else is said.
const ARCHIVES: usize = 4;
/// Things that are done to an archive at a time.
const EDITS: usize = 60;

fn filled() -> TestArchive {
    let archive = TestArchive::empty();
    for number in 0..20 {
        let (channel, quality) = (["one", "zwei"][number % 2], ["source", "480p"][number / 2 % 2]);
        let place = format!("{channel}/{quality}/2021-03-01T{:02}", number / 4);
        for minute in 0..6 {
            let path = archive.segment(&place, &format!("{minute:02}:00"), 2.0, Kind::Full);
            if minute == 5 {
                archive.tombstone(&path);
            }
        }
    }
    archive
}

/// One after which every hour was looked at by a cycle that began now or later.
fn a_cycle_later(node: &TestNode) {
    let crawl = || node.get("/api/v1/status").json()["crawl"].clone();
    let number = |crawl: &serde_json::Value| crawl["cycle"].as_u64().unwrap();
    let now = number(&crawl());
    eventually(SOON, || {
        let later = crawl();
        number(&later) > now + 1 || number(&later) > now && later["state"] == "resting"
    });
}

/// The index of a node that does not run any more equals the tree.
#[track_caller]
fn checks_at_rest(archive: &TestArchive) {
    let outcome = gapless(archive.path(), &["rebuild", "--check"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (0, ""), "{}", outcome.err);
}

/// Changes one archive with the daemon down and up. Every other one has watches for nearly nothing.
fn changed_behind_its_back(number: usize, seed: u64) {
    let archive = filled();
    let is_watched = number.is_multiple_of(2);
    let unprivileged = if is_watched && may_drop_privilege() { WITHOUT_PRIVILEGE } else { &[] };
    let watches = if is_watched { "" } else { "[watch]\nmax_watches = 1\n" };
    let start = || {
        let config = format!("[crawl]\nminimum_cycle = \"1s\"\ncpu_share = 1\n{watches}");
        let node = TestNode::plan(&archive).config(&config).through(unprivileged).start();
        node.wait_ready();
        node
    };
    let mut hand = Hand::new(archive.path(), Chance::of(seed));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let node = start();
        // Of directories that have just changed nothing is believed, and nothing can be missed.
        sleep(SETTLES);
        a_cycle_later(&node);
        node.kill();
        hand.work(EDITS);
        let node = start();
        // Before any question that would bring an hour up to date.
        node.check();
        invariants::listings_follow_the_disk(&archive, &node);
        sleep(SETTLES);
        a_cycle_later(&node);
        hand.work(EDITS);
        a_cycle_later(&node);
        node.check();
        assert!(!node.log().contains("panicked"), "{}", node.log());
        node.kill();
        checks_at_rest(&archive);
        let node = start();
        invariants::listings_follow_the_disk(&archive, &node);
        node.check();
    }));
    if let Err(panic) = result {
        eprintln!("archive {number} with GAPLESS_BEHIND_SEED={seed}:\n{}", hand.did.join("\n"));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn one_cycle_after_any_change_behind_its_back_the_index_is_what_the_tree_is() {
    let archives = std::env::var("GAPLESS_BEHIND").ok().and_then(|text| text.parse().ok()).unwrap_or(ARCHIVES);
    let given = std::env::var("GAPLESS_BEHIND_SEED").ok().and_then(|text| text.parse().ok());
    for first in (0..archives).step_by(ARCHIVES) {
        std::thread::scope(|scope| {
            let changing: Vec<_> = (first..archives.min(first + ARCHIVES))
                .map(|number| scope.spawn(move || changed_behind_its_back(number, given.unwrap_or_else(rand::random))))
                .collect();
            for thread in changing {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
    }
}
