//! Follows a peer of our kind by its change log, so that what is new there is here within a second of being old enough.
//!
//! 1. A question waits at the peer until something changes (long polling). What appears is put among what waits, with the time at
//!    which it is due; what goes is no news: nothing is concluded from what a peer does not have.
//! 2. What is due is planned and fetched like in a round, hour by hour.
//! 3. The place in the log up to which everything is done is remembered now and then, so that a restart goes on from there.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::digest_sync::PeerCursor;
use super::fetch::WhenBusy;
use super::plan::Rules;
use super::report::RoundError;
use super::round::{DeletionList, names_of};
use super::round_log;
use super::shared::{PeerJob, now};
use super::waiting::{Item, WaitingFiles};
use super::{hole_offers, mirror_names};
use crate::archive::{FileName, Hour, HourPlace, Stream, parse_file_name};
use crate::replicate::peer::{Peer, PeerClient, PeerError};
use crate::wire::{ChangeKind, ChangeList, ChangeRecord};

/// Seconds that a question waits at the peer: less than the silence that a client allows, and than what proxies allow.
const WAIT_S: u64 = 20;
/// Bytes of an answer: a thousand changes have 300 kB.
const ANSWER_BYTES: usize = 4 << 20;
/// Changes in an answer.
const LIMIT: &str = "1000";
/// How often the place in the log is remembered.
const REMEMBER: Duration = Duration::from_secs(10);
/// How long a name waits that another peer is being asked for.
const BUSY: Duration = Duration::from_millis(500);
/// An answer without changes that comes sooner has not waited for any.
const HASTY: Duration = Duration::from_secs(1);
/// Names that are planned together.
const TOGETHER: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Due,
    /// The log does not hold what comes next: digests have to be compared.
    Gap,
}

/// Follows until it is time for a round. `cursor` is where the log was read up to.
pub(super) async fn follow(
    job: &mut PeerJob,
    cursor: &mut PeerCursor,
    waiting: &mut WaitingFiles,
    until: Instant,
) -> Result<End, RoundError> {
    let mut remembered = (done_up_to(*cursor, waiting), Instant::now());
    let (client, peer) = (job.shared.client.clone(), job.peer().clone());
    let mut asked = Instant::now();
    let mut poll = Box::pin(ask(client.clone(), peer.clone(), *cursor, Duration::ZERO));
    loop {
        take_due(job, waiting).await?;
        let done = done_up_to(*cursor, waiting);
        if done != remembered.0 && remembered.1.elapsed() >= REMEMBER {
            remember(job, *cursor, waiting).await;
            remembered = (done, Instant::now());
        }
        let due = waiting.next_due().map_or(until, |due| due.min(until));
        tokio::select! {
            answer = &mut poll => {
                job.asked();
                let page: ChangeList = answer?;
                if page.gap {
                    return Ok(End::Gap);
                }
                mirror_names::heed(job, &page.changes).await;
                if !take_note(job, &page, cursor, waiting) {
                    return Ok(End::Gap);
                }
                if page.next >= page.last && !waiting.is_due(Instant::now()) {
                    job.followed.set_behind(0, job.whole && !waiting.is_retrying());
                }
                // Who has no seat for us answers at once that nothing is new.
                let hasty = page.changes.is_empty() && asked.elapsed() < HASTY;
                let pause = if hasty { HASTY.mul_f64(rand::random_range(0.5..1.5)) } else { Duration::ZERO };
                asked = Instant::now() + pause;
                poll = Box::pin(ask(client.clone(), peer.clone(), *cursor, pause));
            }
            () = sleep_until(due) => {}
            () = sleep_until(remembered.1 + REMEMBER), if done != remembered.0 => {}
        }
        if Instant::now() >= until {
            return Ok(End::Due);
        }
    }
}

async fn ask(client: PeerClient, peer: Peer, cursor: PeerCursor, pause: Duration) -> Result<ChangeList, PeerError> {
    tokio::time::sleep(pause).await;
    let (epoch, after, wait) = (format!("{:016x}", cursor.epoch), cursor.seq.to_string(), WAIT_S.to_string());
    let query = [("epoch", epoch.as_str()), ("after", &after), ("limit", LIMIT), ("wait", &wait)];
    client.get_json(&peer, &["api", "v1", "changes"], &query, ANSWER_BYTES).await
}

/// Puts what appeared among what waits. False if the log makes no sense, or there is no room: then digests are compared.
fn take_note(job: &mut PeerJob, page: &ChangeList, cursor: &mut PeerCursor, waiting: &mut WaitingFiles) -> bool {
    if page.next < cursor.seq || (page.next == cursor.seq && !page.changes.is_empty()) {
        return false;
    }
    for change in &page.changes {
        let found = relevant(job, change);
        if let Some((item, wait)) = &found
            && let FileName::Understood(key) = parse_file_name(&item.name)
        {
            job.heard(&item.place, &key);
            if !wait.is_zero() {
                hole_offers::waits(job, &item.place, &key);
            }
        }
        if let Some((item, wait)) = found
            && !waiting.push(item, Instant::now() + wait)
        {
            return false;
        }
    }
    cursor.seq = page.next;
    true
}

