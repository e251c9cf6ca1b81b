//! Hours that lie on a node that does not own them leave it when all of their owners have them, and at no other time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use gapless::archive::HourPlace;
use gapless::archive::placement::{Layout, Slot};
use serde_json::{Value, json};

use crate::support::node::Plan;
use crate::support::trouble::{Mount, may_mount};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless};

const HOURS: usize = 30;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Nodes that know one another by their names, each beneath an archive of its own.
struct Cluster {
    archives: [TestArchive; 3],
    lists: tempfile::TempDir,
}

impl Cluster {
    /// With one layout of three zones, and so many copies. All was recorded by a, days ago.
    fn new(copies: &str) -> Self {
        let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
        for hour in hours() {
            archives[0].segment(&hour, "10:00", 2.0, Kind::Full);
            long_ago(&archives[0], &hour);
        }
        let add = |node, zone| ["add", node, "--zone", zone, "--weight", "4TB"];
        change(&archives[0], &[&add("a", "attic"), &add("b", "barn"), &add("c", "cellar"), &["copies", copies]]);
        for archive in &archives[1..] {
            archive.mkdir(".gapless");
            fs::copy(file(&archives[0]), file(archive)).unwrap();
        }
        Self { archives, lists: tempfile::tempdir().unwrap() }
    }

    fn list(&self, at: usize) -> PathBuf {
        self.lists.path().join(NAMES[at])
    }

    /// A node that asks its peers every second, trusts them, and makes a pass each second.
    fn plan(&self, at: usize) -> Plan {
        self.plan_as(at, NAMES[at])
    }

    /// The same, under another name.
    fn plan_as(&self, at: usize, name: &str) -> Plan {
        let list = self.list(at);
        if !list.exists() {
            fs::write(&list, "").unwrap();
        }
        TestNode::plan(&self.archives[at])
            .flag("--name")
            .flag(name)
            .env("GAPLESS_BACKFILL_INTERVAL", "1s")
            .env("GAPLESS_BACKFILL_LAYOUTS_FROM", "all")
            .env("GAPLESS_BACKFILL_TOMBSTONES_FROM", "all")
            .env("GAPLESS_BACKFILL_NODE_FILE", list.to_str().unwrap())
            .env("GAPLESS_BACKFILL_REREAD", "1s")
            .env("GAPLESS_PLACEMENT_HANDOFFS_EVERY", "1s")
    }

    /// Each of these knows all others.
    fn introduce(&self, nodes: &[(usize, &TestNode)]) {
        for (at, _) in nodes {
            let others = nodes.iter().filter(|(other, _)| other != at);
            let lines: Vec<String> =
                others.map(|(other, node)| format!("{} http://{}", NAMES[*other], node.address)).collect();
            fs::write(self.list(*at), lines.join("\n")).unwrap();
        }
    }

    fn start(&self) -> [TestNode; 3] {
        let nodes = [0, 1, 2].map(|at| self.plan(at).start());
        self.introduce(&[(0, &nodes[0]), (1, &nodes[1]), (2, &nodes[2])]);
        nodes
    }

    /// Each hour lies on its owners, and nowhere else.
    #[track_caller]
    fn comes_to_rest(&self) {
        for (archive, name) in self.archives.iter().zip(NAMES) {
            let (archive, expected) = (&archive, owned(&self.archives[0], name));
            eventually(SOON * 4, || held(archive) == expected);
        }
    }
}

fn hours() -> BTreeSet<String> {
    (0..HOURS).map(|at| format!("c/source/2020-01-{:02}T{:02}", 1 + at / 20, at % 20)).collect()
}

/// Nothing has come into it for a day.
fn long_ago(archive: &TestArchive, hour: &str) {
    let day = Duration::from_secs(24 * 3_600);
    File::open(archive.at(hour)).unwrap().set_modified(SystemTime::now() - day).unwrap();
}

