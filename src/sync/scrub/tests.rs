//! The scrub over a real archive in a temporary directory: what it does with what it cannot look at, and what it counts.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::{
    Control, CycleId, DamageOutcome, Scrub, ScrubEvent, ScrubFinding, ScrubLimits, ScrubObserver, ScrubOptions,
    ScrubVisitor, Structure,
};
use crate::archive::{Hash, HourPlace, LARGEST_FILE};
use crate::disk::{Base, BaseGuard, BaseIdentity, PIECE};
use crate::index::{Index, IndexOptions};
use crate::jobs::{Clock, Job as _, JobRegistry, NodeEvents, Stop, TestClock};
use crate::sync::crawl::{CensusVerifier, Crawl, CrawlPace, Keeper, ReadAllowance, Visitor, bring_into_line};

const HOUR: &str = "a/source/2020-01-01T05";
const DAY: Duration = Duration::from_secs(86_400);

struct Archive {
    directory: tempfile::TempDir,
    keeper: Arc<Keeper>,
    scrub: Scrub,
}

fn place(path: &str) -> HourPlace {
    HourPlace::parse(path).unwrap()
}

fn name(second: u32, content: &[u8]) -> String {
    format!("{:02}:{:02}-1.0-full-{}.ts", second / 60, second % 60, Hash(Sha256::digest(content).into()))
}

#[derive(Default)]
struct Listening {
    failed: Mutex<Vec<String>>,
    panics_at: Option<u32>,
}

impl ScrubObserver for Listening {
    fn begin(&self, _files: u64, _bytes: u64) {}

    fn advance(&self, _files: u64, _bytes: u64) {
        let is_other = std::thread::current().name().is_none();
        assert!(self.panics_at.is_none() || !is_other, "as it is told to");
    }

    fn found(&self, _finding: &ScrubFinding) {}

