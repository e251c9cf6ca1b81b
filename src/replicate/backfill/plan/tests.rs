//! The plan against a model over plain strings, and what follows when nodes act on it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::archive::name::stem;
use crate::archive::test_names::{any_name, hash_text};
use crate::archive::time::SECOND_US;

type Names = BTreeSet<String>;

fn hour() -> Hour {
    Hour::parse("2019-11-13T02").unwrap()
}

/// Everything is taken; it is a year later.
fn rules() -> Rules {
    Rules::taking_all(hour(), Hour::parse("2020-11-13T02").unwrap().start(), Span::from_us(120 * SECOND_US))
}

/// The same where a tombstone hides its own name alone, and equal content is fetched by each name: what follows for nodes that only exchange names.
fn by_name() -> Rules {
    Rules { hides_equal: false, keeps_one_name: false, ..rules() }
}

fn contents(names: &Names) -> HourContents {
    HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)))
}

fn key(name: &str) -> Option<SegmentKey> {
    if let FileName::Understood(key) = parse_file_name(name) { Some(key) } else { None }
}

fn has_tombstone(names: &Names, name: &str) -> bool {
    names.iter().any(|other| other.ends_with(".tombstone") && key(other).is_some() && stem(other) == stem(name))
}

/// What is to be done with one name, the slow way; `None` is to fetch it.
fn model(local: &Names, remote: &Names, name: &str, rules: &Rules) -> Option<SkipReason> {
    let Some(wanted) = key(name) else {
        let temporary = parse_file_name(name) == FileName::Temporary;
        return Some(if temporary { SkipReason::Temporary } else { SkipReason::Unparsable });
    };
    if !rules.wanted {
        return Some(SkipReason::NotWanted);
    }
    if rules.oldest.is_some_and(|oldest| rules.hour < oldest) {
        return Some(SkipReason::OutsideWindow);
    }
    if wanted.tombstone {
        return if local.contains(name) {
            Some(SkipReason::AlreadyHere)
        } else {
            (!rules.trusted).then_some(SkipReason::Untrusted)
        };
    }
    if has_tombstone(local, name) {
        return Some(SkipReason::TombstonedHere);
    }
    if local.contains(name) {
        return Some(SkipReason::AlreadyHere);
    }
    if rules.trusted && has_tombstone(remote, name) {
        return Some(SkipReason::TombstonedThere);
    }
    if rules.hides_equal {
        let new = remote.iter().filter(|other| rules.trusted && !local.contains(*other));
        let starts: BTreeSet<u32> = local
            .iter()
            .chain(new)
            .filter_map(|other| key(other))
            .filter(|key| key.tombstone && key.hash == wanted.hash && key.kind.is_video() == wanted.kind.is_video())
            .map(|key| key.start_us)
            .collect();
        let far = |a: u32, b: u32| a.abs_diff(b) > 30_000_000;
        let is_source = |start: &u32| {
            !far(*start, wanted.start_us)
                && !starts.iter().any(|other| !far(*other, *start) && far(*other, wanted.start_us))
        };
        if starts.iter().any(is_source) {
            return Some(SkipReason::EqualDeleted);
        }
    }
    let near = |other: &String| {
        let deleted = has_tombstone(local, other) || rules.trusted && has_tombstone(remote, other);
        let Some(there) = key(other).filter(|_| !deleted) else { return false };
        let same = |key: &SegmentKey| (key.tombstone, key.kind, key.duration_us, key.hash);
        same(&there) == same(&wanted) && there.kind.is_video() && there.start_us.abs_diff(wanted.start_us) <= 1_000
    };
    if local.iter().any(near) {
        return Some(SkipReason::NearDuplicate);
    }
    if let Some(twin) = model_twin(local, remote, name, rules) {
        return Some(twin);
    }
    let age = rules.now - wanted.end(rules.hour);
    (wanted.kind.is_video() && age < rules.cutoff).then_some(SkipReason::TooRecent)
}

