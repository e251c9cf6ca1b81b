//! The verb `explain`: all that is known of a file, or what covers a time, and why.
//!
//! Decides what was asked about: a time, a file of an hour, or something else below the base. Changes nothing.

mod file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::archive_client::{ArchiveClient, ArchiveScope};
use super::args::{self, RuleArgs, parse_hour};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::out::{LineOutput, stdout};
use crate::archive::best::{SequencePiece, TOLERANCE};
use crate::archive::escape::{shown, unshown};
use crate::archive::explain::{Moment, Search};
use crate::archive::time_input::EXPECTED;
use crate::archive::{Channel, Hour, HourPlace, Quality, Stream, Timestamp};
use crate::wire::{ClosedHole, ExplainedTime, HoleRecord, why_not_played};

#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// CHANNEL/QUALITY/HOUR/NAME, a path below the base, HOUR/NAME, or a time such as 2019-11-13T04:05:06 (UTC), yesterday 14:30 or 1h ago
    #[arg(value_name = "PATH-or-TIME")]
    pub what: String,
    /// Only in this channel
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Only in this quality
    #[arg(long, value_name = "QUALITY")]
    pub quality: Option<String>,
    /// The hour of a file given by name only, such as 2019-11-13T02
    #[arg(long, value_name = "HOUR", value_parser = parse_hour, allow_hyphen_values = true)]
    pub hour: Option<Hour>,
    /// Also ask this node whether it has the file, and what backfill would do
    #[arg(long, value_name = "[NAME=]URL")]
    pub peer: Option<String>,
    #[command(flatten)]
    pub rules: RuleArgs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Time(Timestamp),
    File(HourPlace, String),
    Name(Hour, String),
    Other(PathBuf),
}

pub async fn run(config: &Config, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let subject = subject(config, args)?;
    let scope = scope(args)?;
    let rules = super::diff::DiffRules::new(config, &args.rules)?;
    if matches!(subject, Subject::Time(_) | Subject::Other(_)) && args.peer.is_some() {
        return Err(UsageError("--peer is for a file: CHANNEL/QUALITY/HOUR/NAME or HOUR/NAME".to_owned()).into());
    }
    let there = args.peer.as_deref().map(|text| ArchiveClient::peer(text, config)).transpose()?;
    if let Subject::Other(path) = &subject {
        return file::other(config, path);
    }
    let here = ArchiveClient::here(config).await?;
    let found = match subject {
        Subject::Time(at) => explain_time(config, &here, &scope, at).await,
        Subject::File(place, name) => file::explain(config, &here, there.as_ref(), &rules, &[place], &name).await,
        Subject::Name(hour, name) => match places(&here, &scope, hour).await {
            Ok(places) => file::explain(config, &here, there.as_ref(), &rules, &places, &name).await,
            Err(error) => Err(error),
        },
        Subject::Other(_) => Ok(Exit::Done),
    };
    here.close().await?;
    Ok(found?.into())
}

async fn places(here: &ArchiveClient, scope: &ArchiveScope, hour: Hour) -> anyhow::Result<Vec<HourPlace>> {
    let mut places = Vec::new();
    for stream in here.streams(scope, &BTreeSet::new()).await? {
        if here.hours(&stream, true).await?.contains(&hour) {
            places.push(HourPlace { stream, hour });
        }
    }
    if places.is_empty() {
        here.require(scope).await?;
        anyhow::bail!("no channel and quality that was asked for has the hour {hour}; give CHANNEL/QUALITY/HOUR/NAME");
    }
    Ok(places)
}

fn scope(args: &ExplainArgs) -> Result<ArchiveScope, UsageError> {
    let wrong = |text: &str, error: &dyn std::fmt::Display| UsageError(format!("{text}: {error}"));
    let channel = args.channel.as_deref().map(|text| Channel::new(&unshown(text)).map_err(|error| wrong(text, &error)));
    let quality = args.quality.as_deref().map(|text| Quality::new(&unshown(text)).map_err(|error| wrong(text, &error)));
    Ok(ArchiveScope { channel: channel.transpose()?, quality: quality.transpose()?, hour: None })
}

fn subject(config: &Config, args: &ExplainArgs) -> Result<Subject, UsageError> {
    let given = unshown(&args.what);
    let what = &*given;
    if let Some(hour) = args.hour {
        if what.contains('/') {
            return Err(UsageError(format!("--hour is for a name alone, and {what:?} is a path")));
        }
        return Ok(Subject::Name(hour, what.to_owned()));
    }
    if let Ok(at) = args::parse_time(what) {
        return Ok(Subject::Time(at));
    }
    if let Some(found) = below(what) {
        return Ok(found);
    }
    let relative = relative_to_base(&config.base_dir, Path::new(what));
    if let Some(found) = relative.as_deref().and_then(Path::to_str).and_then(below) {
        return Ok(found);
    }
    match relative {
        Some(path) if path.components().next().is_some() && what.contains('/') => Ok(Subject::Other(path)),
        _ => Err(UsageError(format!(
            "{what:?} is neither CHANNEL/QUALITY/HOUR/NAME, nor HOUR/NAME, nor a path below {} (for a name alone, give its hour with --hour), nor {EXPECTED}",
            config.base_dir.display()
        ))),
    }
}

/// A file, by its path relative to the base, or by its hour and name.
fn below(path: &str) -> Option<Subject> {
    let (directory, name) = path.rsplit_once('/')?;
    if name.is_empty() || name.contains('\0') {
        return None;
    }
    if let Ok(hour) = Hour::parse(directory) {
        return Some(Subject::Name(hour, name.to_owned()));
    }
    HourPlace::parse(directory).ok().map(|place| Subject::File(place, name.to_owned()))
}

