//! Finds out whether a peer serves this very directory: something random is written beside what is to go, looked for through the
//! peer, and taken away again.
//!
//! Only a clear answer counts. Where the probe cannot be written, the peer does not answer, or somebody took the probe away
//! meanwhile, nothing is known, and what is not known is no copy.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::archive::HourPlace;
use crate::archive::probe::probe_name;
use crate::disk::{NewFile, Published};
use crate::replicate::peer::{Peer, PeerClient};
use crate::sync::crawl::{CrawlError, Keeper};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Probed {
    /// The peer does not show what was written here.
    AnotherDisk,
    ThisDisk,
    Unknown(String),
}

pub(super) async fn probe(keeper: &Arc<Keeper>, client: &PeerClient, peer: &Peer, place: &HourPlace) -> Probed {
    let name = probe_name(rand::random());
    match on_disk(keeper, place, &name, write).await {
        Ok(true) => {}
        Ok(false) => return Probed::Unknown("the hour in which a probe was to be written is not there".to_owned()),
        Err(error) => return Probed::Unknown(format!("a probe cannot be written: {error}")),
    }
    let shown = client.shows_probe(peer, place, &name).await;
    let removed = on_disk(keeper, place, &name, remove).await;
    match (shown, removed) {
        (Ok(true), _) => Probed::ThisDisk,
        (Err(error), _) => Probed::Unknown(error.to_string()),
        (Ok(false), Err(error)) => Probed::Unknown(format!("the probe could not be taken away again: {error}")),
        (Ok(false), Ok(false)) => Probed::Unknown("somebody took the probe away before it was looked for".to_owned()),
        (Ok(false), Ok(true)) => Probed::AnotherDisk,
    }
}

async fn on_disk(
    keeper: &Arc<Keeper>,
    place: &HourPlace,
    name: &str,
    work: fn(&Keeper, &HourPlace, &str) -> Result<bool, CrawlError>,
) -> Result<bool, String> {
    let (keeper, place, name) = (Arc::clone(keeper), place.clone(), name.to_owned());
    let done = tokio::task::spawn_blocking(move || work(&keeper, &place, &name)).await;
    done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// False if the hour is not there.
fn write(keeper: &Keeper, place: &HourPlace, name: &str) -> Result<bool, CrawlError> {
    let base = keeper.guard().base().map_err(CrawlError::Away)?;
    let dir = match base.dir(&place.path())? {
        Some(dir) => dir,
        // An hour that lies in a bucket alone is one all the same, and its directory goes with the probe.
        None if base.stamp_in_bucket(&place.path())?.is_some() => base.make_hour_dir(place)?,
        None => return Ok(false),
    };
    let Some(mut file) = NewFile::begin(dir, name)? else { return Ok(false) };
    file.write(name.as_bytes())?;
    Ok(file.finish()? == Published::New)
}

/// False if it was not there any more.
fn remove(keeper: &Keeper, place: &HourPlace, name: &str) -> Result<bool, CrawlError> {
    let base = keeper.guard().base().map_err(CrawlError::Away)?;
    let Some(dir) = base.dir(&place.path())? else { return Ok(false) };
    let was_there = dir.remove_file(OsStr::new(name))?;
    if base.stamp_in_bucket(&place.path())?.is_some() {
        base.remove_empty_hour(place)?;
    }
    Ok(was_there)
}
