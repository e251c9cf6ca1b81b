//! Segments in fragmented MP4 are segments like others: listed, replicated, hidden, scrubbed and explained.

use std::fs;

use crate::support::archive::hash_text;
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless, invariants, mp4};

const HOUR: &str = "cam/source/2020-01-01T05";

/// Puts segments of a stream where a recorder would, from the beginning of the hour on; says their paths.
fn record(archive: &TestArchive, numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let one = |number: usize| {
        let prefix = format!("00:{:02}.000000-2.0-full", number * mp4::EACH as usize);
        archive.named(HOUR, &prefix, "mp4", &mp4::stream().segment(number))
    };
    numbers.into_iter().map(one).collect()
}

fn names(paths: &[String]) -> Vec<&str> {
    paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect()
}

#[test]
fn they_come_to_another_node_and_stay_hidden_where_they_are_hidden() {
    let (here, there) = (TestArchive::empty(), TestArchive::empty());
    let paths = record(&there, 0..4);
    let peer = TestNode::start(&there);
    peer.wait_ready();
    let plan = TestNode::plan(&here).flag("--peer").flag(format!("b=http://{}", peer.address));
    let node = plan.env("GAPLESS_BACKFILL_INTERVAL", "1s").env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s").start();
    eventually(SOON, || node.files(HOUR) == names(&paths));
    for (number, path) in paths.iter().enumerate() {
        assert_eq!(here.read(path), mp4::stream().segment(number), "{path}");
        assert_eq!(node.get(&format!("/segments/{path}")).header("content-type"), Some("video/mp4"));
    }
    let page = node.get("/api/v1/holes/cam/source?from=2020-01-01T05&to=2020-01-01T06").json();
    assert_eq!(page["covered_seconds"], 8.0, "{page}");
    assert_eq!(peer.run(&["tombstone", "add", &paths[1]]).code, 0);
    eventually(SOON, || node.files(HOUR) == names(&[paths[0].clone(), paths[2].clone(), paths[3].clone()]));
    for (archive, node) in [(&here, &node), (&there, &peer)] {
        invariants::listings_follow_the_disk(archive, node);
        node.check();
    }
    // A name that does not fit is listed and nothing else, as in other containers.
    here.raw(&format!("{HOUR}/seg00001.mp4"), b"x");
    eventually(SOON, || node.files(HOUR).len() == 4);
    assert!(node.run(&["explain", &format!("{HOUR}/seg00001.mp4")]).out.contains("TIME-DURATION-TYPE-HASH"));
}

#[test]
fn damaged_ones_are_found_and_sound_ones_left_alone() {
    let archive = TestArchive::empty();
    let paths = record(&archive, 0..5);
    let whole = archive.read(&paths[1]);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    archive.raw(&paths[1], &flipped);
    // Cut off before its name was made, so that its hash is right.
    let cut = &whole[..whole.len() / 2];
    let cut = {
        fs::remove_file(archive.at(&paths[2])).unwrap();
        archive.named(HOUR, "00:04.000000-2.0-full", "mp4", cut)
    };
    let node = TestNode::start(&archive);
    node.wait_ready();
    let scrubbed = node.run(&["scrub"]);
    let lines: Vec<&str> = scrubbed.lines(1).into_iter().filter(|line| line.starts_with("quarantined: ")).collect();
    assert_eq!(lines.len(), 2, "{}", scrubbed.out);
    assert!(lines[0].contains(&format!("{}: its content is not the one in its name", paths[1])), "{}", lines[0]);
    assert!(lines[1].contains(&format!("{cut}: it ends within the box mdat")), "{}", lines[1]);
    assert_eq!(node.files(HOUR), names(&[paths[0].clone(), paths[3].clone(), paths[4].clone()]));
    assert_eq!(hash_text(&archive.read(&paths[0])), hash_text(&mp4::stream().segment(0)));
    let explained = gapless(archive.path(), &["explain", &paths[0]]);
    assert_eq!(explained.code, 0, "{} {}", explained.out, explained.err);
}
