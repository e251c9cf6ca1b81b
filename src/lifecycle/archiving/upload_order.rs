//! Which of several nodes uploads an hour first, so that those who share a bucket do not all send the same. Pure.
//!
//! Each node works it out for itself, by its own name and those of its peers: the one whose name gives the highest number with the hour comes first,
//! and each one behind it takes over when the hour is still not there an hour later. Where nodes call one another otherwise they may disagree, and
//! then an hour is sent twice or late; it is the same object all the same.

use sha2::{Digest as _, Sha256};

use crate::archive::{HourPlace, Span, Timestamp};

/// How long whoever comes before is given.
const TURN: Span = Span::from_us(3_600 * 1_000_000);
/// Nodes that are waited for at most, as many of them may have no bucket.
const MOST_TURNS: usize = 6;

/// When a node uploads an hour that was sealed then, if no other one does before.
pub(super) fn turn<'n>(
    place: &HourPlace,
    own: &str,
    others: impl IntoIterator<Item = &'n str>,
    sealed: Timestamp,
) -> Timestamp {
    let place = place.to_string();
    let ours = rank(&place, own);
    let before = others.into_iter().filter(|other| *other != own && rank(&place, other) > ours).take(MOST_TURNS);
    before.fold(sealed, |time, _| time + TURN)
}

fn rank(place: &str, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update([0]).chain_update(place).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn place(hour: u8) -> HourPlace {
        HourPlace::parse(&format!("c/source/2024-01-01T{hour:02}")).unwrap()
    }

    proptest! {
        #[test]
        fn nodes_that_know_each_other_take_turns_and_one_of_them_comes_at_once(
            names in prop::collection::btree_set("[a-z]{1,5}", 1..7), hour in 0_u8..24,
        ) {
            let sealed = Timestamp::from_us(0);
            let all = || names.iter().map(String::as_str);
            let turns: BTreeSet<i64> = all().map(|own| turn(&place(hour), own, all(), sealed).us()).collect();
            let expected: BTreeSet<i64> = (0_i64..).map(|behind| behind * TURN.us()).take(names.len()).collect();
            prop_assert_eq!(turns, expected);
        }
    }

    #[test]
    fn hours_are_shared_out_and_nobody_waits_for_ever() {
        let sealed = Timestamp::from_us(0);
        let first = (0..24).filter(|hour| turn(&place(*hour), "a", ["b"], sealed) == sealed).count();
        assert!((6..19).contains(&first), "{first} of 24 hours are those of one of two");
        let crowd: Vec<String> = (0..100).map(|number| format!("node {number}")).collect();
        for hour in 0..24 {
            assert_eq!(turn(&place(hour), "a", [], sealed), sealed, "who is alone waits for nobody");
            let last = turn(&place(hour), "a", crowd.iter().map(String::as_str), sealed);
            assert!(last <= sealed + Span::from_us(6 * TURN.us()));
        }
    }
}
