//! Passes over handoffs as a job: one every few minutes, one as soon as another layout holds, and the next at once while hours leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handoff_pass::PassMemory;
use super::machine::Handoffs;
use crate::archive::placement::LayoutId;
use crate::jobs::{Failure, Job, JobHandle, JobState, Next, Stop};

/// How often it is looked whether there is anything to do.
const LOOK: Duration = Duration::from_millis(500);
/// When owners that read what they have are asked again.
const SOON: Duration = Duration::from_secs(2);
/// How long it may work without a sign of going on: an hour's files on a slow disk, or an answer of each owner.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

pub struct HandoffJob {
    handoffs: Arc<Handoffs>,
    stop: Stop,
    due: Instant,
    layout: Option<LayoutId>,
    memory: PassMemory,
}

impl HandoffJob {
    /// The first pass comes when the index has caught up.
    pub fn new(handoffs: Arc<Handoffs>, stop: Stop) -> Self {
        Self { handoffs, stop, due: Instant::now(), layout: None, memory: PassMemory::default() }
    }
}

impl Job for HandoffJob {
    fn kind(&self) -> &'static str {
        "handoffs"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if !(self.handoffs.parts.is_ready)() {
            handle.set_state(JobState::Waiting, "waits until the index has caught up", None);
            return Ok(Next::WhenWoken(LOOK));
        }
        let layout = self.handoffs.parts.layouts.current().now().id();
        let is_other = std::mem::replace(&mut self.layout, layout) != layout;
        let left = self.due.saturating_duration_since(Instant::now());
        let rest = self.handoffs.parts.layouts.current().rest(LOOK);
        if !is_other && !left.is_zero() {
            return Ok(Next::WhenWoken(left.min(rest)));
        }
        handle.working("asks the owners of hours that lie here");
        self.due = Instant::now() + self.handoffs.options.every;
        match self.handoffs.pass(&mut self.memory, &self.stop, Some(handle)) {
            Ok(0) => {
                if self.memory.is_read {
                    self.due = Instant::now() + self.handoffs.options.every.min(SOON);
                }
                Ok(Next::WhenWoken(rest))
            }
            Ok(_) => {
                self.due = Instant::now();
                Ok(Next::Again)
            }
            Err(error) => {
                self.handoffs.note_error(&error.to_string());
                Err(error.into())
            }
        }
    }
}
