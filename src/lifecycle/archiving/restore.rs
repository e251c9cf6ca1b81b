//! Brings files of an hour back from the bucket, under their names: those that are missing here, and no tombstone hides.
//!
//! 1. Each object's manifest is the one that the object is called after, and each file is hashed before it gets its name.
//! 2. What lies here is never replaced; so an hour that was interrupted is gone on with, file by file.
//! 3. A file that is damaged in one object, also when it is read again, is passed over, and taken from another one of the hour if that has it.
//! 4. Tombstones that lie here, and those in the manifests of all objects of the hour, keep out what they hide. They are not put back
//!    themselves: what is hidden where is decided elsewhere. While one of the objects cannot be read, nothing of its hour comes back.
//! 5. What is noted here of objects is used as well, so that an hour comes back that a list does not have yet.
//! 6. An object in a storage class that answers hours later is asked for; whoever restores again then has it.
//! 7. Files that lie near one another in the object come in one request.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::archiver::{ArchiveError, ArchiveWatch as _, Archiver, unless_stopped};
use super::bucket_hours::is_within;
use super::order::{ArchiveObserver, Work};
use super::own_bucket::is_noted;
use super::verify::twice;
use crate::archive::manifest::MOST_ENTRIES;
use crate::archive::name::{is_tombstone, may_be_hidden, stem};
use crate::archive::{FileName, Hash, HourManifest, HourPlace, ManifestFile, ObjectName, PackedHour, parse_file_name};
use crate::bucket::{AskedFor, BucketError, ListedObject};
use crate::disk::atomic::sync_dir;
use crate::disk::{BucketManifests, Dir, Download, DownloadError, Intake, MissingFile, NewFile};
use crate::replicate::remote::{Remote as _, StoredObjects};
use crate::sync::crawl::CrawlError;
use crate::wire::ArchiveSummary;

/// Entries of a directory that are looked at: more than any manifest lists, hidden ones included.
const MOST_IN_DIR: usize = 4 * MOST_ENTRIES;
/// Objects of one hour whose manifests are read: each is what came later.
const MOST_OF_AN_HOUR: usize = 1_000;

impl Archiver {
    /// Brings back what is missing in these places (`CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`), as the bucket lists them, and as it is noted here.
    pub fn restore(&self, within: &[String], observer: &dyn ArchiveObserver) -> Result<ArchiveSummary, ArchiveError> {
        let listening = Listening(observer);
        let mut found = self.wait(&listening, async |stop| unless_stopped(stop, self.bucket_hours(within)).await)?;
        let noted = self.noted_within(within)?;
        for (place, known) in &noted {
            // Lists lag behind, and what was read back is known.
            let objects = found.entry(place.clone()).or_default();
            let unlisted: Vec<&PackedHour> =
                known.iter().filter(|each| objects.iter().all(|listed| listed.name != each.object_name())).collect();
            objects.extend(unlisted.iter().map(|each| ListedObject { name: each.object_name(), size: each.size() }));
        }
        if let Some(part) = within.iter().find(|part| !found.keys().any(|place| is_within(place, part))) {
            return Err(ArchiveError::NotThere(part.clone()));
        }
        let ahead = found.values().flatten().fold(0, |sum: u64, object| sum.saturating_add(object.size));
        let mut work = Work::new(observer, found.len() as u64, ahead);
        for (place, objects) in found {
            if observer.is_stopped() {
                break;
            }
            if objects.len() > MOST_OF_AN_HOUR {
                work.failed(&place, ArchiveError::TooMany(objects.len()))?;
                continue;
            }
            let mut known = Vec::new();
            let mut unread = None;
            for object in objects {
                let is_it = |packed: &&PackedHour| packed.object_name() == object.name;
                if let Some(packed) = noted.get(&place).and_then(|noted| noted.iter().find(is_it)) {
                    known.push(Arc::new(packed.clone()));
                    continue;
                }
                let packed = self.wait(&work, async |stop: &CancellationToken| {
                    let read = async || unless_stopped(stop, self.bucket.packed(&object.name, object.size)).await;
                    twice(&object.name, read).await
                });
                match packed {
                    Ok(packed) => known.push(Arc::new(packed)),
                    // The list still has it; it was purged or deleted meanwhile.
                    Err(ArchiveError::Bucket(BucketError::Gone(_))) => {}
                    Err(error) => unread = Some(self.asked_if_cold(error, &work)?),
                }
            }
            if let Some(error) = unread {
                // It may know of tombstones that hide what the others have.
                work.failed(&place, error)?;
                continue;
            }
            let done = self.restore_hour(&place, &known, &work);
            work.told();
            match done {
                Ok((0, _)) => work.summary.before += 1,
                Ok((files, bytes)) => {
                    work.summary.done += 1;
                    tracing::info!(name: "hour_restored", hour = %place, files, bytes, "files of an hour came back from the bucket");
                    work.hour(&place, "restored", |hour| (hour.files, hour.bytes) = (Some(files), Some(bytes)));
                }
                Err(error) => work.failed(&place, error)?,
            }
        }
        Ok(work.end())
    }

