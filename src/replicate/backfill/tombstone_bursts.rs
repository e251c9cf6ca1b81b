//! Weighs the tombstones of all peers in one account, which is kept among the records that protect the archive.
//!
//! The account is read before something is weighed and written before something is hidden. Where that does not work what would
//! hide something waits, as if it were too much.
//!
//! A tombstone for a file that arrived only after its peer was asked hides nothing that was here; which files those are is known since this
//! process began, up to a bound. A file that was forgotten counts as one that was here all the time: its tombstone is weighed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use xxhash_rust::xxh3::xxh3_64;

use super::burst::{BurstAccount, BurstMeasure, HourHits, Weights};
use crate::archive::guards::Guard;
use crate::archive::{Channel, HourPlace, name};
use crate::disk::{Record, RecordReading};
use crate::sync::crawl::{CrawlError, Keeper, uptime};

/// The account as it is kept; at most a thousand hits stand in it, each with an hour.
pub(crate) const RECORD: Record = Record { name: "bursts", version: 1, most: 1 << 20, is_frequent: false };
/// Names of a peer that wait and are remembered, some 10 MB: one that has more is asked again before something is fetched. A bound for
/// each peer, so that none makes us forget what others have hidden.
const MOST_WAITING: usize = 100_000;

type WaitingByPeer = HashMap<String, WaitingTombstones>;

#[derive(Debug, Default)]
struct WaitingTombstones {
    hours: HashMap<HourPlace, HashSet<Box<str>>>,
    stems: usize,
}

#[derive(Debug, Default)]
pub(super) struct Bursts {
    /// What is weighed is weighed and taken by one at a time.
    one: Mutex<()>,
    waiting: Mutex<WaitingByPeer>,
}

/// Nobody else weighs or takes tombstones until this is dropped.
pub(super) struct BurstLock<'b> {
    keeper: &'b Keeper,
    _one: MutexGuard<'b, ()>,
}

impl Bursts {
    pub(super) fn weigh<'b>(&'b self, keeper: &'b Keeper) -> BurstLock<'b> {
        BurstLock { keeper, _one: self.one.lock() }
    }

    /// These tombstones of a peer wait, too, until it is forgotten. False where there is no room to remember them.
    pub(super) fn wait(&self, peer: &str, place: &HourPlace, tombstones: &[Box<str>]) -> bool {
        if tombstones.is_empty() {
            return true;
        }
        let mut waiting = self.waiting.lock();
        let of_peer = waiting.entry(peer.to_owned()).or_default();
        if of_peer.stems.saturating_add(tombstones.len()) > MOST_WAITING {
            return false;
        }
        let of_hour = of_peer.hours.entry(place.clone()).or_default();
        let before = of_hour.len();
        of_hour.extend(tombstones.iter().map(|tombstone| Box::from(name::stem(tombstone))));
        of_peer.stems += of_hour.len() - before;
        true
    }

    pub(super) fn forget(&self, peer: &str) {
        self.waiting.lock().remove(peer);
    }

    /// The stems that waiting tombstones of an hour would hide, whoever gave them.
    pub(super) fn waiting_in(&self, place: &HourPlace) -> HashSet<Box<str>> {
        self.waiting.lock().values().filter_map(|of_peer| of_peer.hours.get(place)).flatten().cloned().collect()
    }
}

