//! Real video, made by a real ffmpeg, and real players: what they complain about, and how much they see.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Frames a second, of which half a second has a whole number.
pub const RATE: usize = 30;

/// Picture and tone, cut into segments at key frames; `real_time` as a recorder gets them.
fn encoder(dir: &TempDir, seconds: f64, each: f64, real_time: bool) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    let pace: &[&str] = if real_time { &["-re"] } else { &[] };
    command.args(pace).args(["-f", "lavfi", "-i", &format!("testsrc2=size=160x90:rate={RATE}")]);
    command.args(pace).args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    command.args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"]);
    command.args(["-bf", "0", "-sc_threshold", "0", "-force_key_frames", &format!("expr:gte(t,n_forced*{each})")]);
    command.args(["-c:a", "aac", "-f", "segment", "-segment_format", "mpegts", "-segment_time", &each.to_string()]);
    // One stream cut into pieces: the packets of each go on counting where the one before it ended.
    command.args(["-individual_header_trailer", "0"]);
    command.args(["-segment_list_type", "csv", "-segment_list"]).arg(dir.path().join("list.csv"));
    command.arg(dir.path().join("%05d.ts")).stdin(Stdio::null());
    command
}

/// The contents of consecutive segments, as fast as they can be made.
pub fn segments(count: usize, each: f64) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let seconds = each * f64::from(u32::try_from(count).unwrap());
    let output = encoder(&dir, seconds, each, false).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Vec<Vec<u8>> = (0..count).map(|at| fs::read(dir.path().join(format!("{at:05}.ts"))).unwrap()).collect();
    assert!(!dir.path().join(format!("{count:05}.ts")).exists(), "one segment too many");
    all
}

/// A recorder at work; killed with the value.
#[derive(Debug)]
pub struct Recorder {
    child: Child,
    dir: TempDir,
}

impl Recorder {
    pub fn start(seconds: f64, each: f64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = encoder(&dir, seconds, each, true).spawn().unwrap();
        Self { child, dir }
    }

    /// The content of a segment, if it is complete by now.
    pub fn finished(&self, number: usize) -> Option<Vec<u8>> {
        let list = fs::read_to_string(self.dir.path().join("list.csv")).ok()?;
        let name = format!("{number:05}.ts");
        let is_listed = list.split_inclusive('\n').any(|line| line.starts_with(&name) && line.ends_with('\n'));
        is_listed.then(|| fs::read(self.path(&name)).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the recorder cannot be ended: {error}");
        }
    }
}

/// What a player made of an address.
#[derive(Debug)]
pub struct Watched {
    /// As the list or the file says.
    pub seconds: f64,
    /// Pictures that were decoded.
    pub frames: usize,
    /// All it complained about.
    pub complaints: Vec<String>,
}

/// Has ffprobe decode all of it. A list without an end is asked for twice more, and taken to be all.
pub fn watch(url: &str) -> Watched {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-count_frames", "-select_streams", "v:0"]);
    if url.contains(".m3u8") {
        command.args(["-m3u8_hold_counters", "2", "-live_start_index", "0"]);
    }
    command.args(["-show_entries", "stream=nb_read_frames:format=duration", "-of", "json", url]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{url}: {complaints:?}");
    let number = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let frames = said["streams"][0]["nb_read_frames"].as_str().and_then(|text| text.parse().ok());
    Watched {
        seconds: number(&said["format"]["duration"]).unwrap_or_default(),
        frames: frames.unwrap_or_default(),
        complaints,
    }
}

/// Has ffmpeg play all of it; says what it complained about.
pub fn play(url: &str) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    let output = command.args(["-nostdin", "-v", "warning", "-i", url, "-f", "null", "-"]).output().unwrap();
    let complaints: Vec<String> = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    assert!(output.status.success(), "{url}: {complaints:?}");
    complaints
}
