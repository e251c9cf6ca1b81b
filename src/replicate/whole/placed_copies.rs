//! Counts how many copies of each hour lie where the layout says, of all hours that any node has, and how fast the rest comes.
//!
//! 1. What an owner has is what its mirror says, and of this node its index. An owner without a mirror has said nothing.
//! 2. It is counted anew only after something has changed somewhere, and seldom, as it reads a row of each node for each hour.
//! 3. Hours that are not over for an hour are left out: they are written to, and would never be in place.
//!
//! Nothing is decided by it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::archive::placement::{CopyRate, Dispersion, LayoutId, NodeState, OwnerCopy, PlaceName, Slot};
use crate::archive::time::HOUR_US;
use crate::archive::totals::HourTotals;
use crate::archive::{Digest, Hour, HourPlace, Span, Timestamp};
use crate::index::{Index, IndexError, Position};
use crate::replicate::placement::{CurrentLayout, KnownLayout, LayoutState};
use crate::sync::crawl::{Keeper, Mirror, Mirrors};

/// It is not counted anew before so much time has passed.
const SELDOM: Duration = Duration::from_secs(5);
/// Nor before so many times as much as counting took.
const SHARE: u32 = 50;
/// An hour is counted when it has been over for so long.
const OVER: Span = Span::from_us(HOUR_US);

/// What was counted last.
#[derive(Debug, Clone)]
pub struct PlacedCopies {
    /// By which layout.
    pub layout: LayoutId,
    /// What there is.
    pub dispersion: Dispersion,
    /// Owners of which nothing is known here.
    pub unheard: Vec<PlaceName>,
    /// When it was counted.
    pub at: SystemTime,
    /// How fast it goes.
    pub rate: CopyRate,
}

/// Counts, and remembers it.
#[derive(Debug)]
pub(super) struct CopyCounter {
    began: Instant,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    found: Option<Arc<PlacedCopies>>,
    /// What it was counted of.
    of: Vec<CountedOf>,
    next: Option<Instant>,
    rate: CopyRate,
}

/// How far an index is, and as whose: a mirror is nobody's until its node has said what it calls itself.
#[derive(Debug, PartialEq, Eq)]
struct CountedOf {
    called: Option<Arc<str>>,
    position: Position,
}

impl CopyCounter {
    /// Has counted nothing yet.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), counted: Mutex::default() }
    }

    /// What was counted last.
    pub(super) fn last(&self) -> Option<Arc<PlacedCopies>> {
        self.counted.lock().found.clone()
    }

    /// Counts if it is time and something has changed. Blocks: not for async code.
    pub(super) fn look(&self, whole: &Keeper, mirrors: &Mirrors, current: &CurrentLayout) -> Result<(), IndexError> {
        let LayoutState::Known(known) = current.now() else {
            *self.counted.lock() = Counted::default();
            return Ok(());
        };
        let began = Instant::now();
        let of = positions(whole, mirrors);
        {
            let counted = self.counted.lock();
            let is_of_this = counted.found.as_ref().is_some_and(|found| found.layout == known.id);
            if is_of_this && (counted.of == of || counted.next.is_some_and(|next| began < next)) {
                return Ok(());
            }
        }
        let (dispersion, unheard) = count(whole, mirrors, &known, current.node())?;
        let mut counted = self.counted.lock();
        if counted.found.as_ref().is_none_or(|found| found.layout != known.id) {
            counted.rate.begin_anew();
        }
        let elapsed = Span::from_us(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX));
        counted.rate.note(elapsed, dispersion.bytes_missing);
        let rate = counted.rate.clone();
        counted.found =
            Some(Arc::new(PlacedCopies { layout: known.id, dispersion, unheard, at: SystemTime::now(), rate }));
        (counted.of, counted.next) = (of, Some(Instant::now() + SELDOM.max(began.elapsed() * SHARE)));
        Ok(())
    }
}

/// How far everything is that is counted.
fn positions(whole: &Keeper, mirrors: &Mirrors) -> Vec<CountedOf> {
    let own = [whole.index().position(), whole.local().index().position()];
    let own = own.into_iter().map(|position| CountedOf { called: None, position });
    let mirrors = mirrors.all();
    own.chain(mirrors.iter().map(|mirror| CountedOf { called: mirror.called(), position: mirror.index().position() }))
        .collect()
}

/// What each of these nodes has, by its name in the layout.
fn indexes<'i>(whole: &'i Keeper, mirrors: &'i [Arc<Mirror>], own: Option<&PlaceName>) -> HashMap<String, &'i Index> {
    // Of two that call themselves alike the first one counts; that there are two is told with the peers.
    let others = mirrors.iter().rev().filter_map(|mirror| Some((mirror.called()?.to_string(), mirror.index())));
    let own = own.map(|own| (own.to_string(), &**whole.local().index()));
    others.chain(own).collect()
}

type OfStream = BTreeMap<Hour, (Digest, u64)>;

fn rows(index: &Index, stream: &str) -> Result<OfStream, IndexError> {
    let rows = index.hour_rows(stream, Hour::MIN, Hour::MAX)?;
    Ok(rows.into_iter().map(|(hour, row)| (hour, (row.totals.digest, visible_bytes(&row.totals)))).collect())
}

/// Bytes of what is replicated and not hidden.
fn visible_bytes(totals: &HourTotals) -> u64 {
    totals.video.iter().chain([&totals.chat]).map(|tally| tally.bytes).fold(0, u64::saturating_add)
}

fn count(
    whole: &Keeper,
    mirrors: &Mirrors,
    known: &KnownLayout,
    own: Option<&PlaceName>,
) -> Result<(Dispersion, Vec<PlaceName>), IndexError> {
    let (mut found, layout, of_mirrors) = (Dispersion::default(), &known.layout, mirrors.all());
    let indexes = indexes(whole, &of_mirrors, own);
    let before = Timestamp::from(SystemTime::now()) - OVER;
    for stream in whole.index().catalog().streams() {
        let name = stream.to_string();
        let mut of_nodes: HashMap<&str, OfStream> = HashMap::new();
        for node in layout.nodes() {
            if let Some(index) = indexes.get(node.name.as_str()) {
                of_nodes.insert(node.name.as_str(), rows(index, &name)?);
            }
        }
        for (hour, (digest, bytes)) in rows(whole.index(), &name)? {
            // Where all is hidden there is nothing to lie anywhere: tombstones are taken by all nodes.
            if bytes == 0 || hour.end() > before {
                continue;
            }
            let place = HourPlace { stream: stream.clone(), hour };
            let owners = layout.owners_of(&stream.channel, Slot::of(&place)).into_iter().map(|owner| {
                let Some(hours) = of_nodes.get(owner.name.as_str()) else { return OwnerCopy::Unknown };
                let (lying, there) = hours.get(&hour).copied().unwrap_or_default();
                OwnerCopy::Lies { digest: lying, bytes: there }
            });
            found.count(&place, digest, bytes, &owners.collect::<Vec<_>>());
        }
    }
    let is_unheard = |name: &PlaceName| !indexes.contains_key(name.as_str());
    let owners = layout.nodes().iter().filter(|node| node.state == NodeState::In);
    Ok((found, owners.map(|node| node.name.clone()).filter(is_unheard).collect()))
}
