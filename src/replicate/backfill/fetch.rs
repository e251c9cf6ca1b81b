//! Takes over one hour of a peer as it was planned: tombstones first (`take`), then what is missing, in random order.
//!
//! Small files come many in one answer where the peer can do that (`bundle_fetch`), the others one by one, several at a time. What
//! was published is flushed and indexed in groups. After the first file that finds no room in the peer's budget nothing
//! more of the hour is asked for.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::plan::{HourPlan, SkipReason};
use super::publish;
use super::publish::{count, gone, index, may_go_on, not_fetched, unless_occupied};
use super::report::RoundError;
use super::shared::{PeerJob, Shared, now};
use super::targets::HourTarget;
use super::tombstone_intake;
use super::{budget, bundle_fetch};
use crate::archive::HourPlace;
use crate::archive::name::tombstone_of;
use crate::disk::{Dir, Download, MissingFile, Pause, Published, Verified};
use crate::replicate::remote::{Given, PeerRemote, Remote, SegmentIntake};
use crate::sync::crawl::{Allowance, CrawlError};

/// Files whose directory is flushed and that are indexed together.
const GROUP: usize = 64;
/// How long the first of them waits for the others.
const GROUP_TIME: Duration = Duration::from_millis(200);

/// So many times the downloads at once may be on their way or being flushed: a flush waits for the disk, and not for the peer.
const FLUSHING: usize = 3;
/// What to do about a file that another peer is being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenBusy {
    Leave,
    /// Leave it, and note it; the names have waited long enough to be fetched.
    Due,
    /// Wait until it is here, or known not to come from there.
    Wait,
}

/// What of an hour is here, and how much may be added.
pub(super) struct HourRoom {
    pub(super) is_empty: bool,
    pub(super) allowance: Allowance,
    /// What may be added to what was recorded here, where something was.
    pub(super) beside_own: Option<u64>,
}

impl HourRoom {
    fn for_files(&self) -> Allowance {
        match (&self.allowance, self.beside_own) {
            (Allowance::Bytes(left), Some(beside)) => Allowance::Bytes(beside.min(*left)),
            (Allowance::Unbounded, Some(beside)) if beside < u64::MAX => Allowance::Bytes(beside),
            (allowance, _) => allowance.clone(),
        }
    }
}

/// Carries out the plan for an hour. What does not work is in the report, and so is what was done before an error.
pub(super) async fn take_over(
    job: &mut PeerJob,
    place: &HourPlace,
    plan: &HourPlan<'_>,
    busy: WhenBusy,
    room: &HourRoom,
) -> Result<(), RoundError> {
    if busy != WhenBusy::Wait {
        count_what_is_left(job, place, plan);
    }
    let took = tombstone_intake::of_plan(job, place, plan, busy != WhenBusy::Wait).await?;
    if plan.fetch.is_empty() {
        if took.new > 0 && busy != WhenBusy::Due {
            job.shared.metrics.hour(&job.peer().name, place);
        }
        return Ok(());
    }
    // The directory is one, too.
    let shared = Arc::clone(&job.shared);
    job.shared.blocking(move || shared.inodes_for(1)).await?;
    let target = target(job, place, room).await?;
    let before = job.report.fetched;
    let done = missing(job, &target, plan, busy).await;
    if job.report.fetched == before && took.new == 0 {
        // A recorder may be about to write into an hour that runs.
        if place.hour < now().hour().previous() {
            nothing_arrived(job, target).await?;
        }
    } else if busy != WhenBusy::Due {
        job.shared.metrics.hour(&job.peer().name, place);
    }
    done
}

fn count_what_is_left(job: &mut PeerJob, place: &HourPlace, plan: &HourPlan<'_>) {
    let mut near = 0;
    for (_, why) in &plan.leave {
        match why {
            SkipReason::NearDuplicate => near += 1,
            SkipReason::Twin | SkipReason::LaterTwin => job.report.twins += 1,
            SkipReason::TooRecent => job.report.too_recent += 1,
            SkipReason::Untrusted => job.report.untrusted += 1,
            _ => {}
        }
    }
    job.report.near_duplicates += near;
    job.shared.metrics.small_differences(&job.peer().name, place, near);
}

async fn target(job: &PeerJob, place: &HourPlace, room: &HourRoom) -> Result<Arc<HourTarget>, RoundError> {
    let (at, targets, keeper) = (place.clone(), job.shared.targets.clone(), Arc::clone(&job.shared.keeper));
    let (peer, allowance, is_empty) = (job.peer().name.clone(), room.for_files(), room.is_empty);
    let opening = job.shared.blocking(move || {
        let base = keeper.guard().base().map_err(CrawlError::Away)?;
        let filling = keeper.fill(&peer, &at, is_empty, &allowance)?;
        Ok(Arc::new(targets.open(&base, &at)?.filled_by(filling)))
    });
    opening.await
}

