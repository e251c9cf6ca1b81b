//! Bounds what a peer may fill with channels that nobody here records or names, and what it may add to hours that were recorded here,
//! and says when that is full.
//!
//! What is there and who gave it is known by the keeper ([`crate::sync::crawl::FetchInProgress`]); nothing is deleted here.

use super::plan::HourPlan;
use super::report::RoundError;
use super::shared::{PeerJob, Shared};
use crate::archive::blocks::BLOCK;
use crate::archive::{HourPlace, Stream};
use crate::sync::crawl::{Allowance, FilledByPeer};

/// Whether anything of a stream may be fetched from the peer, and how much.
pub(super) async fn allowance(job: &PeerJob, stream: &Stream) -> Result<Allowance, RoundError> {
    let (peer, of, bounds) = (job.peer().name.clone(), stream.clone(), job.shared.options.strangers);
    job.shared.with_keeper(move |keeper| keeper.allowance(&peer, &of, &bounds)).await
}

/// Whether a stream is left out as a whole, because nothing of it may be fetched, and nothing is here that the peer's tombstones could
/// hide. That is counted, and logged once.
pub(super) async fn leaves_out(job: &mut PeerJob, stream: &Stream) -> Result<bool, RoundError> {
    let Allowance::Full(why) = allowance(job, stream).await? else { return Ok(false) };
    if job.shared.keeper.index().catalog().bounds(&stream.to_string()).is_some() {
        return Ok(false);
    }
    is_full(job, stream, &why);
    Ok(true)
}

/// Nothing of an hour may be fetched: its tombstones are taken all the same where something lies that they could hide (`made_up`). Elsewhere
/// they would only make names, without bound.
pub(super) fn only_tombstones(
    job: &mut PeerJob,
    place: &HourPlace,
    plan: &mut HourPlan<'_>,
    is_empty: bool,
    why: &str,
) {
    if !plan.fetch.is_empty() || !plan.later.is_empty() {
        is_full(job, &place.stream, why);
    }
    plan.fetch.clear();
    plan.later.clear();
    if is_empty {
        plan.tombstones.clear();
    }
}

/// How many bytes of the disk may be added to an hour, if it was recorded here. Where that is nothing nothing of the plan is fetched.
pub(super) fn beside_own(job: &mut PeerJob, place: &HourPlace, plan: &mut HourPlan<'_>) -> Option<u64> {
    if job.shared.keeper.would_be_fetched(place) {
        return None;
    }
    let room = job.shared.parts.rules.room_beside_own(place);
    // Less than a block is room for no file.
    if room < BLOCK && !plan.fetch.is_empty() {
        is_full(
            job,
            &place.stream,
            "what other nodes have added to hours that were recorded here takes a tenth of max_bytes, or half of min_free, and no more may be added",
        );
        plan.fetch.clear();
    }
    Some(room)
}

/// Something of a stream was left out because there is no room for more of what the peer gives.
pub(super) fn is_full(job: &mut PeerJob, stream: &Stream, why: &str) {
    job.report.over_budget += 1;
    let is_logged = job.followed.is_full.swap(true, std::sync::atomic::Ordering::Relaxed);
    if !is_logged {
        tracing::warn!(name: "strangers_budget_full", peer = job.peer().name, first = %stream, why, "a peer offers more than may be fetched from it; name the channels that are wanted in [backfill] channels, or raise strangers_budget or [retention] max_bytes");
    }
    job.report.full.get_or_insert_with(|| why.to_owned());
}

/// A round is over: what the peer has filled, and whether anything was left out.
pub(super) async fn look(job: &PeerJob) {
    let (peer, bounds) = (job.peer().name.clone(), job.shared.options.strangers);
    let Ok(filled) = filled(&job.shared, peer, bounds).await else { return };
    let full = job.report.full.clone();
    job.followed.is_full.store(full.is_some(), std::sync::atomic::Ordering::Relaxed);
    job.followed.update(|status| (status.filled, status.full) = (filled, full));
}

async fn filled(
    shared: &Shared,
    peer: String,
    bounds: crate::sync::crawl::StrangersBudget,
) -> Result<FilledByPeer, RoundError> {
    shared.with_keeper(move |keeper| keeper.filled(&peer, &bounds)).await
}

/// There was no room any more for so many files of a stream.
pub(super) fn no_room_for_files(job: &mut PeerJob, stream: &Stream, files: u64) {
    job.report.over_budget = job.report.over_budget.saturating_add(files.saturating_sub(1));
    is_full(
        job,
        stream,
        "no room for its next file: its budget for channels that nobody here records or names is full, or the one beside recorded hours",
    );
}
