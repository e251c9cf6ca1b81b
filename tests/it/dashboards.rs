//! What dashboards and plain file servers get while a node runs: gauges of each hour, maps of any window.

use std::collections::{BTreeMap, BTreeSet};

use crate::coverage::{QUALITIES, expected, gauges, pixels, text};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, gapless};

/// The gauges of coverage, in the order in which they are written.
const FAMILIES: [&str; 10] = [
    "segment_count",
    "segment_duration",
    "raw_coverage",
    "editable_coverage",
    "raw_holes",
    "editable_holes",
    "overlap_count",
    "overlap_duration",
    "raw_hole_seconds",
    "editable_hole_seconds",
];

pub fn metrics(node: &TestNode) -> String {
    let answer = node.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

/// The samples of coverage among all of them.
fn samples(metrics: &str) -> Vec<String> {
    let of_coverage =
        |line: &&str| FAMILIES.iter().any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    let mut lines: Vec<String> = metrics.lines().filter(of_coverage).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The value of a series; `None` if there is no such series.
fn value(metrics: &str, series: &str) -> Option<String> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).map(str::to_owned)
}

/// Every family is described once, before its samples, and all its samples stand together.
fn assert_well_formed(metrics: &str) {
    let (mut family, mut seen, mut series) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.split(' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
            match what {
                "HELP" => assert!(seen.insert(name), "{line} comes twice"),
                "TYPE" => {
                    assert!(seen.contains(&name), "{line}");
                    family = name;
                }
                other => panic!("{other}"),
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let base = name.split('{').next().unwrap();
        let suffix = base.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} is not of {family}"));
        assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line} is not of {family}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(name.to_owned()), "{name} comes twice");
    }
}

#[test]
fn every_figure_that_was_written_down_is_in_the_metrics_of_the_daemon() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let found = metrics(&node);
    let mut wanted: Vec<String> = QUALITIES.iter().flat_map(|quality| gauges(quality, &expected(quality))).collect();
    wanted.sort_unstable();
    assert_eq!(samples(&found), wanted);
    assert_well_formed(&found);
    assert_eq!(value(&found, "gapless_coverage_unsettled_hours").as_deref(), Some("0"));
}

#[test]
fn gauges_follow_the_disk_and_go_with_their_hour() {
    let archive = TestArchive::empty();
    for hour in ["2019-11-13T02", "2019-11-13T03", "2019-11-13T04"] {
        archive.segment(&format!("desert \"bus\"/source/{hour}"), "00:00", 2.0, Kind::Full);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let series = |name: &str, hour: &str, more: &str| {
        format!("{name}{{channel=\"desert \\\"bus\\\"\",quality=\"source\",hour=\"2019-11-13T{hour}\"{more}}}")
    };
    let of = |name: &str, hour: &str| value(&metrics(&node), &series(name, hour, ""));
    let full = |hour: &str| value(&metrics(&node), &series("segment_count", hour, ",type=\"full\""));
    assert_eq!((full("04").as_deref(), of("raw_holes", "04").as_deref()), (Some("1"), Some("0")));

    archive.segment("desert \"bus\"/source/2019-11-13T04", "00:04", 2.0, Kind::Full);
    eventually(SOON, || full("04").as_deref() == Some("2"));
    assert_eq!(of("raw_hole_seconds", "04").as_deref(), Some("2.000000"));
    assert_eq!(of("raw_coverage", "04").as_deref(), Some("4.000000"));

    // The hour in the middle: it stays, and is a hole from its first instant to its last.
    archive.remove("desert \"bus\"/source/2019-11-13T03");
    eventually(SOON, || full("03").as_deref() == Some("0"));
    for lane in ["raw", "editable"] {
        let of = |name: &str| of(&format!("{lane}_{name}"), "03");
        assert_eq!(of("holes").as_deref(), Some("1"));
        assert_eq!(of("hole_seconds").as_deref(), Some("3600.000000"));
        assert_eq!(of("coverage").as_deref(), Some("0.000000"));
    }
    // The first one: now nothing was missing before the last.
    archive.remove("desert \"bus\"/source/2019-11-13T02");
    eventually(SOON, || full("02").is_none());
    let found = metrics(&node);
    assert!(samples(&found).iter().all(|line| line.contains("hour=\"2019-11-13T04\"")), "{found}");
    assert_well_formed(&found);
    archive.remove("desert \"bus\"");
    eventually(SOON, || samples(&metrics(&node)).is_empty());
}

/// Samples by series without its hour, added up, in millionths.
fn sums(samples: &[String]) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for line in samples {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (before, after) = series.split_once(",hour=\"").unwrap();
        let (_, after) = after.split_once('"').unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "a few hours")]
        let millionths = (value.parse::<f64>().unwrap() * 1e6).round() as i64;
        *sums.entry(format!("{before}{after}")).or_default() += millionths;
    }
    sums
}

