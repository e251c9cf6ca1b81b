//! The verb `record`: a live stream becomes segments of an archive, until ctrl-C or its end. Beside a daemon or without one: neither index nor
//! lock is needed, as for the verb `import`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::config::{Config, time_between};
use super::exit::UsageError;
use super::new_archive::check_disk;
use super::record_control::{self, RecordControl};
use super::record_lines::RecordPrinter;
use super::record_report::print_report;
use crate::archive::escape::unshown;
use crate::archive::{Channel, Quality};
use crate::net::tls::{self, ClientConfig};
use crate::record::{
    AddressCommand, ArchiveBase, RecordOptions, RecordSource, Recorder, RecorderEvents, SOURCE, SourceAddress,
    SourceHeaders, SourceProtocol, StreamTools, check_offered, probe_hls, probe_stream, probing_client,
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
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, conflicts_with_all = ["source", "list", "start", "stop", "forget"])]
    pub resolve: Vec<String>,
    /// Send this with each request to the source's own host, such as 'Cookie: a=b'; repeatable
    #[arg(long, value_name = "NAME: VALUE", conflicts_with_all = ["list", "start", "stop", "forget"])]
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
    #[arg(long, value_name = "QUALITY", conflicts_with_all = ["list", "stop", "forget"])]
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
            let flag = [("--quality", !self.quality.is_empty()), ("--skip-ads", self.skip_ads)];
            if let Some((flag, _)) = flag.iter().find(|(_, is_given)| *is_given && self.source.is_none()) {
                return Err(UsageError(format!(
                    "{flag} goes with `record --start CHANNEL URL`; without URL a recorder goes on as it was"
                )));
            }
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
    let authorities = tls::trusting(args.ca_file.as_deref())?;
    let lasts = args.lasts.unwrap_or(Duration::MAX);
    let over = stop.clone();
    tokio::spawn(async move {
        // A time that no clock reaches is none.
        if let Some(until) = tokio::time::Instant::now().checked_add(lasts) {
            tokio::time::sleep_until(until).await;
            over.cancel();
        }
    });
    let printer = Arc::new(RecordPrinter::new(config.json, &options));
    tokio::select! {
        checked = check_qualities(&options, &authorities) => checked?,
        () = stop.cancelled() => {}
    }
    check_disk(config, &*archive.base()?)?;
    let events = {
        let printer = Arc::clone(&printer);
        RecorderEvents::new(move |event| printer.print(event))
    };
    let tools = StreamTools::new(&config.playback.ffmpeg);
    let recorder = Recorder::new(options, archive.clone(), &authorities, &tools, events).ending_with_the_stream();
    recorder.run(stop).await;
    printer.look_for_what_is_here(&archive).await;
    Ok(printer.finish().into())
}

/// What the source does not offer is a mistake before anything was recorded; later on, it may be back soon.
async fn check_qualities(options: &RecordOptions, authorities: &ClientConfig) -> anyhow::Result<()> {
    let is_hls = options.source.protocol() == SourceProtocol::Hls;
    if !is_hls || options.qualities.iter().all(|quality| quality.as_str() == SOURCE) {
        return Ok(());
    }
    // The recorder says why there is no address, and tries again.
    let Ok(source) = options.source.address().await else { return Ok(()) };
    let client = probing_client(&source, options.headers.clone(), authorities);
    Ok(check_offered(&source, &client, &options.qualities).await?)
}

async fn test(config: &Config, args: &RecordArgs) -> anyhow::Result<ExitCode> {
    // A single name is the address, as nothing is recorded into a channel.
    let (channel, given) = match &args.source {
        None if args.resolve.is_empty() => (None, args.channel.as_ref()),
        source => (args.channel.as_ref(), source.as_ref()),
    };
    let options = options_of(args, channel.map_or("CHANNEL", String::as_str), given)?;
    let source = options.source.address().await?;
    if source.protocol() != SourceProtocol::Hls {
        let tools = StreamTools::new(&config.playback.ffmpeg);
        return print_report(config, &probe_stream(&source, &tools).await);
    }
    let authorities = tls::trusting(args.ca_file.as_deref())?;
    let client = probing_client(&source, options.headers, &authorities);
    let wanted = if args.quality.is_empty() { &[][..] } else { &options.qualities };
    print_report(config, &probe_hls(&source, &client, wanted).await?)
}

