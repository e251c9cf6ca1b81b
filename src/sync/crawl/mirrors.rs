//! What other nodes have, by name: a *mirror* of each of them, which is an index of its own and holds no byte of any file.
//!
//! 1. A mirror is changed only by what its node says of itself. Nothing is ever deleted by what one says or does not say: it serves reading.
//! 2. All that is in one can be asked for again. One that is damaged, of another version or lost begins empty and is filled by the next round.
//! 3. There are mirrors only under a layout; without one nothing is opened and nothing costs anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use xxhash_rust::xxh3::xxh3_64;

use crate::archive::{Hour, HourChange, HourContents, HourPlace, diff};
use crate::index::{Batch, HourUpdate, Index, IndexError, IndexOptions, StampUpdate};

/// Pages of one mirror that are kept in memory: each is read for a few hours at a time.
const CACHE_BYTES: usize = 4 << 20;
/// Nobody follows the changes of a mirror.
const CHANGES_KEPT: u64 = 1;
/// How the files of mirrors begin, and end.
const FILE: (&str, &str) = ("mirror-", ".redb");

/// What one other node has.
#[derive(Debug)]
pub struct Mirror {
    peer: Arc<str>,
    index: Index,
    called: Mutex<Option<Arc<str>>>,
}

impl Mirror {
    /// The node, as the list of peers calls it.
    pub fn peer(&self) -> &Arc<str> {
        &self.peer
    }

    /// What the node calls itself, once it has said it.
    pub fn called(&self) -> Option<Arc<str>> {
        self.called.lock().clone()
    }

    /// The node has said what it calls itself.
    pub fn is_called(&self, name: Option<&str>) {
        *self.called.lock() = name.map(Into::into);
    }

    /// Its names.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// All that the node has of these hours, each of which it may have nothing of. Blocks: not for async code.
    pub fn set(&self, hours: &[(HourPlace, HourContents)]) -> Result<(), IndexError> {
        let mut batch = Batch::default();
        for (place, now) in hours {
            let known = self.index.hour(&place.stream.to_string(), place.hour)?;
            let (stream, hour) = (place.stream.clone(), place.hour);
            if now.is_empty() {
                if known.is_some() {
                    batch.hours.push(HourUpdate::Remove { stream, hour });
                }
                continue;
            }
            let changes = diff(&known.map(|view| view.contents).unwrap_or_default(), now);
            if !changes.is_empty() {
                batch.hours.push(HourUpdate::Change { stream, hour, changes, stamp: StampUpdate::Keep });
            }
        }
        self.apply(batch)
    }

    /// What has changed there. Blocks: not for async code.
    pub fn change(&self, changed: BTreeMap<HourPlace, Vec<HourChange>>) -> Result<(), IndexError> {
        let (mut batch, mut emptied) = (Batch::default(), Batch::default());
        let hours: Vec<HourPlace> = changed.keys().cloned().collect();
        for (HourPlace { stream, hour }, changes) in changed {
            batch.hours.push(HourUpdate::Change { stream, hour, changes, stamp: StampUpdate::Keep });
        }
        self.apply(batch)?;
        for HourPlace { stream, hour } in hours {
            let row = self.index.hour_row(&stream.to_string(), hour)?;
            if row.is_some_and(|row| row.rows == 0) {
                emptied.hours.push(HourUpdate::Remove { stream, hour });
            }
        }
        self.apply(emptied)
    }

    /// The hours from the first to the last one of which the node has something.
    pub fn hours(&self, stream: &str, first: Hour, last: Hour) -> Vec<Hour> {
        self.index.catalog().hours(stream, first..=last)
    }

    fn apply(&self, batch: Batch) -> Result<(), IndexError> {
        if batch.is_empty() { Ok(()) } else { self.index.apply(batch).map(drop) }
    }
}

/// The mirrors of all peers.
#[derive(Debug)]
pub struct Mirrors {
    directory: PathBuf,
    /// Locked while one is opened, so that no file is opened twice.
    opening: Mutex<()>,
    open: RwLock<Arc<[Arc<Mirror>]>>,
}

