//! The same with each of many, by several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many hours are read by several threads: fewer are read before threads have begun.
const MANY_HOURS: usize = 6;

/// More threads would only take processors from other questions.
const MOST_THREADS: usize = 4;

/// Does the same with each, in order; by several threads where there are many. `None` if a thread has died.
pub(super) fn by_threads<I: Sync, T: Send>(all: &[I], work: impl Fn(&I) -> T + Sync) -> Option<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS);
    if all.len() < MANY_HOURS || threads == 1 {
        return Some(all.iter().map(work).collect());
    }
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let turns = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        turns.map_while(|at| Some((at, work(all.get(at)?)))).collect::<Vec<(usize, T)>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(take_turns)).collect();
        let mut done = Vec::with_capacity(all.len());
        for part in running {
            done.extend(part.join().ok()?);
        }
        done.sort_unstable_by_key(|(at, _)| *at);
        Some(done.into_iter().map(|(_, each)| each).collect())
    })
}
