//! The picture of a moment, as PNG: the first one that is not before it, which is what cutters of this field take.
//!
//! 1. That is the next picture after the time. Where the picture stands still for longer than one lasts, it is the one that stands there;
//!    behind the last picture it is that one.
//! 2. It is put into a stream with those that decoding it needs: from the last key frame on, which may lie in a segment before, as far as
//!    they join.
//! 3. ffmpeg decodes them and writes that one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::pool::{Limit, Order};
use super::segment::{CutSegment, Loaded};
use super::{FfmpegError, Pool};
use crate::archive::{Span, Timestamp};
use crate::media::{Coding, Mux, Unit, likeness, right_from, shortest, ticks};

/// A picture takes well below a second; whoever looks at it has gone by then.
const TIME: Duration = Duration::from_secs(20);
/// More than any picture of a stream has.
const MOST_BYTES: u64 = 64 << 20;
/// What is looked at for a key frame is held in memory.
const MOST_HELD: usize = 256 << 20;
/// Where times begin in what is decoded: far from zero, so that none is below it.
const ORIGIN: i64 = 900_000;
/// Some streams send the second half of a picture on its own; it comes right behind.
const BEHIND: usize = 2;

/// A segment around the wanted time, and whether it goes on where the one before it ends.
#[derive(Debug)]
pub struct Near {
    /// The segment.
    pub segment: CutSegment,
    /// It joins.
    pub joins: bool,
}

impl Near {
    /// A picture that lies this far beside the wanted time is still given.
    pub const BESIDE: Span = Span::from_us(1_000_000);
    /// A key frame is looked for as far back as this.
    pub const BACK: Span = Span::from_us(60_000_000);
}

