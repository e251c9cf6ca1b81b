//! Takes over a peer's tombstones, or lets them wait for the operator.
//!
//! 1. What hides nothing that was here is taken at once, whatever else waits.
//! 2. The others are weighed together with all that peers have hidden of late (`bursts`), by what lies here.
//! 3. What hides nothing under its name has to find room (`made_up`).
//! 4. What waits is remembered: what it would hide is fetched from nobody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::arrivals::ArrivalMark;
use super::budget;
use super::error::RoundError;
use super::fetch_outcome::{index, looked_at};
use super::job::PeerJob;
use super::report::MOST_BURSTS;
use super::shared::Shared;
use super::tombstone_bursts::BurstLock;
use super::tombstones_of_unseen_names::UnseenNames;
use crate::archive::burst::{OfHour, Source, of_hour};
use crate::archive::guards::Guard;
use crate::archive::plan::{HourPlan, PeerOffer};
use crate::archive::{HourContents, HourPlace, SegmentFile, name};
use crate::disk::{DiskError, Published, write_tombstone};
use crate::sync::crawl::CrawlError;
use crate::wire::TombstoneNote;

/// Whose word it is.
#[derive(Debug, Clone)]
pub(super) struct TombstoneAuthor {
    /// The peer.
    pub(super) peer: String,
    /// When it was asked.
    pub(super) began: ArrivalMark,
    /// The operator has accepted whatever it says.
    pub(super) accepted: bool,
}

/// What became of tombstones.
#[derive(Debug, Default)]
pub(super) struct IntakeResult {
    /// Those that are new here.
    pub(super) new: u64,
    /// Why the others wait.
    pub(super) waits: Option<String>,
    /// Those for names that are not here, and for which there is no room.
    no_room: u64,
    /// Those whose names are occupied, and what lies there; and what else keeps some from being written.
    errors: Vec<(Box<str>, RoundError)>,
    /// Those that were to be written and are not.
    unwritten: HashSet<Box<str>>,
}

/// Takes over those of a plan.
pub(super) async fn of_plan(
    job: &mut PeerJob,
    place: &HourPlace,
    plan: &HourPlan<'_>,
    tells: bool,
) -> Result<IntakeResult, RoundError> {
    if plan.tombstones.is_empty() {
        return Ok(IntakeResult::default());
    }
    let names: Vec<Box<str>> = plan.tombstones.iter().map(|offer| offer.name.into()).collect();
    let notes = super::tombstone_reasons::of(job, place, &names).await;
    let files = plan.tombstones.iter().map(PeerOffer::file).collect();
    let word = TombstoneAuthor {
        peer: job.peer().name.clone(),
        began: job.began,
        // Both the configuration and the operator may have given their word.
        accepted: job.shared.options.accept_bursts || job.accept_bursts,
    };
    let mut took = of_hour_of(&job.shared, word, place, files, notes).await?;
    job.report.tombstones += took.new;
    if took.no_room > 0 {
        budget::no_room_for_files(job, &place.stream, took.no_room);
    }
    for (name, error) in took.errors.drain(..) {
        job.report.failed(format!("{place}: {error}"));
        PeerJob::note(&mut job.failed, [(place.clone(), name)]);
    }
    if let Some(why) = took.waits.as_ref().filter(|_| tells && job.report.bursts.len() < MOST_BURSTS) {
        job.report.bursts.push(format!("{place}: {why}"));
    }
    job.known.step();
    Ok(took)
}

/// Takes over tombstones of an hour.
pub(super) async fn of_hour_of(
    shared: &Arc<Shared>,
    word: TombstoneAuthor,
    place: &HourPlace,
    tombstones: Vec<SegmentFile>,
    notes: HashMap<Box<str>, TombstoneNote>,
) -> Result<IntakeResult, RoundError> {
    let (at, of_all) = (place.clone(), Arc::clone(shared));
    let took = shared.blocking(move || of_hour_blocking(&of_all, &word, &at, tombstones, &notes)).await?;
    if let Some(why) = &took.waits {
        tracing::warn!(name: "tombstone_burst", hour = %place, why, "tombstones are held back; accept them with `gapless tombstone accept`");
    }
    Ok(took)
}

fn of_hour_blocking(
    shared: &Shared,
    word: &TombstoneAuthor,
    place: &HourPlace,
    mut tombstones: Vec<SegmentFile>,
    notes: &HashMap<Box<str>, TombstoneNote>,
) -> Result<IntakeResult, RoundError> {
    let keeper = &*shared.keeper;
    let weighing = shared.bursts.weigh(keeper);
    let mut made_up = UnseenNames::of(shared, &word.peer, place, &mut tombstones)?;
    let of_peer = HourContents::new(tombstones, Vec::new());
    let (mut taken, mut hits) = (Vec::new(), Vec::new());
    let (mut weights, mut stems) = (BTreeMap::new(), HashSet::new());
    if word.accepted {
        taken = of_peer.files().iter().map(|file| file.name().into_boxed_str()).collect();
        // Who has looked at this has looked at what was hidden before.
        if let Err(why) = weighing.clear() {
            tracing::warn!(name: "tombstone_account_not_cleared", why, "what peers' tombstones have hidden of late still counts");
        }
    } else {
        stems = weigh(shared, word, place, &of_peer, &mut weights)?;
        for name in of_peer.files().iter().map(|file| file.name().into_boxed_str()) {
            let list = if stems.contains(name::stem(&name)) { &mut hits } else { &mut taken };
            list.push(name);
        }
    }
    let mut took = IntakeResult::default();
    match weighing.book(&word.peer, &weights) {
        Ok(()) => taken.append(&mut hits),
        Err(why) => took.waits = Some(why),
    }
    match (made_up.error.take(), made_up.waiting.first()) {
        (Some(error), Some(first)) => took.errors.push((first.clone(), error)),
        _ => took.no_room = made_up.waiting.len() as u64,
    }
    hits.append(&mut made_up.waiting);
    if !shared.bursts.wait(&word.peer, place, &hits) {
        shared.heard.forget_hour(&word.peer, place);
    }
    if taken.is_empty() {
        return Ok(took);
    }
    made_up.book(&taken)?;
    let done = write(shared, place, taken, notes, &mut took);
    made_up.take_back(&took.unwritten)?;
    let booked = |name: &str| took.waits.is_none() && stems.contains(name::stem(name));
    let files = of_peer.files().iter().filter(|file| took.unwritten.contains(file.name().as_str()));
    let in_vain: Vec<SegmentFile> = files.filter(|file| booked(&file.name())).cloned().collect();
    if !in_vain.is_empty() {
        // It is weighed anew the next time, and must not count twice by then.
        take_back(shared, word, place, in_vain, &weighing)?;
    }
    done?;
    shared.metrics.tombstones(&word.peer, took.new);
    Ok(took)
}

