//! What every lasting job needs: a contract and one who runs it, a board that shows how it is, to be stopped, to wait, to keep to its
//! share of the processor, to tell how far it is and what it did.

mod clock;
mod hour_counter;
mod job;
mod job_registry;
mod pacer;

#[cfg(test)]
pub use clock::test_clock::TestClock;
pub use clock::{Clock, Stop, SystemClock};
pub(crate) use hour_counter::HourCounter;
pub(crate) use job::{Backoff, Failure, Job, Next, Runner, Wake};
pub(crate) use job_registry::{JobHandle, JobRegistry, JobState, JobStatus};
pub(crate) use pacer::{ForegroundLoad, LONGEST, Pacer, WorkCost, WorkShare, rest_after};
