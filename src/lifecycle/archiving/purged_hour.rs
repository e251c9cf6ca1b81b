//! What a purge of an hour in the bucket begins with, and what it comes to.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::archive::purged_object::{HiddenInHour, PurgedObject};
use crate::archive::{HourManifest, HourPlace, ManifestFile, PackedHour};
use crate::disk::{Base, BucketManifests, DiskError, Scan};

/// What became of an hour, or would.
#[derive(Debug, Default)]
pub(super) struct HourPurge {
    /// Files that went, each counted once, however many objects held it.
    pub(super) files: u64,
    pub(super) bytes: u64,
    went: BTreeSet<Box<str>>,
    /// Files that stay because no other node has them.
    pub(super) kept: u64,
    /// Of a plan.
    pub(super) over_line: u64,
    pub(super) requests: u64,
}

impl HourPurge {
    pub(super) fn add(&mut self, files: &[ManifestFile]) {
        for file in files {
            if self.went.insert(file.name.clone()) {
                self.files += 1;
                self.bytes += file.size;
            }
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.files == 0 && self.kept == 0
    }
}

/// The objects of an hour, as they were noted when the purge began.
pub(super) struct ObjectsOfHour {
    place: HourPlace,
    pub(super) objects: Vec<Arc<PackedHour>>,
    /// Of those that are lost.
    pub(super) lost: Vec<HourManifest>,
    /// All of these was read back since, and was right.
    pub(super) read_back: Vec<PackedHour>,
}

impl ObjectsOfHour {
    /// `None` if none is noted.
    pub(super) fn read(base: &Base, place: &HourPlace) -> Result<Option<Self>, DiskError> {
        let notes = BucketManifests::of(base);
        let packed = notes.read(place)?.into_iter().map(|(_, manifest)| Arc::new(PackedHour::plan(manifest)));
        let objects: Vec<Arc<PackedHour>> = packed.collect();
        let lost = notes.read_lost(place)?;
        let is_there = !objects.is_empty() || !lost.is_empty();
        Ok(is_there.then(|| Self { place: place.clone(), objects, lost, read_back: Vec::new() }))
    }

    /// What is hidden, by what lies in the directory now and what was noted when this began: what this purge has written itself is no reason.
    pub(super) fn hidden_now(&self, base: &Base) -> Result<HiddenInHour, DiskError> {
        let scan = base.dir(&self.place.path())?.map(|dir| dir.scan()).transpose()?;
        let names = scan.iter().flat_map(Scan::iter).filter_map(|(name, _)| std::str::from_utf8(name).ok());
        Ok(HiddenInHour::of(names, self.objects.iter().map(|object| object.manifest()).chain(&self.lost)))
    }

    /// The names of hidden files that objects hold.
    pub(super) fn held(&self, hidden: &HiddenInHour) -> BTreeSet<String> {
        let files = self.objects.iter().flat_map(|object| object.manifest().files());
        files.filter(|file| hidden.hide(&file.name)).map(|file| file.name.to_string()).collect()
    }

    /// Those with most in them first: what is left of these may know the tombstones of others, of which nothing else is left.
    pub(super) fn largest_first(&self) -> Vec<Arc<PackedHour>> {
        let mut objects = self.objects.clone();
        objects.sort_by_key(|object| (Reverse(object.size()), object.object_name()));
        objects
    }

    /// An object without a file that knows all tombstones that are left of another one, where these are all that is left; `None` if there is
    /// none, or what was read back knows them already.
    pub(super) fn tombstones_of(&self, purged: &PurgedObject) -> Option<Arc<PackedHour>> {
        let read_back: Vec<&HourManifest> = self.read_back.iter().map(PackedHour::manifest).collect();
        if purged.is_known_to(&read_back) {
            return None;
        }
        let knows = |object: &&Arc<PackedHour>| {
            object.manifest().files().is_empty() && purged.is_known_to(&[object.manifest()])
        };
        self.objects.iter().find(knows).cloned()
    }
}
