//! An origin of live streams: ffmpeg's hls muxer writes into a directory, and a server of our own gives that out over a line that drops,
//! stalls, truncates, refuses, and repeats playlists that are old.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

/// What it does to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Refuses(u16),
    /// The connection ends before an answer.
    Drops,
    /// It ends within one.
    Truncates,
    Stalls,
    /// Of a playlist: what it was before.
    Repeats,
}

/// An origin and its server; both end with the value.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    dir: TempDir,
    encoder: Option<Child>,
    line: Arc<OriginLine>,
}

#[derive(Debug)]
struct OriginLine {
    dir: PathBuf,
    random: Mutex<SmallRng>,
    /// Answers of a hundred that something is done to.
    share: u32,
    old: Mutex<BTreeMap<String, Vec<u8>>>,
    has_ended: AtomicBool,
    /// What has to stand behind the address of a playlist, if anything has to.
    wanted: Mutex<Option<String>>,
    heads: Mutex<Vec<String>>,
}

impl Origin {
    /// Serves an empty directory, and does something to so many answers of a hundred.
    pub fn new(seed: u64, share: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let random = Mutex::new(SmallRng::seed_from_u64(seed));
        let (old, has_ended) = (Mutex::default(), AtomicBool::default());
        let (wanted, heads) = (Mutex::default(), Mutex::default());
        let line = Arc::new(OriginLine { dir: dir.path().to_owned(), random, share, old, has_ended, wanted, heads });
        let serving = Arc::clone(&line);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let line = Arc::clone(&serving);
                // A connection that ends badly is what this is for.
                thread::spawn(move || line.serve(&stream).unwrap_or_default());
            }
        });
        Self { address, dir, encoder: None, line }
    }

    /// Begins to encode as fast as time passes, in segments of a second.
    pub fn encode(&mut self, seconds: u32, options: &[&str]) {
        self.encoder = Some(self.encoder(seconds, &["-re"], options, "live.m3u8").spawn().unwrap());
    }

    /// The same with `master.m3u8`, pictures in `live0.m3u8`, and sound of two languages in `live1.m3u8` and `live2.m3u8`, the first of which is the
    /// default one. Segments are called after their playlist: `live0-000.ts`.
    pub fn encode_with_sound_apart(&mut self, seconds: u32, options: &[&str]) {
        self.encoder = Some(self.encoder_with_sound_apart(seconds, &["-re"], options).spawn().unwrap());
    }

    /// The same at once.
    pub fn encode_at_once_with_sound_apart(&self, seconds: u32, options: &[&str]) {
        assert!(self.encoder_with_sound_apart(seconds, &[], options).status().unwrap().success());
    }

    fn encoder_with_sound_apart(&self, seconds: u32, pace: &[&str], options: &[&str]) -> Command {
        let streams = "v:0,agroup:sound a:0,agroup:sound,language:eng,default:yes a:1,agroup:sound,language:ger";
        let ending = if options.contains(&"fmp4") { "m4s" } else { "ts" };
        let segments = self.dir.path().join(format!("live%v-%03d.{ending}"));
        let apart =
            ["-map", "0:v", "-map", "1:a", "-map", "1:a", "-filter:a:1", "volume=0.5", "-var_stream_map", streams];
        let names = ["-master_pl_name", "master.m3u8", "-hls_segment_filename", segments.to_str().unwrap()];
        self.encoder(seconds, pace, &[&apart[..], &names, options].concat(), "live%v.m3u8")
    }

    /// Encodes all at once: a stream that has ended.
    pub fn encode_at_once(&self, seconds: u32, options: &[&str]) {
        assert!(self.encoder(seconds, &[], options, "live.m3u8").status().unwrap().success());
    }

    fn encoder(&self, seconds: u32, pace: &[&str], options: &[&str], playlist: &str) -> Command {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error"]);
        command.args(pace).args(["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"]);
        command.args(pace).args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
        command.args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"]);
        command.args(["-bf", "0", "-g", "25", "-sc_threshold", "0", "-c:a", "aac"]);
        // So long that a busy machine and a bad line do not keep all recorders from what leaves it.
        command.args(["-f", "hls", "-hls_time", "1", "-hls_list_size", "12"]);
        command.args(options).arg(self.dir.path().join(playlist)).stdin(Stdio::null());
        command
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file beside the playlist.
    pub fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A file that was published.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    /// From now on playlists are given to those alone who ask with this query; others get 403.
    pub fn require(&self, query: &str) {
        *self.line.wanted.lock() = Some(query.to_owned());
    }

    /// What was asked, with all headers.
    pub fn requests(&self) -> Vec<String> {
        self.line.heads.lock().clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// All segments that were ever published, by name.
    pub fn segments(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap);
        let segments = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "ts" || end == "m4s"));
        segments.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.line.has_ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(mut encoder) = self.encoder.take() {
            drop(encoder.kill());
            drop(encoder.wait());
        }
    }
}

/// The head of the next request; nothing if there is none.
pub fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            return Ok(Some(head));
        }
        head.push_str(&line);
    }
}

impl OriginLine {
    /// One request after the other.
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let Some(head) = read_head(&mut reader)? else { return Ok(()) };
            let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let (name, query) = path.split_once('?').unwrap_or((&path, ""));
            self.heads.lock().push(head.clone());
            let is_expired = self.wanted.lock().as_ref().is_some_and(|wanted| wanted != query);
            if is_expired && name.contains(".m3u8") {
                let mut stream = stream;
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            self.answer(stream, name, range(&head))?;
        }
    }

    fn answer(&self, mut stream: &TcpStream, path: &str, range: Option<(usize, usize)>) -> std::io::Result<()> {
        let is_playlist = path.contains(".m3u8");
        let trouble = self.trouble(is_playlist);
        let Ok(mut body) = fs::read(self.dir.join(path)) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        if is_playlist {
            let mut old = self.old.lock();
            match trouble {
                Trouble::Repeats => body = old.get(path).cloned().unwrap_or(body),
                _ => {
                    old.insert(path.to_owned(), body.clone());
                }
            }
        }
        let status = match range {
            Some((first, last)) => {
                let whole = body.len();
                body = body[first..=last].to_vec();
                format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{whole}")
            }
            None => "200 OK".to_owned(),
        };
        match trouble {
            Trouble::Refuses(status) => {
                return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            }
            Trouble::Drops => return Err(std::io::ErrorKind::ConnectionReset.into()),
            Trouble::Stalls => thread::sleep(Duration::from_millis(700)),
            Trouble::None | Trouble::Truncates | Trouble::Repeats => {}
        }
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
        if trouble == Trouble::Truncates {
            let cut = self.random.lock().random_range(0..body.len().max(1));
            stream.write_all(&body[..cut])?;
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        stream.write_all(&body)
    }

    fn trouble(&self, is_playlist: bool) -> Trouble {
        let mut random = self.random.lock();
        if random.random_range(0..100) >= self.share {
            return Trouble::None;
        }
        let all = [
            Trouble::Refuses(503),
            Trouble::Refuses(404),
            Trouble::Drops,
            Trouble::Truncates,
            Trouble::Stalls,
            if is_playlist { Trouble::Repeats } else { Trouble::Truncates },
        ];
        all[random.random_range(0..all.len())]
    }
}

fn range(head: &str) -> Option<(usize, usize)> {
    let line = head.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned))?;
    let (first, last) = line.split_once('-')?;
    Some((first.parse().ok()?, last.trim().parse().ok()?))
}