#[track_caller]
fn change(archive: &TestArchive, changes: &[&[&str]]) {
    for args in changes {
        gapless(archive.path(), &[&["layout"], *args].concat()).lines(0);
    }
    let plan = gapless(archive.path(), &["layout", "plan", "--json"]).json(0);
    gapless(archive.path(), &["layout", "apply", &plan["from"].to_string()]).lines(0);
}

fn file(archive: &TestArchive) -> PathBuf {
    archive.at(".gapless/layout")
}

/// The hours that this node owns by the layout of this archive.
fn owned(archive: &TestArchive, node: &str) -> BTreeSet<String> {
    let layout = Layout::read(&fs::read(file(archive)).unwrap()).unwrap();
    let is_owner = |hour: &String| {
        let place = HourPlace::parse(hour).unwrap();
        layout.owners_of(&place.stream.channel, Slot::of(&place)).iter().any(|owner| owner.name.as_str() == node)
    };
    hours().into_iter().filter(is_owner).collect()
}

/// The hours of which something but tombstones lies here.
fn held(archive: &TestArchive) -> BTreeSet<String> {
    let has_any = |hour: &String| archive.listing(hour, true).iter().any(|name| !name.ends_with(".tombstone"));
    hours().into_iter().filter(|hour| archive.at(hour).exists() && has_any(hour)).collect()
}

fn handoffs(node: &TestNode) -> Value {
    node.get("/api/v1/layout").json()["handoffs"].clone()
}

/// Waits for passes that began after this was asked, of which one at least has gone over all of it.
#[track_caller]
fn passes(node: &TestNode) {
    for _ in 0..2 {
        let before = handoffs(node)["pass"].clone();
        eventually(SOON * 2, || handoffs(node)["pass"] != before);
    }
}

fn waits_for(node: &TestNode, why: &str) -> bool {
    handoffs(node)["waiting"].as_array().unwrap().iter().any(|one| one["why"].as_str().unwrap().contains(why))
}

#[test]
fn what_was_recorded_elsewhere_moves_to_its_owners_and_leaves() {
    let cluster = Cluster::new("2");
    let nodes = cluster.start();
    cluster.comes_to_rest();
    let gone = HOURS - owned(&cluster.archives[0], "a").len();
    assert!(gone > 3, "{gone}");
    eventually(SOON * 2, || handoffs(&nodes[0])["hours"] == 0);
    assert_eq!(handoffs(&nodes[0])["left_hours"], json!(gone));
    assert!(nodes[0].run(&["layout", "status"]).out.contains(&format!("handoffs: none; {gone} hours left")));
    assert!(nodes[0].get("/metrics").text().contains(&format!("gapless_handoffs_left_total {gone}\n")));
    for node in &nodes {
        node.check();
    }
}

#[test]
fn what_recorders_call_by_different_times_moves_under_all_its_names() {
    let cluster = Cluster::new("1");
    let of_b = owned(&cluster.archives[0], "b");
    let hour = of_b.first().unwrap();
    let name = cluster.archives[0].listing(hour, false).remove(0);
    let content = cluster.archives[0].read(&format!("{hour}/{name}"));
    let again = ["10:00.000500", "10:00.400"].map(|time| name.replacen("10:00", time, 1));
    for name in &again {
        cluster.archives[2].raw(&format!("{hour}/{name}"), &content);
    }
    long_ago(&cluster.archives[2], hour);
    let nodes = cluster.start();
    cluster.comes_to_rest();
    let all: BTreeSet<String> = again.into_iter().chain([name]).collect();
    assert_eq!(BTreeSet::from_iter(cluster.archives[1].listing(hour, false)), all);
    for node in &nodes {
        eventually(SOON, || node.get("/api/v1/layout").json()["dispersion"]["done"] == true);
    }
}

