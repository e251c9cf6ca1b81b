//! Says what a source has, without recording any of it: `gapless record --test`.
//!
//! 1. What is offered is asked once; of each quality the playlist for some seconds, to see whether it grows, and one segment.
//! 2. The segment is held in memory, within [`MOST_BYTES`], and judged as one that is recorded would be.
//! 3. Nothing is written, and nothing is tried again: what fails is what is to be seen.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::Url;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::decrypt::Decryptor;
use super::follow::{PlaylistFollower, StoodStill};
use super::init_segment::{InitOrder, fetch_init};
use super::list_recorder::refusal;
use super::not_offered::NotOffered;
use super::origin::{OriginClient, OriginError, OriginLimits};
use super::playlist::{HlsPlaylist, ListedSegment, MediaList, SegmentCipher};
use super::segment_fetch::{FetchFailure, judged_kind};
use super::separate_sound::{OfferedSound, separate_sounds};
use super::source_address::SourceAddress;
use super::source_headers::SourceHeaders;
use super::start_times::{StartTime, StartTimes};
use super::variants::{OfferedQuality, find_quality, offered_qualities};
use crate::archive::segment::recorded_name;
use crate::archive::{Container, Hash, Quality, Span, Timestamp};
use crate::media::{Mp4Reader, StreamCheck, facts};
use crate::net::tls::ClientConfig;

/// How long it is looked whether a playlist grows.
const LOOKS_FOR: Duration = Duration::from_secs(5);
/// And how often.
const LOOKS_EACH: Duration = Duration::from_millis(500);
/// Bytes of a segment that is looked at: twenty seconds of 25 Mbit/s.
const MOST_BYTES: u64 = 64 << 20;
/// Segments are held in memory two at a time, of whichever qualities and sources.
static HELD: Semaphore = Semaphore::const_new(2);
/// Qualities that are looked at; no real source offers more.
const MOST_QUALITIES: usize = 20;

/// What a source has.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProbedSource {
    pub source: String,
    /// What it speaks: `HLS`, or the protocol that ffmpeg understands.
    pub protocol: &'static str,
    pub qualities: Vec<ProbedQuality>,
}

/// One quality that is offered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ProbedQuality {
    /// As it is called in the archive; the best one is `source` as well.
    pub name: String,
    pub is_source: bool,
    /// As the master playlist announces it.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub frames_per_second: Option<f64>,
    pub bits_per_second: Option<u64>,
    pub codecs: Option<String>,
    /// It is sound that lies apart from its pictures.
    pub is_sound: bool,
    /// What the source says of that.
    pub title: Option<String>,
    pub language: Option<String>,
    /// The sound that lies apart from this quality, and is recorded along with it.
    pub sound: Vec<String>,
    /// Addresses beside the first one.
    pub spare_addresses: usize,
    pub playlist: Option<ProbedList>,
    pub segment: Option<ProbedSegment>,
    /// Why it cannot be recorded, or only in part.
    pub problem: Option<String>,
}

/// What a playlist lists.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProbedList {
    pub segments: usize,
    pub window_seconds: f64,
    pub shortest_seconds: f64,
    pub longest_seconds: f64,
    pub encryption: Option<String>,
    pub tells_times: bool,
    /// How far the end of the newest segment lies behind the clock here, where times are told.
    pub behind_clock_seconds: Option<f64>,
    pub has_ended: bool,
    /// Segments that were new while it was looked.
    pub new_segments: usize,
    pub looked_seconds: f64,
}

/// What is in a segment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ProbedSegment {
    /// `CHANNEL/QUALITY/HOUR/NAME`, as it would be written.
    pub path: String,
    pub kind: &'static str,
    pub fault: Option<String>,
    pub container: &'static str,
    pub codecs: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub frames_per_second: Option<f64>,
    pub bytes: u64,
    pub bits_per_second: Option<u64>,
    /// It can be decoded without any other.
    pub is_independent: bool,
}

