//! Finds equal content wherever it lies: every file whose name has one of these hashes and that is not hidden yet.

use std::collections::HashSet;

use super::{BadTarget, TombstoneTarget};
use crate::archive::{FileName, Hash, parse_file_name};
use crate::sync::crawl::{CrawlError, Keeper};

/// Contents by their hashes.
#[derive(Debug)]
pub struct Contents(HashSet<Hash>);

/// The contents that paths name.
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
