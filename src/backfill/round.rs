//! One round with one peer: agree, list what differs, take it over. Newest hour first.

use std::sync::Arc;

use super::fetch::{Busy, take_over};
use super::manager::Shared;
use super::report::RoundReport;
use crate::crawl::CrawlError;
use crate::disk::DownloadError;
use crate::domain::plan::{Rules, plan};
use crate::domain::{HourPlace, Span, Stream, Timestamp};
use crate::peer::{Peer, PeerError};

/// Why a round ended before it was complete.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Our disk or index.
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    /// What was fetched.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// There is less room than is to be kept free.
    #[error(
        "only {free} bytes are free on the archive's disk, and {floor} are to stay free: nothing is fetched until there is room"
    )]
    NoRoom {
        /// Free.
        free: u64,
        /// To stay free.
        floor: u64,
    },
    /// A thread.
    #[error("the work ended badly: {0}")]
    Thread(String),
}

impl RoundError {
    /// Whether it is of no use to go on with this round: our disk is away or full, or the peer does not answer.
    pub fn ends_the_round(&self) -> bool {
        match self {
            Self::Peer(error) => error.is_away() || error.disk().is_some(),
            Self::Crawl(error) => !matches!(error, CrawlError::Disk(error) if !error.is_full()),
            Self::Download(error) => error.is_full(),
            Self::NoRoom { .. } | Self::Thread(_) => true,
        }
    }
}

/// One round with one peer.
///
/// What another peer is being asked for at the same time is left at first, and looked at once more at the end: that peer may
/// not have it after all. What was done before an error is in the report.
pub(super) async fn round(shared: &Arc<Shared>, peer: &Peer, report: &mut RoundReport) -> Result<(), RoundError> {
    shared.room().await?;
    let places = match super::agree::differing(shared, peer, report).await? {
        Some(places) => places,
        None => listed(shared, peer, report).await?,
    };
    let total = places.len();
    let mut elsewhere = Vec::new();
    for (index, place) in places.into_iter().enumerate() {
        if shared.is_stopped() {
            break;
        }
        let before = report.elsewhere;
        match hour(shared, peer, &place, Busy::Leave, report).await {
            Ok(()) if report.elsewhere > before => elsewhere.push(place),
            Ok(()) => {}
            Err(error) if error.ends_the_round() => return Err(error),
            Err(error) => {
                tracing::warn!(name: "hour_not_backfilled", peer = peer.name, hour = %place, %error, "an hour of a peer could not be taken over");
                report.failed(format!("{place}: {error}"));
            }
        }
        shared.progress(peer, index + 1, total, report);
    }
    for place in elsewhere {
        if shared.is_stopped() {
            break;
        }
        let mut again = RoundReport::default();
        let done = hour(shared, peer, &place, Busy::Wait, &mut again).await;
        report.add(again.of_a_second_look());
        match done {
            Err(error) if error.ends_the_round() => return Err(error),
            Err(error) => report.failed(format!("{place}: {error}")),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// What was asked for; nothing, and a line in the report, if only this one answer is bad.
fn or_told<T>(answer: Result<T, PeerError>, report: &mut RoundReport) -> Result<Option<T>, RoundError> {
    match answer.map_err(RoundError::from) {
        Ok(listing) => Ok(Some(listing)),
        Err(error) if error.ends_the_round() => Err(error),
        Err(error) => {
            report.requests += 1;
            report.failed(error);
            Ok(None)
        }
    }
}

/// Every hour that the peer lists and that is wanted, newest first.
async fn listed(shared: &Arc<Shared>, peer: &Peer, report: &mut RoundReport) -> Result<Vec<HourPlace>, RoundError> {
    let (wants, client) = (&shared.options.wants, &shared.client);
    let mut places = Vec::new();
    let channels = client.channels(peer).await?;
    (report.requests, report.refused) = (report.requests + 1, report.refused + channels.refused);
    for channel in channels.names.into_iter().filter(|channel| wants.channel(channel.as_str())) {
        let Some(qualities) = or_told(client.qualities(peer, &channel).await, report)? else { continue };
        (report.requests, report.refused) = (report.requests + 1, report.refused + qualities.refused);
        for quality in qualities.names.into_iter().filter(|quality| wants.quality(quality.as_str())) {
            let Some(hours) = or_told(client.hours(peer, &channel, &quality).await, report)? else { continue };
            (report.requests, report.refused) = (report.requests + 1, report.refused + hours.refused);
            let stream = Stream { channel: channel.clone(), quality };
            let wanted = hours.names.into_iter().filter(|hour| wants.hour(*hour));
            let listed = wanted.map(|hour| HourPlace { stream: stream.clone(), hour });
            places.extend(listed.filter(|place| shared.options.keeps.hour(place)));
        }
    }
    places.sort_unstable_by(|a, b| b.hour.cmp(&a.hour).then_with(|| a.stream.cmp(&b.stream)));
    Ok(places)
}

async fn hour(
    shared: &Arc<Shared>,
    peer: &Peer,
    place: &HourPlace,
    busy: Busy,
    report: &mut RoundReport,
) -> Result<(), RoundError> {
    let stream = &place.stream;
    let names = shared.client.segments(peer, &stream.channel, &stream.quality, place.hour).await?;
    report.requests += 1;
    report.hours += 1;
    report.refused += names.refused;
    let local = shared.blocking({
        let (keeper, place) = (Arc::clone(&shared.keeper), place.clone());
        move || Ok(keeper.answer(&place)?.contents)
    });
    let local = local.await?;
    let remote: Vec<&str> = names.names.iter().map(|name| &**name).collect();
    let rules = Rules {
        hour: place.hour,
        now: now(),
        cutoff: shared.options.cutoff,
        oldest: shared.options.wants.start,
        wanted: true,
        trusted: peer.trusted,
    };
    let plan = plan(&local, &remote, &rules);
    let before = usize::try_from(report.tombstones).unwrap_or(usize::MAX);
    take_over(shared, peer, place, &plan, before, busy, report).await
}

/// The time now. It decides only whether a segment is too recent to be fetched.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::MIN.max(Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))) + Span::from_us(0)
}
