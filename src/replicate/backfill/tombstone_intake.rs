//! Takes over a peer's tombstones, or lets them wait for the operator.
//!
//! 1. What hides nothing that was here is taken at once, whatever else waits.
//! 2. The others are weighed together with all that peers have hidden recently (`tombstone_bursts`), by what lies here.
//! 3. What hides nothing under its name has to find room: each is a file, a peer can make up as many names as it likes, and they count in what
//!    the peer may fill (`budget`).
//! 4. What waits is remembered: what it would hide is fetched from nobody.
//! 5. Why a peer's tombstones were made is asked before they are taken over, because a tombstone is never written again. Where the peer cannot
//!    say, or not in time, it is taken without.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::budget;
use super::burst::{HourHits, Source, of_hour};
use super::plan::{HourPlan, PeerOffer};
use super::publish::{index, looked_at};
use super::report::{MOST_BURSTS, RoundError};
use super::shared::{PeerJob, Shared};
use super::tombstone_bursts::{ArrivalMark, BurstLock};
use crate::archive::blocks::BLOCK;
use crate::archive::guards::Guard;
use crate::archive::origins::GiftedHour;
use crate::archive::{HourContents, HourPlace, SegmentFile, name};
use crate::disk::{DiskError, Published, write_tombstone};
use crate::sync::crawl::{Allowance, CrawlError, FetchInProgress};
use crate::wire::{TombstoneNote, TombstonePage};

#[derive(Debug, Clone)]
pub(super) struct TombstoneAuthor {
    pub(super) peer: String,
    /// When it was asked.
    pub(super) began: ArrivalMark,
    pub(super) accepted: bool,
}

#[derive(Debug, Default)]
pub(super) struct IntakeResult {
    pub(super) new: u64,
    pub(super) waits: Option<String>,
    /// Those for names that are not here, and for which there is no room.
    no_room: u64,
    /// Those whose names are occupied, and what lies there; and what else keeps some from being written.
    errors: Vec<(Box<str>, RoundError)>,
    unwritten: HashSet<Box<str>>,
}

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
    let notes = notes_of(job, place, &names).await;
    let files = plan.tombstones.iter().map(PeerOffer::file).collect();
    let author = TombstoneAuthor {
        peer: job.peer().name.clone(),
        began: job.began,
        // Both the configuration and the operator may have given their word.
        accepted: job.shared.options.accept_bursts || job.accept_bursts,
    };
    let mut took = of_hour_of(&job.shared, author, place, files, notes).await?;
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
    job.followed.step();
    Ok(took)
}

pub(super) async fn of_hour_of(
    shared: &Arc<Shared>,
    author: TombstoneAuthor,
    place: &HourPlace,
    tombstones: Vec<SegmentFile>,
    notes: HashMap<Box<str>, TombstoneNote>,
) -> Result<IntakeResult, RoundError> {
    let (at, of_all) = (place.clone(), Arc::clone(shared));
    let took = shared.blocking(move || of_hour_blocking(&of_all, &author, &at, tombstones, &notes)).await?;
    if let Some(why) = &took.waits {
        tracing::warn!(name: "tombstone_burst", hour = %place, why, "tombstones are held back; accept them with `gapless tombstone accept`");
    }
    Ok(took)
}

