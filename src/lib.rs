//! gapless: an indexed segment store that keeps live-stream archives complete.
//!
//! The tree on disk is the truth; the index is derived from it. `docs/design.md` draws the house on one page.
//! In reading order:

pub mod domain;

pub mod disk;
pub mod index;

pub mod runtime;

pub mod crawl;

pub mod http;

pub mod cli;
