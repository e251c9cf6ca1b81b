//! What the kernel tells about changes in directories: inotify, and nothing on top of it.
//!
//! Fast, and lossy by nature: the queue may overflow, watches are limited, and what happened before a watch was placed
//! is not told. So: **after a watch was placed, the directory must be listed.** An event means "look there", no more;
//! the same change may be told twice, and a file that is still being written is told as well. Nothing here lists,
//! recurses or decides what deserves a watch.
//!
//! The mask leaves out opens, reads and attributes, so that serving a file makes no events.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::fstatfs;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::base::Base;
use super::error::{DiskError, Result};
use super::watched_dirs::{DiskEvent, PlaceChange, WatchedDirs};

/// Exactly what we want to hear about.
const MASK: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Events are taken from the kernel in pieces of this size: about 500 with the names of segments.
const READ_BYTES: usize = 64 << 10;

/// One reading ends soon after so many events, so that a busy tree does not keep its caller from ever answering.
const MOST_EVENTS: usize = 8192;

/// File systems that other machines, or other ways than this mount, change without our kernel hearing of it:
/// NFS, SMB1, CIFS, SMB2, 9P, Ceph, AFS, FUSE, Lustre.
const SILENT: [u32; 9] = [
    0x0000_6969,
    0x0000_517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x6573_5546,
    0x0bd0_0bd0,
];

/// What came of placing a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchOutcome {
    /// It is watched from now on; what came before is not told: list it.
    Placed,
    /// That directory is watched already.
    AlreadyThere,
    /// The system allows no more watches.
    LimitReached {
        /// How many it allows a user altogether; 0 if it does not tell.
        allowed: u64,
    },
    /// There is no such directory (a link is none).
    Gone,
    /// The directory lies on a file system that does not tell its changes, or the system has no `/proc`.
    Unsupported,
}

/// Watches directories.
#[derive(Debug)]
pub struct DirWatcher {
    inotify: OwnedFd,
    wake: Arc<OwnedFd>,
    places: WatchedDirs,
    /// What placing a watch has found out about others, still to be read.
    found: Vec<DiskEvent>,
    buffer: Vec<u8>,
}

/// Ends a blocked [`DirWatcher::read`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the reading that blocks now, or else the next one.
    pub fn wake(&self) {
        // A full counter (WOULDBLOCK) wakes just as well; nothing else can fail while we hold the descriptor.
        if let Err(cause) = rustix::io::write(&*self.0, &1_u64.to_ne_bytes()) {
            tracing::debug!(name: "woken_too_often", %cause, "the watcher was woken more often than it can count");
        }
    }
}