/// Nothing came: a directory that only a peer's word has made is not left behind.
async fn nothing_arrived(job: &PeerJob, target: Arc<HourTarget>) -> Result<(), RoundError> {
    let keeper = Arc::clone(&job.shared.keeper);
    let removing = job.shared.blocking(move || {
        let base = keeper.guard().base().map_err(CrawlError::Away)?;
        if target.remove_if_in_vain(&base)? {
            keeper.reconcile(std::slice::from_ref(&target.place), true)?;
        }
        Ok(())
    });
    removing.await
}

async fn missing(
    job: &mut PeerJob,
    target: &Arc<HourTarget>,
    plan: &HourPlan<'_>,
    busy: WhenBusy,
) -> Result<(), RoundError> {
    let wanted: Vec<MissingFile> =
        plan.fetch.iter().map(|offer| MissingFile { name: offer.name.into(), hash: offer.key.hash }).collect();
    let (keeper, at) = (Arc::clone(&job.shared.keeper), Arc::clone(target));
    let sorting = job.shared.blocking(move || unless_occupied(&keeper, &at.dir, wanted));
    let (mut files, occupied) = sorting.await?;
    for (name, error) in occupied {
        not_fetched(job, target, name, &error);
    }
    // Several nodes, or peers, do not ask for the same thing at once.
    files.shuffle(&mut rand::rng());
    let is_node = job.followed.status().is_ours == Some(true);
    let remote = PeerRemote::new(&job.shared.client, job.peer(), is_node);
    if remote.capabilities().bundles && files.len() >= bundle_fetch::FEW && busy != WhenBusy::Wait {
        files = bundle_fetch::fetch(job, target, files).await?;
    }
    one_by_one(job, &Arc::new(remote), target, files, busy).await
}

/// Fetches files, as many at once as the peer is asked for.
async fn one_by_one<R>(
    job: &mut PeerJob,
    remote: &Arc<R>,
    target: &Arc<HourTarget>,
    files: Vec<MissingFile>,
    busy: WhenBusy,
) -> Result<(), RoundError>
where
    R: Remote + Send + 'static,
    RoundError: From<R::Error>,
{
    let mut waiting = files.into_iter();
    let mut tasks = JoinSet::new();
    let share = job.shared.share();
    let turns = Arc::new(Semaphore::new(share));
    let (mut group, mut since) = (Vec::new(), Instant::now());
    let mut ends = None;
    loop {
        while ends.is_none() && !target.is_full() && tasks.len() < share * FLUSHING {
            let Some(file) = waiting.next() else { break };
            let (shared, from, at) = (Arc::clone(&job.shared), Arc::clone(remote), Arc::clone(target));
            let turns = Arc::clone(&turns);
            tasks.spawn(async move {
                let fetched = one(&shared, &*from, &at, &file, busy, &turns).await;
                (file.name, fetched)
            });
        }
        let next = tokio::time::timeout_at(since + GROUP_TIME, tasks.join_next()).await;
        let ended = matches!(next, Ok(None));
        if let Ok(Some(done)) = next {
            if group.is_empty() {
                since = Instant::now();
            }
            if let Err(error) = note(job, target, done, &mut group) {
                ends = Some(error);
            }
        }
        let is_time = group.len() >= GROUP || since.elapsed() >= GROUP_TIME;
        if !group.is_empty() && (ended || is_time || tasks.is_empty()) {
            let names = std::mem::take(&mut group);
            settle(job, target, names).await?;
            if ends.is_none() && !ended {
                ends = may_go_on(job, target).await.err();
            }
            if matches!(ends, Some(RoundError::NoRoom { .. })) {
                tasks.abort_all();
            }
        } else if is_time {
            since = Instant::now();
        }
        if ended {
            return ends.map_or(Ok(()), Err);
        }
    }
}

