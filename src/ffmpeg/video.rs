//! Segments that join as one video file, packed anew without encoding: what a person keeps of a day, or hands on.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::pool::{Limit, Order, Output};
use super::segment::CutSegment;
use super::smart::received;
use super::{FfmpegError, Pool};

/// A file of more is not made.
const MOST_BYTES: u64 = 1 << 40;
/// What is read at once.
const CHUNK: usize = 256 << 10;
/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// The bytes of a Matroska file of these segments as they are made. Whoever drops it ends the work.
pub async fn matroska(pool: &Arc<Pool>, segments: Vec<CutSegment>) -> Result<Output, FfmpegError> {
    let turn = pool.download("video").await?;
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(segments, &sender) {
            // Whoever has gone is not told.
            sender.blocking_send(Err(error)).ok();
        }
    });
    let args =
        ["-f", "mpegts", "-i", "pipe:0", "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-f", "matroska", "pipe:1"];
    let order = Order {
        work: "video",
        args: args.map(str::to_owned).into(),
        limit: Limit::Still(pool.time()),
        most: MOST_BYTES,
    };
    pool.start(Some(turn), order, received(None, pieces))
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
