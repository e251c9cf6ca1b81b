//! What lies in the directory of an hour: all names, and those that a power cut does not take.
//!
//! What nodes ask one another about is the name of a file with its size, `NAME/BYTES`, as a file that a power cut has shortened has its name
//! all the same; and of tombstones the name.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::error::HandoffError;
use crate::archive::probe::is_probe;
use crate::archive::{FileName, HourPlace, Stamp, name, parse_file_name};
use crate::disk::{Base, Dir, DiskError, atomic};

/// Entries of one directory at most: what a scan reads, and as much again of what it leaves out.
const MOST_ENTRIES: usize = 2 << 20;

/// All that lies in an hour's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LyingFiles {
    /// Every name, those of hidden files, links and directories among them.
    pub(super) names: BTreeSet<String>,
    /// What owners are asked about: of each of them its name and its size.
    pub(super) sized: BTreeSet<String>,
    /// When the directory changed last.
    pub(super) stamp: Stamp,
    /// By what it is known.
    pub(super) directory: String,
}

impl LyingFiles {
    /// Nothing if there is no such hour. An error if a name is not UTF-8, as it could not be asked about.
    pub(super) fn read(base: &Base, place: &HourPlace) -> Result<Option<Self>, HandoffError> {
        let Some(dir) = base.dir(&place.path())? else { return Ok(None) };
        let stamp = dir.stamp()?;
        let (mut names, mut sized) = (BTreeSet::new(), BTreeSet::new());
        for (name, is_file) in dir.entries(MOST_ENTRIES)? {
            let name = name.into_string();
            let name = name.map_err(|name| HandoffError::NotUtf8(place.clone(), name.display().to_string()))?;
            sized.insert(if is_file { with_size(&dir, &name)?.unwrap_or_else(|| name.clone()) } else { name.clone() });
            names.insert(name);
        }
        let directory = directory(&dir)?;
        Ok(Some(Self { names, sized, stamp, directory }))
    }

    /// A name that does not say what is in the file, if there is one: an owner may have something else by that name.
    pub(super) fn unproven(&self) -> Option<&str> {
        let is_proven = |name: &str| {
            matches!(parse_file_name(name), FileName::Understood(key) if !is_probe(&key)) || name::is_tombstone(name)
        };
        self.names.iter().map(String::as_str).find(|name| !is_proven(name))
    }

    /// Whether there is anything but tombstones, which every node keeps of every hour.
    pub(super) fn holds_files(&self) -> bool {
        self.names.iter().any(|name| !name::is_tombstone(name))
    }
}

/// By what a directory is known on whatever node looks at it: its number, and the oldest time of change of a file in it, which nobody can set.
/// Two that are the same to the nanosecond are one, such as one of a file server, or one that is mounted twice. It stays the same while files come.
pub(super) fn directory(dir: &Dir) -> Result<String, DiskError> {
    let mut oldest = None;
    for (name, _) in dir.entries(MOST_ENTRIES)?.into_iter().filter(|(_, is_file)| *is_file) {
        let Some(changed) = dir.ctime_of(&name)? else { continue };
        oldest = Some(oldest.map_or(changed, |oldest: i64| oldest.min(changed)));
    }
    Ok(oldest.map_or_else(String::new, |oldest| format!("{}-{oldest}", dir.stamp().map_or(0, |stamp| stamp.ino))))
}

/// What a file is asked about by; nothing if there is no such file any more.
fn with_size(dir: &Dir, file: &str) -> Result<Option<String>, DiskError> {
    if name::is_tombstone(file) {
        return Ok(Some(file.to_owned()));
    }
    Ok(dir.stat_file(OsStr::new(file))?.map(|meta| format!("{file}/{}", meta.size)))
}

/// The opposite: a file, and the size that was confirmed; nothing of tombstones, and of what is none.
pub(super) fn file_and_size(sized: &str) -> Option<(&str, u64)> {
    let (file, size) = sized.rsplit_once('/')?;
    Some((file, size.parse().ok()?))
}

/// The regular files of an hour with their sizes; none if there is no such hour. What cannot be asked about is left out.
pub(super) fn files(base: &Base, place: &HourPlace) -> Result<BTreeSet<String>, HandoffError> {
    base.dir(&place.path())?.map_or_else(|| Ok(BTreeSet::new()), |dir| files_in(&dir))
}

fn files_in(dir: &Dir) -> Result<BTreeSet<String>, HandoffError> {
    let entries = dir.entries(MOST_ENTRIES)?.into_iter();
    let names = entries.filter_map(|(name, is_file)| name.into_string().ok().filter(|_| is_file));
    let sized = names.map(|name| Ok(with_size(dir, &name)?));
    sized.filter_map(Result::transpose).collect()
}

/// The same of several hours, flushed: names and contents that were there when this was asked survive a power cut.
pub(super) fn flushed<'p>(
    base: &Base,
    places: impl Iterator<Item = Option<&'p HourPlace>>,
) -> Result<Vec<BTreeSet<String>>, HandoffError> {
    let (mut names, mut dirs) = (Vec::new(), Vec::new());
    for place in places {
        let dir = place.map(|place| base.dir(&place.path())).transpose()?.flatten();
        names.push(dir.as_ref().map_or_else(|| Ok(BTreeSet::new()), files_in)?);
        dirs.extend(dir);
    }
    // Other programs may have written files here without flushing them. Once for each file system, as it takes a while.
    let mut done = BTreeSet::new();
    for dir in &dirs {
        if done.insert(dir.file_system()?) {
            dir.flush_file_system()?;
        }
        atomic::sync_dir(dir)?;
    }
    Ok(names)
}
