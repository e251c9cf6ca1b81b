//! Asks for the figures of a quality's hours and for its map. No segment is read for them.

use crate::archive::coverage::HourFigures;
use crate::archive::{Horizon, Stream, map};
use crate::cli::archive_client::ArchiveClient;
use crate::wire::CoverageList;

/// Hours of a quality that are shown, the latest ones: eleven years of them. A single directory with a stray date would otherwise
/// ask for thousands of years.
const MOST_HOURS: u32 = 100_000;

/// Coverage of a quality.
#[derive(Debug, Default)]
pub(super) struct QualityCoverage {
    /// The latest hours.
    pub hours: Vec<HourFigures>,
    /// The map as a PNG, if it was asked for and there is anything.
    pub picture: Option<Vec<u8>>,
}

/// Asks about one quality; `draws` says whether to draw a map.
pub(super) async fn of_stream(here: &ArchiveClient, stream: &Stream, draws: bool) -> anyhow::Result<QualityCoverage> {
    let hours = here.hours(stream, true).await?;
    let hours = hours.into_iter().map(|hour| (hour, ())).collect();
    let Some((first, last)) = Horizon::at(super::now()).view(&hours) else { return Ok(QualityCoverage::default()) };
    let begin = hours.keys().next().map_or(first, |hour| *hour);
    let shown_from = begin.max(last.earlier(MOST_HOURS - 1));
    if shown_from > begin {
        tracing::warn!(name: "hours_cut", %stream, "only the latest {MOST_HOURS} hours are shown");
    }
    let drawn_from = first.max(last.earlier(map::MOST_HOURS - 1));
    if draws && drawn_from > first {
        tracing::warn!(name: "map_cut", %stream, from = %drawn_from, "the map shows the latest {} hours only", map::MOST_HOURS);
    }
    let Some(api) = here.api() else { return Ok(QualityCoverage::default()) };
    let mut found = QualityCoverage::default();
    let each = |page: CoverageList| {
        for hour in &page.hours {
            found.hours.push(HourFigures::try_from(hour)?);
        }
        Ok(())
    };
    let question = api.get("api/v1/coverage").of(stream).with("from", shown_from.start());
    question.pages("from", |page: &CoverageList| page.next.clone(), each).await?;
    if draws {
        found.picture = Some(api.get("api/v1/map").of(stream).ask().await?.bytes().await?);
    }
    Ok(found)
}
