//! Is the disk there, and is it the right one? Asked once at the start, and again and again while we run.
//!
//! [`verdict`] is the decision at the start, without any I/O. [`BaseGuard`] is the watch kept afterwards:
//!
//! 1. Everything takes the base from [`BaseGuard::base`] for one piece of work, and gets a reason instead while it is away.
//! 2. An error that looks like an absent disk is given to [`BaseGuard::report`], which looks at the base itself: one
//!    directory without permission, or one bad sector, does not take the whole archive away.
//! 3. [`BaseGuard::check`], called about once a second, notices a disk that was taken away silently, and is the only
//!    thing that brings it back. When the path has come to lead to another directory with the right marker, the
//!    handle is exchanged; watches placed beneath the old one are worth nothing then.
//!
//! While the disk is away nothing may be concluded from it: no row leaves the index, and listings say 503.
//! A disk that hangs makes `check` and `report` hang, never `base`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

use super::archive_id::ArchiveId;
use super::base::Base;
use super::error::{DiskError, Result};
use super::marker::{self, CachePolicy};

/// What to do at the start, given what the index knows and what lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseVerdict {
    /// A new archive: create a marker with an id of its own.
    Fresh,
    /// The archive that the index belongs to.
    Known,
    /// The index is empty and its marker is gone: create it again, with the id that is known.
    Again(ArchiveId),
    /// The index does not know its archive yet, and this one has an id: take it over.
    Adopt(ArchiveId),
    /// Do not start: the reason, as a sentence for the operator.
    Refuse(String),
}

/// Decides about the start. Nothing is looked at but what is given.
pub fn verdict(known: Option<ArchiveId>, index_is_empty: bool, found: &Result<Option<ArchiveId>>) -> BaseVerdict {
    match (known, found) {
        (_, Err(error)) => BaseVerdict::Refuse(error.to_string()),
        (None, Ok(None)) => BaseVerdict::Fresh,
        (None, Ok(Some(there))) => BaseVerdict::Adopt(*there),
        (Some(ours), Ok(Some(there))) if ours == *there => BaseVerdict::Known,
        (Some(ours), Ok(Some(there))) => BaseVerdict::Refuse(format!(
            "the index belongs to archive {ours}, but the base directory holds archive {there}: \
             mount the right disk, or give this archive a state directory of its own"
        )),
        (Some(ours), Ok(None)) if index_is_empty => BaseVerdict::Again(ours),
        (Some(ours), Ok(None)) => BaseVerdict::Refuse(format!(
            "the index belongs to archive {ours}, but the base directory has no marker (.gapless/marker): \
             the disk is not mounted, or the marker was removed. Mount the disk, or restore the marker; \
             if this really is a new archive, remove the index"
        )),
    }
}

/// Absences that wait to be asked for.
const MOST_ABSENCES: usize = 256;

/// How the right base is told from a wrong one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseIdentity {
    /// By its marker.
    Marked(ArchiveId),
    /// A base in which no marker can be written: one of the known channels must be there, if any is known.
    Unmarked {
        /// The channels that the index knows.
        channels: Vec<String>,
    },
}

/// Why there is no base, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwayReason {
    /// A sentence for the operator.
    pub reason: String,
    /// When it was noticed.
    pub since: SystemTime,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// All is as it was.
    Fine,
    /// The base was away and is back, or was exchanged: what was watched must be watched and read again.
    Back {
        /// Whether it is another directory handle than before.
        exchanged: bool,
    },
    /// The base is away.
    Away(AwayReason),
}

/// Keeps an eye on the base while the daemon runs.
#[derive(Debug)]
pub struct BaseGuard {
    path: PathBuf,
    identity: RwLock<BaseIdentity>,
    state: RwLock<BaseState>,
    returns: AtomicU64,
    absences: Mutex<Vec<(SystemTime, SystemTime)>>,
}

#[derive(Debug)]
struct BaseState {
    base: Arc<Base>,
    away: Option<AwayReason>,
}

impl BaseGuard {
    /// Begins with a base that was found to be the right one.
    pub fn new(base: Base, identity: BaseIdentity) -> Self {
        let path = base.path().to_owned();
        let state = BaseState { base: Arc::new(base), away: None };
        Self {
            path,
            identity: RwLock::new(identity),
            state: RwLock::new(state),
            returns: AtomicU64::new(0),
            absences: Mutex::default(),
        }
    }

    /// The base, for one piece of work, or why there is none.
    pub fn base(&self) -> Result<Arc<Base>, AwayReason> {
        let state = self.state.read();
        match &state.away {
            None => Ok(Arc::clone(&state.base)),
            Some(reason) => Err(reason.clone()),
        }
    }

