//! How `gapless record` ends where nothing came, or where something is asked for that there is not: with an exit code that says so, and a sentence.

use std::net::{TcpListener, UdpSocket};
use std::thread;

use crate::recording::recorded;
use crate::support::origin::Origin;
use crate::support::sender::free_ports;
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless};

#[test]
fn whoever_listened_in_vain_does_not_end_as_if_all_were_well() {
    let (tcp, udp) = free_ports();
    let sources = [
        (
            format!("rtmp://127.0.0.1:{tcp}/live/secret"),
            format!("nobody sent anything to rtmp://127.0.0.1:{tcp}/live/…"),
        ),
        (format!("srt://127.0.0.1:{udp}?mode=listener"), format!("nobody sent anything to srt://127.0.0.1:{udp}?…")),
    ];
    thread::scope(|scope| {
        for (source, expected) in &sources {
            scope.spawn(move || {
                let archive = TestArchive::empty();
                let done = gapless(archive.path(), &["record", "c", source, "--for", "2s"]);
                let says = |what: &str| done.err.contains(what);
                assert!(done.code == 3 && says("c/source: nothing was recorded") && says(expected), "{done:?}");
                assert!(!says("secret"), "{done:?}");
            });
        }
    });
}

#[test]
fn a_port_that_is_taken_is_said_with_what_to_do() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (tcp_place, udp_place) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let sources = [
        format!("rtmp://{tcp_place}/live/secret"),
        format!("srt://{udp_place}?mode=listener&passphrase=secret-of-mine"),
        format!("udp://{udp_place}"),
    ];
    let archive = TestArchive::empty();
    for url in &sources {
        for args in [&["record", "c", url, "--for", "2s"][..], &["record", "--test", url]] {
            let done = gapless(archive.path(), args);
            let said = format!("{}{}", done.out, done.err);
            assert!(done.code == 3 && said.contains("another program has this port: end that"), "{done:?}");
            assert!(!said.contains("secret"), "{done:?}");
        }
    }
}

#[test]
fn what_was_recorded_already_is_no_failure_and_an_archive_is_begun_once() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(2, &["-hls_list_size", "0", "-hls_flags", "program_date_time"]);
    let (archive, url) = (TestArchive::empty(), origin.url("live.m3u8"));
    let begins = "is not an archive yet; this begins one";
    let first = gapless(archive.path(), &["record", "c", &url]);
    assert!(first.code == 0 && first.err.contains(begins), "{first:?}");
    let again = gapless(archive.path(), &["record", "c", &url]);
    assert!(again.code == 0 && !again.err.contains(begins) && again.err.contains("0 segments"), "{again:?}");
    assert_eq!(recorded(&archive, "c/source").len(), 2);
    // What has ended without a segment is nothing, and a directory of something else is no archive.
    let other = TestArchive::empty();
    other.raw("films/2019/x.ts", b"x");
    origin.write("live.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-ENDLIST\n");
    let empty = gapless(other.path(), &["record", "c", &url]);
    assert!(empty.code == 3 && empty.err.contains("nothing was recorded") && empty.err.contains(begins), "{empty:?}");
}

#[test]
fn a_quality_that_the_source_does_not_offer_is_an_error_at_once_that_says_which_there_are() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(2, &["-hls_list_size", "0"]);
    let variant = |height: u32| format!("#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=160x{height}\nlive.m3u8\n");
    origin.write("master.m3u8", format!("#EXTM3U\n{}{}", variant(90), variant(60)).as_bytes());
    let archive = TestArchive::empty();
    for (list, expected) in [
        ("master.m3u8", "the source does not offer nope; it offers source (also called 90p), 60p"),
        ("live.m3u8", "the source does not offer nope; its playlist is no master playlist"),
    ] {
        let url = origin.url(list);
        for args in [&["record", "c", &url, "--quality", "nope"][..], &["record", "--test", &url, "--quality", "nope"]]
        {
            let done = gapless(archive.path(), args);
            assert!(done.code == 3 && done.err.contains(expected), "{done:?}");
        }
    }
    assert_eq!(std::fs::read_dir(archive.path()).unwrap().count(), 0, "something was begun");
    let done = gapless(archive.path(), &["record", "c", &origin.url("master.m3u8"), "--quality", "60p"]);
    assert_eq!((done.code, recorded(&archive, "c/60p").len()), (0, 2), "{done:?}");
}

#[test]
fn a_node_says_which_qualities_there_are_and_records_nothing_under_another_name() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(2, &["-hls_list_size", "0"]);
    let archive = TestArchive::empty();
    let url = origin.url("live.m3u8");
    let config = format!("[[record]]\nchannel = \"c\"\nsource = \"{url}\"\nqualities = [\"480p\"]\n");
    let node = TestNode::plan(&archive).config(&config).start();
    let expected = "the source does not offer 480p; its playlist is no master playlist";
    eventually(SOON, || node.get("/api/v1/status").text().contains(expected));
    assert_eq!(recorded(&archive, "c/480p").len(), 0);
    node.terminate();
}
