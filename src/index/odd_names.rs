//! Finds names of a stream that are not understood, for whoever reports them: totals of days lead to the newest such hour, so that nothing
//! else is read.

use super::IndexError;
use super::store::Index;
use crate::archive::census::Census;
use crate::archive::problems::EXAMPLES;
use crate::archive::problems::video::OddNames;
use crate::archive::{Day, Hour, Stream};

/// Visible files of these totals whose names are not understood.
fn odd(census: &Census) -> u64 {
    census.files[4] + census.files[5]
}

impl Index {
    /// The newest hour of a stream with such names, beside what is counted of all.
    pub fn odd_names(&self, stream: &Stream, files: u64, understood: u64) -> Result<OddNames, IndexError> {
        let mut found = OddNames { stream: stream.clone(), files, understood, newest: None, in_newest: 0 };
        let name = stream.to_string();
        let days = self.census(stream, Day::of(Hour::MIN), Day::of(Hour::MAX))?;
        let Some((day, _)) = days.iter().rfind(|(_, census)| odd(census) > 0) else { return Ok(found) };
        let rows = self.hour_rows(&name, day.first(), day.last())?;
        let hours = rows.iter().map(|(hour, row)| (*hour, odd(&Census::of_hour(&row.totals))));
        let Some((hour, count)) = hours.rev().find(|(_, count)| *count > 0) else { return Ok(found) };
        let Some(view) = self.hour(&name, hour)? else { return Ok(found) };
        let hidden = view.contents.hidden();
        let visible = view.contents.odd().iter().filter(|file| !file.is_tombstone() && !hidden.hides_odd(file));
        let names = visible.take(EXAMPLES).map(|file| file.name.to_string()).collect();
        (found.newest, found.in_newest) = (Some((hour, names)), count);
        Ok(found)
    }
}
