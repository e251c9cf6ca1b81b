//! The crawl against models, with injected time and faults.

mod doubt;
mod killing;
mod origins;
mod rounds;
mod touching;
mod twins;
mod verifying;
mod whole;

use std::sync::Arc;

use super::VisitorState;
use super::rounds::{Rounds, RoundsJob};
use crate::archive::HourPlace;
use crate::index::Index;
use crate::jobs::{Clock, JobRegistry, Runner, Stop, Wake};

/// The hour of this number, in one of two streams.
fn place(number: usize) -> HourPlace {
    let stream = ["a/source", "b/480p"][number % 2];
    HourPlace::parse(&format!("{stream}/2024-01-{:02}T{:02}", 1 + number / 48, number / 2 % 24)).unwrap()
}

fn cycle_of(index: &Index, visitor: &str) -> VisitorState {
    let states = index.visitors().unwrap();
    states.iter().find(|(name, _)| name == visitor).map(|(_, bytes)| VisitorState::read(bytes)).unwrap_or_default()
}

/// Carries the visitors until the clock, or somebody else, ends it.
fn carry(rounds: &Arc<Rounds>, clock: Arc<dyn Clock>, stop: &Stop) {
    let board = Arc::new(JobRegistry::new(clock));
    Runner::new(RoundsJob::new(Arc::clone(rounds)), &board, Wake::new(stop)).run();
}
