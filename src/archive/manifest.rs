//! The manifest of a sealed hour: which files it has, with their sizes and hashes, in a form that `sha256sum -c` takes.
//!
//! It says nothing that two nodes could see differently, so that the same files make the same manifest, to the byte, and its SHA-256 can
//! name the object that they are packed into. The form is described in `docs/archive-format.md`; it is written and read in the
//! files beside.

use std::collections::HashSet;

use super::media_line::MediaLine;
use super::name::{is_tombstone, leading_time_us, may_be_hidden, stem};
use super::object_trailer::LARGEST_MANIFEST;
use super::quantity::size as shown_size;
use super::segment::{Hash, LARGEST_FILE};
use super::tar_member::BLOCK;
use super::{FileName, FilePlace, HourPlace, parse_file_name};

/// Files and tombstones of an hour, at most: fifty times what a recorder writes.
pub const MOST_ENTRIES: usize = 100_000;
/// Bytes of an entry beside its path, at most: two numbers of 20 digits, a hash, and what stands between them.
const ENTRY_BYTES: u64 = 160;

/// A file of a sealed hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// The name, to the byte.
    pub name: Box<str>,
    /// Bytes.
    pub size: u64,
    /// Of the content, computed from the bytes.
    pub sha256: Hash,
}

/// What a sealed hour holds: files by start and name, tombstones by name, nothing twice, and no file that one of the tombstones hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourManifest {
    place: HourPlace,
    pub(super) files: Vec<ManifestFile>,
    /// What is said of the media in each of the files.
    pub(super) media: Vec<Option<MediaLine>>,
    pub(super) tombstones: Vec<Box<str>>,
}

/// What no manifest can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A name that no visible file has.
    #[error("'{}' is no name of a visible file, which has 1 to 255 bytes, no slash, and no dot in front", super::escape::shown(.0))]
    Name(Box<str>),
    /// A tombstone among the files, or another file among the tombstones.
    #[error("'{}' is listed as a {listed_as}, which by the end of its name it is not", super::escape::shown(name))]
    Kind {
        /// The name.
        name: Box<str>,
        /// What it is listed as.
        listed_as: &'static str,
    },
    /// Two of one name.
    #[error("'{}' is listed twice", super::escape::shown(.0))]
    Twice(Box<str>),
    /// A tombstone hides it.
    #[error("'{}' is listed although a tombstone hides it", super::escape::shown(.0))]
    Hidden(Box<str>),
    /// Larger than any file that is read.
    #[error("'{}' has {}, and no file of an hour may have more than {}", super::escape::shown(name), shown_size(*size), shown_size(LARGEST_FILE))]
    Size {
        /// The name.
        name: Box<str>,
        /// Bytes.
        size: u64,
    },
    /// A line about media that nobody could have written.
    #[error("'{}' cannot have such media: only segments of video have any, and none is smaller than its initialisation segment", super::escape::shown(.0))]
    Media(Box<str>),
    /// More than fits.
    #[error(
        "the hour has {0} files and tombstones; a manifest has at most {MOST_ENTRIES}, and at most {LARGEST_MANIFEST} bytes"
    )]
    TooMany(usize),
}

