//! What can go wrong with a program that is not ours.

use std::time::Duration;

use crate::process::ProcessError;

/// Why there is no picture, sound or cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FfmpegError {
    /// It is not there, or cannot be started.
    #[error(
        "{program} cannot be started on the node's machine: {why}; install Debian's package ffmpeg, or say with playback.ffmpeg where it is"
    )]
    NotInstalled {
        /// The program.
        program: String,
        /// What the system said.
        why: String,
    },
    /// All turns are taken.
    #[error("as many ffmpeg processes are running as may run at once")]
    Busy,
    /// It took too long.
    #[error("ffmpeg took longer than {} s and was stopped", .0.as_secs())]
    TooSlow(Duration),
    /// It wrote more than it should.
    #[error("ffmpeg wrote more than {0} bytes and was stopped")]
    TooLarge(u64),
    /// It ended with an error.
    #[error("ffmpeg failed ({status})")]
    Failed {
        /// How it ended.
        status: String,
        /// The end of what it wrote to stderr: for the log.
        said: String,
    },
    /// It gave nothing that can be used.
    #[error("ffmpeg could make nothing of it: {0}")]
    Useless(String),
    /// What was asked for is not to be had from this stream.
    #[error("{0}")]
    Unsuitable(String),
    /// There is nothing at that time.
    #[error("{0}")]
    Nothing(String),
    /// A segment cannot be read.
    #[error("a segment cannot be read: {0}")]
    Unreadable(String),
    /// Nobody waits for it any more.
    #[error("nobody waits for it any more")]
    Gone,
    /// The node is ending.
    #[error("the node is ending")]
    Ending,
}

impl From<ProcessError> for FfmpegError {
    fn from(error: ProcessError) -> Self {
        let ProcessError { program, why } = error;
        Self::NotInstalled { program, why }
    }
}
