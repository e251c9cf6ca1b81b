//! Fetches many small files of an hour in few answers, and publishes those of an answer with few flushes.
//!
//! What the peer says is too large to travel with others is given back, to be fetched by itself.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::budget;
use super::fetch::is_there;
use super::publish::{count, gone, index, may_go_on, not_fetched};
use super::report::RoundError;
use super::shared::{PeerJob, Shared};
use super::targets::{FetchClaim, HourTarget};
use crate::archive::name::tombstone_of;
use crate::disk::{Download, DownloadError, MissingFile, Published, Verified};
use crate::replicate::peer::Peer;
use crate::sync::crawl::CrawlError;
use crate::wire::bundle::{self, BundlePart};

/// Fewer files are fetched one by one: that is as quick.
pub(super) const FEW: usize = 4;
/// Files in the first request, which shows whether they are small.
const FIRST: usize = 64;
/// Files in each further one, at most.
const NEXT: usize = 768;
/// Requests at once: one is answered while another is flushed.
const AT_ONCE: usize = 3;

/// Fetches what is small of these files; gives back the others.
pub(super) async fn fetch(
    job: &mut PeerJob,
    target: &Arc<HourTarget>,
    files: Vec<MissingFile>,
) -> Result<Vec<MissingFile>, RoundError> {
    let mut waiting = VecDeque::from(files);
    let mut large = Vec::new();
    let mut tasks = JoinSet::new();
    let (mut size, mut most) = if job.small_files { (even(waiting.len()), AT_ONCE) } else { (FIRST, 1) };
    let mut ends = None;
    loop {
        while ends.is_none() && !target.is_full() && tasks.len() < most.min(job.shared.share()) && !waiting.is_empty() {
            let asked: Vec<MissingFile> = waiting.drain(..size.min(waiting.len())).collect();
            let (shared, peer, at) = (Arc::clone(&job.shared), job.peer().clone(), Arc::clone(target));
            tasks.spawn(async move { some(&shared, &peer, &at, asked).await });
        }
        let Some(done) = tasks.join_next().await else { break };
        job.asked();
        let mut outcome = match done.map_err(|error| RoundError::Thread(error.to_string())).and_then(|outcome| outcome)
        {
            Ok(outcome) => outcome,
            Err(error) => {
                ends = Some(error);
                continue;
            }
        };
        let only_large = outcome.large.len() > outcome.published;
        // A peer that puts everything off is not asked like this again.
        let nothing = outcome.published == 0 && outcome.gone.is_empty() && !outcome.later.is_empty();
        let is_full = outcome.ends.take();
        take_note(job, target, outcome, &mut waiting, &mut large);
        job.small_files = !only_large && !nothing;
        if most == 1 {
            (size, most) = (even(waiting.len()), AT_ONCE);
        }
        if only_large || nothing {
            large.extend(waiting.drain(..));
        }
        ends = match ends {
            None if is_full.is_some() => is_full,
            None => may_go_on(job, target).await.err(),
            error => error,
        };
    }
    if target.is_full() {
        large.clear();
    }
    ends.map_or(Ok(large), Err)
}

/// How many files each request asks for, so that those that are made at once end at the same time.
fn even(files: usize) -> usize {
    let requests = files.div_ceil(NEXT).next_multiple_of(AT_ONCE).max(1);
    files.div_ceil(requests).max(FIRST)
}

#[derive(Default)]
struct BundleOutcome {
    published: usize,
    bytes: u64,
    large: Vec<MissingFile>,
    later: Vec<MissingFile>,
    busy: Vec<Box<str>>,
    over_budget: u64,
    failed: Vec<(Box<str>, RoundError)>,
    ends: Option<RoundError>,
    gone: Vec<Box<str>>,
}

fn take_note(
    job: &mut PeerJob,
    target: &HourTarget,
    outcome: BundleOutcome,
    waiting: &mut VecDeque<MissingFile>,
    large: &mut Vec<MissingFile>,
) {
    count(job, &target.place, outcome.published as u64, outcome.bytes);
    for name in outcome.gone {
        gone(job, &target.place, name);
    }
    job.report.elsewhere += outcome.busy.len() as u64;
    PeerJob::note(&mut job.busy, outcome.busy.into_iter().map(|name| (target.place.clone(), name)));
    for (name, error) in outcome.failed {
        not_fetched(job, target, name, &error);
    }
    if outcome.over_budget > 0 {
        budget::no_room_for_files(job, &target.place.stream, outcome.over_budget);
    }
    waiting.extend(outcome.later);
    large.extend(outcome.large);
}

