//! What an exact cut has to know of a segment: what its name and the reader say; and whether a cut can hold it.
//!
//! It has no bytes of pictures or sound, and knows nothing of the other segments: those are for [`CutPlanner`](super::CutPlanner).

use super::check::TOLERANCE_US;
use super::coding::Coding;
use super::entry::right_from;
use super::time::{TICKS, ticks};
use super::unit::{PlannedPicture, TableSpan, begins, shortest};

/// Sound lies in segments a little before or after the pictures that it belongs to, and pictures a little beside their segment's name: segments
/// that lie so far beside the window are read.
pub const SOUND_US: i64 = 1_000_000;
/// A picture is not believed to last longer than this.
const LONGEST_PICTURE: i64 = TICKS;

/// Why there is no exact cut. All but the last say which segment is meant, by when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutRefusal {
    /// The video, or the sound, is something that cannot be cut.
    Coding(i64, Coding),
    /// It is scrambled.
    Scrambled(i64),
    /// One of its streams is of an unknown kind.
    Unknown(i64),
    /// It holds so many ticks and its name says another number.
    Length(i64, i64, i64),
    /// Pictures of it cannot be decoded: there is no key frame before them.
    NoEntry(i64),
    /// The next key frame is too far.
    TooFar(i64),
    /// There is no picture in the window.
    Nothing,
}

/// A frame of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundSpan {
    /// When it begins.
    pub pts: i64,
    /// How long it lasts.
    pub ticks: i64,
}

/// What is said of a segment: by its name, and by the reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentContent {
    /// When it begins by its name, in microseconds.
    pub start_us: i64,
    /// When it ends by its name.
    pub end_us: i64,
    /// It is complete by its name, so that it has to last as long as that says.
    pub is_full: bool,
    /// What its tables say.
    pub stretches: Vec<TableSpan>,
    /// Its pictures in the order of decoding.
    pub pictures: Vec<PlannedPicture>,
    /// Its frames of sound.
    pub sound: Vec<SoundSpan>,
}

/// Where a picture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowPlace {
    Before,
    Within,
    After,
}

impl SegmentContent {
    /// What speaks against it in a cut.
    pub fn check(&self) -> Result<(), CutRefusal> {
        for stretch in &self.stretches {
            let video = stretch.video.filter(|coding| *coding != Coding::H264);
            if let Some(wrong) = video.or(stretch.sound.filter(|coding| !coding.is_cut_in_frames())) {
                return Err(CutRefusal::Coding(self.start_us, wrong));
            }
            if stretch.scrambled {
                return Err(CutRefusal::Scrambled(self.start_us));
            }
            if stretch.unknown.is_some() {
                return Err(CutRefusal::Unknown(self.start_us));
            }
        }
        match self.differs().filter(|_| !self.pictures.is_empty()) {
            Some((holds, named)) => Err(CutRefusal::Length(self.start_us, holds, named)),
            None => Ok(()),
        }
    }

    /// How long it lasts and how long it should, where its pictures and its sound both last longer or shorter than its name says. One that
    /// lasts as long is enough: a camera may freeze, and sound may end before its picture.
    fn differs(&self) -> Option<(i64, i64)> {
        let named = ticks(self.end_us.saturating_sub(self.start_us));
        let pictures = lasting(&self.times());
        let heard = self.sound.first().zip(self.sound.last());
        let heard = heard.map(|(first, last)| (last.pts + last.ticks - first.pts, 0));
        let found: Vec<(i64, i64)> = [pictures, heard].into_iter().flatten().collect();
        let most = |step: i64| ticks(TOLERANCE_US.cast_signed()) + step.min(LONGEST_PICTURE);
        let is_wrong = found.iter().all(|(lasts, step)| (lasts - named).abs() > most(*step));
        let (longest, _) = found.into_iter().max().filter(|_| self.is_full && is_wrong)?;
        Some((longest, named))
    }

    /// Whether what is wanted of it in this window, in microseconds, needs pictures from before the segment; for one that lies before the
    /// window, whether decoding cannot begin in it.
    pub fn needs_more(&self, window: (i64, i64)) -> bool {
        let bounds = self.bounds(window);
        let is_within = |picture: &PlannedPicture| bounds.place(picture.pts) == WindowPlace::Within;
        let until = self.pictures.iter().rposition(is_within).map_or(self.pictures.len(), |last| last + 1);
        let pictures = self.pictures.get(..until).unwrap_or_default();
        let mut right = None;
        for (at, picture) in pictures.iter().enumerate() {
            let here = right_from(pictures.iter().skip(at).map(|later| (later.pts, later.marks)));
            right = here.or(right);
            if is_within(picture) && right.is_none_or(|from| picture.pts < from) {
                return true;
            }
        }
        right.is_none()
    }

    pub(super) fn times(&self) -> Vec<i64> {
        let mut times: Vec<i64> = self.pictures.iter().map(|picture| picture.pts).collect();
        times.sort_unstable();
        times
    }

    /// Whether it holds nothing of that window, in microseconds, but some sound.
    pub fn lies_beside(&self, (start_us, end_us): (i64, i64)) -> bool {
        self.end_us <= start_us || self.start_us >= end_us
    }

    pub(super) fn bounds(&self, (start_us, end_us): (i64, i64)) -> Bounds {
        let first = begins(self.pictures.iter().map(|picture| (picture.pts, picture.marks))).unwrap_or_default();
        let stamp = |us: i64| first.saturating_add(ticks(us.saturating_sub(self.start_us)));
        let near = ticks(SOUND_US);
        let (earliest, latest) = (first.saturating_sub(near), stamp(self.end_us).saturating_add(near - 1));
        Bounds { start: stamp(start_us), end: stamp(end_us), earliest, latest }
    }

    /// The numbers of the frames of sound that lie in the window.
    pub(super) fn sound_within(&self, window: (i64, i64)) -> Vec<usize> {
        let Bounds { start, end, .. } = self.bounds(window);
        // Whatever its times say, a neighbour has but a little of it.
        let most = if self.lies_beside(window) { ticks(SOUND_US) } else { end - start };
        let within = if self.start_us < window.1 { start..end.min(start + most) } else { start.max(end - most)..end };
        let is_within = |heard: &SoundSpan| within.contains(&(heard.pts + heard.ticks / 2));
        self.sound.iter().enumerate().filter(|(_, heard)| is_within(heard)).map(|(at, _)| at).collect()
    }
}

/// A window as the stamps of one segment say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    start: i64,
    end: i64,
    /// No picture counts as shown earlier, since its segment would not be read.
    earliest: i64,
    /// Nor later.
    latest: i64,
}

impl Bounds {
    pub(super) fn place(&self, pts: i64) -> WindowPlace {
        let pts = pts.min(self.latest).max(self.earliest);
        if pts < self.start {
            WindowPlace::Before
        } else if pts < self.end {
            WindowPlace::Within
        } else {
            WindowPlace::After
        }
    }
}

/// How long pictures with these times, in order, last, the last one included, and how long one of them does.
fn lasting(times: &[i64]) -> Option<(i64, i64)> {
    let span = times.last()? - times.first()?;
    shortest(times)?;
    let step = span / i64::try_from(times.len()).ok()?.saturating_sub(1).max(1);
    Some((span + step, step))
}
