//! Time as it is, and as each machine takes it to be.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Microseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000_000;
/// And of a day.
pub(super) const DAY: i64 = 24 * HOUR;
/// When every history begins: 2024-06-10T12:30.
pub(super) const BEGIN: i64 = 1_718_022_600_000_000;

/// True time, the same for all.
#[derive(Debug, Default)]
pub(super) struct Time(AtomicI64);

impl Time {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(BEGIN)))
    }

    pub(super) fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn pass(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }
}

/// What one machine knows of time, and how much room there is on its disk.
#[derive(Debug)]
pub(super) struct Wrist {
    time: Arc<Time>,
    number: u64,
    state: Mutex<State>,
    free: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How far the clock is ahead.
    ahead: i64,
    /// True time of the last boot.
    booted: i64,
    boots: u64,
}

impl Wrist {
    pub(super) fn new(time: &Arc<Time>, number: u64) -> Arc<Self> {
        let state = State { booted: time.now() - DAY, ..State::default() };
        let (state, free) = (Mutex::new(state), AtomicU64::new(1 << 40));
        Arc::new(Self { time: Arc::clone(time), number, state, free })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What the clock shows.
    pub(super) fn wall(&self) -> i64 {
        self.time.now() + self.state().ahead
    }

    /// Sets the clock.
    pub(super) fn set(&self, ahead: i64) {
        self.lock().ahead = ahead;
    }

    pub(super) fn reboot(&self) {
        let mut state = self.lock();
        (state.booted, state.boots) = (self.time.now(), state.boots + 1);
    }

    pub(super) fn free(&self) -> u64 {
        self.free.load(Ordering::SeqCst)
    }

    pub(super) fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::SeqCst);
    }

    fn state(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
