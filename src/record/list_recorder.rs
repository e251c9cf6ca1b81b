//! Records what one media playlist lists, for as long as it can be asked.
//!
//! 1. It is asked again after as long as its newest segment lasts, or half its target duration ([`PollPace`]).
//! 2. At most [`FETCHES`] segments come at once, the newest first: where the line is too slow for all, what is live is there.
//! 3. A segment is tried again, later each time: as long as it is listed if the origin does not have it, else for [`TRIED_FOR`]. What is not
//!    `full` is kept, and tried again until the same bytes come twice.
//! 4. Where no time is told, the first segment of a run comes alone: if it is here from before, or other nodes have it, all are placed by it. Later
//!    on, [`AgreedTimes`] moves them.
//! 5. When it is drained, or is there no more, it is asked no more, and what is listed is fetched to its end; what has not come by then is given up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::events::{RecorderEvent, RecorderEvents};
use super::follow::{PlaylistFollower, WindowChange};
use super::init_segment::{InitOrder, InitSegments};
use super::origin::{OriginClient, OriginError};
use super::peer_times::AgreedTimes;
use super::playlist::{HlsPlaylist, ListedSegment, MediaList, SegmentCipher};
use super::poll_pace::PollPace;
use super::publish::{RecordedQuality, RecordedSegment};
use super::segment_fetch::{FetchFailure, SegmentOrder, fetch_segment};
use super::start_times::{StartTime, StartTimes};
use super::steady_clock::SteadyClock;
use crate::archive::hole_reasons::HoleReason;
use crate::archive::time::SECOND_US;
use crate::archive::{Hash, SegmentKind, Span, Timestamp};

/// Segments of one playlist that are fetched at once.
const FETCHES: usize = 4;
/// How long a segment is tried that does not come although nobody says that it has gone.
const TRIED_FOR: Duration = Duration::from_secs(20 * 60);
/// And one that is not `full` after it was listed no more.
const UNLISTED_FOR: Duration = Duration::from_secs(60);
/// The first wait before a segment is tried again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// A playlist is never asked for more often.
const LEAST_POLL: Duration = Duration::from_millis(250);
/// The longest wait before a playlist that failed is asked again: less than what real windows hold.
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// How long what is listed may take when nothing more is asked.
const DRAINS_FOR: Duration = Duration::from_secs(60);
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
    /// The stream has ended, and all of it is here.
    Ended,
    /// It lists what cannot be recorded.
    Refused(String),
}

impl ListState {
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Ended | Self::Refused(_))
    }

    /// It is not asked any more.
    pub fn is_left(&self) -> bool {
        self.is_over() || matches!(self, Self::Leaves(_))
    }
}

/// What all playlists of one quality share.
#[derive(Debug)]
pub struct QualityParts {
    pub client: OriginClient,
    pub quality: RecordedQuality,
    pub events: RecorderEvents,
    /// Ads are left out.
    pub skips_ads: bool,
    /// For what tells no times.
    pub clock: SteadyClock,
    /// Keys by their address; they rotate, and few are used at a time.
    pub keys: Mutex<HashMap<Url, [u8; 16]>>,
}

/// A segment that is to be here.
#[derive(Debug)]
struct WantedSegment {
    listed: ListedSegment,
    base: Url,
    run: u64,
    time: StartTime,
    since: Instant,
    not_before: Instant,
    attempts: u32,
    /// What was said when the disk was full: without that it might be here, whatever it fails by later.
    no_room: Option<String>,
    /// Of what came last and is not `full`.
    before: Option<(Hash, u64)>,
}

type Attempt = Result<Option<RecordedSegment>, FetchFailure>;

enum Step {
    Polled(Instant, Timestamp, Result<(Url, HlsPlaylist), OriginError>),
    Fetched(Box<WantedSegment>, Attempt),
}

