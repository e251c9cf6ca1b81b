//! Plans what to take over of an hour, by all that is known of deletions: what was hidden here and nearby, what waits, and what the other
//! peers say.
//!
//! Nothing of an hour is fetched from anybody before every other peer that is trusted with tombstones, and can be reached, was asked
//! for those of that hour. Otherwise a new node would fetch and show what one peer has hidden and another has not yet, whichever is
//! asked first. What they say is not taken here: it is remembered as waiting, so that it is not fetched, until their own rounds
//! weigh and take it. It is asked anew after each of those; so nothing needs to be remembered across restarts. Where a peer says more
//! than is remembered of it, it counts for the names at hand, and the peer is asked again the next time.
//!
//! A round that begins forgets what its peer has said, at any moment. So that a peer was asked and what it said are looked up under one
//! lock, and before the index: what leaves the former has entered the latter.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::{Instant, timeout};

use super::peer_state::{FollowedPeer, PeerState};
use super::plan::{HourPlan, Rules, Surroundings, plan_beside};
use super::report::RoundError;
use super::round::heavy;
use super::shared::PeerJob;
use crate::archive::guards::Guard;
use crate::archive::hidden_content::NEARBY;
use crate::archive::time::HOUR_US;
use crate::archive::{FileEnding, FileName, Hash, HourContents, HourPlace, Span, name, parse_file_name};
use crate::replicate::peer::PeerError;
use crate::sync::crawl::Keeper;

/// How long another peer is waited for that has never answered this question. One that does not answer counts as out of reach, and its
/// round takes what it says.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for one that has answered it before: it is there, and only slow. That it answers anything else says nothing: a peer that
/// sends lists without end would hold up everybody who is honest.
const PATIENCE_ONCE_ANSWERED: Duration = Duration::from_secs(30);
/// How often the others are asked while their rounds begin at just that time. What they said counts in any case.
const ATTEMPTS: usize = 4;
/// So long it is not asked again after the first time; twice as long after each further one, and no longer than [`MOST_SILENT`].
const SILENT: Duration = Duration::from_secs(60);
/// See [`SILENT`].
const MOST_SILENT: Duration = Duration::from_secs(15 * 60);
/// Hours of a peer that are remembered as asked about.
const MOST_HOURS: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct DeletionsAsked(Mutex<HashMap<String, AskedPeer>>);

#[derive(Debug, Default)]
struct AskedPeer {
    hours: HashSet<HourPlace>,
    silent_until: Option<Instant>,
    /// Whether it has ever said what is deleted of an hour.
    has_answered: bool,
    /// How often in a row it did not answer.
    silences: u32,
    /// Whoever asks it holds this.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl AskedPeer {
    fn lacks(&self, place: &HourPlace, now: Instant) -> bool {
        !self.hours.contains(place) && self.silent_until.is_none_or(|until| until <= now)
    }
}

impl DeletionsAsked {
    fn lacks(&self, peer: &str, place: &HourPlace) -> bool {
        self.0.lock().get(peer).is_none_or(|of_peer| of_peer.lacks(place, Instant::now()))
    }

    /// A peer has said what is deleted of an hour; `remember` says whether there was room for it, and is called while nobody forgets it.
    fn note(&self, peer: &str, place: &HourPlace, remember: impl FnOnce() -> bool) -> bool {
        let mut heard = self.0.lock();
        let of_peer = heard.entry(peer.to_owned()).or_default();
        (of_peer.silences, of_peer.has_answered) = (0, true);
        let is_remembered = remember();
        if is_remembered && of_peer.hours.len() < MOST_HOURS {
            of_peer.hours.insert(place.clone());
        }
        is_remembered
    }

    /// What `remembered` returns, if all these peers have said what is deleted of an hour, or say nothing for the moment.
    fn unless_lacking<T>(&self, peers: &[&str], place: &HourPlace, remembered: impl FnOnce() -> T) -> Option<T> {
        let heard = self.0.lock();
        let now = Instant::now();
        let is_heard = |peer: &&str| heard.get(*peer).is_some_and(|of_peer| !of_peer.lacks(place, now));
        peers.iter().all(is_heard).then(remembered)
    }

