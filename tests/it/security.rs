//! Who may read and who may change something: tokens from files, the daemon's own, and the one that is shown to other nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::support::trouble::{set_mode, text};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless};

const READER: &str = "reader-0123456789abcdef";
const WRITER: &str = "writer-0123456789abcdef";
const WRONG: &str = "nobody-0123456789abcdef";
const HOUR: &str = "chan/source/2020-01-01T05";

/// A directory with a file for each kind of token.
struct Tokens(tempfile::TempDir);

impl Tokens {
    fn new() -> Self {
        let tokens = Self(tempfile::tempdir().unwrap());
        tokens.write("writers", &format!("# of the editors\n{WRITER}\n"));
        tokens.write("readers", READER);
        tokens.write("one", WRITER);
        tokens
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces the file as an editor does.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let temporary = self.at(".new");
        fs::write(&temporary, content).unwrap();
        set_mode(&temporary, 0o600);
        fs::rename(&temporary, self.at(name)).unwrap();
        self.at(name)
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn what_changes_something_wants_a_token_for_writing() {
    let (archive, tokens) = (TestArchive::empty(), Tokens::new());
    let path = archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let plan = TestNode::plan(&archive).flag("--write-tokens").flag(tokens.at("writers"));
    let node = plan.flag("--read-tokens").flag(tokens.at("readers")).start();
    let order = json!({ "paths": [path] });
    for address in ["/api/v1/tombstones", "/api/v1/tombstones/purge"] {
        let refused = node.post(address, None, &order);
        assert_eq!(refused.problem(401).0, "/problems/unauthorized");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"gapless\""));
        let refused = node.post(address, Some(WRONG), &order);
        let (_, detail) = refused.problem(401);
        assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
        assert!(!detail.contains(WRONG), "{detail}");
        assert_eq!(node.post(address, Some(READER), &order).problem(403).0, "/problems/may-only-read");
        // What would be too large is not even read.
        let endless = format!("POST {address} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
        assert!(node.raw(endless.as_bytes()).starts_with(b"HTTP/1.1 401 "));
    }
    assert!(!archive.at(&path.replace(".ts", ".tombstone")).exists());
    for token in [WRITER, &node.own_token()] {
        let added = node.post("/api/v1/tombstones", Some(token), &order);
        assert_eq!(added.status, 200, "{}", added.text());
    }
    assert!(archive.at(&path.replace(".ts", ".tombstone")).exists());
}

#[test]
fn where_there_are_no_files_of_tokens_all_may_read_and_only_the_own_commands_write() {
    let archive = TestArchive::empty();
    let path = archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    assert_eq!(node.files(HOUR).len(), 1);
    // A token that nobody asked for does no harm.
    assert_eq!(node.get_with("/files", &[("Authorization", &bearer(WRONG))]).status, 200);
    node.post("/api/v1/tombstones", Some(WRITER), &json!({ "paths": [path] })).problem(401);
    node.run(&["tombstone", "add", &path]).lines(0);
    assert_eq!(node.files(HOUR), Vec::<String>::new());
}

#[test]
fn with_tokens_for_reading_nothing_is_told_without_one() {
    let (archive, tokens) = (TestArchive::sample(), Tokens::new());
    let plan = TestNode::plan(&archive).flag("--write-tokens").flag(tokens.at("writers"));
    let node = plan.flag("--read-tokens").flag(tokens.at("readers")).start();
    // These tell nothing, and are for whoever starts and balances nodes.
    assert_eq!(node.get("/healthz").status, 200);
    eventually(SOON, || node.get("/readyz").status == 200);
    assert_eq!(node.request("OPTIONS", "/files", &[]).status, 204);
    for path in [
        "/files",
        "/files/desertbus/source/2019-11-13T02",
        "/segments/desertbus/source/2019-11-13T04/00:00.131456-2.0-full-24WxRoFxzGZkMrETqn-WSEGXsbkGUOO3-n993Wl8b90.ts",
        "/extras/emotes",
        "/metrics",
        "/api/v1/openapi.json",
        "/api/v1/digests",
        "/api/v1/changes",
        "/api/v1/status",
        "/api/v1/tombstones",
    ] {
        for (method, token) in [("GET", None), ("GET", Some(WRONG)), ("HEAD", None), ("DELETE", None)] {
            let bearer = token.map(bearer);
            let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("Authorization", value.as_str())).collect();
            assert_eq!(node.request(method, path, &headers).status, 401, "{method} {path}");
        }
        for token in [READER, WRITER, &node.own_token()] {
            assert_eq!(node.get_with(path, &[("Authorization", &bearer(token))]).status, 200, "{path}");
        }
    }
    for secret in ["/no/such/address", "/healthz/", "//files", "/segments/.gapless/daemon.token"] {
        assert_eq!(node.get(secret).status, 401, "{secret}");
    }
    // Who is turned away is counted, under a name that nobody can make up.
    let metrics = node.get_with("/metrics", &[("Authorization", &bearer(READER))]);
    let counted = "http_request_latency_all_count{endpoint=\"unauthorized\",method=\"GET\",status=\"401\"} ";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    // The commands of this machine go on as ever, and others with a token.
    assert_eq!(node.run(&["ls"]).lines(0), ["desertbus"]);
    node.check();
    node.run(&["status"]).lines(0);
    let there = format!("http://{}", node.address);
    let from_elsewhere = TestArchive::empty();
    let denied = gapless(from_elsewhere.path(), &["status", "--node", &there]);
    assert!(denied.code == 3 && denied.err.contains("401") && denied.err.contains("--token-file"), "{denied:?}");
    let file = tokens.write("reader", READER);
    let args = ["status", "--node", &there, "--token-file", text(&file)];
    gapless(from_elsewhere.path(), &args).lines(0);
    // Who compares shows one, too.
    gapless(from_elsewhere.path(), &["rebuild"]).lines(0);
    let compare = ["diff", "--peer", &there, "--summary"];
    let denied = gapless(from_elsewhere.path(), &compare);
    assert!(denied.code == 3 && denied.err.contains("--token-file"), "{denied:?}");
    assert_eq!(gapless(from_elsewhere.path(), &[&compare[..], &["--token-file", text(&file)]].concat()).code, 1);
}

