//! What to take over from a peer's list of an hour, what to leave, and why. Nothing is fetched here, and no clock is read.
//!
//! 1. Names that are not understood, temporary names and whatever lies outside of what is wanted are left.
//! 2. Tombstones come first: they need no download, and what one of them hides is not fetched, be it from this list or the next, and be it
//!    under a near duplicate's name ([`HiddenContent`]). Nor is what a tombstone would hide that waits for the operator.
//! 3. What is here is left, and so is what is here under another start ([`Twins`]): of equal content one name is kept, the earliest of a list.
//!    Where a layout gives the hour to this node all names are taken: the others who keep it have them, and none leaves before all do.
//! 4. Segments wait until they are older than the cutoff: the local recorder may still get them itself. Chat batches do not.
//!
//! Lists may come in any order and name a file twice; the plan is the same. It is in order of start.

use std::cell::LazyCell;
use std::collections::HashSet;

use crate::archive::contents::HiddenStems;
use crate::archive::hidden_content::HiddenContent;
use crate::archive::{
    FileName, Hash, Hour, HourContents, SegmentFile, SegmentKey, SegmentKind, Span, Spelling, Timestamp, name,
    parse_file_name,
};

mod twins;

use self::twins::{TwinHere, Twins, later_twins};

/// What the plan depends on, apart from the two lists.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The hour that is listed.
    pub hour: Hour,
    /// The time now.
    pub now: Timestamp,
    /// How long ago a segment must have ended to be fetched.
    pub cutoff: Span,
    /// The first hour that is kept here; `None` if all are.
    pub oldest: Option<Hour>,
    /// Whether this channel, quality and hour are asked for at all.
    pub wanted: bool,
    /// Whether tombstones are taken from this peer; otherwise they are reported, and hide nothing.
    pub trusted: bool,
    /// Whether a tombstone hides equal content nearby as well.
    pub hides_equal: bool,
    /// Whether equal content that is here under another start within 30 s is left.
    pub keeps_one_name: bool,
    /// Whether all names are taken, whatever is here by another one: owners of a layout are to have the same.
    pub takes_all_names: bool,
}

/// What is known apart from the two lists.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Tombstones that are here in the same channel, around that hour, and are no copies of others: content, kind and start.
    pub graves: Vec<(Hash, SegmentKind, Timestamp)>,
    /// Stems in that hour whose tombstones wait for the operator, whoever gave them.
    pub waiting: HashSet<Box<str>>,
    /// Visible segments of the same quality in the hours before and after, within 30 s of this one.
    pub around: Vec<(SegmentKey, Hour)>,
}

impl Surroundings {
    /// As far as the files of an hour tell.
    pub fn of(local: &HourContents, hour: Hour) -> Self {
        let tombstones = local.files().iter().filter(|file| file.key.tombstone);
        let graves = tombstones.map(|file| (file.key.hash, file.key.kind, file.key.start(hour))).collect();
        Self { graves, ..Self::default() }
    }
}

impl Rules {
    /// Everything of an hour is taken, from a peer that is trusted.
    pub const fn taking_all(hour: Hour, now: Timestamp, cutoff: Span) -> Self {
        Self {
            hour,
            now,
            cutoff,
            oldest: None,
            wanted: true,
            trusted: true,
            hides_equal: true,
            keeps_one_name: true,
            takes_all_names: false,
        }
    }

    /// From when on a file may be fetched.
    pub fn eligible(&self, key: &SegmentKey) -> Timestamp {
        if key.kind.is_video() { key.end(self.hour) + self.cutoff } else { Timestamp::MIN }
    }
}