#[test]
fn older_hours_are_one_sum_so_that_nothing_is_lost_by_the_limit() {
    let archive = TestArchive::sample();
    // Hours without a directory, long before all others.
    archive.segment("desertbus/source/2019-11-12T20", "59:59", 2.0, Kind::Partial);
    let all = {
        let node = TestNode::start(&archive);
        node.wait_ready();
        let all = samples(&metrics(&node));
        node.terminate();
        all
    };
    for limit in [0, 1, 3, 8] {
        let node = TestNode::plan(&archive).config(&format!("[coverage]\ngauge_hours = {limit}\n")).start();
        node.wait_ready();
        let found = metrics(&node);
        assert_well_formed(&found);
        let told = samples(&found);
        assert_eq!(sums(&told), sums(&all), "{limit}");
        let by_themselves: Vec<&String> = told.iter().filter(|line| !line.contains("hour=\"older\"")).collect();
        assert!(by_themselves.iter().all(|line| all.contains(line)));
        let hours: BTreeSet<&str> = by_themselves
            .iter()
            .filter(|line| line.contains("quality=\"source\""))
            .map(|line| line.split("hour=\"").nth(1).unwrap().split('"').next().unwrap())
            .collect();
        assert_eq!(hours.len(), limit, "{hours:?}");
        // Once more from what is kept of the older hours, and once more after one of them has changed.
        assert_eq!(samples(&metrics(&node)), told);
        if limit == 3 {
            let older = "segment_count{channel=\"desertbus\",quality=\"source\",hour=\"older\",type=\"partial\"}";
            let before: u64 = value(&found, older).unwrap().parse().unwrap();
            archive.segment("desertbus/source/2019-11-12T21", "10:00", 2.0, Kind::Partial);
            eventually(SOON, || value(&metrics(&node), older) == Some((before + 1).to_string()));
            archive.remove("desertbus/source/2019-11-12T21");
            eventually(SOON, || samples(&metrics(&node)) == told);
        }
        node.terminate();
    }
    let node = TestNode::plan(&archive).config("[coverage]\ngauges = false\n").start();
    node.wait_ready();
    assert_eq!(samples(&metrics(&node)), [""; 0]);
}

#[test]
fn every_pixel_that_was_written_down_is_in_the_map_of_the_api() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    for quality in QUALITIES {
        let written = text(&expected(quality)["map"]);
        let address = format!("/api/v1/map/desertbus/{quality}");
        let answer = node.get(&address);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/png")));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(pixels(&answer.body), written, "{quality}");
        let tag = answer.etag();
        assert_eq!(node.get_with(&address, &[("If-None-Match", &tag)]).status, 304);
        // Half an hour of it, in columns of a minute.
        let half = node.get(&format!("{address}?from=2019-11-13T03:30&to=2019-11-13T04:00&rows=30"));
        let begins = hours_before(&node, quality, "2019-11-13T03") * 1_800 + 900;
        assert_eq!(pixels(&half.body), written[begins..begins + 900], "{quality}");
        // A minute a pixel: white where one of its thirty is, else orange where one is.
        let minutes = node.get(&format!("{address}?pixel=1min&rows=60"));
        let worst =
            |thirty: &[u8]| ['W', 'O', 'B'].into_iter().find(|colour| thirty.contains(&(*colour as u8))).unwrap();
        let coarse: String = written.as_bytes().chunks(30).map(worst).collect();
        assert_eq!(pixels(&minutes.body), coarse, "{quality}");
    }
}

