//! `gapless record --list`, `--start`, `--stop` and `--forget`: what the daemon that runs here records.

use std::process::ExitCode;

use super::api::Api;
use super::config::Config;
use super::exit::Exit;
use super::out::stdout;
use crate::archive::escape::shown;
use crate::wire::{RecorderList, RecorderReport, StartRecorder, StopRecorder};

/// What is asked of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordControl {
    List,
    Start(StartRecorder),
    Stop(StopRecorder),
}

pub async fn run(config: &Config, order: &RecordControl) -> anyhow::Result<ExitCode> {
    let list = "api/v1/recorders";
    let Some(daemon) = Api::running(config).await else {
        anyhow::bail!(
            "no daemon runs on {}, so there is no recorder to ask for; `gapless record CHANNEL URL` records without one",
            config.base_dir.display()
        );
    };
    let report: RecorderList = match order {
        RecordControl::List => daemon.get(list).json().await?,
        RecordControl::Start(order) => {
            let started: RecorderReport = daemon.post(&format!("{list}/start"), order)?.json().await?;
            RecorderList { recorders: vec![started] }
        }
        RecordControl::Stop(order) => daemon.post(&format!("{list}/stop"), order)?.json().await?,
    };
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
    } else {
        for line in lines(&report) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Exit::Done.into())
}

fn lines(list: &RecorderList) -> Vec<String> {
    if list.recorders.is_empty() {
        return vec!["nothing is recorded here; `gapless record --start CHANNEL URL` records a stream".to_owned()];
    }
    let mut lines = Vec::new();
    for recorder in &list.recorders {
        let by = if recorder.in_settings { "by the settings" } else { "by order" };
        let stopped = if recorder.stopped { ", stopped" } else { "" };
        lines.push(format!("{}  {} ({by}{stopped})", shown(recorder.channel.as_str()), shown(&recorder.source)));
        for stream in recorder.streams.iter().filter(|_| !recorder.stopped) {
            lines.push(format!("  {}: {}", shown(stream.quality.as_str()), stream.doing));
            // Where segments come again, what failed before is of no interest here.
            let error = stream.error.as_ref().filter(|_| stream.failures > 0);
            lines.extend(error.map(|error| format!("    {error}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Channel, Quality, Timestamp};
    use crate::wire::StreamRecorderReport;

    #[test]
    fn recorders_are_listed_with_what_they_do_and_why_not() {
        let stream = |failures| StreamRecorderReport {
            quality: Quality::new("source").unwrap(),
            state: "working".to_owned(),
            doing: "records".to_owned(),
            since: Timestamp(0),
            failures,
            error: Some("no answer".to_owned()),
            error_time: None,
        };
        let recorder = |name: &str, in_settings, stopped, failures| RecorderReport {
            channel: Channel::new(name).unwrap(),
            source: "https://h/x?…".to_owned(),
            skip_ads: false,
            in_settings,
            stopped,
            streams: vec![stream(failures)],
        };
        let recorders =
            vec![recorder("a", true, false, 0), recorder("b", false, true, 0), recorder("c", false, false, 2)];
        let expected = [
            "a  https://h/x?… (by the settings)",
            "  source: records",
            "b  https://h/x?… (by order, stopped)",
            "c  https://h/x?… (by order)",
            "  source: records",
            "    no answer",
        ];
        assert_eq!(lines(&RecorderList { recorders }), expected);
        assert_eq!(lines(&RecorderList { recorders: Vec::new() }).len(), 1);
    }
}
