//! Months of rounds in milliseconds: time is injected, and visitors take as long as a test says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;

use crate::archive::{Hour, HourPlace, Stream};
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Batch, HourUpdate, Index, IndexOptions, StampUpdate};
use crate::jobs::{Clock as _, ForegroundLoad, JobRegistry, Runner, Stop, TestClock, Wake};
use crate::sync::crawl::rounds::{Rounds, RoundsJob, RoundsParts};
use crate::sync::crawl::{
    CrawlCounts, CrawlError, CrawlPace, Keeper, Pacing, ReadAllowance, Round, Visitor, VisitorStatus,
};

const SECOND: Duration = Duration::from_secs(1);

/// An archive of so many hours, known to an index in memory.
struct Small {
    directory: tempfile::TempDir,
    keeper: Arc<Keeper>,
    clock: Arc<TestClock>,
}

impl Small {
    fn of(hours: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let base = Base::open(directory.path()).unwrap();
        let guard = Arc::new(BaseGuard::new(base, BaseIdentity::Unmarked { channels: Vec::new() }));
        let hours = (0..hours).map(|number| HourUpdate::Change {
            stream: Stream::parse(["a/source", "b/480p"][number as usize % 2]).unwrap(),
            hour: Hour::parse("2024-01-01T00").unwrap().earlier(number / 2),
            changes: Vec::new(),
            stamp: StampUpdate::Keep,
        });
        index.apply(Batch { hours: hours.collect(), ..Batch::default() }).unwrap();
        let keeper = Arc::new(Keeper::new(index, guard));
        Self { directory, keeper, clock: Arc::default() }
    }

    fn rounds(&self, visitors: Vec<Box<dyn Visitor>>, pace: CrawlPace, stop: &Stop) -> Arc<Rounds> {
        assert!(self.directory.path().is_dir());
        Arc::new(Rounds::new(RoundsParts {
            keeper: Arc::clone(&self.keeper),
            visitors,
            pacing: Pacing::new(pace),
            busy: Arc::new(ForegroundLoad::default()),
            clock: Arc::clone(&self.clock) as Arc<dyn crate::jobs::Clock>,
            stop: stop.clone(),
            is_ready: Box::new(|| true),
        }))
    }

    /// Runs for so long and says how each visitor is.
    fn run(&self, visitors: Vec<Box<dyn Visitor>>, pace: CrawlPace, time: Duration) -> Vec<VisitorStatus> {
        let stop = Stop::new();
        self.clock.end_at(self.clock.now() + time);
        let rounds = self.rounds(visitors, pace, &stop);
        self.carry(&rounds, &stop);
        rounds.status()
    }

    fn carry(&self, rounds: &Arc<Rounds>, stop: &Stop) {
        let board = Arc::new(JobRegistry::new(Arc::clone(&self.clock) as Arc<dyn crate::jobs::Clock>));
        Runner::new(RoundsJob::new(Arc::clone(rounds)), &board, Wake::new(stop)).run();
    }
}

fn pace(share: f64) -> CrawlPace {
    let cycles = [("quick", 300), ("slow", 30 * 86_400)];
    CrawlPace {
        cpu_share: share,
        slice: SECOND,
        adaptive: false,
        threads: 1,
        cycles: cycles.map(|(name, seconds)| (name.to_owned(), Duration::from_secs(seconds))).into(),
        reading: ReadAllowance::default(),
    }
}

fn took(began: Duration, ended: Duration) -> Duration {
    ended.checked_sub(began).unwrap()
}

/// What a visitor did: when each slice began and ended, and how often it was at each hour.
#[derive(Default)]
struct Log {
    slices: Vec<(Duration, Duration)>,
    visits: BTreeMap<HourPlace, u64>,
    cycles: Vec<Duration>,
}

/// Takes for each hour a time that is set beforehand.
struct Worker {
    name: &'static str,
    clock: Arc<TestClock>,
    takes: Vec<Duration>,
    /// How long each hour waits for the disk besides.
    waits: Duration,
    reads: u64,
    log: Arc<Mutex<Log>>,
}

