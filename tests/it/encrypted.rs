//! TLS on the listener and to peers: who may be trusted is, who may not is refused in words, and the rules for connections hold
//! as they do without it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::authority::{Authority, Credentials, replace};
use crate::support::node::Plan;
use crate::support::origin::Origin;
use crate::support::{Connection, Kind, Outcome, SOON, TestArchive, TestNode, eventually, gapless, invariants, quoted};

const HOUR: &str = "chan/source/2020-01-01T05";
/// Where nodes are in these tests.
const HERE: &str = "127.0.0.1";

/// Twenty segments; says their paths.
fn fill_in(archive: &TestArchive) -> Vec<String> {
    (0..20).map(|minute| archive.segment(HOUR, &format!("{minute:02}:00"), 2.0, Kind::Full)).collect()
}

fn plan(archive: &TestArchive, authority: &Authority, shown: &Credentials) -> Plan {
    TestNode::plan(archive).encrypted(shown, authority)
}

fn ready(plan: Plan) -> TestNode {
    let node = plan.start();
    node.wait_ready();
    node
}

fn backfill(base: &Path, url: &str, more: &[&str]) -> Outcome {
    let peer = format!("other={url}");
    let args = ["--json", "backfill", "--once", "--recent-cutoff", "0s", "--peer", &peer];
    gapless(base, &[&args, more].concat())
}

fn ca(authority: &Authority) -> [&str; 2] {
    ["--ca-file", authority.file.to_str().unwrap()]
}

#[test]
fn a_node_with_a_certificate_answers_over_tls_and_says_nothing_in_clear_text() {
    let archive = TestArchive::empty();
    let paths = fill_in(&archive);
    archive.raw("chan/notes/large.bin", &vec![7; 3 << 20]);
    let authority = Authority::new("own");
    let node = ready(plan(&archive, &authority, &authority.issue(&[HERE])));
    invariants::hold(&archive, &node);
    assert_eq!(node.files("chan/source"), ["2020-01-01T05"]);
    let mut kept = node.connect();
    for path in &paths[..3] {
        assert_eq!(kept.request("GET", &format!("/segments/{}", quoted(path)), &[]).body, archive.read(path));
    }
    assert_eq!(kept.request("GET", "/segments/chan/notes/large.bin", &[]).body, vec![7; 3 << 20]);

    let mut clear = Connection::open(node.address);
    clear.send(b"GET /files HTTP/1.1\r\nHost: a\r\n\r\n");
    let said = clear.read_to_end();
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{}", String::from_utf8_lossy(&said));
    assert!(Connection::encrypted(node.address, &Authority::new("another").trust()).is_err());
    node.terminate();
}

#[test]
fn segments_come_over_https_from_a_peer_with_an_own_authority() {
    let (full, once, followed) = (TestArchive::empty(), TestArchive::empty(), TestArchive::empty());
    let paths = fill_in(&full);
    let authority = Authority::new("own");
    let node = ready(plan(&full, &authority, &authority.issue(&["archive.example", HERE])));
    let url = format!("https://{}", node.address);
    let report = backfill(once.path(), &url, &ca(&authority)).json(0);
    assert_eq!(report["fetched"], paths.len(), "{report}");
    assert_eq!(once.read(&paths[0]), full.read(&paths[0]));
    let report = backfill(once.path(), &url, &ca(&authority)).json(0);
    assert_eq!((&report["fetched"], &report["requests"]), (&0.into(), &1.into()), "{report}");

    let config = format!("[backfill]\nca_file = {:?}\nrecent_cutoff = \"0s\"\n", authority.file);
    let plan = TestNode::plan(&followed).config(&config).flag("--peer").flag(format!("other={url}"));
    let follower = ready(plan);
    eventually(SOON, || paths.iter().all(|path| followed.at(path).exists()));
    invariants::hold(&followed, &follower);
}

