//! Arguments of `tombstone`.

use clap::Subcommand;

use super::{ArchiveTarget, OtherNode};

/// Arguments of `tombstone`.
#[derive(Debug, Clone, clap::Args)]
pub struct TombstoneArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub what: TombstoneVerb,
}

/// What can be done with tombstones.
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
    /// The other node that is named, if one is.
    pub fn node(&self) -> &OtherNode {
        match self {
            Self::Add(AddArgs { node, .. })
            | Self::List(ListArgs { node, .. })
            | Self::Purge(PurgeArgs { node, .. })
            | Self::Accept(AcceptArgs { node, .. }) => node,
        }
    }
}

/// Arguments of `tombstone add`.
#[derive(Debug, Clone, clap::Args)]
pub struct AddArgs {
    /// What to hide: CHANNEL/QUALITY/HOUR/NAME, or a file below the archive; `-` reads more of them from stdin, one a line
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<String>,
    /// Also hide equal content in any channel, quality and hour; lists it and asks first
    #[arg(long)]
    pub content: bool,
    /// With --content: do not ask
    #[arg(long, requires = "content")]
    pub yes: bool,
    /// Reason, one line of at most 500 characters; stored in new tombstones and visible to other nodes
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Another node.
    #[command(flatten)]
    pub node: OtherNode,
}

/// Arguments of `tombstone list`.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Where; without it, in the whole archive
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub target: Option<ArchiveTarget>,
    /// Another node.
    #[command(flatten)]
    pub node: OtherNode,
}

/// Arguments of `tombstone accept`.
#[derive(Debug, Clone, clap::Args)]
pub struct AcceptArgs {
    /// Of this peer; without it, of all
    #[arg(value_name = "PEER")]
    pub peer: Option<String>,
    /// Another node.
    #[command(flatten)]
    pub node: OtherNode,
}

/// Arguments of `tombstone purge`.
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
    /// Another node.
    #[command(flatten)]
    pub node: OtherNode,
}