    /// What is noted here of objects of this bucket, in these places.
    fn noted_within(&self, within: &[String]) -> Result<BTreeMap<HourPlace, Vec<PackedHour>>, ArchiveError> {
        let (base, mut found) = (self.keeper.guard().base()?, BTreeMap::new());
        // Of another one nothing is known.
        if is_noted(&base, &self.bucket.identity()).is_err() {
            return Ok(found);
        }
        let notes = BucketManifests::of(&base);
        let places = self.disk(notes.places_with_any())?;
        for place in places.into_iter().filter(|place| within.iter().any(|part| is_within(place, part))) {
            let objects = self.disk(notes.read(&place))?.into_iter().map(|(_, manifest)| PackedHour::plan(manifest));
            found.insert(place, objects.collect());
        }
        Ok(found)
    }

    /// Where an object is cold, the store is asked for it.
    fn asked_if_cold(&self, error: ArchiveError, work: &Work<'_>) -> Result<ArchiveError, ArchiveError> {
        let ArchiveError::Bucket(BucketError::Cold(name)) = error else { return Ok(error) };
        let asked =
            self.wait(work, async |stop: &CancellationToken| unless_stopped(stop, self.bucket.ask_for(&name)).await);
        Ok(match asked {
            Ok(asked) => {
                tracing::info!(name: "object_asked_for", object = %name, "an object in a storage class that answers hours later was asked for");
                let told = if asked == AskedFor::Now { "was now" } else { "was before" };
                ArchiveError::AskedFor(name, told)
            }
            // It knows no such question, so that it stays at that.
            Err(ArchiveError::Bucket(BucketError::Refused { .. } | BucketError::Failed { status: 501, .. })) => {
                BucketError::Cold(name).into()
            }
            Err(ArchiveError::Bucket(BucketError::Denied { .. })) => ArchiveError::MayNotAsk(name),
            Err(unasked) if unasked.is_about_the_hour() => unasked,
            Err(unasked) => return Err(unasked),
        })
    }

