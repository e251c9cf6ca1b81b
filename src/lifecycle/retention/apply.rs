//! Deletes what one hour holds, and later its tombstones. Neither decides what is deleted, nor writes the journal.
//!
//! What goes is what the grammar understands, and temporaries of our own. All else stays and keeps its directory: files of other
//! programs, names of another format, and anything that is not a regular file.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::archive::probe::is_probe;
use crate::archive::{FileEnding, FileName, HourPlace, name, parse_file_name};
use crate::disk::{Base, BucketManifests, Dir, DiskError, atomic, is_our_temporary};

/// Entries of one directory at most: what a scan reads, and as much again of what it leaves out.
const MOST_ENTRIES: usize = 2 << 20;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) tombstones: u64,
    /// Entries that stay because they are not understood.
    pub(super) left: u64,
    /// Segments and chat batches that appeared after the hour was examined: because of them nothing was deleted.
    pub(super) unseen: u64,
    pub(super) stopped: bool,
    pub(super) dir_gone: bool,
}

/// What an entry of an hour directory is to retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Segment,
    Tombstone,
    Temporary,
    Other,
}

fn read(name: &OsStr, is_file: bool) -> Entry {
    if !is_file {
        return Entry::Other;
    }
    if is_our_temporary(name.as_bytes()) {
        return Entry::Temporary;
    }
    match name.to_str().map(parse_file_name) {
        Some(FileName::Understood(key)) if is_probe(&key) => Entry::Temporary,
        Some(FileName::Understood(key)) if key.tombstone => Entry::Tombstone,
        Some(FileName::Understood(_)) => Entry::Segment,
        _ => Entry::Other,
    }
}

/// Deletes the segments and chat batches of an hour and flushes its directory, which goes if it is empty then. If only those that
/// were `seen` may go and there are others, nothing does. Before each file it is asked whether it may still go. What went before
/// something failed is returned with that.
pub(super) fn delete_segments(
    base: &Base,
    place: &HourPlace,
    seen: Option<&HashSet<String>>,
    may_go_on: &dyn Fn() -> bool,
) -> (Deleted, Result<(), DiskError>) {
    let mut deleted = Deleted::default();
    let result = delete_each(base, place, seen, may_go_on, &mut deleted);
    (deleted, result)
}

fn delete_each(
    base: &Base,
    place: &HourPlace,
    seen: Option<&HashSet<String>>,
    may_go_on: &dyn Fn() -> bool,
    deleted: &mut Deleted,
) -> Result<(), DiskError> {
    let Some(dir) = base.dir(&place.path())? else {
        deleted.dir_gone = true;
        return Ok(());
    };
    let entries = dir.entries(MOST_ENTRIES)?;
    if let Some(seen) = seen {
        let is_unseen = |name: &OsStr| !name.to_str().is_some_and(|name| seen.contains(name));
        let unseen = entries.iter().filter(|(name, is_file)| read(name, *is_file) == Entry::Segment && is_unseen(name));
        deleted.unseen = unseen.count() as u64;
        if deleted.unseen > 0 {
            return Ok(());
        }
    }
    // What a bucket has of the hour stays listed: that it lies here no more is noted before it goes.
    BucketManifests::of(base).note_dropped(place)?;
    // What comes from here on is in none of these entries, and stays.
    for (name, is_file) in entries {
        if !may_go_on() {
            deleted.stopped = true;
            break;
        }
        match read(&name, is_file) {
            Entry::Segment => {
                let bytes = dir.stat_file(&name)?.map_or(0, |meta| meta.size);
                if dir.remove_file(&name)? {
                    deleted.segments += 1;
                    deleted.bytes += bytes;
                }
            }
            Entry::Temporary => drop(dir.remove_file(&name)?),
            Entry::Tombstone => deleted.tombstones += 1,
            Entry::Other => deleted.left += 1,
        }
    }
    atomic::sync_dir(&dir)?;
    if !deleted.stopped {
        deleted.dir_gone = remove_if_empty(base, place)?;
    }
    Ok(())
}

/// Deletes the tombstones of an hour that holds no segment any more, and its directory if it is empty then. `None` if it does hold
/// one: its tombstones are still needed.
pub(super) fn delete_tombstones(base: &Base, place: &HourPlace) -> Result<Option<Deleted>, DiskError> {
    let mut deleted = Deleted::default();
    let Some(dir) = base.dir(&place.path())? else { return Ok(Some(Deleted { dir_gone: true, ..deleted })) };
    let entries = dir.entries(MOST_ENTRIES)?;
    if entries.iter().any(|(name, is_file)| read(name, *is_file) == Entry::Segment) {
        return Ok(None);
    }
    for (name, is_file) in entries {
        match read(&name, is_file) {
            Entry::Segment => {}
            Entry::Tombstone => deleted.tombstones += u64::from(dir.remove_file(&name)?),
            Entry::Temporary => drop(dir.remove_file(&name)?),
            Entry::Other if is_file && is_lone_tombstone(&dir, &name)? => {
                deleted.tombstones += u64::from(dir.remove_file(&name)?);
            }
            Entry::Other => deleted.left += 1,
        }
    }
    atomic::sync_dir(&dir)?;
    deleted.dir_gone = remove_if_empty(base, place)?;
    Ok(Some(deleted))
}

