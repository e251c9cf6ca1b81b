//! Records one channel from one source: finds the playlist of each quality, and another one when it fails.
//!
//! 1. The master playlist is asked at the start, and again whenever a playlist has gone, fails or stands still. Its addresses may have
//!    expired, or the stream may have been restarted under another one. So is the command that gives the address, where there is one.
//! 2. Where it leads elsewhere then, both addresses are followed side by side until the new one brings segments.
//! 3. A stream that is no HLS has no playlists, and [`StreamRecorder`] records it.
//! 4. Nothing makes it give up but a source whose stream has ended, and one that cannot be recorded at all; a node tries even those again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::address_command::{AddressCommand, CommandError};
use super::events::{RecorderEvent, RecorderEvents};
use super::list_recorder::{ListRecorder, ListState, QualityParts};
use super::origin::{OriginClient, OriginError, OriginLimits};
use super::peer_times::PeerTimes;
use super::playlist::HlsPlaylist;
use super::publish::RecordedQuality;
use super::segment_fetch::ArchiveBase;
use super::source_address::{SourceAddress, SourceProtocol};
use super::source_headers::SourceHeaders;
use super::stream_process::StreamTools;
use super::stream_recorder::StreamRecorder;
use super::stream_writer::StreamTarget;
use super::variants::{SEPARATE_SOUND, SOURCE, find_quality, offered_qualities};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Channel, Quality, Stream};
use crate::jobs::Backoff;
use crate::net::tls::ClientConfig;

/// The first wait before a source that fails is asked again, and the longest: a stream that begins is not to lose its beginning.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The same for a stream that has ended or cannot be recorded.
const LATER: Duration = Duration::from_secs(30);

/// Playlists of one quality that are followed at once: the newest ones. Where addresses expire again and again, nothing comes from the others any more.
const FOLLOWED: usize = 4;

/// An address that a command printed just now is good.
const FRESH: Duration = Duration::from_secs(2);

/// Where the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordSource {
    Address(SourceAddress),
    Command(AddressCommand),
}

impl RecordSource {
    /// What commands print is an address of HLS.
    pub fn protocol(&self) -> SourceProtocol {
        match self {
            Self::Address(source) => source.protocol(),
            Self::Command(_) => SourceProtocol::Hls,
        }
    }

    /// Asks the command, if there is one.
    pub async fn address(&self) -> Result<SourceAddress, CommandError> {
        match self {
            Self::Address(source) => Ok(source.clone()),
            Self::Command(command) => command.address().await,
        }
    }
}

impl fmt::Display for RecordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(source) => source.fmt(f),
            Self::Command(command) => command.fmt(f),
        }
    }
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOptions {
    pub channel: Channel,
    pub source: RecordSource,
    /// For the source's own hosts.
    pub headers: SourceHeaders,
    /// `source` is the best one.
    pub qualities: Vec<Quality>,
    /// Ads that the source stitches in are left out.
    pub skips_ads: bool,
}

impl RecordOptions {
    /// Why the source cannot be recorded like this, whatever is there.
    pub fn refusal(&self) -> Option<String> {
        let is_hls = self.source.protocol() == SourceProtocol::Hls;
        if !is_hls && !self.headers.is_empty() {
            return Some("headers are sent over http and https alone".to_owned());
        }
        let other = self.qualities.iter().find(|quality| !is_hls && quality.as_str() != SOURCE)?;
        let protocol = self.source.protocol().name();
        Some(format!("{protocol} has one quality, which is called {SOURCE}, and not {other}"))
    }
}

/// Records one channel.
#[derive(Debug)]
pub struct Recorder {
    options: RecordOptions,
    client: OriginClient,
    archive: ArchiveBase,
    tools: StreamTools,
    events: RecorderEvents,
    peer_times: PeerTimes,
    /// The address of a command, and when it was printed.
    printed: tokio::sync::Mutex<Option<(Instant, SourceAddress)>>,
    /// It ends with the stream.
    ends: bool,
}

impl Recorder {
    pub fn new(
        options: RecordOptions,
        archive: ArchiveBase,
        tls: &ClientConfig,
        tools: &StreamTools,
        events: RecorderEvents,
    ) -> Result<Self, OriginError> {
        let client = OriginClient::new(options.headers.clone(), tls, OriginLimits::default())?;
        Ok(Self {
            options,
            client,
            archive,
            tools: tools.clone(),
            events,
            peer_times: PeerTimes::default(),
            printed: tokio::sync::Mutex::default(),
            ends: false,
        })
    }

