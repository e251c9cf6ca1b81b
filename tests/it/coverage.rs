//! Coverage, holes, timespans, gauges and maps: of the small archive what was written down for it, by whatever way they are asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gapless::archive::coverage::{Coverage, CoverageKind, HourFigures, HourLine, LaneFigures, TimeTally, Window};
use gapless::archive::{Hour, HourContents, SegmentKind, Timestamp};
use gapless::report::coverage::map::{Colour, paint_hours};
use serde_json::{Value, json};

use crate::support::{Outcome, TestArchive, TestNode, archive::snapshot, gapless};

pub const QUALITIES: [&str; 2] = ["source", "480p"];

pub fn expected(quality: &str) -> Value {
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
        SegmentKind::VIDEO.map(|kind| {
            let of = &written[kind.as_str()];
            TimeTally { count: number(&of[count]), us: number(&of[us]) }
        })
    };
    let lanes = CoverageKind::ALL.map(|lane| {
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

fn written_holes(expected: &Value, lane: CoverageKind) -> Vec<(String, String)> {
    let holes = expected[format!("{}_holes", lane.as_str())].as_array().unwrap();
    holes.iter().map(|hole| (text(&hole[0]), text(&hole[1]))).collect()
}

pub fn text(value: &Value) -> String {
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
        let mut coverage = Coverage::default();
        for (hour, line) in &lines {
            coverage.push(*hour, line);
        }
        let extent = coverage.extent().unwrap();
        assert_eq!(Value::from(vec![extent.start.to_string(), extent.end.to_string()]), expected["extent"]);
        let all: Vec<HourFigures> = coverage.figures(Hour::MIN, Hour::MAX).collect();
        let written = expected["per_hour"].as_object().unwrap();
        assert_eq!(all, written.iter().map(|(hour, of)| figures(hour, of)).collect::<Vec<_>>(), "{quality}");
        for lane in CoverageKind::ALL {
            let holes = coverage.holes_within(lane, &Window::default()).into_iter();
            let holes: Vec<(String, String)> =
                holes.map(|hole| (hole.start.to_string(), hole.end.to_string())).collect();
            assert_eq!(holes, written_holes(&expected, lane), "{quality} {lane:?}");
        }
        assert_eq!(letters(&paint_hours(&coverage, first, last)), text(&expected["map"]), "{quality}");
    }
}

/// Asks the same without a daemon and with one, and hands both answers to `see`.
fn both_ways(archive: &TestArchive, see: impl Fn(&TestArchive)) {
    gapless(archive.path(), &["rebuild"]).lines(0);
    see(archive);
    let node = TestNode::start(archive);
    node.wait_ready();
    see(archive);
    node.terminate();
}

fn ask(archive: &TestArchive, line: &str) -> Outcome {
    gapless(archive.path(), &line.split(' ').collect::<Vec<_>>())
}

fn pairs(list: &Value) -> Vec<(String, String)> {
    list.as_array().unwrap().iter().map(|each| (text(&each["start"]), text(&each["end"]))).collect()
}

/// Microseconds of a number of seconds that is exact to the microsecond.
fn us(seconds: &Value) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a few hours")]
    let us = (seconds.as_f64().unwrap() * 1e6).round() as i64;
    us
}

