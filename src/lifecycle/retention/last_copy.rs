//! Which files of an hour no other node has: asked before the last copy of anything is deleted.
//!
//! 1. An answer proves no copy: a second server over the same directory answers, too. A peer counts if it names another archive id
//!    than ours, or if the operator names it (`copies_at`) and what is written here for a moment is not seen through it ([`probe`](super::probe)).
//!    One whose id changes counts as nothing ([`Steady`]).
//! 2. A peer that counts has what its plain listing names, if a probe in that very hour shows that this is another disk, and if it
//!    gives whole files of a sample whose bytes have the hashes in their names. One that does not answer has nothing. What it says
//!    that its tombstones hide is believed: no node shows that. What is fetched for this is bounded for each pass ([`SampleBudget`]).
//! 3. A peer has what lies on its own disk: what it lists because a bucket has it is not counted as its copy.
//! 4. A bucket has what was read back from it, as long as the store says that the object is there with that size, and if the hour does not leave
//!    it within a day.
//! 5. Nodes that ask each other at the same moment must not all rely on another that relies on them: of those that hold something
//!    the one of the highest [`rank`] keeps it.
//!
//! Nothing of the archive is deleted or fetched here.

mod proof;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use self::proof::{HolderClaim, SampleBudget};
use super::identity::{PeerIdentity, Steady, identify};
use super::job::stopped;
use super::{Retention, RetentionError};
use crate::archive::guards::Guard;
use crate::archive::hidden_content::NEARBY;
use crate::archive::retention::RetentionLimits;
use crate::archive::{FileName, HourPlace, SegmentFile, Stream, Timestamp, parse_file_name};
use crate::bucket::Bucket;
use crate::disk::marker;
use crate::jobs::Stop;
use crate::replicate::peer::{Peer, PeerClient, PeerError, PeerUrl};
use crate::replicate::remote::{CopyWorth, PeerRemote, Remote, StoredObjects};
use crate::sync::crawl::Keeper;
use crate::wire::{RetentionReport, TombstonePage};

/// Bytes of an answer.
const ANSWER_BYTES: usize = 8 << 20;
/// Names listed of files that stay because no other node has them.
const MOST_NAMED: usize = 5;
/// Pages of an answer: with more, a peer would keep us asking.
const PAGES: usize = 64;

/// Whom to ask, and how this node recognises itself.
#[derive(Clone)]
pub struct HolderQuery {
    pub client: PeerClient,
    /// The bucket that hours of this archive are sent to.
    pub bucket: Option<Bucket>,
    pub peers: watch::Receiver<Vec<Peer>>,
    /// By this number this node recognises itself among them: its own copy is not another one.
    pub instance: u64,
    /// Peers that the operator says are other disks, by their names.
    pub copies_at: Vec<String>,
    pub steady: Steady,
    pub keeper: Arc<Keeper>,
    /// By which, and as of when, hours leave the bucket.
    pub bucket_ages: (RetentionLimits, Timestamp),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CopyStanding {
    Archive(String),
    /// Configured and probed; it is a gapless node and has this number as long as it runs.
    Process(u64),
    /// Configured and probed; it does not have this guard.
    FixedPart,
}

/// Asks the peers of a list that may change what they have.
pub struct Copies {
    asking: HolderQuery,
    /// The id of the archive here, once it was read.
    archive: Option<String>,
    /// Why each that was asked counts as another place for a quality, if it does. By address: the list may change, and its names
    /// with it, while a pass lasts.
    standings: HashMap<(PeerUrl, Stream), Option<CopyStanding>>,
    /// Those that did not answer: not asked again in the same pass, so that a dead one costs its patience once.
    silent: HashSet<PeerUrl>,
    /// What a person should know about those that do not count, by name.
    unproven: BTreeMap<String, String>,
    budget: SampleBudget,
}

impl Copies {
    pub fn new(asking: HolderQuery) -> Self {
        let read = asking.keeper.guard().base().ok().and_then(|base| marker::read(&base).ok().flatten());
        Self {
            archive: read.map(|id| id.to_string()),
            asking,
            standings: HashMap::new(),
            silent: HashSet::new(),
            unproven: BTreeMap::new(),
            budget: SampleBudget::FULL,
        }
    }