    /// Tells an unmarked base by which channels it is known from now on; that there are none tells nothing.
    pub fn learn(&self, known: impl FnOnce() -> Vec<String>) {
        let mut identity = self.identity.write();
        if let BaseIdentity::Unmarked { channels } = &mut *identity {
            let now = known();
            if !now.is_empty() {
                *channels = now;
            }
        }
    }

    /// How often the base came back or was exchanged, whoever noticed it: what was watched before a return is not watched any more.
    pub fn returns(&self) -> u64 {
        self.returns.load(Ordering::SeqCst)
    }

    /// When the base was away, since this was last asked: from when it was noticed until it was noticed to be back.
    pub fn take_absences(&self) -> Vec<(SystemTime, SystemTime)> {
        std::mem::take(&mut *self.absences.lock())
    }

    /// Looks whether the right base is there, opening the path anew if it leads elsewhere by now.
    pub fn check(&self) -> Checked {
        let held = Arc::clone(&self.state.read().base);
        let identity = self.identity();
        match find(&self.path, &held, &identity) {
            Err(error) => Checked::Away(self.set_away(&error)),
            Ok(newer) => {
                let mut state = self.state.write();
                let was_away = state.away.take();
                let exchanged = newer.is_some();
                if let Some(base) = newer {
                    state.base = Arc::new(base);
                }
                if was_away.is_none() && !exchanged {
                    return Checked::Fine;
                }
                if let Some(reason) = was_away {
                    let mut absences = self.absences.lock();
                    // Nobody may ask for a while.
                    if absences.len() < MOST_ABSENCES {
                        absences.push((reason.since, SystemTime::now()));
                    }
                }
                self.returns.fetch_add(1, Ordering::SeqCst);
                tracing::info!(name: "disk_back", base = %self.path.display(), exchanged, "the base directory is there again");
                Checked::Back { exchanged }
            }
        }
    }

    /// Takes note of an error. True if the base is away now: then nothing may be concluded from the error's absence.
    ///
    /// Only [`DiskError::is_away`] errors are looked into, and only if the base itself does not answer either it is away.
    pub fn report(&self, error: &DiskError) -> bool {
        if !error.is_away() {
            return false;
        }
        let held = Arc::clone(&self.state.read().base);
        match probe(&held, &self.identity(), CachePolicy::FromDisk) {
            Ok(()) => {
                tracing::debug!(name: "part_unreadable", %error, "a part of the archive cannot be read");
                false
            }
            Err(worse) => {
                self.set_away(&worse);
                true
            }
        }
    }

    fn set_away(&self, error: &DiskError) -> AwayReason {
        let mut state = self.state.write();
        let since = state.away.as_ref().map_or_else(SystemTime::now, |before| before.since);
        let reason = AwayReason { reason: error.to_string(), since };
        if state.away.replace(reason.clone()).is_none() {
            tracing::error!(name: "disk_away", base = %self.path.display(), %error, "the base directory is not there; assuming that the disk is away");
        }
        reason
    }

    fn identity(&self) -> BaseIdentity {
        self.identity.read().clone()
    }
}

/// Whether `held` is right and still where it should be: `None`; or the base that is there instead, if that is right.
fn find(path: &Path, held: &Base, identity: &BaseIdentity) -> Result<Option<Base>> {
    // A stale handle (a network disk that came back) cannot even be compared; the path may lead to a good one.
    if held.same_as_path().unwrap_or(false) && probe(held, identity, CachePolicy::Cached).is_ok() {
        return Ok(None);
    }
    let there = Base::open(path)?;
    probe(&there, identity, CachePolicy::Cached)?;
    Ok(Some(there))
}

