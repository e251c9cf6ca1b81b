//! `/api/v1/map`: the coverage map of any window at any scale as a PNG. Painted from the summaries of hours, so that a year costs
//! what it has pixels and not what it has segments.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::conditional::{self, ConditionVerdict};
use super::coverage::{Answering, MOST_HOURS, in_turns, may_be_told};
use super::read_view::AskedView;
use super::request::{FromQuery, Parameters, Query, RequestHead, StreamPath};
use super::{ETag, Problem};
use crate::archive::coverage::Window;
use crate::archive::{Hour, Span, Stream, Timestamp};
use crate::report::coverage::map::{MOST_COLUMNS, MOST_PIXELS, PIXEL, Painter, ROWS};
use crate::report::coverage::png;

/// The shortest pixel: nothing is to be seen that is shorter than a frame.
const LEAST_PIXEL: Span = Span::from_us(1_000);
/// The longest one.
const MOST_PIXEL: Span = Span::from_us(86_400_000_000);
/// The highest picture: as high as it may be wide.
const MOST_ROWS: usize = MOST_COLUMNS;

/// Answers `GET /api/v1/map/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/map/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time; where the first pixel begins; the first hour after the last silence of five years if it is not given, or as many hours before the end as a map can show"),
        ("to" = Option<String>, Query, description = "a time, after from; the end of the last hour that is not more than two hours ahead of the clock if it is not given"),
        ("pixel" = Option<String>, Query, description = "what one pixel stands for: seconds such as 0.5, or a time with its unit such as 60s or 1h; 0.001 s to 1 day, or 2 s"),
        ("rows" = Option<u64>, Query, description = "pixels of a column, 1 to 65535, or 300"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, content_type = "image/png", description = "three colours: white where something is missing, orange where it is covered in part by segments that are not full, blue where full segments cover it"),
        (status = 304, description = "it is as it was"), (status = 400, description = "a parameter is wrong, or the map would be too large"),
        (status = 404, description = "there is nothing of that quality, and no window was named"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn map(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<MapQuery>,
    RequestHead(request): RequestHead,
) -> Result<Response, Problem> {
    if stream.quality.is_chat() {
        return Err(Problem::not_found(&format!("map of {stream}: only video has coverage")));
    }
    app.ask(move |app| answer((app, &view), &stream, &wanted, &request.headers)).await
}

pub(super) struct MapQuery {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    pixel: Span,
    rows: usize,
}

impl FromQuery for MapQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let (pixel, rows) = (given.each("pixel", read_pixel)?, given.count("rows", MOST_ROWS)?);
        let (from, to) = given.window()?;
        Ok(Self { from, to, pixel: pixel.unwrap_or(PIXEL), rows: rows.unwrap_or(ROWS) })
    }
}

/// What is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MapFrame {
    start: Timestamp,
    pixels: usize,
}

/// The hours of a quality that are shown where nobody says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ShownHours {
    first: Hour,
    last: Hour,
    /// From here on there are as many as are read for an answer.
    enough: Hour,
}

impl MapQuery {
    /// Pixels of the largest map with so many rows.
    fn most(&self) -> usize {
        MOST_PIXELS.min(self.rows * MOST_COLUMNS)
    }

    /// Where to begin and how far to go; of a window that is open at its front the latest part.
    fn frame(&self, stream: &Stream, hours: Option<ShownHours>) -> Result<MapFrame, Problem> {
        let nothing = || Problem::not_found(&format!("segment of {stream}, and so no map without from and to"));
        let end = match (self.to, self.from, hours) {
            (Some(to), ..) => to,
            (None, _, None) => return Err(nothing()),
            (None, from, Some(hours)) => from.map_or(hours.last.end(), |from| hours.last.end().max(from + self.pixel)),
        };
        let start = match (self.from, hours) {
            (Some(from), _) => from,
            (None, None) => return Err(nothing()),
            (None, Some(hours)) => self.latest(hours, end),
        };
        let us = (end - start).us();
        let whole = us / self.pixel.us() + i64::from(us % self.pixel.us() > 0);
        let most = self.most();
        let fits = usize::try_from(whole).ok().filter(|pixels| *pixels <= most);
        fits.map(|pixels| MapFrame { start, pixels }).ok_or_else(|| self.too_large(start, end, most))
    }

