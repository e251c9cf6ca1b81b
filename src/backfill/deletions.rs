//! Plans what to take over of an hour, by all that is known of deletions: what was hidden here and nearby, what waits, and what the other
//! peers say.
//!
//! Nothing of an hour is fetched from anybody before every other peer that is trusted with tombstones, and can be reached, was asked
//! for those of that hour. Otherwise a new node would fetch and show what one peer has hidden and another has not yet, whichever is
//! asked first. What they say is not taken here: it is remembered as waiting, so that it is not fetched, until their own rounds
//! weigh and take it. It is asked anew after each of those; so nothing needs to be remembered across restarts. Where a peer says more
//! than is remembered of it, it counts for the names at hand, and the peer is asked again the next time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use reqwest::StatusCode;
use tokio::time::{Instant, timeout};

use super::error::RoundError;
use super::job::PeerJob;
use super::peer_state::{FollowedPeer, PeerState};
use super::round::heavy;
use crate::domain::plan::{Deletions, HourPlan, Rules, plan_beside};
use crate::domain::{FileName, Hash, HourContents, HourPlace, name, parse_file_name};
use crate::guards::Guard;
use crate::peer::PeerError;

/// How long another peer is waited for. One that does not answer counts as out of reach, and its round takes what it says.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long it is not asked again after the first time; twice as long after each further one, and no longer than [`MOST_SILENT`].
const SILENT: Duration = Duration::from_secs(60);
/// See [`SILENT`].
const MOST_SILENT: Duration = Duration::from_secs(15 * 60);
/// Hours of a peer that are remembered as asked about.
const MOST_HOURS: usize = 100_000;

/// Which peers were asked about which hours.
#[derive(Debug, Default)]
pub(super) struct DeletionsAsked(Mutex<HashMap<String, OfPeer>>);

#[derive(Debug, Default)]
struct OfPeer {
    hours: HashSet<HourPlace>,
    silent_until: Option<Instant>,
    /// How often in a row it did not answer.
    silences: u32,
    /// Whoever asks it holds this.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl DeletionsAsked {
    /// Whether a peer is to be asked about an hour.
    fn lacks(&self, peer: &str, place: &HourPlace) -> bool {
        let heard = self.lock();
        heard.get(peer).is_none_or(|of_peer| {
            !of_peer.hours.contains(place) && of_peer.silent_until.is_none_or(|until| until <= Instant::now())
        })
    }

    /// A peer has said what is deleted of an hour.
    fn note(&self, peer: &str, place: &HourPlace) {
        let mut heard = self.lock();
        let of_peer = heard.entry(peer.to_owned()).or_default();
        of_peer.silences = 0;
        if of_peer.hours.len() < MOST_HOURS {
            of_peer.hours.insert(place.clone());
        }
    }

    /// Asked by one worker at a time, a peer that does not answer keeps them waiting once.
    fn asking(&self, peer: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.lock().entry(peer.to_owned()).or_default().asking)
    }

    /// A peer does not say anything for the moment.
    fn is_silent(&self, peer: &str) {
        let mut heard = self.lock();
        let of_peer = heard.entry(peer.to_owned()).or_default();
        let wait = SILENT.saturating_mul(1 << of_peer.silences.min(8)).min(MOST_SILENT);
        of_peer.silences = of_peer.silences.saturating_add(1);
        of_peer.silent_until = Instant::now().checked_add(wait);
    }

    /// A peer is to be asked anew about an hour: what it said could not be remembered.
    pub(super) fn forget_hour(&self, peer: &str, place: &HourPlace) {
        if let Some(of_peer) = self.lock().get_mut(peer) {
            of_peer.hours.remove(place);
        }
    }

    /// A peer is to be asked anew about every hour.
    pub(super) fn forget(&self, peer: &str) {
        if let Some(of_peer) = self.lock().get_mut(peer) {
            of_peer.hours.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfPeer>> {
        self.0.lock()
    }
}

/// What to do about these names of a peer. Where nothing is fetched anyway nobody else is asked.
pub(super) async fn planned<'n>(
    job: &mut PeerJob,
    place: &HourPlace,
    local: &HourContents,
    remote: &[&'n str],
    rules: &Rules,
    fetches: bool,
) -> Result<HourPlan<'n>, RoundError> {
    let known = deletions(job, place, remote, rules).await?;
    let plan = heavy(remote.len(), || plan_beside(local, remote, rules, known));
    if !fetches || plan.fetch.is_empty() || !job.shared.keeper.guards().stands(Guard::HiddenStaysHidden) {
        return Ok(plan);
    }
    let Some(not_remembered) = ask_others(job, place, remote).await else { return Ok(plan) };
    let mut more = deletions(job, place, remote, rules).await?;
    wait_too(&mut more, not_remembered, place);
    Ok(heavy(remote.len(), || plan_beside(local, remote, rules, more)))
}

