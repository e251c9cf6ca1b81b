//! Names join and what is in the segments does not: an encoder that starts anew, and another size of picture, as real players have to be
//! told of them.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::support::{SOON, TestArchive, TestNode, eventually, gapless, hls, video};

const HOUR: &str = "chan/source/2019-11-13T02";
const LIST: &str = "/playlist/chan/source.m3u8?start=2019-11-13T02:10:00&end=2019-11-13T02:10:16";

/// Two segments of two seconds of a picture of another size, whose time stamps go on behind so many seconds.
fn larger(behind: u32) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "4", "-c:v", "libx264"]);
    command.args(["-preset", "ultrafast", "-bf", "0", "-g", "60", "-sc_threshold", "0", "-c:a", "aac"]);
    command.args(["-output_ts_offset", &behind.to_string(), "-f", "segment", "-segment_format", "mpegts"]);
    command.args(["-segment_time", "2"]).arg(dir.path().join("%05d.ts"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (0..2).map(|at| fs::read(dir.path().join(format!("{at:05}.ts"))).unwrap()).collect()
}

/// Which entries come after a discontinuity.
fn broken(node: &TestNode) -> Vec<usize> {
    let list = node.get(LIST);
    let media = hls::valid(list.text());
    assert!(media.has_ended && media.entries.len() == 8, "{}", list.text());
    let entries = media.entries.iter().enumerate();
    entries.filter(|(_, entry)| entry.is_after_discontinuity).map(|(at, _)| at).collect()
}

#[test]
fn players_are_told_where_a_recording_does_not_go_on_although_its_names_do() {
    let archive = TestArchive::empty();
    let usual = video::segments(3, 2.0);
    // Three, the same encoder from its beginning again, and then a larger picture that goes on.
    let contents = [usual.clone(), usual, larger(6)].concat();
    for (number, content) in (0..).zip(&contents) {
        archive.named(HOUR, &format!("10:{:02}.000000-2.0-full", number * 2), "ts", content);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    assert_eq!(broken(&node), [3, 6]);
    // A visitor of the crawl reads what nobody has asked for.
    archive.named(HOUR, "30:00.000000-2.0-full", "ts", b"nothing that anybody has asked for");
    let read = || {
        node.post("/api/v1/crawl/run", Some(&node.own_token()), &json!({ "visitor": "facts" }));
        node.get("/api/v1/crawl").text().contains("segments read")
    };
    eventually(SOON, read);
    node.terminate();
    // What is known of segments is no difference, and an index that is made anew comes to know the same.
    let before = gapless(archive.path(), &["rebuild", "--check"]);
    assert!(before.lines(0).is_empty());
    let node = TestNode::start(&archive);
    node.wait_ready();
    assert_eq!(broken(&node), [3, 6]);
    node.terminate();
    gapless(archive.path(), &["rebuild"]).lines(0);
    let node = TestNode::start(&archive);
    node.wait_ready();
    assert_eq!(broken(&node), [3, 6]);
}
