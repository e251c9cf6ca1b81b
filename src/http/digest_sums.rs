//! What the hours of a quality add up to, as answers about digests need it.

use std::sync::Arc;

use super::Problem;
use super::app::App;
use crate::archive::Stream;
use crate::archive::placement::SlotSet;
use crate::index::{IndexError, StreamSums};

/// Of all of its hours.
pub(super) fn sums(app: &App, stream: &str) -> Result<Arc<StreamSums>, Problem> {
    app.node.keeper.index().stream_sums(stream).map_err(not_summed)
}

/// The same over those hours that fall into these slots.
pub(super) fn sums_in(app: &App, stream: &Stream, slots: &SlotSet) -> Result<Arc<StreamSums>, Problem> {
    app.node.keeper.index().stream_sums_in(&stream.to_string(), slots).map_err(not_summed)
}

fn not_summed(error: IndexError) -> Problem {
    match error {
        IndexError::BeganAnew => began_anew(),
        other => other.into(),
    }
}

/// The index has just begun anew, and its numbers mean something else.
pub(super) fn began_anew() -> Problem {
    Problem::unavailable(1, "the index has just begun anew and is being filled; ask again in a moment")
}
