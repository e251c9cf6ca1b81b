//! Where peers come from: flags, settings, a file, a PostgreSQL table. Lists change while a node runs, sources fail and come back,
//! and what is wrong in them costs nothing else.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::node::Plan;
use crate::support::peer::{FalsePeer, Sent};
use crate::support::postgres::{Database, Postgres};
use crate::support::trouble::{WITHOUT_PRIVILEGE, may_drop_privilege, set_mode, text};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless};

/// Somebody who has nothing.
fn nobody() -> FalsePeer {
    FalsePeer::start(|_| Sent::list(&[]))
}

fn url(peer: &FalsePeer) -> String {
    format!("http://{}", peer.address)
}

/// A node that looks at its sources, and asks its peers, every second.
fn plan(archive: &TestArchive) -> Plan {
    TestNode::plan(archive)
        .flag("--name")
        .flag("me")
        .env("GAPLESS_BACKFILL_REREAD", "1s")
        .env("GAPLESS_BACKFILL_INTERVAL", "1s")
}

fn with_database(archive: &TestArchive, url: &str) -> Plan {
    plan(archive).flag("--node-database").flag(url)
}

fn status(node: &TestNode) -> Value {
    node.get("/api/v1/status").json()
}

/// The names of the peers that are asked.
fn peers(node: &TestNode) -> Vec<String> {
    let mut names: Vec<String> = status(node)["peers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| peer["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn peers_become(node: &TestNode, names: &[&str]) {
    let begun = std::time::Instant::now();
    while peers(node) != names && begun.elapsed() < SOON * 2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(peers(node), names);
}

#[track_caller]
fn is_asked_again(peer: &FalsePeer) {
    let before = peer.asked().len();
    eventually(SOON * 2, || peer.asked().len() >= before + 2);
}

/// The source of this kind, as soon as it has failed: what it says.
#[track_caller]
fn trouble(node: &TestNode, kind: &str) -> Value {
    let mut found = Value::Null;
    eventually(SOON * 2, || {
        let sources = status(node)["sources"].clone();
        found = sources.as_array().unwrap().iter().find(|source| source["kind"] == kind).cloned().unwrap();
        found["error"].is_string()
    });
    assert!(found["failing_since"].is_string() && found["failures"].as_u64() > Some(0), "{found}");
    found
}

fn list_errors(node: &TestNode) -> u64 {
    let metrics = node.get("/metrics");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix("node_list_errors_total ")).unwrap();
    line.parse().unwrap()
}

fn one_round(base: &Path, database: &str) -> crate::support::Outcome {
    gapless(base, &["backfill", "--once", "--node-database", database])
}

#[test]
fn rows_of_a_table_start_and_stop_workers() {
    let server = Postgres::any();
    let database = server.database();
    let (a, b, c) = (nobody(), nobody(), nobody());
    database.add("a", &url(&a));
    database.add("b", &url(&b));
    database.add("me", &url(&c));
    database.sql("UPDATE nodes SET backfill_from = false WHERE name = 'b'");
    let archive = TestArchive::empty();
    let node = with_database(&archive, &database.url()).start();
    peers_become(&node, &["a", "me"]);
    is_asked_again(&a);
    assert!(b.asked().is_empty(), "it is not to be asked");

    // Its own address under another name is this node, too.
    database.add("again me", &format!("http://{}", node.address));
    database.sql("UPDATE nodes SET backfill_from = true WHERE name = 'b'");
    peers_become(&node, &["a", "b", "me"]);
    is_asked_again(&b);

    database.sql("DELETE FROM nodes WHERE name = 'a'");
    peers_become(&node, &["b", "me"]);
    is_asked_again(&b);
    let asked = a.asked().len();
    is_asked_again(&b);
    assert_eq!(a.asked().len(), asked, "who is not in the list is not asked any more");
    // Who bears this node's name may be another one; only its own address is certainly its own.
    is_asked_again(&c);

    database.sql(&format!("UPDATE nodes SET url = '{}' WHERE name = 'b'", url(&a)));
    is_asked_again(&a);
    peers_become(&node, &["b", "me"]);
    let source = status(&node)["sources"][0].clone();
    assert_eq!((source["kind"].as_str(), source["peers"].as_u64()), (Some("database"), Some(3)), "{source}");
    assert!(source["read"].is_string() && source["error"].is_null(), "{source}");
    assert_eq!(list_errors(&node), 0);
    let screen = node.run(&["status"]).out;
    assert!(screen.contains("nodes    database  postgresql://admin@127.0.0.1:"), "{screen}");
}

#[test]
fn the_last_known_nodes_go_on_while_the_database_is_away() {
    let server = Postgres::own(|_| {});
    let database = server.database();
    let (a, b) = (nobody(), nobody());
    database.add("a", &url(&a));
    let archive = TestArchive::empty();
    let node = with_database(&archive, &database.url()).start();
    peers_become(&node, &["a"]);

    server.stop();
    let source = trouble(&node, "database");
    assert!(
        source["error"].as_str().unwrap().starts_with("cannot connect to postgresql://admin@127.0.0.1:"),
        "{source}"
    );
    assert_eq!(source["peers"], 1);
    is_asked_again(&a);
    assert!(list_errors(&node) > 0);
    let told = status(&node)["troubles"].to_string();
    assert!(
        told.contains("the list of nodes in the database") && told.contains("the nodes known from there (1) go on"),
        "{told}"
    );
    node.terminate();

    // A restart does not make it forget.
    let kept = fs::read_to_string(archive.path().join(".gapless/peers.json")).unwrap();
    assert!(kept.contains(&url(&a)) && !kept.contains("admin:admin"), "{kept}");
    let node = with_database(&archive, &database.url()).start();
    peers_become(&node, &["a"]);
    is_asked_again(&a);
    assert_eq!(trouble(&node, "database")["remembered"], true);

    server.start();
    database.add("b", &url(&b));
    peers_become(&node, &["a", "b"]);
    is_asked_again(&b);
    let source = status(&node)["sources"][0].clone();
    assert_eq!((source["remembered"].as_bool(), source["failures"].as_u64()), (Some(false), Some(0)), "{source}");
    assert!(source["error"].is_null(), "{source}");
}

#[test]
fn a_password_is_told_nowhere() {
    let server = Postgres::any();
    let database = server.database();
    let peer = nobody();
    database.add("a", &url(&peer));
    let role = format!("reader_{}", std::process::id());
    database.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'right-secret'; GRANT SELECT ON nodes TO {role}"));
    let archive = TestArchive::empty();
    let wrong = database.url_with(&format!("{role}:wrong-secret"));
    let node = with_database(&archive, &wrong).env("GAPLESS_LOG", "debug").start();
    let source = trouble(&node, "database");
    assert!(source["error"].as_str().unwrap().contains("password authentication failed"), "{source}");
    for text in
        [node.get("/api/v1/status").text(), node.get("/metrics").text(), &node.log(), &node.run(&["status"]).out]
    {
        assert!(!text.contains("secret"), "{text}");
    }
    node.terminate();

    let tried = one_round(archive.path(), &wrong);
    assert!(
        tried.code == 3 && tried.err.contains("no other node is known") && !tried.err.contains("secret"),
        "{tried:?}"
    );
    let nonsense = one_round(archive.path(), "postgresql://x:sec-secret@@:/?secret");
    assert!(
        nonsense.code == 2 && nonsense.err.contains("expected is postgresql://") && !nonsense.err.contains("secret"),
        "{nonsense:?}"
    );

    // A file keeps it out of sight, if nobody else may read it; it is read each time.
    let file = archive.outside().join("password");
    fs::write(&file, "right-secret\n").unwrap();
    set_mode(&file, 0o644);
    let node = with_database(&archive, &database.url_with(&role))
        .env("GAPLESS_BACKFILL_NODE_DATABASE_PASSWORD_FILE", text(&file))
        .start();
    let source = trouble(&node, "database");
    assert!(source["error"].as_str().unwrap().contains("readable by others"), "{source}");
    set_mode(&file, 0o600);
    peers_become(&node, &["a"]);
    assert!(!node.log().contains("secret"), "{}", node.log());
}

#[test]
fn hostile_rows_cost_nothing_but_themselves() {
    let server = Postgres::any();
    let database = server.database();
    let good = nobody();
    database.add("good", &url(&good));
    database.add("ftp", "ftp://x");
    database.add("credentials", "http://user:secret@x");
    database
        .sql("INSERT INTO nodes VALUES ('none', NULL), ('', 'http://x'), (E'two\\nlines', 'http://x'), (NULL, NULL)");
    database.sql(
        "INSERT INTO nodes VALUES (repeat('n', 10000000), 'http://x'), ('long', 'http://' || repeat('x', 10000000))",
    );
    let archive = TestArchive::empty();
    let node = with_database(&archive, &database.by_socket()).start();
    peers_become(&node, &["good"]);
    is_asked_again(&good);
    let now = status(&node);
    let left_out: Vec<&str> =
        now["sources"][0]["left_out"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
    assert_eq!(left_out.len(), 8, "{left_out:#?}");
    assert!(
        left_out.iter().all(|why| why.len() < 600 && !why.contains('\n') && !why.contains("secret")),
        "{left_out:#?}"
    );
    assert!(now["troubles"].to_string().contains("row ftp: "), "{now}");

    // A million rows are no list of nodes: what was known goes on.
    database.sql(
        "ALTER TABLE nodes RENAME TO few; CREATE VIEW nodes AS SELECT 'n' || n AS name, 'http://h' || n AS url, true AS backfill_from FROM generate_series(1, 1000000) AS n",
    );
    assert!(trouble(&node, "database")["error"].as_str().unwrap().contains("more than 1000"));
    assert_eq!(peers(&node), ["good"]);
    is_asked_again(&good);
    assert!(node.own_memory_kib() < 140 << 10, "{} KiB", node.own_memory_kib());
    node.terminate();

    // Whatever the query does, nothing is changed there.
    database.sql("CREATE FUNCTION emptied() RETURNS SETOF few LANGUAGE sql AS 'DELETE FROM few RETURNING *'");
    let node = with_database(&archive, &database.by_socket())
        .config("[backfill]\nnode_database_query = \"SELECT name, url FROM emptied();\"")
        .start();
    let said = trouble(&node, "database")["error"].as_str().unwrap().to_owned();
    assert!(said.contains("cannot execute DELETE in a read-only transaction"), "{said}");
    database.sql("DO $$ BEGIN ASSERT (SELECT count(*) = 9 FROM few); END $$");
}

/// A server that takes every connection and writes what it likes.
fn false_server(writes: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            // It is cut off sooner or later.
            writes(&mut stream).unwrap_or_default();
            held.push(stream);
        }
    });
    port
}

