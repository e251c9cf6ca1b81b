//! Gives what was fetched its name and its place in the archive.
//!
//! 1. A name is made of start, duration, type and hash alone: where the source tells times, every recorder gives the same.
//! 2. Where it tells none, the same bytes within [`NEAR`] are the same segment: what is here already keeps its name, and what follows is
//!    placed by it. So a recorder that was started anew goes on where it was.
//!    What belongs to an earlier run of the stream is no such measure: an encoder that begins anew may begin with the same picture.
//! 3. The first of a run is placed by what other nodes have of the same bytes, if none is here ([`PeerTimes`]).
//! 4. Where another node gives the time and has the segment already, at most [`ALIKE`] away, its start is taken.
//! 5. Where a time is counted from the one of another segment ([`StartSource::Counted`]), the same holds within [`COUNTED`]: segments of one stream do not overlap, so
//!    equal bytes that begin within the length of a segment are the same one.
//! 6. Nothing is replaced, and nothing is deleted.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use super::peer_times::PeerTimes;
use super::segment_fetch::{ArchiveBase, FetchFailure, FetchedSegment};
use super::start_times::{StartSource, StartTime};
use crate::archive::best::TOLERANCE;
use crate::archive::coverage::Stretch;
use crate::archive::segment::recorded_name;
use crate::archive::time::SECOND_US;
use crate::archive::{
    FileName, Hash, Hour, HourPlace, SegmentKey, SegmentKind, Span, Stream, Timestamp, parse_file_name,
};
use crate::disk::{Base, DiskError, DownloadError, Published};

/// Equal bytes whose starts differ by no more are one segment.
const NEAR: Span = Span::from_us(30 * SECOND_US);
/// With this much, neither a hole nor an overlap appears, whatever else is let out.
const ALIKE: Span = Span::from_us(5_000);
/// By so much do told starts differ that are told anew and rounded.
const ROUNDED: Span = Span::from_us(500_000);
/// And by so much those that are counted by rounded durations from the times of different segments, which may be rounded to whole seconds.
const COUNTED: Span = Span::from_us(SECOND_US);
/// And so far is the start of another node taken.
const FOLLOWED: Span = Span::from_us(50_000);
/// Segments of this process that are remembered by their hash.
const REMEMBERED: usize = 256;
/// Before the newest segment, so long may be missing what was still tried when its recorder was stopped.
const TRIED: Span = Span::from_us(20 * 60 * SECOND_US);
/// Hours in which the newest segment is looked for.
const NEWEST_HOURS: usize = 3;

/// How long a disk is asked what was recorded before.
pub const LOOKS_FOR: Duration = Duration::from_secs(2);

/// One quality of one channel, as its recorder sees it.
#[derive(Debug)]
pub struct RecordedQuality {
    pub stream: Stream,
    pub archive: ArchiveBase,
    pub peer_times: PeerTimes,
    recent: Mutex<VecDeque<(Hash, Timestamp, SegmentKind)>>,
    /// Held while what may be here under another name is looked for and published.
    unsure: Mutex<()>,
}

/// What is here from before that may be a segment of a run that tells no times.
#[derive(Debug)]
pub struct HereBefore {
    /// What began earlier is not.
    pub from: Timestamp,
    /// Nor is what began then, unless the segment does as well: it is another one of the same run.
    pub but: Vec<Timestamp>,
}

impl Default for HereBefore {
    fn default() -> Self {
        Self { from: Timestamp::MIN, but: Vec::new() }
    }
}

impl HereBefore {
    fn may_be(&self, there: Timestamp, start: Timestamp, duration: Span) -> bool {
        let is_itself = is_within(there, start, Span::from_us(duration.us() / 2));
        there + ALIKE >= self.from && (is_itself || !self.but.contains(&there))
    }
}

/// What became of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedSegment {
    pub start: Timestamp,
    pub duration: Span,
    pub kind: SegmentKind,
    pub fault: Option<String>,
    pub bytes: u64,
    pub hash: Hash,
    /// The connection broke before all of it had come.
    pub is_cut: bool,
    /// `CHANNEL/QUALITY/HOUR/NAME`; none where its bytes were here already.
    pub path: Option<String>,
}

