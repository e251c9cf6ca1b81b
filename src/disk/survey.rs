//! Looks for files of video where no segment is looked for. What that means is judged in `archive`.
//!
//! 1. Reads the base and what lies beneath it, five levels deep. Hours are not opened, but for those that the caller names.
//! 2. A directory that has not changed since it was read is not read again, so that a quiet archive costs one `stat` for each channel and
//!    quality.
//! 3. Directories, entries and what is remembered are bounded; a tree that is larger is looked at in part.
//! 4. What cannot be read is left out: others report that.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::FileType;

use super::base::Base;
use super::error::{DiskError, Result};
use super::scan::SETTLE;
use crate::archive::problems::layout::{VideoDir, VideoFormat, is_hour};
use crate::archive::{HourPlace, Stamp};

/// Directories beneath the base in which is looked: `recordings/DATE/HOUR/CAMERA` is four.
const DEEPEST: usize = 5;
/// Directories that are looked at in one survey.
const MOST_DIRS: usize = 5_000;
/// Directories with video that are reported.
const MOST_FOUND: usize = 1_000;
/// Entries of one directory. A quality of ten years has 87,600 hours.
const MOST_ENTRIES: usize = 200_000;

/// What was read, kept from one survey to the next.
#[derive(Debug, Default)]
pub struct TreeSurvey {
    known: HashMap<String, (Stamp, Listed)>,
}

/// What is of interest in a directory.
#[derive(Debug, Clone, Default)]
struct Listed {
    video: VideoDir,
    /// Directories in it in which may be more: no hours.
    below: Vec<String>,
}

impl TreeSurvey {
    /// Directories that hold video and are no hours; of these hours, what in them does not end as segments do.
    pub fn look(&mut self, base: &Base, hours: &[HourPlace]) -> Vec<VideoDir> {
        let (mut pending, mut found, mut looked_at) = (vec![String::new()], Vec::new(), 0);
        let mut known = std::mem::take(&mut self.known);
        pending.extend(hours.iter().map(HourPlace::to_string));
        // The base first, and breadth before depth: what is new lies near the top.
        let mut next = 0;
        while let Some(path) = pending.get(next).cloned() {
            next += 1;
            looked_at += 1;
            if looked_at > MOST_DIRS || found.len() >= MOST_FOUND {
                break;
            }
            let Ok(Some((listed, stamp))) = list(base, &path, known.remove(&path)) else { continue };
            let depth = path.split('/').filter(|part| !part.is_empty()).count();
            if depth < DEEPEST {
                pending.extend(listed.below.iter().map(|name| join(&path, name)));
            }
            if listed.video.files() > 0 {
                found.push(listed.video.clone());
            }
            if let Some(stamp) = stamp {
                self.known.insert(path, (stamp, listed));
            }
        }
        found
    }
}

/// What is of interest in a directory, and its stamp if that may be trusted; `None` if it is not there.
fn list(base: &Base, path: &str, known: Option<(Stamp, Listed)>) -> Result<Option<(Listed, Option<Stamp>)>> {
    let Some(stamp) = base.stamp(Path::new(path))? else { return Ok(None) };
    if let Some((_, listed)) = known.filter(|(then, _)| *then == stamp) {
        return Ok(Some((listed, Some(stamp))));
    }
    let Some(dir) = base.dir(Path::new(path))? else { return Ok(None) };
    let mut listed = Listed { video: VideoDir { path: path.to_owned(), ..VideoDir::default() }, below: Vec::new() };
    let in_hour = is_hour(path);
    let mut entries = 0;
    dir.each_entry(|entry| {
        entries += 1;
        let Ok(name) = entry.name.to_str() else { return Ok(()) };
        if entries > MOST_ENTRIES {
            return Err(DiskError::TooMany { path: dir.path().to_owned(), limit: MOST_ENTRIES });
        }
        match dir.kind_of(&entry)? {
            FileType::Directory if !in_hour && !is_hour(&join(path, name)) && listed.below.len() < MOST_DIRS => {
                listed.below.push(name.to_owned());
            }
            FileType::RegularFile if VideoFormat::of(name).is_some() => listed.video.count(name),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Some((listed, is_settled(stamp).then_some(stamp))))
}

/// Whether a later change must show in the stamp.
fn is_settled(stamp: Stamp) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let calm = i64::try_from(now.saturating_sub(SETTLE).as_nanos()).unwrap_or(i64::MAX);
    stamp.mtime_ns < calm && stamp.ctime_ns < calm
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(files: &[&str]) -> (tempfile::TempDir, Base) {
        let tree = tempfile::tempdir().unwrap();
        for file in files {
            let path = tree.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let base = Base::open(tree.path()).unwrap();
        (tree, base)
    }

    fn paths(found: &[VideoDir]) -> Vec<(&str, u64)> {
        let mut found: Vec<_> = found.iter().map(|dir| (dir.path.as_str(), dir.files())).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn video_is_found_above_and_beside_the_hours_and_in_the_hours_that_are_named() {
        let hour = "cam/source/2026-03-04T10";
        let (tree, base) = tree(&[
            "a.mkv",
            "cam/b.ts",
            "cam/2026-03-04/10/c.ts",
            "cam/2026-03-04/10/d.ts",
            "cam/source/2026-03-04T10/e.ts",
            "cam/source/2026-03-04T10/f.mkv",
            "cam/source/2026-03-04T09/g.mp4",
            ".gapless/h.ts",
            "emotes/1/light",
            "one/two/three/four/five/six/i.ts",
        ]);
        let mut survey = TreeSurvey::default();
        let found = survey.look(&base, &[HourPlace::parse(hour).unwrap()]);
        let expected = [("", 1), ("cam", 1), ("cam/2026-03-04/10", 2), (hour, 1)];
        assert_eq!(paths(&found), expected);
        fs::write(tree.path().join("cam/j.ts"), "x").unwrap();
        fs::remove_file(tree.path().join("a.mkv")).unwrap();
        assert_eq!(paths(&survey.look(&base, &[])), [("cam", 2), ("cam/2026-03-04/10", 2)]);
    }

    #[test]
    fn what_is_unchanged_is_not_read_again() {
        let (tree, base) = tree(&["cam/b.ts"]);
        let old = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        fs::File::open(tree.path().join("cam")).unwrap().set_times(old).unwrap();
        let mut survey = TreeSurvey::default();
        survey.look(&base, &[]);
        assert!(survey.known.is_empty(), "it changed a moment ago, whatever its times say");
        let stamp = base.stamp(Path::new("cam")).unwrap().unwrap();
        let video = VideoDir { path: "cam".to_owned(), segments: 9, ..VideoDir::default() };
        survey.known.insert("cam".to_owned(), (stamp, Listed { video, below: Vec::new() }));
        assert_eq!(paths(&survey.look(&base, &[])), [("cam", 9)], "what is remembered");
    }
}
