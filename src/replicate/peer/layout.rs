//! Fetches the layout of a peer: its file, to the byte.

use reqwest::header::HeaderValue;

use super::client::{Peer, PeerClient};
use super::error::PeerError;
use crate::archive::Hash;

impl PeerClient {
    /// The file of the layout that a peer has, of at most `most` bytes, unless it is the one of this hash. What is in it is for others to judge.
    pub async fn layout(&self, peer: &Peer, most: usize, unless: Option<Hash>) -> Result<Option<Vec<u8>>, PeerError> {
        let tag = unless.and_then(|hash| HeaderValue::try_from(format!("\"{}\"", hash.hexadecimal())).ok());
        let answer = self.read(peer, &["api", "v1", "layout", "file"], &[], tag, most, Vec::new()).await?;
        Ok((!answer.is_same).then_some(answer.sink))
    }
}
