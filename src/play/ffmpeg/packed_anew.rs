//! Segments in fragmented MP4 as one transport stream, packed anew from their samples: for programs that are fed one.
//!
//! Nothing is encoded and nothing left out: what the stream cannot hold is refused, and so is a change of the codecs, with its place.

use super::FfmpegError;
use super::segment::Loaded;
use crate::archive::Timestamp;
use crate::media::{Coding, Mux, Unit};

/// Added to all times: those of sound may begin a little below zero.
const ORIGIN: i64 = 900_000;

/// Writes one segment after the other.
#[derive(Debug, Default)]
pub(super) struct PackedAnew {
    mux: Option<(Mux, Option<Coding>)>,
    last: i64,
}

impl PackedAnew {
    /// The next segment; the sound of all of them is what was found in the first ones.
    pub fn take(&mut self, loaded: &Loaded, sound: Option<Coding>) -> Result<Vec<u8>, FfmpegError> {
        let (video, _) = loaded.media.codings();
        check(loaded, video, sound)?;
        let (mux, before) = self.mux.get_or_insert_with(|| {
            let mut mux = Mux::new(video, sound);
            mux.tables();
            (mux, video)
        });
        if *before != video {
            let name = |coding: Option<Coding>| coding.map_or("none", Coding::name);
            let why = format!("is {} and before it {}", name(video), name(*before));
            return Err(changes("video", &why, loaded.start));
        }
        let mut heard = loaded.media.sound.iter().peekable();
        for unit in &loaded.media.video {
            while let Some(frame) = heard.next_if(|frame| frame.pts <= unit.dts) {
                mux.sound(frame.pts + ORIGIN, &frame.data);
            }
            if unit.marks.random_access {
                mux.tables();
            }
            // Segments may overlap a little.
            let Unit { pts, dts, .. } = *unit;
            let goes_on = (self.last - dts).abs() < ORIGIN;
            let dts = if goes_on { dts.max(self.last.saturating_add(1)) } else { dts };
            self.last = dts;
            mux.video(pts.max(dts) + ORIGIN, dts + ORIGIN, unit.marks.random_access, &unit.data);
        }
        for frame in heard {
            mux.sound(frame.pts + ORIGIN, &frame.data);
        }
        Ok(mux.take())
    }
}

fn changes(what: &str, why: &str, start: Timestamp) -> FfmpegError {
    FfmpegError::Unsuitable(format!("the {what} of the segment at {start} {why}: ask for what comes before by itself"))
}

/// Whether a transport stream can hold all of it.
fn check(loaded: &Loaded, video: Option<Coding>, sound: Option<Coding>) -> Result<(), FfmpegError> {
    let start = loaded.start;
    let refused = |what: &str, why: &str| {
        let file =
            format!("the {what} of the segment at {start} {why}, of which no video files are made; a rough cut has it");
        Err(FfmpegError::Unsuitable(file))
    };
    for stretch in &loaded.media.stretches {
        if stretch.scrambled {
            return refused("content", "is scrambled");
        }
        if stretch.unknown.is_some() || video.is_none() && sound.is_none() {
            return refused("content", "is of an unknown kind");
        }
    }
    if let Some(other) = video.filter(|coding| !coding.is_in_transport_streams()) {
        return refused("video", &format!("is {}", other.name()));
    }
    if let Some(other) = sound.filter(|coding| *coding == Coding::Opus) {
        return refused("sound", &format!("is {}", other.name()));
    }
    match loaded.sounds().find(|now| Some(*now) != sound) {
        Some(now) => {
            let before = sound.map_or("none", Coding::name);
            Err(changes("sound", &format!("is {} and before it {before}", now.name()), start))
        }
        None => Ok(()),
    }
}
