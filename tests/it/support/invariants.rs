//! What must always hold, whatever happened before; seen from outside.

use std::fs;

use super::{SOON, TestArchive, TestNode, archive::hash_text, eventually, model};

/// Everything the node lists is what the rules make of the directory; what it lists is complete; and a check finds nothing.
///
/// A node may take a moment to notice what just changed, so each is given that moment.
#[track_caller]
pub fn hold(archive: &TestArchive, node: &TestNode) {
    listings_follow_the_disk(archive, node);
    what_is_listed_is_complete(archive, node);
    node.check();
}

/// Channels, qualities, hours and the files of every hour, with and without tombstones.
#[track_caller]
pub fn listings_follow_the_disk(archive: &TestArchive, node: &TestNode) {
    let mut wrong = None;
    let begun = std::time::Instant::now();
    loop {
        let before = std::mem::replace(&mut wrong, first_difference(archive, node));
        if wrong.is_none() {
            return;
        }
        assert!(begun.elapsed() < SOON, "{wrong:?}; before that {before:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Where the node's answer is not the model's.
pub fn first_difference(archive: &TestArchive, node: &TestNode) -> Option<String> {
    let differs = |place: &str, expected: Vec<String>, got: Vec<String>| {
        (expected != got).then(|| format!("{place}: the disk has {expected:?}, listed are {got:?}"))
    };
    let channels = archive.channels();
    let mut found = differs("channels", channels.clone(), node.files(""));
    for channel in channels {
        found = found.or_else(|| differs(&channel, archive.qualities(&channel), node.files(&channel)));
        for quality in archive.qualities(&channel) {
            let stream = format!("{channel}/{quality}");
            found = found.or_else(|| differs(&stream, archive.hours(&stream), node.files(&stream)));
        }
    }
    for hour in archive.all_hours() {
        found = found
            .or_else(|| differs(&hour, archive.listing(&hour, false), node.files(&hour)))
            .or_else(|| differs(&hour, archive.listing(&hour, true), node.files_with_tombstones(&hour)));
    }
    found
}

/// I1: what is listed is on disk under that name, and its SHA-256 is the one in its name.
#[track_caller]
pub fn what_is_listed_is_complete(archive: &TestArchive, node: &TestNode) {
    for hour in archive.all_hours() {
        for name in node.files(&hour) {
            let content = fs::read(archive.at(&format!("{hour}/{name}"))).expect("what is listed is on disk");
            if let Some(read) = model::read_name(&name) {
                assert_eq!(hash_text(&content), read.hash, "{hour}/{name}");
            }
        }
    }
}

/// Waits until the node lists this file, and says how long that took.
#[track_caller]
pub fn is_listed(node: &TestNode, path: &str) -> std::time::Duration {
    let begun = std::time::Instant::now();
    let (hour, name) = path.rsplit_once('/').unwrap();
    eventually(SOON, || node.files(hour).iter().any(|listed| listed == name));
    begun.elapsed()
}
