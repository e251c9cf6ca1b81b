//! What a node records changes while it runs: by order over the API and the command line, and by its settings; it is what it was after a restart.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::origin::Origin;
use crate::support::{SOON, TestArchive, TestNode, eventually};

/// A live stream that does not end during a test.
fn origin() -> Origin {
    let mut origin = Origin::new(0, 0);
    origin.encode(300, &["-hls_flags", "program_date_time"]);
    origin
}

fn list(node: &TestNode) -> Vec<Value> {
    node.get("/api/v1/recorders").json()["recorders"].as_array().unwrap().clone()
}

/// Channels with what they do.
fn states(node: &TestNode) -> Vec<(String, bool, String)> {
    let each = list(node).into_iter().map(|one| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&one["channel"]), one["stopped"].as_bool().unwrap(), text(&one["streams"][0]["state"]))
    });
    each.collect()
}

fn is(channel: &str, stopped: bool, state: &str) -> (String, bool, String) {
    (channel.to_owned(), stopped, state.to_owned())
}

fn segments(archive: &TestArchive, stream: &str) -> usize {
    archive.hours(stream).iter().map(|hour| archive.listing(&format!("{stream}/{hour}"), false).len()).sum()
}

#[test]
fn a_recorder_is_started_stopped_and_forgotten_by_order_also_over_a_restart() {
    let origin = origin();
    let (archive, url) = (TestArchive::empty(), origin.url("live.m3u8?key=secret"));
    let node = TestNode::start(&archive);
    let token = node.own_token();
    let send = |node: &TestNode, token: &str, order: &str, body: &Value| {
        let answer = node.post(&format!("/api/v1/recorders/{order}"), Some(token), body);
        (answer.status, answer.json())
    };
    let wanted = json!({"channel": "live", "source": url});
    for order in ["start", "stop", "test"] {
        assert_eq!(node.post(&format!("/api/v1/recorders/{order}"), None, &wanted).status, 401, "{order}");
    }
    // Nonsense changes nothing, and says what is wrong without what may be secret.
    for (order, body, status, expected) in [
        ("start", json!({"channel": "live"}), 404, "no recorder of channel"),
        ("start", json!({"channel": "..", "source": url}), 400, "name of a directory"),
        ("start", json!({"channel": "live", "source": "file:///etc/passwd"}), 400, "not an address to record from"),
        ("start", json!({"channel": "live", "source": "x?key=secret"}), 400, "not an address to record from"),
        ("start", json!({"channel": "live", "source": url, "qualities": ["chat"]}), 400, "source or 480p"),
        ("start", json!({"channel": "live", "qualities": ["480p"]}), 400, "without a source"),
        ("start", json!({"channel": "live", "sauce": url}), 400, "sauce"),
        ("stop", json!({"channel": "live"}), 404, "no recorder of channel"),
        ("test", json!({"source": "http://127.0.0.1:9/x?key=secret"}), 502, "cannot be reached"),
    ] {
        let (got, problem) = send(&node, &token, order, &body);
        let detail = problem["detail"].as_str().unwrap();
        assert!(got == status && detail.contains(expected) && !detail.contains("secret"), "{body}: {got} {problem}");
    }
    assert_eq!(list(&node), Vec::<Value>::new());
    let (status, report) = send(&node, &token, "start", &wanted);
    assert_eq!((status, &report["in_settings"], &report["stopped"]), (200, &json!(false), &json!(false)), "{report}");
    assert_eq!(report["source"], origin.url("live.m3u8?…"));
    eventually(SOON, || segments(&archive, "live/source") > 0);
    // The file is there before that is told.
    eventually(SOON, || states(&node) == [is("live", false, "working")]);
    // Killed, it goes on.
    node.kill();
    let node = TestNode::start(&archive);
    let before = segments(&archive, "live/source");
    eventually(SOON, || segments(&archive, "live/source") > before);
    // Stopped, it does not; neither after a restart, and everybody sees that.
    let done = node.run(&["record", "--stop", "live"]);
    assert!(done.code == 0 && done.out.contains("by order, stopped"), "{done:?}");
    eventually(SOON, || states(&node) == [is("live", true, "waiting")]);
    let job = |node: &TestNode| {
        let status = node.get("/api/v1/status").json();
        let jobs = status["jobs"].as_array().unwrap().clone();
        jobs.into_iter().find(|job| job["kind"] == "record").map(|job| job["doing"].as_str().unwrap().to_owned())
    };
    assert_eq!(job(&node).as_deref(), Some("was stopped; it records again when it is started"));
    node.terminate();
    let stopped_at = segments(&archive, "live/source");
    let node = TestNode::start(&archive);
    eventually(SOON, || states(&node) == [is("live", true, "waiting")]);
    node.wait_ready();
    assert_eq!(segments(&archive, "live/source"), stopped_at);
    // Started again, without being told where from.
    let done = node.run(&["record", "--start", "live"]);
    assert_eq!(done.code, 0, "{done:?}");
    eventually(SOON, || segments(&archive, "live/source") > stopped_at);
    let listed = node.run(&["record", "--list"]);
    assert!(listed.out.contains("(by order)") && listed.out.contains("source: records"), "{listed:?}");
    // Led elsewhere, where nothing comes from.
    let done = node.run(&["record", "--start", "live", "http://127.0.0.1:9/gone.m3u8?key=secret"]);
    assert_eq!(done.code, 0, "{done:?}");
    eventually(SOON, || states(&node) == [is("live", false, "backing-off")]);
    let done = node.run(&["record", "--forget", "live"]);
    assert!(done.code == 0 && done.out.contains("nothing is recorded here"), "{done:?}");
    eventually(SOON, || job(&node).is_none());
    let unknown = node.run(&["record", "--stop", "live"]);
    assert!(unknown.code == 3 && unknown.err.contains("no recorder of channel"), "{unknown:?}");
    assert!(!node.log().contains("secret"));
    node.terminate();
    let away = crate::support::gapless(archive.path(), &["record", "--list"]);
    assert!(away.code == 3 && away.err.contains("no daemon runs"), "{away:?}");
}

