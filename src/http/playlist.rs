//! `/playlist/{channel}/{quality}.m3u8`: a stretch as a media playlist, for any player.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::app::App;
use super::negotiate::negotiate_among;
use super::pieces_body::PiecesBody;
use super::read_view::{AskedView, ReadView};
use super::request::{self, FromQuery, Parameters, PathParts, RequestHead};
use super::{ConditionVerdict, ETag, Encoding, Problem, conditional};
use crate::archive::time::HOUR_US;
use crate::archive::{Span, Stream, Timestamp};
use crate::play::playback::{Ask, IMPLICIT_HOURS, Other, Playlist};
use crate::play::playlist::hls::MEDIA_TYPE;
use crate::play::playlist::master::MasterRange;

/// How long after it was last asked for a list counts as followed: players ask again after a few seconds.
const FOLLOWED: Duration = Duration::from_secs(5 * 60);
/// Lists with relative times that are remembered; beyond that the one that was not asked for the longest is forgotten.
const MOST_FOLLOWED: usize = 10_000;
/// What ended longer ago than this does not grow any more.
const OVER: Span = Span::from_us(60_000_000);
/// So much later every relative time is another one, `yesterday` as well.
const A_DAY: Span = Span::from_us(86_400_000_000);

/// What the clock said when somebody began to follow a list whose times are relative to it (`?start=1h ago`).
///
/// A player asks for a growing list again and again, and nothing may leave its front: the start stays where it was as long as anybody
/// follows the list.
#[derive(Debug, Default)]
pub(super) struct FollowedClocks(Mutex<HashMap<u64, (Instant, Timestamp)>>);

impl FollowedClocks {
    fn of(&self, question: &str, now: Timestamp, at: Instant) -> Timestamp {
        let mut followed = self.0.lock();
        followed.retain(|_, (last, _)| at.saturating_duration_since(*last) < FOLLOWED);
        let key = xxh3_64(question.as_bytes());
        if let Some((last, clock)) = followed.get_mut(&key) {
            *last = at;
            return *clock;
        }
        let oldest = followed.iter().min_by_key(|(_, (last, _))| *last).map(|(hash, _)| *hash);
        if let Some(oldest) = oldest.filter(|_| followed.len() >= MOST_FOLLOWED) {
            followed.remove(&oldest);
        }
        followed.insert(key, (at, now));
        now
    }

    /// The range that a query names, by the clock that holds for it.
    fn range(&self, path: &str, query: &str, now: Timestamp, at: Instant) -> Result<MasterRange, Problem> {
        let read = |clock| MasterRange::read(&Parameters::new(query, 0).at(clock));
        let range = read(now)?;
        if read(now + A_DAY).is_ok_and(|later| later == range) {
            return Ok(range);
        }
        let question = format!("{path}?{query}");
        let followed = read(self.of(&question, now, at))?;
        let is_over = match (followed.start, followed.end) {
            (_, Some(end)) => now - end > OVER,
            // Without an end it would be refused from now on.
            (Some(start), None) => now - start > Span::from_us(IMPLICIT_HOURS * HOUR_US),
            (None, None) => false,
        };
        if !is_over {
            return Ok(followed);
        }
        self.0.lock().remove(&xxh3_64(question.as_bytes()));
        read(self.of(&question, now, at))
    }
}

/// The range of a list that somebody may follow.
pub(super) struct FollowedRange(MasterRange);

impl FromRequestParts<Arc<App>> for FollowedRange {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let query = request.uri.query().unwrap_or_default();
        app.followed.range(request.uri.path(), query, request::now(), Instant::now()).map(Self)
    }
}

