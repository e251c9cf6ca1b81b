//! Goes through the open holes when something may have changed, and has the index remember why each is open. What tombstones hide is read again
//! only where an hour has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use prometheus::Registry;

use super::gauges::{HoleGauges, Sums};
use super::why::{HoleFacts, why};
use super::{Knowledge, MissedQueue};
use crate::archive::coverage::Stretch;
use crate::archive::hole_reasons::{HoleKnowledge, LostContent, MissedRecording, OpenHole};
use crate::archive::{Hour, HourPlace, Span, Stream};
use crate::index::{HoleKey, Index, IndexError};
use crate::jobs::{Backoff, Failure, Job, JobHandle, JobState, Next};
use crate::replicate::HourRules;
use crate::sync::scrub::QuarantineContents;

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_secs(1);
/// Without any sign all is worked out again after this time: what retention keeps changes with the clock.
const ANYWAY: Duration = Duration::from_secs(60);
/// How often the whole ledger is compared with the holes: some tenths of a second for each ten years of a quality.
const MEND: Duration = Duration::from_secs(86_400);
/// It rests so many times as long as it worked: a twentieth of one processor, however many holes there are.
const REST: u32 = 19;
/// How long it may work without a sign of going on: a thousand holes, or the ledger of a quality.
const DEADLINE: Duration = Duration::from_secs(10 * 60);
/// Holes that are read, and remembered, together.
const TOGETHER: usize = 1_000;
/// Hours of one hole about which retention is asked: more than a year.
const MOST_HOURS: usize = 10_000;

type AskHour = dyn Fn(&HourPlace) -> bool + Send + Sync;
type AskPeers = dyn Fn() -> Option<BTreeSet<String>> + Send + Sync;

pub struct PeerQuery {
    pub wants: Box<AskHour>,
    pub rules: Arc<dyn HourRules>,
    /// The names of the peers; nothing while some of them may not be known yet.
    pub peers: Box<AskPeers>,
    pub quarantine: Arc<QuarantineContents>,
    /// What recorders of this node missed.
    pub missed: Arc<MissedQueue>,
    /// What objects of the bucket held that are lost, if there is a bucket.
    pub lost_objects: Option<Arc<dyn LostContent>>,
}

pub struct ReasonFinder {
    index: Arc<Index>,
    knowledge: Arc<Knowledge>,
    asks: PeerQuery,
    gauges: HoleGauges,
    buried: Mutex<TombstonesNearHoles>,
    /// Turns true when the index has caught up with the disk: before, hours that were not read look missing.
    ready: tokio::sync::watch::Receiver<bool>,
    /// What there was of turns of the index, of what is known of peers, of the quarantine, of lost objects and of changes when all was worked out last.
    seen: Option<[u64; 5]>,
    last: Instant,
    mended: Option<Instant>,
}

impl Job for ReasonFinder {
    fn kind(&self) -> &'static str {
        "reasons"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn backoff(&self) -> Backoff {
        Backoff::from(LOOK)
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if let Some(why) = self.cannot() {
            handle.set_state(JobState::Waiting, why, None);
            return Ok(Next::WhenWoken(LOOK));
        }
        if self.asks.missed.hand_on(&self.index)? {
            self.seen = None;
        }
        let of_quarantine = self.asks.quarantine.version();
        let of_bucket = self.asks.lost_objects.as_ref().map_or(0, |lost| lost.version());
        let changes = self.index.catalog().read().seq;
        let signs = [self.index.turns(), self.knowledge.version(), of_quarantine, of_bucket, changes];
        if self.seen == Some(signs) && self.last.elapsed() < ANYWAY {
            return Ok(Next::WhenWoken(LOOK));
        }
        let began = Instant::now();
        handle.doing("works out why holes are open");
        self.mend_now_and_then(handle)?;
        self.pass(handle)?;
        (self.seen, self.last) = (Some(signs), Instant::now());
        handle.doing("up to date");
        Ok(Next::After(LOOK.max(began.elapsed() * REST)))
    }
}

