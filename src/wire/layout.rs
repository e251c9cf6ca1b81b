//! The layout: what a node says of it, what would become of it, and what is asked of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::archive::{Channel, Timestamp};

/// What a node tells its peers with its digests: which layout it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayoutOffer {
    /// Its version.
    pub version: u64,
    /// The SHA-256 of its file, in 64 hexadecimal digits.
    pub hash: String,
}

/// The layout of a node, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayoutSummary {
    /// `known`, or `unusable`: there is one, and nothing is decided by it as long as it cannot be read.
    pub state: String,
    /// Its version; 0 if it cannot be read.
    pub version: u64,
    /// The SHA-256 of its file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<String>,
    /// Peers that have the same.
    pub same: u64,
    /// Peers whose layout does not follow from it.
    pub refused: u64,
}

/// The layout of a node, and what is known of those of its peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LayoutReport {
    /// `none` (every node keeps everything), `known`, or `unusable`: there is one, and nothing is decided by it as long as it cannot be read.
    pub state: String,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// What this node is called in a layout.
    pub name: String,
    /// Whether the layout has a node of that name. If not, this one owns nothing.
    pub is_in_layout: bool,
    /// Its version; 0 where there is none.
    pub version: u64,
    /// The SHA-256 of its file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<String>,
    /// That of the version before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<String>,
    /// Copies of channels that have no number of their own: a number, or `all`.
    pub copies: String,
    /// Channels with a number of their own.
    #[serde(default)]
    pub channels: Vec<ChannelCopies>,
    /// Its nodes, by name.
    #[serde(default)]
    pub nodes: Vec<LayoutNodeReport>,
    /// Its tables: one for each number of copies.
    #[serde(default)]
    pub tables: Vec<LayoutTableReport>,
    /// Changes that wait to be applied.
    #[serde(default)]
    pub staged: Vec<String>,
    /// Why it is not known what waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub staged_error: Option<String>,
    /// Other nodes, as far as they were asked.
    #[serde(default)]
    pub peers: Vec<PeerLayoutReport>,
    /// Hours that lie here and belong to others. A command without a daemon does not know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handoffs: Option<HandoffReport>,
    /// How many copies lie where it says. A command without a daemon does not know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dispersion: Option<DispersionReport>,
    /// What follows from it.
    pub note: String,
}

/// How many copies lie where the layout says, of all hours that any node has and that have been over for an hour. A copy is in place where
/// its owner has all names that any node has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DispersionReport {
    /// Whether all are in place.
    pub done: bool,
    /// Hours.
    pub hours: u64,
    /// Of them, those with all copies in place.
    pub hours_in_place: u64,
    /// Of the others, those of which an owner has not said what it has.
    pub hours_unknown: u64,
    /// Copies that there should be.
    pub copies: u64,
    /// Of them, those in place.
    pub copies_in_place: u64,
    /// Slots that hours fall into.
    pub slots: u64,
    /// Of them, those with all copies of all their hours in place.
    pub slots_in_place: u64,
    /// Bytes that owners lack, as far as they have said what they have.
    pub bytes_missing: u64,
    /// By so much less is missing each second, over the last ten minutes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_per_second: Option<f64>,
    /// Until nothing is missing, at this rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds_left: Option<f64>,
    /// Hours that lack copies, those with the fewest first, at most 1,000.
    #[serde(default)]
    pub short: Vec<ShortHourReport>,
    /// Nodes of the layout of which nothing is known here: no peer calls itself so.
    #[serde(default)]
    pub unheard: Vec<String>,
    /// When this was counted.
    pub counted: Timestamp,
}

/// An hour with too few copies in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShortHourReport {
    /// The hour, as `CHANNEL/QUALITY/HOUR`.
    pub hour: String,
    /// Copies in place.
    pub copies: u64,
    /// Copies that there should be.
    pub wanted: u64,
}

/// Hours that lie on a node and that the layout gives to others, as of its last pass over them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HandoffReport {
    /// Whether they leave: not while `handoffs` in `[placement]` is off, or after `gapless layout pause`.
    pub leaves: bool,
    /// How many there are.
    pub hours: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many have left since the process began.
    pub left_hours: u64,
    /// Why they are still here, as far as that is known, the most frequent reasons first.
    #[serde(default)]
    pub waiting: Vec<HandoffWaiting>,
    /// When one left last, or there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub moved: Option<Timestamp>,
    /// When the last pass was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pass: Option<Timestamp>,
    /// Nodes that are silent or full, so that others keep hours in their place.
    #[serde(default)]
    pub stands_in_for: Vec<String>,
    /// Why there can be no pass now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Why hours are still here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HandoffWaiting {
    /// Why.
    pub why: String,
    /// For how many of them.
    pub hours: u64,
}

/// A channel with a number of copies of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelCopies {
    /// The channel.
    pub channel: Channel,
    /// A number, or `all`.
    pub copies: String,
}

/// A node of a layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LayoutNodeReport {
    /// Its name.
    pub name: String,
    /// What fails together with it.
    pub zone: String,
    /// The bytes that it offers.
    pub weight_bytes: u64,
    /// `in`, `draining` or `lost`.
    pub state: String,
    /// What it owns, for each number of copies.
    pub owns: Vec<OwnedSlots>,
}