    fn failed(&self, path: &str, error: &str) {
        self.failed.lock().push(format!("{path}: {error}"));
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

#[derive(Debug, Default)]
struct Remembering(Vec<(String, ScrubEvent)>);

impl Control for Remembering {
    fn read(&mut self, _bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn done(&mut self, name: &str, seen: ScrubEvent) -> ControlFlow<()> {
        self.0.push((name.to_owned(), seen));
        ControlFlow::Continue(())
    }
}

impl Remembering {
    fn outcomes(&self) -> Vec<DamageOutcome> {
        let damaged = self
            .0
            .iter()
            .filter_map(|(_, seen)| if let ScrubEvent::Damaged(found) = seen { Some(found) } else { None });
        damaged.map(|found| found.outcome.clone()).collect()
    }

    fn moved(&self) -> usize {
        self.outcomes().iter().filter(|outcome| matches!(outcome, DamageOutcome::Quarantined(_))).count()
    }
}

impl Archive {
    fn new(files: impl IntoIterator<Item = (&'static str, String, Vec<u8>)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (hour, name, content) in files {
            let hour = directory.path().join(hour);
            fs::create_dir_all(&hour).unwrap();
            fs::write(hour.join(name), content).unwrap();
        }
        let base = Base::open(directory.path()).unwrap();
        let guard = Arc::new(BaseGuard::new(base, BaseIdentity::Unmarked { channels: Vec::new() }));
        let index = Arc::new(Index::in_memory(IndexOptions::default()).unwrap());
        let keeper = Arc::new(Keeper::new(index, guard).doubt_above(20));
        keeper.reconcile_structure().unwrap();
        keeper.begin_comparing();
        let archive = Self { scrub: scrub(&keeper), directory, keeper };
        archive.compare();
        archive
    }

    /// So many files of an hour, the first ones of them damaged.
    fn with(files: u32, damaged: u32) -> Self {
        Self::new((0..files).map(|second| {
            let name = name(second, second.to_string().as_bytes());
            (HOUR, name, if second < damaged { vec![1; 9] } else { second.to_string().into_bytes() })
        }))
    }

    fn places(&self) -> Vec<HourPlace> {
        self.keeper.places(&[]).unwrap()
    }

    fn compare(&self) {
        bring_into_line(&self.keeper, &self.places()).unwrap();
    }

    fn quarantined(&self, name: &str) -> PathBuf {
        self.directory.path().join(".gapless/quarantine").join(HOUR).join(name)
    }

    fn hour(&self, after: Option<&str>, cycle: Option<&CycleId>) -> Remembering {
        let mut told = Remembering::default();
        assert!(self.scrub.hour(&place(HOUR), after, cycle, ScrubLimits::CAREFUL, &mut told).unwrap());
        told
    }
}

fn scrub(keeper: &Arc<Keeper>) -> Scrub {
    let options = ScrubOptions { structure: Structure::Quarantine, keep: DAY };
    Scrub::new(Arc::clone(keeper), options, Arc::default(), NodeEvents::default())
}

#[test]
fn hours_that_wait_for_a_word_are_told_and_the_others_are_read() {
    let hours = ["a/source/2020-01-01T05", "a/source/2020-01-01T06", "b/source/2020-01-01T05"];
    let files = hours.into_iter().flat_map(|hour| (0..30).map(move |second| (hour, name(second, b"x"), b"x".to_vec())));
    let archive = Archive::new(files);
    let hour_of_a = archive.directory.path().join(hours[1]);
    for entry in hours[..2].iter().flat_map(|hour| fs::read_dir(archive.directory.path().join(hour)).unwrap()) {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(hour_of_a.join("x"), "").unwrap();
    let keeper = &archive.keeper;
    keeper.begin_comparing();
    let told = Listening::default();
    drop(bring_into_line(keeper, &archive.places()));
    let summary = archive.scrub.run(&archive.places(), ScrubLimits::CAREFUL, 1, &told).unwrap();
    assert!(!keeper.doubts().is_empty());
    assert!(summary.errors > 0 && summary.files == 30, "{summary:?}");
    assert!(told.failed.lock().iter().all(|failed| failed.starts_with("a/source/")));
}

#[test]
fn a_thread_that_ends_badly_is_no_clean_scrub() {
    let hours = ["a/source/2020-01-01T05", "a/source/2020-01-01T06"];
    let archive = Archive::new(hours.map(|hour| (hour, name(0, b"x"), b"x".to_vec())));
    let told = Listening { panics_at: Some(0), ..Listening::default() };
    // Whoever is first takes the hours: with the own thread's turn last.
    let places: Vec<HourPlace> = std::iter::repeat_n(archive.places(), 2_000).flatten().collect();
    let error = archive.scrub.run(&places, ScrubLimits::CAREFUL, 2, &told).unwrap_err();
    assert!(error.to_string().contains("crashed"), "{error}");
}

#[test]
fn a_fifth_is_one_of_the_whole_hour_wherever_a_slice_begins() {
    // The damage lies in the second half; what is before was checked in an earlier slice.
    let (files, damaged) = (100_u32, 15);
    let archive = Archive::new((0..files).map(|second| {
        let content = if second < files - damaged { second.to_string().into_bytes() } else { vec![1; 9] };
        (HOUR, name(second, second.to_string().as_bytes()), content)
    }));
    let after = name(files - damaged - 1, (files - damaged - 1).to_string().as_bytes());
    let outcomes = archive.hour(Some(&after), Some(&cycle("x"))).outcomes();
    assert_eq!(outcomes.len(), 15);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, DamageOutcome::Quarantined(_))), "{outcomes:?}");
    // And what was moved belongs to the hour when it is gone on with.
    assert_eq!(Archive::with(60, 30).hour(None, Some(&cycle("x"))).moved(), 12);
}

fn cycle(began: &str) -> CycleId {
    CycleId { number: 1, began: began.to_owned() }
}

#[test]
fn a_cycle_is_told_from_another_whatever_the_clock_says() {
    let archive = Archive::with(3, 1);
    let first = cycle("2999-01-01T00:00:00.000000Z");
    assert_eq!(archive.hour(None, Some(&first)).moved(), 1);
    let before = |cycle: &CycleId| {
        let seen = archive.hour(None, Some(cycle)).0;
        seen.iter().filter(|(_, seen)| matches!(seen, ScrubEvent::MovedBefore { .. })).count()
    };
    assert_eq!(before(&first), 1, "nothing was booked of it");
    assert_eq!(before(&cycle("2001-01-01T00:00:00.000000Z")), 0, "an index that began anew counts from one again");
}

#[test]
fn what_a_kill_has_left_in_both_places_is_checked_again_and_counted_once() {
    let archive = Archive::with(3, 1);
    let damaged = name(0, b"0");
    let lies = archive.directory.path().join(HOUR).join(&damaged);
    let begun = cycle("x");
    assert_eq!(archive.hour(None, Some(&begun)).moved(), 1);
    fs::hard_link(archive.quarantined(&damaged), &lies).unwrap();
    archive.keeper.follow(&place(HOUR)).unwrap();
    let again = archive.hour(None, Some(&begun));
    assert_eq!((again.0.len(), again.moved()), (3, 1), "{again:?}");
    assert!(!lies.exists() && archive.quarantined(&damaged).exists());
    // Here again with the right bytes: the move is still to be booked.
    fs::write(&lies, b"0").unwrap();
    archive.keeper.follow(&place(HOUR)).unwrap();
    let healed = archive.hour(None, Some(&begun));
    assert_eq!(healed.0[0], (damaged, ScrubEvent::MovedBefore { bytes: 9 }));
    assert!(lies.exists());
}

#[test]
fn one_report_or_directory_that_cannot_be_read_spares_the_rest() {
    let archive = Archive::with(3, 2);
    assert_eq!(archive.hour(None, None).moved(), 2);
    let (first, second) = (name(0, b"0"), name(1, b"1"));
    fs::write(archive.quarantined(&format!("{first}.json")), "torn").unwrap();
    fs::remove_file(archive.quarantined(&format!("{second}.json"))).unwrap();
    let channel = archive.directory.path().join(".gapless/quarantine/a");
    fs::create_dir_all(channel.join("480p/2020-01-01T05")).unwrap();
    let again = scrub(&archive.keeper);
    let list = again.list().unwrap();
    assert_eq!((list.count, list.lost), (2, 2));
    assert!(list.files.iter().all(|file| file.report.path.starts_with(HOUR) && !file.report.faults.is_empty()));
    // Nobody knows what they are, so that they stay.
    let (far, begun) = (i64::MAX, Instant::now());
    for days in [0, 2, 4] {
        assert_eq!(again.expire_at(far, begun + days * DAY).unwrap(), (0, 0));
    }
    assert_eq!(again.list().unwrap().count, 2);
}

#[test]
fn a_clock_that_is_ahead_for_a_while_deletes_nothing() {
    let archive = Archive::with(3, 1);
    let scrub = &archive.scrub;
    assert_eq!(archive.hour(None, None).moved(), 1);
    let (right, begun) = (super::work::now_ns(), Instant::now());
    let ahead = right + 40 * i64::try_from(DAY.as_nanos()).unwrap();
    assert_eq!(scrub.expire_at(ahead, begun).unwrap(), (0, 0));
    assert_eq!(scrub.expire_at(ahead, begun + DAY / 2).unwrap(), (0, 0));
    assert_eq!(scrub.expire_at(right, begun + DAY).unwrap(), (0, 0));
    assert_eq!(scrub.expire_at(ahead, begun + 2 * DAY).unwrap(), (0, 0), "it is counted from here on again");
    assert_eq!(scrub.expire_at(ahead, begun + 3 * DAY).unwrap(), (1, 9));
    assert_eq!(scrub.list().unwrap().count, 0);
}

#[test]
fn what_is_here_again_is_kept_from_then_on() {
    let archive = Archive::with(3, 1);
    assert_eq!(archive.hour(None, None).moved(), 1);
    let before = archive.scrub.quarantine().of_hour(&place(HOUR))[0].1.reported_ns;
    fs::write(archive.directory.path().join(HOUR).join(name(0, b"0")), b"0").unwrap();
    archive.keeper.follow(&place(HOUR)).unwrap();
    assert_eq!(archive.scrub.heal().unwrap(), 1);
    let healed = &archive.scrub.quarantine().of_hour(&place(HOUR))[0].1;
    assert!(healed.reported_ns > before && !healed.is_lost());
}

#[test]
fn no_name_is_said_to_be_fine_before_the_quarantine_was_read() {
    let archive = Archive::with(3, 0);
    let again = scrub(&archive.keeper);
    assert_eq!(again.quarantine().is_bad_name(&place(HOUR), "x"), None);
    again.prepare().unwrap();
    assert_eq!(again.quarantine().is_bad_name(&place(HOUR), "x"), Some(false));
    again.quarantine().forget();
    assert_eq!(again.quarantine().is_bad_name(&place(HOUR), "x"), None);
}

#[test]
fn what_is_moved_while_it_is_read_is_not_forgotten() {
    let archive = Archive::with(60, 12);
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| archive.hour(None, None).moved());
        while !moving.is_finished() {
            archive.scrub.look_again();
        }
        assert_eq!(moving.join().unwrap(), 12);
    });
    let known = archive.scrub.list().unwrap();
    assert_eq!((known.count, &known), (12, &scrub(&archive.keeper).list().unwrap()));
    assert!(known.files.iter().all(|file| file.report.problem == "hash"), "no report was tidied away");
}

