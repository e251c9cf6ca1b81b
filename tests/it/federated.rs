//! Playlists of a node that lacks something, with `peers=true`: what others have is told by their addresses, and what they say beyond that
//! costs nothing.

use crate::support::archive::hash_text;
use crate::support::node::Plan;
use crate::support::peer::{FalsePeer, Sent, head};
use crate::support::{Connection, Kind, TestArchive, TestNode, hls};

const HOUR: &str = "chan/source/2020-01-01T05";
const ASKED: &str = "/playlist/chan/source.m3u8?start=2020-01-01T05:00:00&end=2020-01-01T05:00:20";

/// A node with these peers that fetches nothing from them.
fn plan(archive: &TestArchive, peers: &[String]) -> Plan {
    let plan = TestNode::plan(archive).env("GAPLESS_BACKFILL_CHANNELS", "nothing of all this");
    peers.iter().fold(plan, |plan, peer| plan.flag("--peer").flag(peer))
}

/// The beginnings of the segments of a complete stretch.
fn times() -> impl Iterator<Item = String> {
    (0..10).map(|number| format!("00:{:02}.000000", number * 2))
}

/// A playlist: its addresses, and how many discontinuities it has.
fn list(node: &TestNode, path: &str) -> (Vec<String>, usize, String) {
    let answer = node.get(path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text().to_owned();
    hls::valid(&text);
    let addresses = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    (addresses, text.matches("#EXT-X-DISCONTINUITY\n").count(), text)
}

/// What is fetched there is what the name says.
fn is_right(node: &TestNode, address: &str) -> bool {
    let body = match address.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
        Some((host, path)) => Connection::open(host.parse().unwrap()).request("GET", &format!("/{path}"), &[]),
        None => node.get(address),
    };
    let hash = hash_text(&body.body);
    body.status == 200 && address.ends_with(&format!("-{hash}.ts"))
}

#[test]
fn what_is_missing_here_is_watched_from_where_it_is() {
    let (complete, holed) = (TestArchive::empty(), TestArchive::empty());
    for (at, time) in times().enumerate() {
        let path = complete.segment(HOUR, &time, 2.0, Kind::Full);
        if at % 3 == 0 {
            holed.raw(&path, &complete.read(&path));
        }
    }
    // A worse one than the other node has.
    holed.segment(HOUR, "00:08.000000", 2.0, Kind::Partial);
    let other = TestNode::start(&complete);
    other.wait_ready();
    let node = plan(&holed, &[format!("other=http://{}", other.address)]).start();
    node.wait_ready();

    let (own, discontinuities, _) = list(&node, ASKED);
    assert_eq!(own.len(), 5);
    assert!(discontinuities > 0 && own.iter().all(|address| address.starts_with("/segments/")));

    let (all, discontinuities, text) = list(&node, &format!("{ASKED}&peers=true"));
    assert_eq!((all.len(), discontinuities), (10, 0), "{text}");
    assert!(text.ends_with("#EXT-X-ENDLIST\n") && text.contains("#EXT-X-TARGETDURATION:2\n"), "{text}");
    let here: Vec<bool> = all.iter().map(|address| address.starts_with("/segments/")).collect();
    assert_eq!(here, (0..10).map(|at| at % 3 == 0).collect::<Vec<_>>());
    assert!(all.iter().all(|address| is_right(&node, address)), "{text}");
    // The master playlist hands it on.
    let master = node.get("/playlist/chan.m3u8?peers=true");
    assert!(master.text().contains("\n/playlist/chan/source.m3u8?peers=true\n"), "{}", master.text());
}

#[test]
fn what_is_hidden_here_or_there_is_not_told() {
    let (complete, holed) = (TestArchive::empty(), TestArchive::empty());
    let paths: Vec<String> = times().map(|time| complete.segment(HOUR, &time, 2.0, Kind::Full)).collect();
    for path in [&paths[0], &paths[9]] {
        holed.raw(path, &complete.read(path));
    }
    holed.tombstone(&paths[3]);
    complete.tombstone(&paths[6]);
    let other = TestNode::start(&complete);
    other.wait_ready();
    let node = plan(&holed, &[format!("other=http://{}", other.address)]).start();
    node.wait_ready();
    let (all, discontinuities, text) = list(&node, &format!("{ASKED}&peers=true"));
    assert_eq!((all.len(), discontinuities), (8, 2), "{text}");
    assert!(all.iter().all(|address| is_right(&node, address)), "{text}");
}

