//! Adds tombstones, also for equal content. Whether the segment is here does not matter: others may have it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;

use super::target::{BadTarget, MOST_PATHS, TombstoneRange, TombstoneTarget};
use crate::archive::{FileName, Hash, HourPlace, Span, parse_file_name, time};
use crate::disk::{Dir, DiskError, DownloadError, Published, atomic, write_tombstone};
use crate::sync::crawl::{CrawlError, Keeper};
use crate::wire::{AddOutcome, AddedTombstone, AddedTombstones, TombstoneNote};

/// Why a path has no tombstone, or that it has one.
type Became = Result<AddOutcome, String>;

/// Adds tombstones for these paths, each with this note; one that is there keeps what it says. What cannot have one is said with the path. An error means that the disk or the index takes
/// nothing now: some may be there already, and all may be given again. Blocks.
pub fn add(keeper: &Keeper, paths: &[String], note: Option<&TombstoneNote>) -> Result<AddedTombstones, CrawlError> {
    let content = note.map(TombstoneNote::to_bytes).unwrap_or_default();
    let mut became: Vec<Became> = Vec::with_capacity(paths.len());
    let mut by_hour: BTreeMap<HourPlace, Vec<(usize, String)>> = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        became.push(Ok(AddOutcome::There));
        match TombstoneTarget::read(path) {
            Ok(target) => {
                let tombstone = target.tombstone();
                by_hour.entry(target.place).or_default().push((at, tombstone));
            }
            Err(why) => set(&mut became, at, Err(why.to_string())),
        }
    }
    for (place, names) in by_hour {
        add_in_hour(keeper, &place, &names, &content, &mut became)?;
    }
    Ok(report(paths, became))
}

fn set(became: &mut [Became], at: usize, what: Became) {
    if let Some(slot) = became.get_mut(at) {
        *slot = what;
    }
}

/// An error is one that others would meet as well; what is wrong with this hour alone is said with its paths.
fn add_in_hour(
    keeper: &Keeper,
    place: &HourPlace,
    names: &[(usize, String)],
    content: &[u8],
    became: &mut [Became],
) -> Result<(), CrawlError> {
    let base = keeper.guard().base()?;
    let dir = match base.make_hour_dir(place).map_err(|error| weigh(keeper, error)) {
        Ok(dir) => dir,
        Err(CrawlError::Disk(error)) if !error.is_full() => {
            for (at, _) in names {
                set(became, *at, Err(error.to_string()));
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut failed = None;
    for (at, name) in names {
        match put(&dir, name, content).map_err(|error| weigh(keeper, error)) {
            Ok(outcome) => set(became, *at, outcome),
            Err(CrawlError::Disk(error)) if !error.is_full() => set(became, *at, Err(error.to_string())),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let new = names.iter().filter(|(at, _)| matches!(became.get(*at), Some(Ok(AddOutcome::New)))).count();
    if new > 0 {
        tracing::info!(name: "tombstones_added", hour = %place, tombstones = new, "segments were hidden");
    }
    // Whatever was written is flushed and indexed, also where the next did not fit.
    atomic::sync_dir(&dir).map_err(|error| weigh(keeper, error))?;
    keeper.touch(place, names.iter().map(|(_, name)| OsStr::new(name.as_str())))?;
    failed.map_or(Ok(()), Err)
}

fn put(dir: &Dir, name: &str, content: &[u8]) -> Result<Became, DiskError> {
    match write_tombstone(dir, name, content) {
        Ok(Published::New) => Ok(Ok(AddOutcome::New)),
        Ok(Published::AlreadyThere) => Ok(Ok(AddOutcome::There)),
        Err(DownloadError::Disk(error)) if !error.is_occupied() => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Whether the whole disk is away, or it is about this path alone.
pub(super) fn weigh(keeper: &Keeper, error: DiskError) -> CrawlError {
    if keeper.guard().report(&error)
        && let Err(away) = keeper.guard().base()
    {
        return CrawlError::Away(away);
    }
    CrawlError::Disk(error)
}

fn report(paths: &[String], became: Vec<Became>) -> AddedTombstones {
    let mut added = AddedTombstones::default();
    for (path, what) in paths.iter().zip(became) {
        let (outcome, why) = match what {
            Ok(outcome) => (outcome, None),
            Err(why) => (AddOutcome::Refused, Some(why)),
        };
        match outcome {
            AddOutcome::New => added.new += 1,
            AddOutcome::There => added.there += 1,
            AddOutcome::Refused => added.refused += 1,
        }
        added.paths.push(AddedTombstone { path: path.clone(), outcome, why });
    }
    added
}

/// A range holds more than one request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooWide {
    pub what: &'static str,
    pub found: usize,
    pub most: usize,
}

/// Paths of what is visible in a range, in order of time. Blocks.
pub fn in_range(
    keeper: &Keeper,
    range: &TombstoneRange,
    most_hours: usize,
) -> Result<Result<Vec<String>, TooWide>, CrawlError> {
    keeper.ensure_structure()?;
    // A segment may run over its hour.
    let first = (range.from - Span::from_us(time::HOUR_US)).hour();
    let last = (range.to - Span::from_us(1)).hour();
    let mut paths = Vec::new();
    if first > last {
        return Ok(Ok(paths));
    }
    let hours = keeper.index().catalog().hours(&range.stream.to_string(), first..=last);
    if hours.len() > most_hours {
        return Ok(Err(TooWide { what: "number of hours in the range", found: hours.len(), most: most_hours }));
    }
    for hour in hours {
        let place = HourPlace { stream: range.stream.clone(), hour };
        let contents = keeper.answer(&place)?.contents;
        let overlaps = contents.visible().filter(|file| {
            let (start, end) = (file.key.start(hour), file.key.end(hour));
            start < range.to && (end > range.from || (start == end && start >= range.from))
        });
        paths.extend(overlaps.map(|file| format!("{place}/{}", file.name())));
        if paths.len() > MOST_PATHS {
            let what = "number of segments in the range";
            return Ok(Err(TooWide { what, found: paths.len(), most: MOST_PATHS }));
        }
    }
    Ok(Ok(paths))
}

#[derive(Debug)]
pub struct Contents(HashSet<Hash>);

pub fn contents(paths: &[String]) -> Result<Contents, (String, BadTarget)> {
    let hash = |path: &String| {
        let target = TombstoneTarget::read(path).map_err(|why| (path.clone(), why))?;
        match parse_file_name(&target.name) {
            FileName::Understood(key) => Ok(key.hash),
            _ => Err((path.clone(), BadTarget::Temporary)),
        }
    };
    paths.iter().map(hash).collect::<Result<_, _>>().map(Contents)
}

/// Paths of what is visible and has one of these contents, in all channels and hours, in order; one more than `most` where there are
/// more. Asks the index alone. Blocks.
pub fn equal(keeper: &Keeper, contents: &Contents, most: usize) -> Result<Vec<String>, CrawlError> {
    keeper.ensure_structure()?;
    let index = keeper.index();
    let mut paths = Vec::new();
    for stream in index.catalog().streams() {
        for hour in index.catalog().hours(&stream.to_string(), ..) {
            let found = index.of_content(&stream, hour, &contents.0)?;
            paths.extend(found.iter().map(|file| format!("{stream}/{hour}/{}", file.name())));
            if paths.len() > most {
                paths.truncate(most.saturating_add(1));
                return Ok(paths);
            }
        }
    }
    Ok(paths)
}
