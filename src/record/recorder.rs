//! Records one channel from one source: finds the playlist of each quality, and another one when it fails.
//!
//! 1. The master playlist is asked at the start, and again whenever a playlist has gone, fails or stands still. Its addresses may have
//!    expired, or the stream may have been restarted under another one. So is the command that gives the address, where there is one.
//!    Where an address says until when it holds, another one is asked for before.
//! 2. Where it leads elsewhere then, both addresses are followed side by side until the new one brings segments.
//! 3. Sound that lies apart from a quality is recorded along with it, as a quality of its own ([`separate_sounds`]): an archive without it would not
//!    be whole. What has been found so is asked for as long as this runs.
//! 4. A stream that is no HLS has no playlists, and [`StreamRecorder`] records it.
//! 5. Nothing makes it give up but a source whose stream has ended, and one that cannot be recorded at all; a node tries even those again.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::Url;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address_command::{AddressCommand, CommandError};
use super::events::{RecorderEvent, RecorderEvents};
use super::follow::window_print;
use super::followed_lists::FollowedLists;
use super::last_listed::LastListed;
use super::list_recorder::{ListState, wait_after_the_end};
use super::not_offered::NotOffered;
use super::origin::{OriginClient, OriginLimits};
use super::peer_times::PeerTimes;
use super::playlist::{HlsPlaylist, MasterList};
use super::publish::{RecordedQuality, newest_end};
use super::segment_attempt::QualityParts;
use super::segment_fetch::ArchiveBase;
use super::separate_sound::separate_sounds;
use super::source_address::{SourceAddress, SourceProtocol};
use super::source_headers::SourceHeaders;
use super::steady_clock::SteadyClock;
use super::stream_process::StreamTools;
use super::stream_recorder::StreamRecorder;
use super::stream_writer::StreamTarget;
use super::variants::{OfferedQuality, SOURCE, find_quality, offered_qualities};
use crate::archive::hole_reasons::HoleReason;
use crate::archive::{Channel, Quality, Stream};
use crate::jobs::Backoff;
use crate::net::tls::ClientConfig;

/// The first wait before a source that fails is asked again, and the longest: a stream that begins is not to lose its beginning.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The same for a stream that has ended or cannot be recorded.
const LATER: Duration = Duration::from_secs(30);

