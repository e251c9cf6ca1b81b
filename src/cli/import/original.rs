//! A file that somebody else has recorded: opened once, read once, and never written to.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};

use super::measured::RecordingMeter;
use super::start_time::other_container;
use crate::archive::{
    Container, FileName, Hash, HourPlace, LARGEST_FILE, SegmentKind, Span, Timestamp, parse_file_name,
};
use crate::disk::directory_id;
use crate::media::{StampSpan, StreamFault};

const PIECE: usize = 256 << 10;

/// Identity of a file, independent of its path: device and inode.
pub(super) type FileId = (u64, u64);

#[derive(Debug)]
pub(super) struct Original {
    pub path: PathBuf,
    pub file: File,
    meta: Metadata,
}

#[derive(Debug, Clone)]
pub(super) struct OriginalContent {
    pub hash: Hash,
    pub bytes: u64,
    pub clock: StampSpan,
    pub kind: SegmentKind,
    pub container: Container,
    /// Why it is not `full`.
    pub fault: Option<String>,
}

impl Original {
    pub fn open(path: &Path) -> Result<Self, String> {
        // NONBLOCK: a pipe must not make us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(CWD, path, flags, Mode::empty()).map(File::from).map_err(|errno| match errno {
            Errno::NOENT if path.to_string_lossy().contains(['*', '?']) => {
                "no file matches this pattern; does the recorder write there already?".to_owned()
            }
            Errno::NOENT => "there is no such file; check its name, and the directory that you are in".to_owned(),
            _ => io::Error::from(errno).to_string(),
        })?;
        let meta = file.metadata().map_err(|cause| cause.to_string())?;
        if meta.is_dir() {
            return Err("it is a directory; name the files in it, as in DIR/*.ts".to_owned());
        }
        if !meta.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        if meta.len() > LARGEST_FILE {
            let split =
                "split it without encoding with ffmpeg -i FILE -c copy -f segment -segment_time 10 part-%05d.ts";
            return Err(format!(
                "it has more than {} GiB, and no other node would fetch it: {split}",
                LARGEST_FILE >> 30
            ));
        }
        Ok(Self { path: path.to_owned(), file, meta })
    }

    pub fn id(&self) -> FileId {
        (self.meta.dev(), self.meta.ino())
    }

    pub fn owner(&self) -> u32 {
        self.meta.uid()
    }

    pub fn is_for_all(&self) -> bool {
        self.meta.mode() & 0o004 != 0
    }

    pub fn changed(&self) -> Timestamp {
        let us = self.meta.mtime().saturating_mul(1_000_000).saturating_add(self.meta.mtime_nsec() / 1_000);
        Timestamp(us)
    }

    /// Whether it is as it was when it was opened.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        let now = self.file.metadata()?;
        let stamp = |meta: &Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
        Ok(stamp(&now) == stamp(&self.meta))
    }

    /// Gives each piece of it to `each`, from its beginning on.
    pub fn pieces<E: From<io::Error>>(&mut self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.file.rewind()?;
        let mut room = vec![0; PIECE];
        loop {
            match self.file.read(&mut room) {
                Ok(0) => return Ok(()),
                Ok(length) => each(room.get(..length).unwrap_or_default())?,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause.into()),
            }
        }
    }

    /// Reads it once: what it holds, or why that is no segment.
    pub fn read(&mut self) -> Result<OriginalContent, String> {
        let (mut hasher, mut measured) = (Sha256::new(), RecordingMeter::default());
        let (mut head, mut bytes) = (Vec::new(), 0_u64);
        self.pieces(|piece| {
            if head.is_empty() {
                head = piece.get(..piece.len().min(64)).unwrap_or_default().to_vec();
            }
            hasher.update(piece);
            measured.feed(piece);
            bytes += piece.len() as u64;
            io::Result::Ok(())
        })
        .map_err(|cause| format!("it cannot be read: {cause}"))?;
        let found = measured.finish();
        let is_media_alone = head.get(4..8).is_some_and(|name| name != b"ftyp");
        if is_media_alone && found.faults().contains(&StreamFault::NoInit) {
            return Err("it does not begin with its initialisation segment: put that in front with cat init.mp4 FILE, which makes a file of its own, and import that".to_owned());
        }
        let is_mp4 = found.container == Container::Mp4 && found.is_segment;
        if let Some(container) = other_container(&head).filter(|_| !is_mp4) {
            return Err(format!(
                "it is {container}, and only MPEG-TS and fragmented MP4 are imported: {}",
                convert(&self.path)
            ));
        }
        if !found.is_segment {
            return Err(format!("it is not an MPEG transport stream: {}", convert(&self.path)));
        }
        let Some(clock) = found.clock else {
            let first = found.faults().first();
            let why = first.map_or_else(|| "it has too few time stamps".to_owned(), ToString::to_string);
            return Err(format!("nothing says how long it lasts: {why}"));
        };
        let is_cut_short = |fault: &&StreamFault| {
            matches!(fault, StreamFault::Torn { .. } | StreamFault::Cut { .. } | StreamFault::Samples { .. })
        };
        let cut_short = found.faults().iter().find(is_cut_short);
        let (kind, fault) = match (cut_short, found.faults().first()) {
            (Some(StreamFault::Torn { .. }), _) => {
                (SegmentKind::Partial, Some("its last packet is incomplete".to_owned()))
            }
            (Some(fault), _) => (SegmentKind::Partial, Some(fault.to_string())),
            (None, Some(fault)) => (SegmentKind::Suspect, Some(fault.to_string())),
            (None, None) => (SegmentKind::Full, None),
        };
        let (hash, container) = (Hash(hasher.finalize().into()), found.container);
        Ok(OriginalContent { hash, bytes, clock, kind, container, fault })
    }

    /// Whether it lies in an hour of this archive under the name of a segment, whatever path leads there.
    pub fn is_segment_of(&self, base: &Path) -> bool {
        let is_named = self.path.file_name().and_then(OsStr::to_str).map(parse_file_name);
        let place = std::fs::canonicalize(self.directory()).ok().zip(std::fs::canonicalize(base).ok());
        let place = place.and_then(|(hour, archive)| hour.strip_prefix(archive).ok().map(Path::to_path_buf));
        let is_hour = place.is_some_and(|place| place.to_str().is_some_and(|place| HourPlace::parse(place).is_ok()));
        is_hour && matches!(is_named, Some(FileName::Understood(_)))
    }

    /// Removes its name, if that is still one of this very file. Its content is in this hour of the archive: a name in that very directory
    /// may be the one that the archive has it by, through whatever mount it was reached.
    pub fn remove(&self, hour: &Path) -> Result<(), String> {
        let there = std::fs::symlink_metadata(&self.path).map_err(|cause| cause.to_string())?;
        if (there.dev(), there.ino()) != self.id() {
            return Err("its path leads to something else by now, or is a symbolic link".to_owned());
        }
        let own = directory_id(self.directory());
        if own.is_none() || own == directory_id(hour) {
            return Err("it lies in that hour of the archive itself".to_owned());
        }
        std::fs::remove_file(&self.path).map_err(|cause| cause.to_string())
    }

    fn directory(&self) -> &Path {
        let above = self.path.parent().filter(|above| !above.as_os_str().is_empty());
        above.unwrap_or_else(|| Path::new("."))
    }
}

