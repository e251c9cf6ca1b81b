//! Records what one media playlist lists, for as long as it can be asked.
//!
//! 1. It is asked again after as long as its newest segment lasts, or half its target duration ([`PollPace`]).
//! 2. At most [`FETCHES`] segments come at once, the newest first: where the line is too slow for all, what is live is there.
//! 3. A segment is tried again, later each time: as long as it is listed if the origin does not have it, else for [`TRIED_FOR`]. What is not
//!    `full` is kept, and tried again: what was cut off until it is whole, and what came whole until the same bytes come once more after
//!    [`SETTLED_AFTER`]. Its address is the one of the newest playlist.
//! 4. Where no time is told, all segments of a run are placed by the first that comes ([`RunPlacement`]). Later on, [`AgreedTimes`] moves them.
//! 5. What fails is asked once more at once, as one of several servers behind an address may be broken; a playlist that was good and leads elsewhere
//!    for a moment is asked further on. When its address is refused, another one is waited for; what is known stays known under that, and under its
//!    own, should that answer again.
//! 6. When it is drained, or is there no more, it is asked no more, and what is listed is fetched to its end; what has not come after
//!    [`DRAINS_FOR`] is given up.
//! 7. When the stream has ended, all that its last playlist lists is fetched to its end. It is asked further on, less and less often: an encoder that
//!    is started anew may go on with it, and what is known already does not come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::events::RecorderEvent;
use super::follow::{PlaylistFollower, StoodStill, WindowChange, listed_name, window_print};
use super::init_segment::InitSegments;
use super::last_listed::FollowedId;
use super::origin::OriginError;
use super::peer_times::AgreedTimes;
use super::playlist::{HlsPlaylist, ListedSegment, MediaList, SegmentCipher};
use super::poll_pace::PollPace;
use super::publish::RecordedSegment;
use super::run_placement::RunPlacement;
use super::segment_attempt::{Attempt, QualityParts, attempt};
use super::segment_fetch::FetchFailure;
use super::start_times::{StartTime, StartTimes};
use super::wanted_segments::{MissingSegment, WantedSegment, WantedSegments};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::time::SECOND_US;
use crate::archive::{SegmentKind, Span, Timestamp};

/// Segments of one playlist that are fetched at once.
const FETCHES: usize = 4;
/// How long a segment is tried that does not come although nobody says that it has gone.
const TRIED_FOR: Duration = Duration::from_secs(20 * 60);
/// And one that is not `full` after it was listed no more.
const UNLISTED_FOR: Duration = Duration::from_secs(60);
/// A playlist is never asked for more often.
const LEAST_POLL: Duration = Duration::from_millis(250);
/// The longest wait before a playlist that failed is asked again: less than what real windows hold.
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// A playlist that has not come by then, or after its target duration, is asked for once more besides.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// How long another address of a playlist is waited for that is refused.
const LINGERS_FOR: Duration = Duration::from_secs(60);
/// Segments in a row that are refused until another address of their playlist is asked for.
const REFUSALS: u32 = 4;
/// After how long the same bytes once more are all that will come of a segment that came whole: some list it before they have written it.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// The attempt after which it is waited for seconds.
const SLOW_ATTEMPT: u32 = 5;
/// How long what is listed may take when nothing more is asked: a segment that comes slowly may take as long.
const DRAINS_FOR: Duration = Duration::from_secs(5 * 60);
/// The shortest wait before a stream that has ended is asked for again, and the longest.
const AFTER_THE_END: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// For so long a stream that has ended is asked for twice in the time of its window.
const SOON_AFTER_THE_END: Duration = Duration::from_secs(10 * 60);
/// A picture that an encoder begins with fills no more segments than this.
const MOST_DOUBTED: usize = 64;
/// No cache lags further behind.
const LONGEST_LAG: Duration = Duration::from_secs(30);
/// From here on times that are told and the clock here disagree.
const CLOCKS_AGREE_US: i64 = 5 * SECOND_US;

/// Times that leave out less are those of encoders that round.
const LEFT_OUT: Span = Span::from_us(SECOND_US / 10);

