//! What an hour holds: the files in its directory, and those that objects of it in a bucket hold.
//!
//! 1. What lies in the directory comes first: a file that is here is not taken from a manifest as well.
//! 2. What a tombstone hides, here or in a manifest, is not there because an object holds it.
//! 3. Stamps are taken first, then the directory is read, and then the manifests: a file that leaves the directory because an object holds
//!    it is seen in one of them at least.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::structure::is_settled;
use super::{CrawlError, Keeper};
use crate::archive::{Hour, HourContents, HourManifest, HourPlace, HourTotals, Stamp, Stream, name};
use crate::disk::{Base, BucketManifests, DiskError, Scan, both};

/// The files of an hour, and the stamp of where they lie if that can be trusted.
#[derive(Debug)]
pub(crate) struct HourFiles {
    pub(crate) contents: HourContents,
    pub(crate) stamp: Option<Stamp>,
}

/// Reads an hour; `None` if neither its directory nor an object of it is there.
pub(crate) fn hour_files(base: &Base, place: &HourPlace) -> Result<Option<HourFiles>, DiskError> {
    let path = place.path();
    let in_bucket = base.stamp_in_bucket(&path)?;
    let scan = base.dir(&path)?.map(|dir| dir.scan()).transpose()?;
    if scan.is_none() && in_bucket.is_none() {
        return Ok(None);
    }
    let objects = if in_bucket.is_some() { BucketManifests::of(base).read(place)? } else { Vec::new() };
    let is_trusted = scan.as_ref().is_none_or(|scan| scan.settled)
        && in_bucket.is_none_or(|stamp| is_settled(stamp, SystemTime::now()));
    let stamp = both(scan.as_ref().map(|scan| scan.stamp), in_bucket).filter(|_| is_trusted);
    let manifests: Vec<HourManifest> = objects.into_iter().map(|(_, manifest)| manifest).collect();
    Ok(Some(HourFiles { contents: contents_of(scan.as_ref(), &manifests, &path), stamp }))
}

impl Keeper {
    /// Of what an hour holds, what lies on this disk; `None` if that is nothing.
    pub fn totals_here(&self, place: &HourPlace, all: HourTotals) -> Result<Option<HourTotals>, CrawlError> {
        let base = self.base()?;
        let path = place.path();
        if self.disk(base.stamp_in_bucket(&path))?.is_none() {
            return Ok(Some(all));
        }
        let Some(dir) = self.disk(base.dir(&path))? else { return Ok(None) };
        if !self.disk(BucketManifests::of(&base).is_dropped(place))? {
            return Ok(Some(all));
        }
        let scan = self.disk(dir.scan())?;
        Ok(Some(HourTotals::of(&contents_of(Some(&scan), &[], &path))))
    }
}

impl Keeper {
    /// Hours of a quality, from the first to the last one, of which files lie in a bucket and not here, in order.
    pub fn in_bucket_alone(&self, stream: &Stream, first: Hour, last: Hour) -> Result<Vec<Hour>, CrawlError> {
        let base = self.base()?;
        let path = stream.to_string();
        let names = self.disk(base.subdirectories_in_bucket(Path::new(&path)))?;
        let within = |name: &OsString| Hour::parse(name.to_str()?).ok().filter(|hour| (first..=last).contains(hour));
        let mut hours: Vec<Hour> = names.iter().filter_map(within).collect();
        hours.sort_unstable();
        let manifests = BucketManifests::of(&base);
        let mut alone = Vec::new();
        for hour in hours {
            let place = HourPlace { stream: stream.clone(), hour };
            let is_here =
                self.disk(base.stamp(&place.path()))?.is_some() && !self.disk(manifests.is_dropped(&place))?;
            if !is_here && !self.disk(manifests.digests(&place))?.is_empty() {
                alone.push(hour);
            }
        }
        Ok(alone)
    }
}

/// How long what was counted of a bucket is good enough for who asks how full the disk is.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// Bytes of hours of which nothing lies here, and when they were counted.
#[derive(Debug, Default)]
pub(super) struct CountedInBucket(Mutex<Option<(Instant, u64)>>);

impl Keeper {
    /// Bytes of hours of which nothing lies on this disk, as of a minute ago at most.
    pub(super) fn bytes_in_bucket_alone(&self) -> Result<u64, CrawlError> {
        let mut counted = self.in_bucket.0.lock();
        if let Some((_, bytes)) = counted.filter(|(when, _)| when.elapsed() < COUNT_EVERY) {
            return Ok(bytes);
        }
        let base = self.base()?;
        let mut bytes = 0;
        for place in self.disk(BucketManifests::of(&base).places())? {
            if self.disk(base.stamp(&place.path()))?.is_none() {
                let row = self.index.hour_row(&place.stream.to_string(), place.hour)?;
                bytes += row.map_or(0, |row| row.totals.bytes());
            }
        }
        *counted = Some((Instant::now(), bytes));
        Ok(bytes)
    }
}

