//! The archive, its marker, its index and the room for them, looked at from the disk alone: no daemon is needed, and none is disturbed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatVfs, StatVfsMountFlags, accessat, statfs, statvfs};

use super::{CheckResult, machine, recordings, verdict};
use crate::archive::placement::{LARGEST_LAYOUT, LARGEST_STAGED, Layout, StagedChanges};
use crate::archive::problems::video::ProblemThresholds;
use crate::archive::quantity::size;
use crate::archive::{FileName, Horizon, Hour, HourPlace, Stream, Timestamp, parse_file_name};
use crate::disk::{ArchiveId, Base, BaseVerdict, DiskError, LayoutFiles, atomic, marker};
use crate::index::{self, FileLook, IndexError};
use crate::lifecycle::retention;
use crate::sync::check::hours_on_disk;

/// Newest hours of each channel and quality of which files are opened, and how many files of each: enough to meet an owner or a mode
/// that is wrong, and over in a moment.
const HOURS: usize = 2;
const FILES: usize = 25;
/// Newest hours of each of which the names are looked at: a day.
const HOURS_LISTED: usize = 24;
/// Channels and qualities that are looked at.
const STREAMS: usize = 100;
/// Entries of the state directory that are added up.
const ENTRIES: usize = 1_000_000;

#[derive(Debug, Clone)]
pub struct CheckedPlace {
    pub base_dir: PathBuf,
    pub state_dir: PathBuf,
    /// What is to stay free.
    pub keep_free: u64,
    pub thresholds: ProblemThresholds,
    /// Newest hours of each quality that are watched.
    pub watched_hours: u64,
    pub now: Timestamp,
    /// Whether files are to be written into the archive: fetched, hidden or deleted.
    pub writes: bool,
    /// Whether a daemon has the index open, which then tells about it.
    pub runs: bool,
}

#[derive(Debug, Default)]
pub struct ArchiveFindings {
    pub findings: Vec<CheckResult>,
    /// Watches that a node will place on it.
    pub watches: u64,
    /// The archive's id, from its marker.
    pub id: Option<ArchiveId>,
}

/// Looks at everything. Blocks: not for async code.
pub fn examine(place: &CheckedPlace) -> ArchiveFindings {
    let mut found = ArchiveFindings::default();
    let base = match Base::open(&place.base_dir) {
        Ok(base) => base,
        Err(error) => {
            found.findings.push(failed("archive", &error));
            return found;
        }
    };
    found.findings.push(verdict::kernel(&machine::kernel_release()));
    found.findings.push(beneath(&base));
    let read_only = statvfs(base.path()).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    found.findings.extend(statfs(base.path()).ok().map(|stat| verdict::file_system(magic(&stat), read_only)));
    let index_look = if place.runs { Ok(None) } else { look(&index_file(&place.state_dir)) };
    let there = marker::read(&base);
    found.id = there.as_ref().ok().copied().flatten();
    if !place.runs {
        let is_unread = index_file(&place.state_dir).exists() && !matches!(index_look, Ok(Some(_)));
        found.findings.push(if is_unread { unproven(&there) } else { marked(&index_look, &there, read_only) });
        found.findings.push(index_of(&index_look));
    }
    found.findings.extend(own_directories(&base, &place.state_dir, read_only));
    found.findings.extend(aside(&place.state_dir));
    // Records belong to an archive by its id: without one the marker is what is missing, and was told.
    if found.id.is_some() {
        found.findings.extend(protection(&base));
    }
    // A daemon says so itself.
    if !place.runs {
        found.findings.extend(layout_of(&base));
    }
    let quarantined = bytes_below(&place.base_dir.join(marker::OWN_DIR).join("quarantine"));
    found.findings.extend(verdict::quarantine(quarantined));
    let hours = hours_on_disk(&base);
    match &hours {
        Ok(hours) => {
            let horizon = Horizon::at(place.now);
            found.findings.push(readable(&base, hours, horizon, place.writes && !read_only));
            found.findings.extend(verdict::future_hours(hours, horizon));
            found.findings.extend(occupied(&base, hours, horizon));
            if !place.runs {
                found.findings.extend(recordings::examine(&base, hours, place.now, &place.thresholds));
            }
        }
        Err(error) => found.findings.push(failed("archive files", error)),
    }
    found.watches = hours.map_or(0, |hours| watches(&hours, place.watched_hours));
    found.findings.extend(room(place, &base));
    found
}