impl ReasonFinder {
    /// Of the holes of this index, from when it is `ready`.
    pub fn new(
        index: Arc<Index>,
        knowledge: Arc<Knowledge>,
        asks: PeerQuery,
        ready: tokio::sync::watch::Receiver<bool>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let (gauges, buried) = (HoleGauges::register(registry)?, Mutex::default());
        let (seen, last, mended) = (None, Instant::now(), None);
        Ok(Self { index, knowledge, asks, gauges, buried, ready, seen, last, mended })
    }

    /// Why nothing can be worked out now, if that is so.
    fn cannot(&self) -> Option<&'static str> {
        if !*self.ready.borrow() {
            return Some("waits until the index has caught up");
        }
        // Backfill begins a moment after that, and peers may come and go; one that is not known yet was not asked.
        let are_peers_known = (self.asks.peers)().is_some_and(|names| self.knowledge.is_about(&names));
        (!are_peers_known).then_some("waits until the peers are known")
    }

    /// Compares the ledger with the holes: it follows from nothing else, so that nothing else would notice.
    fn mend_now_and_then(&mut self, handle: &JobHandle) -> Result<(), IndexError> {
        if self.mended.is_some_and(|at| at.elapsed() < MEND) {
            return Ok(());
        }
        for stream in self.index.catalog().streams() {
            handle.sign();
            if self.index.mend_ledger(&stream)? {
                tracing::warn!(name: "ledger_mended", %stream, "the ledger of holes was wrong and has been repaired; the history of some holes is lost");
            }
        }
        self.mended = Some(Instant::now());
        Ok(())
    }

    fn pass(&self, handle: &JobHandle) -> Result<(), IndexError> {
        let mut buried = self.buried.lock();
        buried.begin(&self.index);
        let generation = self.index.catalog().generation();
        let streams: BTreeMap<u32, Stream> = {
            let state = self.index.catalog().read();
            state.streams.values().map(|entry| (entry.row.id, entry.stream.clone())).collect()
        };
        let away = self.index.away()?;
        let mut missed: HashMap<u32, Vec<MissedRecording>> = HashMap::new();
        for (id, each) in self.index.missed()? {
            missed.entry(id).or_default().push(each);
        }
        let (mut after, mut sums): (Option<HoleKey>, _) = (None, Sums::default());
        loop {
            handle.sign();
            let holes = self.index.open_after(after, TOGETHER)?;
            let Some(last) = holes.last() else { break };
            after = Some(last.0);
            let mut changed = Vec::new();
            for (at, id, entry) in holes {
                let Some(stream) = streams.get(&id) else { continue };
                let missed = missed.get(&id).map(Vec::as_slice).unwrap_or_default();
                let known = self.why(&mut buried, stream, &entry, (&away, missed))?;
                if entry.known.as_ref() != Some(&known) {
                    changed.push((at, entry.grown, known.clone()));
                }
                sums.add(stream, &OpenHole { known: Some(known), ..entry });
            }
            if !changed.is_empty() {
                self.index.remember_why(changed, generation)?;
            }
        }
        buried.end();
        self.gauges.set(&sums, streams.into_values());
        Ok(())
    }

    fn why(
        &self,
        buried: &mut TombstonesNearHoles,
        stream: &Stream,
        entry: &OpenHole,
        (away, missed): (&[Stretch], &[MissedRecording]),
    ) -> Result<HoleKnowledge, IndexError> {
        let hole = entry.hole;
        let (retired, unwanted) = self.hours(stream, hole);
        let facts = HoleFacts {
            peers: self.knowledge.facts(stream, hole),
            unwanted,
            tombstones: buried.within(&self.index, stream, hole)?,
            retired,
            away: away.iter().filter_map(|absence| absence.cut(hole)).collect(),
            missed: missed.iter().filter_map(|each| cut(each, hole)).collect(),
            damaged: self.asks.quarantine.lost_within(stream, hole),
            lost_objects: self.asks.lost_objects.as_ref().map_or_else(Vec::new, |lost| lost.within(stream, hole)),
        };
        Ok(why(entry, &facts, SystemTime::now().into()))
    }

    /// Those hours of a hole that retention does not keep, cut to it; and whether backfill does not want it, or not its end.
    fn hours(&self, stream: &Stream, hole: Stretch) -> (Vec<Stretch>, bool) {
        let last = (hole.end - Span::from_us(1)).hour();
        let next = |hour: &Hour| Some(hour.next()).filter(|next| next > hour && *next <= last);
        let (mut retired, mut unwanted) = (Vec::new(), true);
        for hour in std::iter::successors(Some(hole.start.hour()), next).take(MOST_HOURS) {
            let place = HourPlace { stream: stream.clone(), hour };
            unwanted &= !(self.asks.wants)(&place);
            if self.asks.rules.keeps(&place) == Some(false) {
                retired.extend(Stretch::of(hour).cut(hole));
            }
        }
        // One that reaches into what is not fetched, such as the far future, was not asked about in whole.
        let end = HourPlace { stream: stream.clone(), hour: last };
        (retired, unwanted || !(self.asks.wants)(&end))
    }
}

