//! What takes in the content of files that come from elsewhere, piece by piece, whoever gives them.
//!
//! Whoever gives a file says what comes and knows of no directory; whoever takes it in writes it, compares its hash and publishes it, and knows
//! of no line. Nothing is written here.

use crate::archive::Hash;

/// A file that is missing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFile {
    /// Its name in the directory of its hour.
    pub name: Box<str>,
    /// The SHA-256 that its content has to have.
    pub hash: Hash,
}

/// Whom the next bytes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// This node keeps to a limit of its own.
    Ours,
    /// Whoever gives the file has to send them.
    Theirs,
}

/// Takes in files, one after the other.
pub trait Intake: Send {
    /// Why it does not take more.
    type Error: Send;

    /// Whether a file of so many bytes is wanted; if not, nothing of it is given. It is asked where the size is known beforehand.
    fn has_room_for(&mut self, _bytes: u64) -> bool {
        true
    }

    /// The content of this file is given from its first byte on; also where some of it was given before, which is not right then.
    fn begin(&mut self, file: &MissingFile) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// More of the file that was begun.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// All of it was given.
    fn end(&mut self, file: &MissingFile) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whoever was asked for this file does not have it.
    fn gone(&mut self, file: &MissingFile);

    /// So many bytes came over the line, whether or not they belong to a file.
    fn came(&mut self, _bytes: u64) {}

    /// Whom is waited for from now on.
    fn waits_for(&mut self, _whom: Pause) {}
}
