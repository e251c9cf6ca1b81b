//! Initialisation segments of fragmented MP4 (`EXT-X-MAP`): each is fetched once, and comes before the segments that need it.
//!
//! 1. What is no initialisation segment, or is cut short, is an error, and nothing is recorded with it.
//! 2. A server that begins anew may have another one under the old address: whoever follows a playlist fetches all again when that may have happened.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::Url;

use super::address::shown_url;
use super::decrypt::Decryptor;
use super::origin::OriginClient;
use super::playlist::ByteRange;
use super::segment_fetch::FetchFailure;
use crate::media::Mp4Reader;

/// They rarely change, and few are used at a time; each has a megabyte at most.
const MOST: usize = 8;

/// Where one is, and its key and first block.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InitOrder {
    pub url: Url,
    pub range: Option<ByteRange>,
    pub cipher: Option<([u8; 16], [u8; 16])>,
}

/// Those that one playlist has named of late.
#[derive(Debug, Default)]
pub struct InitSegments(Mutex<HashMap<InitOrder, Bytes>>);

impl InitSegments {
    /// One of them, fetched if it is not here.
    pub async fn get(&self, client: &OriginClient, order: InitOrder) -> Result<Bytes, FetchFailure> {
        if let Some(known) = self.0.lock().get(&order) {
            return Ok(known.clone());
        }
        let fetched = fetch_init(client, &order).await?;
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(order, fetched.clone());
        Ok(fetched)
    }

    /// They may be others by now.
    pub fn fetch_again(&self) {
        self.0.lock().clear();
    }
}

/// Fetches one.
pub async fn fetch_init(client: &OriginClient, order: &InitOrder) -> Result<Bytes, FetchFailure> {
    let (from, mut bytes) = client.init(&order.url, order.range).await?;
    let url = shown_url(&from);
    if let Some((key, iv)) = order.cipher {
        let mut decryptor = Decryptor::new(key, iv);
        let mut plain = decryptor.take(&bytes);
        let last = decryptor.finish().map_err(|why| FetchFailure::Encrypted { url: url.clone(), why })?;
        plain.extend(last);
        bytes = plain;
    }
    let why = if !Mp4Reader::begins(&bytes) {
        "it begins as something else"
    } else if !Mp4Reader::of(&bytes).is_init() {
        "it is cut short, or announces no fragments (moov with mvex)"
    } else {
        return Ok(bytes.into());
    };
    Err(FetchFailure::Init { url, why })
}