/// The errors of the disk say themselves what to do, behind the last semicolon.
fn failed(check: &str, error: &DiskError) -> CheckResult {
    let text = error.to_string();
    let (value, advice) = text.rsplit_once("; ").unwrap_or((&text, "look at the path and its rights"));
    CheckResult::fail(check, value, advice)
}

#[expect(clippy::cast_sign_loss, reason = "a magic number is a pattern of bits, whose sign means nothing")]
fn magic(stat: &rustix::fs::StatFs) -> u64 {
    // 32 bits, sign-extended on some machines.
    stat.f_type as u64 & 0xFFFF_FFFF
}

fn beneath(base: &Base) -> CheckResult {
    match base.stamp(Path::new(marker::OWN_DIR)) {
        Ok(_) => CheckResult::ok("openat2", "paths are kept beneath the archive by the kernel"),
        Err(error) if error.to_string().contains("not implemented") => {
            let advice =
                "a filter of system calls forbids it, as old container engines do: update the engine, or allow openat2";
            CheckResult::fail("openat2", error.to_string(), advice)
        }
        Err(error) => failed("archive", &error),
    }
}

fn index_file(state_dir: &Path) -> PathBuf {
    state_dir.join("index.redb")
}

/// What is known of the index: nothing if there is none, or if it must be mended first.
type IndexLook = Result<Option<FileLook>, IndexError>;

fn look(file: &Path) -> IndexLook {
    if file.exists() { index::look(file) } else { Ok(None) }
}

fn marked(index_look: &IndexLook, there: &Result<Option<ArchiveId>, DiskError>, read_only: bool) -> CheckResult {
    let look = index_look.as_ref().ok().copied().flatten();
    let ours = look.and_then(|look| look.archive).map(ArchiveId::from_bytes);
    let is_empty = look.is_none_or(|look| look.is_empty);
    match crate::disk::verdict(ours, is_empty, there) {
        BaseVerdict::Known => CheckResult::ok("marker", ours.map_or_else(String::new, |id| id.to_string())),
        BaseVerdict::Adopt(id) => CheckResult::ok("marker", format!("{id}, which the index takes over at the start")),
        BaseVerdict::Fresh if read_only => {
            CheckResult::ok("marker", "none; the archive is read-only and is known by its channels")
        }
        BaseVerdict::Fresh | BaseVerdict::Again(_) => CheckResult::ok("marker", "none yet; the first start writes it"),
        BaseVerdict::Refuse(why) => {
            let (value, advice) = why.split_once(": ").unwrap_or((&why, "mount the right disk"));
            CheckResult::fail("marker", value, advice)
        }
    }
}

/// Without the word of the index, which is there and has to be mended first or cannot be read.
fn unproven(there: &Result<Option<ArchiveId>, DiskError>) -> CheckResult {
    match there {
        Ok(Some(id)) => {
            CheckResult::ok("marker", format!("{id}; the index is asked at the start whether it is the right one"))
        }
        Ok(None) => CheckResult::warn(
            "marker",
            "none, though there is an index",
            "make sure that the disk is mounted before the node starts",
        ),
        Err(error) => failed("marker", error),
    }
}

