//! Logs and counts the outcome of a round, and the progress of one that lasts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::job::PeerJob;
use super::peer_state::{FollowedPeer, PeerState};
use super::report::MOST_BURSTS;
use super::round::RoundResult;
use crate::archive::Timestamp;

/// How often a round that lasts tells how far it is.
const TELL: Duration = Duration::from_secs(300);

/// A round has ended, complete or not. What is done from now on is not part of it.
pub(super) fn round_done(job: &mut PeerJob, took: Duration, complete: bool) {
    let report = std::mem::take(&mut job.report);
    let (known, report) = (&job.known, &report);
    let name = &job.peer().name;
    if report.fetched > 0 || report.tombstones > 0 || !report.is_complete() {
        tracing::info!(
            name: "backfill_round", peer = name, hours = report.hours, fetched = report.fetched, bytes = report.bytes,
            tombstones = report.tombstones, errors = report.errors, seconds = took.as_secs_f64(), "round done"
        );
    }
    let metrics = &job.shared.metrics;
    metrics.requests(name, report.requests);
    metrics.errors(name, report.errors + report.hash_mismatches);
    if complete {
        known.post.succeeded();
    } else {
        known.post.failed(report.last_error.as_deref().unwrap_or("the round left something undone"));
    }
    known.update(|status| {
        if complete {
            (status.rounds, status.failures) = (status.rounds + 1, 0);
            status.complete = Some(SystemTime::now());
        } else {
            status.failures = status.failures.saturating_add(1);
        }
        status.error.clone_from(&report.last_error);
        status.all.add(report.clone());
        status.last = Some((report.clone(), took));
    });
}

/// A round that began then came to its end: the peer was asked about everything, or is this node.
pub(super) fn heard(job: &PeerJob, came: Option<RoundResult>, began: Timestamp) {
    let (knowledge, name) = (&job.shared.options.knowledge, &job.peer().name);
    match came {
        Some(RoundResult::Itself) => knowledge.is_itself(name),
        Some(RoundResult::Kind(_) | RoundResult::Fixed) if !job.unheard => knowledge.heard(name, began),
        _ => {}
    }
}

/// Something was done between two rounds.
pub(super) fn went_on(job: &mut PeerJob) {
    let report = std::mem::take(&mut job.report);
    let metrics = &job.shared.metrics;
    metrics.requests(&job.peer().name, report.requests);
    metrics.errors(&job.peer().name, report.errors + report.hash_mismatches);
    job.known.update(|status| {
        if let Some((last, _)) = &mut status.last {
            let room = MOST_BURSTS.saturating_sub(last.bursts.len());
            last.bursts.extend(report.bursts.iter().take(room).cloned());
        }
        status.all.add(report);
    });
}

/// A line now and then for each peer whose round lasts.
pub(super) async fn progress(known: Arc<FollowedPeer>) {
    let mut began = Instant::now();
    loop {
        tokio::time::sleep(TELL).await;
        let status = known.status();
        if status.state != PeerState::Round {
            began = Instant::now();
            continue;
        }
        let (done, total) = status.hours;
        let elapsed = began.elapsed().max(TELL);
        tracing::info!(
            name: "backfill_progress", peer = known.peer.name, hours = done, of = total, behind = status.behind,
            "{}", line(done, total, elapsed)
        );
    }
}

/// `30/120 hours checked (25%), 6.0 a minute, 15m left`.
#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
pub(super) fn line(done: u64, total: u64, elapsed: Duration) -> String {
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
    let rate = done as f64 / elapsed.as_secs_f64().max(1.0);
    let left = if done == 0 {
        "time left unknown".to_owned()
    } else {
        let seconds = total.saturating_sub(done) as f64 / rate;
        format!("{} left", humantime::format_duration(Duration::from_secs_f64(seconds.ceil().min(1e9))))
    };
    format!("{done}/{total} hours checked ({percent}%), {:.1} a minute, {left}", rate * 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_yet() {
        let five = Duration::from_secs(300);
        assert_eq!(line(30, 120, five), "30/120 hours checked (25%), 6.0 a minute, 15m left");
        assert_eq!(line(0, 120, five), "0/120 hours checked (0%), 0.0 a minute, time left unknown");
        assert_eq!(line(0, 0, five), "0/0 hours checked (100%), 0.0 a minute, time left unknown");
    }
}
