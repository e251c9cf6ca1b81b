//! Arguments as typed: what clap accepts, and nothing validated beyond its shape.
//!
//! Values that are also settings (`--listen`, `--name`, `--log`) stay text here, because `config` reads flag,
//! environment and file with one parser. No default of a setting stands in this file.

mod examples;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use clap::{Parser, Subcommand};

use super::UsageError;
use super::backfill::BackfillArgs;
use super::coverage::CoverageArgs;
use super::crawl::CrawlArgs;
use super::cut::CutArgs;
use super::demo::DemoArgs;
use super::diff::DiffArgs;
use super::doctor::DoctorArgs;
use super::explain::ExplainArgs;
use super::holes::{HolesArgs, TimespansArgs};
use super::import::ImportArgs;
use super::ls::LsArgs;
use super::node::NodeArgs;
use super::rebuild::RebuildArgs;
use super::reference::{CompletionArgs, ManArgs};
use super::retention::{RetentionArgs, RetentionVerb};
use super::scrub::{QuarantineArgs, ScrubArgs};
use super::status::StatusArgs;
use super::tombstone::TombstoneArgs;
use crate::archive::escape::unshown;
use crate::archive::{Channel, Hour, HourPlace, Quality, Stream, Timestamp, time_input};

const EVERY_VERB: &str = "Options of every command";

const EXAMPLES: &str = "Examples:
  gapless demo                           see what it does, in a temporary directory
  gapless node --base-dir /srv/archive   run a node; open http://127.0.0.1:8000/
  gapless import --channel mine --quality source *.ts    take in recordings
  gapless holes mine/source --from yesterday             list what is missing, why
  gapless doctor                         check the archive and this machine

Times: 2019-11-13T02:55:08 (UTC), 2019-11-13 03:55+01:00, 1h ago, yesterday, now.
Exit codes: 0 done; 1 done, but something is wrong with the data;
2 wrong usage or configuration; 3 could not be done.
Documentation: docs/commands.md, docs/configuration.md";