impl HourManifest {
    /// Of these files and names of tombstones, in any order. Whoever lists them leaves out what no listing shows, and what is hidden.
    pub fn new(
        place: HourPlace,
        mut files: Vec<ManifestFile>,
        mut tombstones: Vec<Box<str>>,
    ) -> Result<Self, ManifestError> {
        let entries = files.len() + tombstones.len();
        let names = || files.iter().map(|file| &file.name).chain(&tombstones);
        if entries > MOST_ENTRIES || most_bytes(&place, names()) > LARGEST_MANIFEST {
            return Err(ManifestError::TooMany(entries));
        }
        names().try_for_each(|name| check_name(&place, name))?;
        files.iter().try_for_each(check_file)?;
        if let Some(name) = tombstones.iter().find(|name| !is_tombstone(name)) {
            return Err(ManifestError::Kind { name: name.clone(), listed_as: "tombstone" });
        }
        files.sort_unstable_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        tombstones.sort_unstable();
        let doubled_file = files.windows(2).find(|pair| pair[0].name == pair[1].name).map(|pair| &pair[0].name);
        let doubled = tombstones.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]);
        if let Some(name) = doubled_file.or(doubled) {
            return Err(ManifestError::Twice(name.clone()));
        }
        let stems: HashSet<&str> = tombstones.iter().map(|name| stem(name)).collect();
        if let Some(file) = files.iter().find(|file| may_be_hidden(&file.name) && stems.contains(stem(&file.name))) {
            return Err(ManifestError::Hidden(file.name.clone()));
        }
        Ok(Self { media: vec![None; files.len()], place, files, tombstones })
    }

    /// Bytes of its text without what is said of media, at most.
    pub(super) fn most_bytes(&self) -> u64 {
        most_bytes(&self.place, self.files.iter().map(|file| &file.name).chain(&self.tombstones))
    }

    /// The hour.
    pub fn place(&self) -> &HourPlace {
        &self.place
    }

    /// The files, by the time that their names begin with, those without one last; then by the bytes of the names.
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// The names of the tombstones, by their bytes.
    pub fn tombstones(&self) -> &[Box<str>] {
        &self.tombstones
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Where in the order a file is; `None` if it is not in it.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.files.binary_search_by(|file| order(&file.name).cmp(&order(name))).ok()
    }

    /// What of it none of these holds: files by name, size and hash, and tombstones. A file that one of their tombstones hides is nothing
    /// new. `None` if they hold all of it.
    #[must_use]
    pub fn without(&self, held: &[&Self]) -> Option<Self> {
        if held.is_empty() {
            return Some(self.clone());
        }
        let tombstones: HashSet<&str> = held.iter().flat_map(|held| &held.tombstones).map(AsRef::as_ref).collect();
        let hidden: HashSet<&str> = self.hidden_by(held).map(|file| &*file.name).collect();
        let is_hidden = |file: &ManifestFile| hidden.contains(&*file.name);
        // What is said of media makes no file another one.
        let is_new = |file: &ManifestFile| !is_hidden(file) && !held.iter().any(|held| held.has(file));
        let kept = self.files.iter().zip(&self.media).filter(|(file, _)| is_new(file));
        // A part of what is in order is in order, and nothing in it is hidden.
        let (files, media) = kept.map(|(file, line)| (file.clone(), line.clone())).unzip();
        let place = self.place.clone();
        let hiding = self.tombstones.iter().filter(|name| !tombstones.contains(name.as_ref())).cloned().collect();
        let new = Self { place, files, media, tombstones: hiding };
        (!new.files.is_empty() || !new.tombstones.is_empty()).then_some(new)
    }

    /// The first file whose name says another SHA-256: whoever seals an hour takes none, and whoever asks for a segment by its name asks for those bytes.
    pub fn misnamed(&self) -> Option<&ManifestFile> {
        let is_other = |file: &&ManifestFile| matches!(parse_file_name(&file.name), FileName::Understood(key) if !key.tombstone && key.hash != file.sha256);
        self.files.iter().find(is_other)
    }

    /// The files of it that a tombstone of one of these hides.
    pub fn hidden_by(&self, held: &[&Self]) -> impl Iterator<Item = &ManifestFile> {
        let stems: HashSet<Box<str>> =
            held.iter().flat_map(|held| &held.tombstones).map(|name| stem(name).into()).collect();
        self.files.iter().filter(move |file| may_be_hidden(&file.name) && stems.contains(stem(&file.name)))
    }

    /// Whether another one would have more in it without this: one of its files or tombstones is in this one, or a tombstone in here hides it.
    pub fn bears_on(&self, other: &Self) -> bool {
        other.without(&[self]).as_ref() != Some(other)
    }

    /// Whether this file is in it, with this size and hash.
    pub(super) fn has(&self, file: &ManifestFile) -> bool {
        self.position(&file.name).and_then(|at| self.files.get(at)) == Some(file)
    }

    /// Where it lies relative to the base directory, and in the tar: `.gapless/sealed/CHANNEL/QUALITY/HOUR.sha256`.
    pub fn path(&self) -> String {
        manifest_path(&self.place)
    }

    /// The path of one of the files relative to the base directory.
    pub fn path_of(&self, file: &ManifestFile) -> String {
        format!("{}/{}", self.place, file.name)
    }
}

/// Where the manifest of an hour lies relative to the base directory.
pub fn manifest_path(place: &HourPlace) -> String {
    format!(".gapless/sealed/{place}.sha256")
}

/// Bytes of a text with these names, at most: each byte of a path may be escaped, which takes two.
fn most_bytes<'n>(place: &HourPlace, names: impl Iterator<Item = &'n Box<str>>) -> u64 {
    let hour_bytes = place.to_string().len() as u64;
    let entries: u64 = names.map(|name| 2 * (hour_bytes + name.len() as u64) + ENTRY_BYTES).sum();
    entries + 4 * BLOCK + 2 * hour_bytes
}

/// By the time that the name begins with; without one it comes last.
fn order(name: &str) -> (u32, &str) {
    (leading_time_us(name).unwrap_or(u32::MAX), name)
}

