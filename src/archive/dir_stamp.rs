//! What is remembered of a directory to tell later, with one `stat`, whether it has changed.

/// Inode, modification time and change time of a directory, in nanoseconds since 1970.
///
/// The change time is there because `rsync -t`, `touch` and `cp -a` set modification times back, and nothing sets a change
/// time back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Inode number.
    pub ino: u64,
    /// Modification time.
    pub mtime_ns: i64,
    /// Change time.
    pub ctime_ns: i64,
}

impl Stamp {
    /// Of a directory that is known to exist but has to be read each time: equal to no directory's stamp.
    pub const UNTRUSTED: Self = Self { ino: 0, mtime_ns: 0, ctime_ns: 0 };
}