/// Whether the content is here at another time, or earlier in the list, the slow way.
fn model_twin(local: &Names, remote: &Names, name: &str, rules: &Rules) -> Option<SkipReason> {
    let wanted = key(name).filter(|key| rules.keeps_one_name && key.kind.is_video())?;
    let deleted = |other: &str| has_tombstone(local, other) || rules.trusted && has_tombstone(remote, other);
    let span = |key: &SegmentKey| (i64::from(key.start_us), i64::from(key.start_us) + i64::from(key.duration_us));
    let overlap = |a: (i64, i64), b: (i64, i64)| a.0 < b.1 && b.0 < a.1;
    let content = |key: &SegmentKey| (key.hash, key.kind, key.duration_us);
    let is_same = |key: &SegmentKey| content(key) == content(&wanted) && !key.tombstone;
    let at = span(&wanted);
    let here: Vec<SegmentKey> = local.iter().filter(|other| !deleted(other)).filter_map(|other| key(other)).collect();
    let distance = |key: &&SegmentKey| (key.start_us.abs_diff(wanted.start_us), key.start_us);
    let nearest = here.iter().filter(|key| is_same(key)).min_by_key(distance);
    if let Some(nearest) = nearest.filter(|key| key.start_us.abs_diff(wanted.start_us) <= 30_000_000) {
        let full: Vec<(i64, i64)> =
            here.iter().filter(|key| key.kind == SegmentKind::Full && !key.tombstone).map(span).collect();
        let reached = |mut end: i64| {
            while let Some(next) =
                full.iter().filter(|part| part.0 <= end + 10_000 && part.1 > end).map(|part| part.1).max()
            {
                end = next;
            }
            end
        };
        let begins = full.iter().filter(|part| part.0 <= at.0 + 10_000);
        let covers = begins.map(|part| reached(part.1)).any(|end| end + 10_000 >= at.1);
        if overlap(span(nearest), at) || covers {
            return Some(SkipReason::Twin);
        }
    }
    let mut offers: Vec<(&String, SegmentKey)> = remote.iter().filter_map(|other| Some((other, key(other)?))).collect();
    offers.retain(|(other, key)| is_same(key) && !deleted(other) && !local.contains(*other));
    offers.sort_by_key(|(other, key)| (*key, (*other).clone()));
    let mut kept: Option<(i64, i64)> = None;
    for (other, key) in offers {
        let is_later = kept.is_some_and(|kept| overlap(kept, span(&key)) && kept.0 != span(&key).0);
        if other == name {
            return is_later.then_some(SkipReason::LaterTwin);
        }
        kept = if is_later { kept } else { Some(span(&key)) };
    }
    None
}

/// Names, many of which start within milliseconds of each other.
fn any_close_name() -> impl Strategy<Value = String> {
    let close = (
        prop::sample::select(vec!["59.999", "59.998", "59.998999", "59.9979", "59.9969"]),
        prop::sample::select(vec!["2.0", "2.0", "2.0", "2.00", "02.0", "3.0"]),
        prop::sample::select(vec!["full", "full", "partial"]),
        prop::sample::select(vec![".ts", ".ts", ".tombstone"]),
    );
    let close = close.prop_map(|(time, duration, kind, extension)| {
        format!("10:{time}-{duration}-{kind}-{}{extension}", hash_text(1))
    });
    prop_oneof![1 => any_name(), 2 => close]
}

fn any_names() -> impl Strategy<Value = Names> {
    prop::collection::btree_set(any_close_name(), 0..25)
}

fn any_rules() -> impl Strategy<Value = Rules> {
    // Around the end of a few of the names, to the microsecond, and far away.
    let now =
        prop_oneof![Just(0_i64), Just(2 * SECOND_US), Just(4_500_000), Just(3_602 * SECOND_US), 0..8_000 * SECOND_US];
    let cutoff = prop::sample::select(vec![0, SECOND_US, 120 * SECOND_US]);
    (
        now,
        cutoff,
        -1..2_i64,
        prop::option::of(0..3_i64),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.8),
        any::<(bool, bool)>(),
    )
        .prop_map(|(now, cutoff, off, oldest, wanted, trusted, (hides_equal, keeps_one_name))| Rules {
            hour: hour(),
            now: hour().start() + Span::from_us(now + cutoff + off),
            cutoff: Span::from_us(cutoff),
            oldest: oldest
                .map(|hours| hour().previous().start() + Span::from_us(hours * crate::archive::time::HOUR_US))
                .map(Timestamp::hour),
            wanted,
            trusted,
            hides_equal,
            keeps_one_name,
            takes_all_names: false,
        })
}

