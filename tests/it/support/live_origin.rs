//! An origin that gives out planned streams, to each recorder over a line of its own: without an encoder, so that many streams cost little.

use std::io::{BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use parking_lot::Mutex;

use super::broadcast::{Broadcast, LinePlan, Spell};
use super::origin::read_head;
use super::trouble::Chance;

/// An origin; it ends with the value.
#[derive(Debug)]
pub struct LiveOrigin {
    pub address: SocketAddr,
    air: Arc<OnAir>,
}

#[derive(Debug)]
struct OnAir {
    begun: Instant,
    begun_us: i64,
    broadcasts: Vec<Broadcast>,
    /// Of each recorder, to each stream.
    lines: Vec<Vec<LinePlan>>,
    chance: Mutex<Chance>,
    has_ended: AtomicBool,
    /// What was asked and answered, for whoever wants to know what went wrong.
    told: Mutex<Vec<String>>,
}

impl LiveOrigin {
    /// Everything begins now.
    pub fn begin(broadcasts: Vec<Broadcast>, lines: Vec<Vec<LinePlan>>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (chance, has_ended, told) = (Mutex::new(Chance::of(seed)), AtomicBool::default(), Mutex::default());
        // Whole milliseconds: times are told in those.
        let begun_us = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() * 1_000;
        let air = Arc::new(OnAir { begun: Instant::now(), begun_us, broadcasts, lines, chance, has_ended, told });
        let serving = Arc::clone(&air);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let air = Arc::clone(&serving);
                // A connection that ends badly is what this is for.
                thread::spawn(move || air.serve(&stream).unwrap_or_default());
            }
        });
        Self { address, air }
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.air.now()
    }

    /// When that was, in microseconds.
    pub fn begun_us(&self) -> i64 {
        self.air.begun_us
    }

    pub fn broadcasts(&self) -> &[Broadcast] {
        &self.air.broadcasts
    }

    pub fn line(&self, recorder: usize, stream: usize) -> &LinePlan {
        &self.air.lines[recorder][stream]
    }

    /// What a recorder is to ask for.
    pub fn url(&self, recorder: usize, stream: usize) -> String {
        format!("http://{}/{recorder}/{stream}/master.m3u8", self.address)
    }

    /// What was answered to requests in which this stands.
    pub fn told(&self, wanted: &str) -> Vec<String> {
        self.air.told.lock().iter().filter(|line| line.contains(wanted)).cloned().collect()
    }
}

impl Drop for LiveOrigin {
    fn drop(&mut self) {
        self.air.has_ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

impl OnAir {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    /// One request after the other.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let Some(head) = read_head(&mut reader)? else { return Ok(()) };
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let asked = self.now();
            let answered = self.answer(stream, &path);
            let said = answered.as_ref().map_or_else(|error| format!("broken off: {error}"), Clone::clone);
            self.told.lock().push(format!("{asked}–{} {path}: {said}", self.now()));
            answered?;
        }
    }

    /// Says what it answered.
    fn answer(&self, mut stream: &TcpStream, path: &str) -> std::io::Result<String> {
        let mut parts = path.trim_start_matches('/').split('/');
        let (mut next, nothing) = (|| parts.next().and_then(|part| part.parse::<usize>().ok()), ErrorKind::NotFound);
        let (recorder, of) = next().zip(next()).ok_or(nothing)?;
        let (broadcast, line) = (&self.broadcasts[of], &self.lines[recorder][of]);
        let name = parts.next().unwrap_or_default();
        let is_playlist = name.contains(".m3u8");
        let refuse = |mut stream: &TcpStream, status: u16| {
            write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")?;
            Ok(format!("{status}"))
        };
        let mut asked = self.now();
        let (mut stalls, mut truncates) = (false, false);
        let below = |end: usize| self.chance.lock().below(end);
        match line.spell(asked) {
            Spell::Calm => {}
            Spell::Refuses(status) => return refuse(stream, status),
            Spell::Cuts => return Err(ErrorKind::ConnectionReset.into()),
            Spell::Hangs => {
                while line.spell(self.now()) == Spell::Hangs && !self.has_ended.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(20));
                }
                return Err(ErrorKind::TimedOut.into());
            }
            Spell::Bad(share) => match below(100 * 100 / share) {
                0..15 => return refuse(stream, 503),
                15..25 => return refuse(stream, 404),
                25..35 if is_playlist => return refuse(stream, 403),
                35..55 => return Err(ErrorKind::ConnectionReset.into()),
                55..75 => truncates = true,
                75..90 => stalls = true,
                // A cache answers with what it has.
                90..100 => asked = asked.saturating_sub(500 + below(9_000) as u64),
                _ => {}
            },
        }
        let body = if name == "master.m3u8" {
            let (address, token) = (broadcast.address(asked), line.token(asked));
            Some(format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na{address}.m3u8?token={token}\n").into_bytes())
        } else if let Some((address, token)) = name.strip_prefix('a').and_then(|name| name.split_once(".m3u8?token=")) {
            if token.parse() != Ok(line.token(self.now())) {
                return refuse(stream, 403);
            }
            let address = address.parse().unwrap_or(usize::MAX);
            broadcast.playlist(address, asked, self.begun_us, line.token(self.now())).map(String::into_bytes)
        } else if let Some(key) = Broadcast::key(name) {
            Some(key.to_vec())
        } else {
            let (name, query) = name.split_once('?').unwrap_or((name, ""));
            if broadcast.is_protected && query != format!("token={}", line.token(self.now())) {
                return refuse(stream, 403);
            }
            let found = broadcast.find(name, self.now());
            if let Some(at) = found
                && let Some((status, lasts)) = line.refuses(at, &broadcast.segments[at])
                && self.now() - broadcast.segments[at].listed.start < lasts
            {
                return refuse(stream, status);
            }
            found.map(|at| broadcast.sent(at))
        };
        let Some(body) = body else { return refuse(stream, 404) };
        if stalls {
            thread::sleep(Duration::from_millis(700));
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
        if truncates {
            stream.write_all(&body[..below(body.len())])?;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&body)?;
        Ok(format!("200, {} bytes, as of {asked}", body.len()))
    }
}