/// The path relative to the base, if it leads below it; by its names alone, or with the links of the base resolved. A relative path
/// is meant from the base where that makes one, else from the current directory.
fn relative_to_base(base: &Path, path: &Path) -> Option<PathBuf> {
    if path.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
        return None;
    }
    let whole = std::path::absolute(path).ok()?;
    let bases = [std::path::absolute(base).ok(), base.canonicalize().ok()];
    let below = bases.iter().flatten().find_map(|root| whole.strip_prefix(root).ok().map(Path::to_owned));
    below.or_else(|| (path.is_relative()).then(|| path.to_owned()))
}

/// Prints what covers `at` in each channel and quality of `scope`.
async fn explain_time(
    config: &Config,
    here: &ArchiveClient,
    scope: &ArchiveScope,
    at: Timestamp,
) -> anyhow::Result<Exit> {
    let mut streams = here.streams(scope, &BTreeSet::new()).await?;
    streams.retain(|stream| !stream.quality.is_chat());
    if streams.is_empty() {
        here.require(scope).await?;
        anyhow::bail!("no channel with video here; see `gapless ls`");
    }
    for stream in streams {
        let found = of_stream(here, &stream, at).await?;
        let known = here.explained(&stream, at).await?;
        let ledger = (known.hole.and_then(|hole| hole.ledger), known.was_missing);
        let mut out = stdout();
        if config.json {
            let explained = ExplainedTime::new(&stream, at, &found).with_ledger(ledger.0, ledger.1);
            out.json(&explained.with_limits(known.limits).with_stored(known.stored))?;
        } else {
            as_text(&mut out, &stream, at, &found)?;
            ledger_as_text(&mut out, &ledger)?;
            known.stored.iter().try_for_each(|stored| writeln!(out, "  bucket  {stored}"))?;
            known.limits.iter().try_for_each(|limits| writeln!(out, "  limits  {limits}"))?;
        }
    }
    Ok(Exit::Done)
}

async fn of_stream(here: &ArchiveClient, stream: &Stream, at: Timestamp) -> anyhow::Result<Moment> {
    let mut search = Search::new(at, &here.hours(stream, true).await?);
    while let Some(hour) = search.wanted() {
        search.give(here.contents(&HourPlace { stream: stream.clone(), hour }).await?);
    }
    Ok(search.found())
}

fn as_text(out: &mut LineOutput<'_>, stream: &Stream, at: Timestamp, found: &Moment) -> std::io::Result<()> {
    let spans =
        |piece: &SequencePiece| format!("{}/{}: {} to {}", piece.hour, piece.file.name(), piece.start(), piece.end());
    if let Some(piece) = &found.chosen {
        let alone = if found.others.is_empty() { ", the only one" } else { "" };
        writeln!(out, "{} at {at}: covered", shown(&stream.to_string()))?;
        writeln!(out, "  played  {}{alone}", spans(piece))?;
    } else {
        let end = |piece: &Option<SequencePiece>| piece.as_ref().map_or_else(|| "nothing".to_owned(), spans);
        writeln!(out, "{} at {at}: a hole{}", shown(&stream.to_string()), length(found))?;
        writeln!(out, "  before  {}", end(&found.before))?;
        writeln!(out, "  after   {}", end(&found.after))?;
    }
    for (piece, instead) in &found.others {
        writeln!(out, "  also    {}; {}", spans(piece), why_not_played(instead))?;
    }
    Ok(())
}

fn length(found: &Moment) -> String {
    match found.hole() {
        Some(span) if span <= TOLERANCE => {
            format!(" of {} s, so short that what is around it counts as joined", span.seconds())
        }
        Some(span) => format!(" of {} s", span.seconds()),
        None if found.before.is_some() => ", after the last segment".to_owned(),
        None if found.after.is_some() => ", before the first segment".to_owned(),
        None => ", and no segment anywhere near".to_owned(),
    }
}

type Ledger = (Option<HoleRecord>, Vec<ClosedHole>);

fn ledger_as_text(out: &mut LineOutput<'_>, (open, closed): &Ledger) -> std::io::Result<()> {
    if let Some(hole) = open {
        if let Some(first_seen) = &hole.first_seen {
            writeln!(out, "  missing since {first_seen} or earlier")?;
        }
        if let (Some(reason), Some(since), Some(detail)) = (&hole.reason, &hole.reason_since, &hole.detail) {
            writeln!(out, "  reason  {reason}: {detail} (since {since})")?;
        }
    }
    for hole in closed {
        let by = hole.closed_by.as_ref().map_or_else(|| "nothing".to_owned(), Clone::clone);
        writeln!(
            out,
            "  was missing from {} to {}: first seen {}, closed {} by {by}",
            hole.start, hole.end, hole.first_seen, hole.closed
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_an_hour_and_a_name() {
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        assert_eq!(below("a/b/2019-11-13T02/x.ts"), Some(Subject::File(place, "x.ts".to_owned())));
        let hour = Hour::parse("2019-11-13T02").unwrap();
        assert_eq!(below("2019-11-13T02/.x"), Some(Subject::Name(hour, ".x".to_owned())));
        for other in ["x.ts", "a/b/x.ts", "a/b/2019-11-13T02/", "a/b/c/2019-11-13T02/x", "/a/b/2019-11-13T02/x"] {
            assert_eq!(below(other), None, "{other}");
        }
    }

    #[test]
    fn a_real_path_is_taken_relative_to_the_base() {
        let relative = |path: &str| relative_to_base(Path::new("/srv/archive"), Path::new(path));
        assert_eq!(relative("/srv/archive/a/b"), Some("a/b".into()));
        assert_eq!(relative("emotes/1"), Some("emotes/1".into()));
        assert_eq!(relative("/srv/other/a"), None);
        assert_eq!(relative("/srv/archive/../x"), None);
    }
}