fn names(remote: &Names) -> Vec<&str> {
    remote.iter().map(String::as_str).collect()
}

/// What a node lists to another.
fn listed(node: &Names) -> Vec<String> {
    contents(node).listed(true)
}

/// `to` does what it plans with the list of `from`; tells whether that was anything.
fn round(nodes: &mut [Names], to: usize, from: usize) -> bool {
    let list = listed(&nodes[from]);
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let local = contents(&nodes[to]);
    let plan = plan(&local, &list, &by_name());
    let new: Vec<String> = plan.tombstones.iter().chain(&plan.fetch).map(|offer| offer.name.to_owned()).collect();
    let any = !new.is_empty();
    nodes[to].extend(new);
    any
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_plan_is_what_the_rules_say(local in any_names(), remote in any_names(), rules in any_rules()) {
        let here = contents(&local);
        let list = names(&remote);
        let plan = plan(&here, &list, &rules);
        let mut seen = BTreeMap::new();
        for offer in plan.tombstones.iter().chain(&plan.fetch) {
            prop_assert_eq!(key(offer.name), Some(offer.key));
            prop_assert_eq!(seen.insert(offer.name, None), None);
        }
        for (name, why) in &plan.leave {
            prop_assert_eq!(seen.insert(name, Some(*why)), None);
        }
        let expected: BTreeMap<&str, Option<SkipReason>> =
            list.iter().map(|name| (*name, model(&local, &remote, name, &rules))).collect();
        prop_assert_eq!(seen, expected);
        prop_assert!(plan.tombstones.iter().all(|offer| offer.key.tombstone));
        prop_assert!(plan.fetch.iter().all(|offer| !offer.key.tombstone));
        prop_assert!(plan.fetch.is_sorted_by_key(|offer| offer.key.start_us));
    }

    #[test]
    fn neither_order_nor_repetition_changes_the_plan(
        local in any_names(), remote in any_names().prop_flat_map(|names| {
            let twice: Vec<String> = names.iter().chain(&names).cloned().collect();
            (Just(names), Just(twice).prop_shuffle())
        }),
        rules in any_rules(),
    ) {
        let (once, shuffled) = &remote;
        let shuffled: Vec<&str> = shuffled.iter().map(String::as_str).collect();
        let here = contents(&local);
        prop_assert_eq!(plan(&here, &names(once), &rules), plan(&here, &shuffled, &rules));
    }

    #[test]
    fn what_was_done_is_not_planned_again_even_if_it_was_interrupted(
        local in any_names(), remote in any_names(), rules in any_rules(), part in any::<prop::sample::Index>(),
    ) {
        let (mut done, mut interrupted) = (local.clone(), local.clone());
        let here = contents(&local);
        let list = names(&remote);
        let first = plan(&here, &list, &rules);
        let new: Vec<String> = first.tombstones.iter().chain(&first.fetch).map(|offer| offer.name.to_owned()).collect();
        done.extend(new.iter().cloned());
        let again = contents(&done);
        prop_assert!(plan(&again, &list, &rules).is_empty());
        // Tombstones come first; of the rest any part may have arrived.
        interrupted.extend(new.iter().take(if new.is_empty() { 0 } else { part.index(new.len()) }).cloned());
        let before = contents(&interrupted);
        for offer in plan(&before, &list, &rules).fetch {
            prop_assert!(new.iter().any(|name| name == offer.name));
        }
    }

    #[test]
    fn what_is_too_recent_is_planned_when_its_time_has_come(local in any_names(), remote in any_names(), rules in any_rules()) {
        let here = contents(&local);
        let list = names(&remote);
        let now = plan(&here, &list, &rules);
        let recent = now.leave.iter().filter(|(_, why)| *why == SkipReason::TooRecent).count();
        prop_assert_eq!(now.later.len(), recent);
        if let Some(again) = now.later.iter().map(|(_, at)| *at).min() {
            prop_assert!(again > rules.now);
            let just_before = plan(&here, &list, &Rules { now: again - Span::from_us(1), ..rules });
            prop_assert_eq!(just_before.fetch.len(), now.fetch.len());
            let then = plan(&here, &list, &Rules { now: again, ..rules });
            prop_assert!(then.fetch.len() > now.fetch.len());
        }
    }

    #[test]
    fn three_nodes_end_with_the_union_less_what_is_tombstoned(
        start in prop::collection::vec(prop::collection::btree_set(any_name(), 0..20), 3),
        order in prop::collection::vec((0..3_usize, 1..3_usize), 0..12),
    ) {
        // Each content under one name only: of near duplicates every node may keep another.
        let mut one_name = BTreeMap::new();
        let mut nodes: Vec<Names> = start.iter().map(|node| node.iter().map(|name| {
            let Some(key) = key(name).filter(|key| key.kind.is_video()) else { return name.clone() };
            let stem = one_name.entry((key.start_us, key.kind, key.duration_us, key.hash)).or_insert_with(|| stem(name).to_owned());
            format!("{stem}.{}", if key.tombstone { "tombstone" } else { "ts" })
        }).collect()).collect();
        let all: Names = nodes.iter().flatten().filter(|name| key(name).is_some()).cloned().collect();
        let expected: Names = contents(&all).listed(true).into_iter().collect();
        for (to, step) in order {
            round(&mut nodes, to, (to + step) % 3);
        }
        // From here on every node asks every other, twice at most: a full round, and one that finds nothing.
        let full = |three: &mut Vec<Names>| {
            let pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
            pairs.into_iter().filter(|(to, from)| round(three, *to, *from)).count()
        };
        full(&mut nodes);
        prop_assert_eq!(full(&mut nodes), 0);
        for node in &nodes {
            let understood: Names = listed(node).into_iter().filter(|name| key(name).is_some()).collect();
            prop_assert_eq!(&understood, &expected);
        }
    }

    #[test]
    fn of_near_duplicates_every_node_has_one(start in prop::collection::vec(any_names(), 3)) {
        let mut nodes = start.clone();
        for _ in 0..3 {
            for (to, from) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                round(&mut nodes, to, from);
            }
        }
        let all: Names = start.into_iter().flatten().filter(|name| key(name).is_some()).collect();
        for name in contents(&all).listed(false) {
            let wanted = key(&name).unwrap();
            for node in &nodes {
                let near = |file: &SegmentFile| {
                    (file.key.kind, file.key.duration_us, file.key.hash) == (wanted.kind, wanted.duration_us, wanted.hash)
                        && file.key.start_us.abs_diff(wanted.start_us) <= 1_000
                };
                prop_assert!(contents(node).visible().any(near), "{} is missing", name);
            }
        }
    }
}

