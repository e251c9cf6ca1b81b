//! Reads fragmented MP4 (ISO/IEC 14496-12; CMAF, ISO/IEC 23000-19): what is in a segment that begins with its initialisation segment, what its ends
//! say, and what is wrong with it.
//!
//! 1. The bytes come in pieces of any size, and those of samples need not come at all ([`Mp4Reader::pass`]). Memory is bounded by the largest
//!    box that describes samples; no bytes make this panic, and no number in them decides what is allocated.
//! 2. The initialisation segment ends where `moov` does: what comes before belongs to it, what comes after is media.
//! 3. Times are those of decoding. One track that lasts as long as the name says is enough, as in a transport stream.
//! 4. What does not begin as a box of this format is not judged, and neither is a complete MP4 without fragments.
//!
//! `docs/media.md` says why no library does this.

mod boxes;
mod configuration;
mod fragment;
mod init;
mod sample_coding;
mod samples;

use boxes::{BoxName, BoxPart, BoxReader};
use fragment::{TrackFragment, read_fragment};
use init::{InitTrack, Mp4Init};
pub(super) use samples::read_samples;

use super::coding::Role;
use super::edges::{Edges, Extent, InitSection, TimeStamp, Tracks};
use super::facts::{Facts, Reading};
use super::fault::StreamFault;
use super::psi::checksum;
use super::stamp_span::StampSpan;
use super::time::{TICKS, WRAP, distance};
use super::{StreamVerdict, TOLERANCE_US};

/// A report of more faults in one file helps nobody.
const MOST_FAULTS: usize = 8;

/// A sample is not believed to last longer than this.
const LONGEST_SAMPLE_US: u64 = 1_000_000;

/// Time stamps that run back by more are a fault, and forwards where the whole does not last as long as its name says: both in microseconds.
const BACKWARDS: i64 = 500_000;
const FORWARDS: i64 = 2_000_000;

/// What a file of this format may begin with.
const FIRST: [BoxName; 11] =
    [*b"ftyp", *b"styp", *b"moov", *b"moof", *b"sidx", *b"emsg", *b"prft", *b"free", *b"skip", *b"uuid", *b"mdat"];

/// The bytes of one file, as they come.
#[derive(Debug)]
pub struct Mp4Reader {
    boxes: BoxReader,
    first: Option<BoxName>,
    zeros_only: bool,
    init: Option<Mp4Init>,
    section: Option<InitSection>,
    /// The fragment whose samples are to come.
    pending: Option<PendingSamples>,
    fragments: u64,
    times: Vec<TrackTime>,
    faults: Vec<StreamFault>,
    leaps: Vec<StreamFault>,
}

/// Bytes of samples that a fragment announced.
#[derive(Debug, Clone, Copy)]
struct PendingSamples {
    at: u64,
    wanted: u64,
    found: u64,
}

/// When the samples of a track are decoded, by its own clock.
#[derive(Debug, Clone, Copy)]
struct TrackTime {
    track: u32,
    role: Role,
    timescale: u64,
    first: Option<u64>,
    end: Option<u64>,
    lasts: u64,
    samples: u64,
    shortest: u32,
    longest: u32,
    begins_alone: bool,
}

impl Default for Mp4Reader {
    fn default() -> Self {
        Self {
            boxes: BoxReader::default(),
            first: None,
            zeros_only: true,
            init: None,
            section: None,
            pending: None,
            fragments: 0,
            times: Vec::new(),
            faults: Vec::new(),
            leaps: Vec::new(),
        }
    }
}

impl Mp4Reader {
    /// Of a file that begins with these bytes.
    pub fn of(head: &[u8]) -> Self {
        let mut reader = Self::default();
        reader.feed(head);
        reader
    }

    /// Whether bytes begin as this format does.
    pub fn begins(head: &[u8]) -> bool {
        head.get(4..8).is_some_and(|name| FIRST.iter().any(|first| first == name))
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.zeros_only = self.zeros_only && bytes.iter().all(|byte| *byte == 0);
        while let Some(part) = self.boxes.take(&mut bytes) {
            self.part(part);
        }
    }

