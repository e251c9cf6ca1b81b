//! Compares the index with the tree and reports every difference with its kind and path. Changes nothing.

use std::collections::BTreeSet;
use std::path::Path;

use crate::archive::totals::HourTotals;
use crate::archive::{Hour, HourChange, HourContents, HourPlace, SegmentFile, Stream, diff};
use crate::disk::{Base, DiskError};
use crate::index::{Index, IndexError};
use crate::sync::crawl::hour_files;
use crate::wire::IndexDifference;

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// The hours of the tree, by stream. Directories that are no channel, quality or hour are left out, and those above the hours that
/// cannot be read (such as `lost+found` at the top of a disk), with a warning.
pub fn hours_on_disk(base: &Base) -> Result<Vec<(Stream, Vec<Hour>)>, DiskError> {
    let names = |path: &str| match subdirectories(base, path) {
        Err(error) if !path.is_empty() => {
            tracing::warn!(name: "directory_unreadable", %error, "a directory cannot be read and is left out");
            Ok(Vec::new())
        }
        other => other,
    };
    let mut found = Vec::new();
    for channel in names("")? {
        for quality in names(&channel)? {
            let Ok(stream) = Stream::new(&channel, &quality) else { continue };
            let mut hours: Vec<Hour> =
                names(&stream.to_string())?.iter().filter_map(|name| Hour::parse(name).ok()).collect();
            hours.sort_unstable();
            if !hours.is_empty() {
                found.push((stream, hours));
            }
        }
    }
    found.sort_unstable_by_key(|(stream, _)| stream.to_string());
    Ok(found)
}

/// The directories right beneath a path, here or in a bucket; none if there is no such path.
pub fn subdirectories(base: &Base, path: &str) -> Result<Vec<String>, DiskError> {
    let names = base.subdirectories_of_both(Path::new(path))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

pub fn all_places(base: &Base, index: &Index) -> Result<Vec<HourPlace>, CheckError> {
    let mut places: BTreeSet<HourPlace> = BTreeSet::new();
    for (stream, hours) in hours_on_disk(base)? {
        places.extend(hours.into_iter().map(|hour| HourPlace { stream: stream.clone(), hour }));
    }
    for stream in index.catalog().streams() {
        let hours = index.catalog().hours(&stream.to_string(), ..);
        places.extend(hours.into_iter().map(|hour| HourPlace { stream: stream.clone(), hour }));
    }
    Ok(places.into_iter().collect())
}

/// Whether the ledger of every quality holds its raw holes and nothing else, and the totals of every day are those of its hours.
pub fn check_sums(index: &Index) -> Result<Vec<IndexDifference>, CheckError> {
    let mut found = Vec::new();
    for stream in index.catalog().streams() {
        for day in index.wrong_days(&stream)? {
            let detail = "the day's totals differ from the sum of its hours".to_owned();
            found.push(IndexDifference { kind: "census".to_owned(), path: format!("{stream}/{day}"), detail });
        }
        if !index.is_ledger_right(&stream)? {
            let detail = "the ledger of holes differs from the coverage of the hours".to_owned();
            found.push(IndexDifference { kind: "ledger".to_owned(), path: stream.to_string(), detail });
        }
    }
    Ok(found)
}

/// How an hour differs, and how many files it has on disk.
pub fn check_hour(base: &Base, index: &Index, place: &HourPlace) -> Result<(Vec<IndexDifference>, u64), CheckError> {
    let on_disk = hour_files(base, place)?.map(|files| files.contents);
    let known = index.hour(&place.stream.to_string(), place.hour)?;
    let files = on_disk.as_ref().map_or(0, |contents| contents.len() as u64);
    let difference = |kind: &str, path: String, detail: String| IndexDifference { kind: kind.to_owned(), path, detail };
    let mut found = Vec::new();
    match (&on_disk, &known) {
        (Some(_), None) => {
            found.push(difference("hour-not-in-index", place.to_string(), format!("{files} files on disk")));
            return Ok((found, files));
        }
        (None, Some(view)) => {
            found.push(difference(
                "hour-not-on-disk",
                place.to_string(),
                format!("{} files in the index", view.contents.len()),
            ));
            return Ok((found, files));
        }
        _ => {}
    }
    let (on_disk, view) = (on_disk.unwrap_or_default(), known);
    let in_index = view.as_ref().map_or_else(HourContents::default, |view| view.contents.clone());
    let names: BTreeSet<String> = in_index
        .files()
        .iter()
        .map(SegmentFile::name)
        .chain(in_index.odd().iter().map(|file| file.name.to_string()))
        .collect();
    for change in diff(&in_index, &on_disk) {
        let (name, size) = (change.file().name(), change.file().size());
        let path = format!("{place}/{name}");
        found.push(match change {
            HourChange::Put(_) if names.contains(&name) => {
                difference("size", path, format!("{size} bytes on disk, another size in the index"))
            }
            HourChange::Put(_) => difference("not-in-index", path, format!("{size} bytes on disk")),
            HourChange::Remove(_) => difference("not-on-disk", path, format!("{size} bytes in the index")),
        });
    }
    if let Some(view) = view
        && view.row.totals != HourTotals::of(&view.contents)
    {
        found.push(difference("totals", place.to_string(), "the hour's summary differs from its files".to_owned()));
    }
    if !index.is_coverage_right(&place.stream, place.hour)? {
        let detail = "the stored coverage of the hour differs from its files".to_owned();
        found.push(difference("coverage", place.to_string(), detail));
    }
    Ok((found, files))
}
