//! The rules of handoffs, pins and stand-ins, each under one name: the simulator takes them away one at a time, to see that each is needed
//! and that its checks would notice.

/// One rule. `docs/placement.md` has the table of what is seen without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlacementRule {
    /// An hour leaves when each of its owners has confirmed it, and not only some.
    EveryOwner,
    /// An hour leaves only for as many owners as there should be copies.
    EnoughCopies,
    /// An hour leaves only for owners in as many zones as there can be.
    OwnersInZones,
    /// What was asked or answered under another layout counts for nothing.
    SameLayout,
    /// Only a layout of a higher version takes the place of one.
    NewestLayout,
    /// Names are confirmed only where all of them lie.
    AllNames,
    /// Only owners confirm.
    OnlyOwners,
    /// An hour that was promised to stay does not go.
    PinsHold,
    /// A promise is in the journal before it is given.
    PinsInJournal,
    /// A promise is counted in time that its giver has lived, which no clock that is set makes longer.
    PinsInLivedTime,
    /// Where the journal cannot be relied on everything was promised.
    LostJournalPins,
    /// What is being deleted is not confirmed.
    GoingIsRefused,
    /// An answer counts once, and for the request that it answers.
    FreshAnswers,
    /// A promise is relied on for half as long as it is given.
    RelyHalf,
    /// What a node has promised that is silent since does not count.
    SilenceForgets,
    /// An archive that answers under two names is one copy, and one's own archive is none.
    OneArchiveOneCopy,
    /// An hour leaves only when it is over and nothing has come for a while.
    OnlyQuiet,
    /// An hour stays while somebody holds it: a cut, the quarantine.
    HeldStays,
    /// An owner that stays away is stood in for.
    StandIns,
    /// An hour that waits to be deleted is not promised again, or it would wait for ever.
    WaitingIsRefused,
}

impl PlacementRule {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::EveryOwner,
        Self::EnoughCopies,
        Self::OwnersInZones,
        Self::SameLayout,
        Self::NewestLayout,
        Self::AllNames,
        Self::OnlyOwners,
        Self::PinsHold,
        Self::PinsInJournal,
        Self::PinsInLivedTime,
        Self::LostJournalPins,
        Self::GoingIsRefused,
        Self::FreshAnswers,
        Self::RelyHalf,
        Self::SilenceForgets,
        Self::OneArchiveOneCopy,
        Self::OnlyQuiet,
        Self::HeldStays,
        Self::StandIns,
        Self::WaitingIsRefused,
    ];
}

/// Which rules stand. A type and no setting: what a node runs with is chosen when it is compiled, and is [`AllRules`].
pub trait PlacementRules {
    /// Whether this rule stands. Asked at the place where it decides, and nowhere else.
    fn stands(&self, rule: PlacementRule) -> bool;
}

/// All rules stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllRules;

impl PlacementRules for AllRules {
    fn stands(&self, _: PlacementRule) -> bool {
        true
    }
}
