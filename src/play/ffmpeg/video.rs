//! Segments that join as one video file, packed anew without encoding: what a person keeps of a day, or hands on.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::container::FRAGMENTS;
use super::pool::{Limit, Order, Output};
use super::segment::CutSegment;
use super::smart::received;
use super::{FfmpegError, Pool};
use crate::media::Coding;

/// As metrics and log name it.
const WORK: &str = "video";
/// Segments that are looked at for sound.
const LOOKED_AT: usize = 10;
/// A file of more is not made.
const MOST_BYTES: u64 = 1 << 40;
/// What is read at once.
const CHUNK: usize = 256 << 10;
/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// The bytes of a Matroska file of these segments as they are made. Whoever drops it ends the work.
pub async fn matroska(pool: &Arc<Pool>, all: Vec<CutSegment>) -> Result<Output, FfmpegError> {
    let turn = pool.download(WORK).await?;
    let look = move || {
        let coding = all.iter().take(LOOKED_AT).find_map(CutSegment::sound);
        (all, coding)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    let (segments, sound) = looked.map_err(|error| FfmpegError::Unreadable(error.to_string()))?;
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(segments, &sender) {
            // Whoever has gone is not told.
            sender.blocking_send(Err(error)).ok();
        }
    });
    let input = received(None, pieces);
    if sound != Some(Coding::Aac) {
        return pool.start(Some(turn), order(pool, "mpegts", &["-f", "matroska"]), input);
    }
    // What describes AAC comes with its first frame in a transport stream, and has to stand in front in Matroska; the fragments of
    // an MP4 begin late enough to have it in front, and cost next to nothing.
    let fragments = ["-bsf:a", "aac_adtstoasc", "-movflags", FRAGMENTS, "-f", "mp4"];
    let between = pool.start(None, order(pool, "mpegts", &fragments), input)?;
    pool.start(Some(turn), order(pool, "mp4", &["-f", "matroska"]), received(None, between))
}

fn order(pool: &Pool, from: &str, to: &[&str]) -> Order {
    let input = ["-f", from, "-i", "pipe:0", "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy"];
    Order {
        work: WORK,
        args: input.iter().chain(to).chain(&["pipe:1"]).map(|&arg| arg.to_owned()).collect(),
        limit: Limit::Still(pool.time()),
        most: MOST_BYTES,
    }
}

fn read(segments: Vec<CutSegment>, sender: &mpsc::Sender<Result<Bytes, FfmpegError>>) -> Result<(), FfmpegError> {
    let unreadable = |error: std::io::Error| FfmpegError::Unreadable(error.to_string());
    for segment in segments {
        let mut file = (segment.open)().map_err(unreadable)?;
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            chunk.truncate(read);
            sender.blocking_send(Ok(chunk.into())).map_err(|_| FfmpegError::Gone)?;
        }
    }
    Ok(())
}
