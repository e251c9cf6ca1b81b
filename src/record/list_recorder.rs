//! Records what one media playlist lists, for as long as it can be asked.
//!
//! 1. It is asked again after as long as its newest segment lasts, or half its target duration ([`PollPace`]).
//! 2. At most four segments come at once, the newest first: where the line is too slow for all, what is live is there.
//! 3. A segment is tried again, later each time: as long as it is listed if the origin does not have it, else for [`TRIED_FOR`]. What is not
//!    `full` is kept, and tried again: what was cut off until it is whole, and what came whole until the same bytes come once more some
//!    seconds later. Its address is the one of the newest playlist.
//! 4. Where no time is told, all segments of a run are placed by the first that comes ([`RunPlacement`]). Later on, [`AgreedTimes`] moves them.
//! 5. What fails is asked once more at once, as one of several servers behind an address may be broken; a playlist that was good and leads elsewhere
//!    for a moment is asked further on. When its address is refused, another one is waited for; what is known stays known under that, and under its
//!    own, should that answer again.
//! 6. When it is drained, or is there no more, it is asked no more, and what is listed is fetched to its end; what has not come after
//!    [`DRAINS_FOR`] is given up.
//! 7. When the stream has ended, all that its last playlist lists is fetched to its end. It is asked further on, less and less often: an encoder that
//!    is started anew may go on with it, and what is known already does not come again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

mod asking;
mod fetching;
mod listing;

pub(super) use asking::wait_after_the_end;

use super::events::RecorderEvent;
use super::follow::PlaylistFollower;
use super::init_segment::InitSegments;
use super::last_listed::FollowedId;
use super::origin::OriginError;
use super::peer_times::AgreedTimes;
use super::playlist::{HlsPlaylist, ListedSegment, SegmentCipher};
use super::poll_pace::PollPace;
use super::run_placement::RunPlacement;
use super::segment_attempt::{Attempt, QualityParts};
use super::start_times::StartTimes;
use super::wanted_segments::{WantedSegment, WantedSegments};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Span, Timestamp};

/// How long a segment is tried that does not come although nobody says that it has gone.
const TRIED_FOR: Duration = Duration::from_secs(20 * 60);
/// How long another address of a playlist is waited for that is refused.
const LINGERS_FOR: Duration = Duration::from_secs(60);
/// How long what is listed may take when nothing more is asked: a segment that comes slowly may take as long.
const DRAINS_FOR: Duration = Duration::from_secs(5 * 60);

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

    fn tell(&self, event: impl FnOnce(crate::archive::Stream) -> RecorderEvent) {
        self.parts.events.tell(&event(self.parts.quality.stream.clone()));
    }
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
