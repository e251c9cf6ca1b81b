//! Frames, waveforms and exact cuts from a node that runs, and what becomes of it when its ffmpeg misbehaves.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::trouble::{Filler, Mount, may_mount};
use crate::support::{SOON, TestArchive, TestNode, eventually, gapless};

const HOUR: &str = "chan/source/2019-11-13T02";

/// Three segments of two seconds from 02:00:00 on, of 25 pictures a second and a tone.
fn recorded() -> TestArchive {
    let archive = TestArchive::empty();
    let pattern = archive.outside().join("%d.ts");
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "6"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .args(["-f", "segment", "-segment_time", "2", "-segment_format", "mpegts"])
        .arg(&pattern)
        .status();
    assert!(made.unwrap().success());
    for at in 0..3 {
        let bytes = fs::read(archive.outside().join(format!("{at}.ts"))).unwrap();
        archive.named(HOUR, &format!("00:0{}.0-2.0-full", at * 2), "ts", &bytes);
    }
    archive
}

/// What ffprobe says of these bytes.
fn probed(bytes: &[u8], what: &[&str]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-of", "default=nk=1:nw=1"])
        .args(what)
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_node_shows_frames_and_sound_and_cuts_to_the_frame() {
    let archive = recorded();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let frame = node.get("/frame/chan/source.png?timestamp=2019-11-13T02:00:03.5");
    assert_eq!((frame.status, frame.header("content-type")), (200, Some("image/png")), "{}", node.log());
    assert_eq!(probed(&frame.body, &["-show_entries", "stream=codec_name,width,height"]), ["png", "160", "90"]);
    let again =
        node.get_with("/frame/chan/source.png?timestamp=2019-11-13T02:00:03.5", &[("If-None-Match", &frame.etag())]);
    assert_eq!((again.status, again.body.len()), (304, 0));

    let window = "start=2019-11-13T02:00:00&end=2019-11-13T02:00:06";
    let curve = node.get(&format!("/waveform/chan/source.png?{window}&size=300x40"));
    assert_eq!(curve.status, 200, "{}", node.log());
    assert_eq!(probed(&curve.body, &["-show_entries", "stream=codec_name,width,height"]), ["png", "300", "40"]);

    let cut = |path: &str| {
        let cut = node.get(&format!("/cut/chan/{path}&start=2019-11-13T02:00:01.2&end=2019-11-13T02:00:04.6"));
        assert_eq!(cut.status, 200, "{} {}", cut.text(), node.log());
        let frames = probed(&cut.body, &["-count_frames", "-show_entries", "stream=nb_read_frames"]);
        // Of a transport stream it tells twice: as that of the program, and as that of the file.
        assert!(!frames.is_empty() && frames.iter().all(|frames| frames == "85"), "{path}: {frames:?}");
        let name = cut.header("content-disposition").unwrap().to_owned();
        (cut.header("content-type").unwrap().to_owned(), name)
    };
    let (kind, name) = cut("source.ts?type=smart");
    assert!(kind == "video/MP2T" && name.contains(".ts\""), "{kind} {name}");
    for path in ["source.ts?type=mp4", "source.mp4?"] {
        let (kind, name) = cut(path);
        assert!(kind == "video/mp4" && name.contains(".mp4\""), "{kind} {name}");
    }
    let metrics = node.get("/metrics").text().to_owned();
    for line in [
        "gapless_ffmpeg_running 0",
        "gapless_ffmpeg_runs_total{outcome=\"done\",work=\"frame\"} 1",
        "gapless_ffmpeg_runs_total{outcome=\"done\",work=\"waveform\"} 1",
        "gapless_ffmpeg_runs_total{outcome=\"done\",work=\"mp4\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[test]
fn a_fault_further_on_is_found_before_the_first_byte_and_the_cut_is_rough_where_nobody_insists() {
    let archive = TestArchive::empty();
    let made = |name: &str, options: &str| {
        let pattern = archive.outside().join(format!("{name}%d.ts"));
        let source = "-loglevel error -f lavfi -i testsrc2=size=160x90:rate=25 -f lavfi -i sine=sample_rate=48000 -t 6 -pix_fmt yuv420p";
        let segments = "-f segment -segment_time 2 -segment_format mpegts -break_non_keyframes 1";
        let args = [source, options, segments].join(" ");
        let done = Command::new("ffmpeg").args(args.split(' ')).arg(&pattern).status();
        assert!(done.unwrap().success());
        (0..3).map(|at| fs::read(archive.outside().join(format!("{name}{at}.ts"))).unwrap()).collect::<Vec<_>>()
    };
    let usual = made("usual", "-c:v libx264 -preset veryfast -g 25 -c:a aac");
    let other = made("other", "-c:v mpeg2video -g 25 -c:a aac");
    // With one key frame, at its beginning.
    let sparse = made("sparse", "-c:v libx264 -preset veryfast -g 250 -c:a aac");
    let at = |second: usize, length: &str| format!("00:0{second}.0-{length}-full");
    for (channel, first, second, third, length) in [
        ("codec", &usual[0], Some(&usual[1]), &other[2], "2.0"),
        ("length", &usual[0], Some(&usual[1]), &usual[2], "3.0"),
        ("hole", &sparse[0], None, &sparse[2], "2.0"),
    ] {
        let hour = format!("{channel}/source/2019-11-13T02");
        archive.named(&hour, &at(0, "2.0"), "ts", first);
        if let Some(second) = second {
            archive.named(&hour, &at(2, "2.0"), "ts", second);
        }
        archive.named(&hour, &at(4, length), "ts", third);
    }
    let node = TestNode::start(&archive);
    node.wait_ready();
    for (channel, says) in [
        ("codec", "is MPEG-2 video and an exact cut wants H.264"),
        ("length", "holds 2.0"),
        ("hole", "no key frame comes before them"),
    ] {
        let cut =
            format!("/cut/{channel}/source.ts?start=2019-11-13T02:00:00&end=2019-11-13T02:00:06&allow_holes=true");
        for kind in ["smart", "mp4"] {
            let (_, detail) = node.get(&format!("{cut}&type={kind}")).problem(422);
            assert!(detail.contains(says) && detail.contains("2019-11-13T02:00:04"), "{channel}: {detail}");
        }
        let either = node.get(&cut);
        assert_eq!((either.status, either.header("gapless-cut")), (200, Some("rough")), "{channel}");
        let reason = either.header("gapless-cut-reason").unwrap();
        assert!(reason.contains(says) && reason.contains("2019-11-13T02:00:04"), "{channel}: {reason}");
    }
}

/// A template whose left half is open.
fn template() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 20);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().unwrap();
    let row: Vec<u8> = (0..40).flat_map(|x| [255, 0, 0, if x < 20 { 0 } else { 255 }]).collect();
    writer.write_image_data(&row.repeat(20)).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn editors_and_cutters_of_today_find_what_they_ask_for() {
    let archive = recorded();
    let chat = br##"{"command":"PRIVMSG","params":["#chan","hi"],"tags":{"id":"1"},"time":1573610401.5,"time_range":0.0,"receivers":{}}"##;
    archive.named("chan/chat/2019-11-13T02", "00:00", "json", chat);
    let node = TestNode::start(&archive);
    node.wait_ready();
    archive.raw(".gapless/templates/half open.png", &template());
    let at = |second: &str| format!("2019-11-13T02%3A00%3A0{second}");
    let frames = |query: &str, kind: &str| {
        let cut = node.get(&format!("/cut/chan/source.ts?{query}&allow_holes=false"));
        assert_eq!((cut.status, cut.header("gapless-cut")), (200, Some(kind)), "{} {}", cut.text(), node.log());
        probed(&cut.body, &["-count_frames", "-show_entries", "stream=nb_read_frames"])[0].clone()
    };
    let range = |from: &str, to: &str| format!("range={}%2C{}", at(from), at(to));
    let window = range("1.200", "4.600");
    for (kind, pictures) in [("&type=fast", "85"), ("&type=mpegts", "85"), ("&type=webm", "85"), ("", "85")] {
        assert_eq!(frames(&format!("{window}{kind}"), "exact"), pictures, "{kind}");
    }
    let two = format!("{}&{}&transition=", range("1.000", "3.000"), range("3.400", "5.400"));
    assert_eq!(frames(&format!("{two}fade%2C0.4&type=smart"), "exact"), "90");
    assert_eq!(frames(&two, "exact"), "100");
    assert_eq!(frames(&format!("{two}fade%2C0.4&type=rough"), "rough"), "200");
    for (query, says) in [
        (format!("{two}batman%2C1"), "transition"),
        (format!("{two}fade"), "KIND,SECONDS"),
        (format!("{two}fade%2C2.5"), "no more than the range has"),
        (format!("{two}&transition="), "2 of them"),
        (format!("{window}&transition="), "1 of them"),
    ] {
        let (_, detail) = node.get(&format!("/cut/chan/source.ts?{query}")).problem(400);
        assert!(detail.contains(says), "{query}: {detail}");
    }

    let thumbnail = format!("/thumbnail/chan/source.png?timestamp={}&crop=0,0,160,90&location=0,0,20,20", at("2.500"));
    let named = node.get(&format!("{thumbnail}&template=half+open"));
    assert_eq!((named.status, named.header("content-type")), (200, Some("image/png")), "{}", named.text());
    assert_eq!(probed(&named.body, &["-show_entries", "stream=codec_name,width,height"]), ["png", "40", "20"]);
    assert_eq!(
        node.get_with(&format!("{thumbnail}&template=half+open"), &[("If-None-Match", &named.etag())]).status,
        304
    );
    node.get(&format!("{thumbnail}&template=none")).problem(404);

    let said = node.get(&format!("/chan/chat.json?start={}&end={}", at("0.000"), at("5.000")));
    assert_eq!(said.json()[0]["params"][1], "hi");

    let body = serde_json::json!({ "day": ["2019-11-13T02:00:00", "2019-11-13T02:00:06"] });
    node.post("/generate_videos/chan/source", None, &body).problem(401);
    for is_new in [true, false] {
        let made = node.post("/generate_videos/chan/source", Some(&node.own_token()), &body);
        assert_eq!(made.json(), serde_json::json!({ "file": "chan_source_day_0.mkv", "is_new": is_new }));
    }
    let video = archive.read("chan_source_day_0.mkv");
    assert_eq!(probed(&video, &["-count_frames", "-show_entries", "stream=nb_read_frames"]), ["150"]);
    // Both are written in front when the end is known.
    let duration: f64 = probed(&video, &["-show_entries", "format=duration"])[0].parse().unwrap();
    assert!((duration - 6.0).abs() < 0.2, "{duration}");
    let cues = index_of_a_matroska_file(&video);
    assert!(video[cues..].starts_with(&[0x1c, 0x53, 0xbb, 0x6b]), "the index for players is not at {cues}");
}

/// Where its beginning says that the index is (RFC 9559: `SeekHead`, with positions from the start of the content of `Segment`).
fn index_of_a_matroska_file(video: &[u8]) -> usize {
    let after = |what: &[u8], from: usize| {
        from + video[from..].windows(what.len()).position(|window| window == what).expect("an element") + what.len()
    };
    // The length of the segment follows its identifier in eight bytes.
    let content = after(&[0x18, 0x53, 0x80, 0x67], 0) + 8;
    let position = after(&[0x53, 0xab, 0x84, 0x1c, 0x53, 0xbb, 0x6b, 0x53, 0xac], content);
    let length = usize::from(video[position] & 0x7f);
    let bytes = &video[position + 1..position + 1 + length];
    content + bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[test]
fn a_video_for_which_there_is_no_room_is_refused_and_leaves_nothing() {
    if !may_mount() {
        return;
    }
    let recorded = recorded();
    let archive = TestArchive::empty();
    let _mount = Mount::tmpfs(archive.path(), "24m");
    for name in recorded.listing(HOUR, false) {
        archive.raw(&format!("{HOUR}/{name}"), &recorded.read(&format!("{HOUR}/{name}")));
    }
    let state = tempfile::tempdir().unwrap();
    let node = TestNode::plan(&archive).state_dir(state.path()).start();
    node.wait_ready();
    let filler = Filler::fill(archive.path());
    let body = serde_json::json!({ "day": ["2019-11-13T02:00:00", "2019-11-13T02:00:06"] });
    node.post("/generate_videos/chan/source", Some(&node.own_token()), &body).problem(507);
    filler.give_room();
    let made = node.post("/generate_videos/chan/source", Some(&node.own_token()), &body);
    assert_eq!(made.json(), serde_json::json!({ "file": "chan_source_day_0.mkv", "is_new": true }));
    let temporaries = fs::read_dir(archive.path().join(".gapless/arriving")).unwrap().count();
    assert_eq!(temporaries, 0);
}

#[test]
fn what_cannot_be_asked_is_said_in_a_sentence() {
    let archive = recorded();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let window = "start=2019-11-13T02:00:00&end=2019-11-13T02:00:06";
    for (path, status, says) in [
        ("frame/chan/source.png".to_owned(), 400, "timestamp"),
        ("frame/chan/source.png?timestamp=whenever".to_owned(), 400, "whenever"),
        ("frame/chan/source.png?timestamp=2019-11-13T02:00:07".to_owned(), 406, "chan/source"),
        ("frame/nobody/source.png?timestamp=2019-11-13T02:00:01".to_owned(), 404, "nobody/source"),
        ("frame/chan/source.jpg?timestamp=2019-11-13T02:00:01".to_owned(), 404, ".png"),
        ("waveform/chan/source.png?start=2019-11-13T02:00:00".to_owned(), 400, "end"),
        ("waveform/chan/source.png?end=2019-11-13T02:00:00".to_owned(), 400, "start"),
        (
            "waveform/chan/source.png?start=2019-11-13T02:00:02&end=2019-11-13T02:00:02".to_owned(),
            400,
            "after the start",
        ),
        ("waveform/chan/source.png?start=2019-11-13T02:00:00&end=2019-11-13T08:00:01".to_owned(), 400, "6 hours"),
        (format!("waveform/chan/source.png?{window}&size=4097x10"), 400, "4096"),
        (format!("waveform/chan/source.png?{window}&size=10x0"), 400, "4096"),
        (format!("waveform/chan/source.png?{window}&size=-1xx"), 400, "1024x64"),
        ("waveform/chan/source.png?start=2019-11-13T03:00:00&end=2019-11-13T03:00:01".to_owned(), 406, "chan/source"),
        (format!("cut/chan/source.ts?type=exact&{window}"), 400, "smart"),
        (format!("cut/chan/source.mp4?type=rough&{window}"), 422, ".ts with type=rough"),
        ("cut/chan/source.ts?type=smart&start=2019-11-13T02:00:00&end=2019-11-13T02:00:07".to_owned(), 406, "missing"),
    ] {
        let (_, detail) = node.get(&format!("/{path}")).problem(status);
        assert!(detail.contains(says), "{path}: {detail}");
    }
}

/// A program in place of ffmpeg, and the file in which those that were started stand.
fn fake(archive: &TestArchive, does: &str) -> (PathBuf, PathBuf) {
    let (program, pids) = (archive.outside().join("ffmpeg"), archive.outside().join("pids"));
    fs::write(&program, format!("#!/bin/sh\necho $$ >> {}\n{does}\n", pids.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (program, pids)
}

fn started(pids: &Path) -> Vec<String> {
    fs::read_to_string(pids).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn all_gone(pids: &Path) -> bool {
    started(pids).iter().all(|pid| !Path::new("/proc").join(pid).exists())
}

#[test]
fn an_ffmpeg_that_hangs_is_killed_and_harms_nobody() {
    let archive = recorded();
    let (program, pids) = fake(&archive, "trap '' TERM; sleep 600 & wait; sleep 600");
    let config = format!("[playback]\nffmpeg = \"{}\"\nffmpeg_time = \"1s\"\n", program.display());
    let node = TestNode::plan(&archive).config(&config).start();
    node.wait_ready();
    let frame = "/frame/chan/source.png?timestamp=2019-11-13T02:00:03.5";
    let (kind, detail) = node.get(frame).problem(504);
    assert!(kind == "/problems/program-too-slow" && detail.contains("1 s"), "{detail}");
    assert!(all_gone(&pids), "when the answer is there nothing is left");
    // An exact cut needs it for its front, and nothing was sent before.
    let cut = "/cut/chan/source.ts?type=smart&start=2019-11-13T02:00:01.2&end=2019-11-13T02:00:04.6";
    node.get(cut).problem(504);
    assert!(all_gone(&pids));
}

#[test]
fn whoever_goes_away_takes_the_process_along_and_so_does_the_end_of_the_node() {
    let archive = recorded();
    let (program, pids) = fake(&archive, "trap '' TERM; sleep 600");
    let config = format!("[http]\ndrain = \"1s\"\n[playback]\nffmpeg = \"{}\"\n", program.display());
    let node = TestNode::plan(&archive).config(&config).start();
    node.wait_ready();
    let ask = |count: usize| {
        let mut connection = node.connect();
        connection.send(b"GET /frame/chan/source.png?timestamp=2019-11-13T02:00:03.5 HTTP/1.1\r\nHost: x\r\n\r\n");
        eventually(SOON, || started(&pids).len() == count);
        connection
    };
    let asking = ask(1);
    assert_eq!(node.get("/files").list(), ["chan"], "others are answered meanwhile");
    drop(asking);
    eventually(SOON, || all_gone(&pids));
    let asking = ask(2);
    node.terminate();
    drop(asking);
    eventually(SOON, || all_gone(&pids));
}

#[test]
fn without_an_ffmpeg_a_node_says_what_to_install() {
    let archive = recorded();
    let node = TestNode::plan(&archive).config("[playback]\nffmpeg = \"/nowhere/ffmpeg\"\n").start();
    node.wait_ready();
    let (kind, detail) = node.get("/frame/chan/source.png?timestamp=2019-11-13T02:00:03.5").problem(501);
    assert!(kind == "/problems/not-installed" && detail.contains("install Debian's package ffmpeg"), "{detail}");
    node.get("/waveform/chan/source.png?start=2019-11-13T02:00:00&end=2019-11-13T02:00:06").problem(501);
    let cut =
        |kind: &str, start: &str| format!("/cut/chan/source.ts?type={kind}&start={start}&end=2019-11-13T02:00:04");
    node.get(&cut("mp4", "2019-11-13T02:00:01")).problem(501);
    node.get(&cut("smart", "2019-11-13T02:00:01.2")).problem(501);
    assert_eq!(node.get(&cut("rough", "2019-11-13T02:00:01.2")).status, 200);
    // Where nobody insists it is what can be had.
    let either = node.get("/cut/chan/source.ts?start=2019-11-13T02:00:01.2&end=2019-11-13T02:00:04");
    assert_eq!((either.status, either.header("gapless-cut")), (200, Some("rough")));
    // Even where a cut begins at a key frame, and may end at one.
    node.get(&cut("smart", "2019-11-13T02:00:01")).problem(501);
    for kind in ["smart", "mp4"] {
        assert_eq!(node.request("HEAD", &cut(kind, "2019-11-13T02:00:01"), &[]).status, 501);
    }
}

#[test]
fn a_cut_that_is_stopped_by_a_signal_leaves_nothing_behind() {
    let archive = recorded();
    gapless(archive.path(), &["rebuild"]).lines(0);
    let (program, pids) = fake(&archive, "[ \"$1\" = -version ] && exit 0\nsleep 600");
    let config = archive.outside().join("cut.toml");
    fs::write(&config, format!("[playback]\nffmpeg = \"{}\"\n", program.display())).unwrap();
    let place = tempfile::tempdir().unwrap();
    // By itself, and by a node.
    for has_node in [false, true] {
        let node = has_node.then(|| {
            let config = fs::read_to_string(&config).unwrap();
            let node = TestNode::plan(&archive).config(&config).start();
            node.wait_ready();
            node
        });
        for (signal, kind) in [(Signal::INT, "smart"), (Signal::TERM, "mp4")] {
            fs::remove_file(&pids).ok();
            let mut cutting = Command::new(env!("CARGO_BIN_EXE_gapless"))
                .arg("--base-dir")
                .arg(archive.path())
                .arg("--config")
                .arg(&config)
                .args(["cut", "chan/source", "2019-11-13T02:00:01.2", "2019-11-13T02:00:04.6", "--type", kind])
                .arg("--output")
                .arg(place.path().join("cut.ts"))
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            eventually(SOON, || started(&pids).iter().any(|pid| sleeps(pid)));
            rustix::process::kill_process(rustix::process::Pid::from_child(&cutting), signal).unwrap();
            let status = cutting.wait().unwrap();
            let mut said = String::new();
            cutting.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(status.code() == Some(3) && said.contains("signal"), "{status}: {said}");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "no temporary is left");
            eventually(SOON, || all_gone(&pids));
        }
        drop(node);
    }
}

/// Whether that shell has got to its work.
fn sleeps(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).is_ok_and(|children| !children.trim().is_empty())
}
