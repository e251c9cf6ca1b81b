//! Two lists of one hour, here and there: what each side lacks, and what backfill would do about what is lacking here.
//!
//! Only names that are replicated count: segments and chat batches that no tombstone of the same side hides, and tombstones. What
//! the grammar does not understand is no difference, as it is none to the digests. Nothing is asked for, and nothing is done.

use std::collections::HashMap;

use crate::archive::{HourContents, HourPlace, SegmentFile, name};
use crate::replicate::backfill::burst::{Burst, BurstAccount, Source, of_hour};
use crate::replicate::backfill::plan::{HourPlan, PeerOffer, SkipReason};

/// What one of two sides has and the other lacks, in order of start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingNames {
    /// Segments and chat batches.
    pub files: Vec<String>,
    /// Tombstones.
    pub tombstones: Vec<String>,
}

impl MissingNames {
    fn push(&mut self, file: &SegmentFile) {
        let names = if file.key.tombstone { &mut self.tombstones } else { &mut self.files };
        names.push(file.name());
    }

    /// Whether the other side lacks nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.tombstones.is_empty()
    }
}

/// How an hour differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourDifference {
    /// What only this side has.
    pub here: MissingNames,
    /// What only the other side has.
    pub there: MissingNames,
}

impl HourDifference {
    /// Whether both sides have the same.
    pub fn is_empty(&self) -> bool {
        self.here.is_empty() && self.there.is_empty()
    }
}

/// How `here` and `there` differ. Sizes do not count: they are not replicated, and only one of two sizes fits the hash.
pub fn compare(here: &HourContents, there: &HourContents) -> HourDifference {
    let mut difference = HourDifference::default();
    let (mut ours, mut theirs) = (replicated(here).peekable(), replicated(there).peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return difference,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => (&a.key, &a.exact).cmp(&(&b.key, &b.exact)),
        };
        if order.is_le()
            && let Some(file) = ours.next()
            && order.is_lt()
        {
            difference.here.push(file);
        }
        if order.is_ge()
            && let Some(file) = theirs.next()
            && order.is_gt()
        {
            difference.there.push(file);
        }
    }
}

fn replicated(contents: &HourContents) -> impl Iterator<Item = &SegmentFile> {
    let hidden = contents.hidden();
    contents.files().iter().filter(move |file| file.key.tombstone || !hidden.hides(file))
}

/// What backfill would do about a name that a peer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFate {
    /// Fetch it.
    #[error("backfill would fetch it")]
    Fetch,
    /// A tombstone: write it.
    #[error("backfill would take it over")]
    TakeOver,
    /// A tombstone that is one of suspiciously many.
    #[error("backfill would hold it back: {0}")]
    Wait(Burst),
    /// Leave it.
    #[error("backfill would leave it: {0}")]
    Leave(SkipReason),
}

impl NameFate {
    /// In one word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::TakeOver => "take-over",
            Self::Wait(_) => "wait",
            Self::Leave(_) => "leave",
        }
    }

    /// Why it is not taken now; nothing if it is.
    pub fn why(self) -> Option<String> {
        match self {
            Self::Fetch | Self::TakeOver => None,
            Self::Wait(burst) => Some(burst.to_string()),
            Self::Leave(why) => Some(why.to_string()),
        }
    }
}