fn check_name(place: &HourPlace, name: &str) -> Result<(), ManifestError> {
    let is_name = FilePlace::parse(&format!("{place}/{name}")).is_ok_and(|read| *read.name == *name);
    if is_name { Ok(()) } else { Err(ManifestError::Name(name.into())) }
}

fn check_file(file: &ManifestFile) -> Result<(), ManifestError> {
    if is_tombstone(&file.name) {
        return Err(ManifestError::Kind { name: file.name.clone(), listed_as: "file" });
    }
    if file.size > LARGEST_FILE {
        return Err(ManifestError::Size { name: file.name.clone(), size: file.size });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_manifests::any_hour;
    use crate::archive::test_names::hash_text;
    use proptest::prelude::*;

    fn place() -> HourPlace {
        HourPlace::parse("desertbus/source/2019-11-13T02").unwrap()
    }

    fn file(name: &str) -> ManifestFile {
        ManifestFile { name: name.into(), size: 1_000, sha256: Hash([1; 32]) }
    }

    fn lines(manifest: &HourManifest) -> Vec<(Box<str>, MediaLine)> {
        let said = manifest.files_and_media();
        said.filter_map(|(file, line)| Some((file.name.clone(), line?.clone()))).collect()
    }

    fn refused(files: &[&str], tombstones: &[&str]) -> String {
        let tombstones = tombstones.iter().map(|name| (*name).into()).collect();
        let files = files.iter().map(|name| file(name)).collect();
        HourManifest::new(place(), files, tombstones).unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn the_order_in_which_files_are_given_makes_no_difference(hour in any_hour(), seed: u64) {
            let manifest = hour.manifest();
            let (mut files, mut tombstones) = (manifest.files().to_vec(), manifest.tombstones().to_vec());
            let shuffled = |name: &str| seed.wrapping_mul(name.len() as u64 + u64::from(name.as_bytes()[0])) % 1_009;
            files.sort_by_key(|file| shuffled(&file.name));
            tombstones.sort_by_key(|name| shuffled(name));
            let again = HourManifest::new(hour.place.clone(), files, tombstones).unwrap();
            let again = again.with_media(lines(&manifest)).unwrap();
            prop_assert_eq!(again.to_bytes(), manifest.to_bytes());
            for (at, file) in manifest.files().iter().enumerate() {
                prop_assert_eq!(manifest.position(&file.name), Some(at));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_new_and_what_is_held_are_all_of_an_hour_and_none_of_it_twice(hour in any_hour(), picks: Vec<u8>) {
            let all = hour.manifest();
            let picked = |at: usize| picks.get(at).copied().unwrap_or_default();
            // Some of it in two objects, with a file each that has gone here since.
            let part = |of: u8| {
                let files = all.files().iter().enumerate().filter(|(at, _)| picked(*at) % 4 == of);
                let mut files: Vec<ManifestFile> = files.map(|(_, file)| file.clone()).collect();
                files.push(file(&format!("gone {of}.ts")));
                let tombstones = all.tombstones().iter().enumerate().filter(|(at, _)| picked(*at) % 3 == of);
                HourManifest::new(hour.place.clone(), files, tombstones.map(|(_, name)| name.clone()).collect()).unwrap()
            };
            let held = [part(1), part(2)];
            let held = [&held[0], &held[1]];
            let new = all.without(&held);
            let objects = || held.into_iter().chain(&new);
            for listed in all.files() {
                prop_assert_eq!(objects().filter(|object| object.has(listed)).count(), 1, "{:?}", listed);
            }
            for listed in all.tombstones() {
                prop_assert_eq!(objects().filter(|object| object.tombstones.contains(listed)).count(), 1, "{:?}", listed);
            }
            if let Some(new) = &new {
                let files = new.files().to_vec();
                let again = HourManifest::new(hour.place.clone(), files, new.tombstones().to_vec()).unwrap();
                let again = again.with_media(lines(new)).unwrap();
                prop_assert_eq!(&again, new, "it is a manifest as any");
                let with_new = [held[0], held[1], new];
                prop_assert_eq!(all.without(&with_new), None);
                prop_assert!(new.bears_on(&all));
            }
            prop_assert_eq!(all.without(&[]).unwrap().id(), all.id(), "while nothing is held it is the hour itself");
            prop_assert_eq!(all.without(&[&all]), None);
        }
    }

    #[test]
    fn a_file_that_has_changed_is_new_and_one_that_a_held_tombstone_hides_is_not() {
        let made = |files: Vec<ManifestFile>, tombstones: &[&str]| {
            let tombstones = tombstones.iter().map(|name| (*name).into()).collect();
            HourManifest::new(place(), files, tombstones).unwrap()
        };
        let names = |files: &[&str]| files.iter().map(|name| file(name)).collect::<Vec<_>>();
        let first = made(names(&["a.ts", "b.ts", "c.ts"]), &[]);
        let other = ManifestFile { sha256: Hash([2; 32]), ..file("a.ts") };
        let longer = ManifestFile { size: 1_001, ..file("b.ts") };
        let new = made(vec![other.clone(), longer.clone(), file("c.ts")], &[]).without(&[&first]).unwrap();
        assert_eq!(new.files(), [other, longer]);
        let hiding = made(Vec::new(), &["a.tombstone"]);
        assert_eq!(made(names(&["a.ts"]), &[]).without(&[&hiding]), None);
        // A tombstone that came later is an object without a file.
        let hidden = made(names(&["b.ts", "c.ts"]), &["a.tombstone"]).without(&[&first]).unwrap();
        assert!(hidden.files().is_empty() && hidden.tombstones() == ["a.tombstone".into()]);
        assert!(
            hidden.bears_on(&made(names(&["a.ts", "z.ts"]), &[])) && !hidden.bears_on(&made(names(&["z.ts"]), &[]))
        );
    }

    #[test]
    fn files_are_listed_by_start_and_name_and_those_without_a_start_last() {
        let h = hash_text(1);
        let names = [
            "garbage.ts".to_owned(),
            format!("10:00.000-2.0-full-{h}.ts"),
            format!("09:59.999999-10-full-{h}.mp4"),
            format!("10:00-{h}.json"),
            format!("10:00-2.0-partial-{h}.ts"),
        ];
        let files = names.iter().map(|name| file(name)).collect();
        let manifest = HourManifest::new(place(), files, Vec::new()).unwrap();
        let listed: Vec<&str> = manifest.files().iter().map(|file| &*file.name).collect();
        assert_eq!(listed, [&names[2], &names[4], &names[3], &names[1], &names[0]]);
        assert_eq!(manifest.offsets(), [512, 2_048, 3_584, 5_120, 6_656, 8_192]);
        assert_eq!(manifest.bytes(), 5_000);
    }

    #[test]
    fn what_no_hour_can_hold_is_refused_by_name() {
        let long = "x".repeat(256);
        for name in ["", ".hidden.ts", "../x.ts", "a/b.ts", "a\0b.ts", &long] {
            assert!(refused(&[name], &[]).contains("no name of a visible file"), "{name}");
        }
        assert_eq!(refused(&["x.ts", "a.ts", "x.ts"], &[]), "'x.ts' is listed twice");
        assert_eq!(refused(&[], &["x.tombstone", "x.tombstone"]), "'x.tombstone' is listed twice");
        assert_eq!(refused(&["x.ts"], &["x.tombstone"]), "'x.ts' is listed although a tombstone hides it");
        assert!(refused(&["x.tombstone"], &[]).contains("listed as a file"));
        assert!(refused(&[], &["x.ts"]).contains("listed as a tombstone"));
        let large = ManifestFile { size: LARGEST_FILE + 1, ..file("x.ts") };
        let error = HourManifest::new(place(), vec![large], Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "'x.ts' has 1.00 GiB, and no file of an hour may have more than 1.00 GiB");
        let many = (0..=MOST_ENTRIES).map(|number| file(&format!("{number}.ts"))).collect();
        let too_many = ManifestError::TooMany(MOST_ENTRIES + 1);
        assert_eq!(HourManifest::new(place(), many, Vec::new()), Err(too_many));
    }

    #[test]
    fn the_largest_manifest_is_no_larger_than_is_read() {
        let place = HourPlace::parse(&format!("{0}/{0}/2019-11-13T02", "\\".repeat(255))).unwrap();
        let named = |number: usize| file(&format!("{number:05}{}.ts", "\\".repeat(247)));
        let made = |count: usize| HourManifest::new(place.clone(), (0..count).map(named).collect(), Vec::new());
        let entry = 2 * (place.to_string().len() + named(0).name.len()) as u64 + ENTRY_BYTES;
        let fits = usize::try_from(LARGEST_MANIFEST / entry).unwrap() - 3;
        assert_eq!(made(fits + 3), Err(ManifestError::TooMany(fits + 3)));
        let bytes = made(fits).unwrap().to_bytes();
        assert!(bytes.len() as u64 <= LARGEST_MANIFEST && bytes.len() as u64 > LARGEST_MANIFEST / 2, "{}", bytes.len());
    }
}
