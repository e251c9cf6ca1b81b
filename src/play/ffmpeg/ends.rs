//! Encodes anew what lies between a cut and a key frame: as much as a few seconds, like the pictures around it.

use std::sync::Arc;

use bytes::Bytes;

use super::pool::{Limit, Order, Turn};
use super::{FfmpegError, Pool};
use crate::archive::Timestamp;
use crate::media::{Likeness, Mux, Segment, Unit, likeness};

/// More than a few seconds of any stream have.
const MOST_BYTES: u64 = 256 << 20;
/// Where times begin in what is encoded: far from zero, so that none is below it.
const ORIGIN: i64 = 900_000;
/// Hardly to be told from the original; what is encoded is short, so its size does not matter.
const QUALITY: &str = "16";

/// A picture that was encoded.
#[derive(Debug)]
pub(super) struct Encoded {
    pub pts: i64,
    pub is_key: bool,
    pub data: Vec<u8>,
}

/// Encodes the pictures with these times (in order of time), first of the segment that begins then, of those that are to be decoded.
pub(super) async fn encode(
    pool: &Arc<Pool>,
    turn: HeldTurn,
    needed: &[Unit],
    (wanted, place): (&[i64], Timestamp),
) -> Result<Vec<Encoded>, FfmpegError> {
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
    let turn = turn.among(pool).await?;
    let Some(like) = needed.iter().find_map(|unit| likeness(&unit.data)) else {
        let why = format!("the pictures of the segment at {place} cannot be decoded on their own; take a rough cut");
        return Err(FfmpegError::Unsuitable(why));
    };
    let shift = ORIGIN - needed.iter().map(|unit| unit.pts.min(unit.dts)).min().unwrap_or_default();
    let mut mux = Mux::h264();
    mux.tables();
    for unit in needed {
        mux.video(unit.pts + shift, unit.dts + shift, unit.marks.random_access, &unit.data);
    }
    let order = Order {
        work: "ends",
        args: arguments(like, first + shift, last + shift),
        limit: Limit::Whole(pool.time()),
        most: MOST_BYTES,
    };
    let made = Segment::read(&pool.collect(turn, order, vec![Bytes::from(mux.take())]).await?);
    let mut made: Vec<Encoded> = made.video.into_iter().map(|unit| encoded(unit, shift)).collect();
    made.sort_by_key(|picture| picture.pts);
    let mut times: Vec<i64> = needed.iter().map(|unit| unit.pts).filter(|pts| (first..=last).contains(&pts)).collect();
    times.sort_unstable();
    // Fields that come one by one are shown two by two.
    if made.len() * if like.has_fields { 2 } else { 1 } < times.len() {
        let (count, missing) = (times.len(), times.len() - made.len());
        let why = format!(
            "{missing} of {count} pictures of the segment at {place} and behind cannot be decoded; take a rough cut"
        );
        return Err(FfmpegError::Unsuitable(why));
    }
    give_times(&mut made, &times);
    // Between them may be one that is in the cut before.
    made.retain(|picture| wanted.binary_search(&picture.pts).is_ok());
    Ok(made)
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldTurn {
    /// Nobody's: each process waits for one.
    None,
    /// Whoever this is made for has one until the end, and would wait for itself.
    Already,
}

impl HeldTurn {
    /// A turn for one process, if it wants one.
    pub(super) async fn among(self, pool: &Pool) -> Result<Option<Turn>, FfmpegError> {
        match self {
            Self::None => Ok(Some(pool.patient_turn("ends").await?)),
            Self::Already => Ok(None),
        }
    }
}

fn encoded(unit: Unit, shift: i64) -> Encoded {
    Encoded { pts: unit.pts - shift, is_key: unit.marks.random_access, data: unit.data }
}

/// Encoders round times. Where no picture was lost the n-th is the n-th; otherwise each takes the nearest time.
pub(super) fn give_times(made: &mut [Encoded], wanted: &[i64]) {
    if made.len() == wanted.len() {
        made.iter_mut().zip(wanted).for_each(|(picture, pts)| picture.pts = *pts);
        return;
    }
    for picture in made {
        let nearest = wanted.iter().min_by_key(|pts| pts.abs_diff(picture.pts));
        picture.pts = nearest.copied().unwrap_or(picture.pts);
    }
}

/// Those of pictures that are coded like this.
fn arguments(like: Likeness, first: i64, last: i64) -> Vec<String> {
    let filter = format!("settb=1/90000,trim=start_pts={first}:end_pts={}", last + 1);
    let mut args: Vec<String> =
        ["-copyts", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v:0", "-vf"].map(str::to_owned).into();
    args.push(filter);
    args.extend(encoder(like));
    args.extend(["-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts", "pipe:1"].map(str::to_owned));
    args
}

/// Encodes pictures like those around them.
pub(super) fn encoder(Likeness { profile, level, interlaced, .. }: Likeness) -> Vec<String> {
    // Pictures in the order in which they are shown: their times then fit those of their neighbours whatever these do.
    let encoder = ["-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "veryfast", "-crf", QUALITY, "-bf", "0"];
    let mut args: Vec<String> = encoder.map(str::to_owned).into();
    let name = match profile {
        66 => Some("baseline"),
        77 | 88 => Some("main"),
        100 => Some("high"),
        110 => Some("high10"),
        122 => Some("high422"),
        244 => Some("high444"),
        _ => None,
    };
    args.extend(name.into_iter().flat_map(|name| ["-profile:v".to_owned(), name.to_owned()]));
    args.extend(["-level:v".to_owned(), format!("{}.{}", level / 10, level % 10)]);
    if interlaced {
        // Which field comes first, pictures say of themselves.
        args.extend(["-flags:v", "+ilme+ildct"].map(str::to_owned));
    }
    args
}