/// Renditions of sound that one channel is recorded with; no source has so many languages.
const MOST_SOUNDS: usize = 100;

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
    /// Authorities that are trusted for https instead of the system's.
    pub ca_file: Option<PathBuf>,
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
        if !is_hls && self.ca_file.is_some() {
            return Some("authorities of your own are for https alone".to_owned());
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
    ) -> Self {
        let client = OriginClient::new(options.headers.clone(), tls, OriginLimits::default());
        Self {
            options,
            client,
            archive,
            tools: tools.clone(),
            events,
            peer_times: PeerTimes::default(),
            printed: tokio::sync::Mutex::default(),
            ends: false,
        }
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
        self.all_qualities(&stop).await;
    }

    /// Those that were ordered, and the sound that is found for them.
    async fn all_qualities(&self, stop: &CancellationToken) {
        let (sounds, mut found) = unbounded_channel();
        let mut known: BTreeSet<Quality> = self.options.qualities.iter().cloned().collect();
        let most = known.len() + MOST_SOUNDS;
        let mut recording: FuturesUnordered<_> =
            known.iter().map(|quality| self.quality(quality.clone(), &sounds, stop)).collect();
        loop {
            tokio::select! {
                biased;
                Some(quality) = found.recv() => {
                    if known.len() < most && known.insert(quality.clone()) {
                        recording.push(self.quality(quality, &sounds, stop));
                    }
                }
                over = recording.next() => if over.is_none() {
                    return;
                },
            }
        }
    }

    /// What was begun of it is on the disk when this ends.
    async fn stream(&self, source: &SourceAddress, quality: &Quality, stop: &CancellationToken) {
        let stream = Stream { channel: self.options.channel.clone(), quality: quality.clone() };
        let recorded = RecordedQuality::new(stream, self.archive.clone());
        let target =
            Arc::new(StreamTarget { quality: recorded, events: self.events.clone(), clock: SteadyClock::new() });
        let (source, tools) = (source.clone(), self.tools.clone());
        StreamRecorder { source, tools, target, ends: self.ends }.run(stop).await;
    }

    /// Records one of the qualities that were ordered, or sound that was found; says which sound it finds.
    async fn quality(&self, quality: Quality, sounds: &UnboundedSender<Quality>, stop: &CancellationToken) {
        let stream = Stream { channel: self.options.channel.clone(), quality: quality.clone() };
        if !self.options.qualities.contains(&quality) {
            let newest = newest_end(&self.archive, &stream).await;
            self.events.tell(&RecorderEvent::SoundFound { stream: stream.clone(), newest });
        }
        let parts = Arc::new(QualityParts {
            client: self.client.clone(),
            quality: RecordedQuality::new(stream, self.archive.clone()).agreeing_with(self.peer_times.clone()),
            events: self.events.clone(),
            skips_ads: self.options.skips_ads,
            clock: SteadyClock::new(),
            last_listed: LastListed::default(),
            keys: parking_lot::Mutex::default(),
        });
        let mut followed = FollowedLists::new(parts);
        tokio::select! {
            () = self.follow(&mut followed, &quality, sounds) => {}
            () = stop.cancelled() => {}
        }
        followed.stop().await;
    }

    /// Follows where the source leads, until the stream has ended if this ends with it.
    async fn follow(&self, followed: &mut FollowedLists, quality: &Quality, sounds: &UnboundedSender<Quality>) {
        let mut has_ended_once = false;
        let (mut failures, mut next, mut turn) = (0_u32, Instant::now(), 0_usize);
        let mut ended = Instant::now();
        loop {
            if followed.needs_another() && Instant::now() >= next {
                let mut waits = Backoff::new(RETRY.0, RETRY.1).wait(failures.saturating_add(1));
                match self.addresses(quality, sounds).await {
                    Ok(mut found) => {
                        if followed.has_ended() {
                            found = self.those_that_go_on(found, followed).await;
                        }
                        followed.begin(&found, turn);
                        turn = turn.wrapping_add(1);
                        if followed.has_ended() {
                            waits = wait_after_the_end(ended);
                        }
                    }
                    Err(NoAddress::Failed(why)) => followed.tell_failure(HoleReason::SourceOffline, &why),
                    Err(NoAddress::Refused(why)) => {
                        followed.tell_refusal(&why);
                        if self.ends {
                            return;
                        }
                    }
                    Err(NoAddress::NoSound) => {
                        followed.tell_end();
                        if self.ends {
                            return;
                        }
                        waits = LATER;
                    }
                }
                failures = failures.saturating_add(1);
                next = Instant::now() + waits;
            }
            let later = Instant::now() + LATER;
            let until = if followed.needs_another() {
                next
            } else {
                followed.needs_another_at().map_or(later, |at| at.min(later))
            };
            match followed.changed(until).await {
                Some(ListState::Works) => failures = 0,
                Some(ListState::Ended) if self.ends && !has_ended_once => {
                    has_ended_once = true;
                    // Another address may go on: one of two servers may have ended alone.
                    let found = self.addresses(quality, sounds).await.unwrap_or_default();
                    let others: Vec<_> = found.into_iter().filter(|url| !followed.is_followed(url)).collect();
                    let others = self.those_that_go_on(others, followed).await;
                    if others.is_empty() {
                        return;
                    }
                    followed.begin(&others, 0);
                }
                Some(ListState::Begins | ListState::Ends) if has_ended_once => {}
                Some(_) if has_ended_once => return,
                Some(ListState::Ended | ListState::Refused(_)) if self.ends => return,
                Some(ListState::Ends) => {
                    ended = Instant::now();
                    next = ended + wait_after_the_end(ended);
                }
                Some(ListState::Refused(_)) => next = Instant::now() + LATER,
                _ => {}
            }
        }
    }

    /// Without those where the stream has ended as it has elsewhere: other addresses of what is known bring nothing.
    async fn those_that_go_on(&self, found: Vec<Url>, followed: &FollowedLists) -> Vec<Url> {
        let ended = followed.ended();
        let mut going_on = Vec::new();
        for url in found {
            let goes_on = followed.is_followed(&url)
                || matches!(self.client.playlist(&url).await, Ok((_, HlsPlaylist::Media(list))) if !ended.contains(&window_print(&list)));
            if goes_on {
                going_on.push(url);
            }
        }
        going_on
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
    async fn addresses(&self, quality: &Quality, sounds: &UnboundedSender<Quality>) -> Result<Vec<Url>, NoAddress> {
        let source = self.source().await?;
        let answer = self.client.playlist(source.url()).await;
        let (base, playlist) = answer.map_err(|error| NoAddress::Failed(error.to_string()))?;
        let is_ordered = self.options.qualities.contains(quality);
        let uris = match playlist {
            HlsPlaylist::Media(_) if quality.as_str() == SOURCE => return Ok(vec![source.url().clone()]),
            media @ HlsPlaylist::Media(_) if is_ordered => {
                return Err(not_offered(NotOffered::of(&media, std::slice::from_ref(quality))));
            }
            HlsPlaylist::Media(_) => return Err(NoAddress::NoSound),
            HlsPlaylist::Master(master) if is_ordered => uris(&master, quality, sounds)?,
            HlsPlaylist::Master(master) => self.uris_of_sound(&master, quality)?,
        };
        let join = |uri: &String| self.client.rules().join(&base, uri);
        uris.iter().map(join).collect::<Result<_, _>>().map_err(|error| NoAddress::Failed(error.to_string()))
    }

    /// Of sound that was found for the qualities that were ordered: of all of them, as the best of them decides.
    fn uris_of_sound(&self, master: &MasterList, quality: &Quality) -> Result<Vec<String>, NoAddress> {
        let offered = offered_qualities(master);
        let is_ordered = |one: &&OfferedQuality| {
            self.options.qualities.iter().any(|ordered| find_quality(&offered, ordered) == Some(*one))
        };
        let sounds = separate_sounds(master, offered.iter().filter(is_ordered));
        let found = sounds.into_iter().find(|sound| sound.quality == *quality);
        found.map(|sound| sound.uris).ok_or(NoAddress::NoSound)
    }
}

/// The addresses of a quality that was ordered; sends what sound it has.
fn uris(master: &MasterList, quality: &Quality, sounds: &UnboundedSender<Quality>) -> Result<Vec<String>, NoAddress> {
    let offered = offered_qualities(master);
    if let Some(found) = find_quality(&offered, quality) {
        for sound in separate_sounds(master, [found]) {
            // Whoever takes it lives as long as this does.
            sounds.send(sound.quality).unwrap_or_default();
        }
        return Ok(found.uris.clone());
    }
    let all_sounds = separate_sounds(master, &offered);
    let of_sound = all_sounds.into_iter().find(|sound| sound.quality == *quality);
    of_sound
        .map(|sound| sound.uris)
        .ok_or_else(|| not_offered(NotOffered::of_master(master, std::slice::from_ref(quality))))
}

/// It may be offered again soon.
fn not_offered(missing: Option<NotOffered>) -> NoAddress {
    NoAddress::Failed(missing.map_or_else(String::new, |missing| missing.to_string()))
}

/// Why there is no playlist of a quality to follow.
enum NoAddress {
    Failed(String),
    Refused(String),
    /// The source has no such sound beside the qualities that were ordered, now.
    NoSound,
}
