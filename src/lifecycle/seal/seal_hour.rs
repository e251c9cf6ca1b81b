//! Reads an hour, and writes its manifest.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use super::hour_directory::{contents_here, names, tombstones};
use super::outcome::{SealOutcome, SealState, SealedHour};
use super::read_file::ReadFile;
use super::rules::{NotSealed, SETTLED, is_awaited, is_quiet};
use crate::archive::coverage::Window;
use crate::archive::object_trailer::LARGEST_MANIFEST;
use crate::archive::{Hash, HourContents, HourManifest, HourPlace, ManifestFile, MediaLine, Span, Stamp, Timestamp};
use crate::disk::{Base, BucketManifests, Dir, DiskError, Manifests, Receipts, WholeFile};
use crate::replicate::placement::{CurrentLayout, Ownership};
use crate::sync::crawl::{CrawlError, Keeper};

/// Open holes of an hour that are looked at.
const MOST_HOLES: usize = 10_000;

/// Seals hours of one archive.
pub struct Sealer {
    keeper: Arc<Keeper>,
    /// Who owns which hours, where that is known.
    layout: Option<CurrentLayout>,
}

/// An hour that is being read.
#[derive(Debug)]
pub(super) struct UnsealedHour {
    pub(super) place: HourPlace,
    stamp: Stamp,
    contents: HourContents,
    /// Names and what their content is to be, where the name says so.
    names: Vec<(String, Option<Hash>)>,
    done: Vec<ManifestFile>,
    media: Vec<(Box<str>, MediaLine)>,
    open: ReadFile,
}

/// What an hour is before it is read.
enum BeforeSealing {
    Is(SealOutcome),
    /// It was sealed, and there is no such directory any more, which was not told yet.
    Gone,
    /// The same, and objects of a bucket hold all of it.
    InBucket,
    /// Its manifest lists just what is there, in another directory.
    SameElsewhere(Stamp),
    /// It was sealed, and has changed since, which was not told yet.
    Unsealed(Stamp, HourContents),
    Open(Stamp, HourContents),
}

