//! One reader of media: what MPEG transport streams and fragmented MP4 hold, read once by one code for all who ask; and one writer. `docs/media.md` has
//! the rules with their sources.
//!
//! 1. [`Reader`] tells a [`Sink`] what the bytes hold: packets, tables, units. It judges nothing.
//! 2. [`facts`] says what a master playlist wants to know, from the head of a file; [`Segment`] has the pictures and the sound of a whole
//!    one; [`TsCheck`] finds what is wrong with one.
//! 3. [`Edges`] are what the two ends of a file say, in a few bytes, and whether another one goes on where it ends; [`EdgesReader`] finds them in bytes
//!    that pass by.
//! 4. [`CutPlanner`] says what an exact cut of segments is made of.
//! 5. [`Mux`] writes units as a transport stream that any player takes.
//! 6. [`Mp4Reader`] is the reader of fragmented MP4: facts, ends and faults of a file.
//!
//! Pure: bytes in, values out. No bytes make any of it panic; what is not understood is unknown and never absent. It decodes nothing.

mod bits;
mod check;
mod coding;
mod content;
mod description;
mod edges;
mod edges_reader;
mod entry;
mod exact;
mod facts;
mod fault;
mod framing;
mod h264;
mod hevc;
mod key_frame;
mod likeness;
mod mp4;
mod mux;
mod nal;
mod packet;
mod pes;
mod psi;
mod reader;
mod segment;
mod sound;
mod stamp_span;
mod stream_check;
#[cfg(test)]
mod tests;
mod time;
mod unit;

pub use check::{StreamVerdict, TOLERANCE_US, TsCheck};
pub use coding::{Coding, Role};
pub use content::{CutRefusal, SOUND_US, SegmentContent, SoundSpan};
pub use edges::{Change, Edges, Extent, Front, InitSection, TimeStamp, Tracks, WINDOW};
pub use edges_reader::{EdgesReader, mp4_edges, ts_edges};
pub use entry::{DecodeEntry, Marks, right_from};
pub use exact::{CutPlanner, CutStep, MOST_GROUP, SegmentSteps};
pub use facts::{Facts, Reading, facts};
pub use fault::StreamFault;
pub use key_frame::begins_with_key_frame;
pub use likeness::{Likeness, likeness};
pub use mp4::Mp4Reader;
pub use mux::{Mux, SOUND_PID, VIDEO_PID};
pub use packet::{LEN as PACKET_LENGTH, Packet};
pub use pes::{Header, Times};
pub use psi::{Elementary, Program, checksum};
pub use reader::{Reader, Sink, program_of};
pub use segment::Segment;
pub use sound::{LONGEST as LONGEST_FRAME, SoundFrame, sound_frames};
pub use stamp_span::{StampMeter, StampSpan};
pub use stream_check::StreamCheck;
pub use time::{TICKS, WRAP, distance, near, ticks};
pub use unit::{PlannedPicture, TableSpan, Unit, shortest};