#[test]
fn a_server_that_floods_or_says_nothing_is_passed_over() {
    // One message of two gigabytes, of which as much comes as is read.
    let floods = false_server(|stream| {
        stream.write_all(&[b'R', 0x7f, 0xff, 0xff, 0xff])?;
        loop {
            stream.write_all(&[0; 1 << 12])?;
        }
    });
    let silent = false_server(|_| Ok(()));
    let server = Postgres::any();
    let database = server.database();
    let peer = nobody();
    database.add("a", &url(&peer));
    let archive = TestArchive::empty();
    let flooded = one_round(archive.path(), &format!("host=127.0.0.1 port={floods} user=x sslmode=disable"));
    assert!(flooded.code == 3 && flooded.err.contains("it sent more than 8388608 bytes"), "{flooded:?}");
    let silence = one_round(archive.path(), &format!("host=127.0.0.1 port={silent} user=x"));
    assert!(silence.code == 3 && silence.err.contains("no answer after 5 s"), "{silence:?}");
    // The first of two servers does not keep the second from being asked.
    let both = database.by_socket().replace("host=", "host=127.0.0.1,").replace("port=", &format!("port={floods},"));
    let first = format!("{both} sslmode=disable");
    let done = one_round(archive.path(), &first);
    assert!(done.code == 0 && done.out.contains("a: 0 segments fetched"), "{done:?}");
}