#[test]
fn a_peer_that_cannot_be_trusted_is_refused_and_said_why() {
    let (full, empty) = (TestArchive::empty(), TestArchive::empty());
    fill_in(&full);
    let (authority, other) = (Authority::new("own"), Authority::new("other"));
    let expired = authority.issue_with(&[HERE], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    });
    let cases = [
        (&other, authority.issue(&[HERE]), "not signed by an authority that is trusted here"),
        (&authority, authority.issue(&["archive.example"]), "not for 127.0.0.1 but for"),
        (&authority, expired, "expired"),
    ];
    for (trusted, shown, why) in cases {
        // The clients of this test do not look at all.
        let node = plan(&full, &authority, &shown).start();
        let report = backfill(empty.path(), &format!("https://{}", node.address), &ca(trusted)).json(1);
        let said = report["error"].as_str().unwrap();
        assert!(said.contains("cannot speak securely with") && said.contains(why), "{said}");
        assert_eq!(report["fetched"], 0, "{report}");
    }
    let shown = authority.issue(&[HERE]);
    let node = ready(plan(&full, &authority, &shown));
    // Without its authority, and in clear text.
    let url = format!("https://{}", node.address);
    let report = backfill(empty.path(), &url, &[]).json(1);
    assert!(report["error"].as_str().unwrap().contains("--ca-file"), "{report}");
    let report = backfill(empty.path(), &url.replace("https", "http"), &ca(&authority)).json(1);
    assert!(report["error"].is_string(), "{report}");
    // One that does not encrypt.
    let other_archive = TestArchive::empty();
    let clear = ready(TestNode::plan(&other_archive));
    let report = backfill(empty.path(), &format!("https://{}", clear.address), &ca(&authority)).json(1);
    assert!(report["error"].as_str().unwrap().contains("does not speak TLS"), "{report}");
    assert!(!empty.at("chan").exists());

    let follower = TestNode::plan(&empty).flag("--peer").flag(format!("other={url}")).flag("--ca-file");
    let follower = ready(follower.flag(&other.file));
    let error = || follower.get("/api/v1/status").json()["peers"][0]["error"].clone();
    eventually(SOON, || error().as_str().is_some_and(|said| said.contains("not signed by an authority")));
    let screen = follower.run(&["status"]);
    assert!(screen.out.contains("not signed by an authority"), "{}", screen.out);
}

#[test]
fn the_command_line_trusts_exactly_the_daemon_on_its_archive() {
    let archive = TestArchive::empty();
    let paths = fill_in(&archive);
    let authority = Authority::new("own");
    // A certificate that names another host and has no address in it.
    let node_name = authority.issue(&["archive.example"]);
    let node = plan(&archive, &authority, &node_name).start();
    eventually(SOON, || node.run(&["status", "--json"]).json(0)["ready"] == true);
    assert_eq!(node.run(&["ls", HOUR]).lines(0).len(), paths.len());
    let url = format!("https://{}", node.address);
    let refused = node.run(&["status", "--node", &url, "--ca-file", authority.file.to_str().unwrap()]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("not for 127.0.0.1 but for"), "{}", refused.err);

    // Another certificate at the same address is not taken for it.
    let file = archive.at(".gapless/daemon.json");
    let mut told: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&told["scheme"], told["certificates"].as_array().unwrap().len()), (&"https".into(), 1), "{told}");
    told["certificates"] = serde_json::json!(["00".repeat(32)]);
    fs::write(&file, told.to_string()).unwrap();
    let refused = node.run(&["status"]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("its certificate is not the one that was expected"), "{}", refused.err);
    node.kill();

    let node = ready(plan(&archive, &authority, &authority.issue(&[HERE])));
    let url = format!("https://{}", node.address);
    node.run(&["status", "--node", &url, "--ca-file", authority.file.to_str().unwrap()]).lines(0);
    let refused = node.run(&["status", "--node", &url]);
    assert_eq!(refused.code, 3, "{}", refused.out);
    assert!(refused.err.contains("--ca-file"), "{}", refused.err);
    let mixed_up = node.run(&["status", "--node", &format!("http://{}", node.address)]);
    assert!(mixed_up.code == 3 && mixed_up.err.contains("is its address an https:// one?"), "{mixed_up:?}");
}

