//! What one hour directory holds, sorted; which of it is visible; and how two such states differ.
//!
//! The same structure is filled from the index and from a directory, so that both are compared and listed by one piece of
//! code.

use std::collections::HashSet;

use super::container::FileEnding;
use super::name::{self, FileName, parse_file_name};
use super::probe::is_probe;
use super::segment::{SegmentFile, SegmentKey, Spelling};

/// A file that is listed but that the grammar does not understand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OddFile {
    /// The name, to the byte.
    pub name: Box<str>,
    /// Bytes.
    pub size: u64,
}

impl OddFile {
    /// Whether it ends as segments do, and is counted as bad.
    pub fn is_bad_segment(&self) -> bool {
        matches!(FileEnding::of(&*self.name), Some(FileEnding::Segment(_)))
    }

    /// Whether it is a tombstone.
    pub fn is_tombstone(&self) -> bool {
        name::is_tombstone(&self.name)
    }
}

/// Any file of an hour that is ours to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyFile {
    /// The grammar understands it.
    Segment(SegmentFile),
    /// It does not.
    Odd(OddFile),
}

impl AnyFile {
    /// Reads a name; `None` for names that are never listed.
    pub fn read(name: &str, size: u64) -> Option<Self> {
        match parse_file_name(name) {
            FileName::Understood(key) if is_probe(&key) => None,
            FileName::Understood(key) => {
                let exact = (key.spelling == Spelling::EXACT).then(|| name.into());
                Some(Self::Segment(SegmentFile { key, size, exact }))
            }
            FileName::Odd(_) => Some(Self::Odd(OddFile { name: name.into(), size })),
            FileName::Temporary | FileName::Foreign => None,
        }
    }

    /// The name, to the byte.
    pub fn name(&self) -> String {
        match self {
            Self::Segment(file) => file.name(),
            Self::Odd(file) => file.name.to_string(),
        }
    }

    /// Microseconds after the start of the hour, of a name that its key gives back; `None` for odd ones.
    pub fn ordinary_start_us(&self) -> Option<u32> {
        match self {
            Self::Segment(SegmentFile { key, exact: None, .. }) => Some(key.start_us),
            _ => None,
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Segment(file) => file.size,
            Self::Odd(file) => file.size,
        }
    }
}

/// A difference between two states of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HourChange {
    /// This file is there, with this size.
    Put(AnyFile),
    /// This file is gone.
    Remove(AnyFile),
}

impl HourChange {
    /// The file concerned.
    pub fn file(&self) -> &AnyFile {
        match self {
            Self::Put(file) | Self::Remove(file) => file,
        }
    }
}

/// The listed files of one hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourContents {
    files: Vec<SegmentFile>,
    odd: Vec<OddFile>,
}

impl HourContents {
    /// From any files, in any order.
    pub fn new(mut files: Vec<SegmentFile>, mut odd: Vec<OddFile>) -> Self {
        if !files.is_sorted_by(|a, b| (&a.key, &a.exact) < (&b.key, &b.exact)) {
            files.sort_unstable_by(|a, b| (&a.key, &a.exact).cmp(&(&b.key, &b.exact)));
            files.dedup_by(|a, b| a.key == b.key && a.exact == b.exact);
        }
        odd.sort_unstable();
        odd.dedup_by(|a, b| a.name == b.name);
        Self { files, odd }
    }