/// Whether the base can be read and is the right one.
fn probe(base: &Base, identity: &BaseIdentity, freshness: CachePolicy) -> Result<()> {
    let Some(top) = base.dir(Path::new(""))? else {
        return Err(DiskError::io("open the directory", base.path(), rustix::io::Errno::NODEV));
    };
    if !top.can_be_listed()? {
        return Err(DiskError::io("read the directory", base.path(), rustix::io::Errno::NODEV));
    }
    match identity {
        BaseIdentity::Marked(expected) => match marker::read_with(base, freshness)? {
            Some(found) if found == *expected => Ok(()),
            Some(found) => Err(DiskError::MarkerOther { path: marker::path(base), expected: *expected, found }),
            None => Err(DiskError::MarkerMissing { path: marker::path(base), expected: *expected }),
        },
        BaseIdentity::Unmarked { channels } if channels.is_empty() => Ok(()),
        BaseIdentity::Unmarked { channels } => {
            for channel in channels {
                if base.stamp(Path::new(channel))?.is_some() {
                    return Ok(());
                }
            }
            Err(DiskError::NoChannel { path: base.path().to_owned(), known: channels.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::io::Errno;

    use super::*;

    fn marked() -> (tempfile::TempDir, PathBuf, ArchiveId, BaseGuard) {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("base");
        let id = ArchiveId::random();
        make(&path, id);
        let guard = BaseGuard::new(Base::open(&path).unwrap(), BaseIdentity::Marked(id));
        (tree, path, id, guard)
    }

    fn make(path: &Path, id: ArchiveId) {
        fs::create_dir(path).unwrap();
        marker::create(&Base::open(path).unwrap(), id).unwrap();
    }

    fn is_away(checked: &Checked) -> bool {
        matches!(checked, Checked::Away(_))
    }

    #[test]
    fn the_start_follows_the_rules() {
        let (ours, other) = (ArchiveId::random(), ArchiveId::random());
        assert_eq!(verdict(None, true, &Ok(None)), BaseVerdict::Fresh);
        assert_eq!(verdict(None, true, &Ok(Some(other))), BaseVerdict::Adopt(other));
        assert_eq!(verdict(Some(ours), false, &Ok(Some(ours))), BaseVerdict::Known);
        assert_eq!(verdict(Some(ours), true, &Ok(None)), BaseVerdict::Again(ours));
        for empty in [true, false] {
            assert!(matches!(verdict(Some(ours), empty, &Ok(Some(other))), BaseVerdict::Refuse(_)));
            let damaged = DiskError::MarkerDamaged { path: "m".into(), problem: "it is empty".into() };
            assert!(matches!(verdict(Some(ours), empty, &Err(damaged)), BaseVerdict::Refuse(_)));
        }
        let BaseVerdict::Refuse(reason) = verdict(Some(ours), false, &Ok(None)) else { panic!("must be refused") };
        assert!(reason.contains("not mounted") && reason.contains(&ours.to_string()), "{reason}");
    }

    #[test]
    fn a_quiet_base_stays_fine() {
        let (_tree, path, _, guard) = marked();
        assert_eq!(guard.check(), Checked::Fine);
        assert_eq!(guard.base().unwrap().path(), path);
    }

    #[test]
    fn a_base_that_vanishes_is_away_until_it_is_back() {
        let (tree, path, _, guard) = marked();
        let aside = tree.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        assert!(is_away(&guard.check()));
        let first = guard.base().unwrap_err();
        fs::create_dir(&path).unwrap();
        assert!(is_away(&guard.check()), "an empty directory is not our archive");
        let second = guard.base().unwrap_err();
        assert_eq!(first.since, second.since);
        assert!(second.reason.contains("missing"), "{}", second.reason);
        fs::remove_dir(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        assert_eq!(guard.check(), Checked::Back { exchanged: false });
        assert_eq!(guard.check(), Checked::Fine);
        assert!(guard.base().is_ok());
    }

    #[test]
    fn another_directory_with_the_right_marker_takes_over() {
        let (tree, path, id, guard) = marked();
        let before = guard.base().unwrap();
        fs::rename(&path, tree.path().join("aside")).unwrap();
        make(&path, id);
        assert_eq!(guard.check(), Checked::Back { exchanged: true });
        assert!(!Arc::ptr_eq(&before, &guard.base().unwrap()));
        assert!(guard.base().unwrap().same_as_path().unwrap());
        fs::rename(&path, tree.path().join("aside too")).unwrap();
        make(&path, ArchiveId::random());
        assert!(is_away(&guard.check()), "another archive is not ours");
    }

    #[test]
    fn a_removed_marker_takes_the_base_away() {
        let (_tree, path, id, guard) = marked();
        fs::remove_file(path.join(".gapless/marker")).unwrap();
        assert!(is_away(&guard.check()));
        marker::create(&Base::open(&path).unwrap(), id).unwrap();
        assert_eq!(guard.check(), Checked::Back { exchanged: false });
    }

    #[test]
    fn an_error_takes_the_base_away_only_if_the_base_fails_too() {
        let (_tree, path, _, guard) = marked();
        let denied = DiskError::io("read", &path.join("channel"), Errno::ACCESS);
        assert!(!guard.report(&denied), "one directory without permission is not the whole disk");
        assert!(guard.base().is_ok());
        fs::remove_file(path.join(".gapless/marker")).unwrap();
        assert!(!guard.report(&DiskError::Outside { path: "x".into() }));
        assert!(guard.base().is_ok());
        assert!(guard.report(&denied));
        assert!(guard.base().is_err());
    }

    #[test]
    fn a_base_without_marker_is_known_by_its_channels() {
        let tree = tempfile::tempdir().unwrap();
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: vec![] });
        assert_eq!(guard.check(), Checked::Fine);
        guard.learn(Vec::new);
        assert_eq!(guard.check(), Checked::Fine);
        guard.learn(|| vec!["one".into(), "two".into()]);
        guard.learn(Vec::new);
        assert!(is_away(&guard.check()));
        fs::create_dir(tree.path().join("two")).unwrap();
        assert!(matches!(guard.check(), Checked::Back { .. }));
        assert_eq!(guard.returns(), 1);
    }
}
