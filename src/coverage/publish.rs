//! Writes maps and pages to `coverage-maps/` beneath the base, and gauges to where they are wanted: complete or not at all.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::picture::PictureError;
use crate::disk::{Base, DiskError, atomic, clear_temporaries};
use crate::domain::Stream;

/// Where maps and pages lie beneath the base. Each node writes its own: never fetched from others, and no channel.
pub const DIRECTORY: &str = "coverage-maps";

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The path.
    #[error("{} is no place for a file: expected is a name in a directory that is there", path.display())]
    Place {
        /// What was given.
        path: PathBuf,
    },
}

/// The name of the map (`png`) or the page (`html`) of a quality.
pub(super) fn map_name(stream: &Stream, extension: &str) -> String {
    format!("{}_{}_coverage.{extension}", stream.channel, stream.quality)
}

/// Where the maps of a base lie.
pub fn maps_of(base: &Path) -> PathBuf {
    base.join(DIRECTORY)
}

/// Writes the map of a quality and its page in the place of those that are there.
pub fn publish(base: &Base, stream: &Stream, picture: &[u8], page: &str) -> Result<(), PublishError> {
    let dir = base.make_dirs([DIRECTORY])?;
    atomic::replace(&dir, OsStr::new(&map_name(stream, "png")), picture)?;
    atomic::replace(&dir, OsStr::new(&map_name(stream, "html")), page.as_bytes())?;
    Ok(())
}

/// Clears away what a process left that was killed while it wrote.
pub(super) fn tidy(base: &Base) -> Result<(), PublishError> {
    if let Some(dir) = base.dir(Path::new(DIRECTORY))? {
        clear_temporaries(&dir)?;
    }
    Ok(())
}

/// Whether there are a map and a page of a quality, of whatever age.
pub(super) fn is_published(base: &Base, stream: &Stream) -> Result<bool, PublishError> {
    let is_there = |extension| base.open_file(&Path::new(DIRECTORY).join(map_name(stream, extension)));
    Ok(is_there("png")?.is_some() && is_there("html")?.is_some())
}

/// Writes a file anywhere, in the place of the one that is there.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let no_place = || PublishError::Place { path: path.to_owned() };
    let name: OsString = path.file_name().ok_or_else(no_place)?.to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = Base::open(parent)?.dir(Path::new(""))?.ok_or_else(no_place)?;
    Ok(atomic::replace(&dir, &name, bytes)?)
}
