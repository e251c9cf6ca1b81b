//! gapless: an indexed segment store that keeps live-stream archives complete.
//!
//! The tree on disk is the truth; the index is derived from it. `docs/design.md` draws the house on one page.
//! In reading order:

pub mod media;

pub mod domain;

pub mod disk;
pub mod index;

pub mod guards;

pub mod runtime;

pub mod deleted;

pub mod coverage;

pub mod crawl;

pub mod check;
pub mod rebuild;
pub mod startup;

pub mod wire;

pub mod tls;

pub mod tokens;

pub mod tombstones;

pub mod scrub;

pub mod peer;

pub mod clock;

pub mod sources;

pub mod peer_proxy;

pub mod playback;

pub mod hole_reasons;

pub mod backfill;

pub mod retention;

pub mod ffmpeg;

pub mod http;

pub mod service;

pub mod doctor;

pub mod node;

pub mod demo;

pub mod cli;
