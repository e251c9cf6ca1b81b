//! The node as a service: what it tells whoever started it, and its unit file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::trouble::text;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless, invariants};

/// A service manager: hears what the node says.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
    heard: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { socket, dir, heard: Vec::new() }
    }

    fn place(&self) -> String {
        self.dir.path().join("notify").to_str().unwrap().to_owned()
    }

    /// All lines that were heard so far, in order.
    fn lines(&mut self) -> Vec<String> {
        let mut room = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut room) {
            self.heard.extend(String::from_utf8(room[..length].to_vec()).unwrap().lines().map(str::to_owned));
        }
        self.heard.clone()
    }

    #[track_caller]
    fn wait_for(&mut self, line: &str) {
        eventually(SOON, || self.lines().iter().any(|heard| heard == line));
    }
}

#[test]
fn the_service_manager_is_told_when_the_node_listens_how_it_is_that_it_lives_and_that_it_ends() {
    let archive = TestArchive::empty();
    for start in ["00:00", "00:02", "00:04"] {
        archive.segment("chan/source/2019-11-13T02", start, 2.0, Kind::Full);
    }
    let mut manager = Manager::new();
    let node = TestNode::plan(&archive).env("NOTIFY_SOCKET", &manager.place()).env("WATCHDOG_USEC", "400000").start();
    manager.wait_for("STATUS=ready; no holes in the last day");
    let before = manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count();
    eventually(SOON, || manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count() >= before + 2);
    let before = manager.lines().len();
    node.signal(rustix::process::Signal::HUP);
    eventually(SOON, || manager.lines()[before..].contains(&"READY=1".to_owned()));
    let reload = manager.lines()[before..].to_vec();
    let at = reload.iter().position(|line| line == "RELOADING=1").unwrap();
    assert!(reload[at + 1].starts_with("MONOTONIC_USEC="), "{reload:?}");
    assert!(reload[at..].contains(&"READY=1".to_owned()), "{reload:?}");
    node.terminate();
    let lines = manager.lines();
    let at = |line: &str| lines.iter().position(|heard| heard == line).unwrap_or_else(|| panic!("{line}: {lines:?}"));
    assert_eq!(lines[0], "READY=1", "{lines:?}");
    assert!(at("READY=1") < at("STATUS=ready; no holes in the last day"), "{lines:?}");
    assert!(at("WATCHDOG=1") < at("STOPPING=1"), "{lines:?}");
    assert!(!lines[at("STOPPING=1")..].iter().any(|line| line.starts_with("READY")), "{lines:?}");
}

#[test]
fn a_disk_that_is_away_is_told_and_is_no_reason_to_be_ended() {
    let archive = TestArchive::empty();
    archive.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    let state = tempfile::tempdir().unwrap();
    let mut manager = Manager::new();
    let node = TestNode::plan(&archive)
        .state_dir(state.path())
        .env("NOTIFY_SOCKET", &manager.place())
        .env("WATCHDOG_USEC", "200000")
        .start();
    manager.wait_for("STATUS=ready; no holes in the last day");
    let (base, aside) = (archive.path(), archive.outside().join("away"));
    fs::rename(base, &aside).unwrap();
    eventually(SOON * 2, || manager.lines().iter().any(|line| line.starts_with("STATUS=the archive is not there")));
    let before = manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count();
    eventually(SOON, || manager.lines().iter().filter(|line| *line == "WATCHDOG=1").count() > before);
    fs::rename(&aside, base).unwrap();
    node.terminate();
}

#[test]
fn every_line_of_the_log_is_json_with_the_events_name() {
    let archive = TestArchive::empty();
    archive.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    let node = TestNode::plan(&archive).env("GAPLESS_LOG", "debug").env("GAPLESS_LOG_FORMAT", "json").start();
    node.wait_ready();
    eventually(SOON, || node.log().contains("\"event\":\"caught_up\""));
    assert_eq!(node.get("/files/chan").status, 200);
    eventually(SOON, || node.log().contains("\"event\":\"request\""));
    for line in node.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(), "{line}");
        let ours = line["target"].as_str().unwrap().starts_with("gapless");
        assert_eq!(line["event"].is_string(), ours, "{line}");
    }
    let answer = node.get("/metrics");
    let metrics = answer.text();
    assert!(
        metrics.contains(
            "log_count_total{function=\"caught_up\",level=\"INFO\",module=\"gapless::sync::crawl::catch_up\"} 1"
        ),
        "{metrics}"
    );
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package")
}

fn unit() -> String {
    fs::read_to_string(package().join("gapless@.service")).unwrap()
}

/// Runs a program that must succeed; what it says on both outputs.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn the_unit_starts_the_program_as_it_is_today() {
    let archive = TestArchive::empty();
    let unit = unit();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<String> = start.split(' ').map(|word| word.replace("%f", text(archive.path()))).collect();
    assert_eq!(words[0], "/usr/bin/gapless");
    let mut manager = Manager::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gapless"))
        .args(&words[1..])
        .env("GAPLESS_LISTEN", "127.0.0.1:0")
        .env("NOTIFY_SOCKET", manager.place())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    manager.wait_for("READY=1");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_unit_is_understood_and_exposes_little() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gapless@srv-archive.service");
    fs::write(&file, unit().replace("/usr/bin/gapless", env!("CARGO_BIN_EXE_gapless"))).unwrap();
    let said = run(Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&file));
    assert!(!said.contains(text(&file)), "{said}");
    // From 0, nothing, to 100, everything.
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&file));
}