/// Writes tombstones of an hour. What lies in the way of one keeps no other from being taken.
fn write(
    shared: &Shared,
    place: &HourPlace,
    names: Vec<Box<str>>,
    notes: &HashMap<Box<str>, TombstoneNote>,
    took: &mut IntakeResult,
) -> Result<(), RoundError> {
    let keeper = &*shared.keeper;
    took.unwritten = names.iter().cloned().collect();
    // The directory may not exist yet.
    let base = keeper.guard().base().map_err(CrawlError::Away)?;
    let target = shared.targets.open(&base, place)?;
    let (mut written, mut ends) = (Vec::with_capacity(names.len()), None);
    for name in names {
        let content = notes.get(&name).map(TombstoneNote::to_bytes).unwrap_or_default();
        match looked_at(keeper, write_tombstone(&target.dir, &name, &content)) {
            Ok(published) => {
                took.new += u64::from(published == Published::New);
                took.unwritten.remove(&name);
                written.push(name);
            }
            Err(error) if error.disk().is_some_and(DiskError::is_occupied) => took.errors.push((name, error.into())),
            Err(error) => {
                ends = Some(error);
                break;
            }
        }
    }
    crate::disk::atomic::sync_dir(&target.dir).map_err(CrawlError::Disk)?;
    index(keeper, &target, &written)?;
    ends.map_or(Ok(()), |error| Err(error.into()))
}

/// Takes back what was booked for tombstones that could not be written. Copies that they would hide elsewhere stay booked: they may be
/// hidden by others of the same content.
fn take_back(
    shared: &Shared,
    word: &TombstoneAuthor,
    place: &HourPlace,
    unwritten: Vec<SegmentFile>,
    weighing: &BurstLock<'_>,
) -> Result<(), RoundError> {
    let unwritten = HourContents::new(unwritten, Vec::new());
    let hidden = unwritten.hidden();
    let local = shared.keeper.answer(place)?.contents;
    let (found, _) = hits_in(shared, word, place, &local, |file| hidden.hides(file))?;
    if found.hits.all.files > 0
        && let Err(why) = weighing.take_back(place, &found.hits)
    {
        tracing::warn!(name: "tombstone_account_not_cleared", why, "what peers' tombstones have hidden of late still counts");
    }
    Ok(())
}

/// What tombstones of an hour would hide: stems of that hour, and how much in each hour.
fn weigh(
    shared: &Shared,
    word: &TombstoneAuthor,
    place: &HourPlace,
    of_peer: &HourContents,
    weights: &mut BTreeMap<HourPlace, OfHour>,
) -> Result<HashSet<Box<str>>, RoundError> {
    let keeper = &*shared.keeper;
    let hidden = of_peer.hidden();
    let local = keeper.answer(place)?.contents;
    let (found, mut stems) = hits_in(shared, word, place, &local, |file| hidden.hides(file))?;
    weights.insert(place.clone(), found);
    // Twins lie under other names, and in other hours and qualities.
    let mut twins: BTreeMap<HourPlace, HashSet<String>> = BTreeMap::new();
    for ((at, file), tombstone) in keeper.twins_of(place, of_peer.files())? {
        stems.insert(tombstone.into_boxed_str());
        twins.entry(at).or_default().insert(file.name());
    }
    for (at, names) in twins {
        let there = if at == *place { local.clone() } else { keeper.answer(&at)?.contents };
        let is_hit = |file: &SegmentFile| names.contains(&file.name()) || at == *place && hidden.hides(file);
        let with_twins = hits_in(shared, word, &at, &there, is_hit)?.0;
        weights.insert(at, with_twins);
    }
    Ok(stems)
}

/// What would be hidden of an hour, by who gave it.
fn hits_in(
    shared: &Shared,
    word: &TombstoneAuthor,
    place: &HourPlace,
    local: &HourContents,
    is_hit: impl Fn(&SegmentFile) -> bool,
) -> Result<(OfHour, HashSet<Box<str>>), RoundError> {
    // Without the guard whatever is here counts as having been here.
    let began = if shared.keeper.guards().stands(Guard::HiddenStaysHidden) { word.began } else { ArrivalMark::NEVER };
    let is_later = shared.arrivals.since(place, began);
    let gifts = shared.keeper.recent_gifts()?.of(place)?;
    let source = |name: &str| match gifts.giver(name) {
        _ if is_later(name) => Source::Meanwhile,
        None => Source::Own,
        Some(peer) if peer == word.peer => Source::ThisPeer,
        Some(_) => Source::OtherPeer,
    };
    let (found, stems) = of_hour(local, is_hit, source);
    Ok((OfHour { is_doubtful: gifts.is_damaged(), ..found }, stems))
}
