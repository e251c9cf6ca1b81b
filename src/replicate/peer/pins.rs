//! Asks an owner to confirm hours that are to leave this node, and to promise that they stay there.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};

use super::body::{self, BodyProblem, body_error};
use super::client::{Peer, PeerClient, address, refused};
use super::error::PeerError;
use crate::wire::{PinQuestion, PinReply};

/// Bytes of an answer: some dozen hours with a word about each.
const ANSWER_BYTES: usize = 1 << 20;

impl PeerClient {
    /// What a peer says to it. Whether it answers what was asked is for others to judge.
    pub async fn pins(&self, peer: &Peer, question: &PinQuestion) -> Result<PinReply, PeerError> {
        let url = address(peer, &["api", "v1", "layout", "pins"])?;
        let text = url.to_string();
        let asked = Bytes::from(serde_json::to_vec(question).unwrap_or_default());
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        self.in_time(&text, async {
            let mut response = self.send(&Method::POST, &url, &headers, asked).await?;
            if response.status() != StatusCode::OK {
                return Err(refused(&text, response).await);
            }
            let (answer, begins) = body::read(&text, &mut response, self.limits(), ANSWER_BYTES, Vec::new()).await?;
            let no_answer =
                |error: serde_json::Error| body_error(&text, BodyProblem::Unexpected(error.to_string()), begins);
            serde_json::from_slice(&answer).map_err(no_answer)
        })
        .await
    }
}
