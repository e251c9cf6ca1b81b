//! Agrees with a peer of our kind: one request when nothing differs, then the days, then the hours that do.
//!
//! A pair of digests that was once compared and left nothing to do is remembered, so that a lasting, harmless difference costs
//! nothing the next time.

use std::sync::Arc;

use super::manager::Shared;
use super::report::RoundReport;
use super::round::RoundError;
use crate::crawl::CrawlError;
use crate::domain::{Day, Hour, HourPlace, Stream};
use crate::index::StreamSums;
use crate::peer::{Peer, PeerError};
use crate::wire::{DayDigests, HourDigests, QualityDigests};

/// Bytes of an answer: a page of ten thousand days has 1.5 MB.
const ANSWER_BYTES: usize = 8 << 20;
/// Pages of an answer: with more, a peer would keep us asking.
const PAGES: usize = 64;

/// Two digests of a quality: ours and theirs.
pub(super) type Pair = (String, String);

/// The hours that differ, newest first; `None` if the peer speaks only the fixed part.
pub(super) async fn differing(
    shared: &Arc<Shared>,
    peer: &Peer,
    report: &mut RoundReport,
) -> Result<Option<Vec<HourPlace>>, RoundError> {
    let Some(qualities) = qualities(shared, peer, report).await? else { return Ok(None) };
    let mut places = Vec::new();
    for (stream, theirs) in qualities {
        let wants = &shared.options.wants;
        if !wants.channel(stream.channel.as_str()) || !wants.quality(stream.quality.as_str()) {
            continue;
        }
        let ours = sums(shared, &stream).await?;
        let digest = ours.total().digest.to_string();
        let pair = (digest, theirs);
        if pair.0 == pair.1 || shared.is_settled(peer, &stream, &pair) {
            continue;
        }
        shared.compared(peer, &stream, pair);
        hours(shared, peer, &stream, &ours, report, &mut places).await?;
    }
    places.sort_unstable_by(|a, b| b.hour.cmp(&a.hour).then_with(|| a.stream.cmp(&b.stream)));
    Ok(Some(places))
}

async fn sums(shared: &Arc<Shared>, stream: &Stream) -> Result<Arc<StreamSums>, RoundError> {
    let (keeper, name) = (Arc::clone(&shared.keeper), stream.to_string());
    shared.blocking(move || Ok(keeper.index().stream_sums(&name).map_err(CrawlError::Index)?)).await
}

/// The digests of all qualities; `None` if the peer does not know what is asked.
async fn qualities(
    shared: &Arc<Shared>,
    peer: &Peer,
    report: &mut RoundReport,
) -> Result<Option<Vec<(Stream, String)>>, RoundError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for page in 0..PAGES {
        let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
        let answer = shared.client.get_json(peer, &["api", "v1", "digests"], &query, ANSWER_BYTES).await;
        report.requests += 1;
        let answer: QualityDigests = match answer {
            Ok(answer) => answer,
            Err(error) if page == 0 && speaks_only_the_fixed_part(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        found.extend(
            answer
                .qualities
                .into_iter()
                .filter_map(|quality| Some((Stream::new(&quality.channel, &quality.quality).ok()?, quality.digest))),
        );
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Some(found))
}

/// A peer that answers, but not this: an older node, another program, a plain file server.
fn speaks_only_the_fixed_part(error: &PeerError) -> bool {
    !error.is_away() && (error.is_peers_fault() || error.status().is_some_and(|status| status.is_client_error()))
}

async fn hours(
    shared: &Arc<Shared>,
    peer: &Peer,
    stream: &Stream,
    ours: &StreamSums,
    report: &mut RoundReport,
    places: &mut Vec<HourPlace>,
) -> Result<(), RoundError> {
    let (channel, quality) = (stream.channel.as_str(), stream.quality.as_str());
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
        let path = ["api", "v1", "digests", channel, quality];
        let answer: DayDigests = shared.client.get_json(peer, &path, &query, ANSWER_BYTES).await?;
        report.requests += 1;
        for theirs in answer.days {
            let Ok(day) = Day::parse(&theirs.day) else { continue };
            if ours.day(day).digest.to_string() == theirs.digest {
                continue;
            }
            let of_day = ["api", "v1", "digests", channel, quality, &theirs.day];
            let listed: HourDigests = shared.client.get_json(peer, &of_day, &[], ANSWER_BYTES).await?;
            report.requests += 1;
            let known = rows(shared, stream, day).await?;
            for there in listed.hours {
                let Ok(hour) = Hour::parse(&there.hour) else { continue };
                let same = known.iter().any(|(at, digest)| *at == hour && *digest == there.digest);
                let place = HourPlace { stream: stream.clone(), hour };
                let wanted = shared.options.wants.hour(hour) && shared.options.keeps.hour(&place);
                if !same && wanted && Day::of(hour) == day {
                    places.push(place);
                }
            }
        }
        after = answer.next;
        if after.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

async fn rows(shared: &Arc<Shared>, stream: &Stream, day: Day) -> Result<Vec<(Hour, String)>, RoundError> {
    let (keeper, name) = (Arc::clone(&shared.keeper), stream.to_string());
    let rows = shared
        .blocking(move || Ok(keeper.index().hour_rows(&name, day.first(), day.last()).map_err(CrawlError::Index)?));
    Ok(rows.await?.into_iter().map(|(hour, row)| (hour, row.totals.digest.to_string())).collect())
}
