//! What can be cut exactly: decided at each segment, so that nothing is lost in silence.

use super::FfmpegError;
use super::segment::Loaded;
use super::transition::Part;
use crate::archive::{Span, Timestamp};
use crate::media::{Coding, CutRefusal, Role, TICKS};

/// So many segments without sound are looked at for it before the cut begins.
const MOST_SILENT: usize = 1_000;
/// Where so many segments have no pictures before the first one that has any it is no stream of pictures.
const MOST_BLIND: usize = 30;

/// Segments without pictures.
#[derive(Default)]
pub(super) struct Blind {
    count: usize,
    /// What to say of the first, if there is nothing else.
    pub(super) found: Option<FfmpegError>,
}

impl Blind {
    /// One more.
    pub(super) fn count(&mut self, loaded: &Loaded) -> Result<(), FfmpegError> {
        let why = format!("{}; take a rough cut", loaded.lacks("video"));
        let found = self.found.get_or_insert(FfmpegError::Unsuitable(why));
        self.count += 1;
        if self.count < MOST_BLIND { Ok(()) } else { Err(found.clone()) }
    }
}

/// Why there is no exact cut of what was asked for, as a sentence.
pub(super) fn refused(refusal: CutRefusal, (from, to): (Timestamp, Timestamp)) -> FfmpegError {
    let at = Timestamp::from_us;
    let why = match refusal {
        CutRefusal::Coding(start_us, found) => {
            let is_sound = found.role() == Role::Sound;
            let (what, right) = if is_sound { ("sound", "AAC, MP2 or AC-3") } else { ("video", "H.264") };
            format!("the {what} of the segment at {} is {} and an exact cut wants {right}", at(start_us), found.name())
        }
        CutRefusal::Scrambled(start_us) => format!("the segment at {} is scrambled", at(start_us)),
        CutRefusal::Unknown(start_us) => {
            format!("a stream of the segment at {} is of an unknown kind and would be lost", at(start_us))
        }
        CutRefusal::Length(start_us, holds, named) => {
            // Milliseconds are enough for people.
            let seconds = |ticks: i64| format!("{}.{:03}", ticks / TICKS, ticks % TICKS * 1_000 / TICKS);
            let (holds, named) = (seconds(holds), seconds(named));
            format!("the segment at {} holds {holds} s and its name says {named} s", at(start_us))
        }
        CutRefusal::NoEntry(start_us) => {
            let start = at(start_us);
            format!(
                "pictures of the segment at {start} cannot be decoded: no key frame comes before them in what joins it"
            )
        }
        CutRefusal::TooFar(start_us) => {
            format!("at {} there is no key frame for too long to cut exactly", at(start_us))
        }
        CutRefusal::Nothing => return FfmpegError::Nothing(format!("there is no picture from {from} to {to}")),
    };
    FfmpegError::Unsuitable(format!("{why}; take a rough cut"))
}

/// The first sound there is, in which segment, and how long after the beginning of the cut. Mostly that is the first segment.
pub(super) async fn first_sound(
    parts: Vec<Part>,
) -> Result<(Vec<Part>, Option<(Coding, Timestamp, Span)>), FfmpegError> {
    let look = move || {
        let found = look_for_sound(&parts);
        (parts, found)
    };
    tokio::task::spawn_blocking(look).await.map_err(|error| FfmpegError::Unreadable(error.to_string()))
}

fn look_for_sound(parts: &[Part]) -> Option<(Coding, Timestamp, Span)> {
    let (mut before, mut looked) = (Span(0), 0);
    for (clip, lasts) in parts.iter().flat_map(Part::clips) {
        let mut begins = None;
        for segment in clip.segments.iter().filter(|segment| !segment.lies_beside((clip.start, clip.end))) {
            // What is missing in front of the first segment is cut around, and takes no time.
            let begins = *begins.get_or_insert(segment.start.max(clip.start));
            if let Some(coding) = segment.sound() {
                return Some((coding, segment.start, before + (segment.start.max(clip.start) - begins)));
            }
            looked += 1;
            if looked >= MOST_SILENT {
                return None;
            }
        }
        before = before + lasts;
    }
    None
}