    /// How many of the next bytes say nothing, and need not come.
    pub const fn passing(&self) -> u64 {
        self.boxes.passing()
    }

    /// So many of them do not come.
    pub fn pass(&mut self, bytes: u64) {
        if let Some(part) = self.boxes.pass(bytes) {
            self.part(part);
        }
    }

    fn part(&mut self, part: BoxPart) {
        match part {
            BoxPart::Begins { name } => drop(self.first.get_or_insert(name)),
            BoxPart::Whole { at, name, body } if name == *b"moov" => {
                self.init = Mp4Init::read(&body);
                if self.init.is_none() {
                    self.fault(StreamFault::Box { at, name });
                }
                let length = u32::try_from(self.boxes.at()).unwrap_or(u32::MAX);
                self.section = self.section.or(InitSection::new(length, checksum(&body)));
            }
            BoxPart::Whole { at, name, body } => {
                self.check_samples();
                let none = Mp4Init::default();
                match read_fragment(&body, self.init.as_ref().unwrap_or(&none)) {
                    Some(tracks) => self.fragment(at, &tracks),
                    None => self.fault(StreamFault::Box { at, name }),
                }
            }
            BoxPart::Passed { name, length } if name == *b"mdat" => {
                if let Some(pending) = &mut self.pending {
                    pending.found = pending.found.saturating_add(length);
                }
            }
            BoxPart::Passed { .. } => {}
            BoxPart::Broken { at, name } => {
                if self.first.is_some() {
                    self.fault(StreamFault::Box { at, name });
                }
            }
        }
    }

    fn fragment(&mut self, at: u64, tracks: &[TrackFragment]) {
        self.fragments = self.fragments.saturating_add(1);
        let wanted = tracks.iter().fold(0_u64, |sum, track| sum.saturating_add(track.bytes));
        self.pending = Some(PendingSamples { at, wanted, found: 0 });
        for found in tracks.iter().filter(|found| found.samples > 0) {
            let Some(known) = self.init.as_ref().and_then(|init| init.track(found.track)) else {
                if self.init.is_some() {
                    self.fault(StreamFault::Track { at, track: found.track });
                }
                continue;
            };
            let (role, timescale) = (known.role, u64::from(known.timescale));
            let Some(time) = self.times.iter_mut().find(|time| time.track == found.track) else {
                self.times.push(TrackTime::new(role, timescale, found));
                continue;
            };
            let by_us = time.leap_us(found).unwrap_or_default();
            time.go_on(found);
            let jump = StreamFault::Jump { at, pid: u16::try_from(found.track).unwrap_or(u16::MAX), by_us };
            if by_us < -BACKWARDS {
                self.fault(jump);
            } else if by_us > FORWARDS && self.leaps.len() < MOST_FAULTS {
                self.leaps.push(jump);
            }
        }
    }

    /// The samples of the fragment before are all there.
    fn check_samples(&mut self) {
        if let Some(PendingSamples { at, wanted, found }) = self.pending.take()
            && found < wanted
        {
            self.fault(StreamFault::Samples { at, wanted, found });
        }
    }

    fn fault(&mut self, fault: StreamFault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }

    /// All bytes have come: what they are, for a file that is to last this long.
    pub fn finish(mut self, named_us: u64) -> StreamVerdict {
        let length = self.boxes.at();
        if length == 0 && named_us > 0 {
            return StreamVerdict::Faulty(vec![StreamFault::Empty]);
        }
        if self.zeros_only && length > 0 {
            return StreamVerdict::Faulty(vec![StreamFault::AllZero]);
        }
        let is_complete = self.init.as_ref().is_some_and(|init| !init.is_fragmented) && self.fragments == 0;
        if self.first.is_none_or(|first| !FIRST.contains(&first)) || is_complete {
            return StreamVerdict::Other;
        }
        if let Some((at, name)) = self.boxes.inside() {
            self.pending = None;
            self.fault(StreamFault::Cut { at, name });
        }
        self.check_samples();
        if self.init.is_none() && self.faults.is_empty() {
            self.fault(StreamFault::NoInit);
        } else if self.fragments == 0 && self.faults.is_empty() {
            self.fault(StreamFault::NoMedia);
        }
        if self.faults.is_empty() {
            self.judge_length(named_us);
        }
        if self.faults.is_empty() { StreamVerdict::Sound } else { StreamVerdict::Faulty(self.faults) }
    }

