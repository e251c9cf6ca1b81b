//! Reading what lies on other nodes: under a layout each node answers for all of them.
//!
//! 1. Which names others have is in [mirrors](crate::sync::crawl::Mirrors), which backfill fills. They exist only under a layout: [`WholeArchive`] opens
//!    them and what is put together from them, and lets go of both when there is no layout any more.
//! 2. Files that are not here come from a node that has them, for whoever asks for one (`peer_files`). Their bytes are right by the hash in their
//!    names before anybody gets them, and nothing of them is kept.
//! 3. Other nodes are asked for what lies on them alone (`local=true`), so that no question goes in a circle.
//!
//! Nothing is written into the tree, and nothing is deleted or fetched into it, by what is known here.

mod peer_files;
mod placed_copies;
mod whole_archive;

pub use placed_copies::PlacedCopies;
pub use whole_archive::{WholeArchive, WholeJob, WholeParts};
