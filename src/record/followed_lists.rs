//! The playlists of one quality that are followed at once: where the source leads elsewhere, the old one until the new one brings segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::address_expiry::address_expiry;
use super::events::RecorderEvent;
use super::list_recorder::{ListControl, ListRecorder, ListState};
use super::segment_attempt::QualityParts;
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Stream, Timestamp};

/// Playlists of one quality that are followed at once: the newest ones. Where addresses expire again and again, nothing comes from the others any more.
const FOLLOWED: usize = 4;

/// Another address is asked for so long before one expires, or half of its time if that is less.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// What a playlist has to do when it is stopped.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// See the module; the last one is the newest.
pub(super) struct FollowedLists {
    parts: Arc<QualityParts>,
    lists: Vec<FollowedPlaylist>,
}

struct FollowedPlaylist {
    address: watch::Sender<Url>,
    state: watch::Receiver<ListState>,
    control: ListControl,
    /// When another address is asked for, as this one says that it expires, and when it does.
    renewal: Option<(Instant, Instant)>,
    task: AbortOnDropHandle<()>,
}

impl FollowedLists {
    /// None as yet.
    pub(super) fn new(parts: Arc<QualityParts>) -> Self {
        Self { parts, lists: Vec::new() }
    }

    pub(super) fn needs_another(&self) -> bool {
        let Some(newest) = self.lists.last() else { return true };
        let now = Instant::now();
        let expires = newest.renewal.is_some_and(|(asked, expiry)| asked <= now && now < expiry);
        expires || !matches!(*newest.state.borrow(), ListState::Begins | ListState::Works)
    }

    /// The stream has ended, as far as the newest playlist says.
    pub(super) fn has_ended(&self) -> bool {
        self.lists.last().is_some_and(|newest| matches!(*newest.state.borrow(), ListState::Ends | ListState::Ended))
    }

    /// What the playlists are by which streams have ended that are followed, and the addresses that are asked.
    pub(super) fn ended(&self) -> Vec<u64> {
        self.lists
            .iter()
            .map(|list| list.control.ended_as.load(Ordering::Relaxed))
            .filter(|print| *print != 0)
            .collect()
    }

    pub(super) fn is_followed(&self, url: &Url) -> bool {
        self.lists.iter().any(|list| is_same_place(&list.address.borrow(), url))
    }

    /// When another address will be needed, whatever happens until then.
    pub(super) fn needs_another_at(&self) -> Option<Instant> {
        let (asked, _) = self.lists.last()?.renewal?;
        Some(asked).filter(|asked| *asked > Instant::now())
    }

    /// Follows the first address that is not asked yet; of several, not the same one first each time. Where only what stands behind `?` is another, it
    /// is the same playlist, which goes on under that.
    pub(super) fn begin(&mut self, found: &[Url], turn: usize) {
        let mut unfollowed = None;
        for url in found.iter().cycle().skip(turn % found.len().max(1)).take(found.len()) {
            let is_it = |list: &FollowedPlaylist| {
                let is_drained = list.control.drain.is_cancelled() || list.state.borrow().is_over();
                !is_drained && is_same_place(&list.address.borrow(), url)
            };
            let Some(at) = self.lists.iter().position(is_it) else {
                unfollowed = Some(url.clone());
                break;
            };
            let is_asked =
                self.lists.get(at).is_some_and(|list| *list.address.borrow() == *url && !list.state.borrow().is_left());
            if !is_asked {
                let mut list = self.lists.remove(at);
                list.renewal = renewal(url);
                list.address.send_replace(url.clone());
                self.lists.push(list);
                return;
            }
        }
        let Some(url) = unfollowed else {
            if let Some(newest) = self.lists.last_mut().filter(|newest| found.contains(&newest.address.borrow())) {
                // There is no other one yet: it is asked for again when this one is refused.
                newest.renewal = None;
            }
            return;
        };
        if self.lists.len() >= FOLLOWED {
            let oldest = self.lists.remove(0);
            oldest.control.leave.cancel();
            // It says what it gives up, and ends.
            oldest.task.detach();
        }
        let (sender, state) = watch::channel(ListState::default());
        let control = ListControl::default();
        let renewal = renewal(&url);
        let (address, asked) = watch::channel(url);
        let recorder = ListRecorder::new(Arc::clone(&self.parts), asked, sender, control.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(recorder.run()));
        self.lists.push(FollowedPlaylist { address, state, control, renewal, task });
    }

    /// Ends all of them. What has failed so far is told as missing.
    pub(super) async fn stop(self) {
        for list in &self.lists {
            list.control.stop.cancel();
        }
        let ends = self.lists.into_iter().map(|list| tokio::time::timeout(STOPS_WITHIN, list.task));
        futures_util::future::join_all(ends).await;
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
            ListState::Works => self.lists.iter().take(at).for_each(|older| older.control.drain.cancel()),
            ListState::Fails { reason, why } if is_newest => self.tell_failure(*reason, why),
            ListState::Leaves(why) | ListState::Gone(why) if is_newest => {
                self.tell_failure(HoleReason::SourceOffline, why);
            }
            ListState::Refused(why) => self.tell_refusal(why),
            ListState::Ended => self.tell_end(),
            ListState::Begins
            | ListState::Ends
            | ListState::Fails { .. }
            | ListState::Leaves(_)
            | ListState::Gone(_) => {}
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

/// What stands behind `?` holds for a time only, and says who asks.
fn is_same_place(one: &Url, other: &Url) -> bool {
    let place = |url: &Url| {
        let mut place = url.clone();
        place.set_query(None);
        place.set_fragment(None);
        place
    };
    place(one) == place(other)
}

/// When another address is asked for before this one expires, and when it does, where it says so.
fn renewal(url: &Url) -> Option<(Instant, Instant)> {
    let now = Timestamp::from(SystemTime::now());
    let left = Duration::from_micros((address_expiry(url, now)? - now).us().unsigned_abs());
    let expiry = Instant::now() + left;
    Some((expiry - RENEWED_BEFORE.min(left / 2), expiry))
}
