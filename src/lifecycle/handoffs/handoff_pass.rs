//! A pass: looks at hours that lie here and belong to others, asks their owners, and lets leave what all of them have.
//!
//! Each node of the layout that is a peer here is asked one thing in each pass, so that it is known who is silent or full; hours are in
//! the question where there are any. An owner is asked at the peer that has its name in the settings, and at no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::error::HandoffError;
use super::handoff_hours::{HandoffHour, SeenDirs};
use super::leave::LeavingNames;
use super::machine::Handoffs;
use super::owner_pins::{MOST_HOURS, offer, read_offer, read_word};
use crate::archive::HourPlace;
use crate::archive::placement::handoffs::{
    ArchiveTerms, HourVerdict, PinAnswer, PinRequest, PlacementEffect, PlacementEvent, RequestId, StayReason,
};
use crate::archive::placement::{LayoutId, LayoutNode, NodeState, PlaceName};
use crate::disk::ArchiveId;
use crate::jobs::{JobHandle, NodeEvent, Stop};
use crate::replicate::peer::{Peer, PeerError};
use crate::replicate::placement::LayoutState;
use crate::wire::{PinQuestion, PinReply, PinnedHourQuestion};

/// Hours that are looked at for one pass at most; the next one goes on.
const MOST_LOOKED_AT: usize = 1_000;

/// What a pass remembers for the next one.
#[derive(Debug, Default)]
pub(super) struct PassMemory {
    seen: SeenDirs,
    /// The last hour that was asked about.
    after: Option<HourPlace>,
    /// By what the directories of hours of this pass are known, here and on owners.
    directories: BTreeMap<HourPlace, BTreeSet<String>>,
    /// Where the next pass begins if owners read what this one was about.
    began_after: Option<HourPlace>,
    /// Whether an owner reads hours before it confirms them.
    pub(super) is_read: bool,
    /// Why hours are still here, as far as that is known.
    pub(super) reasons: BTreeMap<HourPlace, String>,
}

/// An owner, and what it is asked.
struct Asking {
    node: PlaceName,
    peer: Peer,
    question: PinQuestion,
    /// Whether it is asked about hours.
    has_hours: bool,
}

impl Handoffs {
    /// One pass; says how many hours have left. Blocks.
    pub(super) fn pass(
        &self,
        memory: &mut PassMemory,
        stop: &Stop,
        handle: Option<&JobHandle>,
    ) -> Result<u64, HandoffError> {
        let known = match self.parts.layouts.look() {
            LayoutState::Known(known) => known,
            LayoutState::Unusable(why) => return Err(HandoffError::Layout(why)),
            LayoutState::None => {
                self.note_figures(&[], &PassMemory::default(), 0);
                return Ok(0);
            }
        };
        if !(self.parts.is_ready)() {
            return Err(HandoffError::NotReady);
        }
        self.forget_wishes()?;
        let hours = self.handoff_hours()?;
        self.note_hours(&hours);
        if std::mem::take(&mut memory.is_read) {
            memory.after = memory.began_after.take();
        }
        memory.began_after.clone_from(&memory.after);
        memory.directories.clear();
        memory.seen.keep(&hours);
        let is_handoff = |place: &HourPlace| hours.binary_search_by(|hour| hour.place.cmp(place)).is_ok();
        memory.reasons.retain(|place, _| is_handoff(place));
        // A name that was spelt wrong must not empty a node.
        let is_left_out = self.parts.layouts.current().leaves_out();
        if is_left_out {
            let why = "this node is not in the layout, and gives nothing away";
            memory.reasons = hours.iter().map(|hour| (hour.place.clone(), why.to_owned())).collect();
        }
        let asked = if self.leaves() && !is_left_out { self.begin_pass(memory, &hours, stop)? } else { Vec::new() };
        let is_there = |node: &&LayoutNode| node.state != NodeState::Lost;
        let nodes: Vec<PlaceName> =
            known.layout.nodes().iter().filter(is_there).map(|node| node.name.clone()).collect();
        let questions = self.questions(&nodes, known.id, asked, memory);
        let answers = self.parts.handle.block_on(join_all(questions.iter().map(|asking| async move {
            let answer = self.parts.client.pins(&asking.peer, &asking.question).await;
            (asking, answer)
        })));
        let mut leaving = Vec::new();
        let mut heard = Ok(());
        for (asking, answer) in answers {
            if let Some(handle) = handle {
                handle.sign();
            }
            match self.hear(asking, answer, known.id, memory) {
                Ok(more) => leaving.extend(more),
                // What was let go before waits to hear how that has ended.
                Err(error) => heard = Err(error),
            }
        }
        self.note_away(&nodes);
        let left = self.let_leave(&leaving, memory, stop, handle);
        self.note_figures(&hours, memory, left);
        heard.map(|()| left)
    }

