//! The pages at `/` and `/status` in a real browser, and what they are made of: what is drawn, what keys and pointers do, what comes
//! without reloading, and that names are only ever shown. Pages with very much or nothing to show are in `crowded_page`.

use gapless::archive::Timestamp;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::peer::FalsePeer;
use crate::support::trouble::{set_mode, wait_for_a_good_index};
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, quoted};

pub(crate) const HOUR: &str = "chan/source/2020-01-01T05";
/// A window around that hour.
pub(crate) const WINDOW: &str = "/#from=2020-01-01T05:00:00Z&to=2020-01-01T05:10:00Z";
/// A name that would do harm where it were taken for more than a name.
const NAME: &str = "<img src=x onerror=\"document.title='harm'\"> & 'friends' <script>document.title='harm'<!--";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";

/// Ten minutes of segments of ten seconds; says the path of each.
pub(crate) fn ten_minutes(archive: &TestArchive, hour: &str) -> Vec<String> {
    (0..60)
        .map(|each| archive.segment(hour, &format!("{:02}:{:02}", each / 6, each % 6 * 10), 10.0, Kind::Full))
        .collect()
}

/// The row of a quality, or the same on another node, as the page finds it.
pub(crate) fn row(channel: &str, peer: Option<&str>) -> String {
    let peer = peer.map_or("!each.dataset.peer".to_owned(), |peer| format!("each.dataset.peer === {}", json!(peer)));
    format!(
        "[...document.querySelectorAll('.track')].find((each) => each.dataset.channel === {} && {peer})",
        json!(channel)
    )
}

/// What of a row is drawn in this colour of the style sheet, as a share of its pixels in one column per mille of its width.
fn columns(browser: &Browser, row: &str, colour: &str) -> Vec<i64> {
    let script = format!(
        "const canvas = {row}.querySelector('canvas');
         const {{ width, height }} = canvas;
         const probe = Object.assign(document.createElement('canvas'), {{ width: 1, height: 1 }}).getContext('2d');
         probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--{colour}').trim();
         probe.fillRect(0, 0, 1, 1);
         const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
         const data = canvas.getContext('2d').getImageData(0, Math.floor(height * 0.7), width, 1).data;
         const found = [];
         for (let x = 0; x < width; x += 1)
           if (data[4 * x] === r && data[4 * x + 1] === g && data[4 * x + 2] === b) found.push(Math.round(1000 * x / width));
         return found;"
    );
    browser.run(&script).as_array().unwrap().iter().filter_map(Value::as_i64).collect()
}

/// Whether one of the columns is there, or beside it: a column may be wider than one per mille.
fn has(columns: &[i64], at: i64) -> bool {
    columns.iter().any(|column| (column - at).abs() <= 2)
}

/// A place in a row, at a share of its width in per mille.
pub(crate) fn place(browser: &Browser, row: &str, per_mille: i64) -> (i64, i64) {
    let script = format!(
        "const box = {row}.getBoundingClientRect();
         return [Math.round(box.left + box.width * {per_mille} / 1000), Math.round(box.top + box.height / 2)]"
    );
    let found = browser.run(&script);
    (found[0].as_i64().unwrap(), found[1].as_i64().unwrap())
}

pub(crate) fn drawn_missing(row: &str, count: usize) -> String {
    format!("{row}?.dataset.missing === '{count}' && {row}.dataset.drawn !== ''")
}

pub(crate) fn has_no_complaints(browser: &Browser) {
    assert_eq!(browser.log(), Vec::<String>::new());
}