    /// It ends when the stream has, and when it cannot be recorded.
    #[must_use]
    pub fn ending_with_the_stream(self) -> Self {
        Self { ends: true, ..self }
    }

    /// Where the source tells no times, it agrees with other nodes on them.
    #[must_use]
    pub fn agreeing_with(self, peer_times: PeerTimes) -> Self {
        Self { peer_times, ..self }
    }

    /// Records until it is stopped.
    pub async fn run(&self, stop: CancellationToken) {
        if let RecordSource::Address(source) = &self.options.source
            && source.protocol() != SourceProtocol::Hls
        {
            let each = self.options.qualities.iter().map(|quality| self.stream(source, quality, &stop));
            futures_util::future::join_all(each).await;
            return;
        }
        let each = self.options.qualities.iter().map(|quality| self.quality(quality));
        let all = futures_util::future::join_all(each);
        tokio::select! {
            _ = all => {}
            () = stop.cancelled() => {}
        }
    }

    /// What was begun of it is on the disk when this ends.
    async fn stream(&self, source: &SourceAddress, quality: &Quality, stop: &CancellationToken) {
        let stream = Stream { channel: self.options.channel.clone(), quality: quality.clone() };
        let recorded = RecordedQuality::new(stream, self.archive.clone());
        let target = Arc::new(StreamTarget { quality: recorded, events: self.events.clone() });
        let (source, tools) = (source.clone(), self.tools.clone());
        StreamRecorder { source, tools, target, ends: self.ends }.run(stop).await;
    }

    async fn quality(&self, quality: &Quality) {
        let stream = Stream { channel: self.options.channel.clone(), quality: quality.clone() };
        let parts = Arc::new(QualityParts {
            client: self.client.clone(),
            quality: RecordedQuality::new(stream, self.archive.clone()).agreeing_with(self.peer_times.clone()),
            events: self.events.clone(),
            skips_ads: self.options.skips_ads,
            keys: parking_lot::Mutex::default(),
        });
        let mut followed = FollowedLists { parts, lists: Vec::new() };
        let (mut failures, mut next, mut turn) = (0_u32, Instant::now(), 0_usize);
        loop {
            if followed.needs_another() && Instant::now() >= next {
                match self.addresses(quality).await {
                    Ok(found) => {
                        followed.begin(&found, turn);
                        turn = turn.wrapping_add(1);
                    }
                    Err(NoAddress::Failed(why)) => followed.tell_failure(HoleReason::SourceOffline, &why),
                    Err(NoAddress::Refused(why)) => {
                        followed.tell_refusal(&why);
                        if self.ends {
                            return;
                        }
                    }
                }
                failures = failures.saturating_add(1);
                next = Instant::now() + Backoff::new(RETRY.0, RETRY.1).wait(failures);
            }
            let until = if followed.needs_another() { next } else { Instant::now() + LATER };
            match followed.changed(until).await {
                Some(ListState::Works) => failures = 0,
                Some(ListState::Ended | ListState::Refused(_)) if self.ends => return,
                Some(ListState::Ended | ListState::Refused(_)) => next = Instant::now() + LATER,
                _ => {}
            }
        }
    }

    /// Where the stream is now. A command is run again, but not once for each quality.
    async fn source(&self) -> Result<SourceAddress, NoAddress> {
        let mut printed = self.printed.lock().await;
        if let Some((_, source)) = printed.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(source.clone());
        }
        let source = self.options.source.address().await.map_err(|error| match error {
            CommandError::Start(_) => NoAddress::Refused(error.to_string()),
            _ => NoAddress::Failed(error.to_string()),
        })?;
        self.client.rules().allow(source.url().host_str().unwrap_or_default());
        *printed = Some((Instant::now(), source.clone()));
        Ok(source)
    }

    /// Where the playlist of a quality is, and where it is besides.
    async fn addresses(&self, quality: &Quality) -> Result<Vec<Url>, NoAddress> {
        let source = self.source().await?;
        let answer = self.client.playlist(source.url()).await;
        let (base, playlist) = answer.map_err(|error| NoAddress::Failed(error.to_string()))?;
        let master = match playlist {
            HlsPlaylist::Media(_) => return Ok(vec![source.url().clone()]),
            HlsPlaylist::Master(master) => master,
        };
        let offered = offered_qualities(&master);
        let Some(found) = find_quality(&offered, quality) else {
            let names: Vec<&str> = offered.iter().map(|one| &*one.name).collect();
            let names = names.join(", ");
            return Err(NoAddress::Failed(format!("the source does not offer {quality} now; it offers {names}")));
        };
        if found.has_separate_sound {
            return Err(NoAddress::Refused(SEPARATE_SOUND.to_owned()));
        }
        let join = |uri: &String| self.client.rules().join(&base, uri);
        found.uris.iter().map(join).collect::<Result<_, _>>().map_err(|error| NoAddress::Failed(error.to_string()))
    }
}