/// Keeps archives of live streams complete: indexes, serves and replicates recorded segments, and shows what is missing.
#[derive(Debug, Parser)]
#[command(
    name = "gapless",
    version,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The archive: the directory that holds CHANNEL/QUALITY/HOUR
    #[arg(long, global = true, help_heading = EVERY_VERB, env = "GAPLESS_BASE_DIR", default_value = ".", value_name = "DIR")]
    pub base_dir: PathBuf,
    /// Directory of the index, if not in the archive (read-only or slow disk) [default: BASE/.gapless]
    #[arg(long, global = true, help_heading = EVERY_VERB, env = "GAPLESS_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Configuration file (TOML) [default: BASE/.gapless/config.toml if it is there]
    #[arg(long, global = true, help_heading = EVERY_VERB, env = "GAPLESS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        help_heading = EVERY_VERB,
        value_name = "FILTER",
        help = "What to log, as a tracing filter such as info or gapless::http=debug,info [env: GAPLESS_LOG] [default: info]"
    )]
    pub log: Option<String>,
    /// Print data as JSON
    #[arg(long, global = true, help_heading = EVERY_VERB)]
    pub json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Try gapless: three nodes on this machine whose recorders miss segments, in a temporary directory
    #[command(
        long_about = "Show what gapless does: three nodes on this machine, north, south and west, each with a recorder of its own that \
                      misses things. What is recorded is generated: there is no video in it. Open the address that is printed and watch \
                      holes appear and be filled. Everything lies in a temporary directory, which is removed at the end; ctrl-C ends it. \
                      Nothing else is touched: --base-dir, --state-dir and the settings of nodes play no part. Of what the nodes log, warnings are shown; --log shows more.",
        after_help = examples::DEMO
    )]
    Demo(DemoArgs),
    /// Run the daemon: index the archive, serve it over HTTP, fetch what is missing
    #[command(after_help = examples::NODE)]
    Node(NodeArgs),
    /// Rebuild the index from the files; the daemon must be stopped
    #[command(after_help = examples::REBUILD)]
    Rebuild(RebuildArgs),
    /// Fetch from other nodes what is missing here
    #[command(after_help = examples::BACKFILL)]
    Backfill(BackfillArgs),
    /// Show which hours are due for deletion, delete them, or list deleted ones
    #[command(after_help = examples::RETENTION)]
    Retention(RetentionArgs),
    /// Answer questions raised by the running daemon's crawl
    #[command(after_help = examples::CRAWL)]
    Crawl(CrawlArgs),
    /// Take recordings of ffmpeg, OBS or another program into the archive, as segments with their names
    #[command(after_help = examples::IMPORT)]
    Import(ImportArgs),
    /// List channels, qualities, hours or segments
    #[command(after_help = examples::LS)]
    Ls(LsArgs),
    /// Compare this archive with another node; changes nothing
    #[command(after_help = examples::DIFF)]
    Diff(DiffArgs),
    /// Explain a file, or which segments cover a time, and why
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// List the holes of a channel and quality: start, end, seconds, reason
    #[command(after_help = examples::HOLES)]
    Holes(HolesArgs),
    /// List the longest stretches without a hole: start, end and seconds of each
    #[command(after_help = examples::TIMESPANS)]
    Timespans(TimespansArgs),
    /// Write a stretch of time to one video file
    #[command(after_help = examples::CUT)]
    Cut(CutArgs),
    /// Show what each hour has and lacks; write Prometheus gauges and maps
    #[command(after_help = examples::COVERAGE)]
    Coverage(CoverageArgs),
    /// Hide segments on every node, list hidden ones, or delete their bytes here
    #[command(after_help = examples::TOMBSTONE)]
    Tombstone(TombstoneArgs),
    /// Check segments against their hashes now; damaged ones go to the quarantine
    #[command(after_help = examples::SCRUB)]
    Scrub(ScrubArgs),
    /// List, restore or delete damaged files
    #[command(after_help = examples::QUARANTINE)]
    Quarantine(QuarantineArgs),
    /// List segments that the scrub found odd but left in place
    #[command(after_help = examples::FLAGGED)]
    Flagged,
    /// Show the state of the node on one screen
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Check limits, disk, index, clock and peers, and say how to fix what is wrong
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print completions of this command line for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionArgs),
    /// Write manual pages, one for each command, into a directory
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
}

#[derive(Debug, Clone, Default, clap::Args)]
pub struct PeerArgs {
    /// Another node; repeatable
    #[arg(long, value_name = "[NAME=]URL", env = "GAPLESS_PEERS", value_delimiter = ',')]
    pub peer: Vec<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "File with other nodes, `NAME URL` or `URL` per line; reread every 30 s [env: GAPLESS_BACKFILL_NODE_FILE]"
    )]
    pub node_file: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help = "PostgreSQL database with a table of other nodes; queried every 30 s [env: GAPLESS_BACKFILL_NODE_DATABASE]"
    )]
    pub node_database: Option<String>,
    #[arg(
        long,
        value_name = "DURATION",
        help = "How long ago a segment must have ended to be fetched [default: 120s]"
    )]
    pub recent_cutoff: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Report tombstones of other nodes, but do not apply them; short for the setting `tombstones_from = "none"`
    #[arg(long)]
    pub distrust_tombstones: bool,
    /// Also fetch the files of this directory below the base by name; repeatable
    #[arg(long, value_name = "DIR")]
    pub extras: Vec<String>,
    /// Apply tombstones even if they are suspiciously many (over a fifth of an hour, or a thousand within three days)
    #[arg(long)]
    pub accept_tombstone_bursts: bool,
}

/// The streams that a verb keeps to: all where none is named.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StreamFilter {
    /// Only this channel; repeatable
    #[arg(long, value_name = "CHANNEL", value_parser = |name: &str| Channel::new(&unshown(name)))]
    pub channel: Vec<Channel>,
    /// Only this quality; repeatable
    #[arg(long, value_name = "QUALITY", value_parser = |name: &str| Quality::new(&unshown(name)))]
    pub quality: Vec<Quality>,
}