/// What a node owns in one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OwnedSlots {
    /// Which table: that of so many copies.
    pub copies: u8,
    /// Slots of the 4,096.
    pub slots: u64,
    /// Slots that it should own, by its weight and its zone.
    pub share: f64,
}

/// How good a table is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LayoutTableReport {
    /// Copies of each slot.
    pub copies: u8,
    /// Slots with more copies in one zone than need be.
    pub crowded: u64,
    /// Slots with fewer owners than copies are wanted.
    pub short: u64,
    /// The largest deviation of a node from its share, as a part of it.
    pub off_balance: f64,
}

/// What was heard of another node's layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerLayoutReport {
    /// What it is called here.
    pub name: String,
    /// `none`, `same`, `behind`, `ahead` (it is being taken), `not-taken` (it is ahead, and `layouts_from` does not name it), `refused` (it does
    /// not follow from what is here), `failed`, or `undecided` (what is here cannot be read).
    pub state: String,
    /// Its version, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<u64>,
    /// The SHA-256 of its file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<String>,
    /// Whether its layouts are taken here.
    pub may_give: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// When it was asked.
    pub asked: Timestamp,
}

/// What is to be different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "change", deny_unknown_fields)]
pub enum LayoutChangeOrder {
    /// A node takes copies; one that is there has this zone and weight from now on.
    Add {
        /// Its name: that of its settings.
        node: String,
        /// What fails together with it.
        zone: String,
        /// The bytes that it offers.
        weight_bytes: u64,
    },
    /// A node gives away what it owns.
    Drain {
        /// Its name.
        node: String,
    },
    /// A node does not come back.
    Lost {
        /// Its name.
        node: String,
    },
    /// A node takes the place of another one.
    Replace {
        /// The one that goes.
        old: String,
        /// The one that comes.
        new: String,
    },
    /// A node that owns nothing leaves the list.
    Remove {
        /// Its name.
        node: String,
    },
    /// How many copies there should be.
    Copies {
        /// Of this channel; of all that have no number of their own where none is given.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        channel: Option<String>,
        /// A number from 1 to 16, `all`, or, of a channel, `default` for that of all others.
        copies: String,
    },
}

/// Changes that are to be staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageOrder {
    /// In this order; all of them, or none if one does not do.
    pub changes: Vec<LayoutChangeOrder>,
    /// Only say what would become of it.
    #[serde(default)]
    pub dry_run: bool,
}

/// A plan that is to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyOrder {
    /// The version that it was made from; 0 where there was none.
    pub from: u64,
    /// What its first version must be: the first digits of its hash, at least eight. Whatever is planned now where it is not given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
}

/// Nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardOrder {}

/// Whether hours leave for their owners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseOrder {
    /// True if nothing is to leave until this is said to be false.
    pub paused: bool,
}

/// What became of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PauseReport {
    /// Whether it is so now.
    pub paused: bool,
    /// Whether it was not so before.
    pub changed: bool,
}

/// What became of staged changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiscardReport {
    /// Whether there were any.
    pub discarded: bool,
}

/// What would become of the layout. Nothing is changed by asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LayoutPlanReport {
    /// The version that it is made from; 0 where there is none.
    pub from: u64,
    /// Changes that wait.
    pub changes: Vec<String>,
    /// The versions that lead to it, one after another; none if nothing is to be done.
    pub versions: Vec<PlannedVersion>,
    /// What is to be thought of.
    pub warnings: Vec<String>,
    /// How bytes are counted, and what is not known here.
    pub notes: Vec<String>,
}

/// A version that is planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedVersion {
    /// Its number.
    pub version: u64,
    /// The SHA-256 of its file.
    pub hash: String,
    /// What moves, by pairs of nodes.
    pub moves: Vec<PlannedMove>,
    /// What each node owns then, and before.
    pub nodes: Vec<PlannedNode>,
    /// Its tables.
    pub tables: Vec<LayoutTableReport>,
}

/// Copies of slots that go from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedMove {
    /// The node that no longer owns them; none where a copy more is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// The node that owns them then; none where a copy less is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// Channels with a number of copies of their own that these slots are of, a few of them; none where they are of all others.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub channels: Vec<Channel>,
    /// How many slots.
    pub slots: u64,
    /// Bytes of their hours that lie on the node that says this.
    pub bytes: u64,
    /// Why they move.
    pub why: String,
}

/// What a node owns in a version that is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedNode {
    /// Its name.
    pub name: String,
    /// What fails together with it.
    pub zone: String,
    /// `in`, `draining` or `lost`.
    pub state: String,
    /// The bytes that it offers.
    pub weight_bytes: u64,
    /// Slots that it owns in the version before, of all tables.
    pub slots_before: u64,
    /// Slots that it owns then, of all tables.
    pub slots: u64,
    /// Bytes of their hours that lie on the node that says this.
    pub bytes: u64,
}

/// A version that was applied, or taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedLayout {
    /// Which one.
    pub version: u64,
    /// The SHA-256 of its file.
    pub hash: String,
    /// Versions of the plan that are still to come.
    pub versions_left: u64,
    /// What it does, and what not.
    pub note: String,
}