#[test]
fn one_that_lies_says_nothing_about_what_is_here() {
    let archive = TestArchive::empty();
    let paths: Vec<String> = times()
        .filter(|time| time != "00:06.000000")
        .map(|time| archive.segment(HOUR, &time, 2.0, Kind::Full))
        .collect();
    let other = hash_text(b"other");
    let mut names: Vec<String> = [
        "00:00.000000-3600.0-full",
        "00:00.000000-2.0-full",
        "00:01.000000-2.0-full",
        "00:06.000000-2.5-full",
        "00:06.000000-1999999999999999999999.0-full",
        "00:06.000000-2.0-temp",
        "99:06.000000-2.0-full",
        "../../00:06.000000-2.0-full",
        "00:06.000000-2.0-full\n#EXT-X-ENDLIST\n",
        "00:07.990000-0.0-full",
    ]
    .map(|beginning| format!("{beginning}-{other}.ts"))
    .into();
    // Tombstones of others hide nothing of ours.
    names.extend(paths.iter().map(|path| path.rsplit('/').next().unwrap().replace(".ts", ".tombstone")));
    let liar = FalsePeer::start(move |_| Sent::list(&names));
    let strange = FalsePeer::start(|_| Sent::Endless(head("200 OK", ""), b"[[[[".to_vec()));
    // Does not know tombstones in lists, and has what is missing.
    let found = format!("00:06.000000-2.0-full-{}.ts", hash_text(b"found"));
    let there = found.clone();
    let old = FalsePeer::start(move |path| match path {
        path if path.contains("tombstones") => Sent::answer("400 Bad Request", "", b"what?"),
        path if path.ends_with("T05") => Sent::list(std::slice::from_ref(&there)),
        _ => Sent::list(&[]),
    });
    let peers = [&liar, &strange, &old].map(|peer| format!("http://{}", peer.address));
    let node = plan(&archive, &peers).start();
    node.wait_ready();
    let (all, discontinuities, text) = list(&node, &format!("{ASKED}&peers=true"));
    let expected: Vec<String> = {
        let ours = paths.iter().map(|path| format!("/segments/{}", path.replace(':', "%3A")));
        let mut all: Vec<String> = ours.collect();
        all.insert(3, format!("http://{}/segments/{HOUR}/{}", old.address, found.replace(':', "%3A")));
        all
    };
    assert_eq!((all, discontinuities), (expected, 0), "{text}");
    assert!(text.contains("#EXT-X-TARGETDURATION:2\n"), "{text}");
}

#[test]
fn one_that_hangs_is_left_out_and_left_alone() {
    let archive = TestArchive::empty();
    archive.segment(HOUR, "00:00.000000", 2.0, Kind::Full);
    archive.segment(HOUR, "00:18.000000", 2.0, Kind::Full);
    let found = format!("00:02.000000-2.0-full-{}.ts", hash_text(b"found"));
    let hangs = FalsePeer::start(|_| Sent::Trickle(head("200 OK", "Content-Type: application/json\r\n")));
    let answers =
        FalsePeer::start(
            move |path| {
                if path.contains("T05") { Sent::list(std::slice::from_ref(&found)) } else { Sent::list(&[]) }
            },
        );
    let node = plan(&archive, &[&hangs, &answers].map(|peer| format!("http://{}", peer.address))).start();
    node.wait_ready();
    let listed = |peer: &FalsePeer| peer.asked().iter().filter(|path| path.contains("/source/2020-01-01T0")).count();
    let (all, _, text) = list(&node, &format!("{ASKED}&peers=true"));
    assert_eq!(all.len(), 3, "{text}");
    let asked = listed(&hangs);
    assert!(asked > 0);
    let (all, _, _) = list(&node, &format!("{ASKED}&peers=true&gaps=true"));
    assert!(all.len() > 3);
    assert_eq!(listed(&hangs), asked, "it is left alone for a moment");
    assert_eq!(node.get("/playlist/none/source.m3u8?peers=true").status, 404);
    assert_eq!(node.get(&format!("{ASKED}&peers=perhaps")).status, 400);
}
