//! What wubloader's editor asks of a restreamer, asked of a node by a real browser with the player that it has: quality names, the times of
//! what is shown, seeking, the waveform under it, previews of transitions, downloads of each type, thumbnails and chat.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::encoder::{Encoder, USUAL};
use crate::support::{SOON, TestArchive, TestNode, eventually};

/// Eight seconds in four segments of two qualities: quiet up to the middle, and loud from there.
fn recorded() -> TestArchive {
    let archive = TestArchive::empty();
    for (quality, size) in [("source", "320x180"), ("480p", "160x90")] {
        let pattern = archive.outside().join(format!("{quality}-%d.ts"));
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &format!("testsrc2=size={size}:rate=25")]);
        command.args(["-f", "lavfi", "-i", "aevalsrc='if(lt(t,4),0.01,0.8)*sin(880*PI*t)':s=48000", "-t", "8"]);
        command.args([
            "-c:v",
            "libx264",
            "-preset",
            "superfast",
            "-g",
            "50",
            "-sc_threshold",
            "0",
            "-pix_fmt",
            "yuv420p",
        ]);
        command.args(["-bf", "0", "-threads", "1", "-c:a", "aac", "-f", "segment", "-segment_time", "2"]);
        command.args(["-segment_format", "mpegts"]).arg(&pattern).stdin(Stdio::null());
        assert!(command.status().unwrap().success());
        for at in 0..4 {
            let bytes = fs::read(archive.outside().join(format!("{quality}-{at}.ts"))).unwrap();
            archive.named(
                &format!("chan/{quality}/2019-11-13T02"),
                &format!("00:0{}.0-2.0-full", at * 2),
                "ts",
                &bytes,
            );
        }
    }
    let chat = br##"{"command":"PRIVMSG","params":["#chan","hi"],"tags":{"id":"1"},"time":1573610401.5,"time_range":0.0,"receivers":{}}"##;
    archive.named("chan/chat/2019-11-13T02", "00:00", "json", chat);
    archive
}

/// The window as their page writes times: without an offset.
const WINDOW: &str = "start=2019-11-13T02:00:00.000&end=2019-11-13T02:00:08.000";