#[test]
fn lists_of_an_hour_are_planned_quickly_even_if_all_is_one_segment() {
    let many = |times: u32| -> Vec<String> {
        (0..times).map(|n| format!("00:00.{:06}-2.0-full-{}.ts", n * 9 % 1_000_000, hash_text(1))).collect()
    };
    let here = many(50_000);
    let local = HourContents::from_names(here.iter().map(|name| (name.as_str(), 1)));
    let there: Vec<String> = many(100_000);
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    // Only the time in which this thread had a processor: comparing all with all takes minutes.
    let worked_s = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec;
    let began = worked_s();
    let plan = plan(&local, &there, &rules());
    assert!(worked_s() - began < 20);
    assert!(plan.leave.iter().any(|(_, why)| *why == SkipReason::NearDuplicate));
}

#[test]
fn a_segment_of_the_far_future_waits() {
    let name = format!("59:59-2.0-full-{}.ts", hash_text(1));
    let rules = Rules { hour: Hour::MAX, ..rules() };
    let plan = plan(&HourContents::default(), &[&name], &rules);
    assert_eq!(plan.leave, [(name.as_str(), SkipReason::TooRecent)]);
}

#[test]
fn a_near_duplicate_of_what_was_deleted_is_not_fetched_from_anybody() {
    let hash = hash_text(1);
    let (hidden, twin) = (format!("10:00.0000-2.0-full-{hash}"), format!("10:00.0005-2.1-partial-{hash}.ts"));
    let other = format!("10:00.0005-2.1-partial-{}.ts", hash_text(2));
    let names = |names: &[&str]| -> Names { names.iter().map(|name| (*name).to_owned()).collect() };
    let here = contents(&names(&[&format!("{hidden}.tombstone")]));
    let list = [twin.as_str(), other.as_str()];
    let by_local = plan(&here, &list, &rules());
    assert_eq!(by_local.leave, [(twin.as_str(), SkipReason::EqualDeleted)]);
    assert_eq!(by_local.fetch.iter().map(|offer| offer.name).collect::<Vec<_>>(), [other.as_str()]);
    // The peer lists both: it does not know that what it deleted goes by another name.
    let tombstone = format!("{hidden}.tombstone");
    let by_list = plan(&HourContents::default(), &[twin.as_str(), &tombstone], &rules());
    assert_eq!(by_list.leave, [(twin.as_str(), SkipReason::EqualDeleted)]);
    // It was deleted 20 seconds before this hour began, which only others can tell.
    let first = format!("00:05-2.0-full-{hash}.ts");
    let graves = vec![(key(&first).unwrap().hash, SegmentKind::Full, hour().start() - Span::from_us(20 * SECOND_US))];
    let nothing = HourContents::default();
    let beside =
        plan_beside(&nothing, &[&first], &rules(), &Surroundings { graves: graves.clone(), ..Surroundings::default() });
    assert_eq!(beside.leave, [(first.as_str(), SkipReason::EqualDeleted)]);
    let without = plan_beside(&nothing, &[&first], &by_name(), &Surroundings { graves, ..Surroundings::default() });
    assert_eq!(without.fetch.len(), 1, "it is this rule that left it");
}

