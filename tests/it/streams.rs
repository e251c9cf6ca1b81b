//! Streams that are no HLS: what a real sender sends over real protocols is in the archive, picture by picture, in segments that play alone.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::recording::{in_order, recorded};
use crate::support::camera::Camera;
use crate::support::node::gapless_begun;
use crate::support::sender::{Sender, free_ports, is_udp_taken, pictures};
use crate::support::{SOON, TestArchive, eventually, gapless};

/// `gapless record` at work; killed with the value.
pub struct Recording<'a> {
    archive: &'a TestArchive,
    child: Child,
    /// What it says.
    said: NamedTempFile,
}

impl<'a> Recording<'a> {
    pub fn begin(archive: &'a TestArchive, url: &str) -> Self {
        let said = NamedTempFile::new().unwrap();
        let args = ["record", "c", url, "--for", "100s"];
        Self { archive, child: gapless_begun(archive.path(), &args, said.reopen().unwrap()), said }
    }

    pub fn count(&self, kind: &str) -> usize {
        recorded(self.archive, "c/source").keys().filter(|path| path.contains(kind)).count()
    }

    /// Stops it as ctrl-C does, and gives what it said.
    pub fn stop(mut self) -> String {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        let code = self.child.wait().unwrap().code();
        let said = fs::read_to_string(self.said.path()).unwrap();
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// All pictures that were recorded, each segment decoded alone; between neighbours there is neither a hole nor an overlap.
pub fn recorded_pictures(archive: &TestArchive) -> Vec<String> {
    let all = recorded(archive, "c/source");
    assert!(all.keys().all(|path| !path.contains("suspect")), "{:?}", all.keys());
    let ordered = in_order(&all);
    for pair in ordered.windows(2) {
        let gap = pair[1].0 - (pair[0].0 + pair[0].1);
        assert!(gap.abs() < 10_000, "{gap} µs between {} and {}", pair[0].0, pair[1].0);
    }
    ordered.iter().flat_map(|(.., bytes)| pictures(bytes)).collect()
}

#[test]
fn a_stream_of_srt_is_recorded_from_a_server_that_sends_it() {
    let (_, port) = free_ports();
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &format!("srt://127.0.0.1:{port}?mode=caller"));
    let sent = Sender::begin(6, "mpegts", &format!("srt\\://127.0.0.1\\:{port}?mode=listener")).finish();
    eventually(SOON, || recording.count("-partial-") == 1);
    recording.stop();
    let recorded = recorded_pictures(&archive);
    // A sender that ends does not wait until the last packets have arrived.
    assert!(recorded.len() >= 75 && sent.starts_with(&recorded), "{} of {}", recorded.len(), sent.len());
}

#[test]
fn what_is_pushed_by_srt_with_the_right_passphrase_is_recorded() {
    let (_, port) = free_ports();
    let archive = TestArchive::empty();
    let listener = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=a-secret-of-mine");
    let recording = Recording::begin(&archive, &listener);
    eventually(SOON, || is_udp_taken(port));
    let to = |passphrase: &str| format!("srt\\://127.0.0.1\\:{port}?mode=caller&passphrase={passphrase}");
    assert!(!Sender::begin(1, "mpegts", &to("a-secret-of-others")).succeeds());
    assert_eq!(recorded(&archive, "c/source").len(), 0);
    let sent = Sender::begin(5, "mpegts", &to("a-secret-of-mine")).finish();
    eventually(SOON, || recording.count("-partial-") == 1);
    let said = recording.stop();
    assert!(!said.contains("secret"), "{said}");
    let recorded = recorded_pictures(&archive);
    // A sender that ends does not wait until the last packets have arrived.
    assert!(recorded.len() >= 60 && sent.starts_with(&recorded), "{} of {}", recorded.len(), sent.len());
}

#[test]
fn what_a_camera_shows_over_rtsp_is_recorded_picture_by_picture() {
    let film = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=15"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "5", "-c:v", "libx264"]);
    command.args([
        "-preset",
        "ultrafast",
        "-threads",
        "1",
        "-bf",
        "0",
        "-g",
        "15",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
    ]);
    command.args(["-movflags", "+faststart"]);
    assert!(command.arg(film.path()).status().unwrap().success());
    let camera = Camera::of(film.path());
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &camera.url());
    eventually(SOON, || recording.count("-partial-") > 0);
    drop(camera);
    recording.stop();
    // It may have been asked once more.
    let all = recorded(&archive, "c/source");
    assert!(all.keys().all(|path| !path.contains("suspect")), "{:?}", all.keys());
    let found: Vec<String> = in_order(&all).iter().flat_map(|(.., bytes)| pictures(bytes)).collect();
    let shown = pictures(&fs::read(film.path()).unwrap());
    assert_eq!(shown.len(), 75);
    assert!(found.starts_with(&shown), "{}: {:?}", found.len(), all.keys());
}

#[test]
fn packets_of_udp_are_recorded_as_they_come() {
    let (_, port) = free_ports();
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &format!("udp://127.0.0.1:{port}"));
    eventually(SOON, || is_udp_taken(port));
    let sent = Sender::begin(6, "mpegts", &format!("udp\\://127.0.0.1\\:{port}?pkt_size=1316")).finish();
    eventually(SOON, || recording.count("-full-") >= 2);
    recording.stop();
    let recorded = recorded_pictures(&archive);
    // What was on its way when it was stopped is not there.
    assert!(recorded.len() >= 60 && sent.starts_with(&recorded), "{} of {}", recorded.len(), sent.len());
}

/// What a publisher of this key is told to send to.
fn rtmp(port: u16, key: &str) -> String {
    format!("rtmp\\://127.0.0.1\\:{port}/live/{key}")
}