impl BurstLock<'_> {
    /// Books what would be hidden on a peer's word, or says why that has to wait. Blocks.
    pub(super) fn book(&self, peer: &str, new: &BTreeMap<HourPlace, HourHits>) -> Result<(), String> {
        let hits_nothing = new.values().all(|of_hour| of_hour.hits.all.files == 0);
        if !self.keeper.guards().stands(Guard::TombstoneBurst) || hits_nothing {
            return Ok(());
        }
        let mut account = self.read()?;
        let not_counted = OnceCell::new();
        let of_channel = |channel: &Channel, by: BurstMeasure, enough: u64| {
            self.files_of(channel, peer, by, enough).unwrap_or_else(|error| {
                not_counted
                    .get_or_init(|| format!("how many files there are of {channel} could not be counted: {error}"));
                0
            })
        };
        let burst = account.weigh(new, of_channel).map(|burst| burst.to_string());
        if let Some(why) = not_counted.into_inner().or(burst) {
            return Err(why);
        }
        account.add(new);
        self.write(&account)
    }

    /// Of what was booked this was not hidden after all. Where that cannot be written it counts once too often. Blocks.
    pub(super) fn take_back(&self, place: &HourPlace, hits: &Weights) -> Result<(), String> {
        let mut account = self.read()?;
        account.take_back(place, hits);
        self.write(&account)
    }

    /// The operator has looked: what was hidden so far counts no more. Blocks.
    pub(super) fn clear(&self) -> Result<(), String> {
        let mut account = self.read()?;
        if account.is_empty() {
            return Ok(());
        }
        account.clear();
        self.write(&account)
    }

    fn read(&self) -> Result<BurstAccount, String> {
        let base = self.keeper.guard().base().map_err(|away| away.reason)?;
        let reading = self.keeper.records().read(&base, &RECORD).map_err(|error| error.to_string())?;
        let mut account = match reading {
            RecordReading::Absent => BurstAccount::default(),
            RecordReading::Intact(content) | RecordReading::Mended(content, _) => {
                let text = std::str::from_utf8(&content.bytes).ok();
                text.and_then(BurstAccount::from_text).ok_or_else(|| {
                    let why = "it is no account of tombstones";
                    self.keeper.records().note(RECORD.name, Some(why));
                    why
                })?
            }
            RecordReading::Unusable(why) => {
                return Err(format!("the account of tombstones cannot be relied on: {why}"));
            }
        };
        if let Some((boot, uptime_s)) = uptime() {
            account.live(&boot, uptime_s);
        }
        Ok(account)
    }

    fn write(&self, account: &BurstAccount) -> Result<(), String> {
        let base = self.keeper.guard().base().map_err(|away| away.reason)?;
        let written = self.keeper.records().write(&base, &RECORD, account.to_text().as_bytes());
        written.map_err(|error| format!("the account of tombstones cannot be written: {error}"))
    }

    /// How many files of a channel are visible, by a yardstick; where there are enough the rest is not counted.
    fn files_of(&self, channel: &Channel, peer: &str, by: BurstMeasure, enough: u64) -> Result<u64, CrawlError> {
        let (index, mut files) = (self.keeper.index(), 0_u64);
        let gifts = self.keeper.recent_gifts()?;
        let streams = index.catalog().streams();
        for stream in streams.into_iter().filter(|stream| stream.channel == *channel) {
            let name = stream.to_string();
            for hour in index.catalog().hours(&name, ..).into_iter().rev() {
                if files >= enough {
                    return Ok(files);
                }
                let row = index.hour_row(&name, hour)?;
                let visible = row.map_or(0, |row| u64::from(row.totals.visible().files));
                let place = HourPlace { stream: stream.clone(), hour };
                // Some of what was given may be hidden or gone: then there is less than counted here, never more.
                let given = match by {
                    BurstMeasure::All => 0,
                    BurstMeasure::Others => gifts.of(&place)?.count(Some(peer)),
                    BurstMeasure::Own => gifts.of(&place)?.count(None),
                };
                files += visible.saturating_sub(given);
            }
        }
        Ok(files)
    }
}

