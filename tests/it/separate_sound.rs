//! Sound that was recorded apart from its pictures is heard with them: through the master playlist, by ffmpeg and in a browser, and on the page.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::player::click;
use crate::recording::recorded;
use crate::support::browser::Browser;
use crate::support::origin::Origin;
use crate::support::{SOON, TestArchive, TestNode, apple, eventually, gapless, hls};

/// All of what is recorded, which is over.
const RANGE: &str = "start=2020-01-01T05:00:00.000000Z&end=2020-01-01T05:00:08.000000Z";
/// Seconds of what is recorded, which is as many segments of pictures.
const LENGTH: u32 = 8;
const TS: [&str; 4] = ["-hls_list_size", "0", "-hls_flags", "program_date_time"];
const FMP4: [&str; 6] = ["-hls_segment_type", "fmp4", "-hls_list_size", "0", "-hls_flags", "program_date_time"];

/// What a recorder has of a stream whose sound lies apart.
fn apart(options: &[&str]) -> TestArchive {
    let origin = Origin::new(0, 0);
    origin.encode_at_once_with_sound_apart(LENGTH, options);
    for list in 0..3 {
        let name = format!("live{list}.m3u8");
        let text = String::from_utf8(origin.read(&name)).unwrap();
        let (head, segments) = text.split_once("#EXTINF").unwrap();
        let untold = segments.lines().filter(|line| !line.starts_with("#EXT-X-PROGRAM-DATE-TIME"));
        let untold = untold.collect::<Vec<_>>().join("\n");
        let text = format!("{head}#EXT-X-PROGRAM-DATE-TIME:2020-01-01T05:00:00Z\n#EXTINF{untold}\n");
        origin.write(&name, text.as_bytes());
    }
    let archive = TestArchive::empty();
    let done = gapless(archive.path(), &["record", "c", &origin.url("master.m3u8")]);
    assert_eq!(done.code, 0, "{done:?}");
    archive
}

/// What ffprobe counts of what it reads: packets of pictures and of sound.
fn packets(url: &str) -> (u64, u64) {
    let words =
        ["-v", "error", "-count_packets", "-show_entries", "stream=codec_type,nb_read_packets", "-of", "json", url];
    let output = Command::new("ffprobe").args(words).output().expect("ffprobe, which scripts/test installs");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let streams = report["streams"].as_array().unwrap_or_else(|| panic!("{output:?}"));
    let of = |kind: &str| {
        let found = streams.iter().find(|stream| stream["codec_type"] == kind);
        found.map_or(0, |stream| stream["nb_read_packets"].as_str().unwrap().parse().unwrap())
    };
    (of("video"), of("audio"))
}

/// How many seconds sound begins after the pictures.
fn apart_by(file: &str) -> f64 {
    let begin = |kind: &str| -> f64 {
        let words =
            ["-v", "error", "-select_streams", kind, "-show_entries", "stream=start_time", "-of", "csv=p=0", file];
        let output = Command::new("ffprobe").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().next().unwrap().trim_end_matches(',').parse().unwrap()
    };
    begin("a:0") - begin("v:0")
}

#[test]
fn the_master_playlist_and_cuts_give_pictures_and_sound_together() {
    for options in [&TS[..], &FMP4] {
        let archive = apart(options);
        let node = TestNode::start(&archive);
        node.wait_ready();
        let text = node.get(&format!("/playlist/c.m3u8?{RANGE}")).text().to_owned();
        assert_eq!(hls::read_master(&text), Ok(vec![format!("/playlist/c/source.m3u8?{RANGE}&apart=true")]), "{text}");
        let broken = apple::master(&text, &[]);
        assert!(broken.iter().all(|(rule, _)| ["9.9", "9.15"].contains(rule)), "{broken:?}");
        let media = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio";
        for line in [
            format!("{media}\",DEFAULT=YES,AUTOSELECT=YES,URI=\"/playlist/c/audio.m3u8?{RANGE}&apart=true\"\n"),
            format!(
                "{media}-ger\",LANGUAGE=\"ger\",DEFAULT=NO,AUTOSELECT=YES,URI=\"/playlist/c/audio-ger.m3u8?{RANGE}&apart=true\"\n"
            ),
        ] {
            assert!(text.contains(&line), "{text}");
        }
        assert!(text.contains(",mp4a.40.2\"") && text.contains(",AUDIO=\"audio\""), "{text}");
        let (pictures, sound) = packets(&format!("http://{}/playlist/c.m3u8?{RANGE}", node.address));
        // A frame of sound has 1,024 of 48,000 samples a second; one more fills up the last one, and one comes before.
        assert_eq!(pictures, u64::from(LENGTH) * 25, "{options:?}");
        assert!((u64::from(LENGTH) * 48_000 / 1_024..).contains(&sound), "{sound}: {options:?}");

        // A cut has both in one file, unless there is a hole in either.
        let cut = |ending: &str, besides: &str| node.get(&format!("/cut/c/source.{ending}?{RANGE}{besides}"));
        for (ending, besides) in [("ts", "&type=rough"), ("mp4", "")] {
            let cut = cut(ending, besides);
            assert_eq!((cut.status, cut.header("gapless-cut")), (200, Some("rough")), "{options:?}");
            assert_eq!(cut.header("gapless-cut-reason").is_some(), besides.is_empty());
            let file = archive.outside().join(ending);
            fs::write(&file, &cut.body).unwrap();
            let file = file.to_str().unwrap();
            assert_eq!(packets(file), (pictures, sound), "{options:?}");
            assert!(apart_by(file).abs() < 0.1, "{}: {options:?}", apart_by(file));
        }
        let gone = recorded(&archive, "c/audio").into_keys().nth(3).unwrap();
        fs::remove_file(archive.path().join(&gone)).unwrap();
        let (hour, name) = gone.rsplit_once('/').unwrap();
        eventually(SOON, || !node.files(hour).iter().any(|file| file == name));
        assert_eq!(cut("ts", "&type=rough").status, 406);
        let cut = cut("ts", "&type=rough&allow_holes=true");
        assert!(cut.status == 200 && cut.body.len() > 100_000, "{}", cut.status);
        node.terminate();
    }
}

