//! One of two archives that are compared: this one, or a peer's. Both are asked the same, and of a peer not all of it is expected.
//! Nothing is fetched and nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;

use super::absent;
use super::api::{Api, OpenNeeds};
use super::config::Config;
use crate::archive::{Channel, Day, Hour, HourContents, HourPlace, Quality, Stream, Timestamp};
use crate::replicate::peer::{Peer, PeerClient, PeerError, unless_no_channel};
use crate::wire::{DayDigests, ExplainedTime, HourDigests, QualityDigests, SegmentPage};

/// Bytes of an answer with digests: a page of ten thousand days has 1.5 MB.
const ANSWER_BYTES: usize = 8 << 20;
/// Pages of an answer: with more, a peer would keep us asking.
const PAGES: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveScope {
    pub channel: Option<Channel>,
    pub quality: Option<Quality>,
    pub hour: Option<Hour>,
}

impl ArchiveScope {
    pub fn of(stream: &Stream) -> Self {
        Self { channel: Some(stream.channel.clone()), quality: Some(stream.quality.clone()), hour: None }
    }

    pub fn holds(&self, stream: &Stream) -> bool {
        self.holds_channel(&stream.channel) && self.quality.as_ref().is_none_or(|quality| *quality == stream.quality)
    }

    pub fn holds_channel(&self, name: &Channel) -> bool {
        self.channel.as_ref().is_none_or(|channel| channel == name)
    }

    pub fn stream(&self) -> Option<Stream> {
        Some(Stream { channel: self.channel.clone()?, quality: self.quality.clone()? })
    }

    pub fn place(&self) -> Option<HourPlace> {
        Some(HourPlace { stream: self.stream()?, hour: self.hour? })
    }
}

pub type Digests<K> = BTreeMap<K, String>;

enum How {
    Here(Api),
    Peer(Box<PeerClient>, Peer),
}

pub struct ArchiveClient {
    how: How,
    /// Whether this archive is asked for what lies on this node alone.
    is_local: bool,
    requests: AtomicU64,
    /// What it said that it is, when it was asked for digests.
    identity: Mutex<NodeIdentity>,
}

/// By what a node recognises itself, and an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct NodeIdentity {
    instance: Option<u64>,
    archive: Option<String>,
}

impl ArchiveClient {
    /// Without what other nodes have, where this one knows it.
    #[must_use]
    pub fn of_this_node_alone(self) -> Self {
        Self { is_local: true, ..self }
    }

    pub async fn here(config: &Config) -> anyhow::Result<Self> {
        let how = How::Here(Api::open(config, OpenNeeds::default()).await?);
        Ok(Self { how, is_local: false, requests: AtomicU64::new(0), identity: Mutex::default() })
    }

    pub fn peer(text: &str, config: &Config) -> anyhow::Result<Self> {
        // Whether its tombstones would be taken over is a question of the rules, not of what it has.
        let peer = super::peer_access::peer(text)?;
        let how = How::Peer(Box::new(super::peer_access::client(config)?), peer);
        Ok(Self { how, is_local: false, requests: AtomicU64::new(0), identity: Mutex::default() })
    }

