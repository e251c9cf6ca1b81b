//! Asks for the figures of a quality's hours and for its map: the daemon page by page, or the index itself. Neither reads a segment.

use crate::cli::archive_client::ArchiveClient;
use crate::cli::client::path;
use crate::cli::pages::Pages;
use crate::coverage::png;
use crate::domain::coverage::{HourFigures, Window};
use crate::domain::map::{self, paint_hours};
use crate::domain::{Horizon, Hour, Stream};
use crate::wire::CoverageList;

/// Hours of a quality that are told, the latest ones: eleven years of them. A single directory with a stray date would otherwise
/// ask for thousands of years.
const MOST_HOURS: u32 = 100_000;

/// What there is to tell of a quality.
#[derive(Debug, Default)]
pub(super) struct QualityCoverage {
    /// The latest hours.
    pub hours: Vec<HourFigures>,
    /// The map as a PNG, if it is wanted and there is anything.
    pub picture: Option<Vec<u8>>,
}

/// Asks about one quality; `draws` says whether a map is wanted.
pub(super) async fn of_stream(here: &ArchiveClient, stream: &Stream, draws: bool) -> anyhow::Result<QualityCoverage> {
    let hours = here.hours(stream, true).await?;
    let hours = hours.into_iter().map(|hour| (hour, ())).collect();
    let Some((first, last)) = Horizon::at(super::now()).view(&hours) else { return Ok(QualityCoverage::default()) };
    let begin = hours.keys().next().map_or(first, |hour| *hour);
    let told_from = begin.max(last.earlier(MOST_HOURS - 1));
    if told_from > begin {
        tracing::warn!(name: "hours_cut", %stream, "only the latest {MOST_HOURS} hours are told");
    }
    let drawn_from = first.max(last.earlier(map::MOST_HOURS - 1));
    if draws && drawn_from > first {
        tracing::warn!(name: "map_cut", %stream, from = %drawn_from, "the map shows the latest {} hours only", map::MOST_HOURS);
    }
    let window = Window { from: Some(told_from.start()), ..Window::default() };
    if let Some(keeper) = here.keeper() {
        return tokio::task::block_in_place(|| {
            let coverage = keeper.coverage(stream, &window, usize::MAX, usize::MAX)?.coverage;
            let colours = draws.then(|| paint_hours(&coverage, drawn_from, last));
            let picture = colours.map(|colours| png(&colours, map::ROWS)).transpose()?;
            Ok(QualityCoverage { hours: coverage.figures(told_from, Hour::MAX).collect(), picture })
        });
    }
    let Some(daemon) = here.daemon() else { return Ok(QualityCoverage::default()) };
    let mut found = QualityCoverage::default();
    let mut pages = Pages::new(daemon, "coverage", stream, window, &[]);
    while let Some(page) = pages.next(|page: &CoverageList| page.next.clone()).await? {
        for hour in &page.hours {
            found.hours.push(HourFigures::try_from(hour)?);
        }
    }
    if draws {
        let address = path(["api", "v1", "map", stream.channel.as_str(), stream.quality.as_str()]);
        found.picture = Some(daemon.get_bytes(&address).await?);
    }
    Ok(found)
}
