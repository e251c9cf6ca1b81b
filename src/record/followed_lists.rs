//! The playlists of one quality that are followed at once: where the source leads elsewhere, the old one until the new one brings segments.

use std::sync::Arc;

use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::events::RecorderEvent;
use super::list_recorder::{ListRecorder, ListState, QualityParts};
use crate::archive::Stream;
use crate::archive::hole_reasons::HoleReason;

/// Playlists of one quality that are followed at once: the newest ones. Where addresses expire again and again, nothing comes from the others any more.
const FOLLOWED: usize = 4;

/// See the module; the last one is the newest.
pub(super) struct FollowedLists {
    parts: Arc<QualityParts>,
    lists: Vec<FollowedPlaylist>,
}

struct FollowedPlaylist {
    url: Url,
    state: watch::Receiver<ListState>,
    drain: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl FollowedLists {
    /// None as yet.
    pub(super) fn new(parts: Arc<QualityParts>) -> Self {
        Self { parts, lists: Vec::new() }
    }

    pub(super) fn needs_another(&self) -> bool {
        let newest = self.lists.last().map(|list| list.state.borrow().clone());
        newest.is_none_or(|state| !matches!(state, ListState::Begins | ListState::Works))
    }

    /// Follows the first address that is not asked yet; of several, not the same one first each time.
    pub(super) fn begin(&mut self, found: &[Url], turn: usize) {
        let is_followed = |url: &Url| self.lists.iter().any(|list| list.url == *url && !list.state.borrow().is_left());
        let unfollowed =
            found.iter().cycle().skip(turn % found.len().max(1)).take(found.len()).find(|url| !is_followed(url));
        let Some(url) = unfollowed.cloned() else { return };
        if self.lists.len() >= FOLLOWED {
            self.lists.remove(0);
        }
        let (sender, state) = watch::channel(ListState::default());
        let drain = CancellationToken::new();
        let recorder = ListRecorder::new(Arc::clone(&self.parts), url.clone(), sender, drain.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(recorder.run()));
        self.lists.push(FollowedPlaylist { url, state, drain, _task: task });
    }

    /// Waits for news of any of them, at most until then. Those that are over are followed no more, and those before one that works are drained.
    pub(super) async fn changed(&mut self, until: Instant) -> Option<ListState> {
        let each = self.lists.iter_mut().enumerate().map(|(at, list)| {
            Box::pin(async move {
                // Who has ended without a word has crashed, and is over.
                let is_lost = list.state.changed().await.is_err();
                (at, if is_lost { ListState::Gone("it crashed".to_owned()) } else { list.state.borrow().clone() })
            })
        });
        let waiting: Vec<_> = each.collect();
        let (at, state) = if waiting.is_empty() {
            sleep_until(until).await;
            return None;
        } else {
            tokio::select! {
                (news, ..) = futures_util::future::select_all(waiting) => news,
                () = sleep_until(until) => return None,
            }
        };
        let is_newest = at + 1 == self.lists.len();
        match &state {
            ListState::Works => self.lists.iter().take(at).for_each(|older| older.drain.cancel()),
            ListState::Fails { reason, why } if is_newest => self.tell_failure(*reason, why),
            ListState::Leaves(why) | ListState::Gone(why) if is_newest => {
                self.tell_failure(HoleReason::SourceOffline, why);
            }
            ListState::Refused(why) => self.tell_refusal(why),
            ListState::Ended => self.tell_end(),
            ListState::Begins | ListState::Fails { .. } | ListState::Leaves(_) | ListState::Gone(_) => {}
        }
        if state.is_over() {
            self.lists.remove(at);
        }
        is_newest.then_some(state)
    }

    pub(super) fn tell_refusal(&self, why: &str) {
        self.tell(|stream| RecorderEvent::Refused { stream, why: why.to_owned() });
    }

    pub(super) fn tell_failure(&self, reason: HoleReason, why: &str) {
        self.tell(|stream| RecorderEvent::Fails { stream, reason, why: why.to_owned() });
    }

    pub(super) fn tell_end(&self) {
        self.tell(|stream| RecorderEvent::Ended { stream });
    }

    fn tell(&self, event: impl FnOnce(Stream) -> RecorderEvent) {
        self.parts.events.tell(&event(self.parts.quality.stream.clone()));
    }
}
