//! A stream on its way through ffmpeg: begun, read piece by piece, and ended with the reason that ffmpeg gives.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::rtmp::{Publisher, RtmpPorts};
use super::source_address::SourceAddress;
use super::stream_source::{arguments, reason};
use crate::process::{Process, ProcessOrder, last_words};

/// What ffmpeg says at its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What brings streams.
#[derive(Debug, Clone)]
pub struct StreamTools {
    /// The program.
    pub ffmpeg: String,
    /// Where publishers are waited for.
    pub ports: RtmpPorts,
}

impl StreamTools {
    pub fn new(ffmpeg: &str) -> Self {
        Self { ffmpeg: ffmpeg.to_owned(), ports: RtmpPorts::default() }
    }
}

/// A stream that comes; ends with the value.
#[derive(Debug)]
pub struct StreamProcess {
    process: Process,
    output: ChildStdout,
    words: JoinHandle<String>,
    _feeding: Option<AbortOnDropHandle<()>>,
}

impl StreamProcess {
    /// Begins to bring a source, or what a publisher sends; an error says what to do.
    pub fn begin(source: &SourceAddress, ffmpeg: &str, publisher: Option<Publisher>) -> Result<Self, String> {
        let order = ProcessOrder {
            program: ffmpeg,
            args: &arguments(source),
            environment: &[],
            stdin: if publisher.is_some() { Stdio::piped() } else { Stdio::null() },
            stdout: Stdio::piped(),
            niceness: 0,
        };
        let hint = "install Debian's package ffmpeg, or say with playback.ffmpeg where it is";
        let mut process = Process::start(order).map_err(|error| format!("{error}; {hint}"))?;
        let feeding = publisher.zip(process.stdin.take()).map(|(mut publisher, mut input)| {
            // That one of them has gone is seen at the other end.
            let feeding = async move { tokio::io::copy(&mut publisher.media, &mut input).await.map_or((), drop) };
            AbortOnDropHandle::new(tokio::spawn(feeding))
        });
        let words = tokio::spawn(last_words(process.stderr.take()));
        let output = process.stdout.take().ok_or("ffmpeg has no output")?;
        Ok(Self { process, output, words, _feeding: feeding })
    }

    /// The next bytes; none at the end. Nothing is lost where this is not awaited to its end.
    pub async fn read(&mut self, piece: &mut [u8]) -> usize {
        self.output.read(piece).await.unwrap_or_default()
    }

    /// Ends it; the reason is what ffmpeg said if it failed by itself.
    pub async fn end(mut self, source: &SourceAddress, has_ended: bool) -> Option<String> {
        let ended = if has_ended { timeout(LAST_WORDS, self.process.ended()).await.ok() } else { None };
        self.process.end().await;
        let is_error = ended.and_then(Result::ok).is_none_or(|status| !status.success());
        let said = timeout(LAST_WORDS, self.words).await.ok().and_then(Result::ok).unwrap_or_default();
        reason(&said, source).filter(|_| is_error)
    }
}
