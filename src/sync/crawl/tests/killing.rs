//! A process that is killed at every write to the index, in cycles of every visitor: the next one goes on, nothing is visited twice or
//! left out, and what was found adds up.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{carry, cycle_of, place};
use crate::archive::HourPlace;
use crate::disk::{Base, BaseGuard, BaseIdentity};
use crate::index::{Batch, Index, IndexOptions};
use crate::jobs::{Clock, Stop, TestClock};
use crate::sync::crawl::rounds::{Rounds, RoundsParts};
use crate::sync::crawl::{
    CensusVerifier, CrawlCounts, CrawlError, CrawlPace, Cycle, Keeper, Pacing, ReadAllowance, Reconcile, Round, Visitor,
};

const HOURS: usize = 20;
/// Lives that are tried at the same time: most of each is waiting for the disk.
const LANES: usize = 6;
const VISITORS: [&str; 3] = [Reconcile::NAME, "census", "recorder"];
const EIO: i32 = 5;
/// More failures than there are writes: a dead process writes nothing.
const ALL: i64 = i64::MAX / 2;

/// A clock by which everything takes a moment, so that slices end in the middle.
#[derive(Default)]
struct Ticking(TestClock);

impl Clock for Ticking {
    fn now(&self) -> Duration {
        self.0.pass(Duration::from_millis(3));
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn wait(&self, stop: &Stop, time: Duration) -> bool {
        self.0.wait(stop, time)
    }

    fn glance(&self) -> Duration {
        self.0.glance()
    }
}

/// Writes down where it is.
struct Recorder(Arc<Mutex<Vec<HourPlace>>>);

impl Visitor for Recorder {
    fn name(&self) -> &'static str {
        VISITORS[2]
    }

    fn visit(&self, round: &mut Round<'_>) -> Result<(), CrawlError> {
        while let Some(place) = round.hours().first().filter(|_| !round.is_over()) {
            self.0.lock().push(place.clone());
            round.done(&CrawlCounts::of("seen", 1));
        }
        Ok(())
    }
}

fn keeper(directory: &Path, index: &Arc<Index>) -> Arc<Keeper> {
    let guard = BaseGuard::new(Base::open(directory).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
    Arc::new(Keeper::new(Arc::clone(index), Arc::new(guard)))
}

/// An archive, and beside it an index that knows its hours and none of their files.
fn prepared() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("base");
    for number in 0..HOURS {
        let hour = base.join(place(number).path());
        fs::create_dir_all(&hour).unwrap();
        for second in 0..number % 3 {
            let name = format!("00:0{second}-1.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts");
            fs::write(hour.join(name), "x").unwrap();
        }
    }
    let path = directory.path().join("prepared.redb");
    let index = Arc::new(Index::open(&path, IndexOptions::default()).unwrap());
    keeper(&base, &index).reconcile_structure().unwrap();
    index.close();
    (directory, path)
}

/// A process that carries the visitors until their cycles are done, or until it is killed at the `n`-th write to its index. Says
/// whether it was, and where the recorder went.
fn live(base: &Path, path: &Path, n: Option<i64>) -> (bool, Vec<HourPlace>) {
    let options =
        IndexOptions { faults: Some(Arc::default()), retry_after: Duration::from_millis(5), ..IndexOptions::default() };
    let faults = options.faults.clone().unwrap();
    let index = Arc::new(Index::open(path, options).unwrap());
    let (stop, went) = (Stop::new(), Arc::default());
    let (clock, watched, ends) = (Arc::new(Ticking::default()), Arc::clone(&faults), stop.clone());
    clock.0.end_at(Duration::from_secs(1_000));
    let pace = CrawlPace {
        cpu_share: 0.5,
        slice: Duration::from_millis(60),
        adaptive: false,
        threads: 1,
        cycles: VISITORS.map(|name| (name.to_owned(), Duration::from_secs(100_000))).into(),
        reading: ReadAllowance::default(),
    };
    let keeper = keeper(base, &index);
    let (told, life) = (Arc::clone(&clock) as Arc<dyn Clock>, stop.clone());
    let rounds = Arc::new(Rounds::new(RoundsParts {
        keeper: Arc::clone(&keeper),
        visitors: vec![
            Box::new(Reconcile::new(Arc::clone(&keeper), 10)),
            Box::new(CensusVerifier::new(keeper)),
            Box::new(Recorder(Arc::clone(&went))),
        ],
        pacing: Pacing::new(pace),
        busy: Arc::default(),
        clock: clock as Arc<dyn Clock>,
        stop,
        is_ready: Box::new(move || {
            let lives = n.is_none() || watched.pending() == ALL;
            if !lives {
                ends.stop();
            }
            lives
        }),
    }));
    for name in VISITORS.iter().filter(|name| cycle_of(&index, name).cycle == 0) {
        rounds.request_cycle(name);
    }
    if let Some(n) = n {
        faults.arm(n, ALL, EIO);
    }
    carry(&rounds, told, &life);
    let was_killed = n.is_some() && faults.pending() != ALL;
    // Nothing that is written while it ends reaches the file of one that was killed.
    drop((rounds, index));
    let visited = std::mem::take(&mut *went.lock());
    (was_killed, visited)
}