    /// Whether no more can be looked into in this pass: all that is still asked about stays.
    pub const fn are_used_up(&self) -> bool {
        self.budget.is_used_up()
    }

    #[cfg(test)]
    pub(super) const fn look_into(&mut self, files: usize) {
        self.budget.files = files;
    }

    /// Peers that answered and do not count, and why.
    pub fn unproven(&self) -> impl Iterator<Item = String> {
        self.unproven.iter().map(|(name, why)| format!("{name} is no copy: {why}"))
    }

    /// Those of the hidden files that neither a peer nor the bucket has the bytes of.
    pub async fn hidden_and_held_by_nobody(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let claims = self.claims_of_all(place, &names, |_, _| true).await;
        let missing = self.unproven_of(place, names, claims).await;
        self.hidden_at_no_peer(place, missing).await
    }

    /// Those of the hidden files that no peer has the bytes of. A peer does not list what is hidden: it is asked what its
    /// tombstones hide, which only one of our kind can tell.
    pub async fn hidden_and_held_by_no_peer(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let missing = self.held_by_no_peer(place, names).await;
        self.hidden_at_no_peer(place, missing).await
    }

    async fn hidden_at_no_peer(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let mut missing = names;
        // Not in the head of the loop: the list would be locked until its end, and updates of it would wait.
        let peers = self.asking.peers.borrow().clone();
        for peer in peers {
            if missing.is_empty() || self.standing(&peer, place).await.is_none() {
                continue;
            }
            match self.hidden_at(&peer, place).await {
                Ok(held) => missing.retain(|name| !held.contains(name)),
                Err(error) => {
                    tracing::debug!(name: "hidden_not_asked", peer = peer.name, hour = %place, %error, "a peer did not say what it hides");
                }
            }
        }
        missing
    }

