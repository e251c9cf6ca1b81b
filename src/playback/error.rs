//! Why a stretch cannot be told.

use crate::crawl::CrawlError;
use crate::domain::Stream;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// There is no such stream, or it holds no video.
    #[error("there is no video of {0} in the archive")]
    NoStream(Stream),
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
    /// A segment is not what it was.
    #[error("{0} has changed since the stretch was put together; ask again")]
    Changed(String),
    /// The archive or the index cannot answer.
    #[error(transparent)]
    Crawl(#[from] CrawlError),
}