#[test]
fn a_large_file_keeps_the_pace_and_lets_other_visitors_have_their_turns() {
    const PIECES: u32 = 40;
    let content = vec![1; PIECE * PIECES as usize];
    let archive = Archive::new([(HOUR, name(0, &content), content)]);
    let (clock, stop, keeper) = (Arc::new(TestClock::default()), Stop::new(), &archive.keeper);
    let visitors: Vec<Box<dyn Visitor>> =
        vec![Box::new(ScrubVisitor::new(Arc::new(scrub(keeper)))), Box::new(CensusVerifier::new(Arc::clone(keeper)))];
    let second = Duration::from_secs(1);
    let pace = CrawlPace {
        cpu_share: 1.0,
        slice: second,
        adaptive: false,
        threads: 1,
        cycles: [("scrub", DAY), ("census", second)].map(|(name, time)| (name.to_owned(), time)).into(),
        reading: ReadAllowance { bytes_per_second: Some(PIECE as u64), files_per_second: None },
    };
    let running = Arc::clone(&clock) as Arc<dyn Clock>;
    let board = Arc::new(JobRegistry::new(Arc::clone(&running)));
    let crawl = Arc::new(Crawl::new(Arc::clone(keeper), visitors, pace, Arc::default(), running, stop.clone()));
    let (mut catching_up, mut carry) = crawl.jobs();
    let handle = board.register("catch-up", None, DAY);
    while !crawl.is_ready() {
        catching_up.step(&handle).unwrap();
    }
    crawl.request_cycle("scrub");
    let (began, crawling) = (clock.now(), board.register("crawl", None, DAY));
    let of = |name: &str| crawl.status().visitors.into_iter().find(|visitor| visitor.name == name).unwrap().state;
    let mut is_shown = false;
    carry.step(&crawling).unwrap();
    while of("scrub").is_running {
        clock.wait(&stop, second);
        carry.step(&crawling).unwrap();
        is_shown |=
            board.jobs().iter().any(|job| job.doing.ends_with(&format!(" of {} bytes", PIECE * PIECES as usize)));
        assert!(clock.now() < began + second * 3 * PIECES, "what was read is not read again in each turn");
    }
    let took = clock.now().checked_sub(began).unwrap();
    assert!(took > second * (PIECES - 3), "{took:?}: a piece is a second's worth");
    assert!(of("census").cycle >= 10, "{:?}: it is no visitor's turn alone", of("census"));
    assert!(is_shown, "how far it is with the file is told meanwhile");
    let found = &of("scrub").history[0].found;
    assert_eq!((found.count("files"), found.count("bytes")), (1, u64::from(PIECES) * PIECE as u64));
}

