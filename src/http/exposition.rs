//! The text of `/metrics`, made once for all who ask at the same time.
//!
//! 1. Whoever asks gets a text that was begun after they asked: those who come while one is being made wait for the next, together.
//! 2. The bytes are held once, however many take them. A client that takes its time holds on to a text, so only [`MOST_HELD`] are held at
//!    once: with more the newest is answered again, for [`FRESH`]. Then who holds the oldest makes room by losing the connection:
//!    whoever watches must not be shown for minutes what was.
//! 3. What fails, fails for all who waited for it.
//! 4. What is begun is finished, whoever goes away meanwhile: else each one that goes would leave the work to be begun anew.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Mutex;

use super::Problem;

/// Texts that are held for slow clients. A scrape takes a moment and there are a few scrapers; the largest text has some megabytes.
const MOST_HELD: usize = 4;
/// How long a text is answered again while too many are held: within what scrapers wait for an answer.
const FRESH: Duration = Duration::from_secs(10);
/// What goes out at once: about what a socket takes.
const PIECE: usize = 64 << 10;

/// Makes the text, or shares it.
#[derive(Debug, Default)]
pub(super) struct Exposition(Arc<Mutex<Made>>);

#[derive(Debug, Default)]
struct Made {
    newest: Option<(Instant, Arc<MetricsText>)>,
    /// Why the last one was not made, and when it was begun.
    failed: Option<(Instant, Problem)>,
    /// The oldest first.
    held: Vec<Weak<MetricsText>>,
}

/// A text in the pieces that it was made of.
#[derive(Debug)]
pub(super) struct MetricsText {
    pieces: Vec<Bytes>,
    length: u64,
    /// Whoever takes it has taken too long.
    is_given_up: AtomicBool,
}

impl MetricsText {
    fn new(pieces: Vec<String>) -> Self {
        let pieces: Vec<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).map(Bytes::from).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, length, is_given_up: AtomicBool::new(false) }
    }
}

impl Made {
    /// What somebody who asked then is answered, if nothing need or may be made.
    fn usable(&mut self, asked: Instant, now: Instant) -> Option<Result<Arc<MetricsText>, Problem>> {
        if let Some((_, problem)) = self.failed.as_ref().filter(|(begun, _)| *begun >= asked) {
            return Some(Err(problem.clone()));
        }
        self.held.retain(|text| text.strong_count() > 0);
        let (begun, newest) = self.newest.as_ref()?;
        let is_crowded = self.held.len() >= MOST_HELD;
        if *begun >= asked || (is_crowded && now.saturating_duration_since(*begun) < FRESH) {
            return Some(Ok(Arc::clone(newest)));
        }
        if is_crowded && let Some(oldest) = self.held.remove(0).upgrade() {
            oldest.is_given_up.store(true, Relaxed);
        }
        None
    }
}

impl Exposition {
    /// A text that was begun from now on, if not too many are held: made by `work`, or by that of somebody else.
    pub(super) async fn text<F>(&self, work: F) -> Result<Arc<MetricsText>, Problem>
    where
        F: Future<Output = Result<Vec<String>, Problem>> + Send + 'static,
    {
        let (asked, turn) = (Instant::now(), Arc::clone(&self.0));
        let making = tokio::spawn(async move {
            let mut made = turn.lock().await;
            let begun = Instant::now();
            if let Some(answer) = made.usable(asked, begun) {
                return answer;
            }
            let text = match work.await {
                Ok(pieces) => Arc::new(MetricsText::new(pieces)),
                Err(problem) => {
                    made.failed = Some((begun, problem.clone()));
                    return Err(problem);
                }
            };
            made.failed = None;
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
    text: Arc<MetricsText>,
    piece: usize,
    at: usize,
    left: u64,
}

impl TextBody {
    pub(super) fn new(text: Arc<MetricsText>) -> Self {
        let left = text.length;
        Self { text, piece: 0, at: 0, left }
    }
}

impl http_body::Body for TextBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.text.is_given_up.load(Relaxed) {
            let why = "others wait for newer metrics, and too many older ones are not taken yet";
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, why))));
        }
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
    async fn who_takes_the_oldest_makes_room_when_the_newest_is_no_longer_fresh() {
        let texts: Vec<Arc<MetricsText>> =
            (0..MOST_HELD).map(|_| Arc::new(MetricsText::new(vec!["x".into()]))).collect();
        let begun = Instant::now();
        let held = texts.iter().map(Arc::downgrade).collect();
        let mut made = Made { newest: texts.last().map(|text| (begun, Arc::clone(text))), failed: None, held };
        let asked = begun + Duration::from_millis(1);
        assert!(made.usable(asked, begun + FRESH / 2).is_some_and(|answer| answer.is_ok()));
        assert!(made.usable(asked, begun + FRESH).is_none(), "a new one is made");
        let given_up: Vec<bool> = texts.iter().map(|text| text.is_given_up.load(Relaxed)).collect();
        assert_eq!(given_up, [true, false, false, false]);
        assert!(to_bytes(Body::new(TextBody::new(Arc::clone(&texts[0]))), usize::MAX).await.is_err());
        assert_eq!(to_bytes(Body::new(TextBody::new(Arc::clone(&texts[1]))), usize::MAX).await.unwrap(), "x");
    }

    #[tokio::test]
    async fn what_fails_fails_for_all_who_waited_for_it() {
        let exposition = Arc::new(Exposition::default());
        let (tried, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (exposition, tried, gate) = (Arc::clone(&exposition), Arc::clone(&tried), Arc::clone(&gate));
            tokio::spawn(async move {
                let work = async move {
                    tried.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    Err(Problem::internal("it-hangs"))
                };
                exposition.text(work).await.map(drop)
            })
        };
        let first = ask();
        while tried.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..15).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        gate.add_permits(2);
        first.await.unwrap().unwrap_err();
        for other in others {
            other.await.unwrap().unwrap_err();
        }
        assert_eq!(tried.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn pieces_are_sent_as_one_text() {
        let pieces = vec![String::new(), "a".repeat(PIECE + 1), "b".repeat(PIECE), "c".into()];
        let whole = pieces.concat();
        let body = TextBody::new(Arc::new(MetricsText::new(pieces)));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(whole.len() as u64));
        assert_eq!(to_bytes(Body::new(body), usize::MAX).await.unwrap(), whole);
    }
}
