//! An origin that answers as a test says, request by request.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::origin::read_head;

/// What comes of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    Is(Vec<u8>),
    Status(u16),
    /// It is elsewhere.
    Leads(String),
    /// Half of it, and the connection ends.
    BreaksOff(Vec<u8>),
    /// A byte now and then, for as long as anybody waits.
    Trickles(Vec<u8>),
}

type Script = dyn Fn(&str) -> Answer + Send + Sync;

/// An origin; it ends with the value.
pub struct ScriptedOrigin {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
    has_ended: Arc<AtomicBool>,
}

impl ScriptedOrigin {
    /// Answers what is asked for: path and query, without the slash in front.
    pub fn begin(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, has_ended) = (Arc::<Mutex<Vec<(Instant, String)>>>::default(), Arc::<AtomicBool>::default());
        let (script, log, over): (Arc<Script>, _, _) = (Arc::new(script), Arc::clone(&asked), Arc::clone(&has_ended));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (script, log, over) = (Arc::clone(&script), Arc::clone(&log), Arc::clone(&over));
                // A connection that ends badly is no matter of the origin.
                thread::spawn(move || serve(&stream, &*script, &log, &over).unwrap_or_default());
            }
        });
        Self { address, asked, has_ended }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What was asked for so far, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(_, path)| path.clone()).collect()
    }

    /// How often each was asked for.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.asked().into_iter().for_each(|path| *counts.entry(path).or_default() += 1);
        counts
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    stream: &TcpStream,
    script: &Script,
    log: &Mutex<Vec<(Instant, String)>>,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut stream = stream;
    while let Some(head) = read_head(&mut reader)? {
        let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        log.lock().push((Instant::now(), path.clone()));
        match script(&path) {
            Answer::Is(bytes) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
                stream.write_all(&bytes)?;
            }
            Answer::Status(status) => write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")?,
            Answer::Leads(elsewhere) => {
                write!(stream, "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n")?;
            }
            Answer::BreaksOff(bytes) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
                return stream.write_all(&bytes[..bytes.len() / 2]);
            }
            Answer::Trickles(bytes) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
                for byte in bytes {
                    if over.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    stream.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(200));
                }
            }
        }
    }
    Ok(())
}
