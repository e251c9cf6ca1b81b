//! The page where there is very much to show, nothing that is understood, or no place among those who listen.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use serde_json::json;

use crate::page::{HOUR, WINDOW, drawn_missing, has_no_complaints, place, row, ten_minutes};
use crate::support::browser::Browser;
use crate::support::peer::FalsePeer;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

/// Takes a place among those who listen; it is free again when this is dropped.
fn listener(node: &TestNode) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    reader
}

/// Texts of elements, in order.
fn texts(browser: &Browser, selector: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll({})].filter((each) => each.offsetParent).map((each) => each.textContent)",
        json!(selector)
    );
    let found = browser.run(&script);
    found.as_array().unwrap().iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[test]
fn of_many_channels_those_are_shown_that_somebody_looks_for_and_the_wheel_scrolls() {
    let archive = TestArchive::empty();
    let names = ["desk-10", "Desk-2", "desk-1", "gate-1", "gate-2", "hall", "roof", "yard"];
    for name in names {
        for quality in ["source", "480p"] {
            let paths = ten_minutes(&archive, &format!("{name}/{quality}/2020-01-01T05"));
            if (name, quality) == ("yard", "480p") {
                archive.remove(&paths[30]);
            }
        }
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1200, 420);
    browser.open(&node, WINDOW);
    browser.wait_until("document.querySelectorAll('.channel').length === 8");
    let channels = || texts(&browser, ".channel-name");
    assert_eq!(channels(), ["desk-1", "Desk-2", "desk-10", "gate-1", "gate-2", "hall", "roof", "yard"]);
    // The list says what it is about: what is missing lies below the edge of the window, until one scrolls there.
    let first = row("desk-1", None);
    browser.wait_until(&drawn_missing(&first, 0));
    browser.wait_until(
        "/^None in the \\d rows on the screen, of 16/.test(document.getElementById('holes-note').textContent)",
    );
    let shown = browser.text("document.getElementById('window').textContent");
    browser.wheel(place(&browser, &first, 500), 4000);
    browser.wait_until("window.scrollY > 200");
    browser.wait_until("document.getElementById('holes-note').textContent.startsWith('1 in the ')");
    // The axis and the name of the channel stay in sight.
    let above = browser.run(
        "const axis = document.getElementById('axis').getBoundingClientRect();
         return [axis.top >= document.getElementById('bar').getBoundingClientRect().bottom - 1, axis.bottom < 200]",
    );
    assert_eq!(above, json!([true, true]));
    assert_eq!(browser.text("document.getElementById('window').textContent"), shown, "nothing was zoomed");

    browser.run("document.getElementById('only-holes').click()");
    browser.wait_until("document.getElementById('filter-note').textContent === '1 of 8 channels, 1 of 16 rows'");
    assert_eq!(channels(), ["yard"]);
    assert_eq!(texts(&browser, ".lane .name"), ["480p"]);
    // What is made while one looks comes.
    archive.remove(&archive_path(&archive, "hall/source/2020-01-01T05"));
    browser.wait_until("document.getElementById('filter-note').textContent === '2 of 8 channels, 2 of 16 rows'");
    // What somebody likes is remembered; what they look for is in the address.
    browser.run(
        "const filter = document.getElementById('filter');
         filter.value = 'YARD p'; filter.dispatchEvent(new Event('input'))",
    );
    browser.wait_until("location.hash.includes('filter=YARD+p')");
    assert_eq!(channels(), ["yard"]);
    let address = browser.text("location.hash");
    browser.open(&node, &format!("/{address}"));
    browser.wait_until("document.getElementById('filter-note').textContent === '1 of 8 channels, 1 of 16 rows'");
    browser.run("document.getElementById('show-all').click(); document.getElementById('collapse').click()");
    assert_eq!((channels().len(), texts(&browser, ".lane .name").len()), (8, 0));
    browser.open(&node, WINDOW);
    browser.wait_until("document.getElementById('collapse').textContent === 'Expand all'");
    browser.run("document.querySelector('.channel-name').click()");
    assert_eq!(texts(&browser, ".lane .name"), ["480p", "source"]);

    // The other clock comes first, here and on the next page.
    browser.run("document.querySelector('[data-clock=local]').click()");
    browser.wait_until(
        "document.getElementById('window').textContent.includes('2020-01-01 10:30:00 – 10:40:00 GMT+5:30')",
    );
    assert_eq!(browser.text("document.getElementById('zone-first').textContent"), "GMT+5:30");
    browser.open(&node, "/status");
    browser.wait_until("/ GMT\\+5:30/.test(document.getElementById('about').innerText)");
    has_no_complaints(&browser);

    // Times are understood as people type them, by the clock that comes first.
    let understood = browser.run(
        "return Promise.all(['typed', 'zone'].map((name) => import(`/page/${name}.js`))).then(([{ understand }, { UTC, LOCAL }]) => {
           const at = Date.parse('2020-01-01T05:03:00Z');
           const told = { clock: UTC, now: at, from: at - 180000, to: at + 420000, near: at };
           const read = (text, more) => { const ms = understand(text, { ...told, ...more }); return Number.isNaN(ms) ? text : new Date(ms).toISOString().slice(0, -5); };
           return [read('7:36'), read('07:36:10'), read(' 2020-01-02 7:36 '), read('2020-01-01T05'), read('2020-01-01T05:00+0130'), read('now'), read('90s ago'),
             read('yesterday 23:00'), read('10:33', { clock: LOCAL }), read('23:59', { from: at - 86400000, near: at - 18000000 }), read('4:00', { after: at }),
             read('6:00', { before: at }), read('7:36z', { clock: LOCAL }), read('25:00'), read('2020-02-30'), read('noon'), read('7')];
         })",
    );
    assert_eq!(
        understood,
        json!([
            "2020-01-01T07:36:00",
            "2020-01-01T07:36:10",
            "2020-01-02T07:36:00",
            "2020-01-01T05:00:00",
            "2020-01-01T03:30:00",
            "2020-01-01T05:03:00",
            "2020-01-01T05:01:30",
            "2019-12-31T23:00:00",
            "2020-01-01T05:03:00",
            "2019-12-31T23:59:00",
            "2020-01-02T04:00:00",
            "2019-12-31T06:00:00",
            "2020-01-01T07:36:00",
            "25:00",
            "2020-02-30",
            "noon",
            "7"
        ])
    );
}

