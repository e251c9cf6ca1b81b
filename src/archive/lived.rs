//! Time that this node has lived: the machine's clock since its start, added up over restarts. What passes between two starts of the
//! machine is not counted, and no clock that is set makes it longer. Reads no clock itself.

use std::fmt;

/// Seconds that were lived, and by which clock that was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LivedTime {
    seconds: u64,
    /// A boot of the machine, and the seconds since it.
    clock: Option<(String, u64)>,
}

impl LivedTime {
    /// So many seconds have passed since the machine was started this time. Of an earlier time nothing is known to have passed.
    pub fn pass(&mut self, boot: &str, uptime_s: u64) {
        if let Some((known, before)) = &self.clock
            && known == boot
        {
            self.seconds = self.seconds.saturating_add(uptime_s.saturating_sub(*before));
        }
        self.clock = Some((boot.to_owned(), uptime_s));
    }

    /// It cannot be less than this.
    pub fn at_least(&mut self, seconds: u64) {
        self.seconds = self.seconds.max(seconds);
    }

    /// How much.
    pub const fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Whether both were told by the same boot.
    pub fn is_of_boot_of(&self, other: &Self) -> bool {
        let boot = |lived: &Self| lived.clock.as_ref().map(|(boot, _)| boot.clone());
        boot(self) == boot(other)
    }

    /// The inverse of how it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let seconds = words.next()?.parse().ok()?;
        let clock = match (words.next(), words.next()) {
            (Some(uptime_s), Some(boot)) => Some((boot.to_owned(), uptime_s.parse().ok()?)),
            (None, _) => None,
            _ => return None,
        };
        Some(Self { seconds, clock })
    }
}

impl fmt::Display for LivedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match &self.clock {
            Some((boot, uptime_s)) => write!(f, " {uptime_s} {boot}"),
            None => Ok(()),
        }
    }
}