#[test]
fn a_file_of_tokens_that_is_not_safe_is_refused_with_what_to_do() {
    let (archive, tokens) = (TestArchive::empty(), Tokens::new());
    let refused = |flag: &str, file: &Path, expected: &str| {
        let outcome = TestNode::plan(&archive).flag(flag).flag(file).refused();
        assert!(outcome.code == 2 && outcome.err.contains(expected), "{flag}: {outcome:?}");
        assert!(!outcome.err.contains("0123456789abcdef"), "{}", outcome.err);
    };
    for flag in ["--write-tokens", "--read-tokens", "--token-file"] {
        for mode in [0o644, 0o604, 0o602, 0o620] {
            let file = tokens.write("open", WRITER);
            set_mode(&file, mode);
            refused(flag, &file, "chmod 600");
        }
        refused(flag, &tokens.write("empty", "# none\n"), "holds no token");
        refused(flag, &tokens.write("short", "0123456789abcde"), "line 1");
        refused(flag, &tokens.write("spaces", "\n0123456789abcdef 0123456789abcdef"), "line 2");
        refused(flag, tokens.0.path(), "no regular file");
        refused(flag, &tokens.at("none"), "cannot be read");
    }
    refused("--token-file", &tokens.write("two", &format!("{WRITER}\n{READER}")), "2 tokens");
    // The same by way of the configuration.
    let file = tokens.write("open", WRITER);
    set_mode(&file, 0o644);
    let config = format!("[http]\nwrite_tokens = {:?}\n", text(&file));
    let outcome = TestNode::plan(&archive).config(&config).refused();
    assert!(outcome.code == 2 && outcome.err.contains("chmod 600"), "{outcome:?}");
}

#[test]
fn a_token_is_changed_without_a_restart_and_a_broken_file_changes_nothing() {
    let (archive, tokens) = (TestArchive::empty(), Tokens::new());
    let node = TestNode::plan(&archive).flag("--read-tokens").flag(tokens.at("readers")).start();
    let status = |token: &str| node.get_with("/api/v1/status", &[("Authorization", &bearer(token))]);
    assert_eq!(status(READER).status, 200);
    let other = "another-0123456789abcdef";
    tokens.write("readers", other);
    eventually(SOON, || status(other).status == 200);
    assert_eq!(status(READER).status, 401);

    let troubles = || status(other).json()["troubles"].to_string();
    set_mode(&tokens.at("readers"), 0o644);
    eventually(SOON, || troubles().contains("chmod 600"));
    fs::remove_file(tokens.at("readers")).unwrap();
    eventually(SOON, || troubles().contains("cannot be read"));
    assert_eq!(node.run(&["status"]).code, 1, "something is wrong");
    tokens.write("readers", READER);
    eventually(SOON, || status(READER).status == 200);
    assert_eq!(status(READER).json()["troubles"], json!([]));
}

