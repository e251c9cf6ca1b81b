//! Placement under the simulator: nodes that are decided for by the program's own machine live through random histories.
#![cfg(test)]
#![expect(clippy::shadow_unrelated, reason = "a story goes on with its next node or hour under the same name")]

mod accidents;
mod calm;
mod history;
mod layouts;
mod ledger;
mod node;
mod stories;
mod world;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use history::History;
use world::Mutant;

fn of_environment(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn play(seed: u64, mutant: Mutant, is_told: bool) -> (Result<(), String>, usize) {
    let mut history = History::new(seed, mutant, is_told);
    let result = calm::play(&mut history);
    (result, history.ledger.left)
}

/// Plays histories on all processors until one goes wrong: the first one that did, by its seed, and how many hours left nodes.
fn first_wrong(from: u64, histories: u64, mutant: Mutant) -> (Option<(u64, String)>, usize) {
    let (next, wrong_from, left) = (AtomicU64::new(from), AtomicU64::new(u64::MAX), AtomicUsize::new(0));
    let wrong = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + histories || seed > wrong_from.load(Ordering::Relaxed) {
                        break;
                    }
                    let (result, hours) = play(seed, mutant, false);
                    left.fetch_add(hours, Ordering::Relaxed);
                    if let Err(what) = result {
                        wrong_from.fetch_min(seed, Ordering::Relaxed);
                        wrong.lock().unwrap().push((seed, what));
                    }
                }
            });
        }
    });
    let first = wrong.into_inner().unwrap().into_iter().min();
    (first, left.into_inner())
}

#[test]
fn no_history_loses_copies_breaks_a_promise_or_leaves_a_handoff() {
    let without = std::env::var("GAPLESS_WITHOUT").ok();
    let mutant = match &without {
        Some(name) => {
            Mutant::all().into_iter().find(|mutant| mutant.name() == *name).expect("the name of a rule or a fault")
        }
        None => Mutant::None,
    };
    if let Some(seed) = of_environment("GAPLESS_SEED") {
        let (result, _) = play(seed, mutant, true);
        return result.unwrap();
    }
    let histories = of_environment("GAPLESS_HISTORIES").unwrap_or(10_000);
    let begun = std::time::Instant::now();
    let (wrong, left) = first_wrong(0, histories, mutant);
    println!("{histories} histories in {:.1} s; {left} hours left a node", begun.elapsed().as_secs_f32());
    if let Some((seed, what)) = wrong {
        panic!("{what}\nGAPLESS_SEED={seed} cargo test --test placement no_history -- --nocapture plays it again");
    }
    assert!(left as u64 > histories / 10, "too little happens: only {left} hours left a node");
}

#[test]
fn without_any_one_rule_something_goes_wrong() {
    let histories = 10_000;
    let mut unseen = Vec::new();
    for mutant in Mutant::all() {
        match first_wrong(0, histories, mutant).0 {
            Some((seed, what)) => println!("| `{}` | {} | {} |", mutant.name(), what, seed + 1),
            None => unseen.push(mutant.name()),
        }
    }
    assert!(unseen.is_empty(), "nothing went wrong in {histories} histories without {unseen:?}");
}
