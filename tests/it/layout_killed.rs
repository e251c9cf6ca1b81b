//! `kill -9` at every change to the disk that staging, applying and forgetting changes of the layout make: the layout is the one before or
//! the one after, changes that wait are lost or done twice by none, and the next run ends the work.

use std::fs;
use std::process::Command;

use crate::support::{TestArchive, gapless, gapless_through};

/// Whatever changes names, or says that something is to last.
const CHANGES: [&str; 5] = ["renameat", "renameat2", "unlinkat", "fsync", "fdatasync"];

fn layout(archive: &TestArchive, args: &[&str]) -> serde_json::Value {
    gapless(archive.path(), &[&["layout"], args, &["--json"]].concat()).json(0)
}

fn begin() -> TestArchive {
    let archive = TestArchive::empty();
    archive.mkdir("c/source/2020-01-01T00");
    for node in ["a", "b", "c"] {
        layout(&archive, &["add", node, "--zone", node, "--weight", "4TB"]);
    }
    layout(&archive, &["copies", "2"]);
    layout(&archive, &["apply", "0"]);
    archive
}

fn file(archive: &TestArchive) -> Vec<u8> {
    fs::read(archive.at(".gapless/layout")).unwrap()
}

#[test]
fn a_kill_between_staging_and_applying_loses_no_change_and_does_none_twice() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traced.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: system calls cannot be traced here: {traced:?}");
        return;
    }
    // Replacing twice is refused, so that it is seen if it is done twice.
    let change = ["replace", "b", "d"];
    let archive = begin();
    let first = file(&archive);
    layout(&archive, &change);
    layout(&archive, &["apply", "1"]);
    let second = file(&archive);
    assert_ne!(first, second);

    let mut kills = 0;
    for call in CHANGES {
        for at in 1.. {
            fs::write(archive.at(".gapless/layout"), &first).unwrap();
            layout(&archive, &["discard"]);
            layout(&archive, &change);
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={at}"));
            let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let done = gapless_through(&wrapper, archive.path(), &["layout", "apply", "1"]);
            let now = file(&archive);
            assert!(now == first || now == second, "{call} {at}: it is one of both, and whole");
            let plan = layout(&archive, &["plan"]);
            if now == first {
                assert_eq!(
                    (&plan["from"], plan["changes"].as_array().unwrap().len()),
                    (&1.into(), 1),
                    "{call} {at}: {plan}"
                );
                layout(&archive, &["apply", "1"]);
            } else {
                assert_eq!(
                    (&plan["from"], plan["versions"].as_array().unwrap().len()),
                    (&2.into(), 0),
                    "{call} {at}: {plan}"
                );
                assert_eq!(plan["changes"].as_array().unwrap().len(), 0, "{call} {at}: {plan}");
            }
            assert_eq!(file(&archive), second, "{call} {at}");
            // The next change is made of that one.
            layout(&archive, &["drain", "c", "--dry-run"]);
            if done.code == 0 {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 5, "applying changes nothing: {kills}");
}

#[test]
fn a_node_that_is_killed_has_what_was_staged_and_applied() {
    let archive = begin();
    let node = crate::support::TestNode::start(&archive);
    node.run(&["layout", "drain", "a"]).lines(0);
    node.kill();
    let node = crate::support::TestNode::start(&archive);
    assert_eq!(node.get("/api/v1/layout").json()["staged"], serde_json::json!(["drain a"]));
    node.run(&["layout", "apply", "1"]).lines(0);
    let applied = file(&archive);
    node.kill();
    let node = crate::support::TestNode::start(&archive);
    let known = node.get("/api/v1/layout").json();
    assert_eq!((&known["version"], known["staged"].as_array().unwrap().len()), (&2.into(), 0));
    assert_eq!(file(&archive), applied);
}
