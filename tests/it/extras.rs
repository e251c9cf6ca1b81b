//! Extras: what lies beside the channels comes from other nodes by name, replaces nothing, and never leaves its directory.

use crate::support::peer::{FalsePeer, Sent};
use crate::support::{Kind, Outcome, TestArchive, TestNode, gapless};

/// One round that fetches these directories.
fn fetch(archive: &TestArchive, address: std::net::SocketAddr, dirs: &[&str]) -> Outcome {
    let peer = format!("other=http://{address}");
    let mut args = vec!["backfill", "--once", "--peer", &peer];
    args.extend(dirs.iter().flat_map(|dir| ["--extras", dir]));
    gapless(archive.path(), &args)
}

#[test]
fn what_is_missing_comes_by_name_and_what_is_there_stays() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
    for (path, content) in
        [("notes/a.txt", "a"), ("notes/deep/er/b.bin", "b"), ("notes/both.txt", "theirs"), ("other/c", "c")]
    {
        theirs.raw(path, content.as_bytes());
    }
    theirs.raw("notes/.hidden", b"x");
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    theirs.raw("notes/large", &large);
    theirs.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    ours.raw("notes/both.txt", b"ours");
    let peer = TestNode::start(&theirs);
    peer.wait_ready();
    fetch(&ours, peer.address, &["notes"]).lines(0);
    assert_eq!((ours.read("notes/a.txt"), ours.read("notes/deep/er/b.bin")), (b"a".to_vec(), b"b".to_vec()));
    assert_eq!((ours.read("notes/both.txt"), ours.read("notes/large")), (b"ours".to_vec(), large));
    assert!(!ours.at("notes/.hidden").exists() && !ours.at("other").exists());
    assert!(ours.at("chan/source/2019-11-13T02").read_dir().unwrap().next().is_some(), "segments come, too");
    let before = ours.snapshot();
    fetch(&ours, peer.address, &["notes", "none"]).lines(0);
    let changed: Vec<_> =
        ours.snapshot().into_iter().filter(|it| !it.0.to_string_lossy().contains(".gapless")).collect();
    let expected: Vec<_> = before.into_iter().filter(|it| !it.0.to_string_lossy().contains(".gapless")).collect();
    assert_eq!(changed, expected);
}

#[test]
fn a_channel_is_no_extras() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
    ours.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    theirs.raw("chan/notes.txt", b"x");
    let peer = TestNode::start(&theirs);
    peer.wait_ready();
    assert!(fetch(&ours, peer.address, &["chan"]).lines(1).join("\n").contains("is a channel"));
    assert!(!ours.at("chan/notes.txt").exists());
    for wrong in [".gapless", "../x", "a/b", ""] {
        assert_eq!(fetch(&ours, peer.address, &[wrong]).code, 2, "{wrong:?}");
    }
}

#[test]
fn hostile_paths_lead_nowhere() {
    let ours = TestArchive::empty();
    let outside = ours.outside().join("outside");
    std::fs::create_dir(&outside).unwrap();
    ours.symlink(&outside, "notes/link");
    ours.raw("notes/file", b"ours");
    let names: Vec<String> = [
        "../escaped",
        "/absolute",
        "a/../../escaped",
        ".hidden",
        "a/.hidden/x",
        "",
        "a//b",
        "link/x",
        "file/x",
        "link",
        "nul\0x",
        "source/2019-11-13T02/00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts",
        "source/2019-11-13T02",
        "good",
        "gone",
        "liar",
    ]
    .map(str::to_owned)
    .to_vec();
    let peer = FalsePeer::start(move |path| match path {
        "/files" => Sent::list(&[]),
        "/extras/notes" => Sent::list(&names),
        "/segments/notes/gone" => Sent::not_found(),
        "/segments/notes/liar" => Sent::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort".to_vec()),
        path if path.starts_with("/segments/notes/") => Sent::answer("200 OK", "", b"content"),
        _ => Sent::not_found(),
    });
    fetch(&ours, peer.address, &["notes"]).lines(1);
    assert_eq!(ours.read("notes/good"), b"content");
    assert_eq!(ours.read("notes/file"), b"ours");
    let mut there: Vec<_> =
        ours.at("notes").read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, ["file", "good", "link"], "and no temporary");
    assert!(outside.read_dir().unwrap().next().is_none() && !ours.outside().join("escaped").exists());
    let asked = peer.asked();
    assert!(
        !asked.iter().any(|path| path.contains("escaped") || path.contains("hidden") || path.contains("2019")),
        "{asked:?}"
    );
}