    /// Tells the machine what lies here, from where the pass before has ended; says what it asks of whom.
    fn begin_pass(
        &self,
        memory: &mut PassMemory,
        hours: &[HandoffHour],
        stop: &Stop,
    ) -> Result<Vec<(PlaceName, PinRequest<ArchiveTerms>)>, HandoffError> {
        let first = memory.after.as_ref().map_or(0, |after| hours.partition_point(|hour| hour.place <= *after));
        let in_turn = hours[first.min(hours.len())..].iter().chain(&hours[..first.min(hours.len())]);
        let (mut lying, mut changed) = (Vec::new(), Vec::new());
        for HandoffHour { place, .. } in in_turn.take(MOST_LOOKED_AT) {
            if lying.len() >= MOST_HOURS || stop.is_stopped() {
                break;
            }
            memory.after = Some(place.clone());
            memory.reasons.remove(place);
            if let Some(why) = self.why_held(place) {
                memory.reasons.insert(place.clone(), why);
                continue;
            }
            match self.look(&mut memory.seen, place) {
                Ok(Some(looked_at)) => {
                    memory.directories.insert(place.clone(), BTreeSet::from([looked_at.directory]));
                    changed.extend(looked_at.has_changed.then(|| place.clone()));
                    lying.push(looked_at.lying);
                }
                Ok(None) => {}
                Err(error @ (HandoffError::NotUtf8(..) | HandoffError::Unproven(..))) => {
                    drop(memory.reasons.insert(place.clone(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        for hour in changed {
            self.tell(PlacementEvent::Changed { hour })?;
        }
        // What would not be asked about takes nobody's place.
        let mut may_leave = Vec::with_capacity(lying.len());
        for hour in lying {
            match self.ask(|node, now| node.why_stays(now, &hour.hour)) {
                Some(None) => may_leave.push(hour),
                Some(Some(why)) => drop(memory.reasons.insert(hour.hour, stays(why))),
                None => return Err(HandoffError::NotReady),
            }
        }
        let effects = self.tell(PlacementEvent::Pass { lying: may_leave })?;
        Ok(effects
            .into_iter()
            .filter_map(|effect| match effect {
                PlacementEffect::Ask { peer, request } => Some((peer, request)),
                _ => None,
            })
            .collect())
    }

    /// What each of these nodes is asked that is a peer here: about hours, or only who it is.
    fn questions(
        &self,
        nodes: &[PlaceName],
        layout: LayoutId,
        asked: Vec<(PlaceName, PinRequest<ArchiveTerms>)>,
        memory: &mut PassMemory,
    ) -> Vec<Asking> {
        let peers = self.parts.peers.borrow().clone();
        let Some(own) = self.parts.layouts.current().node() else { return Vec::new() };
        let called = |node: &PlaceName| peers.iter().find(|peer| peer.name == node.as_str()).cloned();
        let mut requests: BTreeMap<PlaceName, PinRequest<ArchiveTerms>> = asked.into_iter().collect();
        let mut all = Vec::new();
        for node in nodes.iter().filter(|node| *node != own) {
            let request = requests.remove(node);
            let Some(peer) = called(node) else {
                let why = format!("no peer is called {node} in the settings");
                let hours = request.into_iter().flat_map(|request| request.hours);
                memory.reasons.extend(hours.map(|hour| (hour.hour, why.clone())));
                continue;
            };
            let has_hours = request.is_some();
            let request = request.unwrap_or_else(|| PinRequest {
                id: RequestId { run: 0, number: 0 },
                layout,
                hours: Vec::new(),
            });
            all.push(Asking { peer, question: question(own, request), node: node.clone(), has_hours });
        }
        all
    }

    /// Tells the machine what was answered; says what leaves by that.
    fn hear(
        &self,
        asking: &Asking,
        answer: Result<PinReply, PeerError>,
        layout: LayoutId,
        memory: &mut PassMemory,
    ) -> Result<Vec<LeavingNames>, HandoffError> {
        let (peer, hours) = (asking.node.clone(), asking.question.hours.iter().map(|asked| &asked.hour));
        let mut stays = |why: String| memory.reasons.extend(hours.clone().map(|hour| (hour.clone(), why.clone())));
        let reply = match answer {
            Ok(reply) if reply.node == peer.as_str() => reply,
            Ok(reply) => {
                stays(format!(
                    "the peer that is called {peer} in the settings calls itself {:?}",
                    reply.node.chars().take(64).collect::<String>()
                ));
                return Ok(Vec::new());
            }
            // It answers, and says something else: it may not know the question, or cannot answer it now.
            Err(error) if error.status().is_some() => {
                stays(format!("{peer} cannot confirm it: {error}"));
                self.tell(PlacementEvent::Heard { peer, is_full: false })?;
                return Ok(Vec::new());
            }
            Err(error) => {
                stays(format!("{peer} does not answer"));
                tracing::debug!(name: "owner_silent", peer = %peer, %error, "an owner of handoffs does not answer");
                self.tell(PlacementEvent::Silent { peer })?;
                return Ok(Vec::new());
            }
        };
        self.tell(PlacementEvent::Heard { peer: peer.clone(), is_full: reply.is_full })?;
        if !asking.has_hours {
            return Ok(Vec::new());
        }
        let theirs = reply.layout.as_ref().and_then(read_offer);
        if theirs != Some(layout) {
            stays(format!("{peer} has another layout"));
        }
        let Some(archive) = reply.archive.parse().ok().map(|id: ArchiveId| u128::from_be_bytes(id.to_bytes())) else {
            stays(format!("{peer} does not say which archive it is"));
            return Ok(Vec::new());
        };
        memory.is_read |= reply.is_reading;
        let mut said = Vec::new();
        for hour in reply.hours {
            let Some(mut verdict) = read_word(&hour.verdict) else { continue };
            if let Some(why) = refusal(&peer, verdict, reply.is_reading, self.hides(&hour.hour)) {
                memory.reasons.insert(hour.hour.clone(), why);
            }
            // Of an owner that does not say it, nothing is known.
            let known = memory.directories.entry(hour.hour.clone()).or_default();
            if verdict == HourVerdict::Pinned && (hour.directory.is_empty() || !known.insert(hour.directory)) {
                verdict = HourVerdict::NotMine;
                let why = format!("{peer} has it in the same directory as another node, which is one copy");
                memory.reasons.insert(hour.hour.clone(), why);
            }
            said.push((hour.hour, verdict));
        }
        let id = RequestId { run: reply.run, number: reply.number };
        let confirmed = PinAnswer { id, archive, layout: theirs, hours: said };
        let effects = self.tell(PlacementEvent::Answered { by: peer, answer: confirmed })?;
        Ok(effects
            .into_iter()
            .filter_map(|effect| match effect {
                PlacementEffect::Drop { hour, names, before } => {
                    Some(LeavingNames { place: hour, names, before, layout })
                }
                _ => None,
            })
            .collect())
    }

    fn let_leave(&self, all: &[LeavingNames], memory: &mut PassMemory, stop: &Stop, handle: Option<&JobHandle>) -> u64 {
        let (mut hours, total) = (0, all.len() as u64);
        for (done, leaving) in (0_u64..).zip(all) {
            if let Some(handle) = handle {
                handle.doing(format!("lets {} leave for its owners", leaving.place));
                handle.progress(done, total);
            }
            let (left, result) = self.leave(leaving, stop);
            self.gauges.left(left.files, left.bytes, left.is_all);
            if let Err(error) = result {
                tracing::warn!(name: "handoff_not_deleted", hour = %leaving.place, %error, "an hour that its owners have could not be deleted here; it is tried again");
                memory.reasons.insert(leaving.place.clone(), error.to_string());
            } else if left.is_all {
                hours += 1;
                memory.reasons.remove(&leaving.place);
                tracing::info!(name: "handoff_left", hour = %leaving.place, files = left.files, bytes = left.bytes, "an hour has left for its owners, which all have it");
            }
        }
        hours
    }

    /// Where somebody else is away than before, other hours belong here.
    fn note_away(&self, nodes: &[PlaceName]) {
        let is_away = |node: &&PlaceName| self.ask(|machine, now| machine.is_away(now, node)).unwrap_or_default();
        let now: BTreeSet<String> = nodes.iter().filter(is_away).map(ToString::to_string).collect();
        let before = std::mem::replace(&mut *self.away.lock(), now.clone());
        for node in now.difference(&before) {
            tracing::warn!(name: "stood_in_for", node, "a node of the layout is silent or full; others keep hours in its place");
        }
        for node in before.difference(&now) {
            tracing::info!(name: "stood_in_for_no_more", node, "a node of the layout is back; what was kept in its place leaves for it");
        }
        self.somebody_is_away.store(!now.is_empty(), Ordering::Relaxed);
        if now != before {
            self.parts.events.send(NodeEvent::HourRulesChanged);
        }
    }
}

fn question(own: &PlaceName, request: PinRequest<ArchiveTerms>) -> PinQuestion {
    let hours = request.hours.into_iter().map(|asked| PinnedHourQuestion {
        hour: asked.hour,
        digest: asked.digest.to_string(),
        names: asked.names.map(|names| names.iter().map(str::to_owned).collect()),
    });
    PinQuestion {
        node: own.to_string(),
        run: request.id.run,
        number: request.id.number,
        layout: offer(request.layout),
        hours: hours.collect(),
    }
}

fn refusal(owner: &PlaceName, verdict: HourVerdict, is_reading: bool, hides: bool) -> Option<String> {
    Some(match verdict {
        HourVerdict::Pinned => return None,
        HourVerdict::Differs => format!("{owner} has something else of it, and is asked by name"),
        HourVerdict::Lacks if is_reading => format!("{owner} reads what it has before it confirms it"),
        HourVerdict::Lacks if hides => {
            format!(
                "{owner} does not have all of it; files are hidden here, which nobody fetches: it leaves after a purge"
            )
        }
        HourVerdict::Lacks => format!("{owner} does not have all of it yet"),
        HourVerdict::Going => format!("{owner} deletes it"),
        HourVerdict::NotMine => format!("{owner} does not take it for its own"),
    })
}

fn stays(why: StayReason<ArchiveTerms>) -> String {
    match why {
        StayReason::Kept => "it is kept here".to_owned(),
        StayReason::TooFewOwners => "the layout has fewer owners for it than copies are wanted".to_owned(),
        StayReason::TooFewZones => {
            "its owners lie in fewer zones than they could, until the next version of the layout".to_owned()
        }
        StayReason::Held => "it is being deleted, or will be".to_owned(),
        StayReason::Pinned => "another node was promised that it stays for an hour".to_owned(),
        StayReason::NotQuiet => "it is not over for an hour, or has changed within ten minutes".to_owned(),
        StayReason::Silent(owner) => format!("{owner} does not answer"),
    }
}