/// Answers `GET /playlist/{channel}/{quality}.m3u8`.
#[utoipa::path(
    get, path = "/playlist/{channel}/{file}",
    params(
        ("channel" = String, Path), ("file" = String, Path, description = "QUALITY.m3u8"),
        ("start" = Option<String>, Query, description = "a time"), ("end" = Option<String>, Query, description = "a time, after start"),
        ("gaps" = Option<bool>, Query, description = "true: what is missing has entries of its own (EXT-X-GAP)"),
        ("apart" = Option<bool>, Query, description = "true: pictures and sound are played together from two lists; a hole in one of them is no discontinuity"),
        ("peers" = Option<bool>, Query, description = "true: what is missing here is played from other nodes"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "application/vnd.apple.mpegurl", description = "a media playlist; live where no end is given"),
        (status = 304, description = "as the tag in If-None-Match says"), (status = 400, description = "a parameter is wrong"),
        (status = 404, description = "there is no such stream"), (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn media(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    ListPath(stream): ListPath,
    FollowedRange(MasterRange { start, end, gaps, apart, peers }): FollowedRange,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    let ask = Ask { stream, start, end, gaps, apart, peers };
    if let Some(list) = view.playback.kept(&ask) {
        return reply(&app, &request, list).await;
    }
    // Others are asked before it is anybody's turn: they may take their time.
    let others = if ask.peers { others(&app, &view, &ask).await? } else { Vec::new() };
    let list = {
        let _alone = app.alone(&view.kept_as(&format!("{ask:?}"))).await?;
        app.ask(move |_| Ok(view.playback.playlist_with(&ask, &others)?)).await?
    };
    reply(&app, &request, list).await
}

/// The channel and quality of `CHANNEL/QUALITY.m3u8`.
pub(super) struct ListPath(pub(super) Stream);

impl FromRequestParts<Arc<App>> for ListPath {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        PathParts::from_request_parts(request, app).await?.stream_file(".m3u8").map(Self)
    }
}

/// What others have of what is missing here. Those that do not say in time are left out.
async fn others(app: &Arc<App>, view: &Arc<ReadView>, ask: &Ask) -> Result<Vec<Other>, Problem> {
    let (question, view) = (ask.clone(), Arc::clone(view));
    let hours = app.ask(move |_| Ok(view.playback.missing(&question)?)).await?;
    Ok(app.node.peer_proxy.segments(&ask.stream, &hours).await)
}

async fn reply(app: &Arc<App>, request: &Parts, list: Arc<Playlist>) -> Result<Response, Problem> {
    // The pieces are kept deflated, not in any other encoding.
    let encoding = negotiate_among(&request.headers, &[Encoding::Identity, Encoding::Gzip]);
    let etag = ETag::of_encoded(list.hash(), encoding);
    let mut response = match conditional::evaluate(&request.headers, &etag, None) {
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::Proceed => {
            let pieces = match (encoding, list.kept_gzip()) {
                (Encoding::Gzip, Some(kept)) => kept,
                (Encoding::Gzip, None) => {
                    let _alone = app.alone(list.hash()).await?;
                    app.ask(move |_| list.gzip().map_err(|_| Problem::internal("encoding-failed"))).await?
                }
                _ => list.plain(),
            };
            let mut response = Response::new(Body::new(PiecesBody::new(pieces)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag.value().clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    encoding.describe(headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_over_is_another_one_for_whoever_asks_later() {
        let (followed, begin) = (FollowedClocks::default(), Instant::now());
        let end = |seconds: u32| {
            let (now, at) =
                (Timestamp::from_us(i64::from(seconds) * 1_000_000), begin + Duration::from_secs(1) * seconds);
            followed.range("/a", "start=10min+ago&end=now", now, at).unwrap().end.unwrap().us() / 1_000_000
        };
        assert_eq!((end(1_000), end(1_030), end(1_060), end(1_061), end(1_070)), (1_000, 1_000, 1_000, 1_061, 1_061));
    }

    #[test]
    fn one_who_asks_for_many_lists_takes_the_place_of_the_oldest() {
        let (followed, begin) = (FollowedClocks::default(), Instant::now());
        let ask = |number: usize, second: u64| {
            let (now, at) = (Timestamp::from_us(1_000_000_000), begin + Duration::from_secs(second));
            followed.range("/a", &format!("start=1min+ago&x={number}"), now, at).unwrap();
        };
        ask(0, 0);
        (1..=MOST_FOLLOWED).for_each(|number| ask(number, 1));
        let held = followed.0.lock();
        assert_eq!((held.len(), held.contains_key(&xxh3_64(b"/a?start=1min+ago&x=0"))), (MOST_FOLLOWED, false));
    }

    #[test]
    fn the_start_of_a_list_that_somebody_follows_does_not_slide() {
        let (followed, begin) = (FollowedClocks::default(), Instant::now());
        let clock = |minutes: i64| Timestamp::from_us(minutes * 60_000_000);
        let start = |path, query, minutes: u32| {
            let (now, at) = (clock(minutes.into()), begin + Duration::from_secs(60) * minutes);
            followed.range(path, query, now, at).unwrap().start.unwrap()
        };
        assert_eq!(start("/a", "start=30min+ago", 60), clock(30));
        assert_eq!((start("/a", "start=30min+ago", 64), start("/a", "start=30min+ago", 68)), (clock(30), clock(30)));
        assert_eq!(start("/b", "start=30min+ago", 68), clock(38), "another list");
        assert_eq!(start("/a", "start=30min+ago", 73), clock(43), "nobody has followed it for five minutes");
        let all_night: Vec<Timestamp> = (0..800).map(|minute| start("/c", "start=30min+ago", 100 + minute)).collect();
        assert_eq!(
            (all_night[0], all_night[690], all_night[691]),
            (clock(70), clock(70), clock(761)),
            "it would be refused"
        );
        followed.0.lock().clear();
        assert_eq!(start("/a", "start=2019-11-13T02:00:00", 60), Timestamp::parse("2019-11-13T02:00:00").unwrap());
        assert!(followed.0.lock().is_empty(), "a time that does not depend on the clock is not remembered");
    }
}
