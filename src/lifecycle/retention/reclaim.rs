//! When tombstones of retired hours are deleted: after the reclaim age, and when no node that may hold the hour lists what they hide.
//!
//! 1. Who may hold an hour is written down when it is retired ([`Holder`]): by the id of its archive where that is known.
//! 2. Before tombstones go, each of those and each peer of the list is asked for that hour, there and then. One that does not answer, or
//!    in whose place another archive answers, keeps them here.
//! 3. A node that only pulls from here, and stands in no list here, is not known and cannot be asked.
//!
//! Deletes nothing itself: [`super::apply`] does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::seq::IteratorRandom as _;
use reqwest::StatusCode;
use tokio::time::{Instant, timeout, timeout_at};

use super::apply::delete_tombstones;
use super::holders::{AnsweringPeer, HiddenNames, Holder, first_absent};
use super::identity::{PeerIdentity, identify};
use super::job::{or_update_later, stopped};
use super::journal::{Journal, JournalEntry, JournalStep};
use super::{Retention, RetentionError};
use crate::archive::guards::Guard;
use crate::archive::{HourPlace, Stream};
use crate::disk::ArchiveId;
use crate::jobs::Stop;
use crate::replicate::peer::{Peer, PeerClient};
use crate::wire::RetentionReport;

/// How long peers are waited for before hours are retired: one that says who it is later is known by its address.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one run asks about hours whose tombstones could go.
const ASKING: Duration = Duration::from_secs(60);
/// Hours that are asked about in one run: those that stay are asked about again, and another choice of them each time.
const MOST_ASKED: usize = 500;
/// Hours of which the report says why their tombstones stay.
const REPORTED: usize = 5;

/// Who each peer said it is, last in this process, by its address.
pub(super) type PeerIdentities = BTreeMap<String, PeerIdentity>;

impl Retention {
    /// Asks the peers who they are before hours are retired, so that the journal can say who may hold them.
    pub(super) fn meet(&self, stream: &Stream, stop: &Stop) -> Result<(), RetentionError> {
        let peers = self.parts.peers.borrow().clone();
        // Timers want a runtime around them from the beginning.
        let asked = async {
            join_all(peers.iter().map(|peer| timeout(PATIENCE, identify(&self.parts.client, peer, stream)))).await
        };
        let answers = self.unless_stopped(asked, stop)?;
        let answered = peers.iter().zip(answers);
        let answered = answered.filter_map(|(peer, answer)| Some((peer, answer.ok()?.ok()?)));
        let answered: Vec<(&Peer, PeerIdentity)> = answered.collect();
        for (peer, identity) in &answered {
            if let PeerIdentity::Node { archive: Some(archive), .. } = identity {
                self.steady.hear(&peer.url, archive, std::time::Instant::now());
            }
        }
        self.peer_identities
            .lock()
            .extend(answered.into_iter().map(|(peer, identity)| (peer.url.to_string(), identity)));
        Ok(())
    }

    /// Who may hold an hour that is retired now, as the journal says it.
    pub(super) fn holders(&self) -> Arc<[String]> {
        let known = self.peer_identities.lock();
        let (mut holders, mut processes) = (Vec::new(), BTreeSet::from([self.parts.instance]));
        for peer in &*self.parts.peers.borrow() {
            let address = peer.url.to_string();
            let holder = match known.get(&address) {
                // The same process under another address, or this one.
                Some(PeerIdentity::Node { process: Some(process), .. }) if !processes.insert(*process) => continue,
                Some(PeerIdentity::Node { archive: Some(archive), .. }) => Holder::Archive(archive.clone()),
                Some(_) => Holder::Address(address),
                None => self.remembered(peer).filter(|id| !holders.contains(id)).unwrap_or(Holder::Address(address)),
            };
            holders.push(holder);
        }
        holders.iter().map(Holder::to_string).collect()
    }