impl Worker {
    fn begin(name: &'static str, small: &Small, takes: Vec<Duration>) -> (Box<dyn Visitor>, Arc<Mutex<Log>>) {
        let log: Arc<Mutex<Log>> = Arc::default();
        let (clock, waits) = (Arc::clone(&small.clock), Duration::ZERO);
        let worker = Self { name, clock, takes, waits, reads: 0, log: Arc::clone(&log) };
        (Box::new(worker), log)
    }
}

impl Visitor for Worker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        let began = self.clock.now();
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            let mut log = self.log.lock();
            let visits = log.visits.entry(place.clone()).or_default();
            *visits += 1;
            let item = usize::try_from(*visits).unwrap() + place.hour.sortable() as usize;
            self.clock.pass(self.takes[item % self.takes.len()]);
            self.clock.pass_waiting(self.waits);
            round.spend(self.reads, 1);
            round.done(&CrawlCounts::of("seen", 1));
        }
        self.log.lock().slices.push((began, self.clock.now()));
        Ok(())
    }

    fn cycle_begins(&self, _: u64) -> Result<CrawlCounts, CrawlError> {
        self.log.lock().cycles.push(self.clock.now());
        Ok(CrawlCounts::nothing())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_share_is_kept_over_hours_and_slices_and_cycles_are_as_long_as_they_may_be(
        takes in prop::collection::vec(1_u64..900, 1..20), slow in prop::collection::vec(1_u64..900, 1..20), percent in 3_u32..30,
    ) {
        let small = Small::of(120);
        let share = f64::from(percent) / 100.0;
        let ms = |of: Vec<u64>| of.into_iter().map(Duration::from_millis).collect::<Vec<_>>();
        let longest = takes.iter().chain(&slow).copied().max().unwrap();
        let (quick, first) = Worker::begin("quick", &small, ms(takes));
        let (slow, second) = Worker::begin("slow", &small, ms(slow));
        let time = Duration::from_secs(3 * 3_600);
        small.run(vec![quick, slow], pace(share), time);
        let (first, second) = (first.lock(), second.lock());
        let worked: Duration = first.slices.iter().chain(&second.slices).map(|(began, ended)| took(*began, *ended)).sum();
        let kept = worked.as_secs_f64() / small.clock.now().as_secs_f64();
        // The quick one is not always at work: it may be less, and is never more.
        prop_assert!(kept < share * 1.1, "{kept} of {share}");
        let mut busy_until = second.slices.first().map_or(Duration::ZERO, |slice| slice.0);
        for (began, ended) in first.slices.iter().chain(&second.slices) {
            prop_assert!(took(*began, *ended) < SECOND + Duration::from_millis(longest), "a slice ends with the item that exceeds it");
            busy_until = busy_until.max(*ended);
        }
        for pair in first.cycles.windows(2) {
            prop_assert!(took(pair[0], pair[1]) >= Duration::from_secs(300), "{:?}", first.cycles);
        }
        prop_assert_eq!(second.cycles.len(), 1, "thirty days are not over");
        prop_assert!(second.visits.values().all(|visits| *visits == 1));
        prop_assert_eq!(second.visits.len(), 120);
    }
}

#[test]
fn while_there_is_work_the_share_is_what_is_allowed_and_not_less() {
    let small = Small::of(2_000);
    let (slow, log) = Worker::begin("slow", &small, vec![Duration::from_millis(700), Duration::from_millis(90)]);
    small.run(vec![slow], pace(0.1), Duration::from_secs(2 * 3_600));
    let log = log.lock();
    assert!(log.visits.len() < 2_000, "it is at work all the time");
    let worked: Duration = log.slices.iter().map(|(began, ended)| took(*began, *ended)).sum();
    // It may begin when the first five minutes are over.
    let time = small.clock.now().as_secs_f64() - 300.0;
    let kept = worked.as_secs_f64() / time;
    assert!((0.09..=0.11).contains(&kept), "{kept}");
}

