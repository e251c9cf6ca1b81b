//! Files that the archive lists and that do not lie in it: whoever can bring them here opens them.

use std::fs::File;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::archive::{Hash, HourPlace, ManifestFile, PackedHour};

/// Why a file that lies elsewhere cannot be read now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{path} lies {lies} now ({reason}): {why}")]
pub struct AbsentError {
    /// The file.
    pub path: String,
    /// Where it lies, and that it is not given from there.
    pub lies: &'static str,
    /// A word for it, as the state of where it lies has.
    pub reason: &'static str,
    /// What was answered.
    pub why: String,
}

/// What is known of a file that does not lie in the directory of its hour.
#[derive(Debug)]
pub enum AbsentFile {
    /// Opened, with its SHA-256, which its bytes have.
    Open(File, Hash),
    /// A tombstone there hides it.
    Hidden,
    /// Nobody has it.
    Unknown,
}

/// Receives an hour; may block.
pub type LearnedHour = Box<dyn Fn(&HourPlace) + Send + Sync>;

/// Opens what objects of a bucket hold, and what other nodes have.
pub trait AbsentFiles: Send + Sync {
    /// Waits until all of the file is here.
    fn open<'f>(&'f self, place: &'f HourPlace, name: &'f str) -> BoxFuture<'f, Result<AbsentFile, AbsentError>>;

    /// The address where a client may ask for the file itself, of one that answers; nothing where it is to come through here. May look at
    /// the disk.
    fn address(&self, _place: &HourPlace, _name: &str, _answers: &dyn Fn(&str) -> bool) -> Option<String> {
        None
    }

    /// How large a file is that comes from elsewhere, where that is known without asking. May look at the disk.
    fn size(&self, _place: &HourPlace, _name: &str) -> Option<u64> {
        None
    }

    /// Why a file could not be brought here when it was last asked for, without asking. May look at the disk.
    fn failure(&self, place: &HourPlace, name: &str) -> Option<AbsentError>;

    /// Objects of the hour that were read back, by what is noted here. Whether they are still there is not asked. May look at the disk.
    fn read_back(&self, place: &HourPlace) -> Result<Vec<Arc<PackedHour>>, AbsentError>;

    /// Lets go of what is kept here of these files, which are not to be anywhere any more. May block.
    fn forget(&self, files: &[ManifestFile]);

    /// Who is told of hours of which it was learned on the way that objects hold something else.
    fn tell_learned(&self, told: LearnedHour);

    /// The same as `open` where waiting blocks: not for async code.
    fn open_blocking(&self, place: &HourPlace, name: &str) -> Result<AbsentFile, AbsentError>;
}