    /// The hidden files of an hour whose bytes a peer still has.
    async fn hidden_at(&self, peer: &Peer, place: &HourPlace) -> Result<HashSet<String>, PeerError> {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let hour = place.hour.to_string();
        let (mut held, mut after) = (HashSet::new(), None::<String>);
        for _ in 0..PAGES {
            let mut query = vec![("channel", channel), ("quality", quality), ("hour", &hour)];
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: TombstonePage =
                self.asking.client.get_json(peer, &["api", "v1", "tombstones"], &query, ANSWER_BYTES).await?;
            held.extend(page.tombstones.into_iter().filter_map(|tombstone| tombstone.hides));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(held)
    }

    /// Why a peer counts as another place; `None` if it does not. Each is asked once for each quality in a pass.
    async fn standing(&mut self, peer: &Peer, place: &HourPlace) -> Option<CopyStanding> {
        if self.silent.contains(&peer.url) {
            return None;
        }
        let key = (peer.url.clone(), place.stream.clone());
        if let Some(standing) = self.standings.get(&key) {
            return standing.clone();
        }
        let standing = self.ask_standing(peer, place).await;
        self.standings.insert(key, standing.clone());
        standing
    }

    async fn ask_standing(&mut self, peer: &Peer, place: &HourPlace) -> Option<CopyStanding> {
        let standing = match identify(&self.asking.client, peer, &place.stream).await {
            Ok(PeerIdentity::Node { process: Some(process), .. }) if process == self.asking.instance => return None,
            Ok(PeerIdentity::Node { archive, process, .. }) => match (archive, &self.archive) {
                (Some(theirs), Some(ours)) if theirs == *ours => {
                    let why = "it has the archive id of this node: the same directory, or a copy of this disk with its marker";
                    self.not_proven(peer, why.to_owned());
                    return None;
                }
                (Some(theirs), Some(_)) => CopyStanding::Archive(theirs),
                _ => process.map_or(CopyStanding::FixedPart, CopyStanding::Process),
            },
            Ok(PeerIdentity::FixedPart) => CopyStanding::FixedPart,
            Err(error) => {
                tracing::warn!(name: "copies_not_asked", peer = peer.name, hour = %place, %error, "a peer did not say whether it is another node; it counts as having nothing");
                self.silent.insert(peer.url.clone());
                return None;
            }
        };
        if !self.asking.keeper.guards().stands(Guard::LastCopy) {
            return Some(standing);
        }
        let is_named = self.asking.copies_at.contains(&peer.name);
        let why = match &standing {
            CopyStanding::Archive(theirs)
                if !self.asking.steady.hear(&peer.url, theirs, Instant::now()) && !is_named =>
            {
                "it has named another archive id within a day; it counts again when it has named the same one for a day"
            }
            CopyStanding::Process(_) | CopyStanding::FixedPart if !is_named => {
                "it does not name an archive of its own; if it is another disk, add its name to copies_at in [retention]"
            }
            _ => return Some(standing),
        };
        self.not_proven(peer, why.to_owned());
        None
    }

    fn not_proven(&mut self, peer: &Peer, why: String) {
        tracing::debug!(name: "copy_not_proven", peer = peer.name, why, "a peer does not count as another copy");
        self.unproven.insert(peer.name.clone(), why);
    }

    /// Those of the names that no peer has, in the order in which they were given.
    #[cfg(test)]
    pub async fn held_by_nobody(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let claims = self.claims_of_all(place, &names, |_, _| true).await;
        self.unproven_of(place, names, claims).await
    }

    pub(super) async fn held_by_no_peer(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let claims = self.claims_of_peers(place, &names, |_, _| true).await;
        self.unproven_of(place, names, claims).await
    }

    /// Those of the names that must stay here: neither the bucket has them, nor a peer of which it is certain that it does not let them go
    /// because this node has them. Such a peer has a higher rank, or is of the fixed part, which knows no such guard.
    pub async fn left_to_us(&mut self, place: &HourPlace, names: Vec<String>) -> Vec<String> {
        let outranks = |this: &Self, standing: &CopyStanding| match standing {
            CopyStanding::Archive(theirs) => {
                this.archive.as_ref().is_none_or(|ours| rank(place, theirs) > rank(place, ours))
            }
            CopyStanding::Process(theirs) => rank(place, theirs) > rank(place, &this.asking.instance),
            CopyStanding::FixedPart => true,
        };
        let claims = self.claims_of_all(place, &names, outranks).await;
        let is_listed = |name: &String| claims.iter().any(|claim| claim.names.contains_key(name));
        let unlisted: Vec<String> = names.iter().filter(|name| !is_listed(name)).cloned().collect();
        if !unlisted.is_empty() {
            // The hour stays in any case.
            return unlisted;
        }
        self.unproven_of(place, names, claims).await
    }

    async fn claims_of_all(
        &mut self,
        place: &HourPlace,
        names: &[String],
        counts: impl Fn(&Self, &CopyStanding) -> bool,
    ) -> Vec<HolderClaim> {
        let of_bucket = self.claim_of_bucket(place, names).await;
        let of_peers = self.claims_of_peers(place, names, counts).await;
        of_bucket.into_iter().chain(of_peers).collect()
    }

    /// What the objects of the bucket that were read back hold of the names.
    async fn claim_of_bucket(&self, place: &HourPlace, names: &[String]) -> Option<HolderClaim> {
        let (bucket, absent) = (self.asking.bucket.clone()?, Arc::clone(self.asking.keeper.absent_files()?));
        let (limits, now) = &self.asking.bucket_ages;
        if limits.leaves_bucket_soon(place, *now) {
            return None;
        }
        let at = place.clone();
        let told = |error: &dyn Display| {
            tracing::warn!(name: "bucket_copies_not_asked", hour = %place, %error, "the bucket did not say whether it still has what was read back from it; it counts as having nothing");
        };
        let objects = tokio::task::spawn_blocking(move || absent.read_back(&at)).await.ok()?;
        let objects = objects.inspect_err(|error| told(error)).ok()?;
        let claim = claim(&StoredObjects::read_back(bucket, objects), None, place, names).await;
        claim.inspect_err(|error| told(error)).ok()
    }

    /// What those peers that count list of the names.
    async fn claims_of_peers(
        &mut self,
        place: &HourPlace,
        names: &[String],
        counts: impl Fn(&Self, &CopyStanding) -> bool,
    ) -> Vec<HolderClaim> {
        let peers = self.asking.peers.borrow().clone();
        let mut claims = Vec::new();
        for peer in peers {
            let Some(standing) = self.standing(&peer, place).await.filter(|standing| counts(self, standing)) else {
                continue;
            };
            let remote = PeerRemote::new(&self.asking.client, &peer, standing != CopyStanding::FixedPart);
            match claim(&remote, Some(&peer), place, names).await {
                Ok(claim) => claims.push(claim),
                Err(error) => {
                    tracing::warn!(name: "copies_not_asked", peer = peer.name, hour = %place, %error, "a peer did not list an hour; it does not count as a copy");
                    self.silent.insert(peer.url.clone());
                }
            }
        }
        claims
    }
}

/// What a remote says that it holds of the names, and what that is worth.
pub(super) async fn claim<R: Remote>(
    remote: &R,
    peer: Option<&Peer>,
    place: &HourPlace,
    names: &[String],
) -> Result<HolderClaim, R::Error> {
    let worth = remote.capabilities().copies;
    let listed = remote.list(place).await?;
    let held = match worth {
        CopyWorth::ReadBack => held_by_name(&listed, names),
        CopyWorth::OnceProven => held_by(&listed, names),
        CopyWorth::Nothing => HashMap::new(),
    };
    Ok(HolderClaim { worth, peer: peer.cloned(), names: held })
}

/// What a list of an hour has of these names, and under which name: recorders of one source that tells no times name equal content by starts
/// that differ, and no node fetches it under another name.
fn held_by(listed: &[Box<str>], names: &[String]) -> HashMap<String, String> {
    let exact: HashSet<&str> = listed.iter().map(|name| &**name).collect();
    let video = |name: &str| match parse_file_name(name) {
        FileName::Understood(key) if key.kind.is_video() && !key.tombstone => Some(key),
        _ => None,
    };
    let by_content = LazyCell::new(|| {
        let mut found: HashMap<_, Vec<(u32, &str)>> = HashMap::new();
        for (key, name) in listed.iter().filter_map(|name| video(name).map(|key| (key, name))) {
            found.entry((key.hash, key.kind)).or_default().push((key.start_us, name));
        }
        found
    });
    let twin_of = |name: &String| {
        let key = video(name)?;
        let is_near = |(start, _): &&(u32, &str)| i64::from(start.abs_diff(key.start_us)) <= NEARBY.us();
        by_content.get(&(key.hash, key.kind))?.iter().find(is_near).map(|(_, theirs)| (*theirs).to_owned())
    };
    let held = |name: &String| if exact.contains(name.as_str()) { Some(name.clone()) } else { twin_of(name) };
    names.iter().filter_map(|name| Some((name.clone(), held(name)?))).collect()
}

/// The same by names alone: what is counted without another look was sent from here or learned here, under the names that it has here.
fn held_by_name(listed: &[Box<str>], names: &[String]) -> HashMap<String, String> {
    let listed: HashSet<&str> = listed.iter().map(|name| &**name).collect();
    names.iter().filter(|name| listed.contains(name.as_str())).map(|name| (name.clone(), name.clone())).collect()
}

/// Who keeps an hour: the highest of those that hold it. Every node works it out alike, from what stays the same over its restarts
/// where it names an archive, and another one comes out for each hour, so that the copies are spread over all.
pub(super) fn rank(place: &HourPlace, who: &impl Display) -> u64 {
    xxh3_64(format!("{place} {who}").as_bytes())
}

impl Retention {
    /// What says those of the hidden files of an hour that no other node has the bytes of, if that is a reason to keep them. It asks
    /// each peer once who it is: make another for another purge. It blocks.
    pub fn hidden_last_copies(
        self: &Arc<Self>,
    ) -> impl Fn(&HourPlace, &[String]) -> BTreeSet<String> + Send + Sync + use<> {
        self.last_copies(async |asking, place, names| asking.hidden_and_held_by_nobody(place, names).await)
    }