#[test]
fn a_node_that_drains_ends_empty() {
    let cluster = Cluster::new("2");
    let [a, b, c] = cluster.start();
    cluster.comes_to_rest();
    a.run(&["layout", "drain", "a"]).lines(0);
    loop {
        let plan = a.run(&["layout", "plan", "--json"]).json(0);
        if plan["changes"].as_array().unwrap().is_empty() && plan["versions"].as_array().unwrap().is_empty() {
            break;
        }
        a.run(&["layout", "apply", &plan["from"].to_string()]).lines(0);
    }
    eventually(SOON * 4, || held(&cluster.archives[0]).is_empty());
    eventually(SOON, || hours().iter().all(|hour| !cluster.archives[0].at(hour).exists()));
    assert_eq!((held(&cluster.archives[1]), held(&cluster.archives[2])), (hours(), hours()));
    for node in [&a, &b, &c] {
        node.check();
    }
    eventually(SOON * 2, || a.run(&["layout", "status"]).out.contains("handoffs: none; 30 hours left"));
}

#[test]
fn nothing_leaves_while_an_owner_is_away_lacks_something_or_is_no_peer() {
    let cluster = Cluster::new("2");
    // Nobody knows what it is, and others may have something else by that name: they do in this case.
    let odd = hours().difference(&owned(&cluster.archives[0], "a")).next().unwrap().clone();
    cluster.archives[0].raw(&format!("{odd}/notes.txt"), b"not a segment");
    for archive in &cluster.archives[1..] {
        archive.raw(&format!("{odd}/notes.txt"), b"something else");
    }
    long_ago(&cluster.archives[0], &odd);
    // A file of an owner that a power cut has left without its end has its name all the same.
    let of_a = owned(&cluster.archives[0], "a");
    let mut of_others =
        owned(&cluster.archives[0], "b").into_iter().filter(|hour| !of_a.contains(hour) && *hour != odd);
    let (short, rotten) = (of_others.next_back().unwrap(), of_others.next_back().unwrap());
    let name = cluster.archives[0].listing(&short, false).remove(0);
    cluster.archives[1].raw(&format!("{short}/{name}"), b"");
    // One whose disk has changed a byte has its size as well.
    let rotten_name = cluster.archives[0].listing(&rotten, false).remove(0);
    let mut bytes = cluster.archives[0].read(&format!("{rotten}/{rotten_name}"));
    bytes[100] ^= 1;
    cluster.archives[1].raw(&format!("{rotten}/{rotten_name}"), &bytes);
    let [a, b] = [0, 1].map(|at| cluster.plan(at).start());
    cluster.introduce(&[(0, &a), (1, &b)]);
    eventually(SOON * 4, || held(&cluster.archives[1]) == owned(&cluster.archives[0], "b"));
    passes(&a);
    assert_eq!(held(&cluster.archives[0]), hours(), "what b and c own is with b alone");
    eventually(SOON * 2, || waits_for(&a, "no peer is called c in the settings"));

    let c = cluster.plan(2).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    let mut expected = owned(&cluster.archives[0], "a");
    expected.extend([odd.clone(), short.clone(), rotten.clone()]);
    eventually(SOON * 4, || held(&cluster.archives[0]) == expected);
    eventually(SOON * 2, || waits_for(&a, "does not say what is in the file"));
    assert!(cluster.archives[0].at(&format!("{odd}/notes.txt")).exists());
    passes(&a);
    assert_eq!(cluster.archives[0].listing(&short, false), [name], "b has only what is called so");
    assert_eq!(cluster.archives[0].listing(&rotten, false), [rotten_name], "b has only what is called so");
    assert!(b.log().contains("owner_file_wrong"), "{}", b.log());
    eventually(SOON * 2, || waits_for(&a, "b does not have all of it"));
}

