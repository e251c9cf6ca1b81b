//! `gapless demo`: three real nodes that fill what their recorders miss, and nothing that is left when it has ended.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::archive::snapshot;
use crate::support::{Connection, SOON, TestNode, TestResponse, eventually, gapless};

/// With this one somebody misses something at once, and the past has a hole that nobody can fill.
const SEED: &str = "16";

/// If it takes as long, something does not come.
const LONGEST: &str = "60s";

/// A demonstration that runs; killed with the value.
struct Demo {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    /// All that it has told.
    told: Vec<Value>,
    /// What it told first.
    started: Value,
    scratch: TempDir,
}

impl Demo {
    #[track_caller]
    fn start(flags: &[&str]) -> Self {
        Self::start_for(LONGEST, flags)
    }

    #[track_caller]
    fn start_for(lasts: &str, flags: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut command = command(scratch.path());
        command.args(["--json", "--seed", SEED, "--for", lasts]).args(flags);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut demo = Self { child, lines: Some(lines), told: Vec::new(), started: Value::Null, scratch };
        demo.started = demo.await_event("started", |_| true);
        demo
    }

    /// What it tells of this, now or before; reads on until it does.
    #[track_caller]
    fn await_event(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let is_it = |event: &&Value| event["event"] == name && is_it(event);
        loop {
            if let Some(event) = self.told.iter().find(is_it) {
                return event.clone();
            }
            let Some(line) = self.lines.as_mut().unwrap().next() else {
                let last = &self.told[self.told.len().saturating_sub(5)..];
                panic!("it ended without telling of {name:?}; it told {}, last {last:?}", self.told.len());
            };
            self.told.push(serde_json::from_str(&line.unwrap()).unwrap());
        }
    }

    fn nodes(&self) -> Vec<(String, SocketAddr, PathBuf)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let nodes = self.started["nodes"].as_array().unwrap().iter();
        let address =
            |node: &Value| text(&node["url"]).trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        nodes.map(|node| (text(&node["name"]), address(node), PathBuf::from(text(&node["base_dir"])))).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// It must end with this code, or by this signal, and nobody answers any more.
    #[track_caller]
    fn has_ended(&mut self, code: Option<i32>, signal: Option<i32>) {
        let mut status = None;
        eventually(SOON * 6, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.map(|status| (status.code(), status.signal())), Some((code, signal)));
        for (name, address, _) in self.nodes() {
            assert!(TcpStream::connect(address).is_err(), "{name} still answers");
        }
    }

    /// Nothing lies where temporary directories are made.
    #[track_caller]
    fn left_nothing(&self) {
        assert_eq!(snapshot(self.scratch.path()).into_keys().next(), None);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the demonstration cannot be ended: {error}");
        }
    }
}

/// With temporary directories in this one.
fn command(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gapless"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GAPLESS_")) {
        command.env_remove(name);
    }
    // Whatever is set for a node here, the demonstration has nothing to do with it.
    command.env("GAPLESS_BASE_DIR", "/nonexistent").env("GAPLESS_PEERS", "http://nobody.invalid:1");
    command.env("TMPDIR", temporary).arg("demo").stdin(Stdio::null());
    command
}

fn get(address: SocketAddr, path: &str) -> TestResponse {
    Connection::open(address).request("GET", path, &[])
}

/// How many segments a node says that it fetched from others.
fn fetched(address: SocketAddr) -> f64 {
    sum(address, "segments_backfilled_total")
}

/// And from the origin.
fn downloaded(address: SocketAddr) -> f64 {
    sum(address, "segments_downloaded_total")
}

