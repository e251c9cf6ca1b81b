//! What is in segments that lie in a bucket alone, as the manifests of their objects say: whoever does not have a file cannot read it.
//!
//! 1. A file that lies here is read, whatever a manifest says of it; and what was read once stays in the index, and comes before this.
//! 2. What is taken from manifests is kept in memory and never put into the index: the manifests lie here as well. When something comes into the
//!    hour's directory, or another object, it is looked again.
//! 3. Whoever may write to the bucket may say something wrong. It makes a wrong mark in a list at worst: bytes are given by what was read.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use super::hour_media::{FactsState, HourMedia};
use crate::archive::{Edges, HourManifest, HourPlace, SegmentFile, Stamp};
use crate::disk::{Base, BucketManifests, DiskError};
use crate::sync::crawl::{Keeper, is_settled};

/// What manifests say of the segments of an hour that do not lie here.
#[derive(Debug)]
pub(super) struct BucketFacts {
    /// What the hour was then.
    seen: Stamp,
    here: HashSet<String>,
    /// By name and size.
    noted: HashMap<(Box<str>, u64), Edges>,
}

impl BucketFacts {
    /// Of an hour of which objects of a bucket hold something.
    pub(super) fn of(keeper: &Keeper, place: &HourPlace) -> Option<Self> {
        answered(keeper, place, |base| Self::read(base, place)).flatten()
    }

    fn read(base: &Base, place: &HourPlace) -> Result<Option<Self>, DiskError> {
        if base.stamp_in_bucket(&place.path())?.is_none() {
            return Ok(None);
        }
        let seen = base.stamp_of_both(&place.path())?.filter(|stamp| is_settled(*stamp, SystemTime::now()));
        let here = names_here(base, place)?;
        let manifests = BucketManifests::of(base).read(place)?;
        let manifests: Vec<HourManifest> = manifests.into_iter().map(|(_, manifest)| manifest).collect();
        let said = HourManifest::media_of(&manifests).into_iter();
        let noted = said.filter_map(|((name, size), line)| Some(((name.into(), size), line.edges()?))).collect();
        Ok(Some(Self { seen: seen.unwrap_or(Stamp::UNTRUSTED), here, noted }))
    }

    /// What is known of the segments of the hour with that: nothing is added of what lies here, and can be read.
    pub(super) fn added_to(&self, media: &HourMedia, files: &[SegmentFile]) -> HourMedia {
        let known = media.known.iter().zip(files).map(|(known, file)| match known {
            FactsState::Unread => self.state(file),
            known => *known,
        });
        HourMedia::new(known.collect(), Some(self.seen))
    }

    fn state(&self, file: &SegmentFile) -> FactsState {
        let name = file.name();
        if self.here.contains(&name) {
            return FactsState::Unread;
        }
        let noted = self.noted.get(&(name.into(), file.size));
        noted.map_or(FactsState::Unreadable, |edges| FactsState::Noted(*edges))
    }
}

/// Whether something has come into an hour, or gone, since it was seen so.
pub(super) fn has_changed(keeper: &Keeper, place: &HourPlace, seen: Stamp) -> bool {
    answered(keeper, place, |base| base.stamp_of_both(&place.path())).is_some_and(|now| now != Some(seen))
}

/// Leaves out what does not lie here, as objects of a bucket hold it.
pub(super) fn retain_here(keeper: &Keeper, place: &HourPlace, files: &mut Vec<SegmentFile>) {
    if files.is_empty() {
        return;
    }
    let here = answered(keeper, place, |base| {
        let in_bucket = base.stamp_in_bucket(&place.path())?;
        in_bucket.map(|_| names_here(base, place)).transpose()
    });
    if let Some(here) = here.flatten() {
        files.retain(|file| here.contains(&file.name()));
    }
}

fn names_here(base: &Base, place: &HourPlace) -> Result<HashSet<String>, DiskError> {
    let Some(dir) = base.dir(&place.path())? else { return Ok(HashSet::new()) };
    let scan = dir.scan()?;
    Ok(scan.iter().filter_map(|(name, _)| String::from_utf8(name.to_vec()).ok()).collect())
}

/// What the disk answers; nothing where it does not.
fn answered<T>(keeper: &Keeper, place: &HourPlace, ask: impl FnOnce(&Base) -> Result<T, DiskError>) -> Option<T> {
    let base = keeper.guard().base().ok()?;
    let answer = ask(&base).inspect_err(|error| {
        keeper.guard().report(error);
        tracing::debug!(name: "notes_unread", hour = %place, %error, "what is noted of an hour in the bucket cannot be read; of segments that lie there alone nothing is known");
    });
    answer.ok()
}
