//! The account against what people could try.

use proptest::prelude::*;

use super::*;

fn place(hour: u32) -> HourPlace {
    HourPlace::parse(&format!("chan/source/2020-01-{:02}T{:02}", 1 + hour / 24, hour % 24)).unwrap()
}

fn weight(files: u64) -> Weight {
    Weight { files, bytes: files.saturating_mul(100) }
}

/// Files that no peer gave, files that another peer gave, and files that the peer with the tombstones gave.
fn files(own: u64, others: u64, this_peers: u64) -> Weights {
    Weights { all: weight(own + others + this_peers), others: weight(own + others), own: weight(own) }
}

fn one(hour: u32, hits: Weights, here: Weights) -> BTreeMap<HourPlace, HourHits> {
    BTreeMap::from([(place(hour), HourHits { hits, here, is_doubtful: false })])
}

fn of(hour: u32, hits: u64, here: u64) -> BTreeMap<HourPlace, HourHits> {
    one(hour, files(hits, 0, 0), files(here, 0, 0))
}

/// Weighs and, if they do not wait, takes them.
fn takes(account: &mut BurstAccount, new: &BTreeMap<HourPlace, HourHits>) -> Result<(), Burst> {
    let burst = account.weigh(new, |_, _, enough| enough);
    if burst.is_none() {
        account.add(new);
    }
    burst.map_or(Ok(()), Err)
}

#[test]
fn more_than_a_fifth_of_an_hour_or_a_thousand_wait() {
    let weigh = |hits, here| BurstAccount::default().weigh(&of(0, hits, here), |_, _, enough| enough);
    assert_eq!(weigh(0, 0), None);
    assert_eq!(weigh(1, 1), None);
    assert_eq!(weigh(2, 10), None);
    assert_eq!(weigh(3, 10), Some(Burst::Hour { tombstones: 3, known: 10 }));
    assert_eq!(weigh(360, 1_800), None);
    assert_eq!(weigh(361, 1_800), Some(Burst::Hour { tombstones: 361, known: 1_800 }));
    assert_eq!(weigh(999, 10_000), None);
    assert_eq!(weigh(1_000, 10_000), Some(Burst::Total { tombstones: 1_000 }));
    assert!(weigh(u64::MAX / 100, u64::MAX / 100).is_some());
}

#[test]
fn a_tombstone_that_could_not_be_written_counts_once_however_often_it_is_tried() {
    let mut account = BurstAccount::default();
    for _ in 0..50 {
        assert_eq!(takes(&mut account, &of(0, 1, 10)), Ok(()));
        account.take_back(&place(0), &files(1, 0, 0));
    }
    assert!(account.is_empty());
    assert_eq!(takes(&mut account, &of(0, 2, 10)), Ok(()));
    account.take_back(&place(0), &files(1, 0, 0));
    assert_eq!(takes(&mut account, &of(0, 2, 9)), Err(Burst::Hour { tombstones: 3, known: 10 }));
    account.take_back(&place(1), &files(9, 0, 0));
    assert!(!account.is_empty(), "another hour is another hour");
}

#[test]
fn bit_by_bit_is_a_burst_like_all_at_once() {
    let mut account = BurstAccount::default();
    for taken in 0..20 {
        assert_eq!(takes(&mut account, &of(0, 1, 100 - taken)), Ok(()), "{taken}");
    }
    assert_eq!(takes(&mut account, &of(0, 1, 80)), Err(Burst::Hour { tombstones: 21, known: 100 }));
    // Nineteen percent of what is left, again and again.
    let mut greedy = BurstAccount::default();
    let mut left = 1_000_u64;
    while takes(&mut greedy, &of(1, left * 19 / 100, left)).is_ok() {
        left -= left * 19 / 100;
    }
    assert_eq!(left, 810);
}

#[test]
fn hour_after_hour_comes_to_a_thousand_and_to_a_fifth_of_a_small_channel() {
    let mut account = BurstAccount::default();
    let taken = (0..5_000).take_while(|hour| takes(&mut account, &of(*hour % 700, 1, 1_800)).is_ok()).count();
    assert_eq!(taken, 999);
    // Hours of one file each, of which there are fifty.
    let mut small = BurstAccount::default();
    let mut left = 50;
    for hour in 0..50 {
        let new = of(hour, 1, 1);
        if small.weigh(&new, |_, _, _| left).is_some() {
            break;
        }
        small.add(&new);
        left -= 1;
    }
    assert_eq!(left, 40);
}