#[test]
fn a_file_that_is_larger_than_any_segment_may_be_is_told_and_not_read() {
    let archive = Archive::with(1, 0);
    let path = archive.directory.path().join(HOUR).join(name(9, b"sparse"));
    fs::File::create(&path).unwrap().set_len(LARGEST_FILE * 4_000).unwrap();
    archive.compare();
    let told = archive.hour(None, None);
    let [outcome] = &told.outcomes()[..] else { panic!("{told:?}") };
    assert_eq!(*outcome, DamageOutcome::Reported);
    assert!(path.exists(), "nobody has read it, so that nobody knows what it is");
    let found =
        told.0.iter().find_map(|(_, seen)| if let ScrubEvent::Damaged(found) = seen { Some(found) } else { None });
    assert_eq!(found.map(|found| found.problem), Some("too-large"));
}

#[test]
fn what_stays_although_it_is_odd_is_flagged_until_it_is_gone_also_after_a_restart() {
    let archive = Archive::with(1, 0);
    let odd = name(9, b"sparse");
    let path = archive.directory.path().join(HOUR).join(&odd);
    fs::File::create(&path).unwrap().set_len(LARGEST_FILE * 4_000).unwrap();
    archive.compare();
    archive.hour(None, None);
    let flagged = |scrub: &Scrub| scrub.list_flagged().unwrap().files.into_iter().map(|file| (file.path, file.problem));
    let expected = vec![(format!("{HOUR}/{odd}"), "too-large".to_owned())];
    assert_eq!(flagged(&archive.scrub).collect::<Vec<_>>(), expected);
    let again = scrub(&archive.keeper);
    assert_eq!(flagged(&again).collect::<Vec<_>>(), expected, "after a restart");
    fs::remove_file(&path).unwrap();
    archive.compare();
    again.tidy_flags().unwrap();
    assert_eq!(flagged(&again).count(), 0);
    assert_eq!(flagged(&scrub(&archive.keeper)).count(), 0, "and on the disk");
}

