//! What tombstones hide, hour by hour: read again only where an hour has changed.

use std::collections::HashMap;

use crate::archive::coverage::Stretch;
use crate::archive::{Hour, Span, Stream};
use crate::index::{Index, IndexError};

/// Hours of one hole that are looked at: more than a year without a segment.
const MOST_HOURS: usize = 10_000;

/// What is remembered of hours that holes lie in.
#[derive(Debug, Default)]
pub struct TombstonesNearHoles {
    generation: u64,
    known: HashMap<(Stream, Hour), Known>,
    pass: u64,
}

#[derive(Debug)]
struct Known {
    changed: u64,
    tombstones: Vec<Stretch>,
    pass: u64,
}

impl TombstonesNearHoles {
    /// A pass over all holes begins.
    pub fn begin(&mut self, index: &Index) {
        let generation = index.catalog().generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.known.clear();
        }
        self.pass += 1;
    }

    /// Forgets the hours that no hole lies in any more.
    pub fn end(&mut self) {
        let pass = self.pass;
        self.known.retain(|_, known| known.pass == pass);
    }

    /// What tombstones hide of a hole, cut to it.
    pub fn within(&mut self, index: &Index, stream: &Stream, hole: Stretch) -> Result<Vec<Stretch>, IndexError> {
        let name = stream.to_string();
        let last = (hole.end - Span::from_us(1)).hour();
        let first = hole.start.hour().previous().min(last);
        let hours: Vec<(Hour, u64)> = {
            let state = index.catalog().read();
            let Some(entry) = state.streams.get(&name) else { return Ok(Vec::new()) };
            entry.hours.range(first..=last).take(MOST_HOURS).map(|(hour, changed)| (*hour, *changed)).collect()
        };
        let mut found = Vec::new();
        for (hour, changed) in hours {
            let place = (stream.clone(), hour);
            let known = self.known.get(&place).filter(|known| known.changed == changed);
            let tombstones = match known {
                Some(known) => known.tombstones.clone(),
                None => read(index, &name, hour)?,
            };
            found.extend(tombstones.iter().filter_map(|each| each.cut(hole)));
            self.known.insert(place, Known { changed, tombstones, pass: self.pass });
        }
        Ok(found)
    }
}

fn read(index: &Index, stream: &str, hour: Hour) -> Result<Vec<Stretch>, IndexError> {
    if index.hour_row(stream, hour)?.is_none_or(|row| row.totals.tombstones == 0) {
        return Ok(Vec::new());
    }
    let view = index.hour(stream, hour)?;
    let files = view.iter().flat_map(|view| view.contents.files());
    let tombstones = files.filter(|file| file.key.tombstone && file.key.kind.is_video());
    Ok(tombstones.map(|file| Stretch { start: file.key.start(hour), end: file.key.end(hour) }).collect())
}