fn index_of(index_look: &IndexLook) -> CheckResult {
    match index_look {
        Ok(Some(look)) if look.format < look.current => {
            let value = format!("format {}, which the next start brings up to {}", look.format, look.current);
            CheckResult::ok("index", format!("{value}; an older version cannot read it then"))
        }
        Ok(Some(look)) => CheckResult::ok(
            "index",
            format!("format {}; `gapless rebuild --check` compares it with every file", look.format),
        ),
        Ok(None) => CheckResult::ok("index", "none that was closed in order; it is made or mended at the start"),
        Err(IndexError::InUse) => {
            CheckResult::warn("index", "another process has it open", "wait until that has ended, and look again")
        }
        Err(error @ IndexError::Newer { .. }) => {
            CheckResult::fail("index", error.to_string(), "start the newer version, or delete the index to rebuild it")
        }
        Err(error @ IndexError::Io(_)) => CheckResult::fail(
            "index",
            error.to_string(),
            "look as the user that the node runs as, or correct the file's rights",
        ),
        Err(error) => {
            let advice = "the next start, or `gapless rebuild`, sets it aside and builds a new one; look for a failing disk (dmesg)";
            CheckResult::fail("index", error.to_string(), advice)
        }
    }
}

/// Whether what a node writes beside the archive can be written, renamed and removed there.
fn own_directories(base: &Base, state_dir: &Path, read_only: bool) -> Vec<CheckResult> {
    let own = base.path().join(marker::OWN_DIR);
    let mut places = vec![("state directory", state_dir)];
    if own != state_dir && !read_only {
        places.push(("marker directory", &own));
    }
    places.into_iter().map(|(check, path)| writable(check, path)).collect()
}

fn writable(check: &str, path: &Path) -> CheckResult {
    let shown = path.display().to_string();
    if !path.exists() {
        let above = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
        return match accessat(CWD, above, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => CheckResult::ok(check, format!("{shown} is not there yet and can be made")),
            Err(errno) => CheckResult::fail(
                check,
                format!("{shown} is not there, and {} cannot be written: {errno}", above.display()),
                "make it for the user that the node runs as, or choose another --state-dir",
            ),
        };
    }
    let name = format!(".doctor.{}.tmp", std::process::id());
    let tried = Base::open(path).and_then(|dir| dir.dir(Path::new(""))).and_then(|dir| {
        dir.map_or(Ok(()), |dir| atomic::write_new(&dir, OsStr::new(&name), b"gapless doctor was here\n"))
    });
    // Also where it was written and not flushed.
    let removed = std::fs::remove_file(path.join(&name));
    match (tried, removed) {
        (Ok(()), Ok(())) => CheckResult::ok(check, format!("{shown}, {}", size(bytes_below(path)))),
        (Ok(()), Err(error)) => CheckResult::fail(
            check,
            format!("a file in {shown} cannot be removed: {error}"),
            "look at the directory's rights",
        ),
        (Err(error), _) => failed(check, &error),
    }
}

/// Bytes of all files below, as far as they can be seen.
fn bytes_below(path: &Path) -> u64 {
    let (mut pending, mut sum, mut entries) = (vec![path.to_owned()], 0_u64, 0);
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            entries += 1;
            if entries > ENTRIES {
                return sum;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => pending.push(entry.path()),
                Ok(meta) => sum += meta.len(),
                Err(_) => {}
            }
        }
    }
    sum
}

fn aside(state_dir: &Path) -> Vec<CheckResult> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(state_dir).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(b"index.redb.damaged-") {
            files += 1;
            bytes += entry.metadata().map_or(0, |meta| meta.len());
        }
    }
    verdict::set_aside(files, bytes).into_iter().collect()
}

/// What stops all deletion until a person has looked: records that cannot be relied on, and a clock that is contradicted.
fn protection(base: &Base) -> Vec<CheckResult> {
    let check = "protection";
    let mut findings = match retention::examine(base) {
        Ok(unusable) => unusable
            .into_iter()
            .map(|record| {
                let value = format!("the record .gapless/{} cannot be relied on: {}", record.name, record.why);
                CheckResult::fail(
                    check,
                    value,
                    "nothing is deleted: look at the record, then `gapless retention accept`",
                )
            })
            .collect(),
        Err(error) => vec![failed(check, &error)],
    };
    if let Ok(Some(why)) = retention::examine_clock(base) {
        let advice = "nothing is deleted: set the clock right, or `gapless retention run --yes` if it is";
        findings.push(CheckResult::fail(check, why, advice));
    }
    findings
}

