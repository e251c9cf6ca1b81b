//! Tells the service manager how the node is, in the words of systemd's `sd_notify(3)`. Without one it says nothing.
//!
//! 1. While the node starts, the manager is asked for patience: an index may have to be checked or brought to another format.
//! 2. Ready means that it listens: what it answers is right from the first moment. Whether it has caught up is told by
//!    `/readyz`, and in the one line of state that goes with `systemctl status`.
//! 3. A sign of life goes out as often as the manager wants it, as long as what the node cannot do without is running.
//! 4. Reloading and ending are told when they begin.
//!
//! What is vital, what the line says and when to reload is the node's affair. Nothing here reads the environment by itself.

mod heartbeat;
mod notify;

pub use heartbeat::{Beat, with_patience};
pub use notify::Notify;
