//! Lists that were made, and lists that grow: kept by what was asked, within a bound.
//!
//! A list that was made is right until an hour of its window changes, or its time has come. One that grows is remembered for as long as
//! somebody asks for it, and for [`REMEMBERED`] after: whoever follows it asks every few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::live::Live;
use super::media::Ask;
use super::piece::Playlist;
use crate::crawl::Keeper;
use crate::domain::{Hour, Stream};

/// How long a list is remembered that nobody asks for: a player that was paused for longer begins anew.
pub(super) const REMEMBERED: Duration = Duration::from_secs(600);

/// The hours of a window, and the state of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    generation: u64,
    stream: String,
    window: Option<(Hour, Hour)>,
    hours: Vec<(Hour, u64)>,
}

impl Seen {
    /// What there is now, of the hours from `first` to `last`.
    pub(super) fn now(keeper: &Keeper, stream: &Stream, first: Hour, last: Hour) -> Self {
        let stream = stream.to_string();
        let state = keeper.index().catalog().read();
        let entry = state.streams.get(&stream).filter(|_| first <= last);
        let hours = entry.map(|entry| entry.hours.range(first..=last).map(|(hour, changed)| (*hour, *changed)));
        let hours = hours.map(Iterator::collect).unwrap_or_default();
        Self { generation: state.generation, stream, window: Some((first, last)), hours }
    }

    /// The hours that there were.
    pub(super) fn hours(&self) -> impl Iterator<Item = Hour> {
        self.hours.iter().map(|(hour, _)| *hour)
    }

    /// Whether it is known, without a look at the disk, that nothing has changed.
    pub(super) fn is_right(&self, keeper: &Keeper) -> bool {
        let Some((first, last)) = self.window else { return false };
        let is_same = {
            let state = keeper.index().catalog().read();
            let entry = state.streams.get(&self.stream).filter(|_| first <= last);
            let mut kept = self.hours.iter();
            let mut now = entry.into_iter().flat_map(|entry| entry.hours.range(first..=last));
            let same = now.all(|(hour, changed)| kept.next() == Some(&(*hour, *changed)));
            same && kept.next().is_none() && state.generation == self.generation
        };
        is_same && keeper.structure_is_sure() && self.hours.iter().all(|(hour, _)| keeper.is_fresh(&self.stream, *hour))
    }
}

/// What is kept of one question.
#[derive(Debug, Default)]
struct Slot {
    made: Option<Arc<Playlist>>,
    live: Option<Arc<Mutex<Live>>>,
    used: Duration,
}

impl Slot {
    fn size(&self) -> usize {
        256 + self.made.as_ref().map_or(0, |made| made.size())
    }
}

/// The lists.
#[derive(Debug)]
pub(super) struct Lists {
    cap: usize,
    slots: HashMap<Ask, Slot>,
}

impl Lists {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, slots: HashMap::new() }
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

    /// Keeps what was made.
    pub(super) fn keep(&mut self, ask: &Ask, made: &Arc<Playlist>, live: Option<&Arc<Mutex<Live>>>, now: Duration) {
        self.slots.retain(|_, slot| now.saturating_sub(slot.used) < REMEMBERED);
        if live.is_none() && made.size() > self.cap / 4 {
            self.slots.remove(ask);
            return;
        }
        self.slots.insert(ask.clone(), Slot { made: Some(Arc::clone(made)), live: live.cloned(), used: now });
        let mut bytes: usize = self.slots.values().map(Slot::size).sum();
        while bytes > self.cap && self.slots.len() > 1 {
            // Those that grow last of all: somebody follows them.
            let others = self.slots.iter().filter(|(each, _)| *each != ask);
            let oldest =
                others.min_by_key(|(_, slot)| (slot.live.is_some(), slot.used)).map(|(other, _)| other.clone());
            let Some(slot) = oldest.and_then(|oldest| self.slots.remove(&oldest)) else { return };
            bytes -= slot.size();
        }
    }
}