#[test]
fn what_a_waiting_tombstone_would_hide_is_not_fetched() {
    let name = format!("10:00-2.0-full-{}.ts", hash_text(1));
    let waiting = [Box::from(stem(&name))].into();
    let plan =
        plan_beside(&HourContents::default(), &[&name], &rules(), &Surroundings { waiting, ..Surroundings::default() });
    assert_eq!(plan.leave, [(name.as_str(), SkipReason::TombstoneWaits)]);
}

/// Segments of 2 s of a quality, by what a letter means: each is content of its own.
fn recorded(start_ms: i64, contents: &str) -> Vec<String> {
    let name = |(at, letter): (i64, char)| {
        let ms = start_ms + at * 2_000;
        let (minute, second, ms) = (ms / 60_000, ms / 1_000 % 60, ms % 1_000);
        (letter != '.').then(|| format!("{minute:02}:{second:02}.{ms:03}-2.0-full-{}.ts", hash_text(letter as u8)))
    };
    (0..).zip(contents.chars()).filter_map(name).collect()
}

/// What is fetched of `theirs` where `ours` is here, as the letters of its contents.
fn fetched(ours: &[String], theirs: &[String]) -> (String, Vec<i64>) {
    let names: Vec<&str> = theirs.iter().map(String::as_str).collect();
    let plan = plan(&contents(&ours.iter().cloned().collect()), &names, &rules());
    let letter = |offer: &PeerOffer<'_>| ('a'..='z').find(|letter| offer.name.contains(&hash_text(*letter as u8)));
    (plan.fetch.iter().filter_map(letter).collect(), plan.shifts.iter().map(|(_, later)| later.us() / 1_000).collect())
}

