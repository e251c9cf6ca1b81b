//! The player in the page, in a real browser with real video: it plays and goes on, over holes and at the present; what is marked is
//! cut, told to others, and hidden everywhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::recording::{SECONDS, record};
use crate::support::trouble::set_mode;
use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, quoted};

/// 2020-01-01T05:00:00Z.
const BEGUN: Duration = Duration::from_secs(1_577_854_800);
/// Two minutes from there.
const WINDOW: &str = "#from=2020-01-01T05:00:00Z&to=2020-01-01T05:02:00Z";
/// The time of the picture, as an ISO time; empty while there is none.
pub const TIME: &str = "document.getElementById('player-time').dateTime";
pub const STATE: &str = "document.getElementById('player').dataset.state";

/// Two minutes of a quality without these segments; says the path of each that there is.
fn two_minutes(archive: &TestArchive, stream: &str, missing: &[usize]) -> Vec<String> {
    let begun = SystemTime::UNIX_EPOCH + BEGUN;
    (0..60).filter(|at| !missing.contains(at)).map(|at| record(archive, stream, begun, at)).collect()
}

/// Clicks on the row of a quality, at a share of its width in per mille, once it is drawn.
pub fn click(browser: &Browser, quality: &str, per_mille: u32) {
    let row = format!("document.querySelector('.track[data-quality={quality}]:not([data-peer])')");
    browser.wait_until(&format!("Boolean({row}?.dataset.drawn)"));
    let place = browser.run(&format!(
        "const box = {row}.getBoundingClientRect();
         return [Math.round(box.left + box.width * {per_mille} / 1000), Math.round(box.top + box.height / 2)]"
    ));
    browser.point((place[0].as_i64().unwrap(), place[1].as_i64().unwrap()));
    browser.click();
}

fn press(browser: &Browser, id: &str) {
    browser.run(&format!("document.getElementById('{id}').click()"));
}

/// Chooses or types a value.
fn give(browser: &Browser, id: &str, value: &str) {
    browser.run(&format!(
        "const field = document.getElementById('{id}');
         field.value = {};
         field.dispatchEvent(new Event('change'))",
        json!(value)
    ));
}

/// Waits until the picture is of a time after this one, and before that.
fn wait_for(browser: &Browser, from: &str, to: &str) {
    browser.wait_until(&format!(
        "{STATE} === 'playing' && {TIME} >= '2020-01-01T05:{from}' && {TIME} < '2020-01-01T05:{to}'"
    ));
}

#[test]
fn a_click_plays_from_there_over_holes_and_what_is_marked_is_cut_and_told_to_others() {
    let archive = TestArchive::empty();
    two_minutes(&archive, "chan/low", &[]);
    // Nothing is there from 00:20 to 00:30 and from 01:30 to 01:32.
    two_minutes(&archive, "chan/source", &[10, 11, 12, 13, 14, 45]);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(1280, 900);
    browser.open(&node, &format!("/{WINDOW}"));
    click(&browser, "source", 125);
    wait_for(&browser, "00:15", "00:18");
    // Over the hole, as fast as it goes.
    give(&browser, "player-speed", "4");
    wait_for(&browser, "00:30", "00:40");
    assert_eq!(browser.run("return document.getElementById('video').playbackRate"), 4);

    // What is loaded is gone through with the slider, all else with the mark on the timelines.
    let to_the_start = "const scrub = document.getElementById('player-scrub'); scrub.value = 2; scrub.dispatchEvent(new Event('input'))";
    browser.run(to_the_start);
    wait_for(&browser, "00:16", "00:20");
    let grip = browser.run("const box = document.querySelector('.grip').getBoundingClientRect(); return [Math.round(box.left + 9), Math.round(box.top + 9)]");
    let width = browser.run("return document.querySelector('.track').clientWidth").as_i64().unwrap();
    browser.drag((grip[0].as_i64().unwrap(), grip[1].as_i64().unwrap()), -width / 12);
    wait_for(&browser, "00:06", "00:18");

    // To the next hole, which is the second one from behind the first, and past it.
    give(&browser, "player-speed", "1");
    press(&browser, "player-past");
    wait_for(&browser, "00:30", "00:40");
    browser.press("i");
    press(&browser, "player-hole");
    wait_for(&browser, "01:25", "01:30");
    press(&browser, "player-past");
    wait_for(&browser, "01:32", "01:40");
    browser.press("o");
    browser.wait_until("document.getElementById('cut-note').textContent.includes('with a hole of 2 s')");
    assert_eq!(browser.log(), Vec::<String>::new());

    // Another quality goes on where this one was; a link leads another page to all of it.
    give(&browser, "player-quality", "low");
    browser.wait_until("location.hash.includes('quality=low')");
    wait_for(&browser, "01:32", "01:50");
    give(&browser, "player-quality", "source");
    browser.wait_until("location.hash.includes('quality=source')");
    browser.press("k");
    browser.wait_until(&format!("{STATE} === 'paused' && location.hash.includes('quality=source')"));
    press(&browser, "cut-link");
    browser.wait_until("Boolean(document.getElementById('cut-link').dataset.link)");
    let (time, link) = (browser.text(TIME), browser.text("document.getElementById('cut-link').dataset.link"));
    let marks = "document.getElementById('cut-from').value + ' ' + document.getElementById('cut-to').value";
    let marked = browser.text(marks);
    browser.open(&node, &link[link.find("/#").unwrap()..]);
    browser.wait_until(&format!("{TIME} >= '{time}' && document.getElementById('cut-to').value !== ''"));
    assert_eq!(browser.text(marks), marked);
    assert!(marked.starts_with("2020-01-01T05:00:3") && marked.contains(" 2020-01-01T05:01:3"), "{marked}");

    // With a hole in it there is no cut, unless that is allowed.
    let saved = tempfile::tempdir().unwrap();
    browser.devtools("Browser.setDownloadBehavior", &json!({ "behavior": "allow", "downloadPath": saved.path() }));
    press(&browser, "cut-download");
    browser.wait_until("document.getElementById('cut-note').textContent.includes('It has holes: 2020-01-01 05:01:30')");
    browser.run("document.getElementById('cut-holes').checked = true");
    press(&browser, "cut-download");
    let (from, to) = marked.split_once(' ').unwrap();
    let cut = node.get(&format!("/cut/chan/source.ts?start={from}&end={to}&type=rough&allow_holes=true"));
    eventually(SOON, || {
        let mut files = std::fs::read_dir(saved.path()).unwrap().map(|file| file.unwrap().path());
        files.any(|file| file.extension().is_some_and(|kind| kind == "ts") && std::fs::read(file).unwrap() == cut.body)
    });
    assert!(cut.status == 200 && cut.body.len() > 10_000);
}

