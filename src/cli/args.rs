//! Arguments as typed: what clap accepts, and nothing validated beyond its shape.
//!
//! Values that are also settings (`--listen`, `--name`, `--log`) stay text here, because `config` reads flag,
//! environment and file with one parser. No default of a setting stands in this file.

mod doctor;
mod examples;
mod import;
mod reference;
mod scrub;
mod settings;
mod target;
pub mod time;
mod tombstone;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::config::time_between;
use crate::archive::{Hour, Timestamp};
pub use doctor::DoctorArgs;
pub use import::ImportArgs;
pub use reference::{CompletionArgs, ManArgs};
pub use scrub::{QuarantineArgs, QuarantineVerb, ScrubArgs};
pub use target::ArchiveTarget;
pub use tombstone::{AcceptArgs, AddArgs, ListArgs, PurgeArgs, TombstoneArgs, TombstoneVerb};

/// The heading of what every verb takes, in the help of each.
const EVERY_VERB: &str = "Options of every command";

/// What somebody does first.
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
    /// What every verb takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
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
    /// What to log.
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

/// The verbs.
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

/// Arguments of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// How much history to start with, at most 6h
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = |text: &str| time_between(text, "0s", "6h"))]
    pub history: Duration,
    /// End after this time, at most 24h
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = |text: &str| time_between(text, "1s", "24h"))]
    pub lasts: Duration,
    /// How long ago a segment must have ended before a node that lacks it fetches it, at most 10min; until then its hole is visible
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = |text: &str| time_between(text, "0s", "10min"))]
    pub recent_cutoff: Duration,
    /// Seed for reproducible failures of the recorders; random by default
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Use this directory, which must be empty or missing, and leave everything in it at the end
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Other nodes, and how far they are trusted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PeerArgs {
    /// Another node; repeatable
    #[arg(long, value_name = "[NAME=]URL", env = "GAPLESS_PEERS", value_delimiter = ',')]
    pub peer: Vec<String>,
    /// A file.
    #[arg(
        long,
        value_name = "FILE",
        help = "File with other nodes, `NAME URL` or `URL` per line; reread every 30 s [env: GAPLESS_BACKFILL_NODE_FILE]"
    )]
    pub node_file: Option<String>,
    /// A database.
    #[arg(
        long,
        value_name = "URL",
        help = "PostgreSQL database with a table of other nodes; queried every 30 s [env: GAPLESS_BACKFILL_NODE_DATABASE]"
    )]
    pub node_database: Option<String>,
    /// How long ago a segment must have ended to be fetched: the recorder here may still get it
    #[arg(
        long,
        value_name = "DURATION",
        help = "How long ago a segment must have ended to be fetched [default: 120s]"
    )]
    pub recent_cutoff: Option<String>,
    /// The token.
    #[arg(
        long,
        value_name = "FILE",
        help = "File with the token to send to other nodes [env: GAPLESS_BACKFILL_TOKEN_FILE]"
    )]
    pub token_file: Option<String>,
    /// Whom to trust.
    #[arg(
        long,
        value_name = "FILE",
        help = "Trust only these authorities (PEM) for https to other nodes [env: GAPLESS_BACKFILL_CA_FILE]"
    )]
    pub ca_file: Option<String>,
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

/// Arguments of `backfill`.
#[derive(Debug, Clone, clap::Args)]
pub struct BackfillArgs {
    /// Other nodes.
    #[command(flatten)]
    pub peers: PeerArgs,
    /// Make one round, then exit: 0 if complete, 1 if something could not be fetched. Without it, rounds go on until ctrl-C
    #[arg(long)]
    pub once: bool,
    /// Only this channel; repeatable
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Vec<String>,
    /// Only this quality; repeatable
    #[arg(long, value_name = "QUALITY")]
    pub quality: Vec<String>,
    /// Only this hour, such as 2019-11-13T02 or 1h ago; repeatable
    #[arg(long, value_name = "HOUR", value_parser = time::hour, allow_hyphen_values = true)]
    pub hour: Vec<Hour>,
    /// Only from the hour of this time on, such as 2019-11-13, yesterday or 5h ago; a number alone counts hours back
    #[arg(long, value_name = "TIME", value_parser = time::since, allow_hyphen_values = true)]
    pub start: Option<Hour>,
    /// This node's name.
    #[arg(
        long,
        value_name = "NAME",
        help = "This node's name, to leave itself out of lists of nodes [env: GAPLESS_NAME] [default: the host's name]"
    )]
    pub name: Option<String>,
    /// Parallel downloads from one node
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help = "Parallel downloads from one node [default: 5]")]
    pub concurrency: Option<u8>,
}

