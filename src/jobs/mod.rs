//! What everything that works in the background needs: a contract and a runner, a registry of states, a clock, a stop, a pace, and events by which
//! the parts of a node hear of one another.

mod clock;
mod hour_counter;
mod job;
mod job_registry;
mod node_events;
mod pacer;

#[cfg(test)]
pub use clock::test_clock::TestClock;
pub use clock::{Clock, Stop, SystemClock};
pub(crate) use hour_counter::HourCounter;
pub(crate) use job::{Backoff, Failure, Job, Next, Runner, Wake};
pub(crate) use job_registry::{JobHandle, JobRegistry, JobState, JobStatus};
pub(crate) use node_events::{NodeEvent, NodeEvents};
pub(crate) use pacer::{ForegroundLoad, LONGEST, Pacer, WorkCost, WorkShare, rest_after};