    /// Asked by one worker at a time, a peer that does not answer keeps them waiting once.
    fn asking(&self, peer: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.0.lock().entry(peer.to_owned()).or_default().asking)
    }

    fn patience(&self, peer: &str) -> Duration {
        let has_answered = self.0.lock().get(peer).is_some_and(|of_peer| of_peer.has_answered);
        if has_answered { PATIENCE_ONCE_ANSWERED } else { PATIENCE }
    }

    fn is_silent(&self, peer: &str) {
        let mut heard = self.0.lock();
        let of_peer = heard.entry(peer.to_owned()).or_default();
        let wait = SILENT.saturating_mul(1 << of_peer.silences.min(8)).min(MOST_SILENT);
        of_peer.silences = of_peer.silences.saturating_add(1);
        of_peer.silent_until = Instant::now().checked_add(wait);
    }

    /// A peer is to be asked anew about an hour: what it said could not be remembered.
    pub(super) fn forget_hour(&self, peer: &str, place: &HourPlace) {
        if let Some(of_peer) = self.0.lock().get_mut(peer) {
            of_peer.hours.remove(place);
        }
    }

    /// A peer is to be asked anew about every hour; what it said is forgotten by `forget`.
    pub(super) fn forget(&self, peer: &str, forget: impl FnOnce()) {
        let mut heard = self.0.lock();
        if let Some(of_peer) = heard.get_mut(peer) {
            of_peer.hours.clear();
        }
        forget();
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
    let protects = job.shared.keeper.guards().stands(Guard::HiddenStaysHidden);
    let waiting = if protects { job.shared.bursts.waiting_in(place) } else { HashSet::new() };
    let known = deletions(job, place, remote, rules, waiting).await?;
    let plan = heavy(remote.len(), || plan_beside(local, remote, rules, &known));
    if !fetches || plan.fetch.is_empty() || !protects {
        return Ok(plan);
    }
    let others_say = ask_others(job, place, remote).await;
    let more = deletions(job, place, remote, rules, others_say).await?;
    Ok(heavy(remote.len(), || plan_beside(local, remote, rules, &more)))
}

/// What is known here: tombstones that wait, of these stems, and those that the index has by now.
async fn deletions(
    job: &PeerJob,
    place: &HourPlace,
    remote: &[&str],
    rules: &Rules,
    waiting: HashSet<Box<str>>,
) -> Result<Surroundings, RoundError> {
    let understood = |name: &&str| match parse_file_name(name) {
        FileName::Understood(key) if !key.tombstone => Some((key.hash, key.start(place.hour))),
        _ => None,
    };
    let contents: HashSet<Hash> = if rules.hides_equal {
        remote.iter().filter_map(understood).map(|(hash, _)| hash).collect()
    } else {
        HashSet::new()
    };
    let at = place.clone();
    let (from, to) = (place.hour.start(), place.hour.start() + Span::from_us(HOUR_US));
    let starts = || remote.iter().filter_map(understood).map(|(_, start)| start);
    let is_near = [starts().any(|start| start < from + NEARBY), starts().any(|start| start > to - NEARBY)];
    let looking = move |keeper: &Keeper| {
        let graves = keeper.graves_near(&at, &contents)?;
        let mut around = Vec::new();
        let windows = [(from - NEARBY, from), (to, to + NEARBY)].into_iter().zip(is_near);
        for (window, _) in windows.filter(|(_, has_some)| *has_some) {
            around.extend(keeper.index().visible_starting_in(&at.stream, window)?);
        }
        Ok((graves, around))
    };
    let (graves, around) = job.shared.with_keeper(looking).await?;
    let mut known = Surroundings { graves, waiting: HashSet::new(), around };
    wait_too(&mut known, waiting, place);
    Ok(known)
}

fn wait_too(known: &mut Surroundings, stems: HashSet<Box<str>>, place: &HourPlace) {
    known.graves.extend(stems.iter().filter_map(|stem| {
        match parse_file_name(&format!("{stem}{}", FileEnding::Tombstone.suffix())) {
            FileName::Understood(key) => Some((key.hash, key.kind, key.start(place.hour))),
            _ => None,
        }
    }));
    known.waiting.extend(stems);
}

