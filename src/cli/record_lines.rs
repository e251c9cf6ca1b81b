//! What `gapless record` says while it records: segments on standard output, what goes wrong on standard error, and at the end with which exit code.
//!
//! Whoever recorded nothing has not succeeded, whatever the reason: that is said of each quality of which nothing came.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::exit::Exit;
use super::out::{stderr_line, stdout};
use crate::archive::Stream;
use crate::archive::escape::shown;
use crate::archive::quantity::{count, size};
use crate::record::{ArchiveBase, RecordOptions, RecordSource, RecordedSegment, RecorderEvent, newest_end};

/// Prints what recorders tell.
#[derive(Debug)]
pub struct RecordPrinter {
    json: bool,
    source: RecordSource,
    began: Instant,
    counts: Mutex<RecordCounts>,
}

/// What was told so far.
#[derive(Debug, Default)]
struct RecordCounts {
    segments: u64,
    bytes: u64,
    given_up: u64,
    ads: u64,
    is_refused: bool,
    /// Something failed, and nothing has come since.
    is_silent: bool,
    streams: BTreeMap<Stream, StreamCounts>,
}

/// The same of one quality.
#[derive(Debug, Default)]
struct StreamCounts {
    /// Something is here of what was listed, or was left out as it was asked for.
    has_come: bool,
    has_ended: bool,
    /// It has been said why.
    is_refused: bool,
    why: Option<String>,
}

/// A segment as JSON.
#[derive(Debug, Serialize)]
struct RecordedLine<'s> {
    path: &'s str,
    start: String,
    duration: f64,
    kind: &'static str,
    bytes: u64,
    /// Why it is not `full`.
    fault: Option<&'s str>,
}

impl RecordPrinter {
    pub fn new(json: bool, options: &RecordOptions) -> Self {
        let channel = &options.channel;
        let ordered = options
            .qualities
            .iter()
            .map(|quality| (Stream { channel: channel.clone(), quality: quality.clone() }, StreamCounts::default()));
        let counts = RecordCounts { streams: ordered.collect(), ..RecordCounts::default() };
        Self { json, source: options.source.clone(), began: Instant::now(), counts: Mutex::new(counts) }
    }

    pub fn print(&self, event: &RecorderEvent) {
        self.counts.lock().take(event);
        match event {
            RecorderEvent::SoundFound { stream, .. } => {
                stderr_line(format_args!("{stream}: sound that lies apart is recorded as well"));
            }
            RecorderEvent::Recorded { segment, .. } => self.segment(segment),
            RecorderEvent::SegmentFails { stream, why } => {
                tracing::info!(name: "segment_fails", %stream, why, "a segment did not come; it is tried again");
            }
            RecorderEvent::GivenUp { stream, start, duration, why, .. } => {
                let seconds = duration.seconds();
                stderr_line(format_args!("{stream}: {seconds:.1} s from {start} on are missing: {why}"));
            }
            RecorderEvent::Jumped { stream, missed, .. } => {
                let missed = count(*missed, "segment");
                stderr_line(format_args!("{stream}: {missed} went out of the playlist before it could be asked"));
            }
            RecorderEvent::Restarted { stream } => stderr_line(format_args!("{stream}: the stream began anew")),
            RecorderEvent::ClockDiffers { stream, behind } => {
                let (seconds, side) = (behind.seconds().abs(), if behind.us() > 0 { "behind" } else { "ahead of" });
                stderr_line(format_args!("{stream}: the times of the source are {seconds:.1} s {side} the clock here"));
            }
            // Without a node there are no others.
            RecorderEvent::TimesDiffer { .. } | RecorderEvent::AdLeftOut { .. } => {}
            RecorderEvent::ClockWasSet { stream, by } => stderr_line(format_args!(
                "{stream}: the clock here was set by {:.1} s, and the source tells no times: segments are placed as before until nothing comes for a minute",
                by.seconds()
            )),
            RecorderEvent::Fails { stream, why, .. } => stderr_line(format_args!("{stream}: nothing comes: {why}")),
            RecorderEvent::Refused { stream, why } => {
                stderr_line(format_args!("{stream} cannot be recorded: {why}"));
            }
            RecorderEvent::Ended { stream } => stderr_line(format_args!("{stream}: the stream has ended")),
        }
    }

    fn segment(&self, segment: &RecordedSegment) {
        let Some(path) = &segment.path else { return };
        let fault = segment.fault.as_deref();
        let mut out = stdout();
        let printed = if self.json {
            out.json(&RecordedLine {
                path,
                start: segment.start.to_string(),
                duration: segment.duration.seconds(),
                kind: segment.kind.as_str(),
                bytes: segment.bytes,
                fault,
            })
        } else {
            let fault = fault.map_or_else(String::new, |fault| format!(" ({fault})"));
            writeln!(out, "{}{fault}", shown(path))
        };
        // What cannot be printed is recorded all the same, and said at the end.
        printed.unwrap_or_default();
    }

    /// A stream that has ended and of which nothing came may be here from before.
    pub async fn look_for_what_is_here(&self, archive: &ArchiveBase) {
        let mut ended = Vec::new();
        for (stream, counts) in &self.counts.lock().streams {
            if counts.has_ended && !counts.has_come {
                ended.push(stream.clone());
            }
        }
        for stream in ended {
            let is_here = newest_end(archive, &stream).await.is_some();
            if let Some(counts) = self.counts.lock().streams.get_mut(&stream) {
                counts.has_come = is_here;
            }
        }
    }