/// Hours from the first directory of a quality to another hour.
fn hours_before(node: &TestNode, quality: &str, hour: &str) -> usize {
    let hours = node.files(&format!("desertbus/{quality}"));
    let number = |text: &str| gapless::archive::Hour::parse(text).unwrap().number();
    usize::try_from(number(hour) - number(&hours[0])).unwrap()
}

#[test]
fn a_map_that_is_too_large_or_of_nothing_is_refused_with_a_sentence() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let refused = |query: &str| node.get(&format!("/api/v1/map/desertbus/source?{query}")).problem(400).1;
    for (query, words) in [
        ("from=2019-11-14&to=2019-11-13", "a time after from"),
        ("from=noon", "a time such as"),
        ("pixel=0", "from 0.001 s to 1 day"),
        ("pixel=fast", "a number of seconds such as 0.5"),
        ("rows=0", "a whole number from 1 to 65535"),
        ("rows=100000", "a whole number from 1 to 65535"),
        ("from=1990-01-01&to=2020-01-01", "at most 16200000 pixels"),
        ("from=2019-11-13&to=2019-11-14&pixel=1&rows=1", "at least 1.319 seconds"),
    ] {
        let detail = refused(query);
        assert!(detail.contains(words), "{query}: {detail}");
    }
    for nothing in ["nobody/source", "nobody/source?from=2019-11-13", "desertbus/chat", "desertbus"] {
        assert_eq!(node.get(&format!("/api/v1/map/{nothing}")).status, 404, "{nothing}");
    }
    let white = node.get("/api/v1/map/nobody/source?from=2019-11-13T02&to=2019-11-13T03");
    assert_eq!(pixels(&white.body), "W".repeat(1_800));
    assert_eq!(node.request("HEAD", "/api/v1/map/desertbus/source", &[]).status, 200);
}

/// A map beneath the base, once it is there and whole.
fn written_map(archive: &TestArchive, stream: &str) -> Option<String> {
    let file = archive.at(&format!("coverage-maps/{stream}_coverage.png"));
    file.exists().then(|| pixels(&std::fs::read(file).unwrap()))
}