    /// Who a peer is that has not answered in this process, by what the index knows of its last round at this address.
    fn remembered(&self, peer: &Peer) -> Option<Holder> {
        let index = self.parts.keeper.index();
        let rows = index.peers().ok()?;
        let (_, row) = rows.into_iter().find(|(name, row)| *name == peer.name && row.url == peer.url.to_string())?;
        // One with the id of this archive is this node, or a copy of it: the address says more.
        let id = row.archive.filter(|id| index.archive().is_ok_and(|own| own != Some(*id)))?;
        Some(Holder::Archive(ArchiveId::from_bytes(id).to_string()))
    }

    /// Takes the tombstones of hours that were retired long enough ago.
    pub(super) fn reclaim_all(
        &self,
        journal: &Journal,
        stop: &Stop,
        report: &mut RetentionReport,
    ) -> Result<(), RetentionError> {
        let due =
            journal.entries().iter().filter(|(_, entry)| entry.step == JournalStep::Retired && self.is_old(entry));
        let until = Instant::now() + ASKING;
        let mut inquiry = None;
        for (place, entry) in due.sample(&mut rand::rng(), MOST_ASKED) {
            // An hour that was retired again in this run has another entry by now.
            let is_it = self.ledger.ask(|known, _| known.get(place) == Some(entry)) == Some(true);
            if !is_it || self.parts.keeper.doubt_of(place).is_some() {
                continue;
            }
            if let Some(why) = self.may_be_shown(&mut inquiry, place, entry, (until, stop))? {
                tracing::debug!(name: "tombstones_of_hour_stay", hour = %place, why, "the tombstones of a retired hour stay, though the reclaim age is over");
                if report.first_tombstones_stay.len() < REPORTED {
                    report.first_tombstones_stay.push(format!("{place}: {why}"));
                }
                report.tombstones_stay += 1;
                continue;
            }
            let Ok(_permit) = self.may_retire(place)? else { continue };
            self.may_delete()?;
            let base = self.base()?;
            let result = delete_tombstones(&base, place);
            or_update_later(place, self.parts.keeper.follow(place))?;
            if result?.is_some() {
                self.note(place, Some(self.entry(JournalStep::Gone, entry.reason)))?;
                report.reclaimed += 1;
            }
        }
        if let Some(first) = report.first_tombstones_stay.first().filter(|_| self.report().tombstones_stay == 0) {
            tracing::info!(name: "tombstones_stay", hours = report.tombstones_stay, first, "tombstones of retired hours stay, though the reclaim age is over");
        }
        Ok(())
    }

    /// Whether the tombstones of a retired hour have stayed long enough: as long as this node has lived, not as long as a clock says.
    fn is_old(&self, entry: &JournalEntry) -> bool {
        if self.parts.keeper.guards().stands(Guard::LivedTime) {
            let lived = entry.lived.zip(self.timeline.lived());
            lived.is_some_and(|(retired, lived)| lived - retired >= self.options.reclaim_age)
        } else {
            self.now() - entry.since >= self.options.reclaim_age
        }
    }

    /// Why somebody might show again what the tombstones of an hour hide, if so. Asks all who may hold it.
    fn may_be_shown(
        &self,
        inquiry: &mut Option<Inquiry>,
        place: &HourPlace,
        entry: &JournalEntry,
        (until, stop): (Instant, &Stop),
    ) -> Result<Option<String>, RetentionError> {
        if self.is_in_bucket(place)? {
            return Ok(Some("objects in the bucket may hold what they hide".to_owned()));
        }
        let contents = self.parts.keeper.answer(place)?.contents;
        let buried = HiddenNames::of(place.hour, contents.listed(true).iter().map(String::as_str));
        if buried.is_empty() || !self.parts.keeper.guards().stands(Guard::HoldersSeen) {
            return Ok(None);
        }
        let holders: Vec<Holder> = entry.holders.iter().map(|holder| Holder::parse(holder)).collect();
        let asked = async {
            let inquiry = match inquiry {
                Some(inquiry) => inquiry,
                None => inquiry.insert(Inquiry::begin(self, &place.stream).await),
            };
            inquiry.ask(&holders, place, &buried).await
        };
        let said = self.unless_stopped(async { timeout_at(until, asked).await }, stop)?;
        Ok(said.unwrap_or_else(|_| Some("not all peers have answered in time; they are asked again".to_owned())))
    }