/// What is to be fetched, and how long it waits; nothing if it is not wanted here.
fn relevant(job: &mut PeerJob, change: &ChangeRecord) -> Option<(Item, Duration)> {
    let options = &job.shared.options;
    if change.change != ChangeKind::Put
        || !options.wants.channel(&change.channel)
        || !options.wants.quality(&change.quality)
    {
        return None;
    }
    let place = Stream::new(&change.channel, &change.quality)
        .ok()
        .zip(Hour::parse(&change.hour).ok())
        .map(|(stream, hour)| HourPlace { stream, hour });
    let (Some(place), FileName::Understood(key)) = (place, parse_file_name(&change.name)) else {
        job.report.refused += 1;
        return None;
    };
    // What is not known now is asked again when it is due.
    if !options.wants.hour(place.hour) || job.leaves_future(place.hour) || !job.shared.keeps(&place).unwrap_or(true) {
        return None;
    }
    if !key.tombstone && !job.takes_files(&place) && job.layout_unusable().is_none() {
        return None;
    }
    let (now, cutoff) = (now(), options.cutoff);
    let rules = Rules::taking_all(place.hour, now, cutoff);
    let wait = if key.tombstone { Duration::ZERO } else { until_eligible(&rules, rules.eligible(&key)) };
    Some((Item { place, name: change.name.as_str().into(), seq: Some(change.seq), tries: 0 }, wait))
}

/// How long something waits that is eligible at this time: at most one cutoff from when it was first seen, so that a clock that is
/// wrong costs no more than that.
pub(super) fn until_eligible(rules: &Rules, eligible: crate::archive::Timestamp) -> Duration {
    let us = (eligible - rules.now).us().clamp(0, rules.cutoff.us().max(0));
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

pub(super) async fn take_due(job: &mut PeerJob, waiting: &mut WaitingFiles) -> Result<(), RoundError> {
    let mut worked = false;
    loop {
        let items = waiting.take_due(Instant::now(), TOGETHER);
        let Some(place) = items.first().map(|item| item.place.clone()) else {
            if worked {
                job.followed.has_fetched();
                job.followed.set_behind(0, job.whole && !waiting.is_retrying());
            }
            return Ok(());
        };
        worked = true;
        job.followed.fetches();
        job.followed.set_behind(items.len() as u64, false);
        let names: Vec<Box<str>> = items.iter().map(|item| item.name.clone()).collect();
        let done = match job.shared.room().await {
            Ok(()) => names_of(job, &place, &names, WhenBusy::Due, DeletionList::Taken, None).await,
            Err(error) => Err(error),
        };
        let ends = done.as_ref().err().is_some_and(RoundError::ends_the_round);
        wait_again(job, waiting, items, done.is_err());
        waiting.hands_are_empty();
        match done {
            Err(error) if ends => return Err(error),
            Err(error) => job.report.failed(format!("{place}: {error}")),
            Ok(()) => {}
        }
        job.unsettled.clear();
        round_log::went_on(job);
    }
}

fn wait_again(job: &mut PeerJob, waiting: &mut WaitingFiles, items: Vec<Item>, all: bool) {
    let now = Instant::now();
    let busy: Vec<Box<str>> = std::mem::take(&mut job.busy).into_iter().map(|(_, name)| name).collect();
    let failed: Vec<Box<str>> = std::mem::take(&mut job.failed).into_iter().map(|(_, name)| name).collect();
    for item in items {
        if all || failed.contains(&item.name) {
            waiting.again(item, now);
        } else if busy.contains(&item.name) {
            waiting.push(item, now + BUSY);
        }
    }
}

/// The number in the log up to which everything is done here.
fn done_up_to(cursor: PeerCursor, waiting: &WaitingFiles) -> u64 {
    waiting.first_seq().map_or(cursor.seq, |first| cursor.seq.min(first.saturating_sub(1)))
}

/// Stores how far the peer is followed, and its state. If this fails, a restart costs a comparison.
pub(super) async fn remember(job: &PeerJob, cursor: PeerCursor, waiting: &WaitingFiles) {
    let row = job.followed.row(Some((cursor.epoch, done_up_to(cursor, waiting))));
    keep(job, row).await;
}

/// Stores that the peer is not followed, and its state.
pub(super) async fn remember_unfollowed(job: &PeerJob) {
    let row = job.followed.row(None);
    keep(job, row).await;
}

async fn keep(job: &PeerJob, row: crate::index::PeerRow) {
    let name = job.peer().name.clone();
    let generation = job.shared.keeper.index().catalog().generation();
    let written = job.shared.with_keeper(move |keeper| Ok(keeper.index().remember_peer(&name, row, generation)?)).await;
    if let Err(error) = written {
        tracing::debug!(name: "peer_not_remembered", peer = job.peer().name, %error, "how far a peer is followed could not be remembered");
    }
}