/// What is known here.
async fn deletions(job: &PeerJob, place: &HourPlace, remote: &[&str], rules: &Rules) -> Result<Deletions, RoundError> {
    let understood = |name: &&str| match parse_file_name(name) {
        FileName::Understood(key) if !key.tombstone => Some(key.hash),
        _ => None,
    };
    let contents: HashSet<Hash> =
        if rules.hides_equal { remote.iter().filter_map(understood).collect() } else { HashSet::new() };
    let at = place.clone();
    let graves = job.shared.with_keeper(move |keeper| keeper.graves_near(&at, &contents)).await?;
    let mut known = Deletions { graves, waiting: HashSet::new() };
    if job.shared.keeper.guards().stands(Guard::HiddenStaysHidden) {
        wait_too(&mut known, job.shared.bursts.waiting_in(place), place);
    }
    Ok(known)
}

/// The tombstones of these stems wait, too.
fn wait_too(known: &mut Deletions, stems: HashSet<Box<str>>, place: &HourPlace) {
    known.graves.extend(stems.iter().filter_map(|stem| match parse_file_name(&format!("{stem}.tombstone")) {
        FileName::Understood(key) => Some((key.hash, key.kind, key.start(place.hour))),
        _ => None,
    }));
    known.waiting.extend(stems);
}

/// Asks the other peers what is deleted of an hour, each once between two of its rounds. Nothing if none said something; otherwise the
/// stems that could not be remembered, of those that concern these names.
async fn ask_others(job: &PeerJob, place: &HourPlace, remote: &[&str]) -> Option<HashSet<Box<str>>> {
    let others: Vec<Arc<FollowedPeer>> = {
        let all = job.shared.peers.lock();
        let others = all.iter().filter(|known| known.peer != job.known.peer && known.peer.trusted);
        others.filter(|known| job.shared.heard.lacks(&known.peer.name, place)).cloned().collect()
    };
    let asked = others.iter().filter(|known| may_be_asked(known.status().state));
    let said = futures_util::future::join_all(asked.map(|known| ask(job, known, place, remote))).await;
    let mut stems = said.into_iter().flatten().peekable();
    stems.peek().is_some().then(|| stems.flatten().collect())
}

/// Whether a peer is asked, whatever became of its last round: one whose round was incomplete knows what it has hidden. Whether it can be
/// reached is seen when it is asked.
fn may_be_asked(state: PeerState) -> bool {
    state != PeerState::Itself
}

/// Whether this answer says that there is no such hour, and so nothing that was deleted of it. Any other error says nothing.
fn has_no_such_hour(error: &PeerError) -> bool {
    matches!(error.status(), Some(StatusCode::NOT_FOUND | StatusCode::GONE))
}

