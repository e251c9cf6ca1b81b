//! Records live streams: what an origin of HLS lists, or another source sends, becomes segments of the archive. `docs/recorder.md` says how, and what is not there yet.
//!
//! 1. `playlist`, `variants`, `separate_sound`, `follow` and `start_times` are pure: what is listed, which quality and which sound is which, what is
//!    new, and when it begins; by which clock, `steady_clock` says.
//! 2. `source_address` and `address_command` say where a stream is, and `address_expiry` for how long; `address` and `origin` ask, within limits; nothing else here opens connections.
//! 3. `segment_attempt` brings one segment here: `segment_fetch` to the disk, with what `init_segment` has of it in front, and `publish` gives it its name, where `run_placement`
//!    says when it begins. `list_recorder` does so with all of one playlist, of which `wanted_segments` are not here yet,
//!    `followed_lists` with those of one quality, and [`Recorder`] with all qualities of a channel.
//! 4. What is no HLS comes through ffmpeg or, where OBS pushes it, by [`rtmp`]; `stream_process` brings it, `ts_cutter` cuts it, `stream_writer`
//!    publishes what was cut.
//! 5. `probe` and `stream_probe` say what a source has, and record nothing; `not_offered` says what it has not.
//! 6. [`Recorders`] are those of a node, by its settings and by `saved_recorders`, which the API changes; `job` runs each, shows and counts what it tells, and
//!    `missed` works out from it why there are holes.
//!
//! 7. `peer_times` agrees with recorders of other nodes on the times, where the source tells none.
//!
//! Nothing here reads or writes the index: a daemon sees these files as it sees those of any recorder.

mod address;
mod address_command;
mod address_expiry;
mod decrypt;
mod drift;
mod events;
mod follow;
mod followed_lists;
mod init_segment;
mod job;
mod last_listed;
mod list_recorder;
mod missed;
mod not_offered;
mod origin;
mod origin_http;
mod peer_times;
mod playlist;
mod poll_pace;
mod probe;
mod publish;
mod recorder;
mod recorders;
mod rtmp;
mod run_placement;
mod saved_recorders;
mod segment_attempt;
mod segment_fetch;
mod separate_sound;
mod source_address;
mod source_cookies;
mod source_headers;
mod start_times;
mod steady_clock;
mod stream_probe;
mod stream_process;
mod stream_recorder;
mod stream_source;
mod stream_times;
mod stream_writer;
#[cfg(test)]
mod test_recording;
mod ts_cutter;
mod variants;
mod wanted_segments;

pub use address_command::AddressCommand;
pub use events::{RecorderEvent, RecorderEvents};
pub use job::{RecordMetrics, RecordParts};
pub use missed::MissedSink;
pub use not_offered::check_offered;
pub use peer_times::PeerTimes;
pub use probe::{ProbedList, ProbedQuality, ProbedSegment, ProbedSource, probe_hls, probing_client};
pub use publish::{RecordedSegment, newest_end};
pub use recorder::{RecordOptions, RecordSource, Recorder};
pub use recorders::{RecorderStatus, Recorders};
pub use saved_recorders::RecorderChangeError;
pub use segment_fetch::ArchiveBase;
pub use source_address::{SourceAddress, SourceProtocol};
pub use source_headers::SourceHeaders;
pub use stream_probe::probe_stream;
pub use stream_process::StreamTools;
pub use variants::SOURCE;
