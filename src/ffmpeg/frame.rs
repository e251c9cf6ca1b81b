//! The picture that is shown at a time, as PNG.
//!
//! 1. Of the segment the picture with the latest time that is not after the wanted one is found.
//! 2. It is put into a stream with those that decoding it needs: from the last key frame on.
//! 3. ffmpeg decodes them and writes that one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::pool::{Limit, Order};
use super::segment::CutSegment;
use super::{FfmpegError, Pool};
use crate::domain::Timestamp;
use crate::media::{Coding, Mux, Segment, Unit};

/// A picture takes well below a second; whoever looks at it has gone by then.
const TIME: Duration = Duration::from_secs(20);
/// More than any picture of a stream has.
const MOST_BYTES: u64 = 64 << 20;
/// Where times begin in what is decoded: far from zero, so that none is below it.
const ORIGIN: i64 = 900_000;
/// Some streams send the second half of a picture on its own; it comes right behind.
const BEHIND: usize = 2;

/// The picture that is shown at `time`, which lies in this segment.
pub async fn frame(pool: &Arc<Pool>, segment: CutSegment, time: Timestamp) -> Result<Vec<u8>, FfmpegError> {
    let turn = pool.turn("frame").await?;
    let loaded = segment.load().await?;
    let Some((needed, shown)) = needed(&loaded.media.video, loaded.at(time)) else {
        return Err(FfmpegError::Unsuitable(loaded.lacks("video")));
    };
    let coding = coding(&loaded.media, needed);
    let says_where_to_begin = matches!(coding, Some(Coding::H264 | Coding::Hevc));
    if says_where_to_begin && !needed.first().is_some_and(|unit| unit.marks.random_access) {
        let start = loaded.start;
        let why =
            format!("in the segment at {start} there is no key frame before that time, so that it cannot be decoded");
        return Err(FfmpegError::Unsuitable(why));
    }
    let earliest = needed.iter().map(|unit| unit.pts.min(unit.dts)).min().unwrap_or_default();
    let shift = ORIGIN - earliest;
    let mut mux = Mux::new(coding, None);
    mux.tables();
    for unit in needed {
        mux.video(unit.pts + shift, unit.dts + shift, unit.marks.random_access, &unit.data);
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
    let png = pool.collect(turn, order, vec![Bytes::from(mux.take())]).await?;
    if png.is_empty() {
        return Err(FfmpegError::Useless("the picture at that time cannot be decoded".into()));
    }
    Ok(png)
}

/// What these pictures are.
fn coding(media: &Segment, units: &[Unit]) -> Option<Coding> {
    let stretch = units.first().and_then(|unit| media.stretches.get(unit.stretch));
    stretch.and_then(|stretch| stretch.video)
}

/// What has to be decoded, and the time stamp of what is shown then.
fn needed(units: &[Unit], wanted: i64) -> Option<(&[Unit], i64)> {
    let first = units.iter().map(|unit| unit.pts).min()?;
    let shown = units.iter().map(|unit| unit.pts).filter(|pts| *pts <= wanted).max().unwrap_or(first);
    let at = units.iter().position(|unit| unit.pts == shown)?;
    let before = units.get(..=at)?;
    let begin = before.iter().rposition(|unit| unit.marks.random_access && unit.pts <= shown).unwrap_or(0);
    let needed = units.get(begin..units.len().min(at + 1 + BEHIND))?;
    Some((needed, shown))
}
