//! The marker by which an archive is known again: `BASE/.gapless/marker`.
//!
//! A disk that is not mounted looks like one on which everything was deleted. The marker tells the two apart. It is
//! written once, changed by `rebuild --new-id` alone, and small enough to be written by hand. What follows from finding it, or not, is
//! decided in `guard`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, Mode, fadvise, mkdirat};
use rustix::io::Errno;

pub use super::archive_id::OWN_DIR;
use super::archive_id::{ArchiveId, NotAnArchiveId};
use super::atomic::{replace, sync_dir, write_new};
use super::base::Base;
use super::error::{DiskError, Result};

/// The marker itself.
pub const MARKER: &str = "marker";
const FIRST_LINE: &str = "gapless-marker 1";
/// What a further line begins with while records are being carried over.
const FORMER: &str = "former ";
/// A further line, once there have been records that protect the archive.
const RECORDS: &str = "records kept";

/// Many times what a marker is long; what is longer is none.
const MOST_BYTES: u64 = 4096;

/// Reads the marker; `None` if there is none.
pub fn read(base: &Base) -> Result<Option<ArchiveId>> {
    read_with(base, CachePolicy::Cached)
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The archive's id.
    pub id: ArchiveId,
    /// The one that it had before, while records are being carried over from it.
    pub former: Option<ArchiveId>,
    /// Whether there have been records that protect the archive: where there are none now, they were lost.
    pub has_records: bool,
}

impl From<ArchiveId> for Ids {
    fn from(id: ArchiveId) -> Self {
        Self { id, former: None, has_records: false }
    }
}

/// Reads what the marker says; `None` if there is none.
pub fn ids(base: &Base) -> Result<Option<Ids>> {
    read_ids(base, CachePolicy::Cached)
}

/// Whether the page cache may answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CachePolicy {
    /// It may: this costs next to nothing.
    Cached,
    /// The disk itself is asked, as far as the kernel lets us: a dead disk still has its cache.
    FromDisk,
}

pub(super) fn read_with(base: &Base, freshness: CachePolicy) -> Result<Option<ArchiveId>> {
    Ok(read_ids(base, freshness)?.map(|ids| ids.id))
}

fn read_ids(base: &Base, freshness: CachePolicy) -> Result<Option<Ids>> {
    let path = path(base);
    let Some(file) = base.open_file(&Path::new(OWN_DIR).join(MARKER))? else {
        return Ok(None);
    };
    if freshness == CachePolicy::FromDisk
        && let Err(cause) = fadvise(&file, 0, None, Advice::DontNeed)
    {
        tracing::debug!(name: "marker_from_cache", %cause, "the page cache answers for the marker");
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text).map_err(|cause| DiskError::io("read the marker", &path, cause))?;
    match parse(&text) {
        Ok(ids) => Ok(Some(ids)),
        Err(problem) => Err(DiskError::MarkerDamaged { path, problem }),
    }
}

/// Writes the marker of an archive that has none; [`DiskError::Exists`] if it has one.
pub fn create(base: &Base, id: ArchiveId) -> Result<()> {
    let Some(top) = base.dir(Path::new(""))? else {
        return Err(DiskError::io("open the directory", base.path(), Errno::NOENT));
    };
    match mkdirat(&top, OWN_DIR, Mode::from_raw_mode(0o755)) {
        Ok(()) => sync_dir(&top)?,
        Err(Errno::EXIST) => {}
        Err(errno) => {
            return Err(DiskError::io("create the directory", &top.path().join(OWN_DIR), errno));
        }
    }
    let Some(own) = top.dir(OsStr::new(OWN_DIR))? else {
        return Err(DiskError::io("use as a directory", &top.path().join(OWN_DIR), Errno::NOTDIR));
    };
    write_new(&own, OsStr::new(MARKER), text(id.into()).as_bytes())
}

/// Gives an archive another id, in the place of the one that it has. `carry_over` writes what is bound to the id before under the one
/// of now; the marker names both until [`finish`] says that all is done, so that it can be done again after a crash.
pub fn renew<E: From<DiskError>>(
    base: &Base,
    id: ArchiveId,
    carry_over: impl Fn(&Base) -> Result<(), E>,
) -> Result<(), E> {
    let before = ids(base)?;
    if before.is_some_and(|ids| ids.former.is_some()) {
        carry_over(base)?;
    }
    let former = before.map(|ids| ids.id);
    write_over(base, Ids { id, former, has_records: before.is_some_and(|ids| ids.has_records) })?;
    carry_over(base)
}

/// All that is bound to the id of an archive, its index as well, is of the one that it has now: it had no other. What [`renew`] did not
/// come to carry over is done before.
pub fn finish<E: From<DiskError>>(base: &Base, carry_over: impl Fn(&Base) -> Result<(), E>) -> Result<(), E> {
    if ids(base)?.is_none_or(|ids| ids.former.is_none()) {
        return Ok(());
    }
    carry_over(base)?;
    match ids(base)? {
        Some(ids) => Ok(write_over(base, Ids { former: None, ..ids })?),
        None => Ok(()),
    }
}

/// From now on there have been records that protect the archive.
pub(super) fn note_records(base: &Base) -> Result<()> {
    match ids(base)? {
        Some(ids) if !ids.has_records => write_over(base, Ids { has_records: true, ..ids }),
        _ => Ok(()),
    }
}

fn write_over(base: &Base, ids: Ids) -> Result<()> {
    let own = base.dir(Path::new(OWN_DIR))?;
    let own = own.ok_or_else(|| DiskError::io("open the directory", &base.path().join(OWN_DIR), Errno::NOENT))?;
    replace(&own, OsStr::new(MARKER), text(ids).as_bytes())
}

