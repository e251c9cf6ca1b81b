//! For tests: an archive, and what a recorder of one of its qualities knows.

use super::publish::RecordedQuality;
use super::segment_fetch::{ArchiveBase, FetchedSegment};
use crate::archive::{Container, SegmentKind, Stream, Timestamp};
use crate::disk::NewSegment;

pub(super) struct TestRecording {
    tree: tempfile::TempDir,
    pub(super) quality: RecordedQuality,
}

impl TestRecording {
    pub(super) fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let quality = started(&tree);
        Self { tree, quality }
    }

    /// Its recorder knows nothing but what is on the disk.
    pub(super) fn is_started_anew(&mut self) {
        self.quality = started(&self.tree);
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.tree.path()
    }

    /// A segment that has come whole.
    pub(super) fn fetched(&self, content: &[u8], start: Timestamp) -> FetchedSegment {
        let hour = self.quality.archive.base().unwrap().make_hour_dir(&self.quality.place(start)).unwrap();
        let mut file = NewSegment::begin(hour).unwrap();
        file.write(content).unwrap();
        FetchedSegment { file, container: Container::Ts, kind: SegmentKind::Full, fault: None, is_cut: false }
    }
}

fn started(tree: &tempfile::TempDir) -> RecordedQuality {
    RecordedQuality::new(Stream::parse("a/source").unwrap(), ArchiveBase::open(tree.path()).unwrap())
}
