//! What has to be right before anything is read or written: the locks, the marker, the state directory.
//!
//! 1. The base is locked before anything is created in it, so that a second process changes nothing.
//! 2. Index and marker must not contradict each other: an empty mount point must never look like an archive from which everything was
//!    deleted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::disk::{
    ArchiveId, Base, BaseIdentity, BaseVerdict, DirLock, DiskError, Ids, clear_temporaries, marker, verdict,
};
use crate::index::{Batch, Index, IndexError, IndexOptions};

/// How long a lock that is held is waited for: a process that is just ending, or a command that is just reading.
const PATIENCE: Duration = Duration::from_secs(3);
/// The file that holds the index.
const INDEX_FILE: &str = "index.redb";

#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the state directory {} cannot be made: {cause}; choose another with --state-dir", path.display())]
    StateDir { path: PathBuf, cause: std::io::Error },
    #[error("{0}")]
    Refused(String),
}

/// For verbs that only look: they make no index, and nothing else either.
pub fn require_index(state_dir: &Path) -> Result<(), StartupError> {
    if state_dir.join(INDEX_FILE).exists() {
        return Ok(());
    }
    let place = state_dir.display();
    Err(StartupError::Refused(format!(
        "there is no index in {place}: create it with `gapless node` or `gapless rebuild`, or give the archive with --base-dir"
    )))
}

#[derive(Debug)]
pub struct Locked {
    pub base: Base,
    /// Where index and address lie; it may be missing where it cannot be made yet.
    pub state_dir: PathBuf,
    _locks: Vec<DirLock>,
}

impl Locked {
    /// Opens and locks base and state directory; makes the latter.
    pub fn acquire(base_dir: &Path, state_dir: &Path) -> Result<Self, StartupError> {
        let base = Base::open(base_dir)?;
        let mut locks = vec![DirLock::acquire(base_dir, PATIENCE)?];
        let own = state_dir == base_dir.join(marker::OWN_DIR);
        match std::fs::create_dir_all(state_dir) {
            Ok(()) => locks.push(DirLock::acquire(state_dir, PATIENCE)?),
            // A read-only or full base, with nothing else chosen: the index is kept in memory until that is over.
            Err(cause) if own => {
                tracing::warn!(name: "state_dir_unwritable", directory = %state_dir.display(), %cause, "nothing can be kept in the archive; the index is kept in memory until it can");
            }
            Err(cause) => return Err(StartupError::StateDir { path: state_dir.to_owned(), cause }),
        }
        for own_dir in [state_dir, &base_dir.join(marker::OWN_DIR)] {
            tidy(own_dir);
        }
        match base.clear_arriving() {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(name: "arriving_cleared", count, "what an earlier process was fetching when it ended was cleared away");
            }
            Err(error) => {
                tracing::debug!(name: "temporaries_kept", directory = %base_dir.display(), %error, "a directory of ours was not tidied");
            }
        }
        Ok(Self { base, state_dir: state_dir.to_owned(), _locks: locks })
    }

    /// Where the index lies.
    pub fn index_path(&self) -> PathBuf {
        self.state_dir.join(INDEX_FILE)
    }

    pub fn open_index(&self, options: IndexOptions) -> Result<Index, StartupError> {
        Ok(Index::open(&self.index_path(), options)?)
    }

    /// Checks that index and disk belong together, and makes the marker of a new archive. What the index is given is `known`.
    pub fn identify(&self, index: &Index) -> Result<BaseIdentity, StartupError> {
        if let Some(Ids { id, .. }) = self.interrupted(index)? {
            return Err(StartupError::Refused(format!(
                "{} was being given the id {id} when `gapless rebuild --new-id` was interrupted, and the index is of its former one: \
                 `gapless rebuild` completes it",
                self.base.path().display()
            )));
        }
        let known = index.archive()?.map(ArchiveId::from_bytes);
        let is_empty = index.catalog().hour_count() == 0;
        let (id, new) = match verdict(known, is_empty, &marker::read(&self.base)) {
            BaseVerdict::Known => return Ok(known.map_or_else(|| self.unmarked(index), BaseIdentity::Marked)),
            BaseVerdict::Adopt(id) => (id, false),
            BaseVerdict::Again(id) => (id, true),
            BaseVerdict::Fresh => (ArchiveId::random(), true),
            BaseVerdict::Refuse(reason) => return Err(StartupError::Refused(reason)),
        };
        if new && !self.holds_a_known_channel(index) {
            return Err(StartupError::Refused(format!(
                "{} holds none of the channels that the index knows: is the disk mounted? If the archive has really been emptied, delete the index and start again",
                self.base.path().display()
            )));
        }
        if new && let Err(error) = marker::create(&self.base, id) {
            if error.is_read_only() || error.is_full() {
                tracing::warn!(name: "marker_not_written", %error, "the archive cannot be marked; it is known by its channels instead");
                return Ok(self.unmarked(index));
            }
            return Err(error.into());
        }
        index.apply(Batch { archive: Some(id.to_bytes()), ..Batch::default() }).or_else(|error| {
            tracing::warn!(name: "archive_id_not_kept", %error, "the index cannot keep the archive's id now");
            Ok::<_, StartupError>(crate::index::Applied::default())
        })?;
        Ok(BaseIdentity::Marked(id))
    }

    /// The same for who makes the index anew: one of the former id, if a change of ids was interrupted, is taken over.
    pub fn identify_renewed(&self, index: &Index) -> Result<BaseIdentity, StartupError> {
        if let Some(Ids { id, .. }) = self.interrupted(index)? {
            index.apply(Batch { archive: Some(id.to_bytes()), ..Batch::default() })?;
        }
        self.identify(index)
    }

    /// What the marker says, if the index is of the id that the archive had before the one that it was being given.
    fn interrupted(&self, index: &Index) -> Result<Option<Ids>, StartupError> {
        let known = index.archive()?.map(ArchiveId::from_bytes);
        // What is wrong with a marker is reported where more is asked.
        let ids = marker::ids(&self.base).ok().flatten();
        Ok(ids.filter(|ids| known.is_some() && ids.former == known && known != Some(ids.id)))
    }

    #[expect(clippy::unused_self, reason = "reads as one of the ways to know the archive")]
    fn unmarked(&self, index: &Index) -> BaseIdentity {
        BaseIdentity::Unmarked { channels: index.catalog().channels() }
    }

    fn holds_a_known_channel(&self, index: &Index) -> bool {
        let channels = index.catalog().channels();
        channels.is_empty()
            || channels.iter().any(|channel| matches!(self.base.stamp_of_both(Path::new(channel)), Ok(Some(_))))
    }
}

/// Removes what a process that was killed while it wrote a file of its own has left there. What cannot be removed does no harm.
fn tidy(own_dir: &Path) {
    let cleared = Base::open(own_dir).and_then(|base| base.dir(Path::new(""))).and_then(|dir| match dir {
        Some(dir) => clear_temporaries(&dir),
        None => Ok(0),
    });
    if let Err(error) = cleared {
        tracing::debug!(name: "temporaries_kept", directory = %own_dir.display(), %error, "a directory of ours was not tidied");
    }
}
