//! The room `media` and nothing else: it is pure, so that it can be fuzzed without building the whole program for that.

#[path = "../../src/media/mod.rs"]
pub mod media;
