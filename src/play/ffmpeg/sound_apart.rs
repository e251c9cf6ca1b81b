//! Pictures, and the sound that was recorded apart from them, packed into one file as they come, without encoding.
//!
//! 1. Both keep the time stamps that their source gave them: by these they belong together.
//! 2. A process has one standard input. The sound goes through another pipe, which ffmpeg opens by its number in this process; nothing that comes from
//!    outside is on its command line.
//! 3. Sound that cannot be read ends all of it with an error, and never looks like the end of the sound.

use std::io::{Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cut_format::FRAGMENTS;
use super::pool::{Limit, Order};
use super::segment::{CutSegment, send_rest};
use super::smart::{CutStream, received};
use super::{FfmpegError, Pool};
use crate::archive::Container;
use crate::media::Coding;

/// As metrics and log name it.
const WORK: &str = "cut";
/// A file of more is not made.
const MOST_BYTES: u64 = 1 << 40;
/// Segments that are looked at for the kind of sound.
const LOOKED_AT: usize = 10;
/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// What is packed: segments of one container, and how many bytes at the beginning of each are left out, so that all of them are one file.
#[derive(Debug)]
pub struct PackedSegments {
    /// What they are in.
    pub container: Container,
    /// In order.
    pub segments: Vec<(CutSegment, u64)>,
}

type Pieces = mpsc::Sender<Result<Bytes, FfmpegError>>;

/// Packs both into this container. When this returns the first bytes are there.
pub async fn pack_with_sound(
    pool: &Arc<Pool>,
    pictures: PackedSegments,
    sound: PackedSegments,
    container: Container,
) -> Result<CutStream, FfmpegError> {
    let turn = pool.download(WORK).await?;
    pool.check(WORK).await?;
    let (writer, reader) = pipe::pipe().map_err(|error| FfmpegError::Unreadable(error.to_string()))?;
    let place = format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd());
    let look = move || {
        let of_frames = sound.container == Container::Ts && container == Container::Mp4;
        let mut segments = sound.segments.iter().take(if of_frames { LOOKED_AT } else { 0 });
        let is_adts = segments.find_map(|(segment, _)| segment.sound()) == Some(Coding::Aac);
        (sound, is_adts)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    let (packed, is_adts) = looked.map_err(|error| FfmpegError::Unreadable(error.to_string()))?;
    let mut order = order(pool, (pictures.container, packed.container), container, &place);
    if is_adts {
        // What describes AAC comes with each frame in a transport stream, and stands in front in MP4.
        let at = order.args.len() - 1;
        order.args.splice(at..at, ["-bsf:a", "aac_adtstoasc"].map(str::to_owned));
    }
    let (sender, seen) = mpsc::channel(AHEAD);
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    let heard = read_ahead(packed);
    let failed = sender.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = feed(writer, heard, failed) => over.cancelled().await,
            () = over.cancelled() => {}
        }
        // Until then ffmpeg may not have opened it yet.
        drop(reader);
    });
    tokio::task::spawn_blocking(move || read(pictures, &sender));
    let mut output = pool.start(None, order, received(None, seen))?;
    let first = output.recv().await.unwrap_or_else(|| Err(FfmpegError::Useless("it wrote nothing".into())))?;
    // Whoever drops the stream ends the sound, too.
    let pieces = received(Some(first), output).map(move |piece| {
        let _ = &guard;
        piece
    });
    Ok(CutStream { content_type: container.media_type(), pieces: Box::pin(pieces), _turn: turn })
}

fn order(pool: &Pool, (pictures, sound): (Container, Container), container: Container, place: &str) -> Order {
    let of = |packed| match packed {
        Container::Ts => "mpegts",
        Container::Mp4 => "mp4",
    };
    let input =
        ["-copyts", "-f", of(pictures), "-i", "pipe:0", "-protocol_whitelist", "file", "-f", of(sound), "-i", place];
    let streams = ["-map", "0:v", "-map", "1:a", "-c", "copy"];
    let output: &[&str] = match container {
        Container::Ts => &["-f", "mpegts", "pipe:1"],
        Container::Mp4 => &["-avoid_negative_ts", "make_zero", "-movflags", FRAGMENTS, "-f", "mp4", "pipe:1"],
    };
    Order {
        work: WORK,
        args: input.iter().chain(&streams).chain(output).map(|&arg| arg.to_owned()).collect(),
        limit: Limit::Still(pool.time()),
        most: MOST_BYTES,
    }
}

/// Ends when all of it was written, and not before where it cannot be read.
async fn feed(mut pipe: pipe::Sender, mut pieces: mpsc::Receiver<Result<Bytes, FfmpegError>>, failed: Pieces) {
    while let Some(piece) = pieces.recv().await {
        match piece {
            Ok(piece) => {
                if pipe.write_all(&piece).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // It comes with the pictures, and ends the process.
                failed.send(Err(error)).await.ok();
                std::future::pending::<()>().await;
            }
        }
    }
}

fn read_ahead(packed: PackedSegments) -> mpsc::Receiver<Result<Bytes, FfmpegError>> {
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || read(packed, &sender));
    pieces
}

fn read(packed: PackedSegments, sender: &Pieces) {
    if let Err(error) = read_all(packed, sender) {
        // Whoever has gone is not told.
        sender.blocking_send(Err(error)).ok();
    }
}

fn read_all(packed: PackedSegments, sender: &Pieces) -> Result<(), FfmpegError> {
    let unreadable = |error: std::io::Error| FfmpegError::Unreadable(error.to_string());
    for (segment, without) in packed.segments {
        let mut file = (segment.open)().map_err(unreadable)?;
        file.seek(SeekFrom::Start(without)).map_err(unreadable)?;
        send_rest(&mut file, sender)?;
    }
    Ok(())
}