#[test]
fn a_slow_disk_costs_half_of_the_time_and_not_a_share_of_the_processor() {
    let small = Small::of(5_000);
    let log: Arc<Mutex<Log>> = Arc::default();
    let waiting = Worker {
        name: "slow",
        clock: Arc::clone(&small.clock),
        takes: vec![Duration::from_millis(10)],
        waits: Duration::from_millis(990),
        reads: 0,
        log: Arc::clone(&log),
    };
    small.run(vec![Box::new(waiting)], pace(0.1), Duration::from_secs(300 + 1_000));
    let visited = log.lock().visits.len();
    assert!((490..=510).contains(&visited), "one second of waiting, one of rest: {visited}");
}

#[test]
fn reading_keeps_to_its_bytes_a_second_and_holds_up_nobody_else() {
    let small = Small::of(600);
    let (quick, quicks) = Worker::begin("quick", &small, vec![Duration::from_millis(1)]);
    let log: Arc<Mutex<Log>> = Arc::default();
    let reader = Worker {
        name: "slow",
        clock: Arc::clone(&small.clock),
        takes: vec![Duration::from_millis(1)],
        waits: Duration::ZERO,
        reads: 5_000,
        log: Arc::clone(&log),
    };
    let reading = ReadAllowance { bytes_per_second: Some(1_000), files_per_second: None };
    small.run(vec![quick, Box::new(reader)], CrawlPace { reading, ..pace(0.5) }, Duration::from_secs(1_300));
    // Five seconds each, from the three hundredth second on.
    let read = log.lock().visits.len();
    assert!((195..=203).contains(&read), "{read}");
    assert!(quicks.lock().cycles.len() >= 3, "{:?}", quicks.lock().cycles);
}

#[test]
fn a_cycle_goes_on_after_a_restart_where_it_was_and_a_wish_begins_one_at_once() {
    let small = Small::of(50);
    let takes = vec![Duration::from_millis(400)];
    let (slow, log) = Worker::begin("slow", &small, takes.clone());
    // Every run is ended somewhere in the cycle.
    let status = small.run(vec![slow], pace(0.5), Duration::from_secs(315));
    let before = status[0].state.hours;
    assert!(before > 0 && status[0].state.is_running, "{status:?}");
    let (again, second) = Worker::begin("slow", &small, takes.clone());
    let after = small.run(vec![again], pace(0.5), Duration::from_secs(60));
    assert_eq!((after[0].state.cycle, after[0].state.hours, after[0].state.is_running), (1, 50, false));
    let cycle = after[0].state.history.front().unwrap();
    assert_eq!((cycle.hours, cycle.found.count("seen")), (50, 50));
    assert_eq!(cycle.worked_us, 50 * 400_000);
    let (log, second) = (log.lock(), second.lock());
    assert_eq!(log.visits.len() as u64, before);
    assert!(log.visits.keys().all(|place| !second.visits.contains_key(place)), "nothing is visited twice");
    // The next one would begin in thirty days.
    let stop = Stop::new();
    let (third, seen) = Worker::begin("slow", &small, takes);
    let rounds = small.rounds(vec![third], pace(1.0), &stop);
    assert!(!rounds.request_cycle("nobody") && rounds.request_cycle("slow"));
    small.clock.end_at(small.clock.now() + Duration::from_secs(30));
    small.carry(&rounds, &stop);
    assert_eq!((rounds.status()[0].state.cycle, seen.lock().visits.len()), (2, 50));
}

#[test]
fn a_clock_that_jumps_delays_a_cycle_by_no_more_than_its_length() {
    let small = Small::of(4);
    let mut state = crate::sync::crawl::VisitorState::default();
    state.begin(crate::archive::Timestamp::from_us(i64::MAX / 2));
    state.end(crate::archive::Timestamp::from_us(i64::MAX / 2));
    let visitors = vec![("quick".to_owned(), state.write())];
    small.keeper.index().apply(Batch { visitors, ..Batch::default() }).unwrap();
    let (quick, log) = Worker::begin("quick", &small, vec![SECOND]);
    small.run(vec![quick], pace(1.0), Duration::from_secs(400));
    assert_eq!(log.lock().cycles.len(), 1, "it began far in the future, and yet is due five minutes later");
}

