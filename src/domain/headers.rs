//! What the first bytes of a segment say about the whole: which codecs, how large the picture, how many a second, and whether a
//! player can begin here.
//!
//! 1. The program's tables (PAT, PMT) say which streams there are; of each its first bytes are read, not more.
//! 2. Nothing is guessed: one stream whose codec is not known, and no codecs are told, since players take a list for the whole one.
//! 3. A segment stands by itself if the tables come before the first picture, and that picture and its parameter sets need nothing
//!    from before: an IDR picture. A picture that merely *may* be begun at (recovery point, CRA) has followers that need more.
//! 4. No bytes make this panic, and work is bounded by their number.

mod audio;
mod bits;
mod h264;
mod hevc;
mod nal;
mod program;
#[cfg(test)]
mod tests;

use program::{Coding, Elementary, Program};

/// What the first bytes say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// As RFC 6381 writes them, video first: `avc1.64001f,mp4a.40.2`. None if one of them is not known.
    pub codecs: Option<String>,
    /// Width and height of the picture as it is shown, in pixels.
    pub size: Option<(u32, u32)>,
    /// Pictures in a thousand seconds, where the stream says how many.
    pub rate_millis: Option<u32>,
    /// Whether all of the segment can be decoded without any other.
    pub independent: bool,
}

/// What was read from the first bytes of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is known.
    pub facts: Facts,
    /// Whether more bytes could say more.
    pub wants_more: bool,
}

/// Of one stream of the program.
#[derive(Debug, Default)]
struct Told {
    codec: Option<String>,
    size: Option<(u32, u32)>,
    rate: Option<Rate>,
    independent: bool,
    wants_more: bool,
}

/// How many pictures there are a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    millis: u32,
    /// Otherwise it is only the clock that they are counted by, and the pictures themselves have to confirm it.
    fixed: bool,
}

/// What the first bytes of a file say; nothing if they are no transport stream.
pub fn read(head: &[u8]) -> Reading {
    let Some(program) = Program::read(head) else { return Reading::default() };
    if program.streams.is_empty() {
        return Reading { facts: Facts::default(), wants_more: true };
    }
    let media: Vec<&Elementary> = program.streams.iter().filter(|stream| stream.coding != Coding::Data).collect();
    let told: Vec<(bool, Told)> = media.iter().map(|stream| (stream.coding.is_video(), of(stream))).collect();
    let videos = told.iter().filter(|(is_video, _)| *is_video).map(|(_, told)| told);
    let sounds = told.iter().filter(|(is_video, _)| !*is_video).map(|(_, told)| told);
    let mut codecs: Vec<&str> = Vec::new();
    let mut all_known = !told.is_empty();
    for each in videos.clone().chain(sounds) {
        match each.codec.as_deref() {
            Some(codec) if !codecs.contains(&codec) => codecs.push(codec),
            Some(_) => {}
            None => all_known = false,
        }
    }
    let video = videos.clone().next();
    let decides: Vec<&Told> =
        if video.is_some() { videos.collect() } else { told.iter().map(|(_, told)| told).collect() };
    let facts = Facts {
        codecs: all_known.then(|| codecs.join(",")),
        size: video.and_then(|video| video.size),
        rate_millis: video.and_then(|video| video.rate).map(|rate| rate.millis),
        independent: !decides.is_empty() && decides.iter().all(|each| each.independent),
    };
    Reading { facts, wants_more: told.iter().any(|(_, told)| told.wants_more) }
}

fn of(stream: &Elementary) -> Told {
    let mut told = match stream.coding {
        Coding::H264 => h264::told(&stream.bytes),
        Coding::Hevc => hevc::told(&stream.bytes),
        Coding::Aac | Coding::MpegAudio | Coding::Dolby => audio::told(stream.coding, &stream.bytes),
        Coding::Data | Coding::Unknown => Told::default(),
    };
    told.independent = told.independent && stream.begins_whole;
    told.rate = told.rate.filter(|rate| rate.fixed || stream.shows_at(rate.millis));
    told
}