fn of_hour_blocking(
    shared: &Shared,
    author: &TombstoneAuthor,
    place: &HourPlace,
    mut tombstones: Vec<SegmentFile>,
    notes: &HashMap<Box<str>, TombstoneNote>,
) -> Result<IntakeResult, RoundError> {
    let keeper = &*shared.keeper;
    let weighing = shared.bursts.weigh(keeper);
    let mut made_up = UnseenNames::of(shared, &author.peer, place, &mut tombstones)?;
    let of_peer = HourContents::new(tombstones, Vec::new());
    let (mut taken, mut hits) = (Vec::new(), Vec::new());
    let (mut weights, mut stems) = (BTreeMap::new(), HashSet::new());
    if author.accepted {
        taken = of_peer.files().iter().map(|file| file.name().into_boxed_str()).collect();
        // Who has looked at this has looked at what was hidden before.
        if let Err(why) = weighing.clear() {
            tracing::warn!(name: "tombstone_account_not_cleared", why, "what peers' tombstones have hidden of late still counts");
        }
    } else {
        stems = weigh(shared, author, place, &of_peer, &mut weights)?;
        for name in of_peer.files().iter().map(|file| file.name().into_boxed_str()) {
            let list = if stems.contains(name::stem(&name)) { &mut hits } else { &mut taken };
            list.push(name);
        }
    }
    let mut took = IntakeResult::default();
    match weighing.book(&author.peer, &weights) {
        Ok(()) => taken.append(&mut hits),
        Err(why) => took.waits = Some(why),
    }
    match (made_up.error.take(), made_up.waiting.first()) {
        (Some(error), Some(first)) => took.errors.push((first.clone(), error)),
        _ => took.no_room = made_up.waiting.len() as u64,
    }
    hits.append(&mut made_up.waiting);
    if !shared.bursts.wait(&author.peer, place, &hits) {
        shared.deletions_asked.forget_hour(&author.peer, place);
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
        take_back(shared, author, place, in_vain, &weighing)?;
    }
    done?;
    shared.metrics.tombstones(&author.peer, took.new);
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
    author: &TombstoneAuthor,
    place: &HourPlace,
    unwritten: Vec<SegmentFile>,
    weighing: &BurstLock<'_>,
) -> Result<(), RoundError> {
    let unwritten = HourContents::new(unwritten, Vec::new());
    let hidden = unwritten.hidden();
    let local = shared.keeper.answer(place)?.contents;
    let (found, _) = hits_in(shared, author, place, &local, |file| hidden.hides(file))?;
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
    author: &TombstoneAuthor,
    place: &HourPlace,
    of_peer: &HourContents,
    weights: &mut BTreeMap<HourPlace, HourHits>,
) -> Result<HashSet<Box<str>>, RoundError> {
    let keeper = &*shared.keeper;
    let hidden = of_peer.hidden();
    let local = keeper.answer(place)?.contents;
    let (found, mut stems) = hits_in(shared, author, place, &local, |file| hidden.hides(file))?;
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
        let with_twins = hits_in(shared, author, &at, &there, is_hit)?.0;
        weights.insert(at, with_twins);
    }
    Ok(stems)
}

/// What would be hidden of an hour, by who gave it.
fn hits_in(
    shared: &Shared,
    author: &TombstoneAuthor,
    place: &HourPlace,
    local: &HourContents,
    is_hit: impl Fn(&SegmentFile) -> bool,
) -> Result<(HourHits, HashSet<Box<str>>), RoundError> {
    // Without the guard whatever is here counts as having been here.
    let began = if shared.keeper.guards().stands(Guard::HiddenStaysHidden) { author.began } else { ArrivalMark::NEVER };
    let is_later = shared.arrivals.since(place, began);
    let gifts = shared.keeper.recent_gifts()?.of(place)?;
    let source = |name: &str| match gifts.giver(name) {
        _ if is_later(name) => Source::Meanwhile,
        None => Source::Own,
        Some(peer) if peer == author.peer => Source::ThisPeer,
        Some(_) => Source::OtherPeer,
    };
    let (found, stems) = of_hour(local, is_hit, source);
    Ok((HourHits { is_doubtful: gifts.is_damaged(), ..found }, stems))
}

/// A page of a thousand notes of the longest reasons.
const MOST_BYTES: usize = 4 << 20;
/// Of an hour no more are looked through: a page holds a thousand.
const MOST_PAGES: usize = 20;
/// What is to be hidden is hidden after so long, whatever the peer does.
const MOST_TIME: Duration = Duration::from_secs(5);

/// What the peer knows of these tombstones of an hour, by their names.
async fn notes_of(job: &mut PeerJob, place: &HourPlace, names: &[Box<str>]) -> HashMap<Box<str>, TombstoneNote> {
    let mut notes = HashMap::new();
    if job.followed.status().is_ours != Some(true) {
        return notes;
    }
    let wanted: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
    let until = Instant::now() + MOST_TIME;
    let (hour, mut after) = (place.hour.to_string(), None::<String>);
    for _ in 0..MOST_PAGES {
        job.report.requests += 1;
        let Some(page) = page(job, place, &hour, after.as_deref(), until).await else { break };
        for record in page.tombstones {
            let Some((_, name)) = record.path.rsplit_once('/') else { continue };
            if let (true, Some(note)) = (wanted.contains(name), record.note.and_then(TombstoneNote::checked)) {
                notes.insert(name.into(), note);
            }
        }
        after = page.next;
        if after.is_none() || notes.len() == wanted.len() {
            break;
        }
    }
    notes
}

