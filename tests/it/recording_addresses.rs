//! Addresses of playlists that go, while what they listed still comes: nobody waits for that before the next address is asked.

use std::fmt::Write as _;
use std::fs::File;

use crate::recording::recorded;
use crate::support::node::gapless_begun;
use crate::support::origin::Origin;
use crate::support::{SOON, TestArchive, eventually};

#[test]
fn an_address_that_expires_while_a_segment_does_not_come_is_followed_by_the_next_at_once() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(6, &["-hls_list_size", "0"]);
    // Nobody listens there: that is tried for long.
    let never = "http://127.0.0.1:9/never.ts";
    let list = |first: u64, names: &[&str]| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for (number, name) in (first..).zip(names) {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:2026-11-29T10:00:{number:02}Z\n#EXTINF:1,\n{name}").unwrap();
        }
        origin.write("live.m3u8", text.as_bytes());
    };
    let lead_to = |query: &str| {
        origin.require(query);
        let master = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8?{query}\n");
        origin.write("master", master.as_bytes());
    };
    list(0, &["live0.ts", never, "live2.ts"]);
    lead_to("one");
    let archive = TestArchive::empty();
    let url = origin.url("master");
    let said = tempfile::NamedTempFile::new().unwrap();
    let said: File = said.reopen().unwrap();
    let mut recording = gapless_begun(archive.path(), &["record", "c", &url, "--for", "100s"], said);
    let count = || recorded(&archive, "c/source").len();
    eventually(SOON, || count() == 2);
    list(0, &["live0.ts", never, "live2.ts", "live3.ts"]);
    lead_to("two");
    eventually(SOON, || count() == 3);
    // The same address again, after it was not there for a moment.
    lead_to("three");
    eventually(SOON, || origin.requests().iter().filter(|head| head.contains("live.m3u8?three")).count() > 1);
    origin.require("nobody");
    eventually(SOON, || {
        let asked = origin.requests();
        let last = asked.iter().rfind(|head| head.contains(".m3u8") || head.contains("/master")).cloned();
        last.is_some_and(|head| head.contains("/master"))
    });
    origin.require("three");
    list(2, &["live2.ts", "live3.ts", "live4.ts"]);
    eventually(SOON, || count() == 4);
    recording.kill().unwrap();
    recording.wait().unwrap();
}
