//! Playlists, cuts, frames and waveforms.
//!
//! Reads segments and writes none.

pub mod ffmpeg;
pub mod playback;
pub mod playlist;
