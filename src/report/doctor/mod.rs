//! Looks at what surrounds a node, and says what is wrong and what to do: the machine, the disk, the index, other nodes.
//!
//! 1. `machine`, `archive`, `bucket` and `peers` gather facts; each may fail, and that is a fact as well.
//! 2. `verdict` judges them: pure functions from numbers to a [`CheckResult`].
//! 3. Nothing is mended here and nothing is changed, except that a file of a few bytes is written beside the marker and removed
//!    again: whether that can be done is known only by doing it.
//!
//! What the daemon says of itself, and how findings are shown, is the command line's affair.

pub(crate) mod archive;
pub(crate) mod bucket;
pub(crate) mod machine;
pub(crate) mod peers;
pub(crate) mod recordings;
pub(crate) mod verdict;

use std::fmt;

use serde::Serialize;

use crate::archive::quantity::count;
use crate::wire::{PeerReport, ProblemReport, Status};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    Ok,
    /// It works, and somebody should look at it before it does not.
    Warn,
    /// Something does not work, or will not after the next start.
    Fail,
}

impl fmt::Display for CheckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// What was looked at, in a word or two that stay the same.
    pub check: String,
    pub level: CheckLevel,
    pub value: String,
    /// What to do about it; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl CheckResult {
    pub fn ok(check: &str, value: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: CheckLevel::Ok, value: value.into(), advice: None }
    }

    pub fn warn(check: &str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: CheckLevel::Warn, value: value.into(), advice: Some(advice.into()) }
    }

    /// A problem of this kind and level, as the status has them.
    pub fn problem(kind: &str, level: &str, what: &str, advice: Option<&str>) -> Self {
        let found = Self { level: CheckLevel::Warn, advice: advice.map(str::to_owned), ..Self::ok(kind, what) };
        if level == "error" { Self { level: CheckLevel::Fail, ..found } } else { found }
    }

    pub fn fail(check: &str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: CheckLevel::Fail, value: value.into(), advice: Some(advice.into()) }
    }
}

/// How bad the worst of them is.
pub fn worst(findings: &[CheckResult]) -> CheckLevel {
    findings.iter().map(|finding| finding.level).max().unwrap_or(CheckLevel::Ok)
}

/// The problems that the daemon reports, but for those of peers, which are checks of their own.
pub fn problems(status: &Status) -> Vec<CheckResult> {
    let is_of_peer = |problem: &&ProblemReport| problem.kind == "peer" || problem.kind == "peer-conflict";
    let of_problem = |problem: &ProblemReport| {
        CheckResult::problem(&problem.kind, &problem.level.to_string(), &problem.what, problem.advice.as_deref())
    };
    status.problems.iter().filter(|problem| !is_of_peer(problem)).map(of_problem).collect()
}

/// A check for each peer, and by how many whole seconds this clock is ahead of each that has said what time it is.
pub fn peers_of(peers: &[PeerReport]) -> (Vec<CheckResult>, Vec<i64>) {
    (peers.iter().map(peer).collect(), peers.iter().filter_map(|peer| peer.clock_ahead_seconds).map(whole).collect())
}

fn peer(peer: &PeerReport) -> CheckResult {
    let check = format!("peer {}", peer.name);
    if let Some(conflict) = &peer.conflict {
        return CheckResult::fail(
            &check,
            format!("{}: {conflict}", peer.url),
            "give one of both nodes another name or id",
        );
    }
    if let Some(error) = &peer.error {
        let advice = "look whether it runs, at the address, the certificate and the token in [backfill] of the daemon's configuration, and at firewalls";
        return CheckResult::fail(&check, format!("{}: {error}", peer.url), advice);
    }
    let speaks = match peer.speaks.as_deref() {
        Some("gapless") => "gapless",
        Some(_) => "lists and serves files only",
        None if peer.state == "itself" => "this node itself, which is in its own list",
        None => "not asked yet",
    };
    let behind = if peer.behind_segments > 0 {
        format!(", {} of it not here yet", count(peer.behind_segments, "segment"))
    } else {
        String::new()
    };
    CheckResult::ok(&check, format!("{}: {speaks}, {} for the daemon{behind}", peer.url, peer.state))
}

/// An answer has whole seconds and took a moment: one second is nothing.
#[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
fn whole(seconds: f64) -> i64 {
    if seconds.abs() < 2.0 { 0 } else { seconds as i64 }
}

#[cfg(test)]
mod tests {
    use super::CheckLevel;
    use super::*;
    use serde_json::json;

    fn report(state: &str) -> PeerReport {
        let report = json!({
            "name": "north", "url": "https://north.example", "state": state, "trusted": true, "rounds": 3, "failures": 0,
            "hours_done": 4, "hours_total": 9, "fetched": 1, "bytes": 2, "requests": 3, "seconds": 4.0, "fetched_in_all": 1,
            "bytes_in_all": 1, "tombstones_in_all": 0, "errors_in_all": 1, "behind_segments": 1, "behind_seconds": 0.0
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn peers_are_as_the_daemon_follows_them_whatever_can_be_reached_from_here() {
        let good =
            PeerReport { speaks: Some("gapless".to_owned()), clock_ahead_seconds: Some(-70.5), ..report("following") };
        let bad =
            PeerReport { error: Some("no answer".to_owned()), clock_ahead_seconds: Some(1.5), ..report("backing-off") };
        let (checks, clocks) = peers_of(&[good, bad, report("new")]);
        assert_eq!(
            checks[0].value,
            "https://north.example: gapless, following for the daemon, 1 segment of it not here yet"
        );
        assert_eq!((checks[1].level, checks[1].value.as_str()), (CheckLevel::Fail, "https://north.example: no answer"));
        assert_eq!((checks[2].level, &clocks[..]), (CheckLevel::Ok, &[-70, 0][..]));
    }
}
