//! Peers as bad as they come: a small server that says whatever a test wants it to say.

mod downloads;
pub(crate) mod in_process;
mod listings;
mod server;
