//! Time as it is, and as each machine takes it to be.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::archive::clock::PeerTime;
use crate::archive::{Span, Timestamp};
use crate::jobs::{Clock, Stop};
use crate::lifecycle::clock::Clocks;

/// Microseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000_000;
pub(super) const DAY: i64 = 24 * HOUR;
/// When every history begins: 2024-06-10T12:30.
pub(super) const BEGIN: i64 = 1_718_022_600_000_000;

/// True time, the same for all.
#[derive(Debug, Default)]
pub(super) struct TrueTime(AtomicI64);

impl TrueTime {
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
pub(super) struct ModelClock {
    time: Arc<TrueTime>,
    number: u64,
    state: Mutex<State>,
    free: AtomicU64,
    /// The clocks of other machines, as far as this one hears of them.
    others: Mutex<Vec<(String, Weak<ModelClock>)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    ahead: i64,
    /// True time of the last boot.
    booted: i64,
    boots: u64,
}

impl ModelClock {
    pub(super) fn new(time: &Arc<TrueTime>, number: u64) -> Arc<Self> {
        let state = State { booted: time.now() - DAY, ..State::default() };
        let (state, free) = (Mutex::new(state), AtomicU64::new(1 << 40));
        Arc::new(Self { time: Arc::clone(time), number, state, free, others: Mutex::default() })
    }

    pub(super) fn hears(&self, others: Vec<(String, Weak<Self>)>) {
        *self.others.lock() = others;
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn wall(&self) -> i64 {
        self.time.now() + self.state().ahead
    }

    pub(super) fn ahead(&self) -> i64 {
        self.state().ahead
    }

    pub(super) fn set(&self, ahead: i64) {
        self.state.lock().ahead = ahead;
    }

    pub(super) fn reboot(&self) {
        let mut state = self.state.lock();
        (state.booted, state.boots) = (self.time.now(), state.boots + 1);
    }

    pub(super) fn free(&self) -> u64 {
        self.free.load(Ordering::SeqCst)
    }

    pub(super) fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::SeqCst);
    }

    /// What has passed since the machine was booted.
    pub(super) fn since_boot(&self) -> i64 {
        self.time.now() - self.state().booted
    }

    fn state(&self) -> State {
        *self.state.lock()
    }
}

impl Clock for ModelClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.since_boot().unsigned_abs())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(Self::wall(self).unsigned_abs())
    }

    fn wait(&self, stop: &Stop, _: Duration) -> bool {
        stop.is_stopped()
    }
}

impl Clocks for ModelClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_us(Self::wall(self))
    }

    fn boottime(&self) -> Span {
        Span::from_us(self.since_boot())
    }

    fn boot_id(&self) -> Option<String> {
        Some(format!("boot-{}-{}", self.number, self.state().boots))
    }

    fn peers(&self) -> Vec<PeerTime> {
        let others = self.others.lock();
        let heard = others.iter().filter_map(|(name, other)| Some((name.clone(), other.upgrade()?)));
        let said = |(name, other): (String, Arc<Self>)| PeerTime {
            name,
            wall: Timestamp::from_us(Self::wall(&other)),
            is_local: false,
        };
        heard.map(said).collect()
    }
}
