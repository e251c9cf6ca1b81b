//! Three nodes of real parts (index, disk, HTTP) through random histories of what operators, recorders, clocks, disks, peers and
//! limits do; after each step it is looked at what lies on the disks and what the nodes list. `docs/reliability.md` is about this.
//!
//! Reading order: `step` is the language and makes a history from a seed; `world` and `machine` are what it happens to, `happen` and `disks` how;
//! `truth` says what must be so; `converge` is the end of each history. `GAPLESS_SEED=N` plays one history and prints its steps,
//! `GAPLESS_WITHOUT=GUARD` takes a guard out of it; `GAPLESS_HISTORIES=N` plays more than usual.

mod clocks;
mod converge;
mod disks;
mod happen;
mod machine;
mod step;
mod street;
mod truth;
mod world;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use self::step::{Theme, history};
use self::street::{ModelLines, ModelNetwork};
use self::world::ModelWorld;
use crate::archive::guards::Guard;

/// Histories in the suite.
const HISTORIES: u64 = 500;
/// Histories about one guard that are played without it before it counts as not missed.
const MOST_STORIES: usize = 60;
/// Of so many histories one is played over connections, so that those stay tested; a prime, so that all kinds have their share.
const OVER_SOCKETS: u64 = 23;
/// Workers that play them.
const WORKERS: usize = 2;

struct Played {
    steps: usize,
    /// The step after which something was wrong, and what.
    wrong: Option<(String, Vec<String>)>,
}

/// What a worker keeps for its histories, each made when it is needed.
#[derive(Default)]
struct Networks {
    in_process: OnceCell<ModelNetwork>,
    sockets: OnceCell<ModelNetwork>,
}

impl Networks {
    /// That over which this history is played, whoever plays it.
    fn of(&self, seed: u64) -> &ModelNetwork {
        if seed.is_multiple_of(OVER_SOCKETS) {
            self.sockets.get_or_init(|| ModelNetwork::new(ModelLines::Sockets))
        } else {
            self.in_process.get_or_init(|| ModelNetwork::new(ModelLines::InProcess))
        }
    }
}

fn play(street: &ModelNetwork, seed: u64, guards_out: &[Guard], is_shown: bool) -> Played {
    let mut world = ModelWorld::new(street, seed, guards_out);
    let steps = history(seed);
    for (number, step) in steps.iter().enumerate() {
        world.step(step);
        if is_shown {
            println!("{number}: {step:?}\n    {}", world.told);
        }
        if !world.truth.violations.is_empty() {
            let violations = std::mem::take(&mut world.truth.violations);
            return Played { steps: number + 1, wrong: Some((format!("step {number}, {step:?}"), violations)) };
        }
    }
    world.converge();
    let violations = std::mem::take(&mut world.truth.violations);
    let wrong = (!violations.is_empty()).then(|| ("the end".to_owned(), violations));
    Played { steps: steps.len(), wrong }
}

/// Plays these seeds, by several workers; the answer is in their order.
fn play_all(seeds: &[u64], guards_out: &[Guard], until_caught: bool) -> BTreeMap<u64, Played> {
    let (next, done) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let networks = Networks::default();
                while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
                    let played = play(networks.of(*seed), *seed, guards_out, false);
                    let is_caught = played.wrong.is_some();
                    done.lock().insert(*seed, played);
                    if is_caught && until_caught {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    done.into_inner()
}

/// The first seeds whose story is about this guard.
fn about(guard: Guard, count: usize) -> Vec<u64> {
    (0..).filter(|seed| Theme::of(*seed).guard() == Some(guard)).take(count).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_history_loses_or_shows_what_it_must_not() {
    if let Some(seed) = number("GAPLESS_SEED") {
        let without = std::env::var("GAPLESS_WITHOUT").unwrap_or_default();
        let guards_out: Vec<Guard> = Guard::ALL.into_iter().filter(|guard| format!("{guard:?}") == without).collect();
        println!("seed {seed}, theme {:?}, without {guards_out:?}", Theme::of(seed));
        let played = play(Networks::default().of(seed), seed, &guards_out, true);
        assert_eq!(played.wrong, None);
        return;
    }
    let histories = number("GAPLESS_HISTORIES").unwrap_or(HISTORIES);
    let began = Instant::now();
    let seeds: Vec<u64> = (0..histories).collect();
    let played = play_all(&seeds, &[], false);
    let steps: usize = played.values().map(|played| played.steps).sum();
    println!("{histories} histories, {steps} steps, {:.1} s", began.elapsed().as_secs_f64());
    let wrong: Vec<_> = played.iter().filter_map(|(seed, played)| Some((seed, played.wrong.as_ref()?))).collect();
    for (seed, (at, violations)) in &wrong {
        println!("GAPLESS_SEED={seed}, theme {:?}, {at}: {}", Theme::of(**seed), violations.join("; "));
    }
    assert!(wrong.is_empty(), "{} of {histories} histories went wrong", wrong.len());
}

/// Plays the histories about each guard without it: until one is caught, or, with `GAPLESS_STORIES`, so many, for the figures of
/// `docs/reliability.md`.
#[test]
fn each_guard_taken_out_is_missed() {
    let stories = number("GAPLESS_STORIES").map(|stories| usize::try_from(stories).unwrap());
    println!("| guard taken out | caught in | of histories about it | first seed |\n|---|---|---|---|");
    let missed = |guard: Guard| {
        let played = play_all(&about(guard, stories.unwrap_or(MOST_STORIES)), &[guard], stories.is_none());
        let caught: Vec<_> = played.iter().filter(|(_, story)| story.wrong.is_some()).map(|(seed, _)| seed).collect();
        println!("| `{guard:?}` | {} | {} | {:?} |", caught.len(), played.len(), caught.first());
        !caught.is_empty()
    };
    let unnoticed: Vec<Guard> = Guard::ALL.into_iter().filter(|guard| !missed(*guard)).collect();
    assert!(unnoticed.is_empty() || stories.is_some_and(|stories| stories < MOST_STORIES), "{unnoticed:?}");
}
