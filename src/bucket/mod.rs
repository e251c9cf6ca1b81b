//! A bucket of an object store as a place for sealed hours: the only user of `object_store`.
//!
//! 1. An object is called after what is in it, so uploading twice is the same object, and nothing is deleted or renamed here.
//! 2. A bucket is trusted with nothing. What it holds is right when it was read back: the name tells the manifest's hash, and the manifest tells
//!    everything else ([`Bucket::check`]).
//! 3. Requests go to the address that the operator gave and nowhere else; what is no object is read to a bound.
//! 4. One failure is one error with a reason ([`BucketError`]). Secrets are in none.
//!
//! When an hour is uploaded, and what may be done because it was, is not decided here.

mod access_keys;
mod ask_cold;
mod back_off;
mod client;
mod coming_file;
mod credentials;
mod credentials_file;
mod error;
mod http_service;
mod kept_copies;
mod listing;
mod local_hour;
mod look;
mod range_fetch;
mod range_request;
mod read_ahead;
mod read_error;
mod reader_figures;
mod segment_cache;
mod segment_reader;
mod served_credentials;
mod settings;
mod store_answer;
mod upload;

pub use access_keys::{AccessKeys, CredentialError};
pub use ask_cold::AskedFor;
pub use client::Bucket;
pub use credentials::CredentialSource;
pub use error::{BucketError, REASONS};
pub use listing::{ListedObject, ObjectPage};
pub use local_hour::{LocalHour, LocalHourError};
pub use look::BucketLook;
pub use read_error::SegmentReadError;
pub use reader_figures::ReaderFigures;
pub use segment_cache::{CACHE_DIR, CacheBounds, SegmentCache};
pub use segment_reader::{READ_AHEAD, SegmentReader};
pub use settings::{BadBucket, BucketIdentity, BucketSettings, PART_BYTES};
pub use upload::{STOPS_WITHIN, UploadError};
