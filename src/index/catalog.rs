//! Which streams and hours there are, and the version of each, in memory: what has to be known for every request.
//!
//! Filled when the index is opened and changed by the writer after each commit, and by nobody else.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::streams::StreamRow;
use crate::archive::{Hour, Stream};

/// Which state of something a reader has seen. Equal versions mean equal contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Version {
    /// Counts how often the index began anew while this process has been running.
    pub generation: u64,
    /// The sequence number of the last change.
    pub changed: u64,
}

/// What is known of a stream.
#[derive(Debug, Clone)]
pub struct StreamEntry {
    /// Channel and quality.
    pub stream: Stream,
    /// Its row.
    pub row: StreamRow,
    /// The hours and the sequence number of each one's last change.
    pub hours: BTreeMap<Hour, u64>,
    /// Changes when an hour comes or goes.
    pub structure: u64,
    /// The last sequence number of the last commit that touched it.
    pub changed: u64,
}

/// The state behind the lock.
#[derive(Debug, Default)]
pub struct CatalogState {
    /// Counts how often the index began anew.
    pub generation: u64,
    /// Chosen at random when the index was made: sequence numbers mean something only together with it.
    pub epoch: u64,
    /// The sequence number of the last change that readers are told of.
    pub seq: u64,
    /// By `CHANNEL/QUALITY`.
    pub streams: BTreeMap<String, StreamEntry>,
    /// Changes when a stream comes or goes, or an hour of any.
    pub structure: u64,
}

/// Streams, hours and versions.
#[derive(Debug, Default)]
pub struct Catalog {
    state: RwLock<CatalogState>,
}

impl Catalog {
    /// To read.
    pub fn read(&self) -> RwLockReadGuard<'_, CatalogState> {
        self.state.read()
    }

    /// To change: for the writer and for opening.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, CatalogState> {
        self.state.write()
    }

    /// Takes over what was read from an index. Unless that is the one that is open, a new generation begins; in the same one
    /// no version is given twice.
    pub(super) fn replace(&self, mut state: CatalogState) -> u64 {
        let mut current = self.write();
        let anew = current.generation == 0 || current.epoch != state.epoch;
        state.generation = current.generation + u64::from(anew);
        state.structure = current.structure + 1;
        for entry in state.streams.values_mut() {
            (entry.structure, entry.changed) = (state.structure, state.seq);
        }
        *current = state;
        current.generation
    }

    /// How often the index began anew.
    pub fn generation(&self) -> u64 {
        self.read().generation
    }

    /// The version of an hour; `None` if there is no such hour.
    pub fn hour_version(&self, stream: &str, hour: Hour) -> Option<Version> {
        let state = self.read();
        let changed = *state.streams.get(stream)?.hours.get(&hour)?;
        Some(Version { generation: state.generation, changed })
    }

    /// Channels that hold at least one hour.
    pub fn channels(&self) -> Vec<String> {
        let state = self.read();
        let with_hours = state.streams.values().filter(|entry| !entry.hours.is_empty());
        let names: BTreeSet<&str> = with_hours.map(|entry| entry.stream.channel.as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Qualities of a channel that hold at least one hour.
    pub fn qualities(&self, channel: &str) -> Vec<String> {
        let state = self.read();
        let of_channel = state.streams.values().filter(|entry| entry.stream.channel.as_str() == channel);
        let mut names: Vec<String> =
            of_channel.filter(|entry| !entry.hours.is_empty()).map(|entry| entry.stream.quality.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// Hours of a stream within `range`, oldest first.
    pub fn hours(&self, stream: &str, range: impl std::ops::RangeBounds<Hour>) -> Vec<Hour> {
        self.read()
            .streams
            .get(stream)
            .map(|entry| entry.hours.range(range).map(|(hour, _)| *hour).collect())
            .unwrap_or_default()
    }

    /// The first and the last hour of a stream.
    pub fn bounds(&self, stream: &str) -> Option<(Hour, Hour)> {
        let state = self.read();
        let hours = &state.streams.get(stream)?.hours;
        Some((*hours.first_key_value()?.0, *hours.last_key_value()?.0))
    }

    /// All streams that hold at least one hour.
    pub fn streams(&self) -> Vec<Stream> {
        self.read().streams.values().filter(|entry| !entry.hours.is_empty()).map(|entry| entry.stream.clone()).collect()
    }

    /// The same in the order in which they came to this index: what comes later cannot get in front of what was here.
    pub fn streams_by_age(&self) -> Vec<Stream> {
        let state = self.read();
        let mut entries: Vec<_> = state.streams.values().filter(|entry| !entry.hours.is_empty()).collect();
        entries.sort_unstable_by_key(|entry| entry.row.id);
        entries.into_iter().map(|entry| entry.stream.clone()).collect()
    }

    /// The version of all lists above the hours.
    pub fn structure(&self) -> Version {
        let state = self.read();
        Version { generation: state.generation, changed: state.structure }
    }

    /// How many hours there are.
    pub fn hour_count(&self) -> usize {
        self.read().streams.values().map(|entry| entry.hours.len()).sum()
    }
}
