//! What the archive holds around a recording: whether it is there already, and what it may go on from.
//!
//! The tree is asked and no index, so that this works beside a daemon and without one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::archive::import::{Before, Recording};
use crate::archive::{FileName, Hash, Hour, HourPlace, SegmentKey, Span, Stream, Timestamp, parse_file_name};
use crate::disk::{Base, DiskError, PIECE};
use crate::media::{StampMeter, StampSpan};

/// Hours that are remembered; a run goes through time in order.
const REMEMBERED: usize = 8;
/// How far the end of a segment may be from a recording that goes on from it.
const NEAR: Span = Span::from_us(60_000_000);
/// Segments whose time stamps are compared with those of a recording, at most: several nodes may have recorded that time.
const MOST_READ: usize = 8;

/// A segment that is there.
#[derive(Debug, Clone)]
pub(super) struct SegmentOfHour {
    pub hour: Hour,
    pub key: SegmentKey,
    pub name: Box<str>,
}

/// The hours of one channel and quality.
#[derive(Debug)]
pub(super) struct ArchiveHours<'b> {
    base: &'b Base,
    stream: Stream,
    known: HashMap<Hour, Vec<SegmentOfHour>>,
    /// Time stamps of segments that were read for them.
    clocks: HashMap<Hash, Option<StampSpan>>,
}

impl<'b> ArchiveHours<'b> {
    pub fn new(base: &'b Base, stream: &Stream) -> Self {
        Self { base, stream: stream.clone(), known: HashMap::new(), clocks: HashMap::new() }
    }

    pub fn place(&self, hour: Hour) -> HourPlace {
        HourPlace { stream: self.stream.clone(), hour }
    }

    /// What is known to be there from now on.
    pub fn note(&mut self, segment: SegmentOfHour, clock: StampSpan) {
        self.clocks.insert(segment.key.hash, Some(clock));
        self.known.entry(segment.hour).or_default().push(segment);
    }

    /// What has this content in the hour of that time or beside it; a tombstone goes first.
    pub fn with_content(&mut self, hash: &Hash, at: Timestamp) -> Result<Option<SegmentOfHour>, DiskError> {
        let mut found = self.around(at)?;
        found.retain(|segment| segment.key.hash == *hash);
        found.sort_by_key(|segment| !segment.key.tombstone);
        Ok(found.into_iter().next())
    }

    /// What a recording that begins about then goes on from, or what comes just before it.
    pub fn before(&mut self, recording: &Recording, at: Timestamp) -> Result<Option<Before>, DiskError> {
        let mut near = self.around(at)?;
        let distance = |segment: &SegmentOfHour| Span((segment.key.end(segment.hour) - at).us().abs());
        near.retain(|segment| segment.key.kind.is_video() && !segment.key.tombstone && distance(segment) <= NEAR);
        near.sort_by_key(distance);
        let mut nearest = None;
        for segment in near.into_iter().take(MOST_READ) {
            let Some(clock) = self.clock(&segment)? else { continue };
            let (start, length) = (segment.key.start(segment.hour), segment.key.duration());
            let before = Before { start, length, clock };
            if before.continued(recording).is_some() {
                return Ok(Some(before));
            }
            nearest.get_or_insert(before);
        }
        Ok(nearest)
    }

    /// Whether the bytes of a segment are those of its name.
    pub fn is_sound(&self, segment: &SegmentOfHour) -> Result<bool, DiskError> {
        let mut hasher = Sha256::new();
        self.read(segment, |piece| hasher.update(piece))?;
        Ok(Hash(hasher.finalize().into()) == segment.key.hash)
    }

    fn clock(&mut self, segment: &SegmentOfHour) -> Result<Option<StampSpan>, DiskError> {
        if let Some(clock) = self.clocks.get(&segment.key.hash) {
            return Ok(*clock);
        }
        let mut measure = StampMeter::default();
        self.read(segment, |piece| measure.feed(piece))?;
        let clock = measure.finish();
        self.clocks.insert(segment.key.hash, clock);
        Ok(clock)
    }

    /// Gives each piece of a segment to `each`; none if it has gone.
    fn read(&self, segment: &SegmentOfHour, mut each: impl FnMut(&[u8])) -> Result<(), DiskError> {
        let Some(dir) = self.base.dir(&self.place(segment.hour).path())? else { return Ok(()) };
        let mut room = Vec::with_capacity(PIECE);
        dir.read_whole(OsStr::new(&*segment.name), 0, &mut room, |piece| {
            each(piece);
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn around(&mut self, at: Timestamp) -> Result<Vec<SegmentOfHour>, DiskError> {
        let hours = [at.hour().previous(), at.hour(), at.hour().next()];
        if self.known.len() > REMEMBERED {
            self.known.retain(|hour, _| hours.contains(hour));
            self.clocks.clear();
        }
        let mut found = Vec::new();
        for hour in hours {
            if !self.known.contains_key(&hour) {
                let segments = self.list(hour)?;
                self.known.insert(hour, segments);
            }
            found.extend(self.known.get(&hour).into_iter().flatten().cloned());
        }
        Ok(found)
    }

    fn list(&self, hour: Hour) -> Result<Vec<SegmentOfHour>, DiskError> {
        let Some(dir) = self.base.dir(&self.place(hour).path())? else { return Ok(Vec::new()) };
        let scan = dir.scan()?;
        let names = scan.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok());
        let understood = |name: &str| match parse_file_name(name) {
            FileName::Understood(key) => Some(SegmentOfHour { hour, key, name: name.into() }),
            FileName::Odd(_) | FileName::Temporary | FileName::Foreign => None,
        };
        Ok(names.filter_map(understood).collect())
    }
}
