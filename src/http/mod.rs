//! Serving HTTP well: connections and their limits, errors, ranges, conditions, encodings, files, metrics.
//!
//! Reading order: `serve` (with `limits` and `connection`) takes connections; `pathname` turns paths into names;
//! `problem` says what is wrong; `conditional`, `range` and `negotiate` read what clients ask for; `file_body` sends
//! files; `metrics` and `cors` belong to every answer. None of these knows the index.

pub mod conditional;
mod connection;
pub mod cors;
pub mod file_body;
mod limits;
pub mod metrics;
pub mod negotiate;
pub mod pathname;
pub mod problem;
pub mod range;
pub mod serve;

pub use conditional::{ETag, Verdict};
pub use file_body::{FileBody, FileReply, file_response};
pub use metrics::{Endpoint, HttpMetrics, InFlight};
pub use negotiate::{Encoding, encode, negotiate};
pub use problem::Problem;
pub use range::Wanted;
pub use serve::{Limits, serve};
