//! Puts one stretch after the other into a new stream.
//!
//! 1. Each segment is read, and what it says goes to a [`CutPlanner`], which decides about pictures and sound.
//! 2. What is passed on is passed on to the byte; what is encoded anew is decoded first, and encoded without reordering.
//! 3. All get new times, without gaps from stretch to stretch, and go into one new stream as they come. Nothing is kept on a
//!    disk, and in memory no more than two groups of pictures and a segment.
//! 4. Neighbours are there for their sound, and for pictures a little beside their names: the cut goes on without one that cannot be read. Where what is wanted first needs pictures from
//!    further back, segments before are read until decoding can begin.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::cut_format::CutFormat;
use super::ends::{HeldTurn, encode};
use super::segment::{Clip, CutSegment, Loaded};
use super::suitable::{Blind, further_back, is_one_sound, refused, without};
use super::transition::Part;
use super::{FfmpegError, Pool};
use crate::archive::Timestamp;
use crate::media::{Coding, CutPlanner, CutRefusal, CutStep, Mux, SegmentSteps, SoundFrame, Unit};

/// A piece is sent from this size on.
pub(super) const PIECE: usize = 64 << 10;
/// Times begin here: what is decoded before it is shown still has a time above zero.
pub(super) const BEGIN: i64 = 126_000;
/// Frames of sound that go into one packet.
const TOGETHER: usize = 4;

/// Who takes what is made.
pub(super) type Sender = mpsc::Sender<Result<Bytes, FfmpegError>>;