#[test]
fn what_peers_gave_makes_no_room_for_hiding_what_they_did_not_give() {
    let weigh = |hits, here| BurstAccount::default().weigh(&one(0, hits, here), |_, _, enough| enough);
    // A hundred of ones own, beside six hundred of anybody.
    for here in [files(100, 600, 0), files(100, 0, 600), files(100, 300, 300)] {
        assert_eq!(weigh(files(21, 0, 0), here), Some(Burst::Hour { tombstones: 21, known: 100 }));
        assert_eq!(weigh(files(20, 0, 0), here), None);
    }
    // Nor does what the peer itself gave make room for hiding what another gave.
    assert_eq!(weigh(files(0, 21, 0), files(0, 100, 600)), Some(Burst::Hour { tombstones: 21, known: 100 }));
    // A new node: all of it is from one peer, or from two, and an ordinary tombstone hides a few.
    for (hits, here) in [
        (files(0, 0, 3), files(0, 0, 1_800)),
        (files(0, 3, 9), files(0, 50, 1_750)),
        (files(1, 0, 3), files(1, 0, 1_799)),
    ] {
        assert_eq!(weigh(hits, here), None, "{hits:?}");
    }
    assert!(weigh(files(0, 0, 361), files(0, 0, 1_800)).is_some(), "and never most of it");
}

#[test]
fn of_large_and_small_files_bytes_count_as_well() {
    let own = Weight { files: 100, bytes: 2_000_000 };
    let here = Weights { all: Weight { files: 700, bytes: 2_000_600 }, others: own, own };
    let hits = |files, bytes| Weights {
        all: Weight { files, bytes },
        others: Weight { files, bytes },
        own: Weight { files, bytes },
    };
    let weigh = |new| BurstAccount::default().weigh(&one(0, new, here), |_, _, enough| enough);
    assert!(matches!(weigh(hits(49, 980_000)), Some(Burst::Hour { tombstones: 49, known: 100 })));
    assert_eq!(weigh(hits(20, 400_000)), None);
    assert_eq!(weigh(hits(2, 400_001)), Some(Burst::Bytes { tombstones: 400_001, known: 2_000_000 }));
    assert_eq!(weigh(hits(1, 1_999_999)), None, "a single file is no burst");
}

#[test]
fn small_hours_are_measured_by_what_the_channel_has_of_ones_own() {
    let mut account = BurstAccount::default();
    let of_channel = |_: &Channel, by: BurstMeasure, _| if by == BurstMeasure::Own { 20 } else { 10_000 };
    for hour in 0..20 {
        let new = one(hour, files(1, 0, 0), files(1, 0, 20));
        if account.weigh(&new, of_channel).is_none() {
            account.add(&new);
        }
    }
    assert_eq!(account.hits.len(), 4, "a fifth of the twenty that are one's own");
}

#[test]
fn where_nobody_knows_who_gave_what_only_a_single_file_goes() {
    let mut hour = HourHits { hits: files(1, 0, 0), here: files(1_000, 0, 0), is_doubtful: true };
    let weigh = |known: &BurstAccount, new| known.weigh(&BTreeMap::from([(place(0), new)]), |_, _, enough| enough);
    let mut account = BurstAccount::default();
    assert_eq!(weigh(&account, hour), None);
    account.add(&BTreeMap::from([(place(0), hour)]));
    assert_eq!(weigh(&account, hour), Some(Burst::Unknown { tombstones: 2 }));
    hour.is_doubtful = false;
    assert_eq!(weigh(&account, hour), None);
}

#[test]
fn only_time_that_was_lived_lets_hits_be_forgotten() {
    let mut account = BurstAccount::default();
    account.live("a", 100);
    account.add(&of(0, 20, 100));
    account.live("a", 100 + 2 * 86_400);
    assert!(!account.is_empty());
    // Restarts of the machine take time off, and never add any; a clock that goes back adds none.
    account.live("b", 30 * 86_400);
    account.live("b", 5);
    assert!(!account.is_empty());
    account.live("b", 5 + 86_400);
    assert!(!account.is_empty(), "the step is counted in full");
    account.live("b", 5 + 86_400 + 3_600);
    assert!(account.is_empty());
}

#[test]
fn what_is_no_account_is_not_read_as_one() {
    for wrong in ["", "lived", "lived x", "lived 1 2", "lived 1 x y", "lived 1\n1 2 3", "lived 1\n1 2 3 4 5 c/q/x"] {
        assert_eq!(BurstAccount::from_text(wrong), None, "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn an_account_is_read_as_it_is_kept(hits in prop::collection::vec((0..600_u32, 1..5_u64, 0..1_000_000_u64), 0..20), boot: bool) {
        let mut account = BurstAccount::default();
        for (hour, count, passed) in hits {
            if boot {
                account.live("0a3c-44", passed);
            }
            account.add(&of(hour, count, 100));
        }
        prop_assert_eq!(BurstAccount::from_text(&account.to_text()), Some(account));
    }

    #[test]
    fn whatever_the_order_no_more_than_a_fifth_of_an_hour_goes(tries in prop::collection::vec(1..40_u64, 1..60)) {
        let mut account = BurstAccount::default();
        let (mut left, was) = (200_u64, 200_u64);
        for hits in tries {
            let hits = hits.min(left);
            if takes(&mut account, &of(0, hits, left)).is_ok() {
                left -= hits;
            }
        }
        prop_assert!((was - left) * 5 <= was || was - left == 1);
    }
}