#[test]
fn nodes_that_share_a_directory_are_one_copy() {
    if !may_mount() {
        return;
    }
    let cluster = Cluster::new("1");
    cluster.archives[1].mkdir("c");
    let _shared = Mount::bind(&cluster.archives[0].at("c"), &cluster.archives[1].at("c"));
    let nodes = cluster.start();
    eventually(SOON * 4, || waits_for(&nodes[0], "in the same directory"));
    let of_c = owned(&cluster.archives[0], "c");
    eventually(SOON * 4, || held(&cluster.archives[2]) == of_c);
    passes(&nodes[0]);
    passes(&nodes[1]);
    let shared: BTreeSet<String> = hours().difference(&of_c).cloned().collect();
    assert!(held(&cluster.archives[0]).is_superset(&shared), "each would have deleted what the other one owns");
}

#[test]
fn nothing_leaves_while_the_layout_cannot_be_read_or_handoffs_are_off() {
    let cluster = Cluster::new("2");
    let [b, c] = [1, 2].map(|at| cluster.plan(at).start());
    let a = cluster.plan(0).env("GAPLESS_PLACEMENT_HANDOFFS", "false").start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    for at in [1, 2] {
        eventually(SOON * 4, || held(&cluster.archives[at]) == owned(&cluster.archives[0], NAMES[at]));
    }
    passes(&a);
    assert_eq!(held(&cluster.archives[0]), hours());
    let told = a.run(&["layout", "status"]).out;
    assert!(told.contains("they stay: [placement] handoffs is off"), "{told}");
    a.terminate();

    // Said without a daemon, and heeded by the next one.
    let say = |verb: &str| gapless(cluster.archives[0].path(), &["layout", verb]).lines(0).join("\n");
    assert_eq!(say("pause"), "nothing leaves this node for its owners");
    assert_eq!(say("pause"), "nothing leaves this node for its owners, as before");
    let a = cluster.plan(0).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    passes(&a);
    assert_eq!((held(&cluster.archives[0]), &handoffs(&a)["leaves"]), (hours(), &json!(false)));
    a.terminate();
    assert_eq!(say("resume"), "hours leave for their owners");

    let sound = fs::read(file(&cluster.archives[0])).unwrap();
    let mut damaged = sound.clone();
    damaged[4_000] ^= 1;
    fs::write(file(&cluster.archives[0]), damaged).unwrap();
    let a = cluster.plan(0).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    eventually(SOON * 2, || {
        handoffs(&a)["error"].as_str().is_some_and(|why| why.contains("the layout cannot be read"))
    });
    assert_eq!(held(&cluster.archives[0]), hours());
    let given = cluster.lists.path().join("given");
    fs::write(&given, sound).unwrap();
    a.run(&["layout", "take", given.to_str().unwrap()]).lines(0);
    cluster.comes_to_rest();
}

#[test]
fn a_node_that_the_layout_does_not_name_gives_nothing_away() {
    let cluster = Cluster::new("2");
    let [b, c] = [1, 2].map(|at| cluster.plan(at).start());
    // Names are taken to the letter.
    let a = cluster.plan_as(0, "A").start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    for at in [1, 2] {
        eventually(SOON * 4, || held(&cluster.archives[at]) == owned(&cluster.archives[0], NAMES[at]));
    }
    passes(&a);
    assert!(waits_for(&a, "this node is not in the layout"), "{}", handoffs(&a));
    assert_eq!((held(&cluster.archives[0]), &handoffs(&a)["hours"]), (hours(), &json!(HOURS)));
}

