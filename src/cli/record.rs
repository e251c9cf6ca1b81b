//! The verb `record`: a live stream becomes segments of an archive, until ctrl-C or its end. Beside a daemon or without one: neither index nor
//! lock is needed, as for the verb `import`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::config::{Config, time_between};
use super::exit::{Exit, UsageError};
use super::import::check_disk;
use super::out::{stderr_line, stdout};
use super::record_control::{self, RecordControl};
use super::record_report::print_report;
use crate::archive::escape::{shown, unshown};
use crate::archive::quantity::{count, size};
use crate::archive::{Channel, Quality};
use crate::net::tls;
use crate::record::{
    AddressCommand, ArchiveBase, ProbedQuality, RecordOptions, RecordSource, RecordedSegment, Recorder, RecorderEvent,
    RecorderEvents, SOURCE, SourceAddress, SourceHeaders, SourceProtocol, StreamTools, probe_hls, probe_stream,
    probing_client,
};
use crate::wire::{StartRecorder, StopRecorder};

#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag, and the group lets one of them be given")]
#[command(group = clap::ArgGroup::new("instead").multiple(false))]
pub struct RecordArgs {
    /// The channel to record into; not needed with --test
    #[arg(value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Where the stream is: the address of an HLS playlist, or one of rtmp, rtmps, rtsp, srt or udp
    #[arg(value_name = "URL")]
    pub source: Option<String>,
    /// Run a command that prints the address, again whenever it has expired; all that follows is the command, so give this last
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, conflicts_with = "source")]
    pub resolve: Vec<String>,
    /// Send this with each request to the source's own host, such as 'Cookie: a=b'; repeatable
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Trust only these authorities (PEM) for https to the source [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "start", "stop", "forget"])]
    pub ca_file: Option<PathBuf>,
    /// Say what the source has and what would be written of it; nothing is recorded
    #[arg(long, group = "instead")]
    pub test: bool,
    /// List what the daemon on this archive records
    #[arg(long, group = "instead", conflicts_with = "channel")]
    pub list: bool,
    /// Have the daemon record CHANNEL from URL, also after a restart; without URL, go on with one that was stopped
    #[arg(long, group = "instead")]
    pub start: bool,
    /// Have the daemon stop recording CHANNEL until it is started, also after a restart
    #[arg(long, group = "instead", conflicts_with = "source")]
    pub stop: bool,
    /// Have the daemon stop recording CHANNEL, and keep nothing of a --start; what was recorded stays
    #[arg(long, group = "instead", conflicts_with = "source")]
    pub forget: bool,
    /// The quality to record, such as source (the best) or 480p; repeatable [default: source]
    #[arg(long, value_name = "QUALITY")]
    pub quality: Vec<String>,
    /// Leave out ads that the source stitches in
    #[arg(long, conflicts_with_all = ["test", "list", "stop", "forget"])]
    pub skip_ads: bool,
    /// End after this time; otherwise at the end of the stream, or by ctrl-C
    #[arg(long = "for", conflicts_with = "instead", value_name = "DURATION", value_parser = |text: &str| time_between(text, "1s", "3650days"))]
    pub lasts: Option<Duration>,
}

impl RecordArgs {
    /// What is asked of the daemon instead of recording here.
    fn order(&self) -> Result<Option<RecordControl>, UsageError> {
        let channel = || {
            let named = self.channel.as_ref().map(|name| unshown(name).into_owned());
            named.ok_or_else(|| UsageError("name the channel, as `gapless record --list` shows it".to_owned()))
        };
        Ok(if self.list {
            Some(RecordControl::List)
        } else if self.start {
            let qualities = self.quality.iter().map(|name| unshown(name).into_owned()).collect();
            let (source, skip_ads) = (self.source.clone(), self.skip_ads);
            Some(RecordControl::Start(StartRecorder { channel: channel()?, source, qualities, skip_ads }))
        } else if self.stop || self.forget {
            Some(RecordControl::Stop(StopRecorder { channel: channel()?, forget: self.forget }))
        } else {
            None
        })
    }
}

