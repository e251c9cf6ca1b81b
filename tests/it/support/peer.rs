//! Other nodes that are none: one that passes on what is asked, one that answers whatever a test likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Connection, TestNode};

/// What a false peer sends.
pub enum Sent {
    /// These bytes, head and all.
    Bytes(Vec<u8>),
    /// These bytes, and then those again and again until nobody listens.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes, those so many times, and these.
    Often(Vec<u8>, Vec<u8>, usize, Vec<u8>),
    /// These bytes, one after the other, as slowly as somebody who wants to be waited for.
    Trickle(Vec<u8>),
}

impl Sent {
    /// A whole answer.
    pub fn answer(status: &str, headers: &str, body: &[u8]) -> Self {
        let mut bytes = head(status, &format!("Content-Length: {}\r\n{headers}", body.len()));
        bytes.extend(body);
        Self::Bytes(bytes)
    }

    pub fn list(names: &[String]) -> Self {
        Self::answer("200 OK", "Content-Type: application/json\r\n", &serde_json::to_vec(names).unwrap())
    }

    pub fn not_found() -> Self {
        Self::answer("404 Not Found", "", b"not here")
    }
}

/// The head of an answer after which the connection ends; each header ends its own line.
pub fn head(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into_bytes()
}

/// Something that answers like a node, more or less, for as long as the tests run.
#[derive(Debug)]
pub struct FalsePeer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FalsePeer {
    /// Answers each request for a path, query included; what was sent with it stands in the lines behind the path.
    pub fn start(answer: impl Fn(&str) -> Sent + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                // One that hangs up early is no failure here.
                thread::spawn(move || serve(&stream, &noted, &*answer).unwrap_or_default());
            }
        });
        Self { address, asked }
    }

    /// Passes on what is asked to `node`, of what lies there alone, if the path is one that `passes`; 404 otherwise.
    pub fn before(node: &TestNode, passes: fn(&str) -> bool) -> Self {
        let to = node.address;
        Self::start(move |path| {
            if !passes(path) {
                return Sent::not_found();
            }
            let alone = if path.contains('?') { "&local=true" } else { "?local=true" };
            let is_listed = ["/files", "/segments/"].iter().any(|front| path.starts_with(front));
            let path = if is_listed { format!("{path}{alone}") } else { path.to_owned() };
            let got = Connection::open(to).request("GET", &path, &[]);
            Sent::answer(&format!("{} Passed-On", got.status), "", &got.body)
        })
    }

    /// The paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Sent) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let header = line.to_ascii_lowercase();
        let value = header.strip_prefix("content-length:").and_then(|value| value.trim().parse().ok());
        length = value.unwrap_or(length);
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // Like every program that does not know it, this one passes over that it is asked for what lies there alone.
    let path = first.split(' ').nth(1).unwrap_or_default().replace("?local=true", "").replace("&local=true", "");
    asked.lock().push(path.clone());
    let question = if body.is_empty() { path } else { format!("{path}\n{}", String::from_utf8_lossy(&body)) };
    let mut stream = stream;
    match answer(&question) {
        Sent::Bytes(bytes) => stream.write_all(&bytes),
        Sent::Endless(bytes, again) => {
            stream.write_all(&bytes)?;
            loop {
                stream.write_all(&again)?;
            }
        }
        Sent::Often(first, again, times, last) => {
            stream.write_all(&first)?;
            for _ in 0..times {
                stream.write_all(&again)?;
            }
            stream.write_all(&last)
        }
        Sent::Trickle(bytes) => {
            for byte in bytes {
                stream.write_all(&[byte])?;
                thread::sleep(Duration::from_millis(500));
            }
            Ok(())
        }
    }
}
