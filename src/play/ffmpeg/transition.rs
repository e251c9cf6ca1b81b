//! From one stretch to the next by a transition: the end of one and the beginning of the other are shown over each other.
//!
//! 1. Both are cut exactly and put into one small stream, with a gap between them, so that it is known which picture belongs to which.
//! 2. ffmpeg decodes that, lets one go over into the other (`xfade`, `acrossfade`), and encodes the pictures like those around them.
//! 3. What it gives goes into the cut in place of both. Everything else stays the recording to the byte.
//!
//! Kinds have the names that editors of this field use: most are ffmpeg's own, a few are formulas.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::cutter::{BEGIN, Cutter, Making, PIECE};
use super::ends::{Encoded, encoder, give_times};
use super::pool::{Limit, Order};
use super::segment::{Clip, CutSegment};
use super::{CutFormat, FfmpegError, Pool};
use crate::archive::Span;
use crate::media::{Coding, Likeness, Segment, SoundFrame, TICKS, likeness, shortest};

/// As metrics and log name it.
const WORK: &str = "transition";
/// Both sides are held in memory.
const LONGEST: Span = Span::from_us(60_000_000);
/// Of both sides together, and of what becomes of them.
const MOST_BYTES: usize = 256 << 20;
/// Between both sides.
const GAP: i64 = 5 * TICKS;
/// Pieces that wait to be gathered.
const WAITING: usize = 8;
/// The sound of both sides is as long as its pictures to the sample; fading it a little shorter, neither can be too short for it.
const SHORTER: f64 = 0.002;

/// Kinds that ffmpeg knows by these names; older ones do not know all.
const OWN: [&str; 56] = [
    "fade",
    "fadeblack",
    "fadewhite",
    "fadegrays",
    "wipeleft",
    "wiperight",
    "wipeup",
    "wipedown",
    "slideleft",
    "slideright",
    "slideup",
    "slidedown",
    "circlecrop",
    "rectcrop",
    "distance",
    "radial",
    "smoothleft",
    "smoothright",
    "smoothup",
    "smoothdown",
    "circleopen",
    "circleclose",
    "vertopen",
    "vertclose",
    "horzopen",
    "horzclose",
    "dissolve",
    "pixelize",
    "diagtl",
    "diagtr",
    "diagbl",
    "diagbr",
    "hlslice",
    "hrslice",
    "vuslice",
    "vdslice",
    "hblur",
    "wipetl",
    "wipetr",
    "wipebl",
    "wipebr",
    "squeezeh",
    "squeezev",
    "zoomin",
    "hlwind",
    "hrwind",
    "vuwind",
    "vdwind",
    "coverleft",
    "coverright",
    "coverup",
    "coverdown",
    "revealleft",
    "revealright",
    "revealup",
    "revealdown",
];

/// Kinds that are formulas: `P` runs from 1 to 0, `A` is the old picture, `B` the new one.
const FORMULAS: [(&str, &str); 3] = [
    // The angle from the top, clockwise.
    ("clockwipe", "if(lt(mod(atan2(X-W/2,H/2-Y)+2*PI,2*PI),(1-P)*2*PI),B,A)"),
    ("diamondwipe", "if(lt(abs(X/W-0.5)+abs(Y/H-0.5),1-P),B,A)"),
    // Between five tips and five corners that lie two fifths as far out, straight in angle; large enough in the end for all corners.
    (
        "starwipe",
        "if(lt(hypot(X-W/2,Y-H/2)/hypot(W/2,H/2),2.6*(1-P)*(0.4+0.6*abs(mod(atan2(X-W/2,H/2-Y)+2*PI,2*PI/5)-PI/5)/(PI/5))),B,A)",
    ),
];

/// How one stretch goes over into the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    kind: &'static str,
    /// How long both are shown.
    pub lasts: Span,
}

/// What is no transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTransition {
    /// Two parts are wanted.
    #[error("KIND,SECONDS, such as fade,1, or nothing for a hard cut")]
    Form,
    /// Of this kind there is none here.
    #[error("a kind that is known here: those of ffmpeg's xfade, clockwipe, diamondwipe or starwipe")]
    Kind,
    /// It is too short or too long.
    #[error("more than 0 and at most {} seconds", LONGEST.us() / 1_000_000)]
    Length,
}

