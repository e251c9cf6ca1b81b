//! The only user of the archive tree.
//!
//! Everything goes through a [`Base`], which is a descriptor of the base directory: paths are resolved beneath it
//! without following links, so that no name leads outside. Reading is in [`Dir`] and [`Scan`], writing small files in
//! [`atomic`], publishing what was fetched in [`Download`], what is recorded in
//! [`NewSegment`], noticing changes in
//! [`DirWatcher`]. Whether the disk is there at all, and the right one, is the business of the [`marker`] and the [`BaseGuard`]. [`DirLock`] keeps a second process away.
//!
//! 1. That something does not exist is an answer (`None`), never an error; that it cannot be told is an error, never
//!    an answer. Absence is only concluded from the former.
//! 2. Links are not followed and count as absent, except in the configured path of the base itself.
//! 3. Nothing here removes or renames a file that it has not created itself a moment ago, with these exceptions:
//!    [`Dir::remove_tombstoned`] removes what a tombstone beside it hides, and `Dir::remove_file` and `Dir::remove_empty_dir` are
//!    for retention alone, a damaged copy of a [`Record`] is moved aside, and [`Quarantine`] moves what is damaged, and deletes nothing but what it holds.
//! 4. Nothing here knows channels, hours or segments; names are bytes. The exception is what writes into the tree,
//!    [`Download`] and [`NewSegment`], which take no name that the grammar does not understand.
//!
//! All of it blocks; none of it knows an async runtime.

pub mod atomic;
pub mod marker;
pub mod record_progress;

mod append;
mod archive_id;
mod arriving;
mod base;
mod both_trees;
mod bucket_manifests;
mod dir;
mod dir_identity;
mod download;
mod error;
mod events;
mod guard;
mod hour_notes;
mod intake;
mod layout_files;
mod link_segment;
mod lock;
mod new_file;
mod new_segment;
mod occupied;
mod open_temporary;
mod purge;
mod quarantine;
mod read;
mod record;
mod records;
mod remove;
mod resolve;
mod scan;
mod survey;
mod unlinked_file;
mod watched_dirs;

pub use append::{append, append_soon};
pub use archive_id::{ArchiveId, NotAnArchiveId};
pub use atomic::{clear_temporaries, is_our_temporary};
pub use base::Base;
pub use both_trees::{BothDirs, both};
pub use bucket_manifests::BucketManifests;
pub use dir::{Dir, FileMeta, SmallFile};
pub use dir_identity::directory_id;
pub use download::{Download, DownloadError, Verified, write_tombstone};
pub use error::{DiskError, Result};
pub use events::{DirWatcher, Waker, WatchOutcome};
pub use guard::{AwayReason, BaseGuard, BaseIdentity, BaseVerdict, Checked, verdict};
pub use hour_notes::{HourNotes, Manifests, Receipts, StoredNote};
pub use intake::{Intake, MissingFile, Pause};
pub use layout_files::LayoutFiles;
pub use link_segment::{Linked, link_segment};
pub use lock::DirLock;
pub use marker::Ids;
pub use new_file::NewFile;
pub use new_segment::NewSegment;
pub use open_temporary::Published;
pub use purge::Removed;
pub use quarantine::{HeldFile, Quarantine, REPORT_BYTES};
pub use read::{PIECE, WholeFile};
pub use record::{Content, Record, RecordReading, keep_aside};
pub use record_progress::{RecordHistory, RecordMark, RecordMarks};
pub use records::{RecordPositions, Records, UnusableReason};
pub use scan::{MOST_FILES, SETTLE, Scan, is_hour_file};
pub use survey::TreeSurvey;
pub use unlinked_file::{UnlinkedFile, opened_again};
pub use watched_dirs::DiskEvent;
