//! The file of the layout: read again when it has become another one.
//!
//! One that was here is not gone because nobody sees it now. This process knows that of what it has seen; and what it has seen it notes on
//! the disk, so that the next one knows it as well.

use std::sync::Arc;

use super::current_layout::{KnownLayout, LayoutState};
use crate::archive::Stamp;
use crate::archive::placement::{LARGEST_LAYOUT, Layout};
use crate::disk::LayoutFiles;

/// The file when it was last read.
#[derive(Debug, Default)]
pub(super) struct SeenFile {
    was_read: bool,
    /// There has been one since this process began.
    was_there: bool,
    stamp: Option<Stamp>,
    note: KnownNote,
}

/// Whether it was noted on the disk that there is a layout.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum KnownNote {
    #[default]
    NotYet,
    /// It could not be, which was said.
    Failed,
    There,
}

impl SeenFile {
    /// Whether anybody has looked yet.
    pub(super) fn was_read(&self) -> bool {
        self.was_read
    }

    /// What the file says now, where this was known of it.
    pub(super) fn look(&mut self, files: LayoutFiles<'_>, known: LayoutState) -> LayoutState {
        self.was_read = true;
        let found = match files.stamp() {
            // What could not be read may have become readable, whatever its stamp.
            Ok(stamp) if stamp == self.stamp && !matches!(known, LayoutState::Unusable(_)) => known,
            Ok(stamp) => {
                self.stamp = stamp;
                self.was_there |= stamp.is_some();
                read(files, self.was_there)
            }
            Err(error) => LayoutState::Unusable(error.to_string().into()),
        };
        // Also of a file that a person has copied here. It comes after the file: a first one that a crash keeps from being written is not gone.
        if found.known().is_some() && self.note != KnownNote::There {
            self.note_known(files);
        }
        found
    }

    /// Tried each time until it is done, and told once.
    fn note_known(&mut self, files: LayoutFiles<'_>) {
        match files.note_known() {
            Ok(()) => self.note = KnownNote::There,
            Err(error) => {
                if std::mem::replace(&mut self.note, KnownNote::Failed) == KnownNote::NotYet {
                    tracing::warn!(name: "layout_not_noted", %error, "it cannot be noted that there is a layout: if its file were lost while nothing runs, this node would fetch everything");
                }
            }
        }
    }
}

/// Reads the file.
fn read(files: LayoutFiles<'_>, was_there: bool) -> LayoutState {
    let unusable = |why: String| LayoutState::Unusable(why.into());
    match files.layout(LARGEST_LAYOUT) {
        Ok(None) if was_there => unusable(files.gone().to_string()),
        Ok(None) => LayoutState::None,
        Err(error) => unusable(error.to_string()),
        Ok(Some(bytes)) => match Layout::read(&bytes) {
            Ok(layout) => {
                let id = layout.id();
                LayoutState::Known(Arc::new(KnownLayout { layout, id, bytes: bytes.into() }))
            }
            Err(error) => unusable(error.to_string()),
        },
    }
}
