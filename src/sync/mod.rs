//! Keeps the index equal to the tree, and says where it is not.
//!
//! Crawl and watcher, the scrub, the check of an index against its tree, an offline rebuild, and what is asked at the start.

pub mod check;
pub mod crawl;
pub mod rebuild;
pub mod scrub;
pub mod startup;