#[test]
fn the_package_holds_what_the_documentation_says() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    fs::write(&program, format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_gapless"))).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let build = |kind: &str| {
        let mut command = Command::new(package().join("build"));
        run(command.arg(kind).arg("--binary").arg(&program).arg("--out").arg(dir.path()))
    };
    let made = |said: String| said.lines().find(|line| line.starts_with('/')).unwrap().to_owned();
    let package = made(build("deb"));
    assert!(package.contains(&format!("gapless_{}_", env!("CARGO_PKG_VERSION"))), "{package}");
    let contents = run(Command::new("dpkg-deb").arg("--contents").arg(&package));
    for (rights, path) in [
        ("-rwxr-xr-x", "./usr/bin/gapless"),
        ("-rw-r--r--", "./lib/systemd/system/gapless@.service"),
        ("-rw-r--r--", "./etc/gapless/gapless.env"),
        ("-rw-r--r--", "./etc/gapless/gapless.toml"),
        ("-rw-r--r--", "./usr/share/doc/gapless/service.md"),
        ("-rw-r--r--", "./usr/share/doc/gapless/copyright"),
        ("-rw-r--r--", "./usr/share/doc/gapless/changelog.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/gapless.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/gapless-retention-plan.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/gapless"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_gapless"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/gapless.fish"),
    ] {
        let line = contents.lines().find(|line| line.ends_with(&format!(" {path}")));
        assert!(line.is_some_and(|line| line.starts_with(rights) && line.contains("root/root")), "{path}:\n{contents}");
    }
    let control = dir.path().join("control");
    run(Command::new("dpkg-deb").arg("--control").arg(&package).arg(&control));
    assert_eq!(
        fs::read_to_string(control.join("conffiles")).unwrap(),
        "/etc/gapless/gapless.env\n/etc/gapless/gapless.toml\n"
    );
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(control.join(script)));
    }
    let archive = made(build("static"));
    let contents = run(Command::new("tar").arg("-tzf").arg(&archive));
    for name in [
        "gapless\n",
        "gapless@.service\n",
        "gapless.toml\n",
        "doc/service.md\n",
        "man/man1/gapless.1.gz\n",
        "completions/_gapless\n",
    ] {
        assert!(contents.contains(&format!("-linux-musl/{name}")), "{name}: {contents}");
    }
}

#[test]
fn the_settings_that_the_package_brings_and_its_examples_are_settings() {
    let (archive, dir) = (TestArchive::empty(), tempfile::tempdir().unwrap());
    let shipped = fs::read_to_string(package().join("gapless.toml")).unwrap();
    let is_setting =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let examples = shipped.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line));
    let examples = examples.collect::<Vec<_>>().join("\n");
    assert!(examples.contains("\nlisten = ") && examples.contains("\n[retention]\nmax_age = "), "{examples}");
    for (name, content) in [("shipped", &shipped), ("examples", &examples)] {
        let file = dir.path().join(name);
        fs::write(&file, content).unwrap();
        // Whatever it finds: it has read the settings.
        let told = gapless(archive.path(), &["--config", text(&file), "doctor", "--listen", "127.0.0.1:0", "--json"]);
        assert!(matches!(told.code, 0 | 1), "{}", told.err);
        assert_eq!(told.json(told.code)["checks"][0]["check"], "configuration");
    }
    let env = fs::read_to_string(package().join("gapless.env")).unwrap();
    assert!(env.contains("\nGAPLESS_CONFIG=/etc/gapless/gapless.toml\n"), "{env}");
}

#[test]
fn a_backup_by_the_documented_command_can_be_restored() {
    let (archive, copy) = (TestArchive::sample(), TestArchive::empty());
    let hidden = archive.segment("chan/source/2019-11-13T02", "00:00", 2.0, Kind::Full);
    archive.tombstone(&hidden);
    archive.raw("chan/source/2019-11-13T02/.unfinished.ts.tmp", b"x");
    let node = TestNode::start(&archive);
    node.wait_ready();
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/service.md")).unwrap();
    let command = docs.lines().find(|line| line.starts_with("rsync ")).unwrap();
    let command = command.replace("backup:/srv/archive/", &format!("{}/", text(copy.path())));
    let command = command.replace("/srv/archive/", &format!("{}/", text(archive.path())));
    run(Command::new("sh").arg("-c").arg(&command));
    node.terminate();

    let own = fs::read_dir(copy.at(".gapless")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut own: Vec<_> = own.collect();
    own.sort_unstable();
    // Levels are noted with the first run of retention, which may have been before the copy.
    own.retain(|name| name != "levels" && name != "levels.2");
    let protects = ["marker", "records", "records.2", "time", "time.2"];
    assert_eq!(own, protects, "what protects the archive is copied, and neither the index nor a token");
    assert!(!copy.at("chan/source/2019-11-13T02/.unfinished.ts.tmp").exists());
    assert_eq!(fs::read(copy.at(".gapless/marker")).unwrap(), fs::read(archive.at(".gapless/marker")).unwrap());
    let restored = TestNode::start(&copy);
    restored.wait_ready();
    invariants::hold(&copy, &restored);
    assert_eq!(restored.files("chan/source/2019-11-13T02"), Vec::<String>::new(), "what was hidden stays hidden");
    restored.check();
}
