//! Coverage, holes, timespans, gauges and maps: of the small archive what was written down for it, by whatever way they are asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gapless::domain::coverage::{Coverage, HourFigures, HourLine, Lane, LaneFigures, Tally, Window};
use gapless::domain::map::{Colour, Painter};
use gapless::domain::{Hour, HourContents, Kind};
use serde_json::Value;

use crate::support::TestArchive;

const QUALITIES: [&str; 2] = ["source", "480p"];

fn expected(quality: &str) -> Value {
    let file = format!("tests/expected/a-{quality}.expected.json");
    serde_json::from_slice(&fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()).unwrap()
}

/// The hours of a directory.
fn lines(stream: &Path) -> BTreeMap<Hour, HourLine> {
    let hours = fs::read_dir(stream).unwrap().map(Result::unwrap);
    hours
        .map(|directory| {
            let files: Vec<(String, u64)> = fs::read_dir(directory.path())
                .unwrap()
                .map(Result::unwrap)
                .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
                .collect();
            let contents = HourContents::from_names(files.iter().map(|(name, size)| (name.as_str(), *size)));
            (Hour::parse(directory.file_name().to_str().unwrap()).unwrap(), HourLine::of(&contents))
        })
        .collect()
}

/// The figures of an hour as they were written down.
fn figures(hour: &str, written: &Value) -> HourFigures {
    let number = |value: &Value| value.as_u64().unwrap();
    let tallies = |count: &str, us: &str| {
        Kind::VIDEO.map(|kind| {
            let of = &written[kind.as_str()];
            Tally { count: number(&of[count]), us: number(&of[us]) }
        })
    };
    let lanes = Lane::ALL.map(|lane| {
        let of = |name: &str| number(&written[format!("{}_{name}", lane.as_str())]);
        LaneFigures { covered_us: of("coverage"), holes: of("holes"), hole_us: of("hole_us") }
    });
    HourFigures {
        hour: Hour::parse(hour).unwrap(),
        video: tallies("count", "duration"),
        bad: number(&written["bad"]),
        overlaps: tallies("overlaps", "overlap_duration"),
        lanes,
    }
}

fn written_holes(expected: &Value, lane: Lane) -> Vec<(String, String)> {
    let holes = expected[format!("{}_holes", lane.as_str())].as_array().unwrap();
    holes.iter().map(|hole| (text(&hole[0]), text(&hole[1]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn letters(pixels: &[Colour]) -> String {
    pixels.iter().map(|colour| ['W', 'O', 'B'][*colour as usize]).collect()
}

#[test]
fn every_figure_hole_and_pixel_of_the_directory_is_the_one_that_was_written_down() {
    for quality in QUALITIES {
        let expected = expected(quality);
        let lines = lines(&TestArchive::sample_path().join("desertbus").join(quality));
        let (first, last) = (*lines.keys().next().unwrap(), *lines.keys().next_back().unwrap());
        let (mut coverage, mut painter) = (Coverage::default(), Painter::of_hours(first, last));
        for (hour, line) in &lines {
            coverage.push(*hour, line);
            painter.hour(*hour, &line.best);
        }
        let extent = coverage.extent().unwrap();
        assert_eq!(Value::from(vec![extent.start.to_string(), extent.end.to_string()]), expected["extent"]);
        let all: Vec<HourFigures> = coverage.figures(Hour::MIN, Hour::MAX).collect();
        let written = expected["per_hour"].as_object().unwrap();
        assert_eq!(all, written.iter().map(|(hour, of)| figures(hour, of)).collect::<Vec<_>>(), "{quality}");
        for lane in Lane::ALL {
            let holes = coverage.holes_within(lane, &Window::default()).into_iter();
            let holes: Vec<(String, String)> =
                holes.map(|hole| (hole.start.to_string(), hole.end.to_string())).collect();
            assert_eq!(holes, written_holes(&expected, lane), "{quality} {lane:?}");
        }
        assert_eq!(letters(&painter.finish()), text(&expected["map"]), "{quality}");
    }
}