#[test]
fn the_database_is_asked_over_tls_by_whom_one_trusts() {
    let (authority, other) = (Authority::new("nodes"), Authority::new("somebody else"));
    let server = Postgres::own(|dir| {
        let shown = authority.issue(&["127.0.0.1"]);
        fs::copy(&shown.certificate, dir.join("server.crt")).unwrap();
        fs::copy(&shown.key, dir.join("server.key")).unwrap();
    });
    let database = server.database();
    let peer = nobody();
    database.add("a", &url(&peer));
    let archive = TestArchive::empty();
    // Nothing is said to who asks without encryption.
    let encrypted = "[backfill]\nnode_database_query = \"SELECT name, url FROM nodes, pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl\"";
    let started = |database: &Database<'_>, mode: &str, authority: Option<&Authority>| {
        let plan = with_database(&archive, &format!("{}?sslmode={mode}", database.url())).config(encrypted);
        match authority {
            Some(authority) => plan.env("GAPLESS_BACKFILL_NODE_DATABASE_CA_FILE", text(&authority.file)).start(),
            None => plan.start(),
        }
    };
    for mode in ["require", "verify-full", "prefer"] {
        let node = started(&database, mode, Some(&authority));
        peers_become(&node, &["a"]);
        node.terminate();
        fs::remove_file(archive.path().join(".gapless/peers.json")).unwrap();
    }
    for untrusted in [Some(&other), None] {
        let node = started(&database, "verify-full", untrusted);
        let said = trouble(&node, "database")["error"].as_str().unwrap().to_owned();
        assert!(said.contains("not signed by an authority that is trusted here"), "{said}");
        assert!(said.contains("backfill.node_database_ca_file"), "{said}");
        assert_eq!(peers(&node), [""; 0]);
        node.terminate();
    }
    // What is only preferred is done without, as by every client; what is forbidden is not asked for.
    for mode in ["prefer", "disable"] {
        let node = started(&database, mode, None);
        eventually(SOON, || status(&node)["sources"][0]["read"].is_string());
        assert_eq!(peers(&node), [""; 0]);
        node.terminate();
    }
    let plain = Postgres::any();
    let node = started(&plain.database(), "require", Some(&authority));
    let said = trouble(&node, "database")["error"].as_str().unwrap().to_owned();
    assert!(said.contains("server does not support TLS"), "{said}");
}