fn cycles(path: &Path) -> Vec<Cycle> {
    let index = Index::open(path, IndexOptions::default()).unwrap();
    assert!(index.report().set_aside.is_none());
    let cycle = |name| {
        let state = cycle_of(&index, name);
        assert_eq!((state.cycle, state.is_running, state.history.len()), (1, false, 1), "{name}");
        let last = state.history[0].clone();
        Cycle { began_us: 0, ended_us: 0, worked_us: 0, ..last }
    };
    VISITORS.map(cycle).to_vec()
}

#[test]
fn a_kill_at_any_write_repeats_nothing_and_leaves_nothing_out() {
    let (directory, before) = prepared();
    let (base, path) = (directory.path().join("base"), directory.path().join("index.redb"));
    fs::copy(&before, &path).unwrap();
    let (_, way) = live(&base, &path, None);
    let whole = cycles(&path);
    assert_eq!(way.len(), HOURS);
    assert!(whole.iter().all(|cycle| cycle.hours == HOURS as u64), "{whole:?}");
    assert_eq!(whole[0].found.count(CrawlCounts::PUT), (0..HOURS as u64).map(|number| number % 3).sum::<u64>());
    let kills: usize = std::thread::scope(|scope| {
        let lane = |lane: usize| {
            let (base, before, way, whole) = (&base, &before, &way, &whole);
            let own = directory.path().join(format!("{lane}.redb"));
            scope.spawn(move || {
                (lane..).step_by(LANES).take_while(|n| is_survived(*n, base, before, &own, way, whole)).count()
            })
        };
        let lanes: Vec<_> = (0..LANES).map(lane).collect();
        lanes.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(kills > 50, "{kills} kills");
}

/// Kills one at the `n`-th write and has another go on; false if there are not so many writes.
fn is_survived(n: usize, base: &Path, before: &Path, path: &Path, way: &[HourPlace], whole: &[Cycle]) -> bool {
    fs::copy(before, path).unwrap();
    let (was_killed, first) = live(base, path, Some(i64::try_from(n).unwrap()));
    if !was_killed {
        return false;
    }
    let booked = {
        let index = Index::open(path, IndexOptions::default()).unwrap();
        let state = cycle_of(&index, VISITORS[2]);
        state.history.front().map_or(state.hours, |cycle| cycle.hours)
    };
    let (_, second) = live(base, path, None);
    let both: Vec<_> = first.into_iter().take(usize::try_from(booked).unwrap()).chain(second).collect();
    assert_eq!(both, way, "killed at write {n}");
    assert_eq!(cycles(path), whole, "killed at write {n}");
    true
}

#[test]
fn a_state_that_cannot_be_read_begins_a_fresh_cycle() {
    let (directory, before) = prepared();
    let (base, path) = (directory.path().join("base"), directory.path().join("index.redb"));
    for bytes in [&b""[..], b"{", b"\xff\x00", b"[1, 2]", b"{\"cycle\": \"seven\"}", b"{\"cycle\": -1}"] {
        fs::copy(&before, &path).unwrap();
        let index = Index::open(&path, IndexOptions::default()).unwrap();
        let visitors = VISITORS.map(|name| (name.to_owned(), bytes.to_vec())).to_vec();
        index.apply(Batch { visitors, ..Batch::default() }).unwrap();
        drop(index);
        let (_, way) = live(&base, &path, None);
        assert_eq!(way.len(), HOURS, "{bytes:?}");
        assert!(cycles(&path).iter().all(|cycle| cycle.hours == HOURS as u64));
    }
}
