//! The language of these tests: an archive to write to, a node that runs on it, a client that speaks to it, and what must always hold.

pub mod apple;
pub mod archive;
pub mod authority;
pub mod broadcast;
pub mod browser;
pub mod camera;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod encoder;
pub mod hls;
pub mod invariants;
pub mod link;
pub mod live_origin;
pub mod mischief;
pub mod model;
pub mod mp4;
pub mod network;
pub mod nginx;
pub mod node;
pub mod object_store;
pub mod origin;
pub mod peer;
pub mod postgres;
pub mod recording;
pub mod scripted_origin;
pub mod sender;
pub mod store_line;
pub mod swift;
pub mod trouble;
pub mod video;

use std::time::{Duration, Instant};

pub use archive::{Kind, TestArchive};
pub use client::{Connection, TestResponse, quoted};
pub use node::{Outcome, Plan, TestNode, gapless, gapless_reading, gapless_through, gapless_unheard};

/// What happens at once, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `condition` holds; panics after `deadline`.
#[track_caller]
pub fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < deadline, "did not come true within {deadline:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