impl Mirrors {
    /// Those that lie in this directory, opened one by one as they are asked for.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), opening: Mutex::default(), open: RwLock::new(Arc::from([])) }
    }

    /// Those that are open, in the order of their peers.
    pub fn all(&self) -> Arc<[Arc<Mirror>]> {
        Arc::clone(&self.open.read())
    }

    /// The mirror of a peer, opened or begun. Blocks: not for async code.
    pub fn of(&self, peer: &str) -> Result<Arc<Mirror>, IndexError> {
        let is_it = |mirror: &&Arc<Mirror>| *mirror.peer == *peer;
        if let Some(known) = self.all().iter().find(is_it) {
            return Ok(Arc::clone(known));
        }
        let _one_at_a_time = self.opening.lock();
        if let Some(known) = self.all().iter().find(is_it) {
            return Ok(Arc::clone(known));
        }
        let options = IndexOptions { cache_bytes: CACHE_BYTES, changes_kept: CHANGES_KEPT, ..IndexOptions::default() };
        let index = Index::open(&self.directory.join(file_of(peer)), options)?;
        let mirror = Arc::new(Mirror { peer: peer.into(), index, called: Mutex::default() });
        let mut all = self.all().to_vec();
        all.push(Arc::clone(&mirror));
        all.sort_unstable_by(|a, b| a.peer.cmp(&b.peer));
        *self.open.write() = all.into();
        Ok(mirror)
    }

    /// Opens the mirrors that there are of these peers. Blocks: not for async code.
    pub fn open_those_of<'p>(&self, peers: impl IntoIterator<Item = &'p str>) -> Result<(), IndexError> {
        for peer in peers {
            if self.directory.join(file_of(peer)).try_exists()? {
                self.of(peer)?;
            }
        }
        Ok(())
    }

    /// Lets the mirrors of all but these peers go for good. Blocks: not for async code.
    pub fn keep_those_of<'p>(&self, peers: impl IntoIterator<Item = &'p str>) -> Result<(), IndexError> {
        let _one_at_a_time = self.opening.lock();
        let files: BTreeSet<String> = peers.into_iter().map(file_of).collect();
        let (stay, go): (Vec<_>, Vec<_>) =
            self.all().iter().cloned().partition(|mirror| files.contains(&file_of(&mirror.peer)));
        if !go.is_empty() {
            *self.open.write() = stay.into();
            for mirror in go {
                mirror.index.close();
            }
        }
        for entry in std::fs::read_dir(&self.directory)?.flatten() {
            // Beside it lies what was set aside of one that was damaged.
            let is_other = |name: &str| name.starts_with(FILE.0) && !files.contains(name);
            if entry.file_name().to_str().is_some_and(is_other) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes what is queued, and closes them all.
    pub fn close(&self) {
        let all = std::mem::replace(&mut *self.open.write(), Arc::from([]));
        for mirror in all.iter() {
            mirror.index.close();
        }
    }
}

fn file_of(peer: &str) -> String {
    format!("{}{:016x}{}", FILE.0, xxh3_64(peer.as_bytes()), FILE.1)
}

/// The mirrors, while there are any: what fills them and what reads them is given this.
#[derive(Debug, Default)]
pub struct MirrorsNow(RwLock<Option<Arc<Mirrors>>>);

impl MirrorsNow {
    /// Those that there are now; nothing without a layout.
    pub fn get(&self) -> Option<Arc<Mirrors>> {
        self.0.read().clone()
    }

    /// From now on it is these.
    pub fn set(&self, mirrors: Option<Arc<Mirrors>>) {
        *self.0.write() = mirrors;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::hash_text;
    use crate::archive::{AnyFile, Stream};

    fn place(hour: &str) -> HourPlace {
        HourPlace::parse(&format!("c/source/{hour}")).unwrap()
    }

    fn name(byte: u8) -> String {
        format!("10:{byte:02}-2.0-full-{}.ts", hash_text(byte))
    }

    fn of(bytes: &[u8]) -> HourContents {
        let names: Vec<String> = bytes.iter().map(|byte| name(*byte)).collect();
        HourContents::from_names(names.iter().map(|name| (name.as_str(), 7)))
    }

    fn held(mirror: &Mirror, hour: &str) -> Option<Vec<String>> {
        let at = place(hour);
        Some(mirror.index().hour(&at.stream.to_string(), at.hour).unwrap()?.contents.listed(true))
    }

    #[test]
    fn an_hour_that_a_node_has_nothing_of_any_more_is_in_no_list_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(directory.path());
        let mirror = mirrors.of("b").unwrap();
        let (one, two) = ("2020-01-01T00", "2020-01-01T01");
        mirror.set(&[(place(one), of(&[1, 2])), (place(two), of(&[3]))]).unwrap();
        assert_eq!(held(&mirror, one), Some(vec![name(1), name(2)]));
        mirror.set(&[(place(one), of(&[2, 4])), (place(two), of(&[]))]).unwrap();
        assert_eq!((held(&mirror, one), held(&mirror, two)), (Some(vec![name(2), name(4)]), None));
        let gone = |byte| HourChange::Remove(AnyFile::read(&name(byte), 7).unwrap());
        let put = |byte| HourChange::Put(AnyFile::read(&name(byte), 7).unwrap());
        mirror.change([(place(one), vec![gone(2), gone(4)]), (place(two), vec![put(5)])].into()).unwrap();
        assert_eq!((held(&mirror, one), held(&mirror, two)), (None, Some(vec![name(5)])));
        assert_eq!(mirror.hours(&Stream::parse("c/source").unwrap().to_string(), Hour::MIN, Hour::MAX).len(), 1);
    }

    #[test]
    fn mirrors_outlive_a_process_and_those_of_peers_that_left_the_list_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(directory.path());
        for peer in ["b", "c"] {
            mirrors.of(peer).unwrap().set(&[(place("2020-01-01T00"), of(&[1]))]).unwrap();
        }
        mirrors.close();
        let again = Mirrors::new(directory.path());
        again.open_those_of(["b", "new"]).unwrap();
        again.keep_those_of(["b", "new"]).unwrap();
        let open: Vec<String> = again.all().iter().map(|mirror| mirror.peer().to_string()).collect();
        assert_eq!((open, std::fs::read_dir(directory.path()).unwrap().count()), (vec!["b".to_owned()], 1));
        assert_eq!(held(&again.all()[0], "2020-01-01T00"), Some(vec![name(1)]));
        again.keep_those_of([]).unwrap();
        assert_eq!((again.all().len(), std::fs::read_dir(directory.path()).unwrap().count()), (0, 0));
    }

    #[test]
    fn a_mirror_that_is_damaged_begins_empty() {
        let directory = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::new(directory.path());
        mirrors.of("b").unwrap().set(&[(place("2020-01-01T00"), of(&[1]))]).unwrap();
        mirrors.close();
        std::fs::write(directory.path().join(file_of("b")), "something else").unwrap();
        let again = Mirrors::new(directory.path());
        let mirror = again.of("b").unwrap();
        assert_eq!(held(&mirror, "2020-01-01T00"), None);
        mirror.set(&[(place("2020-01-01T00"), of(&[2]))]).unwrap();
        assert_eq!(held(&mirror, "2020-01-01T00"), Some(vec![name(2)]));
    }
}