    /// Says how many files came back, and their bytes.
    fn restore_hour(
        &self,
        place: &HourPlace,
        known: &[Arc<PackedHour>],
        work: &Work<'_>,
    ) -> Result<(u64, u64), ArchiveError> {
        let base = self.keeper.guard().base()?;
        let there = match self.disk(base.dir(&place.path()))? {
            Some(dir) => self.disk(dir.entries(MOST_IN_DIR))?.into_iter().map(|(name, _)| name).collect(),
            None => HashSet::<OsString>::new(),
        };
        let tombstones = known.iter().flat_map(|packed| packed.manifest().tombstones().iter().map(AsRef::as_ref));
        let here = there.iter().filter_map(|name| name.to_str()).filter(|name| is_tombstone(name));
        // What an object hid that is lost stays hidden.
        let lost = self.disk(BucketManifests::of(&base).read_lost(place))?;
        let of_lost = lost.iter().flat_map(HourManifest::tombstones).map(AsRef::as_ref);
        let hidden: HashSet<&str> = tombstones.chain(here).chain(of_lost).map(stem).collect();
        let mut came = Came { there: there.clone(), files: 0, bytes: 0, damaged: BTreeMap::new() };
        let mut failed = None;
        for packed in known {
            let is_missing = |file: &&ManifestFile| {
                let is_hidden = may_be_hidden(&file.name) && hidden.contains(stem(&file.name));
                !is_hidden && !came.there.contains(&OsString::from(&*file.name))
            };
            let missing: Vec<&ManifestFile> = packed.manifest().files().iter().filter(is_missing).collect();
            if missing.is_empty() {
                continue;
            }
            let needed: u64 = missing.iter().map(|file| file.size).sum();
            let free = self.disk(base.free_space())?.0;
            if needed.saturating_add(self.keep_free) > free {
                return Err(ArchiveError::Room { needed, free, keep: self.keep_free });
            }
            let dir = Arc::new(self.disk(base.make_hour_dir(place))?);
            let done = self.fetch(packed, &missing, &dir, &mut came, work).and_then(|()| {
                // A line flips a bit now and then: what was damaged is read once more.
                let damaged = |file: &&ManifestFile| {
                    came.damaged.contains_key(&file.name) && !came.there.contains(&OsString::from(&*file.name))
                };
                let damaged: Vec<&ManifestFile> = missing.iter().copied().filter(damaged).collect();
                self.fetch(packed, &damaged, &dir, &mut came, work)
            });
            // What came before something failed is there, and is kept.
            let flushed = self.disk(sync_dir(&dir));
            self.keeper.reconcile(std::slice::from_ref(place), true)?;
            match done {
                // Another object may have what this one lost meanwhile.
                Err(error) if error.is_loss() => drop(failed.get_or_insert(error)),
                // Or be asked for along with it.
                Err(error) if error.is_cold() => failed = Some(self.asked_if_cold(error, work)?),
                done => done?,
            }
            flushed?;
        }
        let damaged = came.damaged.into_iter().find(|(name, _)| !came.there.contains(&OsString::from(&**name)));
        if let Some((_, ArchiveError::Bucket(error))) = &damaged {
            self.figures.failed(error);
        }
        if let Some(error) = damaged.map(|(_, error)| error).or(failed) {
            return Err(error);
        }
        let is_gone = |file: &&ManifestFile| {
            let is_hidden = may_be_hidden(&file.name) && hidden.contains(stem(&file.name));
            !is_hidden && !came.there.contains(&OsString::from(&*file.name))
        };
        if let Some(object) = lost.iter().find(|object| object.files().iter().any(|file| is_gone(&file))) {
            return Err(BucketError::Gone(object.object_name()).into());
        }
        self.disk(BucketManifests::of(&base).forget_dropped(place))?;
        Ok((came.files, came.bytes))
    }

    fn fetch(
        &self,
        packed: &Arc<PackedHour>,
        missing: &[&ManifestFile],
        dir: &Arc<Dir>,
        came: &mut Came,
        work: &Work<'_>,
    ) -> Result<(), ArchiveError> {
        let object = packed.object_name();
        let wanted = |file: &&ManifestFile| MissingFile { name: file.name.clone(), hash: file.sha256 };
        let (empty, sought): (Vec<_>, Vec<_>) = missing.iter().partition(|file| file.size == 0);
        let mut intake =
            RestoreIntake { archiver: self, object: &object, dir, came, work, stop: None, file: None, bytes: 0 };
        // Nobody needs to be asked for them.
        for file in empty.iter().map(wanted) {
            intake.begin_file(&file)?;
            intake.end_file(&file)?;
        }
        if sought.is_empty() {
            return Ok(());
        }
        let sought: Vec<MissingFile> = sought.iter().map(wanted).collect();
        let remote = StoredObjects::new(self.bucket.clone(), vec![Arc::clone(packed)]);
        self.wait(work, async |stop: &CancellationToken| {
            let mut intake = RestoreIntake { stop: Some(stop), ..intake };
            unless_stopped(stop, remote.open(&object.place, &sought, &mut intake)).await
        })
    }
}

/// What is here by now.
struct Came {
    there: HashSet<OsString>,
    files: u64,
    bytes: u64,
    /// What was another one than its hash says, by name.
    damaged: BTreeMap<Box<str>, ArchiveError>,
}

