//! A peer as a place that files come from.

use std::collections::HashSet;

use reqwest::StatusCode;

use super::{Capabilities, CopyWorth, Remote};
use crate::archive::HourPlace;
use crate::disk::{Intake, MissingFile};
use crate::replicate::peer::{Peer, PeerClient, PeerError};

#[derive(Debug, Clone)]
pub struct PeerRemote {
    client: PeerClient,
    peer: Peer,
    /// Whether it is a node of our kind, or only lists and serves files.
    is_node: bool,
}

impl PeerRemote {
    pub fn new(client: &PeerClient, peer: &Peer, is_node: bool) -> Self {
        Self { client: client.clone(), peer: peer.clone(), is_node }
    }

    async fn listed(&self, place: &HourPlace) -> Result<Vec<Box<str>>, PeerError> {
        let stream = &place.stream;
        let listing = self.client.segments(&self.peer, &stream.channel, &stream.quality, place.hour).await?;
        if !self.is_node {
            return Ok(listing.names);
        }
        // What one of our kind lists may lie in a bucket alone: its files are asked for as well.
        let here = self.client.extras(&self.peer, &place.to_string()).await?;
        let here: HashSet<Box<str>> = here.names.into_iter().collect();
        Ok(listing.names.into_iter().filter(|name| here.contains(name)).collect())
    }
}

impl Remote for PeerRemote {
    type Error = PeerError;

    fn name(&self) -> &str {
        &self.peer.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { copies: CopyWorth::OnceProven, bundles: self.is_node }
    }

    async fn list(&self, place: &HourPlace) -> Result<Vec<Box<str>>, PeerError> {
        match self.listed(place).await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(Vec::new()),
            done => done,
        }
    }

    async fn open<I>(&self, place: &HourPlace, files: &[MissingFile], into: &mut I) -> Result<(), I::Error>
    where
        I: Intake<Error: From<PeerError>>,
    {
        for file in files {
            self.client.download(&self.peer, place, file, into).await?;
        }
        Ok(())
    }
}