impl RecordedQuality {
    pub fn new(stream: Stream, archive: ArchiveBase) -> Self {
        Self { stream, archive, peer_times: PeerTimes::default(), recent: Mutex::default(), unsure: Mutex::default() }
    }

    /// Where what other nodes say of times is asked.
    #[must_use]
    pub fn agreeing_with(self, peer_times: PeerTimes) -> Self {
        Self { peer_times, ..self }
    }

    pub fn place(&self, start: Timestamp) -> HourPlace {
        HourPlace { stream: self.stream.clone(), hour: start.hour() }
    }

    /// Publishes the first segment of a run that tells no times, unless the same bytes are here: it begins when other nodes say, and otherwise
    /// then, and not before `floor`. Blocks.
    pub fn publish_first(
        &self,
        fetched: FetchedSegment,
        start: Timestamp,
        duration: Span,
        (floor, here): (Timestamp, &HereBefore),
    ) -> Result<RecordedSegment, FetchFailure> {
        let said = self.peer_times.of(&self.stream, &fetched.file.hash(), start);
        let mut starts = said.iter().map(|said| said.start).filter(|agreed| *agreed >= floor);
        // More than one is content that recurs, or recorders that do not agree themselves.
        let agreed = starts.next().filter(|first| starts.all(|other| other == *first));
        self.publish_from(here, fetched, agreed.unwrap_or(start), duration, StartSource::Untold)
    }

    /// Publishes a segment that begins then, unless the same bytes are here. Blocks.
    pub fn publish(
        &self,
        fetched: FetchedSegment,
        start: Timestamp,
        duration: Span,
        source: StartSource,
    ) -> Result<RecordedSegment, FetchFailure> {
        self.publish_from(&HereBefore::default(), fetched, start, duration, source)
    }

    /// The same, where not all that is here is the same segment, whatever its bytes are. Blocks.
    pub fn publish_from(
        &self,
        here: &HereBefore,
        fetched: FetchedSegment,
        start: Timestamp,
        duration: Span,
        source: StartSource,
    ) -> Result<RecordedSegment, FetchFailure> {
        let (bytes, hash, kind) = (fetched.file.bytes(), fetched.file.hash(), fetched.kind);
        let (near, alike) = match source {
            StartSource::Told => (Span::from_us(ROUNDED.us().min(duration.us() / 2)), None),
            StartSource::Counted => (Span::from_us(COUNTED.us().min(duration.us() / 4 * 3)), Some(FOLLOWED)),
            StartSource::Untold => (NEAR, Some(ALIKE)),
        };
        // Two playlists may list the same.
        let _alone = alike.map(|_| self.unsure.lock());
        let there = match self.remembered(&hash, start, kind, near) {
            None if alike.is_some() && bytes > 0 => self.on_disk(&*self.archive.base()?, &hash, start, kind, near)?,
            known => known,
        };
        if let Some(there) = there.filter(|there| here.may_be(*there, start, duration)) {
            self.remember(hash, there, kind);
            let FetchedSegment { fault, is_cut, .. } = fetched;
            return Ok(RecordedSegment { start: there, duration, kind, fault, bytes, hash, is_cut, path: None });
        }
        let start = alike.map_or(start, |alike| self.as_the_leader_has_it(&hash, start, alike));
        self.publish_anyway(fetched, start, duration)
    }

    /// When the same bytes began that are here from whatever time, where they are here once. Blocks.
    pub fn long_before(&self, fetched: &FetchedSegment) -> Result<Option<Timestamp>, FetchFailure> {
        let (hash, kind) = (fetched.file.hash(), fetched.kind);
        let mut starts: BTreeSet<Timestamp> =
            self.recent.lock().iter().filter(|(known, ..)| *known == hash).map(|(_, at, _)| *at).collect();
        let base = self.archive.base()?;
        for hour in self.newest_hours(&base)? {
            let keys = self.keys(&base, hour)?;
            starts.extend(keys.iter().filter(|key| key.hash == hash && key.kind == kind).map(|key| key.start(hour)));
        }
        Ok(starts.first().copied().filter(|_| starts.len() == 1))
    }