/// Why nothing is said of a source.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error(transparent)]
    NotOffered(#[from] NotOffered),
}

/// Looks at a source of HLS: at these qualities with their sound, or at all if none is named.
pub async fn probe_hls(
    source: &SourceAddress,
    client: &OriginClient,
    wanted: &[Quality],
) -> Result<ProbedSource, ProbeError> {
    let (base, playlist) = client.playlist(source.url()).await?;
    if let Some(missing) = NotOffered::of(&playlist, wanted) {
        return Err(missing.into());
    }
    let qualities = match playlist {
        HlsPlaylist::Media(_) => {
            let alone = ProbedQuality { name: super::SOURCE.to_owned(), is_source: true, ..ProbedQuality::default() };
            vec![quality(client, source.url().clone(), alone).await]
        }
        HlsPlaylist::Master(master) => {
            let offered = offered_qualities(&master);
            let is_wanted = |one: &&OfferedQuality| {
                wanted.is_empty() || wanted.iter().any(|name| find_quality(&offered, name) == Some(*one))
            };
            let chosen: Vec<&OfferedQuality> = offered.iter().filter(is_wanted).collect();
            let mut sounds = separate_sounds(&master, chosen.iter().copied());
            for sound in separate_sounds(&master, &offered) {
                let is_there = sounds.iter().any(|one| one.quality == sound.quality);
                if wanted.contains(&sound.quality) && !is_there {
                    sounds.push(sound);
                }
            }
            let pictures = chosen.into_iter().take(MOST_QUALITIES);
            let pictures = pictures.map(|one| (announced(&separate_sounds(&master, [one]), one), one.uris.first()));
            let sounds = sounds.iter().take(MOST_QUALITIES).map(|one| (announced_sound(one), one.uris.first()));
            join_all(pictures.chain(sounds).map(|(report, uri)| offered_quality(client, &base, report, uri))).await
        }
    };
    Ok(ProbedSource { source: source.to_string(), protocol: "HLS", qualities })
}

/// Asks with the limits of a recorder, but for the size of what is held in memory.
pub fn probing_client(source: &SourceAddress, headers: SourceHeaders, tls: &ClientConfig) -> OriginClient {
    let limits = OriginLimits { segment_bytes: MOST_BYTES, ..OriginLimits::default() };
    let client = OriginClient::new(headers, tls, limits);
    client.rules().allow(source.url().host_str().unwrap_or_default());
    client
}

fn announced(sounds: &[OfferedSound], offered: &OfferedQuality) -> ProbedQuality {
    let (width, height) = offered.variant.resolution.unzip();
    ProbedQuality {
        name: offered.name.clone(),
        is_source: offered.is_source,
        width,
        height,
        frames_per_second: offered.variant.frame_rate.map(thousandths),
        bits_per_second: Some(offered.variant.bandwidth).filter(|bits| *bits > 0),
        codecs: offered.variant.codecs.clone(),
        sound: sounds.iter().map(|sound| sound.quality.to_string()).collect(),
        spare_addresses: offered.uris.len().saturating_sub(1),
        ..ProbedQuality::default()
    }
}

fn announced_sound(offered: &OfferedSound) -> ProbedQuality {
    ProbedQuality {
        name: offered.quality.to_string(),
        is_sound: true,
        title: Some(offered.name.clone()).filter(|title| !title.is_empty()),
        language: offered.language.clone(),
        spare_addresses: offered.uris.len().saturating_sub(1),
        ..ProbedQuality::default()
    }
}

async fn offered_quality(
    client: &OriginClient,
    base: &Url,
    report: ProbedQuality,
    uri: Option<&String>,
) -> ProbedQuality {
    let Some(uri) = uri else { return report };
    match client.rules().join(base, uri) {
        Ok(url) => quality(client, url, report).await,
        Err(error) => ProbedQuality { problem: Some(error.to_string()), ..report },
    }
}