impl StreamFilter {
    pub fn is_empty(&self) -> bool {
        self.channel.is_empty() && self.quality.is_empty()
    }

    pub fn channels<C: FromIterator<String>>(&self) -> C {
        self.channel.iter().map(Channel::to_string).collect()
    }

    pub fn qualities<C: FromIterator<String>>(&self) -> C {
        self.quality.iter().map(Quality::to_string).collect()
    }
}

/// How other nodes are asked.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TrustArgs {
    #[arg(
        long,
        value_name = "FILE",
        help = "File with the token to send to other nodes [env: GAPLESS_BACKFILL_TOKEN_FILE]"
    )]
    pub token_file: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Trust only these authorities (PEM) for https to other nodes [env: GAPLESS_BACKFILL_CA_FILE]"
    )]
    pub ca_file: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct RuleArgs {
    #[arg(
        long,
        value_name = "DURATION",
        help = "How long ago a segment must have ended to be fetched [default: 120s]"
    )]
    pub recent_cutoff: Option<String>,
    /// Tombstones of the other node would only be reported
    #[arg(long)]
    pub distrust_tombstones: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Debug, Clone, clap::Args)]
pub struct WindowArgs {
    /// The channel and quality
    #[arg(value_name = "CHANNEL/QUALITY")]
    pub stream: String,
    /// Only from this time on, such as 2019-11-13T04:05:06 (UTC), yesterday or 1h ago
    #[arg(long, alias = "start", value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    pub from: Option<Timestamp>,
    /// Only until this time
    #[arg(long, alias = "end", value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    pub to: Option<Timestamp>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct OtherNode {
    #[arg(
        long,
        env = "GAPLESS_NODE",
        value_name = "URL",
        help = "Ask this daemon instead of the local one, such as http://archive.example:8000"
    )]
    pub node: Option<String>,
    /// File with the token to send to that daemon
    #[arg(long, value_name = "FILE", requires = "node")]
    pub token_file: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Trust these authorities (PEM) and no others where the daemon is asked over https [env: GAPLESS_BACKFILL_CA_FILE]"
    )]
    pub ca_file: Option<String>,
}

impl Args {
    /// The settings that were given as flags: key and text.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut given = vec![("log", self.common.log.clone())];
        if let Verb::Node(node) = &self.verb {
            given.push(("listen", node.listen.clone()));
            given.push(("name", node.name.clone()));
            given.push(("http.write_tokens", node.write_tokens.clone()));
            given.push(("http.read_tokens", node.read_tokens.clone()));
            given.push(("http.tls_certificate", node.tls_certificate.clone()));
            given.push(("http.tls_key", node.tls_key.clone()));
        }
        if let Verb::Diff(DiffArgs { rules, .. }) | Verb::Explain(ExplainArgs { rules, .. }) = &self.verb {
            given.push(("backfill.token_file", rules.trust.token_file.clone()));
        }
        if let Verb::Backfill(backfill) = &self.verb {
            given.push(("name", backfill.name.clone()));
        }
        if let Verb::Doctor(doctor) = &self.verb {
            given.extend(doctor.settings());
        }
        given.push(("backfill.ca_file", self.ca_file()));
        if let Verb::Node(NodeArgs { peers, .. })
        | Verb::Backfill(BackfillArgs { peers, .. })
        | Verb::Retention(RetentionArgs { verb: RetentionVerb::Run { peers, .. }, .. }) = &self.verb
        {
            given.push(("backfill.token_file", peers.trust.token_file.clone()));
            given.push(("backfill.peers", Some(peers.peer.join(",")).filter(|peers| !peers.is_empty())));
            given.push(("backfill.node_file", peers.node_file.clone()));
            given.push(("backfill.node_database", peers.node_database.clone()));
            given.push(("backfill.tombstones_from", peers.distrust_tombstones.then(|| "none".to_owned())));
        }
        given.into_iter().filter_map(|(key, value)| value.map(|text| (key, text))).collect()
    }

    fn ca_file(&self) -> Option<String> {
        match &self.verb {
            Verb::Node(NodeArgs { peers, .. })
            | Verb::Backfill(BackfillArgs { peers, .. })
            | Verb::Retention(RetentionArgs { verb: RetentionVerb::Run { peers, .. } }) => peers.trust.ca_file.clone(),
            Verb::Status(status) => status.node.ca_file.clone(),
            Verb::Doctor(doctor) => doctor.trust.ca_file.clone(),
            Verb::Diff(DiffArgs { rules, .. }) | Verb::Explain(ExplainArgs { rules, .. }) => {
                rules.trust.ca_file.clone()
            }
            Verb::Tombstone(tombstone) => tombstone.what.node().ca_file.clone(),
            Verb::Demo(_)
            | Verb::Scrub(_)
            | Verb::Quarantine(_)
            | Verb::Flagged
            | Verb::Rebuild(_)
            | Verb::Retention(_)
            | Verb::Crawl(_)
            | Verb::Import(_)
            | Verb::Ls(_)
            | Verb::Cut(_)
            | Verb::Holes(_)
            | Verb::Timespans(_)
            | Verb::Coverage(_)
            | Verb::Completions(_)
            | Verb::Man(_) => None,
        }
    }
}