/// The picture of `time`, of segments in order: those that lie up to [`Near::BESIDE`] from it, and those before that join.
pub async fn frame(pool: &Arc<Pool>, near: Vec<Near>, time: Timestamp) -> Result<Vec<u8>, FfmpegError> {
    let turn = pool.turn("frame").await?;
    let (coding, needed, shown) = JoinedPictures::around(near, time).await?;
    let earliest = needed.iter().map(|unit| unit.pts.min(unit.dts)).min().unwrap_or_default();
    let shift = ORIGIN - earliest;
    let mut mux = Mux::new(coding, None);
    mux.tables();
    let mut last = i64::MIN;
    for unit in &needed {
        // Segments may overlap a little by their names.
        let dts = (unit.dts + shift).max(last.saturating_add(1));
        last = dts;
        mux.video((unit.pts + shift).max(dts), dts, unit.marks.random_access, &unit.data);
    }
    let filter = format!("settb=1/90000,trim=start_pts={}", shown + shift);
    let args = ["-copyts", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v:0", "-vf", &filter, "-frames:v", "1"];
    let output = ["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "png", "pipe:1"];
    let order = Order {
        work: "frame",
        args: args.iter().chain(&output).map(|&arg| arg.to_owned()).collect(),
        limit: Limit::Whole(TIME.min(pool.time())),
        most: MOST_BYTES,
    };
    let png = pool.collect(Some(turn), order, vec![Bytes::from(mux.take())]).await?;
    if png.is_empty() {
        return Err(FfmpegError::Unsuitable("the picture at that time cannot be decoded".into()));
    }
    Ok(png)
}

/// Pictures of segments that join, in the order of decoding, with times in ticks from the wanted one on.
struct JoinedPictures {
    units: Vec<Unit>,
    coding: Option<Coding>,
    /// When its first segment begins, by its name.
    start: Timestamp,
    /// The segments before, the last of them first.
    before: Vec<Near>,
    /// Whether the first segment of the line joins those.
    joins: bool,
}

impl JoinedPictures {
    /// What has to be decoded, what it is, and the time of what is shown then.
    async fn around(mut near: Vec<Near>, time: Timestamp) -> Result<(Option<Coding>, Vec<Unit>, i64), FfmpegError> {
        let at = near.iter().rposition(|each| each.segment.start <= time).unwrap_or(0);
        let mut after = near.split_off(at).into_iter();
        near.reverse();
        let nothing = || FfmpegError::Nothing(format!("there is no picture at {time}"));
        let Near { segment, joins } = after.next().ok_or_else(nothing)?;
        let mut line = Self::of(segment.load().await?, time, near, joins)?;
        let mut shown = line.shown();
        if let (None | Some((_, false)), Some(next)) = (shown, after.next()) {
            // The next picture is the first of the next segment.
            let behind = Self::of(next.segment.load().await?, time, Vec::new(), next.joins);
            match behind {
                Ok(behind) if behind.joins && behind.coding == line.coding => {
                    line.units.extend(behind.units);
                    shown = line.shown();
                }
                Ok(behind) if shown.is_none_or(|(pts, _)| behind.first() < -pts) => {
                    shown = behind.shown();
                    line = behind;
                }
                // What is there already will do.
                _ => {}
            }
        }
        let (shown, _) = shown.ok_or_else(nothing)?;
        loop {
            if let Some(begin) = line.begin(shown) {
                let last = line.units.iter().position(|unit| unit.pts == shown).unwrap_or(begin);
                line.units.truncate(last + 1 + BEHIND);
                return Ok((line.coding, line.units.split_off(begin), shown));
            }
            line.go_back(time).await?;
        }
    }

    fn of(loaded: Loaded, time: Timestamp, before: Vec<Near>, joins: bool) -> Result<Self, FfmpegError> {
        let (start, coding) = (loaded.start, loaded.media.codings().0);
        if let Some(other) = coding.filter(|coding| !coding.is_in_transport_streams()) {
            let name = other.name();
            return Err(FfmpegError::Unsuitable(format!(
                "the video of the segment at {start} is {name}, of which no pictures are made"
            )));
        }
        let lacks = loaded.lacks("video");
        let units = from(loaded, time);
        if units.is_empty() {
            Err(FfmpegError::Unsuitable(lacks))
        } else {
            Ok(Self { units, coding, start, before, joins })
        }
    }

    fn first(&self) -> i64 {
        self.units.iter().map(|unit| unit.pts).min().unwrap_or(i64::MAX)
    }

    /// The time of the picture to be shown, and whether it is known that none is nearer.
    fn shown(&self) -> Option<(i64, bool)> {
        let mut times: Vec<i64> = self.units.iter().map(|unit| unit.pts).collect();
        times.sort_unstable();
        let at = times.partition_point(|pts| *pts < 0);
        let stands = at.checked_sub(1).and_then(|at| times.get(at)).copied();
        let step = shortest(&times).unwrap_or_default();
        match (times.get(at).copied(), stands) {
            // The next one is more than a picture away, and so is the one that stands there: times are rounded.
            (Some(next), Some(stands)) if next > step + step / 2 => Some((stands, true)),
            (Some(next), _) => Some((next, true)),
            (None, stands) => stands.map(|stands| (stands, false)),
        }
    }

    /// Where decoding has to begin; nothing if that lies further back.
    fn begin(&self, shown: i64) -> Option<usize> {
        let at = self.units.iter().position(|unit| unit.pts == shown)?;
        let before = self.units.get(..=at)?;
        let is_right = |begin: &usize| {
            let pictures = before.iter().skip(*begin).map(|unit| (unit.pts, unit.marks));
            right_from(pictures).is_some_and(|from| from <= shown)
        };
        let entry = (0..before.len()).rfind(is_right);
        let key = before.iter().rposition(|unit| unit.marks.random_access && unit.pts <= shown);
        match self.coding {
            // Parameters may come behind it; without any it is none.
            Some(Coding::H264) => {
                let has_parameters =
                    |begin: &usize| before.iter().skip(*begin).any(|unit| likeness(&unit.data).is_some());
                entry.max(key.filter(has_parameters))
            }
            Some(Coding::Hevc) => entry.max(key),
            // Nothing is read of it that says where decoding may begin.
            _ => Some(key.unwrap_or(0)),
        }
    }

    /// Puts the segment before in front.
    async fn go_back(&mut self, time: Timestamp) -> Result<(), FfmpegError> {
        let start = self.start;
        let none = || {
            let why = format!(
                "there is no key frame before that time in what joins the segment at {start}, so that it cannot be decoded"
            );
            FfmpegError::Unsuitable(why)
        };
        let held: usize = self.units.iter().map(|unit| unit.data.len()).sum();
        if !self.joins || self.before.is_empty() || held > MOST_HELD {
            return Err(none());
        }
        let Near { segment, joins } = self.before.remove(0);
        let loaded = segment.load().await?;
        if loaded.media.codings().0 != self.coding {
            return Err(none());
        }
        (self.start, self.joins) = (loaded.start, joins);
        let mut units = from(loaded, time);
        units.append(&mut self.units);
        self.units = units;
        Ok(())
    }
}

/// The pictures of a segment, with times from the wanted one on.
fn from(loaded: Loaded, time: Timestamp) -> Vec<Unit> {
    let move_by = ticks((loaded.start - time).us()) - loaded.first;
    let mut units = loaded.media.video;
    for unit in &mut units {
        (unit.pts, unit.dts) = (unit.pts + move_by, unit.dts + move_by);
    }
    units
}