pub struct ListRecorder {
    parts: Arc<QualityParts>,
    url: Url,
    state: watch::Sender<ListState>,
    drain: CancellationToken,
    follower: PlaylistFollower,
    times: StartTimes,
    inits: Arc<InitSegments>,
    wanted: BTreeMap<(u64, u64), Box<WantedSegment>>,
    steps: JoinSet<Step>,
    fetching: usize,
    is_polling: bool,
    next_poll: Instant,
    pace: PollPace,
    failures: u32,
    /// The first number that is listed, and its run.
    window: (u64, u64),
    /// When the playlist was read last, and how much it listed.
    asked: (Instant, Span),
    /// The run, the number and the end of the segment that was placed last.
    reached: Option<(u64, u64, Timestamp)>,
    /// The run whose first segment must come alone, and when the one before it ended.
    settling: Option<(u64, Timestamp)>,
    /// How far the segments of a run that are here from before lie from where they seemed to.
    shift: (u64, Span),
    agreed: AgreedTimes,
    news: Instant,
    target: Duration,
    is_told_off: bool,
    /// Why nothing more is asked.
    end: Option<ListState>,
    /// Until when what is listed may come, once nothing more is asked.
    until: Option<Instant>,
}

impl ListRecorder {
    pub fn new(parts: Arc<QualityParts>, url: Url, state: watch::Sender<ListState>, drain: CancellationToken) -> Self {
        let now = Instant::now();
        Self {
            parts,
            url,
            state,
            drain,
            follower: PlaylistFollower::default(),
            times: StartTimes::default(),
            inits: Arc::default(),
            wanted: BTreeMap::new(),
            steps: JoinSet::new(),
            fetching: 0,
            is_polling: false,
            next_poll: now,
            pace: PollPace::default(),
            failures: 0,
            window: (0, 0),
            asked: (now, Span::default()),
            reached: None,
            settling: None,
            shift: (0, Span::default()),
            agreed: AgreedTimes::default(),
            news: now,
            target: Duration::from_secs(2),
            is_told_off: false,
            end: None,
            until: None,
        }
    }

    /// Records until the playlist is over, or it was drained.
    pub async fn run(mut self) {
        loop {
            if let Some(end) = self.end.clone() {
                let until = *self.until.get_or_insert_with(|| Instant::now() + DRAINS_FOR);
                if self.wanted.is_empty() && self.fetching == 0 || Instant::now() >= until {
                    self.give_up_the_rest();
                    self.state.send_replace(end);
                    return;
                }
            } else if !self.is_polling && Instant::now() >= self.next_poll {
                self.poll();
            }
            let wake = self.fetch_due();
            let wake = if self.end.is_none() && !self.is_polling { wake.min(self.next_poll) } else { wake };
            let wake = self.until.map_or(wake, |until| wake.min(until));
            let is_asked = self.end.is_none();
            tokio::select! {
                Some(step) = self.steps.join_next(), if !self.steps.is_empty() => match step {
                    Ok(Step::Polled(asked, appeared, answer)) => self.polled(asked, appeared, answer).await,
                    Ok(Step::Fetched(wanted, attempt)) => self.fetched(wanted, attempt),
                    // It ends only with this process, or after a panic, which is reported where it happens.
                    Err(_) => self.end = Some(ListState::Gone("a part of the recorder crashed".to_owned())),
                },
                () = sleep_until(wake) => {}
                () = self.drain.cancelled(), if is_asked => self.end = Some(ListState::Gone("another one works".to_owned())),
            }
        }
    }

    fn poll(&mut self) {
        self.is_polling = true;
        let (parts, url, asked) = (Arc::clone(&self.parts), self.url.clone(), Instant::now());
        self.steps.spawn(async move {
            let answer = parts.client.playlist(&url).await;
            Step::Polled(asked, parts.clock.now(), answer)
        });
    }

