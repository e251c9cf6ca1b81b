//! Several real nodes that are each other's peers, what must come to be on all of them, and the trouble they can be given.
//!
//! All that a test puts into any of the archives is noted in a [`Union`]; what the nodes list is compared with what the
//! specification makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::link::Link;
use super::network::Network;
use super::trouble::{Chance, Filler, Mount, may_mount};
use super::{Connection, SOON, TestArchive, TestNode, gapless, invariants, model, quoted};
use crate::support::archive::{hash_text, packets, snapshot};

/// How long it takes at most, when all faults have ended, until all have everything: the longest wait after failed rounds is 88 s,
/// and what hangs is given up after 30 s.
pub const IN_THE_END: Duration = Duration::from_secs(120);

/// What a node with little to do may have in memory, in KiB. Much of it is the index's cache and the debug build.
pub const MEMORY_KIB: u64 = 340 << 10;

/// All names that any node was given: by hour, to the byte, tombstones included.
#[derive(Debug, Default, Clone)]
pub struct Union(BTreeMap<String, BTreeSet<String>>);

impl Union {
    pub fn add(&mut self, path: &str) {
        let (hour, name) = path.rsplit_once('/').unwrap();
        self.0.entry(hour.to_owned()).or_default().insert(name.to_owned());
    }

    pub fn paths(&self) -> Vec<String> {
        self.0.iter().flat_map(|(hour, names)| names.iter().map(move |name| format!("{hour}/{name}"))).collect()
    }

    fn contains(&self, path: &str) -> bool {
        let (hour, name) = path.rsplit_once('/').unwrap_or_default();
        self.0.get(hour).is_some_and(|names| names.contains(name))
    }

    /// What is deleted: paths that nobody may list any more.
    pub fn deleted(&self) -> BTreeSet<String> {
        let hidden =
            |path: &String| path.rsplit_once('.').is_some_and(|(stem, _)| self.contains(&format!("{stem}.tombstone")));
        self.paths().into_iter().filter(|path| !path.ends_with(".tombstone")).filter(hidden).collect()
    }
}

/// What a node stands on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ground {
    /// A small disk of its own, which can be filled.
    pub small_disk: bool,
    /// A clock of its own, which can be set.
    pub clock: bool,
}

/// A node, its archive, and what can be done to it.
#[derive(Debug)]
pub struct Member {
    node: Option<TestNode>,
    filler: Option<Filler>,
    pub clock: Option<Clock>,
    // Unmounted before the directory below goes.
    mount: Option<Mount>,
    pub archive: TestArchive,
    /// What only this one has, and nobody is to fetch: temporary and odd names.
    own: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
enum Between {
    Links(BTreeMap<(usize, usize), Link>),
    Network(Network),
}

/// The nodes.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    between: Between,
    pub union: Union,
    /// Settings of all of them, as variables of the environment.
    settings: Vec<(String, String)>,
    number: usize,
}

impl Cluster {
    /// So many nodes, not started yet, with a link from each to each.
    pub fn of(ground: &[Ground]) -> Self {
        let all = 0..ground.len();
        let pairs = all.clone().flat_map(|from| all.clone().map(move |to| (from, to)));
        let links = pairs.filter(|(from, to)| from != to).map(|pair| (pair, Link::new())).collect();
        Self::between(ground, Between::Links(links))
    }

    /// The same in a network, a node at each of its places.
    pub fn within(network: Network, nodes: usize) -> Self {
        Self::between(&vec![Ground::default(); nodes], Between::Network(network))
    }

    fn between(ground: &[Ground], between: Between) -> Self {
        let member = |ground: &Ground| {
            let archive = TestArchive::empty();
            let mount = (ground.small_disk && may_mount()).then(|| Mount::tmpfs(archive.path(), "64m"));
            let clock = if ground.clock { Clock::new() } else { None };
            Member { node: None, filler: None, clock, mount, archive, own: BTreeMap::new() }
        };
        Self {
            members: ground.iter().map(member).collect(),
            between,
            union: Union::default(),
            settings: Vec::new(),
            number: 0,
        }
    }

