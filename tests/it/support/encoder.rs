//! Real video of any kind: segments as recorders leave them, of an encoder that can be another one from one stretch to the next.

use std::fs;
use std::process::{Command, Stdio};

/// How long a segment is, in seconds.
pub const EACH: f64 = 2.0;

/// What picture and sound are like, and when their time stamps begin.
#[derive(Debug, Clone, Copy)]
pub struct Encoder {
    pub size: &'static str,
    pub profile: &'static str,
    /// Samples a second; none without sound.
    pub sound: Option<u32>,
    /// After so many seconds sound ends, although tables go on saying that there is some.
    pub sounds: f64,
    /// The number of packets of the picture; those of the sound have the next one.
    pub pid: u16,
    /// The first time stamp, in seconds.
    pub from: f64,
}

/// What most recorders see.
pub const USUAL: Encoder =
    Encoder { size: "160x90", profile: "high", sound: Some(48_000), sounds: 1e6, pid: 0x100, from: 0.0 };

impl Encoder {
    /// The contents of so many segments, each beginning with a key frame. The first packets say that a time base begins with them.
    #[track_caller]
    pub fn segments(self, count: usize) -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let length = (EACH * f64::from(u32::try_from(count).unwrap())).to_string();
        let picture = format!("testsrc2=size={}:rate=25", self.size);
        let sound = self.sound.map(|rate| format!("sine=frequency=440:sample_rate={rate}:duration={}", self.sounds));
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &picture]);
        if let Some(sound) = &sound {
            command.args(["-f", "lavfi", "-i", sound, "-c:a", "aac"]);
        }
        command.args(["-t", &length, "-c:v", "libx264", "-preset", "superfast", "-profile:v", self.profile]);
        command.args(["-pix_fmt", "yuv420p", "-threads", "1", "-bf", "0", "-g", "50", "-sc_threshold", "0"]);
        command.args(["-output_ts_offset", &self.from.to_string(), "-f", "segment", "-segment_format", "mpegts"]);
        let options = format!("mpegts_flags=initial_discontinuity:mpegts_start_pid={}", self.pid);
        command.args(["-segment_format_options", &options]);
        command.args(["-segment_time", &EACH.to_string()]).arg(dir.path().join("%03d.ts")).stdin(Stdio::null());
        let output = command.output();
        let output = output
            .unwrap_or_else(|error| panic!("cannot start ffmpeg ({error}); these tests need Debian's package ffmpeg"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (0..count).map(|at| fs::read(dir.path().join(format!("{at:03}.ts"))).unwrap()).collect()
    }
}