/// Why a name is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum SkipReason {
    /// The grammar does not understand it.
    #[error("the name does not fit the format (docs/names.md)")]
    Unparsable,
    /// It is still being written.
    #[error("it is still being written there")]
    Temporary,
    /// The channel, quality or hour is not asked for.
    #[error("it is not among what is asked for")]
    NotWanted,
    /// Its hour is older than what is kept.
    #[error("its hour is older than what is kept here")]
    OutsideWindow,
    /// It is here.
    #[error("it is here")]
    AlreadyHere,
    /// A tombstone, and this peer is not trusted with those.
    #[error("it is a tombstone, and this peer is not trusted with tombstones")]
    Untrusted,
    /// A tombstone that is here hides it.
    #[error("it has been deleted: its tombstone is here")]
    TombstonedHere,
    /// A tombstone in the same list hides it.
    #[error("it has been deleted: its tombstone is in the same list")]
    TombstonedThere,
    /// A tombstone hides equal content of the channel nearby.
    #[error("the same content has been deleted within 30 seconds of it")]
    EqualDeleted,
    /// A tombstone that hides it waits for the operator.
    #[error("its tombstone is held back")]
    TombstoneWaits,
    /// The local recorder may still get it.
    #[error("it is so recent that the recorder here may still get it")]
    TooRecent,
    /// The same content is here with nearly the same start.
    #[error("the same segment is here with a start at most a millisecond away")]
    NearDuplicate,
    /// The same content is here, by another name.
    #[error(
        "the same content is here under another start within 30 seconds: recorders of one source gave it different times"
    )]
    Twin,
    /// The same content is in the same list, by an earlier name.
    #[error("the same content is in the same list under an earlier start")]
    LaterTwin,
}

/// A name of the peer's list, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerOffer<'a> {
    /// The name, to the byte.
    pub name: &'a str,
    /// What it says.
    pub key: SegmentKey,
}

impl PeerOffer<'_> {
    fn exact(&self) -> Option<&str> {
        (self.key.spelling == Spelling::EXACT).then_some(self.name)
    }

    /// As a file, of which the size is not known.
    pub fn file(&self) -> SegmentFile {
        SegmentFile { key: self.key, size: 0, exact: self.exact().map(Into::into) }
    }
}

/// What to do about an hour of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourPlan<'a> {
    /// To write, before anything is fetched.
    pub tombstones: Vec<PeerOffer<'a>>,
    /// To fetch.
    pub fetch: Vec<PeerOffer<'a>>,
    /// To leave.
    pub leave: Vec<(&'a str, SkipReason)>,
    /// Those of them that are too recent, and when each may be fetched.
    pub later: Vec<(PeerOffer<'a>, Timestamp)>,
    /// When what is here by another name begins here, and how much later it does so there.
    pub shifts: Vec<(Timestamp, Span)>,
}

impl HourPlan<'_> {
    /// Whether nothing is to be done now.
    pub fn is_empty(&self) -> bool {
        self.tombstones.is_empty() && self.fetch.is_empty()
    }
}

/// What to take over of `remote`, the names that a peer lists of an hour, where `local` is here.
pub fn plan<'a>(local: &HourContents, remote: &[&'a str], rules: &Rules) -> HourPlan<'a> {
    plan_beside(local, remote, rules, &Surroundings::of(local, rules.hour))
}