#[test]
fn holes_and_timespans_are_told_as_they_were_written_down_with_and_without_a_daemon() {
    both_ways(&TestArchive::sample(), |archive| {
        for quality in QUALITIES {
            let expected = expected(quality);
            for (lane, flag) in [(CoverageKind::Raw, ""), (CoverageKind::Editable, " --editable")] {
                let all = ask(archive, &format!("--json holes desertbus/{quality}{flag}")).json(0);
                assert_eq!(pairs(&all["holes"]), written_holes(&expected, lane), "{quality} {lane:?}");
                assert_eq!((&all["kind"], &all["quality"]), (&json!(lane.as_str()), &json!(quality)));
                for hole in all["holes"].as_array().unwrap() {
                    let length = Timestamp::parse(&text(&hole["end"])).unwrap()
                        - Timestamp::parse(&text(&hole["start"])).unwrap();
                    assert_eq!(us(&hole["seconds"]), length.us());
                }
                for (hour, figures) in expected["per_hour"].as_object().unwrap() {
                    let to = Hour::parse(hour).unwrap().next();
                    let one = ask(archive, &format!("--json holes desertbus/{quality}{flag} --from {hour} --to {to}"))
                        .json(0);
                    let of = |name: &str| figures[format!("{}_{name}", lane.as_str())].as_i64().unwrap();
                    assert_eq!(us(&one["covered_seconds"]), of("coverage"), "{quality} {hour}");
                    let holes = one["holes"].as_array().unwrap();
                    assert_eq!(i64::try_from(holes.len()).unwrap(), of("holes"));
                    assert_eq!(holes.iter().map(|hole| us(&hole["seconds"])).sum::<i64>(), of("hole_us"));
                }
            }
            let runs = ask(archive, &format!("--json timespans desertbus/{quality}")).json(0);
            let runs = runs["timespans"].as_array().unwrap();
            let ends: Vec<(i64, i64)> = runs
                .iter()
                .map(|run| (Timestamp::parse(&text(&run["start"])).unwrap().us(), us(&run["duration"])))
                .map(|(start, length)| (start, start + length))
                .collect();
            let between: Vec<(String, String)> = ends
                .windows(2)
                .map(|pair| (Timestamp(pair[0].1).to_string(), Timestamp(pair[1].0).to_string()))
                .collect();
            assert_eq!(between, written_holes(&expected, CoverageKind::Raw));
            let extent = [ends[0].0, ends[ends.len() - 1].1].map(|at| Timestamp(at).to_string());
            assert_eq!(json!(extent), expected["extent"]);
            assert_eq!(ask(archive, &format!("timespans desertbus/{quality}")).lines(0).len(), runs.len());
        }
    });
}

#[test]
fn the_edges_of_a_window_are_holes_only_where_it_is_asked_for() {
    both_ways(&TestArchive::sample(), |archive| {
        let ask = |line: &str| pairs(&ask(archive, &format!("--json holes {line}")).json(0)["holes"]);
        let before = "desertbus/source --from 2019-11-13T02:55:00 --to 2019-11-13T02:55:10";
        assert_eq!(ask(before), []);
        let edge = ("2019-11-13T02:55:00.000000Z".to_owned(), "2019-11-13T02:55:08.000000Z".to_owned());
        assert_eq!(ask(&format!("{before} --edges")), [edge]);
        let after = "desertbus/source --from 2019-11-13T07:17:00 --to 2019-11-13T08:00:00";
        assert_eq!(ask(after), []);
        let edge = ("2019-11-13T07:17:01.997001Z".to_owned(), "2019-11-13T08:00:00.000000Z".to_owned());
        assert_eq!(ask(&format!("{after} --edges")), [edge]);
        let nothing = ask("desertbus/source --edges --from 2019-11-10 --to 2019-11-11");
        assert_eq!(nothing, [("2019-11-10T00:00:00.000000Z".to_owned(), "2019-11-11T00:00:00.000000Z".to_owned())]);
    });
}

#[test]
fn a_window_that_is_none_is_refused_with_a_sentence() {
    let archive = TestArchive::sample();
    for (line, words) in [
        ("holes desertbus/source --from 2019-11-14 --to 2019-11-13", "before it begins"),
        ("holes desertbus/source --from noon", "2019-11-13T02:55:08"),
        ("timespans desertbus/source --to 1573610000", "a number needs a unit"),
        ("holes desertbus/source --edges", "give --from, --to or both"),
        ("holes desertbus", "CHANNEL/QUALITY"),
        ("timespans desertbus/source/2019-11-13T02", "CHANNEL/QUALITY"),
        ("holes desertbus/chat", "chat"),
        ("coverage --once --channel a/b", "a/b"),
    ] {
        let refused = ask(&archive, line);
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{line}: {}", refused.err);
        assert!(refused.err.contains(words), "{line}: {}", refused.err);
    }
}

