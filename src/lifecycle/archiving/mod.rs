//! Sealed hours in a bucket, as one more copy.
//!
//! 1. What no object holds of a sealed hour yet is uploaded, unless an object of its name and size is there already ([`held_objects`]).
//! 2. All of it is read back and compared with the manifest here ([`verify`]). Only then what the object holds is noted beside the archive, and then
//!    that the hour is in the bucket ([`receipt`]).
//! 3. A receipt counts while the hour is what was sealed. One whose object turns out to be lost or damaged goes, and the hour is uploaded again.
//! 4. What is missing here comes back under its name, hash-checked, and replaces nothing ([`restore`]).
//! 5. What lies here is deleted only where the settings, or somebody, say so, and only what the bucket holds as well ([`drop_local`]).
//! 6. In the bucket an object is deleted only where somebody says that what is hidden shall go, and only when all the rest of it was read back
//!    from others ([`purge_objects`]); and where its hour is too old for the bucket ([`old_hours`]), as retention decides. One that was damaged
//!    is written over.

mod archiver;
mod bucket_count;
mod bucket_figures;
mod bucket_files;
mod bucket_hours;
mod drop_job;
mod drop_local;
mod held_objects;
mod job_watch;
mod learn;
mod lost_objects;
mod old_hours;
mod order;
mod own_bucket;
mod purge_objects;
mod purged_hour;
mod receipt;
mod restore;
mod send_object;
mod stored_file;
mod upload_job;
mod upload_order;
mod verify;

pub use archiver::{ArchiveError, ArchiveWatch, Archiver};
pub use bucket_count::hours_that_wait;
pub use bucket_figures::BucketFigures;
pub use bucket_files::BucketFiles;
pub use drop_job::{DropJob, LocalLimits};
pub use learn::{LearnedObjects, LearnedStreams, learn_objects};
pub use old_hours::OldHour;
pub use order::ArchiveObserver;
pub use purge_objects::BucketPurge;
pub use stored_file::stored_file;
pub use upload_job::{UploadJob, UploadPlan};