pub async fn run(config: &Config, args: &RecordArgs) -> anyhow::Result<ExitCode> {
    if args.test {
        return test(config, args).await;
    }
    if let Some(order) = args.order()? {
        return record_control::run(config, &order).await;
    }
    let options = options(args)?;
    let stop = super::demo::end_by_signal()?;
    let archive = ArchiveBase::open(&config.base_dir)?;
    check_disk(config, &*archive.base()?)?;
    let counts = Arc::new(RecordPrinter { json: config.json, ..RecordPrinter::default() });
    let events = {
        let printer = Arc::clone(&counts);
        RecorderEvents::new(move |event| printer.print(event))
    };
    let authorities = tls::trusting(args.ca_file.as_deref())?;
    let recorder = Recorder::new(options, archive, &authorities, &StreamTools::new(&config.playback.ffmpeg), events)
        .ending_with_the_stream();
    let lasts = args.lasts.unwrap_or(Duration::MAX);
    let over = stop.clone();
    tokio::spawn(async move {
        // A time that no clock reaches is none.
        if let Some(until) = tokio::time::Instant::now().checked_add(lasts) {
            tokio::time::sleep_until(until).await;
            over.cancel();
        }
    });
    recorder.run(stop).await;
    stderr_line(format_args!("{}", counts.summary()));
    Ok(counts.exit().into())
}

async fn test(config: &Config, args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let named = source(args, args.source.as_ref().or(args.channel.as_ref()))?;
    let source = named.address().await?;
    if source.protocol() != SourceProtocol::Hls {
        let tools = StreamTools::new(&config.playback.ffmpeg);
        return print_report(config, &probe_stream(&source, &tools).await);
    }
    let authorities = tls::trusting(args.ca_file.as_deref())?;
    let client = probing_client(&source, headers(args)?, &authorities);
    let mut report = probe_hls(&source, &client).await?;
    let wanted = |quality: &ProbedQuality| {
        args.quality.iter().any(|name| *name == quality.name || quality.is_source && name == SOURCE)
    };
    if !args.quality.is_empty() {
        let with_it: Vec<String> =
            report.qualities.iter().filter(|one| wanted(one)).flat_map(|one| one.sound.clone()).collect();
        report.qualities.retain(|one| wanted(one) || one.is_sound && with_it.contains(&one.name));
    }
    print_report(config, &report)
}

fn source(args: &RecordArgs, given: Option<&String>) -> Result<RecordSource, UsageError> {
    if !args.resolve.is_empty() {
        let command = AddressCommand::new(args.resolve.clone());
        return command.map(RecordSource::Command).map_err(|why| UsageError(format!("--resolve: {why}")));
    }
    let given = given.ok_or_else(|| {
        UsageError("record needs the address of a stream, such as https://live.example/live.m3u8".to_owned())
    })?;
    SourceAddress::parse(given).map(RecordSource::Address).map_err(|error| UsageError(error.to_string()))
}

fn headers(args: &RecordArgs) -> Result<SourceHeaders, UsageError> {
    let mut headers = SourceHeaders::default();
    for line in &args.header {
        headers.add_line(line).map_err(|why| UsageError(format!("--header: {why}")))?;
    }
    Ok(headers)
}

fn options(args: &RecordArgs) -> Result<RecordOptions, UsageError> {
    let channel = args
        .channel
        .as_ref()
        .ok_or_else(|| UsageError("record needs a channel to record into, and the address of a stream".to_owned()))?;
    let channel = unshown(channel);
    let channel = Channel::new(&channel).map_err(|error| {
        UsageError(format!("{channel:?}: {error}; expected the name of a directory, such as desertbus"))
    })?;
    let source = source(args, args.source.as_ref())?;
    let given = if args.quality.is_empty() { vec![SOURCE.to_owned()] } else { args.quality.clone() };
    let quality = |name: &String| {
        let name = unshown(name);
        let read = Quality::new(&name).ok().filter(|quality| !quality.is_chat());
        read.ok_or_else(|| {
            UsageError(format!("--quality {name:?}: expected a quality of the stream, such as source or 480p"))
        })
    };
    let mut qualities = given.iter().map(quality).collect::<Result<Vec<_>, _>>()?;
    qualities.sort_unstable();
    qualities.dedup();
    let options = RecordOptions {
        channel,
        source,
        headers: headers(args)?,
        ca_file: args.ca_file.clone(),
        qualities,
        skips_ads: args.skip_ads,
    };
    options.refusal().map_or(Ok(options), |why| Err(UsageError(why)))
}

