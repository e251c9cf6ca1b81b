//! What was recorded with a restart in the middle plays in a browser, fast, from its beginning to its end: it stands still nowhere but at the hole, if there.
//!
//! `GAPLESS_PLAYED_SECONDS=3600` plays an hour, which takes some minutes.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;

use crate::player::{STATE, TIME, click};
use crate::recording::recorded;
use crate::support::browser::Browser;
use crate::support::node::gapless_begun;
use crate::support::origin::Origin;
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless, video};

/// What is recorded, the hole apart.
const SECONDS: usize = 120;
/// How long nobody records.
const HOLE: i64 = 20;
/// How long a segment is.
const EACH: i64 = 2;
/// The most that a browser plays at.
const SPEED: u32 = 16;

/// Plays at that speed, and notes where it waits, or stands still for so many milliseconds, and how much more of it is loaded then.
const WATCH: &str = "
    const video = document.getElementById('video');
    const seen = { waits: [] };
    window.seen = seen;
    const ahead = () => {
      const { buffered, currentTime } = video;
      for (let at = 0; at < buffered.length; at += 1) {
        if (buffered.start(at) <= currentTime + 0.1 && currentTime <= buffered.end(at)) return buffered.end(at) - currentTime;
      }
      return 0;
    };
    // The change of the speed makes it wait.
    const begun = performance.now();
    const note = (what) => performance.now() - begun > 2000 && seen.waits.push({ what, at: document.getElementById('player-time').dateTime, ahead: ahead() });
    const fast = () => { if (video.playbackRate !== SPEED) video.playbackRate = SPEED; };
    video.addEventListener('ratechange', fast);
    video.addEventListener('waiting', () => note('waits'));
    let [place, since, isNoted] = [-1, performance.now(), false];
    setInterval(() => {
      fast();
      if (video.currentTime !== place) [place, since, isNoted] = [video.currentTime, performance.now(), false];
      else if (performance.now() - since > STILL && !isNoted) { isNoted = true; note('stands still'); }
    }, 50);
    fast();";

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A playlist of all segments, of which the first begins then.
fn playlist(begins: DateTime<Utc>, count: usize, end: &str) -> String {
    let mut list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{EACH}\n");
    for number in 0..count {
        let at = begins + TimeDelta::seconds(i64::try_from(number).unwrap() * EACH);
        writeln!(list, "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:{EACH},\ns{number}.ts", text(at)).unwrap();
    }
    list + end
}

#[test]
fn a_recording_with_a_restart_in_the_middle_plays_without_a_stall_but_at_the_hole() {
    let seconds = std::env::var("GAPLESS_PLAYED_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let half = seconds / 2 / usize::try_from(EACH).unwrap();
    let origin = Origin::new(0, 0);
    for (number, content) in video::segments(half, 2.0).iter().enumerate() {
        origin.write(&format!("s{number}.ts"), content);
    }
    // Over an hour's end.
    let begins: DateTime<Utc> = "2020-01-01T05:59:00Z".parse().unwrap();
    let hole = begins + TimeDelta::seconds(i64::try_from(half).unwrap() * EACH);
    let goes_on = hole + TimeDelta::seconds(HOLE);
    let end = goes_on + (hole - begins);
    let (archive, url) = (TestArchive::empty(), origin.url("live.m3u8"));
    origin.write("live.m3u8", playlist(begins, half, "").as_bytes());
    let said = tempfile::tempfile().unwrap();
    let mut first = gapless_begun(archive.path(), &["record", "chan", &url, "--for", "600s"], said);
    eventually(SOON * 4, || recorded(&archive, "chan/source").len() == half);
    first.kill().unwrap();
    first.wait().unwrap();
    // The encoder begins anew, and with it numbers and time stamps.
    origin.write("live.m3u8", playlist(goes_on, half, "#EXT-X-ENDLIST\n").as_bytes());
    let done = gapless(archive.path(), &["record", "chan", &url]);
    assert_eq!((done.code, recorded(&archive, "chan/source").len()), (0, 2 * half), "{done:?}");

    let node = TestNode::start(&archive);
    node.wait_ready();
    let holes = node.get("/api/v1/holes/chan/source").json()["holes"].clone();
    assert_eq!((holes.as_array().map(Vec::len), &holes[0]["seconds"]), (Some(1), &json!(20.0)), "{holes}");
    let browser = Browser::start(800, 700);
    let (from, to) = (text(begins), text(end));
    browser.open(&node, &format!("/#from={from}&to={to}"));
    click(&browser, "source", 4);
    browser.wait_until(&format!("{STATE} === 'playing'"));
    let still = if seconds == SECONDS { "3000" } else { "1000" };
    browser.run(&WATCH.replace("SPEED", &SPEED.to_string()).replace("STILL", still));
    let nearly = text(end - TimeDelta::seconds(3));
    let longest = SOON * 2 + Duration::from_secs(seconds as u64 / 4);
    eventually(longest, || browser.text(TIME) >= nearly);
    let seen = browser.run("return window.seen.waits");
    println!("{seconds} s at {SPEED} times the speed: {seen}");
    let (before, after) = (text(hole - TimeDelta::seconds(4)), text(goes_on + TimeDelta::seconds(4)));
    for wait in seen.as_array().unwrap() {
        let (at, ahead) = (wait["at"].as_str().unwrap(), wait["ahead"].as_f64().unwrap());
        let is_at_the_hole = (before.as_str()..after.as_str()).contains(&at);
        // A machine that is slow waits for a moment anywhere, and stands still where it has loaded nothing more, which says nothing of the recording. An
        // hour is played on one that is not.
        let is_slow = wait["what"] == "waits" || seconds == SECONDS && ahead < 0.5;
        assert!(
            is_at_the_hole || is_slow || at >= nearly.as_str(),
            "{wait} of {seen}; the hole is from {hole} to {goes_on}"
        );
    }
    assert_eq!(browser.log(), Vec::<String>::new());
    node.terminate();
}
