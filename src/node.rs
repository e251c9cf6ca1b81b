//! The daemon: builds everything, joins it, and ends it in order.
//!
//! 1. Locks, marker, index ([`crate::sync::startup`]).
//! 2. The watcher places its watches; the crawl catches up; questions are answered from the first moment.
//! 3. The jobs run, each in a thread of its own and all under one contract ([`crate::jobs::Job`]); their states are in one registry.
//! 4. Once the index has caught up, retention deletes old hours, and the reasons of holes are worked out.
//! 5. Recorders record from the first moment: what is live does not wait for the index.
//! 6. At the end: no new connections, what is in hand is finished, the jobs stop, the index is closed.

mod address;
mod error;
mod options;
mod pulse;
mod sentinel;
pub mod service;
mod services;
mod survey;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use self::address::{AddressFile, renew};
use self::pulse::VitalJobs;
use self::sentinel::{Sentinel, SentinelParts};
use self::services::{Jobs, Services};
use crate::disk::{Base, BaseGuard};
use crate::http::{HttpMetrics, listen, router, serve};
use crate::index::Index;
use crate::jobs::{Job, Runner, Wake};
use crate::record::{RecordOptions, Recorders};
use crate::sync::crawl::Pacing;
use crate::sync::startup::{Locked, StartupError};

pub use self::error::NodeError;
pub use self::options::{BucketOptions, NodeOptions};
pub use self::pulse::{ENDING, NodePulse};

pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    services: Services,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    fetching: tokio::task::JoinHandle<()>,
    recording: tokio::task::JoinHandle<()>,
    threads: Vec<JoinHandle<()>>,
    vital: VitalJobs,
    address_file: Arc<AddressFile>,
    locked: Locked,
}

impl Node {
    /// Starts a node; when this returns it is listening.
    pub async fn start(options: NodeOptions, registry: Registry) -> Result<Self, NodeError> {
        let opening = options.clone();
        let opened = tokio::task::spawn_blocking(move || open(&opening)).await;
        let (locked, index, guard) = opened.map_err(|error| NodeError::Thread(io::Error::other(error)))??;
        let listening = |cause| NodeError::Listen { address: options.listen, cause };
        let listener = listen(options.listen).map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        options.auth.listens_at(address.ip());

        let (services, jobs) = Services::build(&options, (index, guard), &locked.state_dir, address, &registry)?;
        let (shutdown, vital) = (CancellationToken::new(), VitalJobs::default());
        let metrics = HttpMetrics::register(&registry, Arc::clone(&services.busy))?;
        let app = Arc::new(services.app(&options, registry)?.until(shutdown.clone()));
        let serving = serve(listener, router(app, &metrics), options.http, options.tls.clone(), shutdown.clone());
        let held = vital.hold("server");
        let server = tokio::spawn(async move {
            let _held = held;
            serving.await;
        });
        let fetching = tokio::spawn(services.replicate(shutdown.clone()));
        let recording = tokio::spawn(record(Arc::clone(&services.recorders), options.record.clone(), shutdown.clone()));
        let shown = options.tls.as_ref().map(|shown| shown.fingerprint());
        let address_file = AddressFile::new(&locked.state_dir, address, &options.name, shown, options.auth.own());
        let address_file = Arc::new(address_file);
        if let Some(followed) = options.tls {
            tokio::spawn(renew(followed, Arc::clone(&address_file), shutdown.clone()));
        }
        let scheme = if shown.is_some() { "https" } else { "http" };
        let threads = Vec::new();
        let mut node = Self {
            address,
            scheme,
            services,
            shutdown,
            server,
            fetching,
            recording,
            threads,
            vital,
            address_file,
            locked,
        };
        node.spawn_jobs(jobs)?;
        Ok(node)
    }

