//! Why a node cannot start.

use std::io;
use std::net::SocketAddr;

use crate::replicate::backfill::BackfillError;
use crate::replicate::peer::PeerError;
use crate::sync::startup::StartupError;

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Startup(#[from] StartupError),
    #[error("cannot listen on {address}: {cause}; choose another with --listen")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error(transparent)]
    Backfill(#[from] BackfillError),
    /// The client by which retention asks other nodes.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Metrics registered twice.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
