//! How a playlist is asked for, and what becomes of it by what it answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::{LINGERS_FOR, ListRecorder, ListState, Step, length};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Span, Timestamp};
use crate::record::follow::window_print;
use crate::record::origin::OriginError;
use crate::record::playlist::{HlsPlaylist, MediaList};

/// A playlist is never asked for more often.
const LEAST_POLL: Duration = Duration::from_millis(250);
/// The longest wait before a playlist that failed is asked again: less than what real windows hold.
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// A playlist that has not come by then, or after its target duration, is asked for once more besides.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// The shortest wait before a stream that has ended is asked for again, and the longest.
const AFTER_THE_END: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// For so long a stream that has ended is asked for twice in the time of its window.
const SOON_AFTER_THE_END: Duration = Duration::from_secs(10 * 60);

impl ListRecorder {
    pub(super) fn poll(&mut self) {
        self.is_polling = true;
        let url = self.address.borrow_and_update().clone();
        let (parts, patience) = (Arc::clone(&self.parts), self.target.max(LEAST_PATIENCE));
        self.steps.spawn(async move {
            let ask = async || {
                let asked = Instant::now();
                match parts.client.playlist(&url).await {
                    Ok(answer) => Ok((asked, answer)),
                    Err(error) => Err((asked, error)),
                }
            };
            let (asked, answer) = match first_good(ask(), ask(), patience).await {
                Ok((asked, answer)) => (asked, Ok(answer)),
                Err((asked, error)) => (asked, Err(error)),
            };
            Step::Polled(asked, parts.clock.now(), answer)
        });
    }

    pub(super) async fn polled(
        &mut self,
        asked: Instant,
        appeared: Timestamp,
        answer: Result<(Url, HlsPlaylist), OriginError>,
    ) {
        self.is_polling = false;
        let began = Instant::now();
        match answer {
            Ok((base, HlsPlaylist::Media(list))) => {
                (self.failures, self.bad_since) = (0, None);
                self.goes_on();
                let most_missed = self.most_missed(&list);
                let list = self.follower.counted_on(list, most_missed);
                let new = self.listed(&base, &list, appeared).await;
                let newest = list.segments.last().map_or(list.target, |last| last.duration);
                self.target = length(list.target);
                let wait = self.pace.next(asked, length(new), length(newest), self.target);
                self.next_poll = (asked + wait).max(began + LEAST_POLL);
                self.observe_end(&list, new > Span::default());
                self.watch_still();
            }
            Err(error) if self.has_ended() && !error.is_gone() => {
                self.next_poll = began + self.wait_after_the_end();
            }
            Ok((_, HlsPlaylist::Master(_))) => {
                self.poll_again(began);
                self.refused(began, "the master playlist leads to another master playlist".to_owned());
            }
            Err(error) if error.is_final() => {
                self.poll_again(began);
                self.refused(began, error.to_string());
            }
            Err(error) => {
                self.poll_again(began);
                if self.failures <= 1 && self.reached.is_some() {
                    return;
                }
                if !error.is_gone() {
                    let why = error.to_string();
                    self.state.send_replace(ListState::Fails { reason: HoleReason::SourceOffline, why });
                } else if self.lingers.is_none() && (self.end.is_none() || self.has_ended()) {
                    (self.until, self.lingers) = (None, Some(began + LINGERS_FOR));
                    // Another address is not to wait until all that this one listed has come.
                    self.state.send_replace(ListState::Leaves(error.to_string()));
                    self.end = Some(ListState::Gone(error.to_string()));
                }
            }
        }
    }

    /// For some minutes nothing is missed that an encoder lists that begins anew.
    fn wait_after_the_end(&self) -> Duration {
        let is_recent = self.ended.elapsed() < SOON_AFTER_THE_END;
        let most = if is_recent { (length(self.asked.1) / 2).max(AFTER_THE_END.0) } else { AFTER_THE_END.1 };
        wait_after_the_end(self.ended).min(most)
    }

    /// After an answer that was not good: at once for the first time, then later each time.
    fn poll_again(&mut self, began: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.bad_since.get_or_insert(began);
        self.inits.fetch_again();
        let wait = (self.target / 2).max(LEAST_POLL) * self.failures.saturating_sub(1).min(8);
        self.next_poll = began + wait.clamp(LEAST_POLL, LONGEST_RETRY);
    }

    /// What was good before may be so again soon, whatever answers for it now.
    fn refused(&mut self, began: Instant, why: String) {
        let lasts = self.bad_since.map_or(Duration::ZERO, |since| began - since);
        if self.reached.is_none() || lasts > LINGERS_FOR {
            self.end = Some(ListState::Refused(why));
        } else if self.failures > 1 {
            self.state.send_replace(ListState::Fails { reason: HoleReason::SourceOffline, why });
        }
    }

    /// A stream that has ended may go on while its last segments come.
    fn observe_end(&mut self, list: &MediaList, has_grown: bool) {
        if list.has_ended && (self.end.is_none() || self.has_ended() && has_grown) {
            (self.end, self.until, self.ended) = (Some(ListState::Ended), None, Instant::now());
            self.control.ended_as.store(window_print(list), Ordering::Relaxed);
            // Another address, or another encoder, is not to wait until all that this one listed has come.
            self.state.send_replace(ListState::Ends);
        } else if self.has_ended() && !list.has_ended {
            (self.end, self.until) = (None, None);
            self.control.ended_as.store(0, Ordering::Relaxed);
        }
        if self.has_ended() {
            self.next_poll = Instant::now() + self.wait_after_the_end();
        }
    }

    /// A playlist that does not grow is told, and another address may be better.
    fn watch_still(&self) {
        let still = self.news.elapsed();
        if self.end.is_none() && still > (self.target * 3).max(Duration::from_secs(5)) {
            let why = format!("its playlist has stood still for {} s", still.as_secs());
            self.state.send_if_modified(|state| {
                let is_new = !matches!(state, ListState::Fails { .. });
                *state = ListState::Fails { reason: HoleReason::SourceStalled, why };
                is_new
            });
        }
    }
}

/// The first good answer of two, the second of which begins after that patience; if there is none, the last one.
async fn first_good<T, E>(
    first: impl Future<Output = Result<T, E>>,
    second: impl Future<Output = Result<T, E>>,
    patience: Duration,
) -> Result<T, E> {
    let mut first = std::pin::pin!(first);
    if let Ok(done) = tokio::time::timeout(patience, &mut first).await {
        return done;
    }
    let mut second = std::pin::pin!(second);
    tokio::select! {
        done = &mut first => if done.is_ok() { done } else { second.await },
        done = &mut second => if done.is_ok() { done } else { first.await },
    }
}

/// How long until a stream is asked for again that ended then: an encoder that was started anew goes on soon, or not.
pub fn wait_after_the_end(ended: Instant) -> Duration {
    (ended.elapsed() / 3).clamp(AFTER_THE_END.0, AFTER_THE_END.1)
}
