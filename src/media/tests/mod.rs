//! The room's tests that need several of its parts, real samples, or ffmpeg.

mod check;
mod edges;
mod edges_reader;
mod exact;
mod facts;
mod mp4;
mod probe;
mod reader;
mod segment;
mod stamp_span;
mod support;
