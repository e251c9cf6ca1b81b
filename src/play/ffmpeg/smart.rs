//! Cuts that are exact to the picture and leave all they can as it was recorded.
//!
//! A [`Cutter`](super::cutter) writes the stretches, and the transitions between them, into one new transport stream as they come. For
//! anything else that stream goes through ffmpeg once more ([`CutFormat`]), and is sent while it is made.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;

use super::cut_format::CutFormat;
use super::cutter::{Cutter, Making, Sender};
use super::ends::HeldTurn;
use super::pool::{Input, Turn};
use super::suitable::{Blind, look_ahead, refused};
use super::transition::{self, Part};
use super::{FfmpegError, Pool};
use crate::archive::Span;
use crate::media::CutRefusal;

/// Pieces that wait for the client.
const WAITING: usize = 8;
/// ffmpeg looks 5 s for streams: sound that begins later is none to it.
const LOOKS: Span = Span::from_us(4_000_000);

/// The bytes of a cut as they are made. Whoever drops it ends the work.
pub struct CutStream {
    /// What they are.
    pub content_type: &'static str,
    pub(super) pieces: Input,
    pub(super) _turn: Turn,
}

impl std::fmt::Debug for CutStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CutStream({})", self.content_type)
    }
}

impl Stream for CutStream {
    type Item = Result<Bytes, FfmpegError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(context)
    }
}

/// Cuts these stretches out, one after the other. When this returns the first bytes are there.
pub async fn smart<P: Into<Part>>(
    pool: &Arc<Pool>,
    parts: Vec<P>,
    format: CutFormat,
) -> Result<CutStream, FfmpegError> {
    let turn = pool.download("cut").await?;
    pool.check("cut").await?;
    let parts: Vec<Part> = parts.into_iter().map(Into::into).collect();
    transition::known(pool, transition::among(&parts)).await?;
    let (parts, sound) = look_ahead(parts).await?;
    if let Some((coding, place, after)) = sound.filter(|_| format != CutFormat::Ts)
        && after > LOOKS
    {
        let (what, name) = (coding.name(), format.name());
        let why = format!(
            "there is {what} sound only from the segment at {place} on, which {name} cannot say; take type=smart"
        );
        return Err(FfmpegError::Unsuitable(why));
    }
    // Who encodes all of it has a turn of its own until the end; what its ends want then runs within that.
    let encoding = if format == CutFormat::Webm { Some(pool.turn("webm").await?) } else { None };
    let held = if encoding.is_some() { HeldTurn::Already } else { HeldTurn::None };
    let sound = sound.map(|(coding, ..)| coding);
    let making = Making { format, sound, held };
    let (sender, mut made) = mpsc::channel(WAITING);
    tokio::spawn(cut(Arc::clone(pool), parts, making, sender));
    let begin = made.recv().await.unwrap_or(Err(FfmpegError::Gone))?;
    let stream = received(Some(begin), made);
    let pieces = match format.order(pool, sound) {
        None => stream,
        Some(order) => {
            let mut output = pool.start(encoding, order, stream)?;
            let first = output.recv().await.unwrap_or_else(|| Err(FfmpegError::Useless("it wrote nothing".into())))?;
            received(Some(first), output)
        }
    };
    Ok(CutStream { content_type: format.content_type(), pieces, _turn: turn })
}

/// Whether such a cut can be begun: the program starts, and what comes first can be cut exactly. Makes nothing.
pub async fn check<P: Into<Part>>(pool: &Arc<Pool>, parts: Vec<P>) -> Result<(), FfmpegError> {
    let _turn = pool.download("cut").await?;
    pool.check("cut").await?;
    let parts: Vec<Part> = parts.into_iter().map(Into::into).collect();
    transition::known(pool, transition::among(&parts)).await?;
    let (parts, _) = look_ahead(parts).await?;
    let Some(clip) = parts.into_iter().next().map(Part::first) else { return Ok(()) };
    let window = (clip.start, clip.end);
    let mut blind = Blind::default();
    for segment in clip.segments.into_iter().filter(|segment| !segment.lies_beside(window)) {
        let loaded = segment.load().await?;
        loaded.source.check().map_err(|refusal| refused(refusal, window))?;
        if !loaded.source.pictures.is_empty() {
            return Ok(());
        }
        blind.count(&loaded)?;
    }
    Err(blind.found.unwrap_or_else(|| refused(CutRefusal::Nothing, window)))
}

/// What was received already, and what comes.
pub(super) fn received(first: Option<Bytes>, rest: mpsc::Receiver<Result<Bytes, FfmpegError>>) -> Input {
    let rest = stream::unfold(rest, |mut rest| async move { rest.recv().await.map(|piece| (piece, rest)) });
    Box::pin(stream::iter(first.map(Ok)).chain(rest))
}

async fn cut(pool: Arc<Pool>, parts: Vec<Part>, making: Making, sender: Sender) {
    let outcome = tokio::select! {
        outcome = Cutter::new(pool, making, &sender).all(parts) => outcome,
        () = sender.closed() => return,
    };
    if let Err(error) = outcome {
        // Whoever has gone is not told.
        sender.send(Err(error)).await.ok();
    }
}