/// The figures of an hour as they are printed.
fn printed(hour: &Value) -> HourFigures {
    let number = |value: &Value| value.as_u64().unwrap();
    let whole = |value: &Value| us(value).unsigned_abs();
    let tallies = |count: &str, seconds: &str| {
        SegmentKind::VIDEO.map(|kind| {
            let of = &hour[kind.as_str()];
            TimeTally { count: number(&of[count]), us: whole(&of[seconds]) }
        })
    };
    let lanes = CoverageKind::ALL.map(|lane| {
        let of = &hour[lane.as_str()];
        LaneFigures {
            covered_us: whole(&of["seconds"]),
            holes: number(&of["holes"]),
            hole_us: whole(&of["hole_seconds"]),
        }
    });
    HourFigures {
        hour: Hour::parse(hour["hour"].as_str().unwrap()).unwrap(),
        video: tallies("count", "seconds"),
        bad: number(&hour["bad"]),
        overlaps: tallies("overlaps", "overlap_seconds"),
        lanes,
    }
}

/// Lines of gauges for a quality, from what was written down.
pub fn gauges(quality: &str, expected: &Value) -> Vec<String> {
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let mut lines = Vec::new();
    for (hour, written) in expected["per_hour"].as_object().unwrap() {
        let figures = figures(hour, written);
        let labels = format!("channel=\"desertbus\",quality=\"{quality}\",hour=\"{hour}\"");
        lines.push(format!("segment_count{{{labels},type=\"bad\"}} {}", figures.bad));
        for (index, kind) in SegmentKind::VIDEO.into_iter().enumerate() {
            let labels = format!("{labels},type=\"{}\"", kind.as_str());
            let (all, over) = (figures.video[index], figures.overlaps[index]);
            lines.push(format!("segment_count{{{labels}}} {}", all.count));
            lines.push(format!("segment_duration{{{labels}}} {}", seconds(all.us)));
            lines.push(format!("overlap_count{{{labels}}} {}", over.count));
            lines.push(format!("overlap_duration{{{labels}}} {}", seconds(over.us)));
        }
        for lane in CoverageKind::ALL {
            let (name, of) = (lane.as_str(), figures.lane(lane));
            lines.push(format!("{name}_coverage{{{labels}}} {}", seconds(of.covered_us)));
            lines.push(format!("{name}_holes{{{labels}}} {}", of.holes));
            lines.push(format!("{name}_hole_seconds{{{labels}}} {}", seconds(of.hole_us)));
        }
    }
    lines
}

/// The pixels of a PNG in order of time.
pub fn pixels(png: &[u8]) -> String {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut image = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut image).unwrap();
    let (width, height) = (info.width as usize, info.height as usize);
    let letter = |column: usize, row: usize| {
        let at = (row * width + column) * 3;
        match image[at..at + 3] {
            [0xff, 0xff, 0xff] => 'W',
            [0xff, 0x7f, 0x0e] => 'O',
            [0x1f, 0x77, 0xb4] => 'B',
            ref other => panic!("{other:?} is no colour of the map"),
        }
    };
    (0..width)
        .flat_map(|column| (0..height).map(move |row| (column, row)))
        .map(|(column, row)| letter(column, row))
        .collect()
}

