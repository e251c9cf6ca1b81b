//! Arguments that several verbs have, as typed: what clap accepts, and nothing validated beyond its shape. Knows no verb.
//!
//! Values that are also settings (`--node-file`, `--log`) stay text here, because `config` reads flag,
//! environment and file with one parser. No default of a setting stands in this file.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use super::exit::UsageError;
use crate::archive::escape::unshown;
use crate::archive::{Channel, Hour, HourPlace, Quality, Stream, Timestamp, time_input};

const EVERY_VERB: &str = "Options of every command";

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
    #[command(flatten)]
    pub cutoff: CutoffArg,
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

#[derive(Debug, Clone, Default, clap::Args)]
pub struct CutoffArg {
    #[arg(
        long,
        value_name = "DURATION",
        help = "How long ago a segment must have ended to be fetched [default: 120s]"
    )]
    pub recent_cutoff: Option<String>,
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
    #[command(flatten)]
    pub cutoff: CutoffArg,
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