/// Notes what became of a file; an error if it is of no use to go on.
fn note(
    job: &mut PeerJob,
    target: &Arc<HourTarget>,
    done: Result<(Box<str>, Result<Fetched, RoundError>), tokio::task::JoinError>,
    group: &mut Vec<Box<str>>,
) -> Result<(), RoundError> {
    job.followed.step();
    let (name, fetched) = match done {
        Ok(done) => done,
        // It was given up by us.
        Err(error) if error.is_cancelled() => return Ok(()),
        Err(error) => return Err(RoundError::Thread(error.to_string())),
    };
    match fetched {
        Ok(Fetched::Published(bytes)) => {
            count(job, &target.place, 1, bytes);
            group.push(name);
        }
        Ok(Fetched::Nothing) => {}
        Ok(Fetched::Gone) => gone(job, &target.place, name),
        Ok(Fetched::OverBudget) => budget::no_room_for_files(job, &target.place.stream, 1),
        Ok(Fetched::Busy) => {
            job.report.elsewhere += 1;
            PeerJob::note(&mut job.busy, [(target.place.clone(), name)]);
        }
        Err(error) => {
            let ends = error.ends_the_round() || matches!(error, RoundError::NoInodes { .. });
            not_fetched(job, target, name, &error);
            if ends {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Flushes the directory for what was published, and indexes it.
async fn settle(job: &PeerJob, target: &Arc<HourTarget>, names: Vec<Box<str>>) -> Result<(), RoundError> {
    let (keeper, at) = (Arc::clone(&job.shared.keeper), Arc::clone(target));
    job.shared
        .blocking(move || {
            crate::disk::atomic::sync_dir(&at.dir).map_err(CrawlError::Disk)?;
            index(&keeper, &at, &names)
        })
        .await
}

enum Fetched {
    Published(u64),
    /// It is here by now, or has been deleted by now.
    Nothing,
    Gone,
    Busy,
    /// There is no room for it in the peer's budget.
    OverBudget,
}

async fn one<R>(
    shared: &Arc<Shared>,
    remote: &R,
    target: &Arc<HourTarget>,
    file: &MissingFile,
    busy: WhenBusy,
    turns: &Semaphore,
) -> Result<Fetched, RoundError>
where
    R: Remote,
    RoundError: From<R::Error>,
{
    let turn = turns.acquire().await.map_err(|error| RoundError::Thread(error.to_string()))?;
    if target.is_full() {
        return Ok(Fetched::Nothing);
    }
    let claim = match busy {
        WhenBusy::Wait => shared.claims.claim_when_free(&target.place, &file.name).await,
        WhenBusy::Leave | WhenBusy::Due => match shared.claims.claim(&target.place, &file.name) {
            Some(claim) => claim,
            None => return Ok(Fetched::Busy),
        },
    };
    let (all, dir, name) = (Arc::clone(shared), Arc::clone(&target.dir), file.name.clone());
    let unless_settled = move || {
        all.inodes_for(1)?;
        // Since it was planned another peer may have given it, or its tombstone.
        let is_settled = is_there(&dir, &name)? || is_there(&dir, &tombstone_of(&name))?;
        if is_settled { Ok(None) } else { Ok(Some(Download::begin(dir, &name)?)) }
    };
    let Some(begun) = shared.blocking(unless_settled).await? else { return Ok(Fetched::Nothing) };
    let touch = |pause| match pause {
        Pause::Ours => claim.hold(),
        Pause::Theirs => claim.touch(),
    };
    let mut intake = SegmentIntake::<RoundError, _>::new(begun, target.room(), touch);
    remote.open(&target.place, std::slice::from_ref(file), &mut intake).await?;
    let given = intake.given()?;
    // While it is flushed the peer is asked for the next one.
    drop(turn);
    claim.hold();
    let (download, bytes) = match given {
        Given::Whole { download, bytes } => (download, bytes),
        Given::Gone => return Ok(Fetched::Gone),
        Given::TooLarge => {
            target.fill_up();
            return Ok(Fetched::OverBudget);
        }
    };
    let hash = file.hash;
    if !target.take(bytes) {
        return Ok(Fetched::OverBudget);
    }
    let (sharing, at, called) = (Arc::clone(shared), Arc::clone(target), file.name.clone());
    let from = remote.name().to_owned();
    let publishing = move || {
        let verified = download.verify(&hash).inspect_err(|_| at.give_back(bytes))?;
        let noting = |names: &[&str]| publish::note(&sharing, &from, &at, names);
        let each = |files: Vec<Verified>| Ok(files.into_iter().map(Verified::finish).collect());
        let outcomes = publish::publish((&sharing.keeper, &at), vec![(&*called, verified)], noting, each)?;
        Ok(outcomes.into_iter().next().transpose()?.unwrap_or(Published::AlreadyThere))
    };
    let published = shared.blocking(publishing).await?;
    drop(claim);
    Ok(if published == Published::New { Fetched::Published(bytes) } else { Fetched::Nothing })
}

pub(super) fn is_there(dir: &Dir, name: &str) -> Result<bool, RoundError> {
    Ok(dir.stat_file(OsStr::new(name)).map_err(CrawlError::Disk)?.is_some())
}
