//! What the bucket itself says of hours: which it has, and which uploads were left behind in it.
//!
//! A list that is cut, or that comes to no end, is an error and never a list of what there is.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_64;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use crate::archive::{HourPlace, ObjectName, Span, Timestamp};
use crate::bucket::{Bucket, BucketError, ListedObject};

/// Objects of one order: a hundred years of hours.
const MOST_OBJECTS: usize = 1_000_000;
/// Pages in a row without an object of ours: a hundred thousand names of others in between.
const MOST_EMPTY: usize = 100;
/// An upload that was begun so long ago and never completed is nobody's any more.
const ABANDONED: Span = Span::from_us(24 * 3_600 * 1_000_000);

impl Archiver {
    /// The objects of each hour in these places, as the bucket lists them.
    pub(super) async fn bucket_hours(
        &self,
        within: &[String],
    ) -> Result<BTreeMap<HourPlace, Vec<ListedObject>>, ArchiveError> {
        let (mut found, mut known) = (BTreeMap::<HourPlace, Vec<ListedObject>>::new(), HashSet::new());
        for part in within {
            for (name, size) in self.objects_of(part).await? {
                // Two places may lie in one another.
                if known.insert(name.clone()) {
                    found.entry(name.place.clone()).or_default().push(ListedObject { name, size });
                }
            }
            if known.len() > MOST_OBJECTS {
                return Err(endless(&self.bucket).into());
            }
        }
        Ok(found)
    }

    async fn objects_of(&self, part: &str) -> Result<BTreeMap<ObjectName, u64>, ArchiveError> {
        let below = below(part);
        let (mut found, mut listing) = (BTreeMap::new(), ObjectListing::new(below));
        while let Some(page) = listing.next(&self.bucket).await? {
            // Not all stores list what they are asked for.
            let of_it = page.into_iter().filter(|object| is_within(&object.name.place, part));
            found.extend(of_it.map(|object| (object.name, object.size)));
        }
        Ok(found)
    }

    /// Ends uploads that were left behind, where the store lists them. That it does not holds nothing up.
    pub(super) fn end_abandoned(&self, watch: &dyn ArchiveWatch) -> Result<(), ArchiveError> {
        let now = Timestamp::from(SystemTime::now());
        let done = self.wait(watch, async |stop| unless_stopped(stop, self.bucket.end_abandoned(ABANDONED, now)).await);
        match done {
            Ok(Some(_)) => {}
            Ok(None) => {
                if !self.told_unlisted.swap(true, Ordering::Relaxed) {
                    tracing::info!(name: "uploads_unlisted", "uploads that were left behind are not looked for, as the store, or the access key, does not let them be listed and ended (ListBucketMultipartUploads, AbortMultipartUpload); hours are uploaded all the same, and a rule of the bucket can end them (AbortIncompleteMultipartUpload)");
                }
            }
            Err(ArchiveError::Bucket(error)) if error.is_an_answer() => {
                tracing::debug!(name: "uploads_unseen", %error, "uploads that were left behind could not be looked for; hours are uploaded all the same");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether an hour lies in a place (`CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`).
pub(super) fn is_within(place: &HourPlace, part: &str) -> bool {
    format!("{place}/").starts_with(&below(part))
}

fn below(part: &str) -> String {
    format!("{}/", part.trim_end_matches('/'))
}

/// A list of objects that is read page by page, and comes to an end.
pub(super) struct ObjectListing {
    below: String,
    from: Option<String>,
    is_over: bool,
    /// Pages in a row without an object that was not listed before.
    empty: usize,
    /// Of the names of those that were.
    listed: HashSet<u64>,
}

impl ObjectListing {
    /// Of those that are called so behind `v1/`.
    pub(super) fn new(below: String) -> Self {
        Self { below, from: None, is_over: false, empty: 0, listed: HashSet::new() }
    }

    /// The next page, or the end.
    pub(super) async fn next(&mut self, bucket: &Bucket) -> Result<Option<Vec<ListedObject>>, BucketError> {
        if self.is_over {
            return Ok(None);
        }
        let page = bucket.list(&self.below, self.from.as_deref()).await?;
        let before = self.listed.len();
        self.listed.extend(page.objects.iter().map(|object| xxh3_64(object.name.to_string().as_bytes())));
        self.empty = if self.listed.len() == before { self.empty + 1 } else { 0 };
        (self.is_over, self.from) = (page.next.is_none(), page.next);
        if !self.is_over && (self.empty > MOST_EMPTY || self.listed.len() > MOST_OBJECTS) {
            return Err(endless(bucket));
        }
        Ok(Some(page.objects))
    }
}

fn endless(bucket: &Bucket) -> BucketError {
    let at = bucket.identity().endpoint;
    BucketError::Unexpected { at, expected: "a list of objects that comes to its end" }
}
