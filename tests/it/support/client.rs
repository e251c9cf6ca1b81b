//! A small HTTP client that hides nothing: plain sockets, one thread, what was sent is what is read.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Longer than any answer takes, shorter than anybody waits for a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is not encoded in a path.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An answer.
#[derive(Debug, Clone)]
pub struct TestResponse {
    pub status: u16,
    /// Names in small letters, in the order in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl TestResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn etag(&self) -> String {
        self.header("etag").expect("an ETag").to_owned()
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The body as a JSON list of names; the answer must be a 200.
    #[track_caller]
    pub fn list(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The answer must be a problem of this status; says its `type` and `detail`.
    #[track_caller]
    pub fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let json = self.json();
        assert_eq!(json["status"], status);
        (json["type"].as_str().unwrap().to_owned(), json["detail"].as_str().unwrap().to_owned())
    }
}

/// What a connection goes over.
trait Stream: Read + Write + Debug + Send {}
impl<T: Read + Write + Debug + Send> Stream for T {}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(Box::new(connect(address))) }
    }

    /// Shakes hands as a client with this trust, calling the other side by its address.
    pub fn encrypted(address: SocketAddr, trust: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let mut socket = connect(address);
        let mut session = ClientConnection::new(Arc::clone(trust), address.ip().into()).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self { stream: BufReader::new(Box::new(StreamOwned::new(session, socket))) })
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request without a body and reads its answer.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> TestResponse {
        self.send(head(method, path, headers).as_bytes());
        self.read(method != "HEAD")
    }

    /// Sends a request with a body and reads its answer.
    pub fn with_body(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TestResponse {
        let length = body.len().to_string();
        let headers = [headers, &[("Content-Length", &length)]].concat();
        self.send(&[head(method, path, &headers).as_bytes(), body].concat());
        self.read(true)
    }

    /// Reads one answer; the answer to HEAD has no body.
    pub fn read(&mut self, has_body: bool) -> TestResponse {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = TestResponse { status, headers, body: Vec::new() };
        if has_body && !matches!(status, 204 | 304) {
            response.body = self.body(&response);
        }
        response
    }

    fn body(&mut self, response: &TestResponse) -> Vec<u8> {
        let mut body = Vec::new();
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                let mut chunk = vec![0; size];
                self.stream.read_exact(&mut chunk).unwrap();
                body.extend(chunk);
                assert_eq!(self.line(), "", "a chunk ends with a line end");
                if size == 0 {
                    return body;
                }
            }
        }
        match response.header("content-length") {
            Some(length) => {
                body.resize(length.parse().unwrap(), 0);
                self.stream.read_exact(&mut body).unwrap();
            }
            None => drop(self.stream.read_to_end(&mut body).unwrap()),
        }
        body
    }

    /// All that comes until the other side closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Being reset is one way of being closed; silence is not.
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            let closed = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
            assert!(closed.contains(&error.kind()), "the connection was not closed: {error}");
        }
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the answer ends in the middle of a head: {line:?}");
        line.truncate(line.len() - 2);
        line
    }
}

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text + "\r\n"
}

/// A path in which everything is encoded but slashes and what may always stand.
pub fn quoted(path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(|part| utf8_percent_encode(part, KEPT).to_string()).collect();
    parts.join("/")
}