#[test]
fn the_table_the_gauges_and_the_maps_are_those_that_were_written_down() {
    both_ways(&TestArchive::sample(), |archive| {
        let file = archive.outside().join("gauges.prom");
        let line = format!("--json coverage --once --maps --gauges {}", file.display());
        let outcome = ask(archive, &line);
        let lines = outcome.lines(0);
        let qualities: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(qualities.len(), QUALITIES.len());
        let text_of_gauges = fs::read_to_string(&file).unwrap();
        let mut samples: Vec<&str> = text_of_gauges.lines().filter(|line| !line.starts_with('#')).collect();
        let mut wanted = Vec::new();
        for quality in QUALITIES {
            let expected = expected(quality);
            let found = qualities.iter().find(|found| found["quality"] == quality).unwrap();
            let hours: Vec<HourFigures> = found["hours"].as_array().unwrap().iter().map(printed).collect();
            let written = expected["per_hour"].as_object().unwrap();
            assert_eq!(hours, written.iter().map(|(hour, of)| figures(hour, of)).collect::<Vec<_>>());
            wanted.extend(gauges(quality, &expected));
            let map = format!("coverage-maps/desertbus_{quality}_coverage");
            assert_eq!(pixels(&archive.read(&format!("{map}.png"))), text(&expected["map"]), "{quality}");
            let page = String::from_utf8(archive.read(&format!("{map}.html"))).unwrap();
            assert!(page.contains(&format!("src=\"desertbus_{quality}_coverage.png\"")), "{page}");
            let table = ask(archive, &format!("coverage --once --channel desertbus --quality {quality}"));
            assert_eq!(table.lines(0).len(), 2 + hours.len(), "{}", table.out);
        }
        samples.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(samples, wanted);
        assert_eq!(fs::read_dir(archive.at("coverage-maps")).unwrap().count(), 4, "nothing half written stays");
        fs::remove_dir_all(archive.at("coverage-maps")).unwrap();
    });
}

#[test]
fn who_only_asks_writes_nothing() {
    let archive = TestArchive::sample();
    assert_eq!(ask(&archive, "holes desertbus/source").code, 3, "there is no index yet");
    gapless(archive.path(), &["rebuild"]).lines(0);
    let tree = || {
        let mut found = snapshot(archive.path());
        found.retain(|path, _| !path.starts_with(archive.at(".gapless")) && path != archive.path());
        found
    };
    let before = tree();
    for line in ["holes desertbus/source", "timespans desertbus/480p", "coverage --once"] {
        assert_eq!(ask(&archive, line).code, 0, "{line}");
    }
    assert_eq!(ask(&archive, "coverage --once --channel nobody --maps").code, 3);
    assert!(tree() == before);
    let nowhere = ask(&archive, "coverage --once --gauges /nonexistent/gauges.prom");
    assert_eq!(nowhere.code, 3);
    assert!(nowhere.err.contains("the gauges were not written to /nonexistent/gauges.prom"), "{}", nowhere.err);
}

/// Every page of an answer, one after the other, asked for as a program would.
fn pages(node: &TestNode, what: &str, query: &str) -> Vec<Value> {
    let mut pages: Vec<Value> = Vec::new();
    let mut from = String::new();
    loop {
        let page = node.get(&format!("/api/v1/{what}?{query}{from}")).json();
        let next = page["next"].as_str().map(str::to_owned);
        pages.push(page);
        let Some(next) = next else { return pages };
        from = format!("&from={next}");
        assert!(pages.len() < 500, "it comes to an end");
    }
}

/// Stretches of pages, those joined that a page has cut.
fn joined(pages: &[Value], list: &str) -> Vec<(String, String)> {
    let mut whole: Vec<(String, String)> = Vec::new();
    for page in pages {
        for (index, (start, end)) in pairs(&page[list]).into_iter().enumerate() {
            match whole.last_mut() {
                Some(last) if index == 0 && last.1 == start => last.1 = end,
                _ => whole.push((start, end)),
            }
        }
    }
    whole
}