    /// Whether something else is here for most of that time, and these bytes are nowhere near. Blocks.
    pub fn is_other_here(
        &self,
        fetched: &FetchedSegment,
        start: Timestamp,
        duration: Span,
    ) -> Result<bool, FetchFailure> {
        let (base, hash) = (self.archive.base()?, fetched.file.hash());
        let mut is_other = false;
        for hour in hours_within(start, NEAR) {
            for key in self.keys(&base, hour)?.iter().filter(|key| key.kind == SegmentKind::Full && !key.tombstone) {
                if key.hash == hash && is_within(key.start(hour), start, NEAR) {
                    return Ok(false);
                }
                let both = key.end(hour).min(start + duration) - key.start(hour).max(start);
                is_other |= both.us() > key.duration().us().min(duration.us()) / 5 * 4;
            }
        }
        Ok(is_other)
    }

    fn as_the_leader_has_it(&self, hash: &Hash, start: Timestamp, alike: Span) -> Timestamp {
        let said = self.peer_times.of(&self.stream, hash, start);
        let leader = said.iter().filter(|said| said.lead.is_some()).min_by(|a, b| a.lead.cmp(&b.lead));
        leader.map(|first| first.start).filter(|other| is_within(*other, start, alike)).unwrap_or(start)
    }

    /// Publishes a segment that begins then, whatever else has the same bytes. Blocks.
    pub fn publish_anyway(
        &self,
        fetched: FetchedSegment,
        start: Timestamp,
        duration: Span,
    ) -> Result<RecordedSegment, FetchFailure> {
        let FetchedSegment { file, container, kind, fault, is_cut } = fetched;
        let (bytes, hash) = (file.bytes(), file.hash());
        let base = self.archive.base()?;
        let (hour, name) = recorded_name(start, duration, kind, container, hash);
        let place = HourPlace { stream: self.stream.clone(), hour };
        let dir = base.make_hour_dir(&place)?;
        let published = file.publish(&dir, &name).map_err(|error| match error {
            DownloadError::Disk(error) => FetchFailure::Disk(error),
            other => FetchFailure::Name(other.to_string()),
        })?;
        self.remember(hash, start, kind);
        let path = (published == Published::New).then(|| format!("{place}/{name}"));
        Ok(RecordedSegment { start, duration, kind, fault, bytes, hash, is_cut, path })
    }

