//! What is left of an object when the bytes go that tombstones hide, and whether it may go itself then. Pure.
//!
//! 1. A file goes if a tombstone hides it: one that lies here, or one that an object knows. But what lies here in sight is hidden by no
//!    tombstone of an object alone: whoever may write to the bucket does not decide over what this archive shows.
//! 2. What is left knows all tombstones that the object knew, and those of what went, so that it stays hidden for whoever has nothing but
//!    the bucket.
//! 3. The object may go when everything that it holds is in others that were read back, or is hidden by a tombstone that they know.

use std::collections::HashSet;

use super::manifest::{HourManifest, ManifestError, ManifestFile};
use super::name::{is_tombstone, may_be_hidden, stem, tombstone_of};

/// What is hidden in an hour, by the stems of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HiddenInHour(HashSet<Box<str>>);

impl HiddenInHour {
    /// By the names of what lies in the hour's directory, and by what objects of it know, those that are lost included.
    pub fn of<'n, 'm>(
        here: impl Iterator<Item = &'n str>,
        objects: impl IntoIterator<Item = &'m HourManifest>,
    ) -> Self {
        let (tombstones, files): (Vec<&str>, Vec<&str>) = here.partition(|name| is_tombstone(name));
        let in_sight: HashSet<&str> = files.into_iter().filter(|name| may_be_hidden(name)).map(stem).collect();
        let told = objects.into_iter().flat_map(HourManifest::tombstones).map(|name| stem(name));
        let told = told.filter(|stem| !in_sight.contains(stem));
        Self(tombstones.into_iter().map(stem).chain(told).map(Into::into).collect())
    }

    /// Without those of these files.
    #[must_use]
    pub fn but(&self, files: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut left = self.0.clone();
        for file in files {
            left.remove(stem(file.as_ref()));
        }
        Self(left)
    }

    /// Whether a file is hidden.
    pub fn hide(&self, file: &str) -> bool {
        may_be_hidden(file) && self.0.contains(stem(file))
    }
}

/// An object without what is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedObject {
    /// What goes.
    pub goes: Vec<ManifestFile>,
    /// What is left.
    pub left: HourManifest,
}

impl PurgedObject {
    /// `None` if nothing in it is hidden.
    pub fn of(object: &HourManifest, hidden: &HiddenInHour) -> Result<Option<Self>, ManifestError> {
        let (goes, stays): (Vec<_>, Vec<_>) = object.files().iter().cloned().partition(|file| hidden.hide(&file.name));
        if goes.is_empty() {
            return Ok(None);
        }
        let mut tombstones = object.tombstones().to_vec();
        tombstones.extend(goes.iter().map(|file| tombstone_of(&file.name).into()));
        tombstones.sort_unstable();
        tombstones.dedup();
        let left = HourManifest::new(object.place().clone(), stays, tombstones)?;
        let said = object.files_and_media().filter(|(file, _)| !hidden.hide(&file.name));
        let left = left.with_media(said.filter_map(|(file, line)| Some((file.name.clone(), line?.clone()))))?;
        Ok(Some(Self { goes, left }))
    }

    /// Bytes of what goes.
    pub fn bytes(&self) -> u64 {
        self.goes.iter().map(|file| file.size).sum()
    }

    /// Whether these know all that is left, which is no file then.
    pub fn is_known_to(&self, others: &[&HourManifest]) -> bool {
        self.left.files().is_empty() && self.left.tombstones().iter().all(|tombstone| know(others, tombstone))
    }
}

/// The first name in an object for the sake of which it must stay; `None` if it may go: all that it holds is in one of these others with its
/// size and hash, or hidden, also for whoever has nothing but them.
pub fn held_by_no_other<'o>(
    object: &'o HourManifest,
    others: &[&HourManifest],
    hidden: &HiddenInHour,
) -> Option<&'o str> {
    let may_go = |file: &&ManifestFile| {
        others.iter().any(|other| other.has(file))
            || (hidden.hide(&file.name) && know(others, &tombstone_of(&file.name)))
    };
    let file = object.files().iter().find(|file| !may_go(file)).map(|file| &*file.name);
    file.or_else(|| object.tombstones().iter().find(|tombstone| !know(others, tombstone)).map(AsRef::as_ref))
}

