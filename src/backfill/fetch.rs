//! Takes over one hour of a peer: tombstones first, then what is missing, several files at a time.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;

use super::manager::Shared;
use super::report::RoundReport;
use super::round::RoundError;
use crate::crawl::CrawlError;
use crate::disk::{Dir, Download, DownloadError, Published, write_tombstone};
use crate::domain::plan::{Burst, Plan, Why, burst};
use crate::domain::{Hash, HourPlace};
use crate::peer::{Outcome, Peer};

/// Files of an hour whose directory is flushed and that are indexed together.
const TOGETHER: usize = 64;

/// What to do about a file that another peer is being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// Leave it, and count it.
    Leave,
    /// Wait until it is here, or known not to come from there.
    Wait,
}

/// Carries out the plan for an hour. What does not work is in the report, and so is what was done before an error.
pub(super) async fn take_over(
    shared: &Arc<Shared>,
    peer: &Peer,
    place: &HourPlace,
    plan: &Plan<'_>,
    tombstones_before: usize,
    busy: Busy,
    report: &mut RoundReport,
) -> Result<(), RoundError> {
    for (_, why) in &plan.leave {
        match why {
            Why::NearDuplicate => report.near_duplicates += 1,
            Why::TooRecent => report.too_recent += 1,
            Why::Untrusted => report.untrusted += 1,
            _ => {}
        }
    }
    let waits = burst(plan.tombstones.len(), plan.known, tombstones_before).filter(|_| !shared.options.accept_bursts);
    if let Some(why) = &waits {
        report.bursts.push(told(place, why));
    }
    if plan.fetch.is_empty() && (plan.tombstones.is_empty() || waits.is_some()) {
        return Ok(());
    }
    let dir = shared.blocking({
        let (keeper, place) = (Arc::clone(&shared.keeper), place.clone());
        move || {
            let base = keeper.guard().base().map_err(CrawlError::Away)?;
            Ok(Arc::new(base.make_hour_dir(&place).map_err(CrawlError::Disk)?))
        }
    });
    let dir = dir.await?;
    let before = (report.fetched, report.tombstones);
    let filling = async {
        if waits.is_none() {
            report.tombstones += tombstones(shared, place, &dir, plan).await?;
        }
        fetch(shared, peer, place, &dir, plan, busy, report).await
    };
    let done = filling.await;
    if (report.fetched, report.tombstones) == before {
        // The directory may be new, and empty: that is known here, too.
        let (keeper, place) = (Arc::clone(&shared.keeper), place.clone());
        let known = shared.blocking(move || Ok(keeper.touch(&place, []).map(drop)?)).await;
        return done.and(known);
    }
    done
}

async fn fetch(
    shared: &Arc<Shared>,
    peer: &Peer,
    place: &HourPlace,
    dir: &Arc<Dir>,
    plan: &Plan<'_>,
    busy: Busy,
    report: &mut RoundReport,
) -> Result<(), RoundError> {
    let mut names: Vec<(Box<str>, Hash)> = plan.fetch.iter().map(|offer| (offer.name.into(), offer.key.hash)).collect();
    // Several nodes, or peers, do not ask for the same thing at once.
    names.shuffle(&mut rand::rng());
    for chunk in names.chunks(TOGETHER) {
        shared.room().await?;
        files(shared, peer, place, dir, chunk, busy, report).await?;
    }
    Ok(())
}

fn told(place: &HourPlace, why: &Burst) -> String {
    tracing::warn!(name: "tombstone_burst", hour = %place, why = %why, "tombstones wait for the operator's word");
    format!("{place}: {why}")
}

async fn tombstones(
    shared: &Arc<Shared>,
    place: &HourPlace,
    dir: &Arc<Dir>,
    plan: &Plan<'_>,
) -> Result<u64, RoundError> {
    if plan.tombstones.is_empty() {
        return Ok(0);
    }
    let names: Vec<Box<str>> = plan.tombstones.iter().map(|offer| offer.name.into()).collect();
    let (dir, keeper, place) = (Arc::clone(dir), Arc::clone(&shared.keeper), place.clone());
    shared
        .blocking(move || {
            let mut new = 0;
            for name in &names {
                if write_tombstone(&dir, name)? == Published::New {
                    new += 1;
                }
            }
            settle(&keeper, &dir, &place, &names)?;
            Ok(new)
        })
        .await
}