    /// Which of these are here, `full`, by start and duration; what tells no times never is. Blocks.
    pub fn full_at(&self, wanted: &[(StartTime, Span)]) -> Result<Vec<bool>, FetchFailure> {
        let base = self.archive.base()?;
        let mut hours: HashMap<Hour, Vec<SegmentKey>> = HashMap::new();
        let mut found = Vec::with_capacity(wanted.len());
        for (StartTime { start, source, .. }, duration) in wanted {
            let off = match source {
                StartSource::Told => Span::default(),
                StartSource::Counted => Span::from_us(ROUNDED.us().min(duration.us() / 4)),
                StartSource::Untold => {
                    found.push(false);
                    continue;
                }
            };
            let mut is_here = false;
            for hour in hours_within(*start, off) {
                let keys = match hours.entry(hour) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(empty) => empty.insert(self.keys(&base, hour)?),
                };
                is_here |= keys.iter().any(|key| {
                    let is_full = key.kind == SegmentKind::Full && !key.tombstone;
                    is_full && is_within(key.start(hour), *start, off) && key.duration() == *duration
                });
            }
            found.push(is_here);
        }
        Ok(found)
    }

    /// Where the newest segment on the disk ends. Blocks.
    pub fn newest_end(&self) -> Result<Option<Timestamp>, FetchFailure> {
        let base = self.archive.base()?;
        for hour in self.newest_hours(&base)? {
            let keys = self.keys(&base, hour)?;
            let ends = keys.iter().filter(|key| !key.tombstone && key.kind.is_video()).map(|key| key.end(hour));
            if let Some(newest) = ends.max() {
                return Ok(Some(newest));
            }
        }
        Ok(None)
    }

    /// Directories are made before there is anything in them, so these are some.
    fn newest_hours(&self, base: &Base) -> Result<Vec<Hour>, DiskError> {
        let Some(dir) = base.dir(&PathBuf::from(self.stream.to_string()))? else { return Ok(Vec::new()) };
        let names = dir.subdirectories()?;
        let mut hours: Vec<Hour> = names.iter().filter_map(|name| Hour::parse(name.to_str()?).ok()).collect();
        hours.sort_unstable_by(|one, other| other.cmp(one));
        hours.truncate(NEWEST_HOURS);
        Ok(hours)
    }

    /// What is not there of the time right before this end of the newest segment. Blocks.
    pub fn holes_before(&self, newest: Timestamp) -> Result<Vec<Stretch>, FetchFailure> {
        let base = self.archive.base()?;
        let first = (newest - TRIED).hour();
        let mut there = Vec::new();
        for hour in [Some(first), Some(newest.hour()).filter(|last| *last != first)].into_iter().flatten() {
            let keys = self.keys(&base, hour)?;
            there.extend(keys.iter().filter(|key| key.kind.is_video()).map(|key| (key.start(hour), key.end(hour))));
        }
        there.sort_unstable();
        let (mut reach, mut holes) = (None, Vec::new());
        for (start, end) in there {
            if let Some(reach) = reach.filter(|reach| start - *reach > TOLERANCE) {
                holes.push(Stretch { start: reach, end: start });
            }
            reach = reach.max(Some(end));
        }
        holes.retain(|hole| hole.end > newest - TRIED);
        Ok(holes)
    }

    fn remember(&self, hash: Hash, start: Timestamp, kind: SegmentKind) {
        let mut recent = self.recent.lock();
        recent.push_back((hash, start, kind));
        if recent.len() > REMEMBERED {
            recent.pop_front();
        }
    }

    fn remembered(&self, hash: &Hash, start: Timestamp, kind: SegmentKind, near: Span) -> Option<Timestamp> {
        let recent = self.recent.lock();
        let is_it = |(known, at, of): &&(Hash, Timestamp, SegmentKind)| {
            known == hash && *of == kind && is_within(*at, start, near)
        };
        let there = recent.iter().rev().filter(is_it).map(|(_, at, _)| *at);
        there.min_by_key(|at| (*at - start).us().abs())
    }

    fn on_disk(
        &self,
        base: &Base,
        hash: &Hash,
        start: Timestamp,
        kind: SegmentKind,
        near: Span,
    ) -> Result<Option<Timestamp>, DiskError> {
        let mut there = Vec::new();
        for hour in hours_within(start, near) {
            let keys = self.keys(base, hour)?;
            let same = keys.iter().filter(|key| key.hash == *hash && key.kind == kind).map(|key| key.start(hour));
            there.extend(same.filter(|at| is_within(*at, start, near)));
        }
        // Content that recurs is the one that lies there.
        Ok(there.into_iter().min_by_key(|at| ((*at - start).us().abs(), *at)))
    }

    /// What lies in an hour, tombstones included: what is hidden is not recorded anew under another name.
    fn keys(&self, base: &Base, hour: Hour) -> Result<Vec<SegmentKey>, DiskError> {
        let place = HourPlace { stream: self.stream.clone(), hour };
        let Some(dir) = base.dir(&place.path())? else { return Ok(Vec::new()) };
        let scan = dir.scan()?;
        let key = |name: &[u8]| match parse_file_name(std::str::from_utf8(name).ok()?) {
            FileName::Understood(key) => Some(key),
            _ => None,
        };
        Ok(scan.iter().filter_map(|(name, _)| key(name)).collect())
    }
}

/// Where the newest segment of a stream ends, if the disk says so soon: what is live does not wait for it.
pub async fn newest_end(archive: &ArchiveBase, stream: &Stream) -> Option<Timestamp> {
    let quality = RecordedQuality::new(stream.clone(), archive.clone());
    let looking = tokio::task::spawn_blocking(move || quality.newest_end());
    let found = tokio::time::timeout(LOOKS_FOR, looking).await.ok()?.ok()?;
    found.inspect_err(|error| tracing::info!(name: "newest_segment_unknown", %stream, %error, "it is not known when recording ended; a hole since then has no reason")).ok()?
}

/// The hours in which something may begin that differs by no more; of less than an hour.
fn hours_within(start: Timestamp, distance: Span) -> impl Iterator<Item = Hour> {
    let (first, last) = ((start - distance).hour(), (start + distance).hour());
    std::iter::once(first).chain(Some(last).filter(|last| *last != first))
}

fn is_within(one: Timestamp, other: Timestamp, distance: Span) -> bool {
    (one - other).us().abs() <= distance.us()
}

