//! Lists that grow, over a real directory, with time injected: whatever comes and goes whenever, players only ever see more.

mod bucket_facts;
mod media;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Ask, Playback, PlaybackOptions};
use crate::archive::test_names::hash_text;
use crate::archive::{HourPlace, Span, Stream, Timestamp};
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Index, IndexOptions};
use crate::jobs::{Clock as _, TestClock};
use crate::sync::crawl::Keeper;

/// When the clock of tests begins.
const BEGIN: &str = "2020-09-13T12:26:40";
const HOUR: &str = "a/source/2020-09-13T12";

struct Archive {
    directory: tempfile::TempDir,
    keeper: Arc<Keeper>,
    clock: Arc<TestClock>,
    playback: Playback,
}

impl Archive {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join(HOUR)).unwrap();
        let index =
            Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
        let guard =
            BaseGuard::new(Base::open(directory.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        let keeper = Arc::new(Keeper::new(index, Arc::new(guard)));
        let clock = Arc::new(TestClock::default());
        let options = PlaybackOptions { max_hours: 10, cache: 1 << 20 };
        let playback = Playback::new(Arc::clone(&keeper), Arc::clone(&clock) as Arc<_>, options);
        let archive = Self { directory, keeper, clock, playback };
        archive.look();
        archive
    }

    fn look(&self) {
        self.keeper.reconcile(&[HourPlace::parse(HOUR).unwrap()], true).unwrap();
    }

    fn put(&self, name: &str) {
        self.put_with(name, b"x");
    }

    fn put_with(&self, name: &str, content: &[u8]) {
        std::fs::write(self.directory.path().join(HOUR).join(name), content).unwrap();
        self.look();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory.path().join(HOUR).join(name)).unwrap();
        self.look();
    }

    fn ask(&self, ask: &Ask) -> String {
        let list = self.playback.playlist(ask).unwrap();
        String::from_utf8(list.plain().concat()).unwrap()
    }
}

fn ask(end: Option<i64>, gaps: bool) -> Ask {
    let start = Timestamp::parse(BEGIN).unwrap();
    let end = end.map(|seconds| start + Span(seconds * 1_000_000));
    Ask { stream: Stream::parse("a/source").unwrap(), start: Some(start), end, gaps, apart: false, peers: false }
}

/// A segment of that slot of 2 s.
fn name(slot: u32, length: &str, kind: &str) -> String {
    let second = 40 + 2 * slot;
    format!(
        "{:02}:{:02}-{length}-{kind}-{}.ts",
        26 + second / 60,
        second % 60,
        hash_text(u8::try_from(slot).unwrap_or(u8::MAX))
    )
}

/// What was told last.
fn last_start(text: &str) -> Option<String> {
    text.lines().filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).next_back().map(str::to_owned)
}

#[derive(Debug, Clone)]
enum Event {
    Put { slot: u32, length: &'static str, kind: &'static str },
    Remove(prop::sample::Index),
    Tombstone(prop::sample::Index),
    Pass(u64),
    Ask(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let length = prop::sample::select(vec!["2.0", "2.0", "2.0", "2.0", "2.000", "1.5", "2.5", "9.0"]);
    let kind = prop::sample::select(vec!["full", "full", "full", "suspect", "partial"]);
    prop_oneof![
        6 => (0..18_u32, length, kind).prop_map(|(slot, length, kind)| Event::Put { slot, length, kind }),
        1 => any::<prop::sample::Index>().prop_map(Event::Remove),
        1 => any::<prop::sample::Index>().prop_map(Event::Tombstone),
        4 => (0..6_000_u64).prop_map(Event::Pass),
        6 => (0..4_usize).prop_map(Event::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_list_that_was_told_is_the_beginning_of_every_later_one(events in prop::collection::vec(event(), 1..80)) {
        let archive = Archive::new();
        let asks = [ask(None, false), ask(None, true), ask(Some(20), false), ask(Some(36), true)];
        let mut told: BTreeMap<usize, String> = BTreeMap::new();
        let mut there: BTreeSet<String> = BTreeSet::new();
        // Enough for the stream to be one.
        archive.put(&name(24, "2.0", "full"));
        let check = |number: usize, known: &mut BTreeMap<usize, String>| {
            let text = archive.ask(&asks[number]);
            // A list that was over when it was asked for is told as it is then: who has it does not ask again.
            let before = known.insert(number, text.clone()).filter(|before| !before.contains("TYPE:VOD")).unwrap_or_default();
            prop_assert!(text.starts_with(&before), "--- was\n{}--- is\n{}", before, text);
            prop_assert!(!before.contains("ENDLIST") || before == text, "--- was\n{}--- is\n{}", before, text);
            prop_assert_eq!(archive.ask(&asks[number]), text, "the same question at the same time");
            Ok(())
        };
        for event in events {
            match event {
                Event::Put { slot, length, kind } => {
                    let name = name(slot, length, kind);
                    archive.put(&name);
                    there.insert(name);
                }
                Event::Remove(index) | Event::Tombstone(index) if !there.is_empty() => {
                    let name = index.get(&there.iter().cloned().collect::<Vec<_>>()).clone();
                    match event {
                        Event::Remove(_) => archive.remove(&name),
                        _ => archive.put(&name.replace(".ts", ".tombstone")),
                    }
                    there.remove(&name);
                }
                Event::Remove(_) | Event::Tombstone(_) => {}
                Event::Pass(ms) => archive.clock.pass(Duration::from_millis(ms)),
                Event::Ask(number) => check(number, &mut told)?,
            }
        }
        // Nothing is held back for longer than 15 s after it was seen: then the last segment there is has been told to all.
        for number in [0, 1] {
            check(number, &mut told)?;
            archive.clock.pass(Duration::from_secs(15));
            check(number, &mut told)?;
            let last = last_start(&told[&number]).unwrap_or_default();
            prop_assert_eq!(last, "2020-09-13T12:27:28.000Z", "{}", &told[&number]);
        }
        // Who comes back after a long pause begins anew, and whoever follows goes on.
        archive.clock.pass(super::list_cache::REMEMBERED);
        for number in 0..4 {
            told.remove(&number);
            check(number, &mut told)?;
            check(number, &mut told)?;
        }
    }
}

#[test]
fn a_list_ends_when_what_was_asked_for_is_there_and_has_been_over_for_as_long_as_is_waited_for() {
    let archive = Archive::new();
    let ask = ask(Some(4), false);
    archive.put(&name(0, "2.0", "full"));
    let first = archive.ask(&ask);
    archive.put(&name(1, "2.0", "full"));
    assert!(archive.ask(&ask).starts_with(&first));
    archive.clock.pass(Duration::from_millis(18_999));
    assert!(!archive.ask(&ask).contains("ENDLIST"));
    archive.clock.pass(Duration::from_millis(1));
    assert!(archive.ask(&ask).ends_with("#EXT-X-ENDLIST\n"), "{:?} {}", archive.clock.now(), archive.ask(&ask));
}
