//! Whether the clock of the machine can be believed: a pure judgement of what independent witnesses say about it.
//!
//! The clock is a suspect: whoever sets it wrong moves everything that is written by it, such as names of new segments. So it is held
//! against what does not move along: the time that has elapsed since it was last found right ([`TimeMark`], by the monotonic clock of the
//! kernel), and the clocks of other machines. The kernel's own clock does move along, and catches only a program that is lied to about
//! it. That the clock has been synchronised proves nothing alone: somebody may have set it since. No clock is read here.

use super::time::HOUR_US;
use super::{Span, Timestamp};

/// What the clock may be off within one boot. Time servers step a clock by some seconds at most once they are in step, and a
/// suspended machine is some seconds off when it wakes; deleting goes by hours.
const TOLERANCE: Span = Span::from_us(60 * super::time::SECOND_US);
/// And one in so many of the time that has elapsed: ten times what a bad quartz drifts, so that many small steps are no contradiction.
const DRIFT_ONE_IN: i64 = 1_000;
/// How long a machine may have been off, over all boots since another machine last agreed, before its clock needs one: nobody measured
/// that time, and a clock that gains some days in each boot must not add them up.
const OFF: Span = Span::from_us(7 * 24 * HOUR_US);
/// What the clocks of two nodes may differ by. Wrong time zones differ by an hour at least, and deleting goes by hours.
const BETWEEN_NODES: Span = Span::from_us(HOUR_US / 2);

/// Where the time was when it was last found right, and how long this archive's node has lived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeMark {
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
    /// What was believed of times between boots since another machine, or a person, last said that the clock is right.
    pub believed: Span,
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
pub enum ClockVerdict {
    /// The clock is right as far as anybody can tell.
    Agree,
    /// The same, and the line is to be laid anew at what it says.
    Settle,
    /// Nobody can tell whether it is right; for this reason.
    Unknown(String),
    /// It is wrong, or a witness is; who says what.
    Contradict(String),
}

impl TimeMark {
    /// A line that begins now.
    pub const fn begin(boot: String, boottime: Span, wall: Timestamp, is_settled: bool) -> Self {
        let none = Span::from_us(0);
        Self { boot, since: boottime, start: wall, at: boottime, lived: none, is_settled, believed: none }
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
        Self { boot: boot.to_owned(), since: boottime, start, at: boottime, is_settled: false, ..self }
    }

    /// Counts what was lived up to now.
    pub fn advance(&mut self, boottime: Span) {
        self.lived = self.lived(boottime);
        self.at = self.at.max(boottime);
    }

    /// Lays it anew where somebody says that the clock is right.
    pub fn settle(&mut self, boottime: Span, wall: Timestamp) {
        self.advance(boottime);
        (self.since, self.start, self.is_settled) = (boottime, wall, true);
        self.believed = Span::from_us(0);
    }

    /// Takes in what was judged by it.
    pub fn take(&mut self, verdict: &ClockVerdict, witnesses: &Witnesses) {
        let is_vouched = witnesses.others_agree() == Some(true);
        match verdict {
            ClockVerdict::Settle => {
                let believed = self.unproven(witnesses);
                self.settle(witnesses.boottime, witnesses.wall);
                self.believed = if is_vouched { Span::from_us(0) } else { believed };
            }
            ClockVerdict::Agree if is_vouched => self.believed = Span::from_us(0),
            ClockVerdict::Agree | ClockVerdict::Unknown(_) | ClockVerdict::Contradict(_) => {}
        }
    }

    /// What is believed without proof if the clock is.
    fn unproven(&self, witnesses: &Witnesses) -> Span {
        let ahead = (witnesses.wall - self.now(witnesses.boottime)).us().max(0);
        Span::from_us(self.believed.us().saturating_add(ahead))
    }

    /// As text.
    pub fn text(&self) -> String {
        let Self { boot, since, start, at, lived, is_settled, believed } = self;
        format!(
            "boot {boot}\nsince {}\nstart {}\nat {}\nlived {}\nsettled {is_settled}\nbelieved {}\n",
            since.us(),
            start.us(),
            at.us(),
            lived.us(),
            believed.us()
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
        // Earlier versions did not add it up.
        let believed = match lines.next() {
            Some(line) => line.strip_prefix("believed ")?.parse().ok()?,
            None => 0,
        };
        let start = Timestamp::from_us(start);
        Some(Self {
            boot,
            since: Span::from_us(since),
            start,
            at: Span::from_us(at),
            lived: Span::from_us(lived),
            is_settled,
            believed: Span::from_us(believed),
        })
    }
}

impl Witnesses {
    /// What the clock is off by, of another one.
    fn apart(&self, other: Timestamp) -> Span {
        Span::from_us((self.wall - other).us().saturating_abs())
    }

    /// Whose clocks differ, and how many other machines' agree.
    fn others(&self) -> (Vec<&PeerTime>, usize) {
        let (agree, differ): (Vec<_>, Vec<_>) =
            self.peers.iter().partition(|peer| self.apart(peer.wall) <= BETWEEN_NODES);
        (differ, agree.iter().filter(|peer| !peer.is_local).count())
    }

    /// Whether the clock is right by other machines: one agrees, and nobody differs. Nothing if none says so or otherwise.
    pub fn others_agree(&self) -> Option<bool> {
        let (differ, agreeing) = self.others();
        if differ.is_empty() { (agreeing > 0).then_some(true) } else { Some(false) }
    }
}

/// Judges the clock. A witness that contradicts outweighs all that agree.
pub fn judge(line: &TimeMark, witnesses: &Witnesses) -> ClockVerdict {
    let Witnesses { wall, boottime, kernel, is_synchronised, .. } = witnesses;
    if let Some(kernel) = kernel.filter(|kernel| witnesses.apart(*kernel) > TOLERANCE) {
        return ClockVerdict::Contradict(format!("the clock says {wall}, and the kernel's own clock says {kernel}"));
    }
    let (differ, agreeing) = witnesses.others();
    if differ.len() > agreeing {
        let others: Vec<String> =
            differ.iter().take(3).map(|peer| format!("{} says {}", peer.name, peer.wall)).collect();
        return ClockVerdict::Contradict(format!("the clock says {wall}, but {}", others.join(", ")));
    }
    let (expected, others_agree) = (line.now(*boottime), witnesses.others_agree());
    let confirmed = *is_synchronised == Some(true) && others_agree == Some(true);
    if line.is_settled {
        let drift = Span::from_us((*boottime - line.since).us() / DRIFT_ONE_IN);
        if witnesses.apart(expected) <= TOLERANCE + drift {
            return ClockVerdict::Agree;
        }
        let why = || {
            format!("the clock says {wall}, but by the time that has elapsed since it was last right it is {expected}")
        };
        return if confirmed { ClockVerdict::Settle } else { ClockVerdict::Contradict(why()) };
    }
    if *wall + TOLERANCE < expected {
        let why = || format!("the clock says {wall}, but it was {expected} before this machine was started last");
        return if confirmed { ClockVerdict::Settle } else { ClockVerdict::Contradict(why()) };
    }
    match others_agree {
        Some(true) => ClockVerdict::Settle,
        None if line.unproven(witnesses) <= OFF => ClockVerdict::Settle,
        Some(false) | None => ClockVerdict::Unknown(format!(
            "the clock says {wall}, it was {expected} before this machine was started last, and no other machine's clock bears it out"
        )),
    }
}

#[cfg(test)]
mod tests;
