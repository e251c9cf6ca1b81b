//! Puts a recording into its hour: by a second name for the same bytes, or by a copy.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::args::ImportArgs;
use super::measured::RecordingMeter;
use super::original::{Original, OriginalContent};
use super::report::Outcome;
use super::start_time::{Before, Recording};
use crate::archive::{FileName, Hash, Hour, HourPlace, SegmentKey, Span, Stream, Timestamp, parse_file_name};
use crate::disk::{Base, Dir, DiskError, Download, DownloadError, Linked, PIECE, Published, atomic, link_segment};
use crate::media::StampSpan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    links: bool,
    copies: bool,
    removes_original: bool,
}

/// What became of it, and what is to be said about that.
type Done = (Outcome, Option<String>);

/// Why a piece could not be copied: the disk of the original, or that of the archive.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("it cannot be read: {0}")]
    Original(#[from] std::io::Error),
    #[error(transparent)]
    Archive(#[from] DownloadError),
}

impl Way {
    /// A link keeps owner and mode. What others may not read is linked only for its owner's own archive.
    pub fn of(args: &ImportArgs, original: &Original, base: &Base) -> Self {
        let is_own = std::fs::metadata(base.path()).is_ok_and(|meta| meta.uid() == original.owner());
        let links = args.link || !args.copy && (original.is_for_all() || is_own);
        Self { links, copies: !args.link, removes_original: args.moving }
    }
}

/// Publishes it. The outer error ends the run; the inner one is about this file alone.
pub(super) fn publish(
    base: &Base,
    place: &HourPlace,
    name: &str,
    original: &mut Original,
    content: &OriginalContent,
    way: Way,
) -> anyhow::Result<Result<Done, String>> {
    let dir = Arc::new(base.make_hour_dir(place)?);
    let mut remark = None;
    let mut outcome = None;
    if way.links {
        match link_segment(&dir, name, &original.file) {
            Ok(Linked::Published(published)) => outcome = Some(done(published, Outcome::Linked)),
            Ok(Linked::Refused(cause)) if !way.copies => {
                return Ok(Err(format!("it cannot be linked: {cause}; leave --link out to copy it")));
            }
            Ok(Linked::Refused(cause)) => remark = Some(format!("not linked: {cause}")),
            Err(error) => return about(error.into()),
        }
    }
    let outcome = match outcome {
        Some(outcome) => outcome,
        None if !way.copies => return Ok(Err("it cannot be linked".to_owned())),
        None => match copy(&dir, name, original, content) {
            Ok(published) => done(published, Outcome::Copied),
            Err(error) => return about(error),
        },
    };
    atomic::sync_dir(&dir)?;
    if outcome == Outcome::Linked && !original.is_unchanged().unwrap_or_default() {
        remark =
            Some("somebody has written to it meanwhile: the scrub will find that it differs from its name".to_owned());
    } else if way.removes_original && outcome != Outcome::AlreadyThere {
        match original.remove(dir.path()) {
            Ok(()) => return Ok(Ok((Outcome::Moved, remark))),
            Err(why) => remark = Some(format!("the original stays: {why}")),
        }
    }
    Ok(Ok((outcome, remark)))
}

fn done(published: Published, outcome: Outcome) -> Outcome {
    if published == Published::New { outcome } else { Outcome::AlreadyThere }
}

fn copy(
    dir: &Arc<Dir>,
    name: &str,
    original: &mut Original,
    content: &OriginalContent,
) -> Result<Published, CopyError> {
    let mut download = Download::begin(Arc::clone(dir), name)?;
    original.pieces(|piece| download.write(piece).map_err(|error| CopyError::Archive(error.into())))?;
    Ok(download.finish(&content.hash)?)
}

/// A full or missing disk concerns all files, anything else this one.
fn about(error: CopyError) -> anyhow::Result<Result<Done, String>> {
    match error {
        CopyError::Archive(DownloadError::WrongHash { .. }) => {
            Ok(Err("it has changed while it was copied: it is still being written".to_owned()))
        }
        CopyError::Archive(DownloadError::Disk(disk)) if disk.is_occupied() => Ok(Err(disk.to_string())),
        CopyError::Archive(other) => Err(other.into()),
        CopyError::Original(_) => Ok(Err(error.to_string())),
    }
}

/// Hours that are remembered; a run goes through time in order.
const REMEMBERED: usize = 8;
/// How far the end of a segment may be from a recording that goes on from it.
const NEAR: Span = Span::from_us(60_000_000);
/// Segments whose time stamps are compared with those of a recording, at most: several nodes may have recorded that time.
const MOST_READ: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct SegmentOfHour {
    pub hour: Hour,
    pub key: SegmentKey,
    pub name: Box<str>,
}

/// What the archive holds around a recording: whether it is there already, and what it may go on from. The tree is asked and no index, so
/// that this works beside a daemon and without one.
#[derive(Debug)]
pub(super) struct ArchiveHours<'b> {
    base: &'b Base,
    stream: Stream,
    cached: HashMap<Hour, Vec<SegmentOfHour>>,
    /// Time stamps of segments that were read for them.
    clocks: HashMap<Hash, Option<StampSpan>>,
}

impl<'b> ArchiveHours<'b> {
    pub fn new(base: &'b Base, stream: &Stream) -> Self {
        Self { base, stream: stream.clone(), cached: HashMap::new(), clocks: HashMap::new() }
    }

    pub fn place(&self, hour: Hour) -> HourPlace {
        HourPlace { stream: self.stream.clone(), hour }
    }

    /// What is known to be there from now on.
    pub fn note(&mut self, segment: SegmentOfHour, clock: StampSpan) {
        self.clocks.insert(segment.key.hash, Some(clock));
        self.cached.entry(segment.hour).or_default().push(segment);
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
        let mut measured = RecordingMeter::default();
        self.read(segment, |piece| measured.feed(piece))?;
        let clock = measured.finish().clock;
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
        if self.cached.len() > REMEMBERED {
            self.cached.retain(|hour, _| hours.contains(hour));
            self.clocks.clear();
        }
        let mut found = Vec::new();
        for hour in hours {
            if !self.cached.contains_key(&hour) {
                let segments = self.list(hour)?;
                self.cached.insert(hour, segments);
            }
            found.extend(self.cached.get(&hour).into_iter().flatten().cloned());
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