async fn quality(client: &OriginClient, url: Url, mut report: ProbedQuality) -> ProbedQuality {
    if let Err(why) = look(client, url, &mut report).await {
        report.problem = Some(why);
    }
    report
}

/// Adds what is there to the report; an error is why no more is there.
async fn look(client: &OriginClient, url: Url, report: &mut ProbedQuality) -> Result<(), String> {
    let (mut follower, mut times) = (PlaylistFollower::default(), StartTimes::default());
    let began = Instant::now();
    let (base, list) = media_list(client, &url).await?;
    let appeared = Timestamp::from(SystemTime::now());
    let new = follower.observe(&list, StoodStill::No);
    let placed = times.place(&new, &list, appeared);
    let newest = new.segments.iter().zip(placed).rev().find(|(segment, _)| !segment.is_gap);
    report.playlist = Some(listed(&list, newest.map(|(segment, time)| (*segment, time)), appeared));
    let (segment, time) = newest.ok_or("its playlist lists no segment now; is the stream on air?")?;
    if let Some(why) = refusal(segment) {
        return Err(why);
    }
    let name = if report.is_source { super::SOURCE } else { &report.name };
    let held = HELD.acquire().await;
    report.segment = Some(look_at_segment(client, &base, segment, time.start, name).await?);
    drop(held);
    while !list.has_ended && began.elapsed() < LOOKS_FOR {
        sleep(LOOKS_EACH).await;
        let (_, later) = media_list(client, &url).await?;
        let found = follower.observe(&later, StoodStill::No).segments.len();
        if let Some(listed) = &mut report.playlist {
            listed.new_segments += found;
            listed.looked_seconds = began.elapsed().as_secs_f64();
            listed.has_ended = later.has_ended;
            if later.has_ended {
                break;
            }
        }
    }
    match &report.playlist {
        // One segment may last longer than it was looked.
        Some(listed)
            if !listed.has_ended
                && listed.new_segments == 0
                && listed.longest_seconds * 1.5 < listed.looked_seconds =>
        {
            Err(format!("its playlist stands still: nothing was new in {:.0} s", listed.looked_seconds))
        }
        _ => Ok(()),
    }
}

