//! Says what a stream has that is no HLS, without recording any of it: `gapless record --test`.
//!
//! It is brought and cut as a recorder would, until there is one segment, or for [`LOOKS_FOR`]. The segment is held in memory, and judged.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout_at};

use super::probe::{ProbedQuality, ProbedSource, segment_report};
use super::source_address::SourceAddress;
use super::stream_process::{StreamProcess, StreamTools};
use super::stream_source::cannot_wait;
use super::ts_cutter::{CutEnd, TsCutter, TsStep};
use super::variants::SOURCE;
use crate::archive::{Container, Timestamp};

/// Until there is a segment: senders connect again every few seconds, and key frames may be ten seconds apart.
const LOOKS_FOR: Duration = Duration::from_secs(15);
/// Bytes of a segment that is looked at.
const MOST_BYTES: usize = 64 << 20;
/// What is read at once.
const PIECE: usize = 64 << 10;

/// Looks at what comes from there, or from whoever connects.
pub async fn probe_stream(source: &SourceAddress, tools: &StreamTools) -> ProbedSource {
    let mut quality = ProbedQuality { name: SOURCE.to_owned(), is_source: true, ..ProbedQuality::default() };
    match look(source, tools).await {
        Ok((bytes, cut)) => {
            let (begun, duration) = (cut.begun, cut.duration);
            let looking = move || segment_report(&[], &bytes, Container::Ts, begun, duration, Duration::ZERO);
            match tokio::task::spawn_blocking(looking).await {
                Ok(Ok(mut report)) => {
                    report.path = format!("CHANNEL/{SOURCE}/{}", report.path);
                    quality.segment = Some(report);
                    let why = "what came does not begin with a key frame; set one each second or two in the encoder";
                    quality.problem = (!cut.plays_alone).then(|| why.to_owned());
                }
                _ => quality.problem = Some("what came cannot be understood".to_owned()),
            }
        }
        Err(why) => quality.problem = Some(why),
    }
    ProbedSource { source: source.to_string(), protocol: source.protocol().name(), qualities: vec![quality] }
}

/// The first segment.
async fn look(source: &SourceAddress, tools: &StreamTools) -> Result<(Vec<u8>, CutEnd), String> {
    let until = Instant::now() + LOOKS_FOR;
    let waiting = source.rtmp_place().map(|(address, path)| tools.ports.wait_on(address, &path)).transpose();
    // The port is open as long as this is there.
    let mut waiting = waiting.map_err(|error| cannot_wait(source, &error))?;
    let publisher = match &mut waiting {
        None => None,
        Some(port) => timeout_at(until, port.next()).await.map_err(|_| why_nothing(source, false, false))?,
    };
    let mut stream = StreamProcess::begin(source, &tools.ffmpeg, publisher)?;
    let Looked { found, has_come, has_ended } = first_segment(&mut stream, until).await;
    let said = stream.end(source, has_ended).await;
    found.ok_or_else(|| said.filter(|_| has_ended).unwrap_or_else(|| why_nothing(source, has_come, has_ended)))
}

/// Why there is no segment, where ffmpeg does not say it.
fn why_nothing(source: &SourceAddress, has_come: bool, has_ended: bool) -> String {
    let seconds = LOOKS_FOR.as_secs();
    match (has_come, has_ended, source.is_listened_for()) {
        (true, ..) => "what came holds no pictures and no sound that could be cut".to_owned(),
        (false, true, _) => "it ended before anything came".to_owned(),
        (false, false, true) => format!("nobody sent anything within {seconds} s"),
        (false, false, false) => format!("it sent nothing within {seconds} s"),
    }
}

/// What was seen of a stream.
struct Looked {
    found: Option<(Vec<u8>, CutEnd)>,
    /// Anything at all.
    has_come: bool,
    has_ended: bool,
}

/// Up to its first segment, its end, or that time.
async fn first_segment(stream: &mut StreamProcess, until: Instant) -> Looked {
    let (mut cutter, mut piece, mut bytes) = (TsCutter::default(), vec![0; PIECE], Vec::new());
    let mut has_come = false;
    loop {
        let read = timeout_at(until, stream.read(&mut piece)).await.ok();
        let steps = match read {
            Some(read @ 1..) => cutter.push(piece.get(..read).unwrap_or_default(), Timestamp::from(SystemTime::now())),
            // What has come of it says enough.
            _ => std::mem::take(&mut cutter).finish(),
        };
        for step in steps {
            match step {
                TsStep::Begin => bytes.clear(),
                TsStep::Bytes(more) if bytes.len() < MOST_BYTES => bytes.extend(more),
                TsStep::Bytes(_) => {}
                TsStep::End(cut) => return Looked { found: Some((bytes, cut)), has_come: true, has_ended: false },
            }
        }
        match read {
            Some(1..) => has_come = true,
            _ => return Looked { found: None, has_come, has_ended: read.is_some() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_nothing_is_said_of_whoever_was_to_send_it() {
        for (address, has_come, has_ended, expected) in [
            ("rtmp://127.0.0.1/live/key", false, false, "nobody sent anything within 15 s"),
            ("rtmp://live.example/live/key", false, false, "it sent nothing within 15 s"),
            ("srt://live.example:9000", false, true, "it ended before anything came"),
            ("udp://:5000", true, false, "what came holds no pictures and no sound that could be cut"),
        ] {
            let source = SourceAddress::parse(address).unwrap();
            assert_eq!(why_nothing(&source, has_come, has_ended), expected);
        }
    }
}
