//! Why something could not be done with the layout, in words for whoever asked.

use crate::archive::placement::{BadStaged, LayoutError, LayoutFork, MOST_STAGED, PlanError};
use crate::disk::{AwayReason, DiskError};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum LayoutStoreError {
    /// The disk is not there.
    #[error("the archive is not there: {0}")]
    Away(String),
    /// The disk does not do what it should.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file here cannot be read.
    #[error("{0}")]
    Unusable(String),
    /// What is staged cannot be read.
    #[error(transparent)]
    Staged(#[from] BadStaged),
    /// The planner has no plan.
    #[error(transparent)]
    Plan(PlanError),
    /// The planner has no plan for what is staged already, and one change more.
    #[error("{0}; nothing was staged")]
    NotStaged(PlanError),
    /// Too many.
    #[error("{MOST_STAGED} changes are staged already; apply them, or forget them with `gapless layout discard`")]
    TooManyStaged,
    /// Somebody has applied another version in the meantime.
    #[error(
        "the plan was made from version {asked}, and version {now} is here; look at `gapless layout plan` again, and apply {now} if it is still right"
    )]
    OtherVersion {
        /// What it was made from.
        asked: u64,
        /// What there is.
        now: u64,
    },
    /// Somebody has staged other changes in the meantime.
    #[error(
        "the plan that was looked at leads to {asked}, and the one that waits now to {now}; look at `gapless layout plan` again. Nothing was applied"
    )]
    OtherPlan {
        /// What its first version was to be: digits of its hash.
        asked: String,
        /// What it is.
        now: String,
    },
    /// What was given is no layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What was given is behind.
    #[error("that is version {given}, and version {now} is here: every node takes the highest one")]
    Behind {
        /// What was given.
        given: u64,
        /// What there is.
        now: u64,
    },
    /// What was given is further ahead than anybody can be.
    #[error("{0}; nothing was taken")]
    Leap(LayoutFork),
}

impl From<AwayReason> for LayoutStoreError {
    fn from(away: AwayReason) -> Self {
        Self::Away(away.reason)
    }
}
