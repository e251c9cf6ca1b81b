//! What is sealed of an hour: what lies in its directory, and nothing that a bucket alone has.

use crate::archive::{Hash, HourContents, HourPlace};
use crate::disk::{Base, DiskError};

/// What the directory of an hour holds; `None` if there is none. Names that are not UTF-8 are in no list.
pub(super) fn contents_here(base: &Base, place: &HourPlace) -> Result<Option<HourContents>, DiskError> {
    let Some(dir) = base.dir(&place.path())? else { return Ok(None) };
    let scan = dir.scan()?;
    let listed = scan.iter().filter_map(|(name, meta)| Some((std::str::from_utf8(name).ok()?, meta.size)));
    Ok(Some(HourContents::from_names(listed)))
}

/// What a listing shows of an hour, without tombstones, and what each content is to be.
pub(super) fn names(contents: &HourContents) -> Vec<(String, Option<Hash>)> {
    let hidden = contents.hidden();
    let odd = contents.odd().iter().filter(|file| !file.is_tombstone() && !hidden.hides_odd(file));
    let segments = contents.visible().map(|file| (file.name(), Some(file.key.hash)));
    segments.chain(odd.map(|file| (file.name.to_string(), None))).collect()
}

/// The names of its tombstones.
pub(super) fn tombstones(contents: &HourContents) -> Vec<Box<str>> {
    let understood = contents.files().iter().filter(|file| file.key.tombstone).map(|file| file.name().into());
    understood.chain(contents.odd().iter().filter(|file| file.is_tombstone()).map(|file| file.name.clone())).collect()
}
