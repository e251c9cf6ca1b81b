//! The whole archive, as it lies on all nodes: a keeper whose index is not brought into line with a disk, but with the index of this node and
//! the [mirrors](super::Mirrors) of the others.
//!
//! 1. An hour of it holds what lies here and what any other node says it has. Where several have a name, the size is the one here, or that of
//!    the first of the others. A tombstone hides what it hides, whoever has which of the two.
//! 2. With each hour is kept which states it was put together from. It is right as long as these are the states that there are, as an hour of
//!    the disk is right as long as its directory has the same stamp.
//! 3. What changed is found by what the indexes say of themselves in memory, so that where nothing did, it costs next to nothing.
//! 4. It is for reading alone. Nothing is written into the tree, and nothing is deleted, by what is known here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use xxhash_rust::xxh3::Xxh3Default;

use super::mirrors::{Mirror, Mirrors};
use super::{CrawlError, Keeper};
use crate::archive::totals::HourTotals;
use crate::archive::{Hour, HourContents, HourPlace, SegmentFile, Stamp, diff};
use crate::index::{Batch, CatalogState, HourUpdate, Index, IndexError, StampUpdate};

/// Hours that are put together and committed at once.
const TOGETHER: usize = 64;

/// What the whole archive is put together from.
pub(super) struct WholeSources {
    pub(super) local: Arc<Keeper>,
    mirrors: Arc<Mirrors>,
    merged: RwLock<MergedHours>,
    /// How far each source was followed; locked while it is.
    followed: Mutex<Followed>,
}

/// Which states each hour was put together from.
#[derive(Default)]
struct MergedHours {
    /// Of the index of the whole.
    generation: u64,
    stamps: HashMap<String, HashMap<Hour, Stamp>>,
}

impl MergedHours {
    fn of(&self, stream: &str, hour: Hour) -> Option<Stamp> {
        self.stamps.get(stream)?.get(&hour).copied()
    }
}

#[derive(Default)]
struct Followed {
    generation: u64,
    sources: Vec<SourcePosition>,
    /// What the list of hours of each stream of each source was.
    structures: HashMap<(Arc<str>, String), u64>,
}

/// How far an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourcePosition {
    /// Nothing is this node.
    name: Arc<str>,
    generation: u64,
    epoch: u64,
    seq: u64,
    /// Hours that hold nothing come and go without a change of any file.
    structure: u64,
}

impl SourcePosition {
    fn of(name: &Arc<str>, state: &CatalogState) -> Self {
        let (generation, epoch) = (state.generation, state.epoch);
        Self { name: Arc::clone(name), generation, epoch, seq: state.seq, structure: state.structure }
    }
}

impl WholeSources {
    fn new(local: Arc<Keeper>, mirrors: Arc<Mirrors>) -> Self {
        Self { local, mirrors, merged: RwLock::default(), followed: Mutex::default() }
    }

    fn each<T>(&self, mut each: impl FnMut(&Arc<str>, &Index) -> Option<T>) -> Vec<T> {
        let own: Arc<str> = "".into();
        let mirrors = self.mirrors.all();
        let others = mirrors.iter().map(|mirror| (mirror.peer(), mirror.index()));
        std::iter::once((&own, &**self.local.index()))
            .chain(others)
            .filter_map(|(name, index)| each(name, index))
            .collect()
    }

    fn positions(&self) -> Vec<SourcePosition> {
        self.each(|name, index| {
            let state = index.catalog().read();
            Some(SourcePosition::of(name, &state))
        })
    }

    /// What stands for the states that an hour is put together from; nothing if nobody has it.
    fn stamp(&self, stream: &str, hour: Hour) -> Option<Stamp> {
        let mut hash = Xxh3Default::new();
        let has = self.each(|name, index| {
            let state = index.catalog().read();
            let changed = *state.streams.get(stream)?.hours.get(&hour)?;
            hash.update(name.as_bytes());
            hash.update(&[0]);
            hash.update(&state.epoch.to_le_bytes());
            hash.update(&changed.to_le_bytes());
            Some(())
        });
        let bytes = hash.digest128().to_le_bytes();
        let (low, high) = bytes.split_first_chunk::<8>()?;
        let high: &[u8; 8] = high.first_chunk()?;
        (!has.is_empty()).then(|| Stamp {
            ino: u64::from_le_bytes(*low),
            mtime_ns: i64::from_le_bytes(*high),
            ctime_ns: 1,
        })
    }