fn source(args: &RecordArgs, given: Option<&String>) -> Result<RecordSource, UsageError> {
    if !args.resolve.is_empty() {
        let command = AddressCommand::new(args.resolve.clone());
        return command
            .map(RecordSource::Command)
            .map_err(|expected| UsageError(format!("--resolve: expected {expected}")));
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
    options_of(args, channel, args.source.as_ref())
}

fn options_of(args: &RecordArgs, channel: &str, given: Option<&String>) -> Result<RecordOptions, UsageError> {
    let channel = unshown(channel);
    let channel = Channel::new(&channel).map_err(|error| {
        UsageError(format!("{channel:?}: {error}; expected the name of a directory, such as desertbus"))
    })?;
    let source = source(args, given)?;
    let named = if args.quality.is_empty() { vec![SOURCE.to_owned()] } else { args.quality.clone() };
    let quality = |name: &String| {
        let name = unshown(name);
        let read = Quality::new(&name).ok().filter(|quality| !quality.is_chat());
        read.ok_or_else(|| {
            UsageError(format!("--quality {name:?}: expected a quality of the stream, such as source or 480p"))
        })
    };
    let mut qualities = named.iter().map(quality).collect::<Result<Vec<_>, _>>()?;
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

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

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: RecordArgs,
    }

    /// The flags that say what is done instead of recording here.
    const INSTEAD: [&str; 5] = ["--test", "--list", "--start", "--stop", "--forget"];
    /// The other flags, and with which of those they go.
    const GOES_WITH: [(&[&str], &[&str]); 6] = [
        (&["--header", "a: b"], &["--test"]),
        (&["--ca-file", "x.pem"], &["--test"]),
        (&["--quality", "480p"], &["--test", "--start"]),
        (&["--skip-ads"], &["--start"]),
        (&["--for", "1s"], &[]),
        (&["--resolve", "cmd"], &["--test"]),
    ];

    #[test]
    fn each_flag_works_with_another_or_is_an_error_that_names_it() {
        let typed = |words: &[&str]| {
            let read = Typed::try_parse_from([&["record"], words].concat());
            read.map_err(|error| error.to_string())
                .and_then(|typed| typed.args.order().map_err(|error| error.to_string()))
        };
        for instead in INSTEAD {
            // What it needs besides.
            let places: &[&str] = match instead {
                "--list" => &[],
                "--start" => &["a", "https://a/x"],
                _ => &["a"],
            };
            assert!(typed(&[&[instead], places].concat()).is_ok(), "{instead}");
            for (flag, goes_with) in GOES_WITH {
                let said = typed(&[places, &[instead], flag].concat());
                let fits = goes_with.contains(&instead);
                assert_eq!(said.is_ok(), fits, "{instead} {flag:?}: {said:?}");
                assert!(fits || said.unwrap_err().contains(flag[0]));
            }
            for other in INSTEAD.iter().filter(|other| **other != instead) {
                assert!(typed(&[instead, other, "a"]).unwrap_err().contains("cannot be used with"));
            }
        }
        for (words, expected) in [
            (&["a", "--start", "--quality", "480p"][..], "--quality goes with"),
            (&["a", "--start", "--skip-ads"], "--skip-ads goes with"),
            (&["a", "https://a/x", "--stop"], "cannot be used with"),
            (&["a", "https://a/x", "--forget"], "cannot be used with"),
            (&["a", "--list"], "cannot be used with"),
            (&["--start"], "name the channel"),
            (&["a", "https://a/x", "--resolve", "cmd"], "cannot be used with"),
        ] {
            let said = typed(words).unwrap_err();
            assert!(said.contains(expected), "{words:?}: {said}");
        }
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
