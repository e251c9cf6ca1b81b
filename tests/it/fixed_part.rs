//! Peers that speak only the fixed part of the protocol, each in its own way, and programs that pull from a node by that part
//! alone: what one has comes to the other, in both directions.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::archive::{hash_text, snapshot};
use crate::support::peer::{FalsePeer, Sent, head};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

/// How an answer is put on the wire.
type Wire = fn(&str, &[u8]) -> Sent;

fn json(body: &[u8]) -> bool {
    body.starts_with(b"[")
}

fn with_length(status: &str, body: &[u8]) -> Sent {
    Sent::answer(status, if json(body) { "Content-Type: application/json\r\n" } else { "" }, body)
}

fn in_chunks(status: &str, body: &[u8]) -> Sent {
    let mut bytes = head(status, "Transfer-Encoding: chunked\r\n");
    for chunk in body.chunks(97) {
        bytes.extend(format!("{:x};with=extension\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\nX-Trailer: yes\r\n\r\n");
    Sent::Bytes(bytes)
}

fn until_the_end(status: &str, body: &[u8]) -> Sent {
    Sent::Bytes([&head(status, ""), body].concat())
}

/// Not found, and nothing wrong.
fn as_html(status: &str, body: &[u8]) -> Sent {
    if status.starts_with("200") {
        return with_length(status, body);
    }
    Sent::answer("200 OK", "Content-Type: text/html\r\n", b"<!DOCTYPE html><html><h1>Not Found</h1></html>")
}

/// A service of this field as it was, on a directory: lists are neither sorted nor each name in them once.
fn old_service(base: &Path, wire: Wire) -> FalsePeer {
    let base = base.to_owned();
    FalsePeer::start(move |path| {
        let path = percent_encoding::percent_decode_str(path.split('?').next().unwrap_or_default()).decode_utf8_lossy();
        if let Some(file) = path.strip_prefix("/segments/") {
            return fs::read(base.join(file))
                .map_or_else(|_| wire("404 NOT FOUND", b"gone"), |bytes| wire("200 OK", &bytes));
        }
        let Some(dir) = path.strip_prefix("/files") else { return wire("404 NOT FOUND", b"what?") };
        let Ok(entries) = fs::read_dir(base.join(dir.trim_start_matches('/'))) else {
            return wire("404 NOT FOUND", b"");
        };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort_by_key(|name| hash_text(name.as_bytes()));
        names.extend(names.clone());
        wire("200 OK", &serde_json::to_vec(&names).unwrap())
    })
}

fn filled(hours: &[&str]) -> TestArchive {
    let archive = TestArchive::empty();
    for hour in hours {
        for minute in 10..30 {
            archive.segment(hour, &format!("{minute}:00.5"), 2.0, Kind::Full);
        }
        let deleted = archive.segment(hour, "50:00", 2.0, Kind::Partial);
        archive.tombstone(&deleted);
        archive.remove(&deleted);
        archive.chat(&hour.replace("/source/", "/chat/"), "10:00");
    }
    archive
}

fn files(base: &Path) -> BTreeSet<String> {
    let found = snapshot(base).into_iter().filter(|(_, (is_dir, ..))| !is_dir);
    let found = found.map(|(path, _)| path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
    found.filter(|path| !path.split('/').any(|part| part.starts_with('.'))).collect()
}

const HOURS: [&str; 3] = ["chan/source/2010-01-01T05", "chan/source/2010-01-01T06", "o t h é r/source/2010-01-01T05"];

/// A node that pulls from this, and has what it has in the end.
fn gets_all(address: &str, full: &TestArchive, what: &str) {
    let empty = TestArchive::empty();
    let node = TestNode::plan(&empty)
        .env("GAPLESS_BACKFILL_INTERVAL", "1s")
        .env("GAPLESS_BACKFILL_RECENT_CUTOFF", "0s")
        .flag("--peer")
        .flag(format!("old=http://{address}"))
        .start();
    eventually(SOON, || files(empty.path()) == files(full.path()));
    // What is added and deleted there comes, too.
    let fresh = full.segment(HOURS[0], "40:00", 2.0, Kind::Full);
    full.tombstone(&full.segment(HOURS[1], "41:00", 2.0, Kind::Full));
    eventually(SOON, || empty.at(&fresh).exists());
    eventually(SOON, || HOURS.iter().all(|hour| node.files_with_tombstones(hour) == full.listing(hour, true)));
    let rounds = || node.get("/api/v1/status").json()["peers"][0].clone();
    let before = rounds()["rounds"].as_u64();
    eventually(SOON, || rounds()["rounds"].as_u64() > before);
    assert_eq!(rounds()["error"], serde_json::Value::Null, "{what}: {}", rounds());
    node.check();
    for path in files(empty.path()) {
        assert_eq!(empty.read(&path), full.read(&path), "{what}: {path}");
    }
}

#[test]
fn a_service_that_lists_unsorted_and_twice_is_pulled_from_however_it_answers() {
    let wires: [(&str, Wire); 4] = [
        ("with a length", with_length),
        ("in chunks", in_chunks),
        ("until the end", until_the_end),
        ("as HTML", as_html),
    ];
    std::thread::scope(|scope| {
        for (what, wire) in wires {
            scope.spawn(move || {
                let full = filled(&HOURS);
                gets_all(&old_service(full.path(), wire).address.to_string(), &full, what);
            });
        }
    });
}

/// A small service, written by somebody else in another language: the standard library's server.
const SERVICE: &str = r"
import json, os, sys, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
base = sys.argv[1]
class Handler(BaseHTTPRequestHandler):
    protocol_version = sys.argv[2]
    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip('/').split('/')
        target = os.path.join(base, *path[1:])
        try:
            if path[0] == 'files':
                body = json.dumps([name for name in os.listdir(target) if not name.startswith('.')]).encode()
            elif path[0] == 'segments':
                with open(target, 'rb') as file: body = file.read()
            else:
                return self.send_error(404)
        except OSError:
            return self.send_error(404)
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print('%s:%d' % server.server_address, flush=True)
server.serve_forever()
";

/// A small backfiller, by the same hand: what is listed there and not here is fetched.
const BACKFILLER: &str = r"
import json, os, sys, urllib.parse, urllib.request
node, base = sys.argv[1:]
def get(*path, query=''):
    with urllib.request.urlopen(node + '/' + '/'.join(map(urllib.parse.quote, path)) + query) as answer:
        return answer.read()
for channel in json.loads(get('files')):
    for quality in json.loads(get('files', channel)):
        for hour in json.loads(get('files', channel, quality)):
            place = os.path.join(base, channel, quality, hour)
            os.makedirs(place, exist_ok=True)
            here = set(os.listdir(place))
            for name in json.loads(get('files', channel, quality, hour, query='?tombstones=true')):
                if name not in here and name.rsplit('.', 1)[0] + '.tombstone' not in here:
                    body = b'' if name.endswith('.tombstone') else get('segments', channel, quality, hour, name)
                    with open(os.path.join(place, '.' + name), 'wb') as file: file.write(body)
                    os.rename(os.path.join(place, '.' + name), os.path.join(place, name))
";

fn has_python() -> bool {
    let found = Command::new("python3").args(["-c", "pass"]).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: there is no python3");
    }
    found
}

/// Ends with the value.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).map(drop).unwrap_or_default();
    }
}

#[test]
fn another_implementation_and_a_node_pull_from_each_other() {
    if !has_python() {
        return;
    }
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let full = filled(&HOURS);
        let mut command = Command::new("python3");
        command.args(["-c", SERVICE]).arg(full.path()).arg(version).stdout(Stdio::piped());
        let mut service = Service(command.spawn().unwrap());
        let mut address = String::new();
        BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        gets_all(address.trim_end(), &full, version);
    }
    let (full, pulled) = (filled(&HOURS), TestArchive::empty());
    full.raw(&format!("{}/garbage é.ts", HOURS[0]), b"garbage");
    let node = TestNode::start(&full);
    node.wait_ready();
    let mut command = Command::new("python3");
    command.args(["-c", BACKFILLER, &format!("http://{}", node.address)]).arg(pulled.path());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(files(pulled.path()), files(full.path()));
    for path in files(full.path()) {
        assert_eq!(pulled.read(&path), full.read(&path), "{path}");
    }
}
