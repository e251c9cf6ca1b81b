//! What a playlist lists that is new: when it begins, and what is said of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use tokio::time::Instant;

use super::{ListRecorder, ListState, length, refusal};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::time::SECOND_US;
use crate::archive::{Span, Timestamp};
use crate::record::events::RecorderEvent;
use crate::record::follow::{StoodStill, WindowChange, listed_name};
use crate::record::playlist::{ListedSegment, MediaList};
use crate::record::run_placement::RunPlacement;
use crate::record::start_times::StartTime;
use crate::record::wanted_segments::WantedSegment;

/// No cache lags further behind.
const LONGEST_LAG: Duration = Duration::from_secs(30);
/// From here on times that are told and the clock here disagree.
const CLOCKS_AGREE_US: i64 = 5 * SECOND_US;
/// Times that leave out less are those of encoders that round.
const LEFT_OUT: Span = Span::from_us(SECOND_US / 10);

impl ListRecorder {
    /// How long what was new lasts.
    pub(super) async fn listed(&mut self, base: &Url, list: &MediaList, appeared: Timestamp) -> Span {
        let base = Arc::new(base.clone());
        let stood_still = match self.news.elapsed() {
            for_long if for_long > LONGEST_LAG => StoodStill::ForLong,
            a_while if a_while > self.target * 3 / 2 => StoodStill::ForASegment,
            _ => StoodStill::No,
        };
        let new = self.follower.observe(list, stood_still);
        // What comes after it has a beginning of its own.
        let is_broken = |segment: &&ListedSegment| segment.is_discontinuous && segment.time.is_none();
        let is_broken = new.change == WindowChange::Grew && new.segments.iter().any(is_broken);
        if is_broken || matches!(new.change, WindowChange::Restarted | WindowChange::Jumped { .. }) {
            self.times.shift_end(self.placement.shift());
        }
        let mut times = self.times.place(&new, list, appeared);
        for time in times.iter_mut().filter(|time| !time.source.is_told()) {
            time.moved = self.agreed.next();
            time.start = time.start + time.moved;
        }
        let (run, change) = (new.run, new.change);
        if change != WindowChange::Stale {
            self.window = (run, list.segments.first().map_or(0, |segment| segment.sequence));
            self.wanted.readdress(run, &base, list);
        }
        self.tell_of(change, list);
        let mut fresh: Vec<(&ListedSegment, StartTime)> = new.segments.into_iter().zip(times).collect();
        self.parts.last_listed.listed(self.id, fresh.iter().map(|(segment, _)| listed_name(segment)));
        let lasts = fresh.iter().fold(Span::default(), |sum, (segment, _)| sum + segment.duration);
        if fresh.is_empty() {
            return lasts;
        }
        self.news = Instant::now();
        self.parts.clock.came();
        self.compare_clocks(&fresh);
        let (had_any, ended) =
            (self.reached.is_some(), self.reached.map_or(Timestamp::MIN, |(_, _, end)| end + self.placement.shift()));
        let rounded = if list.rounds_times { Span::from_us(SECOND_US) } else { LEFT_OUT };
        self.tell_of_what_is_left_out(run, &fresh, rounded);
        // What begins in the middle may be over soon.
        if let Some(refused) = list.segments.iter().map(refusal).reduce(Option::and).flatten().filter(|_| !had_any) {
            self.end = Some(ListState::Refused(refused));
            return lasts;
        }
        let is_untold = fresh.iter().any(|(_, time)| !time.source.is_told());
        let begins = match change {
            WindowChange::First | WindowChange::Restarted => true,
            // A packager that numbers anew lists what is here already.
            WindowChange::Jumped { .. } => is_untold,
            WindowChange::Grew => is_broken,
            WindowChange::Still | WindowChange::Stale => false,
        };
        if begins {
            let is_old = list.has_ended && change == WindowChange::First;
            self.placement = Arc::new(match is_untold {
                true if is_old => RunPlacement::of_what_has_ended(),
                true if is_broken => RunPlacement::after_a_break(ended, list.target),
                true => RunPlacement::begin(ended),
                false => RunPlacement::told(),
            });
            self.leave_out_what_is_here(&mut fresh).await;
        }
        let now = Instant::now();
        for (segment, time) in fresh {
            if segment.is_ad && self.parts.skips_ads {
                let (start, duration) = (time.start, segment.duration);
                self.tell(|stream| RecorderEvent::AdLeftOut { stream, start, duration });
                continue;
            }
            let left_out = if segment.is_gap {
                Some((HoleReason::SourceSkipped, "the source has marked it as missing".to_owned()))
            } else {
                refusal(segment).map(|why| (HoleReason::NotReceived, why))
            };
            if let Some((reason, why)) = left_out {
                let (start, duration) = (time.start, segment.duration);
                self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
                continue;
            }
            let number = (run, segment.clone());
            self.wanted.insert(WantedSegment::new(number, Arc::clone(&base), Arc::clone(&self.placement), time, now));
        }
        lasts
    }

