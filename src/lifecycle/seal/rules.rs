//! When an hour may be sealed, and why not. Pure.

use std::fmt;

use crate::archive::hole_reasons::{HoleReason, OpenHole};
use crate::archive::{Hour, ManifestError, Span, Timestamp, escape};

/// A directory that changed a moment ago may change again without its time saying so.
pub const SETTLED: Span = Span::from_us(2_000_000);

/// Why an hour is not sealed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSealed {
    Absent,
    Empty,
    NotOver { until: Timestamp },
    Unquiet { until: Timestamp },
    Awaited { hole: Timestamp, reason: HoleReason },
    OfOthers,
    Changing,
    Mismatch { name: String },
    Unreadable { name: String, why: String },
    Unlistable(ManifestError),
}

impl NotSealed {
    /// Whether something is wrong with the hour that does not pass by itself.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Mismatch { .. } | Self::Unreadable { .. } | Self::Unlistable(_) => true,
            Self::Absent
            | Self::Empty
            | Self::NotOver { .. }
            | Self::Unquiet { .. }
            | Self::Awaited { .. }
            | Self::OfOthers
            | Self::Changing => false,
        }
    }
}

impl fmt::Display for NotSealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such hour"),
            Self::Empty => f.write_str("there is nothing in it"),
            Self::NotOver { until } => write!(f, "it is not over for long enough: not before {until}"),
            Self::Unquiet { until } => write!(f, "something changed in its directory lately: not before {until}"),
            Self::Awaited { hole, reason } => {
                write!(f, "a peer has, or may have, something that is missing at {hole} ({})", reason.as_str())
            }
            Self::OfOthers => f.write_str("other nodes own it by the layout, so what lies here need not be all of it"),
            Self::Changing => f.write_str("something changed in its directory while it was read"),
            Self::Mismatch { name } => write!(
                f,
                "the content of {} is not the one in its name; `gapless scrub` puts it aside",
                escape::shown(name)
            ),
            Self::Unreadable { name, why } => write!(f, "{} cannot be read: {why}", escape::shown(name)),
            Self::Unlistable(error) => error.fmt(f),
        }
    }
}

/// Whether the hour has been over, and its directory unchanged, for so long. A clock that is ahead seals an hour too early, and what is put into it then unseals it.
pub fn is_quiet(hour: Hour, changed: Timestamp, now: Timestamp, after: Span) -> Result<(), NotSealed> {
    let (over, quiet) = (hour.end() + after, changed + Span::from_us(after.us().max(SETTLED.us())));
    if over > now {
        return Err(NotSealed::NotOver { until: over });
    }
    if quiet > now {
        return Err(NotSealed::Unquiet { until: quiet });
    }
    Ok(())
}

/// Whether what is missing may still come: a peer has it, or was not asked yet. Where no peer ever will be, by the settings of backfill, nothing comes.
pub fn is_awaited(holes: &[OpenHole]) -> Result<(), NotSealed> {
    let comes = |hole: &OpenHole| {
        let known = hole.known.as_ref()?;
        let may_come = !known.unfillable && !known.peers.is_empty();
        may_come.then_some(NotSealed::Awaited { hole: hole.hole.start, reason: known.reason })
    };
    holes.iter().find_map(comes).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::coverage::Stretch;
    use crate::archive::hole_reasons::HoleKnowledge;

    #[test]
    fn what_a_peer_may_still_give_holds_an_hour_open() {
        let hole = |reason: HoleReason, unfillable: bool, peers: &[&str]| {
            let at = Timestamp::from_us;
            let hole = Stretch { start: at(1), end: at(2) };
            let peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
            let known = HoleKnowledge { reason, unfillable, since: at(3), peers, detail: String::new() };
            OpenHole { hole, first_seen: at(3), grown: at(3), known: Some(known) }
        };
        let (asked, silent, has) = (HoleReason::NobodyHas, HoleReason::NotAsked, HoleReason::PeerHas);
        for (open, comes) in [
            (hole(has, false, &["a"]), true),
            (hole(silent, false, &["a"]), true),
            // The recorder missed it, and a peer was not asked yet.
            (hole(HoleReason::NotReceived, false, &["a"]), true),
            (hole(HoleReason::NotReceived, true, &["a"]), false),
            (hole(asked, true, &["a"]), false),
            (hole(asked, true, &[]), false),
            // Backfill does not fetch this hour.
            (hole(silent, false, &[]), false),
            (hole(HoleReason::Tombstoned, false, &[]), false),
        ] {
            assert_eq!(is_awaited(std::slice::from_ref(&open)).is_err(), comes, "{open:?}");
        }
    }

    #[test]
    fn an_hour_is_sealed_when_it_is_over_and_quiet_and_not_before() {
        let hour = Hour::parse("2024-01-01T00").unwrap();
        let (after, end) = (Span::from_us(3_600_000_000), hour.end());
        let at = |us: i64| end + Span::from_us(us);
        let least = after.us();
        assert_eq!(is_quiet(hour, at(0), at(least), after), Ok(()));
        assert_eq!(is_quiet(hour, at(0), at(least - 1), after), Err(NotSealed::NotOver { until: at(least) }));
        let late = is_quiet(hour, at(5), at(least), after);
        assert_eq!(late, Err(NotSealed::Unquiet { until: at(least + 5) }));
        // Even at once it is not sealed before its time can be trusted.
        let now = is_quiet(hour, at(9), at(9), Span::from_us(0));
        assert_eq!(now, Err(NotSealed::Unquiet { until: at(9 + SETTLED.us()) }));
    }
}