    /// From names and sizes, such as a directory gives them; names that are never listed are left out.
    pub fn from_names<'a>(names: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let (mut files, mut odd) = (Vec::new(), Vec::new());
        for (name, size) in names {
            match AnyFile::read(name, size) {
                Some(AnyFile::Segment(file)) => files.push(file),
                Some(AnyFile::Odd(file)) => odd.push(file),
                None => {}
            }
        }
        Self::new(files, odd)
    }

    /// All understood files, tombstones and hidden ones included, by start time.
    pub fn files(&self) -> &[SegmentFile] {
        &self.files
    }

    /// All files that are not understood, by name.
    pub fn odd(&self) -> &[OddFile] {
        &self.odd
    }

    /// How many files there are, hidden ones included.
    pub fn len(&self) -> usize {
        self.files.len() + self.odd.len()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.odd.is_empty()
    }

    /// What the tombstones of this hour hide.
    pub fn hidden(&self) -> HiddenStems<'_> {
        HiddenStems::new(self)
    }

    /// The understood files that are not hidden by a tombstone and are none themselves, by start time.
    pub fn visible(&self) -> impl Iterator<Item = &SegmentFile> {
        self.visible_at().map(|(_, file)| file)
    }

    /// The same, each with its place among the understood files.
    pub(super) fn visible_at(&self) -> impl Iterator<Item = (usize, &SegmentFile)> {
        let hidden = self.hidden();
        self.files.iter().enumerate().filter(move |(_, file)| !file.key.tombstone && !hidden.hides(file))
    }

    /// All understood files.
    pub(super) fn into_files(self) -> Vec<SegmentFile> {
        self.files
    }

    /// Calls `each` with every name that a listing shows: by start time and name, those not understood last.
    pub fn for_each_listed(&self, tombstones: bool, mut each: impl FnMut(&str)) {
        let hidden = self.hidden();
        let listed = |file: &&SegmentFile| if file.key.tombstone { tombstones } else { !hidden.hides(file) };
        let mut names: Vec<String> = Vec::new();
        let mut used = 0;
        let mut group_start = None;
        for file in self.files.iter().filter(listed) {
            if group_start != Some(file.key.start_us) {
                flush(&mut names, &mut used, &mut each);
                group_start = Some(file.key.start_us);
            }
            if used == names.len() {
                names.push(String::with_capacity(80));
            }
            names[used].clear();
            file.push_name(&mut names[used]);
            used += 1;
        }
        flush(&mut names, &mut used, &mut each);
        for file in &self.odd {
            if if file.is_tombstone() { tombstones } else { !hidden.hides_odd(file) } {
                each(&file.name);
            }
        }
    }

    /// The listed names.
    pub fn listed(&self, tombstones: bool) -> Vec<String> {
        let mut names = Vec::with_capacity(self.len());
        self.for_each_listed(tombstones, |name| names.push(name.to_owned()));
        names
    }
}

fn flush(names: &mut [String], used: &mut usize, each: &mut impl FnMut(&str)) {
    names[..*used].sort_unstable();
    names[..*used].iter().for_each(|name| each(name));
    *used = 0;
}

/// The stems that tombstones of one hour hide.
#[derive(Debug)]
pub struct HiddenStems<'a> {
    keys: HashSet<SegmentKey>,
    stems: HashSet<&'a str>,
}

impl<'a> HiddenStems<'a> {
    fn new(contents: &'a HourContents) -> Self {
        let mut hidden = Self { keys: HashSet::new(), stems: HashSet::new() };
        for file in contents.files.iter().filter(|file| file.key.tombstone) {
            match &file.exact {
                Some(exact) => hidden.stems.insert(name::stem(exact)),
                None => hidden.keys.insert(file.key),
            };
        }
        hidden.stems.extend(contents.odd.iter().filter(|file| file.is_tombstone()).map(|file| name::stem(&file.name)));
        hidden
    }

    /// Whether this file, which is no tombstone, has one.
    pub fn hides(&self, file: &SegmentFile) -> bool {
        match &file.exact {
            Some(exact) => self.stems.contains(name::stem(exact)),
            None => !self.keys.is_empty() && self.keys.contains(&file.key.as_tombstone()),
        }
    }

    /// Whether this file, which is no tombstone, has one.
    pub fn hides_odd(&self, file: &OddFile) -> bool {
        let stem = name::stem(&file.name);
        if self.stems.contains(stem) {
            return true;
        }
        // The stem may be understood although the file, by its extension, is not: a `.json` with a segment's stem.
        !self.keys.is_empty()
            && matches!(parse_file_name(&name::tombstone_of(&file.name)), FileName::Understood(key) if self.keys.contains(&key))
    }
}

/// What has to be done to `old` to make it `new`.
pub fn diff(old: &HourContents, new: &HourContents) -> Vec<HourChange> {
    let mut changes = Vec::new();
    merge(
        &old.files,
        &new.files,
        |a, b| (&a.key, &a.exact).cmp(&(&b.key, &b.exact)),
        |a, b| a.size == b.size,
        |file| AnyFile::Segment(file.clone()),
        &mut changes,
    );
    merge(
        &old.odd,
        &new.odd,
        |a, b| a.name.cmp(&b.name),
        |a, b| a.size == b.size,
        |file| AnyFile::Odd(file.clone()),
        &mut changes,
    );
    changes
}

