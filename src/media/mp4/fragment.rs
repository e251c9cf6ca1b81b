//! What a fragment says of its samples (`moof`, ISO/IEC 14496-12, 8.8): when they begin, how long they last, how many bytes they are, and where
//! these lie.
//!
//! Samples are counted by the bytes that describe them, never by a number that somebody wrote.

use super::boxes::{Fields, boxes, find};
use super::init::{Mp4Init, SampleDefaults};

/// What marks a sample from which decoding cannot begin.
const NO_SYNC: u32 = 0x0001_0000;

/// No real fragment has more tracks.
const MOST_TRACKS: usize = 16;

/// The samples of one track in a fragment.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrackFragment {
    pub track: u32,
    /// When the first is decoded, by the track's own clock, if that is said.
    pub begins: Option<u64>,
    pub samples: u64,
    /// How long they last together, by the same clock.
    pub lasts: u64,
    pub bytes: u64,
    /// Of the shortest and the longest.
    pub shortest: u32,
    pub longest: u32,
    /// Whether decoding can begin with the first.
    pub begins_alone: bool,
}

/// What holds of all samples of one track in a fragment (`tfhd`).
#[derive(Debug, Clone, Copy)]
pub struct TrackHeader {
    pub track: u32,
    /// From where places are counted, if that is said: in the file that the fragment was written for.
    pub base: Option<u64>,
    /// They are counted from the beginning of the fragment.
    pub is_from_fragment: bool,
    pub defaults: SampleDefaults,
}

/// Samples whose bytes lie side by side (`trun`).
#[derive(Debug, Clone, Copy)]
pub struct SampleRun<'b> {
    /// How many there are to be.
    count: u32,
    /// Where their bytes begin, if that is said.
    pub place: Option<i32>,
    first_flags: Option<u32>,
    /// Whether each says its duration, size, flags and how much later it is shown than decoded.
    says: [bool; 4],
    described: &'b [u8],
    defaults: SampleDefaults,
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub struct SampleEntry {
    pub said: SampleDefaults,
    /// How much later it is shown than decoded, by the track's clock.
    pub later: i64,
}

/// Reads the box; nothing if it is broken.
pub fn read_fragment(moof: &[u8], init: &Mp4Init) -> Option<Vec<TrackFragment>> {
    let mut tracks = Vec::new();
    for each in boxes(moof) {
        let (name, body) = each?;
        if name == *b"traf" && tracks.len() < MOST_TRACKS {
            tracks.push(track_fragment(body, init)?);
        }
    }
    Some(tracks)
}

fn track_fragment(traf: &[u8], init: &Mp4Init) -> Option<TrackFragment> {
    let header = TrackHeader::read(traf, init)?;
    let mut found = TrackFragment { track: header.track, shortest: u32::MAX, ..TrackFragment::default() };
    for each in boxes(traf) {
        match each? {
            (name, body) if name == *b"tfdt" => found.begins = Some(decode_time(body)?),
            (name, body) if name == *b"trun" => found.run(&SampleRun::read(body, header.defaults)?),
            _ => {}
        }
    }
    Some(found)
}

/// When the first sample is decoded (`tfdt`).
pub fn decode_time(tfdt: &[u8]) -> Option<u64> {
    let mut fields = Fields(tfdt);
    let (version, _) = fields.version()?;
    if version == 1 { fields.u64() } else { fields.u32().map(u64::from) }
}

impl TrackHeader {
    /// Of the box `traf`.
    pub fn read(traf: &[u8], init: &Mp4Init) -> Option<Self> {
        let mut header = Fields(find(traf, *b"tfhd")?);
        let (_, flags) = header.version()?;
        let track = header.u32()?;
        let mut defaults = init.track(track).map(|known| known.defaults).unwrap_or_default();
        let base = if flags & 1 == 0 { None } else { Some(header.u64()?) };
        header.take(if flags & 2 == 0 { 0 } else { 4 })?;
        for (bit, field) in [(8, &mut defaults.duration), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)] {
            if flags & bit != 0 {
                *field = header.u32()?;
            }
        }
        Some(Self { track, base, is_from_fragment: flags & 0x0002_0000 != 0, defaults })
    }
}

impl<'b> SampleRun<'b> {
    /// Of the box `trun`.
    pub fn read(trun: &'b [u8], defaults: SampleDefaults) -> Option<Self> {
        let mut fields = Fields(trun);
        let (_, flags) = fields.version()?;
        let count = fields.u32()?;
        let place = if flags & 1 == 0 { None } else { Some(fields.i32()?) };
        let first_flags = if flags & 4 == 0 { None } else { Some(fields.u32()?) };
        let says = [0x100, 0x200, 0x400, 0x800].map(|bit| flags & bit != 0);
        let length = 4 * says.iter().filter(|is| **is).count();
        let described = fields.take(usize::try_from(count).ok()?.checked_mul(length)?)?;
        Some(Self { count, place, first_flags, says, described, defaults })
    }

    /// They are all alike, and none is described.
    const fn is_undescribed(&self) -> bool {
        self.described.is_empty()
    }

    /// Each of them; as many as are to be there, so that whoever asks has to end where their bytes do.
    pub fn samples(&self) -> impl Iterator<Item = SampleEntry> {
        let length = 4 * self.says.iter().filter(|is| **is).count();
        let mut described = Fields(self.described);
        let mut first_flags = self.first_flags;
        (0..self.count).map_while(move |_| {
            let mut numbers = Fields(described.take(length)?);
            let mut own = |at: usize, default: u32| match self.says.get(at) {
                Some(true) => numbers.u32(),
                _ => Some(default),
            };
            let said = SampleDefaults {
                duration: own(0, self.defaults.duration)?,
                size: own(1, self.defaults.size)?,
                flags: own(2, self.defaults.flags)?,
            };
            // By the first version never earlier, but those that write it mean the same as those of the other.
            let later = if self.says[3] { numbers.i32()? } else { 0 };
            let flags = first_flags.take().unwrap_or(said.flags);
            Some(SampleEntry { said: SampleDefaults { flags, ..said }, later: later.into() })
        })
    }
}

impl TrackFragment {
    /// Adds a run of samples.
    fn run(&mut self, run: &SampleRun<'_>) {
        if run.is_undescribed() {
            let flags = run.first_flags.unwrap_or(run.defaults.flags);
            return self.add(u64::from(run.count), SampleDefaults { flags, ..run.defaults });
        }
        for sample in run.samples() {
            self.add(1, sample.said);
        }
    }

    fn add(&mut self, count: u64, each: SampleDefaults) {
        if count == 0 {
            return;
        }
        if self.samples == 0 {
            self.begins_alone = each.flags & NO_SYNC == 0;
        }
        self.samples = self.samples.saturating_add(count);
        self.lasts = self.lasts.saturating_add(count.saturating_mul(u64::from(each.duration)));
        self.bytes = self.bytes.saturating_add(count.saturating_mul(u64::from(each.size)));
        self.shortest = self.shortest.min(each.duration);
        self.longest = self.longest.max(each.duration);
    }
}