    fn latest(&self, hours: ShownHours, end: Timestamp) -> Timestamp {
        let longest = Span::from_us(self.pixel.us().saturating_mul(i64::try_from(self.most()).unwrap_or(i64::MAX)));
        let reach = end - longest;
        // Whole hours, unless the map has no room for one.
        let whole = if reach.hour().start() < reach { reach.hour().end() } else { reach };
        let reach = if whole < end { whole } else { reach };
        hours.first.max(hours.enough).start().max(reach).min(end - self.pixel)
    }

    fn too_large(&self, start: Timestamp, end: Timestamp, most: usize) -> Problem {
        let most_us = u64::try_from(most).unwrap_or(u64::MAX);
        // Rounded up to a millisecond, so that it is short and enough.
        let least_ms = (end - start).us().unsigned_abs().div_ceil(most_us).div_ceil(1_000);
        let least = Span::from_us(i64::try_from(least_ms).unwrap_or(i64::MAX).saturating_mul(1_000));
        let expected = format!(
            "at least {} seconds for {start} to {end} in {} rows: a map has at most {MOST_PIXELS} pixels and {MOST_COLUMNS} columns. A shorter window may have shorter ones",
            least.seconds(),
            self.rows
        );
        Problem::bad_parameter("pixel", &self.pixel.seconds().to_string(), &expected)
    }
}

/// A number of seconds, or a time with its unit.
fn read_pixel(value: &str) -> Result<Span, Problem> {
    let plain = value.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let length = plain.or_else(|| humantime::parse_duration(value).ok());
    // To the nearest microsecond: a float need not be exact.
    let us = length.and_then(|length| i64::try_from((length.as_nanos() + 500) / 1_000).ok());
    us.map(Span::from_us).filter(|pixel| (LEAST_PIXEL..=MOST_PIXEL).contains(pixel)).ok_or_else(|| {
        let expected =
            "a number of seconds such as 0.5, or a time with its unit such as 60s or 1h, from 0.001 s to 1 day";
        Problem::bad_parameter("pixel", value, expected)
    })
}

/// What is known of the quality in memory: its hours, and a text that changes whenever anything of it does.
fn known((app, view): Answering<'_>, stream: &Stream) -> (Option<ShownHours>, String) {
    let horizon = view.keeper.horizon();
    let catalog = view.keeper.index().catalog().read();
    let entry = catalog.streams.get(&stream.to_string());
    let hours = entry.and_then(|entry| {
        let (first, last) = horizon.view(&entry.hours)?;
        let enough = horizon.newest(&entry.hours).nth(MOST_HOURS - 1).unwrap_or(first);
        Some(ShownHours { first, last, enough })
    });
    let (structure, changed) = entry.map_or((0, 0), |entry| (entry.structure, entry.changed));
    (hours, view.kept_as(&format!("{} {} {structure} {changed}", app.node.instance, catalog.generation)))
}