#[test]
fn what_is_pushed_with_the_right_key_is_recorded_to_its_last_picture_again_and_again() {
    let (port, _) = free_ports();
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &format!("rtmp://127.0.0.1:{port}/live/key-of-mine"));
    eventually(SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(!Sender::begin(4, "flv", &rtmp(port, "key-of-mind")).succeeds());
    assert_eq!(recorded(&archive, "c/source").len(), 0);
    let sent = Sender::begin(4, "flv", &rtmp(port, "key-of-mine")).finish();
    eventually(SOON, || recording.count("-partial-") == 1);
    assert_eq!(recorded_pictures(&archive), sent);
    // The place is taken while somebody publishes, and free when he has gone without a word.
    let mut second = Sender::begin(30, "flv", &rtmp(port, "key-of-mine"));
    eventually(SOON, || recording.count("-full-") >= 3);
    assert!(!Sender::begin(4, "flv", &rtmp(port, "key-of-mine")).succeeds());
    second.kill();
    eventually(SOON, || recording.count("-partial-") == 2);
    let said = recording.stop();
    assert!(!said.contains("key-of"), "{said}");
    // The second one sent the same pictures, and then more.
    let all = recorded(&archive, "c/source");
    let found: Vec<String> = in_order(&all).iter().flat_map(|(.., bytes)| pictures(bytes)).collect();
    assert!(found.starts_with(&[sent.clone(), sent].concat()), "{}: {:?}", found.len(), all.keys());
}

/// A key has one publisher, and a listener is one recorder: an encoder pushes to each of them.
#[test]
fn three_recorders_of_an_encoder_that_pushes_to_each_have_the_same_and_what_one_misses_the_others_have() {
    let archives = [TestArchive::empty(), TestArchive::empty(), TestArchive::empty()];
    let ports: Vec<u16> = archives.iter().map(|_| free_ports().0).collect();
    let of = |archive, port: &u16| Recording::begin(archive, &format!("rtmp://127.0.0.1:{port}/live/key-of-mine"));
    let mut recordings: Vec<Recording<'_>> =
        archives.iter().zip(&ports).map(|(archive, port)| of(archive, port)).collect();
    for port in &ports {
        eventually(SOON, || TcpStream::connect(("127.0.0.1", *port)).is_ok());
    }
    let each: Vec<String> = ports.iter().map(|port| rtmp(*port, "key-of-mine")).collect();
    let mut sender = Sender::begin(7, "flv", &each.join("|[f=flv:onfail=ignore]"));
    eventually(SOON, || recordings[2].count("-full-") > 0);
    // One of them goes away.
    drop(recordings.pop());
    let sent = sender.finish();
    for recording in &recordings {
        eventually(SOON, || recording.count("-partial-") == 1);
    }
    for recording in recordings {
        recording.stop();
    }
    let contents = |archive| -> Vec<Vec<u8>> {
        let all = recorded(archive, "c/source");
        in_order(&all).into_iter().map(|(.., bytes)| bytes.to_vec()).collect()
    };
    let [one, two, three] = archives.each_ref().map(contents);
    assert_eq!(recorded_pictures(&archives[0]), sent);
    assert!(one == two, "{} and {} segments", one.len(), two.len());
    assert!(three.len() < one.len() && one.starts_with(&three), "{} and {} segments", one.len(), three.len());
}

#[test]
fn peers_that_say_nothing_or_nonsense_keep_no_publisher_away() {
    let (port, _) = free_ports();
    let archive = TestArchive::empty();
    let recording = Recording::begin(&archive, &format!("rtmp://127.0.0.1:{port}/live/key-of-mine"));
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(SOON))?;
        Ok::<_, std::io::Error>(stream)
    };
    let is_hung_up = |mut stream: &TcpStream| {
        stream.read(&mut [0]).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| read == 0)
    };
    eventually(SOON, || connect().is_ok());
    let mut nonsense = connect().unwrap();
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(is_hung_up(&nonsense));
    // A handshake, and then a message that never ends.
    let mut endless = connect().unwrap();
    endless.write_all(&[3; 1 + 2 * 1_536]).unwrap();
    endless.read_exact(&mut [0; 1 + 2 * 1_536]).unwrap();
    endless.write_all(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 9, 0, 0, 0, 0]).unwrap();
    assert!(is_hung_up(&endless));
    let silent: Vec<TcpStream> = (0..4).map(|_| connect().unwrap()).collect();
    assert!(is_hung_up(&connect().unwrap()), "there are too many of this host");
    drop(silent);
    eventually(SOON, || Sender::begin(1, "flv", &rtmp(port, "key-of-mine")).succeeds());
    eventually(SOON, || recording.count("-partial-") == 1);
    recording.stop();
}

#[test]
fn what_a_publisher_sends_is_said_and_not_recorded() {
    let (port, _) = free_ports();
    let archive = TestArchive::empty();
    let url = format!("rtmp://127.0.0.1:{port}/live/key-of-mine");
    std::thread::scope(|scope| {
        let testing = scope.spawn(|| gapless(archive.path(), &["record", "--test", &url]));
        eventually(SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let _sender = Sender::begin(10, "flv", &rtmp(port, "key-of-mine"));
        let done = testing.join().unwrap();
        let said = done.lines(0).join("\n");
        for expected in ["RTMP, 1 quality", "160x90", "avc1.", "would write CHANNEL/source/"] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(!said.contains("key-of") && !done.err.contains("key-of"), "{done:?}");
    });
    assert_eq!(recorded(&archive, "c/source").len(), 0);
}
