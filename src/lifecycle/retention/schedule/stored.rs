//! An hour as retention sees it: what it holds, what was decided about it, and why it would go.

use crate::archive::HourPlace;
use crate::archive::origins::Origin;

/// An hour that holds something that could go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which.
    pub place: HourPlace,
    /// Bytes of segments and chat batches, hidden ones included: what would go.
    pub bytes: u64,
    /// Bytes of what is listed and not understood: it would stay.
    pub other_bytes: u64,
    /// How many segments and chat batches would go.
    pub segments: u64,
    /// How many tombstones would stay until the reclaim age.
    pub tombstones: u64,
    /// What was decided about it before.
    pub decided: EarlierDecision,
    /// Whose it is.
    pub origin: Origin,
}

impl Stored {
    /// Whether half of all such must not vanish at once: what was recorded here, and what the configuration names.
    pub(super) fn counts(&self) -> bool {
        !self.origin.fetched || self.origin.named
    }
}

/// What was decided about an hour before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EarlierDecision {
    /// Nothing.
    #[default]
    Nothing,
    /// It stays, on the operator's word.
    Keep,
    /// It goes: it was begun and not finished, and nobody asks whether it is still wanted.
    Begun(RetentionReason),
}

/// Why an hour goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionReason {
    /// It is older than allowed.
    Age,
    /// All hours together are larger than allowed.
    Size,
    /// The disk has less free space than is to be kept.
    Space,
    /// It came from other nodes, and there is no room for it beside what is this archive's own.
    Fetched,
    /// Its channel and quality are larger than allowed.
    Stream,
}

impl RetentionReason {
    /// As written in the journal, in JSON and on the screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::Space => "space",
            Self::Fetched => "fetched",
            Self::Stream => "stream",
        }
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Age, Self::Size, Self::Space, Self::Fetched, Self::Stream];
        all.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// What must not shrink too far, each measured by itself: one hour that was recorded must not stand for all that was mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// The archive's own, by the rule by which room is made.
    Own,
    /// What others gave of what the configuration names, where something else is own.
    Named,
}