impl DirWatcher {
    /// A watcher that watches nothing yet.
    pub fn new() -> Result<Self> {
        let failed = |errno: Errno| DiskError::NoEvents { cause: errno.into() };
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?,
            wake: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?),
            places: WatchedDirs::default(),
            found: Vec::new(),
            buffer: Vec::with_capacity(READ_BYTES),
        })
    }

    /// What ends a blocked reading.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// How many directories are watched.
    pub fn watched(&self) -> usize {
        self.places.len()
    }

    /// Whether a directory is watched, as far as the events tell that were read.
    pub fn is_watched(&self, rel: &Path) -> bool {
        self.places.watch_of(rel).is_some()
    }

    /// Watches the directory that lies at `rel` now, also if another one was watched there before.
    pub fn watch(&mut self, base: &Base, rel: &Path) -> Result<WatchOutcome> {
        let Some(handle) = base.handle(rel)? else {
            self.unwatch(rel);
            return Ok(WatchOutcome::Gone);
        };
        if is_silent(&handle) {
            self.unwatch(rel);
            return Ok(WatchOutcome::Unsupported);
        }
        // By the descriptor, not by the path, in which a link might have appeared meanwhile.
        let by_handle = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let watch = match inotify::add_watch(&self.inotify, by_handle.as_str(), MASK) {
            Ok(watch) => watch,
            Err(errno) => return self.not_placed(base, rel, errno),
        };
        let before = self.places.watch_of(rel);
        if before == Some(watch) {
            return Ok(WatchOutcome::AlreadyThere);
        }
        if before.is_some() {
            self.unwatch(rel);
        }
        let watch = if let Some(from) = self.places.path_of(watch).map(Path::to_owned) {
            // It was moved here and brought its watch along; that it was moved has yet to be read. A new watch keeps
            // what is queued for the old path apart, and whoever believes in the old one is told.
            self.give_up(&from);
            self.found.push(DiskEvent::DirGone(from));
            match inotify::add_watch(&self.inotify, by_handle.as_str(), MASK) {
                Ok(newer) => newer,
                Err(errno) => return self.not_placed(base, rel, errno),
            }
        } else {
            watch
        };
        self.places.insert(watch, rel);
        // Moved or removed between opening and watching: then the watch tells about another place.
        let here =
            rustix::fs::fstat(&handle).map_err(|errno| DiskError::io("look at", &base.path().join(rel), errno))?;
        if base.stamp(rel)?.is_none_or(|stamp| stamp.ino != here.st_ino) {
            self.unwatch(rel);
            return Ok(WatchOutcome::Gone);
        }
        Ok(WatchOutcome::Placed)
    }

    /// Gives up the watch of a directory, if it has one.
    pub fn unwatch(&mut self, rel: &Path) {
        self.give_up(rel);
    }

    /// Waits for events, at most for `timeout`, and takes what is there; nothing, if woken or if none came.
    pub fn read(&mut self, timeout: Duration) -> Result<Vec<DiskEvent>> {
        if !self.found.is_empty() {
            return Ok(std::mem::take(&mut self.found));
        }
        let failed = |errno: Errno| DiskError::NoEvents { cause: errno.into() };
        let mut waiting = [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&*self.wake, PollFlags::IN)];
        let patience = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut waiting, Some(&patience)) {
            Ok(0) | Err(Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(errno) => return Err(failed(errno)),
        }
        if !waiting[1].revents().is_empty() {
            let mut count = [0; 8];
            match rustix::io::read(&*self.wake, &mut count) {
                Ok(_) | Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        self.drain().map_err(failed)
    }

    fn drain(&mut self) -> Result<Vec<DiskEvent>, Errno> {
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.inotify, self.buffer.spare_capacity_mut());
        // What was taken from the kernel must be read to its end; the bound holds between two pieces.
        while events.len() < MOST_EVENTS || !reader.is_buffer_empty() {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            let name = event.file_name().map_or(&b""[..], std::ffi::CStr::to_bytes);
            let outcome = self.places.take(event.wd(), event.events(), name);
            events.extend(outcome.events);
            for watch in outcome.give_up {
                remove(&self.inotify, watch);
            }
        }
        Ok(events)
    }

    /// Gives up the watch of a directory and those beneath it: without it nothing would tell that they are somewhere else.
    fn give_up(&mut self, rel: &Path) {
        let mut outcome = PlaceChange::default();
        self.places.drop_beneath(rel, &mut outcome);
        for watch in outcome.give_up {
            remove(&self.inotify, watch);
        }
        let own = DiskEvent::DirGone(rel.to_owned());
        self.found.extend(outcome.events.into_iter().filter(|event| *event != own));
    }

    fn not_placed(&mut self, base: &Base, rel: &Path, errno: Errno) -> Result<WatchOutcome> {
        self.unwatch(rel);
        match errno {
            Errno::NOSPC => Ok(WatchOutcome::LimitReached { allowed: allowed_watches() }),
            // The descriptor is open: what does not exist is `/proc`.
            Errno::NOENT | Errno::OPNOTSUPP | Errno::NOSYS => Ok(WatchOutcome::Unsupported),
            _ => Err(DiskError::io("watch", &base.path().join(rel), errno)),
        }
    }
}

fn remove(inotify: &OwnedFd, watch: i32) {
    // The kernel may have given it up already (INVAL).
    if let Err(cause) = inotify::remove_watch(inotify, watch) {
        tracing::trace!(name: "watch_gone", watch, %cause, "the watch was gone already");
    }
}