#[test]
fn a_visitor_that_does_not_go_on_is_told_and_ends() {
    struct Stuck;
    impl Visitor for Stuck {
        fn name(&self) -> &'static str {
            "quick"
        }
        fn visit(&self, _: &mut Round<'_>) -> Result<(), CrawlError> {
            Ok(())
        }
    }
    let small = Small::of(3);
    let status = small.run(vec![Box::new(Stuck)], pace(1.0), Duration::from_secs(310));
    assert_eq!(status[0].state.history.front().unwrap().found.count(CrawlCounts::ERRORS), 3);
}

/// Goes through each hour in ten parts, and says which it did.
struct Parted {
    clock: Arc<TestClock>,
    did: Arc<Mutex<Vec<(String, u8)>>>,
}

impl Visitor for Parted {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            let part = round.within().first().copied().unwrap_or(0);
            self.clock.pass(Duration::from_millis(300));
            self.did.lock().push((place.to_string(), part));
            let found = CrawlCounts::of("parts", 1);
            if part == 9 {
                round.done(&found);
            } else {
                round.part(&[part + 1], &found);
            }
        }
        Ok(())
    }
}

#[test]
fn an_hour_that_was_begun_is_gone_on_with_although_a_newer_one_has_turned_up() {
    let small = Small::of(3);
    let did: Arc<Mutex<Vec<(String, u8)>>> = Arc::default();
    let parted = || -> Vec<Box<dyn Visitor>> {
        vec![Box::new(Parted { clock: Arc::clone(&small.clock), did: Arc::clone(&did) })]
    };
    small.run(parted(), pace(0.5), Duration::from_secs(301));
    let before = did.lock().len();
    assert!((1..10).contains(&before), "{before}");
    let newer = HourUpdate::Change {
        stream: Stream::parse("a/source").unwrap(),
        hour: Hour::parse("2024-02-01T00").unwrap(),
        changes: Vec::new(),
        stamp: StampUpdate::Keep,
    };
    small.keeper.index().apply(Batch { hours: vec![newer], ..Batch::default() }).unwrap();
    let status = small.run(parted(), pace(0.5), Duration::from_secs(60));
    let cycle = status[0].state.history.front().unwrap();
    assert_eq!((cycle.hours, cycle.found.count("parts")), (3, 30));
    let seen: std::collections::BTreeSet<(String, u8)> = did.lock().iter().cloned().collect();
    assert_eq!((seen.len(), did.lock().len()), (30, 30), "no part twice, and none left out");
    // One that has gone meanwhile leaves its place to nobody.
    small.clock.pass(Duration::from_secs(30 * 86_400));
    did.lock().clear();
    small.run(parted(), pace(0.5), Duration::from_secs(302));
    let begun = did.lock().last().unwrap().0.clone();
    let place = HourPlace::parse(&begun).unwrap();
    let gone = HourUpdate::Remove { stream: place.stream, hour: place.hour };
    small.keeper.index().apply(Batch { hours: vec![gone], ..Batch::default() }).unwrap();
    did.lock().clear();
    small.run(parted(), pace(0.5), Duration::from_secs(60));
    assert_eq!(did.lock().first().unwrap().1, 0, "the next hour begins at its beginning");
}

#[test]
fn a_visitor_that_fails_again_and_again_holds_up_nobody_else() {
    struct Failing(&'static str, Arc<TestClock>);
    impl Visitor for Failing {
        fn name(&self) -> &'static str {
            self.0
        }
        fn visit(&self, _: &mut Round<'_>) -> Result<(), CrawlError> {
            self.1.pass(Duration::from_millis(200));
            Err(CrawlError::Index(crate::index::IndexError::Stalled))
        }
    }
    let small = Small::of(20);
    let (quick, log) = Worker::begin("quick", &small, vec![Duration::from_millis(10)]);
    let failing = Failing("other", Arc::clone(&small.clock));
    let mut pace = pace(0.1);
    pace.cycles.insert("other".to_owned(), Duration::from_secs(300));
    let status = small.run(vec![quick, Box::new(failing)], pace, Duration::from_secs(2_000));
    assert!(log.lock().cycles.len() >= 5, "{:?}", log.lock().cycles);
    assert_eq!(status[0].state.history.front().unwrap().hours, 20);
}
