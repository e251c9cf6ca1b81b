//! What other nodes have of hours in which something is missing here, for whoever watches: by the listing that every node of this field
//! answers.
//!
//! 1. All are asked at the same time, and what has not come after [`PATIENCE`] is left out: somebody waits for a playlist.
//! 2. Who was too slow, or away, is not asked again for [`QUIET`](super::listings::QUIET), so that it costs one viewer once and not each one each time.
//! 3. Of segments in MP4 it is asked besides where their media begin, which only nodes of this kind say; others are not led to.
//! 4. What they list is read by our own grammar, without what their tombstones hide. Whether it has a place is decided elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::listings::SegmentFiles;
use super::{ANSWER_BYTES, PeerProxy};
use crate::archive::{
    Container, Hour, HourContents, HourPlace, InitSection, PeerCopy, SegmentFile, SequencePiece, Stream,
};
use crate::replicate::peer::{Peer, PeerError};
use crate::wire::{SequenceList, SequenceSegment};

/// How long all answers together are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Segments of one that are believed to be some: an hour of segments of a second from two recorders has 7,200.
const MOST_SEGMENTS: usize = 10_000;
/// Nodes that are asked.
const MOST_PEERS: usize = 16;

impl PeerProxy {
    /// What others have of these hours, and who. Takes `PATIENCE` at most, and a little.
    pub async fn segments(&self, stream: &Stream, hours: &[Hour]) -> Vec<(SequencePiece, PeerCopy)> {
        let mut peers: Vec<Peer> = self.list.borrow().iter().take(MOST_PEERS).cloned().collect();
        peers.retain(|peer| !self.listings.is_quiet(&peer.name));
        let questions = peers.iter().map(|peer| async move {
            let address: Arc<str> = peer.url.to_string().into();
            let all = join_all(hours.iter().map(|hour| self.hour(peer, stream, *hour)));
            let Ok(all) = tokio::time::timeout(PATIENCE, all).await else {
                self.listings.leave_alone(&peer.name);
                tracing::debug!(name: "federated_peer_slow", peer = peer.name, %stream, "a peer is left out of playlists for a moment: it did not list in time");
                return Vec::new();
            };
            let pieces = hours.iter().zip(all).flat_map(|(hour, files)| {
                let piece = |(file, init): &(SegmentFile, Option<InitSection>)| {
                    let copy = PeerCopy { node: Arc::clone(&address), init: *init };
                    (SequencePiece { hour: *hour, file: file.clone() }, copy)
                };
                files.iter().map(piece).collect::<Vec<_>>()
            });
            pieces.collect()
        });
        join_all(questions).await.concat()
    }

    async fn hour(&self, peer: &Peer, stream: &Stream, hour: Hour) -> SegmentFiles {
        let place = HourPlace { stream: stream.clone(), hour };
        let key = (peer.name.clone(), place.clone());
        if let Some(kept) = self.listings.fresh(&key) {
            return kept;
        }
        let own = self.turns_of(&peer.name);
        let (Ok(_own), Ok(_turn)) = (own.acquire().await, self.turns.acquire().await) else {
            return SegmentFiles::default();
        };
        let files = match self.listed(peer, &place).await {
            Ok(files) => files,
            Err(error) => {
                if error.is_away() {
                    self.listings.leave_alone(&peer.name);
                }
                tracing::debug!(name: "federated_peer_failed", peer = peer.name, %stream, %hour, %error, "a peer does not say what it has of an hour");
                SegmentFiles::default()
            }
        };
        self.listings.keep(key, &files);
        files
    }

    async fn listed(&self, peer: &Peer, place: &HourPlace) -> Result<SegmentFiles, PeerError> {
        let (channel, quality) = (&place.stream.channel, &place.stream.quality);
        let names = match self.client.segments(peer, channel, quality, place.hour).await {
            // It may not know the parameter.
            Err(error) if error.status().is_some_and(|status| status.as_u16() == 400) => {
                self.client.segments_alone(peer, place).await?.names
            }
            listing => listing?.names,
        };
        let contents = HourContents::from_names(names.iter().map(|name| (name.as_ref(), 0)));
        let videos = contents.visible().filter(|file| file.key.kind.is_video()).take(MOST_SEGMENTS);
        let videos: Vec<SegmentFile> = videos.cloned().collect();
        let is_mp4 = |file: &SegmentFile| file.key.container == Container::Mp4;
        // What is in a list of names is enough for a transport stream.
        let parts = if videos.iter().any(is_mp4) { self.parts(peer, place).await } else { HashMap::new() };
        let known = |file: SegmentFile| {
            if !is_mp4(&file) {
                return Some((file, None));
            }
            let (size, init) = *parts.get(&file.name())?;
            Some((SegmentFile { size, ..file }, Some(init)))
        };
        Ok(Arc::new(videos.into_iter().filter_map(known).collect()))
    }

    /// How long the segments in MP4 of an hour are, and their initialisation segments, as a node of this kind says; none where it does not.
    async fn parts(&self, peer: &Peer, place: &HourPlace) -> HashMap<String, (u64, InitSection)> {
        let (hour, stream) = (place.hour, &place.stream);
        let path = ["api", "v1", "sequence", stream.channel.as_str(), stream.quality.as_str()];
        let (start, end) = (hour.start().to_string(), hour.end().to_string());
        let query = [("start", start.as_str()), ("end", end.as_str())];
        let list: SequenceList = match self.client.get_json(peer, &path, &query, ANSWER_BYTES).await {
            Ok(list) => list,
            Err(error) => {
                tracing::debug!(name: "federated_peer_parts", peer = peer.name, %stream, %hour, %error, "a peer does not say where the media of its segments in MP4 begin");
                return HashMap::new();
            }
        };
        let segments = list.sequence.into_iter().flatten().filter(|segment| segment.hour == hour).take(MOST_SEGMENTS);
        let part = |segment: SequenceSegment| {
            let init = segment.init.and_then(|init| InitSection::new(init.size, init.checksum))?;
            (segment.size > u64::from(init.length())).then_some((segment.name, (segment.size, init)))
        };
        segments.filter_map(part).collect()
    }
}