impl Came {
    fn note(&mut self, file: &MissingFile, bytes: u64) {
        self.there.insert(OsString::from(&*file.name));
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Publishes files of an object as they come.
struct RestoreIntake<'a> {
    archiver: &'a Archiver,
    object: &'a ObjectName,
    dir: &'a Arc<Dir>,
    came: &'a mut Came,
    work: &'a Work<'a>,
    /// Where something comes over the line.
    stop: Option<&'a CancellationToken>,
    /// The file that is coming, unless it has appeared here meanwhile.
    file: Option<RestoredFile>,
    /// Bytes that have come of it.
    bytes: u64,
}

impl RestoreIntake<'_> {
    fn begin_file(&mut self, file: &MissingFile) -> Result<(), ArchiveError> {
        self.file = RestoredFile::begin(self.dir, file)?;
        self.bytes = 0;
        Ok(())
    }

    fn end_file(&mut self, file: &MissingFile) -> Result<(), ArchiveError> {
        match self.file.take().map_or(Ok(()), |whole| whole.finish(file, self.object)) {
            Ok(()) => self.came.note(file, self.bytes),
            Err(error) if error.is_loss() => drop(self.came.damaged.insert(file.name.clone(), error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Intake for RestoreIntake<'_> {
    type Error = ArchiveError;

    async fn begin(&mut self, file: &MissingFile) -> Result<(), ArchiveError> {
        self.begin_file(file)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if self.stop.is_some_and(CancellationToken::is_cancelled) {
            return Err(BucketError::Stopped.into());
        }
        self.bytes += bytes.len() as u64;
        self.file.as_mut().map_or(Ok(()), |open| open.write(bytes))
    }

    async fn end(&mut self, file: &MissingFile) -> Result<(), ArchiveError> {
        self.end_file(file)
    }

    /// The manifest of the object says otherwise.
    fn gone(&mut self, file: &MissingFile) {
        self.came.damaged.insert(file.name.clone(), BucketError::Gone(self.object.clone()).into());
    }

    fn came(&mut self, bytes: u64) {
        self.work.moved(bytes);
        self.archiver.figures.read(bytes);
    }
}

/// A file that comes back. Dropping it before it is finished leaves nothing.
enum RestoredFile {
    /// By its name it is known what is in it.
    Segment(Download),
    Other(NewFile, Sha256),
}

impl RestoredFile {
    /// `None` if such a file has appeared here meanwhile.
    fn begin(dir: &Arc<Dir>, file: &MissingFile) -> Result<Option<Self>, ArchiveError> {
        if matches!(parse_file_name(&file.name), FileName::Understood(_)) {
            return Ok(Some(Self::Segment(Download::begin(Arc::clone(dir), &file.name).map_err(refused)?)));
        }
        let begun = NewFile::begin(Arc::clone(dir), &file.name).map_err(CrawlError::from)?;
        Ok(begun.map(|begun| Self::Other(begun, Sha256::new())))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let done = match self {
            Self::Segment(download) => download.write(bytes),
            Self::Other(file, hasher) => {
                hasher.update(bytes);
                file.write(bytes)
            }
        };
        Ok(done.map_err(CrawlError::from)?)
    }

    fn finish(self, file: &MissingFile, object: &ObjectName) -> Result<(), ArchiveError> {
        let damaged = || {
            let why = format!(
                "the content of {} is another one than its hash says",
                crate::archive::escape::shown(&file.name)
            );
            ArchiveError::from(BucketError::Damaged { name: object.clone(), why })
        };
        match self {
            Self::Segment(download) => match download.finish(&file.hash) {
                Ok(_) => Ok(()),
                Err(DownloadError::WrongHash { .. }) => Err(damaged()),
                Err(error) => Err(refused(error)),
            },
            Self::Other(_, hasher) if Hash(hasher.clone().finalize().into()) != file.hash => Err(damaged()),
            Self::Other(other, _) => Ok(other.finish().map(drop).map_err(CrawlError::from)?),
        }
    }
}

fn refused(error: DownloadError) -> ArchiveError {
    match error {
        DownloadError::Disk(error) => CrawlError::from(error).into(),
        other => ArchiveError::Unwritable(other.to_string()),
    }
}

/// Whoever asked, before there is anything to count.
struct Listening<'o>(&'o dyn ArchiveObserver);

impl super::archiver::ArchiveWatch for Listening<'_> {
    fn moved(&self, _: u64) {}

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}
