//! Real video, as a recorder leaves it: segments of two seconds in H.264 and AAC, each beginning with a key frame.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::TestArchive;

/// How long a segment is.
pub const SECONDS: u64 = 2;
/// How many there are; their time stamps go on from one to the next.
const COUNT: usize = 60;

/// All segments; made once.
fn segments() -> &'static [Vec<u8>] {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let length = (COUNT as u64 * SECONDS).to_string();
        let picture = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=10", "-f", "lavfi", "-i", "sine=frequency=300"];
        let coded = ["-t", &length, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "20"];
        let cut =
            ["-sc_threshold", "0", "-c:a", "aac", "-f", "segment", "-segment_time", "2", "-segment_format", "mpegts"];
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(picture).args(coded).args(cut).arg(dir.path().join("%03d.ts"));
        let status = command.stdin(Stdio::null()).status();
        let status = status
            .unwrap_or_else(|error| panic!("cannot start ffmpeg ({error}); these tests need Debian's package ffmpeg"));
        assert!(status.success(), "ffmpeg made no segments: {status}");
        (0..COUNT).map(|at| fs::read(dir.path().join(format!("{at:03}.ts"))).unwrap()).collect()
    })
}

/// Puts the segment of this number where its recorder would, if its first one began then; says its path.
pub fn record(archive: &TestArchive, stream: &str, begun: SystemTime, number: usize) -> String {
    let start = begun + Duration::from_secs(number as u64 * SECONDS);
    let start = humantime::format_rfc3339_millis(start).to_string();
    let (hour, time) = (&start[..13], &start[14..23]);
    archive.named(&format!("{stream}/{hour}"), &format!("{time}-2.0-full"), "ts", &segments()[number])
}