#[test]
fn what_is_hidden_goes_along_and_stays_hidden() {
    let cluster = Cluster::new("2");
    let hour = hours().difference(&owned(&cluster.archives[0], "a")).next().unwrap().clone();
    let hidden = cluster.archives[0].segment(&hour, "20:00", 2.0, Kind::Full);
    let [b, c] = [1, 2].map(|at| cluster.plan(at).start());
    let a = cluster.plan(0).env("GAPLESS_PLACEMENT_HANDOFFS", "false").start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    for at in [1, 2] {
        eventually(SOON * 4, || cluster.archives[at].at(&hidden).exists());
    }
    a.terminate();
    cluster.archives[0].tombstone(&hidden);
    long_ago(&cluster.archives[0], &hour);
    let a = cluster.plan(0).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    cluster.comes_to_rest();
    let tombstone = format!("{}.tombstone", hidden.strip_suffix(".ts").unwrap());
    let name = hidden.rsplit('/').next().unwrap().to_owned();
    for (at, node) in [(1, &b), (2, &c)] {
        assert!(cluster.archives[at].at(&tombstone).exists() && cluster.archives[at].at(&hidden).exists());
        assert!(!node.files(&hour).contains(&name));
    }
    // Every node keeps the tombstones of all hours.
    assert_eq!(cluster.archives[0].listing(&hour, true), [tombstone.rsplit('/').next().unwrap()]);
}

/// Whatever is deleted here lies on its owners, however often the node that deletes it is killed before it has finished.
#[test]
fn a_node_that_is_killed_between_two_files_loses_nothing_and_goes_on_after_asking_again() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traced.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: system calls cannot be traced here: {traced:?}");
        return;
    }
    let cluster = Cluster::new("2");
    for hour in hours() {
        for time in ["20:00", "30:00"] {
            cluster.archives[0].segment(&hour, time, 2.0, Kind::Full);
        }
        long_ago(&cluster.archives[0], &hour);
    }
    let [b, c] = [1, 2].map(|at| cluster.plan(at).start());
    let own = owned(&cluster.archives[0], "a");
    let files = |archive: &TestArchive, hour: &str| {
        if archive.at(hour).exists() { archive.listing(hour, true).len() } else { 0 }
    };
    let mut kills = 0;
    while held(&cluster.archives[0]) != own {
        let wrapper = [
            "strace",
            "-D",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=unlinkat",
            "-e",
            "inject=unlinkat:signal=KILL:when=8",
        ];
        let mut a = cluster.plan(0).through(&wrapper).start();
        cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
        eventually(SOON * 4, || a.has_ended() || held(&cluster.archives[0]) == own);
        for hour in hours().difference(&own) {
            let here = files(&cluster.archives[0], hour);
            let there = [1, 2].map(|at| files(&cluster.archives[at], hour));
            assert!(here == 3 || there == [3, 3], "{hour}: {here} of 3 here, {there:?} on its owners");
        }
        kills += usize::from(a.has_ended());
        drop(a);
        for hour in held(&cluster.archives[0]) {
            long_ago(&cluster.archives[0], &hour);
        }
    }
    assert!(kills > 2, "{kills}");
    let a = cluster.plan(0).start();
    a.wait_ready();
    a.check();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    cluster.comes_to_rest();
}

