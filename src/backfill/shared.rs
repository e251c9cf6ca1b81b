//! What the workers of all peers share: the archive, the client, the claims, the memory and the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::claims::Claims;
use super::error::RoundError;
use super::memory::Memory;
use super::metrics::Metrics;
use super::options::BackfillOptions;
use super::report_file::ReportFile;
use super::targets::Targets;
use crate::crawl::{CrawlError, Keeper};
use crate::peer::PeerClient;

/// Downloads at once, from all peers together: each holds a piece of a file in memory. Every peer has a share of its own, so
/// that those that hang keep nobody else from being asked.
const DOWNLOADS: usize = 32;

/// What the workers share.
pub(super) struct Shared {
    pub(super) keeper: Arc<Keeper>,
    pub(super) client: PeerClient,
    pub(super) options: BackfillOptions,
    pub(super) claims: Claims,
    pub(super) targets: Targets,
    pub(super) memory: Memory,
    pub(super) metrics: Metrics,
    pub(super) report_file: ReportFile,
    /// Workers there are.
    pub(super) workers: AtomicUsize,
}

impl Shared {
    /// Runs what waits for the disk.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RoundError> + Send + 'static,
    ) -> Result<T, RoundError> {
        tokio::task::spawn_blocking(work).await.map_err(|error| RoundError::Thread(error.to_string()))?
    }

    /// The same with the keeper.
    pub(super) async fn with_keeper<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keeper) -> Result<T, CrawlError> + Send + 'static,
    ) -> Result<T, RoundError> {
        let keeper = Arc::clone(&self.keeper);
        self.blocking(move || Ok(work(&keeper)?)).await
    }

    /// An error if the disk is not there, or has less room than is to stay free.
    pub(super) async fn room(&self) -> Result<(), RoundError> {
        let (keeper, floor) = (Arc::clone(&self.keeper), self.options.free_floor);
        self.blocking(move || {
            let base = keeper.guard().base().map_err(CrawlError::Away)?;
            let (free, _) = base.free_space().map_err(CrawlError::Disk)?;
            if free < floor { Err(RoundError::NoRoom { free, floor }) } else { Ok(()) }
        })
        .await
    }

    /// Downloads at once from one peer.
    pub(super) fn share(&self) -> usize {
        let workers = self.workers.load(Ordering::Relaxed).max(1);
        self.options.concurrency.min(DOWNLOADS / workers).max(1)
    }
}
