//! Whether the clock of the machine can be believed: a pure judgement of what independent witnesses say about it.
//!
//! The clock is a suspect: whoever sets it wrong moves everything that is written by it, such as names of new segments. So it is held
//! against what does not move along: the time that has elapsed since it was last found right ([`Line`], by the monotonic clock of the
//! kernel), the kernel's own word, and the clocks of other nodes. No clock is read here.

use super::time::HOUR_US;
use super::{Span, Timestamp};

/// What the clock may be off within one boot. Time servers step a clock by some seconds at most once they are in step, and a
/// suspended machine is some seconds off when it wakes; deleting goes by hours.
const TOLERANCE: Span = Span::from_us(60 * super::time::SECOND_US);
/// And one in so many of the time that has elapsed: ten times what a bad quartz drifts, so that many small steps are no contradiction.
const DRIFT_ONE_IN: i64 = 1_000;
/// How long a machine may have been off before its clock needs another witness than itself: nobody measured that time.
const OFF: Span = Span::from_us(7 * 24 * HOUR_US);
/// What the clocks of two nodes may differ by. Wrong time zones differ by an hour at least, and deleting goes by hours.
const BETWEEN_NODES: Span = Span::from_us(HOUR_US / 2);

/// Where the time was when it was last found right, and how long this archive's node has lived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// By what the kernel tells one boot from another.
    pub boot: String,
    /// When the line was laid, in time since the boot.
    pub since: Span,
    /// What time it was then.
    pub start: Timestamp,
    /// When it was last advanced, in time since the boot.
    pub at: Span,
    /// What the node had lived by then: times that it was down within one boot count, what lies between two boots does not.
    pub lived: Span,
    /// Whether the clock was found right in this boot.
    pub is_settled: bool,
}

/// What the witnesses say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnesses {
    /// The suspect.
    pub wall: Timestamp,
    /// Time since the boot.
    pub boottime: Span,
    /// The kernel's clock, asked by another way than the suspect; nothing if it cannot be asked so.
    pub kernel: Option<Timestamp>,
    /// Whether the clock is synchronised, by who does that; nothing if nobody says.
    pub is_synchronised: Option<bool>,
    /// The clocks of other nodes as they go on since they answered.
    pub peers: Vec<PeerTime>,
}

/// What the clock of another node says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTime {
    /// Which node.
    pub name: String,
    /// Its clock.
    pub wall: Timestamp,
    /// Whether it is on this very machine, so that it cannot speak for the clock of this machine.
    pub is_local: bool,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The clock is right as far as anybody can tell.
    Agree,
    /// The same, and the line is to be laid anew at what it says.
    Settle,
    /// Nobody can tell whether it is right; for this reason.
    Unknown(String),
    /// It is wrong, or a witness is; who says what.
    Contradict(String),
}

impl Line {
    /// A line that begins now.
    pub const fn begin(boot: String, boottime: Span, wall: Timestamp, is_settled: bool) -> Self {
        Self { boot, since: boottime, start: wall, at: boottime, lived: Span::from_us(0), is_settled }
    }

    /// The time, by the line alone.
    pub fn now(&self, boottime: Span) -> Timestamp {
        self.start + (boottime - self.since).max(Span::from_us(0))
    }

    /// What the node has lived.
    pub fn lived(&self, boottime: Span) -> Span {
        self.lived + (boottime - self.at).max(Span::from_us(0))
    }

    /// The same line in the process that runs now. After another boot nobody knows how much time has passed.
    #[must_use]
    pub fn resume(self, boot: &str, boottime: Span) -> Self {
        if self.boot == boot && boottime >= self.at {
            return self;
        }
        let start = self.now(self.at);
        Self { boot: boot.to_owned(), since: boottime, start, at: boottime, lived: self.lived, is_settled: false }
    }

    /// Counts what was lived up to now.
    pub fn advance(&mut self, boottime: Span) {
        self.lived = self.lived(boottime);
        self.at = self.at.max(boottime);
    }

    /// Lays it anew.
    pub fn settle(&mut self, boottime: Span, wall: Timestamp) {
        self.advance(boottime);
        (self.since, self.start, self.is_settled) = (boottime, wall, true);
    }

