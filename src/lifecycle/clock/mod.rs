//! The time, from witnesses: what the clock of the machine is held against before anything is deleted. Whoever sets the clock moves
//! neither the time since the boot nor the clocks of other machines; [`Clocks::kernel`] moves along, and only catches a library that
//! is preloaded to lie about the time.
//!
//! What follows from what they say is judged by [`crate::archive::clock`]. The line of time is kept on the disk ([`ClockTimeline`]), so
//! that a restart does not begin with whatever the clock says then. Nothing is deleted here, and no clock is set.

mod timeline;

use std::path::Path;
use std::time::SystemTime;

use rustix::time::{ClockId, Timespec, clock_gettime};

pub use timeline::{ClockTimeline, TIME};

use crate::archive::clock::PeerTime;
use crate::archive::{Span, Timestamp};
use crate::replicate::peer::Dates;

/// Made by systemd-timesyncd when it has set the clock in this boot, and by others that take its place.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub trait Clocks: Send + Sync {
    /// What the machine says it is; may jump.
    fn wall(&self) -> Timestamp;

    /// Time since the boot, suspended time included; never jumps.
    fn boottime(&self) -> Span;

    /// Distinguishes this boot from others; nothing if that is not known.
    fn boot_id(&self) -> Option<String>;

    /// The same clock asked in another way, so it moves with it; nothing where there is no other way.
    fn kernel(&self) -> Option<Timestamp> {
        None
    }

    /// Whether the clock has been synchronised in this boot, which somebody may have set since; nothing if nobody says.
    fn is_synchronised(&self) -> Option<bool> {
        None
    }

    /// The clocks of other nodes, by their last answers.
    fn peers(&self) -> Vec<PeerTime> {
        Vec::new()
    }
}

#[derive(Debug, Default)]
pub struct SystemClocks {
    dates: Dates,
}

impl SystemClocks {
    pub const fn new(dates: Dates) -> Self {
        Self { dates }
    }
}

impl Clocks for SystemClocks {
    fn wall(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn boottime(&self) -> Span {
        Span::from_us(micros(clock_gettime(ClockId::Boottime)))
    }

    fn boot_id(&self) -> Option<String> {
        let id = std::fs::read_to_string(BOOT_ID).ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// Asked without the C library, which a preloaded library may have taught another time.
    fn kernel(&self) -> Option<Timestamp> {
        Some(Timestamp::from_us(micros(clock_gettime(ClockId::Realtime))).min(Timestamp::MAX))
    }

    /// No crate asks the kernel for this by a safe interface, so systemd-timesyncd is believed; where another program keeps the
    /// clock nobody says.
    fn is_synchronised(&self) -> Option<bool> {
        let path = Path::new(SYNCHRONISED);
        if path.exists() { Some(true) } else { path.parent().is_some_and(Path::exists).then_some(false) }
    }

    fn peers(&self) -> Vec<PeerTime> {
        self.dates.now()
    }
}

fn micros(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

#[cfg(test)]
pub mod test_clocks {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Debug, Clone)]
    pub struct ClockReading {
        pub wall: Timestamp,
        pub boottime: Span,
        pub boot: String,
        pub is_synchronised: Option<bool>,
        pub peers: Vec<PeerTime>,
    }

    #[derive(Debug)]
    pub struct TestClocks(Mutex<ClockReading>);

    impl TestClocks {
        pub fn at(wall: &str) -> Self {
            let wall = Timestamp::parse(wall).unwrap();
            let boottime = Span::from_us(1_000_000_000);
            Self(Mutex::new(ClockReading {
                wall,
                boottime,
                boot: "first".to_owned(),
                is_synchronised: None,
                peers: Vec::new(),
            }))
        }

        pub fn set(&self, change: impl FnOnce(&mut ClockReading)) {
            change(&mut self.0.lock());
        }

        pub fn pass(&self, time: Span) {
            self.set(|said| (said.wall, said.boottime) = (said.wall + time, said.boottime + time));
        }

        fn said(&self) -> ClockReading {
            self.0.lock().clone()
        }
    }

    impl Clocks for TestClocks {
        fn wall(&self) -> Timestamp {
            self.said().wall
        }

        fn boottime(&self) -> Span {
            self.said().boottime
        }

        fn boot_id(&self) -> Option<String> {
            Some(self.said().boot)
        }

        fn is_synchronised(&self) -> Option<bool> {
            self.said().is_synchronised
        }

        fn peers(&self) -> Vec<PeerTime> {
            self.said().peers
        }
    }
}