impl Transition {
    /// Reads `KIND,SECONDS`.
    pub fn parse(text: &str) -> Result<Self, UnknownTransition> {
        let (name, seconds) = text.split_once(',').ok_or(UnknownTransition::Form)?;
        let known = OWN.iter().chain(FORMULAS.iter().map(|(formula, _)| formula)).find(|known| **known == name.trim());
        let kind = known.ok_or(UnknownTransition::Kind)?;
        let seconds: f64 = seconds.trim().parse().map_err(|_| UnknownTransition::Form)?;
        #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates, and is checked")]
        let lasts = Span::from_us((seconds * 1e6).round() as i64);
        let is_possible = seconds.is_finite() && lasts > Span(0) && lasts <= LONGEST;
        if is_possible { Ok(Self { kind, lasts }) } else { Err(UnknownTransition::Length) }
    }

    /// As a filter of ffmpeg wants it.
    fn filter(&self, (lasts, begins): (f64, f64)) -> String {
        let formula = FORMULAS.iter().find(|(name, _)| *name == self.kind);
        let kind = formula.map_or_else(|| self.kind.to_owned(), |(_, formula)| format!("custom:expr='{formula}'"));
        format!("xfade=transition={kind}:duration={lasts:.6}:offset={begins:.6}")
    }
}

/// What a cut is put together from.
#[derive(Debug)]
pub enum Part {
    /// A stretch.
    Clip(Clip),
    /// The end of one stretch over the beginning of the next.
    Transition {
        /// The end.
        tail: Clip,
        /// The beginning.
        head: Clip,
        /// How.
        transition: Transition,
    },
}

impl From<Clip> for Part {
    fn from(clip: Clip) -> Self {
        Self::Clip(clip)
    }
}

impl Part {
    /// What comes first.
    pub(super) fn first(self) -> Clip {
        match self {
            Self::Clip(clip) | Self::Transition { tail: clip, .. } => clip,
        }
    }

    pub(super) fn segments(&mut self) -> impl Iterator<Item = &mut CutSegment> {
        let both = match self {
            Self::Clip(clip) => [Some(clip), None],
            Self::Transition { tail, head, .. } => [Some(tail), Some(head)],
        };
        both.into_iter().flatten().flat_map(|clip| &mut clip.segments)
    }

    /// What it is made of, and how much longer the cut is after each.
    pub(super) fn clips(&self) -> impl Iterator<Item = (&Clip, Span)> {
        let lasts = |clip: &Clip| clip.end - clip.start;
        let both = match self {
            Self::Clip(clip) => [Some((clip, lasts(clip))), None],
            Self::Transition { tail, head, .. } => [Some((tail, lasts(tail))), Some((head, Span(0)))],
        };
        both.into_iter().flatten()
    }
}

/// The transitions of these, one of each kind.
pub(super) fn among(parts: &[Part]) -> Vec<Transition> {
    let mut kinds: Vec<Transition> = Vec::new();
    for part in parts {
        if let Part::Transition { transition, .. } = part
            && !kinds.iter().any(|known| known.kind == transition.kind)
        {
            kinds.push(transition.clone());
        }
    }
    kinds
}