#[test]
fn a_file_is_followed_while_it_is_edited_deleted_and_unreadable() {
    if !may_drop_privilege() {
        return;
    }
    let archive = TestArchive::empty();
    let (a, b, c) = (nobody(), nobody(), nobody());
    let file = archive.outside().join("nodes");
    let write = |text: String| {
        let fresh = archive.outside().join("nodes.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, &file).unwrap();
    };
    write(format!("# who there is\n\nb {}\nme http://127.0.0.1:1\n", url(&b)));
    // The file wins over the flag on equal names; its address is not asked under the flag's name.
    let node = plan(&archive)
        .through(WITHOUT_PRIVILEGE)
        .flag("--node-file")
        .flag(&file)
        .flag("--peer")
        .flag(format!("a={}", url(&a)))
        .flag("--peer")
        .flag(format!("b={}", url(&c)))
        .start();
    peers_become(&node, &["a", "b", "me"]);
    is_asked_again(&b);
    let asked_before_the_file_was_read = c.asked().len();

    write(format!("a {}\nthis is no line\n{}\n", url(&c), url(&b)));
    // What has no name is called by its address, and one address is one node: the flag's `b` is the file's `a` now.
    peers_become(&node, &["a", &url(&b)]);
    is_asked_again(&c);
    is_asked_again(&b);
    assert!(asked_before_the_file_was_read < c.asked().len());
    let told = status(&node)["troubles"].to_string();
    let expected = format!("{}, line 2: there is more than a name and an address", file.display());
    assert!(told.contains(&expected), "{told}");

    write(format!("d {}\n", url(&b)));
    peers_become(&node, &["a", "b", "d"]);
    fs::remove_file(&file).unwrap();
    assert!(trouble(&node, "file")["error"].as_str().unwrap().contains("No such file"));
    assert_eq!(peers(&node), ["a", "b", "d"]);
    write(String::new());
    peers_become(&node, &["a", "b"]);
    let errors = list_errors(&node);
    assert!(errors > 0);
    set_mode(&file, 0);
    assert!(trouble(&node, "file")["error"].as_str().unwrap().contains("Permission denied"));
    assert!(list_errors(&node) > errors);
    is_asked_again(&a);
}

#[test]
fn settings_name_peers_and_whose_tombstones_are_taken() {
    let hour = "chan/source/2020-01-01T05";
    let (archive, trusted, other) = (TestArchive::empty(), TestArchive::empty(), TestArchive::empty());
    let first = trusted.segment(hour, "00:00", 2.0, Kind::Full);
    let second = other.segment(hour, "00:02", 2.0, Kind::Full);
    trusted.tombstone(&first);
    other.tombstone(&second);
    let nodes = [TestNode::start(&trusted), TestNode::start(&other)];
    nodes.iter().for_each(TestNode::wait_ready);
    let config = archive.outside().join("config.toml");
    let text_of = |from: &str| {
        format!(
            "[backfill]\npeers = [\"a=http://{}\", \"b=http://{}\"]\ntombstones_from = {from}\nrecent_cutoff = \"0s\"\n",
            nodes[0].address, nodes[1].address
        )
    };
    let fetch = |from: &str| {
        fs::write(&config, text_of(from)).unwrap();
        let done =
            gapless(archive.path(), &["backfill", "--once", "--accept-tombstone-bursts", "--config", text(&config)]);
        assert_eq!(done.code, 0, "{}\n{}", done.out, done.err);
        archive.listing(hour, true).into_iter().filter(|name| name.ends_with(".tombstone")).count()
    };
    assert_eq!(fetch("\"none\""), 0);
    assert_eq!(fetch("[\"a\"]"), 1);
    assert!(archive.listing(hour, true).iter().any(|name| first.contains(name.trim_end_matches(".tombstone"))));
    assert_eq!(fetch("\"all\""), 2);

    // A file does as well; without it the others are asked, and the run says that it was not whole.
    let file = archive.outside().join("nodes");
    fs::write(&config, "").unwrap();
    fs::write(&file, format!("b http://{}\n", nodes[1].address)).unwrap();
    let with_file = |more: &[&str]| {
        let words = ["backfill", "--once", "--recent-cutoff", "0s", "--node-file", text(&file)];
        gapless(archive.path(), &[&words[..], more].concat())
    };
    let done = with_file(&[]);
    assert!(done.code == 0 && done.out.starts_with("b: "), "{done:?}");
    fs::remove_file(&file).unwrap();
    let done = with_file(&["--peer", &format!("a=http://{}", nodes[0].address)]);
    assert!(done.code == 1 && done.out.starts_with("a: ") && done.err.contains("No such file"), "{done:?}");
    assert_eq!(with_file(&[]).code, 3);

    fs::write(&config, "[backfill]\npeers = [\"a=http://user:secret@x\"]\n").unwrap();
    let refused = gapless(archive.path(), &["backfill", "--once", "--config", text(&config)]);
    assert!(
        refused.code == 2
            && refused.err.contains("config.toml, line 2: backfill.peers, entry 1: ")
            && refused.err.contains("holds credentials")
            && !refused.err.contains("secret"),
        "{refused:?}"
    );
}
