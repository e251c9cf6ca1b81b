//! The archive as it is listed: its own directories, and those that the notes of a bucket name in the same order beside them.
//!
//! A channel, a quality or an hour is there if it is in either.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use super::base::Base;
use super::bucket_manifests::BucketManifests;
use super::dir::Dir;
use super::error::Result;
use crate::archive::Stamp;

impl Base {
    /// The stamp of a directory of the archive together with that of what a bucket has of it; `None` if it is in neither.
    pub fn stamp_of_both(&self, rel: &Path) -> Result<Option<Stamp>> {
        let in_bucket = self.stamp(&BucketManifests::path(rel))?;
        Ok(both(self.stamp(rel)?, in_bucket))
    }

    /// The stamp of what a bucket has of a directory of the archive.
    pub fn stamp_in_bucket(&self, rel: &Path) -> Result<Option<Stamp>> {
        self.stamp(&BucketManifests::path(rel))
    }

    /// The names of the directories beneath what a bucket has of a directory of the archive; none if that is nothing.
    pub fn subdirectories_in_bucket(&self, rel: &Path) -> Result<Vec<OsString>> {
        self.dir(&BucketManifests::path(rel))?.map_or(Ok(Vec::new()), |dir| dir.subdirectories())
    }

    /// The names of the directories beneath a directory of the archive, in no particular order: here, or in a bucket. None if it is in neither.
    pub fn subdirectories_of_both(&self, rel: &Path) -> Result<Vec<OsString>> {
        let mut names = BTreeSet::new();
        for path in [rel, &BucketManifests::path(rel)] {
            if let Some(dir) = self.dir(path)? {
                names.extend(dir.subdirectories()?);
            }
        }
        Ok(names.into_iter().collect())
    }
}

/// A directory of the archive and what a bucket has of it, to look at many of the directories beneath.
#[derive(Debug)]
pub struct BothDirs {
    here: Option<Dir>,
    in_bucket: Option<Dir>,
}

impl BothDirs {
    /// Opens the directory in both; one that is in neither has no stamps.
    pub fn open(base: &Base, rel: &Path) -> Result<Self> {
        Ok(Self { here: base.dir(rel)?, in_bucket: base.dir(&BucketManifests::path(rel))? })
    }

    /// The stamp of a directory beneath, as [`Base::stamp_of_both`] has it.
    pub fn stamp_of(&self, name: &OsStr) -> Result<Option<Stamp>> {
        let stamp = |dir: &Option<Dir>| dir.as_ref().map_or(Ok(None), |dir| dir.stamp_of(name));
        let in_bucket = stamp(&self.in_bucket)?;
        Ok(both(stamp(&self.here)?, in_bucket))
    }
}

/// One stamp that differs as soon as one of two does, and is no older than the later one.
pub fn both(here: Option<Stamp>, in_bucket: Option<Stamp>) -> Option<Stamp> {
    let (Some(one), Some(other)) = (here, in_bucket) else { return here.or(in_bucket) };
    let mut hasher = DefaultHasher::new();
    [one, other].map(|stamp| (stamp.ino, stamp.mtime_ns, stamp.ctime_ns)).hash(&mut hasher);
    let (mtime_ns, ctime_ns) = (one.mtime_ns.max(other.mtime_ns), one.ctime_ns.max(other.ctime_ns));
    Some(Stamp { ino: hasher.finish(), mtime_ns, ctime_ns })
}