#[test]
fn the_api_answers_what_was_written_down_in_one_page_and_in_many() {
    let archive = TestArchive::sample();
    for (config, is_paged) in [("", false), ("[http]\nmax_hours_at_once = 1\nmax_page = 2\n", true)] {
        let node = TestNode::plan(&archive).config(config).start();
        node.wait_ready();
        for quality in QUALITIES {
            let expected = expected(quality);
            let of = |what: &str| format!("{what}/desertbus/{quality}");
            let found = pages(&node, &of("coverage"), "");
            let hours: Vec<HourFigures> =
                found.iter().flat_map(|page| page["hours"].as_array().unwrap()).map(printed).collect();
            let written = expected["per_hour"].as_object().unwrap();
            assert_eq!(hours, written.iter().map(|(hour, of)| figures(hour, of)).collect::<Vec<_>>());
            for lane in CoverageKind::ALL {
                let found = pages(&node, &of("holes"), &format!("editable={}", lane == CoverageKind::Editable));
                assert_eq!(found.len() > 5, is_paged, "{}", found.len());
                assert_eq!(joined(&found, "holes"), written_holes(&expected, lane), "{quality} {lane:?}");
                let covered: i64 = found.iter().map(|page| us(&page["covered_seconds"])).sum();
                let all = hours.iter().map(|figures| figures.lane(lane).covered_us).sum::<u64>();
                assert_eq!(covered, i64::try_from(all).unwrap());
            }
            let found = pages(&node, &of("timespans"), "");
            let covered: i64 = found
                .iter()
                .flat_map(|page| page["timespans"].as_array().unwrap())
                .map(|run| us(&run["duration"]))
                .sum();
            let extent =
                [&expected["extent"][0], &expected["extent"][1]].map(|at| Timestamp::parse(&text(at)).unwrap());
            let holes: u64 = hours.iter().map(|figures| figures.lane(CoverageKind::Raw).hole_us).sum();
            assert_eq!(covered, (extent[1] - extent[0]).us() - i64::try_from(holes).unwrap());
        }
        // The command line puts the pages together again.
        let whole = ask(&archive, "--json holes desertbus/480p --editable").json(0);
        assert_eq!(pairs(&whole["holes"]), written_holes(&expected("480p"), CoverageKind::Editable));
        let runs = ask(&archive, "timespans desertbus/480p").lines(0).len();
        assert_eq!(runs, written_holes(&expected("480p"), CoverageKind::Raw).len() + 1);
        node.terminate();
    }
}

#[test]
fn windows_of_the_api_are_bounded_and_wrong_ones_are_refused() {
    let archive = TestArchive::sample();
    // A stray directory, eight thousand years away, with a segment.
    archive.segment("desertbus/source/9999-12-31T23", "59:58", 2.0, crate::support::Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    for what in ["coverage", "holes", "timespans"] {
        let (kind, detail) =
            node.get(&format!("/api/v1/{what}/desertbus/source?from=2019-11-14&to=2019-11-13")).problem(400);
        assert_eq!(kind, "/problems/bad-parameter");
        assert!(detail.contains("not before from"), "{detail}");
        assert_eq!(node.get(&format!("/api/v1/{what}/desertbus/source?from=noon")).problem(400).0, kind);
        assert_eq!(node.get(&format!("/api/v1/{what}/desertbus")).status, 404);
        let list = if what == "coverage" { "hours" } else { what };
        for nothing in ["nobody/source", "desertbus/chat", "desertbus/source?from=2019-11-13&to=2019-11-13"] {
            let answer = node.get(&format!("/api/v1/{what}/{nothing}")).json();
            assert_eq!(answer[list], json!([]), "{what} {nothing}");
        }
    }
    assert_eq!(node.get("/api/v1/holes/desertbus/source?edges=perhaps").problem(400).0, "/problems/bad-parameter");
    let page = node.get("/api/v1/coverage/desertbus/source").json();
    assert_eq!(page["hours"].as_array().unwrap().len(), 6, "the stray is nowhere the newest");
    let page = node.get("/api/v1/coverage/desertbus/source?to=9999-12-31T23:59").json();
    assert_eq!(page["hours"].as_array().unwrap().len(), 10_000);
    assert!(page["next"].is_string());
    let edges = node.get("/api/v1/holes/nobody/source?from=2019-11-13&to=2019-11-14&edges=true").json();
    assert_eq!(edges["holes"][0]["seconds"], 86_400.0);
}
