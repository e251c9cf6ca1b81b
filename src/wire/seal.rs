//! Sealing hours, as it is ordered and reported.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Hours that are to be sealed now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SealOrder {
    /// `CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`; everything if there are none.
    pub places: Vec<String>,
    /// Seconds for which an hour must have been over, and unchanged; the node's setting where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<u32>,
    /// Nothing is read or written: only what would be sealed is told.
    pub dry_run: bool,
}

/// One line of the answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "line")]
pub enum SealLine {
    /// The first: what is ahead.
    Begin {
        /// Hours.
        hours: u64,
        /// Bytes of their files.
        bytes: u64,
    },
    /// Now and then: bytes that were read since the last one.
    Progress {
        /// Bytes.
        bytes: u64,
    },
    /// An hour is sealed, or would be.
    Sealed {
        /// `CHANNEL/QUALITY/HOUR`.
        hour: String,
        /// Files; none for what would be.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        files: Option<u64>,
        /// The SHA-256 of the manifest in hexadecimal digits; none for what would be.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        manifest: Option<String>,
    },
    /// An hour is not.
    Open {
        /// `CHANNEL/QUALITY/HOUR`.
        hour: String,
        /// Why not.
        why: String,
    },
    /// Something is wrong with an hour: a file whose content is not the one in its name, or that cannot be read; or no manifest can be written.
    Unseen {
        /// `CHANNEL/QUALITY/HOUR`.
        hour: String,
        /// Why not.
        why: String,
    },
    /// The last, if it came to its end.
    Done(SealSummary),
    /// The last, if it did not.
    Failed {
        /// Why not.
        why: String,
    },
}

/// What sealing came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealSummary {
    /// Hours that were sealed, or would be.
    pub sealed: u64,
    /// Hours that were before, and have not changed.
    pub sealed_before: u64,
    /// Hours that are not.
    pub open: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Hours with which something is wrong.
    pub errors: u64,
}