/// A tombstone of a name that is not understood, where what it hides is not there: or else it would keep its directory for ever.
fn is_lone_tombstone(dir: &Dir, name: &OsStr) -> Result<bool, DiskError> {
    let Some(text) = name.to_str().filter(|text| !text.starts_with('.') && name::is_tombstone(text)) else {
        return Ok(false);
    };
    for ending in FileEnding::hideable() {
        if dir.stat_file(OsStr::new(&format!("{}{}", name::stem(text), ending.suffix())))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remove_if_empty(base: &Base, place: &HourPlace) -> Result<bool, DiskError> {
    let above = base.dir(std::path::Path::new(&place.stream.to_string()))?;
    // The directories of channel and quality stay: recorders expect them.
    above.map_or(Ok(true), |above| above.remove_empty_dir(OsStr::new(&place.hour.to_string())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STEM: &str = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    /// Deletes without an error.
    fn delete(base: &Base, place: &HourPlace, seen: Option<&HashSet<String>>, may_go_on: bool) -> Deleted {
        let (deleted, result) = delete_segments(base, place, seen, &|| may_go_on);
        result.unwrap();
        deleted
    }

    #[test]
    fn what_went_before_something_failed_is_counted() {
        let tree = tempfile::tempdir().unwrap();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        let hour = tree.path().join("a/b/2019-11-13T02");
        fs::create_dir_all(&hour).unwrap();
        let names: Vec<String> =
            (0..4).map(|at| format!("{}.ts", STEM.replace("00:00", &format!("00:0{at}")))).collect();
        for name in &names {
            fs::write(hour.join(name), "xy").unwrap();
        }
        // After two of them the others are something that cannot be deleted as a file.
        let left = || names.iter().filter(|name| hour.join(name).is_file()).count();
        let may_go_on = || {
            if left() == 2 {
                for name in names.iter().filter(|name| hour.join(name).is_file()) {
                    fs::remove_file(hour.join(name)).unwrap();
                    fs::create_dir(hour.join(name)).unwrap();
                }
            }
            true
        };
        let (deleted, result) = delete_segments(&Base::open(tree.path()).unwrap(), &place, None, &may_go_on);
        assert!(result.is_err());
        assert_eq!((deleted.segments, deleted.bytes), (2, 4));
    }

    #[test]
    fn what_is_understood_goes_and_all_else_stays() {
        let tree = tempfile::tempdir().unwrap();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        let hour = tree.path().join("a/b/2019-11-13T02");
        fs::create_dir_all(hour.join("directory.ts")).unwrap();
        let outside = tree.path().join("outside.ts");
        fs::write(&outside, "x").unwrap();
        let segment = format!("{STEM}.ts");
        std::os::unix::fs::symlink(&outside, hour.join(segment.replace("00:00", "00:02"))).unwrap();
        let temporary = format!(".{segment}.0123456789abcdef.tmp");
        let recorders = "00:04-2.0-temp-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";
        let names = [
            &segment,
            &format!("{STEM}.tombstone"),
            &temporary,
            recorders,
            "odd.ts",
            "odd.tombstone",
            "lone.tombstone",
            "notes.txt",
        ];
        for name in names {
            fs::write(hour.join(name), "xy").unwrap();
        }
        let base = Base::open(tree.path()).unwrap();
        let left = || {
            let mut there: Vec<String> =
                fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            there.sort();
            there
        };
        let all = left();
        assert!(delete_tombstones(&base, &place).unwrap().is_none(), "a segment is there");
        assert_eq!(left(), all);

        let deleted = delete(&base, &place, None, true);
        assert_eq!((deleted.segments, deleted.bytes, deleted.tombstones, deleted.left), (1, 2, 1, 7));
        assert!(!deleted.dir_gone && !left().contains(&segment) && !left().contains(&temporary) && outside.exists());
        assert_eq!(left().len(), all.len() - 2);

        let reclaimed = delete_tombstones(&base, &place).unwrap().unwrap();
        assert_eq!((reclaimed.tombstones, reclaimed.left), (2, 6));
        assert!(left().contains(&"odd.tombstone".to_owned()) && !left().contains(&"lone.tombstone".to_owned()));
    }

    #[test]
    fn an_hour_with_a_segment_that_nobody_looked_at_stays_whole() {
        let tree = tempfile::tempdir().unwrap();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        let hour = tree.path().join("a/b/2019-11-13T02");
        fs::create_dir_all(&hour).unwrap();
        let (seen, late) = (format!("{STEM}.ts"), format!("{}.ts", STEM.replace("00:00", "00:02")));
        for name in [&seen, &late] {
            fs::write(hour.join(name), "xy").unwrap();
        }
        let base = Base::open(tree.path()).unwrap();
        let mut known = HashSet::from([seen]);
        let deleted = delete(&base, &place, Some(&known), true);
        assert_eq!(deleted, Deleted { unseen: 1, ..Deleted::default() });
        assert_eq!(fs::read_dir(&hour).unwrap().count(), 2);
        known.insert(late);
        assert!(delete(&base, &place, Some(&known), true).dir_gone);
    }

    #[test]
    fn an_empty_hour_goes_and_its_quality_stays() {
        let tree = tempfile::tempdir().unwrap();
        let place = HourPlace::parse("a/b/2019-11-13T02").unwrap();
        let hour = tree.path().join("a/b/2019-11-13T02");
        fs::create_dir_all(&hour).unwrap();
        fs::write(hour.join(format!("{STEM}.ts")), "xy").unwrap();
        let base = Base::open(tree.path()).unwrap();
        assert!(delete(&base, &place, None, false).stopped && hour.exists());
        assert!(delete(&base, &place, None, true).dir_gone);
        assert!(!hour.exists() && tree.path().join("a/b").exists());
        assert!(delete(&base, &place, None, true).dir_gone, "doing it again is fine");
    }
}
