//! What a fragment says of its samples (`moof`, ISO/IEC 14496-12, 8.8): when they begin, how long they last, how many bytes they are.
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
    let mut header = Fields(find(traf, *b"tfhd")?);
    let (_, flags) = header.version()?;
    let track = header.u32()?;
    let mut defaults = init.track(track).map(|known| known.defaults).unwrap_or_default();
    header.take(if flags & 1 == 0 { 0 } else { 8 })?;
    header.take(if flags & 2 == 0 { 0 } else { 4 })?;
    for (bit, field) in [(8, &mut defaults.duration), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)] {
        if flags & bit != 0 {
            *field = header.u32()?;
        }
    }
    let mut found = TrackFragment { track, shortest: u32::MAX, ..TrackFragment::default() };
    for each in boxes(traf) {
        match each? {
            (name, body) if name == *b"tfdt" => {
                let mut fields = Fields(body);
                let (version, _) = fields.version()?;
                found.begins = Some(if version == 1 { fields.u64()? } else { u64::from(fields.u32()?) });
            }
            (name, body) if name == *b"trun" => found.run(body, defaults)?,
            _ => {}
        }
    }
    Some(found)
}

impl TrackFragment {
    /// Adds a run of samples.
    fn run(&mut self, trun: &[u8], defaults: SampleDefaults) -> Option<()> {
        let mut fields = Fields(trun);
        let (_, flags) = fields.version()?;
        let count = fields.u32()?;
        fields.take(if flags & 1 == 0 { 0 } else { 4 })?;
        let mut first_flags = if flags & 4 == 0 { None } else { Some(fields.u32()?) };
        let described = [0x100, 0x200, 0x400, 0x800].map(|bit| flags & bit != 0);
        let length = 4 * described.iter().filter(|is| **is).count();
        if length == 0 {
            self.add(u64::from(count), defaults, first_flags.unwrap_or(defaults.flags));
            return Some(());
        }
        let all = fields.take(usize::try_from(count).ok()?.checked_mul(length)?)?;
        for sample in all.chunks_exact(length) {
            let mut numbers = Fields(sample);
            let mut own = |at: usize, default: u32| match described.get(at) {
                Some(true) => numbers.u32(),
                _ => Some(default),
            };
            let said = SampleDefaults {
                duration: own(0, defaults.duration)?,
                size: own(1, defaults.size)?,
                flags: own(2, defaults.flags)?,
            };
            self.add(1, said, first_flags.take().unwrap_or(said.flags));
        }
        Some(())
    }

    fn add(&mut self, count: u64, each: SampleDefaults, first_flags: u32) {
        if count == 0 {
            return;
        }
        if self.samples == 0 {
            self.begins_alone = first_flags & NO_SYNC == 0;
        }
        self.samples = self.samples.saturating_add(count);
        self.lasts = self.lasts.saturating_add(count.saturating_mul(u64::from(each.duration)));
        self.bytes = self.bytes.saturating_add(count.saturating_mul(u64::from(each.size)));
        self.shortest = self.shortest.min(each.duration);
        self.longest = self.longest.max(each.duration);
    }
}
