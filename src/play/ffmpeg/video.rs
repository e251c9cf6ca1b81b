//! Segments that join as one video file, packed anew without encoding: what a person keeps of a day, or hands on.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::cut_format::FRAGMENTS;
use super::packed_anew::PackedAnew;
use super::pool::{Limit, Order, Output, TO_FILE};
use super::segment::{CutSegment, send_rest};
use super::smart::received;
use super::{FfmpegError, Pool};
use crate::media::{Coding, Mp4Reader};

/// As metrics and log name it.
const WORK: &str = "video";
/// Segments that are looked at for sound.
const LOOKED_AT: usize = 10;
/// A file of more is not made.
const MOST_BYTES: u64 = 1 << 40;
/// The file that it was started with is empty, and may be overwritten (`-y`).
const MATROSKA: [&str; 4] = ["-f", "matroska", "-y", TO_FILE];
/// More than there is before the content of the segment.
const FRONT: usize = 4 << 10;
const EBML: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// Writes a Matroska file of these segments. It is written by ffmpeg itself, which goes back to its beginning to say where the index is that
/// players seek by; that comes last. Whoever drops this ends the work.
pub async fn matroska(pool: &Arc<Pool>, segments: Vec<CutSegment>, file: File) -> Result<(), FfmpegError> {
    let file = Arc::new(file);
    pack(pool, segments, Arc::clone(&file)).await?;
    let useless = |why: String| FfmpegError::Useless(why);
    let looked =
        tokio::task::spawn_blocking(move || is_whole(&file)).await.map_err(|error| useless(error.to_string()))?;
    let is_whole = looked.map_err(|error| useless(format!("the file cannot be read: {error}")))?;
    if is_whole { Ok(()) } else { Err(useless("the file is not whole".into())) }
}

async fn pack(pool: &Arc<Pool>, all: Vec<CutSegment>, file: Arc<File>) -> Result<(), FfmpegError> {
    let turn = pool.download(WORK).await?;
    let look = move || {
        let coding = all.iter().take(LOOKED_AT).find_map(CutSegment::sound);
        (all, coding)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    let (segments, sound) = looked.map_err(|error| FfmpegError::Unreadable(error.to_string()))?;
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(segments, sound, &sender) {
            // Whoever has gone is not told.
            sender.blocking_send(Err(error)).ok();
        }
    });
    let input = received(None, pieces);
    if sound != Some(Coding::Aac) {
        return done(pool.start_to_file(Some(turn), order(pool, "mpegts", &MATROSKA), input, file)?).await;
    }
    // What describes AAC comes with its first frame in a transport stream, and has to stand in front in Matroska; the fragments of
    // an MP4 begin late enough to have it in front, and cost next to nothing.
    let fragments = ["-bsf:a", "aac_adtstoasc", "-movflags", FRAGMENTS, "-f", "mp4", "pipe:1"];
    let between = pool.start(None, order(pool, "mpegts", &fragments), input)?;
    done(pool.start_to_file(Some(turn), order(pool, "mp4", &MATROSKA), received(None, between), file)?).await
}

/// Whether it ends where its beginning says, which ffmpeg writes last of all. When it cannot write, for want of room, it writes nothing more and may
/// end as if all were well.
fn is_whole(file: &File) -> std::io::Result<bool> {
    let mut front = [0; FRONT];
    let read = file.read_at(&mut front, 0)?;
    let ends = front.get(..read).and_then(end_of_segment);
    Ok(ends == Some(file.metadata()?.len()))
}

/// Where the `Segment` ends with whose length a Matroska file begins, after its EBML header (RFC 8794, 4 and 11.2.1; RFC 9559, 5.1.2).
fn end_of_segment(front: &[u8]) -> Option<u64> {
    let after_header = element(front, 0, EBML)?;
    element(front, after_header, SEGMENT)
}

/// Where an element ends that begins at `at`. None where another does, and where it says that its length is unknown.
fn element(front: &[u8], at: u64, id: [u8; 4]) -> Option<u64> {
    let rest = front.get(usize::try_from(at).ok()?..)?.strip_prefix(&id)?;
    let first = *rest.first()?;
    let octets = usize::try_from(first.leading_zeros()).ok().filter(|zeros| *zeros < 8)? + 1;
    let length = rest.get(..octets)?.iter().fold(0, |number: u64, octet| number << 8 | u64::from(*octet));
    // The first bit that is set says how many octets there are; all others set mean that the length is unknown.
    let length = length ^ 1_u64.checked_shl(u32::try_from(7 * octets).ok()?)?;
    let is_unknown = length + 1 == 1_u64.checked_shl(u32::try_from(7 * octets).ok()?)?;
    let begin = at + 4 + u64::try_from(octets).ok()?;
    if is_unknown { None } else { begin.checked_add(length) }
}

/// Waits for its end.
async fn done(mut output: Output) -> Result<(), FfmpegError> {
    output.recv().await.map_or(Ok(()), |ended| ended.map(drop))
}

fn order(pool: &Pool, from: &str, to: &[&str]) -> Order {
    let input = ["-f", from, "-i", "pipe:0", "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy"];
    Order {
        work: WORK,
        args: input.iter().chain(to).map(|&arg| arg.to_owned()).collect(),
        limit: Limit::Still(pool.time()),
        most: MOST_BYTES,
    }
}

fn read(
    segments: Vec<CutSegment>,
    sound: Option<Coding>,
    sender: &mpsc::Sender<Result<Bytes, FfmpegError>>,
) -> Result<(), FfmpegError> {
    let unreadable = |error: std::io::Error| FfmpegError::Unreadable(error.to_string());
    let mut packed = PackedAnew::default();
    for segment in segments {
        let mut file = (segment.open)().map_err(unreadable)?;
        if is_mp4(&file).map_err(unreadable)? {
            let bytes = Bytes::from(packed.take(&segment.read()?, sound)?);
            sender.blocking_send(Ok(bytes)).map_err(|_| FfmpegError::Gone)?;
            continue;
        }
        send_rest(&mut file, sender)?;
    }
    Ok(())
}

/// By its first bytes, which stay to be read.
fn is_mp4(file: &File) -> std::io::Result<bool> {
    let mut head = [0; 8];
    let read = file.read_at(&mut head, 0)?;
    Ok(head.get(..read).is_some_and(Mp4Reader::begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_if_it_ends_where_its_beginning_says() {
        let header = [&EBML[..], &[0x82, 0, 0]].concat();
        for (length, end) in [
            (&[0x83][..], Some(15)),
            (&[0x40, 0x03], Some(16)),
            (&[0x01, 0, 0, 0, 0, 0, 0, 3], Some(22)),
            (&[0xff], None),
            (&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None),
            (&[0x00, 0, 0, 0, 0, 0, 0, 0, 3], None),
            (&[0x40], None),
            (&[], None),
        ] {
            let front = [&header[..], &SEGMENT, length].concat();
            assert_eq!(end_of_segment(&front), end, "{length:x?}");
        }
        assert_eq!(end_of_segment(&SEGMENT), None);
        assert_eq!(end_of_segment(&[&EBML[..], &[0x88, 0]].concat()), None);
    }
}
