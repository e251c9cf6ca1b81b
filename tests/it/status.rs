//! The state of a node as people see it: its jobs, a peer that fails, and a screen that follows the node, also over its restart.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::dashboards::metrics;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

const GAPLESS: &str = env!("CARGO_BIN_EXE_gapless");

fn job(node: &TestNode, kind: &str, of: Option<&str>) -> Value {
    let status = node.get("/api/v1/status").json();
    let jobs = status["jobs"].as_array().unwrap();
    let found = jobs.iter().find(|job| job["kind"] == kind && job["of"].as_str() == of);
    found.cloned().unwrap_or_default()
}

#[test]
fn every_job_is_listed_and_a_peer_that_fails_is_told_of_beside_one_that_works() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::sample());
    let lists = tempfile::tempdir().unwrap();
    let list = lists.path().join("nodes");
    let peer = TestNode::start(&theirs);
    peer.wait_ready();
    std::fs::write(&list, format!("good http://{}\ndead http://127.0.0.1:1\n", peer.address)).unwrap();
    let node = TestNode::plan(&ours).config("[backfill]\nreread = \"1s\"\n").flag("--node-file").flag(&list).start();
    node.wait_ready();

    eventually(SOON, || job(&node, "backfill", Some("dead"))["state"] == "backing-off");
    let dead = job(&node, "backfill", Some("dead"));
    assert!(dead["failures"].as_u64() > Some(0) && dead["next"].is_string(), "{dead}");
    assert!(dead["error"].as_str().unwrap().contains("127.0.0.1:1") && dead["error_time"].is_string(), "{dead}");
    eventually(SOON, || job(&node, "backfill", Some("good"))["doing"] == "following");
    let good = job(&node, "backfill", Some("good"));
    assert_eq!((&good["failures"], &good["error"]), (&0.into(), &Value::Null), "{good}");
    assert!(good["steps"].as_u64() > Some(0) && good["worked_seconds"].as_f64() > Some(0.0), "{good}");
    for (kind, of) in [
        ("retention", None),
        ("reasons", None),
        ("maps", None),
        ("sentinel", None),
        ("survey", None),
        ("node-list", Some("file")),
    ] {
        let job = job(&node, kind, of);
        assert!(job["doing"].is_string() && job["failures"] == 0 && job["overdue_seconds"].is_null(), "{kind}: {job}");
    }

    let told = metrics(&node);
    for line in [
        "gapless_job_state{kind=\"backfill\",state=\"backing-off\"} 1",
        "gapless_job_overdue{kind=\"backfill\"} 0",
        "gapless_job_failures_total{kind=\"retention\"} 0",
    ] {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert!(!told.contains("gapless_job_failures_in_a_row{kind=\"backfill\"} 0"), "{told}");

    let screen = node.run(&["status"]);
    let lines = screen.lines(1);
    assert!(lines.iter().any(|line| line.starts_with("backfill dead") && line.contains("backing-off")), "{screen:?}");
    assert!(lines[1].starts_with("warning: dead: "), "what is wrong comes first: {screen:?}");
    assert!(!screen.out.contains('\u{1b}'), "no colour where there is no terminal: {screen:?}");

    // Who is in no list any more has no job.
    std::fs::write(&list, format!("good http://{}\n", peer.address)).unwrap();
    eventually(SOON, || job(&node, "backfill", Some("dead")).is_null());
}

#[test]
fn a_tree_of_another_layout_is_a_problem_and_not_an_empty_archive() {
    let archive = TestArchive::empty();
    archive.raw("cam/2026-03-04/10/seg00001.ts", b"x");
    let node = TestNode::start(&archive);
    node.wait_ready();
    let problem = || node.get("/api/v1/status").json()["problems"][0].clone();
    eventually(SOON, || problem()["kind"] == "layout");
    assert_eq!(problem()["examples"][0], "cam/2026-03-04/10/seg00001.ts", "{}", problem());
    let screen = node.run(&["status"]);
    assert!(screen.lines(1)[1].contains("another layout"), "{screen:?}");
    let doctor = node.run(&["doctor"]);
    let line = doctor.lines(1).into_iter().find(|line| line.contains("layout")).unwrap().to_owned();
    assert!(line.starts_with("warn") && line.contains("gapless import"), "{line}");
}

