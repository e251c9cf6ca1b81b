//! Listens for streams of RTMP that OBS and other encoders push, with a key.
//!
//! 1. `amf` reads and writes the values of commands, `chunks` puts messages together, `session` speaks the protocol: all pure, and bounded
//!    whatever a peer sends. Before its key was accepted a peer may send little.
//! 2. `flv` wraps the media of a publisher, so that ffmpeg reads it from a pipe.
//! 3. `listener` has the sockets: one for each port, whatever number of recorders wait there.
//!
//! Nothing is played to anybody, and keys are compared in constant time and never logged.

mod amf;
mod chunks;
mod flv;
mod listener;
mod session;

pub use listener::{Publisher, RtmpPorts, RtmpWaiter};
