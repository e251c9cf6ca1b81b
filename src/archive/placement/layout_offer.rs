//! What a layout that another node has is worth beside this node's: the highest version wins, and versions that do not follow from one
//! another are never merged.

use std::cmp::Ordering;
use std::fmt;

use super::layout::Layout;
use crate::archive::Hash;

/// By what one version of a layout is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayoutId {
    /// Its version.
    pub version: u64,
    /// The hash of its file.
    pub hash: Hash,
}

impl Layout {
    /// Its version and the hash of its file.
    pub fn id(&self) -> LayoutId {
        LayoutId { version: self.version(), hash: self.hash() }
    }
}

/// Digits of its hash that a planned version is known by, at least: nobody stages two changes whose hashes begin alike.
pub const PLAN_DIGITS: usize = 8;

/// Digits by which a planned version is known, in lower case; nothing if they are none, or too few.
pub fn plan_digits(text: &str) -> Option<String> {
    let is_such = (PLAN_DIGITS..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_such.then(|| text.to_ascii_lowercase())
}

/// What another node's layout is beside this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferVerdict {
    /// The same one.
    Same,
    /// One that is to be taken, if its parent is right.
    Newer,
    /// One that is behind, and will take this node's.
    Older,
    /// One that comes from other decisions.
    Fork(LayoutFork),
}

/// Versions that a node may be behind. People apply them, and nobody applies so many; there is none after the last one that can be
/// counted, and whoever took it could never be given another.
const MOST_AHEAD: u64 = 1_000_000;

/// Two layouts that do not follow from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutFork {
    /// Both have this version, and are different.
    SameVersion(u64),
    /// The other one has this version, which is the next one, and was made of another one than this node's.
    OtherParent(u64),
    /// The other one has this version, which is the one before, and this node's was made of another one.
    NoParent(u64),
    /// The other one has this version, further ahead than anybody can be.
    Leap(u64),
}

impl fmt::Display for LayoutFork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apart = "two were applied without knowing of one another";
        match self {
            Self::SameVersion(version) => {
                write!(f, "its version {version} of the layout is not the one that is here: {apart}")
            }
            Self::OtherParent(version) => write!(
                f,
                "its version {version} of the layout was not made of version {} as it is here: {apart}",
                version.saturating_sub(1)
            ),
            Self::NoParent(version) => write!(
                f,
                "its version {version} of the layout is not the one that the version here was made of: {apart}"
            ),
            Self::Leap(version) => write!(
                f,
                "its version {version} of the layout is more than {MOST_AHEAD} ahead of what is here, and nobody has applied so many"
            ),
        }
    }
}

/// Weighs what a node says that it has against the layout here, if there is one.
pub fn weigh_offer(own: Option<(LayoutId, Option<Hash>)>, offered: LayoutId) -> OfferVerdict {
    if let Err(leap) = check_leap(own.map(|(own, _)| own), offered.version) {
        return OfferVerdict::Fork(leap);
    }
    let Some((own, parent)) = own else { return OfferVerdict::Newer };
    match offered.version.cmp(&own.version) {
        Ordering::Greater => OfferVerdict::Newer,
        Ordering::Equal if offered.hash == own.hash => OfferVerdict::Same,
        Ordering::Equal => OfferVerdict::Fork(LayoutFork::SameVersion(offered.version)),
        Ordering::Less => {
            let is_parent = own.version - offered.version == 1;
            if is_parent && parent.is_some_and(|parent| parent != offered.hash) {
                return OfferVerdict::Fork(LayoutFork::NoParent(offered.version));
            }
            OfferVerdict::Older
        }
    }
}

/// Whether a version is no further ahead of the layout here than people can have applied.
pub fn check_leap(own: Option<LayoutId>, version: u64) -> Result<(), LayoutFork> {
    let ahead = version.saturating_sub(own.map_or(0, |own| own.version));
    if ahead > MOST_AHEAD { Err(LayoutFork::Leap(version)) } else { Ok(()) }
}

/// Whether a layout that is to be taken was made of the one that is here, as far as it says: it names the version before it alone, so that
/// one that is further ahead is believed.
pub fn check_parent(own: Option<LayoutId>, taken: &Layout) -> Result<(), LayoutFork> {
    let is_next = |id: &LayoutId| id.version.checked_add(1) == Some(taken.version());
    match own.filter(is_next) {
        Some(own) if taken.parent() != Some(own.hash) => Err(LayoutFork::OtherParent(taken.version())),
        _ => Ok(()),
    }
}