/// Asks the other peers what is deleted of an hour, each once between two of its rounds. The stems of all tombstones that wait by then,
/// and of those of them that concern these names although they could not be remembered.
async fn ask_others(job: &PeerJob, place: &HourPlace, remote: &[&str]) -> HashSet<Box<str>> {
    let others: Vec<Arc<FollowedPeer>> = {
        let all = job.shared.peers.lock();
        let others = all.iter().filter(|known| known.peer != job.followed.peer && known.peer.trusted);
        others.filter(|known| may_be_asked(known.status().state)).cloned().collect()
    };
    let (mut said, mut too_many) = (HashSet::new(), HashSet::new());
    for _ in 0..ATTEMPTS {
        let asked = others.iter().filter(|known| job.shared.deletions_asked.lacks(&known.peer.name, place));
        for answer in futures_util::future::join_all(asked.map(|known| ask(job, known, place, remote))).await {
            said.extend(answer.stems);
            too_many.extend(answer.too_many_of);
        }
        let names = others.iter().map(|known| &*known.peer.name);
        let remembered: Vec<&str> = names.filter(|name| !too_many.contains(*name)).collect();
        let waiting = || job.shared.bursts.waiting_in(place);
        if let Some(waiting) = job.shared.deletions_asked.unless_lacking(&remembered, place, waiting) {
            said.extend(waiting);
            return said;
        }
    }
    said.extend(job.shared.bursts.waiting_in(place));
    said
}

#[derive(Default)]
struct DeletionsOfPeer {
    /// The stems of its tombstones that concern the names at hand.
    stems: HashSet<Box<str>>,
    /// Its name, if there was no room to remember what it said.
    too_many_of: Option<String>,
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

/// Asks another peer, and remembers what it says. Empty if it said nothing, or was asked by another worker meanwhile.
async fn ask(job: &PeerJob, known: &FollowedPeer, place: &HourPlace, remote: &[&str]) -> DeletionsOfPeer {
    let (shared, peer) = (&job.shared, &known.peer);
    let asking = shared.deletions_asked.asking(&peer.name);
    let _one = asking.lock().await;
    if !shared.deletions_asked.lacks(&peer.name, place) {
        return DeletionsOfPeer::default();
    }
    let listing = shared.client.segments(peer, &place.stream.channel, &place.stream.quality, place.hour);
    let names = match timeout(shared.deletions_asked.patience(&peer.name), listing).await {
        Ok(Ok(listing)) => listing.names,
        // It answers, and has no such hour.
        Ok(Err(error)) if has_no_such_hour(&error) => Vec::new(),
        why => {
            let why = why.map_or_else(
                |_| "it took too long".to_owned(),
                |answer| answer.map_or_else(|error| error.to_string(), |_| String::new()),
            );
            tracing::debug!(name: "deletions_not_told", hour = %place, peer = %peer.name, why, "a peer does not say now what is deleted of an hour; its own round will");
            shared.deletions_asked.is_silent(&peer.name);
            return DeletionsOfPeer::default();
        }
    };
    let tombstones: Vec<Box<str>> = names.into_iter().filter(|name| is_tombstone(name)).collect();
    let remember = || shared.bursts.wait(&peer.name, place, &tombstones);
    let is_remembered = shared.deletions_asked.note(&peer.name, place, remember);
    let stems = heavy(tombstones.len() + remote.len(), || concerning(&tombstones, remote));
    DeletionsOfPeer { stems, too_many_of: (!is_remembered).then(|| peer.name.clone()) }
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
    fn what_a_peer_said_is_not_relied_on_once_its_round_has_begun_anew() {
        let place = HourPlace::parse("a/b/2020-01-01T00").unwrap();
        let heard = DeletionsAsked::default();
        heard.asking("x");
        assert_eq!(heard.patience("x"), PATIENCE);
        let all_heard = |peers: &[&str]| heard.unless_lacking(peers, &place, || ()).is_some();
        assert!(all_heard(&[]) && !all_heard(&["x"]));
        assert!(heard.note("x", &place, || true) && all_heard(&["x"]) && !all_heard(&["x", "y"]));
        assert_eq!((heard.patience("x"), heard.patience("y")), (PATIENCE_ONCE_ANSWERED, PATIENCE));
        heard.is_silent("y");
        assert!(all_heard(&["x", "y"]), "what cannot be asked now keeps nothing back");
        let mut is_forgotten = false;
        heard.forget("x", || is_forgotten = true);
        assert!(is_forgotten && !all_heard(&["x", "y"]));
        assert!(!heard.note("x", &place, || false) && !all_heard(&["x"]), "there was no room to remember it");
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