async fn page(
    job: &PeerJob,
    place: &HourPlace,
    hour: &str,
    after: Option<&str>,
    until: Instant,
) -> Option<TombstonePage> {
    let stream = &place.stream;
    let mut query = vec![("channel", stream.channel.as_str()), ("quality", stream.quality.as_str()), ("hour", hour)];
    query.extend(after.map(|after| ("after", after)));
    let asking = job.shared.client.get_json(job.peer(), &["api", "v1", "tombstones"], &query, MOST_BYTES);
    let why = match timeout(until.saturating_duration_since(Instant::now()), asking).await {
        Ok(Ok(page)) => return Some(page),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    tracing::debug!(name: "reasons_not_told", hour = %place, peer = %job.peer().name, why, "tombstones are taken without their reasons");
    None
}

#[derive(Default)]
pub(super) struct UnseenNames {
    names: HashSet<Box<str>>,
    pub(super) waiting: Vec<Box<str>>,
    /// What is wrong, where it is not the peer's budget.
    pub(super) error: Option<RoundError>,
    filling: Option<FetchInProgress>,
}

impl UnseenNames {
    /// Finds them, and takes those from the tombstones for which there is no room. Blocks.
    pub(super) fn of(
        shared: &Shared,
        peer: &str,
        place: &HourPlace,
        tombstones: &mut Vec<SegmentFile>,
    ) -> Result<Self, RoundError> {
        let local = shared.keeper.answer(place)?.contents;
        let mut names = not_here(&local, tombstones);
        if names.is_empty() {
            return Ok(Self::default());
        }
        let is_empty = local.files().iter().all(|file| file.key.tombstone);
        let room = usize::try_from(room(shared, peer, place, is_empty)? / BLOCK).unwrap_or(usize::MAX);
        let mut waiting = names.split_off(room.min(names.len()));
        let mut error = None;
        if let Err(no_inodes) = shared.inodes_for(names.len() as u64) {
            // Rarely: then none of them is taken at all.
            waiting.append(&mut names);
            error = Some(no_inodes);
        }
        let waits: HashSet<&str> = waiting.iter().map(|name| &**name).collect();
        tombstones.retain(|file| !waits.contains(file.name().as_str()));
        let filling = if names.is_empty() {
            None
        } else {
            Some(shared.keeper.fill(peer, place, is_empty, &Allowance::Unbounded)?)
        };
        Ok(Self { names: names.into_iter().collect(), waiting, error, filling })
    }

    /// These tombstones are about to be written. Blocks.
    pub(super) fn book<'n>(&self, written: impl IntoIterator<Item = &'n Box<str>>) -> Result<(), RoundError> {
        let given = self.among(written);
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.book(&given))?)
    }

    /// These were not written after all. Blocks.
    pub(super) fn take_back<'n>(&self, unwritten: impl IntoIterator<Item = &'n Box<str>>) -> Result<(), RoundError> {
        let given = self.among(unwritten);
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.take_back(&given))?)
    }

    fn among<'n>(&self, names: impl IntoIterator<Item = &'n Box<str>>) -> GiftedHour {
        let tombstones = names.into_iter().filter(|name| self.names.contains(*name)).count() as u64;
        GiftedHour { tombstones, ..GiftedHour::default() }
    }
}

/// The names of those tombstones that hide nothing under their own name, and are new.
fn not_here(local: &HourContents, tombstones: &[SegmentFile]) -> Vec<Box<str>> {
    let here: HashSet<String> = local.files().iter().map(|file| name::stem(&file.name()).to_owned()).collect();
    let names = tombstones.iter().map(|file| file.name().into_boxed_str());
    names.filter(|name| !here.contains(name::stem(name))).collect()
}

/// Bytes of the disk that the peer may still fill in this hour.
fn room(shared: &Shared, peer: &str, place: &HourPlace, is_empty: bool) -> Result<u64, RoundError> {
    let keeper: &Arc<_> = &shared.keeper;
    let in_budget = match keeper.allowance(peer, &place.stream, &shared.options.strangers)? {
        Allowance::Unbounded => u64::MAX,
        Allowance::Bytes(left) => left,
        Allowance::Full(_) => 0,
    };
    let is_own = !is_empty && !keeper.would_be_fetched(place);
    let beside_own = if is_own { shared.parts.rules.room_beside_own(place) } else { u64::MAX };
    Ok(in_budget.min(beside_own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_names_of_which_nothing_is_here_are_made_up() {
        let name = |second: u8, extension: &str| {
            format!("00:{second:02}.0-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.{extension}")
        };
        let of = |names: &[String]| HourContents::from_names(names.iter().map(|file| (&**file, 0)));
        let local = of(&[name(1, "ts"), name(2, "tombstone"), name(3, "ts"), name(3, "tombstone")]);
        let listed: Vec<String> = (1..6).map(|second| name(second, "tombstone")).collect();
        let found = not_here(&local, of(&listed).files());
        assert_eq!(found, [name(4, "tombstone").into_boxed_str(), name(5, "tombstone").into_boxed_str()]);
    }
}