/// How it goes with one playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListState {
    #[default]
    Begins,
    /// It brings segments.
    Works,
    /// It cannot be asked, or stands still.
    Fails { reason: HoleReason, why: String },
    /// It is there no more, and what it listed still comes.
    Leaves(String),
    /// It is there no more, and what it listed is done.
    Gone(String),
    /// The stream has ended, and what it listed still comes.
    Ends,
    /// The stream has ended, and all that will come of it is here. It may go on.
    Ended,
    /// It lists what cannot be recorded.
    Refused(String),
}

impl ListState {
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Refused(_))
    }

    /// It is not asked any more.
    pub fn is_left(&self) -> bool {
        self.is_over() || matches!(self, Self::Leaves(_))
    }
}

enum Step {
    Polled(Instant, Timestamp, Result<(Url, HlsPlaylist), OriginError>),
    Fetched(Box<WantedSegment>, Attempt),
}

/// What whoever follows a playlist tells its recorder.
#[derive(Debug, Clone, Default)]
pub struct ListControl {
    /// What the playlist is that says that the stream has ended; 0 if none does.
    pub ended_as: Arc<AtomicU64>,
    /// Another one works: nothing more is asked.
    pub drain: CancellationToken,
    /// Nothing of it comes any more.
    pub leave: CancellationToken,
    /// Recording ends: what has failed so far is missing.
    pub stop: CancellationToken,
}

pub struct ListRecorder {
    parts: Arc<QualityParts>,
    id: FollowedId,
    /// Where the playlist is by now.
    address: watch::Receiver<Url>,
    state: watch::Sender<ListState>,
    control: ListControl,
    follower: PlaylistFollower,
    times: StartTimes,
    inits: Arc<InitSegments>,
    wanted: WantedSegments,
    steps: JoinSet<Step>,
    is_polling: bool,
    next_poll: Instant,
    pace: PollPace,
    failures: u32,
    /// Since when no answer was good.
    bad_since: Option<Instant>,
    /// The first number that is listed, and its run.
    window: (u64, u64),
    /// When the playlist was read last, and how much it listed.
    asked: (Instant, Span),
    /// The run, the number and the end of the segment that was placed last.
    reached: Option<(u64, u64, Timestamp)>,
    placement: Arc<RunPlacement>,
    agreed: AgreedTimes,
    news: Instant,
    target: Duration,
    is_told_off: bool,
    /// Why nothing more is listed.
    end: Option<ListState>,
    /// Until when what is listed may come, once nothing more is.
    until: Option<Instant>,
    /// When it was read that the stream has ended, if it has.
    ended: Instant,
    /// Until when another address is waited for, where this one was refused.
    lingers: Option<Instant>,
    /// Segments that were refused since one came.
    refused: u32,
    /// What was found here of a run that may be another one.
    doubted: Vec<WantedSegment>,
}

impl ListRecorder {
    pub fn new(
        parts: Arc<QualityParts>,
        address: watch::Receiver<Url>,
        state: watch::Sender<ListState>,
        control: ListControl,
    ) -> Self {
        let now = Instant::now();
        let id = parts.last_listed.new_playlist();
        Self {
            parts,
            id,
            address,
            state,
            control,
            follower: PlaylistFollower::default(),
            times: StartTimes::default(),
            inits: Arc::default(),
            wanted: WantedSegments::default(),
            steps: JoinSet::new(),
            is_polling: false,
            next_poll: now,
            pace: PollPace::default(),
            failures: 0,
            bad_since: None,
            window: (0, 0),
            asked: (now, Span::default()),
            reached: None,
            placement: Arc::new(RunPlacement::told()),
            agreed: AgreedTimes::default(),
            news: now,
            target: Duration::from_secs(2),
            is_told_off: false,
            end: None,
            until: None,
            ended: now,
            lingers: None,
            refused: 0,
            doubted: Vec::new(),
        }
    }

