//! Why nothing is decided about handoffs now.

use std::sync::Arc;

use crate::archive::HourPlace;
use crate::disk::{AwayReason, DiskError};
use crate::replicate::peer::PeerError;
use crate::sync::crawl::CrawlError;

/// Why nothing is decided, promised or deleted now.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    #[error("the layout cannot be read: {0}")]
    Layout(Arc<str>),
    #[error("the index is catching up with the disk")]
    NotReady,
    #[error("how long this node has lived is not known")]
    NotLived,
    #[error("the archive has no marker (.gapless/marker): make its base directory writable")]
    NoMarker,
    #[error(
        "records that protect the archive cannot be relied on: {0}; look at them, then say `gapless retention accept`"
    )]
    Records(String),
    #[error("too much is asked at once: {0}")]
    TooMuch(String),
    #[error("{0} {1:?} cannot be read")]
    Unread(&'static str, String),
    #[error("{0}: the name {1:?} does not say what is in the file, and an owner may have something else by that name")]
    Unproven(HourPlace, String),
    #[error("{0}: the name {1:?} is not UTF-8, so no other node can be asked about it")]
    NotUtf8(HourPlace, String),
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, Arc<std::io::Error>),
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl From<AwayReason> for HandoffError {
    fn from(away: AwayReason) -> Self {
        Self::Crawl(away.into())
    }
}