/// The smaller of the two limits that apply, the second being that of a container's user namespace.
fn allowed_watches() -> u64 {
    ["/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .min()
        .unwrap_or(0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are 32 bits wide; the field is wider on some systems and signed on others"
)]
pub(super) fn is_silent(handle: impl AsFd) -> bool {
    fstatfs(handle).is_ok_and(|about| SILENT.contains(&(about.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::process::Command;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const NOW: Duration = Duration::ZERO;

    fn tree(dirs: &[&str]) -> (tempfile::TempDir, Base, DirWatcher) {
        let tree = tempfile::tempdir().unwrap();
        for dir in dirs {
            fs::create_dir_all(tree.path().join(dir)).unwrap();
        }
        let base = Base::open(tree.path()).unwrap();
        (tree, base, DirWatcher::new().unwrap())
    }

    fn watch(watcher: &mut DirWatcher, base: &Base, rel: &str) -> WatchOutcome {
        watcher.watch(base, Path::new(rel)).unwrap()
    }

    fn appeared(dir: &str, name: &str) -> DiskEvent {
        DiskEvent::Appeared { dir: dir.into(), name: name.into(), is_dir: false }
    }

    fn vanished(dir: &str, name: &str) -> DiskEvent {
        DiskEvent::Vanished { dir: dir.into(), name: name.into(), is_dir: false }
    }

    #[test]
    fn every_way_a_file_arrives_or_leaves_is_told() {
        let (tree, base, mut watcher) = tree(&["a/h", "aside"]);
        assert_eq!(watch(&mut watcher, &base, "a/h"), WatchOutcome::Placed);
        assert_eq!(watch(&mut watcher, &base, "a/h"), WatchOutcome::AlreadyThere);
        let (hour, aside) = (tree.path().join("a/h"), tree.path().join("aside"));

        fs::write(aside.join("x"), "x").unwrap();
        fs::hard_link(aside.join("x"), hour.join("linked")).unwrap();
        assert_eq!(watcher.read(SOON).unwrap(), [appeared("a/h", "linked")]);
        fs::rename(aside.join("x"), hour.join("moved")).unwrap();
        assert_eq!(watcher.read(SOON).unwrap(), [appeared("a/h", "moved")]);
        fs::write(hour.join("written"), "x").unwrap();
        assert_eq!(watcher.read(SOON).unwrap(), [appeared("a/h", "written"), appeared("a/h", "written")]);

        fs::read(hour.join("written")).unwrap();
        assert!(watcher.read(NOW).unwrap().is_empty(), "reading a file is no change");
        fs::remove_file(hour.join("written")).unwrap();
        fs::rename(hour.join("moved"), aside.join("back")).unwrap();
        assert_eq!(watcher.read(SOON).unwrap(), [vanished("a/h", "written"), vanished("a/h", "moved")]);

        fs::create_dir(hour.join("dir")).unwrap();
        let dir = DiskEvent::Appeared { dir: "a/h".into(), name: "dir".into(), is_dir: true };
        assert_eq!(watcher.read(SOON).unwrap(), [dir]);
    }

    #[test]
    fn links_files_and_absent_directories_are_not_watched() {
        let (tree, base, mut watcher) = tree(&["a"]);
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), tree.path().join("link")).unwrap();
        fs::write(tree.path().join("file"), "").unwrap();
        for rel in ["link", "file", "none", "a/none"] {
            assert_eq!(watch(&mut watcher, &base, rel), WatchOutcome::Gone, "{rel}");
        }
        assert!(watcher.watch(&base, Path::new("..")).is_err());
        assert_eq!(watcher.watched(), 0);
    }

    #[test]
    fn a_removed_directory_is_gone_and_its_successor_is_another() {
        let (tree, base, mut watcher) = tree(&["h"]);
        watch(&mut watcher, &base, "h");
        fs::remove_dir(tree.path().join("h")).unwrap();
        fs::create_dir(tree.path().join("h")).unwrap();
        assert_eq!(watch(&mut watcher, &base, "h"), WatchOutcome::Placed, "before its end was read");
        fs::write(tree.path().join("h/x"), "").unwrap();
        let events = watcher.read(SOON).unwrap();
        assert!(events.contains(&appeared("h", "x")), "{events:?}");
        assert!(watcher.is_watched(Path::new("h")));
        fs::remove_file(tree.path().join("h/x")).unwrap();
        fs::remove_dir(tree.path().join("h")).unwrap();
        let later = watcher.read(SOON).unwrap();
        assert_eq!(later.last(), Some(&DiskEvent::DirGone("h".into())), "{later:?}");
        assert_eq!(watcher.watched(), 0);
    }

    #[test]
    fn a_moved_directory_is_no_longer_told_under_its_old_name() {
        let (tree, base, mut watcher) = tree(&["a/h"]);
        watch(&mut watcher, &base, "a/h");
        fs::rename(tree.path().join("a/h"), tree.path().join("a/i")).unwrap();
        assert_eq!(watcher.read(SOON).unwrap(), [DiskEvent::DirGone("a/h".into())]);
        fs::write(tree.path().join("a/i/x"), "").unwrap();
        assert!(watcher.read(NOW).unwrap().is_empty());
        assert_eq!(watch(&mut watcher, &base, "a/i"), WatchOutcome::Placed);
    }

    #[test]
    fn a_moved_directory_that_is_watched_again_at_once_stays_watched() {
        let (tree, base, mut watcher) = tree(&["a/h"]);
        watch(&mut watcher, &base, "a/h");
        fs::rename(tree.path().join("a/h"), tree.path().join("a/i")).unwrap();
        assert_eq!(watch(&mut watcher, &base, "a/i"), WatchOutcome::Placed, "before the move was read");
        fs::write(tree.path().join("a/i/x"), "").unwrap();
        assert_eq!(
            watcher.read(SOON).unwrap(),
            [DiskEvent::DirGone("a/h".into())],
            "whoever believes in the old name is told"
        );
        assert_eq!(watcher.read(SOON).unwrap(), [appeared("a/i", "x"), appeared("a/i", "x")]);
        assert!(watcher.is_watched(Path::new("a/i")) && !watcher.is_watched(Path::new("a/h")));
    }

    #[test]
    fn directories_that_change_places_take_no_watch_beneath_along_unnoticed() {
        let (tree, base, mut watcher) = tree(&["a/q/h", "b/q/h"]);
        let all = ["a", "a/q", "a/q/h", "b", "b/q", "b/q/h"];
        for path in all {
            assert_eq!(watch(&mut watcher, &base, path), WatchOutcome::Placed);
        }
        for (from, to) in [("a", "c"), ("b", "a"), ("c", "b")] {
            fs::rename(tree.path().join(from), tree.path().join(to)).unwrap();
        }
        // The watches are placed anew before it was read that anything moved.
        watch(&mut watcher, &base, "a");
        watch(&mut watcher, &base, "b");
        let mut gone = Vec::new();
        while let events @ [_, ..] = &watcher.read(NOW).unwrap()[..] {
            gone.extend(events.iter().filter_map(|event| match event {
                DiskEvent::DirGone(path) => Some(path.to_string_lossy().into_owned()),
                _ => None,
            }));
        }
        for path in ["a/q", "a/q/h", "b/q", "b/q/h"] {
            assert!(gone.iter().any(|told| told == path), "{path} is somewhere else now: {gone:?}");
        }
    }

    #[test]
    fn what_was_given_up_is_silent() {
        let (tree, base, mut watcher) = tree(&["h"]);
        watch(&mut watcher, &base, "h");
        fs::write(tree.path().join("h/x"), "").unwrap();
        watcher.unwatch(Path::new("h"));
        fs::write(tree.path().join("h/y"), "").unwrap();
        assert!(watcher.read(NOW).unwrap().is_empty());
        watcher.unwatch(Path::new("h"));
        assert_eq!(watch(&mut watcher, &base, "h"), WatchOutcome::Placed);
    }

    #[test]
    fn a_flood_is_told_or_its_loss_is() {
        let (tree, base, mut watcher) = tree(&["h"]);
        watch(&mut watcher, &base, "h");
        let queue: usize =
            fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
        if queue > 100_000 {
            eprintln!("skipped: the queue of this machine is too long to be filled quickly");
            return;
        }
        // Each turn is two events that differ from the one before, so that the kernel cannot fold them.
        let (one, other) = (tree.path().join("h/one"), tree.path().join("h/other"));
        fs::write(&one, "").unwrap();
        for _ in 0..=queue / 4 {
            fs::rename(&one, &other).unwrap();
            fs::rename(&other, &one).unwrap();
        }
        let first = watcher.read(SOON).unwrap();
        assert!(first.len() >= MOST_EVENTS && first.len() < 2 * MOST_EVENTS, "{}", first.len());
        let mut last = first.last().cloned();
        let mut total = first.len();
        loop {
            let more = watcher.read(NOW).unwrap();
            let Some(end) = more.last() else { break };
            last = Some(end.clone());
            total += more.len();
        }
        assert_eq!(last, Some(DiskEvent::Overflow));
        assert_eq!(total, queue + 1);
        fs::write(tree.path().join("h/after"), "").unwrap();
        assert!(watcher.read(SOON).unwrap().contains(&appeared("h", "after")));
    }

    #[test]
    fn many_directories_filled_at_once_are_complete_with_a_listing() {
        let (tree, base, mut watcher) = tree(&[]);
        watch(&mut watcher, &base, "");
        let top = tree.path().to_owned();
        let writer = thread::spawn(move || {
            for index in 0..200 {
                let dir = top.join(index.to_string());
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("x.ts"), "").unwrap();
            }
        });
        let mut found = BTreeSet::new();
        let deadline = Instant::now() + SOON;
        while found.len() < 200 && Instant::now() < deadline {
            for event in watcher.read(Duration::from_millis(100)).unwrap() {
                match event {
                    DiskEvent::Appeared { name, is_dir: true, .. } => {
                        let rel = PathBuf::from(name);
                        assert_eq!(watch(&mut watcher, &base, rel.to_str().unwrap()), WatchOutcome::Placed);
                        if !base.dir(&rel).unwrap().unwrap().scan().unwrap().is_empty() {
                            found.insert(rel);
                        }
                    }
                    DiskEvent::Appeared { dir, .. } => {
                        found.insert(dir);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        writer.join().unwrap();
        assert_eq!(found.len(), 200);
    }

    #[test]
    fn another_thread_ends_the_waiting() {
        let (_tree, _base, mut watcher) = tree(&[]);
        let waker = watcher.waker();
        let begun = Instant::now();
        let other = thread::spawn(move || waker.wake());
        assert!(watcher.read(Duration::from_secs(60)).unwrap().is_empty());
        assert!(begun.elapsed() < Duration::from_secs(30));
        other.join().unwrap();
        let again = Instant::now();
        watcher.read(Duration::from_millis(20)).unwrap();
        assert!(again.elapsed() >= Duration::from_millis(20), "one call wakes once");
    }

    /// The real limit of a real kernel, in a user namespace of its own: this test runs itself again in there.
    #[test]
    fn the_limit_of_the_system_is_told() {
        const INSIDE: &str = "GAPLESS_TEST_WATCH_LIMIT";
        if std::env::var_os(INSIDE).is_none() {
            let script =
                "echo 2 > /proc/sys/user/max_inotify_watches || exit 77; exec \"$0\" --exact --nocapture \"$1\"";
            let name = "disk::events::tests::the_limit_of_the_system_is_told";
            let this = std::env::current_exe().unwrap();
            let done =
                Command::new("unshare").args(["-Ur", "sh", "-c", script]).arg(this).arg(name).env(INSIDE, "1").output();
            match done {
                Ok(done) if done.status.success() => {
                    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "{done:?}");
                }
                Ok(done) if done.status.code() == Some(101) => panic!("{done:?}"),
                other => eprintln!("skipped: no user namespace to be had: {other:?}"),
            }
            return;
        }
        let (_tree, base, mut watcher) = tree(&["a", "b", "c"]);
        assert_eq!(watch(&mut watcher, &base, "a"), WatchOutcome::Placed);
        assert_eq!(watch(&mut watcher, &base, "b"), WatchOutcome::Placed);
        assert_eq!(watch(&mut watcher, &base, "c"), WatchOutcome::LimitReached { allowed: 2 });
        assert_eq!(watch(&mut watcher, &base, "a"), WatchOutcome::AlreadyThere);
        watcher.unwatch(Path::new("a"));
        // The kernel gives the room back a moment later.
        let deadline = Instant::now() + SOON;
        while watch(&mut watcher, &base, "c") != WatchOutcome::Placed {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
    }
}
