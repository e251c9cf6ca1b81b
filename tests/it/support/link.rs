//! The line between a node and a peer of it, in one direction: tests cut it, stop it, slow it down and garble what it carries,
//! while it is in use. It knows as much of HTTP as is needed to spoil a body and leave its head alone, and nothing of nodes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What the line does to what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Pass,
    /// Ends what is open, and each new connection at once.
    Cut,
    /// Takes connections, and passes nothing until that changes.
    Hang,
    /// Requests arrive, answers do not.
    HangAnswers,
    /// Each piece waits that long, in both directions.
    Delay(Duration),
    /// So many bytes a second, for each direction of each connection.
    Throttle(u64),
    /// The connection ends behind so many bytes of a body.
    Truncate(usize),
    /// One bit of this byte, counted around and around, is wrong in each body that is no JSON.
    Flip(usize),
    /// The same in JSON, too. A list in which a name is wrong is still a list.
    FlipLists(usize),
    /// The first half of each body comes twice.
    Duplicate,
    /// Each answer announces so many bytes more or fewer than come, and then the connection ends.
    Length(isize),
    /// No answer comes to its end.
    Endless,
}

/// A body that is longer is passed on unspoilt, except that it may be truncated.
const SPOILT_BYTES: u64 = 8 << 20;

/// A line that leads somewhere; it ends with the value.
#[derive(Debug)]
pub struct Link {
    /// Where it begins: what the node is told to be the peer's address.
    pub address: SocketAddr,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    target: Option<SocketAddr>,
    open: Vec<TcpStream>,
    /// How often anything was done to what it carried.
    troubles: usize,
    /// Bytes of answers that it carried.
    carried: usize,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Link {
    /// Leads nowhere yet: connections wait until it does.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            State { manner: Manner::Pass, target: None, open: Vec::new(), troubles: 0, carried: 0, ended: false };
        let line = Arc::new(Line { state: Mutex::new(state), changed: Condvar::new() });
        let serving = Arc::clone(&line);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.state.lock().ended {
                    return;
                }
                let line = Arc::clone(&serving);
                // A connection that ends badly is what this is for.
                thread::spawn(move || line.carry(&stream).unwrap_or_default());
            }
        });
        Self { address, line }
    }

    /// New connections lead there from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.line.state.lock().target = Some(target);
        self.line.changed.notify_all();
    }

    /// From now on, also for what is under way.
    pub fn set(&self, manner: Manner) {
        let mut state = self.line.state.lock();
        state.manner = manner;
        if manner == Manner::Cut {
            state.close_all();
        }
        self.line.changed.notify_all();
    }

    /// How often anything was held up, cut off or spoilt.
    pub fn troubles(&self) -> usize {
        self.line.state.lock().troubles
    }

    /// How many bytes came back over it.
    pub fn carried(&self) -> usize {
        self.line.state.lock().carried
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.line.state.lock();
        state.ended = true;
        state.close_all();
        drop(state);
        self.line.changed.notify_all();
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn close_all(&mut self) {
        self.troubles += self.open.len();
        for stream in self.open.drain(..) {
            // It may have ended by itself.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}

impl Line {
    fn carry(self: &Arc<Self>, client: &TcpStream) -> std::io::Result<()> {
        let target = {
            let mut state = self.state.lock();
            if state.manner == Manner::Cut {
                state.troubles += 1;
                return Ok(());
            }
            state.open.retain(|stream| stream.peer_addr().is_ok());
            state.open.push(client.try_clone()?);
            loop {
                match state.target {
                    _ if state.ended => return Ok(()),
                    Some(target) => break target,
                    None => self.changed.wait(&mut state),
                }
            }
        };
        let carried = TcpStream::connect_timeout(&target, Duration::from_secs(5)).and_then(|server| {
            self.state.lock().open.push(server.try_clone()?);
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let (asking, asked) = (client.try_clone()?, server.try_clone()?);
            let line = Arc::clone(self);
            let there = thread::spawn(move || {
                let done = line.requests(&asking, &asked);
                asked.shutdown(if done.is_ok() { Shutdown::Write } else { Shutdown::Both }).unwrap_or_default();
            });
            let done = self.answers(&server, client);
            server.shutdown(Shutdown::Both).unwrap_or_default();
            client.shutdown(Shutdown::Both).unwrap_or_default();
            drop(there.join());
            done
        });
        client.shutdown(Shutdown::Both).unwrap_or_default();
        carried
    }

    fn requests(&self, mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
        let mut piece = vec![0; 16 << 10];
        loop {
            let count = from.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            self.gate(Way::There, count)?;
            to.write_all(&piece[..count])?;
        }
    }

    fn answers(&self, from: &TcpStream, to: &TcpStream) -> std::io::Result<()> {
        let mut from = BufReader::new(from);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if from.read_until(b'\n', &mut head)? == 0 {
                    return self.send(to, &head);
                }
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            match length(&text) {
                Some(0) => self.send(to, &head)?,
                Some(length) if length <= SPOILT_BYTES => {
                    let mut body = vec![0; usize::try_from(length).unwrap()];
                    from.read_exact(&mut body)?;
                    self.answer(to, &text, body)?;
                }
                _ => {
                    self.send(to, &head)?;
                    return self.rest(&mut from, to);
                }
            }
        }
    }

    /// A body that ends with the connection, or in chunks.
    fn rest(&self, from: &mut impl Read, to: &TcpStream) -> std::io::Result<()> {
        let (mut passed, mut piece) = (0, vec![0; 16 << 10]);
        loop {
            let count = from.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            match self.manner() {
                Manner::Truncate(most) if passed + count > most => {
                    self.noted();
                    return self.send(to, &piece[..most.saturating_sub(passed).min(count)]);
                }
                Manner::Flip(at) => {
                    piece[at % count] ^= 1;
                    self.noted();
                }
                _ => {}
            }
            self.send(to, &piece[..count])?;
            passed += count;
        }
    }

    fn answer(&self, to: &TcpStream, head: &str, mut body: Vec<u8>) -> std::io::Result<()> {
        let is_list = body.starts_with(b"[") || body.starts_with(b"{") || head.contains("json");
        let done = || Err(std::io::ErrorKind::BrokenPipe.into());
        match self.manner() {
            Manner::Truncate(most) if most < body.len() => {
                self.noted();
                self.send(to, &[head.as_bytes(), &body[..most]].concat())?;
                return done();
            }
            Manner::Flip(at) if !is_list => {
                let at = at % body.len();
                body[at] ^= 1;
                self.noted();
            }
            Manner::FlipLists(at) => {
                let at = at % body.len();
                body[at] ^= 1;
                self.noted();
            }
            Manner::Duplicate => {
                let half = body.len().div_ceil(2);
                body.splice(0..0, body[..half].to_vec());
                self.noted();
            }
            Manner::Length(by) => {
                self.noted();
                let length = body.len().saturating_add_signed(by);
                self.send(
                    to,
                    &[announcing(head, &format!("Content-Length: {length}\r\n")).as_bytes(), &body].concat(),
                )?;
                return done();
            }
            Manner::Endless => {
                self.noted();
                self.send(to, &[announcing(head, "Connection: close\r\n").as_bytes(), &body].concat())?;
                while self.manner() == Manner::Endless {
                    self.send(to, &body)?;
                    // As fast as a line may be, and no faster than a test can bear.
                    thread::sleep(Duration::from_millis(5));
                }
                return done();
            }
            _ => {}
        }
        self.send(to, &[head.as_bytes(), &body].concat())
    }

    fn send(&self, mut to: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        for piece in bytes.chunks(4 << 10) {
            self.gate(Way::Back, piece.len())?;
            to.write_all(piece)?;
        }
        Ok(())
    }

    fn manner(&self) -> Manner {
        self.state.lock().manner
    }

    fn noted(&self) {
        self.state.lock().troubles += 1;
    }

    /// Waits until so many bytes may pass; an error when none will any more.
    fn gate(&self, way: Way, bytes: usize) -> std::io::Result<()> {
        let mut state = self.state.lock();
        let mut counted = false;
        let wait = loop {
            let wait = match state.manner {
                _ if state.ended => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                Manner::Cut => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                Manner::Hang => None,
                Manner::HangAnswers if way == Way::Back => None,
                Manner::Delay(wait) => Some(wait),
                Manner::Throttle(rate) => Some(Duration::from_micros(bytes as u64 * 1_000_000 / rate)),
                _ => break Duration::ZERO,
            };
            state.troubles += usize::from(!std::mem::replace(&mut counted, true));
            match wait {
                Some(wait) => break wait,
                None => self.changed.wait(&mut state),
            }
        };
        if way == Way::Back {
            state.carried += bytes;
        }
        drop(state);
        thread::sleep(wait);
        Ok(())
    }
}

/// How many bytes the body has; nothing if that is seen only when it ends.
fn length(head: &str) -> Option<u64> {
    let status = head.split(' ').nth(1).unwrap_or_default();
    if ["204", "304"].contains(&status) || status.starts_with('1') {
        return Some(0);
    }
    let values = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = values.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok())
}

/// The head with this in place of the length.
fn announcing(head: &str, header: &str) -> String {
    let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
    let mut lines: String = head.trim_end().split_inclusive('\n').filter(|line| !is_length(line)).collect();
    if !lines.ends_with("\r\n") {
        lines.push_str("\r\n");
    }
    lines + header + "\r\n"
}
