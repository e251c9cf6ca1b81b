//! What every lasting job needs: a contract and one who runs it, a board that shows how it is, to be stopped, to wait, to keep to its
//! share of the processor, to tell how far it is and what it did.

mod backoff;
mod busy;
mod clock;
mod hour_counter;
mod job;
mod job_registry;
mod pacer;
mod progress;
mod stop;

pub use backoff::Backoff;
pub use busy::ForegroundLoad;
#[cfg(test)]
pub use clock::test_clock::TestClock;
pub use clock::{Clock, SystemClock};
pub use hour_counter::HourCounter;
pub use job::{Failure, Job, Next, Runner, Wake};
pub use job_registry::{JobHandle, JobKind, JobRegistry, JobState, JobStatus};
pub use pacer::{LONGEST, Pacer, rest_after};
pub use progress::Meter;
pub use stop::Stop;
