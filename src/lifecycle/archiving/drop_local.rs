//! Frees the disk: files of an hour that lie in the bucket as well are deleted here, and read from there from then on.
//!
//! 1. An hour goes only while it is what was sealed, which its directory's own time says, and what was sealed was read back from the bucket.
//! 2. Of its files those go that an object holds under the same name with the same SHA-256, and that are listed from there. Tombstones, what
//!    they hide, and what nobody understands stay.
//! 3. Right before, the store is asked whether these objects are still there with their sizes; where they were read back longer than a day ago
//!    all of them is read back again. A store that does not answer frees nothing.
//! 4. What the objects hold is noted here before anything goes, so that the hour is listed as before, whatever is interrupted when.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::SystemTime;

use super::archiver::{ArchiveError, ArchiveWatch, Archiver, CopyState, unless_stopped};
use super::order::{ArchiveObserver, Work};
use super::own_bucket::claim;
use crate::archive::name::{may_be_hidden, stem};
use crate::archive::{HourManifest, HourPlace, ManifestFile, ObjectName, PackedHour, Span, Timestamp};
use crate::bucket::BucketError;
use crate::disk::{BucketManifests, Dir, DiskError, atomic};
use crate::lifecycle::handoffs::RetireVerdict;
use crate::wire::ArchiveSummary;

/// How long it is enough that an object was read back, if it has the same size.
const FRESH: Span = Span::from_us(24 * 3_600 * 1_000_000);

/// What became of the files of an hour here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropOutcome {
    /// So many went, with so many bytes; or would.
    Dropped { files: u64, bytes: u64 },
    /// Nothing of it lies here that an object holds.
    NothingHere,
    /// It is not in the bucket as it is here.
    NotArchived,
    /// Another node was promised that it stays for an hour.
    Pinned,
}

/// Files of an hour that may go, and the objects that hold them.
struct Droppable<'m> {
    files: Vec<&'m ManifestFile>,
    objects: Vec<PackedHour>,
}

impl<'m> Droppable<'m> {
    /// Those that one of these objects holds. What any object holds under the same name with other bytes stays, as one could not be told from
    /// the other; and what a tombstone of any hides that is not here, as it would not be listed any more.
    fn of(sealed: &'m HourManifest, objects: Vec<HourManifest>, others: &[HourManifest]) -> Self {
        let noted = objects.iter().chain(others);
        let hidden: HashSet<&str> = noted.flat_map(HourManifest::tombstones).map(|tombstone| stem(tombstone)).collect();
        let held = |object: &HourManifest, file: &ManifestFile| {
            object.position(&file.name).and_then(|at| object.files().get(at)).cloned()
        };
        let is_one = |file: &&ManifestFile| {
            let mut all = objects.iter().chain(others).filter_map(|object| held(object, file));
            all.all(|other| other == **file) && !(may_be_hidden(&file.name) && hidden.contains(stem(&file.name)))
        };
        let mut left: Vec<&ManifestFile> = sealed.files().iter().filter(is_one).collect();
        let mut found = Self { files: Vec::new(), objects: Vec::new() };
        for object in objects {
            let (here, missing): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|file| held(&object, file).is_some_and(|it| it == **file));
            left = missing;
            if !here.is_empty() {
                found.files.extend(here);
                found.objects.push(PackedHour::plan(object));
            }
        }
        found
    }

    /// Deletes them, if the directory is what was sealed; `None` if it is not.
    fn delete(&self, dir: &Dir, describes_ns: i64) -> Result<Option<DropOutcome>, DiskError> {
        if dir.stamp()?.ctime_ns != describes_ns {
            return Ok(None);
        }
        let (mut files, mut bytes) = (0, 0);
        for file in &self.files {
            if dir.remove_file(OsStr::new(&*file.name))? {
                files += 1;
                bytes += file.size;
            }
        }
        atomic::sync_dir(dir)?;
        Ok(Some(DropOutcome::Dropped { files, bytes }))
    }
}

impl Archiver {
    /// Deletes files of these hours here that lie in the bucket, or only says which it would, the oldest first.
    pub fn drop_all(
        &self,
        places: &[HourPlace],
        is_dry: bool,
        observer: &dyn ArchiveObserver,
    ) -> Result<ArchiveSummary, ArchiveError> {
        let mut work = Work::begin(self, places, observer)?;
        for place in places.iter().rev().filter(|_| !observer.is_stopped()) {
            match self.drop_local(place, is_dry, &work) {
                Ok(DropOutcome::Dropped { files, bytes }) => {
                    work.summary.done += 1;
                    work.hour(place, if is_dry { "droppable" } else { "dropped" }, |hour| {
                        (hour.files, hour.bytes) = (Some(files), Some(bytes));
                    });
                }
                Ok(DropOutcome::NothingHere) => work.summary.before += 1,
                Ok(DropOutcome::NotArchived) => work.summary.open += 1,
                Ok(DropOutcome::Pinned) => {
                    work.summary.open += 1;
                    work.hour(place, "pinned", |_| ());
                }
                Err(error) => work.failed(place, error)?,
            }
        }
        Ok(work.end())
    }