/// The layout, if there is one, and the changes that wait.
fn layout_of(base: &Base) -> Vec<CheckResult> {
    let check = "layout";
    let unusable = |why: String| {
        let advice =
            "nothing is decided by it: `gapless layout take FILE` puts the layout of another node in its place";
        CheckResult::fail(check, why, advice)
    };
    let files = LayoutFiles::of(base);
    let found = match files.layout(LARGEST_LAYOUT) {
        Ok(None) => None,
        Ok(Some(bytes)) => Some(match Layout::read(&bytes) {
            Ok(layout) => CheckResult::ok(check, format!("version {}", layout.version())),
            Err(error) => unusable(error.to_string()),
        }),
        Err(error) => Some(unusable(error.to_string())),
    };
    let staged = match files.staged(LARGEST_STAGED) {
        Ok(Some(bytes)) => StagedChanges::read(&bytes).err().map(|error| error.to_string()),
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    };
    let staged = staged.map(|why| CheckResult::warn(check, why, "stage the changes anew after that"));
    found.into_iter().chain(staged).collect()
}

/// Opens some of the newest files, and looks whether their directories can be written where that is needed.
fn readable(base: &Base, streams: &[(Stream, Vec<Hour>)], horizon: Horizon, writes: bool) -> CheckResult {
    let (mut opened, mut first) = (0_u64, None);
    for (stream, hours) in streams.iter().take(STREAMS) {
        let by_hour = hours.iter().map(|hour| (*hour, ())).collect();
        for hour in horizon.newest(&by_hour).take(HOURS) {
            match sample(base, &HourPlace { stream: stream.clone(), hour }, writes) {
                Ok(files) => opened += files,
                Err(finding) => first = first.or(Some(finding)),
            }
        }
    }
    let fine = format!("{opened} of the newest files can be read");
    first.unwrap_or_else(|| {
        CheckResult::ok("archive files", if writes { fine + ", and new ones can be written beside them" } else { fine })
    })
}

/// Names of segments in the newest hours under which something else lies.
fn occupied(base: &Base, streams: &[(Stream, Vec<Hour>)], horizon: Horizon) -> Option<CheckResult> {
    let is_segment = |name: &str| matches!(parse_file_name(name), FileName::Understood(_));
    let (mut count, mut first) = (0, None);
    for (stream, hours) in streams.iter().take(STREAMS) {
        let by_hour = hours.iter().map(|hour| (*hour, ())).collect();
        for hour in horizon.newest(&by_hour).take(HOURS_LISTED) {
            let path = HourPlace { stream: stream.clone(), hour }.path();
            let names = match base
                .dir(&path)
                .and_then(|dir| dir.map_or(Ok(Vec::new()), |dir| dir.occupied_names(is_segment)))
            {
                Ok(names) => names,
                Err(error) => return Some(failed("occupied names", &error)),
            };
            count += names.len() as u64;
            first =
                first.or_else(|| names.first().map(|name| base.path().join(&path).join(name).display().to_string()));
        }
    }
    verdict::occupied(count, &first.unwrap_or_default())
}

fn sample(base: &Base, place: &HourPlace, writes: bool) -> Result<u64, CheckResult> {
    let check = "archive files";
    let advice = "give the user that the node runs as the right to it: a common group, or chown";
    let wrong = |error: DiskError| CheckResult::fail(check, error.to_string(), advice);
    let Some(dir) = base.dir(&place.path()).map_err(wrong)? else { return Ok(0) };
    if writes && let Err(errno) = accessat(CWD, dir.path(), Access::WRITE_OK, AtFlags::EACCESS) {
        let value = format!("nothing can be put into {}: {errno}", dir.path().display());
        return Err(CheckResult::fail(check, value, advice));
    }
    let scan = dir.scan().map_err(wrong)?;
    let mut opened = 0;
    for (name, _) in scan.iter().take(FILES) {
        base.open_file(&place.path().join(OsStr::from_bytes(name))).map_err(wrong)?;
        opened += 1;
    }
    Ok(opened)
}

