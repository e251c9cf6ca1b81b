//! A node among peers each of which does one thing as badly as it can, and one that is honest: what the honest one has comes,
//! the node answers all the while, and nothing but time and a bounded amount of memory is lost to the others.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use crate::support::archive::{hash_text, packets, snapshot};
use crate::support::peer::{FalsePeer, Sent, head};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

const HOUR: &str = "2010-01-01T00";
/// Memory, in KiB, with all of the below at the same time: each may fill one listing of 64 MiB, or a million names, and what
/// was given back to the allocator does not go back to the system at once. The build is one for debugging.
const MEMORY_KIB: u64 = 340 << 10;
/// Requests to one peer while the test lasts: not one after the other without a pause, except where each leads to another.
const REQUESTS: usize = 3000;

fn list(names: &[&str]) -> Sent {
    Sent::list(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
}

fn json_head(more: &str) -> Vec<u8> {
    head("200 OK", &format!("Content-Type: application/json\r\n{more}"))
}

fn value(value: &serde_json::Value) -> Sent {
    Sent::answer("200 OK", "Content-Type: application/json\r\n", value.to_string().as_bytes())
}

/// Speaks the fixed part, has one hour in a channel of its own, and answers `hour` and `file` for what is in it.
fn with_an_hour(
    channel: &'static str,
    hour: impl Fn() -> Sent + Send + Sync + 'static,
    file: impl Fn(&str) -> Sent + Send + Sync + 'static,
) -> FalsePeer {
    FalsePeer::start(move |path| match path.split('?').next().unwrap_or_default() {
        "/files" => list(&[channel]),
        path if path.starts_with("/api/") => Sent::not_found(),
        path if path.starts_with("/segments/") => file(path),
        path => match path.split('/').count() {
            3 => list(&["source"]),
            4 => list(&[HOUR]),
            _ => hour(),
        },
    })
}

fn nothing(_: &str) -> Sent {
    Sent::not_found()
}

/// The beginning of a body in gzip, and a piece of it that stands for a megabyte and can be repeated for ever.
fn bomb() -> (Vec<u8>, Vec<u8>) {
    let mut whole = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    whole.write_all(b"[\"a\"").unwrap();
    whole.flush().unwrap();
    let beginning = whole.get_ref().clone();
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut piece = Vec::with_capacity(1 << 20);
    deflate.compress_vec(&b",\"a\"".repeat(1 << 18), &mut piece, flate2::FlushCompress::Full).unwrap();
    (beginning, piece)
}

/// Hours, names and lengths that no calendar has, or the last that it has.
fn from_the_year_9999() -> FalsePeer {
    let content = packets("from the year 9999", 2);
    let named = format!("59:59.999999-3600.0-full-{}.ts", hash_text(&content));
    FalsePeer::start(move |path| match path.split('?').next().unwrap_or_default() {
        "/files" => list(&["late"]),
        "/files/late" => list(&["source"]),
        "/files/late/source" => list(&[
            "9999-99-99T99",
            "9999-12-31T23",
            "9999-12-31T24",
            "10000-01-01T00",
            "0000-00-00T00",
            "2010-02-30T00",
            "-001-01-01T00",
        ]),
        path if path.starts_with("/files/late/source/") => list(&[&named, "99:99-9999999999-full-x.ts"]),
        path if path.starts_with("/segments/late/source/9999-12-31T23/") => Sent::answer("200 OK", "", &content),
        _ => Sent::not_found(),
    })
}

/// Speaks of digests, and there is always another page, day and hour.
fn with_digests_without_end() -> FalsePeer {
    let digest = "ab".repeat(32);
    FalsePeer::start(move |path| {
        let number: u32 = rand::random::<u32>() % 10_000;
        let day = format!("20{:02}-{:02}-{:02}", number % 100, 1 + number % 12, 1 + number % 28);
        match path.split('?').next().unwrap_or_default().split('/').count() {
            _ if !path.starts_with("/api/v1/digests") => Sent::not_found(),
            4 => value(&json!({"epoch": "e", "seq": 1, "complete": true, "next": format!("c{number}"), "qualities":
                [{"channel": format!("c{number}"), "quality": "source", "digest": digest, "hours": 1, "files": 1}]})),
            6 => value(&json!({"epoch": "e", "seq": 1, "complete": true, "next": day, "days":
                [{"day": day, "digest": digest, "hours": 24, "files": u64::MAX}]})),
            _ => value(&json!({"epoch": "e", "seq": 1, "complete": true, "hours":
                (0..30).map(|hour| json!({"hour": format!("{day}T{hour:02}"), "digest": digest, "files": 1})).collect::<Vec<_>>()})),
        }
    })
}

/// Changes its epoch with each answer, and tells of changes of everything everywhere, with numbers that cannot be.
fn with_changes_from_nowhere() -> FalsePeer {
    FalsePeer::start(|path| {
        let epoch = format!("{:016x}", rand::random::<u64>());
        let seq = [0, 1, u64::MAX, u64::MAX - 1][rand::random::<u32>() as usize % 4];
        let change = |channel: &str, hour: &str, name: &str, seq: u64| {
            json!({"seq": seq, "channel": channel, "quality": "source",
            "hour": hour, "name": name, "change": "put", "size": u64::MAX})
        };
        if path.starts_with("/api/v1/digests") {
            value(&json!({"epoch": epoch, "seq": seq, "complete": true, "qualities": []}))
        } else if path.starts_with("/api/v1/changes") {
            let changes = [
                change("..", HOUR, "../../x.ts", u64::MAX),
                change("/etc", "../..", "passwd", 0),
                change("changed", "9999-99-99T99", "00:00-2.0-full-x.ts", u64::MAX),
                change("changed", HOUR, &format!("00:00-2.0-full-{}.ts", hash_text(b"")), 3),
                change("changed", HOUR, "\u{0}", 2),
            ];
            value(&json!({"epoch": epoch, "gap": seq == 1, "changes": changes, "next": seq, "last": u64::MAX}))
        } else {
            Sent::not_found()
        }
    })
}

/// What can be wrong with many files in one answer.
#[derive(Debug, Clone, Copy)]
enum Bundle {
    /// Everything, for ever, with the next request.
    Later,
    /// Other content than the names say.
    Forged,
    /// Other names than were asked for.
    Renamed,
    /// A size that is none.
    Huge,
    /// No end.
    Endless,
    /// Compressed, and no end.
    Bomb,
}

/// Speaks of digests like a node, lists an hour in a channel of its own, and sends its files as `what` says.
fn with_bundles(channel: &'static str, what: Bundle) -> FalsePeer {
    let named = |second: u32| format!("00:{second:02}-2.0-full-{}.ts", hash_text(&second.to_le_bytes()));
    let names: Vec<String> = (0..30).map(named).collect();
    let (digest, (beginning, piece)) = ("ef".repeat(32), bomb());
    FalsePeer::start(move |question| {
        let (path, body) = question.split_once('\n').unwrap_or((question, ""));
        let parts = path.split('?').next().unwrap_or_default().split('/').count();
        if path.starts_with("/api/v1/bundle/") {
            let asked: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            let asked: Vec<&str> =
                asked["names"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
            let line = |name: &&str| match what {
                Bundle::Forged => format!("6 {name}\nforged"),
                Bundle::Renamed => format!("1 ../{name}\nx"),
                Bundle::Huge => format!("18446744073709551615 {name}\nx"),
                _ => format!("later {name}\n"),
            };
            let kind = "Content-Type: application/vnd.gapless.bundle\r\n";
            let lines = asked.iter().map(line).collect::<String>() + "end\n";
            return match what {
                Bundle::Endless => Sent::Endless(head("200 OK", kind), lines.into_bytes()),
                Bundle::Bomb => {
                    let head = head("200 OK", &format!("{kind}Content-Encoding: gzip\r\n"));
                    Sent::Endless([head, beginning.clone()].concat(), piece.clone())
                }
                _ => Sent::answer("200 OK", kind, lines.as_bytes()),
            };
        }
        let hour = json!([{"hour": HOUR, "digest": digest, "files": names.len()}]);
        let day = json!([{"day": &HOUR[..10], "digest": digest, "hours": 1, "files": names.len()}]);
        match (path.starts_with("/api/v1/digests"), parts) {
            (true, 4) => value(&json!({"epoch": "e", "seq": 1, "complete": true, "qualities":
                [{"channel": channel, "quality": "source", "digest": digest, "hours": 1, "files": names.len()}]})),
            (true, 6) => value(&json!({"epoch": "e", "seq": 1, "complete": true, "days": day})),
            (true, _) => value(&json!({"epoch": "e", "seq": 1, "complete": true, "hours": hour})),
            (false, 5) if path.starts_with("/files/") => Sent::list(&names),
            _ => Sent::not_found(),
        }
    })
}

/// Names at every level that lead elsewhere.
fn climber() -> FalsePeer {
    let named = format!("00:00-2.0-full-{}.ts", hash_text(b"x"));
    FalsePeer::start(move |path| {
        let digest = "cd".repeat(32);
        if path.starts_with("/api/v1/digests") {
            let channels = ["..", "../../x", "/etc", ".gapless", "a/b", "nul\0", "", "climbed"];
            let quality =
                |channel: &&str| json!({"channel": channel, "quality": "..", "digest": digest, "hours": 1, "files": 1});
            return match path.split('/').count() {
                4 => value(
                    &json!({"epoch": "e", "seq": 1, "complete": true, "qualities": channels.iter().map(quality).collect::<Vec<_>>()}),
                ),
                _ => value(
                    &json!({"epoch": "e", "seq": 1, "complete": true, "days": [{"day": "../..", "digest": digest, "hours": 1, "files": 1}],
                    "hours": [{"hour": "../../x", "digest": digest, "files": 1}]}),
                ),
            };
        }
        let long = "../".repeat(2000);
        let bad = ["..", "../../x", "/etc/passwd", ".gapless/marker", "a/b", "nul\0", "", &long];
        let names: Vec<String> = bad.iter().map(|bad| format!("{bad}/{named}")).chain(bad.map(str::to_owned)).collect();
        if path.starts_with("/files") { Sent::list(&names) } else { Sent::answer("200 OK", "", b"x") }
    })
}

/// All who do something wrong, by what they do.
fn villains(honest: &TestArchive, elsewhere: SocketAddr) -> Vec<(&'static str, FalsePeer)> {
    let honest_hour = format!("chan/source/{HOUR}");
    let names = honest.listing(&honest_hour, false);
    let kept = honest.listing(&format!("kept/source/{HOUR}"), false);
    let tombstones: Vec<String> = kept.iter().map(|name| name.replace(".ts", ".tombstone")).collect();
    let digest = hash_text(b"again");
    let again = format!("\"00:00-2.0-full-{digest}.ts\",").into_bytes();
    let (beginning, piece) = bomb();
    let endless =
        move || Sent::Endless([json_head("Content-Encoding: gzip\r\n"), beginning.clone()].concat(), piece.clone());
    let bombs = endless.clone();
    let long = || Sent::Often([json_head(""), b"[\"".to_vec()].concat(), vec![b'a'; 1 << 20], 10, b"\"]".to_vec());
    let many = || {
        let begins = [json_head(""), b"[\"a\"".to_vec()].concat();
        Sent::Often(begins, b",\"00:00-2.0-full-x.ts\"".repeat(10_000), 1000, b"]".to_vec())
    };
    let repeated = move || {
        let begins = [json_head(""), b"[".to_vec()].concat();
        Sent::Often(begins, again.repeat(1000), 900, [&again[..again.len() - 1], b"]"].concat())
    };
    let huge =
        |_: &str| Sent::Bytes([head("200 OK", "Content-Length: 18446744073709551615\r\n"), b"x".to_vec()].concat());
    let sized = [names[0].clone()];
    vec![
        ("long", with_an_hour("long", long, nothing)),
        ("many", with_an_hour("many", many, nothing)),
        ("bomb", with_an_hour("bomb", endless, nothing)),
        ("bombs", FalsePeer::start(move |_| bombs())),
        ("again", with_an_hour("again", repeated, |_| Sent::answer("200 OK", "", b"something else"))),
        ("sized", with_an_hour("sized", move || Sent::list(&sized), huge)),
        ("forger", with_an_hour("chan", move || Sent::list(&names), |_| Sent::answer("200 OK", "", b"forged"))),
        ("deleter", with_an_hour("kept", move || Sent::list(&tombstones), nothing)),
        ("late", from_the_year_9999()),
        ("pages", with_digests_without_end()),
        ("changes", with_changes_from_nowhere()),
        ("climber", climber()),
        ("forged", with_bundles("forged", Bundle::Forged)),
        ("renamed", with_bundles("renamed", Bundle::Renamed)),
        ("huge", with_bundles("huge", Bundle::Huge)),
        ("endless", with_bundles("endless", Bundle::Endless)),
        ("bundles", with_bundles("bundles", Bundle::Bomb)),
        (
            "redirect",
            FalsePeer::start(move |path| {
                Sent::answer("302 Found", &format!("Location: http://{elsewhere}{path}\r\n"), b"")
            }),
        ),
        ("trickle", FalsePeer::start(|_| Sent::Trickle([json_head(""), b"[\"chan\"]".to_vec()].concat()))),
        (
            "headers",
            FalsePeer::start(|_| Sent::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Header: value\r\n".repeat(100))),
        ),
        (
            "html",
            FalsePeer::start(|_| Sent::answer("200 OK", "Content-Type: text/html\r\n", b"<html>It works!</html>")),
        ),
        ("babble", FalsePeer::start(|_| Sent::Endless(Vec::new(), vec![0xff; 4096]))),
        ("mute", FalsePeer::start(|_| Sent::Bytes(Vec::new()))),
    ]
}

fn files(base: &std::path::Path) -> BTreeSet<String> {
    let found = snapshot(base).into_iter().filter(|(_, (is_dir, ..))| !is_dir);
    let found = found.map(|(path, _)| path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
    // A segment of the year 9999 with the right content is a segment.
    found.filter(|path| !path.starts_with(".gapless") && !path.starts_with("late/source/9999-12-31T23/")).collect()
}

#[test]
fn among_villains_a_node_gets_what_the_honest_have_and_answers_all_the_while() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    for minute in 10..40 {
        full.segment(&format!("chan/source/{HOUR}"), &format!("{minute}:00"), 2.0, Kind::Full);
        full.segment("chan/480p/2010-01-01T01", &format!("{minute}:00"), 2.0, Kind::Full);
        // Of what is here already nothing is to be hidden.
        for archive in [&full, &empty] {
            archive.segment(&format!("kept/source/{HOUR}"), &format!("{minute}:00"), 2.0, Kind::Full);
        }
    }
    let honest = TestNode::start(&full);
    honest.wait_ready();
    let elsewhere = FalsePeer::start(|_| Sent::not_found());
    let villains = villains(&full, elsewhere.address);
    // This one takes connections and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = TestNode::plan(&empty)
        .env("GAPLESS_BACKFILL_INTERVAL", "2s")
        .env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s")
        .env("GAPLESS_LOG", "info,gapless::sync::crawl=warn");
    let all = villains.iter().map(|(name, peer)| (*name, peer.address));
    for (name, address) in all.chain([("silent", silent.local_addr().unwrap()), ("honest", honest.address)]) {
        plan = plan.flag("--peer").flag(format!("{name}=http://{address}"));
    }
    let node = plan.start();
    let mut most = 0;
    let mut looks_well = || {
        assert_eq!(node.get("/healthz").status, 200);
        assert!([200, 404].contains(&node.get(&format!("/files/chan/source/{HOUR}")).status));
        most = node.own_memory_kib().max(most);
        assert!(most < MEMORY_KIB, "{most} KiB");
        assert!(node.descriptors() < 500, "{} descriptors", node.descriptors());
    };
    let mut comes = |due: BTreeSet<String>| {
        // A round shares the processors with twenty-three that do their worst: ten seconds of work, and as many times more as others work beside it.
        eventually(SOON * 4, || {
            looks_well();
            files(empty.path()).iter().filter(|path| !path.contains("/.")).eq(&due)
        });
    };
    comes(files(full.path()));
    // Each has been heard, and something new comes all the same.
    eventually(SOON * 3, || villains.iter().all(|(_, peer)| !peer.asked().is_empty()));
    for minute in 40..45 {
        full.segment("chan/480p/2010-01-01T01", &format!("{minute}:00"), 2.0, Kind::Full);
        comes(files(full.path()));
    }
    println!("{most} KiB resident at most");
    let told = || {
        let status = node.get("/api/v1/status").json();
        let peers = status["peers"].as_array().unwrap().clone();
        let with_error = peers.into_iter().filter(|peer| peer["error"].is_string());
        with_error.map(|peer| peer["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Ten million entries take their time.
    eventually(SOON * 4, || {
        let told = told();
        assert!(!told.iter().any(|name| name == "honest"), "{told:?}");
        let villainous = ["long", "many", "bomb", "bombs", "redirect", "headers", "html", "babble", "mute", "sized"];
        villainous.iter().all(|name| told.iter().any(|known| known == name))
    });
    for (name, peer) in villains.iter().filter(|(name, _)| *name != "pages") {
        assert!(peer.asked().len() < REQUESTS, "{name} was asked {} times", peer.asked().len());
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new(), "a redirect was followed");
    assert_eq!(std::fs::read_dir(empty.outside()).unwrap().count(), 1, "something appeared outside of the base");
    let listed = node.files_with_tombstones(&format!("kept/source/{HOUR}"));
    assert_eq!(listed, full.listing(&format!("kept/source/{HOUR}"), true), "everything was to be deleted");
    let log = node.log();
    assert!(!log.contains("panicked") && !log.contains("crashed"), "{log}");
    node.check();
    node.terminate();
    assert_eq!(files(empty.path()), files(full.path()));
}

/// R6, D3: a peer that only ever puts off is left alone after a while.
#[test]
fn one_that_puts_off_everything_for_ever_is_not_asked_for_ever() {
    let empty = TestArchive::empty();
    let peer = with_bundles("later", Bundle::Later);
    let plan = TestNode::plan(&empty).env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s");
    let node = plan.flag("--peer").flag(format!("later=http://{}", peer.address)).start();
    eventually(SOON, || {
        let status = node.get("/api/v1/status").json()["peers"][0].clone();
        status["error"].is_string() || status["rounds"].as_u64() > Some(0)
    });
    assert!(peer.asked().len() < REQUESTS, "it was asked {} times", peer.asked().len());
}