/// Nothing if it said nothing; otherwise what could not be remembered.
async fn ask(job: &PeerJob, known: &FollowedPeer, place: &HourPlace, remote: &[&str]) -> Option<HashSet<Box<str>>> {
    let (shared, peer) = (&job.shared, &known.peer);
    let asking = shared.heard.asking(&peer.name);
    let _one = asking.lock().await;
    if !shared.heard.lacks(&peer.name, place) {
        // Another worker has just asked it.
        return Some(HashSet::new());
    }
    let listing = shared.client.segments(peer, &place.stream.channel, &place.stream.quality, place.hour);
    let names = match timeout(PATIENCE, listing).await {
        Ok(Ok(listing)) => listing.names,
        // It answers, and has no such hour.
        Ok(Err(error)) if has_no_such_hour(&error) => Vec::new(),
        why => {
            let why = why.map_or_else(
                |_| "it took too long".to_owned(),
                |answer| answer.map_or_else(|error| error.to_string(), |_| String::new()),
            );
            tracing::debug!(name: "deletions_not_told", hour = %place, peer = %peer.name, why, "a peer does not say now what is deleted of an hour; its own round will");
            shared.heard.is_silent(&peer.name);
            return None;
        }
    };
    let tombstones: Vec<Box<str>> = names.into_iter().filter(|name| is_tombstone(name)).collect();
    if !shared.bursts.wait(&peer.name, place, &tombstones) {
        return Some(heavy(tombstones.len() + remote.len(), || concerning(&tombstones, remote)));
    }
    shared.heard.note(&peer.name, place);
    (!tombstones.is_empty()).then(HashSet::new)
}

/// The stems of those tombstones that hide one of these names, or what has the content of one.
fn concerning(tombstones: &[Box<str>], remote: &[&str]) -> HashSet<Box<str>> {
    let hash = |file: &str| match parse_file_name(file) {
        FileName::Understood(key) => Some(key.hash),
        _ => None,
    };
    let stems: HashSet<&str> = remote.iter().map(|file| name::stem(file)).collect();
    let hashes: HashSet<Hash> = remote.iter().filter_map(|file| hash(file)).collect();
    let concerns = |tombstone: &str| {
        stems.contains(name::stem(tombstone)) || hash(tombstone).is_some_and(|hash| hashes.contains(&hash))
    };
    tombstones.iter().filter(|tombstone| concerns(tombstone)).map(|tombstone| name::stem(tombstone).into()).collect()
}

fn is_tombstone(name: &str) -> bool {
    matches!(parse_file_name(name), FileName::Understood(key) if key.tombstone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_whose_last_round_was_incomplete_is_asked_what_it_has_hidden() {
        use PeerState::{BackingOff, Following, Itself, New, Resting, Round};
        assert!([New, Round, Following, Resting, BackingOff].into_iter().all(may_be_asked));
        assert!(!may_be_asked(Itself));
    }

    #[test]
    fn only_an_hour_that_is_not_there_has_nothing_hidden() {
        let says_nothing_is_hidden = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            has_no_such_hour(&PeerError::Status { url: "http://peer".to_owned(), status, detail: String::new() })
        };
        assert!([404, 410].into_iter().all(says_nothing_is_hidden));
        assert!(![400, 401, 403, 408, 421, 429, 500, 503].into_iter().any(says_nothing_is_hidden));
    }

    #[test]
    fn what_cannot_be_remembered_counts_for_the_names_at_hand_and_their_content() {
        let hash = |byte: u8| Hash([byte; 32]).to_string();
        let file = |second: u8, byte: u8| format!("00:{second:02}.0-2.0-full-{}", hash(byte));
        let tombstones = [file(0, 0), file(2, 1), file(6, 3)].map(|stem| format!("{stem}.tombstone").into_boxed_str());
        let remote = [file(0, 0), file(4, 1), file(8, 2)].map(|stem| format!("{stem}.ts"));
        let found = concerning(&tombstones, &remote.each_ref().map(String::as_str));
        assert_eq!(found, HashSet::from([file(0, 0).into_boxed_str(), file(2, 1).into_boxed_str()]));
    }
}
