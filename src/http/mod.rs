//! Serving HTTP well: connections and their limits, errors, ranges, conditions, encodings, files, metrics.
//!
//! Reading order: `serve` (with `limits`, `connections`, `connection`, `watched` and `pace`) takes connections; `pathname` turns paths into names;
//! `problem` says what is wrong; `request` reads what handlers are asked; `conditional`, `range` and `negotiate` read what clients ask for; `file_body` sends
//! files; `metrics`, `compress` and `cors` belong to every answer. None of these knows the index.
//!
//! `router` says who answers what; `app` is what those share: `listing` (with `wire_cache` and `json_list`), `segments`, `api`,
//! `agree`, `bundle`, `changes`, `events`, `coverage`, `timeline`, `map`, `explain`, `peers`, `master`, `playlist` (with `pieces_body`),
//! `cut` (with `cut_body`, `exact`), `ffmpeg`, `thumbnail`, `videos`, `chat`, `sequence`, `status`, `check`, `tombstones`, `pages` (with `exposition`), `page`.
//! `seats` bounds who stays, `budget` what is held for those who take their time.
//! `entrance` is what every request passes first: `host` says whom it may name. `auth` says who may.

pub mod api;
pub mod app;
mod archiving;
pub mod auth;
mod bucket_metrics;
mod budget;
pub mod bundle;
pub mod changes;
mod chat;
pub mod check;
mod compress;
pub mod conditional;
mod connection;
mod connections;
pub mod cors;
mod counted_stream;
pub mod coverage;
mod crawl;
mod cut;
mod cut_body;
pub mod digest_owners;
mod digest_sums;
mod digests;
mod entrance;
pub mod events;
mod exact_cut;
pub mod explain;
mod exposition;
mod ffmpeg;
pub mod file_body;
pub mod held_body;
mod hole_reasons;
mod host;
mod in_process;
mod jobs;
mod json_list;
pub mod latest;
mod layout;
mod layout_pins;
mod layout_plan;
mod layout_problems;
mod limits;
mod line_sender;
pub mod listing;
mod log_limit;
pub mod map;
mod master;
pub mod metrics;
pub mod negotiate;
pub mod node_metrics;
mod node_problems;
pub mod operator_actions;
mod pace;
pub mod page;
pub mod pages;
mod parameters;
pub mod pathname;
pub mod peers;
mod pieces_body;
mod playlist;
pub mod problem;
pub mod range;
mod read_view;
mod recorders;
mod request;
pub mod retention;
mod router;
mod scrub;
mod seal;
mod seats;
mod segment_read_metrics;
mod segments;
mod sequence;
pub mod serve;
pub mod status;
#[cfg(test)]
mod test_future;
#[cfg(test)]
pub(crate) mod test_node;
mod text_schemas;
mod thumbnail;
pub mod timeline;
mod tombstones;
mod videos;
mod visitor_metrics;
mod wire_cache;

pub use app::{App, RequestBounds, ServedNode};
pub use auth::Auth;
pub use conditional::{ConditionVerdict, ETag};
pub use file_body::{FileBody, FileReply, file_response};
pub use host::Hosts;
pub use in_process::InProcess;
pub use metrics::{Endpoint, HttpMetrics, InFlight};
pub use negotiate::{Effort, Encoding, encode, negotiate};
pub use problem::Problem;
pub use range::RequestedRange;
pub use router::router;
pub use serve::{ConnectionLimits, listen, serve};
