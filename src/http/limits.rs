//! Every bound on connections, each with its reason.
//!
//! They are numbers only; `serve` and `connection` keep them.

use std::time::Duration;

/// Bounds on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once. 10,000: five thousand slow ones leave room for the others, and at 11 kB each (measured) they
    /// cost 110 MB at worst; an encrypted one costs about 10 kB more, and up to 64 KiB of rustls' buffer while its client takes
    /// nothing. At the cap the connection that has waited longest for a request gives way to the new one; only
    /// when all have work in hand do new ones wait in the kernel's queue. At run time it is lowered to half of what the
    /// process may have open: a quarter is for files that are being sent, the rest for the index and the disk.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its head, however it trickles; before that, from accepting an encrypted
    /// connection to the end of its handshake. 10 s: a head fits in one packet, and a handshake takes two round trips.
    pub header_timeout: Duration,
    /// Between requests, and before the first. 75 s: dashboards that ask once a minute keep their connection.
    pub idle_timeout: Duration,
    /// From the head of a request that has a body to the head of its answer. 60 s: bodies here are a few kilobytes.
    pub body_timeout: Duration,
    /// A response under way without one byte taken. 60 s: the kernel reports room only when a third of the send buffer
    /// (4 MB at most) is free, so a shorter limit would cut slow lines that are still reading.
    pub write_stall_timeout: Duration,
    /// Bytes a second that a client has to take over a `write_stall_timeout` in which it is waited for most of the time. 1 KiB: a
    /// telephone line takes five times that. What we need ourselves to make an answer does not count.
    pub min_rate: u64,
    /// A request's head. 16 kB: the longest path, 64 parts of 255 bytes, fits if it is plain; real heads have 500 bytes.
    /// It also bounds what is buffered for writing per connection, beyond the chunk in hand. At least 8192.
    pub max_header_bytes: usize,
    /// From the wish to end until connections are cut. 10 s: two segments on a slow line, less than service managers wait.
    pub drain: Duration,
}

#[cfg(test)]
impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            write_stall_timeout: Duration::from_secs(60),
            min_rate: 1024,
            max_header_bytes: 16 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

impl ConnectionLimits {
    /// The cap on connections that this process can keep with the descriptors it may have.
    pub(super) fn effective_connections(&self) -> usize {
        self.max_connections.min(descriptors() / 2).max(1)
    }

    /// How often connections are looked at: often enough that no limit is exceeded by more than a quarter.
    pub(super) fn sweep_interval(&self) -> Duration {
        let shortest = self.header_timeout.min(self.idle_timeout).min(self.body_timeout).min(self.write_stall_timeout);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// How much of a sweep that comes late counts at most, so that a process that was stopped does not cut everybody when it goes on.
    pub(super) fn longest_sweep(&self) -> Duration {
        self.sweep_interval() * 4
    }
}

/// Files that may be open at once because they are being sent.
pub(super) fn files_sent_at_once() -> usize {
    (descriptors() / 4).clamp(1, tokio::sync::Semaphore::MAX_PERMITS)
}

/// Descriptors that this process may have.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_is_quick_enough_and_not_busy() {
        let limits = ConnectionLimits::default();
        assert_eq!(limits.sweep_interval(), Duration::from_secs(1));
        let hasty = ConnectionLimits { header_timeout: Duration::ZERO, ..limits };
        assert_eq!(hasty.sweep_interval(), Duration::from_millis(5));
        assert!(hasty.effective_connections() >= 1);
    }
}