#[test]
fn the_page_draws_what_is_there_and_what_is_missing_zooms_moves_and_explains() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
    let paths = ten_minutes(&ours, HOUR);
    for path in &paths {
        theirs.raw(path, &ours.read(path));
    }
    // Nobody has 05:03:00 to 05:04:00, and the other one lacks the second minute as well.
    paths[18..24].iter().for_each(|path| ours.remove(path));
    paths[18..24].iter().chain(&paths[6..12]).for_each(|path| theirs.remove(path));
    let partial = ours.read(&paths[50]);
    ours.remove(&paths[50]);
    ours.named(HOUR, "08:20-10.0-partial", "ts", &partial);
    theirs.remove(&paths[50]);
    let other = TestNode::start(&theirs);
    other.wait_ready();
    let node = TestNode::plan(&ours).flag("--peer").flag(format!("other=http://{}", other.address)).start();
    node.wait_ready();

    let browser = Browser::start(1440, 900);
    browser.open(&node, WINDOW);
    let (source, elsewhere) = (row("chan", None), row("chan", Some("other")));
    browser.wait_until(&drawn_missing(&source, 1));
    browser.wait_until(&drawn_missing(&elsewhere, 3));
    // The second minute of the other node is a hole there; one of ten minutes is missing here, from 300 to 400 per mille.
    let blue = columns(&browser, &source, "full");
    assert!(has(&blue, 100) && has(&blue, 290) && has(&blue, 410) && !has(&blue, 350), "{blue:?}");
    let void = columns(&browser, &source, "void");
    assert!(void.iter().all(|at| (300..=400).contains(at)) && void.len() > 50, "{void:?}");
    let orange = columns(&browser, &source, "partial");
    assert!(orange.iter().all(|at| (832..=851).contains(at)) && !orange.is_empty(), "{orange:?}");
    assert!(has(&columns(&browser, &elsewhere, "void"), 150));

    // The hint says the time in UTC and where the page is looked at, and then the hole.
    browser.point(place(&browser, &source, 350));
    browser.wait_until("document.getElementById('tip').innerText.includes('hole of 1 min')");
    let hint = browser.text("document.getElementById('tip').innerText");
    assert!(hint.contains("2020-01-01 05:03:") && hint.contains("10:33:"), "{hint}");
    browser.point(place(&browser, &source, 155));
    browser.wait_until("document.getElementById('tip').innerText.includes('full segment of 10 s')");
    let name = paths[9].rsplit_once('/').unwrap().1;
    browser.wait_until(&format!("document.getElementById('tip').innerText.includes({})", json!(name)));

    // A click explains the hole, and asks the other node about it.
    browser.point(place(&browser, &source, 350));
    browser.click();
    browser.wait_until("document.getElementById('panel')?.innerText.includes('Hole of 1 min')");
    browser.wait_until("document.getElementById('panel').innerText.includes('other lacks all of it, too')");
    let panel = browser.text("document.getElementById('panel').innerText");
    let (before, after) = (paths[17].rsplit_once('/').unwrap().1, paths[24].rsplit_once('/').unwrap().1);
    assert!(panel.contains(before) && panel.contains(after) && panel.contains("2020-01-01 05:03:00"), "{panel}");

    // Wheel, keys and dragging change what is shown, and the address says so.
    let shown = || {
        let drawn = browser.text(&format!("{source}.dataset.drawn"));
        let times: Vec<Timestamp> = drawn.split('/').map(|time| Timestamp::parse(time).unwrap()).collect();
        (times[0], times[1])
    };
    let (from, to) = shown();
    browser.wheel_with_ctrl(place(&browser, &source, 350), -200);
    browser.wait_until(&format!("!{source}.dataset.drawn.startsWith('2020-01-01T05:00:00.000Z')"));
    let (zoomed_from, zoomed_to) = shown();
    assert!(zoomed_from > from && zoomed_to < to, "{zoomed_from} {zoomed_to}");
    browser.drag(place(&browser, &source, 500), -200);
    eventually(SOON, || shown().0 > zoomed_from);
    browser.press(ESCAPE);
    browser.wait_until("document.getElementById('panel').hidden");
    browser.run(&format!("{source}.focus()"));
    let (from, _) = shown();
    browser.press(RIGHT);
    eventually(SOON, || shown().0 > from);
    let (from, to) = shown();
    browser.press("-");
    eventually(SOON, || shown().1 - shown().0 > to - from);
    browser.press(HOME);
    browser.press("n");
    browser.wait_until("document.getElementById('panel').innerText.includes('Hole of 1 min')");
    browser.wait_until(&format!("{source}.getAttribute('aria-valuetext').startsWith('2020-01-01 05:03:30 UTC')"));
    browser.press(ESCAPE);
    browser.press(ENTER);
    browser.wait_until("!document.getElementById('panel').hidden");
    browser.wait_until("document.activeElement.id === 'panel-title'");
    browser.press(ESCAPE);
    browser.press(DOWN);
    browser.wait_until("document.activeElement.dataset.peer === 'other'");
    browser.wait_until("location.hash.startsWith('#from=2020-01-01T0')");

    // A hole of two seconds is seen in a year.
    ours.remove(&paths[40]);
    browser.run("location.hash = '#from=2019-03-01T00:00:00Z&to=2020-03-01T00:00:00Z'");
    browser.wait_until(&format!("{source}.dataset.drawn.startsWith('2019-03-01')"));
    eventually(SOON, || columns(&browser, &source, "hole").len() >= 2);
    has_no_complaints(&browser);
}

