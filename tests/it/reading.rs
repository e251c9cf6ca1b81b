//! Any node of a layout answers for all of them: what is listed, played and cut does not depend on who is asked, while each node keeps only
//! what it owns.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::Value;

use crate::owned_hours::{another_round, change, held, hours, owned, plan, trusting, url, with_one_layout};
use crate::support::node::Plan;
use crate::support::peer::FalsePeer;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

/// What is asked of every node, of all that the archive holds.
fn questions() -> Vec<String> {
    let fixed = ["/files", "/files/c", "/files/c/source", "/files/c/source/2020-01-09T00"];
    let ours = ["coverage", "timespans", "segments", "sequence", "map"];
    let window = "start=2020-01-01T00:00:00&end=2020-01-03T00:00:00";
    let lists = hours().into_iter().map(|hour| format!("/files/{hour}"));
    let tombstones = hours().into_iter().map(|hour| format!("/files/{hour}?tombstones=true"));
    let ours = ours.map(|what| format!("/api/v1/{what}/c/source"));
    let played = [
        format!("/playlist/c/source.m3u8?{window}"),
        format!("/playlist/c.m3u8?{window}"),
        format!("/cut/c/source.ts?{window}&type=rough&allow_holes=true"),
        "/api/v1/timeline/c/source?pixels=100".to_owned(),
    ];
    fixed.map(str::to_owned).into_iter().chain(lists).chain(tombstones).chain(ours).chain(played).collect()
}

/// Which holes there are; why, and since when, each node says by itself.
fn holes(node: &TestNode) -> Vec<(Value, Value)> {
    let found = node.get("/api/v1/holes/c/source").json()["holes"].as_array().cloned().unwrap_or_default();
    found.into_iter().map(|hole| (hole["start"].clone(), hole["end"].clone())).collect()
}

/// Where two nodes answer differently.
fn differences(one: &TestNode, other: &TestNode) -> Vec<String> {
    let differs = |question: &String| {
        let (one, other) = (one.get(question), other.get(question));
        (one.status, one.body) != (other.status, other.body)
    };
    questions().into_iter().filter(differs).collect()
}