#[cfg(test)]
mod tests {
    use super::StartSource::{Counted, Told, Untold};
    use super::*;
    use crate::record::test_recording::TestRecording;

    const START: i64 = 1_573_613_998_500_000;

    fn record(recording: &TestRecording, bytes: &[u8], after_us: i64, source: StartSource) -> RecordedSegment {
        let start = Timestamp::from_us(START + after_us);
        let fetched = recording.fetched(bytes, start);
        recording.quality.publish(fetched, start, Span::from_us(2_000_000), source).unwrap()
    }

    fn full_at<const N: usize>(recording: &TestRecording, asked: [(i64, StartSource); N]) -> Vec<bool> {
        let at = |(us, source)| {
            let start = Timestamp::from_us(START + us);
            let time = StartTime { start, source, is_doubtful: false, moved: Span::default() };
            (time, Span::from_us(2_000_000))
        };
        recording.quality.full_at(&asked.map(at)).unwrap()
    }

    #[test]
    fn a_segment_has_the_name_that_recorders_of_this_field_give_it() {
        let recorded = TestRecording::new();
        let path = record(&recorded, b"one", 0, Told).path.unwrap();
        let hash = record(&recorded, b"one", 0, Told).hash;
        assert_eq!(path, format!("a/source/2019-11-13T02/59:58.500000-2.0-full-{hash}.ts"));
        assert_eq!(std::fs::read(recorded.path().join(path)).unwrap(), b"one");
    }

    #[test]
    fn the_same_bytes_within_half_a_minute_are_one_segment_also_after_a_restart_and_across_the_hour() {
        let mut recorded = TestRecording::new();
        assert!(record(&recorded, b"one", 0, Untold).path.is_some());
        for _ in 0..2 {
            let again = record(&recorded, b"one", 3_000_000, Untold);
            assert_eq!((again.path, again.start.us()), (None, START));
            recorded.is_started_anew();
        }
        assert_eq!(recorded.quality.newest_end().unwrap(), Some(Timestamp::from_us(START + 2_000_000)));
        assert!(record(&recorded, b"one", 31_000_000, Untold).path.is_some(), "a picture that stands still is no twin");
        std::fs::create_dir(recorded.path().join("a/source/2019-11-13T05")).unwrap();
        assert_eq!(recorded.quality.newest_end().unwrap(), Some(Timestamp::from_us(START + 33_000_000)));
        let hole =
            |start, end| Stretch { start: Timestamp::from_us(START + start), end: Timestamp::from_us(START + end) };
        let before = |us| recorded.quality.holes_before(Timestamp::from_us(START + us)).unwrap();
        assert_eq!(before(33_000_000), [hole(2_000_000, 31_000_000)]);
        assert_eq!(before(31_000_000 + TRIED.us()), [], "nobody tried it any more");
        assert_eq!(full_at(&recorded, [(0, Told), (1_000_000, Told), (0, Untold)]), [true, false, false]);
    }

    #[test]
    fn what_rounded_durations_shift_by_some_milliseconds_is_the_same_segment() {
        let mut recorded = TestRecording::new();
        let to_the_hour = 1_500_000;
        assert!(record(&recorded, b"one", to_the_hour - 4_000, Counted).path.is_some());
        for _ in 0..2 {
            let again = record(&recorded, b"one", to_the_hour + 6_000, Counted);
            assert_eq!((again.path, again.start.us()), (None, START + to_the_hour - 4_000));
            recorded.is_started_anew();
        }
        let asked = [(to_the_hour + 6_000, Counted), (to_the_hour + 6_000, Told), (to_the_hour + 600_000, Counted)];
        assert_eq!(full_at(&recorded, asked), [true, false, false]);
        assert_eq!(record(&recorded, b"one", to_the_hour + 600_000, Counted).path, None, "told in whole seconds");
        assert!(record(&recorded, b"one", to_the_hour + 2_000_000, Counted).path.is_some(), "content that recurs");
        assert!(record(&recorded, b"one", to_the_hour + 3_600_000, Told).path.is_some(), "a slate");
        let other = record(&recorded, b"two", to_the_hour + 6_000, Counted);
        assert!(other.path.is_some(), "another content, whatever its time");
    }
}
