//! Tells a [`Sink`] what is in a segment in fragmented MP4, as the reader of transport streams does: the tables, and the units of the first picture and
//! the first sound with their times. So whoever makes something of pictures and sound knows of one format.
//!
//! 1. Times are those at which the presentation has a sample: by its own clock, moved as the list of edits says.
//! 2. What lies outside the bytes that are there is left out, as what is missing from a transport stream is.
//! 3. Samples may lie anywhere, and several descriptions may mean the same bytes. What is told has a bound all the same: so many samples, and not much more
//!    bytes than there are.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::coding::Role;
use super::super::mux::{SOUND_PID, VIDEO_PID};
use super::super::pes::{Header, Times};
use super::super::psi::{Elementary, Program};
use super::super::reader::Sink;
use super::boxes::{boxes, placed_boxes};
use super::fragment::{SampleRun, TrackHeader, decode_time};
use super::init::{InitTrack, Mp4Init};
use super::sample_coding::SampleCoding;

/// An hour of sixty pictures a second has fewer, its frames of sound included; no name says that a segment is longer.
const MOST_SAMPLES: usize = 500_000;
/// What is told beyond twice the bytes that are there: headers and parameter sets.
const MORE: usize = 1 << 20;
/// The header of the box that holds the samples of a fragment.
const MEDIA_HEADER: usize = 16;
/// Tracks that are neither are listed behind picture and sound.
const OTHERS: u16 = SOUND_PID + 1;

/// Tells the sink what is in these bytes, which begin with an initialisation segment.
pub fn read_samples(bytes: &[u8], sink: &mut impl Sink) {
    let mut samples = Samples {
        bytes,
        init: Arc::default(),
        clocks: Vec::new(),
        left: MOST_SAMPLES,
        room: 2 * bytes.len() + MORE,
        sink,
    };
    for (at, name, body) in placed_boxes(bytes).map_while(|each| each) {
        match &name {
            b"moov" => samples.tables(body),
            b"moof" => {
                let end = at.saturating_add(8 + body.len() + MEDIA_HEADER);
                if samples.fragment(at..=end, body).is_none() {
                    return;
                }
            }
            _ => {}
        }
    }
}

struct Samples<'b, 's, S> {
    bytes: &'b [u8],
    init: Arc<Mp4Init>,
    /// When the next sample of a track is decoded, by its own clock, where a fragment does not say.
    clocks: Vec<(u32, u64)>,
    /// Samples and bytes that may still be told.
    left: usize,
    room: usize,
    sink: &'s mut S,
}

impl<S: Sink> Samples<'_, '_, S> {
    fn tables(&mut self, moov: &[u8]) {
        let Some(init) = Mp4Init::read(moov) else { return };
        let streams = init.tracks.iter().zip(0..).filter(|(track, _)| track.role != Role::Data);
        let streams = streams.map(|(track, number)| {
            let coding = track.samples.coding();
            let pid = match coding.role() {
                Role::Video => VIDEO_PID,
                Role::Sound => SOUND_PID,
                Role::Data | Role::Unknown => OTHERS + number,
            };
            Elementary { pid, coding }
        });
        self.sink.tables(&Program { number: 1, clock_pid: VIDEO_PID, streams: streams.collect() });
        self.init = Arc::new(init);
    }

    /// The first track that is of the same kind.
    fn is_read(&self, track: &InitTrack) -> bool {
        let role = track.samples.coding().role();
        let first = self.init.tracks.iter().find(|other| other.samples.coding().role() == role);
        matches!(role, Role::Video | Role::Sound) && first.is_some_and(|first| first.id == track.id)
    }

    /// Nothing where no more may be told.
    fn fragment(&mut self, place: RangeInclusive<usize>, moof: &[u8]) -> Option<()> {
        let (mut end, init) = (*place.start(), Arc::clone(&self.init));
        for (_, traf) in boxes(moof).map_while(|each| each).filter(|(name, _)| name == b"traf") {
            let Some(header) = TrackHeader::read(traf, &init) else { continue };
            let Some(track) = init.track(header.track) else { continue };
            // A base that does not lie in the fragment is one in the file that it was written for.
            let base = header.base.and_then(|base| usize::try_from(base).ok()).filter(|base| place.contains(base));
            let base =
                base.unwrap_or(if header.is_from_fragment || header.base.is_some() { *place.start() } else { end });
            end = base;
            let mut time = self.clocks.iter().find(|(id, _)| *id == track.id).map_or(0, |(_, time)| *time);
            for (name, body) in boxes(traf).map_while(|each| each) {
                match &name {
                    b"tfdt" => time = decode_time(body).unwrap_or(time),
                    b"trun" => {
                        let Some(run) = SampleRun::read(body, header.defaults) else { continue };
                        let begin = run.place.map(|behind| base.checked_add_signed(behind.try_into().ok()?));
                        let Some(begin) = begin.unwrap_or(Some(end)) else { continue };
                        (end, time) = self.run(track, &run, begin, time)?;
                    }
                    _ => {}
                }
            }
            self.clocks.retain(|(id, _)| *id != track.id);
            self.clocks.push((track.id, time));
        }
        Some(())
    }

    /// Where the bytes of these samples end, and when the next one is decoded.
    fn run(&mut self, track: &InitTrack, run: &SampleRun<'_>, begin: usize, time: u64) -> Option<(usize, u64)> {
        let (mut at, mut time) = (begin, time);
        let is_read = self.is_read(track);
        for sample in run.samples() {
            self.left = self.left.checked_sub(1)?;
            let end = at.saturating_add(usize::try_from(sample.said.size).ok()?);
            let bytes = self.bytes.get(at..end);
            if let Some(bytes) = bytes.filter(|bytes| is_read && !bytes.is_empty()) {
                self.sample(track, bytes, (time.into(), sample.later.into()))?;
            }
            at = end;
            time = time.wrapping_add(u64::from(sample.said.duration));
        }
        Some((at, time))
    }

    fn sample(&mut self, track: &InitTrack, bytes: &[u8], (at, later): (i128, i128)) -> Option<()> {
        let coding = track.samples.coding();
        let pid = if coding.role() == Role::Video { VIDEO_PID } else { SOUND_PID };
        let stream = Elementary { pid, coding };
        let times = track.ticks(at + later).zip(track.ticks(at));
        let times = times.map(|(shown, decoded)| Times { shown, decoded });
        let scrambled = matches!(track.samples, SampleCoding::Encrypted(_));
        let unit = track.samples.unit(bytes);
        if unit.is_none() && !scrambled {
            return Some(());
        }
        self.sink.begin(&stream, &Header { id: 0, times, scrambled, length: None, content: 0 });
        if let Some(unit) = unit {
            self.room = self.room.checked_sub(unit.len())?;
            self.sink.content(&stream, &unit);
        }
        self.sink.end(&stream);
        Some(())
    }
}
