//! Arguments of `scrub` and `quarantine`.

use clap::Subcommand;

use super::ArchiveTarget;

/// Arguments of `scrub`.
#[derive(Debug, Clone, clap::Args)]
pub struct ScrubArgs {
    /// What to check; everything by default. A file means its whole hour
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub targets: Vec<ArchiveTarget>,
    /// Check once, then exit: the default, accepted for scripts
    #[arg(long)]
    pub once: bool,
    /// Move damaged files to the quarantine however many they are
    #[arg(long)]
    pub yes: bool,
    /// Threads that read; one where a daemon does it, and two where none runs, unless it is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
}

/// Arguments of `quarantine`.
#[derive(Debug, Clone, clap::Args)]
pub struct QuarantineArgs {
    /// What to do with it; without it, list
    #[command(subcommand)]
    pub what: Option<QuarantineVerb>,
}

/// What can be done with the quarantine.
#[derive(Debug, Clone, Subcommand)]
pub enum QuarantineVerb {
    /// List what lies there, and why
    List,
    /// Move files back, if their place is free; the next scrub finds damaged ones again
    Restore {
        /// Path, as `list` prints it
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
    },
    /// Delete files for ever
    Purge {
        /// Path, as `list` prints it
        #[arg(value_name = "PATH", required_unless_present = "healed")]
        paths: Vec<String>,
        /// All those that are here again with the right content
        #[arg(long)]
        healed: bool,
    },
}
