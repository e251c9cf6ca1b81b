//! Reports what a peer has of an hour that is missing here, for the reasons of holes.

use std::collections::HashSet;

use super::fetch::WhenBusy;
use super::plan::HourPlan;
use super::shared::{PeerJob, now};
use crate::archive::coverage::Stretch;
use crate::archive::{FileName, HourPlace, SegmentKey, parse_file_name};

pub(super) struct Offers {
    asked: Vec<Stretch>,
}

impl Offers {
    /// Reports what a plan finds missing here; of a whole list that is all that the peer has.
    pub(super) fn report(
        job: &PeerJob,
        place: &HourPlace,
        names: &[Box<str>],
        plan: &HourPlan<'_>,
        busy: WhenBusy,
    ) -> Self {
        let all = busy == WhenBusy::Leave;
        let of = |key: &SegmentKey| stretch(place, key);
        let later = plan.later.iter().filter_map(|(offer, _)| of(&offer.key));
        let fetched = plan.fetch.iter().filter_map(|offer| of(&offer.key));
        let coming: Vec<Stretch> = fetched.chain(later).collect();
        // What waited is done with now, whatever becomes of it; of a list the rest was replaced by this report.
        let asked = if all {
            plan.fetch.iter().filter_map(|offer| of(&offer.key)).collect()
        } else {
            names.iter().filter_map(|name| of_name(place, name)).collect()
        };
        if all || !coming.is_empty() {
            job.shared.parts.knowledge.coming(&job.peer().name, place, now(), all, &coming);
        }
        Self { asked }
    }

    /// They were asked for; `failed` is from where on those lie that did not come. Where it ended before its time none counts as come.
    pub(super) fn were_asked_for(self, job: &PeerJob, place: &HourPlace, failed: usize, is_done: bool) {
        let of_this: HashSet<Stretch> = if is_done {
            let new = job.failed.get(failed..).unwrap_or_default().iter();
            new.filter(|(at, _)| at == place).filter_map(|(_, name)| of_name(place, name)).collect()
        } else {
            self.asked.iter().copied().collect()
        };
        let missed: Vec<Stretch> = of_this.into_iter().collect();
        job.shared.parts.knowledge.asked_for(&job.peer().name, place, now(), &self.asked, &missed);
    }
}

/// A segment of a peer's log that waits until it is old enough.
pub(super) fn waits(job: &PeerJob, place: &HourPlace, key: &SegmentKey) {
    if let Some(covers) = stretch(place, key) {
        job.shared.parts.knowledge.coming(&job.peer().name, place, now(), false, &[covers]);
    }
}

fn of_name(place: &HourPlace, name: &str) -> Option<Stretch> {
    let FileName::Understood(key) = parse_file_name(name) else { return None };
    stretch(place, &key)
}

fn stretch(place: &HourPlace, key: &SegmentKey) -> Option<Stretch> {
    let covers = Stretch { start: key.start(place.hour), end: key.end(place.hour) };
    (key.kind.is_video() && !key.tombstone && covers.start < covers.end).then_some(covers)
}
