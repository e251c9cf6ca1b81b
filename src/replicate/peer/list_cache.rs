//! Lists that are not read twice: one that is as it was is recognised by its tag, or else by a hash over its bytes.
//!
//! For peers that have no digests, whose every hour is listed in every round. What was done about a list is not known here.

use reqwest::header::HeaderValue;
use xxhash_rust::xxh3::Xxh3;

use super::body::{BodyProblem, BodySink, body_error};
use super::client::{LOCAL, Listing, Peer, PeerClient, hideable, in_order};
use super::error::PeerError;
use super::list::ListReader;
use crate::archive::HourPlace;

/// Bytes of a list that are held until it is known whether it is another one; what is longer is read while it arrives.
const HELD_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRead {
    etag: Option<HeaderValue>,
    hash: u128,
}

#[derive(Debug)]
pub enum HourListing {
    Same,
    /// This, and by what it is recognised the next time.
    Names(Listing<Box<str>>, ListRead),
}

impl PeerClient {
    /// The visible files of an hour as [`PeerClient::segments`] lists them, unless that is the list that was seen.
    pub async fn segments_unless(
        &self,
        peer: &Peer,
        place: &HourPlace,
        seen: Option<&ListRead>,
    ) -> Result<HourListing, PeerError> {
        let (hour, stream) = (place.hour.to_string(), &place.stream);
        let path = ["files", stream.channel.as_str(), stream.quality.as_str(), &hour];
        let (limits, etag) = (self.limits(), seen.and_then(|seen| seen.etag.clone()));
        let sink = Hashed::new(limits.listing_entries);
        let query = [("tombstones", "true"), LOCAL];
        let answer = self.read(peer, &path, &query, etag, limits.listing_bytes, sink).await?;
        let hash = answer.sink.hash.digest128();
        if answer.is_same || seen.is_some_and(|seen| seen.hash == hash) {
            return Ok(HourListing::Same);
        }
        let (names, refused) =
            answer.sink.finish().map_err(|problem| body_error(&answer.url, problem, answer.begins))?;
        let names = in_order(names).await?;
        Ok(HourListing::Names(Listing { names, refused }, ListRead { etag: answer.etag, hash }))
    }
}

/// Hashes a list, and reads it only when it is asked for, or too long to be held.
struct Hashed {
    hash: Xxh3,
    held: Vec<u8>,
    reader: ListReader<Box<str>>,
}

impl Hashed {
    fn new(most: usize) -> Self {
        Self { hash: Xxh3::new(), held: Vec::new(), reader: ListReader::new(most, hideable) }
    }

    fn finish(mut self) -> Result<(Vec<Box<str>>, u64), BodyProblem> {
        self.reader.take(&std::mem::take(&mut self.held))?;
        self.reader.finish()
    }
}

impl BodySink for Hashed {
    fn take(&mut self, bytes: &[u8]) -> Result<(), BodyProblem> {
        self.hash.update(bytes);
        self.held.extend_from_slice(bytes);
        if self.held.len() > HELD_BYTES {
            self.reader.take(&std::mem::take(&mut self.held))?;
        }
        Ok(())
    }
}