#[test]
fn a_handshake_that_never_ends_is_cut_and_holds_nobody_up() {
    let archive = TestArchive::empty();
    fill_in(&archive);
    let authority = Authority::new("own");
    let shown = authority.issue(&[HERE]);
    let plan = plan(&archive, &authority, &shown);
    // Much shorter than the time after which idle connections are closed.
    let plan = plan.env("GAPLESS_HTTP_HEADER_TIMEOUT", "1s").env("GAPLESS_HTTP_MAX_CONNECTIONS", "8");
    let node = ready(plan);
    let mut silent: Vec<Connection> = (0..6).map(|_| Connection::open(node.address)).collect();
    let mut begun = Connection::open(node.address);
    begun.send(b"\x16\x03\x01\x02\x00\x01\x00");
    assert_eq!(node.files("chan"), ["source"]);
    begun.read_to_end();
    for connection in &mut silent {
        assert_eq!(connection.read_to_end(), b"");
    }

    // More than may be open at once: the ones that came first give way.
    let crowd: Vec<Connection> = (0..20).map(|_| Connection::open(node.address)).collect();
    assert_eq!(node.files("chan"), ["source"]);
    drop(crowd);
    // After it, a request's head has its own time.
    let mut trickler = node.connect();
    trickler.send(b"GET /files HTTP/1.1\r\nHos");
    assert_eq!(trickler.read_to_end(), b"");
}