/// What a recorder missed of a hole.
fn cut(missed: &MissedRecording, hole: Stretch) -> Option<MissedRecording> {
    let within = missed.missed.cut(hole)?;
    Some(MissedRecording { missed: within, reason: missed.reason, detail: missed.detail.clone() })
}

/// What is remembered of hours that holes lie in.
#[derive(Debug, Default)]
pub struct TombstonesNearHoles {
    generation: u64,
    known: HashMap<(Stream, Hour), HiddenStretches>,
    pass: u64,
}

#[derive(Debug)]
struct HiddenStretches {
    changed: u64,
    tombstones: Vec<Stretch>,
    pass: u64,
}

impl TombstonesNearHoles {
    pub fn begin(&mut self, index: &Index) {
        let generation = index.catalog().generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.known.clear();
        }
        self.pass += 1;
    }

    /// Forgets the hours that no hole lies in any more.
    pub fn end(&mut self) {
        let pass = self.pass;
        self.known.retain(|_, known| known.pass == pass);
    }

    /// What tombstones hide of a hole, cut to it.
    pub fn within(&mut self, index: &Index, stream: &Stream, hole: Stretch) -> Result<Vec<Stretch>, IndexError> {
        let name = stream.to_string();
        let last = (hole.end - Span::from_us(1)).hour();
        let first = hole.start.hour().previous().min(last);
        let hours: Vec<(Hour, u64)> = {
            let state = index.catalog().read();
            let Some(entry) = state.streams.get(&name) else { return Ok(Vec::new()) };
            entry.hours.range(first..=last).take(MOST_HOURS).map(|(hour, changed)| (*hour, *changed)).collect()
        };
        let mut found = Vec::new();
        for (hour, changed) in hours {
            let place = (stream.clone(), hour);
            let known = self.known.get(&place).filter(|known| known.changed == changed);
            let tombstones = match known {
                Some(known) => known.tombstones.clone(),
                None => read(index, &name, hour)?,
            };
            found.extend(tombstones.iter().filter_map(|each| each.cut(hole)));
            self.known.insert(place, HiddenStretches { changed, tombstones, pass: self.pass });
        }
        Ok(found)
    }
}

fn read(index: &Index, stream: &str, hour: Hour) -> Result<Vec<Stretch>, IndexError> {
    if index.hour_row(stream, hour)?.is_none_or(|row| row.totals.tombstones == 0) {
        return Ok(Vec::new());
    }
    let view = index.hour(stream, hour)?;
    let files = view.iter().flat_map(|view| view.contents.files());
    let tombstones = files.filter(|file| file.key.tombstone && file.key.kind.is_video());
    Ok(tombstones.map(|file| Stretch { start: file.key.start(hour), end: file.key.end(hour) }).collect())
}
