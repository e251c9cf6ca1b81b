//! Why work with a peer ended, and whether it is of any use to go on.

use crate::archive::quantity::size;
use crate::disk::DownloadError;
use crate::replicate::peer::PeerError;
use crate::sync::crawl::CrawlError;

/// Why a round ended before it was complete.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Our disk or index.
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    /// What was fetched.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// There is less room than is to be kept free.
    #[error(
        "only {} free on the archive's disk, less than keep_free ({}): nothing is fetched until there is room{who}",
        size(*free), size(*floor)
    )]
    NoRoom {
        /// Free.
        free: u64,
        /// To stay free.
        floor: u64,
        /// Who fills it, as the end of a sentence; empty if that is not known.
        who: String,
    },
    /// There are fewer inodes than are to be kept free.
    #[error(
        "only {free} of the {total} inodes of the archive's disk are free, and a tenth is to stay free: no file is fetched, and no tombstone is taken for a name that is not here, until there are more; delete what is not wanted, or use a file system with more inodes"
    )]
    NoInodes {
        /// Free.
        free: u64,
        /// In all.
        total: u64,
    },
    /// Nothing happened for a long time.
    #[error("no progress for {} minutes; abandoned, will be retried", .0.as_secs() / 60)]
    Stalled(std::time::Duration),
    /// The hour is not kept any more.
    #[error("{0} is not kept here any more: it was retired while it was fetched")]
    Retired(String),
    /// Retention cannot say what is kept.
    #[error(
        "which hours are kept here cannot be told at the moment, because the journal of retired hours cannot be read: nothing is fetched"
    )]
    KeptUnknown,
    /// The quarantine was not read yet.
    #[error(
        "which files are damaged wherever they are cannot be told at the moment, because the quarantine was not read yet: nothing is fetched"
    )]
    DamagedUnknown,
    /// A thread.
    #[error("the work crashed: {0}")]
    Thread(String),
}

impl RoundError {
    /// Whether it is of no use to go on with this round: our disk is away or full, or the peer does not answer.
    pub fn ends_the_round(&self) -> bool {
        match self {
            Self::Peer(error) => error.is_away() || error.disk().is_some(),
            // Tombstones of other hours may be for what is here.
            Self::NoInodes { .. } | Self::Retired(_) | Self::Crawl(CrawlError::Doubt(_)) => false,
            Self::Crawl(error) => !matches!(error, CrawlError::Disk(error) if !error.is_full()),
            Self::Download(error) => error.is_full(),
            Self::NoRoom { .. } | Self::Stalled(_) | Self::KeptUnknown | Self::DamagedUnknown | Self::Thread(_) => true,
        }
    }
}
