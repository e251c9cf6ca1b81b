//! One round with one peer: compare, list what differs, take it over. Newest hour first. A peer without digests is asked list by list; what
//! it lists and is no channel is passed over.

use std::collections::HashSet;
use std::sync::Arc;

use super::digest_sync::{self, MOST_REQUESTS, PeerCursor, Promise, SyncResult, agree, or_reported};
use super::fetch::{HourRoom, WhenBusy, take_over};
use super::hole_offers::Offers;
use super::plan::Rules;
use super::publish::TOLD;
use super::report::RoundError;
use super::shared::{NamedFile, PeerJob, now};
use super::{budget, deletions, layout_exchange, tombstone_intake, waiting};
use crate::archive::guards::Guard;
use crate::archive::time::SECOND_US;
use crate::archive::totals::{Digest, HourTotals};
use crate::archive::{FileName, HourContents, HourPlace, SegmentKey, Span, Stream, Timestamp, parse_file_name};
use crate::replicate::peer::{HourListing, ListRead, Listing, PeerError, unless_no_channel};
use crate::sync::crawl::{Allowance, CrawlError};

/// Of so many lists of a peer of the fixed part that are as they were, one is read all the same.
const MISTRUST: u32 = 40;
/// What is older is no measure of what is recorded now.
const JUST_NOW: Span = Span::from_us(120 * SECOND_US);
/// Names that are worked through in some milliseconds.
const MANY: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoundResult {
    /// To its end, with a peer that can be followed from here.
    Kind(PeerCursor),
    Fixed,
    Itself,
}

/// One round. What was done before an error is in the job's report, and what is to be looked at again is in the job.
pub(super) async fn round(job: &mut PeerJob) -> Result<RoundResult, RoundError> {
    if let Err(no_room) = job.shared.room().await {
        if matches!(no_room, RoundError::NoRoom { .. }) {
            layout_exchange::ask(job).await?;
        }
        return Err(no_room);
    }
    job.followed.begin(0);
    let (places, differences) = match agree(job).await? {
        SyncResult::Itself => return Ok(RoundResult::Itself),
        SyncResult::FixedPart => (listed(job).await?.into_iter().map(|place| (place, None)).collect(), None),
        SyncResult::Differs(mut found) => {
            let places = std::mem::take(&mut found.places).into_iter();
            (places.map(|(place, promised)| (place, Some(promised))).collect::<Vec<_>>(), Some(found))
        }
    };
    let is_ours = differences.is_some();
    job.followed.update(|status| status.is_ours = Some(is_ours));
    job.followed.set_behind(differences.as_ref().map_or(0, |found| found.behind), places.is_empty());
    job.followed.begin(places.len());
    for (place, promised) in places {
        let done = hour(job, &place, promised).await;
        if let Err(error) = done
            && !matches!(error, RoundError::Retired(_))
        {
            job.unsettled.insert(place.clone());
            if error.ends_the_round() {
                return Err(error);
            }
            job.shared.parts.knowledge.not_asked(&job.peer().name, &place, now());
            // Of a channel in doubt these can be very many, and the doubt was reported.
            if matches!(error, RoundError::Crawl(CrawlError::Doubt(_))) {
                job.report.failed(format!("{place}: {error}"));
                job.followed.hour_done();
                continue;
            }
            // All of them at once, where it is this node's disk that fails.
            if job.report.errors < TOLD {
                tracing::warn!(name: "hour_not_backfilled", peer = job.peer().name, hour = %place, %error, "an hour of a peer could not be fetched");
            }
            job.report.failed(format!("{place}: {error}"));
        }
        job.followed.hour_done();
    }
    let cursor = differences.as_ref().and_then(|differences| differences.cursor);
    if let Some(differences) = differences {
        differences.settle(job);
    }
    match super::extras::extras(job).await {
        // A peer whose extras do not come is followed all the same.
        Err(RoundError::Peer(error)) if error.disk().is_none() => job.report.failed(error),
        done => done?,
    }
    Ok(cursor.map_or(RoundResult::Fixed, RoundResult::Kind))
}