/// Arguments of `node`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NodeArgs {
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where to listen; port 0 picks a free one [env: GAPLESS_LISTEN] [default: 127.0.0.1:8000]"
    )]
    pub listen: Option<String>,
    /// Who may write.
    #[arg(
        long,
        value_name = "FILE",
        help = "File with tokens that may write, one per line [env: GAPLESS_HTTP_WRITE_TOKENS]"
    )]
    pub write_tokens: Option<String>,
    /// Who may read.
    #[arg(
        long,
        value_name = "FILE",
        help = "File with tokens that may read, one per line; by default everybody may read [env: GAPLESS_HTTP_READ_TOKENS]"
    )]
    pub read_tokens: Option<String>,
    /// The certificate.
    #[arg(
        long,
        value_name = "FILE",
        help = "Speak https with this certificate chain (PEM) [env: GAPLESS_HTTP_TLS_CERTIFICATE]"
    )]
    pub tls_certificate: Option<String>,
    /// Its key.
    #[arg(long, value_name = "FILE", help = "The private key of that certificate (PEM) [env: GAPLESS_HTTP_TLS_KEY]")]
    pub tls_key: Option<String>,
    /// This node's name.
    #[arg(long, value_name = "NAME", help = "This node's name [env: GAPLESS_NAME] [default: the host's name]")]
    pub name: Option<String>,
    /// Other nodes.
    #[command(flatten)]
    pub peers: PeerArgs,
}

/// Arguments of `rebuild`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RebuildArgs {
    /// Change nothing; report every difference between index and tree, and exit with 1 if there is one
    #[arg(long)]
    pub check: bool,
    /// Give this archive a new id, after it was copied together with .gapless
    #[arg(long, conflicts_with = "check")]
    pub new_id: bool,
}

/// Arguments of `retention`.
#[derive(Debug, Clone, clap::Args)]
pub struct RetentionArgs {
    /// What about it.
    #[command(subcommand)]
    pub verb: RetentionVerb,
}

/// What to do about retention.
#[derive(Debug, Clone, Subcommand)]
pub enum RetentionVerb {
    /// What would be deleted now, and why; deletes nothing
    Plan,
    /// Delete what is to be deleted
    Run {
        /// Confirm, even if more than half of the archive would go or the clock looks wrong
        #[arg(long)]
        yes: bool,
        /// Other nodes that may hold copies
        #[command(flatten)]
        peers: PeerArgs,
    },
    /// List the hours that were deleted or are being deleted: hour, state, reason, time
    List,
    /// Recreate damaged or missing protective records from what can still be read
    #[command(
        long_about = "Recreate damaged or missing protective records from what can still be read.\n\nNothing is deleted while one of them cannot be relied on. Look at `gapless doctor` and at the files beneath BASE/.gapless first: a line of the journal that is lost may have said that an hour is kept. Damaged copies stay there as NAME.damaged."
    )]
    Accept,
    /// Exempt hours from all limits, and fetch them again
    Keep {
        /// The hours
        #[arg(value_name = "CHANNEL/QUALITY/HOUR", required = true)]
        places: Vec<String>,
        /// End the exemption
        #[arg(long)]
        release: bool,
    },
}

/// Arguments of `crawl`.
#[derive(Debug, Clone, clap::Args)]
pub struct CrawlArgs {
    /// The answer.
    #[command(subcommand)]
    pub verb: CrawlVerb,
}

/// Answers to the crawl.
#[derive(Debug, Clone, Subcommand)]
pub enum CrawlVerb {
    /// Confirm that a channel's missing files are gone for good
    Accept {
        /// The channel, as `gapless status` names it
        channel: String,
    },
}

/// Arguments of `ls`.
#[derive(Debug, Clone, clap::Args)]
pub struct LsArgs {
    /// What to list; without it, the channels
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub target: Option<ArchiveTarget>,
    /// Also list tombstones
    #[arg(long)]
    pub tombstones: bool,
}

/// The rules by which a name of another node would be fetched or left.
#[derive(Debug, Clone, clap::Args)]
pub struct RuleArgs {
    /// How long ago a segment must have ended to be fetched.
    #[arg(
        long,
        value_name = "DURATION",
        help = "How long ago a segment must have ended to be fetched [default: 120s]"
    )]
    pub recent_cutoff: Option<String>,
    /// Tombstones of the other node would only be reported
    #[arg(long)]
    pub distrust_tombstones: bool,
    /// File with the one token that is shown to the other node.
    #[arg(
        long,
        value_name = "FILE",
        help = "File with the one token that is shown to the other node [env: GAPLESS_BACKFILL_TOKEN_FILE]"
    )]
    pub token_file: Option<String>,
    /// Whom to trust.
    #[arg(
        long,
        value_name = "FILE",
        help = "Trust these authorities (PEM) and no others where the other node is asked over https [env: GAPLESS_BACKFILL_CA_FILE]"
    )]
    pub ca_file: Option<String>,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, clap::Args)]
