//! What can be cut exactly: decided at each segment, so that nothing is lost in silence.

use super::FfmpegError;
use super::segment::Loaded;
use super::transition::Part;
use crate::domain::{Span, Timestamp};
use crate::media::Coding;

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

/// Whether there are pictures, and all can be put together.
pub(super) fn has_pictures(loaded: &Loaded) -> Result<bool, FfmpegError> {
    let wrong = |why: String| FfmpegError::Unsuitable(format!("{why}; take a rough cut"));
    for stretch in &loaded.media.stretches {
        for (what, found, wanted) in [("video", stretch.video, Coding::H264), ("sound", stretch.sound, Coding::Aac)] {
            if let Some(found) = found.filter(|found| *found != wanted) {
                let (found, wanted) = (found.name(), wanted.name());
                let start = loaded.start;
                return Err(wrong(format!(
                    "the {what} of the segment at {start} is {found} and an exact cut wants {wanted}"
                )));
            }
        }
        if stretch.scrambled {
            return Err(wrong(format!("the segment at {} is scrambled", loaded.start)));
        }
        if stretch.unknown.is_some() {
            let start = loaded.start;
            return Err(wrong(format!("a stream of the segment at {start} is of an unknown kind and would be lost")));
        }
    }
    let has_pictures = !loaded.media.video.is_empty();
    match loaded.differs().filter(|_| has_pictures) {
        Some(why) => Err(wrong(why)),
        None => Ok(has_pictures),
    }
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
        for segment in clip.segments.iter().filter(|segment| !segment.lies_beside((clip.start, clip.end))) {
            if let Some(coding) = segment.sound() {
                return Some((coding, segment.start, before + (segment.start.max(clip.start) - clip.start)));
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
