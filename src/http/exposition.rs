//! The text of `/metrics`, made once for all who ask at the same time.
//!
//! 1. Whoever asks gets a text that was begun after they asked: those who come while one is being made wait for the next, together.
//! 2. The bytes are held once, however many take them. A client that takes its time holds on to a text, so only [`MOST_HELD`] are held at
//!    once: with more the newest is answered again, until slow clients have taken theirs or are cut (`http.write_stall_timeout`).
//! 3. What is begun is finished, whoever goes away meanwhile: else each one that goes would leave the work to be begun anew.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Mutex;

use super::Problem;

/// Texts that are held for slow clients. A scrape takes a moment and there are a few scrapers; the largest text has some megabytes.
const MOST_HELD: usize = 4;
/// What goes out at once: about what a socket takes.
const PIECE: usize = 64 << 10;

/// Makes the text, or shares it.
#[derive(Debug, Default)]
pub(super) struct Exposition(Arc<Mutex<Made>>);

#[derive(Debug, Default)]
struct Made {
    newest: Option<(Instant, Arc<Text>)>,
    held: Vec<Weak<Text>>,
}

/// A text in the pieces that it was made of.
#[derive(Debug)]
pub(super) struct Text {
    pieces: Vec<Bytes>,
    length: u64,
}

impl Text {
    fn new(pieces: Vec<String>) -> Self {
        let pieces: Vec<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).map(Bytes::from).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, length }
    }
}

impl Made {
    /// A text for somebody who asked then, if one need not or must not be made.
    fn usable(&mut self, asked: Instant) -> Option<Arc<Text>> {
        self.held.retain(|text| text.strong_count() > 0);
        let (begun, newest) = self.newest.as_ref()?;
        (*begun >= asked || self.held.len() >= MOST_HELD).then(|| Arc::clone(newest))
    }
}

impl Exposition {
    /// A text that was begun from now on, if not too many are held: made by `work`, or by that of somebody else.
    pub(super) async fn text<F>(&self, work: F) -> Result<Arc<Text>, Problem>
    where
        F: Future<Output = Result<Vec<String>, Problem>> + Send + 'static,
    {
        let (asked, turn) = (Instant::now(), Arc::clone(&self.0));
        let making = tokio::spawn(async move {
            let mut made = turn.lock().await;
            if let Some(text) = made.usable(asked) {
                return Ok(text);
            }
            let begun = Instant::now();
            let text = Arc::new(Text::new(work.await?));
            made.held.push(Arc::downgrade(&text));
            made.newest = Some((begun, Arc::clone(&text)));
            Ok(text)
        });
        making.await.unwrap_or_else(|_| Err(Problem::internal("metrics-not-made")))
    }
}

/// Sends a text.
#[derive(Debug)]
pub(super) struct TextBody {
    text: Arc<Text>,
    piece: usize,
    at: usize,
    left: u64,
}

impl TextBody {
    pub(super) fn new(text: Arc<Text>) -> Self {
        let left = text.length;
        Self { text, piece: 0, at: 0, left }
    }
}

impl http_body::Body for TextBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let this = self.get_mut();
        let Some(piece) = this.text.pieces.get(this.piece) else { return Poll::Ready(None) };
        let end = piece.len().min(this.at + PIECE);
        let part = piece.slice(this.at..end);
        (this.piece, this.at) = if end == piece.len() { (this.piece + 1, 0) } else { (this.piece, end) };
        this.left -= part.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::{Body, to_bytes};
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn all_who_ask_while_one_is_made_share_the_next() {
        let exposition = Arc::new(Exposition::default());
        let (made, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (exposition, made, gate) = (Arc::clone(&exposition), Arc::clone(&made), Arc::clone(&gate));
            tokio::spawn(async move {
                let work = async move {
                    let number = made.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    Ok(vec![number.to_string()])
                };
                exposition.text(work).await.unwrap()
            })
        };
        let first = ask();
        while made.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..15).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        gate.add_permits(2);
        assert_eq!(first.await.unwrap().pieces, ["0"]);
        for other in others {
            assert_eq!(other.await.unwrap().pieces, ["1"], "what was begun before they asked may be old");
        }
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn clients_that_take_nothing_hold_no_more_than_a_few_texts() {
        let exposition = Exposition::default();
        let made = Arc::new(AtomicUsize::new(0));
        let ask = async || {
            let counted = Arc::clone(&made);
            let work = async move { Ok(vec![counted.fetch_add(1, Ordering::SeqCst).to_string()]) };
            TextBody::new(exposition.text(work).await.unwrap())
        };
        let mut deaf = Vec::new();
        for _ in 0..100 {
            deaf.push(ask().await);
        }
        assert_eq!(made.load(Ordering::SeqCst), MOST_HELD);
        deaf.clear();
        drop((ask().await, ask().await));
        assert_eq!(made.load(Ordering::SeqCst), MOST_HELD + 2, "fresh again as soon as they are gone");
    }

    #[tokio::test]
    async fn pieces_are_sent_as_one_text() {
        let pieces = vec![String::new(), "a".repeat(PIECE + 1), "b".repeat(PIECE), "c".into()];
        let whole = pieces.concat();
        let body = TextBody::new(Arc::new(Text::new(pieces)));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(whole.len() as u64));
        assert_eq!(to_bytes(Body::new(body), usize::MAX).await.unwrap(), whole);
    }
}
