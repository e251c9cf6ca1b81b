//! Senders of live streams: a real ffmpeg that sends a picture and a tone as fast as time passes, and keeps what it sent.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A stream on its way; ends with the value.
#[derive(Debug)]
pub struct Sender {
    child: Child,
    sent: TempDir,
}

impl Sender {
    /// Sends for so many seconds, in a format to an address, with a key frame each second.
    pub fn begin(seconds: u32, format: &str, address: &str) -> Self {
        let sent = tempfile::tempdir().unwrap();
        let kept = sent.path().join("sent.ts");
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error"]);
        command.args(["-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=15"]);
        command.args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
        command.args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"]);
        command.args([
            "-g",
            "15",
            "-sc_threshold",
            "0",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-flags",
            "+global_header",
        ]);
        command.args(["-map", "0:v", "-map", "1:a", "-f", "tee"]);
        command.arg(format!("[f={format}:onfail=abort]{address}|[f=mpegts]{}", kept.display()));
        Self { child: command.stdin(Stdio::null()).spawn().unwrap(), sent }
    }

    /// All was sent, and taken if that can be known: the pictures, as they look.
    pub fn finish(&mut self) -> Vec<String> {
        assert!(self.child.wait().unwrap().success());
        self.pictures()
    }

    /// Whether all was taken.
    pub fn succeeds(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// It goes away in the middle, without a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn pictures(&self) -> Vec<String> {
        pictures(&std::fs::read(self.sent.path().join("sent.ts")).unwrap())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Each picture that a decoder makes of this alone, by its content.
pub fn pictures(stream: &[u8]) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "fatal", "-i", "pipe:0", "-map", "0:v", "-vsync", "passthrough", "-f", "framemd5", "pipe:1"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(stream).unwrap_or_default());
        let output = child.wait_with_output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let of_line = |line: &str| line.rsplit(',').next().unwrap().trim().to_owned();
        lines.lines().filter(|line| !line.starts_with('#')).map(of_line).collect()
    })
}

/// A port of TCP, and one of UDP, that nobody uses.
pub fn free_ports() -> (u16, u16) {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port())
}

/// Whether somebody takes packets of UDP there.
pub fn is_udp_taken(port: u16) -> bool {
    let sockets = std::fs::read_to_string(Path::new("/proc/net/udp")).unwrap();
    sockets.contains(&format!(":{port:04X} "))
}
