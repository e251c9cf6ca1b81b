//! Keeps the index equal to the tree, and says where it is not.
//!
//! Crawl and watcher, the scrub, the check of an index against its tree, an offline rebuild, and what is asked at the start.

pub(crate) mod check;
pub mod crawl;
pub(crate) mod rebuild;
pub(crate) mod scrub;
pub(crate) mod startup;