#[track_caller]
fn agree(one: &TestNode, others: &[&TestNode]) {
    for other in others {
        let mut last = Vec::new();
        for _ in 0..100 {
            last = differences(one, other);
            if last.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let said = last.first().map(|question| {
            format!(
                "{question}:\n{}\n{}",
                String::from_utf8_lossy(&one.get(question).body),
                String::from_utf8_lossy(&other.get(question).body)
            )
        });
        assert!(last.is_empty(), "{last:?}\n{said:?}");
    }
}

/// A node that has all that these have, and no layout.
fn full_mirror(archives: &[TestArchive]) -> TestArchive {
    let full = TestArchive::empty();
    for hour in hours() {
        for archive in archives {
            if !archive.at(&hour).exists() {
                continue;
            }
            for name in archive.listing(&hour, true) {
                full.raw(&format!("{hour}/{name}"), &archive.read(&format!("{hour}/{name}")));
            }
        }
    }
    full
}

/// Three nodes of one layout that know each other; a has recorded everything.
fn three(archives: &[TestArchive; 3]) -> [TestNode; 3] {
    let begin = three_at(archives);
    [begin(0), begin(1), begin(2)].map(|node| trusting(node).start())
}

/// The same, to be started one by one.
pub(crate) fn three_at(archives: &[TestArchive; 3]) -> impl Fn(usize) -> Plan {
    let listening: Vec<String> = (0..3).map(|_| free_address()).collect();
    let all = ["a", "b", "c"];
    move |at| {
        let others = (0..3).filter(|other| *other != at);
        let peers: Vec<String> = others.map(|other| format!("{}=http://{}", all[other], listening[other])).collect();
        plan(&archives[at], all[at], &peers).listen(&listening[at])
    }
}

/// A port that nobody takes before the node does: of an address of this process, which neither connects from there nor listens there
/// elsewhere.
fn free_address() -> String {
    let own = std::process::id().to_le_bytes();
    let address = std::net::Ipv4Addr::new(127, 100 + own[2] % 100, own[1], own[0]);
    std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().to_string()
}

fn local(node: &TestNode, hour: &str) -> Vec<String> {
    node.get(&format!("/files/{hour}?local=true")).list()
}

/// Those whose names this node lists with others, and does not have itself.
fn elsewhere(node: &TestNode) -> BTreeSet<String> {
    hours().into_iter().filter(|hour| !node.files(hour).is_empty() && local(node, hour).is_empty()).collect()
}

#[test]
fn every_node_answers_like_one_that_has_everything() {
    let archives = with_one_layout("1");
    // A hole, what hides something, and what plays on into the next hour.
    let hour = hours().into_iter().nth(5).unwrap();
    archives[0].segment(&hour, "30:00", 2.0, Kind::Partial);
    archives[0].segment(&hour, "59:59", 2.0, Kind::Full);
    let hidden = archives[0].segment(&hour, "40:00", 2.0, Kind::Full);
    archives[0].tombstone(&hidden);
    let nodes = three(&archives);
    for (node, archive, name) in [(&nodes[1], &archives[1], "b"), (&nodes[2], &archives[2], "c")] {
        eventually(SOON * 2, || held(archive) == owned(archive, name));
        another_round(node, 2);
    }
    let full = full_mirror(&archives);
    let whole = TestNode::start(&full);
    agree(&whole, &nodes.each_ref());
    assert!(nodes.iter().all(|node| holes(node) == holes(&whole) && holes(node).len() > 30));
    // What is asked for by itself as well, whole or in part.
    let (own, of_b) = (owned(&archives[2], "c"), owned(&archives[1], "b"));
    let hour = of_b.iter().find(|hour| !own.contains(*hour)).unwrap();
    let name = archives[1].listing(hour, false).remove(0);
    let path = format!("/segments/{hour}/{name}");
    assert!(!archives[2].at(&format!("{hour}/{name}")).exists());
    let bytes = archives[1].read(&format!("{hour}/{name}"));
    let given = nodes[2].get(&path);
    assert_eq!((given.status, &given.body), (200, &bytes));
    assert_eq!(given.header("etag"), whole.get(&path).header("etag"));
    let head = nodes[2].request("HEAD", &path, &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "cache-control", "accept-ranges"] {
        assert_eq!(head.header(name), given.header(name), "{name}");
    }
    let part = nodes[2].get_with(&path, &[("range", "bytes=3-7")]);
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes[3..8]));
    assert!(!archives[2].at(&format!("{hour}/{name}")).exists(), "nothing of it stays");

    // Of itself each tells only what lies there.
    assert_eq!(nodes[2].get(&format!("{path}?local=true")).status, 404);
    let listed = nodes[2].get("/files/c/source?local=true").list();
    let expected: Vec<String> =
        held(&archives[2]).iter().map(|hour| hour.rsplit('/').next().unwrap().to_owned()).collect();
    let mut listed: BTreeSet<String> = listed.into_iter().collect();
    listed.retain(|hour| !local(&nodes[2], &format!("c/source/{hour}")).is_empty());
    assert_eq!(listed.into_iter().collect::<Vec<_>>(), expected);
    assert!(elsewhere(&nodes[2]).len() > 10);
    assert!(elsewhere(&nodes[0]).is_empty(), "it recorded everything");
    assert!(elsewhere(&whole).is_empty());
}

