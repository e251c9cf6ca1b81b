//! A store that speaks S3, in this process and behind a real socket: `s3s-fs` over a directory, with a line in front of it that fails as it is told.

use std::collections::BTreeMap;
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
    /// Says nothing for so long, and asks the store then.
    Waits(Duration),
    /// The store does it, and says nothing of it for so long.
    AnswersAfter(Duration),
    /// All of the answer but its last byte comes, which takes so long.
    HoldsBack(Duration),
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
    /// Those of them that the store has done.
    done: Mutex<Vec<(Method, String)>>,
    /// Uploads that are open, by id, if the store is one that lists them: it does not itself.
    uploads: Mutex<Option<BTreeMap<String, String>>>,
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

    /// From now on it lists uploads that are not completed, all as if they had been begun in 2020.
    pub fn lists_uploads(&self) {
        *self.line.uploads.lock() = Some(BTreeMap::new());
    }

    /// Whether the store has done such a request; if so, what it did until now is forgotten.
    pub fn has_done(&self, method: &Method, within: &str) -> bool {
        let mut done = self.line.done.lock();
        let found = done.iter().any(|(sent, target)| sent == method && target.contains(within));
        if found {
            done.clear();
        }
        found
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
    let method = request.method().clone();
    if let Some(list) = line.open_uploads().filter(|_| method == Method::GET && target.contains("uploads=")) {
        return Ok(Response::new(whole(list.into())));
    }
    let (parts, body) = store.call(request.map(s3s::Body::from)).await.unwrap().into_parts();
    let mut body = body.collect().await.unwrap().to_bytes().to_vec();
    if parts.status.is_success() {
        line.note_upload(&method, &target, &String::from_utf8_lossy(&body));
    }
    line.done.lock().push((method, target));
    if let Some(LineFault::AnswersAfter(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    let mut given = Response::new(whole(Bytes::new()));
    *given.status_mut() = parts.status;
    *given.headers_mut() = parts.headers;
    *given.body_mut() = match fault {
        Some(LineFault::FlipsBit(at)) => {
            body[at] ^= 4;
            whole(body.into())
        }
        Some(LineFault::HoldsBack(time)) => {
            let last = body.split_off(body.len() - 1);
            let rest = async move {
                tokio::time::sleep(time).await;
                Ok(Frame::data(last.into()))
            };
            let first = futures_util::stream::iter([Ok(Frame::data(body.into()))]);
            StreamBody::new(futures_util::StreamExt::chain(first, futures_util::stream::once(rest))).boxed_unsync()
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
    fn note_upload(&self, method: &Method, target: &str, body: &str) {
        let mut uploads = self.uploads.lock();
        let Some(open) = uploads.as_mut() else { return };
        if *method == Method::POST && target.contains("uploads=") {
            let id = body.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
            let path = target.split('?').next().unwrap();
            open.insert(id.to_owned(), path.trim_start_matches(&format!("/{BUCKET}/")).to_owned());
        } else if [Method::POST, Method::DELETE].contains(method)
            && let Some(rest) = target.split("uploadId=").nth(1)
        {
            open.remove(rest.split('&').next().unwrap());
        }
    }

    fn open_uploads(&self) -> Option<String> {
        let uploads = self.uploads.lock();
        let entry = |(id, key): (&String, &String)| {
            format!(
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
            )
        };
        let entries: String = uploads.as_ref()?.iter().map(entry).collect();
        // Paths are encoded already.
        Some(format!(
            "<ListMultipartUploadsResult><EncodingType>url</EncodingType>{entries}</ListMultipartUploadsResult>"
        ))
    }

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