    fn judge_length(&mut self, named_us: u64) {
        let fits = |(found_us, sample_us): (u64, u64)| found_us.abs_diff(named_us) <= TOLERANCE_US + sample_us;
        if self.times.iter().filter_map(TrackTime::lasting).any(fits) {
            return;
        }
        let video = self.times.iter().find(|time| time.role == Role::Video).and_then(TrackTime::lasting);
        let longest = self.times.iter().filter_map(TrackTime::lasting).max();
        let Some((found_us, _)) = video.or(longest) else { return };
        let leaps = std::mem::take(&mut self.leaps);
        for fault in leaps.into_iter().chain([StreamFault::Span { named_us, found_us }]) {
            self.fault(fault);
        }
    }

    /// The initialisation segment, if it has come.
    pub const fn section(&self) -> Option<InitSection> {
        self.section
    }

    /// Whether an initialisation segment has come that announces fragments, and nothing behind it is cut short.
    pub fn is_init(&self) -> bool {
        self.init.as_ref().is_some_and(|init| init.is_fragmented) && self.boxes.inside().is_none()
    }

    /// Whether more bytes could say more of its beginning.
    pub fn wants_more(&self) -> bool {
        self.faults.is_empty() && (self.init.is_none() || self.fragments == 0)
    }

    /// What the first bytes of a file say about the whole.
    pub fn reading(head: &[u8]) -> Reading {
        let reader = Self::of(head);
        Reading { facts: reader.facts(), wants_more: reader.wants_more() }
    }

    /// What it says about the whole.
    pub fn facts(&self) -> Facts {
        let Some(init) = &self.init else { return Facts::default() };
        let of = |role| init.tracks.iter().filter(move |track: &&InitTrack| track.role == role);
        let (mut codecs, mut all_known): (Vec<&str>, bool) = (Vec::new(), true);
        for track in of(Role::Video).chain(of(Role::Sound)) {
            match track.codec.as_deref() {
                Some(codec) if !codecs.contains(&codec) => codecs.push(codec),
                Some(_) => {}
                None => all_known = false,
            }
        }
        let video = init.first(Role::Video);
        Facts {
            codecs: (all_known && !codecs.is_empty()).then(|| codecs.join(",")),
            size: video.and_then(|track| track.size),
            rate_millis: video.and_then(|track| self.time(track)).and_then(TrackTime::rate_millis),
            independent: self.begins_alone() == Some(true),
        }
    }

    /// What both its ends say; only what its beginning does, unless all of it has come.
    pub fn edges(&self, is_whole: bool) -> Edges {
        let Some(init) = &self.init else { return Edges::default() };
        let extent = |role| {
            let time = init.first(role).and_then(|track| self.time(track));
            let stamp = |at: Option<u64>| time.zip(at).and_then(|(time, at)| time.stamp(at));
            Extent {
                first: stamp(time.and_then(|time| time.first)),
                end: stamp(time.filter(|_| is_whole).and_then(|time| time.end)),
            }
        };
        let coding = |role| init.first(role).map_or(0, |track| track.coding);
        let tracks = Tracks { streams: streams(init), picture: coding(Role::Video), sound: coding(Role::Sound) };
        Edges {
            picture: extent(Role::Video),
            sound: extent(Role::Sound),
            begins: tracks,
            ends: tracks,
            independent: self.begins_alone(),
            init: self.section.filter(|_| init.is_fragmented && self.fragments > 0),
        }
    }

