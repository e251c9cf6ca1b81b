//! The arguments of the verb.

use std::path::PathBuf;

use crate::archive::Timestamp;
use crate::cli::args::parse_time;

#[derive(Debug, Clone, clap::Args)]
#[command(override_usage = "gapless import [OPTIONS] --channel CHANNEL --quality QUALITY FILE...")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ImportArgs {
    /// The recordings, as MPEG-TS or fragmented MP4
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The channel that they belong to
    #[arg(long, value_name = "CHANNEL")]
    pub channel: String,
    /// The quality, such as source
    #[arg(long, value_name = "QUALITY")]
    pub quality: String,
    /// When the first file starts; each further one has to continue the one before by its time stamps
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, conflicts_with = "name_pattern")]
    pub start: Option<Timestamp>,
    /// How the recorder has named the files, such as rec-%Y%m%d-%H%M%S.ts; without it, a file starts as long before its last change as it lasts
    #[arg(long, value_name = "PATTERN")]
    pub name_pattern: Option<String>,
    /// The time zone of those names: local (of this machine, as recorders write it), utc, or an offset such as +01:00
    #[arg(long, value_name = "ZONE", default_value = "local", requires = "name_pattern", allow_hyphen_values = true)]
    pub name_zone: String,
    /// Hard links only: refuse files that cannot be linked instead of copying them
    #[arg(long, group = "way")]
    pub link: bool,
    /// Copy the files
    #[arg(long, group = "way")]
    pub copy: bool,
    /// Remove each original once its content is in the archive
    #[arg(long = "move", group = "way")]
    pub moving: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}
