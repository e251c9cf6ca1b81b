//! Puts one stretch after the other into a new stream.
//!
//! 1. Pictures come in groups that need nothing from outside: from a key frame that resets the decoder (and brings its
//!    parameters) to the next one.
//! 2. A group that lies in the stretch as a whole is passed on to the byte. So is one from which only the last pictures in the
//!    order of decoding are left out.
//! 3. Any other is decoded, and of it what lies in the stretch is encoded anew, without reordering.
//! 4. Sound is cut between its frames, at the nearest.
//! 5. All get new times, without gaps from stretch to stretch, and go into one new stream as they come. Nothing is kept on a
//!    disk, and in memory no more than a group and a segment.
//!    Neighbours are there for their sound alone: the cut goes on without one that cannot be read. A segment without pictures
//!    is a hole.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::container::Container;
use super::ends::{Held, encode};
use super::segment::{Clip, CutSegment, Loaded};
use super::suitable::{Blind, has_pictures};
use super::transition::Part;
use super::{FfmpegError, Pool};
use crate::domain::Timestamp;
use crate::media::{Coding, Mux, SoundFrame, Unit, distance, shortest, ticks};

/// A piece is sent from this size on.
pub(super) const PIECE: usize = 64 << 10;
/// A group of pictures with more is none that can be cut exactly.
const MOST_GROUP: usize = 256 << 20;
/// Times begin here: what is decoded before it is shown still has a time above zero.
pub(super) const BEGIN: i64 = 126_000;
/// Times may leap this much from segment to segment; where they leap further the next one follows at once.
const LEAP: i64 = 45_000;
/// If nothing else is known: 25 a second.
const PICTURE: i64 = 3_600;
/// Frames of sound that go into one packet.
const TOGETHER: usize = 4;

/// Who takes what is made.
pub(super) type Sender = mpsc::Sender<Result<Bytes, FfmpegError>>;

/// What comes out of a cutter, and whose turn its processes take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    pub format: Container,
    /// What the sound is, where it was found beforehand.
    pub sound: Option<Coding>,
    pub held: Held,
}

/// Where a picture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    After,
}

/// Writes one stretch after the other.
pub(super) struct Cutter<'s> {
    pub pool: Arc<Pool>,
    pub making: Making,
    sender: &'s Sender,
    mux: Option<Mux>,
    /// Where the next stretch begins.
    pub begin: i64,
    /// How long before it is shown a picture is decoded, in what was written last.
    pub ahead: i64,
    last_dts: i64,
    sound_end: i64,
}

/// One stretch while its segments come. Its times are those of its first segment.
#[derive(Default)]
pub(super) struct Stretch {
    /// What the time of a segment has to be moved by.
    shift: i64,
    /// Where the next segment is expected to begin.
    expected: Option<i64>,
    group: Vec<Unit>,
    places: Vec<Place>,
    bytes: usize,
    sound: Vec<SoundFrame>,
    /// The time of the first picture that is in.
    origin: Option<i64>,
    last: i64,
    picture: i64,
    blind: Blind,
}

pub(super) fn nothing((start, end): (Timestamp, Timestamp)) -> FfmpegError {
    FfmpegError::Nothing(format!("there is no picture from {start} to {end}"))
}

impl<'s> Cutter<'s> {
    pub(super) fn new(pool: Arc<Pool>, making: Making, sender: &'s Sender) -> Self {
        Self { pool, making, sender, mux: None, begin: BEGIN, ahead: 0, last_dts: 0, sound_end: 0 }
    }

    pub(super) async fn all(mut self, parts: Vec<Part>) -> Result<(), FfmpegError> {
        for part in parts {
            match part {
                Part::Clip(clip) => self.clip(clip).await?,
                Part::Transition { tail, head, transition } => self.transition(tail, head, &transition).await?,
            }
        }
        self.send(0).await
    }