/// Segments as time goes by, until there are no more or it is told to stop.
fn go_on_recording(archive: &TestArchive, begun: SystemTime, stop: &AtomicBool) {
    for at in 20..60 {
        let due = begun + Duration::from_secs((at as u64 + 1) * SECONDS);
        while SystemTime::now() < due {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        record(archive, "chan/source", begun, at);
    }
}

#[test]
fn the_present_is_followed_with_a_token_and_a_segment_that_has_gone_is_left_out() {
    let (archive, tokens) = (TestArchive::empty(), tempfile::tempdir().unwrap());
    let (readers, writers) = (tokens.path().join("readers"), tokens.path().join("writers"));
    for (file, token) in [(&readers, "reader-0123456789abcdef"), (&writers, "writer-0123456789abcdef")] {
        std::fs::write(file, token).unwrap();
        set_mode(file, 0o600);
    }
    let begun = SystemTime::now() - Duration::from_secs(20 * SECONDS);
    (0..20).for_each(|at| drop(record(&archive, "chan/source", begun, at)));
    let past = two_minutes(&archive, "past/low", &[]);
    let node =
        TestNode::plan(&archive).flag("--read-tokens").flag(&readers).flag("--write-tokens").flag(&writers).start();
    let bearer = [("Authorization", "Bearer reader-0123456789abcdef")];
    eventually(SOON * 2, || node.get_with("/readyz", &bearer).status == 200);
    let stop = AtomicBool::new(false);
    let browser = thread::scope(|scope| {
        scope.spawn(|| go_on_recording(&archive, begun, &stop));
        let browser = Browser::start(1280, 900);
        browser.open(&node, "/#live=120");
        browser.wait_until("document.getElementById('ask').open");
        let token = "document.getElementById('token').value = 'reader-0123456789abcdef'";
        browser.run(&format!("{token}; document.querySelector('#ask button').click()"));
        click(&browser, "source", 800);
        browser.wait_until(&format!("{STATE} === 'playing'"));
        press(&browser, "player-live");
        let pressed = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        // What is shown was recorded after it was asked for.
        browser.wait_until(&format!("{STATE} === 'playing' && {TIME} > '{pressed}'"));
        assert_eq!(browser.text("document.getElementById('player-live').ariaPressed"), "true");
        stop.store(true, Ordering::Relaxed);
        browser
    });

    // A hole is told by its playlist; what has gone since, by its answer.
    browser.run(&format!("location.hash = '{WINDOW}'"));
    click(&browser, "low", 50);
    wait_for(&browser, "00:06", "00:12");
    let gone = json!({ "paths": past[40..42] });
    assert_eq!(node.post("/api/v1/tombstones", Some("writer-0123456789abcdef"), &gone).status, 200);
    browser.run("document.getElementById('video').currentTime = 70");
    wait_for(&browser, "01:16", "01:20");
    wait_for(&browser, "01:24", "01:40");
    let note = browser.text("document.getElementById('player-note').textContent");
    assert_eq!(note, "");
    let asked = browser.log();
    assert!(asked.iter().all(|line| line.contains(" 401 ") || line.contains(" 410 ")), "{asked:?}");
}

#[test]
fn what_is_marked_is_hidden_on_every_node_and_why_is_kept_and_told() {
    const TOKEN: &str = "writer-0123456789abcdef";
    const WHY: &str = "A viewer's address was <b>shown</b>";
    let (ours, theirs, tokens) = (TestArchive::empty(), TestArchive::empty(), tempfile::tempdir().unwrap());
    let paths = two_minutes(&ours, "chan/source", &[]);
    for start in ["01:00", "01:02"] {
        ours.segment("chan/low/2020-01-01T05", start, 2.0, Kind::Full);
    }
    ours.raw(&format!("chan/chat/2020-01-01T05/01:00-{}.json", "A".repeat(43)), b"{}");
    two_minutes(&theirs, "chan/source", &[]);
    let writers = tokens.path().join("writers");
    std::fs::write(&writers, TOKEN).unwrap();
    set_mode(&writers, 0o600);
    let node = TestNode::plan(&ours).flag("--write-tokens").flag(&writers).start();
    let other = TestNode::plan(&theirs).flag("--peer").flag(format!("first=http://{}", node.address)).start();
    node.wait_ready();
    other.wait_ready();
    let browser = Browser::start(1280, 900);
    let link = "channel=chan&quality=source&at=2020-01-01T05:00:50Z&in=2020-01-01T05:01:00Z&out=2020-01-01T05:01:04Z";
    browser.open(&node, &format!("/{WINDOW}&{link}"));
    browser.wait_until("document.getElementById('cut-hide')?.disabled === false");
    // What is not understood stays where it was typed, and nothing can be done with it; a time of day is one of the day shown.
    let field = "document.getElementById('cut-from')";
    give(&browser, "cut-from", "a minute past five");
    assert_eq!(browser.text(&format!("{field}.value + ' ' + {field}.ariaInvalid")), "a minute past five true");
    assert_eq!(browser.text("document.getElementById('cut-hide').disabled"), "true");
    assert!(browser.text("document.getElementById('cut-note').textContent").contains("not understood as a time"));
    give(&browser, "cut-from", "5:01");
    assert_eq!(browser.text(&format!("{field}.value")), "2020-01-01T05:01:00.000Z");
    let note = browser.text("document.getElementById('cut-note').textContent");
    assert!(note.starts_with("In is 2020-01-01 05:01:00.000 UTC (10:31:00.000 GMT+5:30). 4 s"), "{note}");
    press(&browser, "cut-hide");
    browser.wait_until(
        "document.querySelectorAll('#hide-list li').length === 2 && !document.getElementById('hide-go').disabled",
    );
    // The same time of the other quality and its chat are offered, and said to stay if they are not taken.
    assert!(browser.text("document.getElementById('hide-others').innerText").contains("Not hidden: chat, low"));
    press(&browser, "hide-all");
    browser.wait_until("document.querySelectorAll('#hide-list li').length === 5");
    browser.run("document.querySelectorAll('#hide-parts input').forEach((each, at) => at > 0 && each.click())");
    let listed = browser.text("document.getElementById('hide').innerText");
    let names: Vec<&str> = paths[30..32].iter().map(|path| path.rsplit_once('/').unwrap().1).collect();
    assert!(names.iter().all(|name| listed.contains(name)) && listed.contains("2 segments"), "{listed}");
    let hide = |token: &str| {
        give(&browser, "hide-reason", WHY);
        give(&browser, "hide-token", token);
        press(&browser, "hide-go");
    };
    // Nothing is done with a token that is none.
    hide("nobody-0123456789abcdef");
    browser.wait_until("document.getElementById('hide-note').textContent.includes('This token may not write')");
    assert_eq!(node.get(&format!("/segments/{}", quoted(&paths[30]))).status, 200);
    hide(TOKEN);
    browser.wait_until(
        "[...document.querySelectorAll('#hide-list .outcome')].every((each) => each.textContent === 'hidden')",
    );
    press(&browser, "hide-close");
    browser.wait_until("document.querySelector('.track[data-quality=source]').dataset.missing === '1'");

    // The reason is in the file, and whoever asks is told; on the other node as well.
    let is_told = |node: &TestNode| {
        let list = node.get("/api/v1/tombstones").json();
        let notes: Vec<&Value> = list["tombstones"].as_array().unwrap().iter().map(|each| &each["note"]).collect();
        notes.len() == 2
            && notes.iter().all(|note| note["reason"] == WHY && note["at"].is_string() && note["node"].is_string())
    };
    for (node, archive) in [(&node, &ours), (&other, &theirs)] {
        eventually(SOON * 2, || {
            paths[30..32].iter().all(|path| node.get(&format!("/segments/{}", quoted(path))).status == 410)
        });
        // The index follows the disk.
        eventually(SOON, || is_told(node));
        let kept = archive.read(&paths[30].replace(".ts", ".tombstone"));
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept["reason"], WHY);
        assert!(archive.at(&paths[30]).exists(), "its bytes stay");
    }
    assert!(other.run(&["tombstone", "list"]).lines(0).iter().all(|line| line.contains(WHY)));
    let explained = other.run(&["--json", "explain", &paths[30]]).json(0);
    assert_eq!(explained["reason"]["reason"], WHY);

    // Whoever clicks on the hole is told, and what the reason is made of is only shown.
    press(&browser, "player-close");
    click(&browser, "source", 516);
    browser.wait_until(&format!("document.getElementById('deleted-because')?.innerText.includes({})", json!(WHY)));
}