fn answer(
    (app, view): Answering<'_>,
    stream: &Stream,
    wanted: &MapQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let window_of = |frame: MapFrame| {
        let pixels = i64::try_from(frame.pixels).unwrap_or(i64::MAX);
        let end = frame.start + Span::from_us(wanted.pixel.us().saturating_mul(pixels));
        Window { from: Some(frame.start), to: Some(end), ..Window::default() }
    };
    view.keeper.ensure_structure()?;
    let about = window_of(wanted.frame(stream, known((app, view), stream).0)?);
    may_be_told(app)?;
    view.keeper.compare_window(stream, &about, app.node.bounds.max_hours)?;
    // Read before the summaries are, so that a tag is never newer than what it stands for; and the frame once more with it.
    let (hours, version) = known((app, view), stream);
    let frame = wanted.frame(stream, hours)?;
    let window = window_of(frame);
    let text = format!("{version} {} {} {} {}", frame.start.us(), frame.pixels, wanted.pixel.us(), wanted.rows);
    let etag = ETag::new(&format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes())));
    let mut response = match conditional::evaluate(headers, &etag, None) {
        ConditionVerdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        ConditionVerdict::Failed => return Err(Problem::precondition_failed()),
        ConditionVerdict::Proceed => {
            let picture = draw((app, view), stream, wanted, frame, &window)?;
            ([(CONTENT_TYPE, HeaderValue::from_static("image/png"))], picture).into_response()
        }
    };
    response.headers_mut().insert(ETAG, etag.value().clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn draw(
    answering: Answering<'_>,
    stream: &Stream,
    wanted: &MapQuery,
    frame: MapFrame,
    window: &Window,
) -> Result<Vec<u8>, Problem> {
    let mut painter = Painter::new(frame.start, wanted.pixel, frame.pixels);
    in_turns(answering, stream, window, |found, part| painter.add(&found.coverage, part))?;
    png(&painter.finish(), wanted.rows).map_err(|error| {
        tracing::error!(name: "map_failed", %stream, %error, "a map could not be drawn");
        Problem::internal("map-not-drawable")
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_node::TestNode;
    use super::*;

    fn wanted(query: &str) -> MapQuery {
        MapQuery::read(&Parameters::new(query, 1)).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn hours(first: &str, last: &str) -> ShownHours {
        let [first, last] = [first, last].map(|hour| Hour::parse(hour).unwrap());
        ShownHours { first, last, enough: first }
    }

    #[test]
    fn a_pixel_is_seconds_or_a_time_with_its_unit() {
        for (text, us) in
            [("2", 2_000_000), ("0.001", 1_000), ("0.1", 100_000), ("60s", 60_000_000), ("1day", 86_400_000_000)]
        {
            assert_eq!(read_pixel(text).unwrap().us(), us, "{text}");
        }
        for wrong in ["", "0", "0.0009", "-1", "nan", "inf", "86401", "2days", "1e300", "second"] {
            assert!(read_pixel(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_left_open_is_whole_hours_and_the_latest_of_them_where_there_are_too_many() {
        let stream = Stream::new("a", "source").unwrap();
        let two = Some(hours("2019-11-13T02", "2019-11-13T03"));
        let frame = wanted("").frame(&stream, two).unwrap();
        assert_eq!(frame, MapFrame { start: at("2019-11-13T02"), pixels: 3_600 });
        let years = Some(hours("2010-01-01T00", "2019-12-31T23"));
        let latest = wanted("").frame(&stream, years).unwrap();
        assert_eq!(
            latest,
            MapFrame { start: Hour::parse("2019-12-31T23").unwrap().earlier(8_999).start(), pixels: MOST_PIXELS }
        );
        let shortest = wanted("pixel=0.001&rows=1").frame(&stream, two).unwrap();
        assert_eq!(shortest.pixels, MOST_COLUMNS, "no room for an hour");
        assert_eq!(wanted("to=2019-11-13T02:30:01").frame(&stream, two).unwrap().pixels, 901, "the last one is begun");
        assert_eq!(wanted("to=2018-01-01").frame(&stream, two).unwrap().pixels, 1);
        assert_eq!(wanted("from=2020-01-01").frame(&stream, two).unwrap().pixels, 1);
        let detail = format!("{:?}", wanted("from=2010-01-01&to=2020-01-01&rows=600").frame(&stream, two).unwrap_err());
        assert!(detail.contains("at least 19.478 seconds") && detail.contains("in 600 rows"), "{detail}");
        assert!(wanted("from=2010-01-01&to=2020-01-01&rows=600&pixel=19.478").frame(&stream, two).is_ok());
        assert!(wanted("from=2010-01-01").frame(&stream, None).is_err() && wanted("").frame(&stream, None).is_err());
    }

    #[tokio::test]
    async fn a_map_is_sent_again_only_when_something_of_it_changed() {
        let node = TestNode::new();
        node.catch_up().await;
        let segment = |start: &str| format!("{start}-2.0-full-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ts");
        let uri = "/api/v1/map/a/source?from=2019-11-13T02&to=2019-11-13T03";
        node.put("a/source/2019-11-13T02", [segment("00:00.000000").as_str()]);
        let (status, head, first) = node.ask(uri, &[]).await;
        assert_eq!((status, &head[CONTENT_TYPE]), (StatusCode::OK, &HeaderValue::from_static("image/png")));
        let tag = head[ETAG].to_str().unwrap().to_owned();
        let again = node.ask(uri, &[("If-None-Match", &tag)]).await;
        assert_eq!((again.0, again.2.len()), (StatusCode::NOT_MODIFIED, 0));
        let other = node.ask(&format!("{uri}&pixel=60s"), &[("If-None-Match", &tag)]).await;
        assert_eq!(other.0, StatusCode::OK);
        node.put("a/source/2019-11-13T02", [segment("00:02.000000").as_str()]);
        let (changed, _, second) = node.ask(uri, &[("If-None-Match", &tag)]).await;
        assert_eq!(changed, StatusCode::OK);
        assert!(first != second);
    }
}