#[test]
fn names_stay_while_their_owner_is_off_and_bytes_come_from_whoever_has_them() {
    let archives = with_one_layout("1");
    let [a, b, c] = three(&archives);
    let of_b = owned(&archives[1], "b");
    eventually(SOON * 2, || held(&archives[1]) == of_b && c.files("c/source").len() == hours().len());
    let hour = of_b.first().unwrap();
    let name = archives[1].listing(hour, false).remove(0);
    let path = format!("/segments/{hour}/{name}");
    b.terminate();
    assert_eq!(c.get(&path).status, 200, "a has it as well");
    a.terminate();
    assert_eq!(c.request("HEAD", &path, &[]).status, 200, "it is known all the same");
    let refused = c.get(&path);
    let (_, detail) = refused.problem(503);
    assert!(detail.contains("on other nodes alone") && detail.contains("a: ") && detail.contains("; "), "{detail}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(c.files(hour), [name.as_str()], "it is known all the same");
    // What is known of others outlives the process; without it only they can say it.
    let elsewhere = archives[2].at(".gapless/mirrors");
    let stopped = c.address.to_string();
    c.terminate();
    let again = || trusting(plan(&archives[2], "c", &[])).listen(&stopped);
    let files = fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(files.len(), 3, "{files:?}");
    let peers = ["a=http://127.0.0.1:9".to_owned(), "b=http://127.0.0.1:9".to_owned()];
    let c = trusting(plan(&archives[2], "c", &peers)).listen(&stopped).start();
    // From the first answer on; before, it says to ask again.
    let first = loop {
        let answer = c.request("GET", &format!("/files/{hour}"), &[]);
        if answer.status == 200 {
            break answer;
        }
        let (_, detail) = answer.problem(503);
        assert!(detail.contains("has just begun") && answer.header("retry-after").is_some(), "{detail}");
    };
    assert_eq!(first.list(), [name.as_str()]);
    c.terminate();
    for file in files {
        fs::write(file, "no index").unwrap();
    }
    let a = trusting(plan(&archives[0], "a", &[])).start();
    let c = trusting(plan(&archives[2], "c", &[format!("a={}", url(&a))])).listen(&stopped).start();
    eventually(SOON * 2, || c.files(hour) == [name.as_str()]);
    assert_eq!(c.get(&path).status, 200);
    // Without a layout the node keeps everything itself, and nothing is left of what it knew of others.
    c.terminate();
    fs::remove_file(archives[2].at(".gapless/layout")).unwrap();
    fs::remove_file(archives[2].at(".gapless/layout-known")).unwrap();
    let c = again().start();
    eventually(SOON, || !elsewhere.exists());
    assert!(c.files(hour).is_empty());
}

#[test]
fn what_a_node_gives_is_looked_at_before_anybody_gets_it() {
    let archives = with_one_layout("1");
    let a = plan(&archives[0], "a", &[]).start();
    let lying = FalsePeer::before(&a, |path| !path.starts_with("/segments/"));
    let c = plan(&archives[2], "c", &[format!("lies=http://{}", lying.address)]).start();
    eventually(SOON * 2, || c.files("c/source").len() == hours().len());
    let own = owned(&archives[2], "c");
    let hour = hours().into_iter().find(|hour| !own.contains(hour)).unwrap();
    let name = archives[0].listing(&hour, false).remove(0);
    let path = format!("/segments/{hour}/{name}");
    let (_, detail) = c.get(&path).problem(503);
    assert!(detail.contains("lies: it does not have it any more"), "{detail}");
    // One that gives other bytes under that name.
    c.terminate();
    archives[0].raw(&format!("{hour}/{name}"), &vec![b'x'; archives[0].read(&format!("{hour}/{name}")).len()]);
    let c = plan(&archives[2], "c", &[format!("a={}", url(&a))]).start();
    eventually(SOON * 2, || !c.files(&hour).is_empty());
    let (_, detail) = c.get(&path).problem(503);
    assert!(detail.contains("a: what it gave is not what the hash in the name says"), "{detail}");
    assert_eq!(c.get_with(&path, &[("range", "bytes=0-0")]).status, 503);
}

/// Listens to a node until it tells of a change in this hour.
struct Listener(std::net::TcpStream);

impl Listener {
    fn of(node: &TestNode) -> Self {
        let mut stream = std::net::TcpStream::connect(node.address).unwrap();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(SOON * 2)).unwrap();
        let mut listener = Self(stream);
        listener.hears("event: status");
        listener
    }

    #[track_caller]
    fn hears(&mut self, words: &str) {
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(words) {
            let mut piece = [0; 4096];
            let read = self.0.read(&mut piece).expect("it is told of within the patience");
            assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&piece[..read]);
        }
    }
}

#[test]
fn who_listens_is_told_of_hours_that_change_on_other_nodes() {
    let archives = with_one_layout("1");
    let nodes = three(&archives);
    let of_b = owned(&archives[1], "b");
    eventually(SOON * 2, || held(&archives[1]) == of_b && nodes[2].files("c/source").len() == hours().len());
    let mut listeners = nodes.each_ref().map(Listener::of);
    for hour in of_b.iter().take(2) {
        archives[1].segment(hour, "50:00", 2.0, Kind::Full);
        let told = hour.replace('/', "\",\"");
        for listener in &mut listeners {
            listener.hears(&format!("[\"{told}\"]"));
        }
        for node in &nodes {
            assert!(node.files(hour).iter().any(|name| name.starts_with("50:00")), "it is there when it is told of");
        }
    }
}

