//! hls.js, in a real browser, goes over each kind of discontinuity that recordings have, without a stall and without losing any of what
//! is there. It is the hls.js of the node's own page, with the settings that it has by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::encoder::{EACH, Encoder, USUAL};
use crate::support::{SOON, TestArchive, TestNode, apple, eventually, hls};

/// 2020-01-01T05:00:00Z.
const BEGUN: Duration = Duration::from_secs(1_577_854_800);

/// What a player may say while it goes on: that it waited for a moment, on a machine that is busy. Had it to seek or to nudge it would
/// say so.
const HARMLESS: [&str; 1] = ["bufferStalledError"];

/// Plays `address` under a name; what becomes of it is in `shows`. A browser's buffer has the tracks that it had at first. hls.js reports a
/// fatal error where one comes, and stands still where one ends; the way out is another buffer from there on. Nothing else has one.
pub const PLAYS: &str = "
    return import('/page/hls.light.min.mjs').then(({ default: Hls }) => {
      window.shows = {};
      window.play = (name, address, rate) => {
        const [video, hls] = [document.createElement('video'), new Hls()];
        const show = (window.shows[name] = { video, hls, errors: [], sizes: [], restarts: 0 });
        let [comes, last, still] = [null, -1, 0];
        const restart = (at) => {
          comes = null;
          show.restarts += 1;
          hls.detachMedia();
          hls.attachMedia(video);
          hls.startLoad(at + 0.05);
        };
        hls.on(Hls.Events.ERROR, (_, { details, fatal, frag }) => {
          if (details === 'bufferAppendError') comes = frag.start;
          else if (video.currentTime > 0.2) show.errors.push(fatal ? `fatal ${details}` : details);
        });
        hls.on(Hls.Events.MANIFEST_PARSED, () => hls.startLoad(0));
        hls.on(Hls.Events.MEDIA_ATTACHED, () => video.play());
        setInterval(() => {
          const at = video.currentTime;
          if (comes !== null && at > comes - 0.2) return restart(comes);
          [last, still] = [at, at === last && !video.ended ? still + 1 : 0];
          const next = hls.latestLevelDetails?.fragments.find(({ end }) => end > at + 0.3);
          if (still > 10 && next?.stats.buffering.end) restart(Math.max(at, next.start));
        }, 200);
        video.addEventListener('resize', () => show.sizes.push(`${video.videoWidth}x${video.videoHeight}`));
        video.muted = true;
        video.defaultPlaybackRate = video.playbackRate = rate;
        document.body.append(video);
        hls.loadSource(address);
        hls.attachMedia(video);
      };
    });";

/// What became of all that is played.
pub const SAID: &str = "
    return Object.fromEntries(Object.entries(window.shows).map(([name, { video, hls, errors, sizes, restarts }]) => [name, {
      ended: video.ended, at: video.currentTime, errors, sizes, restarts, names: hls.levels.map((level) => level.name),
      ranges: Array.from({ length: video.buffered.length }, (_, at) => [video.buffered.start(at), video.buffered.end(at)]),
    }]));";

