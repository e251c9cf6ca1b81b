//! One attempt to bring a segment here: its address, its key, its initialisation segment, its bytes, its name.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Url;

use super::events::RecorderEvents;
use super::init_segment::{InitOrder, InitSegments};
use super::last_listed::LastListed;
use super::origin::{OriginClient, OriginError};
use super::playlist::SegmentCipher;
use super::publish::{RecordedQuality, RecordedSegment};
use super::segment_fetch::{FetchFailure, SegmentOrder, fetch_segment};
use super::steady_clock::SteadyClock;
use super::wanted_segments::WantedSegment;
use crate::archive::SegmentKind;

/// What all playlists of one quality share.
#[derive(Debug)]
pub struct QualityParts {
    pub client: OriginClient,
    pub quality: RecordedQuality,
    pub events: RecorderEvents,
    /// Ads are left out.
    pub skips_ads: bool,
    /// For what tells no times.
    pub clock: SteadyClock,
    /// Of the playlists that are followed at once.
    pub last_listed: LastListed,
    /// Keys by their address; they rotate, and few are used at a time.
    pub keys: Mutex<HashMap<Url, [u8; 16]>>,
}

/// None if what came is not `full` and no more than what is here.
pub type Attempt = Result<Option<RecordedSegment>, FetchFailure>;

/// Fetches a segment, and publishes it.
pub async fn attempt(parts: &Arc<QualityParts>, inits: &InitSegments, wanted: &WantedSegment) -> Attempt {
    let listed = &wanted.listed;
    let rules = parts.client.rules();
    let url = rules.join(&wanted.base, &listed.uri).map_err(OriginError::from)?;
    let cipher = cipher(parts, wanted, listed.cipher.as_deref()).await?;
    let init = match &listed.map {
        Some(map) => {
            let address = rules.join(&wanted.base, &map.uri).map_err(OriginError::from)?;
            let of_map = self::cipher(parts, wanted, map.cipher.as_deref()).await?;
            Some(inits.get(&parts.client, InitOrder { url: address, range: map.range, cipher: of_map }).await?)
        }
        None => None,
    };
    let place = parts.quality.place(wanted.placement.start(&wanted.time));
    let order = SegmentOrder { url, range: listed.range, cipher, init, duration: listed.duration, place };
    let fetched = fetch_segment(&parts.client, &parts.quality.archive, &order).await;
    if order.cipher.is_some() && fetched.as_ref().is_err_and(FetchFailure::may_be_the_key) {
        // A source that was started anew may have another key at the same address: it is asked for again.
        parts.keys.lock().clear();
    }
    let mut fetched = fetched?;
    if wanted.time.is_doubtful && fetched.kind == SegmentKind::Full {
        fetched.kind = SegmentKind::Suspect;
        fetched.fault = Some("its time lies within the segment before it".to_owned());
    }
    let is_less = |(hash, bytes)| fetched.file.bytes() <= bytes && fetched.file.hash() != hash;
    if fetched.kind != SegmentKind::Full && wanted.before.is_some_and(is_less) {
        return Ok(None);
    }
    let (parts, placement) = (Arc::clone(parts), Arc::clone(&wanted.placement));
    let (time, duration) = (wanted.time, listed.duration);
    let publishing = move || placement.publish(&parts.quality, fetched, &time, duration);
    let published = tokio::task::spawn_blocking(publishing).await;
    Ok(Some(published.map_err(|_| FetchFailure::Stopping)??))
}

/// Key and first block.
async fn cipher(
    parts: &QualityParts,
    wanted: &WantedSegment,
    listed: Option<&SegmentCipher>,
) -> Result<Option<([u8; 16], [u8; 16])>, OriginError> {
    let Some(SegmentCipher::Aes128 { uri, iv }) = listed else { return Ok(None) };
    let address = parts.client.rules().join_key(&wanted.base, uri)?;
    let key = key(parts, &address).await?;
    Ok(Some((key, iv.unwrap_or(u128::from(wanted.listed.said_sequence).to_be_bytes()))))
}

async fn key(parts: &QualityParts, address: &Url) -> Result<[u8; 16], OriginError> {
    /// Keys rotate by the minute at most.
    const MOST: usize = 16;
    if let Some(key) = parts.keys.lock().get(address) {
        return Ok(*key);
    }
    let key = parts.client.key(address).await?;
    let mut keys = parts.keys.lock();
    if keys.len() >= MOST {
        keys.clear();
    }
    keys.insert(address.clone(), key);
    Ok(key)
}