/// The base, each channel and each quality, and the newest hours.
fn watches(streams: &[(Stream, Vec<Hour>)], newest: u64) -> u64 {
    let mut channels: Vec<_> = streams.iter().map(|(stream, _)| &stream.channel).collect();
    channels.dedup();
    // Beside the newest up to the horizon as many up to the hour that runs, and one beyond: see [`Horizon::watched`].
    let most = newest.saturating_mul(2).saturating_add(1);
    let hours: u64 = streams.iter().map(|(_, hours)| most.min(hours.len() as u64)).sum();
    1 + (channels.len() + streams.len()) as u64 + hours
}

fn room(place: &CheckedPlace, base: &Base) -> Vec<CheckResult> {
    let free = |stat: &StatVfs| stat.f_bavail.saturating_mul(stat.f_frsize);
    let mut found = Vec::new();
    if let Ok(stat) = statvfs(base.path()) {
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        found.push(verdict::base_space(free(&stat), total, place.keep_free));
        found.extend(verdict::inodes(stat.f_favail, stat.f_files));
    }
    let above = place.state_dir.ancestors().find(|above| above.exists()).unwrap_or(base.path());
    if let Ok(stat) = statvfs(above) {
        let index = std::fs::metadata(index_file(&place.state_dir)).map_or(0, |meta| meta.len());
        found.push(verdict::state_space(free(&stat), index));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{CheckLevel, worst};
    use super::*;

    fn place(base: &Path) -> CheckedPlace {
        CheckedPlace {
            base_dir: base.to_owned(),
            state_dir: base.join(".gapless"),
            keep_free: 0,
            thresholds: ProblemThresholds::default(),
            watched_hours: 2,
            now: Timestamp::parse("2026-03-04T10:30:00").unwrap(),
            writes: true,
            runs: false,
        }
    }

    #[test]
    fn a_new_archive_is_fine_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("chan/source/2019-11-13T02")).unwrap();
        std::fs::write(dir.path().join("chan/source/2019-11-13T02/x.ts"), b"x").unwrap();
        let found = examine(&place(dir.path()));
        let failed: Vec<_> = found.findings.iter().filter(|finding| finding.level == CheckLevel::Fail).collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!((found.watches, found.id), (4, None));
        assert!(!dir.path().join(".gapless").exists());
    }

    #[test]
    fn an_archive_that_is_not_there_is_the_only_thing_told() {
        let dir = tempfile::tempdir().unwrap();
        let found = examine(&place(&dir.path().join("missing")));
        assert_eq!(found.findings.len(), 1);
        assert_eq!(found.findings[0].level, CheckLevel::Fail);
        assert!(found.findings[0].advice.as_ref().unwrap().contains("mount the disk"), "{:?}", found.findings);
    }

    #[test]
    fn a_damaged_index_and_those_set_aside_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join(".gapless");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("index.redb"), vec![7; 8192]).unwrap();
        std::fs::write(state.join("index.redb.damaged-2026-01-01T00:00:00"), b"x").unwrap();
        let found = examine(&place(dir.path())).findings;
        let level = |check: &str| found.iter().find(|finding| finding.check == check).map(|finding| finding.level);
        assert_eq!(
            (level("index"), level("damaged indexes")),
            (Some(CheckLevel::Fail), Some(CheckLevel::Warn)),
            "{found:?}"
        );
        assert_eq!(worst(&found), CheckLevel::Fail);
        assert_eq!(std::fs::read(state.join("index.redb")).unwrap(), vec![7; 8192]);
        let left: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "nothing of the doctor stays behind: {left:?}");
    }
}