#[test]
fn no_token_is_written_to_any_log_or_answer() {
    let (archive, tokens) = (TestArchive::empty(), Tokens::new());
    let path = archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let plan = TestNode::plan(&archive).flag("--log").flag("trace").flag("--write-tokens").flag(tokens.at("writers"));
    let node = plan.flag("--read-tokens").flag(tokens.at("readers")).start();
    let own = node.own_token();
    let mut said = String::new();
    for token in [READER, WRITER, WRONG, &own] {
        let value = bearer(token);
        for target in ["/files", "/nowhere", "/api/v1/status", "/metrics"] {
            said += &String::from_utf8_lossy(&node.get_with(target, &[("Authorization", &value)]).body);
        }
        said += &String::from_utf8_lossy(&node.post("/api/v1/tombstones", Some(token), &json!({})).body);
        // Requests that are none.
        said += &String::from_utf8_lossy(
            &node.raw(format!("GET / HTTP/1.1\r\nAuthorization: {value}\r\nbroken\r\n\r\n").as_bytes()),
        );
    }
    tokens.write("readers", "another-0123456789abcdef\nhalf-a-tok");
    eventually(SOON, || {
        let answer = node.get_with("/api/v1/status", &[("Authorization", &bearer(WRITER))]);
        answer.text().contains("line 2")
    });
    node.run(&["tombstone", "add", &path]).lines(0);
    let verb = node.run(&["--log", "trace", "tombstone", "list"]);
    let empty = TestArchive::empty();
    let peer = format!("http://{}", node.address);
    let file = tokens.at("one");
    let args = ["--log", "trace", "backfill", "--once", "--peer", &peer, "--token-file", text(&file)];
    let fetched = gapless(empty.path(), &args);
    fetched.lines(0);
    said += &(node.log() + &verb.out + &verb.err + &fetched.out + &fetched.err);
    assert!(said.contains("tokens_not_read") || said.contains("the last good tokens stay"), "the log is the right one");
    for secret in [READER, WRITER, WRONG, &own, "another-0123456789abcdef", "half-a-tok"] {
        assert!(!said.contains(secret), "{secret} was told");
    }
}

#[test]
fn the_daemons_own_token_is_for_its_user_alone_and_ends_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let archive = TestArchive::empty();
    let file = archive.at(".gapless/daemon.token");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let node = TestNode::start(&archive);
        eventually(SOON, || file.exists());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let token = node.own_token();
        assert!(token.len() >= 43, "32 bytes");
        assert_eq!(node.get("/segments/.gapless/daemon.token").status, 403);
        seen.push(token);
        node.terminate();
        assert!(!file.exists());
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn a_peer_that_wants_a_token_is_shown_one() {
    let (full, empty, tokens) = (TestArchive::empty(), TestArchive::empty(), Tokens::new());
    let path = full.segment(HOUR, "00:00", 2.0, Kind::Full);
    let node = TestNode::plan(&full).flag("--read-tokens").flag(tokens.write("one", READER)).start();
    node.wait_ready();
    let peer = format!("http://{}", node.address);
    let args = ["backfill", "--once", "--peer", &peer];
    let denied = gapless(empty.path(), &args);
    assert!(denied.code == 1 && denied.out.contains("401"), "{denied:?}");
    let file = tokens.at("one");
    gapless(empty.path(), &[&args[..], &["--token-file", text(&file)]].concat()).lines(0);
    assert!(empty.at(&path).exists());
    // A daemon takes it from its configuration.
    let third = TestArchive::empty();
    let config = format!("[backfill]\ntoken_file = {:?}\n", text(&file));
    let _third = TestNode::plan(&third).config(&config).flag("--peer").flag(&peer).start();
    eventually(SOON + Duration::from_secs(5), || third.at(&path).exists());
}