    /// The same of what objects of the bucket hold: neither the bucket counts as another copy, nor this disk, from which a purge may take the
    /// same at any moment because the bucket has it.
    pub fn hidden_last_copies_in_bucket(
        self: &Arc<Self>,
    ) -> impl Fn(&HourPlace, &[String]) -> BTreeSet<String> + Send + Sync + use<> {
        self.last_copies(async |asking, place, names| asking.hidden_and_held_by_no_peer(place, names).await)
    }

    fn last_copies<F>(
        self: &Arc<Self>,
        missing: F,
    ) -> impl Fn(&HourPlace, &[String]) -> BTreeSet<String> + Send + Sync + use<F>
    where
        F: AsyncFn(&mut Copies, &HourPlace, Vec<String>) -> Vec<String> + Send + Sync,
    {
        let retention = Arc::clone(self);
        let copies = self.options.keep_last_copy.then(|| Mutex::new(self.copies()));
        move |place, names| {
            let Some(copies) = &copies else { return BTreeSet::new() };
            let mut asking = copies.lock();
            let found = retention.parts.handle.block_on(missing(&mut asking, place, names.to_vec()));
            found.into_iter().collect()
        }
    }

    pub(super) fn copies(&self) -> Copies {
        Copies::new(HolderQuery {
            client: self.parts.client.clone(),
            bucket: self.parts.bucket.clone(),
            peers: self.parts.peers.clone(),
            instance: self.parts.instance,
            copies_at: self.options.copies_at.clone(),
            steady: self.steady.clone(),
            keeper: Arc::clone(&self.parts.keeper),
            bucket_ages: (self.options.limits.clone(), self.now()),
        })
    }

