//! Replication status per peer, as the API reports it.

use std::time::SystemTime;

use crate::archive::{Span, Timestamp};
use crate::replicate::backfill::{PeerState, PeerStatus};
use crate::replicate::peer::Dates;
use crate::replicate::sources::SourceStatus;
use crate::wire::{PeerReport, SourceReport};

/// Of a peer, with what its clock says.
pub(super) fn report_of(status: PeerStatus, dates: &Dates) -> PeerReport {
    let (last, took) = status.last.unwrap_or_default();
    let state = match status.state {
        PeerState::New => "new",
        PeerState::Round => "round",
        PeerState::Following => "following",
        PeerState::Resting => "resting",
        PeerState::BackingOff => "backing-off",
        PeerState::Itself => "itself",
    };
    let clock_ahead_seconds = dates.ahead_of(&status.peer.url).map(Span::seconds);
    PeerReport {
        clock_ahead_seconds,
        name: status.peer.name,
        url: status.peer.url.to_string(),
        state: state.to_owned(),
        speaks: status.is_ours.map(|is_ours| if is_ours { "gapless" } else { "fixed-part" }.to_owned()),
        trusted: status.peer.trusted,
        rounds: status.rounds,
        failures: status.failures,
        hours_done: status.hours.0,
        hours_total: status.hours.1,
        fetched: last.fetched,
        bytes: last.bytes,
        requests: last.requests,
        seconds: took.as_secs_f64(),
        fetched_in_all: status.all.fetched,
        bytes_in_all: status.all.bytes,
        extras_in_all: status.all.extras,
        tombstones_in_all: status.all.tombstones,
        errors_in_all: status.all.errors + status.all.hash_mismatches,
        behind_segments: status.behind,
        behind_seconds: status.lag.as_secs_f64(),
        complete_round: status.complete.map(time),
        next_round: status.next.map(time),
        future_hours: last.future,
        passed_over: last.passed_over,
        passed_over_names: last.passed_over_names,
        strangers_bytes: status.filled.used.bytes,
        strangers_budget_bytes: status.filled.budget,
        strangers_channels: status.filled.used.streams,
        strangers_full: status.full,
        bursts: last.bursts,
        conflict: status.conflict.map(|conflict| conflict.to_string()),
        error: status.error,
    }
}

/// Of a source of the list of nodes.
pub(super) fn source_report(status: SourceStatus) -> SourceReport {
    SourceReport {
        kind: status.kind.to_owned(),
        place: status.place,
        peers: status.peers as u64,
        read: status.read.map(time),
        remembered: status.is_remembered,
        failures: status.failures,
        failing_since: status.failing_since.map(time),
        error: status.error,
        left_out: status.problems,
    }
}

fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string()
}
