//! What several rooms decide by: names, keys, hours, best segments and sequences. What one room alone decides over values lies there.
//!
//! Nothing here touches a disk, a clock, a socket or the index; everything is exact integer arithmetic over values, so that
//! it can be checked against plain models.

pub mod bad_name;
pub mod best;
pub mod blocks;
pub mod census;
pub mod clock;
pub mod container;
pub mod contents;
pub mod coverage;
pub mod digest_sums;
pub(crate) mod digits;
pub mod dir_stamp;
pub mod disk_use;
pub mod escape;
pub mod explain;
pub mod guards;
pub mod hidden_content;
pub mod hole_reasons;
pub mod horizon;
pub mod ids;
pub mod layout;
pub mod lived;
pub mod manifest;
mod manifest_media;
pub mod manifest_reader;
mod manifest_writer;
pub mod media_line;
pub mod metric_series;
pub mod misspelt;
pub mod name;
pub mod object_check;
pub mod object_name;
pub mod object_trailer;
pub mod origins;
pub mod packed_hour;
pub mod peer_copy;
mod peer_start;
pub mod placement;
pub mod probe;
pub mod problems;
pub mod purged_object;
pub mod quantity;
pub mod retention;
pub mod segment;
pub mod tar_member;
#[cfg(test)]
pub mod test_manifests;
#[cfg(test)]
pub mod test_names;
mod text_form;
pub mod time;
pub mod time_input;
pub mod totals;

pub use bad_name::BadName;
pub use best::{
    Chain, Link, Sequence, SequencePiece, SequenceStep, best_per_start, best_sequence, into_best_playable, is_playable,
};
pub use container::{Container, FileEnding};
pub use contents::{AnyFile, HourChange, HourContents, OddFile, diff};
pub use digest_sums::{Day, Sum};
pub use dir_stamp::Stamp;
pub use horizon::Horizon;
pub use ids::{Channel, Quality, Stream};
pub use layout::{FilePlace, HourPlace};
pub use manifest::{HourManifest, ManifestError, ManifestFile};
pub use media_line::{MediaLine, media_reader};
pub use name::{FileName, parse_file_name};
pub use object_check::{ObjectCheck, ObjectFault};
pub use object_name::ObjectName;
pub use packed_hour::{ObjectPiece, PackedHour};
pub use peer_copy::PeerCopy;
pub use peer_start::PeerStart;
pub use segment::{Hash, LARGEST_FILE, SegmentFile, SegmentKey, SegmentKind, Spelling};
pub use time::{Hour, Span, Timestamp};
pub use totals::{Digest, HourTotals};

/// What the index keeps of what is in a segment.
pub use crate::media::{Edges, EdgesReader, Extent, InitSection, TimeStamp, Tracks};
