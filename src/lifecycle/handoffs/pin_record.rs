//! The journal of placement as text: what this node has promised, one line for each promise. Reads and writes no file.
//!
//! ```text
//! all 3600000000
//! pinned 7200000000 desertbus/source/2019-11-13T02
//! leaving 7 5be1…5d4c desertbus/source/2019-11-13T03
//! ```
//!
//! Times are microseconds that this node has lived. `leaving` is no permission to go on: it tells people what was going when a process
//! ended. It is one record of the archive, [`RECORD`], in two copies with checksums, and is written anew as a whole: what has expired is left out.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::archive::placement::LayoutId;
use crate::archive::placement::handoffs::{ArchiveTerms, PlacementNote};
use crate::archive::{Hash, HourPlace, Span};
use crate::disk::Record;

/// A hundred bytes an hour make this eighty thousand hours that are promised at once.
pub const RECORD: Record = Record { name: "pins", version: 1, most: 8 << 20, is_frequent: true };

/// What would break a line.
const BREAKS: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The lines.
pub(super) fn text(notes: &[PlacementNote<ArchiveTerms>]) -> String {
    let mut text = String::new();
    for note in notes {
        let place = |hour: &HourPlace| utf8_percent_encode(&hour.to_string(), BREAKS).to_string();
        // A write to a String cannot fail.
        match note {
            PlacementNote::AllPinned { until } => writeln!(text, "all {}", until.us()),
            PlacementNote::Pinned { hour, until } => writeln!(text, "pinned {} {}", until.us(), place(hour)),
            PlacementNote::Leaving { hour, layout } => {
                writeln!(text, "leaving {} {} {}", layout.version, layout.hash.hexadecimal(), place(hour))
            }
            PlacementNote::Left { hour } => writeln!(text, "left {}", place(hour)),
        }
        .unwrap_or_default();
    }
    text
}

/// The opposite of [`text`]; nothing if a line is none.
pub(super) fn read(text: &str) -> Option<Vec<PlacementNote<ArchiveTerms>>> {
    text.lines().map(line).collect()
}

fn line(line: &str) -> Option<PlacementNote<ArchiveTerms>> {
    let span = |text: &str| text.parse().ok().filter(|us| *us >= 0).map(Span::from_us);
    let place = |text: &str| HourPlace::parse(&percent_decode_str(text).decode_utf8().ok()?).ok();
    let words: Vec<&str> = line.split(' ').collect();
    Some(match *words.as_slice() {
        ["all", until] => PlacementNote::AllPinned { until: span(until)? },
        ["pinned", until, hour] => PlacementNote::Pinned { hour: place(hour)?, until: span(until)? },
        ["leaving", version, hash, hour] => {
            let layout = LayoutId { version: version.parse().ok()?, hash: Hash::parse_hexadecimal(hash)? };
            PlacementNote::Leaving { hour: place(hour)?, layout }
        }
        ["left", hour] => PlacementNote::Left { hour: place(hour)? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_written_is_read(channel in "[^/\0.][^/\0]{0,8}", notes in prop::collection::vec((0..4_usize, 0..24, 0..i64::MAX), 0..20)) {
            let note = |(kind, hour, us): (usize, i32, i64)| {
                let hour = HourPlace::parse(&format!("{channel}/q/2019-11-13T{hour:02}")).unwrap();
                let (until, layout) = (Span::from_us(us), LayoutId { version: 7, hash: Hash([3; 32]) });
                [
                    PlacementNote::AllPinned { until },
                    PlacementNote::Pinned { hour: hour.clone(), until },
                    PlacementNote::Leaving { hour: hour.clone(), layout },
                    PlacementNote::Left { hour },
                ][kind].clone()
            };
            let notes: Vec<_> = notes.into_iter().map(note).collect();
            prop_assert_eq!(read(&text(&notes)), Some(notes));
        }

        #[test]
        fn no_line_panics_and_what_is_cut_short_is_none(given in ".{0,100}") {
            read(&given);
            let cut = format!("pinned {given}");
            prop_assert!(read(&cut).is_none_or(|notes| notes.len() == 1));
        }
    }

    #[test]
    fn a_line_that_is_none_makes_all_of_it_none() {
        assert_eq!(read(""), Some(Vec::new()));
        assert!(read("pinned 5 a/b/2019-11-13T02\nall 7\n").is_some());
        for wrong in ["pinned -5 a/b/2019-11-13T02", "pinned 5", "pinned 5 a/b", "all", "all x", "kept 5", "\n"] {
            assert_eq!(read(&format!("all 7\n{wrong}")), None, "{wrong}");
        }
    }
}