/// Names that are not UTF-8 cannot be listed; they are reported.
fn contents_of(scan: Option<&Scan>, manifests: &[HourManifest], path: &Path) -> HourContents {
    let mut unlistable = 0_u32;
    let here = scan.into_iter().flat_map(Scan::iter).filter_map(|(name, meta)| {
        let text = std::str::from_utf8(name).ok();
        unlistable += u32::from(text.is_none());
        Some((text?, meta.size))
    });
    let contents = if manifests.is_empty() {
        HourContents::from_names(here)
    } else {
        let here: Vec<(&str, u64)> = here.collect();
        let more = only_in_bucket(&here.iter().map(|(name, _)| *name).collect(), manifests);
        HourContents::from_names(here.into_iter().chain(more))
    };
    if unlistable > 0 {
        tracing::warn!(name: "names_not_utf8", directory = %path.display(), files = unlistable, "file names that are not UTF-8 cannot be listed; rename them");
    }
    contents
}

/// What objects hold of an hour beside these names, with its bytes.
fn only_in_bucket<'m>(here: &HashSet<&'m str>, manifests: &'m [HourManifest]) -> BTreeMap<&'m str, u64> {
    let tombstones = || manifests.iter().flat_map(HourManifest::tombstones).map(|name| &**name);
    let hidden: HashSet<&str> =
        here.iter().copied().filter(|name| name::is_tombstone(name)).chain(tombstones()).map(name::stem).collect();
    let files = manifests.iter().flat_map(HourManifest::files).map(|file| (&*file.name, file.size));
    let visible = files.filter(|(name, _)| !(name::may_be_hidden(name) && hidden.contains(name::stem(name))));
    let mut found = BTreeMap::new();
    for (name, size) in visible.chain(tombstones().map(|name| (name, 0))).filter(|(name, _)| !here.contains(name)) {
        // Of two versions the one of the first object, as whoever opens it does.
        found.entry(name).or_insert(size);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::Hash;
    use crate::archive::manifest::ManifestFile;

    fn segment(byte: u8) -> String {
        format!("{byte:02}:00-2.0-full-{}.ts", Hash([byte; 32]))
    }

    fn tombstone(byte: u8) -> String {
        name::tombstone_of(&segment(byte))
    }

    proptest! {
        #[test]
        fn an_hour_holds_what_is_here_and_what_its_objects_hold_and_nothing_that_is_hidden(
            here in prop::collection::btree_set(0_u8..9, 0..6),
            hidden_here in prop::collection::btree_set(0_u8..9, 0..3),
            objects in prop::collection::vec(
                (prop::collection::btree_set(0_u8..9, 0..6), prop::collection::btree_set(0_u8..9, 0..3)), 0..3),
            has_directory: bool,
        ) {
            let tree = tempfile::tempdir().unwrap();
            let base = Base::open(tree.path()).unwrap();
            let place = HourPlace::parse("c/source/2024-01-01T00").unwrap();
            let dir = tree.path().join(place.path());
            if has_directory {
                fs::create_dir_all(&dir).unwrap();
                for byte in &here {
                    fs::write(dir.join(segment(*byte)), "x").unwrap();
                }
                for byte in &hidden_here {
                    fs::write(dir.join(tombstone(*byte)), "").unwrap();
                }
            }
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for (files, hidden) in &objects {
                let files = files.iter().map(|byte| ManifestFile {
                    name: segment(*byte).into(), size: 9, sha256: Hash([*byte; 32]),
                }).collect();
                let tombstones = hidden.iter().map(|byte| tombstone(*byte).into()).collect();
                let Ok(manifest) = HourManifest::new(place.clone(), files, tombstones) else { return Ok(()) };
                BucketManifests::of(&base).write(&place, manifest.object_name().manifest, &manifest.to_bytes()).unwrap();
                expected.extend(manifest.files().iter().map(|file| (file.name.to_string(), file.size)));
                expected.extend(hidden.iter().map(|byte| (tombstone(*byte), 0)));
            }
            let none = std::collections::BTreeSet::new();
            let (here, hidden_here) = if has_directory { (&here, &hidden_here) } else { (&none, &none) };
            expected.extend(hidden_here.iter().map(|byte| (tombstone(*byte), 0)));
            expected.retain(|name, _| name::is_tombstone(name) || {
                let of = name::tombstone_of(name);
                !hidden_here.iter().any(|byte| tombstone(*byte) == of)
                    && !objects.iter().any(|(_, hidden)| hidden.iter().any(|byte| tombstone(*byte) == of))
            });
            expected.extend(here.iter().map(|byte| (segment(*byte), 1)));
            let found = hour_files(&base, &place).unwrap();
            prop_assert_eq!(found.is_some(), has_directory || !objects.is_empty());
            let Some(found) = found else { return Ok(()) };
            let sizes = |files: &HourContents| -> BTreeMap<String, u64> {
                files.files().iter().map(|file| (file.name(), file.size)).chain(
                    files.odd().iter().map(|file| (file.name.to_string(), file.size))).collect()
            };
            prop_assert_eq!(sizes(&found.contents), expected);
        }
    }
}
