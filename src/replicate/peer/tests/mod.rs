//! Peers as bad as they come: a small server that says whatever a test wants it to say.

mod downloads;
mod listings;
mod server;
