//! The only HTTP client towards other archive nodes: lists what they have, and fetches it.
//!
//! 1. A peer is trusted with nothing. Sizes, counts and times are bounded while they arrive; the content of a file is
//!    right when its hash is, and only `disk` publishes it.
//! 2. Requests go to the peer's own address and nowhere else: redirects are errors, and no proxy stands in between.
//! 3. One bad name in a list is dropped and counted; it never costs the rest of the list.
//! 4. One failure is one error, from which a worker knows what to do: see [`PeerError::is_away`] and
//!    [`PeerError::is_peers_fault`]. Trying again, and whom to ask, is not decided here.
//!
//! What to fetch is not known here, nothing is deleted, and the index is never touched.

mod body;
mod client;
mod dates;
mod download;
mod error;
mod layout;
mod limits;
mod list;
mod list_cache;
mod pins;
mod probe;
#[cfg(test)]
pub(crate) mod tests;
mod url;

pub use client::{Listing, Peer, PeerClient};
pub use dates::Dates;
pub use download::PIECE_BYTES;
pub use error::{PeerError, unless_no_channel};
pub use limits::{PeerLimits, Throttle};
pub use list_cache::{HourListing, ListRead};
pub use probe::ProbeAnswer;
pub use url::{BadUrl, PeerUrl};