    async fn polled(&mut self, asked: Instant, appeared: Timestamp, answer: Result<(Url, HlsPlaylist), OriginError>) {
        self.is_polling = false;
        let began = Instant::now();
        match answer {
            Ok((base, HlsPlaylist::Media(list))) => {
                self.failures = 0;
                let new = self.listed(&base, &list, appeared).await;
                let newest = list.segments.last().map_or(list.target, |last| last.duration);
                self.target = length(list.target);
                let wait = self.pace.next(asked, length(new), length(newest), self.target);
                self.next_poll = (asked + wait).max(began + LEAST_POLL);
                if list.has_ended && self.end.is_none() {
                    self.end = Some(ListState::Ended);
                }
                self.watch_still();
            }
            Ok((_, HlsPlaylist::Master(_))) => {
                self.end = Some(ListState::Refused("the master playlist leads to another master playlist".to_owned()));
            }
            Err(error) if error.is_gone() => {
                // Another address is not to wait until all that this one listed has come.
                self.state.send_replace(ListState::Leaves(error.to_string()));
                self.end = Some(ListState::Gone(error.to_string()));
            }
            Err(error) if error.is_final() => self.end = Some(ListState::Refused(error.to_string())),
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.inits.fetch_again();
                let wait = (self.target / 2).max(LEAST_POLL) * self.failures.min(8);
                self.next_poll = began + wait.min(LONGEST_RETRY);
                self.state.send_replace(ListState::Fails { reason: HoleReason::SourceOffline, why: error.to_string() });
            }
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
        let new = self.follower.observe(list);
        let mut times = self.times.place(&new, list.target, appeared);
        for time in times.iter_mut().filter(|time| !time.is_told) {
            time.moved = self.agreed.next();
            time.start = time.start + time.moved;
        }
        let (run, change) = (new.run, new.change);
        if change != WindowChange::Stale {
            self.window = (run, list.segments.first().map_or(0, |segment| segment.sequence));
        }
        self.tell_of(change, list);
        let mut fresh: Vec<(&ListedSegment, StartTime)> = new.segments.into_iter().zip(times).collect();
        let lasts = fresh.iter().fold(Span::default(), |sum, (segment, _)| sum + segment.duration);
        if fresh.is_empty() {
            return lasts;
        }
        self.news = Instant::now();
        self.parts.clock.came();
        self.compare_clocks(&fresh);
        let ended = self.reached.map_or(Timestamp::MIN, |(_, _, end)| end);
        self.tell_of_what_is_left_out(run, &fresh);
        if let Some(refused) = fresh.iter().find_map(|(segment, _)| refusal(segment)) {
            self.end = Some(ListState::Refused(refused));
            return lasts;
        }
        let begins = matches!(change, WindowChange::First | WindowChange::Restarted);
        if begins && fresh.iter().any(|(_, time)| !time.is_told) {
            self.settling = Some((run, ended));
        }
        if begins {
            self.leave_out_what_is_here(&mut fresh).await;
        }
        let now = Instant::now();
        for (segment, time) in fresh {
            if segment.is_ad && self.parts.skips_ads {
                let (start, duration) = (time.start, segment.duration);
                self.tell(|stream| RecorderEvent::AdLeftOut { stream, start, duration });
                continue;
            }
            if segment.is_gap {
                let why = "the source has marked it as missing".to_owned();
                self.tell(|stream| RecorderEvent::GivenUp {
                    stream,
                    start: time.start,
                    duration: segment.duration,
                    reason: HoleReason::SourceSkipped,
                    why,
                });
                continue;
            }
            let wanted = WantedSegment {
                listed: segment.clone(),
                base: base.clone(),
                run,
                time,
                since: now,
                not_before: now,
                attempts: 0,
                no_room: None,
                before: None,
            };
            self.wanted.insert((run, segment.sequence), Box::new(wanted));
        }
        lasts
    }

