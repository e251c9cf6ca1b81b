//! Where damaged files are kept until somebody has looked at them: `BASE/.gapless/quarantine/CHANNEL/QUALITY/HOUR/NAME`.
//!
//! 1. The report `NAME.json` is written and flushed. A crash from here on leaves a report without a file, which means nothing: the
//!    file still lies where it lay, and is found again.
//! 2. The file is renamed, never replacing anything: a second one of that name becomes `NAME.2`, with `NAME.2.json`.
//! 3. Both directories are flushed. Where that fails a power cut may bring the file back to where it lay, to be found again.
//! 4. Back goes a file only where nothing of its name lies. Deleted is it here and nowhere else: first the file, then its report.
//!
//! It lies under the base and not in the state directory, which may be on another disk: renaming copies nothing and needs no room.
//! What reports say is the business of who writes them. Every call that fails before 2 leaves the file where it was.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::archive_id::OWN_DIR;
use super::atomic::{move_new, replace, sync_dir};
use super::base::Base;
use super::dir::{Dir, SmallFile};
use super::download::make_dir;
use super::error::{DiskError, Result};
use super::resolve::means_absent;
use crate::archive::{FileEnding, Hour, HourPlace, Stream, name};

/// Its directory beside the marker.
const DIR: &str = "quarantine";
/// A report has a few hundred bytes, and the sentences of some faults.
pub const REPORT_BYTES: u64 = 64 << 10;
/// How often a file of one name is kept: more than any fetching of damaged copies makes before somebody looks.
const MOST_OF_A_NAME: u32 = 1_000;
/// What one directory of it holds at most: an hour has some thousands of files.
const MOST_ENTRIES: usize = 1 << 16;

/// The quarantine of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Quarantine<'b> {
    base: &'b Base,
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFile {
    /// What it was called where it lay.
    pub name: String,
    /// What it is called here: the same, or with a number behind.
    pub stored: String,
    /// Its bytes.
    pub size: u64,
    /// When its report was last written, in nanoseconds since 1970; nothing without a report.
    pub reported_ns: Option<i64>,
    /// Its report; empty if there is none, if it cannot be read, or if it is too large to be one.
    pub report: Vec<u8>,
}

impl<'b> Quarantine<'b> {
    /// Of the archive with this base.
    pub fn of(base: &'b Base) -> Self {
        Self { base }
    }

    /// Where the files of an hour are kept, relative to the base.
    pub fn path(place: &HourPlace) -> PathBuf {
        Path::new(OWN_DIR).join(DIR).join(place.path())
    }