    /// Records until the playlist is over, or it was drained.
    pub async fn run(mut self) {
        loop {
            self.lingers.take_if(|lingers| *lingers <= Instant::now());
            if let Some(end) = self.end.clone()
                && self.is_drained()
            {
                self.give_up_the_rest();
                if !self.has_ended() {
                    self.state.send_replace(end);
                    return;
                }
                self.state.send_if_modified(|state| std::mem::replace(state, end) != ListState::Ended);
            }
            let asks = self.end.is_none() || self.has_ended() || self.lingers.is_some();
            if asks && !self.is_polling && Instant::now() >= self.next_poll {
                self.poll();
            }
            let wake = self.fetch_due();
            let wake = if asks && !self.is_polling { wake.min(self.next_poll) } else { wake };
            let until = self.until.filter(|_| !self.wanted.is_empty());
            let wake = until.into_iter().chain(self.lingers).fold(wake, Instant::min);
            tokio::select! {
                Some(step) = self.steps.join_next(), if !self.steps.is_empty() => match step {
                    Ok(Step::Polled(asked, appeared, answer)) => self.polled(asked, appeared, answer).await,
                    Ok(Step::Fetched(wanted, attempt)) => self.fetched(wanted, attempt),
                    // It ends only with this process, or after a panic, which is reported where it happens.
                    Err(_) => self.end = Some(ListState::Gone("a part of the recorder crashed".to_owned())),
                },
                () = sleep_until(wake) => {}
                () = self.control.leave.cancelled() => return self.give_up_the_rest(),
                () = self.control.stop.cancelled() => return self.give_up_what_failed(),
                () = self.control.drain.cancelled(), if asks => {
                    self.end = Some(ListState::Gone("another one works".to_owned()));
                    self.lingers = None;
                }
                Ok(()) = self.address.changed() => self.goes_on_elsewhere(),
            }
        }
    }

    /// What is listed has come, or has had its time.
    fn is_drained(&mut self) -> bool {
        let may_take = if self.has_ended() { TRIED_FOR } else { DRAINS_FOR };
        let until = *self.until.get_or_insert_with(|| Instant::now() + may_take);
        self.wanted.is_empty() && self.lingers.is_none() || Instant::now() >= until
    }

    /// The playlist has another address: what was listed is known, and what still comes is tried further on.
    fn goes_on_elsewhere(&mut self) {
        self.next_poll = Instant::now();
        self.goes_on();
    }

    fn goes_on(&mut self) {
        if self.lingers.take().is_some() {
            (self.end, self.until) = (None, None);
            self.state.send_replace(ListState::Begins);
        }
    }

    fn has_ended(&self) -> bool {
        self.end == Some(ListState::Ended)
    }

    fn poll(&mut self) {
        self.is_polling = true;
        let url = self.address.borrow_and_update().clone();
        let (parts, patience) = (Arc::clone(&self.parts), self.target.max(LEAST_PATIENCE));
        self.steps.spawn(async move {
            let ask = async || {
                let asked = Instant::now();
                match parts.client.playlist(&url).await {
                    Ok(answer) => Ok((asked, answer)),
                    Err(error) => Err((asked, error)),
                }
            };
            let (asked, answer) = match first_good(ask(), ask(), patience).await {
                Ok((asked, answer)) => (asked, Ok(answer)),
                Err((asked, error)) => (asked, Err(error)),
            };
            Step::Polled(asked, parts.clock.now(), answer)
        });
    }

    async fn polled(&mut self, asked: Instant, appeared: Timestamp, answer: Result<(Url, HlsPlaylist), OriginError>) {
        self.is_polling = false;
        let began = Instant::now();
        match answer {
            Ok((base, HlsPlaylist::Media(list))) => {
                (self.failures, self.bad_since) = (0, None);
                self.goes_on();
                let most_missed = self.most_missed(&list);
                let list = self.follower.counted_on(list, most_missed);
                let new = self.listed(&base, &list, appeared).await;
                let newest = list.segments.last().map_or(list.target, |last| last.duration);
                self.target = length(list.target);
                let wait = self.pace.next(asked, length(new), length(newest), self.target);
                self.next_poll = (asked + wait).max(began + LEAST_POLL);
                self.observe_end(&list, new > Span::default());
                self.watch_still();
            }
            Err(error) if self.has_ended() && !error.is_gone() => {
                self.next_poll = began + self.wait_after_the_end();
            }
            Ok((_, HlsPlaylist::Master(_))) => {
                self.poll_again(began);
                self.refused(began, "the master playlist leads to another master playlist".to_owned());
            }
            Err(error) if error.is_final() => {
                self.poll_again(began);
                self.refused(began, error.to_string());
            }
            Err(error) => {
                self.poll_again(began);
                if self.failures <= 1 && self.reached.is_some() {
                    return;
                }
                if !error.is_gone() {
                    let why = error.to_string();
                    self.state.send_replace(ListState::Fails { reason: HoleReason::SourceOffline, why });
                } else if self.lingers.is_none() && (self.end.is_none() || self.has_ended()) {
                    (self.until, self.lingers) = (None, Some(began + LINGERS_FOR));
                    // Another address is not to wait until all that this one listed has come.
                    self.state.send_replace(ListState::Leaves(error.to_string()));
                    self.end = Some(ListState::Gone(error.to_string()));
                }
            }
        }
    }

