//! What a round did and why it ended, for status, metrics and people.

use crate::archive::quantity::size;
use crate::disk::DownloadError;
use crate::replicate::peer::PeerError;
use crate::sync::crawl::CrawlError;

/// Hours with suspiciously many tombstones that are named; more would only be longer.
pub(super) const MOST_BURSTS: usize = 100;

/// Names that were passed over and are named; more would only be longer.
pub(super) const MOST_PASSED_OVER: usize = 10;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundReport {
    pub requests: u64,
    pub hours: u64,
    pub fetched: u64,
    pub bytes: u64,
    pub tombstones: u64,
    /// Segments that were left because nearly the same one is here.
    pub near_duplicates: u64,
    /// Segments that were left because equal content is here, or in the same list, under another start.
    pub twins: u64,
    pub too_recent: u64,
    /// Hours whose tombstones wait for the operator, and why.
    pub bursts: Vec<String>,
    /// Tombstones of a peer that is not trusted with them.
    pub untrusted: u64,
    /// Files that another peer was being asked for.
    pub elsewhere: u64,
    /// Files that had gone from the peer when they were asked for, such as chat batches that were merged.
    pub gone: u64,
    /// Hours that were left because they are further ahead of the clock than any that is recorded now.
    pub future: u64,
    /// Names that the peer lists as channels or qualities and that are none of its.
    pub passed_over: u64,
    pub passed_over_names: Vec<String>,
    /// Names that were dropped because they are none.
    pub refused: u64,
    /// Hours of which nothing but tombstones was taken because the layout cannot be read.
    pub undecided: u64,
    /// Files whose content was not what their name says.
    pub hash_mismatches: u64,
    /// Files that could not be fetched, and hours that could not be compared.
    pub errors: u64,
    /// Hours, channels and files that were left out because the peer's budget for strangers' channels is full.
    pub over_budget: u64,
    pub full: Option<String>,
    pub extras: u64,
    pub extras_bytes: u64,
    pub last_error: Option<String>,
}

impl RoundReport {
    /// Both together. Of bursts that wait and of what was left aside, those of the later one.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.hours += other.hours;
        self.fetched += other.fetched;
        self.bytes += other.bytes;
        self.tombstones += other.tombstones;
        self.near_duplicates += other.near_duplicates;
        self.twins += other.twins;
        self.too_recent += other.too_recent;
        self.bursts = other.bursts;
        self.future = other.future;
        self.passed_over = other.passed_over;
        self.passed_over_names = other.passed_over_names;
        self.untrusted += other.untrusted;
        self.elsewhere += other.elsewhere;
        self.gone += other.gone;
        self.refused += other.refused;
        self.undecided += other.undecided;
        self.hash_mismatches += other.hash_mismatches;
        self.errors += other.errors;
        self.over_budget += other.over_budget;
        self.full = other.full;
        self.extras += other.extras;
        self.extras_bytes += other.extras_bytes;
        if other.last_error.is_some() {
            self.last_error = other.last_error;
        }
    }

    /// The peer lists this as a channel or quality, and it is none.
    pub fn pass_over(&mut self, name: impl std::fmt::Display) {
        self.passed_over += 1;
        if self.passed_over_names.len() < MOST_PASSED_OVER {
            self.passed_over_names.push(name.to_string());
        }
    }

    pub fn failed(&mut self, why: impl std::fmt::Display) {
        self.errors += 1;
        self.last_error = Some(why.to_string());
    }

    /// Whether everything that was wanted is here now.
    pub fn is_complete(&self) -> bool {
        self.errors == 0 && self.hash_mismatches == 0
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// There is less room than is to be kept free.
    #[error(
        "only {} free on the archive's disk, less than keep_free ({}): nothing is fetched until there is room{who}",
        size(*free), size(*floor)
    )]
    NoRoom {
        free: u64,
        floor: u64,
        /// Who fills it, as the end of a sentence; empty if that is not known.
        who: String,
    },
    /// There are fewer inodes than are to be kept free.
    #[error(
        "only {free} of the {total} inodes of the archive's disk are free, and a tenth is to stay free: no file is fetched, and no tombstone is taken for a name that is not here, until there are more; delete what is not wanted, or use a file system with more inodes"
    )]
    NoInodes { free: u64, total: u64 },
    #[error("no progress for {} minutes; abandoned, will be retried", .0.as_secs() / 60)]
    Stalled(std::time::Duration),
    #[error("{0} is not kept here any more: it was retired while it was fetched")]
    Retired(String),
    #[error(
        "which hours are kept here cannot be told at the moment, because the journal of retired hours cannot be read: nothing is fetched"
    )]
    KeptUnknown,
    #[error(
        "which files are damaged wherever they are cannot be told at the moment, because the quarantine was not read yet: nothing is fetched"
    )]
    DamagedUnknown,
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