/// Why there is no playlist of a quality to follow.
enum NoAddress {
    Failed(String),
    Refused(String),
}

/// The playlists of one quality that are followed: the last one is the newest.
struct FollowedLists {
    parts: Arc<QualityParts>,
    lists: Vec<FollowedPlaylist>,
}

struct FollowedPlaylist {
    url: Url,
    state: watch::Receiver<ListState>,
    drain: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl FollowedLists {
    fn needs_another(&self) -> bool {
        let newest = self.lists.last().map(|list| list.state.borrow().clone());
        newest.is_none_or(|state| !matches!(state, ListState::Begins | ListState::Works))
    }

    /// Follows the first address that is not asked yet; of several, not the same one first each time.
    fn begin(&mut self, found: &[Url], turn: usize) {
        let is_followed = |url: &Url| self.lists.iter().any(|list| list.url == *url && !list.state.borrow().is_left());
        let unfollowed =
            found.iter().cycle().skip(turn % found.len().max(1)).take(found.len()).find(|url| !is_followed(url));
        let Some(url) = unfollowed.cloned() else { return };
        if self.lists.len() >= FOLLOWED {
            self.lists.remove(0);
        }
        let (sender, state) = watch::channel(ListState::default());
        let drain = CancellationToken::new();
        let recorder = ListRecorder::new(Arc::clone(&self.parts), url.clone(), sender, drain.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(recorder.run()));
        self.lists.push(FollowedPlaylist { url, state, drain, _task: task });
    }

    /// Waits for news of any of them, at most until then. Those that are over are followed no more, and those before one that works are drained.
    async fn changed(&mut self, until: Instant) -> Option<ListState> {
        let each = self.lists.iter_mut().enumerate().map(|(at, list)| {
            Box::pin(async move {
                // Who has ended without a word has crashed, and is over.
                let is_lost = list.state.changed().await.is_err();
                (at, if is_lost { ListState::Gone("it crashed".to_owned()) } else { list.state.borrow().clone() })
            })
        });
        let waiting: Vec<_> = each.collect();
        let (at, state) = if waiting.is_empty() {
            sleep_until(until).await;
            return None;
        } else {
            tokio::select! {
                (news, ..) = futures_util::future::select_all(waiting) => news,
                () = sleep_until(until) => return None,
            }
        };
        let is_newest = at + 1 == self.lists.len();
        match &state {
            ListState::Works => self.lists.iter().take(at).for_each(|older| older.drain.cancel()),
            ListState::Fails { reason, why } if is_newest => self.tell_failure(*reason, why),
            ListState::Leaves(why) | ListState::Gone(why) if is_newest => {
                self.tell_failure(HoleReason::SourceOffline, why);
            }
            ListState::Refused(why) => self.tell_refusal(why),
            ListState::Ended => {
                let stream = self.parts.quality.stream.clone();
                self.parts.events.tell(&RecorderEvent::Ended { stream });
            }
            ListState::Begins | ListState::Fails { .. } | ListState::Leaves(_) | ListState::Gone(_) => {}
        }
        if state.is_over() {
            self.lists.remove(at);
        }
        is_newest.then_some(state)
    }

    fn tell_refusal(&self, why: &str) {
        let stream = self.parts.quality.stream.clone();
        self.parts.events.tell(&RecorderEvent::Refused { stream, why: why.to_owned() });
    }

    fn tell_failure(&self, reason: HoleReason, why: &str) {
        let stream = self.parts.quality.stream.clone();
        self.parts.events.tell(&RecorderEvent::Fails { stream, reason, why: why.to_owned() });
    }
}