fn know(others: &[&HourManifest], tombstone: &str) -> bool {
    others.iter().any(|other| other.tombstones().binary_search_by(|known| (**known).cmp(tombstone)).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::{Edges, Hash, HourPlace, MediaLine};

    fn name(byte: u8) -> String {
        format!("{byte:02}:00-2.0-full-{}.ts", Hash([byte; 32]))
    }

    fn file(byte: u8) -> ManifestFile {
        ManifestFile { name: name(byte).into(), size: 9, sha256: Hash([byte; 32]) }
    }

    fn manifest(files: &[u8], tombstones: &[u8]) -> HourManifest {
        let place = HourPlace::parse("c/source/2024-01-01T00").unwrap();
        let hides = tombstones.iter().map(|byte| tombstone_of(&name(*byte)).into()).collect();
        HourManifest::new(place, files.iter().map(|byte| file(*byte)).collect(), hides).unwrap()
    }

    fn hidden(here: &[String], objects: &[&HourManifest]) -> HiddenInHour {
        HiddenInHour::of(here.iter().map(String::as_str), objects.iter().copied())
    }

    #[test]
    fn what_lies_here_in_sight_is_hidden_by_no_tombstone_of_an_object() {
        let told = manifest(&[], &[1, 2]);
        let found = hidden(&[name(1), tombstone_of(&name(3)), name(3), "odd name.ts".to_owned()], &[&told]);
        let hides: Vec<u8> = (0..5).filter(|byte| found.hide(&name(*byte))).collect();
        assert_eq!(hides, [2, 3]);
        assert!(!found.hide("odd name.ts") && !found.but([name(2)]).hide(&name(2)));
    }

    #[test]
    fn what_is_left_hides_what_went_and_nothing_goes_that_others_do_not_hold() {
        let object = manifest(&[1, 2, 3], &[7]);
        let stems = hidden(&[tombstone_of(&name(2))], &[]);
        let purged = PurgedObject::of(&object, &stems).unwrap().unwrap();
        assert_eq!((&purged.goes[..], &purged.left), (&[file(2)][..], &manifest(&[1, 3], &[2, 7])));
        assert_eq!(PurgedObject::of(&purged.left, &stems), Ok(None), "done once, there is nothing to do");
        assert_eq!(held_by_no_other(&object, &[&purged.left], &stems), None);
        // Without the tombstone, without a file, with a file of another hash, and where it is not hidden any more.
        let other = ManifestFile { sha256: Hash([9; 32]), ..file(3) };
        let changed =
            HourManifest::new(object.place().clone(), vec![file(1), other], purged.left.tombstones().to_vec());
        for (left, by, stays) in [
            (manifest(&[1, 3], &[7]), &stems, name(2)),
            (manifest(&[1], &[2, 7]), &stems, name(3)),
            (changed.unwrap(), &stems, name(3)),
            (manifest(&[1, 3], &[2]), &stems, tombstone_of(&name(7))),
            (purged.left.clone(), &HiddenInHour::default(), name(2)),
        ] {
            assert_eq!(held_by_no_other(&object, &[&left], by), Some(&*stays));
        }
        assert!(held_by_no_other(&object, &[], &stems).is_some());
    }

    #[test]
    fn what_is_left_says_of_its_segments_what_the_object_said() {
        let line =
            |byte: u8| (name(byte).into(), MediaLine::new(Edges { independent: Some(byte == 1), ..Edges::default() }));
        let said = |files: &[u8], hides: &[u8]| {
            manifest(files, hides).with_media(files.iter().map(|byte| line(*byte))).unwrap()
        };
        let purged =
            PurgedObject::of(&said(&[1, 2, 3], &[]), &hidden(&[tombstone_of(&name(2))], &[])).unwrap().unwrap();
        assert_eq!(purged.left, said(&[1, 3], &[2]));
    }

    #[test]
    fn an_object_of_which_nothing_is_left_that_others_do_not_know_needs_none_in_its_place() {
        let stems = hidden(&[tombstone_of(&name(1))], &[]);
        let of = |object: &HourManifest| PurgedObject::of(object, &stems).unwrap().unwrap();
        let all = of(&manifest(&[1], &[5]));
        let (one, other) = (manifest(&[2], &[1]), manifest(&[], &[5]));
        assert!(all.is_known_to(&[&one, &other]) && !all.is_known_to(&[&one]) && !all.is_known_to(&[]));
        assert!(!of(&manifest(&[1, 2], &[])).is_known_to(&[&one]), "a file is left");
    }

    proptest! {
        #[test]
        fn whatever_is_purged_nothing_in_sight_is_lost_and_nothing_hidden_is_held(
            objects in prop::collection::vec((prop::collection::btree_set(0_u8..12, 0..8), prop::collection::btree_set(0_u8..12, 0..4)), 1..4),
            here in prop::collection::btree_map(0_u8..12, any::<bool>(), 0..8),
        ) {
            let of = |(files, tombstones): &(std::collections::BTreeSet<u8>, std::collections::BTreeSet<u8>)| {
                let files: Vec<u8> = files.difference(tombstones).copied().collect();
                manifest(&files, &tombstones.iter().copied().collect::<Vec<_>>())
            };
            let objects: Vec<HourManifest> = objects.iter().map(of).collect();
            let names: Vec<String> = here.iter().map(|(byte, is_hidden)| {
                if *is_hidden { tombstone_of(&name(*byte)) } else { name(*byte) }
            }).collect();
            let stems = hidden(&names, &objects.iter().collect::<Vec<_>>());
            let after: Vec<HourManifest> = objects.iter().map(|object| {
                let purged = PurgedObject::of(object, &stems).unwrap();
                let left = purged.map_or_else(|| object.clone(), |purged| purged.left);
                assert_eq!(held_by_no_other(object, &[&left], &stems), None);
                left
            }).collect();
            let holds = |among: &[HourManifest], byte: u8| among.iter().any(|object| object.position(&name(byte)).is_some());
            for byte in 0..12 {
                let is_kept = holds(&objects, byte) && !stems.hide(&name(byte));
                prop_assert_eq!(holds(&after, byte), is_kept, "{}", byte);
            }
            prop_assert_eq!(&hidden(&names, &after.iter().collect::<Vec<_>>()), &stems, "what was hidden is");
        }
    }
}
