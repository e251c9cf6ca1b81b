//! An answer, read as a value, as bytes, line by line or piece by piece. Bounded in any case.

use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use super::error::{ApiError, ShownToken, of_connection, words};

/// An answer that is held as a whole: the largest page of records fits.
const MAX_BODY_BYTES: usize = 256 << 20;
/// One line of an answer that is read line by line, and a refusal.
const MAX_LINE_BYTES: usize = 1 << 20;

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct ApiAnswer {
    /// Who sends it; `None` is this process.
    address: Option<String>,
    response: Response,
    held: Vec<u8>,
    over: bool,
}

impl ApiAnswer {
    /// An error where it is a refusal.
    pub(super) async fn new(address: Option<String>, response: Response, shown: ShownToken) -> Result<Self, ApiError> {
        let status = response.status();
        let mut answer = Self { address, response, held: Vec::new(), over: false };
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.whole(MAX_LINE_BYTES).await?;
        Err(ApiError::Refused { address: answer.address, status, detail: words(status, &body, shown) })
    }

    /// Its status, which is no error's.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// One JSON value.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, ApiError> {
        let bytes = self.whole(MAX_BODY_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|source| ApiError::Unexpected { address: self.address(), source })
    }

    /// All of it as it is, such as a picture.
    pub async fn bytes(mut self) -> Result<Vec<u8>, ApiError> {
        self.whole(MAX_BODY_BYTES).await
    }

    /// How long it is, if that is said before.
    pub fn total(&self) -> Option<u64> {
        self.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The next piece; `None` after the last. An answer that breaks off is an error.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = self.response.chunk().await;
        piece.map_err(|error| of_connection(&self.address(), &error))
    }

    /// The next line without its end; `None` after the last.
    pub async fn line(&mut self) -> Result<Option<String>, ApiError> {
        let mut searched = 0;
        loop {
            let fresh = self.held.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            searched = self.held.len();
            if self.over {
                let last = std::mem::take(&mut self.held);
                return Ok((!last.is_empty()).then(|| String::from_utf8_lossy(&last).into_owned()));
            }
            if searched > MAX_LINE_BYTES {
                return Err(ApiError::TooLarge { address: self.address(), limit: MAX_LINE_BYTES });
            }
            match self.piece().await? {
                Some(bytes) => self.held.extend_from_slice(&bytes),
                None => self.over = true,
            }
        }
    }

    async fn whole(&mut self, limit: usize) -> Result<Vec<u8>, ApiError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.piece().await? {
            if whole.len() + bytes.len() > limit {
                return Err(ApiError::TooLarge { address: self.address(), limit });
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    fn address(&self) -> String {
        self.address.clone().unwrap_or_else(|| "this process".to_owned())
    }
}
