//! What can go wrong with the index, sorted by what has to be done about it.

use std::io;

/// An error of the index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file contradicts itself: set it aside, rebuild, alarm.
    #[error("the index is damaged: {0}; it is set aside and rebuilt from the files")]
    Damaged(String),
    /// Written by a later version of this program.
    #[error(
        "the index has format {found}, and this version of gapless knows formats up to {known}: use a newer version, or delete the index to have it rebuilt"
    )]
    Newer {
        /// The format of the file.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Another process has it open.
    #[error("the index is in use by another process: stop it, or ask it over HTTP")]
    InUse,
    /// There is no room to write.
    #[error("the disk that holds the index is full: {0}; free some space, writing goes on by itself")]
    Full(io::Error),
    /// Any other input or output error.
    #[error("the index cannot be read or written: {0}")]
    Io(io::Error),
    /// An earlier error stopped all writing; the file is opened anew.
    #[error("the index has been read-only since an earlier error; it is being reopened")]
    Stalled,
    /// The batch was worked out against an index that has been set aside since.
    #[error("the index began anew meanwhile: what was to be written has to be worked out again")]
    BeganAnew,
    /// What was asked for is still being worked out from the files.
    #[error("the coverage of {hours} hours is still being worked out; ask again in a moment")]
    Unsettled {
        /// Hours that are left.
        hours: u64,
    },
    /// The program is ending.
    #[error("the index is closed")]
    Closed,
    /// More channels and qualities than can be told apart.
    #[error("too many channels and qualities: at most {0} in one index")]
    TooManyStreams(u32),
}

impl IndexError {
    /// Whether the file has to be set aside.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full(error)
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

impl From<redb::StorageError> for IndexError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Io(error) => error.into(),
            redb::StorageError::PreviousIo => Self::Stalled,
            redb::StorageError::DatabaseClosed => Self::Closed,
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TableError> for IndexError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TransactionError> for IndexError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::CommitError> for IndexError {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::CursorError> for IndexError {
    fn from(error: redb::CursorError) -> Self {
        match error {
            redb::CursorError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::CompactionError> for IndexError {
    fn from(error: redb::CompactionError) -> Self {
        match error {
            redb::CompactionError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::SetDurabilityError> for IndexError {
    fn from(error: redb::SetDurabilityError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<redb::DatabaseError> for IndexError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            redb::DatabaseError::Storage(error) => error.into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}