/// How to make segments of a file in another container.
fn convert(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    format!(
        "convert it without encoding with ffmpeg -i '{}' -c copy -f segment -segment_time 10 -segment_format mpegts '{stem}-%05d.ts', and import those",
        path.display()
    )
}

/// An undetected recorder writes at least as often.
const SILENT: Span = Span::from_us(10_000_000);

/// Files that were open for writing at one moment: a recording that still grows is not a segment yet.
///
/// The kernel shows the files of one's own processes, and to root those of all. What belongs to others is judged by its age.
#[derive(Debug, Default)]
pub(super) struct Writers(HashSet<FileId>);

impl Writers {
    /// Looks at all visible processes.
    pub fn now() -> Self {
        let mut found = HashSet::new();
        for process in directory(Path::new("/proc")).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let process = Path::new("/proc").join(process);
            for open in directory(&process.join("fd")) {
                if !writes(&process.join("fdinfo").join(&open)) {
                    continue;
                }
                // Follows to the open file itself, also where its name has gone.
                if let Ok(meta) = std::fs::metadata(process.join("fd").join(&open))
                    && meta.is_file()
                {
                    found.insert((meta.dev(), meta.ino()));
                }
            }
        }
        Self(found)
    }

    pub fn may_grow(&self, original: &Original, now: Timestamp) -> bool {
        let us = geteuid();
        let is_seen = us.is_root() || us.as_raw() == original.owner();
        let is_fresh = now - original.changed() < SILENT;
        self.0.contains(&original.id()) || !is_seen && is_fresh
    }
}

fn directory(path: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// By the `flags:` of an open file, which are octal: the last two bits are 0 for reading.
fn writes(info: &Path) -> bool {
    let text = std::fs::read_to_string(info).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_for_writing_may_grow_and_one_that_is_read_does_not() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("a.ts");
        let writer = std::fs::File::create(&path).unwrap();
        let original = Original::open(&path).unwrap();
        let now = original.changed() + Span::from_us(60_000_000);
        assert!(Writers::now().may_grow(&original, now));
        drop(writer);
        assert!(!Writers::now().may_grow(&original, now));
    }
}
