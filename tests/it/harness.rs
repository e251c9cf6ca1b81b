//! That the language of these tests works: a node on an archive, through its whole life.

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, invariants};

#[test]
fn a_node_follows_what_happens_to_its_archive() {
    let archive = TestArchive::empty();
    let hour = "chan/source/2019-11-13T02";
    archive.segment(hour, "00:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    invariants::hold(&archive, &node);

    let second = archive.segment(hour, "00:02", 2.0, Kind::Suspect);
    invariants::is_listed(&node, &second);
    archive.segment(hour, "00:04", 2.0, Kind::Temp);
    archive.chat("chan/chat/2019-11-13T02", "00:00");
    archive.tombstone(&second);
    archive.raw(&format!("{hour}/garbage.ts"), b"x");
    invariants::hold(&archive, &node);
    eventually(SOON, || node.files("chan") == ["chat", "source"]);

    archive.rename_dir(hour, "other/480p/2020-01-01T00");
    archive.remove("chan");
    invariants::hold(&archive, &node);

    node.kill();
    archive.segment("other/480p/2020-01-01T00", "00:10", 2.5, Kind::Partial);
    let node = TestNode::start(&archive);
    node.wait_ready();
    invariants::hold(&archive, &node);
    node.terminate();
}