    fn unless_stopped<T>(&self, work: impl Future<Output = T>, stop: &Stop) -> Result<T, RetentionError> {
        let done = self.parts.handle.block_on(async {
            tokio::select! {
                done = work => Some(done),
                () = stopped(stop) => None,
            }
        });
        done.ok_or(RetentionError::Stopped)
    }
}

/// What peers say in one run: who they are, once, and then of each hour what they list.
struct Inquiry {
    client: PeerClient,
    answering: Vec<(Peer, AnsweringPeer)>,
    /// The number of this node's process: what it lists itself is no matter.
    instance: u64,
    /// The first that does not say what it has, and why: none is asked about any hour then.
    silent: Option<String>,
}

impl Inquiry {
    async fn begin(retention: &Retention, stream: &Stream) -> Self {
        let (client, peers) = (retention.parts.client.clone(), retention.parts.peers.borrow().clone());
        let identities = join_all(peers.iter().map(|peer| identify(&client, peer, stream))).await;
        let mut inquiry = Self { client, answering: Vec::new(), instance: retention.parts.instance, silent: None };
        for (peer, identity) in peers.into_iter().zip(identities) {
            let (archive, process) = match identity {
                Ok(PeerIdentity::Node { complete: false, .. }) => {
                    inquiry.silent.get_or_insert_with(|| format!("{} is catching up with its own disk", peer.name));
                    continue;
                }
                Ok(PeerIdentity::Node { archive, process, .. }) => (archive, process),
                Ok(PeerIdentity::FixedPart) => (None, None),
                Err(error) => {
                    inquiry.silent.get_or_insert_with(|| format!("{} does not answer: {error}", peer.name));
                    continue;
                }
            };
            // This node is no other one with the id of its archive, which a copy of its disk may have.
            let archive = archive.filter(|_| process != Some(inquiry.instance));
            inquiry.answering.push((peer.clone(), AnsweringPeer { address: peer.url.to_string(), archive, process }));
        }
        inquiry
    }

    /// Why what is buried in an hour might be shown again, if so.
    async fn ask(&mut self, holders: &[Holder], place: &HourPlace, buried: &HiddenNames) -> Option<String> {
        let all: Vec<&AnsweringPeer> = self.answering.iter().map(|(_, answering)| answering).collect();
        if let Some(holder) = first_absent(holders, &all) {
            return Some(holder.absence());
        }
        if self.silent.is_some() {
            return self.silent.clone();
        }
        for (peer, answering) in self.answering.iter().filter(|(_, other)| other.process != Some(self.instance)) {
            match listed(&self.client, peer, answering, place).await {
                Ok(listed) => {
                    if let Some(name) = buried.first_shown(place.hour, &listed) {
                        return Some(format!("{} lists {name} and does not hide it", peer.name));
                    }
                }
                Err(why) => {
                    let why = format!("{} does not say what it has: {why}", peer.name);
                    return Some(self.silent.insert(why).clone());
                }
            }
        }
        None
    }
}

/// What a peer lists of an hour. A server without an id that seems to have nothing must show that it has anything at all: its disk
/// may be away.
async fn listed(
    client: &PeerClient,
    peer: &Peer,
    answering: &AnsweringPeer,
    place: &HourPlace,
) -> Result<Vec<Box<str>>, String> {
    let stream = &place.stream;
    let listed = match client.segments(peer, &stream.channel, &stream.quality, place.hour).await {
        Ok(listing) => listing.names,
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Vec::new(),
        Err(error) => return Err(error.to_string()),
    };
    if listed.is_empty() && answering.archive.is_none() {
        let channels = client.channels(peer).await.map_err(|error| error.to_string())?;
        if channels.names.is_empty() {
            return Err("it lists nothing at all".to_owned());
        }
    }
    Ok(listed)
}
