//! Counts the segments whose bytes were deleted, and why. Deletes nothing itself.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::domain::Stream;

/// Why bytes were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyDeleted {
    /// A tombstone hides them, and the operator wanted the room.
    Purge,
}

impl WhyDeleted {
    /// As in the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Purge => "purge",
        }
    }
}

/// The counter. Cloning it is cheap and counts together.
#[derive(Debug, Clone)]
pub struct Deleted(IntCounterVec);

impl Deleted {
    /// One that nobody reads, for a command that ends soon.
    pub fn new() -> prometheus::Result<Self> {
        let help = "Segments whose bytes were deleted from this node";
        let counter = IntCounterVec::new(Opts::new("segments_deleted_total", help), &["channel", "quality", "why"])?;
        Ok(Self(counter))
    }

    /// One that is told to whoever asks for metrics.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let deleted = Self::new()?;
        registry.register(Box::new(deleted.0.clone()))?;
        Ok(deleted)
    }

    /// So many more.
    pub fn count(&self, stream: &Stream, why: WhyDeleted, files: u64) {
        let labels = [stream.channel.as_str(), stream.quality.as_str(), why.as_str()];
        self.0.with_label_values(&labels).inc_by(files);
    }
}
