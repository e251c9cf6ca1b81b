//! Every open connection: who makes room when there are too many, and who is cut. What each is doing it knows itself (`connection`).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::connection::Activity;
use super::limits::ConnectionLimits;
use super::seats::network;

/// How long nothing must be taken of an answer before its connection makes room for a new one: longer than a packet is on its way.
const NOT_TAKING: Duration = Duration::from_secs(1);
/// Every open connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionTable {
    entries: Mutex<OpenConnections>,
    /// A connection has ended.
    pub(super) freed: Notify,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    open: HashMap<u64, (Arc<Activity>, AbortHandle)>,
}

impl ConnectionTable {
    pub(super) fn len(&self) -> usize {
        self.entries.lock().open.len()
    }

    pub(super) fn spawn(
        self: &Arc<Self>,
        activity: Arc<Activity>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut entries = self.entries.lock();
        entries.next += 1;
        let id = entries.next;
        let leave = Leave { table: Arc::clone(self), id };
        let task = tokio::spawn(async move {
            let _leave = leave;
            connection.await;
        });
        entries.open.insert(id, (activity, task.abort_handle()));
    }

    pub(super) fn evict_longest_waiting(&self) -> bool {
        let mut entries = self.entries.lock();
        let waiting = entries.open.iter().filter_map(|(id, (activity, _))| Some((activity.waiting_since()?, *id)));
        let Some((_, id)) = waiting.min() else {
            return false;
        };
        if let Some((activity, task)) = entries.open.remove(&id) {
            tracing::debug!(name: "connection_given_up", peer = %activity.peer, "closing the connection that has waited longest for one that is new");
            task.abort();
        }
        true
    }

    /// Closes a connection that takes nothing of an answer that is there, of the client that has the most connections: one client that
    /// holds all of them makes room for others, and for itself.
    pub(super) fn evict_slowest(&self, now: u64) -> bool {
        let mut entries = self.entries.lock();
        let grace = u64::try_from(NOT_TAKING.as_millis()).unwrap_or(u64::MAX);
        let mut connections: HashMap<u128, usize> = HashMap::new();
        for (activity, _) in entries.open.values() {
            *connections.entry(network(activity.peer.ip())).or_default() += 1;
        }
        let candidates = entries.open.iter().filter_map(|(id, (activity, _))| {
            let (taken, since) = activity.not_taking().filter(|(_, since)| now.saturating_sub(*since) >= grace)?;
            let most = connections.get(&network(activity.peer.ip())).copied().unwrap_or_default();
            Some((Reverse(most), taken, since, *id))
        });
        let Some((_, _, _, id)) = candidates.min() else { return false };
        if let Some((activity, task)) = entries.open.remove(&id) {
            tracing::debug!(name: "connection_given_up", peer = %activity.peer, "closing the slowest connection for one that is new");
            task.abort();
        }
        true
    }

    pub(super) fn cut_overdue(&self, now: u64, limits: &ConnectionLimits) {
        for (activity, task) in self.entries.lock().open.values() {
            if let Some(reason) = activity.overdue(now, limits) {
                tracing::debug!(name: "connection_overdue", peer = %activity.peer, ?reason, "closing a connection that took too long");
                task.abort();
            }
        }
    }

    pub(super) fn drain(&self) {
        for (activity, _) in self.entries.lock().open.values() {
            activity.drain();
        }
    }

    pub(super) fn cut_all(&self) {
        for (_, task) in self.entries.lock().open.values() {
            task.abort();
        }
    }
}

/// Takes a connection out of the table when its task ends, however it ends.
struct Leave {
    table: Arc<ConnectionTable>,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.table.entries.lock().open.remove(&self.id);
        self.table.freed.notify_one();
    }
}