    /// What all nodes have of an hour; nothing if none has it.
    fn contents(&self, place: &HourPlace) -> Result<Option<HourContents>, IndexError> {
        let (stream, mut found, mut digest) = (place.stream.to_string(), None::<HourContents>, None);
        let mirrors = self.mirrors.all();
        let indexes =
            std::iter::once(&**self.local.index()).chain(mirrors.iter().map(|mirror: &Arc<Mirror>| mirror.index()));
        for index in indexes {
            let Some(row) = index.hour_row(&stream, place.hour)? else { continue };
            if digest == Some(row.totals.digest) {
                continue;
            }
            let Some(view) = index.hour(&stream, place.hour)? else { continue };
            found = Some(match found {
                None => {
                    digest = Some(view.row.totals.digest);
                    view.contents
                }
                Some(before) => {
                    let merged = with_more(before, &view.contents);
                    digest = Some(HourTotals::of(&merged).digest);
                    merged
                }
            });
        }
        Ok(found)
    }

    fn is_merged(&self, generation: u64, stream: &str, hour: Hour) -> bool {
        let now = self.stamp(stream, hour);
        let merged = self.merged.read();
        merged.generation == generation && merged.of(stream, hour) == now
    }

    fn is_followed(&self, generation: u64) -> bool {
        let Some(followed) = self.followed.try_lock() else { return false };
        followed.generation == generation && followed.sources == self.positions()
    }

    /// Reads what was kept with the hours of an index that is new to this process.
    fn load(&self, index: &Index) -> Result<(), IndexError> {
        let generation = index.catalog().generation();
        if self.merged.read().generation == generation {
            return Ok(());
        }
        let mut stamps: HashMap<String, HashMap<Hour, Stamp>> = HashMap::new();
        for stream in index.catalog().streams() {
            let name = stream.to_string();
            let rows = index.hour_rows(&name, Hour::MIN, Hour::MAX)?;
            let kept = rows.into_iter().filter_map(|(hour, row)| Some((hour, row.stamp?)));
            stamps.insert(name, kept.collect());
        }
        *self.merged.write() = MergedHours { generation, stamps };
        Ok(())
    }

    /// The hours that may be others than they were put together as, and how far the sources are.
    fn outdated(&self, index: &Index, followed: &Followed) -> (BTreeSet<HourPlace>, Followed) {
        let generation = index.catalog().generation();
        let mut now = Followed { generation, ..Followed::default() };
        let mut found = BTreeSet::new();
        let mut is_all = followed.generation != generation;
        self.each(|name, source| {
            let state = source.catalog().read();
            let before = followed.sources.iter().find(|before| before.name == *name && before.epoch == state.epoch);
            is_all |= before.is_none();
            let since = before.map(|before| before.seq);
            for (path, entry) in &state.streams {
                let key = (Arc::clone(name), path.clone());
                let is_same = followed.structures.get(&key) == Some(&entry.structure);
                now.structures.insert(key, entry.structure);
                if since.is_some_and(|since| entry.changed <= since) && is_same {
                    continue;
                }
                let place = |hour: &Hour| HourPlace { stream: entry.stream.clone(), hour: *hour };
                let is_new = |changed: u64| since.is_none_or(|since| changed > since);
                found.extend(entry.hours.iter().filter(|(_, changed)| is_new(**changed)).map(|(hour, _)| place(hour)));
                if !is_same {
                    let whole = index.catalog().hours(path, ..);
                    found.extend(whole.iter().filter(|hour| !entry.hours.contains_key(hour)).map(place));
                }
            }
            now.sources.push(SourcePosition::of(name, &state));
            None::<()>
        });
        is_all |= followed.sources.iter().any(|before| now.sources.iter().all(|source| source.name != before.name));
        if is_all {
            for stream in index.catalog().streams() {
                let hours = index.catalog().hours(&stream.to_string(), ..);
                found.extend(hours.into_iter().map(|hour| HourPlace { stream: stream.clone(), hour }));
            }
            self.each(|_, source| {
                for stream in source.catalog().streams() {
                    let hours = source.catalog().hours(&stream.to_string(), ..);
                    found.extend(hours.into_iter().map(|hour| HourPlace { stream: stream.clone(), hour }));
                }
                None::<()>
            });
        }
        (found, now)
    }
}

/// With what the other has besides.
fn with_more(before: HourContents, other: &HourContents) -> HourContents {
    let is_new = |file: &&SegmentFile| {
        let is_it = |known: &SegmentFile| (&known.key, &known.exact).cmp(&(&file.key, &file.exact));
        before.files().binary_search_by(is_it).is_err()
    };
    let more: Vec<SegmentFile> = other.files().iter().filter(is_new).cloned().collect();
    if more.is_empty() {
        return before;
    }
    let odd = before.odd().to_vec();
    HourContents::new([before.files(), &more].concat(), odd)
}

impl Keeper {
    /// Of what lies here and what the mirrors say lies elsewhere, with an index of its own for that.
    pub fn whole(local: &Arc<Self>, mirrors: Arc<Mirrors>, index: Arc<Index>) -> Self {
        let whole = WholeSources::new(Arc::clone(local), mirrors);
        let mut keeper = Self::new(index, Arc::clone(local.guard())).with_clock(Arc::clone(&local.clock));
        keeper.whole = Some(whole);
        keeper
    }