pub struct DiffArgs {
    /// The other node
    #[arg(long, value_name = "[NAME=]URL")]
    pub peer: String,
    /// What to compare; without it, everything
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub target: Option<ArchiveTarget>,
    /// Only how many, not which
    #[arg(long)]
    pub summary: bool,
    /// What backfill would do.
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// Arguments of `explain`.
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
    #[arg(long, value_name = "HOUR", value_parser = time::hour, allow_hyphen_values = true)]
    pub hour: Option<Hour>,
    /// Also ask this node whether it has the file, and what backfill would do
    #[arg(long, value_name = "[NAME=]URL")]
    pub peer: Option<String>,
    /// What backfill would do.
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// A channel and quality, and a part of its time.
#[derive(Debug, Clone, clap::Args)]
pub struct WindowArgs {
    /// The channel and quality
    #[arg(value_name = "CHANNEL/QUALITY")]
    pub stream: String,
    /// Only from this time on, such as 2019-11-13T04:05:06 (UTC), yesterday or 1h ago
    #[arg(long, alias = "start", value_name = "TIME", value_parser = time::time, allow_hyphen_values = true)]
    pub from: Option<Timestamp>,
    /// Only until this time
    #[arg(long, alias = "end", value_name = "TIME", value_parser = time::time, allow_hyphen_values = true)]
    pub to: Option<Timestamp>,
}

/// Arguments of `holes`.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct HolesArgs {
    /// Where and when.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Also count what is missing at the edges of the window
    #[arg(long)]
    pub edges: bool,
    /// Holes in the playable sequence instead of holes that nothing covers
    #[arg(long)]
    pub editable: bool,
    /// Only holes that nobody can fill: every peer was asked, and none has anything
    #[arg(long, conflicts_with_all = ["edges", "editable"])]
    pub unfillable: bool,
    /// Holes that were filled, and by whom
    #[arg(long, conflicts_with_all = ["edges", "editable", "unfillable"])]
    pub closed: bool,
}

/// Arguments of `cut`.
#[derive(Debug, Clone, clap::Args)]
pub struct CutArgs {
    /// The channel and quality
    #[arg(value_name = "CHANNEL/QUALITY")]
    pub stream: String,
    /// Start, such as 2019-11-13T04:05:06 (UTC), yesterday 14:30 or 1h ago
    #[arg(value_name = "START", value_parser = time::time, allow_hyphen_values = true)]
    pub start: Timestamp,
    /// End
    #[arg(value_name = "END", value_parser = time::time, allow_hyphen_values = true)]
    pub end: Timestamp,
    /// Where to write it; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// How to cut; without it, the name says it: .ts is rough, .mp4 is mp4
    #[arg(long = "type", value_enum)]
    pub kind: Option<CutType>,
    /// Write the rest if something is missing; by default nothing is written then
    #[arg(long)]
    pub allow_holes: bool,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// How to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CutType {
    /// Whole segments as they are; may start earlier and end later
    Rough,
    /// Transport stream, exact to the picture; only the ends are encoded. Needs ffmpeg
    Smart,
    /// The same, as MP4
    Mp4,
}

impl CutType {
    /// As in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rough => "rough",
            Self::Smart => "smart",
            Self::Mp4 => "mp4",
        }
    }
}

/// Arguments of `timespans`.
#[derive(Debug, Clone, clap::Args)]
pub struct TimespansArgs {
    /// Where and when.
    #[command(flatten)]
    pub window: WindowArgs,
}

/// Arguments of `coverage`.
#[derive(Debug, Clone, clap::Args)]
pub struct CoverageArgs {
    /// Print it once, then exit: the default, accepted for scripts
    #[arg(long)]
    pub once: bool,
    /// Only this channel; repeatable
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Vec<String>,
    /// Only this quality; repeatable
    #[arg(long, value_name = "QUALITY")]
    pub quality: Vec<String>,
    /// Write gauges into this file as Prometheus text, in one piece
    #[arg(long, value_name = "FILE")]
    pub gauges: Option<PathBuf>,
    /// Draw a map of each quality, and a page that shows it beside those of other nodes, into BASE/coverage-maps
    #[arg(long)]
    pub maps: bool,
}

/// Arguments of `status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Redraw until ctrl-C; one screen after the other if stdout is not a terminal
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = |text: &str| time_between(text, "100ms", "1d")
    )]
    pub watch: Option<Duration>,
    /// Another node.
    #[command(flatten)]
    pub node: OtherNode,
}

/// A node that is not the one on this archive.
#[derive(Debug, Clone, clap::Args)]
pub struct OtherNode {
    /// The daemon to ask.
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
    /// Whom to trust.
    #[arg(
        long,
        value_name = "FILE",
        help = "Trust these authorities (PEM) and no others where the daemon is asked over https [env: GAPLESS_BACKFILL_CA_FILE]"
    )]
    pub ca_file: Option<String>,
}

#[cfg(test)]
mod tests;
