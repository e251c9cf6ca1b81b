//! Fetches what lies beside the channels and is to be the same everywhere: extras, by name alone.
//!
//! Nothing proves what an extra holds, so it never replaces a file, never lands where segments lie, and a round fetches only so
//! much of it. What a peer does not have is left alone.

use std::sync::Arc;

use super::error::RoundError;
use super::job::Job;
use super::shared::Shared;
use crate::crawl::CrawlError;
use crate::disk::{NewFile, Published};
use crate::domain::Hour;
use crate::peer::Peer;

/// Files beneath one directory at most, here: what one listing of ours may hold.
const MOST_HERE: usize = 1_000_000;
/// Files that a round fetches at most; the next one goes on.
const MOST_FETCHED: u64 = 10_000;

/// Fetches what is missing of each directory of extras. One file that does not work is told and does not keep the others.
pub(super) async fn extras(job: &mut Job) -> Result<(), RoundError> {
    let (shared, peer) = (Arc::clone(&job.shared), job.peer().clone());
    let (before, mut left) = (job.report.extras, shared.options.max_extras_bytes);
    for dir in &shared.options.extras {
        if shared.keeper.index().catalog().channels().contains(dir) {
            job.report.failed(format!("{dir} is a channel and cannot be fetched as extras"));
            continue;
        }
        let listing = match shared.client.extras(&peer, dir).await {
            Ok(listing) => listing,
            Err(error) if error.status().is_some_and(|status| status.as_u16() == 404) => continue,
            Err(error) => {
                let error = RoundError::from(error);
                if error.ends_the_round() {
                    return Err(error);
                }
                job.report.failed(error);
                continue;
            }
        };
        job.asked();
        job.report.refused += listing.refused;
        let here = shared.blocking({
            let (keeper, dir) = (Arc::clone(&shared.keeper), dir.clone());
            move || {
                let base = keeper.guard().base().map_err(CrawlError::Away)?;
                Ok(base.walk_files(dir.as_ref(), MOST_HERE).map_err(CrawlError::Disk)?)
            }
        });
        let here = here.await?;
        for path in listing.names {
            if left == 0 || job.report.extras - before >= MOST_FETCHED {
                return Ok(());
            }
            if here.binary_search_by(|known| known.as_str().cmp(&path)).is_ok() {
                continue;
            }
            let parts: Vec<&str> = std::iter::once(dir.as_str()).chain(path.split('/')).collect();
            if lies_among_segments(&parts) {
                job.report.refused += 1;
                continue;
            }
            let fetched = one(&shared, &peer, &parts, left).await;
            job.known.step();
            match fetched {
                Ok(bytes) => {
                    left = left.saturating_sub(bytes.unwrap_or(0));
                    job.report.extras += u64::from(bytes.is_some());
                    job.report.extras_bytes += bytes.unwrap_or(0);
                }
                Err(error) if error.ends_the_round() => return Err(error),
                Err(error) => {
                    tracing::debug!(name: "extra_not_fetched", peer = peer.name, dir, path = &*path, %error, "an extra could not be fetched");
                    job.report.failed(format!("{dir}/{path}: {error}"));
                }
            }
        }
    }
    Ok(())
}

/// Whether a file there would make its directory an hour, and the one above it a quality, or stand in the way of one.
fn lies_among_segments(parts: &[&str]) -> bool {
    parts.get(2).is_some_and(|name| Hour::parse(name).is_ok())
}

/// Fetches one; tells its bytes, or nothing if it came from elsewhere meanwhile or has gone there.
async fn one(shared: &Arc<Shared>, peer: &Peer, parts: &[&str], most: u64) -> Result<Option<u64>, RoundError> {
    shared.room().await?;
    let begun = shared.blocking({
        let (keeper, parts) =
            (Arc::clone(&shared.keeper), parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        move || {
            let Some((name, above)) = parts.split_last() else { return Ok(None) };
            let base = keeper.guard().base().map_err(CrawlError::Away)?;
            let dir = base.make_dirs(above.iter().map(String::as_str)).map_err(CrawlError::Disk)?;
            Ok(NewFile::begin(dir, name).map_err(CrawlError::Disk)?)
        }
    });
    let Some(begun) = begun.await? else { return Ok(None) };
    let Some(file) = shared.client.extra(peer, parts, most, begun).await? else { return Ok(None) };
    let bytes = file.bytes();
    let published = shared.blocking(move || Ok(file.finish().map_err(CrawlError::Disk)?)).await?;
    Ok((published == Published::New).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lands_where_segments_lie() {
        let among = |path: &str| lies_among_segments(&path.split('/').collect::<Vec<_>>());
        assert!(among("notes/a/2019-11-13T02/x.ts") && among("notes/a/2019-11-13T02"));
        assert!(!among("notes/2019-11-13T02") && !among("notes/a/b/2019-11-13T02") && !among("notes/a.txt"));
    }
}