    /// Deletes files of an hour here that lie in the bucket, or only says how many it would.
    pub fn drop_local(
        &self,
        place: &HourPlace,
        is_dry: bool,
        watch: &dyn ArchiveWatch,
    ) -> Result<DropOutcome, ArchiveError> {
        let _turn = self.turn(watch)?;
        match self.state(place)? {
            // What is about to leave the bucket stays here: another node may be deleting it there because it lies here.
            CopyState::Archived { .. } if self.leaves_soon(place) => return Ok(DropOutcome::NotArchived),
            CopyState::Archived { .. } => {}
            CopyState::InBucket => return Ok(DropOutcome::NothingHere),
            CopyState::Open { .. } | CopyState::Waiting | CopyState::TooOld => return Ok(DropOutcome::NotArchived),
        }
        let base = self.keeper.guard().base()?;
        claim(&base, &self.bucket.identity())?;
        let Some((sealed, describes_ns)) = self.sealed(&base, place)? else { return Ok(DropOutcome::NotArchived) };
        let objects = self.disk(BucketManifests::of(&base).read(place))?;
        let Some((receipt, _)) = self.receipt(&base, place)? else { return Ok(DropOutcome::NotArchived) };
        let read_back = receipt.objects;
        let (objects, others): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|(object, _)| read_back.contains(object));
        let manifests = |of: Vec<_>| of.into_iter().map(|(_, manifest)| manifest).collect::<Vec<HourManifest>>();
        let (objects, mut others) = (manifests(objects), manifests(others));
        others.extend(self.disk(BucketManifests::of(&base).read_lost(place))?);
        let goes = Droppable::of(&sealed, objects, &others);
        if goes.files.is_empty() {
            return Ok(DropOutcome::NothingHere);
        }
        if is_dry {
            let bytes = goes.files.iter().map(|file| file.size).sum();
            return Ok(DropOutcome::Dropped { files: goes.files.len() as u64, bytes });
        }
        self.wait(watch, async |stop| {
            for object in &goes.objects {
                let name = object.object_name();
                if is_long_ago(receipt.read_back) {
                    self.check(object, stop, watch).await?;
                } else if unless_stopped(stop, self.bucket.size_of(&name)).await? != Some(object.size()) {
                    return Err(changed_there(&name));
                }
            }
            Ok(())
        })?;
        // Held until its files are gone.
        let verdict = self.may_leave(place)?;
        if matches!(verdict, Some(RetireVerdict::Pinned)) {
            return Ok(DropOutcome::Pinned);
        }
        self.disk(BucketManifests::of(&base).note_dropped(place))?;
        let names = goes.files.iter().map(|file| OsStr::new(&*file.name));
        let deleted = self.keeper.change(place, names, |dir| goes.delete(dir, describes_ns))?.flatten();
        let Some(done) = deleted else { return Ok(DropOutcome::NotArchived) };
        if self.disk(base.remove_empty_hour(place))? {
            self.keeper.reconcile(std::slice::from_ref(place), false)?;
        }
        if let DropOutcome::Dropped { files, bytes } = done {
            tracing::info!(name: "hour_dropped", hour = %place, files, bytes, "files of an hour that lie in the bucket were deleted here");
        }
        Ok(done)
    }
}

fn is_long_ago(read_back: Timestamp) -> bool {
    let now = Timestamp::from(SystemTime::now());
    !(read_back <= now && now - read_back < FRESH)
}

/// Of an object that was read back and is not there any more as it was.
fn changed_there(name: &ObjectName) -> ArchiveError {
    BucketError::damaged(
        name,
        "it is not there with the size that it had when it was read back; `gapless archive verify` looks at it",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Hash;
    use crate::archive::name::tombstone_of;

    fn manifest(files: &[(u8, u8)]) -> HourManifest {
        let file = |(name, content): &(u8, u8)| ManifestFile {
            name: format!("{name:02}:00-2.0-full-{}.ts", Hash([*name; 32])).into(),
            size: 9,
            sha256: Hash([*content; 32]),
        };
        let place = HourPlace::parse("c/source/2024-01-01T00").unwrap();
        HourManifest::new(place, files.iter().map(file).collect(), Vec::new()).unwrap()
    }

    #[test]
    fn what_no_object_holds_to_the_byte_stays() {
        let sealed = manifest(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
        let objects = vec![manifest(&[(1, 1), (2, 9)]), manifest(&[(1, 1), (3, 3), (4, 4), (5, 5)])];
        // Which of two versions of the fourth a reader would get is not certain.
        let goes = Droppable::of(&sealed, objects, &[manifest(&[(4, 9)])]);
        let names: Vec<&str> = goes.files.iter().map(|file| &file.name[..2]).collect();
        assert_eq!(names, ["01", "03"]);
        assert_eq!(goes.objects.len(), 2);
        assert!(Droppable::of(&sealed, vec![manifest(&[(2, 9)])], &[]).files.is_empty());
        // What somebody else's tombstone in the bucket would hide.
        let hides = vec![tombstone_of(&sealed.files()[0].name).into()];
        let foreign = HourManifest::new(sealed.place().clone(), Vec::new(), hides).unwrap();
        assert_eq!(Droppable::of(&sealed, vec![sealed.clone()], &[foreign]).files.len(), 3);
    }
}