/// Whether the program that is installed knows these: what is found out later breaks a download off.
pub(super) async fn known(pool: &Arc<Pool>, transitions: Vec<Transition>) -> Result<(), FfmpegError> {
    for transition in transitions {
        let source = "color=size=32x32:rate=10:duration=0.4";
        let filter = format!("[0:v][1:v]{}", transition.filter((0.2, 0.1)));
        let args =
            ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", source, "-filter_complex", &filter, "-f", "null", "-"];
        let order =
            Order { work: WORK, args: args.map(str::to_owned).into(), limit: Limit::Whole(pool.time()), most: 1 << 20 };
        let turn = pool.turn(WORK).await?;
        pool.collect(Some(turn), order, Vec::new()).await.map_err(|error| match error {
            FfmpegError::Failed { .. } => {
                let kind = transition.kind;
                FfmpegError::Unsuitable(format!("the ffmpeg of this node does not know the transition {kind}"))
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Both sides in one small stream, in ticks.
struct JoinedSides {
    media: Segment,
    tail: i64,
    /// Where the head begins.
    begin: i64,
    head: i64,
}

impl Cutter<'_> {
    /// Writes what becomes of both sides.
    pub(super) async fn transition(
        &mut self,
        tail: Clip,
        head: Clip,
        transition: &Transition,
    ) -> Result<(), FfmpegError> {
        let place = tail.start;
        let (both, bytes) = self.both(tail, head).await?;
        let mut wanted: Vec<i64> =
            both.media.video.iter().map(|unit| unit.pts).filter(|pts| *pts < both.begin).collect();
        wanted.sort_unstable();
        let like = both.media.video.iter().find_map(|unit| likeness(&unit.data));
        let useless = || FfmpegError::Useless(format!("the transition at {place}"));
        let coding = both.sound(place)?;
        let order = Order {
            work: WORK,
            args: both.arguments(transition, like.ok_or_else(useless)?, coding),
            limit: Limit::Whole(self.pool.time()),
            most: MOST_BYTES as u64,
        };
        let turn = self.making.held.among(&self.pool).await?;
        let made = Segment::read(&self.pool.collect(turn, order, vec![Bytes::from(bytes)]).await?);
        self.announce(made.codings().1.filter(|_| coding.is_some()), place)?;
        let middle = BEGIN..BEGIN + both.tail;
        let sound = made.sound_frames().into_iter().filter(|frame| middle.contains(&(frame.pts + frame.ticks / 2)));
        let mut sound: Vec<SoundFrame> = sound.collect();
        let mut pictures: Vec<Encoded> = made.video.into_iter().map(Encoded::from).collect();
        pictures.sort_by_key(|picture| picture.pts);
        pictures.truncate(wanted.len());
        give_times(&mut pictures, &wanted);
        let last = pictures.last().ok_or_else(useless)?.pts;
        let ahead = self.ahead;
        for picture in pictures {
            self.write_sound(&mut sound, picture.pts - ahead, BEGIN);
            self.picture((picture.pts, picture.pts - ahead), picture.is_key, &picture.data, BEGIN);
            self.send(PIECE).await?;
        }
        self.write_sound(&mut sound, i64::MAX, BEGIN);
        self.begin += last + shortest(&wanted).unwrap_or(both.tail) - BEGIN;
        Ok(())
    }

    async fn both(&self, tail: Clip, head: Clip) -> Result<(JoinedSides, Vec<u8>), FfmpegError> {
        let (sender, mut pieces) = mpsc::channel(WAITING);
        let making = Making { format: CutFormat::Ts, ..self.making };
        let pool = Arc::clone(&self.pool);
        let cutting = async move {
            let mut cutter = Cutter::new(pool, making, &sender);
            cutter.clip(tail).await?;
            let lasts = cutter.begin - BEGIN;
            cutter.begin += GAP;
            let begin = cutter.begin;
            cutter.clip(head).await?;
            cutter.send(0).await?;
            Ok::<_, FfmpegError>((lasts, begin, cutter.begin - begin))
        };
        let gathering = async {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend_from_slice(&piece?);
                if all.len() > MOST_BYTES {
                    return Err(FfmpegError::Unsuitable("a transition has too many bytes; make it shorter".into()));
                }
            }
            Ok(all)
        };
        let (cut, bytes) = tokio::try_join!(cutting, gathering)?;
        Ok((JoinedSides { media: Segment::read(&bytes), tail: cut.0, begin: cut.1, head: cut.2 }, bytes))
    }
}

impl From<crate::media::Unit> for Encoded {
    fn from(unit: crate::media::Unit) -> Self {
        Self { pts: unit.pts, is_key: unit.marks.random_access, data: unit.data }
    }
}

impl JoinedSides {
    /// What the sound is, if there is any: on both sides, or on neither.
    fn sound(&self, place: crate::archive::Timestamp) -> Result<Option<Coding>, FfmpegError> {
        let before = self.media.sound.iter().any(|unit| unit.pts < self.begin - GAP / 2);
        let after = self.media.sound.iter().any(|unit| unit.pts >= self.begin - GAP / 2);
        if before == after {
            return Ok(self.media.codings().1.filter(|_| before));
        }
        let why = format!(
            "on one side of the transition at {place} there is no sound; take a hard cut, which is transition="
        );
        Err(FfmpegError::Unsuitable(why))
    }

    fn arguments(&self, transition: &Transition, like: Likeness, sound: Option<Coding>) -> Vec<String> {
        let split = self.begin - GAP / 2;
        let lasts = self.tail.min(self.head);
        let pictures = transition.filter((seconds(lasts), seconds(self.tail - lasts)));
        let formats = pixels(like.profile);
        let mut filter = format!(
            "[0:v]settb=1/90000,split[v0][v1];[v0]trim=end_pts={split}[a];[v1]trim=start_pts={split}[b];[a][b]{pictures},format={formats}[v]"
        );
        let mut maps = vec!["-map", "[v]"];
        if sound.is_some() {
            let side = |name: &str, (from, to): (i64, i64), begin: i64, length: i64| {
                let (from, to, begin, length) = (seconds(from), seconds(to), seconds(begin), seconds(length));
                format!(
                    "[{name}]atrim=start={from:.6}:end={to:.6},asetpts=PTS-{begin:.6}/TB,aresample=async=1:first_pts=0,apad,\
                     atrim=end={length:.6}"
                )
            };
            let tail = side("s0", (0, split), BEGIN, self.tail);
            let head = side("s1", (split, self.begin + self.head + GAP), self.begin, self.head);
            let (fades, begin) = (seconds(lasts) - SHORTER, seconds(BEGIN));
            let sounds = format!(
                ";[0:a]asplit[s0][s1];{tail}[c];{head}[d];[c][d]acrossfade=duration={fades:.6},asetpts=PTS+{begin:.6}/TB[s]"
            );
            filter.push_str(&sounds);
            maps.extend(["-map", "[s]"]);
        }
        let mut args: Vec<String> =
            ["-copyts", "-f", "mpegts", "-i", "pipe:0", "-filter_complex"].map(str::to_owned).into();
        args.push(filter);
        args.extend(maps.into_iter().map(str::to_owned));
        args.extend(encoder(like));
        let encoder: &[&str] = match sound {
            Some(Coding::MpegAudio) => &["-c:a", "mp2"],
            Some(Coding::Dolby) => &["-c:a", "ac3"],
            Some(Coding::EnhancedDolby) => &["-c:a", "eac3"],
            _ => &["-c:a", "aac", "-b:a", "192k"],
        };
        args.extend(encoder.iter().map(|&arg| arg.to_owned()));
        args.extend(["-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts", "pipe:1"].map(str::to_owned));
        args
    }
}

/// Ways to hold pixels that a profile of H.264 has; ffmpeg mixes in richer ones, and would stay there.
fn pixels(profile: u8) -> &'static str {
    match profile {
        110 => "yuv420p10le|yuv420p",
        122 => "yuv422p10le|yuv422p|yuvj422p",
        244 => "yuv444p|yuvj444p|yuv444p10le",
        _ => "yuv420p|yuvj420p",
    }
}

#[expect(clippy::cast_precision_loss, reason = "of a minute, to the microsecond")]
fn seconds(ticks: i64) -> f64 {
    ticks as f64 / TICKS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_has_a_kind_that_is_known_and_a_length() {
        let known = Transition::parse("fade,1.5").unwrap();
        assert_eq!(known, Transition { kind: "fade", lasts: Span::from_us(1_500_000) });
        assert_eq!(known.filter((1.5, 0.0)), "xfade=transition=fade:duration=1.500000:offset=0.000000");
        assert!(Transition::parse("clockwipe,1").unwrap().filter((1.0, 0.0)).contains("transition=custom:expr='if("));
        for (text, why) in [
            ("fade", UnknownTransition::Form),
            ("fade,x", UnknownTransition::Form),
            ("fade:duration=9,1", UnknownTransition::Kind),
            ("batman,1", UnknownTransition::Kind),
            (",1", UnknownTransition::Kind),
            ("fade,0", UnknownTransition::Length),
            ("fade,-1", UnknownTransition::Length),
            ("fade,inf", UnknownTransition::Length),
            ("fade,NaN", UnknownTransition::Length),
            ("fade,1e300", UnknownTransition::Length),
            ("fade,61", UnknownTransition::Length),
        ] {
            assert_eq!(Transition::parse(text), Err(why), "{text}");
        }
    }
}
