//! `gapless record --test`: what a source has and what would be written of it, for people and as JSON.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::config::Config;
use super::exit::Exit;
use super::out::stdout;
use crate::archive::escape::shown;
use crate::archive::quantity::{count, exact_length, size};
use crate::record::{ProbedList, ProbedQuality, ProbedSegment, ProbedSource};

/// Above this, times that are told and the clock here disagree.
const CLOCKS_AGREE: f64 = 5.0;

/// Prints it; the exit code says whether all of it can be recorded.
pub fn print_report(config: &Config, report: &ProbedSource) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    if config.json {
        out.json(report)?;
    } else {
        for line in lines(report) {
            writeln!(out, "{line}")?;
        }
    }
    let works = report.qualities.iter().filter(|quality| quality.problem.is_none()).count();
    Ok(match works {
        0 => Exit::Failed,
        _ if works < report.qualities.len() => Exit::DataWrong,
        _ => Exit::Done,
    }
    .into())
}

fn lines(report: &ProbedSource) -> Vec<String> {
    let sounds = report.qualities.iter().filter(|quality| quality.is_sound).count();
    let qualities = report.qualities.len() - sounds;
    let plural = if qualities == 1 { "quality" } else { "qualities" };
    let apart = if sounds > 0 { format!(", {sounds} of sound that lies apart") } else { String::new() };
    let mut lines = vec![format!("{}: {}, {qualities} {plural}{apart}", report.source, report.protocol)];
    for quality in &report.qualities {
        lines.push(headline(quality));
        lines.extend(quality.segment.as_ref().map(|segment| format!("  {}", content(segment))));
        if !quality.sound.is_empty() {
            let names: Vec<_> = quality.sound.iter().map(|name| shown(name)).collect();
            lines.push(format!("  its sound lies apart and is recorded along with it: {}", names.join(", ")));
        }
        if let Some(list) = &quality.playlist {
            lines.extend(listed(list).into_iter().map(|line| format!("  {line}")));
        }
        if let Some(segment) = &quality.segment {
            let fault = segment.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
            lines.push(format!("  would write {} ({}{fault})", shown(&segment.path), size(segment.bytes)));
        }
        lines.extend(quality.problem.as_ref().map(|problem| format!("  cannot be recorded: {problem}")));
    }
    lines
}

fn headline(quality: &ProbedQuality) -> String {
    let mut line = if quality.is_source && quality.name != "source" {
        format!("source, also called {}", shown(&quality.name))
    } else {
        shown(&quality.name).into_owned()
    };
    let mut said: Vec<String> = Vec::new();
    if quality.is_sound {
        said.push("sound".to_owned());
    }
    said.extend(quality.title.as_ref().map(|title| format!("called {}", shown(title))));
    said.extend(quality.language.as_ref().map(|language| format!("language {}", shown(language))));
    said.extend(quality.width.zip(quality.height).map(|(width, height)| format!("{width}x{height}")));
    said.extend(quality.frames_per_second.map(|rate| format!("{rate} fps")));
    said.extend(quality.bits_per_second.map(bits));
    said.extend(quality.codecs.clone());
    if !said.is_empty() {
        // Writing to text never fails.
        write!(line, " ({})", said.join(", ")).unwrap_or_default();
    }
    match quality.spare_addresses {
        0 => line,
        spare => format!("{line}, with {}", count(spare as u64, "spare address")),
    }
}

fn content(segment: &ProbedSegment) -> String {
    let mut said =
        vec![segment.container.to_owned(), segment.codecs.clone().unwrap_or_else(|| "unknown codecs".to_owned())];
    said.extend(segment.width.zip(segment.height).map(|(width, height)| format!("{width}x{height}")));
    said.extend(segment.frames_per_second.map(|rate| format!("{rate} fps")));
    said.extend(segment.bits_per_second.map(bits));
    if !segment.is_independent {
        said.push("segments do not begin with a key frame".to_owned());
    }
    said.join(", ")
}

fn listed(list: &ProbedList) -> Vec<String> {
    let (least, most) = (list.shortest_seconds, list.longest_seconds);
    let each = if most - least < 0.0005 { format!("{most:.3} s") } else { format!("{least:.3} to {most:.3} s") };
    let segments = count(list.segments as u64, "segment");
    let mut lines = vec![format!("{segments} of {each}: a window of {}", exact_length(list.window_seconds))];
    let news = count(list.new_segments as u64, "new segment");
    lines.push(if list.has_ended {
        "the stream has ended".to_owned()
    } else {
        format!("{news} in {:.0} s", list.looked_seconds)
    });
    lines.extend(list.encryption.as_ref().map(|method| format!("encrypted by {method}")));
    lines.push(match list.behind_clock_seconds {
        None => {
            "no times are told: names follow the clock here, and differ between recorders by up to seconds".to_owned()
        }
        Some(behind) if behind.abs() > CLOCKS_AGREE => {
            let side = if behind > 0.0 { "behind" } else { "ahead of" };
            format!("times are told, and lie {:.1} s {side} the clock here: which of the two is wrong?", behind.abs())
        }
        Some(behind) => format!("times are told, {behind:.1} s behind the clock here: names agree between recorders"),
    });
    lines
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn bits(per_second: u64) -> String {
    if per_second < 1_000_000 {
        format!("{} kbit/s", per_second / 1_000)
    } else {
        format!("{:.2} Mbit/s", per_second as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_has_is_said_line_by_line() {
        let playlist = ProbedList {
            segments: 20,
            window_seconds: 40.0,
            shortest_seconds: 2.0,
            longest_seconds: 2.002,
            encryption: Some("AES-128".to_owned()),
            tells_times: true,
            behind_clock_seconds: Some(7.3),
            has_ended: false,
            new_segments: 2,
            looked_seconds: 5.1,
        };
        let segment = ProbedSegment {
            path: "CHANNEL/source/H/N.ts".to_owned(),
            container: "MPEG-TS",
            bytes: 1 << 20,
            bits_per_second: Some(4_190_000),
            is_independent: true,
            ..ProbedSegment::default()
        };
        let quality = ProbedQuality {
            name: "720p60".to_owned(),
            is_source: true,
            width: Some(1280),
            height: Some(720),
            bits_per_second: Some(900_000),
            sound: vec!["audio".to_owned()],
            spare_addresses: 1,
            playlist: Some(playlist),
            segment: Some(segment),
            ..ProbedQuality::default()
        };
        let refused = ProbedQuality {
            name: "audio".to_owned(),
            is_sound: true,
            title: Some("Original".to_owned()),
            language: Some("en".to_owned()),
            problem: Some("why".to_owned()),
            ..ProbedQuality::default()
        };
        let report =
            ProbedSource { source: "https://a/b".to_owned(), protocol: "HLS", qualities: vec![quality, refused] };
        assert_eq!(
            lines(&report),
            [
                "https://a/b: HLS, 1 quality, 1 of sound that lies apart",
                "source, also called 720p60 (1280x720, 900 kbit/s), with 1 spare address",
                "  MPEG-TS, unknown codecs, 4.19 Mbit/s",
                "  its sound lies apart and is recorded along with it: audio",
                "  20 segments of 2.000 to 2.002 s: a window of 40.0 s",
                "  2 new segments in 5 s",
                "  encrypted by AES-128",
                "  times are told, and lie 7.3 s behind the clock here: which of the two is wrong?",
                "  would write CHANNEL/source/H/N.ts (1.00 MiB)",
                "audio (sound, called Original, language en)",
                "  cannot be recorded: why",
            ]
        );
    }
}