async fn media_list(client: &OriginClient, url: &Url) -> Result<(Url, MediaList), String> {
    match client.playlist(url).await {
        Ok((base, HlsPlaylist::Media(list))) => Ok((base, list)),
        Ok((_, HlsPlaylist::Master(_))) => Err("the master playlist leads to another master playlist".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn listed(list: &MediaList, newest: Option<(&ListedSegment, StartTime)>, appeared: Timestamp) -> ProbedList {
    let seconds = || list.segments.iter().map(|segment| segment.duration.seconds());
    let told = newest.filter(|(_, time)| time.source.is_told());
    let cipher = list.segments.iter().rev().find_map(|segment| segment.cipher.as_deref());
    ProbedList {
        segments: list.segments.len(),
        // The sum of nothing is -0.0.
        window_seconds: seconds().fold(0.0, |sum, one| sum + one),
        shortest_seconds: seconds().reduce(f64::min).unwrap_or_default(),
        longest_seconds: seconds().reduce(f64::max).unwrap_or_default(),
        encryption: cipher.map(|cipher| match cipher {
            SegmentCipher::Aes128 { .. } => "AES-128".to_owned(),
            SegmentCipher::Other(method) => method.clone(),
        }),
        tells_times: told.is_some(),
        behind_clock_seconds: told.map(|(segment, time)| (appeared - (time.start + segment.duration)).seconds()),
        has_ended: list.has_ended,
        new_segments: 0,
        looked_seconds: 0.0,
    }
}

async fn look_at_segment(
    client: &OriginClient,
    base: &Url,
    segment: &ListedSegment,
    start: Timestamp,
    quality: &str,
) -> Result<ProbedSegment, String> {
    let said = |error: OriginError| error.to_string();
    let url = client.rules().join(base, &segment.uri).map_err(|error| error.to_string())?;
    let init = match &segment.map {
        Some(map) => {
            let address = client.rules().join(base, &map.uri).map_err(|error| error.to_string())?;
            let of_map = cipher(client, base, segment, map.cipher.as_deref()).await?;
            let order = InitOrder { url: address, range: map.range, cipher: of_map };
            Some(fetch_init(client, &order).await.map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let began = Instant::now();
    let mut body = client.open(&url, segment.range).await.map_err(said)?;
    let shown = super::address::shown_url(&body.url);
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await.map_err(said)? {
        bytes.extend_from_slice(&piece);
    }
    let took = began.elapsed();
    if let Some((key, iv)) = cipher(client, base, segment, segment.cipher.as_deref()).await? {
        let mut decryptor = Decryptor::new(key, iv);
        let mut plain = decryptor.take(&bytes);
        let last = decryptor.finish();
        plain.extend(last.map_err(|why| FetchFailure::Encrypted { url: shown.clone(), why }.to_string())?);
        bytes = plain;
    }
    let duration = segment.duration;
    let container = if init.is_some() { Container::Mp4 } else { Container::Ts };
    let looking = tokio::task::spawn_blocking(move || {
        segment_report(&init.unwrap_or_default(), &bytes, container, start, duration, took)
    });
    let mut report = looking
        .await
        .map_err(|_| FetchFailure::Stopping.to_string())?
        .map_err(|looks_like| FetchFailure::OtherMedia { url: shown, container, looks_like }.to_string())?;
    report.path = format!("CHANNEL/{quality}/{}", report.path);
    Ok(report)
}

/// Key and first block.
async fn cipher(
    client: &OriginClient,
    base: &Url,
    segment: &ListedSegment,
    listed: Option<&SegmentCipher>,
) -> Result<Option<([u8; 16], [u8; 16])>, String> {
    let Some(SegmentCipher::Aes128 { uri, iv }) = listed else { return Ok(None) };
    let address = client.rules().join_key(base, uri).map_err(|error| error.to_string())?;
    let key = client.key(&address).await.map_err(|error| error.to_string())?;
    Ok(Some((key, iv.unwrap_or(u128::from(segment.sequence).to_be_bytes()))))
}

/// What the bytes of a segment are, and what it would be called beneath its quality; an error is what they look like instead. Blocks.
pub(super) fn segment_report(
    init: &[u8],
    media: &[u8],
    container: Container,
    start: Timestamp,
    duration: Span,
    took: Duration,
) -> Result<ProbedSegment, Option<&'static str>> {
    let bytes = [init, media].concat();
    let mut check = match container {
        Container::Ts => StreamCheck::ts(),
        Container::Mp4 => StreamCheck::mp4(),
    };
    check.feed(&bytes);
    let length = bytes.len() as u64;
    let (kind, fault) = judged_kind(container, check.finish(duration.us().unsigned_abs()), media, length, took)?;
    let (found, called) = match container {
        Container::Ts => (facts(&bytes).facts, "MPEG-TS"),
        Container::Mp4 => (Mp4Reader::of(&bytes).facts(), "fragmented MP4"),
    };
    let (hour, name) = recorded_name(start, duration, kind, container, Hash(Sha256::digest(&bytes).into()));
    let (width, height) = found.size.unzip();
    Ok(ProbedSegment {
        path: format!("{hour}/{name}"),
        kind: kind.as_str(),
        fault,
        container: called,
        codecs: found.codecs,
        width,
        height,
        frames_per_second: found.rate_millis.map(|millis| thousandths(u64::from(millis))),
        bytes: length,
        bits_per_second: length.saturating_mul(8_000_000).checked_div(duration.us().unsigned_abs()),
        is_independent: found.independent,
    })
}

#[expect(clippy::cast_precision_loss, reason = "no picture rate has 2^53 thousandths")]
fn thousandths(number: u64) -> f64 {
    number as f64 / 1_000.0
}