/// Prints what is recorded on standard output and what goes wrong on standard error.
#[derive(Debug, Default)]
struct RecordPrinter {
    json: bool,
    segments: AtomicU64,
    bytes: AtomicU64,
    given_up: AtomicU64,
    ads: AtomicU64,
    is_refused: AtomicBool,
    /// Something failed, and nothing has come since.
    is_silent: AtomicBool,
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
    fn print(&self, event: &RecorderEvent) {
        match event {
            RecorderEvent::SoundFound { stream, .. } => {
                stderr_line(format_args!("{stream}: sound that lies apart is recorded as well"));
            }
            RecorderEvent::Recorded { segment, .. } => {
                self.is_silent.store(false, Ordering::Relaxed);
                self.segment(segment);
            }
            RecorderEvent::SegmentFails { stream, why } => {
                tracing::info!(name: "segment_fails", %stream, why, "a segment did not come; it is tried again");
            }
            RecorderEvent::GivenUp { stream, start, duration, why, .. } => {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                let seconds = duration.seconds();
                stderr_line(format_args!("{stream}: {seconds:.1} s from {start} on are missing: {why}"));
            }
            RecorderEvent::AdLeftOut { .. } => {
                self.ads.fetch_add(1, Ordering::Relaxed);
            }
            RecorderEvent::Jumped { stream, missed, .. } => {
                self.given_up.fetch_add(*missed, Ordering::Relaxed);
                let missed = count(*missed, "segment");
                stderr_line(format_args!("{stream}: {missed} went out of the playlist before it could be asked"));
            }
            RecorderEvent::Restarted { stream } => stderr_line(format_args!("{stream}: the stream began anew")),
            RecorderEvent::ClockDiffers { stream, behind } => {
                let (seconds, side) = (behind.seconds().abs(), if behind.us() > 0 { "behind" } else { "ahead of" });
                stderr_line(format_args!("{stream}: the times of the source are {seconds:.1} s {side} the clock here"));
            }
            // Without a node there are no others.
            RecorderEvent::TimesDiffer { .. } => {}
            RecorderEvent::ClockWasSet { stream, by } => stderr_line(format_args!(
                "{stream}: the clock here was set by {:.1} s, and the source tells no times: segments are placed as before until nothing comes for a minute",
                by.seconds()
            )),
            RecorderEvent::Fails { stream, why, .. } => {
                self.is_silent.store(true, Ordering::Relaxed);
                stderr_line(format_args!("{stream}: nothing comes: {why}"));
            }
            RecorderEvent::Refused { stream, why } => {
                self.is_refused.store(true, Ordering::Relaxed);
                stderr_line(format_args!("{stream} cannot be recorded: {why}"));
            }
            RecorderEvent::Ended { stream } => stderr_line(format_args!("{stream}: the stream has ended")),
        }
    }

    fn segment(&self, segment: &RecordedSegment) {
        let Some(path) = &segment.path else { return };
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(segment.bytes, Ordering::Relaxed);
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

    fn summary(&self) -> String {
        let (segments, bytes) = (self.segments.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let missing = self.given_up.load(Ordering::Relaxed);
        let missing = if missing > 0 { format!(", {missing} missing") } else { String::new() };
        let ads = self.ads.load(Ordering::Relaxed);
        let left_out = if ads > 0 { format!(", {} left out", count(ads, "ad segment")) } else { String::new() };
        format!("{}, {}{missing}{left_out}", count(segments, "segment"), size(bytes))
    }

    fn exit(&self) -> Exit {
        let is_missing = self.given_up.load(Ordering::Relaxed) > 0;
        let is_silent = self.is_silent.load(Ordering::Relaxed) && self.segments.load(Ordering::Relaxed) == 0;
        match self.is_refused.load(Ordering::Relaxed) || is_silent {
            true => Exit::Failed,
            false if is_missing => Exit::DataWrong,
            false => Exit::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(channel: &str, source: &str, quality: &[&str]) -> Result<RecordOptions, String> {
        let quality = quality.iter().map(ToString::to_string).collect();
        options(&RecordArgs {
            channel: Some(channel.into()),
            source: Some(source.into()),
            resolve: Vec::new(),
            header: Vec::new(),
            quality,
            ..RecordArgs::default()
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_recorded_is_the_best_quality_unless_others_are_named() {
        let of = |quality: &[&str]| {
            let read = read("a", "https://live.example/a.m3u8", quality).unwrap();
            read.qualities.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), ["source"]);
        assert_eq!(of(&["480p", "source", "480p"]), ["480p", "source"]);
        for (channel, source, quality, expected) in [
            ("..", "https://a/x", "source", "name of a directory"),
            ("a", "https://a/x", "chat", "a quality of the stream"),
            ("a", "rtmp://a/live/key", "480p", "RTMP has one quality"),
            ("a", "live.m3u8", "source", "not an address to record from"),
        ] {
            let said = read(channel, source, &[quality]).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }
}
