//! Fetches what lies beside the channels and is to be the same everywhere: extras, by name alone.
//!
//! Nothing proves what an extra holds, so it never replaces a file, never lands where segments lie, and a round fetches only so
//! much of it, in so much time. What a peer does not have is left alone and leaves nothing behind. Only our own disk ends the
//! round: extras are worth less than what comes after them. What all rounds bring is bounded by what lies here, since a bound for a round
//! alone would let a peer fill the disk a little at a time, and retention make room for it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::report::RoundError;
use super::shared::{PeerJob, Shared};
use crate::archive::Hour;
use crate::archive::blocks::{BLOCK, on_disk};
use crate::disk::{Base, DiskError, NewFile, Published};
use crate::replicate::peer::{Peer, PeerError};
use crate::sync::crawl::CrawlError;

/// Files beneath one directory at most, here: what one listing of ours may hold.
const MOST_HERE: usize = 1_000_000;
/// Files that a round asks for at most, whatever comes of it; the next one goes on.
const MOST_TRIED: u64 = 10_000;
/// After this the rest waits for the next round: segments that appear meanwhile must not. A file that was begun is fetched to its
/// end, since it cannot be resumed.
const MOST_TIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Left {
    files: u64,
    bytes: u64,
    until: Instant,
    /// What the budget still has room for; not known until something is missing, because it takes a walk through all extras.
    room: Option<u64>,
}

impl Left {
    fn begin(bytes: u64, now: Instant) -> Self {
        Self { files: MOST_TRIED, bytes, until: now + MOST_TIME, room: None }
    }

    fn most(&self) -> u64 {
        self.bytes.min(self.room.unwrap_or(0))
    }

    fn took(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.room = self.room.map(|room| room.saturating_sub(on_disk(1, bytes)));
    }

    /// Whether one more file may be tried, which counts.
    fn try_one(&mut self, now: Instant) -> bool {
        if self.files == 0 || self.bytes == 0 || now >= self.until {
            return false;
        }
        self.files -= 1;
        true
    }
}