#[test]
fn what_was_promised_to_stay_is_not_retired_for_an_hour_also_after_a_kill() {
    let cluster = Cluster::new("2");
    let [a, b] = [0, 1].map(|at| cluster.plan(at).start());
    // The other owner is away, so that nothing leaves.
    cluster.introduce(&[(0, &a), (1, &b)]);
    let of_b = owned(&cluster.archives[0], "b");
    eventually(SOON * 4, || held(&cluster.archives[1]) == of_b);
    passes(&a);
    let promised: BTreeSet<String> = of_b.difference(&owned(&cluster.archives[0], "a")).cloned().collect();
    let record = cluster.archives[1].at(".gapless/pins");
    eventually(SOON * 2, || {
        let text = fs::read_to_string(&record).unwrap_or_default();
        promised.iter().all(|hour| text.contains(&format!(" {hour}\n")))
    });
    a.terminate();
    b.kill();

    let limits = |plan: Plan| plan.env("GAPLESS_RETENTION_MAX_AGE", "1h").env("GAPLESS_RETENTION_INTERVAL", "1day");
    let b = limits(cluster.plan(1)).start();
    b.wait_ready();
    eventually(SOON * 2, || {
        b.run(&["retention", "run", "--yes=quiet", "--yes=shrinking"]);
        held(&cluster.archives[1]) == promised
    });
    let told = b.get("/api/v1/status").json()["retention"].clone();
    assert_eq!(told["pinned_hours"], json!(promised.len()), "{told}");
    b.terminate();

    // What it has promised is not known any more: all of it may have been.
    for copy in [".gapless/pins", ".gapless/pins.2"] {
        fs::remove_file(cluster.archives[1].at(copy)).unwrap();
    }
    let b = limits(cluster.plan(1)).start();
    b.wait_ready();
    eventually(SOON * 2, || {
        let told = b.get("/api/v1/status").json()["retention"].clone();
        told["unusable_records"].to_string().contains("pins")
    });
    b.run(&["retention", "accept"]);
    eventually(SOON * 2, || {
        b.run(&["retention", "run", "--yes=quiet", "--yes=shrinking"]);
        b.get("/api/v1/status").json()["retention"]["pinned_hours"] == json!(promised.len())
    });
    assert_eq!(held(&cluster.archives[1]), promised);
}

#[test]
fn a_full_owner_is_stood_in_for_until_it_has_room_again() {
    let cluster = Cluster::new("2");
    let full = |plan: Plan| plan.env("GAPLESS_BACKFILL_KEEP_FREE", "1000TiB");
    let [a, b] = [0, 1].map(|at| cluster.plan(at).start());
    let c = full(cluster.plan(2)).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    eventually(SOON * 4, || held(&cluster.archives[1]) == hours());
    assert_eq!((held(&cluster.archives[0]), held(&cluster.archives[2])), (hours(), BTreeSet::new()));
    eventually(SOON * 2, || a.run(&["layout", "status"]).out.contains("stood in for: c"));

    c.terminate();
    let c = cluster.plan(2).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    eventually(SOON * 4, || held(&cluster.archives[2]) == owned(&cluster.archives[0], "c"));
    b.terminate();
    for hour in hours() {
        long_ago(&cluster.archives[1], &hour);
    }
    let b = cluster.plan(1).start();
    cluster.introduce(&[(0, &a), (1, &b), (2, &c)]);
    cluster.comes_to_rest();
}

#[test]
fn what_is_no_question_is_refused_and_promises_nothing() {
    let cluster = Cluster::new("2");
    let b = cluster.plan(1).start();
    b.wait_ready();
    let layout = b.get("/api/v1/layout").json();
    let hour = owned(&cluster.archives[0], "b").first().unwrap().clone();
    let asked = |hours: Value, hash: &Value| {
        let layout = json!({"version": 1, "hash": hash});
        b.post(
            "/api/v1/layout/pins",
            None,
            &json!({"node": "a", "run": 1, "number": 1, "layout": layout, "hours": hours}),
        )
    };
    let empty = "0".repeat(64);
    let one = json!([{"hour": hour, "digest": empty}]);
    let said = asked(one.clone(), &layout["hash"]).json();
    assert_eq!(said["hours"], json!([{"hour": hour, "verdict": "lacks"}]), "nothing lies there");
    assert_eq!((&said["node"], &said["is_full"]), (&json!("b"), &json!(false)));
    assert_eq!(asked(one, &json!(empty)).json()["hours"], json!([]), "another layout");
    let many: Vec<Value> = (0..65).map(|_| json!({"hour": hour, "digest": empty})).collect();
    asked(json!(many), &layout["hash"]).problem(400);
    asked(json!([{"hour": hour, "digest": "x"}]), &layout["hash"]).problem(400);
    asked(json!([{"hour": "../x", "digest": empty}]), &layout["hash"]).problem(400);
    asked(json!([]), &json!("x")).problem(400);
    assert!(!cluster.archives[1].at(".gapless/pins").exists());
}