    /// Moves a file of an hour directory here and says what it is called now; `None` if there is no regular file of that name.
    pub fn set_aside(&self, place: &HourPlace, hour: &Dir, name: &str, report: &[u8]) -> Result<Option<String>> {
        if hour.stat_file(OsStr::new(name))?.is_none() {
            return Ok(None);
        }
        let dir = self.make(place)?;
        for number in 1..=MOST_OF_A_NAME {
            let stored = if number == 1 { name.to_owned() } else { format!("{name}.{number}") };
            if dir.stat_file(OsStr::new(&stored))?.is_some() {
                continue;
            }
            // One without a file is of a run that did not come to its end.
            replace(&dir, OsStr::new(&report_name(&stored)), report)?;
            match move_new((hour, OsStr::new(name)), (&dir, OsStr::new(&stored))) {
                Ok(()) => {
                    for flushed in [&dir, hour] {
                        if let Err(error) = sync_dir(flushed) {
                            tracing::warn!(name: "quarantine_not_flushed", file = %format_args!("{place}/{name}"), %error, "a power cut may bring a file back that was quarantined; it would be found again");
                        }
                    }
                    return Ok(Some(stored));
                }
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    let left = dir.remove_file(OsStr::new(&report_name(&stored)));
                    if let Err(error) = left {
                        tracing::debug!(name: "report_without_file", %error, "a report without its file stays behind");
                    }
                    if means_absent(errno) && hour.stat_file(OsStr::new(name))?.is_none() {
                        return Ok(None);
                    }
                    return Err(DiskError::io("move to the quarantine", &hour.path().join(name), errno));
                }
            }
        }
        Err(DiskError::Exists { path: dir.path().join(name) })
    }

    /// The hours of which something is kept, in order. Directories that cannot be listed are given to `skip`, which may pass the error
    /// on: then that is the answer.
    pub fn hours(&self, skip: &dyn Fn(DiskError) -> Result<()>) -> Result<Vec<HourPlace>> {
        let below = |path: &Path| match self.below(path) {
            Ok(names) => Ok(names),
            Err(error) => skip(error).map(|()| Vec::new()),
        };
        let top = Path::new(OWN_DIR).join(DIR);
        let mut found = Vec::new();
        for channel in below(&top)? {
            for quality in below(&top.join(&channel))? {
                let Ok(stream) = Stream::new(&channel, &quality) else { continue };
                for hour in below(&top.join(&channel).join(&quality))? {
                    let Ok(hour) = Hour::parse(&hour) else { continue };
                    found.push(HourPlace { stream: stream.clone(), hour });
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What is kept of an hour, by name. A report without its file is none.
    pub fn held(&self, place: &HourPlace) -> Result<Vec<HeldFile>> {
        let Some(dir) = self.base.dir(&Self::path(place))? else { return Ok(Vec::new()) };
        let mut held = Vec::new();
        for (stored, is_file) in dir.entries(MOST_ENTRIES)? {
            let Some(stored) = stored.to_str().filter(|stored| is_file && !stored.starts_with('.')) else { continue };
            let Some(name) = original(stored) else { continue };
            let Some(meta) = dir.stat_file(OsStr::new(stored))? else { continue };
            let beside = report_name(stored);
            let read = dir.stat_file(OsStr::new(&beside)).and_then(|since| {
                let small = dir.read_small(OsStr::new(&beside), REPORT_BYTES)?;
                Ok((
                    since.map(|since| since.mtime_ns),
                    if let SmallFile::Content(bytes) = small { bytes } else { Vec::new() },
                ))
            });
            let (reported_ns, report) = match read {
                Err(error) if error.is_shortage() => return Err(error),
                // That the file lies here is known all the same.
                Err(error) => {
                    tracing::warn!(name: "quarantine_report_unreadable", %error, "the report of a damaged file cannot be read");
                    (None, Vec::new())
                }
                Ok(read) => read,
            };
            let (name, stored) = (name.to_owned(), stored.to_owned());
            held.push(HeldFile { name, stored, size: meta.size, reported_ns, report });
        }
        held.sort_unstable_by(|one, other| one.stored.cmp(&other.stored));
        Ok(held)
    }

    /// Writes the report of a file that is kept anew; false if it is not kept.
    pub fn note(&self, place: &HourPlace, stored: &str, report: &[u8]) -> Result<bool> {
        let Some(dir) = self.base.dir(&Self::path(place))? else { return Ok(false) };
        if original(stored).is_none() || dir.stat_file(OsStr::new(stored))?.is_none() {
            return Ok(false);
        }
        replace(&dir, OsStr::new(&report_name(stored)), report)?;
        Ok(true)
    }

    /// Moves a file back to the hour directory that it came from; [`DiskError::Exists`] where something of its name lies. False if it
    /// is not kept. Its report is deleted.
    pub fn put_back(&self, place: &HourPlace, hour: &Dir, stored: &str) -> Result<bool> {
        let Some(dir) = self.base.dir(&Self::path(place))? else { return Ok(false) };
        let Some(name) = original(stored) else { return Ok(false) };
        if dir.stat_file(OsStr::new(stored))?.is_none() {
            return Ok(false);
        }
        match move_new((&dir, OsStr::new(stored)), (hour, OsStr::new(name))) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(DiskError::Exists { path: hour.path().join(name) }),
            Err(errno) => return Err(DiskError::io("move back", &dir.path().join(stored), errno)),
        }
        sync_dir(hour)?;
        dir.remove_file(OsStr::new(&report_name(stored)))?;
        sync_dir(&dir)?;
        self.remove_empty(place)?;
        Ok(true)
    }

    /// Deletes a file that is kept, then its report, and says how many bytes it had; `None` if it is not kept.
    pub fn delete(&self, place: &HourPlace, stored: &str) -> Result<Option<u64>> {
        let Some(dir) = self.base.dir(&Self::path(place))? else { return Ok(None) };
        if original(stored).is_none() {
            return Ok(None);
        }
        let Some(meta) = dir.stat_file(OsStr::new(stored))? else { return Ok(None) };
        dir.remove_file(OsStr::new(stored))?;
        sync_dir(&dir)?;
        dir.remove_file(OsStr::new(&report_name(stored)))?;
        sync_dir(&dir)?;
        self.remove_empty(place)?;
        Ok(Some(meta.size))
    }

    /// Removes reports of an hour whose file never came, or was deleted, and directories of it that are empty. Not to be called
    /// while something is set aside.
    pub fn tidy(&self, place: &HourPlace) -> Result<()> {
        let Some(dir) = self.base.dir(&Self::path(place))? else { return Ok(()) };
        super::atomic::clear_temporaries(&dir)?;
        for (report, is_file) in dir.entries(MOST_ENTRIES)? {
            let Some(report) = report.to_str().filter(|report| is_file && original(report).is_none()) else { continue };
            let Some(stored) = report.strip_suffix(".json").filter(|stored| original(stored).is_some()) else {
                continue;
            };
            if dir.stat_file(OsStr::new(stored))?.is_none() {
                dir.remove_file(OsStr::new(report))?;
            }
        }
        self.remove_empty(place)
    }

    fn make(self, place: &HourPlace) -> Result<Dir> {
        let top = self.base.dir(Path::new(""))?;
        let mut dir = top.ok_or_else(|| DiskError::io("open the directory", self.base.path(), Errno::NOENT))?;
        let hour = place.hour.to_string();
        let names = [OWN_DIR, DIR, place.stream.channel.as_str(), place.stream.quality.as_str(), &hour];
        for name in names {
            dir = make_dir(&dir, OsStr::new(name))?;
        }
        Ok(dir)
    }

    fn below(self, path: &Path) -> Result<Vec<String>> {
        let Some(dir) = self.base.dir(path)? else { return Ok(Vec::new()) };
        let names = dir.subdirectories()?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn remove_empty(self, place: &HourPlace) -> Result<()> {
        let hour = Self::path(place);
        // The hour, its quality, its channel.
        for path in hour.ancestors().take(3) {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { break };
            let removed = self.base.dir(above)?.map_or(Ok(false), |above| above.remove_empty_dir(name))?;
            if !removed {
                break;
            }
        }
        Ok(())
    }
}

/// What a file was called that is kept under this name; `None` for a report, and for what is none of ours.
fn original(stored: &str) -> Option<&str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = stored.rsplit_once('.').filter(|(_, number)| is_number(number)).map_or(stored, |(name, _)| name);
    match FileEnding::of(name)? {
        FileEnding::Segment(_) => Some(name),
        // A chat batch, unless it is the report of something.
        FileEnding::Chat if original(name::stem(name)).is_none() => Some(name),
        FileEnding::Chat | FileEnding::Tombstone => None,
    }
}

fn report_name(stored: &str) -> String {
    format!("{stored}.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const STEM: &str = "00:00-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    const HOUR: &str = "a/b/2019-11-13T02";

    struct Tree {
        dir: tempfile::TempDir,
        base: Base,
        place: HourPlace,
        name: String,
    }

    impl Tree {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join(HOUR)).unwrap();
            let base = Base::open(dir.path()).unwrap();
            let tree = Self { dir, base, place: HourPlace::parse(HOUR).unwrap(), name: format!("{STEM}.ts") };
            tree.put("one");
            tree
        }

        fn put(&self, content: &str) {
            fs::write(self.dir.path().join(HOUR).join(&self.name), content).unwrap();
        }

        fn hour(&self) -> Dir {
            self.base.dir(Path::new(HOUR)).unwrap().unwrap()
        }

        fn quarantine(&self) -> Quarantine<'_> {
            Quarantine::of(&self.base)
        }

        fn set_aside(&self) -> Result<Option<String>> {
            self.quarantine().set_aside(&self.place, &self.hour(), &self.name, b"{}")
        }

        fn kept(&self) -> PathBuf {
            self.dir.path().join(".gapless/quarantine").join(HOUR)
        }

        fn stored(&self) -> Vec<(String, u64)> {
            let held = self.quarantine().held(&self.place).unwrap();
            assert!(held.iter().all(|file| file.name == self.name && file.reported_ns.is_some_and(|at| at > 0)));
            held.into_iter().map(|file| (file.stored, file.size)).collect()
        }
    }

    #[test]
    fn a_file_is_moved_with_its_path_and_never_over_another() {
        let tree = Tree::new();
        assert_eq!(tree.set_aside().unwrap().as_ref(), Some(&tree.name));
        assert_eq!(tree.set_aside().unwrap(), None, "it is not there any more");
        tree.put("second");
        let second = format!("{}.2", tree.name);
        assert_eq!(tree.set_aside().unwrap(), Some(second.clone()));
        assert_eq!(fs::read(tree.kept().join(&tree.name)).unwrap(), b"one");
        assert_eq!(fs::read(tree.kept().join(&second)).unwrap(), b"second");
        assert_eq!(tree.stored(), [(tree.name.clone(), 3), (second, 6)]);
        assert_eq!(tree.quarantine().hours(&Err).unwrap(), std::slice::from_ref(&tree.place));
        assert!(!tree.dir.path().join(HOUR).join(&tree.name).exists());
    }

    #[test]
    fn a_report_is_told_from_a_batch_of_chat_lines() {
        let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let chat = format!("00:00-{hash}.json");
        for name in [&format!("{STEM}.ts"), &chat] {
            for stored in [name.clone(), format!("{name}.2"), format!("{name}.17")] {
                assert_eq!(original(&stored), Some(name.as_str()), "{stored}");
                assert_eq!(original(&report_name(&stored)), None, "{stored}");
            }
        }
        for other in ["", ".", "x", "x.txt", "2.2", ".ts.json"] {
            assert!(original(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_crash_before_the_move_leaves_the_file_and_a_report_that_means_nothing() {
        let tree = Tree::new();
        fs::create_dir_all(tree.kept()).unwrap();
        fs::write(tree.kept().join(report_name(&tree.name)), "torn").unwrap();
        assert_eq!(tree.stored(), []);
        tree.set_aside().unwrap().unwrap();
        assert_eq!(tree.quarantine().held(&tree.place).unwrap()[0].report, b"{}");
        // The same of a file that was deleted.
        fs::remove_file(tree.kept().join(&tree.name)).unwrap();
        tree.quarantine().tidy(&tree.place).unwrap();
        assert!(!tree.dir.path().join(".gapless/quarantine/a").exists());
    }

    #[test]
    fn it_goes_back_only_where_nothing_lies_and_is_deleted_with_its_report() {
        let tree = Tree::new();
        tree.set_aside().unwrap();
        tree.put("new");
        let back = || tree.quarantine().put_back(&tree.place, &tree.hour(), &tree.name);
        assert!(matches!(back(), Err(DiskError::Exists { .. })));
        assert_eq!(tree.stored().len(), 1);
        fs::remove_file(tree.dir.path().join(HOUR).join(&tree.name)).unwrap();
        assert!(back().unwrap() && !back().unwrap());
        assert_eq!(fs::read(tree.dir.path().join(HOUR).join(&tree.name)).unwrap(), b"one");
        assert!(!tree.kept().exists(), "nothing is left there");

        tree.set_aside().unwrap();
        assert!(tree.quarantine().note(&tree.place, &tree.name, b"healed").unwrap());
        assert_eq!(tree.quarantine().held(&tree.place).unwrap()[0].report, b"healed");
        assert_eq!(tree.quarantine().delete(&tree.place, &report_name(&tree.name)).unwrap(), None);
        assert_eq!(tree.quarantine().delete(&tree.place, &tree.name).unwrap(), Some(3));
        assert_eq!(tree.quarantine().delete(&tree.place, &tree.name).unwrap(), None);
        assert!(!tree.kept().exists() && !tree.quarantine().note(&tree.place, &tree.name, b"x").unwrap());
    }

    #[test]
    fn no_link_leads_out_and_whatever_fails_leaves_the_file_where_it_was() {
        let tree = Tree::new();
        let outside = tempfile::tempdir().unwrap();
        let own = tree.dir.path().join(".gapless");
        let stays = || {
            assert!(tree.set_aside().is_err());
            assert_eq!(fs::read(tree.dir.path().join(HOUR).join(&tree.name)).unwrap(), b"one");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        };
        std::os::unix::fs::symlink(outside.path(), &own).unwrap();
        stays();
        fs::remove_file(&own).unwrap();
        fs::create_dir_all(own.join("quarantine/a")).unwrap();
        std::os::unix::fs::symlink(outside.path(), own.join("quarantine/a/b")).unwrap();
        stays();
        assert_eq!(tree.quarantine().hours(&Err).unwrap(), []);
        fs::remove_file(own.join("quarantine/a/b")).unwrap();
        fs::write(own.join("quarantine/a/b"), "a file").unwrap();
        stays();
        fs::remove_file(own.join("quarantine/a/b")).unwrap();
        // Its report cannot be written: a directory lies there.
        fs::create_dir_all(tree.kept().join(report_name(&tree.name)).join("x")).unwrap();
        stays();
        let link = tree.dir.path().join(HOUR).join("link.ts");
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        assert_eq!(tree.quarantine().set_aside(&tree.place, &tree.hour(), "link.ts", b"").unwrap(), None);
    }
}