#[test]
fn what_was_still_being_written_when_it_was_put_aside_goes_back_when_it_is_whole() {
    let archive = Archive::with(3, 1);
    let written = name(0, b"0");
    let lies = archive.directory.path().join(HOUR).join(&written);
    assert_eq!(archive.hour(None, None).moved(), 1);
    assert_eq!(archive.scrub.rescue().unwrap(), 0, "it is as bad as before");
    // Who has it open goes on writing where it lies now.
    std::thread::sleep(Duration::from_millis(20));
    fs::write(archive.quarantined(&written), b"0").unwrap();
    assert_eq!(archive.scrub.rescue().unwrap(), 1);
    assert!(lies.exists() && !archive.quarantined(&written).exists());
    assert_eq!(archive.hour(None, None).moved(), 0);
}

#[test]
fn nothing_that_is_what_its_name_says_is_deleted_from_the_quarantine_for_its_age() {
    let archive = Archive::with(3, 1);
    let written = name(0, b"0");
    assert_eq!(archive.hour(None, None).moved(), 1);
    let begun = Instant::now();
    let far = super::work::now_ns() + 40 * i64::try_from(DAY.as_nanos()).unwrap();
    fs::write(archive.quarantined(&written), b"0").unwrap();
    assert_eq!(archive.scrub.expire_at(far, begun).unwrap(), (0, 0));
    assert_eq!(archive.scrub.expire_at(far, begun + 2 * DAY).unwrap(), (0, 0));
    assert_eq!(fs::read(archive.directory.path().join(HOUR).join(&written)).unwrap(), b"0");
}