#[test]
fn a_hole_that_is_made_while_the_page_is_open_comes_and_goes_without_reloading() {
    let archive = TestArchive::empty();
    let paths = ten_minutes(&archive, HOUR);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1200, 800);
    browser.open(&node, WINDOW);
    let source = row("chan", None);
    browser.wait_until(&drawn_missing(&source, 0));
    browser.run("window.same = true");
    assert_eq!(columns(&browser, &source, "hole"), Vec::<i64>::new());
    browser.wait_until("document.getElementById('holes-note').textContent.startsWith('None')");

    let content = archive.read(&paths[30]);
    archive.remove(&paths[30]);
    browser.wait_until(&drawn_missing(&source, 1));
    assert!(has(&columns(&browser, &source, "void"), 508));
    browser.wait_until("document.querySelector('#holes tbody').dataset.count === '1'");
    let listed = browser.text("document.querySelector('#holes tbody').innerText");
    assert!(listed.contains("2020-01-01 05:05:00") && listed.contains("10 s"), "{listed}");
    archive.raw(&paths[30], &content);
    browser.wait_until(&drawn_missing(&source, 0));
    assert_eq!(columns(&browser, &source, "hole"), Vec::<i64>::new());
    browser.wait_until("document.getElementById('holes-note').textContent.startsWith('None')");

    // That it was missing is not forgotten.
    browser.point(place(&browser, &source, 508));
    browser.click();
    browser.wait_until("document.getElementById('was-missing')?.innerText.includes('written by the recorder')");
    let past = browser.text("document.getElementById('was-missing').innerText");
    assert!(past.contains("2020-01-01 05:05:00 – 05:05:10 UTC, 10 s"), "{past}");

    // A channel that is new comes by itself as well, and so does the end of the node.
    ten_minutes(&archive, "later/source/2020-01-01T05");
    browser.wait_until(&drawn_missing(&row("later", None), 0));
    assert_eq!(browser.run("return window.same"), true, "nothing was loaded again");
    has_no_complaints(&browser);
    node.terminate();
    browser.wait_until("document.getElementById('health').textContent === 'no connection'");
}

#[test]
fn names_are_shown_and_never_run_and_a_narrow_page_has_all_of_it() {
    let archive = TestArchive::empty();
    ten_minutes(&archive, HOUR);
    ten_minutes(&archive, &format!("{NAME}/a \"quality\" & more/2020-01-01T05"));
    archive.raw(&format!("{NAME}/a \"quality\" & more/2020-01-01T05/misnamed.ts"), b"x");
    let node = TestNode::plan(&archive).flag("--peer").flag("gone=http://127.0.0.1:9").start();
    node.wait_ready();
    // One that is away is not asked: that would be noted as an error.
    eventually(SOON, || node.get("/api/v1/peers").json()["peers"][0]["reachable"] == false);
    let browser = Browser::start(360, 740);
    browser.open(&node, WINDOW);
    let harmful = row(NAME, None);
    browser.run(&format!("({harmful})?.scrollIntoView()"));
    browser.wait_until(&format!("Boolean({harmful})"));
    browser.run(&format!("{harmful}.scrollIntoView()"));
    browser.wait_until(&drawn_missing(&harmful, 0));
    assert_eq!(browser.text("document.querySelectorAll('main img, main script').length"), "0");
    browser.wait_until(&format!("{}.innerText.includes('cannot reach')", row(NAME, Some("gone"))));
    let text = browser.text("document.body.innerText");
    assert!(text.contains(NAME) && text.contains("a \"quality\" & more"), "{text}");
    let wide = "document.documentElement.scrollWidth";
    assert_eq!(browser.text(wide), "360");
    browser.point(place(&browser, &harmful, 500));
    browser.click();
    browser.wait_until("document.getElementById('panel').innerText.includes('full segment')");
    assert_eq!(browser.text(wide), "360");

    browser.open(&node, "/status");
    browser.wait_until("document.getElementById('streams').innerText.includes('friends')");
    browser.wait_until("document.getElementById('troubles').innerText.includes('gone: ')");
    browser.wait_until("document.querySelector('#troubles code')?.innerText === 'gapless import'");
    assert!(!browser.text("document.getElementById('troubles').innerText").contains('`'), "commands are set as code");
    browser.wait_until("document.getElementById('jobs').innerText.includes('backing off')");
    assert!(browser.text("document.getElementById('jobs').innerText").contains("backfill gone"));
    assert!(browser.text("document.getElementById('streams').innerText").contains(NAME));
    assert_eq!(browser.text(wide), "360");
    assert_eq!(browser.text("document.querySelectorAll('main img, main script').length"), "0");
    // It follows: what has come is there without loading it again.
    browser.run("window.same = true");
    ten_minutes(&archive, "later/source/2020-01-01T06");
    browser.wait_until("document.getElementById('streams').innerText.includes('later')");
    assert_eq!(browser.run("return window.same"), true);
    assert!(!browser.text("document.title").contains("harm"));
    has_no_complaints(&browser);
}