/// Files that are remembered: a month of a stream, and some 20 MB.
const MOST: usize = 250_000;
/// A round may last as long as a peer likes; files that have been here for so long were here.
const RECENT: Duration = Duration::from_secs(3_600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArrivalMark(u64);

impl ArrivalMark {
    pub(super) const NEVER: Self = Self(u64::MAX);
}

#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<RecentArrivals>);

#[derive(Debug, Default)]
struct RecentArrivals {
    by_hour: HashMap<Arc<HourPlace>, HashMap<u64, (u64, Instant)>>,
    in_order: VecDeque<(Arc<HourPlace>, u64)>,
    next: u64,
}

impl RecentArrivals {
    fn forget(&mut self, place: &HourPlace, file: u64) {
        if let Some(of_hour) = self.by_hour.get_mut(place) {
            of_hour.remove(&file);
            if of_hour.is_empty() {
                self.by_hour.remove(place);
            }
        }
    }
}

impl Arrivals {
    pub(super) fn mark(&self) -> ArrivalMark {
        ArrivalMark(self.0.lock().next)
    }

    pub(super) fn note<'n>(&self, place: &HourPlace, names: impl IntoIterator<Item = &'n str>) {
        let mut known = self.0.lock();
        let known = &mut *known;
        let place =
            known.by_hour.get_key_value(place).map_or_else(|| Arc::new(place.clone()), |(at, _)| Arc::clone(at));
        let of_hour = known.by_hour.entry(Arc::clone(&place)).or_default();
        let now = Instant::now();
        for name in names {
            let file = xxh3_64(name.as_bytes());
            if of_hour.insert(file, (known.next, now)).is_none() {
                known.in_order.push_back((Arc::clone(&place), file));
            }
            known.next += 1;
        }
        while known.in_order.len() > MOST
            && let Some((at, file)) = known.in_order.pop_front()
        {
            known.forget(&at, file);
        }
    }

    /// Which files of an hour came after `began`.
    pub(super) fn since(&self, place: &HourPlace, began: ArrivalMark) -> impl Fn(&str) -> bool + use<> {
        let of_hour = self.0.lock().by_hour.get(place).cloned().unwrap_or_default();
        move |name| {
            let known = of_hour.get(&xxh3_64(name.as_bytes()));
            known.is_some_and(|(order, at)| *order >= began.0 && at.elapsed() < RECENT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_makes_up_names_lets_none_of_anothers_be_forgotten() {
        let place = |hour: u32| HourPlace::parse(&format!("a/b/2020-01-01T{hour:02}")).unwrap();
        let made_up = |from: usize, count: usize| -> Vec<Box<str>> {
            (from..from + count).map(|number| format!("{number}.tombstone").into()).collect()
        };
        let bursts = Bursts::default();
        assert!(bursts.wait("suspect", &place(0), &made_up(0, MOST_WAITING)));
        assert!(!bursts.wait("suspect", &place(1), &made_up(0, 1)), "there is a bound, and it is told");
        assert!(bursts.wait("honest", &place(1), &made_up(7, 1)));
        assert_eq!(bursts.waiting_in(&place(1)), HashSet::from(["7".into()]));
        bursts.forget("suspect");
        assert!(bursts.wait("suspect", &place(1), &made_up(0, MOST_WAITING)));
    }
}

#[cfg(test)]
mod arrivals_tests {
    use super::*;

    #[test]
    fn what_came_after_the_peer_was_asked_is_told_from_what_was_here() {
        let place = HourPlace::parse("a/b/2020-01-01T00").unwrap();
        let arrivals = Arrivals::default();
        arrivals.note(&place, ["before"]);
        let began = arrivals.mark();
        arrivals.note(&place, ["after"]);
        assert_eq!(["recorded", "before", "after"].map(arrivals.since(&place, began)), [false, false, true]);
        assert!(!arrivals.since(&place, ArrivalMark::NEVER)("after"));
        let other = HourPlace::parse("a/b/2020-01-01T01").unwrap();
        assert!(!arrivals.since(&other, began)("after"));
    }

    #[test]
    fn there_is_a_bound_and_what_was_forgotten_counts_as_here() {
        let arrivals = Arrivals::default();
        let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let place = |hour: usize| HourPlace::parse(&format!("a/b{hour}/2020-01-01T00")).unwrap();
        let began = arrivals.mark();
        for hour in 0..=MOST / 1_000 {
            arrivals.note(&place(hour), names.iter().map(String::as_str));
        }
        assert!(!arrivals.since(&place(0), began)("7"));
        assert!(arrivals.since(&place(1), began)("7"));
        let known = arrivals.0.lock();
        assert_eq!((known.in_order.len(), known.by_hour.len()), (MOST, MOST / 1_000));
    }
}
