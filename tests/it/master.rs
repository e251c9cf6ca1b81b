//! Master playlists: which qualities there are in a range, and what they take and hold, as real clients read it.

use std::process::Command;

use serde_json::Value;

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually, hls};

const HOUR: &str = "2019-11-13T02";

/// The attributes of each `#EXT-X-STREAM-INF`, and the address behind it.
fn variants(text: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("#EXT-X-STREAM-INF:")?, pair[1])));
    pairs.collect()
}

fn attribute<'t>(attributes: &'t str, name: &str) -> &'t str {
    let (_, rest) = attributes.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("{name} in {attributes}"));
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap(),
        None => rest.split(',').next().unwrap(),
    }
}

/// The peak as the standard words it, over the segments that the API gives for the same stretch.
fn peak(node: &TestNode, quality: &str, range: &str) -> u64 {
    let page: Value = node.get(&format!("/api/v1/sequence/desertbus/{quality}?{range}")).json();
    let told = page["sequence"].as_array().unwrap().iter().filter(|segment| !segment.is_null());
    let duration = |segment: &Value| segment["name"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap();
    let segments: Vec<(u64, f64)> =
        told.map(|segment| (segment["size"].as_u64().unwrap(), duration(segment))).collect();
    assert!(segments.len() > 20, "{page}");
    let target = segments.iter().map(|segment| segment.1).fold(0.0, f64::max).ceil();
    let mut highest = 0.0_f64;
    for from in 0..segments.len() {
        let (mut bytes, mut seconds) = (0, 0.0);
        for (size, duration) in &segments[from..] {
            (bytes, seconds) = (bytes + size, seconds + duration);
            if (0.5 * target..=1.5 * target).contains(&seconds) {
                highest = highest.max(8.0 * f64::from(u32::try_from(bytes).unwrap()) / seconds);
            }
        }
    }
    format!("{:.0}", (highest - 1e-6).ceil()).parse().unwrap()
}

#[test]
fn a_master_playlist_is_measured_from_what_is_there() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    let range = "start=2019-11-13T02:55:00&end=2019-11-13T03:02:00";
    let answer = node.get(&format!("/playlist/desertbus.m3u8?{range}&gaps=true"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/vnd.apple.mpegurl")));
    let text = answer.text();
    assert!(text.starts_with("#EXTM3U\n") && text.contains("\n#EXT-X-INDEPENDENT-SEGMENTS\n"), "{text}");
    let found = variants(text);
    assert_eq!(hls::read_master(text).map(|addresses| addresses.len()), Ok(2), "{text}");
    assert_eq!(found.len(), 2, "chat is none: {text}");
    for ((attributes, address), (quality, size)) in found.into_iter().zip([("source", "64x36"), ("480p", "48x32")]) {
        assert_eq!(attribute(attributes, "CODECS"), "avc1.f4000a,mp4a.40.2");
        assert_eq!(attribute(attributes, "RESOLUTION"), size);
        assert_eq!(attribute(attributes, "FRAME-RATE"), "3.000");
        assert_eq!(attribute(attributes, "VIDEO"), quality);
        assert_eq!(attribute(attributes, "BANDWIDTH").parse(), Ok(peak(&node, quality, range)));
        let media =
            format!("#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"{quality}\",NAME=\"{quality}\",AUTOSELECT=YES,DEFAULT=YES\n");
        assert_eq!(text.matches(&media).count(), 1);
        let query = "start=2019-11-13T02:55:00.000000Z&end=2019-11-13T03:02:00.000000Z&gaps=true";
        assert_eq!(address, format!("/playlist/desertbus/{quality}.m3u8?{query}"));
        assert_eq!(node.get(address).status, 200);
    }
    // So does a media playlist whose end is known; of one that may grow nobody knows.
    let whole = node.get("/playlist/desertbus/480p.m3u8?start=2019-11-13T02:56:31&end=2019-11-13T02:56:40");
    assert!(
        whole.text().contains("#EXT-X-ENDLIST") && whole.text().contains("#EXT-X-INDEPENDENT-SEGMENTS"),
        "{}",
        whole.text()
    );
    let growing = node.get("/playlist/desertbus/480p.m3u8?start=2019-11-13T02:56:31&end=2019-11-13T05:30:00");
    assert!(
        !growing.text().contains("#EXT-X-ENDLIST") && !growing.text().contains("#EXT-X-INDEPENDENT"),
        "{}",
        growing.text()
    );
    let url = format!("http://{}/playlist/desertbus.m3u8?{range}", node.address);
    let output =
        Command::new("ffprobe").args(["-v", "error", "-show_entries", "program_tags=variant_bitrate", &url]).output();
    let said = String::from_utf8(output.expect("ffprobe, which scripts/test installs").stdout).unwrap();
    let told: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("TAG:variant_bitrate=")).collect();
    let bandwidths: Vec<&str> =
        variants(text).into_iter().map(|(attributes, _)| attribute(attributes, "BANDWIDTH")).collect();
    assert_eq!(told, bandwidths, "{said}");
}

#[test]
fn only_qualities_with_video_in_the_range_are_told_and_a_change_is() {
    let archive = TestArchive::empty();
    archive.segment(&format!("a \"b\"/so%\"urce/{HOUR}"), "10:00.000000", 2.0, Kind::Full);
    archive.segment(&format!("a \"b\"/480p/{HOUR}"), "20:00.000000", 2.0, Kind::Full);
    archive.chat(&format!("a \"b\"/chat/{HOUR}"), "10:00.000000");
    let gone = archive.segment(&format!("a \"b\"/gone/{HOUR}"), "10:00.000000", 2.0, Kind::Full);
    archive.tombstone(&gone);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let qualities = |query: &str| {
        let answer = node.get(&format!("/playlist/a%20%22b%22.m3u8{query}"));
        let found: Vec<String> = variants(answer.text())
            .into_iter()
            .map(|(_, address)| address.split('?').next().unwrap().to_owned())
            .collect();
        found
    };
    let (source, low) = ("/playlist/a%20%22b%22/so%25%22urce.m3u8", "/playlist/a%20%22b%22/480p.m3u8");
    assert_eq!(qualities(""), [low, source]);
    assert_eq!(qualities("?start=2019-11-13T02:10:01&end=2019-11-13T02:20:00"), [source]);
    assert_eq!(qualities("?start=2019-11-13T02:10:02"), [low]);
    assert_eq!(qualities("?end=2019-11-13T02:10:00"), Vec::<String>::new());
    assert_eq!(node.get(source).status, 200);

    let path = "/playlist/a%20%22b%22.m3u8?start=2019-11-13T02:00:00Z";
    let first = node.get_with(path, &[("Accept-Encoding", "gzip")]);
    assert_eq!((first.header("content-encoding"), first.header("cache-control")), (Some("gzip"), Some("no-cache")));
    let tag = first.header("etag").unwrap();
    assert_eq!(node.get_with(path, &[("If-None-Match", tag)]).status, 304);
    assert_eq!(node.request("HEAD", path, &[]).status, 200);
    // It says nothing of codecs that nobody knows.
    assert!(!node.get(path).text().contains("CODECS"));
    archive.named(&format!("a \"b\"/480p/{HOUR}"), "20:02.000000-2.0-full", "ts", &[0x47; 10_000]);
    eventually(SOON, || node.get_with(path, &[("If-None-Match", tag)]).status == 200);
    assert_eq!(qualities(""), [low, source], "now by far the most bits");
    assert!(node.get(path).text().contains(":BANDWIDTH=40000,"), "{}", node.get(path).text());
}

#[test]
fn what_cannot_be_answered_says_why() {
    let archive = TestArchive::empty();
    archive.segment(&format!("chan/source/{HOUR}"), "10:00.000000", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    for (query, status) in [
        ("none.m3u8", 404),
        ("chan.m3u", 404),
        (".m3u8", 403),
        ("chan.m3u8?start=whenever", 400),
        ("chan.m3u8?start=2019-11-13T03:00:00&end=2019-11-13T02:00:00", 400),
        ("chan.m3u8?start=2019-11-13T03:00:00&end=2019-11-13T03:00:00", 400),
        ("chan.m3u8?start=0000-01-01T00:00:00&end=0000-01-01T00:00:01", 200),
        ("chan.m3u8?start=9999-12-31T23:59:59", 200),
        ("chan.m3u8?end=0000-01-01T00:00:00", 200),
        ("chan.m3u8?gaps=perhaps", 400),
        ("chan.m3u8?start=2019-11-13T04:00:00%2B02:00", 200),
    ] {
        let answer = node.get(&format!("/playlist/{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    }
}