    /// Whether it is of the whole archive, and not only of what lies here.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// What is known of what lies on this node alone.
    pub fn local(&self) -> &Self {
        self.whole.as_ref().map_or(self, |whole| &whole.local)
    }

    /// Puts those hours together anew of which some node has something else than it had. Blocks: not for async code.
    pub fn follow_sources(&self) -> Result<(), CrawlError> {
        let Some(whole) = &self.whole else { return Ok(()) };
        if whole.is_followed(self.index.catalog().generation()) {
            return Ok(());
        }
        let mut followed = whole.followed.lock();
        whole.load(&self.index)?;
        let (outdated, now) = whole.outdated(&self.index, &followed);
        let outdated: Vec<HourPlace> = outdated.into_iter().collect();
        for places in outdated.chunks(TOGETHER) {
            self.merge(whole, places)?;
        }
        *followed = now;
        Ok(())
    }

    /// Whether the whole is known to be right about an hour.
    pub(super) fn is_merged(&self, whole: &WholeSources, stream: &str, hour: Hour) -> bool {
        whole.local.is_fresh(stream, hour) && whole.is_merged(self.index.catalog().generation(), stream, hour)
    }

    /// Whether the list of hours of the whole is known to be right.
    pub(super) fn is_structure_merged(&self, whole: &WholeSources) -> bool {
        whole.local.structure_is_fresh() && whole.is_followed(self.index.catalog().generation())
    }

    /// Makes the whole right about an hour.
    pub(super) fn ensure_merged(&self, whole: &WholeSources, place: &HourPlace) -> Result<(), CrawlError> {
        match whole.local.ensure(place) {
            // What this node's index knew is in the whole.
            Ok(()) | Err(CrawlError::Index(_)) => {}
            Err(error) => return Err(error),
        }
        whole.load(&self.index)?;
        self.merge(whole, std::slice::from_ref(place))
    }

    /// What an hour holds, put together from what is there now, where the index of the whole cannot be made right.
    pub(super) fn unkept(whole: &WholeSources, place: &HourPlace) -> Result<HourContents, CrawlError> {
        let here = whole.local.answer(place)?.contents;
        let elsewhere = whole.contents(place)?.unwrap_or_default();
        Ok(with_more(here, &elsewhere))
    }

    fn merge(&self, whole: &WholeSources, places: &[HourPlace]) -> Result<(), CrawlError> {
        let _locks = self.lock(places);
        let generation = self.index.catalog().generation();
        let mut batch = Batch { generation: Some(generation), ..Batch::default() };
        let mut stamps = Vec::new();
        for place in places {
            let (stream, hour) = (place.stream.to_string(), place.hour);
            // First the states, and then what they hold: what comes in between is seen by the next look.
            let stamp = whole.stamp(&stream, hour);
            if whole.merged.read().of(&stream, hour) == stamp {
                continue;
            }
            let known = self.index.hour(&stream, hour)?;
            let contents = if stamp.is_some() { whole.contents(place)? } else { None };
            let (of_stream, stamp) = (place.stream.clone(), stamp.filter(|_| contents.is_some()));
            match contents {
                None if known.is_some() => batch.hours.push(HourUpdate::Remove { stream: of_stream, hour }),
                None => {}
                Some(now) => {
                    let changes = diff(&known.map(|view| view.contents).unwrap_or_default(), &now);
                    let stamp = StampUpdate::Set(stamp);
                    batch.hours.push(HourUpdate::Change { stream: of_stream, hour, changes, stamp });
                }
            }
            stamps.push((stream, hour, stamp));
        }
        if !batch.is_empty() {
            self.index.apply(batch)?;
        }
        let mut merged = whole.merged.write();
        if merged.generation == generation {
            for (stream, hour, stamp) in stamps {
                let of_stream = merged.stamps.entry(stream).or_default();
                match stamp {
                    Some(stamp) => drop(of_stream.insert(hour, stamp)),
                    None => drop(of_stream.remove(&hour)),
                }
            }
        }
        Ok(())
    }

    /// The names beneath the base, a channel or a quality, with those that only other nodes have.
    pub(super) fn list_of_whole(&self, whole: &WholeSources, path: &str) -> Result<Vec<String>, CrawlError> {
        let mut names: BTreeSet<String> = whole.local.list_from_disk(path)?.into_iter().collect();
        let catalog = self.index.catalog();
        match path.split_once('/') {
            _ if path.is_empty() => names.extend(catalog.channels()),
            None => names.extend(catalog.qualities(path)),
            Some(_) => names.extend(catalog.hours(path, ..).into_iter().map(|hour| hour.to_string())),
        }
        Ok(names.into_iter().collect())
    }
}