#[test]
fn of_two_recorders_whose_times_differ_each_fetches_what_it_lacks_and_no_twin() {
    for shift in [1, 400, -400, 1_999] {
        let (ours, theirs) = (recorded(60_000, "abc.efgh"), recorded(60_000 + shift, "ab.defg."));
        let (lacks, shifts) = fetched(&ours, &theirs);
        assert_eq!((lacks.as_str(), shifts.len()), ("d", if shift == 1 { 0 } else { 5 }), "{shift}: {shifts:?}");
        assert!(shifts.iter().all(|each| *each == shift), "{shift}: {shifts:?}");
        assert_eq!(fetched(&theirs, &ours).0, "ch", "{shift}");
    }
    // Further apart than a segment lasts, a twin may lie where something is missing here, and is fetched to be sure.
    for shift in [2_000, 2_300, -7_000, 29_000] {
        let all = "abcdefghijklmnopqrstuvwxyz";
        let (ours, theirs) =
            (recorded(120_000, &all.replace('m', ".")), recorded(120_000 + shift, &all.replace('k', ".")));
        let (lacks, shifts) = fetched(&ours, &theirs);
        let at_the_edges = usize::try_from(shift.abs() / 2_000 + 4).unwrap();
        assert!(lacks.contains('m') && lacks.len() <= at_the_edges, "{shift}: {lacks}");
        assert!(shifts.len() >= 6 && shifts.iter().all(|each| *each == shift), "{shift}: {shifts:?}");
    }
}

#[test]
fn where_others_give_their_names_away_all_of_them_are_fetched() {
    let theirs: Vec<String> = recorded(60_000, "ab").into_iter().chain(recorded(60_400, "abc")).collect();
    let names: Vec<&str> = theirs.iter().map(String::as_str).collect();
    for ours in [recorded(60_001, "ab"), recorded(60_800, "abc"), Vec::new()] {
        let here = contents(&ours.into_iter().collect());
        let plan = plan(&here, &names, &Rules { takes_all_names: true, ..rules() });
        let mut fetched: Vec<&str> = plan.fetch.iter().map(|offer| offer.name).collect();
        fetched.sort_unstable();
        let mut all = names.clone();
        all.sort_unstable();
        assert_eq!((fetched, plan.leave), (all, Vec::new()));
    }
}

#[test]
fn content_that_recurs_is_fetched_wherever_there_is_a_hole() {
    // A still picture for eight seconds; the times are told.
    let (ours, theirs) = (recorded(60_000, "asssb"), recorded(60_000, "assssb"));
    assert_eq!(fetched(&recorded(60_000, "as..sb"), &recorded(60_000, "assssb")).0, "ss");
    assert_eq!(fetched(&recorded(60_000, "a.s.sb"), &recorded(60_000, "as.s.b")).0, "ss");
    assert_eq!(fetched(&ours, &theirs).0, "b", "what lies beside the picture at the same time is another recording");
}

#[test]
fn of_several_names_in_a_list_the_earliest_is_fetched() {
    let both: Vec<String> = recorded(60_000, "abc").into_iter().chain(recorded(60_400, "abc")).collect();
    let names: Vec<&str> = both.iter().map(String::as_str).collect();
    let plan = plan(&HourContents::default(), &names, &rules());
    assert_eq!(plan.fetch.iter().map(|offer| offer.name.to_owned()).collect::<Vec<_>>(), recorded(60_000, "abc"));
    assert_eq!(plan.leave.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [SkipReason::LaterTwin; 3]);
}

#[test]
fn a_twin_in_the_hour_before_is_seen() {
    let offered = recorded(200, "a").remove(0);
    let before = key(&recorded(59 * 60_000 + 59_900, "a")[0]).unwrap();
    let around = vec![(before, hour().previous())];
    let known = Surroundings { around, ..Surroundings::default() };
    let plan = plan_beside(&HourContents::default(), &[&offered], &rules(), &known);
    assert_eq!(plan.leave, [(offered.as_str(), SkipReason::Twin)]);
    assert_eq!(plan.shifts, [(hour().start() - Span::from_us(100_000), Span::from_us(300_000))]);
}
