//! A line in front of a store that speaks S3: passes requests on, fails as it is told or as chance has it, and remembers what was asked and done.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZero;
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
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use s3s::service::S3Service;
use tokio::net::{TcpListener, TcpStream};

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
    /// One bit of what is sent is another one when it comes to the store.
    FlipsSent,
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
    /// Objects of which all was given as the store has it, by the path of their address.
    whole: Mutex<HashSet<String>>,
    /// How often something goes wrong that nobody has said.
    chance: Mutex<Option<(StdRng, f64)>>,
    /// Requests that are done yet, before all are refused; and whether the first of those is done all the same.
    breaks: Mutex<Option<(usize, bool)>>,
    /// Uploads that are open, by id, if the store is one that lists them: it does not itself.
    uploads: Mutex<Option<BTreeMap<String, String>>>,
}

/// What the line leads to.
#[derive(Clone)]
pub enum StoreBehind {
    /// One in this process.
    Here(S3Service),
    /// A server.
    At(SocketAddr),
}

/// The line; it ends with the value.
pub struct StoreLine {
    address: SocketAddr,
    line: Arc<Line>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

impl StoreLine {
    pub fn to(store: StoreBehind) -> Self {
        let line = Arc::<Line>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let served = Arc::clone(&line);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, store, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), line, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this to the next so many requests of this method, in whose path and query this stands.
    pub fn fails(&self, method: Method, within: &str, fault: LineFault, times: usize) {
        self.line.rules.lock().push(LineRule { method, within: within.to_owned(), fault, times });
    }

    /// Fails by chance from now on: so many requests in one.
    pub fn fails_by_chance(&self, share: f64, seed: u64) {
        *self.line.chance.lock() = Some((StdRng::seed_from_u64(seed), share));
    }

    pub fn is_well(&self) {
        self.line.rules.lock().clear();
        *self.line.chance.lock() = None;
        *self.line.breaks.lock() = None;
    }

    /// Does so many requests more, and refuses all others. With `is_done` the first of these is done, and nobody is told.
    pub fn breaks_after(&self, requests: usize, is_done: bool) {
        *self.line.breaks.lock() = Some((requests, is_done));
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

    /// Whether all of an object in whose path this stands was ever given, as the store has it.
    pub fn has_given_whole(&self, within: &str) -> bool {
        self.line.whole.lock().iter().any(|path| path.contains(within))
    }

    /// Requests since the last time that they were taken, without taking them.
    pub fn seen(&self) -> Vec<(Method, String)> {
        self.line.requests.lock().clone()
    }

    /// Requests since the last time that this was asked.
    pub fn requests(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut self.line.requests.lock())
    }
}

impl Drop for StoreLine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, store: StoreBehind, line: Arc<Line>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (store, line) = (store.clone(), Arc::clone(&line));
        let answer = service_fn(move |request| answer(request, store.clone(), Arc::clone(&line)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

async fn answer(request: Request<Incoming>, store: StoreBehind, line: Arc<Line>) -> Result<Answer, Infallible> {
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
    let refused = line.breaks();
    if refused == Some(false) {
        let _read = request.into_body().collect().await;
        return Ok(refusal(403, "AccessDenied"));
    }
    if let Some(list) = line.open_uploads().filter(|_| method == Method::GET && target.contains("uploads=")) {
        return Ok(Response::new(whole(list.into())));
    }
    let is_part = request.headers().contains_key("range");
    let (head, sent) = request.into_parts();
    let Ok(sent) = sent.collect().await else { return Ok(refusal(400, "IncompleteBody")) };
    let mut sent = sent.to_bytes().to_vec();
    if matches!(fault, Some(LineFault::FlipsSent))
        && let Some(at) = (sent.len() / 2).checked_sub(1)
    {
        sent[at] ^= 4;
    }
    let (parts, mut body) = store.call(Request::from_parts(head, sent.into())).await;
    if parts.status.is_success() {
        let is_right = !matches!(fault, Some(LineFault::FlipsBit(_) | LineFault::HalfBody));
        if is_right && method == Method::GET && !is_part && !target.contains('?') {
            line.whole.lock().insert(target.clone());
        }
        line.note_upload(&method, &target, &String::from_utf8_lossy(&body));
    }
    line.done.lock().push((method, target));
    if refused.is_some() {
        return Ok(refusal(403, "AccessDenied"));
    }
    if let Some(LineFault::AnswersAfter(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    let mut given = Response::new(whole(Bytes::new()));
    *given.status_mut() = parts.status;
    *given.headers_mut() = parts.headers;
    *given.body_mut() = match fault {
        Some(LineFault::FlipsBit(at)) => {
            if let Some(length) = NonZero::new(body.len()) {
                body[at % length] ^= 4;
            }
            whole(body.into())
        }
        Some(LineFault::HoldsBack(time)) => {
            let last = body.split_off(body.len().saturating_sub(1));
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
            open.insert(id.to_owned(), path.splitn(3, '/').nth(2).unwrap().to_owned());
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

    /// Whether a request is refused, and whether it is done all the same.
    fn breaks(&self) -> Option<bool> {
        let mut breaks = self.breaks.lock();
        let (left, is_done) = breaks.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        Some(std::mem::take(is_done))
    }

    fn fault(&self, method: &Method, target: &str) -> Option<LineFault> {
        let mut rules = self.rules.lock();
        let is_meant = |rule: &LineRule| rule.method == *method && target.contains(&rule.within);
        let Some(at) = rules.iter().position(is_meant) else { return self.by_chance() };
        rules[at].times -= 1;
        let fault = rules[at].fault.clone();
        if rules[at].times == 0 {
            rules.remove(at);
        }
        Some(fault)
    }

    fn by_chance(&self) -> Option<LineFault> {
        let mut chance = self.chance.lock();
        let (rng, share) = chance.as_mut()?;
        if !rng.random_bool(*share) {
            return None;
        }
        Some(match rng.random_range(0..9) {
            0 => LineFault::Refuses(503, "SlowDown"),
            1 => LineFault::Refuses(500, "InternalError"),
            2 => LineFault::Refuses(403, "AccessDenied"),
            3 => LineFault::HalfBody,
            4 => LineFault::FlipsBit(rng.random_range(0..1 << 20)),
            5 => LineFault::Waits(Duration::from_millis(300)),
            6 => LineFault::AnswersAfter(Duration::from_millis(300)),
            7 => LineFault::HoldsBack(Duration::from_millis(300)),
            _ => LineFault::FlipsSent,
        })
    }
}

impl StoreBehind {
    async fn call(&self, request: Request<Bytes>) -> (hyper::http::response::Parts, Vec<u8>) {
        match self {
            Self::Here(store) => {
                let (parts, body) = store.call(request.map(s3s::Body::from)).await.unwrap().into_parts();
                (parts, body.collect().await.unwrap().to_bytes().to_vec())
            }
            Self::At(address) => {
                // As a gateway whose server does not answer.
                let bad = || (refusal(502, "").into_parts().0, Vec::new());
                let Ok(socket) = TcpStream::connect(address).await else { return bad() };
                let Ok((mut sender, line)) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await else {
                    return bad();
                };
                tokio::spawn(line);
                let Ok(answer) = sender.send_request(request.map(Full::new)).await else { return bad() };
                let (mut parts, body) = answer.into_parts();
                let Ok(body) = body.collect().await else { return bad() };
                parts.headers.remove("transfer-encoding");
                (parts, body.to_bytes().to_vec())
            }
        }
    }
}
