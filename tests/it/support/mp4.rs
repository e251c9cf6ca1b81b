//! Real video in fragmented MP4: initialisation segments and media as servers of live streams publish them, and segments as recorders leave them.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How long a segment is, in seconds.
pub const EACH: u32 = 2;
/// How many there are of each stream.
const COUNT: usize = 8;

/// A stream as it is published.
#[derive(Debug)]
pub struct Mp4Stream {
    pub init: Vec<u8>,
    pub media: Vec<Vec<u8>>,
}

impl Mp4Stream {
    /// What a recorder makes of one segment: a file that plays by itself.
    pub fn segment(&self, number: usize) -> Vec<u8> {
        [&self.init[..], &self.media[number]].concat()
    }

    fn encoded(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let length = (COUNT * EACH as usize).to_string();
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &format!("testsrc2=size={size}:rate=25")]);
        command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &length, "-c:v", "libx264"]);
        command.args(["-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1", "-bf", "0", "-g", "50"]);
        command.args(["-sc_threshold", "0", "-c:a", "aac", "-f", "hls", "-hls_time", &EACH.to_string()]);
        command.args(["-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"]).arg(dir.path().join("list.m3u8"));
        let output = command.stdin(Stdio::null()).output();
        let output = output
            .unwrap_or_else(|error| panic!("cannot start ffmpeg ({error}); these tests need Debian's package ffmpeg"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        Self { init: read("init.mp4"), media: (0..COUNT).map(|at| read(&format!("list{at}.m4s"))).collect() }
    }
}

/// A stream of sixteen seconds; made once.
pub fn stream() -> &'static Mp4Stream {
    static MADE: OnceLock<Mp4Stream> = OnceLock::new();
    MADE.get_or_init(|| Mp4Stream::encoded("160x90"))
}

/// One of the same length with another picture, and so another initialisation segment; made once.
pub fn other_stream() -> &'static Mp4Stream {
    static MADE: OnceLock<Mp4Stream> = OnceLock::new();
    MADE.get_or_init(|| Mp4Stream::encoded("192x108"))
}
