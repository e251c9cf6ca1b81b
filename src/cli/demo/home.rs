//! The directory in which a demonstration lies: a temporary one that goes with it, or a given one that stays.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::cli::UsageError;
use crate::disk::Base;

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    /// Removed with the value too, so that a panic leaves nothing behind.
    temporary: Option<TempDir>,
}

impl Home {
    /// Makes a temporary directory, or takes this one, in which nothing may lie.
    pub(super) fn make(given: Option<&Path>) -> anyhow::Result<Self> {
        let temporary = if let Some(dir) = given {
            require_empty(dir)?;
            None
        } else {
            let made = tempfile::Builder::new().prefix("gapless-demo-").tempdir();
            let refused =
                || format!("cannot make a directory in {}; set TMPDIR or give --dir", std::env::temp_dir().display());
            Some(made.with_context(refused)?)
        };
        let path = temporary.as_ref().map(TempDir::path).or(given).unwrap_or(Path::new("."));
        // The nodes are given files in it.
        let path = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path, temporary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it will be removed.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub(super) fn free_bytes(&self) -> anyhow::Result<u64> {
        Ok(Base::open(&self.path)?.free_space()?.0)
    }

    /// Removes it if it is temporary; says where it stays if it is not. Blocks.
    pub(super) fn leave(self) -> anyhow::Result<Option<PathBuf>> {
        let Some(temporary) = self.temporary else { return Ok(Some(self.path)) };
        temporary.close().with_context(|| format!("cannot remove {}; remove it by hand", self.path.display()))?;
        Ok(None)
    }
}

fn require_empty(dir: &Path) -> anyhow::Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return fs::create_dir_all(dir).with_context(|| format!("cannot make --dir {}", dir.display()));
        }
        Err(error) => {
            return Err(UsageError(format!("--dir {}: {error}; expected is a directory", dir.display())).into());
        }
    };
    if entries.next().is_some() {
        let wrong =
            format!("--dir {} is not empty, and nothing that lies there is to be touched; name another", dir.display());
        return Err(UsageError(wrong).into());
    }
    Ok(())
}
