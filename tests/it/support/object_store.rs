//! A store that speaks S3, in this process and behind a real socket: `s3s-fs` over a directory, with a line in front of it that fails as it is told.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "hush-hush-hush";
pub const BUCKET: &str = "archive";
pub const REGION: &str = "us-east-1";

/// What the line does with one request.
#[derive(Debug, Clone)]
pub enum LineFault {
    /// Nothing.
    Passes,
    /// Answers with this status and code, without asking the store.
    Refuses(u16, &'static str),
    /// Answers with this status and body, without asking the store.
    Answers(u16, String),
    /// Ends the connection in the middle of the answer.
    HalfBody,
    /// One bit of the answer, at this byte, is another one.
    FlipsBit(usize),
    /// Says nothing for so long.
    Waits(Duration),
}

/// Which requests something is done to, what, and how often.
struct LineRule {
    method: Method,
    /// Stands somewhere in path and query.
    within: String,
    fault: LineFault,
    times: usize,
}

#[derive(Default)]
struct Line {
    rules: Mutex<Vec<LineRule>>,
    requests: Mutex<Vec<(Method, String)>>,
}

/// The store; it ends with the value, and so does what is in it.
pub struct TestStore {
    dir: TempDir,
    address: SocketAddr,
    line: Arc<Line>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

impl TestStore {
    /// With an empty bucket.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let line = Arc::<Line>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let (root, served) = (dir.path().to_owned(), Arc::clone(&line));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, store(&root), served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { dir, address: address.recv().unwrap(), line, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the bytes of an object lie.
    pub fn file(&self, key: &str) -> PathBuf {
        self.dir.path().join(BUCKET).join(key)
    }

    /// Uploads that were begun and neither completed nor ended.
    pub fn open_uploads(&self) -> usize {
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".upload")).count()
    }

    /// Does this to the next so many requests of this method, in whose path and query this stands.
    pub fn fails(&self, method: Method, within: &str, fault: LineFault, times: usize) {
        self.line.rules.lock().push(LineRule { method, within: within.to_owned(), fault, times });
    }

    pub fn is_well(&self) {
        self.line.rules.lock().clear();
    }

    /// The same, without forgetting them.
    pub fn seen(&self) -> Vec<(Method, String)> {
        self.line.requests.lock().clone()
    }

    /// Requests since the last time that this was asked.
    pub fn requests(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut self.line.requests.lock())
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn store(root: &Path) -> S3Service {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    builder.build()
}

async fn serve(listener: TcpListener, store: S3Service, line: Arc<Line>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (store, line) = (store.clone(), Arc::clone(&line));
        let answer = service_fn(move |request| answer(request, store.clone(), Arc::clone(&line)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

async fn answer(request: Request<Incoming>, store: S3Service, line: Arc<Line>) -> Result<Answer, Infallible> {
    let target = request.uri().path_and_query().unwrap().to_string();
    line.requests.lock().push((request.method().clone(), target.clone()));
    let fault = line.fault(request.method(), &target);
    match &fault {
        Some(LineFault::Refuses(status, code)) => {
            // A client that is still sending would be told of a broken connection.
            let _read = request.into_body().collect().await;
            return Ok(refusal(*status, code));
        }
        Some(LineFault::Answers(status, body)) => {
            let is_get = request.method() == Method::GET;
            let _read = request.into_body().collect().await;
            let mut given = Response::new(whole(body.clone().into()));
            *given.status_mut() = StatusCode::from_u16(*status).unwrap();
            if !is_get {
                given.headers_mut().insert("etag", "\"x\"".parse().unwrap());
            }
            return Ok(given);
        }
        Some(LineFault::Waits(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    let (parts, body) = store.call(request.map(s3s::Body::from)).await.unwrap().into_parts();
    let mut body = body.collect().await.unwrap().to_bytes().to_vec();
    let mut given = Response::new(whole(Bytes::new()));
    *given.status_mut() = parts.status;
    *given.headers_mut() = parts.headers;
    *given.body_mut() = match fault {
        Some(LineFault::FlipsBit(at)) => {
            body[at] ^= 4;
            whole(body.into())
        }
        Some(LineFault::HalfBody) => {
            let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
            let cut = || std::io::Error::other("cut");
            let frames = [Ok(Frame::data(half)), Err(cut())];
            StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
        }
        _ => whole(body.into()),
    };
    Ok(given)
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, std::io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn refusal(status: u16, code: &str) -> Answer {
    let text = if code.is_empty() {
        String::new()
    } else {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as told</Message></Error>")
    };
    let mut answer = Response::new(whole(text.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    *answer.headers_mut() = HeaderMap::new();
    answer
}

impl Line {
    fn fault(&self, method: &Method, target: &str) -> Option<LineFault> {
        let mut rules = self.rules.lock();
        let is_meant = |rule: &LineRule| rule.method == *method && target.contains(&rule.within);
        let at = rules.iter().position(is_meant)?;
        rules[at].times -= 1;
        let fault = rules[at].fault.clone();
        if rules[at].times == 0 {
            rules.remove(at);
        }
        Some(fault)
    }
}
