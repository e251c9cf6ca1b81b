//! Learns from the bucket which hours it has: lists it, and notes what each object holds that is not known here. So a node that has never had an
//! hour has it, and an archive is made anew from the bucket alone.
//!
//! 1. Only manifests are fetched, from the ends of objects; each must be the one that its object is called after. That the rest of an object is
//!    right is not known: nothing here is deleted on the strength of it.
//! 2. One that is known is not fetched again, so what is interrupted goes on where it was.
//! 3. An object that cannot be read holds up no other hour, but others of its hour that were found with it: it may hide what they hold. Nothing that is known is forgotten, whatever the list says.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use futures_util::future::join_all;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use super::bucket_hours::ObjectListing;
use super::own_bucket::claim;
use super::verify::twice;
use crate::archive::{Hash, HourPlace, ObjectName, PackedHour, Stream};
use crate::bucket::{Bucket, BucketError, ListedObject};
use crate::disk::{Base, BucketManifests, DiskError};
use crate::sync::crawl::CrawlError;

/// Objects whose manifests are fetched at the same time.
const TOGETHER: usize = 8;
/// Objects of one hour that are noted: fewer than are read of one, so that none keeps the hour from being read.
const MOST_OF_AN_HOUR: usize = 900;

/// Which hours a node learns of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LearnedStreams {
    /// All channels if there are none.
    pub channels: BTreeSet<String>,
    /// All of their qualities if there are none.
    pub qualities: BTreeSet<String>,
}