    pub(super) async fn clip(&mut self, clip: Clip) -> Result<(), FfmpegError> {
        let window = (clip.start, clip.end);
        let mut stretch = Stretch { picture: PICTURE, ..Stretch::default() };
        'all: for segment in clip.segments {
            let is_beside = segment.lies_beside(window);
            let Some(mut loaded) = self.load(segment, is_beside, &mut stretch.blind).await? else { continue };
            let (start, end) = (loaded.at(clip.start), loaded.at(clip.end));
            stretch.join(&loaded);
            // A neighbour has but a little of the sound, whatever its times say.
            let most = if is_beside { ticks(Clip::SOUND.us()) } else { end - start };
            if loaded.start < clip.end {
                stretch.add_sound(&loaded, start, end.min(start + most));
            } else {
                stretch.add_sound(&loaded, start.max(end - most), end);
            }
            if loaded.start >= clip.end {
                continue;
            }
            for mut unit in std::mem::take(&mut loaded.media.video) {
                // A neighbour gives no pictures, even where its name is a little too short or too long.
                let place = if unit.pts < start || loaded.end <= clip.start {
                    Place::Before
                } else if unit.pts < end {
                    Place::Within
                } else {
                    Place::After
                };
                (unit.pts, unit.dts) = (unit.pts + stretch.shift, unit.dts + stretch.shift);
                if unit.marks.clean {
                    self.group(&mut stretch).await?;
                    if place == Place::After {
                        break 'all;
                    }
                }
                stretch.bytes += unit.data.len();
                if stretch.bytes > MOST_GROUP {
                    if is_beside {
                        stretch.forget();
                        break;
                    }
                    let why = "there is no key frame for too long to cut exactly; take a rough cut";
                    return Err(FfmpegError::Unsuitable(why.into()));
                }
                stretch.group.push(unit);
                stretch.places.push(place);
            }
        }
        self.group(&mut stretch).await?;
        let found = stretch.blind.found.take();
        let origin = stretch.origin.ok_or_else(|| found.unwrap_or_else(|| nothing(window)))?;
        self.write_sound(&mut stretch, i64::MAX, origin);
        self.begin += stretch.last + stretch.picture - origin;
        Ok(())
    }

    /// Reads a segment; nothing where the cut goes on without it.
    async fn load(
        &mut self,
        segment: CutSegment,
        is_beside: bool,
        blind: &mut Blind,
    ) -> Result<Option<Loaded>, FfmpegError> {
        let checked = segment.load().await.and_then(|loaded| Ok((has_pictures(&loaded)?, loaded)));
        if is_beside {
            let checked = checked.inspect_err(|error| {
                tracing::debug!(name: "cut_without_neighbour", %error, "a cut goes on without the sound of a neighbour");
            });
            return Ok(checked.ok().and_then(|(has_pictures, loaded)| has_pictures.then_some(loaded)));
        }
        let (has_pictures, loaded) = checked?;
        if !has_pictures {
            // Only until there are some: what comes later is a hole like any other.
            return if self.mux.is_none() { blind.count(&loaded).map(|()| None) } else { Ok(None) };
        }
        self.announce(loaded.media.codings().1, loaded.start)?;
        Ok(Some(loaded))
    }

    /// Says what there is, before anything of it is written.
    pub(super) fn announce(&mut self, sound: Option<Coding>, start: Timestamp) -> Result<(), FfmpegError> {
        let known = self.making.sound;
        let mux = self.mux.get_or_insert_with(|| Mux::new(Some(Coding::H264), sound.or(known)));
        if let Some(sound) = sound.filter(|_| !mux.has_sound()) {
            if self.making.format != Container::Ts {
                let name = self.making.format.name();
                let why = format!(
                    "there is sound only from the segment at {start} on, which {name} cannot say; take type=smart"
                );
                return Err(FfmpegError::Unsuitable(why));
            }
            mux.begin_sound(sound);
        }
        Ok(())
    }

    /// A group of pictures is whole.
    async fn group(&mut self, stretch: &mut Stretch) -> Result<(), FfmpegError> {
        let (group, places) = (std::mem::take(&mut stretch.group), std::mem::take(&mut stretch.places));
        stretch.bytes = 0;
        let within = |at: &usize| places.get(*at) == Some(&Place::Within);
        let mut wanted: Vec<i64> =
            group.iter().enumerate().filter(|(at, _)| within(at)).map(|(_, unit)| unit.pts).collect();
        wanted.sort_unstable();
        let (Some(first), Some(last)) = (wanted.first().copied(), wanted.last().copied()) else { return Ok(()) };
        let origin = *stretch.origin.get_or_insert(first);
        stretch.last = last;
        stretch.picture = shortest(&wanted).unwrap_or(stretch.picture);
        let is_front = (0..wanted.len()).all(|at| within(&at));
        let is_clean = group.first().is_some_and(|unit| unit.marks.clean);
        // How long before it is shown a picture is decoded, around here.
        let ahead = group.first().map_or(0, |unit| unit.pts - unit.dts);
        self.ahead = ahead;
        if is_front && is_clean {
            for unit in group.iter().take(wanted.len()) {
                self.write_sound(stretch, unit.dts, origin);
                self.picture((unit.pts, unit.dts), unit.marks.random_access, &unit.data, origin);
                self.send(PIECE).await?;
            }
            return Ok(());
        }
        for made in encode(&self.pool, self.making.held, &group, &wanted).await? {
            self.write_sound(stretch, made.pts - ahead, origin);
            self.picture((made.pts, made.pts - ahead), made.is_key, &made.data, origin);
            self.send(PIECE).await?;
        }
        Ok(())
    }

    pub(super) fn picture(&mut self, (pts, dts): (i64, i64), is_key: bool, data: &[u8], origin: i64) {
        let move_by = self.begin - origin;
        let Some(mux) = &mut self.mux else { return };
        if is_key {
            mux.tables();
        }
        let dts = (dts + move_by).max(self.last_dts.saturating_add(1));
        self.last_dts = dts;
        mux.video((pts + move_by).max(dts), dts, is_key, data);
    }

    /// The sound up to that time.
    pub(super) fn write_sound(&mut self, stretch: &mut Stretch, until: i64, origin: i64) {
        let count = stretch.sound.iter().take_while(|frame| frame.pts <= until).count();
        // Packets of several, unless these are the last.
        let count = if until == i64::MAX { count } else { count - count % TOGETHER };
        let move_by = self.begin - origin;
        let Some(mux) = &mut self.mux else { return };
        let mut packet: (i64, Vec<u8>, usize) = (0, Vec::new(), 0);
        for frame in stretch.sound.drain(..count) {
            let pts = frame.pts + move_by;
            if pts + frame.ticks / 2 < self.sound_end {
                continue;
            }
            let follows = (pts - self.sound_end).abs() <= 8;
            if packet.2 >= TOGETHER || (packet.2 > 0 && !follows) {
                mux.sound(packet.0, &std::mem::take(&mut packet.1));
                packet.2 = 0;
            }
            if packet.2 == 0 {
                packet.0 = pts;
            }
            packet.1.extend_from_slice(&frame.data);
            packet.2 += 1;
            self.sound_end = pts + frame.ticks;
        }
        if packet.2 > 0 {
            mux.sound(packet.0, &packet.1);
        }
    }

    /// Sends what was written, if it is more than that.
    pub(super) async fn send(&mut self, more_than: usize) -> Result<(), FfmpegError> {
        match &mut self.mux {
            Some(mux) if mux.len() > more_than => {
                self.sender.send(Ok(mux.take().into())).await.map_err(|_| FfmpegError::Gone)
            }
            _ => Ok(()),
        }
    }
}

