//! A file whose writing can be made to fail, and that can be copied as it would be found after a kill.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use redb::BackendError;
use redb::backends::FileBackend;

/// Which operations fail, shared by all files opened with it.
#[derive(Debug, Default)]
pub struct Faults {
    /// Operations that still succeed; negative once all fail.
    left: AtomicI64,
    /// How many fail then; 0 is none at all.
    failing: AtomicI64,
    /// The number of the error.
    error: AtomicI64,
}

impl Faults {
    /// From the `n`-th write, sync or change of length on, `count` of them fail with this error.
    pub fn arm(&self, n: i64, count: i64, error: i32) {
        self.error.store(error.into(), Ordering::SeqCst);
        self.left.store(n, Ordering::SeqCst);
        self.failing.store(count, Ordering::SeqCst);
    }

    /// Nothing fails any more.
    pub fn mend(&self) {
        self.failing.store(0, Ordering::SeqCst);
    }

    /// How many failures are still to come.
    pub fn pending(&self) -> i64 {
        self.failing.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        if self.failing.load(Ordering::SeqCst) > 0 && self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            let code = i32::try_from(self.error.load(Ordering::SeqCst)).unwrap();
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok(())
    }

    /// Opens a file with these faults.
    pub fn over(self: &Arc<Self>, path: &Path) -> Result<FaultyFile, redb::DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(FaultyFile { file: FileBackend::new(file)?, faults: Arc::clone(self) })
    }
}

/// A file with faults.
#[derive(Debug)]
pub struct FaultyFile {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl redb::StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Err(error) = self.faults.check() {
            // What a full disk leaves: the beginning.
            self.file.write(offset, &data[..data.len() / 2])?;
            return Err(error);
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