impl Sealer {
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, layout: None }
    }

    /// Seals no hours that other nodes own by this layout.
    #[must_use]
    pub fn under(self, layout: &CurrentLayout) -> Self {
        Self { layout: Some(layout.clone()), ..self }
    }

    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Two looks at the disk; of an hour without a directory three.
    pub fn state(&self, place: &HourPlace) -> Result<SealState, CrawlError> {
        let base = self.keeper.guard().base()?;
        let described = self.disk(Manifests::of(&base).describes(place))?;
        let stamp = self.disk(base.stamp(&place.path()))?;
        Ok(match (described, stamp) {
            (Some(described), Some(stamp)) if described == stamp.ctime_ns => SealState::Sealed,
            (_, None) if self.is_in_bucket(&base, place)? => SealState::InBucket,
            (Some(_), _) => SealState::Unsealed,
            (None, _) => SealState::Open,
        })
    }

    /// The manifest of an hour as it lies there, and whether the hour is still what it says.
    pub fn manifest(&self, place: &HourPlace) -> Result<Option<(Vec<u8>, SealState)>, CrawlError> {
        let state = self.state(place)?;
        let base = self.keeper.guard().base()?;
        let Some(stored) = self.disk(Manifests::of(&base).read(place, LARGEST_MANIFEST))? else { return Ok(None) };
        let state = if read_manifest(place, &stored.bytes).is_some() { state } else { SealState::Unsealed };
        Ok(Some((stored.bytes, state)))
    }

    /// Seals an hour that has been over and quiet for so long. `read` receives all bytes as they are read, and says whether to go on.
    pub fn seal(
        &self,
        place: &HourPlace,
        after: Span,
        mut read: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<SealOutcome, CrawlError> {
        match self.begin(place, after, true)? {
            Err(outcome) => Ok(outcome),
            Ok(mut hour) => self.go_on(&mut hour, &mut Vec::new(), &mut read),
        }
    }

    /// What stands against sealing an hour now, or that it is sealed. Writes nothing.
    pub fn look(&self, place: &HourPlace, after: Span) -> Result<Option<SealOutcome>, CrawlError> {
        Ok(match self.before(place, true)? {
            BeforeSealing::Is(outcome) => Some(outcome),
            BeforeSealing::Gone => Some(SealOutcome::NotSealed(NotSealed::Absent)),
            BeforeSealing::InBucket => Some(SealOutcome::InBucket),
            BeforeSealing::SameElsewhere(_) => Some(SealOutcome::WasSealed),
            BeforeSealing::Unsealed(stamp, contents) | BeforeSealing::Open(stamp, contents) => {
                self.unsealed(place, after, stamp, contents)?.err()
            }
        })
    }

    /// What is to be read; or what the hour is without that. Whoever is thorough does not take a manifest for whole by its time alone.
    pub(super) fn begin(
        &self,
        place: &HourPlace,
        after: Span,
        is_thorough: bool,
    ) -> Result<Result<UnsealedHour, SealOutcome>, CrawlError> {
        let base = self.keeper.guard().base()?;
        let (stamp, contents) = match self.before(place, is_thorough)? {
            BeforeSealing::Is(outcome) => return Ok(Err(outcome)),
            BeforeSealing::Gone => {
                self.disk(Manifests::of(&base).date(place, UNSEALED))?;
                tracing::warn!(name: "sealed_hour_gone", hour = %place, "the directory of a sealed hour is gone; its manifest says what was in it");
                return Ok(Err(SealOutcome::NotSealed(NotSealed::Absent)));
            }
            BeforeSealing::InBucket => {
                // So that its manifests are not compared again.
                self.disk(Manifests::of(&base).date(place, UNSEALED))?;
                return Ok(Err(SealOutcome::InBucket));
            }
            BeforeSealing::SameElsewhere(stamp) => {
                self.disk(Manifests::of(&base).date(place, stamp.ctime_ns))?;
                tracing::info!(name: "hour_sealed_as_before", hour = %place, "the directory of a sealed hour is another one, with the same files");
                return Ok(Err(SealOutcome::WasSealed));
            }
            BeforeSealing::Unsealed(stamp, contents) => {
                self.disk(Manifests::of(&base).date(place, UNSEALED))?;
                tracing::info!(name: "hour_unsealed", hour = %place, "a sealed hour has changed; it is sealed anew when it is quiet");
                (stamp, contents)
            }
            BeforeSealing::Open(stamp, contents) => (stamp, contents),
        };
        let begun = self.unsealed(place, after, stamp, contents)?;
        if begun.is_ok() {
            // Nothing is read for a manifest that could not be written.
            self.disk(Manifests::of(&base).prepare(place))?;
        }
        Ok(begun)
    }

    fn has_whole_manifest(&self, base: &Base, place: &HourPlace) -> Result<bool, CrawlError> {
        let stored = self.disk(Manifests::of(base).read(place, LARGEST_MANIFEST))?;
        Ok(stored.is_some_and(|stored| read_manifest(place, &stored.bytes).is_some()))
    }

    fn before(&self, place: &HourPlace, is_thorough: bool) -> Result<BeforeSealing, CrawlError> {
        let base = self.keeper.guard().base()?;
        let described = self.disk(Manifests::of(&base).describes(place))?;
        let Some(stamp) = self.disk(base.stamp(&place.path()))? else {
            return self.without_directory(&base, place, described);
        };
        if described == Some(stamp.ctime_ns) && (!is_thorough || self.has_whole_manifest(&base, place)?) {
            return Ok(BeforeSealing::Is(SealOutcome::WasSealed));
        }
        // The directory itself is listed, after the look at its time: on some file systems nobody tells of a change in one that is watched, and
        // the index has what lies in a bucket as well.
        self.keeper.reconcile(std::slice::from_ref(place), true)?;
        let Some(contents) = self.disk(contents_here(&base, place))? else {
            return Ok(BeforeSealing::Is(SealOutcome::NotSealed(NotSealed::Changing)));
        };
        if described.is_none_or(|described| described == UNSEALED) {
            return Ok(BeforeSealing::Open(stamp, contents));
        }
        let is_settled = changed(stamp) + SETTLED <= Timestamp::from(SystemTime::now());
        let is_same = is_settled && self.is_the_same(&base, place, &contents)?;
        Ok(if is_same { BeforeSealing::SameElsewhere(stamp) } else { BeforeSealing::Unsealed(stamp, contents) })
    }

    /// What became of an hour that has no directory.
    fn without_directory(
        &self,
        base: &Base,
        place: &HourPlace,
        described: Option<i64>,
    ) -> Result<BeforeSealing, CrawlError> {
        let is_in_bucket = self.is_in_bucket(base, place)?;
        if described.is_none_or(|described| described == UNSEALED) {
            let outcome = if is_in_bucket { SealOutcome::InBucket } else { SealOutcome::NotSealed(NotSealed::Absent) };
            return Ok(BeforeSealing::Is(outcome));
        }
        if is_in_bucket
            && let Some(stored) = self.disk(Manifests::of(base).read(place, LARGEST_MANIFEST))?
            && let Some(sealed) = read_manifest(place, &stored.bytes)
        {
            let held = self.disk(BucketManifests::of(base).read(place))?;
            if sealed.without(&held.iter().map(|(_, held)| held).collect::<Vec<_>>()).is_none() {
                return Ok(BeforeSealing::InBucket);
            }
        }
        Ok(BeforeSealing::Gone)
    }

    fn is_in_bucket(&self, base: &Base, place: &HourPlace) -> Result<bool, CrawlError> {
        Ok(!self.disk(BucketManifests::of(base).digests(place))?.is_empty())
    }

    fn unsealed(
        &self,
        place: &HourPlace,
        after: Span,
        stamp: Stamp,
        contents: HourContents,
    ) -> Result<Result<UnsealedHour, SealOutcome>, CrawlError> {
        let not = |why: NotSealed| Ok(Err(SealOutcome::NotSealed(why)));
        let now = Timestamp::from(SystemTime::now());
        if let Err(why) = is_quiet(place.hour, changed(stamp), now, after) {
            return not(why);
        }
        let ownership = self.layout.as_ref().map(|layout| layout.ownership(place));
        if !matches!(ownership, None | Some(Ownership::Everything | Ownership::Owner)) {
            return not(NotSealed::OfOthers);
        }
        let window = Window::of_hours(place.hour, place.hour);
        if let Err(why) = is_awaited(&self.keeper.index().open_holes(&place.stream, &window, MOST_HOLES)?) {
            return not(why);
        }
        if contents.is_empty() {
            return not(NotSealed::Empty);
        }
        let names = names(&contents);
        Ok(Ok(UnsealedHour {
            place: place.clone(),
            stamp,
            contents,
            names,
            done: Vec::new(),
            media: Vec::new(),
            open: ReadFile::default(),
        }))
    }

    /// Reads on, to the end if nobody stops it.
    pub(super) fn go_on(
        &self,
        hour: &mut UnsealedHour,
        room: &mut Vec<u8>,
        read: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<SealOutcome, CrawlError> {
        let not = |why: NotSealed| Ok(SealOutcome::NotSealed(why));
        let base = self.keeper.guard().base()?;
        let Some(dir) = self.disk(base.dir(&hour.place.path()))? else { return not(NotSealed::Absent) };
        while let Some((name, expected)) = hour.names.get(hour.done.len()).cloned() {
            match self.file(&dir, hour, &name, room, read)? {
                Ok(false) => return Ok(SealOutcome::Stopped),
                Ok(true) => {}
                Err(why) => return not(why),
            }
            let (file, media) = hour.open.finish(&name);
            if expected.is_some_and(|expected| expected != file.sha256) {
                return not(NotSealed::Mismatch { name });
            }
            hour.media.extend(media.map(|media| (file.name.clone(), media)));
            hour.done.push(file);
        }
        if self.disk(base.stamp(&hour.place.path()))? != Some(hour.stamp) {
            return not(NotSealed::Changing);
        }
        let (files, media) = (std::mem::take(&mut hour.done), std::mem::take(&mut hour.media));
        let manifest = HourManifest::new(hour.place.clone(), files, tombstones(&hour.contents));
        let manifest = match manifest.and_then(|manifest| manifest.with_media(media)) {
            Ok(manifest) => manifest,
            Err(error) => return not(NotSealed::Unlistable(error)),
        };
        if self.disk(Receipts::of(&base).describes(&hour.place))?.is_some() {
            // Whether what was read back from a bucket is this hour is told by its manifest, whatever times say.
            self.disk(Receipts::of(&base).date(&hour.place, UNSEALED))?;
        }
        self.disk(Manifests::of(&base).write(&hour.place, &manifest.to_bytes(), hour.stamp.ctime_ns))?;
        let sealed = SealedHour { files: manifest.files().len() as u64, bytes: manifest.bytes(), id: manifest.id() };
        tracing::info!(name: "hour_sealed", hour = %hour.place, files = sealed.files, bytes = sealed.bytes, "an hour was sealed");
        Ok(SealOutcome::Sealed(sealed))
    }

    /// Reads on in a file; true if it came to its end.
    fn file(
        &self,
        dir: &Dir,
        hour: &mut UnsealedHour,
        name: &str,
        room: &mut Vec<u8>,
        read: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Result<bool, NotSealed>, CrawlError> {
        let open = &mut hour.open;
        let done = dir.read_whole(OsStr::new(name), open.at(), room, |piece| {
            open.push(name, piece);
            read(piece.len() as u64)
        });
        match done {
            Ok(WholeFile::Read) => Ok(Ok(true)),
            Ok(WholeFile::Stopped) => Ok(Ok(false)),
            Ok(WholeFile::Absent) => Ok(Err(NotSealed::Changing)),
            Err(error) if error.is_unreadable() => {
                Ok(Err(NotSealed::Unreadable { name: name.to_owned(), why: error.to_string() }))
            }
            Err(error) => self.disk(Err(error)),
        }
    }

    /// Whether a manifest lists just these files, with their sizes, and none was written after the directory had the time that it describes: a
    /// copy of the archive, or one on another disk.
    fn is_the_same(&self, base: &Base, place: &HourPlace, contents: &HourContents) -> Result<bool, CrawlError> {
        let Some(stored) = self.disk(Manifests::of(base).read(place, LARGEST_MANIFEST))? else { return Ok(false) };
        let Some(manifest) = read_manifest(place, &stored.bytes) else { return Ok(false) };
        let Some(dir) = self.disk(base.dir(&place.path()))? else { return Ok(false) };
        let names = names(contents);
        let mut all_tombstones = tombstones(contents);
        all_tombstones.sort_unstable();
        if names.len() != manifest.files().len() || all_tombstones != manifest.tombstones() {
            return Ok(false);
        }
        for (name, _) in names {
            let listed = manifest.position(&name).and_then(|at| manifest.files().get(at));
            let found = self.disk(dir.stat_file(OsStr::new(&name)))?;
            let is_it = |meta: crate::disk::FileMeta| {
                listed.is_some_and(|listed| listed.size == meta.size)
                    && meta.mtime_ns <= stored.describes_ns.saturating_add(SETTLED.us() * 1_000)
            };
            if !found.is_some_and(is_it) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An error may mean that the disk is away: the guard is told.
    fn disk<T>(&self, done: Result<T, DiskError>) -> Result<T, CrawlError> {
        done.map_err(|error| {
            self.keeper.guard().report(&error);
            CrawlError::Disk(error)
        })
    }
}

/// The time of a manifest whose hour has changed since: no directory's.
const UNSEALED: i64 = 0;

/// The manifest of this hour that these bytes are, if they are one and whole.
fn read_manifest(place: &HourPlace, bytes: &[u8]) -> Option<HourManifest> {
    HourManifest::parse(bytes).ok().filter(|manifest| manifest.place() == place)
}

fn changed(stamp: Stamp) -> Timestamp {
    Timestamp::from_us(stamp.ctime_ns / 1_000)
}
