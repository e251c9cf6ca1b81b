//! A segment that is recorded here: its name holds its hash, and so is only known when all of it is there.
//!
//! 1. What comes goes to a hidden temporary, [aside](super::arriving) or in the hour that it seems to belong to; its SHA-256 grows with it.
//! 2. [`NewSegment::publish`] flushes it, renames it into the hour that it belongs to without replacing anything, and flushes that directory.
//! 3. Dropping it before removes the temporary.
//!
//! What was fetched from a node has a name beforehand, and [`super::Download`].

use std::ffi::OsStr;
use std::sync::Arc;

use super::atomic::sync_dir;
use super::dir::Dir;
use super::download::{DownloadError, understood};
use super::error::Result;
use super::open_temporary::{HashedTemporary, Published};
use crate::archive::{BadName, Hash};

/// What temporaries of recorded segments are called, between the dots.
const UNNAMED: &str = "recording.ts";

/// A segment that is being recorded.
#[derive(Debug)]
pub struct NewSegment(HashedTemporary);

impl NewSegment {
    /// Creates the temporary, where there is no better place in this hour directory.
    pub fn begin(hour: impl Into<Arc<Dir>>) -> Result<Self> {
        Ok(Self(HashedTemporary::create(hour.into(), OsStr::new(UNNAMED))?))
    }

    /// Appends. After a failure nothing can be written or published any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes)
    }

    /// How many bytes were written.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Of what was written.
    pub fn hash(&self) -> Hash {
        self.0.hash()
    }

    /// Makes it visible in an hour under its name, whose hash must be its own; it is durable when this returns.
    pub fn publish(mut self, hour: &Dir, name: &str) -> Result<Published, DownloadError> {
        let named = understood(name, false)?;
        if named.hash != self.hash() {
            return Err(DownloadError::Name { name: name.to_owned(), why: BadName::Hash });
        }
        self.0.flush()?;
        let bytes = self.bytes();
        let published = self.0.temporary.publish_as(hour, OsStr::new(name), Some(bytes))?;
        if published == Published::New {
            sync_dir(hour)?;
        }
        Ok(published)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Base, is_our_temporary};
    use super::*;
    use crate::archive::HourPlace;

    const HOURS: [&str; 2] = ["c/source/2019-11-13T02", "c/source/2019-11-13T03"];

    fn hour(base: &Base, at: usize) -> Dir {
        base.make_hour_dir(&HourPlace::parse(HOURS[at]).unwrap()).unwrap()
    }

    fn names(tree: &Path, place: &str) -> Vec<String> {
        let entries = fs::read_dir(tree.join(place)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_appears_whole_in_the_hour_that_it_belongs_to_and_replaces_nothing() {
        for has_aside in [true, false] {
            let tree = tempfile::tempdir().unwrap();
            if has_aside {
                fs::create_dir(tree.path().join(".gapless")).unwrap();
            }
            let base = Base::open(tree.path()).unwrap();
            let record = |bytes: &[u8]| {
                let mut segment = NewSegment::begin(hour(&base, 0)).unwrap();
                bytes.chunks(3).for_each(|piece| segment.write(piece).unwrap());
                segment
            };
            let segment = record(b"content");
            let name = format!("00:00.000000-2.0-full-{}.ts", segment.hash());
            let temporaries = names(tree.path(), if has_aside { ".gapless/arriving" } else { HOURS[0] });
            assert!(temporaries.len() == 1 && is_our_temporary(temporaries[0].as_bytes()), "{temporaries:?}");
            assert_eq!(segment.publish(&hour(&base, 1), &name).unwrap(), Published::New);
            assert_eq!((names(tree.path(), HOURS[0]).len(), names(tree.path(), HOURS[1])), (0, vec![name.clone()]));
            assert_eq!(fs::read(tree.path().join(HOURS[1]).join(&name)).unwrap(), b"content");
            assert_eq!(record(b"content").publish(&hour(&base, 1), &name).unwrap(), Published::AlreadyThere);
            assert!(matches!(record(b"other").publish(&hour(&base, 1), &name), Err(DownloadError::Name { .. })));
            drop(record(b"unwanted"));
            assert_eq!(names(tree.path(), HOURS[0]).len(), 0, "nothing is left behind");
        }
    }
}
