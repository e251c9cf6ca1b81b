//! From whom files come that are about to appear: backfill says so before it publishes one, whoever then sees it first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use super::super::store::Index;
use crate::archive::{AnyFile, HourPlace, SegmentFile, SegmentKey};

/// Files that are expected at once: twice what all peers together have in hand, some megabytes. More push out the oldest, which
/// then count as the recorder's.
const MOST: usize = 1 << 16;

/// Who gave what.
#[derive(Debug, Default)]
pub struct Givers(Mutex<GiverByFile>);

#[derive(Debug, Default)]
struct GiverByFile {
    by_file: HashMap<u128, Arc<str>>,
    in_order: VecDeque<u128>,
}

/// A file in one number.
pub fn number(stream: &str, hour: crate::archive::Hour, key: &SegmentKey) -> u128 {
    let mut bytes = super::super::files::segment_key(key).to_vec();
    bytes.extend(hour.number().to_le_bytes());
    bytes.extend(stream.as_bytes());
    xxh3_128(&bytes)
}

impl Givers {
    fn expect(&self, file: u128, from: &Arc<str>) {
        let mut known = self.0.lock();
        if known.by_file.insert(file, Arc::clone(from)).is_none() {
            known.in_order.push_back(file);
        }
        // What has arrived leaves its place in the order.
        while known.in_order.len() > MOST
            && let Some(oldest) = known.in_order.pop_front()
        {
            known.by_file.remove(&oldest);
        }
    }

    /// Who gave a file; nobody if it was not expected.
    pub fn of(&self, file: u128) -> Option<Arc<str>> {
        self.0.lock().by_file.get(&file).cloned()
    }

    /// Whether nothing is expected, so that nothing need be asked.
    pub fn is_empty(&self) -> bool {
        self.0.lock().by_file.is_empty()
    }

    /// These have arrived.
    pub fn arrived(&self, files: &[u128]) {
        let mut known = self.0.lock();
        for file in files {
            known.by_file.remove(file);
        }
        if known.by_file.is_empty() {
            known.in_order.clear();
        }
    }
}

impl Index {
    /// These files of an hour are about to appear, and come from this peer.
    pub fn expect_from<'n>(&self, peer: &str, place: &HourPlace, names: impl IntoIterator<Item = &'n str>) {
        let (stream, peer): (String, Arc<str>) = (place.stream.to_string(), peer.into());
        for name in names {
            if let Some(AnyFile::Segment(SegmentFile { key, exact: None, .. })) = AnyFile::read(name, 0) {
                self.givers().expect(number(&stream, place.hour, &key), &peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_bound_and_what_has_arrived_is_forgotten() {
        let (givers, peer) = (Givers::default(), Arc::from("b"));
        for file in 0..(MOST as u128 + 10) {
            givers.expect(file, &peer);
        }
        assert_eq!((givers.of(9), givers.of(10).as_deref()), (None, Some("b")));
        givers.arrived(&[10]);
        assert_eq!(givers.of(10), None);
        assert!(!givers.is_empty());
        givers.arrived(&(11..(MOST as u128 + 10)).collect::<Vec<_>>());
        assert!(givers.is_empty() && givers.0.lock().in_order.is_empty());
    }
}