    pub fn name(&self) -> String {
        match &self.how {
            How::Here(api) => api.address(),
            How::Peer(_, peer) => peer.name.clone(),
        }
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub async fn close(self) -> anyhow::Result<()> {
        match self.how {
            How::Here(api) => api.close().await,
            How::Peer(..) => Ok(()),
        }
    }

    /// Brings the index up to date for a part of the archive, unless a daemon or peer answers, which do so themselves.
    pub async fn catch_up(&self, scope: &ArchiveScope) -> anyhow::Result<()> {
        let Some(local) = self.api().and_then(Api::local) else { return Ok(()) };
        let scope = scope.clone();
        local.catch_up(move |stream| scope.holds(stream)).await
    }

    /// The digests of qualities; `None` if the other side does not have them.
    pub async fn qualities(&self, scope: &ArchiveScope) -> anyhow::Result<Option<Digests<Stream>>> {
        let named = scope.stream().map(|stream| stream.to_string());
        let mut found = Digests::new();
        let mut after: Option<String> = None;
        for page in 0..PAGES {
            let mut query: Vec<(&str, &str)> = named.iter().map(|named| ("quality", named.as_str())).collect();
            query.extend(after.iter().map(|after| ("after", after.as_str())));
            let answer: QualityDigests = match self.get_json(&["api", "v1", "digests"], &query).await {
                Ok(answer) => answer,
                Err(error) if page == 0 && speaks_only_the_fixed_part(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            if page == 0 {
                *self.identity.lock() = NodeIdentity { instance: answer.instance, archive: answer.archive.clone() };
            }
            if page == 0 && !answer.complete {
                tracing::warn!(name: "index_incomplete", side = %self.name(), "its index has not caught up with its disk: what seems to be missing there may be there");
            }
            for quality in answer.qualities {
                let Ok(stream) = Stream::new(&quality.channel, &quality.quality) else { continue };
                if scope.holds(&stream) {
                    found.insert(stream, quality.digest);
                }
            }
            after = answer.next;
            if after.is_none() {
                return Ok(Some(found));
            }
        }
        anyhow::bail!("{} has more pages of digests than anybody can have", self.name())
    }

    /// An error if the other side is this very node, where nothing can differ. Both have been asked for digests by then, if they know them.
    pub fn require_another(&self, there: &Self) -> anyhow::Result<()> {
        let (here, other) = (self.identity.lock().clone(), there.identity.lock().clone());
        let peer = there.name();
        if here.instance.is_some() && here.instance == other.instance {
            anyhow::bail!(
                "{peer} is this node itself, so that nothing can differ; give the address of another node with --peer"
            );
        }
        if here.archive.is_some() && here.archive == other.archive {
            tracing::warn!(name: "same_archive", %peer, "the peer names the same archive as this one: it serves the same disk, or a copy that needs an id of its own (`gapless rebuild --new-id`)");
        }
        Ok(())
    }

    pub async fn days(&self, stream: &Stream) -> anyhow::Result<Digests<Day>> {
        let mut found = Digests::new();
        let mut after: Option<String> = None;
        let path = ["api", "v1", "digests", stream.channel.as_str(), stream.quality.as_str()];
        for _ in 0..PAGES {
            let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
            let answer: DayDigests = self.get_json(&path, &query).await?;
            let days = answer.days.into_iter().filter_map(|day| Some((Day::parse(&day.day).ok()?, day.digest)));
            found.extend(days);
            after = answer.next;
            if after.is_none() {
                return Ok(found);
            }
        }
        anyhow::bail!("{} has more pages of days than there are days", self.name())
    }

    pub async fn hours_of_day(&self, stream: &Stream, day: Day) -> anyhow::Result<Digests<Hour>> {
        let text = day.to_string();
        let path = ["api", "v1", "digests", stream.channel.as_str(), stream.quality.as_str(), &text];
        let answer: HourDigests = self.get_json(&path, &[]).await?;
        let hours = answer.hours.into_iter().filter_map(|hour| Some((Hour::parse(&hour.hour).ok()?, hour.digest)));
        Ok(hours.filter(|(hour, _)| Day::of(*hour) == day).collect())
    }

    /// The qualities that are listed. A peer may list names that it then cannot look into, such as files beside its channels: those
    /// that are not among `ours` are left out.
    pub async fn streams(&self, scope: &ArchiveScope, ours: &BTreeSet<Stream>) -> anyhow::Result<BTreeSet<Stream>> {
        let mut found = BTreeSet::new();
        match &self.how {
            How::Here(_) => {
                for channel in self.names(&["files"]).await? {
                    let Ok(channel) = Channel::new(&channel) else { continue };
                    if scope.holds_channel(&channel) {
                        let qualities = self.names(&["files", channel.as_str()]).await?;
                        found.extend(qualities.iter().filter_map(|quality| {
                            Some(Stream { channel: channel.clone(), quality: Quality::new(quality).ok()? })
                        }));
                    }
                }
            }
            How::Peer(client, peer) => {
                self.count();
                for channel in client.channels(peer).await.map_err(in_flags)?.names {
                    if scope.holds_channel(&channel) {
                        self.count();
                        let is_known = ours.iter().any(|stream| stream.channel == channel);
                        let Some(qualities) = or_left_out(client.qualities(peer, &channel).await, is_known, &channel)?
                        else {
                            continue;
                        };
                        found.extend(
                            qualities.names.into_iter().map(|quality| Stream { channel: channel.clone(), quality }),
                        );
                    }
                }
            }
        }
        found.retain(|stream| scope.holds(stream));
        Ok(found)
    }

    /// The hours of a quality that are listed; none where a peer cannot look into one that is not known here.
    pub async fn hours(&self, stream: &Stream, is_known: bool) -> anyhow::Result<BTreeSet<Hour>> {
        let (channel, quality) = (&stream.channel, &stream.quality);
        let hours = match &self.how {
            How::Here(_) => {
                let names = self.names(&["files", channel.as_str(), quality.as_str()]).await?;
                names.iter().filter_map(|name| Hour::parse(name).ok()).collect()
            }
            How::Peer(client, peer) => {
                self.count();
                let hours = or_left_out(client.hours(peer, channel, quality).await, is_known, stream)?;
                hours.map(|hours| hours.names).unwrap_or_default()
            }
        };
        Ok(hours.into_iter().collect())
    }

    /// What an hour lists, tombstones included. Sizes, and what tombstones hide, are not among it.
    pub async fn listing(&self, place: &HourPlace) -> anyhow::Result<Vec<String>> {
        let stream = &place.stream;
        match &self.how {
            How::Here(_) => {
                let hour = place.hour.to_string();
                let path = ["files", stream.channel.as_str(), stream.quality.as_str(), &hour];
                self.get_json(&path, &[("tombstones", "true")]).await
            }
            How::Peer(client, peer) => {
                self.count();
                let listing = client.segments(peer, &stream.channel, &stream.quality, place.hour).await;
                Ok(listing.map_err(in_flags)?.names.into_iter().map(Into::into).collect())
            }
        }
    }

    /// What an hour of this archive holds, with sizes and what tombstones hide. Not for peers, which list less.
    pub async fn contents(&self, place: &HourPlace) -> anyhow::Result<HourContents> {
        match &self.how {
            How::Here(api) => {
                let sizes = of_hour(api, place).await?;
                let listed = self.listing(place).await?;
                let listed = listed.iter().filter(|name| !sizes.contains_key(*name)).map(|name| (name.as_str(), 0));
                let sizes = sizes.iter().map(|(name, size)| (name.as_str(), *size));
                Ok(HourContents::from_names(sizes.chain(listed)))
            }
            How::Peer(..) => {
                let names = self.listing(place).await?;
                Ok(HourContents::from_names(names.iter().map(|name| (name.as_str(), 0))))
            }
        }
    }

    pub async fn require(&self, scope: &ArchiveScope) -> anyhow::Result<()> {
        let (Some(api), Some(channel)) = (self.api(), &scope.channel) else { return Ok(()) };
        absent::require(api, channel.as_str(), scope.quality.as_ref().map(Quality::as_str)).await
    }

    pub fn api(&self) -> Option<&Api> {
        if let How::Here(api) = &self.how { Some(api) } else { None }
    }

    /// What is known of a moment besides the files: what the ledger says of it, and what retention does with its hour.
    pub async fn explained(&self, stream: &Stream, at: Timestamp) -> anyhow::Result<ExplainedTime> {
        let (channel, quality, at) = (stream.channel.as_str(), stream.quality.as_str(), at.to_string());
        self.get_json(&["api", "v1", "explain", channel, quality], &[("at", at.as_str())]).await
    }

    /// Where a file of an hour lies, if an object of the bucket holds it or held it; and what retention does with its hour.
    pub async fn explained_file(&self, place: &HourPlace, name: &str) -> anyhow::Result<ExplainedTime> {
        let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
        let at = place.hour.start().to_string();
        let query = [("at", at.as_str()), ("file", name)];
        self.get_json(&["api", "v1", "explain", channel, quality], &query).await
    }

    fn count(&self) {
        if self.api().is_none_or(|api| api.local().is_none()) {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn names(&self, path: &[&str]) -> anyhow::Result<Vec<String>> {
        self.get_json(path, &[]).await
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &[&str], query: &[(&'static str, &str)]) -> anyhow::Result<T> {
        self.count();
        match &self.how {
            How::Peer(client, peer) => Ok(client.get_json(peer, path, query, ANSWER_BYTES).await.map_err(in_flags)?),
            How::Here(api) => {
                let question = api.get_parts(path);
                let question = query.iter().fold(question, |question, (name, value)| question.with(name, value));
                Ok(if self.is_local { question.with("local", true) } else { question }.json().await?)
            }
        }
    }
}

/// What a peer lists; nothing if it answers with an error about something unknown here.
fn or_left_out<T>(
    answer: Result<T, PeerError>,
    is_known: bool,
    place: &impl std::fmt::Display,
) -> Result<Option<T>, PeerError> {
    let status = answer.as_ref().err().and_then(PeerError::status).map(|status| status.as_u16());
    let listing = unless_no_channel(answer, is_known)?;
    if listing.is_none() {
        tracing::info!(name: "left_out", %place, status, "the peer lists this name and cannot look into it: a file or an extra, most likely");
    }
    Ok(listing)
}

/// The peer speaks of headers, and who typed a command of flags.
fn in_flags(error: PeerError) -> anyhow::Error {
    let is_about_tokens = error.status().is_some_and(|status| status == StatusCode::UNAUTHORIZED);
    let error = anyhow::Error::from(error);
    if is_about_tokens {
        error.context("the peer takes a token: give the file that holds it with --token-file")
    } else {
        error
    }
}

/// A peer that answers, but not this: an older node, another program, a plain file server.
fn speaks_only_the_fixed_part(error: &anyhow::Error) -> bool {
    error.downcast_ref::<PeerError>().is_some_and(|error| !error.is_away() && error.is_peers_fault())
}

/// Names and sizes of an hour, of what tombstones hide as well. What the grammar does not understand is not among them.
pub async fn of_hour(api: &Api, place: &HourPlace) -> anyhow::Result<BTreeMap<String, u64>> {
    let (start, end) = (place.hour.start(), place.hour.end().min(Timestamp::MAX));
    let (hour, mut found) = (place.hour, BTreeMap::new());
    let question = api.get("api/v1/segments").of(&place.stream).with("start", start).with("end", end);
    let each = |page: SegmentPage| {
        let here = page.segments.into_iter().filter(|record| record.hour == hour);
        found.extend(here.map(|record| (record.name, record.size)));
        Ok(())
    };
    question.with("tombstones", true).pages("after", |page: &SegmentPage| page.next.clone(), each).await?;
    Ok(found)
}
