//! What an hour holds: the files in its directory, and those that objects of it in a bucket hold.
//!
//! 1. What lies in the directory comes first: a file that is here is not taken from a manifest as well.
//! 2. What a tombstone hides, here or in a manifest, is not there because an object holds it; that of an object that is lost goes on hiding. But
//!    what lies here is hidden by no tombstone of a manifest alone: whoever may write to the bucket does not decide over this disk.
//! 3. Stamps are taken first, then the directory is read, and then the manifests: a file that leaves the directory because an object holds
//!    it is seen in one of them at least.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use crate::archive::{HourContents, HourManifest, HourPlace, Stamp, name};
use crate::disk::{Base, BucketManifests, DiskError, SETTLE, Scan, both};

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
    let manifests = if in_bucket.is_some() { manifests(base, place)? } else { Vec::new() };
    let is_trusted = scan.as_ref().is_none_or(|scan| scan.settled)
        && in_bucket.is_none_or(|stamp| is_settled(stamp, SystemTime::now()));
    let stamp = both(scan.as_ref().map(|scan| scan.stamp), in_bucket).filter(|_| is_trusted);
    Ok(Some(HourFiles { contents: contents_of(scan.as_ref(), &manifests, &path), stamp }))
}

/// Bytes of hours of which nothing lies here, and when they were counted.
#[derive(Debug, Default)]
pub(super) struct CountedInBucket(pub(super) Mutex<Option<(Instant, u64)>>);

/// What objects of the hour hold, and, of those that are lost, what they hide.
fn manifests(base: &Base, place: &HourPlace) -> Result<Vec<HourManifest>, DiskError> {
    let notes = BucketManifests::of(base);
    let mut manifests: Vec<HourManifest> = notes.read(place)?.into_iter().map(|(_, manifest)| manifest).collect();
    for lost in notes.read_lost(place)?.iter().filter(|lost| !lost.tombstones().is_empty()) {
        manifests.extend(HourManifest::new(place.clone(), Vec::new(), lost.tombstones().to_vec()));
    }
    Ok(manifests)
}

/// Names that are not UTF-8 cannot be listed; they are reported.
pub(super) fn contents_of(scan: Option<&Scan>, manifests: &[HourManifest], path: &Path) -> HourContents {
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
    let lies_here: HashSet<&str> =
        here.iter().copied().filter(|name| name::may_be_hidden(name)).map(name::stem).collect();
    let told = tombstones().filter(|name| !lies_here.contains(name::stem(name)));
    let mut found = BTreeMap::new();
    for (name, size) in visible.chain(told.map(|name| (name, 0))).filter(|(name, _)| !here.contains(name)) {
        // Of two versions the one of the first object, as whoever opens it does.
        found.entry(name).or_insert(size);
    }
    found
}

/// Whether a directory has been quiet for long enough that a later change must show in its stamp.
pub(crate) fn is_settled(stamp: Stamp, now: SystemTime) -> bool {
    let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH) else { return false };
    let quiet_before = i64::try_from(now.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_sub(i64::try_from(SETTLE.as_nanos()).unwrap_or(i64::MAX));
    stamp.mtime_ns < quiet_before && stamp.ctime_ns < quiet_before
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
            for byte in here.iter().filter(|byte| !hidden_here.contains(byte)) {
                expected.remove(&tombstone(*byte));
            }
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