/// A segment: seconds after the beginning, how long its name says that it is, and what it is.
type Put = (f64, f64, &'static str, Vec<u8>);

/// A stretch of a recording.
struct Show {
    name: &'static str,
    segments: Vec<Put>,
    /// Before how many of its segments players must be told that something changes.
    changes: usize,
    /// How often its tracks change.
    tracks: u64,
    /// How many seconds of it there are since they did.
    seconds: f64,
}

/// Segments one after the other, from so many seconds on.
fn from(start: f64, contents: Vec<Vec<u8>>) -> Vec<Put> {
    let at = |number: usize| start + EACH * f64::from(u32::try_from(number).unwrap());
    contents.into_iter().enumerate().map(|(number, content)| (at(number), EACH, "full", content)).collect()
}

/// Some segments of one encoder and then some of another one.
fn then(name: &'static str, changes: usize, contents: &[&[Vec<u8>]]) -> Show {
    let segments = from(0.0, contents.concat());
    let seconds = EACH * f64::from(u32::try_from(segments.len()).unwrap());
    Show { name, segments, changes, tracks: 0, seconds }
}

fn shows() -> Vec<Show> {
    let usual = USUAL.segments(8);
    let all = from(0.0, usual.clone());
    let three = &usual[..3];
    let next = |encoder: Encoder| Encoder { from: 6.0, ..encoder }.segments(3);
    let hour_later = Encoder { from: 3_600.0, ..USUAL }.segments(3);
    let three_more = &usual[3..6];
    let silent = next(Encoder { sound: None, ..USUAL });
    let afterwards = Encoder { from: 12.0, ..USUAL }.segments(2);
    let half = usual[2].len() / 2 / 188 * 188;

    let hole = [&all[..2], &all[4..]].concat();
    let mut cut_short = all.clone();
    cut_short[2] = (4.0, EACH, "partial", usual[2][..half].to_vec());
    // Another recorder of the same stream, 0.3 s late, while the first one misses some.
    let seen = |number: &usize| ![2, 3, 6].contains(number);
    let first = (0..8).filter(seen).map(|number| all[number].clone());
    let second = all[1..].iter().map(|(at, each, kind, content)| (at + 0.3, *each, *kind, content.clone()));
    let two_recorders = first.chain(second).collect();

    vec![
        Show { name: "hole", tracks: 0, segments: hole, changes: 1, seconds: 12.0 },
        Show { name: "cut-short", tracks: 0, segments: cut_short, changes: 1, seconds: 15.0 },
        then("starts-over", 1, &[three, three]),
        then("leaps", 1, &[three, &hour_later]),
        then("larger", 1, &[three, &next(Encoder { size: "320x180", ..USUAL })]),
        then("profile", 1, &[three, &next(Encoder { profile: "baseline", ..USUAL })]),
        then("numbers", 1, &[three, &next(Encoder { pid: 0x300, ..USUAL })]),
        then("sound-rate", 1, &[three, &next(Encoder { sound: Some(44_100), ..USUAL })]),
        Show { tracks: 2, seconds: 4.0, ..then("sound-pauses", 2, &[three, &silent, &afterwards]) },
        Show {
            tracks: 1,
            seconds: 6.0,
            ..then("sound-comes", 1, &[&Encoder { sound: None, ..USUAL }.segments(3), three_more])
        },
        // 2³³ ticks of 1/90,000 s are in the second segment.
        then("wraps", 0, &[&Encoder { from: 95_441.0, ..USUAL }.segments(4)]),
        Show { name: "two-recorders", tracks: 0, segments: two_recorders, changes: 1, seconds: 16.0 },
    ]
}

/// Puts a segment into the place that its recorder gives it.
fn put(archive: &TestArchive, channel: &str, begun: SystemTime, (at, each, kind, content): &Put) {
    let start = humantime::format_rfc3339_millis(begun + Duration::from_secs_f64(*at)).to_string();
    archive.named(
        &format!("{channel}/source/{}", &start[..13]),
        &format!("{}-{each:?}-{kind}", &start[14..23]),
        "ts",
        content,
    );
}

fn window(begun: SystemTime, seconds: f64) -> String {
    let time = |at: SystemTime| humantime::format_rfc3339_millis(at).to_string();
    format!("start={}&end={}", time(begun), time(begun + Duration::from_secs_f64(seconds)))
}

/// Waits until all that is played is at its end, and says what became of each.
#[track_caller]
fn watch(browser: &Browser) -> BTreeMap<String, Value> {
    let begun = Instant::now();
    loop {
        let said: BTreeMap<String, Value> = serde_json::from_value(browser.run(SAID)).unwrap();
        if said.values().all(|show| show["ended"] == true) {
            return said;
        }
        let stuck: BTreeMap<_, _> = said.iter().filter(|(_, show)| show["ended"] != true).collect();
        assert!(begun.elapsed() < SOON * 2, "these did not come to their ends: {stuck:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Of what was played to its end nothing is missing, and nothing went wrong.
fn faults(name: &str, show: &Value, seconds: f64) -> Vec<String> {
    let mut faults = Vec::new();
    let errors: Vec<&str> = show["errors"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let errors: Vec<&str> = errors.into_iter().filter(|error| !HARMLESS.contains(error)).collect();
    if !errors.is_empty() {
        faults.push(format!("{name}: {errors:?}"));
    }
    let ranges: Vec<(f64, f64)> = serde_json::from_value(show["ranges"].clone()).unwrap();
    let is_whole = matches!(ranges[..], [(from, to)] if (to - from - seconds).abs() < 0.3);
    if !is_whole {
        faults.push(format!("{name}: of {seconds} s it has {ranges:?}"));
    }
    faults
}

/// A recording of which segments come while it is watched.
struct Late<'a> {
    archive: &'a TestArchive,
    begun: SystemTime,
    segments: Vec<Put>,
}

impl<'a> Late<'a> {
    /// Over for longer than late segments are waited for, so that its list ends as soon as it is complete.
    fn new(archive: &'a TestArchive) -> Self {
        let late = Self {
            archive,
            begun: SystemTime::now() - Duration::from_secs(40),
            segments: from(0.0, USUAL.segments(10)),
        };
        late.come(0..6);
        late
    }

    fn come(&self, numbers: impl IntoIterator<Item = usize>) {
        numbers.into_iter().for_each(|at| put(self.archive, "late", self.begun, &self.segments[at]));
    }

    fn list(&self) -> String {
        format!("/playlist/late/source.m3u8?{}", window(self.begun, 20.0))
    }
}

#[test]
fn hls_js_goes_over_each_kind_of_discontinuity_without_a_stall() {
    let archive = TestArchive::empty();
    let begun = SystemTime::UNIX_EPOCH + BEGUN;
    let shows = shows();
    for show in &shows {
        show.segments.iter().for_each(|segment| put(&archive, show.name, begun, segment));
    }
    let late = Late::new(&archive);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let told_of_late = || hls::valid(node.get(&late.list()).text()).entries.len();
    eventually(SOON, || told_of_late() == 6);
    let mut addresses = Vec::new();
    for show in &shows {
        let (last, each, ..) = show.segments.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let window = window(begun, last + each);
        let list = format!("/playlist/{}/source.m3u8?{window}", show.name);
        // What is in segments is read for at most a second; who asks again is told all.
        eventually(SOON, || node.get(&list).text().matches("#EXT-X-DISCONTINUITY\n").count() == show.changes);
        let text = node.get(&list).text().to_owned();
        assert!(hls::valid(&text).has_ended, "{}: {text}", show.name);
        // Segments are as long as they were recorded.
        let broken: Vec<&str> = apple::media(&text).into_iter().map(|(number, _)| number).collect();
        assert_eq!(broken, ["7.5"], "{}: {text}", show.name);
        addresses.push((show, format!("/playlist/{}.m3u8?{window}", show.name)));
    }
    let browser = Browser::start(800, 600);
    browser.open(&node, "/status");
    browser.run(PLAYS);
    for (show, master) in &addresses {
        browser.run(&format!("play('{}', '{master}', 4)", show.name));
    }
    browser.run(&format!("play('late', '{}', 4)", late.list()));
    late.come([7, 8]);
    browser.wait_until("shows.late.video.currentTime > 4");
    assert_eq!(told_of_late(), 6, "what comes after the missing one is held back");
    late.come([6, 9]);
    let said = watch(&browser);
    let mut wrong = faults("late", &said["late"], 20.0);
    let text = node.get(&late.list()).text().to_owned();
    assert!(hls::valid(&text).has_ended && !text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    for (show, _) in &addresses {
        let became = &said[show.name];
        wrong.extend(faults(show.name, became, show.seconds));
        assert_eq!((&became["restarts"], &became["names"]), (&json!(show.tracks), &json!(["source"])), "{became:#?}");
    }
    assert_eq!(said["larger"]["sizes"], json!(["160x90", "320x180"]));
    assert_eq!(wrong, [""; 0], "{said:#?}");
}

#[test]
fn the_page_plays_on_where_sound_begins_and_where_it_ends() {
    let archive = TestArchive::empty();
    let begun = SystemTime::UNIX_EPOCH + BEGUN;
    let silent = |from| Encoder { from, sound: None, ..USUAL }.segments(3);
    let contents = [silent(0.0), Encoder { from: 6.0, ..USUAL }.segments(3), silent(12.0)].concat();
    for segment in &from(0.0, contents) {
        put(&archive, "chan", begun, segment);
    }
    // Its sound ends in the middle of a segment, and its tables do not say so.
    let ends = from(20.0, Encoder { sounds: 5.0, ..USUAL }.segments(8));
    for segment in &ends {
        put(&archive, "chan", begun, segment);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let list = format!("/playlist/chan/source.m3u8?{}", window(begun, 18.0));
    eventually(SOON, || node.get(&list).text().matches("#EXT-X-DISCONTINUITY\n").count() == 2);
    let browser = Browser::start(1280, 900);
    browser.open(&node, "/#from=2020-01-01T05:00:00Z&to=2020-01-01T05:00:40Z");
    let row = "document.querySelector('.track[data-quality=source]:not([data-peer])')";
    browser.wait_until(&format!("Boolean({row}?.dataset.drawn)"));
    let place = browser.run(&format!(
        "const box = {row}.getBoundingClientRect();
         return [Math.round(box.left + 2), Math.round(box.top + box.height / 2)]"
    ));
    browser.point((place[0].as_i64().unwrap(), place[1].as_i64().unwrap()));
    browser.click();
    let time = "document.getElementById('player-time').dateTime";
    // What is silent is not left out, except for what is left of the segment in which its sound ends.
    for (from, to) in [("00", "05"), ("07", "11"), ("13", "18"), ("20", "24"), ("26", "29")] {
        browser.wait_until(&format!("{time} >= '2020-01-01T05:00:{from}' && {time} < '2020-01-01T05:00:{to}'"));
    }
}
