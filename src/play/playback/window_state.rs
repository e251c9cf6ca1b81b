//! The hours of a window and the state of each: by it is known whether what was made of them is right still.

use crate::archive::{Hour, Stream};
use crate::sync::crawl::Keeper;

/// The hours of a window, and the state of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WindowState {
    generation: u64,
    stream: String,
    /// Its first and its last hour; up to the horizon if it is open at its end.
    window: Option<(Hour, Option<Hour>)>,
    hours: Vec<(Hour, u64)>,
}

impl WindowState {
    /// What there is now, of the hours from `first` to `last`, or to the horizon.
    pub(super) fn now(keeper: &Keeper, stream: &Stream, first: Hour, end: Option<Hour>) -> Self {
        let (stream, last) = (stream.to_string(), end_of(keeper, stream, first, end));
        let state = keeper.index().catalog().read();
        let entry = state.streams.get(&stream).filter(|_| first <= last);
        let hours = entry.map(|entry| entry.hours.range(first..=last).map(|(hour, changed)| (*hour, *changed)));
        let hours = hours.map(Iterator::collect).unwrap_or_default();
        Self { generation: state.generation, stream, window: Some((first, end)), hours }
    }

    /// The hours that there were.
    pub(super) fn hours(&self) -> impl Iterator<Item = Hour> {
        self.hours.iter().map(|(hour, _)| *hour)
    }

    /// Whether it is known, without a look at the disk, that nothing has changed.
    pub(super) fn is_right(&self, keeper: &Keeper) -> bool {
        let Some((first, end)) = self.window else { return false };
        let Ok(stream) = Stream::parse(&self.stream) else { return false };
        let last = end_of(keeper, &stream, first, end);
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

/// The last hour of a window. One that begins beyond the horizon was meant to.
fn end_of(keeper: &Keeper, stream: &Stream, first: Hour, end: Option<Hour>) -> Hour {
    let bound = || Some(keeper.bound(stream)).filter(|bound| *bound >= first);
    end.or_else(bound).unwrap_or(Hour::MAX)
}
