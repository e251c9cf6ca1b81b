//! Plans what to take over of an hour, by all that is known of deletions: what was hidden here and nearby, what waits, and what the other
//! peers say.
//!
//! Nothing of an hour is fetched from anybody before every other peer that is trusted with tombstones, and can be reached, was asked
//! for those of that hour. Otherwise a new node would fetch and show what one peer has hidden and another has not yet, whichever is
//! asked first. What they say is not taken here: it is remembered as waiting, so that it is not fetched, until their own rounds
//! weigh and take it. It is asked anew after each of those; so nothing needs to be remembered across restarts.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::error::RoundError;
use super::job::Job;
use super::peer_state::{Known, PeerState};
use super::round::heavy;
use crate::domain::plan::{Deletions, Plan, Rules, plan_beside};
use crate::domain::{FileName, Hash, HourContents, HourPlace, parse_file_name};
use crate::guards::Guard;

/// How long another peer is waited for. One that does not answer counts as out of reach, and its round takes what it says.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long it is not asked again after the first time; twice as long after each further one, and no longer than [`MOST_DEAF`].
const DEAF: Duration = Duration::from_secs(60);
/// See [`DEAF`].
const MOST_DEAF: Duration = Duration::from_secs(15 * 60);
/// Hours of a peer that are remembered as asked about.
const MOST_HOURS: usize = 100_000;

/// Which peers were asked about which hours.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<HashMap<String, OfPeer>>);

#[derive(Debug, Default)]
struct OfPeer {
    hours: HashSet<HourPlace>,
    deaf_until: Option<Instant>,
    /// How often in a row it did not answer.
    silences: u32,
    /// Whoever asks it holds this.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl Heard {
    /// Whether a peer is to be asked about an hour.
    fn lacks(&self, peer: &str, place: &HourPlace) -> bool {
        let heard = self.lock();
        heard.get(peer).is_none_or(|of_peer| {
            !of_peer.hours.contains(place) && of_peer.deaf_until.is_none_or(|until| until <= Instant::now())
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

    fn is_deaf(&self, peer: &str) {
        let mut heard = self.lock();
        let of_peer = heard.entry(peer.to_owned()).or_default();
        let wait = DEAF.saturating_mul(1 << of_peer.silences.min(8)).min(MOST_DEAF);
        of_peer.silences = of_peer.silences.saturating_add(1);
        of_peer.deaf_until = Instant::now().checked_add(wait);
    }

    /// A peer is to be asked anew about every hour.
    pub(super) fn forget(&self, peer: &str) {
        if let Some(of_peer) = self.lock().get_mut(peer) {
            of_peer.hours.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfPeer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about these names of a peer.
pub(super) async fn planned<'n>(
    job: &mut Job,
    place: &HourPlace,
    local: &HourContents,
    remote: &[&'n str],
    rules: &Rules,
) -> Result<Plan<'n>, RoundError> {
    let known = deletions(job, place, remote, rules).await?;
    let plan = heavy(remote.len(), || plan_beside(local, remote, rules, known));
    if plan.fetch.is_empty() || !job.shared.keeper.guards().stands(Guard::HiddenStaysHidden) {
        return Ok(plan);
    }
    if !ask_others(job, place).await {
        return Ok(plan);
    }
    let more = deletions(job, place, remote, rules).await?;
    Ok(heavy(remote.len(), || plan_beside(local, remote, rules, more)))
}

/// What is known here.
async fn deletions(job: &Job, place: &HourPlace, remote: &[&str], rules: &Rules) -> Result<Deletions, RoundError> {
    let understood = |name: &&str| match parse_file_name(name) {
        FileName::Understood(key) if !key.tombstone => Some(key.hash),
        _ => None,
    };
    let contents: HashSet<Hash> =
        if rules.hides_equal { remote.iter().filter_map(understood).collect() } else { HashSet::new() };
    let at = place.clone();
    let mut graves = job.shared.with_keeper(move |keeper| keeper.graves_near(&at, &contents)).await?;
    let waiting = if job.shared.keeper.guards().stands(Guard::HiddenStaysHidden) {
        job.shared.bursts.waiting_in(place)
    } else {
        HashSet::new()
    };
    graves.extend(waiting.iter().filter_map(|stem| match parse_file_name(&format!("{stem}.tombstone")) {
        FileName::Understood(key) => Some((key.hash, key.kind, key.start(place.hour))),
        _ => None,
    }));
    Ok(Deletions { graves, waiting })
}

/// Asks the other peers what is deleted of an hour, each once between two of its rounds; tells whether one said something.
async fn ask_others(job: &Job, place: &HourPlace) -> bool {
    let others: Vec<Arc<Known>> = {
        let all = job.shared.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let others = all.iter().filter(|known| known.peer != job.known.peer && known.peer.trusted);
        others.filter(|known| job.shared.heard.lacks(&known.peer.name, place)).cloned().collect()
    };
    let asked = others.iter().filter(|known| is_in_reach(known)).map(|known| ask(job, known, place));
    futures_util::future::join_all(asked).await.into_iter().any(|said| said)
}

fn is_in_reach(known: &Known) -> bool {
    !matches!(known.status().state, PeerState::BackingOff | PeerState::Itself)
}

async fn ask(job: &Job, known: &Known, place: &HourPlace) -> bool {
    let (shared, peer) = (&job.shared, &known.peer);
    let asking = shared.heard.asking(&peer.name);
    let _one = asking.lock().await;
    if !shared.heard.lacks(&peer.name, place) {
        // Another worker has just asked it.
        return true;
    }
    let listing = shared.client.segments(peer, &place.stream.channel, &place.stream.quality, place.hour);
    let names = match timeout(PATIENCE, listing).await {
        Ok(Ok(listing)) => listing.names,
        // It answers, and has no such hour.
        Ok(Err(error)) if error.status().is_some_and(|status| status.is_client_error()) => Vec::new(),
        why => {
            let why = why.map_or_else(
                |_| "it took too long".to_owned(),
                |answer| answer.map_or_else(|error| error.to_string(), |_| String::new()),
            );
            tracing::debug!(name: "deletions_not_told", hour = %place, peer = %peer.name, why, "a peer does not say now what is deleted of an hour; its own round will");
            shared.heard.is_deaf(&peer.name);
            return false;
        }
    };
    let tombstones: Vec<Box<str>> = names.into_iter().filter(|name| is_tombstone(name)).collect();
    let says_something = !tombstones.is_empty();
    if shared.bursts.wait(&peer.name, place, &tombstones) {
        shared.heard.note(&peer.name, place);
    }
    says_something
}

fn is_tombstone(name: &str) -> bool {
    matches!(parse_file_name(name), FileName::Understood(key) if key.tombstone)
}
