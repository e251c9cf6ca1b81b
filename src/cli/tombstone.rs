//! The verb `tombstone`: hide segments everywhere, list what is hidden, delete the bytes of what is hidden here. Works on a node that is
//! named, or else on this archive; [`crate::lifecycle::tombstones`] does it.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Subcommand;

use super::absent;
use super::api::{Api, OpenNeeds};
use super::archiving::hidden_in_bucket;
use super::args::{ArchiveTarget, ArchiveTarget as Place, OtherNode};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::options;
use super::out::{prompt, stderr_line, stdout};
use crate::archive::Stream;
use crate::archive::escape::{shown, unshown};
use crate::archive::quantity::count;
use crate::lifecycle::tombstones::{ScopePart, TombstoneTarget};
use crate::wire::{
    AcceptBursts, AddOutcome, AddTombstones, AddedTombstones, PurgeOrder, PurgeReport, TombstoneNote, TombstonePage,
    TombstoneReceipt,
};

/// Paths read from stdin: a million of 150 bytes are held in memory, so that a wrong one is found before anything is done.
const MOST_LINES: usize = 1_000_000;
/// Paths that a daemon is given at once: each is flushed, and on a slow disk a thousand would take longer than it lets a request take.
const TOGETHER: usize = 250;
/// Wrong paths that are named; the rest is counted.
const MOST_NAMED: usize = 5;

pub async fn run(config: &Config, args: &TombstoneArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        TombstoneVerb::Add(args) => add(config, args).await,
        TombstoneVerb::List(args) => list(config, args).await,
        TombstoneVerb::Purge(args) => purge(config, args).await,
        TombstoneVerb::Accept(args) => accept(config, args).await,
    }
}

async fn add(config: &Config, args: &AddArgs) -> anyhow::Result<ExitCode> {
    if let Some(reason) = &args.reason {
        let note = TombstoneNote::new(reason, SystemTime::now(), &config.node.name);
        note.map_err(|error| UsageError(format!("--reason: expected {error}")))?;
    }
    let may_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if args.content && !args.yes && !may_ask {
        let why = "not a terminal, so nobody can be asked: give --yes to hide all of that";
        return Err(UsageError(why.to_owned()).into());
    }
    let paths = resolve(&config.base_dir, &given(&args.paths)?)?;
    let needs = OpenNeeds { every_hour: true, new_index: true, ..OpenNeeds::default() };
    with(config, &args.node, needs, async |api| hide(config, args, api, paths).await).await
}

async fn with(
    config: &Config,
    other: &OtherNode,
    needs: OpenNeeds,
    work: impl AsyncFnOnce(&Api) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    match Api::named(config, other)? {
        Some(node) => work(&node).await,
        None => Api::with(config, needs, work).await,
    }
}

async fn hide(config: &Config, args: &AddArgs, api: &Api, mut paths: Vec<String>) -> anyhow::Result<ExitCode> {
    if args.content {
        let equal = with_equal(api, &paths).await?;
        // What was named is hidden although it may not be here.
        let named: HashSet<_> = paths.iter().cloned().collect();
        paths.extend(equal.into_iter().filter(|path| !named.contains(path)));
        if !args.yes && !is_hiding_wanted(&paths)? {
            return Ok(Exit::Done.into());
        }
    }
    if !args.yes {
        require_streams(api, &paths).await?;
    }
    let mut refused = 0;
    for chunk in paths.chunks(TOGETHER) {
        let order = AddTombstones { paths: chunk.to_vec(), reason: args.reason.clone(), ..AddTombstones::default() };
        let added: AddedTombstones = api.post("api/v1/tombstones", &order)?.json().await?;
        refused += added.refused;
        let mut out = stdout();
        for path in &added.paths {
            match (config.json, path.outcome) {
                (true, _) => {
                    out.json(&path)?;
                }
                (false, AddOutcome::New) => writeln!(out, "new {}", shown(&path.path))?,
                (false, AddOutcome::There) => writeln!(out, "there {}", shown(&path.path))?,
                (false, AddOutcome::Refused) => {
                    let why = path.why.as_deref().unwrap_or("refused");
                    stderr_line(format_args!("gapless: {}: {why}", shown(&path.path)));
                }
            }
        }
    }
    Ok(if refused == 0 { Exit::Done.into() } else { Exit::Failed.into() })
}

/// An error where nothing of a channel and quality is here: its name is wrong, most likely, and what was to be hidden would stay in sight.
async fn require_streams(api: &Api, paths: &[String]) -> anyhow::Result<()> {
    let targets = paths.iter().filter_map(|path| TombstoneTarget::read(path).ok()).map(|target| target.place.stream);
    for Stream { channel, quality } in targets.collect::<BTreeSet<_>>() {
        let found = absent::require(api, channel.as_str(), Some(quality.as_str())).await;
        found.context("nothing was hidden; where a name is right although nothing of it is here, give --yes")?;
    }
    Ok(())
}

