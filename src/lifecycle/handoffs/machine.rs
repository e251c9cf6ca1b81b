//! Runs the machine of placement ([`PlacedNode`]) on a real node: one event at a time, its journal flushed before what follows.
//!
//! 1. Whoever has something to tell waits for its turn. Nothing is decided while the disk is away, the layout or a record that protects
//!    cannot be read, or it is not known how long this node has lived: then there is no machine, and every question is answered by an error.
//! 2. The machine starts anew from its files where the disk may be another, the journal could not be written, or the layout has become one
//!    that does not follow by its version. What is being deleted then stays refused until its deletion has ended.
//! 3. The layout's file is kept by [`LayoutStore`]: the machine is told of what lies there, and writes none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::error::HandoffError;
use super::figures::{HandoffFigures, HandoffGauges};
use super::held_hours::HeldHours;
use super::left_hour::LeftHour;
use super::pin_record::{self, RECORD};
use super::proven_files::ProvenFiles;
use crate::archive::clock::ClockVerdict;
use crate::archive::placement::handoffs::{
    ActingLayout, AllRules, ArchiveTerms, LayoutOwners, NodeSelf, PlacedNode, PlacementEffect, PlacementEvent,
    PlacementNote, PlacementTime, QUIET,
};
use crate::archive::placement::{LayoutId, PlaceName};
use crate::archive::{HourPlace, Span};
use crate::disk::{Base, RecordReading, marker};
use crate::jobs::NodeEvents;
use crate::lifecycle::clock::{ClockTimeline, Clocks};
use crate::replicate::peer::{Peer, PeerClient};
use crate::replicate::placement::{LayoutState, LayoutStore};
use crate::sync::crawl::Keeper;
use crate::sync::scrub::QuarantineContents;

/// The settings.
#[derive(Debug, Clone, Copy)]
pub struct HandoffOptions {
    /// Whether hours leave for their owners. Others are confirmed and pinned here in any case.
    pub leave: bool,
    /// From one pass to the next.
    pub every: Duration,
    /// Free space of the disk below which this node says that it is full.
    pub keep_free: u64,
}

pub struct HandoffParts {
    pub keeper: Arc<Keeper>,
    /// Whether the index that is open now has caught up with the disk.
    pub is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub layouts: Arc<LayoutStore>,
    pub client: PeerClient,
    pub peers: watch::Receiver<Vec<Peer>>,
    /// Where they are asked.
    pub handle: Handle,
    pub clocks: Arc<dyn Clocks>,
    /// Where damaged files are: an hour of which something lies there stays.
    pub quarantine: Arc<QuarantineContents>,
    pub events: NodeEvents,
}

pub(super) type Effects = Vec<PlacementEffect<ArchiveTerms>>;

/// Hours that leave for their owners, and what was promised to other nodes. Share it by `Arc`.
pub struct Handoffs {
    pub(super) parts: HandoffParts,
    pub(super) options: HandoffOptions,
    timeline: Arc<ClockTimeline>,
    machine: Mutex<Machine>,
    /// What is being deleted for owners and is to stop.
    pub(super) stops: Mutex<BTreeSet<HourPlace>>,
    pub(super) figures: Mutex<HandoffFigures>,
    pub(super) gauges: HandoffGauges,
    /// What was read for others.
    pub(super) proven: ProvenFiles,
    /// Nodes for which others stand in.
    pub(super) away: Mutex<BTreeSet<String>>,
    pub(super) somebody_is_away: AtomicBool,
    /// What has left, for whoever measures how far the archive shrinks.
    pub(super) left_hours: Mutex<Vec<LeftHour>>,
    pub(super) held: Arc<Mutex<HeldHours>>,
}

/// The machine, and what it may not forget where it starts anew.
#[derive(Default)]
pub(super) struct Machine {
    node: Option<PlacedNode<ArchiveTerms>>,
    /// How often the disk had come back when it started.
    returns: u64,
    /// What is being deleted now, by whomever.
    pub(super) deleting: BTreeSet<HourPlace>,
    /// Hours that leave, with the layout by which that was decided.
    leaving: BTreeMap<HourPlace, LayoutId>,
    /// Hours that retention, or the tier of the bucket, wants to delete, and when it last said so.
    pub(super) wishes: BTreeMap<HourPlace, Instant>,
}

impl Handoffs {
    /// Reads nothing yet.
    pub fn new(parts: HandoffParts, options: HandoffOptions, registry: &Registry) -> prometheus::Result<Self> {
        let timeline = Arc::new(ClockTimeline::new(Arc::clone(&parts.clocks)));
        Ok(Self {
            parts,
            options,
            timeline,
            machine: Mutex::default(),
            stops: Mutex::default(),
            figures: Mutex::default(),
            gauges: HandoffGauges::register(registry)?,
            proven: ProvenFiles::default(),
            away: Mutex::default(),
            somebody_is_away: AtomicBool::new(false),
            left_hours: Mutex::default(),
            held: Arc::default(),
        })
    }