#[test]
fn who_does_not_read_is_cut_and_the_end_waits_for_no_handshake() {
    let archive = TestArchive::empty();
    archive.raw("chan/notes/large.bin", &vec![7; 64 << 20]);
    let authority = Authority::new("own");
    let shown = authority.issue(&[HERE]);
    let plan = plan(&archive, &authority, &shown);
    let plan = plan.env("GAPLESS_HTTP_WRITE_STALL_TIMEOUT", "1s").env("GAPLESS_HTTP_HEADER_TIMEOUT", "1min");
    // Who waits for anything at the end waits longer than any test.
    let plan = plan.env("GAPLESS_HTTP_DRAIN", "10min").env("GAPLESS_LOG", "gapless::http=debug");
    let node = ready(plan);
    let mut deaf = node.connect();
    deaf.send(b"GET /segments/chan/notes/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually(SOON, || node.log().contains("Stalled"));
    assert!(deaf.read_to_end().len() < 64 << 20);

    let (mut shaking, mut idle) = (Connection::open(node.address), node.connect());
    assert_eq!(idle.request("GET", "/healthz", &[]).status, 200);
    node.terminate();
    assert_eq!((shaking.read_to_end().len(), idle.read_to_end().len()), (0, 0));
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let archive = TestArchive::empty();
    fill_in(&archive);
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let shown = old.issue(&[HERE]);
    let node = ready(plan(&archive, &old, &shown));
    let shows = |authority: &Authority| Connection::encrypted(node.address, &authority.trust()).is_ok();
    let mut kept = node.connect();
    assert!(shows(&old) && !shows(&new));

    new.issue(&[HERE]).put_in_place_of(&shown);
    eventually(SOON, || shows(&new));
    assert!(!shows(&old));
    assert_eq!(kept.request("GET", "/healthz", &[]).status, 200, "what was open stays open");
    node.run(&["status"]).lines(0);

    replace(&shown.certificate, b"-----BEGIN CERTIFICATE-----\nnonsense\n");
    eventually(SOON, || node.log().contains("the new certificate cannot be used"));
    assert!(shows(&new));
    node.run(&["status"]).lines(0);

    old.issue(&[HERE]).put_in_place_of(&shown);
    eventually(SOON, || shows(&old));
    node.run(&["status"]).lines(0);
    assert_eq!(node.log().matches("cannot be used").count(), 1, "said once");
}

#[test]
fn what_cannot_be_shown_is_refused_at_the_start() {
    let archive = TestArchive::empty();
    let authority = Authority::new("own");
    let (shown, other) = (authority.issue(&[HERE]), authority.issue(&[HERE]));
    let start = |certificate: Option<&Path>, key: Option<&Path>| {
        let mut plan = TestNode::plan(&archive);
        for (flag, path) in [("--tls-certificate", certificate), ("--tls-key", key)] {
            plan = match path {
                Some(path) => plan.flag(flag).flag(path),
                None => plan,
            };
        }
        let outcome = plan.refused();
        assert_eq!(outcome.code, 2, "{}", outcome.err);
        outcome.err
    };
    let (certificate, key) = (shown.certificate.as_path(), shown.key.as_path());
    let said = start(Some(certificate), None);
    assert!(said.contains("http.tls_certificate is given and http.tls_key is not"), "{said}");
    let said = start(None, Some(key));
    assert!(said.contains("http.tls_key is given and http.tls_certificate is not"), "{said}");
    let said = start(Some(certificate), Some(&other.key));
    assert!(said.contains("does not belong to the certificate"), "{said}");
    let said = start(Some(key), Some(key));
    assert!(said.contains("does not hold a certificate"), "{said}");
    let said = start(Some(certificate), Some(certificate));
    assert!(said.contains("readable by others") || said.contains("does not hold a private key"), "{said}");
    let said = start(Some(certificate), Some(&archive.at("nowhere.pem")));
    assert!(said.contains("cannot read") && said.contains("nowhere.pem"), "{said}");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = start(Some(certificate), Some(key));
    assert!(said.contains(&format!("{} is readable by others; chmod 600 it", key.display())), "{said}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = backfill(archive.path(), &format!("https://{free}"), &["--ca-file", "/nowhere.pem"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("backfill.ca_file: cannot read /nowhere.pem"), "{}", said.err);
}

#[test]
fn a_stream_is_recorded_over_https_from_a_source_with_an_own_authority() {
    let origin = Origin::new(0, 0);
    origin.encode_at_once(3, &["-hls_list_size", "0"]);
    let (archive, recorded, second) = (TestArchive::empty(), TestArchive::empty(), TestArchive::empty());
    for (minute, content) in origin.segments().values().enumerate() {
        archive.named(HOUR, &format!("{minute:02}:00-1.0-full"), "ts", content);
    }
    let authority = Authority::new("own");
    let node = ready(plan(&archive, &authority, &authority.issue(&[HERE])));
    let window = "start=2020-01-01T05:00:00&end=2020-01-01T05:30:00";
    let url = format!("https://{}/playlist/chan/source.m3u8?{window}", node.address);
    let record = |more: &[&str]| gapless(recorded.path(), &[&["record", "c", &url, "--for", "4s"], more].concat());
    let another = Authority::new("another");
    for more in [&[][..], &ca(&another)] {
        let refused = record(more);
        assert!(refused.code == 3 && refused.err.contains("certificate"), "{refused:?}");
    }
    let missing = record(&["--ca-file", "/no/such/file.pem"]);
    assert!(missing.code != 0 && missing.err.contains("/no/such/file.pem"), "{missing:?}");
    let of_the_hour = |archive: &TestArchive| archive.listing("c/source/2020-01-01T05", false).len();
    let trusted = record(&ca(&authority));
    assert_eq!(of_the_hour(&recorded), 3, "{trusted:?}");
    let config = format!("[[record]]\nchannel = \"c\"\nsource = \"{url}\"\nca_file = {:?}\n", authority.file);
    let _recording = TestNode::plan(&second).config(&config).start();
    eventually(SOON, || second.hours("c/source") == ["2020-01-01T05"] && of_the_hour(&second) == 3);
}