    fn tell_of(&mut self, change: WindowChange, list: &MediaList) {
        let asked = std::mem::replace(&mut self.asked, (Instant::now(), window(list)));
        match change {
            WindowChange::Jumped { missed } => {
                self.inits.fetch_again();
                // Whoever asks in time sees each segment, unless the source leaves some out.
                let in_time = self.failures == 0 && asked.0.elapsed() < length(asked.1) / 2;
                let reason = if in_time { HoleReason::SourceSkipped } else { HoleReason::NotReceived };
                self.tell(|stream| RecorderEvent::Jumped { stream, missed, reason });
            }
            WindowChange::Restarted => {
                self.inits.fetch_again();
                self.tell(|stream| RecorderEvent::Restarted { stream });
            }
            WindowChange::First | WindowChange::Grew | WindowChange::Still | WindowChange::Stale => {}
        }
    }

    fn tell(&self, event: impl FnOnce(crate::archive::Stream) -> RecorderEvent) {
        self.parts.events.tell(&event(self.parts.quality.stream.clone()));
    }

    /// Segments that follow each other by their numbers, but not by the times that the source tells.
    fn tell_of_what_is_left_out(&mut self, run: u64, fresh: &[(&ListedSegment, StartTime)]) {
        for (segment, time) in fresh {
            let follows = self.reached.is_some_and(|(of, sequence, _)| (of, sequence + 1) == (run, segment.sequence));
            let end = self.reached.map_or(time.start, |(_, _, end)| end);
            if follows && time.is_told && time.start - end > LEFT_OUT {
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
        let behind = if time.is_told {
            Timestamp::from(SystemTime::now()) - (time.start + newest.duration)
        } else {
            self.parts.clock.machine_is_ahead()
        };
        let is_off = behind.us().abs() > CLOCKS_AGREE_US;
        if is_off && !self.is_told_off {
            let of_source = |stream| RecorderEvent::ClockDiffers { stream, behind };
            let of_machine = |stream| RecorderEvent::ClockWasSet { stream, by: behind };
            if time.is_told { self.tell(of_source) } else { self.tell(of_machine) }
        }
        self.is_told_off = is_off;
    }

    /// A recorder that was started anew does not fetch what it has.
    async fn leave_out_what_is_here(&self, fresh: &mut Vec<(&ListedSegment, StartTime)>) {
        let told: Vec<(Timestamp, Span)> = fresh.iter().map(|(segment, time)| (time.start, segment.duration)).collect();
        let parts = Arc::clone(&self.parts);
        let looking = tokio::task::spawn_blocking(move || parts.quality.full_at(&told));
        if let Ok(Ok(here)) = looking.await {
            let mut here = here.into_iter();
            fresh.retain(|(_, time)| !here.next().unwrap_or_default() || !time.is_told);
        }
    }

    /// Begins what is due; says when something else will be.
    fn fetch_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut wake = now + Duration::from_secs(60);
        let settling = self.settling.filter(|(run, _)| self.wanted.keys().any(|(of, _)| of == run));
        let most = if settling.is_some() { 1 } else { FETCHES };
        let mut due = Vec::new();
        for (key, wanted) in &self.wanted {
            if wanted.not_before <= now {
                due.push(*key);
            } else {
                wake = wake.min(wanted.not_before);
            }
        }
        // The first of a run comes first, and then the newest.
        if settling.is_none() {
            due.reverse();
        }
        for key in due.into_iter().take(most.saturating_sub(self.fetching)) {
            if let Some(wanted) = self.wanted.remove(&key) {
                self.fetching += 1;
                let (parts, inits) = (Arc::clone(&self.parts), Arc::clone(&self.inits));
                let start = self.start_of(&wanted);
                self.steps.spawn(async move {
                    let attempt = attempt(&parts, &inits, &wanted, start, settling.map(|(_, floor)| floor)).await;
                    Step::Fetched(wanted, attempt)
                });
            }
        }
        wake
    }

    /// When a segment begins, also where what is here from before says so.
    fn start_of(&self, wanted: &WantedSegment) -> Timestamp {
        let is_shifted = self.shift.0 == wanted.run && !wanted.time.is_told;
        wanted.time.start + if is_shifted { self.shift.1 } else { Span::default() }
    }

    fn fetched(&mut self, mut wanted: Box<WantedSegment>, attempt: Attempt) {
        self.fetching -= 1;
        wanted.attempts += 1;
        match attempt {
            Ok(Some(recorded)) => {
                if self.settling.take_if(|(run, _)| *run == wanted.run).is_some() {
                    self.shift = (wanted.run, recorded.start - wanted.time.start);
                }
                self.agree(&wanted, &recorded);
                let is_asked = self.end.is_none();
                if is_asked && (recorded.path.is_some() || recorded.kind == SegmentKind::Full) {
                    self.state.send_if_modified(|state| {
                        *state != ListState::Works && {
                            *state = ListState::Works;
                            true
                        }
                    });
                }
                let is_over = recorded.kind == SegmentKind::Full
                    || wanted.before == Some((recorded.hash, recorded.bytes))
                    || self.is_unlisted_for_long(&wanted);
                let most = wanted.before.map_or(0, |(_, bytes)| bytes).max(recorded.bytes);
                wanted.before = Some((recorded.hash, most));
                self.tell(|stream| RecorderEvent::Recorded { stream, segment: recorded });
                if !is_over {
                    self.again(wanted);
                }
            }
            // Less of it came than is here.
            Ok(None) => {
                if !self.is_unlisted_for_long(&wanted) {
                    self.again(wanted);
                }
            }
            Err(error) => {
                if let FetchFailure::Disk(disk) = &error
                    && disk.is_full()
                {
                    wanted.no_room.get_or_insert_with(|| error.to_string());
                }
                if let Some(last) = self.gives_up(&wanted, &error) {
                    let (start, duration) = (self.start_of(&wanted), wanted.listed.duration);
                    let (reason, why) = match wanted.no_room.take() {
                        Some(no_room) => (HoleReason::DiskFull, no_room),
                        None => (HoleReason::NotReceived, last),
                    };
                    self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
                } else {
                    self.tell(|stream| RecorderEvent::SegmentFails { stream, why: error.to_string() });
                    self.again(wanted);
                }
            }
        }
    }

    /// Compares the times of a source that tells none with those of other nodes.
    fn agree(&mut self, wanted: &WantedSegment, recorded: &RecordedSegment) {
        if wanted.time.is_told || recorded.kind != SegmentKind::Full || recorded.path.is_none() {
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
        for (_, wanted) in std::mem::take(&mut self.wanted) {
            let (start, duration) = (self.start_of(&wanted), wanted.listed.duration);
            let (reason, why) = match wanted.no_room {
                Some(no_room) => (HoleReason::DiskFull, no_room),
                None => (HoleReason::NotReceived, "its playlist was there no more, and it did not come".to_owned()),
            };
            self.tell(|stream| RecorderEvent::GivenUp { stream, start, duration, reason, why });
        }
    }

    fn again(&mut self, mut wanted: Box<WantedSegment>) {
        let wait = RETRY.0 * 2_u32.saturating_pow(wanted.attempts.min(8).saturating_sub(1));
        wanted.not_before = Instant::now() + wait.min(RETRY.1);
        self.wanted.insert((wanted.run, wanted.listed.sequence), wanted);
    }

    fn is_listed(&self, wanted: &WantedSegment) -> bool {
        (wanted.run, wanted.listed.sequence) >= self.window && self.end.is_none()
    }

    fn is_unlisted_for_long(&self, wanted: &WantedSegment) -> bool {
        !self.is_listed(wanted) && wanted.since.elapsed() > UNLISTED_FOR
    }

    /// Why it is not tried again.
    fn gives_up(&self, wanted: &WantedSegment, error: &FetchFailure) -> Option<String> {
        let is_over = match error {
            FetchFailure::Origin(error) if error.is_final() => true,
            FetchFailure::Origin(error) if error.is_gone() => !self.is_listed(wanted),
            FetchFailure::OtherMedia { .. } | FetchFailure::Init { .. } => {
                wanted.attempts >= 3 && !self.is_listed(wanted)
            }
            FetchFailure::Stopping => true,
            _ => wanted.since.elapsed() > TRIED_FOR,
        };
        is_over.then(|| error.to_string())
    }
}

/// None if what came is not `full` and no more than what is here.
async fn attempt(
    parts: &Arc<QualityParts>,
    inits: &InitSegments,
    wanted: &WantedSegment,
    start: Timestamp,
    settles: Option<Timestamp>,
) -> Attempt {
    let listed = &wanted.listed;
    let rules = parts.client.rules();
    let url = rules.join(&wanted.base, &listed.uri).map_err(OriginError::from)?;
    let cipher = cipher(parts, wanted, listed.cipher.as_deref()).await?;
    let init = match &listed.map {
        Some(map) => {
            let address = rules.join(&wanted.base, &map.uri).map_err(OriginError::from)?;
            let of_map = self::cipher(parts, wanted, map.cipher.as_deref()).await?;
            Some(inits.get(&parts.client, InitOrder { url: address, range: map.range, cipher: of_map }).await?)
        }
        None => None,
    };
    let place = parts.quality.place(start);
    let order = SegmentOrder { url, range: listed.range, cipher, init, duration: listed.duration, place };
    let fetched = fetch_segment(&parts.client, &parts.quality.archive, &order).await;
    if order.cipher.is_some() && fetched.as_ref().is_err_and(FetchFailure::may_be_the_key) {
        // A source that was started anew may have another key at the same address: it is asked for again.
        parts.keys.lock().clear();
    }
    let mut fetched = fetched?;
    if wanted.time.is_doubtful && fetched.kind == SegmentKind::Full {
        fetched.kind = SegmentKind::Suspect;
        fetched.fault = Some("its time lies within the segment before it".to_owned());
    }
    let is_less = |(hash, bytes)| fetched.file.bytes() <= bytes && fetched.file.hash() != hash;
    if fetched.kind != SegmentKind::Full && wanted.before.is_some_and(is_less) {
        return Ok(None);
    }
    let (parts, duration, is_told) = (Arc::clone(parts), listed.duration, wanted.time.is_told);
    let publishing = move || match settles {
        Some(floor) if !is_told && fetched.kind == SegmentKind::Full => {
            parts.quality.publish_first(fetched, start, duration, floor)
        }
        _ => parts.quality.publish(fetched, start, duration, is_told),
    };
    let published = tokio::task::spawn_blocking(publishing).await;
    Ok(Some(published.map_err(|_| FetchFailure::Stopping)??))
}

/// Key and first block.
async fn cipher(
    parts: &QualityParts,
    wanted: &WantedSegment,
    listed: Option<&SegmentCipher>,
) -> Result<Option<([u8; 16], [u8; 16])>, OriginError> {
    let Some(SegmentCipher::Aes128 { uri, iv }) = listed else { return Ok(None) };
    let address = parts.client.rules().join_key(&wanted.base, uri)?;
    let key = key(parts, &address).await?;
    Ok(Some((key, iv.unwrap_or(u128::from(wanted.listed.sequence).to_be_bytes()))))
}

async fn key(parts: &QualityParts, address: &Url) -> Result<[u8; 16], OriginError> {
    /// Keys rotate by the minute at most.
    const MOST: usize = 16;
    if let Some(key) = parts.keys.lock().get(address) {
        return Ok(*key);
    }
    let key = parts.client.key(address).await?;
    let mut keys = parts.keys.lock();
    if keys.len() >= MOST {
        keys.clear();
    }
    keys.insert(address.clone(), key);
    Ok(key)
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