    /// The segments and chat batches of an hour, unless some of them must stay because no other node has them: those are reported.
    pub(super) fn unless_last_copies(
        &self,
        place: &HourPlace,
        copies: &mut Copies,
        stop: &Stop,
        report: &mut RetentionReport,
    ) -> Result<Option<HashSet<String>>, RetentionError> {
        if copies.are_used_up() {
            return Ok(None);
        }
        let contents = self.parts.keeper.answer(place)?.contents;
        let names = contents.visible().map(SegmentFile::name).collect();
        let asked = self.parts.handle.block_on(async {
            tokio::select! {
                missing = copies.left_to_us(place, names) => Some(missing),
                () = stopped(stop) => None,
            }
        });
        let missing = asked.ok_or(RetentionError::Stopped)?;
        report.unproven_copies = copies.unproven().collect();
        if copies.are_used_up() && !missing.is_empty() {
            return Ok(None);
        }
        note_last_copies(report, place, &missing);
        let seen = || contents.files().iter().filter(|file| !file.key.tombstone).map(SegmentFile::name).collect();
        Ok(missing.is_empty().then(seen))
    }
}

/// Files of an hour that stay because nothing else has them.
pub(super) fn note_last_copies(report: &mut RetentionReport, place: &HourPlace, missing: &[String]) {
    report.last_copies += missing.len() as u64;
    let room = MOST_NAMED.saturating_sub(report.first_last_copies.len());
    report.first_last_copies.extend(missing.iter().take(room).map(|name| format!("{place}/{name}")));
}