/// What has the content of these paths, wherever it lies.
async fn with_equal(api: &Api, paths: &[String]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for chunk in paths.chunks(TOGETHER) {
        let order = AddTombstones { content: chunk.to_vec(), dry_run: true, ..AddTombstones::default() };
        let equal: AddedTombstones = api.post("api/v1/tombstones", &order)?.json().await?;
        found.extend(equal.paths.into_iter().map(|equal| equal.path));
    }
    Ok(found)
}

fn is_hiding_wanted(paths: &[String]) -> anyhow::Result<bool> {
    for path in paths {
        stderr_line(format_args!("{}", shown(path)));
    }
    prompt(format_args!("Hide {} for ever, here and on every node? [y/N] ", count(paths.len() as u64, "file")))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

/// The paths as typed, with those from stdin in the place of `-`.
fn given(texts: &[String]) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    for text in texts {
        if text != "-" {
            paths.push(text.clone());
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if !line.trim().is_empty() {
                paths.push(line);
            }
            if paths.len() > MOST_LINES {
                return Err(UsageError(format!("more than {MOST_LINES} paths; give them in several runs")).into());
            }
        }
    }
    Ok(paths)
}

/// Paths in the archive, from such or from paths of files below the base, as they are or as they are printed. Nothing is done while one
/// of them is wrong.
fn resolve(base: &Path, texts: &[String]) -> Result<Vec<String>, UsageError> {
    let (mut paths, mut wrong) = (Vec::new(), Vec::new());
    for text in texts {
        match resolve_one(base, &unshown(text)) {
            Ok(path) => paths.push(path),
            Err(why) => wrong.push(format!("{text:?}: {why}")),
        }
    }
    if wrong.is_empty() {
        return Ok(paths);
    }
    let more = wrong.len().saturating_sub(MOST_NAMED);
    wrong.truncate(MOST_NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(UsageError(format!("nothing was done: {}{more}", wrong.join("; "))))
}

fn resolve_one(base: &Path, text: &str) -> Result<String, String> {
    let Err(why) = TombstoneTarget::read(text) else { return Ok(text.to_owned()) };
    let below = below(base, Path::new(text)).filter(|path| TombstoneTarget::read(path).is_ok());
    below.ok_or_else(|| why.to_string())
}

/// Where a file lies below the base, if it does; the file itself need not be there.
fn below(base: &Path, file: &Path) -> Option<String> {
    let base = std::fs::canonicalize(base).ok()?;
    let file = std::path::absolute(file).ok()?;
    let directory = file.parent()?;
    let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let path = directory.join(file.file_name()?);
    path.strip_prefix(base).ok()?.to_str().map(str::to_owned)
}

async fn list(config: &Config, args: &ListArgs) -> anyhow::Result<ExitCode> {
    check(args.target.as_slice())?;
    let needs = OpenNeeds { every_hour: true, ..OpenNeeds::default() };
    with(config, &args.node, needs, async |api| {
        let mut question = api.get("api/v1/tombstones");
        for (name, part) in ["channel", "quality", "hour"].into_iter().zip(args.target.iter().flat_map(Place::parts)) {
            question = question.with(name, part);
        }
        let mut is_empty = true;
        let each = |page: TombstonePage| {
            is_empty &= page.tombstones.is_empty();
            print(config, &page)
        };
        question.pages("after", |page: &TombstonePage| page.next.clone(), each).await?;
        if let (true, Some(target)) = (is_empty, &args.target) {
            absent::require_target(api, target).await?;
        }
        Ok(Exit::Done.into())
    })
    .await
}

fn print(config: &Config, page: &TombstonePage) -> anyhow::Result<()> {
    let mut out = stdout();
    for record in &page.tombstones {
        if config.json {
            out.json(&record)?;
            continue;
        }
        let bytes = record.hides.as_ref().map(|_| format!("\t{} here", indicatif::HumanBytes(record.bytes)));
        let note = record.note.as_ref();
        let note = note.map(|note| format!("\t{} ({}, {})", shown(&note.reason), note.at, shown(&note.node)));
        writeln!(out, "{}{}{}", shown(&record.path), bytes.unwrap_or_default(), note.unwrap_or_default())?;
    }
    Ok(())
}

/// Only a daemon has rounds that wait for this word; one round without it takes `--accept-tombstone-bursts`.
async fn accept(config: &Config, args: &AcceptArgs) -> anyhow::Result<ExitCode> {
    let daemon = match Api::named(config, &args.node)? {
        Some(node) => Some(node),
        None => Api::running(config).await,
    };
    let Some(daemon) = daemon else {
        anyhow::bail!(
            "no daemon runs here; for one round there is `gapless backfill --once --accept-tombstone-bursts`"
        );
    };
    let order = AcceptBursts { peer: args.peer.clone() };
    let accepted: TombstoneReceipt = daemon.post("api/v1/tombstones/accept", &order)?.json().await?;
    let mut out = stdout();
    if config.json {
        out.json(&accepted)?;
    } else {
        writeln!(out, "a round with {} peers begins now, and applies their tombstones", accepted.peers)?;
    }
    Ok(Exit::Done.into())
}

async fn purge(config: &Config, args: &PurgeArgs) -> anyhow::Result<ExitCode> {
    let may_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !args.yes && !args.dry_run && !may_ask {
        let why = "not a terminal, so nobody can be asked: give --yes to delete, or --dry-run to see what would go";
        return Err(UsageError(why.to_owned()).into());
    }
    check(&args.targets)?;
    // A bucket that cannot be used is no reason not to purge here.
    let bucket = matches!(options::bucket(config), Ok(Some(_)));
    let needs = OpenNeeds { every_hour: true, retention: true, new_index: true, bucket };
    with(config, &args.node, needs, async |api| {
        let mut exit = Exit::Done;
        let mut goes_on = true;
        if !args.yes {
            let would = rounds(config, api, args, true).await?;
            goes_on = !args.dry_run && would.files > 0 && is_confirmed(&would)?;
        }
        if goes_on {
            let done = rounds(config, api, args, false).await?;
            if !done.left.is_empty() {
                exit = Exit::Failed;
            }
        }
        if !config.json {
            say_in_bucket(api, args).await?;
        }
        Ok(exit.into())
    })
    .await
}

/// A purge of this node leaves in the bucket what lies there, which somebody who wants it gone must know.
async fn say_in_bucket(api: &Api, args: &PurgeArgs) -> anyhow::Result<()> {
    let places: Vec<String> = args.targets.iter().map(Place::to_string).collect();
    let command = if places.is_empty() { "CHANNEL".to_owned() } else { places.join(" ") };
    match hidden_in_bucket(api, places).await {
        Ok(hidden) if hidden.files > 0 => writeln!(
            stdout(),
            "{}, {} of what is hidden lie in the bucket as well, and stay there: `gapless archive purge {}` deletes them, and says with --dry-run what that costs",
            count(hidden.files, "file"),
            indicatif::HumanBytes(hidden.bytes),
            shown(&command)
        )?,
        Ok(_) => {}
        Err(error) => {
            stderr_line(format_args!("gapless: what is hidden and lies in the bucket is not known: {error}"));
        }
    }
    Ok(())
}

/// Whether hours are hours: said before anybody is asked.
fn check(targets: &[Place]) -> Result<(), UsageError> {
    let wrong = |text: &str, error| UsageError(format!("{text}: {error}"));
    targets
        .iter()
        .map(Place::to_string)
        .try_for_each(|text| ScopePart::parse(&text).map(drop).map_err(|error| wrong(&text, error)))
}

/// All of it, one request after the other; what it amounts to is printed and given back.
async fn rounds(config: &Config, api: &Api, args: &PurgeArgs, dry_run: bool) -> anyhow::Result<PurgeReport> {
    let mut total = PurgeReport { dry_run, ..PurgeReport::default() };
    let places: Vec<String> = args.targets.iter().map(Place::to_string).collect();
    loop {
        let everything = places.is_empty();
        let order =
            PurgeOrder { places: places.clone(), everything, dry_run, after: total.next, ..PurgeOrder::default() };
        let report: PurgeReport = api.post("api/v1/tombstones/purge", &order)?.json().await?;
        print_report(config, &report)?;
        total.files += report.files;
        total.bytes += report.bytes;
        total.kept += report.kept;
        total.left.extend(report.left);
        total.next = report.next;
        if total.next.is_none() {
            break;
        }
    }
    if total.files == 0 {
        for target in &args.targets {
            absent::require_target(api, target).await?;
        }
    }
    if !config.json {
        let what = if dry_run { "would be deleted" } else { "deleted" };
        let mut out = stdout();
        writeln!(out, "{}, {} {what}", count(total.files, "file"), indicatif::HumanBytes(total.bytes))?;
        if total.kept > 0 {
            writeln!(out, "kept because no other node has it: {}", count(total.kept, "file"))?;
        }
    }
    Ok(total)
}

fn print_report(config: &Config, report: &PurgeReport) -> anyhow::Result<()> {
    let mut out = stdout();
    if config.json {
        out.json(&report)?;
    } else {
        for hour in &report.hours {
            writeln!(
                out,
                "{}: {}, {}",
                shown(&hour.hour.to_string()),
                count(hour.files, "file"),
                indicatif::HumanBytes(hour.bytes)
            )?;
        }
    }
    for left in &report.left {
        stderr_line(format_args!("gapless: {} stays: {}", shown(&left.path), left.why));
    }
    Ok(())
}

fn is_confirmed(would: &PurgeReport) -> anyhow::Result<bool> {
    let bytes = indicatif::HumanBytes(would.bytes);
    prompt(format_args!("Delete {} ({bytes}) from this node for ever? [y/N] ", count(would.files, "file")))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[derive(Debug, Clone, clap::Args)]
pub struct TombstoneArgs {
    #[command(subcommand)]
    pub what: TombstoneVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum TombstoneVerb {
    /// Hide segments or chat batches here and, in time, on every node; they need not exist
    Add(AddArgs),
    /// List hidden files, and which still have their bytes here
    List(ListArgs),
    /// Delete the bytes of hidden files here for good; lists them and asks first
    Purge(PurgeArgs),
    /// Apply tombstones of other nodes that were held back as suspiciously many; see `gapless status`
    Accept(AcceptArgs),
}

impl TombstoneVerb {
    pub fn node(&self) -> &OtherNode {
        match self {
            Self::Add(AddArgs { node, .. })
            | Self::List(ListArgs { node, .. })
            | Self::Purge(PurgeArgs { node, .. })
            | Self::Accept(AcceptArgs { node, .. }) => node,
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    /// What to hide: CHANNEL/QUALITY/HOUR/NAME, or a file below the archive; `-` reads more of them from stdin, one a line
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<String>,
    /// Also hide equal content in any channel, quality and hour; lists it and asks first
    #[arg(long)]
    pub content: bool,
    /// Do not ask with --content, and hide names in a channel or quality of which nothing is here
    #[arg(long)]
    pub yes: bool,
    /// Reason, one line of at most 500 characters; stored in new tombstones and visible to other nodes
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub node: OtherNode,
}

#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Where; without it, in the whole archive
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub target: Option<ArchiveTarget>,
    #[command(flatten)]
    pub node: OtherNode,
}

#[derive(Debug, Clone, clap::Args)]
pub struct AcceptArgs {
    /// Of this peer; without it, of all
    #[arg(value_name = "PEER")]
    pub peer: Option<String>,
    #[command(flatten)]
    pub node: OtherNode,
}

#[derive(Debug, Clone, clap::Args)]
pub struct PurgeArgs {
    /// Where; without any, in the whole archive
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub targets: Vec<ArchiveTarget>,
    /// Delete without asking
    #[arg(long)]
    pub yes: bool,
    /// Only list what would be deleted
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    #[command(flatten)]
    pub node: OtherNode,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "00:00-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts";

    #[test]
    fn paths_are_of_the_archive_or_of_files_below_the_base() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        let hour = base.join("chan/source/2020-01-01T00");
        std::fs::create_dir_all(&hour).unwrap();
        std::os::unix::fs::symlink(&base, dir.path().join("link")).unwrap();
        let path = format!("chan/source/2020-01-01T00/{NAME}");
        let resolved = |text: &str| resolve(&base, &[text.to_owned()]).map(|mut paths| paths.remove(0));
        for text in [
            path.clone(),
            base.join(&path).to_str().unwrap().to_owned(),
            dir.path().join("link").join(&path).to_str().unwrap().to_owned(),
            dir.path().join("base/../base").join(&path).to_str().unwrap().to_owned(),
        ] {
            assert_eq!(resolved(&text).unwrap(), path, "{text}");
        }
        // It need not be there, nor its hour.
        let absent = base.join(&path).to_str().unwrap().replace("T00", "T05");
        assert_eq!(resolved(&absent).unwrap(), path.replace("T00", "T05"));
        for wrong in [
            dir.path().join(&path).to_str().unwrap().to_owned(),
            path.replace(".ts", ".txt"),
            path.replace("full", "temp"),
            path.replace("T00", "X00"),
            format!("../{path}"),
            NAME.to_owned(),
            String::new(),
        ] {
            let said = resolved(&wrong).unwrap_err().to_string();
            assert!(said.starts_with("nothing was done: "), "{said}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(is_yes("y\n") && is_yes("Yes"));
        for answer in ["", "\n", "n\n", "yy", "maybe"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }
}