pub(super) fn path(base: &Base) -> PathBuf {
    base.path().join(OWN_DIR).join(MARKER)
}

fn text(Ids { id, former, has_records }: Ids) -> String {
    let former = former.map(|former| format!("{FORMER}{former}\n")).unwrap_or_default();
    let records = if has_records { format!("{RECORDS}\n") } else { String::new() };
    format!(
        "{FIRST_LINE}\nid {id}\n{former}{records}\n\
         This directory holds an archive kept by gapless. The id above tells this archive from every other,\n\
         so that a disk that is not mounted is never taken for one on which everything was deleted.\n\
         Please leave this file where it is, and do not copy it to another archive.\n"
    )
}

fn parse(bytes: &[u8]) -> Result<Ids, String> {
    let all = str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut lines = all.lines();
    match lines.next() {
        Some(FIRST_LINE) => {}
        None => return Err("it is empty".to_owned()),
        Some(other) => return Err(format!("its first line is {:?}", shortened(other))),
    }
    let second = lines.next().unwrap_or_default();
    let id = second.strip_prefix("id ").ok_or_else(|| format!("its second line is {:?}", shortened(second)))?;
    let read = |text: &str| {
        text.trim_end().parse().map_err(|problem: NotAnArchiveId| format!("{:?} is {problem}", shortened(text)))
    };
    let mut ids = Ids::from(read(id)?);
    // Lines that a later version has added are none of ours.
    for line in lines.take_while(|line| !line.is_empty()) {
        ids.has_records |= line == RECORDS;
        if let Some(former) = line.strip_prefix(FORMER) {
            ids.former = Some(read(former)?);
        }
    }
    Ok(ids)
}

fn shortened(line: &str) -> String {
    line.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        assert_eq!(read(&base).unwrap(), None);
        let id = ArchiveId::random();
        create(&base, id).unwrap();
        assert_eq!(read(&base).unwrap(), Some(id));
        assert_eq!(read_with(&base, CachePolicy::FromDisk).unwrap(), Some(id));
        assert!(matches!(create(&base, ArchiveId::random()), Err(DiskError::Exists { .. })));
        assert_eq!(read(&base).unwrap(), Some(id));
        assert_eq!(fs::read_dir(tree.path().join(OWN_DIR)).unwrap().count(), 1);
    }

    #[test]
    fn an_id_is_renewed_after_all_has_been_carried_over_and_again_after_a_crash() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let [first, second, third] = [1, 2, 3].map(|number| ArchiveId::from_bytes([number; 16]));
        create(&base, first).unwrap();
        let seen = std::cell::RefCell::new(Vec::new());
        let fails = |there: &Base| {
            seen.borrow_mut().push(ids(there)?.unwrap());
            Err(DiskError::io("write", there.path(), Errno::NOSPC))
        };
        renew(&base, second, fails).unwrap_err();
        assert_eq!(read(&base).unwrap(), Some(second));
        renew(&base, third, |there| {
            seen.borrow_mut().push(ids(there)?.unwrap());
            Ok::<_, DiskError>(())
        })
        .unwrap();
        let pair = |id, former| Ids { id, former: Some(former), has_records: false };
        assert_eq!(ids(&base).unwrap(), Some(pair(third, second)), "what else is of the former id can still be told");
        let done = |_: &Base| Ok::<_, DiskError>(());
        finish(&base, done).unwrap();
        finish(&base, |there| Err(DiskError::io("write", there.path(), Errno::NOSPC))).unwrap();
        assert_eq!(seen.into_inner(), [pair(second, first), pair(second, first), pair(third, second)]);
        assert_eq!(ids(&base).unwrap(), Some(third.into()));
    }

    #[test]
    fn that_there_have_been_records_stays_in_the_marker() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        let [first, second] = [1, 2].map(|number| ArchiveId::from_bytes([number; 16]));
        note_records(&base).unwrap();
        assert_eq!(ids(&base).unwrap(), None, "no marker is made by this");
        create(&base, first).unwrap();
        note_records(&base).unwrap();
        assert_eq!(ids(&base).unwrap(), Some(Ids { has_records: true, ..first.into() }));
        renew(&base, second, |_| Ok::<_, DiskError>(())).unwrap();
        finish(&base, |_| Ok::<_, DiskError>(())).unwrap();
        assert_eq!(ids(&base).unwrap(), Some(Ids { has_records: true, ..second.into() }));
    }

    #[test]
    fn damage_is_told_and_never_taken_for_absence() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        fs::create_dir(tree.path().join(OWN_DIR)).unwrap();
        let long = format!("{FIRST_LINE}\nid {}", "a".repeat(9000));
        for bad in ["", "\u{0}\u{0}", "gapless-marker 2\nid 0", "gapless-marker 1\n", "gapless-marker 1\nid xyz", &long]
        {
            fs::write(path(&base), bad).unwrap();
            let error = read(&base).unwrap_err();
            assert!(matches!(error, DiskError::MarkerDamaged { .. }) && error.is_away(), "{error}");
            assert!(error.to_string().contains("32 hexadecimal digits"), "{error}");
        }
        fs::write(path(&base), [0xff]).unwrap();
        assert!(read(&base).is_err());
    }

    #[test]
    fn a_link_in_place_of_our_directory_is_refused() {
        let (tree, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(other.path(), tree.path().join(OWN_DIR)).unwrap();
        let base = Base::open(tree.path()).unwrap();
        assert!(create(&base, ArchiveId::random()).is_err());
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }
}
