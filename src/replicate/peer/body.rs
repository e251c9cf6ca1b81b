//! Reads bodies piece by piece: decompressed where we asked for that, and bounded before and after.
//!
//! Only gzip is asked for: every peer of this field has it. What is read becomes a list or a JSON value elsewhere.

use std::io::{self, Write};

use flate2::write::GzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use tokio::time::timeout;

use super::error::{BodyStart, PeerError};
use super::limits::PeerLimits;

/// What is decompressed at once: a bomb makes a thousand times as much of it, and then others get their turn.
const STEP_BYTES: usize = 4 << 10;

/// Bytes after which others get their turn.
const TURN_BYTES: usize = 1 << 20;

/// Bytes of an answer that are kept for a message about it.
const HEAD_BYTES: usize = 512;

#[derive(Debug)]
pub(super) enum BodyProblem {
    Unexpected(String),
    TooLarge { what: &'static str, limit: u64 },
}

pub(super) trait BodySink {
    fn take(&mut self, bytes: &[u8]) -> Result<(), BodyProblem>;
}

impl BodySink for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), BodyProblem> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads a whole body into a sink. The caller bounds the time.
pub(super) async fn read<S: BodySink>(
    url: &str,
    response: &mut Response,
    limits: &PeerLimits,
    most: usize,
    sink: S,
) -> Result<(S, BodyStart), PeerError> {
    let mut decoder = Decoder::new(encoding(response), Capped::new(sink, most))
        .map_err(|problem| body_error(url, problem, BodyStart::default()))?;
    let (mut wire, mut turn) = (0_usize, 0_usize);
    while let Some(bytes) = chunk(url, response, limits, wire as u64).await? {
        wire = wire.saturating_add(bytes.len());
        if wire > most {
            return Err(PeerError::TooLarge { url: url.to_owned(), what: "bytes", limit: most as u64 });
        }
        for step in bytes.chunks(STEP_BYTES) {
            decoder.push(step).map_err(|problem| body_error(url, problem, decoder.begins()))?;
            if decoder.sink().bytes.saturating_sub(turn) > TURN_BYTES {
                turn = decoder.sink().bytes;
                tokio::task::yield_now().await;
            }
        }
    }
    let begins = decoder.begins();
    let filled = decoder.finish().map_err(|problem| body_error(url, problem, begins.clone()))?;
    Ok((filled, begins))
}

/// The next piece of a body; `None` at its end.
pub(super) async fn chunk(
    url: &str,
    response: &mut Response,
    limits: &PeerLimits,
    had: u64,
) -> Result<Option<bytes::Bytes>, PeerError> {
    match timeout(limits.silence, response.chunk()).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(source)) => Err(PeerError::Broken { url: url.to_owned(), bytes: had, source }),
        Err(_) => Err(PeerError::TimedOut { url: url.to_owned(), what: "sent nothing more", after: limits.silence }),
    }
}

pub(super) fn body_error(url: &str, problem: BodyProblem, begins: BodyStart) -> PeerError {
    let url = url.to_owned();
    match problem {
        BodyProblem::Unexpected(problem) => PeerError::Unexpected { url, problem, begins },
        BodyProblem::TooLarge { what, limit } => PeerError::TooLarge { url, what, limit },
    }
}

/// The encoding that the peer says the body has; empty if it has none.
pub(super) fn encoding(response: &Response) -> &[u8] {
    let mut all = response.headers().get_all(CONTENT_ENCODING).iter();
    match (all.next(), all.next()) {
        (None, _) => b"",
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"identity") => b"",
        (Some(one), None) => one.as_bytes(),
        (Some(_), Some(_)) => b"several",
    }
}

enum Decoder<S: BodySink> {
    Plain(Capped<S>),
    Gzip(Box<GzDecoder<Capped<S>>>),
}

impl<S: BodySink> Decoder<S> {
    fn new(encoding: &[u8], sink: Capped<S>) -> Result<Self, BodyProblem> {
        match encoding {
            b"" => Ok(Self::Plain(sink)),
            gzip if gzip.eq_ignore_ascii_case(b"gzip") => Ok(Self::Gzip(Box::new(GzDecoder::new(sink)))),
            other => {
                let problem = format!("its content encoding {:?} was not asked for", BodyStart::of(other));
                Err(BodyProblem::Unexpected(problem))
            }
        }
    }

    fn sink(&self) -> &Capped<S> {
        match self {
            Self::Plain(sink) => sink,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn begins(&self) -> BodyStart {
        BodyStart::of(&self.sink().head)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), BodyProblem> {
        match self {
            Self::Plain(sink) => sink.write_all(bytes).map_err(|error| sink.problem(&error)),
            Self::Gzip(decoder) => decoder.write_all(bytes).map_err(|error| decoder.get_mut().problem(&error)),
        }
    }

    fn finish(self) -> Result<S, BodyProblem> {
        match self {
            Self::Plain(sink) => Ok(sink.sink),
            Self::Gzip(mut decoder) => match decoder.try_finish() {
                Ok(()) => decoder.finish().map(|capped| capped.sink).map_err(|error| undecodable(&error)),
                Err(error) => Err(decoder.get_mut().problem(&error)),
            },
        }
    }
}

/// Passes on what is decompressed until it is too much, or of no use.
struct Capped<S: BodySink> {
    sink: S,
    most: usize,
    bytes: usize,
    head: Vec<u8>,
    problem: Option<BodyProblem>,
}

impl<S: BodySink> Capped<S> {
    fn new(sink: S, most: usize) -> Self {
        Self { sink, most, bytes: 0, head: Vec::new(), problem: None }
    }

    /// What is behind an error that came through the decompression.
    fn problem(&mut self, error: &io::Error) -> BodyProblem {
        self.problem.take().unwrap_or_else(|| undecodable(error))
    }
}

impl<S: BodySink> Write for Capped<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.bytes = self.bytes.saturating_add(bytes.len());
        let outcome = if self.bytes > self.most {
            Err(BodyProblem::TooLarge { what: "bytes (decompressed)", limit: self.most as u64 })
        } else {
            self.sink.take(bytes)
        };
        outcome.map(|()| bytes.len()).map_err(|problem| {
            self.problem = Some(problem);
            io::Error::other("refused")
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn undecodable(error: &io::Error) -> BodyProblem {
    BodyProblem::Unexpected(format!("it cannot be decompressed ({error})"))
}