#[test]
fn where_it_is_so_set_clients_are_sent_to_a_node_that_has_the_file_and_answers() {
    let archives = with_one_layout("1");
    let begin = three_at(&archives);
    let [a, b] = [0, 1].map(|at| trusting(begin(at)).start());
    let c = trusting(begin(2)).env("GAPLESS_PLACEMENT_REDIRECT", "true").start();
    let of_b = owned(&archives[1], "b");
    eventually(SOON * 2, || held(&archives[1]) == of_b && c.files("c/source").len() == hours().len());
    another_round(&c, 2);
    let hour = of_b.first().unwrap();
    let name = archives[1].listing(hour, false).remove(0);
    let path = format!("/segments/{hour}/{name}");
    let at = |node: &TestNode| format!("{}{path}?local=true", url(node));
    let sent = |method: &str, path: &str| {
        let answer = c.request(method, path, &[]);
        (answer.status, answer.header("location").map(str::to_owned), answer.header("cache-control").map(str::to_owned))
    };
    let to_b = (307, Some(at(&b)), Some("no-store".to_owned()));
    assert_eq!((sent("GET", &path), sent("HEAD", &path)), (to_b.clone(), to_b));
    assert_eq!(b.get(&format!("{path}?local=true")).body, archives[1].read(&format!("{hour}/{name}")));
    let through = c.get_with(&path, &[("gapless-redirect", "no")]);
    assert_eq!((through.status, through.body), (200, archives[1].read(&format!("{hour}/{name}"))));
    // Nodes that ask each other are sent nowhere, nor is anybody for what is here, what nobody has, or what is made of many files.
    assert_eq!(c.get(&format!("{path}?local=true")).status, 404);
    let own = owned(&archives[2], "c");
    let own = own.iter().find(|hour| archives[2].at(hour).exists()).unwrap();
    assert_eq!(c.get(&format!("/segments/{own}/{}", archives[2].listing(own, false)[0])).status, 200);
    assert_eq!(c.get(&path.replace(".ts", "x.ts")).status, 404);
    let window =
        format!("start={}:00:00&end={}:59:59", hour.rsplit('/').next().unwrap(), hour.rsplit('/').next().unwrap());
    assert_eq!(c.get(&format!("/cut/c/source.ts?{window}&type=rough&allow_holes=true")).status, 200);
    // Another one that has it, once the owner does not answer; and from nobody, that nobody gives it.
    b.terminate();
    eventually(SOON * 2, || sent("GET", &path).1 == Some(at(&a)));
    a.terminate();
    eventually(SOON * 2, || c.get(&path).status == 503);
}

#[test]
fn what_is_hidden_deleted_or_moved_by_others_is_so_for_whoever_reads_here() {
    let archives = with_one_layout("1");
    let [a, b, c] = three(&archives);
    let nodes = [&a, &b, &c];
    for (archive, name) in [(&archives[1], "b"), (&archives[2], "c")] {
        eventually(SOON * 2, || held(archive) == owned(archive, name));
    }
    agree(&a, &nodes);
    let of_b: Vec<String> = owned(&archives[1], "b").into_iter().collect();
    let name = archives[1].listing(&of_b[0], false).remove(0);
    archives[1].tombstone(&format!("{}/{name}", of_b[0]));
    for node in nodes {
        eventually(SOON * 2, || node.files(&of_b[0]).is_empty());
        eventually(SOON * 2, || node.get(&format!("/segments/{}/{name}", of_b[0])).status == 410);
    }
    // An hour that goes wherever it lies.
    for archive in &archives[..2] {
        fs::remove_dir_all(archive.at(&of_b[1])).unwrap();
    }
    let hour = of_b[1].rsplit('/').next().unwrap();
    for node in nodes {
        eventually(SOON * 2, || !node.files("c/source").iter().any(|listed| listed == hour));
    }
    // No list lacks a name while hours move to other nodes.
    let all: Vec<(String, Vec<String>)> = hours().into_iter().map(|hour| (hour.clone(), a.files(&hour))).collect();
    change(&archives[0], &[&["drain", "c"]]);
    let is_moved = || held(&archives[1]).is_superset(&owned(&archives[0], "b")) && owned(&archives[2], "c").is_empty();
    for _ in 0..100 {
        for node in nodes {
            for (hour, listed) in &all {
                assert_eq!(&node.files(hour), listed, "{hour}");
            }
        }
        if is_moved() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    agree(&a, &nodes);
}
