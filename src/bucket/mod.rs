//! A bucket of an object store as a place for sealed hours: the only user of `object_store`.
//!
//! 1. An object is called after what is in it, so uploading twice is the same object, and nothing is renamed here. One is deleted only by
//!    [`Bucket::delete`], and whether it may be is not decided here.
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
mod copied_hour;
mod credentials;
mod credentials_file;
mod delete_object;
mod error;
mod http_service;
mod kept_copies;
mod listing;
mod local_hour;
mod look;
mod part_source;
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
mod upload_error;

pub use access_keys::{AccessKeys, CredentialError};
pub use ask_cold::AskedFor;
pub use client::Bucket;
pub use copied_hour::{CopiedHour, CopySources};
pub use credentials::CredentialSource;
pub use error::{BucketError, REASONS};
pub use listing::{ListedObject, ObjectPage};
pub use local_hour::LocalHour;
pub use look::BucketLook;
pub use part_source::PartSource;
pub use read_error::SegmentReadError;
pub use reader_figures::ReaderFigures;
pub use segment_cache::{CACHE_DIR, CacheBounds, SegmentCache};
pub use segment_reader::{READ_AHEAD, SegmentReader};
pub use settings::{BadBucket, BucketIdentity, BucketSettings, PART_BYTES};
pub use upload::STOPS_WITHIN;
pub use upload_error::{LocalHourError, UploadError};