    /// All of them with these settings, as variables of the environment.
    pub fn with(mut self, settings: &[(&str, &str)]) -> Self {
        self.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn member(&self, at: usize) -> &Member {
        &self.members[at]
    }

    pub fn node(&self, at: usize) -> &TestNode {
        self.members[at].node.as_ref().expect("the node runs")
    }

    pub fn runs(&self, at: usize) -> bool {
        self.members[at].node.is_some()
    }

    /// The line by which one asks another.
    pub fn link(&self, from: usize, to: usize) -> &Link {
        match &self.between {
            Between::Links(links) => &links[&(from, to)],
            Between::Network(_) => panic!("a network has no links"),
        }
    }

    pub fn links(&self) -> Vec<&Link> {
        match &self.between {
            Between::Links(links) => links.values().collect(),
            Between::Network(_) => Vec::new(),
        }
    }

    pub fn network(&self) -> &Network {
        match &self.between {
            Between::Links(_) => panic!("there is no network here, only links"),
            Between::Network(network) => network,
        }
    }

    pub fn start(&mut self, at: usize) {
        let mut plan = TestNode::plan(&self.members[at].archive)
            .env("GAPLESS_NAME", &format!("n{at}"))
            .env("GAPLESS_LOG", "info,gapless::sync::crawl=warn")
            .env("GAPLESS_BACKFILL_INTERVAL", "1s")
            .env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s")
            .env("GAPLESS_BACKFILL_KEEP_FREE", "0B")
            .env("GAPLESS_CRAWL_MINIMUM_CYCLE", "1s")
            .env("GAPLESS_CRAWL_CPU_SHARE", "1")
            .env("GAPLESS_HOUSEKEEPING_MINIMUM_CYCLE", "1s")
            .flag("--accept-tombstone-bursts");
        plan = self.settings.iter().fold(plan, |plan, (name, value)| plan.env(name, value));
        for other in (0..self.len()).filter(|other| *other != at) {
            let address = match &self.between {
                Between::Links(links) => links[&(at, other)].address.to_string(),
                Between::Network(network) => network.address(other),
            };
            plan = plan.flag("--peer").flag(format!("n{other}=http://{address}"));
        }
        if let Between::Network(network) = &self.between {
            let words = network.inside(at);
            plan = plan.listen(&network.address(at)).through(&words.each_ref().map(String::as_str));
        }
        if let Some(clock) = &self.members[at].clock {
            plan = clock.of(plan);
        }
        let node = plan.start();
        if let Between::Links(links) = &self.between {
            links.iter().filter(|((_, to), _)| *to == at).for_each(|(_, link)| link.lead_to(node.address));
        }
        self.members[at].node = Some(node);
    }

    pub fn start_all(&mut self) {
        (0..self.len()).filter(|at| !self.runs(*at)).collect::<Vec<_>>().into_iter().for_each(|at| self.start(at));
    }

    /// `kill -9`.
    pub fn kill(&mut self, at: usize) {
        if let Some(node) = self.members[at].node.take() {
            is_sound(&node);
            node.kill();
        }
    }

    /// As an operator stops it.
    pub fn terminate(&mut self, at: usize) {
        if let Some(node) = self.members[at].node.take() {
            is_sound(&node);
            node.terminate();
        }
    }

    pub fn restart(&mut self, at: usize) {
        self.terminate(at);
        self.start(at);
    }

    /// Kills it, makes its index anew from its tree, and starts it.
    pub fn rebuild(&mut self, at: usize) {
        self.kill(at);
        gapless(self.members[at].archive.path(), &["rebuild"]).lines(0);
        self.start(at);
    }

    /// Kills it and starts it without an index.
    pub fn lose_index(&mut self, at: usize) {
        self.kill(at);
        self.members[at].archive.remove(".gapless/index.redb");
        self.start(at);
    }

    /// Takes all room on its disk; nothing if its disk is not its own.
    pub fn fill_disk(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.mount.is_some() && member.filler.is_none() {
            member.filler = Some(Filler::fill(member.archive.path()));
        }
    }

    pub fn give_room(&mut self, at: usize) {
        self.members[at].filler.take().into_iter().for_each(Filler::give_room);
    }

    pub fn is_full(&self, at: usize) -> bool {
        self.members[at].filler.is_some()
    }

    /// A new thing with a name as odd as the grammar allows, in the archives of all of `holders`; says its path.
    pub fn thing(&mut self, hour: &str, holders: &[usize], chance: &mut Chance) -> String {
        self.number += 1;
        let clock = format!("{:02}:{:02}", self.number / 60 % 60, self.number % 60);
        let time = format!("{clock}{}", ["", ".0", ".5", ".608000", ".000001"][chance.below(5)]);
        let duration = ["2", "2.0", "2.000", "0.5", "1.9999995"][chance.below(5)];
        let (prefix, extension) = match chance.below(6) {
            0 => (time, "json"),
            1 => (format!("{time}-{duration}-suspect"), "ts"),
            2 => (format!("{time}-{duration}-partial"), "ts"),
            _ => (format!("{time}-{duration}-full"), "ts"),
        };
        let count = [1, 2, 3, 300][chance.below(4)];
        let content = packets(&format!("{hour}/{prefix}/{}", self.number), count);
        self.put(&format!("{hour}/{prefix}"), extension, &content, holders)
    }

    /// A new file, whose hash is put between its prefix and its extension, in the archives of all of `holders`; says its path.
    pub fn put(&mut self, prefix: &str, extension: &str, content: &[u8], holders: &[usize]) -> String {
        let path = format!("{prefix}-{}.{extension}", hash_text(content));
        for holder in holders {
            self.members[*holder].archive.raw(&path, content);
        }
        self.union.add(&path);
        path
    }

    /// Something in one archive that nobody is to fetch.
    pub fn oddity(&mut self, at: usize, hour: &str, chance: &mut Chance) {
        self.number += 1;
        let number = self.number;
        let name = match chance.below(3) {
            0 => format!("{:02}:{:02}-2.0-temp-{number}.ts", number / 60 % 60, number % 60),
            1 => format!("garbage {number}.ts"),
            _ => format!("{:02}:00-9999.0-full-{}.ts", number % 60, hash_text(&number.to_le_bytes())),
        };
        let member = &mut self.members[at];
        member.archive.raw(&format!("{hour}/{name}"), name.as_bytes());
        member.own.entry(hour.to_owned()).or_default().insert(name);
    }

    /// A tombstone in one archive for what any may have.
    pub fn delete(&mut self, at: usize, path: &str) {
        let tombstone = self.members[at].archive.tombstone(path);
        self.union.add(&tombstone);
    }

    /// What a node must list in the end: by hour, with tombstones or without.
    fn expected(&self, at: usize, tombstones: bool) -> BTreeMap<String, Vec<String>> {
        let mut names: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for (hour, of_hour) in self.union.0.iter().chain(&self.members[at].own) {
            names.entry(hour).or_default().extend(of_hour.iter().cloned());
        }
        names.into_iter().map(|(hour, names)| (hour.clone(), model::listing(&names, tombstones))).collect()
    }

    /// Where a node's listings are not what they must become; nothing when it has converged.
    fn difference(&self, at: usize) -> Option<String> {
        let node = self.node(at);
        let ask = |place: &str, query: &str| {
            let answer =
                Connection::open(node.address).request("GET", &format!("/files/{}{query}", quoted(place)), &[]);
            if answer.status == 200 { answer.list() } else { vec![format!("status {}", answer.status)] }
        };
        let mut hours: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (tombstones, query) in [(true, "?tombstones=true"), (false, "")] {
            for (hour, names) in self.expected(at, tombstones) {
                let got = ask(&hour, query);
                if got != names {
                    let lacks: Vec<&String> = names.iter().filter(|name| !got.contains(name)).take(3).collect();
                    let surplus: Vec<&String> = got.iter().filter(|name| !names.contains(name)).take(3).collect();
                    return Some(format!("n{at} {hour}: lacks {lacks:?}, lists in vain {surplus:?}"));
                }
                let (stream, hour) = hour.rsplit_once('/').unwrap();
                hours.entry(stream.to_owned()).or_default().insert(hour.to_owned());
            }
        }
        hours.into_iter().find_map(|(stream, due)| {
            let got = ask(&stream, "");
            (!got.iter().eq(&due)).then(|| format!("n{at} {stream}: lists {got:?}, must be {due:?}"))
        })
    }

    /// Waits until every node lists the union less what is deleted.
    #[track_caller]
    pub fn converges(&self) {
        let begun = Instant::now();
        while let Some(difference) = (0..self.len()).find_map(|at| self.difference(at)) {
            if begun.elapsed() > IN_THE_END {
                (0..self.len())
                    .for_each(|at| eprintln!("n{at}: {}", self.node(at).get("/api/v1/status").json()["peers"]));
                panic!("has not converged within {IN_THE_END:?}: {difference}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// R1: none of these is listed by any node that runs, whatever it is busy with.
    #[track_caller]
    pub fn nobody_lists(&self, deleted: &BTreeSet<String>) {
        let hours: BTreeSet<&str> =
            deleted.iter().filter_map(|path| path.rsplit_once('/')).map(|(hour, _)| hour).collect();
        for (at, node) in self.members.iter().enumerate().filter_map(|(at, member)| Some((at, member.node.as_ref()?))) {
            for hour in &hours {
                let answer = node.get(&format!("/files/{}", quoted(hour)));
                // A node whose disk is in trouble may say so.
                let names = if answer.status == 200 { answer.list() } else { Vec::new() };
                let back = names.iter().map(|name| format!("{hour}/{name}")).find(|path| deleted.contains(path));
                assert_eq!(back, None, "n{at} lists what was deleted");
            }
        }
    }

    /// What must always hold, seen from outside, once all is quiet.
    #[track_caller]
    pub fn is_in_order(&mut self) {
        self.a_second_daemon_is_refused();
        for at in 0..self.len() {
            let (member, node) = (&self.members[at], self.node(at));
            is_sound(node);
            let resident = node.own_memory_kib();
            assert!(resident < MEMORY_KIB, "n{at} holds {resident} KiB");
            invariants::what_is_listed_is_complete(&member.archive, node);
            assert_eq!(
                std::fs::read_dir(member.archive.outside()).unwrap().count(),
                1,
                "something lies beside the base"
            );
            super::eventually(SOON, || node.get("/readyz").status == 200);
            if matches!(self.between, Between::Links(_)) {
                node.check();
            } else {
                // It tells only its own machine.
                self.terminate(at);
                gapless(self.members[at].archive.path(), &["rebuild", "--check"]).lines(0);
                self.start(at);
            }
            self.holds_nothing_else(at);
        }
    }

    /// I9. Each waits a while for the first one to end.
    #[track_caller]
    fn a_second_daemon_is_refused(&self) {
        let second = |member: &Member| {
            let outcome = TestNode::plan(&member.archive).refused();
            assert_ne!(outcome.code, 0, "{}\n{}", outcome.out, outcome.err);
        };
        std::thread::scope(|scope| self.members.iter().for_each(|member| drop(scope.spawn(move || second(member)))));
    }

    /// On disk is what was put somewhere, with the content that its name says, and nothing else.
    #[track_caller]
    fn holds_nothing_else(&self, at: usize) {
        let member = &self.members[at];
        // I8: what a kill left of downloads goes some time after the next start.
        let is_temporary = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tmp");
        let temporaries = || snapshot(member.archive.path()).into_keys().filter(is_temporary).collect::<Vec<_>>();
        let begun = Instant::now();
        while !temporaries().is_empty() {
            assert!(begun.elapsed() < SOON, "n{at} keeps {:?}", temporaries());
            std::thread::sleep(Duration::from_millis(100));
        }
        for (path, (is_dir, ..)) in snapshot(member.archive.path()) {
            let relative = path.strip_prefix(member.archive.path()).unwrap().to_str().unwrap();
            let (hour, name) = relative.rsplit_once('/').unwrap_or(("", relative));
            if is_dir || relative.starts_with(".gapless") || member.own.get(hour).is_some_and(|own| own.contains(name))
            {
                continue;
            }
            assert!(self.union.contains(relative), "n{at}: nobody put {relative} anywhere");
            if !name.ends_with(".tombstone") {
                let read = model::read_name(name).expect("a name of the grammar");
                assert_eq!(hash_text(&std::fs::read(&path).unwrap()), read.hash, "n{at}: {relative}");
            }
        }
    }

    /// Ends every trouble: all run, all is passed on, there is room, clocks are right.
    pub fn heal(&mut self) {
        self.links().iter().for_each(|link| link.set(super::link::Manner::Pass));
        for at in 0..self.len() {
            self.give_room(at);
            self.members[at].clock.iter().for_each(|clock| clock.set("+0"));
        }
        self.start_all();
    }
}

/// Nothing in it has gone wrong that must not.
#[track_caller]
fn is_sound(node: &TestNode) {
    let log = node.log();
    assert!(!log.contains("panicked") && !log.contains("crashed"), "{log}");
}