impl LearnedStreams {
    fn has(&self, stream: &Stream) -> bool {
        let is_in = |names: &BTreeSet<String>, name: &str| names.is_empty() || names.contains(name);
        is_in(&self.channels, stream.channel.as_str()) && is_in(&self.qualities, stream.quality.as_str())
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LearnedObjects {
    /// Objects of hours that are wanted here.
    pub listed: u64,
    /// Those of them that were not known.
    pub learned: u64,
    /// Those of them of which it is not known what they hold.
    pub unread: u64,
    /// Hours of which something was learned.
    pub places: BTreeSet<HourPlace>,
    /// Hours with an object of which it is not known what it holds.
    pub unread_places: BTreeSet<HourPlace>,
}

impl LearnedObjects {
    fn leave_unread(&mut self, place: &HourPlace) {
        self.unread += 1;
        self.unread_places.insert(place.clone());
    }
}

/// Notes what objects of the bucket hold of these streams that are not known here. What is noted already is trusted by its name, or, if somebody
/// is thorough, only if it can be read. `told` says whether to go on.
pub async fn learn_objects(
    bucket: &Bucket,
    base: &Base,
    streams: &LearnedStreams,
    is_thorough: bool,
    told: impl FnMut(&LearnedObjects) -> ControlFlow<()>,
) -> Result<LearnedObjects, ArchiveError> {
    learn_below(bucket, base, (String::new(), |place| streams.has(&place.stream)), is_thorough, told).await
}

/// The same of objects that are called so behind `v1/`, and of these only those of hours that are wanted.
pub(super) async fn learn_below(
    bucket: &Bucket,
    base: &Base,
    (below, is_wanted): (String, impl Fn(&HourPlace) -> bool),
    is_thorough: bool,
    mut told: impl FnMut(&LearnedObjects) -> ControlFlow<()>,
) -> Result<LearnedObjects, ArchiveError> {
    claim(base, &bucket.identity())?;
    let (notes, mut found) = (BucketManifests::of(base), LearnedObjects::default());
    let (mut listing, mut of_hour) = (ObjectListing::new(below), None::<(HourPlace, HashSet<Hash>)>);
    while let Some(page) = listing.next(bucket).await? {
        let mut unknown = Vec::new();
        for object in page.into_iter().filter(|object| is_wanted(&object.name.place)) {
            found.listed += 1;
            let known = match &mut of_hour {
                Some((place, known)) if *place == object.name.place => known,
                other => {
                    let known = known(notes, &object.name.place, is_thorough).map_err(CrawlError::from)?;
                    &mut other.insert((object.name.place.clone(), known)).1
                }
            };
            if known.contains(&object.name.manifest) {
                continue;
            }
            if known.len() >= MOST_OF_AN_HOUR {
                tracing::warn!(name: "object_not_learned", object = %object.name, error = "the hour has too many objects", "an object of the bucket is not noted, and what it holds is not listed");
                found.leave_unread(&object.name.place);
                continue;
            }
            known.insert(object.name.manifest);
            unknown.push(object);
        }
        let mut read = Vec::new();
        for together in unknown.chunks(TOGETHER) {
            let fetched = join_all(together.iter().map(|object| fetched(bucket, object))).await;
            read.extend(together.iter().zip(fetched));
            if told(&found).is_break() {
                return Err(BucketError::Stopped.into());
            }
        }
        // What a list still has and the store has no more, as it says itself, was purged or deleted meanwhile.
        read.retain(|(_, packed)| !matches!(packed, Err(BucketError::Gone(_))));
        // One that cannot be read may know of tombstones that hide what the others hold.
        let in_doubt: BTreeSet<HourPlace> =
            read.iter().filter(|(_, packed)| packed.is_err()).map(|(object, _)| object.name.place.clone()).collect();
        for (object, packed) in read {
            if packed.is_err() || !in_doubt.contains(&object.name.place) {
                note(notes, &object.name, packed, &mut found)?;
            } else {
                found.leave_unread(&object.name.place);
            }
        }
        if told(&found).is_break() {
            return Err(BucketError::Stopped.into());
        }
    }
    Ok(found)
}

/// What is noted of an hour: objects, and those that are lost, which `verify` looks at.
fn known(notes: BucketManifests<'_>, place: &HourPlace, is_thorough: bool) -> Result<HashSet<Hash>, DiskError> {
    let objects = if is_thorough {
        notes.read(place)?.into_iter().map(|(digest, _)| digest).collect()
    } else {
        notes.digests(place)?
    };
    Ok(objects.into_iter().chain(notes.lost_digests(place)?).collect())
}

async fn fetched(bucket: &Bucket, object: &ListedObject) -> Result<PackedHour, BucketError> {
    twice(&object.name, async || bucket.packed(&object.name, object.size).await).await
}

fn note(
    notes: BucketManifests<'_>,
    name: &ObjectName,
    packed: Result<PackedHour, BucketError>,
    found: &mut LearnedObjects,
) -> Result<(), ArchiveError> {
    match packed {
        Ok(packed) => {
            let bytes = packed.manifest().to_bytes();
            notes.write(&name.place, name.manifest, &bytes).map_err(CrawlError::from)?;
            found.learned += 1;
            found.places.insert(name.place.clone());
            Ok(())
        }
        Err(error) if error.is_about_the_object() => {
            tracing::warn!(name: "object_not_learned", object = %name, %error, "an object of the bucket is not noted, and what it holds is not listed");
            found.leave_unread(&name.place);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

impl Archiver {
    /// Notes what objects of the bucket hold of these streams that are not known here, and brings the index into line with it.
    pub(super) fn learn(
        &self,
        streams: &LearnedStreams,
        watch: &dyn ArchiveWatch,
    ) -> Result<LearnedObjects, ArchiveError> {
        self.learn_within((String::new(), |place| streams.has(&place.stream)), watch)
    }

    /// The same of one hour.
    pub(super) fn learn_hour(
        &self,
        place: &HourPlace,
        watch: &dyn ArchiveWatch,
    ) -> Result<LearnedObjects, ArchiveError> {
        self.learn_within((format!("{place}/"), |found| found == place), watch)
    }

    /// The same of objects that are called so behind `v1/`, and of these only those of hours that are wanted.
    pub(super) fn learn_within(
        &self,
        wanted: (String, impl Fn(&HourPlace) -> bool),
        watch: &dyn ArchiveWatch,
    ) -> Result<LearnedObjects, ArchiveError> {
        let base = self.keeper.guard().base()?;
        let mut places = BTreeSet::new();
        let done = self.wait(watch, async |stop| {
            let told = |found: &LearnedObjects| {
                watch.moved(0);
                places.clone_from(&found.places);
                if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            unless_stopped(stop, learn_below(&self.bucket, &base, wanted, false, told)).await
        });
        // One of them may have counted as lost.
        self.lost_objects.changed();
        // What was noted before something failed is noted.
        for place in &places {
            self.keeper.reconcile(std::slice::from_ref(place), false)?;
        }
        let found = done?;
        if found.learned > 0 {
            tracing::info!(name: "objects_learned", objects = found.learned, hours = found.places.len(), "objects of the bucket were found that were not known here; what they hold is listed");
        }
        Ok(found)
    }
}
