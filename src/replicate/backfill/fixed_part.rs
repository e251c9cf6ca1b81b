//! Which hours a peer has that knows no digests: asked list by list. What it lists and is no channel is passed over.

use std::sync::Arc;

use super::budget;
use super::digest_sync::{MOST_REQUESTS, or_told};
use super::error::RoundError;
use super::job::PeerJob;
use super::round::counted;
use crate::archive::{HourPlace, Stream};
use crate::replicate::peer::{PeerError, unless_no_channel};

/// Hours after which the listing of a peer ends: a hundred years of a stream.
const MOST_HOURS: usize = 1_000_000;

/// Every hour that a peer of the fixed part lists and that is wanted, newest first.
pub(super) async fn listed(job: &mut PeerJob) -> Result<Vec<HourPlace>, RoundError> {
    let (shared, peer) = (Arc::clone(&job.shared), job.peer().clone());
    let (client, options) = (&shared.client, &shared.options);
    let mut places = Vec::new();
    let channels = counted(client.channels(&peer).await?, job);
    for channel in channels.into_iter().filter(|name| options.wants.channel(name.as_str())) {
        let answer = client.qualities(&peer, &channel).await;
        let is_channel = is_known(job, channel.as_str(), None);
        let Some(qualities) = or_passed_over(answer, is_channel, &channel, job)? else { continue };
        let qualities = counted(qualities, job);
        for quality in qualities.into_iter().filter(|name| options.wants.quality(name.as_str())) {
            let stream = Stream { channel: channel.clone(), quality };
            if budget::leaves_out(job, &stream).await? {
                continue;
            }
            let listed = client.hours(&peer, &channel, &stream.quality).await;
            let is_known_quality = is_known(job, channel.as_str(), Some(stream.quality.as_str()));
            let Some(hours) = or_passed_over(listed, is_known_quality, &stream, job)? else { continue };
            let hours = counted(hours, job);
            if !hours.is_empty() {
                shared.memory.lists(&peer.name, &stream);
            }
            let wanted = hours.into_iter().filter(|hour| options.wants.hour(*hour));
            for hour in wanted {
                let place = HourPlace { stream: stream.clone(), hour };
                if job.leaves_future(hour) {
                    job.report.future = job.report.future.saturating_add(1);
                    continue;
                }
                if options.keeps.hour(&place)? {
                    places.push(place);
                }
            }
            if places.len() >= MOST_HOURS || job.report.requests >= MOST_REQUESTS {
                job.unheard = true;
                job.report.failed("it lists more hours than one round looks at; the rest is left out");
                shared.keeper.newest_first(&mut places);
                return Ok(places);
            }
        }
    }
    shared.keeper.newest_first(&mut places);
    Ok(places)
}

/// Whether this is known to be a channel, or a quality of it: it is here, the peer listed hours of it before, or somebody asked for it
/// by name.
fn is_known(job: &PeerJob, channel: &str, quality: Option<&str>) -> bool {
    let wants = &job.shared.options.wants;
    let is_it = |stream: &Stream| {
        stream.channel.as_str() == channel && quality.is_none_or(|quality| stream.quality.as_str() == quality)
    };
    let is_named = wants.channels.contains(channel) && quality.is_none_or(|quality| wants.qualities.contains(quality));
    is_named
        || job.shared.keeper.index().catalog().streams().iter().any(is_it)
        || job.shared.memory.has_listed(&job.peer().name, is_it)
}

/// What a peer lists; nothing where that is no channel of its, which is counted, or where the answer is bad, which is in the report.
fn or_passed_over<T>(
    answer: Result<T, PeerError>,
    is_known: bool,
    name: &impl std::fmt::Display,
    job: &mut PeerJob,
) -> Result<Option<T>, RoundError> {
    match unless_no_channel(answer, is_known) {
        Ok(None) => {
            job.asked();
            job.report.pass_over(name);
            Ok(None)
        }
        Ok(Some(listing)) => Ok(Some(listing)),
        Err(error) => or_told(Err(error), job),
    }
}
