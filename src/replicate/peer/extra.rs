//! Fetches one extra from a peer into a [`NewFile`]: the same bounds as for segments, and nothing to prove the content by.
//!
//! A connection that breaks is not resumed: without a hash nobody could tell whether the rest is the rest of the same file.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};

use super::body::{BodyProblem, chunk, told};
use super::client::{Peer, PeerClient, address, refused, words};
use super::download::{DownloadPace, PIECE_BYTES, announced};
use super::error::{BodyStart, PeerError};
use super::limits::PeerLimits;
use crate::disk::{DiskError, NewFile};

impl PeerClient {
    /// Fetches the file of this path, of at most so many bytes. `None` if the peer has it no more, or `open` says that it is here:
    /// it is called when the peer sends the file, and not before, so that nothing is made for what it does not have.
    pub async fn extra(
        &self,
        peer: &Peer,
        path: &[&str],
        most: u64,
        open: impl FnOnce() -> Result<Option<NewFile>, DiskError> + Send + 'static,
    ) -> Result<Option<NewFile>, PeerError> {
        let parts: Vec<&str> = std::iter::once("segments").chain(path.iter().copied()).collect();
        let url = address(peer, &parts)?;
        let after = self.limits().file_time;
        let limits = PeerLimits { file_bytes: self.limits().file_bytes.min(most), ..self.limits().clone() };
        match timeout(after, self.take(&url, &limits, open)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PeerError::TimedOut { url: url.into(), what: "did not finish the file", after }),
        }
    }

    async fn take(
        &self,
        url: &reqwest::Url,
        limits: &PeerLimits,
        open: impl FnOnce() -> Result<Option<NewFile>, DiskError> + Send + 'static,
    ) -> Result<Option<NewFile>, PeerError> {
        let text = url.to_string();
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        let mut response = self.ask(url, &headers).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                words(&mut response).await;
                return Ok(None);
            }
            _ => return Err(refused(&text, response).await),
        }
        let total = announced(&text, &response, 0, limits)?;
        let opened = tokio::task::spawn_blocking(open).await.map_err(|_| PeerError::Stopping)??;
        let Some(mut file) = opened else { return Ok(None) };
        let mut pace = DownloadPace::begin();
        let (mut piece, mut held) = (Vec::new(), 0_u64);
        while let Some(bytes) = chunk(&text, &mut response, limits, held).await? {
            held = held.saturating_add(bytes.len() as u64);
            if held > limits.file_bytes {
                return Err(PeerError::TooLarge { url: text, what: "bytes for one file", limit: limits.file_bytes });
            }
            limits.throttle.wait(bytes.len()).await;
            pace.count(&text, bytes.len() as u64, limits)?;
            piece.extend_from_slice(&bytes);
            if piece.len() >= PIECE_BYTES {
                let began = Instant::now();
                file = written(file, std::mem::take(&mut piece)).await?;
                pace.rest(began.elapsed());
            }
        }
        file = written(file, piece).await?;
        match total {
            Some(total) if total != held => {
                let problem = format!("{held} bytes instead of the {total} it announced");
                Err(told(&text, BodyProblem::Unexpected(problem), BodyStart::default()))
            }
            _ => Ok(Some(file)),
        }
    }
}

async fn written(mut file: NewFile, piece: Vec<u8>) -> Result<NewFile, PeerError> {
    let done = tokio::task::spawn_blocking(move || file.write(&piece).map(|()| file));
    Ok(done.await.map_err(|_| PeerError::Stopping)??)
}