impl Stretch {
    /// One that has nothing but sound.
    pub(super) fn of_sound(sound: Vec<SoundFrame>) -> Self {
        Self { sound, ..Self::default() }
    }

    /// Finds where the next segment goes on.
    fn join(&mut self, loaded: &Loaded) {
        let expected = self.expected.unwrap_or(loaded.first + self.shift);
        let leap = distance(expected, loaded.first + self.shift);
        let begin = expected + if leap.abs() <= LEAP { leap } else { 0 };
        self.shift = begin - loaded.first;
        let mut times: Vec<i64> = loaded.media.video.iter().map(|unit| unit.pts).collect();
        times.sort_unstable();
        let picture = shortest(&times).unwrap_or(self.picture);
        self.expected = times.last().map(|last| last + self.shift + picture);
    }

    /// Leaves out what was gathered of a group.
    fn forget(&mut self) {
        self.group.clear();
        self.places.clear();
        self.bytes = 0;
    }

    /// Of the sound what lies in the stretch, to the nearest frame.
    fn add_sound(&mut self, loaded: &Loaded, start: i64, end: i64) {
        let shift = self.shift;
        let frames = loaded.media.sound_frames().into_iter();
        let within = frames.filter(|frame| (start..end).contains(&(frame.pts + frame.ticks / 2)));
        self.sound.extend(within.map(|frame| SoundFrame { pts: frame.pts + shift, ..frame }));
    }
}