fn sum(address: SocketAddr, metric: &str) -> f64 {
    let metrics = get(address, "/metrics");
    let values = metrics.text().lines().filter(|line| line.starts_with(metric));
    values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// A whole segment plays, and each second of it shows another picture.
fn shows_a_clock(base: &Path, listed: &Value) {
    let segments = listed["segments"].as_array().unwrap();
    let segment = segments.iter().find(|segment| segment["type"] == "full").unwrap();
    let text = |key: &str| segment[key].as_str().unwrap();
    let path = base.join("harbour/source").join(text("hour")).join(text("name"));
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "warning", "-i"]).arg(&path);
    let output = command.args(["-vf", "fps=1", "-pix_fmt", "gray", "-f", "rawvideo", "-"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{path:?} does not play");
    let pictures: Vec<&[u8]> = output.stdout.chunks(320 * 180).collect();
    assert!(pictures.len() >= 2 && pictures.windows(2).all(|pair| pair[0] != pair[1]), "{} pictures", pictures.len());
}

#[test]
fn nodes_fill_what_their_recorders_miss_and_what_nobody_has_stays_a_hole() {
    let mut demo = Demo::start(&["--history", "20min", "--recent-cutoff", "1s"]);
    let nodes = demo.nodes();
    let names: Vec<&str> = nodes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["north", "south", "west"]);
    for (name, address, _) in &nodes {
        assert_eq!(get(*address, "/files").list(), ["harbour", "square"], "{name}");
        assert_eq!(get(*address, "/files/square").list(), ["480p", "source"], "{name}");
    }
    // Live.
    let filled = demo.await_event("filled", |event| event["recorded_by"] != serde_json::json!([event["node"]]));
    let text = |key: &str| filled[key].as_str().unwrap();
    let (_, address, base) = nodes.iter().find(|(name, ..)| name == text("node")).unwrap();
    let stream = format!("{}/{}", text("channel"), text("quality"));
    let start = text("start");
    let mut listed = None;
    eventually(SOON, || {
        let page = get(*address, &format!("/api/v1/segments/{stream}?start={start}&end=9999-12-31T00")).json();
        let is_it = |segment: &&Value| segment["start"] == start && segment["type"] == "full";
        listed = page["segments"].as_array().unwrap().iter().find(is_it).cloned();
        listed.is_some()
    });
    let segment = listed.unwrap();
    let path = format!("{stream}/{}/{}", segment["hour"].as_str().unwrap(), segment["name"].as_str().unwrap());
    assert_eq!(get(*address, &format!("/segments/{path}")).body, fs::read(base.join(path)).unwrap());
    shows_a_clock(&nodes[0].2, &get(nodes[0].1, &format!("/api/v1/segments/harbour/source?start={start}")).json());
    for (name, address, _) in &nodes {
        assert!(downloaded(*address) > 0.0, "the recorder of {name} got nothing from the origin");
    }
    // The past.
    let lacking = demo.started["past"]["lacking"].as_array().unwrap().clone();
    assert!(demo.started["past"]["lost"] != 0, "{}", demo.started);
    for ((name, ..), lacking) in nodes.iter().zip(&lacking) {
        assert_ne!(*lacking, 0, "{}", demo.started);
        demo.await_event("caught-up", |event| event["node"] == **name && event["segments"] == *lacking);
    }
    let past = |address: SocketAddr, stream: &str| {
        // When a node first saw one, and why it is open, is its own.
        let holes = get(address, &format!("/api/v1/holes/{stream}?to={start}")).json()["holes"].clone();
        let ends = holes.as_array().unwrap().iter().map(|hole| (hole["start"].to_string(), hole["end"].to_string()));
        ends.collect::<Vec<_>>()
    };
    let mut holes = 0;
    for stream in ["harbour/source", "harbour/480p", "square/source", "square/480p"] {
        let here = past(nodes[0].1, stream);
        holes += here.len();
        for (name, address, _) in &nodes[1..] {
            eventually(SOON, || past(*address, stream) == past(nodes[0].1, stream));
            assert_eq!(past(*address, stream), here, "{name}");
        }
    }
    assert!(holes > 0, "what nobody has stays a hole");
    for (name, address, _) in &nodes {
        assert!(fetched(*address) > 0.0, "{name} has fetched nothing");
    }
    demo.signal(Signal::INT);
    demo.has_ended(Some(0), None);
    demo.left_nothing();
}

#[test]
fn whatever_ends_it_leaves_no_process_and_no_directory() {
    for signal in [Signal::TERM, Signal::HUP] {
        let mut demo = Demo::start(&["--history", "1min"]);
        demo.signal(signal);
        demo.has_ended(Some(0), None);
        demo.left_nothing();
    }
    let mut demo = Demo::start_for("1s", &["--history", "0s"]);
    demo.has_ended(Some(0), None);
    demo.left_nothing();
    // Nobody reads what it tells: it goes on all the same.
    let mut demo = Demo::start_for("8s", &["--history", "0s"]);
    let (ended_reading, after) = (std::time::Instant::now(), std::time::Duration::from_secs(4));
    drop(demo.lines.take());
    demo.has_ended(Some(0), None);
    assert!(ended_reading.elapsed() > after, "it ended with its reader");
    demo.left_nothing();
}

#[test]
fn an_error_in_the_middle_leaves_nothing_either() {
    let scratch = tempfile::tempdir().unwrap();
    // So few open files that no node can start; by then there is a directory.
    let demo = command(scratch.path());
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=30:30").arg(demo.get_program()).args(demo.get_args()).args(["--history", "1min"]);
    for (name, value) in demo.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let output = limited.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot start the node"), "{said}");
    assert_eq!(snapshot(scratch.path()).into_keys().next(), None);
}

#[test]
fn kill_9_leaves_no_node() {
    let mut demo = Demo::start(&["--history", "1min"]);
    let pid = demo.child.id();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    for task in tasks {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        assert_eq!(children, "", "it has no process beside its own that could be left");
    }
    demo.signal(Signal::KILL);
    demo.has_ended(None, Some(9));
    // Nobody holds the archives any more.
    for (name, _, base) in demo.nodes() {
        assert_eq!(gapless(&base, &["ls"]).lines(0), ["harbour", "square"], "{name}");
    }
}

#[test]
fn a_directory_that_is_given_must_be_empty_and_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let given = scratch.path().join("not there yet");
    let run = |dir: &Path, more: &[&str]| {
        let output = command(scratch.path()).arg("--dir").arg(dir).args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = run(&given, &["--history", "10min", "--for", "1s"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Open http://127.0.0.1:") && out.contains("stays in"), "{out}");
    for name in ["north", "south", "west"] {
        let node = TestNode::plan_at(&given.join(name)).start();
        node.wait_ready();
        node.check();
        node.terminate();
    }
    let before = snapshot(&given);
    let (code, out, err) = run(&given, &[]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("is not empty"), "{err}");
    assert_eq!(snapshot(&given), before);
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(run(&file, &[]).0, Some(2));
}