/// A segment of an hour.
fn archive_path(archive: &TestArchive, hour: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(archive.at(hour))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    format!("{hour}/{}", names[10])
}

/// The hour so many before this one.
fn hour_ago(hours: u64) -> String {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3_600);
    humantime::format_rfc3339_seconds(then).to_string()[..13].to_owned()
}

#[test]
fn the_first_view_is_of_all_rows_and_an_address_about_none_is_answered() {
    let archive = TestArchive::empty();
    for number in 10..40 {
        archive.segment(&format!("desk-{number}/source/{}", hour_ago(1)), "00:00", 2.0, Kind::Full);
    }
    // The only one that has been there for long lies far below the edge of the window.
    for hours in [1, 48] {
        archive.segment(&format!("yard/source/{}", hour_ago(hours)), "00:00", 2.0, Kind::Full);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1200, 420);
    browser.open(&node, "/");
    let shown = "Number(new URLSearchParams(location.hash.slice(1)).get('live')) / 3600";
    browser.wait_until(&format!("{shown} > 48 && {shown} < 72"));
    let said = "document.getElementById('absent')";
    assert_eq!(browser.text(&format!("{said}.hidden")), "true");
    browser.run("location.hash = '#channel=desk-99&quality=source&at=2020-01-01T05:00:00Z'");
    browser.wait_until(&format!("!{said}.hidden && {said}.innerText.includes('desk-99/source')"));
    has_no_complaints(&browser);
}

#[test]
fn an_archive_of_which_nothing_is_understood_does_not_look_healthy() {
    let archive = TestArchive::empty();
    for each in 0..3 {
        archive.raw(&format!("{HOUR}/seg0000{each}.ts"), b"video");
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(360, 740);
    browser.open(&node, "/");
    let says_so = |id: &str| {
        browser.wait_until("document.getElementById('health').dataset.state === 'bad'");
        // A warning is not red.
        assert_eq!(browser.text("document.getElementById('health').dataset.level"), "warning");
        let text = format!("document.getElementById('{id}').innerText");
        browser
            .wait_until(&format!("/3 files .*ignored.*not understood/.test({text}) && {text}.includes('chan/source')"));
    };
    // In place of the timelines, and in the band above them.
    says_so("note");
    says_so("problems");
    browser.open(&node, "/status");
    says_so("troubles");
    assert_eq!(browser.text("document.documentElement.scrollWidth"), "360");
    has_no_complaints(&browser);
}

#[test]
fn a_page_for_which_there_is_no_seat_asks_again_by_itself() {
    let archive = TestArchive::empty();
    let paths = ten_minutes(&archive, HOUR);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let seats: Vec<_> = (0..16).map(|_| listener(&node)).collect();
    node.get("/api/v1/events").problem(503);
    let browser = Browser::start(1200, 800);
    browser.open(&node, WINDOW);
    let source = row("chan", None);
    browser.wait_until(&drawn_missing(&source, 0));
    browser.wait_until("document.documentElement.dataset.line === 'away'");
    archive.remove(&paths[30]);
    browser.wait_until(&drawn_missing(&source, 1));
    assert_eq!(browser.text("document.documentElement.dataset.line"), "away");
    assert_ne!(browser.text("document.getElementById('health').textContent"), "no connection");
    drop(seats);
    browser.wait_until("document.documentElement.dataset.line === 'there'");
}

#[test]
fn a_node_that_hangs_takes_no_turns_from_the_others() {
    let (ours, theirs) = (TestArchive::empty(), TestArchive::empty());
    ours.segment(HOUR, "00:00", 10.0, Kind::Full);
    ten_minutes(&theirs, HOUR);
    let other = TestNode::start(&theirs);
    other.wait_ready();
    let gate = Arc::new(Mutex::new(()));
    let behind = Arc::clone(&gate);
    let hanging = FalsePeer::start(move |path| {
        if path.contains("/timeline/") {
            drop(behind.lock());
        }
        crate::support::peer::Sent::not_found()
    });
    let plan = TestNode::plan(&ours).flag("--peer").flag(format!("hanging=http://{}", hanging.address));
    let node = plan.flag("--peer").flag(format!("other=http://{}", other.address)).start();
    node.wait_ready();
    let closed = gate.lock();
    let ask = &|peer: &str, pixels: usize| {
        let window = "from=2020-01-01T05:00:00Z&to=2020-01-01T05:10:00Z";
        node.get(&format!("/api/v1/peers/{peer}/timeline/chan/source?{window}&pixels={pixels}"))
    };
    // More questions than this node asks of all others together.
    thread::scope(|scope| {
        let questions: Vec<_> = (1..=40).map(|pixels| scope.spawn(move || ask("hanging", pixels).status)).collect();
        eventually(SOON, || hanging.asked().iter().filter(|path| path.contains("/timeline/")).count() == 4);
        assert_eq!(ask("other", 10).status, 200);
        assert!(questions.iter().any(|question| !question.is_finished()), "it still hangs");
        drop(closed);
        for question in questions {
            assert!([502, 503].contains(&question.join().unwrap()));
        }
    });
}
