//! `/api/v1/timeline`: how much of each piece of a window is missing, for whoever draws it. Costs a summary an hour and nothing per
//! segment, so that a year is drawn as fast as an hour.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::app::{Answer, App};
use super::coverage::{Answering, in_turns, may_be_told};
use super::read_view::{AskedView, ReadView};
use super::request::{FromQuery, Parameters, Query, StreamPath};
use crate::archive::coverage::{Shares, Stretch, Window, WindowShare};
use crate::archive::{Span, Stream, Timestamp};
use crate::wire::{TimeExtent, Timeline, TimelineRun};

/// The widest picture: more than any screen has.
const MOST_PIXELS: usize = 4096;
/// Where none are asked for.
const USUAL_PIXELS: usize = 1000;

/// Answers `GET /api/v1/timeline/{channel}/{quality}`.
#[utoipa::path(
    get, path = "/api/v1/timeline/{channel}/{quality}",
    params(
        ("channel" = String, Path), ("quality" = String, Path),
        ("from" = Option<String>, Query, description = "a time; the first segment after the last silence of five years if it is not given"),
        ("to" = Option<String>, Query, description = "a time, after from; the furthest end if it is not given, of hours that are not more than two hours ahead of the clock"),
        ("pixels" = Option<u64>, Query, description = "into how many pieces the window is cut: 1 to 4096, or 1000"),
        ("local" = Option<bool>, Query, description = "true: of this node alone, whatever other nodes have")
    ),
    responses(
        (status = 200, body = Timeline), (status = 400, description = "a parameter is wrong"),
        (status = 503, description = "the disk is not there, or too much is asked at once")
    )
)]
pub(super) async fn timeline(
    State(app): State<Arc<App>>,
    AskedView(view): AskedView,
    StreamPath(stream): StreamPath,
    Query(wanted): Query<TimelineQuery>,
) -> Answer<Timeline> {
    app.ask(move |app| work((app, &view), &stream, &wanted)).await.map(Json)
}

pub(super) struct TimelineQuery {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    pixels: usize,
}

impl FromQuery for TimelineQuery {
    fn read(given: &Parameters) -> Result<Self, Problem> {
        let pixels = given.each("pixels", |value| {
            let number = value.parse().ok().filter(|number| (1..=MOST_PIXELS).contains(number));
            number.ok_or_else(|| Problem::bad_parameter("pixels", value, &format!("a number from 1 to {MOST_PIXELS}")))
        })?;
        let (from, to) = given.window()?;
        Ok(Self { from, to, pixels: pixels.unwrap_or(USUAL_PIXELS) })
    }
}

impl TimelineQuery {
    /// What is left open reaches to the end of what there is, but is at instant as long as the window may be.
    fn stretch(&self, extent: Option<Stretch>) -> Stretch {
        let instant = Span::from_us(1);
        let (first, last) =
            extent.map_or((Timestamp::from_us(0), Timestamp::from_us(0)), |extent| (extent.start, extent.end));
        let start = self.from.unwrap_or_else(|| self.to.map_or(first, |to| first.min(to - instant)));
        Stretch { start, end: self.to.unwrap_or_else(|| last.max(start + instant)) }
    }
}

/// From the first segment to the furthest end, of what is shown where nobody says which hours.
fn extent(view: &ReadView, stream: &Stream) -> Result<Option<Stretch>, Problem> {
    let shown = view.keeper.view(stream);
    Ok(shown.map(|hours| view.keeper.index().extent(stream, hours)).transpose()?.flatten())
}

fn work((app, view): Answering<'_>, stream: &Stream, wanted: &TimelineQuery) -> Result<Timeline, Problem> {
    may_be_told(app)?;
    let stretch = wanted.stretch(extent(view, stream)?);
    let Stretch { start, end } = stretch;
    let window = Window { from: Some(start), to: Some(end), ..Window::default() };
    let mut pieces = Shares::new(stretch, wanted.pixels);
    in_turns((app, view), stream, &window, |found, part| pieces.add(&found.coverage, part))?;
    // Once more: the hours have been compared with the disk since.
    let extent = extent(view, stream)?;
    let mut runs: Vec<TimelineRun> = Vec::new();
    for share in pieces.finish() {
        let (missing, not_full) = per_mille(&share);
        match runs.last_mut() {
            Some(TimelineRun(count, a, b)) if (*a, *b) == (missing, not_full) => *count += 1,
            _ => runs.push(TimelineRun(1, missing, not_full)),
        }
    }
    Ok(Timeline {
        channel: stream.channel.clone(),
        quality: stream.quality.clone(),
        from: start,
        to: end,
        pixels: wanted.pixels as u64,
        extent: extent.map(|extent| TimeExtent { start: extent.start, end: extent.end }),
        runs,
        in_bucket: in_bucket(app, stream, stretch)?,
    })
}

/// Hours that lie in a bucket alone, neighbours as one.
fn in_bucket(app: &App, stream: &Stream, Stretch { start, end }: Stretch) -> Result<Vec<TimeExtent>, Problem> {
    let last = (end - Span::from_us(1)).hour();
    let mut found: Vec<TimeExtent> = Vec::new();
    for hour in app.node.keeper.in_bucket_alone(stream, start.hour(), last)? {
        if let Some(before) = found.last_mut().filter(|before| before.end == hour.start()) {
            before.end = hour.end();
        } else if found.len() < MOST_PIXELS {
            found.push(TimeExtent { start: hour.start(), end: hour.end() });
        }
    }
    Ok(found)
}

/// Missing and not full, of a piece's time inside the extent: rounded up, so that anything shows, but 1000 only for all of it.
fn per_mille(share: &WindowShare) -> (i16, i16) {
    let of = |us: u64| {
        let rounded = us.saturating_mul(1000).div_ceil(share.inside_us.max(1));
        i16::try_from(if us < share.inside_us { rounded.min(999) } else { 1000 }).unwrap_or(1000)
    };
    if share.inside_us == 0 { (-1, 0) } else { (of(share.missing_us), of(share.not_full_us)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_shows_and_only_all_of_it_is_a_thousand() {
        let share = |inside_us, missing_us, not_full_us| WindowShare { inside_us, missing_us, not_full_us };
        assert_eq!(per_mille(&share(0, 0, 0)), (-1, 0));
        assert_eq!(per_mille(&share(31_536_000_000_000, 1, 0)), (1, 0));
        assert_eq!(per_mille(&share(1_000_000, 999_999, 1)), (999, 1));
        assert_eq!(per_mille(&share(7, 7, 0)), (1000, 0));
        assert_eq!(per_mille(&share(7, 0, 7)), (0, 1000));
    }
}
