//! The guards against losing what nobody wanted to lose, each under one name.
//!
//! A guard decides from what the suspect cannot change. `docs/what-can-delete.md` says for each where its yardstick comes from and
//! which test takes it away and sees the loss. Nothing can be switched off in a program that is built for use: only the model test
//! takes guards away, one at a time, and only in a build with `cfg(test)`.

/// Everything that stands between a suspect and a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Many tombstones that hide what is here wait for the operator.
    TombstoneBurst,
    /// What a waiting or taken tombstone hides is neither fetched nor shown if it came meanwhile.
    HiddenStaysHidden,
    /// A tombstone hides equal content of the same channel nearby, too.
    ContentTwin,
    /// What lies beyond now plus a margin is nowhere the newest, and is not fetched.
    FutureHours,
    /// Nothing is deleted while witnesses of the time contradict each other.
    ClockWitnesses,
    /// The reclaim age counts the time that this node has lived.
    LivedTime,
    /// Tombstones go only after all nodes known to hold their hour were seen.
    HoldersSeen,
    /// A copy counts only where it is proven to be another one.
    LastCopy,
    /// A protective record that is damaged, missing or from the future stops all deletion.
    RecordsIntact,
    /// What was begun goes on only if it is still wanted now.
    BegunChecked,
    /// The archive may not lose more than half of what it held within a week.
    Shrinking,
    /// What came from others never displaces what was recorded here or is configured.
    OwnFirst,
    /// Channels that nobody here records or names have a budget for each peer.
    PeerBudget,
    /// An error that means "there already" is believed only after a look at what is there.
    LooksAtWhatIsThere,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::TombstoneBurst,
        Self::HiddenStaysHidden,
        Self::ContentTwin,
        Self::FutureHours,
        Self::ClockWitnesses,
        Self::LivedTime,
        Self::HoldersSeen,
        Self::LastCopy,
        Self::RecordsIntact,
        Self::BegunChecked,
        Self::Shrinking,
        Self::OwnFirst,
        Self::PeerBudget,
        Self::LooksAtWhatIsThere,
    ];
}

/// The guards of one node. All of them stand.
#[derive(Debug, Default)]
pub struct Guards {
    #[cfg(test)]
    removed: parking_lot::Mutex<std::collections::BTreeSet<Guard>>,
}

impl Guards {
    /// Whether this guard stands. Ask at the place where it decides, and nowhere else.
    #[cfg(not(test))]
    pub const fn stands(&self, _: Guard) -> bool {
        true
    }

    /// Whether this guard stands.
    #[cfg(test)]
    pub fn stands(&self, guard: Guard) -> bool {
        !self.removed.lock().contains(&guard)
    }

    /// Takes a guard away.
    #[cfg(test)]
    pub fn remove(&self, guard: Guard) {
        self.removed.lock().insert(guard);
    }
}