/// A run that is read while it goes on.
struct Watched {
    child: Child,
    lines: Receiver<String>,
}

impl Watched {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    /// Reads up to a line with these words.
    #[track_caller]
    fn until(&self, words: &str) {
        while !self.lines.recv_timeout(SOON).unwrap_or_else(|_| panic!("no line with {words:?}")).contains(words) {}
    }
}

#[test]
fn a_watched_screen_follows_the_node_over_its_restart_until_ctrl_c() {
    let archive = TestArchive::empty();
    archive.segment("desertbus/source/2019-11-13T09", "00:00", 2.0, Kind::Full);
    let node = TestNode::plan(&archive).flag("--name").flag("first").start();
    node.wait_ready();
    let mut command = Command::new(GAPLESS);
    command.arg("--base-dir").arg(archive.path()).args(["status", "--watch", "100ms"]).stdin(Stdio::null());
    let mut watched = Watched::start(&mut command);
    for _ in 0..2 {
        watched.until("first  gapless");
        watched.until("all is well");
        watched.until("----");
    }
    node.kill();
    watched.until("no answer: no daemon runs on");
    watched.until("first  gapless");
    let node = TestNode::plan(&archive).flag("--name").flag("second").start();
    watched.until("second  gapless");
    kill_process(Pid::from_child(&watched.child), Signal::INT).unwrap();
    assert_eq!(watched.child.wait().unwrap().code(), Some(0));
    node.wait_ready();

    // For programs: one line of JSON each time.
    let mut command = Command::new(GAPLESS);
    command.arg("--base-dir").arg(archive.path()).args(["status", "--watch", "100ms", "--json"]).stdin(Stdio::null());
    let mut watched = Watched::start(&mut command);
    for _ in 0..2 {
        let line = watched.lines.recv_timeout(SOON).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["name"], "second");
    }
    watched.child.kill().unwrap();
    watched.child.wait().unwrap();
}

/// What a terminal is sent until ctrl-C is typed, which is done when it was sent these words twice; and the exit code.
fn on_a_terminal(archive: &TestArchive, words: &str, no_color: bool) -> (String, Option<i32>) {
    let run =
        format!("stty cols 100 rows 40; exec {GAPLESS} --base-dir '{}' status --watch 100ms", archive.path().display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &run, "/dev/null"]).env("TERM", "xterm");
    if no_color {
        command.env("NO_COLOR", "1");
    } else {
        command.env_remove("NO_COLOR");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut sent, mut buffer, mut is_typed) = (String::new(), [0; 4096], false);
    loop {
        let count = screen.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        sent.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if !is_typed && sent.matches(words).count() >= 2 {
            keys.write_all(b"\x03").unwrap();
            is_typed = true;
        }
    }
    (sent, child.wait().unwrap().code())
}

#[test]
fn on_a_terminal_the_screen_is_drawn_in_place_and_in_colour_unless_that_is_not_wanted() {
    let archive = TestArchive::empty();
    archive.segment("desertbus/source/2019-11-13T09", "00:00", 2.0, Kind::Full);
    archive.segment("evil\u{1b}[5m/source/2019-11-13T09", "00:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let (sent, code) = on_a_terminal(&archive, "desertbus/source", false);
    assert_eq!(code, Some(0), "{sent:?}");
    assert!(sent.contains("\u{1b}[32mall is well\u{1b}[0m"), "{sent:?}");
    assert!(sent.contains("evil\\x1b[5m/source") && !sent.contains("\u{1b}[5m"), "names steer nothing: {sent:?}");
    let (hidden, shown) = (sent.find("\u{1b}[?25l").unwrap(), sent.rfind("\u{1b}[?25h").unwrap());
    assert!(hidden < shown, "{sent:?}");
    assert_eq!(sent.matches("\u{1b}[2J").count(), 1, "cleared once, then drawn over: {sent:?}");
    assert!(sent.matches("\u{1b}[1;1H").count() >= 2, "{sent:?}");
    let (plain, code) = on_a_terminal(&archive, "desertbus/source", true);
    assert_eq!(code, Some(0), "{plain:?}");
    assert!(plain.contains("all is well") && !plain.contains("\u{1b}[32m"), "{plain:?}");
}