    /// The last lines, and how it went.
    pub fn finish(&self) -> Exit {
        let counts = self.counts.lock();
        for (stream, of_stream) in counts.streams.iter().filter(|(_, one)| !one.has_come && !one.is_refused) {
            let after = self.began.elapsed().as_secs();
            let is_listened_for = matches!(&self.source, RecordSource::Address(source) if source.is_listened_for());
            let why = match &of_stream.why {
                Some(why) => why.clone(),
                None if is_listened_for => format!("nobody sent anything to {} within {after} s", self.source),
                None => format!("{} gave nothing within {after} s", self.source),
            };
            stderr_line(format_args!("{stream}: nothing was recorded: {why}"));
        }
        stderr_line(format_args!("{}", counts.summary()));
        counts.exit()
    }
}

impl RecordCounts {
    fn take(&mut self, event: &RecorderEvent) {
        let of_stream = self.streams.entry(event.stream().clone()).or_default();
        match event {
            RecorderEvent::Recorded { segment, .. } => {
                of_stream.has_come = true;
                self.is_silent = false;
                // None where its bytes were here already.
                if segment.path.is_some() {
                    self.segments += 1;
                    self.bytes += segment.bytes;
                }
            }
            RecorderEvent::AdLeftOut { .. } => {
                of_stream.has_come = true;
                self.ads += 1;
            }
            RecorderEvent::SegmentFails { why, .. } => of_stream.why = Some(why.clone()),
            RecorderEvent::GivenUp { why, .. } => {
                of_stream.why = Some(why.clone());
                self.given_up += 1;
            }
            RecorderEvent::Jumped { missed, .. } => self.given_up += *missed,
            RecorderEvent::Fails { why, .. } => {
                of_stream.why = Some(why.clone());
                self.is_silent = true;
            }
            RecorderEvent::Refused { .. } => (self.is_refused, of_stream.is_refused) = (true, true),
            RecorderEvent::Ended { .. } => of_stream.has_ended = true,
            RecorderEvent::SoundFound { .. }
            | RecorderEvent::Restarted { .. }
            | RecorderEvent::ClockDiffers { .. }
            | RecorderEvent::TimesDiffer { .. }
            | RecorderEvent::ClockWasSet { .. } => {}
        }
    }

    fn summary(&self) -> String {
        let missing = if self.given_up > 0 { format!(", {} missing", self.given_up) } else { String::new() };
        let left_out =
            if self.ads > 0 { format!(", {} left out", count(self.ads, "ad segment")) } else { String::new() };
        format!("{}, {}{missing}{left_out}", count(self.segments, "segment"), size(self.bytes))
    }

    fn exit(&self) -> Exit {
        let is_empty = |one: &StreamCounts| !one.has_come;
        let is_silent = self.is_silent && self.segments == 0;
        let is_refused = self.streams.values().all(|one| one.is_refused || !one.has_come);
        if is_refused || is_silent {
            Exit::Failed
        } else if self.given_up > 0 || self.is_refused || self.streams.values().any(is_empty) {
            Exit::DataWrong
        } else {
            Exit::Done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::hole_reasons::HoleReason;
    use crate::archive::{Hash, SegmentKind, Span, Timestamp};

    fn stream(quality: &str) -> Stream {
        Stream::parse(&format!("c/{quality}")).unwrap()
    }

    fn recorded(quality: &str, path: Option<&str>) -> RecorderEvent {
        let (start, duration, kind, fault) = (Timestamp(0), Span::from_us(1), SegmentKind::Full, None);
        let path = path.map(str::to_owned);
        let segment =
            RecordedSegment { start, duration, kind, fault, bytes: 5, hash: Hash([0; 32]), is_cut: false, path };
        RecorderEvent::Recorded { stream: stream(quality), segment }
    }

    fn exit(qualities: &[&str], events: &[RecorderEvent]) -> Exit {
        let streams = qualities.iter().map(|quality| (stream(quality), StreamCounts::default())).collect();
        let mut counts = RecordCounts { streams, ..RecordCounts::default() };
        for event in events {
            counts.take(event);
        }
        counts.exit()
    }

    #[test]
    fn nobody_succeeds_who_has_nothing() {
        let fails = || {
            let (reason, why) = (HoleReason::SourceOffline, "it is away".to_owned());
            RecorderEvent::Fails { stream: stream("source"), reason, why }
        };
        let given_up =
            || RecorderEvent::Jumped { stream: stream("source"), missed: 2, reason: HoleReason::NotReceived };
        let refused = RecorderEvent::Refused { stream: stream("source"), why: "no".to_owned() };
        let (one, here) = (recorded("source", Some("x")), recorded("source", None));
        let ended = RecorderEvent::Ended { stream: stream("source") };
        for (events, expected) in [
            (vec![], Exit::Failed),
            (vec![ended], Exit::Failed),
            (vec![fails()], Exit::Failed),
            (vec![given_up(), fails()], Exit::Failed),
            (vec![given_up()], Exit::Failed),
            (vec![one.clone(), given_up()], Exit::DataWrong),
            (vec![one.clone(), refused], Exit::Failed),
            (vec![fails(), here], Exit::Done),
            (vec![one.clone(), fails()], Exit::Done),
        ] {
            assert_eq!(exit(&["source"], &events), expected, "{events:?}");
        }
        assert_eq!(exit(&["480p", "source"], std::slice::from_ref(&one)), Exit::DataWrong);
        let other = RecorderEvent::Refused { stream: stream("480p"), why: "no".to_owned() };
        assert_eq!(exit(&["480p", "source"], &[one, other]), Exit::DataWrong);
    }
}