    /// When it begins by its time stamps and how long it lasts: by the picture, or by sound that goes on behind one that has frozen. Nothing where time
    /// stamps leap, or are not told.
    pub fn span(&self) -> Option<StampSpan> {
        let longest = |role| {
            let of_role = self.times.iter().filter(move |time| time.role == role);
            of_role.filter_map(TrackTime::span).max_by_key(|span| span.length)
        };
        let is_steady =
            self.leaps.is_empty() && !self.faults.iter().any(|fault| matches!(fault, StreamFault::Jump { .. }));
        StampSpan::longer(longest(Role::Video), longest(Role::Sound)).filter(|_| is_steady)
    }

    fn time(&self, track: &InitTrack) -> Option<&TrackTime> {
        self.times.iter().find(|time| time.track == track.id)
    }

    /// Whether decoding can begin with it; where there is no picture, with the sound.
    fn begins_alone(&self) -> Option<bool> {
        let init = self.init.as_ref()?;
        let main = init.first(Role::Video).or_else(|| init.first(Role::Sound))?;
        self.time(main).map(|time| time.begins_alone)
    }
}

impl TrackTime {
    fn new(role: Role, timescale: u64, found: &TrackFragment) -> Self {
        Self {
            track: found.track,
            role,
            timescale,
            first: found.begins,
            end: found.begins.map(|begins| begins.saturating_add(found.lasts)),
            lasts: found.lasts,
            samples: found.samples,
            shortest: found.shortest,
            longest: found.longest,
            begins_alone: found.begins_alone,
        }
    }

    /// How far a fragment begins from where the one before ended.
    fn leap_us(&self, next: &TrackFragment) -> Option<i64> {
        let by = i128::from(next.begins?) - i128::from(self.end?);
        let by_us = (by * 1_000_000).checked_div(i128::from(self.timescale))?;
        Some(i64::try_from(by_us).unwrap_or(if by_us < 0 { i64::MIN } else { i64::MAX }))
    }

    fn go_on(&mut self, next: &TrackFragment) {
        self.end = next.begins.or(self.end).map(|begins| begins.saturating_add(next.lasts));
        self.lasts = self.lasts.saturating_add(next.lasts);
        self.samples = self.samples.saturating_add(next.samples);
        self.shortest = self.shortest.min(next.shortest);
        self.longest = self.longest.max(next.longest);
    }

    fn us(&self, time: u64) -> Option<u64> {
        let us = (u128::from(time) * 1_000_000).checked_div(u128::from(self.timescale))?;
        Some(u64::try_from(us).unwrap_or(u64::MAX))
    }

    /// Microseconds, and those of a sample.
    fn lasting(&self) -> Option<(u64, u64)> {
        let all = self.us(self.lasts)?;
        Some((all, all.checked_div(self.samples)?.min(LONGEST_SAMPLE_US)))
    }

    /// From its first sample to the end of its last.
    fn span(&self) -> Option<StampSpan> {
        let (first, end) = (self.stamp(self.first?)?, self.stamp(self.end?)?);
        let length = distance(first.ticks(), end.ticks());
        (length > 0).then_some(StampSpan { first: first.ticks(), length })
    }

    /// In the ticks of a transport stream.
    fn stamp(&self, time: u64) -> Option<TimeStamp> {
        let ticks = (u128::from(time) * u128::from(TICKS.unsigned_abs())).checked_div(u128::from(self.timescale))?;
        i64::try_from(ticks % u128::from(WRAP.unsigned_abs())).ok().map(TimeStamp::new)
    }

    /// Samples in a thousand seconds, where all last as long.
    fn rate_millis(&self) -> Option<u32> {
        let rate = (self.timescale * 1_000).checked_div(u64::from(self.longest))?;
        u32::try_from(rate).ok().filter(|rate| self.shortest == self.longest && *rate > 0)
    }
}

/// A fingerprint of which tracks there are.
fn streams(init: &Mp4Init) -> u32 {
    let mut bytes = b"mp4".to_vec();
    for track in init.tracks.iter().filter(|track| track.role != Role::Data) {
        bytes.extend(track.id.to_be_bytes());
        bytes.extend(track.entry);
    }
    checksum(&bytes).max(1)
}