    /// As text.
    pub fn text(&self) -> String {
        let Self { boot, since, start, at, lived, is_settled } = self;
        format!(
            "boot {boot}\nsince {}\nstart {}\nat {}\nlived {}\nsettled {is_settled}\n",
            since.us(),
            start.us(),
            at.us(),
            lived.us()
        )
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let boot = value("boot")?;
        let mut number = |name| value(name)?.parse::<i64>().ok();
        let (since, start, at, lived) = (number("since")?, number("start")?, number("at")?, number("lived")?);
        let is_settled = value("settled")?.parse().ok()?;
        let start = Timestamp::from_us(start);
        Some(Self {
            boot,
            since: Span::from_us(since),
            start,
            at: Span::from_us(at),
            lived: Span::from_us(lived),
            is_settled,
        })
    }
}

/// Judges the clock. A witness that contradicts outweighs all that agree.
pub fn judge(line: &Line, witnesses: &Witnesses) -> Verdict {
    let Witnesses { wall, boottime, kernel, is_synchronised, peers } = witnesses;
    let apart = |other: Timestamp| Span::from_us((*wall - other).us().saturating_abs());
    if let Some(kernel) = kernel.filter(|kernel| apart(*kernel) > TOLERANCE) {
        return Verdict::Contradict(format!("the clock says {wall}, and the kernel's own clock says {kernel}"));
    }
    let (agree, differ): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| apart(peer.wall) <= BETWEEN_NODES);
    let agreeing = agree.iter().filter(|peer| !peer.is_local).count();
    if differ.len() > agreeing {
        let others: Vec<String> =
            differ.iter().take(3).map(|peer| format!("{} says {}", peer.name, peer.wall)).collect();
        return Verdict::Contradict(format!("the clock says {wall}, but {}", others.join(", ")));
    }
    let (expected, confirmed) = (line.now(*boottime), *is_synchronised == Some(true) && agreeing > 0);
    if line.is_settled {
        let drift = Span::from_us((*boottime - line.since).us() / DRIFT_ONE_IN);
        if apart(expected) <= TOLERANCE + drift {
            return Verdict::Agree;
        }
        let why = || {
            format!("the clock says {wall}, but by the time that has elapsed since it was last right it is {expected}")
        };
        return if confirmed { Verdict::Settle } else { Verdict::Contradict(why()) };
    }
    if *wall + TOLERANCE < expected {
        let why = || format!("the clock says {wall}, but it was {expected} before this machine was started last");
        return if confirmed { Verdict::Settle } else { Verdict::Contradict(why()) };
    }
    if *wall <= expected + OFF || *is_synchronised == Some(true) || agreeing > 0 {
        return Verdict::Settle;
    }
    Verdict::Unknown(format!(
        "the clock says {wall}, it was {expected} before this machine was started last, and nobody else says what time it is"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * HOUR_US;
    const BEGIN: i64 = 1_600_000_000_000_000;

    fn line() -> Line {
        Line::begin("one".to_owned(), Span::from_us(100), Timestamp::from_us(BEGIN), true)
    }

    /// The clock is off by so much after so long.
    fn seen(elapsed: i64, off: i64) -> Witnesses {
        Witnesses {
            wall: Timestamp::from_us(BEGIN + elapsed + off),
            boottime: Span::from_us(100 + elapsed),
            kernel: None,
            is_synchronised: None,
            peers: Vec::new(),
        }
    }

    fn peer(elapsed: i64, is_local: bool) -> PeerTime {
        PeerTime { name: "b".to_owned(), wall: Timestamp::from_us(BEGIN + elapsed), is_local }
    }

    #[test]
    fn a_clock_that_jumps_within_a_boot_contradicts_what_has_elapsed() {
        for off in [40 * DAY, -40 * DAY, HOUR_US, 2 * TOLERANCE.us()] {
            assert!(matches!(judge(&line(), &seen(5_000_000, off)), Verdict::Contradict(_)), "{off}");
        }
        for (elapsed, off) in [(0, 0), (DAY, 59_000_000), (DAY, -59_000_000), (30 * DAY, 600_000_000)] {
            assert_eq!(judge(&line(), &seen(elapsed, off)), Verdict::Agree);
        }
    }

    #[test]
    fn a_restart_within_a_boot_changes_nothing_and_counts_as_lived() {
        let mut first = line();
        first.advance(Span::from_us(1_000_100));
        let again = Line::parse(&first.text()).unwrap().resume("one", Span::from_us(5_000_100));
        assert_eq!((again.lived(Span::from_us(5_000_100)), again.is_settled), (Span::from_us(5_000_000), true));
        assert_eq!(judge(&again, &seen(5_000_000, 0)), Verdict::Agree);
        assert!(matches!(judge(&again, &seen(5_000_000, 3_650 * DAY)), Verdict::Contradict(_)));
    }

    #[test]
    fn another_boot_adds_nothing_to_what_was_lived_and_may_not_go_back() {
        let mut first = line();
        first.advance(Span::from_us(100 + DAY));
        let again = first.resume("two", Span::from_us(5));
        assert_eq!((again.lived(Span::from_us(5)), again.is_settled), (Span::from_us(DAY), false));
        let at = |off: i64| Witnesses { boottime: Span::from_us(5), ..seen(0, DAY + off) };
        assert_eq!(judge(&again, &at(0)), Verdict::Settle);
        assert_eq!(judge(&again, &at(6 * DAY)), Verdict::Settle);
        assert!(matches!(judge(&again, &at(-HOUR_US)), Verdict::Contradict(_)));
        assert!(matches!(judge(&again, &at(3_650 * DAY)), Verdict::Unknown(_)));
        let kernel = Witnesses { is_synchronised: Some(true), ..at(30 * DAY) };
        assert_eq!(judge(&again, &kernel), Verdict::Settle);
        let by_peer = Witnesses { peers: vec![peer(31 * DAY, false)], ..at(30 * DAY) };
        assert_eq!(judge(&again, &by_peer), Verdict::Settle);
    }

    #[test]
    fn a_stepped_clock_needs_the_kernel_and_another_node() {
        let stepped = |is_synchronised, peers| Witnesses { is_synchronised, peers, ..seen(0, 90 * DAY) };
        assert_eq!(judge(&line(), &stepped(Some(true), vec![peer(90 * DAY, false)])), Verdict::Settle);
        for (synchronised, peers) in [
            (Some(true), Vec::new()),
            (None, vec![peer(90 * DAY, false)]),
            (Some(true), vec![peer(90 * DAY, true)]),
            (Some(true), vec![peer(0, false)]),
        ] {
            assert!(matches!(judge(&line(), &stepped(synchronised, peers)), Verdict::Contradict(_)));
        }
    }

    #[test]
    fn other_nodes_and_the_kernel_contradict_a_clock_that_goes_along_with_the_line() {
        let agreed = |peers| judge(&line(), &Witnesses { peers, ..seen(0, 0) });
        assert!(matches!(agreed(vec![peer(40 * DAY, true)]), Verdict::Contradict(_)));
        assert_eq!(agreed(vec![peer(40 * DAY, false), peer(0, false)]), Verdict::Agree, "one of two is wrong itself");
        let kernel = Some(Timestamp::from_us(BEGIN + DAY));
        assert!(matches!(judge(&line(), &Witnesses { kernel, ..seen(0, 0) }), Verdict::Contradict(_)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(since in 0..1_000_000_i64, lived in 0..i64::MAX / 4, is_settled: bool) {
            let line = Line { since: Span::from_us(since), lived: Span::from_us(lived), is_settled, ..line() };
            prop_assert_eq!(Line::parse(&line.text()), Some(line));
        }

        #[test]
        fn no_clock_makes_the_lived_time_grow(off in -1_000 * DAY..1_000 * DAY, elapsed in 0..DAY) {
            let mut one = line();
            let mut other = line();
            let seen = seen(elapsed, off);
            one.settle(seen.boottime, seen.wall);
            other.advance(seen.boottime);
            prop_assert_eq!(one.lived(seen.boottime), other.lived(seen.boottime));
        }
    }
}
