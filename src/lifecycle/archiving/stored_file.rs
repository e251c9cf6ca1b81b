//! Where a file of an hour lies: on this disk, in objects of the bucket, or in objects that are lost, by what is noted here. Asks nobody.

use std::ffi::OsStr;

use crate::archive::{HourManifest, HourPlace};
use crate::disk::{Base, BucketManifests, DiskError};
use crate::wire::StoredFile;

/// `None` if no object holds it or held it.
pub fn stored_file(base: &Base, place: &HourPlace, name: &str) -> Result<Option<StoredFile>, DiskError> {
    let notes = BucketManifests::of(base);
    let holds = |manifest: &HourManifest| manifest.position(name).map(|_| manifest.object_name().to_string());
    let held = notes.read(place)?;
    let mut stored = StoredFile {
        objects: held.iter().filter_map(|(_, manifest)| holds(manifest)).collect(),
        lost: notes.read_lost(place)?.iter().filter_map(holds).collect(),
        ..StoredFile::default()
    };
    if stored.objects.is_empty() && stored.lost.is_empty() {
        return Ok(None);
    }
    stored.bucket = notes.bucket()?;
    stored.here = match base.dir(&place.path())? {
        Some(dir) => dir.stat_file(OsStr::new(name))?.is_some(),
        None => false,
    };
    Ok(Some(stored))
}
