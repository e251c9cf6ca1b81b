//! Why a stretch cannot be told.

use crate::archive::{Channel, Stream};
use crate::play::playlist::cut::CutHoleReason;
use crate::sync::crawl::CrawlError;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// There is no such stream, or it holds no video.
    #[error("there is no video of {0} in the archive")]
    NoStream(Stream),
    /// There is no such channel.
    #[error("there is no channel {0} in the archive")]
    NoChannel(Channel),
    /// One end was not given, and the stretch would be too long.
    #[error(
        "without start and end everything is meant, and that is {hours} hours here; more than {limit} want both start and end"
    )]
    ImplicitTooLong {
        /// How long it would be.
        hours: u64,
        /// How long it may be.
        limit: u64,
    },
    /// More than may be asked at once.
    #[error("the stretch has {got} hours with segments; at most {limit} are told at once")]
    TooManyHours {
        /// How many it has.
        got: u64,
        /// How many it may have.
        limit: u64,
    },
    /// The holes would take too many entries.
    #[error("the holes of the stretch would take {got} entries; at most {limit} are told")]
    TooManyGaps {
        /// How many.
        got: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Nothing of a stretch is there.
    #[error("nothing of {0} is there in that stretch")]
    Nothing(Stream),
    /// Not all of a stretch is there, and that was not allowed.
    #[error("{} of the stretch of {stream} {} missing or incomplete; fetch what is missing with backfill, or allow holes",
        if lacking.len() == 1 { "a part".to_owned() } else { format!("{} parts", lacking.len()) },
        if lacking.len() == 1 { "is" } else { "are" })]
    Holes {
        /// Of what.
        stream: Stream,
        /// What is not there.
        lacking: Vec<CutHoleReason>,
    },
    /// A segment is not what it was.
    #[error("{0} has changed since the stretch was put together; ask again")]
    Changed(String),
    /// Segments in MP4 of which it is not known yet how long their initialisation segments are.
    #[error("the stretch has segments in MP4 that are still being read; ask again in a few seconds")]
    StillReading,
    /// Segments that do not make one file as they are.
    #[error("the stretch cannot be one file as it lies here: {0}; cut each part by itself")]
    NotOneFile(&'static str),
    /// A thread that read has died.
    #[error("reading the index failed; the log has the cause")]
    ReadingFailed,
    /// The archive or the index cannot answer.
    #[error(transparent)]
    Crawl(#[from] CrawlError),
}