#[test]
fn a_node_keeps_maps_and_pages_beneath_the_base_up_to_date() {
    let (archive, other) = (TestArchive::sample(), TestArchive::empty());
    let list = archive.outside().join("nodes");
    std::fs::write(&list, "from-file http://127.0.0.1:1/\n").unwrap();
    // An earlier process was killed while it wrote.
    let left = archive.at("coverage-maps/.desertbus_source_coverage.png.0123456789abcdef.tmp");
    archive.raw("coverage-maps/.desertbus_source_coverage.png.0123456789abcdef.tmp", b"half");
    let node = TestNode::plan(&archive)
        .config("[coverage]\nmaps = \"20ms\"\n")
        .flag("--name")
        .flag("ours")
        .flag("--peer")
        .flag("from-flag=http://127.0.0.1:2/sub")
        .flag("--node-file")
        .flag(&list)
        .start();
    for quality in QUALITIES {
        let stream = format!("desertbus_{quality}");
        let expected = text(&expected(quality)["map"]);
        eventually(SOON, || written_map(&archive, &stream).as_ref() == Some(&expected));
        let page = archive.at(&format!("coverage-maps/{stream}_coverage.html"));
        eventually(SOON, || page.exists() && std::fs::read_to_string(&page).unwrap().contains("from-file"));
        let page = std::fs::read_to_string(&page).unwrap();
        let picture = format!("{stream}_coverage.png");
        for (name, source) in [
            ("ours", picture.clone()),
            ("from-flag", format!("http://127.0.0.1:2/sub/segments/coverage-maps/{picture}")),
            ("from-file", format!("http://127.0.0.1:1/segments/coverage-maps/{picture}")),
        ] {
            assert!(page.contains(&format!("<h2>{name}</h2>\n<p><img src=\"{source}\"")), "{page}");
        }
        let served = node.get(&format!("/segments/coverage-maps/{picture}"));
        assert_eq!(pixels(&served.body), expected);
    }
    assert!(!left.exists());
    // Another segment, and the same pixels as the API has.
    archive.segment("desertbus/source/2019-11-13T07", "59:00", 30.0, Kind::Partial);
    let asked = || pixels(&node.get("/api/v1/map/desertbus/source").body);
    eventually(SOON, || asked().contains(&"O".repeat(15)));
    eventually(SOON, || written_map(&archive, "desertbus_source").as_ref() == Some(&asked()));
    archive.rename_dir("coverage-maps", "maps-of-yesterday");
    eventually(SOON, || written_map(&archive, "desertbus_source").as_ref() == Some(&asked()));

    assert!(!node.files("").iter().any(|channel| channel == "coverage-maps"), "it is no channel");
    assert_eq!(node.get("/files/coverage-maps").list(), [""; 0]);
    let peer = format!("ours=http://{}", node.address);
    let refused = gapless(other.path(), &["backfill", "--once", "--peer", &peer, "--extras", "coverage-maps"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("each node draws its own maps"), "{}", refused.err);
    assert!(TestNode::plan(&other).config("[backfill]\nextras = \"coverage-maps\"\n").refused().code == 2);
    node.check();
    let names = || -> BTreeSet<String> {
        let entries = std::fs::read_dir(archive.at("coverage-maps")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    };
    eventually(SOON, || names().len() == 4);
}

#[test]
fn maps_that_cannot_be_written_are_told_once_and_cost_nothing_else() {
    let archive = TestArchive::sample();
    archive.raw("coverage-maps", b"a file where the directory should be");
    let node = TestNode::plan(&archive).config("[coverage]\nmaps = \"10ms\"\n").start();
    node.wait_ready();
    eventually(SOON, || node.log().contains("maps cannot be written"));
    archive.segment("desertbus/source/2019-11-13T07", "59:00", 2.0, Kind::Full);
    let hour = "/api/v1/holes/desertbus/source?from=2019-11-13T07:59:00&to=2019-11-13T07:59:02";
    eventually(SOON, || node.get(hour).json()["covered_seconds"] == 2.0);
    archive.remove("coverage-maps");
    eventually(SOON, || node.log().contains("all maps can be written again"));
    assert!(written_map(&archive, "desertbus_480p").is_some());
    assert_eq!(node.log().matches("maps cannot be written").count(), 1, "{}", node.log());
    assert_eq!(TestNode::plan(&archive).config("[coverage]\nmaps = \"soon\"\n").refused().code, 2);
}

#[test]
fn the_command_asks_a_daemon_a_few_questions_however_many_hours_there_are() {
    let archive = TestArchive::sample();
    for number in 0..60 {
        let hour = gapless::archive::Hour::parse("2019-11-10T00").unwrap().earlier(number);
        archive.segment(&format!("desertbus/source/{hour}"), "00:00", 2.0, Kind::Full);
    }
    let list = archive.outside().join("nodes");
    std::fs::write(&list, "from-file http://127.0.0.1:1/\n").unwrap();
    let node = TestNode::plan(&archive).config("[coverage]\nmaps = \"off\"\n").flag("--node-file").flag(&list).start();
    node.wait_ready();
    eventually(SOON, || node.get("/api/v1/status").text().contains("from-file"));
    let requests = || -> u64 {
        let text = metrics(&node);
        let counts = text.lines().filter(|line| line.starts_with("http_request_latency_all_count{"));
        counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    let before = requests();
    assert_eq!(node.run(&["coverage", "--once", "--maps"]).code, 0);
    // Channels and their qualities, status, a look whether it lives; and hours, figures and map of each of two qualities.
    let asked = requests() - before;
    assert!(asked < 16, "{asked}");
    let page = String::from_utf8(archive.read("coverage-maps/desertbus_source_coverage.html")).unwrap();
    assert!(page.contains("<h2>from-file</h2>"), "{page}");
    let asked = pixels(&node.get("/api/v1/map/desertbus/source").body);
    assert_eq!(written_map(&archive, "desertbus_source"), Some(asked));
}