/// Plays `address` as fast as the machine can; `show()` says how it goes.
const PLAYS: &str = "
    return import('/page/hls.min.mjs').then(({ default: Hls }) => {
      const [video, hls] = [document.createElement('video'), new Hls()];
      const errors = [];
      hls.on(Hls.Events.ERROR, (_, { details, fatal }) => errors.push(fatal ? `fatal ${details}` : details));
      hls.on(Hls.Events.MEDIA_ATTACHED, () => video.play());
      video.muted = true;
      video.defaultPlaybackRate = video.playbackRate = 4;
      document.body.append(video);
      hls.loadSource('/playlist/c.m3u8?RANGE');
      hls.attachMedia(video);
      const times = (details) => details.fragments.map(({ start, programDateTime }) => programDateTime - start * 1000);
      window.show = () => ({
        ended: video.ended, at: video.currentTime, errors, pictures: video.webkitDecodedFrameCount, sound: video.webkitAudioDecodedByteCount,
        names: hls.audioTracks.map(({ name }) => name), apart: times(hls.levels[0].details).at(-1) - times(hls.audioTracks[0].details).at(-1),
      });
      window.hls = hls;
    });";

#[test]
fn a_browser_plays_pictures_and_sound_that_lies_apart_together_also_behind_a_hole_in_the_sound() {
    let archive = apart(&TS);
    // Two seconds of sound are missing, and the pictures go on.
    let sound: Vec<String> = recorded(&archive, "c/audio").into_keys().collect();
    for path in &sound[3..5] {
        fs::remove_file(archive.path().join(path)).unwrap();
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let browser = Browser::start(800, 600);
    browser.open(&node, "/");
    browser.run(&PLAYS.replace("RANGE", RANGE));
    browser.wait_until("!!(window.hls.levels?.[0]?.details && window.hls.audioTracks[0]?.details) && show().ended");
    let shown = browser.run("return show()");
    assert_eq!(shown["names"], json!(["audio", "audio-ger"]), "{shown}");
    assert!(shown["sound"].as_u64().unwrap() > 10_000 && shown["pictures"].as_u64().unwrap() > 100, "{shown}");
    let list = node.get(&format!("/playlist/c/audio.m3u8?{RANGE}&apart=true"));
    assert!(list.text().contains("#EXT-X-GAP") && !list.text().contains("DISCONTINUITY"), "{}", list.text());
    assert!(shown["at"].as_f64().unwrap() > f64::from(LENGTH) - 0.5, "{shown}");
    assert!(shown["apart"].as_f64().unwrap().abs() < 100.0, "sound lies beside its pictures: {shown}");
    assert!(!shown["errors"].to_string().contains("fatal"), "{shown}");

    // The page plays the same where the quality is clicked, and sound alone where that is.
    browser.open(&node, "/#from=2020-01-01T05:00:00Z&to=2020-01-01T05:00:10Z");
    for quality in ["source", "audio"] {
        click(&browser, quality, 100);
        let played = if quality == "audio" { "webkitAudioDecodedByteCount" } else { "webkitVideoDecodedByteCount" };
        browser.wait_until(&format!(
            "document.getElementById('player').dataset.state === 'playing' && document.getElementById('video').{played} > 0
             && document.getElementById('video').webkitAudioDecodedByteCount > 0"
        ));
    }
    assert_eq!(browser.log(), Vec::<String>::new());
    node.terminate();
}