/// Fetches what is missing of each directory of extras. One file that fails is reported and does not hold up the others.
pub(super) async fn extras(job: &mut PeerJob) -> Result<(), RoundError> {
    let shared = Arc::clone(&job.shared);
    let mut left = Left::begin(shared.options.max_extras_bytes, Instant::now());
    for dir in &shared.options.extras {
        if shared.keeper.index().catalog().channels().contains(dir) {
            job.report.failed(format!("{dir} is a channel and cannot be fetched as extras"));
            continue;
        }
        match directory(job, dir, &mut left).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(name: "extras_go_on", peer = job.peer().name, dir, "as many extras were asked for as one round may; the rest waits for the next");
                return Ok(());
            }
            Err(error) if is_our_own(&error) => return Err(error),
            Err(error) => {
                let goes_on = !error.ends_the_round();
                job.report.failed(format!("{dir}: {error}"));
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Whether our own disk is what is wrong, or this process, so that nothing else would work either.
fn is_our_own(error: &RoundError) -> bool {
    error.ends_the_round() && !matches!(error, RoundError::Peer(error) if error.disk().is_none())
}

/// Fetches what is missing of one directory; false if the round may do no more.
async fn directory(job: &mut PeerJob, dir: &str, left: &mut Left) -> Result<bool, RoundError> {
    let (shared, peer) = (Arc::clone(&job.shared), job.peer().clone());
    let listing = match shared.client.extras(&peer, dir).await {
        Ok(listing) => listing,
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 404) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    job.asked();
    job.report.refused += listing.refused;
    let here = shared.blocking({
        let (keeper, dir) = (Arc::clone(&shared.keeper), dir.to_owned());
        move || {
            let base = keeper.guard().base().map_err(CrawlError::Away)?;
            Ok(base.walk_files(dir.as_ref(), MOST_HERE).map_err(CrawlError::Disk)?)
        }
    });
    let here = here.await?;
    let is_here = |path: &str| here.binary_search_by(|known| known.as_str().cmp(path)).is_ok();
    let mut missing: Vec<_> = listing.names.into_iter().filter(|path| !is_here(path)).collect();
    // Begun elsewhere each time: what fails again and again must not keep the rest from ever being reached.
    if let Some(from) = rand::random::<u64>().checked_rem(missing.len() as u64) {
        missing.rotate_left(usize::try_from(from).unwrap_or_default());
    }
    for path in missing {
        let parts: Vec<&str> = std::iter::once(dir).chain(path.split('/')).collect();
        if lies_among_segments(&parts) {
            job.report.refused += 1;
            continue;
        }
        if left.room.is_none() {
            left.room = Some(room(&shared).await?);
        }
        if left.room == Some(0) {
            job.report.failed(format!(
                "{dir}/{path} and what else is missing there is not fetched: directories of extras hold as much as they may; raise extras_budget in [backfill], or delete what is not wanted in {}",
                shared.options.extras.join(", ")
            ));
            return Ok(true);
        }
        if !left.try_one(Instant::now()) {
            return Ok(false);
        }
        let fetched = one(&shared, &peer, &parts, left.most()).await;
        job.followed.step();
        match fetched {
            Ok(bytes) => {
                if let Some(bytes) = bytes {
                    left.took(bytes);
                }
                job.report.extras += u64::from(bytes.is_some());
                job.report.extras_bytes += bytes.unwrap_or(0);
            }
            Err(error) if error.ends_the_round() || matches!(error, RoundError::NoInodes { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(name: "extra_not_fetched", peer = peer.name, dir, path = &*path, %error, "an extra could not be fetched");
                job.report.failed(format!("{dir}/{path}: {error}"));
            }
        }
    }
    Ok(true)
}

/// What directories of extras may still take, all of them together: by what lies there now, whoever put it there.
async fn room(shared: &Arc<Shared>) -> Result<u64, RoundError> {
    let (keeper, dirs, budget) =
        (Arc::clone(&shared.keeper), shared.options.extras.clone(), shared.options.extras_budget);
    let room = shared.blocking(move || {
        let base = keeper.guard().base().map_err(CrawlError::Away)?;
        let budget = match budget {
            Some(budget) => budget,
            None => base.free_space().map_err(CrawlError::Disk)?.1 / 10,
        };
        let held = dirs.iter().try_fold(0, |sum: u64, dir| Ok(sum.saturating_add(bytes_below(&base, Path::new(dir))?)));
        // Less than a block is room for no file.
        Ok(budget.saturating_sub(held.map_err(CrawlError::Disk)?) / BLOCK * BLOCK)
    });
    room.await
}

/// Bytes of the disk that the files beneath a directory take.
fn bytes_below(base: &Base, top: &Path) -> Result<u64, DiskError> {
    let (mut sum, mut open) = (0_u64, None);
    for path in base.walk_files(top, MOST_HERE)? {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if open.as_ref().is_none_or(|(of, _)| of != above) {
            open = base.dir(&top.join(above))?.map(|dir| (above.to_owned(), dir));
        }
        let file = open.as_ref().map(|(_, dir)| dir.stat_file(name.as_ref())).transpose()?.flatten();
        sum = sum.saturating_add(file.map_or(0, |file| on_disk(1, file.size)));
    }
    Ok(sum)
}

/// Whether a file there would make its directory an hour, and the one above it a quality, or stand in the way of one.
fn lies_among_segments(parts: &[&str]) -> bool {
    parts.get(2).is_some_and(|name| Hour::parse(name).is_ok())
}

/// Fetches one; returns its bytes, or nothing if another peer supplied it meanwhile or this one has it no more.
async fn one(shared: &Arc<Shared>, peer: &Peer, parts: &[&str], most: u64) -> Result<Option<u64>, RoundError> {
    shared.room().await?;
    let all = Arc::clone(shared);
    shared.blocking(move || all.inodes_for(1)).await?;
    let Some((name, above)) = parts.split_last() else { return Ok(None) };
    let above: Vec<String> = above.iter().map(|part| (*part).to_owned()).collect();
    let (keeper, name, made) = (Arc::clone(&shared.keeper), (*name).to_owned(), Arc::new(OnceLock::new()));
    let base = shared.blocking(move || Ok(keeper.guard().base().map_err(CrawlError::Away)?)).await?;
    let begin = {
        let (base, above, made) = (Arc::clone(&base), above.clone(), Arc::clone(&made));
        move || begin(&base, &above, &name, &made)
    };
    let answer = shared.client.extra(peer, parts, most, begin).await;
    let finished = shared.blocking(move || {
        let published = match answer {
            Ok(Some(file)) => {
                let bytes = file.bytes();
                let published = file.finish().map_err(CrawlError::Disk)?;
                Ok((published == Published::New).then_some(bytes))
            }
            Ok(None) => Ok(None),
            // What stands in the way of one file, such as a link, does not stand in the way of others.
            Err(PeerError::Disk(error)) => Err(CrawlError::Disk(error).into()),
            Err(error) => Err(error.into()),
        };
        if let (Some(there), Ok(None) | Err(_)) = (made.get(), &published) {
            let above: Vec<&str> = above.iter().map(String::as_str).collect();
            base.remove_empty_dirs(&above, *there).map_err(CrawlError::Disk)?;
        }
        published
    });
    finished.await
}

/// Begins a file, and notes how many of the directories above it were there before.
fn begin(base: &Base, above: &[String], name: &str, made: &OnceLock<usize>) -> Result<Option<NewFile>, DiskError> {
    let above: Vec<&str> = above.iter().map(String::as_str).collect();
    let there = base.dirs_there(&above)?;
    made.get_or_init(|| there);
    NewFile::begin(base.make_dirs(above)?, name)
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

    #[test]
    fn a_round_tries_only_so_many_and_only_for_so_long() {
        let now = Instant::now();
        let mut left = Left::begin(100, now);
        assert!((0..MOST_TRIED).all(|_| left.try_one(now)), "failures count like all others");
        assert!(!left.try_one(now));
        let mut late = Left::begin(100, now);
        assert!(late.try_one(now + MOST_TIME / 2) && !late.try_one(now + MOST_TIME));
        late.bytes = 0;
        assert!(!late.try_one(now));
    }

    #[test]
    fn the_next_file_has_room_in_the_round_and_in_the_budget() {
        let mut left = Left { room: Some(3 * BLOCK), ..Left::begin(100, Instant::now()) };
        left.took(50);
        assert_eq!((left.most(), left.room), (50, Some(2 * BLOCK)));
        left.took(0);
        assert_eq!((left.most(), left.room), (50, Some(BLOCK)), "an empty file is a file");
        left.took(50);
        assert_eq!((left.most(), left.room, left.bytes), (0, Some(0), 0));
    }

    #[test]
    fn blocks_are_counted_at_every_depth() {
        let tree = tempfile::tempdir().unwrap();
        for (path, bytes) in
            [("notes/a", 3), ("notes/b/c", 40), ("notes/b/d", 500), ("notes/e", 6_000), ("else", 70_000)]
        {
            std::fs::create_dir_all(tree.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(tree.path().join(path), vec![0; bytes]).unwrap();
        }
        let base = Base::open(tree.path()).unwrap();
        assert_eq!(bytes_below(&base, Path::new("notes")).unwrap(), 5 * BLOCK);
        assert_eq!(bytes_below(&base, Path::new("none")).unwrap(), 0);
    }
}