    /// For some minutes nothing is missed that an encoder lists that begins anew.
    fn wait_after_the_end(&self) -> Duration {
        let is_recent = self.ended.elapsed() < SOON_AFTER_THE_END;
        let most = if is_recent { (length(self.asked.1) / 2).max(AFTER_THE_END.0) } else { AFTER_THE_END.1 };
        wait_after_the_end(self.ended).min(most)
    }

    /// After an answer that was not good: at once for the first time, then later each time.
    fn poll_again(&mut self, began: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.bad_since.get_or_insert(began);
        self.inits.fetch_again();
        let wait = (self.target / 2).max(LEAST_POLL) * self.failures.saturating_sub(1).min(8);
        self.next_poll = began + wait.clamp(LEAST_POLL, LONGEST_RETRY);
    }

    /// What was good before may be so again soon, whatever answers for it now.
    fn refused(&mut self, began: Instant, why: String) {
        let lasts = self.bad_since.map_or(Duration::ZERO, |since| began - since);
        if self.reached.is_none() || lasts > LINGERS_FOR {
            self.end = Some(ListState::Refused(why));
        } else if self.failures > 1 {
            self.state.send_replace(ListState::Fails { reason: HoleReason::SourceOffline, why });
        }
    }

    /// A stream that has ended may go on while its last segments come.
    fn observe_end(&mut self, list: &MediaList, has_grown: bool) {
        if list.has_ended && (self.end.is_none() || self.has_ended() && has_grown) {
            (self.end, self.until, self.ended) = (Some(ListState::Ended), None, Instant::now());
            self.control.ended_as.store(window_print(list), Ordering::Relaxed);
            // Another address, or another encoder, is not to wait until all that this one listed has come.
            self.state.send_replace(ListState::Ends);
        } else if self.has_ended() && !list.has_ended {
            (self.end, self.until) = (None, None);
            self.control.ended_as.store(0, Ordering::Relaxed);
        }
        if self.has_ended() {
            self.next_poll = Instant::now() + self.wait_after_the_end();
        }
    }

    /// A playlist that does not grow is told, and another address may be better.
    fn watch_still(&self) {
        let still = self.news.elapsed();
        if self.end.is_none() && still > (self.target * 3).max(Duration::from_secs(5)) {
            let why = format!("its playlist has stood still for {} s", still.as_secs());
            self.state.send_if_modified(|state| {
                let is_new = !matches!(state, ListState::Fails { .. });
                *state = ListState::Fails { reason: HoleReason::SourceStalled, why };
                is_new
            });
        }
    }