    /// More than this were not listed since the playlist was read last.
    pub(super) fn most_missed(&self, list: &MediaList) -> u64 {
        let shortest = list.segments.iter().map(|segment| segment.duration).min().unwrap_or_default();
        let time = self.asked.0.elapsed() + length(self.asked.1);
        let most = 2 * time.as_micros() / length(shortest).as_micros().max(1) + 10;
        u64::try_from(most).unwrap_or(u64::MAX)
    }

    fn tell_of(&mut self, change: WindowChange, list: &MediaList) {
        let most_missed = self.most_missed(list);
        let asked = std::mem::replace(&mut self.asked, (Instant::now(), window(list)));
        match change {
            WindowChange::Jumped { missed } => {
                self.inits.fetch_again();
                if missed > most_missed {
                    return self.tell(|stream| RecorderEvent::Restarted { stream });
                }
                // Whoever asks in time sees each segment, unless the source leaves some out.
                let in_time = self.failures == 0 && asked.0.elapsed() < length(asked.1) / 2;
                let reason = if in_time { HoleReason::SourceSkipped } else { HoleReason::NotReceived };
                self.tell(|stream| RecorderEvent::Jumped { stream, missed, reason });
            }
            WindowChange::Restarted => {
                self.inits.fetch_again();
                self.tell(|stream| RecorderEvent::Restarted { stream });
            }
            // An encoder that begins anew, for all that is known so far.
            WindowChange::Stale => self.inits.fetch_again(),
            WindowChange::First | WindowChange::Grew | WindowChange::Still => {}
        }
    }

    /// Segments that follow each other by their numbers, but not by the times that the source tells.
    fn tell_of_what_is_left_out(&mut self, run: u64, fresh: &[(&ListedSegment, StartTime)], from: Span) {
        for (segment, time) in fresh {
            let follows = self.reached.is_some_and(|(of, sequence, _)| (of, sequence + 1) == (run, segment.sequence));
            let end = self.reached.map_or(time.start, |(_, _, end)| end);
            if follows && time.source.is_told() && time.start - end > from {
                let (start, duration) = (end, time.start - end);
                let why = "the times that the source tells leave it out".to_owned();
                let reason = HoleReason::SourceSkipped;
                self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
            }
            self.reached = Some((run, segment.sequence, time.start + segment.duration));
        }
    }

    /// Once when the difference appears.
    fn compare_clocks(&mut self, fresh: &[(&ListedSegment, StartTime)]) {
        let Some((newest, time)) = fresh.last() else { return };
        let behind = if time.source.is_told() {
            Timestamp::from(SystemTime::now()) - (time.start + newest.duration)
        } else {
            self.parts.clock.machine_is_ahead()
        };
        let is_off = behind.us().abs() > CLOCKS_AGREE_US;
        if is_off && !self.is_told_off {
            let of_source = |stream| RecorderEvent::ClockDiffers { stream, behind };
            let of_machine = |stream| RecorderEvent::ClockWasSet { stream, by: behind };
            if time.source.is_told() { self.tell(of_source) } else { self.tell(of_machine) }
        }
        self.is_told_off = is_off;
    }

    /// A recorder that was started anew does not fetch what it has.
    async fn leave_out_what_is_here(&self, fresh: &mut Vec<(&ListedSegment, StartTime)>) {
        let times: Vec<(StartTime, Span)> = fresh.iter().map(|(segment, time)| (*time, segment.duration)).collect();
        let parts = Arc::clone(&self.parts);
        let looking = tokio::task::spawn_blocking(move || parts.quality.full_at(&times));
        if let Ok(Ok(here)) = looking.await {
            let mut here = here.into_iter();
            fresh.retain(|_| !here.next().unwrap_or_default());
        }
    }
}

/// How much is listed.
fn window(list: &MediaList) -> Span {
    list.segments.iter().fold(Span::default(), |sum, segment| sum + segment.duration)
}
