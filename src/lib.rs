//! gapless: an indexed segment store that keeps live-stream archives complete.
//!
//! The tree on disk is the truth; the index is derived from it. `docs/design.md` draws the house on one page.
//! In reading order:

pub mod media;

pub mod archive;

pub mod disk;

pub mod index;

pub mod jobs;

mod process;

pub mod wire;

pub mod net;

pub mod sync;

pub mod bucket;

mod replicate;

mod lifecycle;

pub mod play;

mod record;

pub mod report;

pub mod http;

mod node;

pub mod cli;

mod demo;