    /// The line of time that it goes by. Whoever reads it and writes it is somebody else.
    pub fn timeline(&self) -> &Arc<ClockTimeline> {
        &self.timeline
    }

    /// Reads how long this node has lived, where nobody else does.
    pub fn read_time(&self) {
        let Ok(base) = self.parts.keeper.guard().base() else { return };
        if let Err(error) = self.timeline.load(&base, self.parts.keeper.records(), None) {
            tracing::debug!(name: "time_not_read", %error, "how long this node has lived could not be read");
        }
    }

    /// Tells the machine something, and does of its effects what has to be done at once. The rest is for the caller.
    pub(super) fn tell(&self, event: PlacementEvent<ArchiveTerms>) -> Result<Effects, HandoffError> {
        self.turn(|machine, base| self.step(machine, base, event))
    }

    /// Does something while nobody else tells the machine anything.
    pub(super) fn turn<T>(
        &self,
        work: impl FnOnce(&mut Machine, &Base) -> Result<T, HandoffError>,
    ) -> Result<T, HandoffError> {
        let mut machine = self.machine.lock();
        let base = self.parts.keeper.guard().base()?;
        self.align(&mut machine, &base)?;
        work(&mut machine, &base)
    }

    /// Without a word where there is no machine now: for what is only to be known.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&PlacedNode<ArchiveTerms>, PlacementTime) -> T) -> Option<T> {
        let machine = self.machine.lock();
        let now = self.time().ok()?;
        machine.node.as_ref().map(|node| question(node, now))
    }

    /// Nothing of an hour is promised while it is being deleted.
    pub(super) fn deletion_begins(&self, hour: &HourPlace) {
        self.machine.lock().deleting.insert(hour.clone());
    }

    /// What ends is heard of also where there is no machine now.
    pub(super) fn deletion_ended(&self, hour: &HourPlace, is_gone: bool) {
        let mut machine = self.machine.lock();
        machine.deleting.remove(hour);
        machine.leaving.remove(hour);
        self.stops.lock().remove(hour);
        let is_wanted = machine.wishes.contains_key(hour);
        let ended = PlacementEvent::Ended { hour: hour.clone(), is_gone };
        let told = self.parts.keeper.guard().base().map_err(HandoffError::from).and_then(|base| {
            self.align(&mut machine, &base)?;
            self.step(&mut machine, &base, ended)?;
            // It waits since the machine has started anew, for nobody any more.
            let given_up = PlacementEvent::RetireGivenUp { hour: hour.clone() };
            if is_wanted { Ok(Vec::new()) } else { self.step(&mut machine, &base, given_up) }
        });
        if let Err(error) = told {
            tracing::debug!(name: "end_not_noted", hour = %hour, %error, "that an hour was deleted is not in the journal of placement");
        }
    }

    pub(super) fn step(
        &self,
        machine: &mut Machine,
        base: &Base,
        event: PlacementEvent<ArchiveTerms>,
    ) -> Result<Effects, HandoffError> {
        let now = self.time()?;
        let node = machine.node.as_mut().ok_or(HandoffError::NotReady)?;
        let effects = node.step(now, event);
        self.perform(machine, base, effects)
    }

    /// What the clocks say.
    pub(super) fn time(&self) -> Result<PlacementTime, HandoffError> {
        let lived = self.timeline.lived().ok_or(HandoffError::NotLived)?;
        let is_contradicted = matches!(self.timeline.verdict(), ClockVerdict::Contradict(_));
        let wall = (!is_contradicted).then(|| self.parts.clocks.wall());
        Ok(PlacementTime { lived, elapsed: self.parts.clocks.boottime(), wall })
    }

    pub(super) fn elapsed(&self) -> Span {
        self.parts.clocks.boottime()
    }

    /// An error if a record that protects the archive cannot be relied on.
    pub(super) fn records_are_intact(&self) -> Result<(), HandoffError> {
        let unusable = self.parts.keeper.unusable_records();
        if unusable.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = unusable.iter().map(|record| format!("{}: {}", record.name, record.why)).collect();
        Err(HandoffError::Records(all.join("; ")))
    }

    /// Starts the machine, or tells it of another layout, where that is to be done.
    fn align(&self, machine: &mut Machine, base: &Base) -> Result<(), HandoffError> {
        let returns = self.parts.keeper.guard().returns();
        let layout = self.parts.layouts.current().now();
        let is_usable = self.records_are_intact().and(match &layout {
            LayoutState::Unusable(why) => Err(HandoffError::Layout(Arc::clone(why))),
            LayoutState::None | LayoutState::Known(_) => Ok(()),
        });
        if is_usable.is_err() || machine.returns != returns {
            self.forget(machine);
        }
        machine.returns = returns;
        is_usable?;
        let here = layout.known();
        if let (Some(node), Some(here)) = (&mut machine.node, here) {
            let known = node.layout().map(LayoutOwners::id);
            if known == Some(here.id) {
                return Ok(());
            }
            if known.is_none_or(|known| known.version < here.id.version) {
                let offered = PlacementEvent::Offered { from: None, layout: ActingLayout::new(here.layout.clone()) };
                return self.step(machine, base, offered).map(drop);
            }
        }
        let is_same_none = |node: &PlacedNode<ArchiveTerms>| here.is_none() && node.layout().is_none();
        if machine.node.as_ref().is_some_and(is_same_none) {
            return Ok(());
        }
        self.forget(machine);
        self.start(machine, base, here.map(|here| ActingLayout::new(here.layout.clone())))
    }

    /// What was confirmed counts no more, and what is being deleted for owners stops.
    fn forget(&self, machine: &mut Machine) {
        machine.node = None;
        let mut stops = self.stops.lock();
        stops.extend(std::mem::take(&mut machine.leaving).into_keys());
    }

    fn start(&self, machine: &mut Machine, base: &Base, layout: Option<ActingLayout>) -> Result<(), HandoffError> {
        let now = self.time()?;
        let archive = marker::read(base)?.ok_or(HandoffError::NoMarker)?;
        let records = self.parts.keeper.records();
        let past = records.past(base, RECORD.name)?;
        let journal = match records.read(base, &RECORD)? {
            // Nothing was ever promised, or a person has decided that what was does not count: it may have been promised all the same.
            RecordReading::Absent => (past.newest == 0).then(Vec::new),
            RecordReading::Unusable(why) => return Err(HandoffError::Records(format!("{}: {why}", RECORD.name))),
            RecordReading::Intact(content) | RecordReading::Mended(content, _) => {
                let lines = pin_record::read(&String::from_utf8_lossy(&content.bytes));
                if lines.is_none() {
                    let why = "it does not say what pins say";
                    records.note(RECORD.name, Some(why));
                    return Err(HandoffError::Records(format!("{}: {why}", RECORD.name)));
                }
                lines
            }
        };
        // A node without a name that a layout could have owns nothing, and nothing leaves it.
        let name = self.parts.layouts.current().node();
        let name = name.cloned().or_else(|| PlaceName::new("-")).ok_or(HandoffError::NotReady)?;
        let me = NodeSelf { node: name, archive: u128::from_be_bytes(archive.to_bytes()), run: rand::random() };
        // Whether something came into an hour before this process began is told by the time of its directory.
        let started = PlacementTime { elapsed: now.elapsed - QUIET, ..now };
        let (node, effects) = PlacedNode::start(me, AllRules, started, layout, journal);
        machine.node = Some(node);
        self.perform(machine, base, effects)?;
        // What is still being deleted is neither confirmed nor promised.
        for hour in machine.deleting.clone() {
            self.step(machine, base, PlacementEvent::RetireWanted { hour })?;
        }
        Ok(())
    }

    /// Does at once what may not wait; gives back the rest.
    fn perform(&self, machine: &mut Machine, base: &Base, effects: Effects) -> Result<Effects, HandoffError> {
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                PlacementEffect::Journal { lines } => {
                    if let Err(error) = self.write(machine, base, lines) {
                        self.forget(machine);
                        return Err(error);
                    }
                }
                PlacementEffect::Stop { hour } => {
                    self.stops.lock().insert(hour);
                }
                // The layout lies in its file already, and layouts are told, given and taken with the digests of each round.
                PlacementEffect::SaveLayout { .. }
                | PlacementEffect::AlarmFork { .. }
                | PlacementEffect::AskLayout { .. }
                | PlacementEffect::OfferLayout { .. } => {}
                other => rest.push(other),
            }
        }
        Ok(rest)
    }

    fn write(
        &self,
        machine: &mut Machine,
        base: &Base,
        lines: Vec<PlacementNote<ArchiveTerms>>,
    ) -> Result<(), HandoffError> {
        let now = self.time()?;
        for line in lines {
            match line {
                PlacementNote::Leaving { hour, layout } => drop(machine.leaving.insert(hour, layout)),
                PlacementNote::Left { hour } => drop(machine.leaving.remove(&hour)),
                PlacementNote::Pinned { .. } | PlacementNote::AllPinned { .. } => {}
            }
        }
        let node = machine.node.as_ref().ok_or(HandoffError::NotReady)?;
        let mut notes = node.notes(now);
        let leaving = machine.leaving.iter();
        notes.extend(leaving.map(|(hour, layout)| PlacementNote::Leaving { hour: hour.clone(), layout: *layout }));
        Ok(self.parts.keeper.records().write(base, &RECORD, pin_record::text(&notes).as_bytes())?)
    }
}
