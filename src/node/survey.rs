//! The job that looks for video where no segment is looked for, so that a tree of another layout is not taken for an empty archive. What it
//! finds is judged where problems are gathered; nothing is moved or renamed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::archive::HourPlace;
use crate::archive::metric_series::MOST_QUALITIES;
use crate::archive::problems::layout::VideoDir;
use crate::disk::TreeSurvey;
use crate::jobs::{Failure, Job, JobHandle, JobState, Next};
use crate::sync::crawl::Keeper;

/// From one look to the next. A quiet tree costs one `stat` for each channel and quality.
const EVERY: Duration = Duration::from_secs(60);
/// From the start to the first look: a start reads no directory of an archive that has not changed.
const SETTLES: Duration = Duration::from_secs(5);
/// How long a look may take.
const DEADLINE: Duration = Duration::from_secs(5 * 60);

pub(super) struct SurveyJob {
    keeper: Arc<Keeper>,
    survey: TreeSurvey,
    found: Arc<Mutex<Vec<VideoDir>>>,
    has_settled: bool,
}

impl SurveyJob {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, survey: TreeSurvey::default(), found: Arc::default(), has_settled: false }
    }

    pub(super) fn found(&self) -> Arc<Mutex<Vec<VideoDir>>> {
        Arc::clone(&self.found)
    }

    /// The newest hour of each stream, where it holds no segment: there may be something else.
    fn hours_without_segments(&self) -> Vec<HourPlace> {
        let (index, horizon) = (self.keeper.index(), self.keeper.horizon());
        let newest = |stream| {
            let state = index.catalog().read();
            let entry = state.streams.get(&format!("{stream}"))?;
            Some(HourPlace { hour: horizon.newest(&entry.hours).next()?, stream })
        };
        let streams = index.catalog().streams_by_age().into_iter().take(MOST_QUALITIES);
        let is_without = |place: &HourPlace| {
            let row = index.hour_row(&place.stream.to_string(), place.hour);
            row.is_ok_and(|row| row.is_none_or(|row| row.rows == 0))
        };
        streams.filter_map(newest).filter(is_without).collect()
    }
}

impl Job for SurveyJob {
    fn kind(&self) -> &'static str {
        "survey"
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn step(&mut self, handle: &JobHandle) -> Result<Next, Failure> {
        if !std::mem::replace(&mut self.has_settled, true) {
            handle.set_state(JobState::Waiting, "for the node to settle", Some(SETTLES));
            return Ok(Next::WhenWoken(SETTLES));
        }
        handle.working("looks for video outside the hours");
        // Of a disk that is away nothing is learnt, and the sentinel reports it.
        if let Ok(base) = self.keeper.guard().base() {
            let found = self.survey.look(&base, &self.hours_without_segments());
            *self.found.lock() = found;
        }
        handle.set_state(JobState::Waiting, "for the next look around the tree", Some(EVERY));
        Ok(Next::WhenWoken(EVERY))
    }
}