#[test]
fn what_the_settings_name_is_recorded_from_the_moment_they_are_read_again() {
    let origin = origin();
    let archive = TestArchive::empty();
    let config = archive.path().join(".gapless/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let section =
        |channel: &str| format!("[[record]]\nchannel = \"{channel}\"\nsource = \"{}\"\n", origin.url("live.m3u8"));
    fs::write(&config, section("a")).unwrap();
    let node = TestNode::start(&archive);
    eventually(SOON, || states(&node) == [is("a", false, "working")]);
    let since = list(&node)[0]["streams"][0]["since"].clone();
    let read_again = |text: &str| {
        fs::write(&config, text).unwrap();
        node.signal(Signal::HUP);
    };
    // What makes no sense changes nothing.
    read_again("[[record]]\nchannel = \"b\"\n");
    eventually(SOON, || node.log().contains("the new configuration is invalid"));
    assert_eq!(list(&node).len(), 1);
    // One more begins; the other one is not disturbed.
    read_again(&(section("a") + &section("b")));
    eventually(SOON, || states(&node) == [is("a", false, "working"), is("b", false, "working")]);
    assert_eq!(list(&node)[0]["streams"][0]["since"], since);
    eventually(SOON, || segments(&archive, "b/source") > 0);
    // What the settings name is not led elsewhere and not forgotten, only stopped.
    let token = node.own_token();
    let elsewhere = json!({"channel": "b", "source": origin.url("other.m3u8")});
    for (order, body) in [("start", elsewhere), ("stop", json!({"channel": "b", "forget": true}))] {
        let answer = node.post(&format!("/api/v1/recorders/{order}"), Some(&token), &body);
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert!(answer.text().contains("change its [[record]] there"), "{}", answer.text());
    }
    assert_eq!(node.post("/api/v1/recorders/stop", Some(&token), &json!({"channel": "b"})).status, 200);
    eventually(SOON, || states(&node) == [is("a", false, "working"), is("b", true, "waiting")]);
    read_again(&section("b"));
    eventually(SOON, || states(&node) == [is("b", true, "waiting")]);
    // Orders that cannot be read are not written over, and nothing that the settings name waits for them.
    let orders = archive.path().join(".gapless/recorders.json");
    assert!(fs::read_to_string(&orders).unwrap().contains("\"b\""));
    fs::write(&orders, "{").unwrap();
    read_again(&section("b"));
    eventually(SOON, || states(&node) == [is("b", false, "working")]);
    let refused = node.post("/api/v1/recorders/stop", Some(&token), &json!({"channel": "b"}));
    assert!(refused.status == 503 && refused.text().contains("recorders.json cannot be read"), "{}", refused.text());
    assert_eq!(fs::read_to_string(&orders).unwrap(), "{");
    node.terminate();
}

#[test]
fn a_stream_is_tested_recorded_and_stopped_on_the_page_by_whoever_has_a_token_for_writing() {
    let origin = origin();
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    let browser = Browser::start(1200, 900);
    browser.open(&node, "/status");
    browser.wait_until("document.getElementById('recorders').textContent.includes('Nothing is recorded')");
    let give = |id: &str, text: &str| {
        browser.run(&format!("document.getElementById('{id}').value = {};", json!(text)));
    };
    let click = |selector: &str| browser.run(&format!("document.querySelector({}).click();", json!(selector)));
    let note = |expected: &str| {
        let expected = json!(expected);
        browser.wait_until(&format!("document.getElementById('recorder-note').textContent.includes({expected})"));
    };
    give("recorder-source", &origin.url("live.m3u8?key=secret"));
    click("#recorder-test");
    note("Orders need a token for writing");
    give("recorder-token", "not-the-token-of-this-node");
    click("#recorder-test");
    note("This token may not write");
    give("recorder-token", &node.own_token());
    eventually(SOON, || !origin.segments().is_empty());
    click("#recorder-test");
    note("HLS: 1 quality, all of which can be recorded");
    assert!(browser.text("document.getElementById('recorder-found').textContent").contains("CHANNEL/source/"));
    give("recorder-channel", "live");
    click("#recorder-form button[type=submit]");
    note("live is recorded.");
    eventually(SOON, || states(&node) == [is("live", false, "working")]);
    browser.wait_until("document.getElementById('recorders').textContent.includes('records; the last segment')");
    click("[data-order='Stop live']");
    note("live is not recorded any more.");
    assert_eq!(states(&node), [is("live", true, "waiting")]);
    browser.wait_until("document.querySelector(\"[data-order='Start live']\") !== null");
    click("[data-order='Forget live']");
    eventually(SOON, || list(&node).is_empty());
    // The one that was refused, and nothing of the page itself.
    let log = browser.log();
    assert!(log.iter().all(|line| line.contains("401")), "{log:?}");
    node.terminate();
}