#[test]
fn where_reading_wants_a_token_the_page_asks_for_it_and_keeps_it() {
    let (archive, tokens) = (TestArchive::empty(), tempfile::tempdir().unwrap());
    ten_minutes(&archive, HOUR);
    let file = tokens.path().join("readers");
    std::fs::write(&file, "reader-0123456789abcdef").unwrap();
    set_mode(&file, 0o600);
    let node = TestNode::plan(&archive).flag("--read-tokens").flag(&file).start();
    let bearer = [("Authorization", "Bearer reader-0123456789abcdef")];
    eventually(SOON * 2, || node.get_with("/readyz", &bearer).status == 200);
    for path in ["/api/v1/streams", "/api/v1/peers", "/api/v1/events", "/api/v1/explain/chan/source"] {
        node.get(path).problem(401);
    }
    let browser = Browser::start(1000, 700);
    browser.open(&node, WINDOW);
    let give = |token: &str| {
        browser.wait_until("document.getElementById('ask').open");
        browser.run(&format!(
            "document.getElementById('token').value = {}; document.querySelector('#ask button').click()",
            json!(token)
        ));
    };
    give("nobody-0123456789abcdef");
    browser.wait_until("document.getElementById('ask-why').textContent.includes('does not accept that token')");
    give("reader-0123456789abcdef");
    browser.wait_until(&drawn_missing(&row("chan", None), 0));
    browser.wait_until("document.documentElement.dataset.line === 'there'");
    browser.open(&node, "/status");
    browser.wait_until("document.getElementById('streams').innerText.includes('chan')");
    assert_eq!(browser.text("document.getElementById('ask').open"), "false", "it is kept");
    // The browser notes every 401 by itself; nothing else went wrong.
    let complaints = browser.log();
    assert!(complaints.iter().all(|line| line.contains("401")), "{complaints:?}");
}

#[test]
fn the_files_of_the_page_allow_nothing_but_themselves_and_are_not_sent_twice() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/status", "text/html; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/page.js", "text/javascript; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let got = node.get(path);
        assert_eq!((got.status, got.header("content-type")), (200, Some(kind)), "{path}");
        let policy = got.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.header("referrer-policy"), Some("no-referrer"));
        let again = node.get_with(path, &[("If-None-Match", &got.etag())]);
        assert_eq!((again.status, again.body.len()), (304, 0));
        let packed = node.get_with(path, &[("Accept-Encoding", "gzip")]);
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.body.len() < got.body.len() || got.body.len() < 400);
        assert_eq!(node.request("HEAD", path, &[]).status, 200);
    }
    node.get("/page/other.js").problem(404);
    node.get("/page/../page.js").problem(404);
}