#[test]
fn a_round_fetches_only_so_much() {
    let ours = TestArchive::empty();
    let file = ours.outside().join("config.toml");
    std::fs::write(&file, "[backfill]\nextras = \"notes\"\nmax_extras_bytes = \"1MiB\"\nkeep_free = 0\n").unwrap();
    let peer = FalsePeer::start(|path| match path {
        "/files" => Sent::list(&[]),
        "/extras/notes" => Sent::list(&["a".to_owned(), "b".to_owned(), "endless".to_owned()]),
        "/segments/notes/endless" => {
            Sent::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), vec![b'x'; 65_536])
        }
        path if path.starts_with("/segments/notes/") => Sent::answer("200 OK", "", &vec![b'y'; 400_000]),
        _ => Sent::not_found(),
    });
    let (address, config) = (format!("other=http://{}", peer.address), file.to_str().unwrap());
    let outcome = gapless(ours.path(), &["--config", config, "backfill", "--once", "--peer", &address]);
    assert!(outcome.lines(1).join("\n").contains("endless"), "{}", outcome.out);
    assert!(ours.at("notes/b").exists() && !ours.at("notes/endless").exists());
    assert_eq!(ours.at("notes").read_dir().unwrap().count(), 2);
}

#[test]
fn extras_of_all_rounds_keep_to_their_budget() {
    let ours = TestArchive::empty();
    ours.raw("emotes/own", &vec![b'x'; 500_000]);
    let file = ours.outside().join("config.toml");
    let config = "[backfill]\nextras = \"notes,emotes\"\nextras_budget = 1015000\nkeep_free = 0\n";
    std::fs::write(&file, config).unwrap();
    let peer = FalsePeer::start(|path| match path {
        "/files" | "/extras/emotes" => Sent::list(&[]),
        "/extras/notes" => Sent::list(&["a", "b", "c", "d"].map(str::to_owned)),
        path if path.starts_with("/segments/notes/") => Sent::answer("200 OK", "", &vec![b'y'; 250_000]),
        _ => Sent::not_found(),
    });
    let (address, config) = (format!("other=http://{}", peer.address), file.to_str().unwrap());
    for _ in 0..3 {
        let outcome = gapless(ours.path(), &["--config", config, "backfill", "--once", "--peer", &address]);
        assert!(outcome.lines(1).join("\n").contains("raise extras_budget"), "{}", outcome.out);
        assert_eq!(
            ours.at("notes").read_dir().unwrap().count(),
            2,
            "what other nodes put there counts in the next round, too"
        );
    }
}

#[test]
fn what_does_not_come_leaves_no_directory_behind() {
    let ours = TestArchive::empty();
    ours.mkdir("notes/empty");
    let paths = ["missing/a/x", "short/a/x", "refused/a/x", "empty/x", "good/a/x"].map(str::to_owned);
    let peer = FalsePeer::start(move |path| match path {
        "/files" => Sent::list(&[]),
        "/extras/notes" => Sent::list(&paths),
        "/segments/notes/good/a/x" => Sent::answer("200 OK", "", b"content"),
        "/segments/notes/refused/a/x" => Sent::answer("500 Internal Server Error", "", b""),
        "/segments/notes/short/a/x" | "/segments/notes/empty/x" => {
            Sent::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort".to_vec())
        }
        _ => Sent::not_found(),
    });
    fetch(&ours, peer.address, &["notes"]).lines(1);
    assert_eq!(ours.read("notes/good/a/x"), b"content");
    let mut there: Vec<_> =
        ours.at("notes").read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    assert_eq!(there, ["empty", "good"], "and what was there before stays");
}

#[test]
fn a_directory_that_cannot_be_listed_keeps_no_other_from_coming() {
    let ours = TestArchive::empty();
    let peer = FalsePeer::start(|path| match path {
        "/files" => Sent::list(&[]),
        "/extras/first" => Sent::answer("500 Internal Server Error", "", b""),
        "/extras/second" => Sent::list(&["x".to_owned()]),
        "/segments/second/x" => Sent::answer("200 OK", "", b"content"),
        _ => Sent::not_found(),
    });
    fetch(&ours, peer.address, &["first", "second"]).lines(1);
    assert_eq!(ours.read("second/x"), b"content");
}