/// What `plan` does about each name of the peer's list of this hour, where no peer's tombstones have hidden anything of late.
pub fn fates<'a>(plan: &HourPlan<'a>, place: &HourPlace, local: &HourContents) -> HashMap<&'a str, NameFate> {
    let theirs = HourContents::new(plan.tombstones.iter().map(PeerOffer::file).collect(), Vec::new());
    let hidden = theirs.hidden();
    let (found, hits) = of_hour(local, |file| hidden.hides(file), |_| Source::Own);
    // How much there is of the channel is not known here.
    let burst = BurstAccount::default().weigh(&[(place.clone(), found)].into(), |_, _, enough| enough);
    let fate = |name: &str| match burst {
        Some(burst) if hits.contains(name::stem(name)) => NameFate::Wait(burst),
        _ => NameFate::TakeOver,
    };
    let tombstones = plan.tombstones.iter().map(|offer| (offer.name, fate(offer.name)));
    let fetched = plan.fetch.iter().map(|offer| (offer.name, NameFate::Fetch));
    let left = plan.leave.iter().map(|(name, why)| (*name, NameFate::Leave(*why)));
    tombstones.chain(fetched).chain(left).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::test_names::{any_name, hash_text};
    use crate::archive::{HourTotals, Span};
    use crate::replicate::backfill::plan::{Rules, plan};

    fn contents<S: AsRef<str>>(names: &[S]) -> HourContents {
        HourContents::from_names(names.iter().map(|name| (name.as_ref(), 1)))
    }

    fn name(time: &str, hash: u8, extension: &str) -> String {
        format!("{time}-2.0-full-{}.{extension}", hash_text(hash))
    }

    #[test]
    fn each_side_lacks_what_only_the_other_has() {
        let (both, ours, theirs) = (name("00:00", 1, "ts"), name("00:02", 2, "ts"), name("00:04", 3, "tombstone"));
        let difference = compare(&contents(&[&both, &ours]), &contents(&[&theirs, &both]));
        let lacking = |files: &[&String], tombstones: &[&String]| MissingNames {
            files: files.iter().map(|&name| name.clone()).collect(),
            tombstones: tombstones.iter().map(|&name| name.clone()).collect(),
        };
        assert_eq!(difference.here, lacking(&[&ours], &[]));
        assert_eq!(difference.there, lacking(&[], &[&theirs]));
    }

    #[test]
    fn what_a_tombstone_hides_on_one_side_is_a_difference_on_both() {
        let (file, tombstone) = (name("00:00", 1, "ts"), name("00:00", 1, "tombstone"));
        let difference = compare(&contents(&[&file]), &contents(&[&file, &tombstone]));
        assert_eq!(difference.here.files, [file]);
        assert_eq!(difference.there.tombstones, [tombstone]);
        assert!(difference.there.files.is_empty() && difference.here.tombstones.is_empty());
    }

    #[test]
    fn sizes_and_what_is_not_understood_are_no_differences() {
        let file = name("00:00", 1, "ts");
        let here = HourContents::from_names([(file.as_str(), 5), ("garbage.ts", 1)]);
        let there = HourContents::from_names([(file.as_str(), 0), (".hidden", 1)]);
        assert!(compare(&here, &there).is_empty());
    }

    #[test]
    fn many_tombstones_for_what_is_here_wait_and_those_for_what_is_not_do_not() {
        let place = HourPlace::parse("c/q/2019-11-13T02").unwrap();
        let (now, cutoff) = (place.hour.next().next().start(), Span::from_us(0));
        let rules = Rules::taking_all(place.hour, now, cutoff);
        let [first, second, third] = [1, 2, 3].map(|number| name(&format!("00:0{number}"), number, "tombstone"));
        let local = contents(&[1, 2].map(|number| name(&format!("00:0{number}"), number, "ts")));
        let one = plan(&local, &[&first], &rules);
        assert_eq!(fates(&one, &place, &local)[first.as_str()], NameFate::TakeOver);
        let three = plan(&local, &[&first, &second, &third], &rules);
        let fates = fates(&three, &place, &local);
        assert!(matches!(fates[second.as_str()], NameFate::Wait(Burst::Hour { tombstones: 2, known: 2 })));
        assert_eq!(fates[third.as_str()], NameFate::TakeOver);
    }

    proptest! {
        #[test]
        fn it_is_the_same_from_both_sides_and_what_digests_tell(
            ours in prop::collection::vec(any_name(), 0..12), theirs in prop::collection::vec(any_name(), 0..12),
        ) {
            let (here, there) = (contents(&ours), contents(&theirs));
            let difference = compare(&here, &there);
            let mirrored = compare(&there, &here);
            prop_assert_eq!((&mirrored.here, &mirrored.there), (&difference.there, &difference.here));
            prop_assert!(compare(&here, &here).is_empty());
            let digest = |contents| HourTotals::of(contents).digest;
            prop_assert_eq!(difference.is_empty(), digest(&here) == digest(&there));
            // Against plain sets of what is listed and understood.
            let listed = |contents: &HourContents| -> BTreeSet<String> {
                let odd: BTreeSet<&str> = contents.odd().iter().map(|file| &*file.name).collect();
                contents.listed(true).into_iter().filter(|name| !odd.contains(name.as_str())).collect()
            };
            let flat = |lacking: &MissingNames| -> BTreeSet<String> {
                lacking.files.iter().chain(&lacking.tombstones).cloned().collect()
            };
            let (a, b) = (listed(&here), listed(&there));
            // An odd tombstone may hide an understood name from a list; digests do the same.
            prop_assert_eq!(flat(&difference.here), a.difference(&b).cloned().collect::<BTreeSet<_>>());
            prop_assert_eq!(flat(&difference.there), b.difference(&a).cloned().collect::<BTreeSet<_>>());
        }
    }
}