    /// How long what was new lasts.
    async fn listed(&mut self, base: &Url, list: &MediaList, appeared: Timestamp) -> Span {
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
    fn most_missed(&self, list: &MediaList) -> u64 {
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

    fn tell(&self, event: impl FnOnce(crate::archive::Stream) -> RecorderEvent) {
        self.parts.events.tell(&event(self.parts.quality.stream.clone()));
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

    /// Begins what is due; says when something else will be.
    fn fetch_due(&mut self) -> Instant {
        let now = Instant::now();
        let (begun, wake) = self.wanted.begin_due(now, FETCHES);
        for wanted in begun {
            let (parts, inits) = (Arc::clone(&self.parts), Arc::clone(&self.inits));
            self.steps.spawn(async move {
                let attempt = attempt(&parts, &inits, &wanted).await;
                Step::Fetched(Box::new(wanted), attempt)
            });
        }
        wake.unwrap_or(now + Duration::from_secs(60))
    }

    fn fetched(&mut self, mut wanted: Box<WantedSegment>, attempt: Attempt) {
        self.wanted.returned(&mut wanted);
        wanted.attempts += 1;
        match attempt {
            Ok(Some(recorded)) => {
                self.agree(&wanted, &recorded);
                self.doubt(&wanted, &recorded);
                self.refused = 0;
                let is_asked = self.end.is_none();
                if is_asked && (recorded.path.is_some() || recorded.kind == SegmentKind::Full) {
                    self.state.send_if_modified(|state| {
                        *state != ListState::Works && {
                            *state = ListState::Works;
                            true
                        }
                    });
                }
                let is_full = recorded.kind == SegmentKind::Full;
                let is_same = wanted.before == Some((recorded.hash, recorded.bytes));
                if is_same {
                    // Whoever still writes it is given some time.
                    wanted.attempts = wanted.attempts.max(SLOW_ATTEMPT);
                }
                wanted.is_cut = recorded.is_cut;
                let is_settled = is_same && !wanted.is_cut && wanted.since.elapsed() > SETTLED_AFTER;
                let most = wanted.before.map_or(0, |(_, bytes)| bytes).max(recorded.bytes);
                wanted.before = Some((recorded.hash, most));
                self.tell(|stream| RecorderEvent::Recorded { stream, segment: recorded });
                if !is_full && !is_settled {
                    self.again_or_leave(wanted);
                }
            }
            // Less of it came than is here.
            Ok(None) => self.again_or_leave(wanted),
            Err(error) => {
                if let FetchFailure::Disk(disk) = &error
                    && disk.is_full()
                {
                    wanted.no_room.get_or_insert_with(|| error.to_string());
                }
                self.observe_refusal(&error);
                if let Some(last) = self.gives_up(&wanted, &error) {
                    if wanted.before.is_some() && !wanted.is_cut {
                        // All that there is of it is here.
                        return;
                    }
                    self.give_up(wanted.missing(&last));
                } else {
                    self.tell(|stream| RecorderEvent::SegmentFails { stream, why: error.to_string() });
                    self.wanted.again(*wanted, Instant::now());
                }
            }
        }
    }

    /// What was found here is fetched once more if it is of another run.
    fn doubt(&mut self, wanted: &WantedSegment, recorded: &RecordedSegment) {
        if wanted.placement.is_refuted() {
            for mut again in std::mem::take(&mut self.doubted) {
                again.not_before = Instant::now();
                self.wanted.insert(again);
            }
        } else if !wanted.placement.is_in_doubt() {
            self.doubted.clear();
        } else if recorded.path.is_none() && self.doubted.len() < MOST_DOUBTED {
            self.doubted.push(wanted.clone());
        }
    }

    /// What is not `full` is tried for a while after it was listed.
    fn again_or_leave(&mut self, wanted: Box<WantedSegment>) {
        if !self.is_unlisted_for_long(&wanted) && !self.has_ended_for_long() {
            self.wanted.again(*wanted, Instant::now());
        } else if wanted.is_cut {
            self.give_up(wanted.missing("only a part of it came"));
        }
    }

    /// Addresses of segments may have expired although the playlist answers: then another address of it may be better.
    fn observe_refusal(&mut self, error: &FetchFailure) {
        let FetchFailure::Origin(refusal) = error else { return };
        if !refusal.is_gone() || self.end.is_some() {
            return;
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused >= REFUSALS {
            let why = format!("its segments do not come: {refusal}");
            self.state.send_if_modified(|state| {
                let is_new = !matches!(state, ListState::Fails { .. });
                *state = ListState::Fails { reason: HoleReason::NotReceived, why };
                is_new
            });
        }
    }

    /// Compares the times of a source that tells none with those of other nodes.
    fn agree(&mut self, wanted: &WantedSegment, recorded: &RecordedSegment) {
        if wanted.time.source.is_told() || recorded.kind != SegmentKind::Full || recorded.path.is_none() {
            return;
        }
        self.agreed.recorded(recorded.hash, recorded.start, wanted.time.moved);
        let quality = &self.parts.quality;
        let news = self.agreed.compare(|hash, near| quality.peer_times.of(&quality.stream, hash, near));
        if let Some((peer, earlier)) = news {
            self.tell(|stream| RecorderEvent::TimesDiffer { stream, peer, earlier });
        }
    }

    /// What has not come while it was drained.
    fn give_up_the_rest(&mut self) {
        for missing in self.wanted.give_up("its playlist was there no more, and it did not come") {
            self.give_up(missing);
        }
    }

    fn give_up_what_failed(&mut self) {
        for missing in self.wanted.give_up_failed("it had not come when recording was stopped") {
            self.give_up(missing);
        }
    }

    /// What another address of the same playlist has listed since, comes by that, or is missed there.
    fn give_up(&self, missing: MissingSegment) {
        let MissingSegment { name, start, duration, reason, why } = missing;
        if !self.parts.last_listed.is_taken_over(self.id, name) {
            self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
        }
    }

    fn is_listed(&self, wanted: &WantedSegment) -> bool {
        let may_go_on = self.end.is_none() || self.has_ended() || self.lingers.is_some();
        wanted.number() >= self.window && may_go_on
    }

    fn is_unlisted_for_long(&self, wanted: &WantedSegment) -> bool {
        !self.is_listed(wanted) && wanted.since.elapsed() > UNLISTED_FOR
    }

    /// What an ended stream lists may still be put there, but not for ever.
    fn has_ended_for_long(&self) -> bool {
        self.has_ended() && self.ended.elapsed() > UNLISTED_FOR
    }

    /// Why it is not tried again.
    fn gives_up(&self, wanted: &WantedSegment, error: &FetchFailure) -> Option<String> {
        let is_over = match error {
            FetchFailure::Origin(error) if error.is_final() => true,
            FetchFailure::Origin(error) if error.is_gone() => !self.is_listed(wanted) || self.has_ended_for_long(),
            FetchFailure::OtherMedia { .. } | FetchFailure::Init { .. } => {
                wanted.attempts >= 3 && (self.end.is_some() || !self.is_listed(wanted))
            }
            FetchFailure::Stopping => true,
            _ => wanted.since.elapsed() > TRIED_FOR,
        };
        is_over.then(|| error.to_string())
    }
}

/// The first good answer of two, the second of which begins after that patience; if there is none, the last one.
async fn first_good<T, E>(
    first: impl Future<Output = Result<T, E>>,
    second: impl Future<Output = Result<T, E>>,
    patience: Duration,
) -> Result<T, E> {
    let mut first = std::pin::pin!(first);
    if let Ok(done) = tokio::time::timeout(patience, &mut first).await {
        return done;
    }
    let mut second = std::pin::pin!(second);
    tokio::select! {
        done = &mut first => if done.is_ok() { done } else { second.await },
        done = &mut second => if done.is_ok() { done } else { first.await },
    }
}

/// How long until a stream is asked for again that ended then: an encoder that was started anew goes on soon, or not.
pub(super) fn wait_after_the_end(ended: Instant) -> Duration {
    (ended.elapsed() / 3).clamp(AFTER_THE_END.0, AFTER_THE_END.1)
}

/// How much is listed.
fn window(list: &MediaList) -> Span {
    list.segments.iter().fold(Span::default(), |sum, segment| sum + segment.duration)
}

/// Why segments like this one cannot be recorded.
pub(super) fn refusal(segment: &ListedSegment) -> Option<String> {
    let of_map = segment.map.as_deref().and_then(|map| map.cipher.as_deref());
    [segment.cipher.as_deref(), of_map].into_iter().flatten().find_map(|cipher| match cipher {
        SegmentCipher::Other(method) => Some(format!(
            "its segments are encrypted by {method}, of which no recorder has the key; AES-128 is decrypted"
        )),
        SegmentCipher::Aes128 { .. } => None,
    })
}

fn length(span: Span) -> Duration {
    Duration::from_micros(span.us().unsigned_abs())
}
