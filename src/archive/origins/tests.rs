//! The account against what its rules say, and its text against itself.

use proptest::prelude::*;

use super::super::blocks::BLOCK;
use super::*;

fn place(text: &str) -> HourPlace {
    HourPlace::parse(text).unwrap()
}

/// Files of a block each.
fn given(files: u64) -> GiftedHour {
    GiftedHour { files, bytes: files, tombstones: 0 }
}

fn blocks(number: u64) -> u64 {
    number * BLOCK
}

#[test]
fn an_hour_with_more_than_peers_gave_is_own() {
    let mut account = GiftAccount::default();
    let hour = place("a/b/2019-11-13T02");
    assert!(!account.is_fetched(&hour, 0), "nobody knows about it");
    account.give(&hour, "one", given(3));
    account.give(&hour, "two", given(2));
    assert!(account.is_fetched(&hour, 5) && !account.is_fetched(&hour, 6));
    assert_eq!((account.given(&hour), account.given_by(&hour, "two")), (Some(given(5)), given(2)));
    assert!(account.forget(&hour).is_some() && account.forget(&hour).is_none());
    assert!(!account.is_fetched(&hour, 0));
}

#[test]
fn what_peers_add_to_an_hour_of_ones_own_is_counted_beside_it() {
    let mut account = GiftAccount::default();
    let (own, fetched) = (place("a/b/2019-11-13T02"), place("c/d/2019-11-13T02"));
    let mut text = account.make_own(&own).unwrap() + &account.give(&own, "one", given(3));
    text += &account.give(&fetched, "one", given(2));
    assert_eq!(account.make_own(&own), None);
    for known in [&GiftAccount::parse(text.as_bytes()), &account] {
        assert!(!known.is_fetched(&own, 0) && known.is_fetched(&fetched, 2));
        assert_eq!((known.given(&own), known.added(|_| true)), (Some(given(3)), blocks(3)));
        assert_eq!(known.added(|stream| stream.channel.as_str() == "c"), 0);
    }
    // A recorder writes there, and later all of it goes.
    account.make_own(&fetched);
    assert_eq!((account.is_fetched(&fetched, 0), account.added(|_| true)), (false, blocks(5)));
    account.forget(&fetched);
    assert_eq!(account.added(|_| true), blocks(3));
}

#[test]
fn time_that_was_lived_is_written_now_and_then_and_goes_on_after_a_restart() {
    let mut account = GiftAccount::default();
    let mut text = account.live("a", 1_000).unwrap();
    assert_eq!(account.live("a", 1_500), None);
    text += &account.live("a", 2_000).unwrap();
    text += &account.live("b", 30).unwrap();
    let mut later = GiftAccount::parse(text.as_bytes());
    assert_eq!(later, account);
    assert_eq!(later.live("b", 90), None);
    assert_eq!(later.lived().seconds(), 1_060);
}

#[test]
fn only_a_channel_is_a_name() {
    let stream = |text: &str| Stream::parse(text).unwrap();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let quality = ConfiguredStreams { qualities: set(&["source"]), ..ConfiguredStreams::default() };
    assert!(!quality.has(&stream("junk/source")), "anybody can invent a channel with that quality");
    let both = ConfiguredStreams { channels: set(&["a"]), ..quality };
    assert!(both.has(&stream("a/source")) && !both.has(&stream("a/480p")) && !both.has(&stream("b/source")));
    let sections = [("c".to_owned(), None), ("d".to_owned(), Some("source".to_owned()))].into();
    let named = ConfiguredStreams { sections, ..ConfiguredStreams::default() };
    assert!(named.has(&stream("c/x")) && named.has(&stream("d/source")) && !named.has(&stream("d/480p")));
}

#[test]
fn bytes_and_streams_are_counted_for_each_peer_where_the_stream_is_a_strangers() {
    let mut account = GiftAccount::default();
    account.give(&place("a/b/2019-11-13T02"), "one", given(1));
    account.give(&place("a/b/2019-11-13T03"), "one", given(2));
    account.give(&place("c/d/2019-11-13T02"), "one", given(4));
    account.give(&place("c/d/2019-11-13T02"), "two", given(8));
    assert_eq!(account.used("one", |_| true), StrangersUse { bytes: blocks(7), streams: 2 });
    assert_eq!(
        account.used("one", |stream| stream.channel.as_str() == "c"),
        StrangersUse { bytes: blocks(4), streams: 1 }
    );
    assert_eq!(account.used("two", |_| true), StrangersUse { bytes: blocks(8), streams: 1 });
    account.forget(&place("a/b/2019-11-13T02"));
    assert_eq!(account.used("one", |_| true), StrangersUse { bytes: blocks(6), streams: 2 });
}

#[test]
fn tombstones_for_names_that_are_not_here_take_a_block_each_and_make_nothing_fetched() {
    let mut account = GiftAccount::default();
    let hour = place("a/b/2019-11-13T02");
    account.give(&hour, "one", GiftedHour { tombstones: 1_500, ..GiftedHour::default() });
    account.give(&hour, "two", given(2));
    assert_eq!(account.used("one", |_| true), StrangersUse { bytes: blocks(1_500), streams: 1 });
    assert!(account.is_fetched(&hour, 2) && !account.is_fetched(&hour, 3));
    // They stay when the segments have gone.
    let mut text = account.text() + &account.forget_files(&hour).unwrap();
    assert_eq!(account.forget_files(&hour), None);
    assert_eq!(GiftAccount::parse(text.as_bytes()).streams, account.streams);
    assert_eq!([account.used("one", |_| true).bytes, account.used("two", |_| true).bytes], [blocks(1_500), 0]);
    text += &account.forget(&hour).unwrap();
    assert_eq!(GiftAccount::parse(text.as_bytes()).used("one", |_| true), StrangersUse::default());
}

#[test]
fn a_line_that_does_not_add_up_makes_its_hour_own_and_spoils_no_other() {
    let mut account = GiftAccount::default();
    let (good, other) = (place("a b/%/2019-11-13T02"), place("a/b/2019-11-13T03"));
    let line = account.give(&good, "p %", given(3));
    let flipped = account.give(&other, "p", given(3)).replacen("given 3", "given 9", 1);
    for bad in [flipped.trim_end(), "nonsense", "own x", ""] {
        let read = GiftAccount::parse(format!("{FIRST_LINE}\n{bad}\n{line}").as_bytes());
        assert!(read.is_fetched(&good, 3) && !read.is_fetched(&other, 0), "{bad:?}");
        assert_eq!(read.damaged_lines, usize::from(!bad.is_empty()));
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(steps in prop::collection::vec((0..3_u8, 0..24_u8, 0..4_u64, 0..5_u8), 0..40)) {
        let mut account = GiftAccount::default();
        let mut text = format!("{FIRST_LINE}\n");
        for (number, (peer, hour, files, what)) in (0..).zip(steps) {
            let at = place(&format!("a b/q/2019-11-13T{hour:02}"));
            let line = match what {
                0 => account.forget(&at),
                1 => account.make_own(&at),
                2 => account.live("boot", number * 1_000),
                3 => account.forget_files(&at),
                _ => Some(account.give(&at, &format!("p {peer}"), GiftedHour { tombstones: files / 2, ..given(files) })),
            };
            text += &line.unwrap_or_default();
        }
        prop_assert_eq!(&GiftAccount::parse(text.as_bytes()), &account);
        let again = GiftAccount::parse(account.text().as_bytes());
        account.rewritten();
        prop_assert_eq!(again, account);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        GiftAccount::parse(&bytes).text();
    }
}
