//! Names: odd ones are kept to the byte, and none leads out of the base directory (S1).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Kind, TestArchive, TestNode, gapless, invariants, quoted};

const SECRET: &[u8] = b"SECRET: must never be seen";
const HOUR: &str = "chan/source/2019-11-13T02";

/// An archive beside which a secret lies, as file and as a whole archive.
fn beside_a_secret() -> TestArchive {
    let archive = TestArchive::empty();
    archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    archive.raw("extras/a.txt", b"seen");
    let outside = archive.outside();
    fs::write(outside.join("secret.txt"), SECRET).unwrap();
    fs::create_dir_all(outside.join("elsewhere/source/2019-11-13T02")).unwrap();
    fs::write(outside.join("elsewhere/source/2019-11-13T02/secret.ts"), SECRET).unwrap();
    archive
}

/// The status of the answer, which must neither hold the secret nor list anything.
#[track_caller]
fn says_nothing(node: &TestNode, target: &[u8]) -> u16 {
    let mut request = b"GET ".to_vec();
    request.extend(target);
    request.extend(b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let answer = node.raw(&request);
    let (target, shown) = (String::from_utf8_lossy(target), String::from_utf8_lossy(&answer));
    assert!(!shown.contains("SECRET"), "{target}: {shown}");
    let status = shown.split(' ').nth(1).unwrap_or_default().parse();
    let status = status.unwrap_or_else(|_| panic!("{target}: {shown:?}"));
    assert!(status != 200 || shown.ends_with("\r\n\r\n[]"), "{target}: {shown}");
    status
}

#[test]
fn no_path_leads_out_of_the_base() {
    let archive = beside_a_secret();
    let node = TestNode::start(&archive);
    let absolute = archive.outside().join("secret.txt").to_str().unwrap().to_owned();
    let ways_up =
        ["..", "%2e%2e", "%2E.", ".%2e", "..%2f", "%2e%2e%2f", "..%2f..", "..;", "%252e%252e", "..%5c", "..%00"];
    for prefix in ["/segments", "/extras", "/files", "/segments/chan", "/segments/chan/source/2019-11-13T02"] {
        for up in ways_up {
            for rest in ["secret.txt", "../secret.txt", "elsewhere", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.txt"] {
                let target = format!("{prefix}/{up}/{rest}");
                let status = says_nothing(&node, target.as_bytes());
                let may_list_nothing = prefix.ends_with("files") || prefix.ends_with("extras");
                assert!(matches!(status, 403 | 404) || may_list_nothing && status == 200, "{target}: {status}");
            }
        }
        for target in [format!("{prefix}/{absolute}"), format!("{prefix}/{}", absolute.replace('/', "%2f"))] {
            let status = says_nothing(&node, target.as_bytes());
            assert!(matches!(status, 403 | 404), "{target}: {status}");
        }
    }
    for target in
        [absolute.as_bytes(), b"//secret.txt", b"/../secret.txt", b"/segments/chan%00/x", b"/segments/a%0d%0ab"]
    {
        assert!(matches!(says_nothing(&node, target), 400 | 403 | 404), "{target:?}");
    }
    assert_eq!(says_nothing(&node, b"/segments/chan/source/../../../secret.txt"), 403);
    assert_eq!(says_nothing(&node, b"/segments/.gapless/marker"), 403);
    assert_eq!(says_nothing(&node, b"/segments/%2egapless/marker"), 403);
    assert_eq!(says_nothing(&node, b"/extras/.gapless"), 403);
    assert_eq!(says_nothing(&node, b"/files/.gapless"), 403);
    assert_eq!(says_nothing(&node, b"/api/v1/segments/../elsewhere"), 403);
    assert_eq!(says_nothing(&node, format!("/segments/{}", "x".repeat(256)).as_bytes()), 404);
    assert_eq!(says_nothing(&node, format!("/segments/{}", "%78".repeat(3_000)).as_bytes()), 404);
    assert_eq!(says_nothing(&node, format!("/segments{}", "/x".repeat(3_000)).as_bytes()), 404);
    assert_eq!(says_nothing(&node, b"/segments/\xff\xfe"), 400);
}

#[test]
fn no_link_is_followed_and_none_is_listed() {
    let archive = beside_a_secret();
    let outside = archive.outside().to_owned();
    let segment = archive.listing(HOUR, false).remove(0);
    archive.symlink(outside.join("secret.txt"), "extras/absolute.txt");
    archive.symlink("../../secret.txt", "extras/relative.txt");
    archive.symlink(&outside, "extras/absolute");
    archive.symlink("../..", "extras/relative");
    archive.symlink("a.txt", "extras/inside.txt");
    archive.symlink(outside.join("elsewhere"), "linked");
    archive.symlink(outside.join("elsewhere/source"), "chan/linked");
    archive.symlink(outside.join("elsewhere/source/2019-11-13T02"), "chan/source/2019-11-13T03");
    archive.symlink("2019-11-13T02", "chan/source/2019-11-13T04");
    archive.symlink(outside.join("elsewhere/source/2019-11-13T02/secret.ts"), &format!("{HOUR}/link.ts"));
    archive.symlink(&segment, &format!("{HOUR}/inside.ts"));
    archive.symlink("/", "root");
    let node = TestNode::start(&archive);
    node.wait_ready();
    assert_eq!(node.files(HOUR), [segment.as_str()]);
    assert_eq!(node.get("/extras/extras").list(), ["a.txt"]);
    invariants::hold(&archive, &node);
    for path in [
        "extras/absolute.txt",
        "extras/relative.txt",
        "extras/absolute/secret.txt",
        "extras/relative/secret.txt",
        "extras/inside.txt",
        "linked/source/2019-11-13T02/secret.ts",
        "chan/linked/2019-11-13T02/secret.ts",
        "chan/source/2019-11-13T03/secret.ts",
        &format!("chan/source/2019-11-13T04/{segment}"),
        &format!("{HOUR}/link.ts"),
        &format!("{HOUR}/inside.ts"),
        "root/etc/passwd",
    ] {
        let status = says_nothing(&node, format!("/segments/{path}").as_bytes());
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    for path in ["linked/source/2019-11-13T02", "chan/linked", "chan/source/2019-11-13T03", "chan/source/2019-11-13T04"]
    {
        assert!(node.files(path).is_empty(), "{path}");
    }
    for path in ["linked", "extras/absolute", "root"] {
        let response = node.get(&format!("/extras/{path}"));
        assert!(response.status != 200 || response.list().is_empty(), "{path}: {response:?}");
    }
}

#[test]
fn directories_pipes_and_sockets_are_not_files() {
    let archive = beside_a_secret();
    archive.mkdir(&format!("{HOUR}/directory.ts"));
    rustix::fs::mkfifoat(rustix::fs::CWD, archive.at(&format!("{HOUR}/pipe.ts")), rustix::fs::Mode::RWXU).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, archive.at("extras/pipe"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(archive.at(&format!("{HOUR}/socket.ts"))).unwrap();
    let node = TestNode::start(&archive);
    node.wait_ready();
    invariants::hold(&archive, &node);
    assert_eq!(node.get("/extras/extras").list(), ["a.txt"]);
    for path in
        [&format!("{HOUR}/directory.ts"), &format!("{HOUR}/pipe.ts"), &format!("{HOUR}/socket.ts"), "extras/pipe", HOUR]
    {
        node.get(&format!("/segments/{path}")).problem(404);
    }
}

#[test]
fn names_that_are_not_utf8_are_neither_listed_nor_served() {
    let archive = beside_a_secret();
    let odd = OsStr::from_bytes(b"caf\xe9.ts");
    fs::write(archive.at(HOUR).join(odd), b"latin-1").unwrap();
    fs::create_dir_all(archive.path().join(OsStr::from_bytes(b"\xff\xfe/source/2019-11-13T02"))).unwrap();
    let node = TestNode::start(&archive);
    node.wait_ready();
    invariants::hold(&archive, &node);
    assert_eq!(node.files(""), ["chan"]);
    node.get(&format!("/segments/{HOUR}/caf%E9.ts")).problem(404);
    assert!(matches!(node.get("/files/%ff%fe").status, 200 | 404));
}

#[test]
fn odd_but_valid_names_are_kept_to_the_byte() {
    let archive = TestArchive::empty();
    for channel in ["a b", "100%", "quo\"te", "back\\slash", "ünï", "日本", "😀", "a+b", "q?x=1#y", "a;b", "tab\there"]
    {
        archive.segment(&format!("{channel}/q u%2f/2019-11-13T02"), "00:00", 2.0, Kind::Full);
    }
    let hour = "chan/source/2019-11-13T02";
    for (time, duration) in [
        ("00:00", "2"),
        ("00:00", "2.0"),
        ("00:00.0", "2.000"),
        ("00:00.000000", "02.0"),
        ("00:01.5", "2.0000000"),
        ("00:01.50", "0.0000005"),
        ("59:59.999999", "3600"),
        ("00:02", "3600.1"),
        ("00:03", "-1"),
        ("0:03", "2.0"),
    ] {
        archive.named(hour, &format!("{time}-{duration}-full"), "ts", time.as_bytes());
    }
    for name in
        ["bad %41 name.ts", "ünï.ts", "\"quoted\".json", "a\\b.ts", "new\nline.ts", "only.tombstone", "no-extension"]
    {
        archive.raw(&format!("{hour}/{name}"), name.as_bytes());
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    invariants::hold(&archive, &node);
    for hour in archive.all_hours() {
        for name in node.files(&hour) {
            let path = format!("{hour}/{name}");
            let response = node.get(&format!("/segments/{}", quoted(&path)));
            assert_eq!(response.status, 200, "{path}");
            assert_eq!(response.body, archive.read(&path), "{path}");
        }
    }
}

#[test]
fn lists_are_written_as_the_tools_of_this_field_write_them() {
    let archive = TestArchive::empty();
    for channel in ["plain", "ünï", "😀", "a \"b\"\\", "tab\t\u{7f}"] {
        archive.segment(&format!("{channel}/source/2019-11-13T02"), "00:00", 2.0, Kind::Full);
    }
    let node = TestNode::start(&archive);
    // What Python's json.dumps makes of the sorted names.
    let expected = "[\"a \\\"b\\\"\\\\\", \"plain\", \"tab\\t\u{7f}\", \"\\u00fcn\\u00ef\", \"\\ud83d\\ude00\"]";
    let response = node.get("/files");
    assert_eq!(response.text(), expected);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(node.get("/files/nobody").text(), "[]");
    assert_eq!(node.get("/files/plain").text(), "[\"source\"]");
}

/// Channels whose names a terminal, a reader of lines or a scraper would obey, and one that looks like the escape of another.
const STEERING: [&str; 5] = [
    "\u{1b}]0;owned\u{7}\u{1b}[2Jred",
    "line\nlevel=ERROR forged=1",
    "carriage\rreturn\u{9b}31m",
    "\u{202e}gnp\u{2028}.",
    "C:\\new\\x1b[2J",
];

fn steers(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{2028}'..='\u{202e}')
}

#[track_caller]
fn steers_nothing(what: &str, text: &str) {
    assert!(!text.contains(steers), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("level=ERROR forged")), "{what}: {text}");
}

#[test]
fn no_name_steers_a_terminal_forges_a_line_or_breaks_a_scrape() {
    let archive = TestArchive::empty();
    for channel in STEERING {
        archive.segment(&format!("{channel}/source/2019-11-13T02"), "00:00", 2.0, Kind::Full);
    }
    gapless(archive.path(), &["rebuild"]).lines(0);
    let verbs = |ask: &dyn Fn(&[&str]) -> crate::support::Outcome| {
        let listed = ask(&["ls"]);
        let lines = listed.lines(0);
        assert_eq!(lines.len(), STEERING.len(), "a name is a line: {lines:?}");
        for line in &lines {
            // As it is printed it can be given back.
            assert_eq!(ask(&["ls", &format!("{line}/source")]).lines(0), ["2019-11-13T02"], "{line}");
            let stream = format!("{line}/source");
            for verb in [&["holes", &stream][..], &["explain", "2019-11-13T02:00:01", "--channel", line]] {
                let outcome = ask(verb);
                assert_eq!(outcome.code, 0, "{verb:?}: {}", outcome.err);
                steers_nothing(verb[0], &outcome.out);
            }
        }
        assert_eq!(ask(&["ls", "--json"]).json(0), {
            let mut names = STEERING;
            names.sort_unstable();
            serde_json::Value::from(names.to_vec())
        });
        for verb in [
            &["ls"][..],
            &["ls", "--json"],
            &["coverage", "--once"],
            &["coverage", "--once", "--json"],
            &["doctor"],
            &["scrub"],
        ] {
            let outcome = ask(verb);
            steers_nothing(&format!("stdout of {verb:?}"), &outcome.out);
            steers_nothing(&format!("stderr of {verb:?}"), &outcome.err);
        }
        // What clap echoes.
        let wrong = ask(&["ls", "\u{1b}[2J/b/c/d\nforged"]);
        assert_eq!(wrong.code, 2);
        steers_nothing("wrong usage", &wrong.err);
        assert!(wrong.err.contains("\\x1b[2J/b/c/d\\nforged"), "{}", wrong.err);
    };
    verbs(&|args| gapless(archive.path(), args));
    let node = TestNode::start(&archive);
    node.wait_ready();
    verbs(&|args| node.run(args));
    let metrics = node.get("/metrics").text().to_owned();
    steers_nothing("metrics", &metrics);
    assert!(metrics.contains("channel=\"\\\\x1b]0;owned\\\\x07"), "{metrics}");
    node.run(&[
        "tombstone",
        "add",
        &format!(
            "{}/source/2019-11-13T02/{}",
            STEERING[0],
            node.files(&format!("{}/source/2019-11-13T02", STEERING[0]))[0]
        ),
    ]);
    let list = node.run(&["tombstone", "list"]);
    let path = list.lines(0)[0].split('\t').next().unwrap();
    assert!(path.starts_with("\\x1b]0;owned\\x07"), "{path}");
}
