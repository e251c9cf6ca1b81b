//! What can be cut exactly: decided at each segment, so that nothing is lost in silence.

use std::collections::VecDeque;

use super::FfmpegError;
use super::segment::{Clip, CutSegment, Loaded, LookAhead};
use super::transition::Part;
use crate::archive::{Span, Timestamp};
use crate::media::{Coding, CutPlanner, CutRefusal, DecodeEntry, MOST_GROUP, Role, TICKS};

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

/// A cut has one track of sound.
pub(super) fn is_one_sound(before: Option<Coding>, now: Coding, start: Timestamp) -> Result<(), FfmpegError> {
    let Some(before) = before.filter(|before| *before != now) else { return Ok(()) };
    let (now, before) = (now.name(), before.name());
    let why = format!(
        "the sound of the segment at {start} is {now} and elsewhere {before}; take a rough cut, or one of each"
    );
    Err(FfmpegError::Unsuitable(why))
}

/// The first sound there is, in which segment, and how long after the beginning of the cut.
pub(super) type FirstSound = (Coding, Timestamp, Span);

/// Looks at what can be seen before the first byte: where sound begins, mostly in the first segment, and the segments of which that was planned.
pub(super) async fn look_ahead(parts: Vec<Part>) -> Result<(Vec<Part>, Option<FirstSound>), FfmpegError> {
    let look = move || {
        let found = look_for_sound(&parts);
        for (clip, _) in parts.iter().flat_map(Part::clips) {
            look_at(clip, found.map(|(coding, ..)| coding))?;
        }
        Ok((parts, found))
    };
    tokio::task::spawn_blocking(look).await.map_err(|error| FfmpegError::Unreadable(error.to_string()))?
}

fn look_for_sound(parts: &[Part]) -> Option<FirstSound> {
    let (mut before, mut looked) = (Span(0), 0);
    for (clip, lasts) in parts.iter().flat_map(Part::clips) {
        let mut begins = clip.start;
        let mut is_first = true;
        for segment in clip.segments.iter().filter(|segment| !segment.lies_beside((clip.start, clip.end))) {
            // What is missing in front of the first segment is cut around, and takes no time.
            if is_first {
                (begins, is_first) = (segment.start.max(clip.start), false);
            }
            if let Some(coding) = segment.sound() {
                return Some((coding, segment.start, before + (segment.start.max(clip.start) - begins)));
            }
            looked += 1;
            if looked >= MOST_SILENT {
                return None;
            }
        }
        before = before + lasts - (begins - clip.start);
    }
    None
}

fn look_at(clip: &Clip, sound: Option<Coding>) -> Result<(), FfmpegError> {
    let asked = (clip.start, clip.end);
    let mut is_first = true;
    for (at, segment) in clip.segments.iter().enumerate().filter(|(_, segment)| !segment.lies_beside(asked)) {
        if segment.ahead != LookAhead::Nothing {
            let loaded = segment.read()?;
            loaded.source.check().map_err(|refusal| refused(refusal, asked))?;
            for now in loaded.sounds() {
                is_one_sound(sound, now, segment.start)?;
            }
        }
        if segment.ahead == LookAhead::Entry {
            is_decoded(clip, if is_first { 0 } else { at }, at).map_err(|refusal| refused(refusal, asked))?;
        }
        is_first = false;
    }
    Ok(())
}

/// Whether the pictures of a segment can be decoded, with those from which on decoding goes on, and the next one.
fn is_decoded(clip: &Clip, from: usize, at: usize) -> Result<(), CutRefusal> {
    let (window, mut planner) = (clip.window(), CutPlanner::new(clip.window()));
    let place = clip.segments.get(at).map(|segment| segment.start.us());
    let mut sources = Vec::new();
    for segment in clip.segments.iter().take(at + 2).skip(from) {
        let Ok(loaded) = segment.read() else { continue };
        if from == 0 && sources.is_empty() && loaded.source.needs_more(window) {
            sources.extend(further_back(&clip.lead, window).into_iter().map(|earlier| earlier.source));
        }
        sources.push(loaded.source);
    }
    // Where pictures are mended piece by piece, whether they are whole may be seen only further on.
    let mut marks = sources.iter().flat_map(|source| &source.pictures).map(|picture| picture.marks.entry);
    if marks.any(|entry| matches!(entry, Some(DecodeEntry::Refresh(_)))) {
        return Ok(());
    }
    let outcome = sources.iter().try_for_each(|source| planner.segment(source).map(drop));
    match outcome.and_then(|()| planner.finish().map(drop)) {
        Err(CutRefusal::NoEntry(start_us)) if Some(start_us) == place => Err(CutRefusal::NoEntry(start_us)),
        _ => Ok(()),
    }
}

/// Of these segments the last in which decoding may begin, and all behind it; fewer where they are too large or cannot be read.
pub(super) fn further_back(lead: &[CutSegment], window: (i64, i64)) -> VecDeque<Loaded> {
    let (mut found, mut held) = (VecDeque::new(), 0);
    for segment in lead.iter().rev() {
        match segment.read() {
            Ok(loaded) => {
                held += loaded.source.pictures.iter().map(|picture| picture.bytes).sum::<usize>();
                let is_enough = held > MOST_GROUP || !loaded.source.needs_more(window);
                found.push_front(loaded);
                if is_enough {
                    break;
                }
            }
            Err(error) => {
                without(&error);
                break;
            }
        }
    }
    found
}

pub(super) fn without(error: &FfmpegError) {
    tracing::debug!(name: "cut_without_neighbour", %error, "a cut goes on without the sound of a neighbour");
}