/// Looks once more at what another peer was being asked for: it may not have had it after all.
pub(super) async fn second_look(job: &mut PeerJob) -> Result<(), RoundError> {
    let busy = std::mem::take(&mut job.busy);
    for (place, names) in by_hour(busy) {
        match names_of(job, &place, &names, WhenBusy::Wait, DeletionList::Taken, None).await {
            Err(error) if error.ends_the_round() => return Err(error),
            Err(error) => job.report.failed(format!("{place}: {error}")),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn by_hour(names: Vec<NamedFile>) -> Vec<(HourPlace, Vec<Box<str>>)> {
    let mut hours: std::collections::BTreeMap<HourPlace, Vec<Box<str>>> = std::collections::BTreeMap::new();
    for (place, name) in names {
        hours.entry(place).or_default().push(name);
    }
    hours.into_iter().collect()
}

pub(super) fn counted<T>(listing: Listing<T>, job: &mut PeerJob) -> Vec<T> {
    job.asked();
    job.report.refused += listing.refused;
    listing.names
}

/// Takes over an hour. Of a peer of our kind the list has to add up to its digest.
async fn hour(job: &mut PeerJob, place: &HourPlace, promise: Option<Promise>) -> Result<(), RoundError> {
    job.report.hours += 1;
    if let Some(Promise { ours, theirs }) = promise {
        let (names, adds_up) = list_of(job, place, theirs).await?;
        let deletions = if adds_up { DeletionList::Taken } else { DeletionList::Doubted };
        return names_of(job, place, &names, WhenBusy::Leave, deletions, Some(ours)).await;
    }
    let Some((names, (ours, seen))) = unless_settled(job, place).await? else { return Ok(()) };
    names_of(job, place, &names, WhenBusy::Leave, DeletionList::Taken, Some(ours)).await?;
    if !job.unsettled.contains(place) {
        job.shared.memory.settle_list(job.era, &job.peer().name, place.clone(), ours.to_string(), seen);
    }
    Ok(())
}

/// The list of an hour, and whether it adds up to its digest. If it does not, because of a change in between or a line that
/// garbles, both are asked for once more.
async fn list_of(job: &mut PeerJob, place: &HourPlace, promised: Digest) -> Result<(Vec<Box<str>>, bool), RoundError> {
    let stream = &place.stream;
    let listed = job.shared.client.segments(job.peer(), &stream.channel, &stream.quality, place.hour).await?;
    let names = counted(listed, job);
    if digest_of(&names) == promised {
        return Ok((names, true));
    }
    let Some(promised_now) = digest_sync::promised(job, place).await? else { return Ok((names, false)) };
    let listed_now = job.shared.client.segments(job.peer(), &stream.channel, &stream.quality, place.hour).await?;
    let names_now = counted(listed_now, job);
    let adds_up = digest_of(&names_now) == promised_now;
    if !adds_up {
        tracing::debug!(name: "list_does_not_add_up", peer = job.peer().name, hour = %place, "a list is not the one of its digest; it is compared again in the next round");
    }
    // What it was before is settled by nothing.
    job.unsettled.insert(place.clone());
    Ok((names_now, adds_up))
}

/// What the names that are replicated add up to.
fn digest_of(names: &[Box<str>]) -> Digest {
    heavy(names.len(), || HourTotals::of(&HourContents::from_names(names.iter().map(|name| (&**name, 0)))).digest)
}

/// Does work about so many names, and lets others have the thread's place where they are very many.
pub(super) fn heavy<T>(names: usize, work: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if names > MANY && flavor == tokio::runtime::RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeletionList {
    Taken,
    /// Waits for a list that adds up: a tombstone that was garbled would be one for ever, and everywhere.
    Doubted,
}

/// A list of the peer, and what to remember if it leaves nothing to do.
type OfTheFixedPart = (Vec<Box<str>>, (Digest, ListRead));

/// What a peer of the fixed part lists of an hour; nothing if that left nothing to do before, and ours is as it was then.
async fn unless_settled(job: &mut PeerJob, place: &HourPlace) -> Result<Option<OfTheFixedPart>, RoundError> {
    let at = place.clone();
    let row = job.shared.with_keeper(move |keeper| {
        keeper.ensure(&at)?;
        Ok(keeper.index().hour_row(&at.stream.to_string(), at.hour)?)
    });
    let ours = row.await?.map(|row| row.totals.digest).unwrap_or_default();
    let known = job.shared.memory.list(&job.peer().name, place, &ours.to_string());
    // Now and then it is read although it is as it was: what is remembered may have been garbled on its way.
    let seen = known.filter(|_| !rand::random_ratio(1, MISTRUST));
    let listed = job.shared.client.segments_unless(job.peer(), place, seen.as_ref()).await?;
    match listed {
        HourListing::Same => {
            job.asked();
            Ok(None)
        }
        HourListing::Names(names, new) => Ok(Some((counted(names, job), (ours, new)))),
    }
}

/// Plans and does what is to be done about these names of a peer.
pub(super) async fn names_of(
    job: &mut PeerJob,
    place: &HourPlace,
    names: &[Box<str>],
    busy: WhenBusy,
    deletions: DeletionList,
    ours: Option<Digest>,
) -> Result<(), RoundError> {
    if !job.shared.keeps(place)? {
        // It was retired since the round began.
        job.unsettled.insert(place.clone());
        return Ok(());
    }
    let cutoff = if busy == WhenBusy::Due { Span::from_us(0) } else { job.shared.options.cutoff };
    if busy == WhenBusy::Leave {
        hear(job, place, names);
    }
    let local = contents(job, place).await?;
    let remote: Vec<&str> = names.iter().map(|name| &**name).collect();
    let rules = Rules {
        hour: place.hour,
        // What is due has waited long enough, whatever the clock says.
        now: if busy == WhenBusy::Due { Timestamp::from_us(i64::MAX) } else { now() },
        cutoff,
        oldest: job.shared.options.wants.start,
        wanted: true,
        trusted: job.peer().trusted,
        hides_equal: job.shared.keeper.guards().stands(Guard::ContentTwin),
        keeps_one_name: true,
        takes_all_names: job.keeps_for_others(place),
    };
    let allowance = budget::allowance(job, &place.stream).await?;
    let fetches = job.takes_files(place) && !matches!(allowance, Allowance::Full(_));
    let mut plan = deletions::planned(job, place, &local, &remote, &rules, fetches).await?;
    job.followed.update(|status| status.skews.note(&place.stream, &plan.shifts));
    let mut is_known = Ok(());
    let mut is_fine = |name: &str| {
        !job.shared.is_bad_name(place, name).unwrap_or_else(|error| {
            is_known = Err(error);
            true
        })
    };
    plan.fetch.retain(|offer| is_fine(offer.name));
    plan.later.retain(|(offer, _)| is_fine(offer.name));
    is_known?;
    if deletions == DeletionList::Doubted {
        if !plan.tombstones.is_empty() {
            plan.tombstones.clear();
            job.report.failed(format!(
                "{place}: the list does not add up to its digest; its tombstones wait for one that does"
            ));
        }
        job.unsettled.insert(place.clone());
    }
    let is_empty = local.files().iter().all(|file| file.key.tombstone);
    job.leave_to_owners(place, &mut plan);
    // What was compared is settled for the digest that it was compared at.
    if plan.is_empty() && ours.is_some_and(|ours| ours != HourTotals::of(&local).digest) {
        job.unsettled.insert(place.clone());
    }
    if !plan.is_empty() || !plan.later.is_empty() {
        job.unsettled.insert(place.clone());
    }
    if let Allowance::Full(why) = &allowance {
        budget::only_tombstones(job, place, &mut plan, is_empty, why);
        return tombstone_intake::of_plan(job, place, &plan, busy != WhenBusy::Wait).await.map(drop);
    }
    let room = waiting::MOST.saturating_sub(job.later.len());
    let later = plan.later.iter().take(room);
    job.later.extend(later.map(|(offer, eligible)| ((place.clone(), offer.name.into()), *eligible)));
    let offers = Offers::report(job, place, names, &plan, busy);
    let beside_own = if is_empty { None } else { budget::beside_own(job, place, &mut plan) };
    let here = HourRoom { is_empty, allowance, beside_own };
    let failed = job.failed.len();
    let mut done = take_over(job, place, &plan, busy, &here).await;
    if done.is_ok() && !job.gone.is_empty() {
        done = look_again(job, place).await;
    }
    offers.were_asked_for(job, place, failed, done.is_ok());
    done
}

/// What a peer has just recorded.
fn hear(job: &PeerJob, place: &HourPlace, names: &[Box<str>]) {
    let now = now();
    if place.hour < now.hour().previous() {
        return;
    }
    for key in names.iter().filter_map(|name| understood(name)) {
        if now - key.end(place.hour) <= JUST_NOW {
            job.heard(place, &key);
        }
    }
}

fn understood(name: &str) -> Option<SegmentKey> {
    if let FileName::Understood(key) = parse_file_name(name) { Some(key) } else { None }
}

/// A peer that has a file no more lists it no more. One that goes on listing what it does not give has a file that is missing here.
async fn look_again(job: &mut PeerJob, place: &HourPlace) -> Result<(), RoundError> {
    // What an error in another hour has left here is not this one's.
    let (gone, of_others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut job.gone).into_iter().partition(|(at, _)| at == place);
    job.gone = of_others;
    if gone.is_empty() {
        return Ok(());
    }
    let listing =
        job.shared.client.segments(job.peer(), &place.stream.channel, &place.stream.quality, place.hour).await;
    let names = match or_reported(listing, job)? {
        Some(listing) => counted(listing, job),
        None => return Ok(()),
    };
    let listed = heavy(names.len(), || names.into_iter().collect::<HashSet<_>>());
    for (_, name) in gone.into_iter().filter(|(_, name)| listed.contains(name)) {
        job.report.gone = job.report.gone.saturating_sub(1);
        job.report.failed(format!("{place}/{name}: the peer lists it, and answers that there is no such file"));
        PeerJob::note(&mut job.failed, [(place.clone(), name)]);
        job.unsettled.insert(place.clone());
    }
    Ok(())
}

async fn contents(job: &PeerJob, place: &HourPlace) -> Result<HourContents, RoundError> {
    let place = place.clone();
    job.shared.with_keeper(move |keeper| Ok(keeper.answer(&place)?.contents)).await
}

/// Hours after which the listing of a peer ends: a hundred years of a stream.
const MOST_HOURS: usize = 1_000_000;

/// Every hour that a peer of the fixed part lists and that is wanted, newest first.
pub(super) async fn listed(job: &mut PeerJob) -> Result<Vec<HourPlace>, RoundError> {
    let (shared, peer) = (Arc::clone(&job.shared), job.peer().clone());
    let (client, options) = (&shared.client, &shared.options);
    let mut places = Vec::new();
    let channels = counted(client.channels(&peer).await?, job);
    for channel in channels.into_iter().filter(|name| options.wants.channel(name.as_str())) {
        let answer = client.qualities(&peer, &channel).await;
        let is_channel = is_known(job, channel.as_str(), None);
        let Some(qualities) = or_passed_over(answer, is_channel, &channel, job)? else { continue };
        let qualities = counted(qualities, job);
        for quality in qualities.into_iter().filter(|name| options.wants.quality(name.as_str())) {
            let stream = Stream { channel: channel.clone(), quality };
            if budget::leaves_out(job, &stream).await? {
                continue;
            }
            let listed = client.hours(&peer, &channel, &stream.quality).await;
            let is_known_quality = is_known(job, channel.as_str(), Some(stream.quality.as_str()));
            let Some(hours) = or_passed_over(listed, is_known_quality, &stream, job)? else { continue };
            let hours = counted(hours, job);
            if !hours.is_empty() {
                shared.memory.lists(&peer.name, &stream);
            }
            let wanted = hours.into_iter().filter(|hour| options.wants.hour(*hour));
            for hour in wanted {
                let place = HourPlace { stream: stream.clone(), hour };
                if job.leaves_future(hour) {
                    job.report.future = job.report.future.saturating_add(1);
                    continue;
                }
                if job.shared.keeps(&place)? {
                    places.push(place);
                }
            }
            if places.len() >= MOST_HOURS || job.report.requests >= MOST_REQUESTS {
                job.is_partly_asked = true;
                job.report.failed("it lists more hours than one round looks at; the rest is left out");
                shared.keeper.newest_first(&mut places);
                return Ok(places);
            }
        }
    }
    shared.keeper.newest_first(&mut places);
    Ok(places)
}

/// Whether this is known to be a channel, or a quality of it: it is here, the peer listed hours of it before, or somebody asked for it
/// by name.
fn is_known(job: &PeerJob, channel: &str, quality: Option<&str>) -> bool {
    let wants = &job.shared.options.wants;
    let is_it = |stream: &Stream| {
        stream.channel.as_str() == channel && quality.is_none_or(|quality| stream.quality.as_str() == quality)
    };
    let is_named = wants.channels.contains(channel) && quality.is_none_or(|quality| wants.qualities.contains(quality));
    is_named
        || job.shared.keeper.index().catalog().streams().iter().any(is_it)
        || job.shared.memory.has_listed(&job.peer().name, is_it)
}

/// What a peer lists; nothing where that is no channel of its, which is counted, or where the answer is bad, which is in the report.
fn or_passed_over<T>(
    answer: Result<T, PeerError>,
    is_known: bool,
    name: &impl std::fmt::Display,
    job: &mut PeerJob,
) -> Result<Option<T>, RoundError> {
    match unless_no_channel(answer, is_known) {
        Ok(None) => {
            job.asked();
            job.report.pass_over(name);
            Ok(None)
        }
        Ok(Some(listing)) => Ok(Some(listing)),
        Err(error) => or_reported(Err(error), job),
    }
}
