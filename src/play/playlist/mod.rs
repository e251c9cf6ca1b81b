//! What playlists and cuts are made of and how they are written, decided over values alone. Reads neither index nor disk nor clock:
//! `playback` does, and asks here.

pub mod cut;
pub mod gap_fill;
pub mod hls;
pub mod live_edge;
pub mod master;