fn merge<T>(
    old: &[T],
    new: &[T],
    order: impl Fn(&T, &T) -> std::cmp::Ordering,
    same: impl Fn(&T, &T) -> bool,
    any: impl Fn(&T) -> AnyFile,
    changes: &mut Vec<HourChange>,
) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let ordering = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => order(a, b),
        };
        match ordering {
            std::cmp::Ordering::Less => changes.extend(old.next().map(|file| HourChange::Remove(any(file)))),
            std::cmp::Ordering::Greater => changes.extend(new.next().map(|file| HourChange::Put(any(file)))),
            std::cmp::Ordering::Equal => {
                if let (Some(a), Some(b)) = (old.next(), new.next())
                    && !same(a, b)
                {
                    changes.push(HourChange::Put(any(b)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::{any_name, hash_text};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The rules of the specification over plain strings, the slow way.
    fn model_listing(names: &BTreeSet<String>, tombstones: bool) -> BTreeSet<String> {
        let hidden_stems: BTreeSet<&str> = names.iter().filter_map(|name| name.strip_suffix(".tombstone")).collect();
        names
            .iter()
            .filter(|name| {
                let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
                if name.starts_with('.') || stem.split('-').nth(2) == Some("temp") && stem.contains(':') {
                    return false;
                }
                match extension {
                    "ts" | "json" => !hidden_stems.contains(stem),
                    "tombstone" => tombstones,
                    _ => false,
                }
            })
            .cloned()
            .collect()
    }

    proptest! {
        #[test]
        fn listings_are_what_the_rules_say(names in prop::collection::btree_set(any_name(), 0..40), tombstones: bool) {
            let contents = HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
            let listed = contents.listed(tombstones);
            prop_assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), model_listing(&names, tombstones));
            prop_assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len());
        }

        #[test]
        fn a_difference_leads_from_one_state_to_the_other(
            old in prop::collection::btree_map(any_name(), 0..4_u64, 0..30),
            new in prop::collection::btree_map(any_name(), 0..4_u64, 0..30),
        ) {
            let contents = |map: &BTreeMap<String, u64>| HourContents::from_names(map.iter().map(|(name, size)| (name.as_str(), *size)));
            let (a, b) = (contents(&old), contents(&new));
            let flat = |state: &HourContents| -> BTreeMap<String, u64> {
                state.files().iter().map(|file| (file.name(), file.size))
                    .chain(state.odd().iter().map(|file| (file.name.to_string(), file.size))).collect()
            };
            let mut state = flat(&a);
            for change in diff(&a, &b) {
                match change {
                    HourChange::Put(file) => { prop_assert_ne!(state.insert(file.name(), file.size()), Some(file.size())); }
                    HourChange::Remove(file) => { prop_assert!(state.remove(&file.name()).is_some()); }
                }
            }
            prop_assert_eq!(state, flat(&b));
        }
    }

    #[test]
    fn names_are_listed_by_start_then_name_and_odd_ones_last() {
        let h = hash_text(1);
        let names = [
            format!("10:00-2.0-partial-{h}.ts"),
            format!("10:00.000-2.0-full-{h}.ts"),
            format!("09:59.999999-10-full-{h}.ts"),
            "garbage.ts".to_owned(),
            "a.json".to_owned(),
            format!("10:00-{h}.json"),
        ];
        let contents = HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
        assert_eq!(
            contents.listed(false),
            [&names[2], &names[0], &names[5], &names[1], &names[4], &names[3]].map(String::clone)
        );
    }

    #[test]
    fn a_tombstone_hides_its_stem_to_the_byte_and_nothing_else() {
        let h = hash_text(1);
        let stems =
            [format!("10:00.0-2.0-full-{h}"), format!("10:00.00-2.0-full-{h}"), format!("10:00.0-02.0-full-{h}")];
        for hidden in &stems {
            let mut names: Vec<String> =
                stems.iter().flat_map(|stem| [format!("{stem}.ts"), format!("{stem}.json")]).collect();
            names.push(format!("{hidden}.tombstone"));
            let contents = HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
            let expected: BTreeSet<String> = names.iter().filter(|name| name::stem(name) != hidden).cloned().collect();
            assert_eq!(contents.listed(false).into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