/// Loads the player as their page does, and helpers that draw pictures and compare them.
const LOADED: &str = "
    const pixels = (window.pixels = async (source) => {
      const canvas = new OffscreenCanvas(source.videoWidth ?? source.width, source.videoHeight ?? source.height);
      const context = canvas.getContext('2d');
      context.drawImage(source, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    });
    window.picture = async (address) => pixels(await createImageBitmap(await (await fetch(address)).blob()));
    window.shown = () => pixels(document.getElementById('editor'));
    window.differ = (a, b) => a.data.reduce((sum, value, at) => sum + Math.abs(value - b.data[at]), 0) / a.data.length;
    return import('/page/hls.light.min.mjs').then(({ default: Hls }) => {
      const video = Object.assign(document.createElement('video'), { muted: true, id: 'editor' });
      document.body.append(video);
      const player = (window.player = new Hls());
      window.trouble = [];
      // A seek gives up what was being loaded for the place before it.
      player.on(Hls.Events.ERROR, (_, data) => data.details === 'aborted' || trouble.push(data.details));
      player.attachMedia(video);
      player.on(Hls.Events.MEDIA_ATTACHED, () => player.loadSource(`/playlist/chan.m3u8?WINDOW`));
    });";

/// Where the player is by the list's own times, and how far its picture is from those of `/frame` of then and of a second earlier. Players
/// count from the first sound, which may come a little before the first picture: it may be the picture before.
const SOUGHT: &str = "
    const video = document.getElementById('editor');
    const part = player.latencyController.levelDetails.fragments.findLast(({ start }) => start <= video.currentTime);
    const at = Date.parse(part.rawProgramDateTime) + (video.currentTime - part.start) * 1000;
    const frame = (ms) => picture(`/frame/chan/source.png?timestamp=${new Date(ms).toISOString().slice(0, -1)}`);
    return Promise.all([shown(), frame(at), frame(at - 40), frame(at - 1000)]).then(([shown, then, before, earlier]) => ({
      at: new Date(at).toISOString(), near: Math.min(differ(shown, then), differ(shown, before)), far: differ(shown, earlier),
    }));";

/// How much of the waveform's left and right half is drawn on, in per cent of the height, and whether it is clear elsewhere.
const WAVEFORM: &str = "
    return picture(`/waveform/chan/source.png?size=1920x125&WINDOW&t=1573610400`).then(({ data, width, height }) => {
      const drawn = [0, 0];
      for (let at = 0; at < width * height; at += 1) if (data[4 * at + 3] > 0) drawn[Number(at % width >= width / 2)] += 1;
      return { size: `${width}x${height}`, drawn: drawn.map((count) => Math.round((count * 200) / (width * height))) };
    });";

/// Asks for a cut of two ranges as their page writes it; status, kind and how many bytes there are.
const DOWNLOAD: &str = "
    const query = new URLSearchParams({ type: 'TYPE', allow_holes: false });
    query.append('range', '2019-11-13T02:00:01.000,2019-11-13T02:00:03.000');
    query.append('range', '2019-11-13T02:00:04.500,2019-11-13T02:00:06.500');
    query.append('transition', 'fade,0.5');
    return fetch(`/cut/chan/480p.ts?${query}`).then(async (answer) => {
      const content = await answer.blob();
      window.preview = content;
      const { status, headers } = answer;
      return [status, headers.get('content-type'), headers.get('gapless-cut'), content.size > 10_000];
    });";

/// Posts a template of which the left half is clear; how far the left half of the answer is from the frame, and its right half from red.
const THUMBNAIL: &str = "
    const canvas = new OffscreenCanvas(320, 180);
    const context = canvas.getContext('2d');
    context.fillStyle = 'rgb(255, 0, 0)';
    context.fillRect(160, 0, 160, 180);
    const query = new URLSearchParams({ timestamp: '2019-11-13T02:00:02.500', crop: '0,0,320,180', location: '0,0,320,180' });
    const half = ({ data }, side) => ({ data: data.filter((_, at) => (at / 4) % 320 >= 160 === (side === 1)) });
    return canvas.convertToBlob().then((template) => template.arrayBuffer()).then(async (body) => {
      const answer = await fetch(`/thumbnail/chan/source.png?${query}`, { method: 'POST', body: new Uint8Array(body) });
      const made = await pixels(await createImageBitmap(await answer.blob()));
      const frame = await picture('/frame/chan/source.png?timestamp=2019-11-13T02:00:02.500');
      return [answer.status, differ(half(made, 0), half(frame, 0)), half(made, 1).data.slice(0, 4)];
    });";

#[test]
fn the_editor_of_wubloader_shows_seeks_previews_and_downloads() {
    let archive = recorded();
    let node = TestNode::start(&archive);
    node.wait_ready();
    eventually(SOON, || node.get(&format!("/playlist/chan/source.m3u8?{WINDOW}")).text().contains("#EXT-X-ENDLIST"));
    let browser = Browser::start(800, 600);
    browser.open(&node, "/status");
    browser.run(&LOADED.replace("WINDOW", WINDOW));
    browser.wait_until("document.getElementById('editor')?.readyState >= 2");
    assert_eq!(browser.run("return player.levels.map((level) => level.name).sort()"), json!(["480p", "source"]));
    browser.run("player.currentLevel = player.levels.findIndex((level) => level.name === 'source')");
    for (second, time) in [("5.05", "02:00:05.0"), ("1.55", "02:00:01.5"), ("7.05", "02:00:07.0")] {
        browser.run(&format!("document.getElementById('editor').currentTime = {second}"));
        browser.wait_until(
            "(({ seeking, readyState, videoWidth }) => !seeking && readyState >= 2 && videoWidth === 320)\
             (document.getElementById('editor'))",
        );
        // A picture is drawn a moment after it was sought.
        eventually(SOON, || {
            let sought = browser.run(SOUGHT);
            let (near, far) = (sought["near"].as_f64().unwrap(), sought["far"].as_f64().unwrap());
            sought["at"].as_str().unwrap().contains(time) && far > 3.0 * near
        });
    }
    let waveform = browser.run(&WAVEFORM.replace("WINDOW", WINDOW));
    let drawn: Vec<u64> = serde_json::from_value(waveform["drawn"].clone()).unwrap();
    assert!(waveform["size"] == "1920x125" && drawn[0] < 20 && (50..100).contains(&drawn[1]), "{waveform}");
    for (kind, content_type, made) in [
        ("smart", "video/MP2T", "exact"),
        ("rough", "video/MP2T", "rough"),
        ("fast", "video/MP2T", "exact"),
        ("mpegts", "video/MP2T", "exact"),
        ("webm", "video/webm", "exact"),
    ] {
        let download = browser.run(&DOWNLOAD.replace("TYPE", kind));
        assert_eq!(download, json!([200, content_type, made, true]), "{kind}: {}", node.log());
    }
    // The last one is what they show as a preview.
    browser.run(
        "window.preview = Object.assign(document.createElement('video'), { src: URL.createObjectURL(preview), muted: true });
         preview.play()",
    );
    browser.wait_until("preview.ended");
    let played = browser.run("return [preview.videoWidth, preview.videoHeight, preview.currentTime]");
    assert!(played[0] == 160 && played[1] == 90 && (played[2].as_f64().unwrap() - 3.5).abs() < 0.1, "{played}");
    let thumbnail = browser.run(THUMBNAIL);
    assert!(thumbnail[0] == 200 && thumbnail[1].as_f64().unwrap() < 2.0, "{thumbnail}");
    assert_eq!(thumbnail[2], json!([255, 0, 0, 255]));
    let chat = browser.run(
        "return fetch(`/chan/chat.json?WINDOW`).then((answer) => answer.json())".replace("WINDOW", WINDOW).as_str(),
    );
    assert_eq!(chat[0]["params"][1], "hi");
    assert_eq!(browser.run("return trouble"), Value::Array(Vec::new()));
}

#[test]
fn a_preview_has_all_pictures_also_where_their_size_and_the_rate_of_the_sound_change() {
    let archive = TestArchive::empty();
    let next = Encoder { size: "320x180", sound: Some(44_100), from: 4.0, ..USUAL };
    for (at, content) in [USUAL.segments(2), next.segments(2)].concat().iter().enumerate() {
        archive.named("chan/480p/2019-11-13T02", &format!("00:0{}.0-2.0-full", at * 2), "ts", content);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    let cut = node.get("/cut/chan/480p.ts?type=webm&range=2019-11-13T02:00:01,2019-11-13T02:00:07");
    assert_eq!(cut.status, 200, "{} {}", cut.text(), node.log());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &cut.body).unwrap();
    let said = |stream: &str, what: &str| {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-select_streams", stream, "-of", "default=nk=1:nw=1"])
            .args(["-show_entries", what])
            .arg(file.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(said("v:0", "stream=width,height,nb_read_frames"), ["160", "90", "150"], "{}", node.log());
    let sound: Vec<f64> = said("a:0", "packet=pts_time").iter().map(|time| time.parse().unwrap()).collect();
    let gap = sound.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(sound.last().is_some_and(|last| (5.9..6.1).contains(last)) && gap < 0.05, "{:?}, {gap}", sound.last());
}