/// Flushes the directory, and tells the index directly.
fn settle(keeper: &crate::crawl::Keeper, dir: &Dir, place: &HourPlace, names: &[Box<str>]) -> Result<(), RoundError> {
    crate::disk::atomic::sync_dir(dir).map_err(CrawlError::Disk)?;
    keeper.touch(place, names.iter().map(|name| OsStr::new(&**name)))?;
    Ok(())
}

/// Fetches some files of an hour, as many at once as the peer is asked for.
async fn files(
    shared: &Arc<Shared>,
    peer: &Peer,
    place: &HourPlace,
    dir: &Arc<Dir>,
    names: &[(Box<str>, Hash)],
    busy: Busy,
    report: &mut RoundReport,
) -> Result<(), RoundError> {
    let turns = Arc::new(tokio::sync::Semaphore::new(shared.options.concurrency));
    let mut tasks = JoinSet::new();
    for (name, hash) in names.iter().cloned() {
        let (shared, peer, place, dir, turns) =
            (Arc::clone(shared), peer.clone(), place.clone(), Arc::clone(dir), Arc::clone(&turns));
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let fetched = one(&shared, &peer, &place, dir, &name, hash, busy).await;
            (name, fetched)
        });
    }
    let mut published = Vec::new();
    let mut ends = None;
    while let Some(done) = tasks.join_next().await {
        let Ok((name, fetched)) = done else {
            report.failed("a download ended badly");
            continue;
        };
        match fetched {
            Ok(Fetched::Published(bytes)) => {
                (report.fetched, report.bytes) = (report.fetched + 1, report.bytes + bytes);
                published.push(name);
            }
            Ok(Fetched::Nothing) => {}
            Ok(Fetched::Elsewhere) => report.elsewhere += 1,
            Err(RoundError::Download(error @ DownloadError::WrongHash { .. })) => {
                report.hash_mismatches += 1;
                report.last_error = Some(error.to_string());
                tracing::warn!(name: "hash_mismatch", peer = peer.name, file = %Path::new(&place.to_string()).join(&*name).display(), "a peer sent something else than the name says; it was dropped");
            }
            Err(error) if error.ends_the_round() => ends = Some(error),
            Err(error) => report.failed(error),
        }
    }
    if !published.is_empty() {
        let (keeper, dir, place) = (Arc::clone(&shared.keeper), Arc::clone(dir), place.clone());
        shared.blocking(move || settle(&keeper, &dir, &place, &published)).await?;
    }
    match ends {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

enum Fetched {
    Published(u64),
    /// It is here by now, or has been deleted by now.
    Nothing,
    /// It has gone there, or is being fetched from another.
    Elsewhere,
}

async fn one(
    shared: &Arc<Shared>,
    peer: &Peer,
    place: &HourPlace,
    dir: Arc<Dir>,
    name: &str,
    hash: Hash,
    busy: Busy,
) -> Result<Fetched, RoundError> {
    let claim = match busy {
        Busy::Wait => shared.claims.claim_when_free(place, name).await,
        Busy::Leave => match shared.claims.claim(place, name) {
            Some(claim) => claim,
            None => return Ok(Fetched::Elsewhere),
        },
    };
    let _turn = shared.downloads.acquire().await;
    let begun = {
        let name = name.to_owned();
        // Since it was planned another peer may have given it, or its tombstone.
        let begin = move || {
            let is_settled = is_there(&dir, &name)? || is_there(&dir, &tombstone_of(&name))?;
            if is_settled { Ok(None) } else { Ok(Some(Download::begin(dir, &name)?)) }
        };
        shared.blocking(begin).await?
    };
    let Some(begun) = begun else { return Ok(Fetched::Nothing) };
    let stream = &place.stream;
    let outcome = shared.client.download(peer, &stream.channel, &stream.quality, place.hour, name, begun).await?;
    let Outcome::Fetched { download, bytes } = outcome else { return Ok(Fetched::Elsewhere) };
    let published = shared.blocking(move || Ok(download.finish(&hash)?)).await?;
    drop(claim);
    Ok(if published == Published::New { Fetched::Published(bytes) } else { Fetched::Nothing })
}

fn is_there(dir: &Dir, name: &str) -> Result<bool, RoundError> {
    Ok(dir.stat_file(OsStr::new(name)).map_err(CrawlError::Disk)?.is_some())
}

fn tombstone_of(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!("{stem}.tombstone")
}