/// A place in the archive, from a channel down to an hour.
///
/// Names may be given as they are printed. Only the shape is checked: one to three parts, none empty, none hidden. Whether the hour is one is `archive`'s affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveTarget(Vec<String>);

impl ArchiveTarget {
    /// The parts, from the channel on: one to three of them.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl std::fmt::Display for ArchiveTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl FromStr for ArchiveTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err("this is an address: give it with --peer or --node; expected CHANNEL/QUALITY/HOUR".into());
        }
        let parts: Vec<String> =
            text.strip_suffix('/').unwrap_or(text).split('/').map(|part| unshown(part).into_owned()).collect();
        if parts.len() > 3 {
            return Err("expected at most three parts, CHANNEL/QUALITY/HOUR".into());
        }
        if parts.iter().any(|part| part.is_empty() || part.starts_with('.') || part.contains(['\0', '/'])) {
            return Err("expected parts that are neither empty nor hidden, as in desertbus/source/2019-11-13T02".into());
        }
        Ok(Self(parts))
    }
}

pub fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Reads CHANNEL/QUALITY as it is typed or printed.
pub fn parse_stream(text: &str) -> Result<Stream, UsageError> {
    let plain = unshown(text);
    let plain = plain.trim_end_matches('/');
    Stream::parse(plain).map_err(|error| {
        UsageError(match plain.split('/').count() {
            1 if !plain.is_empty() => {
                format!(
                    "{text:?} is a channel alone, expected CHANNEL/QUALITY; `gapless ls {plain}` lists its qualities"
                )
            }
            2 if !plain.starts_with('/') => format!("{text:?}: {error}"),
            _ => format!("{text:?}: expected CHANNEL/QUALITY, such as desertbus/source"),
        })
    })
}

/// Reads CHANNEL/QUALITY/HOUR as it is typed or printed.
pub fn parse_hour_place(text: &str) -> Result<HourPlace, UsageError> {
    let plain = unshown(text);
    let plain = plain.trim_end_matches('/');
    HourPlace::parse(plain).map_err(|error| {
        let why = if plain.split('/').count() == 3 { format!("{error}; ") } else { String::new() };
        UsageError(format!("{text:?}: {why}expected CHANNEL/QUALITY/HOUR, such as desertbus/source/2019-11-13T02"))
    })
}

pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    time_input::read(text, now()).map_err(|error| error.advice())
}

pub fn parse_hour(text: &str) -> Result<Hour, String> {
    parse_time(text).map(Timestamp::hour)
}

/// The hour in which a time lies, or the one that was so many hours ago.
pub fn parse_since(text: &str) -> Result<Hour, String> {
    let is_number = text.parse::<u32>().is_ok();
    let words = if is_number { format!("{text}h ago") } else { text.to_owned() };
    parse_hour(&words).map_err(|advice| format!("{advice}, or a number of hours ago"))
}

#[cfg(test)]
mod tests;