/// What comes out of a cutter, and whose turn its processes take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    pub format: CutFormat,
    /// What the sound is, where it was found beforehand.
    pub sound: Option<Coding>,
    pub held: HeldTurn,
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
struct CutStretch {
    planner: CutPlanner,
    /// Pictures of which the planner has not said yet that they are not needed any more.
    units: Vec<Unit>,
    /// The number of the first of them.
    number: usize,
    sound: Vec<SoundFrame>,
    blind: Blind,
    /// What was asked for.
    asked: (Timestamp, Timestamp),
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
        let window = clip.window();
        let mut stretch = CutStretch {
            planner: CutPlanner::new(window),
            units: Vec::new(),
            number: 0,
            sound: Vec::new(),
            blind: Blind::default(),
            asked: (clip.start, clip.end),
        };
        let mut lead = Some(clip.lead);
        for segment in clip.segments {
            let Some(loaded) = load(segment, stretch.asked).await? else { continue };
            if let Some(lead) = lead.take()
                && loaded.source.needs_more(window)
            {
                let before = tokio::task::spawn_blocking(move || further_back(&lead, window)).await;
                for earlier in before.unwrap_or_default() {
                    self.segment(&mut stretch, earlier).await?;
                }
            }
            self.segment(&mut stretch, loaded).await?;
        }
        let steps = stretch.planner.finish();
        let steps = steps.map_err(|refusal| stretch.refused(refusal))?;
        self.make(&mut stretch, steps).await?;
        if let Some((origin, end)) = stretch.planner.extent() {
            self.write_sound(&mut stretch.sound, i64::MAX, origin);
            self.begin += end - origin;
        }
        Ok(())
    }

    async fn segment(&mut self, stretch: &mut CutStretch, loaded: Loaded) -> Result<(), FfmpegError> {
        let mut turn = stretch.planner.segment(&loaded.source).map_err(|refusal| refused(refusal, stretch.asked))?;
        let is_beside = loaded.source.lies_beside(stretch.planner.window());
        if let Some(refusal) = turn.passed_over {
            without(&refused(refusal, stretch.asked));
        } else if loaded.source.pictures.is_empty() {
            // Only until there are some: what comes later is a hole like any other.
            if !is_beside && self.mux.is_none() {
                stretch.blind.count(&loaded)?;
            }
        } else {
            if !is_beside {
                self.announce(None, loaded.start)?;
                for sound in loaded.sounds() {
                    self.announce(Some(sound), loaded.start)?;
                }
            } else if !self.has_sound_of(&loaded) {
                turn.sound.clear();
            }
            let steps = stretch.take(loaded, turn);
            self.make(stretch, steps).await?;
        }
        Ok(())
    }

    /// Says what there is, before anything of it is written.
    pub(super) fn announce(&mut self, sound: Option<Coding>, start: Timestamp) -> Result<(), FfmpegError> {
        let known = self.making.sound;
        let mux = self.mux.get_or_insert_with(|| Mux::new(Some(Coding::H264), sound.or(known)));
        let Some(sound) = sound else { return Ok(()) };
        let before = mux.codes_sound();
        is_one_sound(before, sound, start)?;
        if before.is_none() {
            if self.making.format != CutFormat::Ts {
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

    /// Whether all sound of a neighbour can go where that of the cut goes.
    fn has_sound_of(&self, loaded: &Loaded) -> bool {
        let known = self.mux.as_ref().map_or(self.making.sound, Mux::codes_sound);
        loaded.sounds().all(|sound| Some(sound) == known)
    }

    /// Does what was planned.
    async fn make(&mut self, stretch: &mut CutStretch, steps: Vec<CutStep>) -> Result<(), FfmpegError> {
        if !steps.is_empty() {
            // A neighbour may be all there is.
            let known = self.making.sound;
            self.mux.get_or_insert_with(|| Mux::new(Some(Coding::H264), known));
        }
        let CutStretch { planner, units, number, sound, .. } = stretch;
        let origin = planner.extent().map_or(0, |(origin, _)| origin);
        for step in steps {
            let (CutStep::Copy(numbers) | CutStep::Encode(numbers, ..)) = &step;
            let (from, to) = (numbers.start.saturating_sub(*number), numbers.end.saturating_sub(*number));
            let among = units.get(from..to).unwrap_or_default();
            // How long before it is shown a picture is decoded, around here.
            let ahead = among.first().map_or(0, |unit| unit.pts - unit.dts);
            self.ahead = ahead;
            let CutStep::Encode(_, times, place) = step else {
                for unit in among {
                    self.write_sound(sound, unit.dts, origin);
                    self.picture((unit.pts, unit.dts), unit.marks.random_access, &unit.data, origin);
                    self.send(PIECE).await?;
                }
                continue;
            };
            for made in encode(&self.pool, self.making.held, among, (&times, Timestamp::from_us(place))).await? {
                self.write_sound(sound, made.pts - ahead, origin);
                self.picture((made.pts, made.pts - ahead), made.is_key, &made.data, origin);
                self.send(PIECE).await?;
            }
        }
        units.drain(..planner.needed().saturating_sub(*number).min(units.len()));
        *number = planner.needed();
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
    pub(super) fn write_sound(&mut self, sound: &mut Vec<SoundFrame>, until: i64, origin: i64) {
        let count = sound.iter().take_while(|frame| frame.pts <= until).count();
        // Packets of several, unless these are the last.
        let count = if until == i64::MAX { count } else { count - count % TOGETHER };
        let move_by = self.begin - origin;
        let Some(mux) = &mut self.mux else { return };
        let mut packet: (i64, Vec<u8>, usize) = (0, Vec::new(), 0);
        for frame in sound.drain(..count) {
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

impl CutStretch {
    /// Takes in what a segment holds, and says what can be done then.
    fn take(&mut self, loaded: Loaded, turn: SegmentSteps) -> Vec<CutStep> {
        let frames = turn.sound.iter().filter_map(|at| loaded.frames.get(*at));
        self.sound.extend(frames.map(|frame| SoundFrame { pts: frame.pts + turn.shift, ..frame.clone() }));
        let moved = |unit: Unit| Unit { pts: unit.pts + turn.shift, dts: unit.dts + turn.shift, ..unit };
        self.units.extend(loaded.media.video.into_iter().map(moved));
        turn.steps
    }

    /// Why there is no cut: what segments without pictures say where there is nothing else.
    fn refused(&mut self, refusal: CutRefusal) -> FfmpegError {
        let blind = self.blind.found.take().filter(|_| refusal == CutRefusal::Nothing);
        blind.unwrap_or_else(|| refused(refusal, self.asked))
    }
}

/// Reads a segment; nothing where the cut goes on without it.
async fn load(segment: CutSegment, asked: (Timestamp, Timestamp)) -> Result<Option<Loaded>, FfmpegError> {
    let is_beside = segment.lies_beside(asked);
    match segment.load().await {
        Err(error) if is_beside => {
            without(&error);
            Ok(None)
        }
        loaded => loaded.map(Some),
    }
}
