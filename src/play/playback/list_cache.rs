//! Lists that were made, and lists that grow: kept by what was asked, within a bound.
//!
//! A list that was made is right until an hour of its window changes, or its time has come. One that grows is remembered for as long as
//! somebody asks for it, and for [`REMEMBERED`] after if there is room: whoever follows it asks every few seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ask::Ask;
use super::live::Live;
use super::piece::Playlist;
use crate::sync::crawl::Keeper;

/// How long a list is remembered that nobody asks for: a player that was paused for longer begins anew.
pub(super) const REMEMBERED: Duration = Duration::from_secs(600);

/// Questions of which something is kept: each may be another one by a microsecond.
const MOST_SLOTS: usize = 4_096;

/// Who follows a list asks again within this time: it gives way to no newer one.
const FOLLOWED: Duration = Duration::from_secs(30);

/// What is kept of one question.
#[derive(Debug)]
struct CachedPlaylist {
    made: Option<Arc<Playlist>>,
    live: Option<Arc<Mutex<Live>>>,
    used: Duration,
    bytes: usize,
}

/// The lists.
#[derive(Debug)]
pub(super) struct Lists {
    cap: usize,
    bytes: usize,
    slots: HashMap<Ask, CachedPlaylist>,
}

impl Lists {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, bytes: 0, slots: HashMap::new() }
    }

    /// What was made for this question, if it is right.
    pub(super) fn right(&mut self, keeper: &Keeper, ask: &Ask, now: Duration) -> Option<Arc<Playlist>> {
        let slot = self.slots.get_mut(ask)?;
        slot.used = now;
        let made = slot.made.as_ref()?;
        let in_time = made.until.is_none_or(|until| now < until);
        (in_time && made.seen.is_right(keeper)).then(|| Arc::clone(made))
    }

    /// The list that grows for this question, if there is one.
    pub(super) fn live(&self, ask: &Ask) -> Option<Arc<Mutex<Live>>> {
        self.slots.get(ask)?.live.clone()
    }

    /// The list that grows for this question: this one, unless there is one already.
    pub(super) fn begin(&mut self, ask: &Ask, live: Live, now: Duration) -> Arc<Mutex<Live>> {
        if let Some(known) = self.live(ask) {
            return known;
        }
        let live = Arc::new(Mutex::new(live));
        self.put(ask, CachedPlaylist { made: None, live: Some(Arc::clone(&live)), used: now, bytes: 256 }, now);
        live
    }

    /// Keeps what was made, unless it is so large that it would push out most others.
    pub(super) fn keep(&mut self, ask: &Ask, made: &Arc<Playlist>, live: Option<&Arc<Mutex<Live>>>, now: Duration) {
        let bytes = made.size();
        if bytes > self.cap / 4 {
            self.remove(ask);
            return;
        }
        self.put(ask, CachedPlaylist { made: Some(Arc::clone(made)), live: live.cloned(), used: now, bytes }, now);
    }

    fn put(&mut self, ask: &Ask, slot: CachedPlaylist, now: Duration) {
        self.remove(ask);
        if self.bytes + slot.bytes > self.cap || self.slots.len() >= MOST_SLOTS {
            self.make_room(slot.bytes, now);
        }
        // Where all that is kept is followed, the newcomer is told and not kept.
        if self.bytes + slot.bytes <= self.cap && self.slots.len() < MOST_SLOTS {
            self.bytes += slot.bytes;
            self.slots.insert(ask.clone(), slot);
        }
    }

    fn remove(&mut self, ask: &Ask) {
        self.bytes -= self.slots.remove(ask).map_or(0, |slot| slot.bytes);
    }

    /// Lets go what nobody asks for any more, and then, those that grow last, what was not asked for for longest; down to three quarters,
    /// so that it is not done each time.
    fn make_room(&mut self, wanted: usize, now: Duration) {
        let idle = |slot: &CachedPlaylist| now.saturating_sub(slot.used);
        let mut all: Vec<(bool, Duration, Ask)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.live.is_none() || idle(slot) >= FOLLOWED)
            .map(|(ask, slot)| (slot.live.is_some() && idle(slot) < REMEMBERED, slot.used, ask.clone()))
            .collect();
        all.sort_unstable_by_key(|(is_remembered, used, _)| (*is_remembered, *used));
        for (_, _, ask) in all {
            if self.bytes + wanted <= self.cap / 4 * 3 && self.slots.len() < MOST_SLOTS / 4 * 3 {
                return;
            }
            self.remove(&ask);
        }
    }
}