/// The same, where more is known than the files of the hour tell.
pub fn plan_beside<'a>(local: &HourContents, remote: &[&'a str], rules: &Rules, known: &Surroundings) -> HourPlan<'a> {
    let mut plan = HourPlan::default();
    let offers = understood(remote, rules, &mut plan);
    let tombstones = offers.iter().filter(|offer| offer.key.tombstone && rules.trusted);
    let theirs = HourContents::new(tombstones.map(PeerOffer::file).collect(), Vec::new());
    let (by_local, by_list) = (local.hidden(), theirs.hidden());
    let mut here = local.files().iter().peekable();
    let mut missing = Vec::new();
    for offer in &offers {
        let at = (&offer.key, offer.exact());
        while here.next_if(|file| (&file.key, file.exact.as_deref()) < at).is_some() {}
        let is_here = here.peek().is_some_and(|file| (&file.key, file.exact.as_deref()) == at);
        let is_tombstone = offer.key.tombstone;
        if !is_tombstone && hides(&by_local, offer) {
            plan.leave.push((offer.name, SkipReason::TombstonedHere));
        } else if is_here {
            plan.leave.push((offer.name, SkipReason::AlreadyHere));
        } else if is_tombstone && rules.trusted {
            plan.tombstones.push(*offer);
        } else if is_tombstone {
            plan.leave.push((offer.name, SkipReason::Untrusted));
        } else if hides(&by_list, offer) {
            plan.leave.push((offer.name, SkipReason::TombstonedThere));
        } else {
            missing.push(*offer);
        }
    }
    let graves = graves(rules, &known.graves, &plan.tombstones);
    let twice = if rules.keeps_one_name && !rules.takes_all_names {
        later_twins(missing.iter().map(|offer| (offer.name, offer.key)))
    } else {
        HashSet::new()
    };
    let twins = LazyCell::new(|| Twins::new((local, rules.hour), &by_list, &known.around, rules.keeps_one_name));
    for offer in missing {
        let eligible = rules.eligible(&offer.key);
        let hidden = if !graves.is_empty() && graves.hide(&offer.key, offer.key.start(rules.hour)) {
            Some(SkipReason::EqualDeleted)
        } else {
            let waits = !known.waiting.is_empty() && known.waiting.contains(name::stem(offer.name));
            waits.then_some(SkipReason::TombstoneWaits)
        };
        let twin = if hidden.is_none() { twins.of(&offer.key) } else { None };
        if let Some(TwinHere::Shifted(later)) = twin {
            plan.shifts.push((offer.key.start(rules.hour) - later, later));
        }
        let why = if let Some(hidden) = hidden {
            hidden
        } else if let Some(twin) = twin.filter(|_| !rules.takes_all_names) {
            match twin {
                TwinHere::Near => SkipReason::NearDuplicate,
                TwinHere::Shifted(_) => SkipReason::Twin,
            }
        } else if twice.contains(offer.name) {
            SkipReason::LaterTwin
        } else if eligible > rules.now {
            plan.later.push((offer, eligible));
            SkipReason::TooRecent
        } else {
            plan.fetch.push(offer);
            continue;
        };
        plan.leave.push((offer.name, why));
    }
    plan
}

/// Those that are here, and those that the list adds.
fn graves(rules: &Rules, here: &[(Hash, SegmentKind, Timestamp)], new: &[PeerOffer<'_>]) -> HiddenContent {
    if !rules.hides_equal {
        return HiddenContent::default();
    }
    let new = new.iter().map(|offer| (offer.key.hash, offer.key.kind, offer.key.start(rules.hour)));
    HiddenContent::new(here.iter().copied().chain(new))
}

/// The names that could be taken, in order and each once; the others are left.
fn understood<'a>(remote: &[&'a str], rules: &Rules, plan: &mut HourPlan<'a>) -> Vec<PeerOffer<'a>> {
    let outside = rules.oldest.is_some_and(|oldest| rules.hour < oldest);
    let mut offers = Vec::with_capacity(remote.len());
    for name in remote.iter().copied() {
        let why = match parse_file_name(name) {
            FileName::Odd(_) | FileName::Foreign => SkipReason::Unparsable,
            FileName::Temporary => SkipReason::Temporary,
            FileName::Understood(_) if !rules.wanted => SkipReason::NotWanted,
            FileName::Understood(_) if outside => SkipReason::OutsideWindow,
            FileName::Understood(key) => {
                offers.push(PeerOffer { name, key });
                continue;
            }
        };
        plan.leave.push((name, why));
    }
    plan.leave.sort_unstable();
    plan.leave.dedup();
    // Peers list by start, so that this has little to do.
    offers.sort_by(|a, b| (&a.key, a.name).cmp(&(&b.key, b.name)));
    offers.dedup_by(|a, b| a.name == b.name);
    offers
}

fn hides(hidden: &HiddenStems<'_>, offer: &PeerOffer<'_>) -> bool {
    hidden.hides(&offer.file())
}

#[cfg(test)]
mod tests;
