//! Whether a directory that is to be written into without a daemon is an archive, or may be the mount point of a disk that is away.

use std::ffi::OsStr;
use std::path::Path;

use super::config::Config;
use super::out::stderr_line;
use crate::archive::Hour;
use crate::disk::{Base, Dir, DiskError, marker};
use crate::sync::startup;

/// Directories of one level in which an hour is looked for: a directory of something else may have any number.
const LOOKED_INTO: usize = 100;

/// What is moved beneath a mount point while its disk is away is out of sight when the disk is back, and was the only copy.
pub(super) fn check_move(base: &Base) -> anyhow::Result<()> {
    let has_channels =
        base.dir(Path::new("."))?.is_some_and(|dir| dir.subdirectories().is_ok_and(|found| !found.is_empty()));
    if has_channels || marker::read(base)?.is_some() {
        return Ok(());
    }
    anyhow::bail!(
        "{} has no channels, and recordings are moved only into an archive: mount its disk if that is away; to begin a new archive, import without --move, or run gapless node on it",
        base.path().display()
    )
}

/// An index without its archive is a disk that is not mounted; a directory without either may be one, unless it holds hours.
pub(super) fn check_disk(config: &Config, base: &Base) -> anyhow::Result<()> {
    if marker::read(base)?.is_some() {
        return Ok(());
    }
    if startup::require_index(&config.state_dir).is_ok() {
        anyhow::bail!(
            "there is an index in {}, but {} has no marker (.gapless/marker): is the disk mounted?",
            config.state_dir.display(),
            base.path().display()
        );
    }
    let top = base.dir(Path::new("."))?;
    // A marker is a node's; whoever only records or imports has none.
    if !top.is_some_and(|top| has_hours(&top, 2).unwrap_or_default()) {
        stderr_line(format_args!("{} is not an archive yet; this begins one", base.path().display()));
    }
    Ok(())
}

/// Whether hours lie so many levels beneath, as far as is looked.
fn has_hours(dir: &Dir, levels: u32) -> Result<bool, DiskError> {
    let names = dir.subdirectories()?;
    if levels == 0 {
        return Ok(names.iter().filter_map(|name| name.to_str()).any(|name| Hour::parse(name).is_ok()));
    }
    for name in names.iter().take(LOOKED_INTO) {
        // What cannot be read is none of an archive.
        let below: &OsStr = name;
        if dir.dir(below).ok().flatten().is_some_and(|below| has_hours(&below, levels - 1).unwrap_or_default()) {
            return Ok(true);
        }
    }
    Ok(false)
}
