//! Says why tombstones wait, for the operator who decides.

/// Why tombstones wait for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Burst {
    /// Too much of an hour.
    #[error("tombstones would hide {tombstones} of the {known} files that were here in the hour: more than a fifth")]
    Hour {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
        /// Of so many.
        known: u64,
    },
    /// Few files of an hour, with many of its bytes.
    #[error("tombstones would hide {tombstones} of the {known} bytes that were here in the hour: more than a fifth")]
    Bytes {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
        /// Of so many.
        known: u64,
    },
    /// Too much of a channel.
    #[error("tombstones would hide {tombstones} of the {known} files that were here in the channel: more than a fifth")]
    Channel {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
        /// Of so many.
        known: u64,
    },
    /// Nobody knows how much that is.
    #[error(
        "tombstones would hide {tombstones} files of an hour, and the list of what peers gave of it (.gapless/given) is damaged: \
         whether that is too much cannot be said"
    )]
    Unknown {
        /// How many would be hidden.
        tombstones: u64,
    },
    /// Too many in all.
    #[error("tombstones would hide {tombstones} files within three days: a thousand or more")]
    Total {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
    },
}
