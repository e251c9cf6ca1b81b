//! What the bucket itself says of hours: which it has, and which uploads were left behind in it.
//!
//! A list that is cut, or that comes to no end, is an error and never a list of what there is.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, unless_stopped};
use crate::archive::{HourPlace, ObjectName, Span, Timestamp};
use crate::bucket::{BucketError, ListedObject};

/// Objects of one order: a hundred years of hours.
const MOST_OBJECTS: usize = 1_000_000;
/// Pages in a row without an object of ours: a hundred thousand names of others in between.
const MOST_EMPTY: usize = 100;
/// An upload that was begun so long ago and never completed is nobody's any more.
const ABANDONED: Span = Span::from_us(24 * 3_600 * 1_000_000);

impl Archiver {
    /// The objects of each hour in these places, as the bucket lists them. A place without one is an error.
    pub(super) async fn bucket_hours(
        &self,
        within: &[String],
    ) -> Result<BTreeMap<HourPlace, Vec<ListedObject>>, ArchiveError> {
        let (mut found, mut known) = (BTreeMap::<HourPlace, Vec<ListedObject>>::new(), HashSet::new());
        for part in within {
            let objects = self.objects_of(part).await?;
            if objects.is_empty() {
                return Err(ArchiveError::NotThere(part.clone()));
            }
            for (name, size) in objects {
                // Two places may lie in one another.
                if known.insert(name.clone()) {
                    found.entry(name.place.clone()).or_default().push(ListedObject { name, size });
                }
            }
            if known.len() > MOST_OBJECTS {
                return Err(self.endless());
            }
        }
        Ok(found)
    }

    async fn objects_of(&self, part: &str) -> Result<BTreeMap<ObjectName, u64>, ArchiveError> {
        let (below, mut from) = (format!("{}/", part.trim_end_matches('/')), None);
        let (mut found, mut empty) = (BTreeMap::new(), 0);
        loop {
            let page = self.bucket.list(&below, from.as_deref()).await?;
            let before = found.len();
            // Not all stores list what they are asked for.
            let of_it = page.objects.into_iter().filter(|object| format!("{}/", object.name.place).starts_with(&below));
            found.extend(of_it.map(|object| (object.name, object.size)));
            empty = if found.len() == before { empty + 1 } else { 0 };
            from = page.next;
            if from.is_none() {
                return Ok(found);
            }
            if empty > MOST_EMPTY || found.len() > MOST_OBJECTS {
                return Err(self.endless());
            }
        }
    }

    fn endless(&self) -> ArchiveError {
        let at = self.bucket.identity().endpoint;
        BucketError::Unexpected { at, expected: "a list of objects that comes to its end" }.into()
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