async fn some(
    shared: &Arc<Shared>,
    peer: &Peer,
    target: &Arc<HourTarget>,
    files: Vec<MissingFile>,
) -> Result<BundleOutcome, RoundError> {
    let mut outcome = BundleOutcome::default();
    let mut claimed: Vec<(FetchClaim, MissingFile)> = Vec::with_capacity(files.len());
    for file in files {
        match shared.claims.claim(&target.place, &file.name) {
            Some(claim) => claimed.push((claim, file)),
            None => outcome.busy.push(file.name),
        }
    }
    if claimed.is_empty() {
        return Ok(outcome);
    }
    let names = claimed.iter().map(|(_, file)| file.name.to_string()).collect();
    let answer = match shared.client.bundle(peer, &target.place, names).await {
        Ok(answer) => answer,
        Err(error) => {
            let error = RoundError::from(error);
            if error.ends_the_round() {
                return Err(error);
            }
            // One by one it may work: the peer may be one of ours that does not know this.
            tracing::debug!(name: "bundle_failed", peer = peer.name, hour = %target.place, %error, "files are fetched one by one instead");
            outcome.large.extend(claimed.into_iter().map(|(_, file)| file));
            return Ok(outcome);
        }
    };
    // We ourselves are slow now; that is no reason to ask another.
    for (claim, _) in &claimed {
        claim.hold();
    }
    shared.client.limits().throttle.wait(answer.len()).await;
    let (all, at, from) = (Arc::clone(shared), Arc::clone(target), peer.name.clone());
    let publishing = shared.blocking(move || {
        let noting = |appear: &[&str]| super::publish::note(&all, &from, &at, appear);
        let published = publish((&all, &at), &claimed, &answer, &mut outcome, noting)?;
        index(&all.keeper, &at, &published)?;
        drop(claimed);
        Ok(outcome)
    });
    publishing.await
}

/// Publishes what came, after `note` was given those that are about to appear; returns the names of what is new.
fn publish(
    (shared, target): (&Shared, &HourTarget),
    claimed: &[(FetchClaim, MissingFile)],
    answer: &[u8],
    outcome: &mut BundleOutcome,
    note: impl FnOnce(&[&str]) -> Result<(), CrawlError>,
) -> Result<Vec<Box<str>>, RoundError> {
    let names: Vec<&str> = claimed.iter().map(|(_, file)| &*file.name).collect();
    let (parts, _whole) = bundle::read(answer, &names);
    // A failed flush is reported once to each open directory: this one is nobody else's.
    let dir = target.dir.again().map_err(CrawlError::Disk)?;
    let (mut downloads, mut of) = (Vec::new(), Vec::new());
    for (number, (_, file)) in claimed.iter().enumerate() {
        match parts.get(number) {
            // Since it was planned another peer may have given its tombstone.
            Some(BundlePart::Content(_)) if is_there(&dir, &tombstone_of(&file.name))? => {}
            Some(BundlePart::Content(_)) if outcome.ends.is_some() => {}
            Some(BundlePart::Content(_)) if has_no_inode(shared, &mut outcome.ends)? => {}
            Some(BundlePart::Content(content)) if !target.take(content.len() as u64) => outcome.over_budget += 1,
            Some(BundlePart::Content(content)) => match download(target, file, content) {
                Ok(verified) => {
                    downloads.push((&*file.name, verified));
                    of.push((file, content.len() as u64));
                }
                Err(error) => {
                    target.give_back(content.len() as u64);
                    if error.is_full() {
                        return Err(error.into());
                    }
                    outcome.failed.push((file.name.clone(), error.into()));
                }
            },
            Some(BundlePart::Gone) => outcome.gone.push(file.name.clone()),
            Some(BundlePart::Later) => outcome.later.push(file.clone()),
            // Or the answer was cut off: by itself it may come.
            Some(BundlePart::Large) | None => outcome.large.push(file.clone()),
        }
    }
    let together = |verified: Vec<Verified>| Verified::finish_together(&dir, verified);
    let outcomes = super::publish::publish((&shared.keeper, target), downloads, note, together)?;
    let mut published = Vec::with_capacity(outcomes.len());
    for ((file, bytes), result) in of.into_iter().zip(outcomes) {
        match result {
            Ok(Published::New) => {
                outcome.published += 1;
                outcome.bytes += bytes;
                published.push(file.name.clone());
            }
            Ok(Published::AlreadyThere) => {}
            Err(error) => outcome.failed.push((file.name.clone(), error.into())),
        }
    }
    Ok(published)
}

/// Whether there is no inode for one more file, which `why` says then.
fn has_no_inode(shared: &Shared, why: &mut Option<RoundError>) -> Result<bool, RoundError> {
    match shared.inodes_for(1) {
        Err(error @ RoundError::NoInodes { .. }) => *why = Some(error),
        done => done?,
    }
    Ok(why.is_some())
}

/// What came of a file, if it is what the name says.
fn download(target: &HourTarget, file: &MissingFile, content: &[u8]) -> Result<Verified, DownloadError> {
    let mut download = Download::begin(Arc::clone(&target.dir), &file.name)?;
    download.write(content)?;
    download.verify(&file.hash)
}