#[test]
fn a_time_is_explained_over_http_as_on_the_command_line() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    for at in ["2019-11-13T02:55:09", "2019-11-13T02:55:25", "2010-01-01T00:00:00", "2030-01-01T00:00:00"] {
        let printed = node.run(&["--json", "explain", at, "--channel", "desertbus", "--quality", "source"]).json(0);
        let got = node.get(&format!("/api/v1/explain/desertbus/source?at={at}"));
        assert_eq!(got.json(), printed);
    }
    for (query, expected) in [("", 400), ("?at=", 400), ("?at=whenever", 400)] {
        node.get(&format!("/api/v1/explain/desertbus/source{query}")).problem(expected);
    }
    node.get("/api/v1/explain/desertbus").problem(404);
    let nobody = node.get("/api/v1/explain/nobody/source?at=2019-11-13T02:55:09").json();
    assert_eq!((&nobody["played"], &nobody["hole"]["start"]), (&Value::Null, &Value::Null));
}

#[test]
fn other_nodes_are_asked_in_the_name_of_whoever_looks_and_one_that_cannot_say_is_told() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
    let hour = "a \"b\" & <c>/source/2020-01-01T05";
    let paths = ten_minutes(&theirs, hour);
    theirs.remove(&paths[3]);
    ten_minutes(&theirs, "private/source/2020-01-01T05");
    // Nothing is asked about what is not here as well.
    ours.segment(hour, "00:00", 10.0, Kind::Full);
    let other = TestNode::start(&theirs);
    wait_for_a_good_index(&other);
    other.wait_ready();
    let counted = FalsePeer::before(&other, |_| true);
    // One that answers the fixed part alone, and some that say what they were not asked, or what would keep a browser busy for ever.
    let fixed = FalsePeer::before(&other, |path| !path.starts_with("/api/"));
    let odd = FalsePeer::start(|path| {
        let timeline = r#"{"channel":"x","quality":"y","from":"2020-01-01T05:00:00Z","to":"2020-01-01T05:10:00Z",
            "pixels":9,"extent":null,"runs":[[4,7,0]]}"#;
        if path.contains("timeline") {
            crate::support::peer::Sent::answer("200 OK", "Content-Type: application/json\r\n", timeline.as_bytes())
        } else {
            crate::support::peer::Sent::not_found()
        }
    });
    let endless = FalsePeer::start(|path| {
        let timeline = r#"{"channel":"a \"b\" & <c>","quality":"source","from":"2020-01-01T05:00:00Z","to":"2020-01-01T05:10:00Z",
            "pixels":60,"extent":{"start":"x","end":"y"},"runs":[[60,0,0]]}"#;
        if path.contains("timeline") {
            crate::support::peer::Sent::answer("200 OK", "Content-Type: application/json\r\n", timeline.as_bytes())
        } else {
            crate::support::peer::Sent::not_found()
        }
    });
    // What is private stays there.
    let mut plan = TestNode::plan(&ours).config("[backfill]\nchannels = [\"what is fetched\"]\n");
    for (name, address) in [
        ("real", other.address),
        ("counted", counted.address),
        ("fixed", fixed.address),
        ("odd", odd.address),
        ("endless", endless.address),
    ] {
        plan = plan.flag("--peer").flag(format!("{name}=http://{address}"));
    }
    let node = plan.flag("--peer").flag("gone=http://127.0.0.1:9").start();
    node.wait_ready();
    // Their workers begin a moment after that.
    eventually(SOON, || node.get("/api/v1/peers").json()["peers"].as_array().is_some_and(|peers| !peers.is_empty()));
    let peers = node.get("/api/v1/peers").json();
    let mut names: Vec<&str> =
        peers["peers"].as_array().unwrap().iter().filter_map(|peer| peer["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["counted", "endless", "fixed", "gone", "odd", "real"]);

    let stream = quoted("a \"b\" & <c>/source");
    let window = "from=2020-01-01T05:00:00Z&to=2020-01-01T05:10:00Z&pixels=60";
    let direct = other.get(&format!("/api/v1/timeline/{stream}?{window}")).json();
    let by_way = node.get(&format!("/api/v1/peers/real/timeline/{stream}?{window}"));
    assert_eq!(by_way.json(), direct);
    assert_eq!(direct["runs"], json!([[3, 0, 0], [1, 1000, 0], [56, 0, 0]]));
    let holes = node.get(&format!("/api/v1/peers/real/holes/{stream}?from=2020-01-01T05:00:00Z")).json();
    assert_eq!(holes["holes"].as_array().unwrap().len(), 1);

    let (_, detail) = node.get(&format!("/api/v1/peers/fixed/timeline/{stream}?{window}")).problem(502);
    assert!(detail.contains("only lists files"), "{detail}");
    for (name, why) in [("odd", "does not match the request"), ("endless", "expected a time")] {
        let (_, detail) = node.get(&format!("/api/v1/peers/{name}/timeline/{stream}?{window}")).problem(502);
        assert!(detail.contains(why), "{detail}");
    }
    let (_, detail) = node.get(&format!("/api/v1/peers/gone/timeline/{stream}?{window}")).problem(502);
    assert!(detail.contains("gone") && detail.contains("reach"), "{detail}");
    let (_, detail) = node.get(&format!("/api/v1/peers/real/timeline/private/source?{window}")).problem(404);
    assert!(detail.contains("its own only"), "{detail}");
    assert_eq!(other.get("/api/v1/timeline/private/source").status, 200);
    node.get(&format!("/api/v1/peers/nobody/timeline/{stream}?{window}")).problem(404);
    node.get(&format!("/api/v1/peers/real/timeline/{stream}?from=monday&to=2020-01-01T05:10:00Z&pixels=60"))
        .problem(400);
    node.get(&format!("/api/v1/peers/real/timeline/{stream}?{window}0000")).problem(400);

    // Many who look at the same thing ask for it less often than they look.
    let asked = || counted.asked().iter().filter(|path| path.contains("/timeline/")).count();
    let before = asked();
    for _ in 0..20 {
        assert_eq!(node.get(&format!("/api/v1/peers/counted/timeline/{stream}?{window}")).json(), direct);
    }
    assert!((1..20).contains(&(asked() - before)), "{} of 20", asked() - before);
}

#[test]
fn the_latest_holes_are_listed_however_many_there_are_and_the_next_one_is_another_one() {
    let archive = TestArchive::empty();
    // A hole after each of 180 segments in one hour, and two whose ends are finer than a browser knows, much later.
    for each in 0..180 {
        archive.segment(HOUR, &format!("{:02}:{:02}", each / 3, each % 3 * 20), 10.0, Kind::Full);
    }
    let late = "chan/source/2020-02-20T05";
    for (start, seconds) in [("00:00.123456", 9.876_999), ("00:11.000455", 9.5), ("00:22", 8.0)] {
        archive.segment(late, start, seconds, Kind::Full);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1200, 800);
    // All of the first hour lies in one pixel of three years.
    browser.open(&node, "/#from=2018-01-01T00:00:00Z&to=2021-01-01T00:00:00Z");
    browser.wait_until("document.querySelector('#holes tbody').dataset.count === '50'");
    let note = browser.text("document.getElementById('holes-note').textContent");
    assert!(note.contains("The latest 50") && note.contains("not complete"), "{note}");
    let line = |at: usize| browser.text(&format!("document.querySelectorAll('#holes tbody tr')[{at}].innerText"));
    assert!(line(0).contains("2020-02-20 05:00:20"), "{}", line(0));
    assert!(line(1).contains("2020-02-20 05:00:10"), "{}", line(1));
    assert!(line(2).contains("2020-01-01 05:59:50"), "{}", line(2));
    assert!(line(49).contains("2020-01-01 05:44:10"), "{}", line(49));

    // From one hole to the next and back, however fine their ends are.
    let source = row("chan", None);
    browser.run("location.hash = '#from=2020-02-20T05:00:05Z&to=2020-02-20T05:00:35Z'");
    browser.wait_until(&drawn_missing(&source, 2));
    browser.run(&format!("{source}.focus()"));
    browser.press(HOME);
    browser.press("p");
    browser.wait_until("document.getElementById('said').textContent.startsWith('No hole before')");
    browser.press(END);
    browser.press("p");
    let is_at = |time: &str| {
        browser.wait_until(&format!("document.querySelector('#panel time')?.dateTime === '2020-02-20T05:00:{time}Z'"));
    };
    is_at("20.500455");
    browser.press("p");
    is_at("10.000455");
    browser.press("n");
    is_at("20.500455");
    browser.press("n");
    browser.wait_until("document.getElementById('said').textContent.startsWith('No hole after')");
    has_no_complaints(&browser);
}

#[test]
fn a_page_that_nobody_looks_at_does_not_listen_and_catches_up_afterwards() {
    let archive = TestArchive::empty();
    let paths = ten_minutes(&archive, HOUR);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1200, 800);
    browser.open(&node, WINDOW);
    let source = row("chan", None);
    let line = |state: &str| browser.wait_until(&format!("document.documentElement.dataset.line === '{state}'"));
    browser.wait_until(&drawn_missing(&source, 0));
    line("there");
    let hide = |hidden: bool| {
        browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    hide(true);
    line("hidden");
    archive.remove(&paths[30]);
    eventually(SOON, || node.get("/api/v1/holes/chan/source").json()["holes"].as_array().unwrap().len() == 1);
    assert_eq!(browser.text(&format!("{source}.dataset.missing")), "0");
    hide(false);
    line("there");
    browser.wait_until(&drawn_missing(&source, 1));
    has_no_complaints(&browser);
}

#[test]
fn what_is_told_is_never_more_than_the_page_can_show() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
    let hour = |archive: &TestArchive| {
        for each in ["00:00", "00:20"] {
            archive.segment(HOUR, each, 10.0, Kind::Full);
        }
    };
    hour(&ours);
    hour(&theirs);
    // A directory that is nobody's day.
    ours.mkdir("chan/source/9999-12-31T23");
    let other = TestNode::plan(&theirs).flag("--name").flag("other").start();
    other.wait_ready();
    let node = TestNode::plan(&ours).flag("--peer").flag(format!("other=http://{}", other.address)).start();
    node.wait_ready();
    eventually(SOON * 2, || {
        node.get("/api/v1/holes/chan/source").json()["holes"][0]["reason"].as_str() == Some("nobody_has")
    });
    let browser = Browser::start(1200, 800);
    // Nothing in the address: the last day that was recorded, whatever a directory is called.
    browser.open(&node, "/");
    browser.wait_until("location.hash.startsWith('#from=2019-12-31T06:')");
    browser.wait_until("document.querySelector('#holes tbody').dataset.count === '1'");
    assert!(browser.text("document.querySelector('#holes tbody').innerText").contains("nobody has it"));
    browser.run("document.getElementById('all').click()");
    browser.wait_until(
        "location.hash.startsWith('#from=2020-01-01T04:59:59') || location.hash.startsWith('#from=2020-01-01T05:00')",
    );
    browser.run("document.querySelector('#holes tbody button').click()");
    browser.wait_until("document.getElementById('panel').innerText.includes('nobody has it')");
    browser.wait_until("document.getElementById('panel').innerText.includes('lacks all of it, too')");
    let panel = browser.text("document.getElementById('panel').innerText");
    for part in ["Hole of 10 s", "First seen", "other lacks all of it, too", "asked, and have nothing in it"] {
        assert!(panel.contains(part), "{part}: {panel}");
    }

    // What is no time ends nothing, and years before the hundredth have ticks as well.
    let checked = browser.run(
        "return Promise.all(['time', 'ticks', 'view'].map((name) => import(`/page/${name}.js`))).then(([time, { ticks }, { View }]) => {
           const view = new View(() => 0);
           const before = view.hash();
           view.set(NaN, 0);
           view.set(0, Infinity);
           const same = view.hash() === before;
           view.set(-1e18, -1e17);
           return [same, view.hash().startsWith('#from=0000-01-01T00:00:00.000Z'), ticks(NaN, NaN, 9).list.length,
             ticks(view.from, view.to, 9).list.length > 2, time.parseUp('2020-01-01T00:00:00.000001Z') - time.parse('2020-01-01T00:00:00Z')];
         })",
    );
    assert_eq!(checked, json!([true, true, 0, true, 1]));
    // Progress is no error, and a browser that keeps nothing is none either.
    let checked = browser.run(
        "return Promise.all(['api', 'dom'].map((name) => import(`/page/${name}.js`))).then(([{ Refused }, { keep, recall }]) => {
           const words = 'The index is catching up with the disk, 3 of 40 hours so far: ask again.';
           const { getItem, setItem } = Storage.prototype;
           Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('forbidden'); };
           const before = recall('localStorage', 'x');
           keep('localStorage', 'x', '1');
           const after = recall('localStorage', 'x');
           Object.assign(Storage.prototype, { getItem, setItem });
           return [new Refused(503, words).progress, new Refused(503, 'Busy.').progress, before, after];
         })",
    );
    assert_eq!(checked, json!(["catching up with the disk: 3 of 40 hours", null, null, "1"]));
    has_no_complaints(&browser);
}
