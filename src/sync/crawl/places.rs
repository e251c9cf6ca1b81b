//! The hours that somebody names, by channel, quality or hour.

use super::Keeper;
use crate::archive::HourPlace;

impl Keeper {
    /// The hours that the index knows in these places (`CHANNEL`, `CHANNEL/QUALITY` or `CHANNEL/QUALITY/HOUR`), newest first; all of
    /// them for none. A place without one is an error.
    pub fn places(&self, within: &[String]) -> Result<Vec<HourPlace>, String> {
        self.places_and(within, Vec::new())
    }

    /// The same, of the hours that the index knows and these.
    pub fn places_and(&self, within: &[String], more: Vec<HourPlace>) -> Result<Vec<HourPlace>, String> {
        let catalog = self.index.catalog();
        let hours = |stream: crate::archive::Stream| {
            let hours = catalog.hours(&stream.to_string(), ..);
            hours.into_iter().map(move |hour| HourPlace { stream: stream.clone(), hour })
        };
        let mut all: Vec<HourPlace> = catalog.streams().into_iter().flat_map(hours).chain(more).collect();
        self.newest_first(&mut all);
        all.dedup();
        let lies_in = |place: &HourPlace, part: &str| {
            let path = place.to_string();
            path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(empty) = within.iter().find(|part| !all.iter().any(|place| lies_in(place, part))) {
            return Err(empty.clone());
        }
        all.retain(|place| within.is_empty() || within.iter().any(|part| lies_in(place, part)));
        Ok(all)
    }
}