    fn spawn_jobs(&mut self, jobs: Jobs) -> Result<(), NodeError> {
        let watch = Arc::clone(&self.services.watch);
        self.spawn("watch", move || watch.run())?;
        let stop = self.services.stop.clone();
        let (catching_up, carry) = self.services.crawl.jobs();
        self.spawn_job(catching_up, Wake::new(&stop))?;
        let carry = Runner::new(carry, &self.services.board, Wake::new(&stop));
        self.spawn("crawl", move || {
            be_last();
            carry.run();
        })?;
        self.address_file.write_or_warn();
        for (job, wake) in jobs {
            self.spawn_job(job, wake)?;
        }
        let sentinel = Sentinel::new(SentinelParts {
            keeper: Arc::clone(&self.services.keeper),
            watch: Arc::clone(&self.services.watch),
            crawl: Arc::clone(&self.services.crawl),
            address_file: Arc::clone(&self.address_file),
            board: Arc::clone(&self.services.board),
            woken: vec![self.services.retention.wake().clone()],
        });
        self.spawn_job(sentinel, Wake::new(&stop))
    }

    fn spawn_job(&mut self, job: impl Job + 'static, wake: Wake) -> Result<(), NodeError> {
        let name = job.kind();
        let runner = Runner::new(job, &self.services.board, wake);
        self.spawn(name, move || runner.run())
    }

    /// None of these threads may end before the node does: when one does, a service manager may start the node anew.
    fn spawn(&mut self, name: &'static str, job: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
        let held = self.vital.hold(name);
        let job = move || {
            let _held = held;
            job();
        };
        self.threads.push(std::thread::Builder::new().name(name.into()).spawn(job).map_err(NodeError::Thread)?);
        Ok(())
    }

    pub fn pacing(&self) -> &Pacing {
        self.services.crawl.pacing()
    }

    pub fn recorders(&self) -> &Recorders {
        &self.services.recorders
    }

    /// How it is, for a service manager; can be asked until the very end.
    pub fn pulse(&self) -> NodePulse {
        NodePulse::new(Arc::clone(&self.services.keeper), Arc::clone(&self.services.crawl), self.vital.clone())
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.vital.ending();
        self.shutdown.cancel();
        if self.fetching.await.is_err() {
            tracing::error!(name: "backfill_ended_badly", "backfill crashed");
        }
        if self.recording.await.is_err() {
            tracing::error!(name: "recording_ended_badly", "the recorders crashed");
        }
        if self.server.await.is_err() {
            tracing::error!(name: "server_failed", "the server crashed");
        }
        let Services { keeper, ffmpeg, stop, watch, whole, .. } = self.services;
        ffmpeg.end();
        stop.stop();
        watch.wake();
        let threads = self.threads;
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!(name: "job_failed", "a job crashed");
                }
            }
            whole.close();
            keeper.index().close();
        });
        if ended.await.is_err() {
            tracing::error!(name: "end_failed", "the index was not closed; it is checked at the next start");
        }
        self.address_file.remove();
        drop(self.locked);
    }
}

/// Records what the settings name, and what was ordered.
async fn record(recorders: Arc<Recorders>, configured: Vec<RecordOptions>, stop: CancellationToken) {
    let begun = Arc::clone(&recorders);
    if tokio::task::spawn_blocking(move || begun.configure(configured)).await.is_err() {
        tracing::error!(name: "recording_ended_badly", "the recorders crashed");
    }
    recorders.run(stop).await;
}

/// This thread runs only when the processor is idle.
fn be_last() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(name: "priority_kept", %error, "the crawl runs with the same priority as everything else");
    }
}

fn open(options: &NodeOptions) -> Result<(Locked, Arc<Index>, Arc<BaseGuard>), NodeError> {
    let locked = Locked::acquire(&options.base_dir, &options.state_dir)?;
    let index = locked.open_index(options.index.clone())?;
    if let Some(from) = index.report().migrated_from {
        tracing::info!(name: "index_migrated", from, "the index was brought up to the current format");
    }
    if let Some((aside, why)) = &index.report().set_aside {
        tracing::error!(name: "index_set_aside", file = %aside.display(), why, "the index was damaged; it is being made anew from the files");
    }
    let identity = locked.identify(&index)?;
    let base = Base::open(&options.base_dir).map_err(StartupError::from)?;
    Ok((locked, Arc::new(index), Arc::new(BaseGuard::new(base, identity))))
}
