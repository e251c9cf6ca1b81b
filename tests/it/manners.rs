//! How a node behaves as an HTTP server: ranges, conditions, encodings, methods, versions, and requests that are none.

use std::io::Read as _;

use crate::support::{Kind, SOON, TestArchive, TestNode, TestResponse, archive::packets, eventually, gapless, quoted};

const HOUR: &str = "chan/source/2019-11-13T02";

/// One segment of 1,000 packets; its address and content.
fn one_segment() -> (TestArchive, String, Vec<u8>) {
    let archive = TestArchive::empty();
    let content: Vec<u8> = (0..1_000).flat_map(|number| packets(&format!("packet {number}"), 1)).collect();
    let path = archive.named(HOUR, "00:00-2.0-full", "ts", &content);
    (archive, format!("/segments/{}", quoted(&path)), content)
}

#[test]
fn a_part_of_a_segment_is_served_by_its_range() {
    let (archive, path, content) = one_segment();
    let node = TestNode::start(&archive);
    let len = content.len();
    for (range, part) in [
        ("bytes=0-187", 0..188),
        ("bytes=188-188", 188..189),
        ("bytes=-188", len - 188..len),
        ("bytes=1000-", 1_000..len),
        ("bytes=1000-99999999", 1_000..len),
        ("bytes=-99999999", 0..len),
    ] {
        let response = node.get_with(&path, &[("Range", range)]);
        assert_eq!(response.status, 206, "{range}");
        assert!(response.body == content[part.clone()], "{range}");
        let expected = format!("bytes {}-{}/{len}", part.start, part.end - 1);
        assert_eq!(response.header("content-range"), Some(expected.as_str()), "{range}");
        assert_eq!(response.header("content-type"), Some("video/MP2T"));
    }
    for range in [format!("bytes={len}-"), "bytes=-0".to_owned(), "bytes=99999999999999999999-".to_owned()] {
        let response = node.get_with(&path, &[("Range", &range)]);
        response.problem(416);
        assert_eq!(response.header("content-range"), Some(format!("bytes */{len}").as_str()), "{range}");
    }
    for range in ["bytes=5-1", "pages=0-1", "bytes=a-b", "bytes=0-1,5-6", "bytes="] {
        let response = node.get_with(&path, &[("Range", range)]);
        assert_eq!((response.status, response.body.len()), (200, len), "{range}");
    }
    assert_eq!(node.get(&path).header("accept-ranges"), Some("bytes"));
}

#[test]
fn a_range_goes_on_only_with_the_file_that_it_began_with() {
    let (archive, path, content) = one_segment();
    let node = TestNode::start(&archive);
    let etag = node.get(&path).etag();
    let go_on = |condition: &str| node.get_with(&path, &[("Range", "bytes=188-"), ("If-Range", condition)]);
    assert_eq!(go_on(&etag).status, 206);
    assert!(go_on(&etag).body == content[188..]);
    for other in ["\"another\"", &format!("W/{etag}"), "Fri, 20 Nov 1998 18:00:00 GMT", "nonsense"] {
        let response = go_on(other);
        assert_eq!((response.status, response.body.len()), (200, content.len()), "{other}");
    }
}

#[test]
fn head_tells_what_get_would_and_sends_no_body() {
    let (archive, path, content) = one_segment();
    let node = TestNode::start(&archive);
    let mut connection = node.connect();
    for path in [path.as_str(), "/files", &format!("/files/{HOUR}"), "/extras/chan", "/healthz", "/nothing"] {
        let head = connection.request("HEAD", path, &[]);
        // A body after all would be read as the next answer.
        let get = connection.request("GET", path, &[]);
        assert_eq!(head.status, get.status, "{path}");
        for header in ["content-length", "content-type", "etag", "cache-control", "vary"] {
            assert_eq!(head.header(header), get.header(header), "{path} {header}");
        }
    }
    let part = connection.request("HEAD", &path, &[("Range", "bytes=0-9")]);
    assert!(matches!(part.status, 200 | 206));
    assert_eq!(connection.request("GET", &path, &[]).body.len(), content.len());
}

#[test]
fn whoever_has_it_already_is_told_so() {
    let (archive, path, _) = one_segment();
    let node = TestNode::start(&archive);
    for path in
        [path.as_str(), "/files", &format!("/files/{HOUR}"), &format!("/files/{HOUR}?tombstones=true"), "/extras/chan"]
    {
        let etag = node.get(path).etag();
        assert!(etag.starts_with('"'), "strong: {etag}");
        for condition in [etag.clone(), format!("W/{etag}"), "*".to_owned(), format!("\"other\", {etag}")] {
            let response = node.get_with(path, &[("If-None-Match", &condition)]);
            assert_eq!((response.status, response.body.len()), (304, 0), "{path} {condition}");
            assert_eq!(response.etag(), etag);
        }
        assert_eq!(node.get_with(path, &[("If-None-Match", "\"other\"")]).status, 200);
        assert_eq!(node.get_with(path, &[("If-Match", &etag)]).status, 200);
        node.get_with(path, &[("If-Match", "\"other\"")]).problem(412);
    }
    let segment = node.get(&path);
    assert_eq!(segment.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let hash = path.rsplit_once("full-").unwrap().1.trim_end_matches(".ts");
    assert_eq!(segment.etag(), format!("\"{hash}\""));
}

#[test]
fn the_tag_of_a_list_changes_exactly_when_the_list_does() {
    let archive = TestArchive::empty();
    archive.segment(HOUR, "00:00", 2.0, Kind::Full);
    let node = TestNode::start(&archive);
    node.wait_ready();
    let ask = |node: &TestNode| {
        let lists = [
            "/files".to_owned(),
            "/files/chan/source".to_owned(),
            format!("/files/{HOUR}"),
            format!("/files/{HOUR}?tombstones=true"),
        ];
        lists.map(|path| node.get(&path).etag())
    };
    let one = ask(&node);
    let add = || archive.segment(HOUR, "00:02", 2.0, Kind::Full);

    let second = add();
    eventually(SOON, || node.files(HOUR).len() == 2);
    let two = ask(&node);
    assert_eq!(one[..2], two[..2], "the lists above did not change");
    assert!(one[2] != two[2] && one[3] != two[3]);

    archive.remove(&second);
    eventually(SOON, || node.files(HOUR).len() == 1);
    assert_eq!(ask(&node), one, "the same list as before has the same tag");
    add();
    eventually(SOON, || node.files(HOUR).len() == 2);
    assert_eq!(ask(&node), two);

    // What is never listed changes no list.
    archive.segment(HOUR, "00:04", 2.0, Kind::Temp);
    archive.raw(&format!("{HOUR}/notes.txt"), b"x");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(ask(&node), two);

    node.terminate();
    let node = TestNode::start(&archive);
    assert_eq!(ask(&node), two, "a restart changes no list");
    node.terminate();
    assert_eq!(gapless(archive.path(), &["rebuild"]).code, 0);
    let node = TestNode::start(&archive);
    assert_eq!(ask(&node), two, "nor does a rebuild");

    archive.tombstone(&second);
    eventually(SOON, || node.files_with_tombstones(HOUR).iter().any(|name| name.ends_with(".tombstone")));
    assert_eq!(ask(&node)[2], one[2], "the tombstoned one is not listed any more");
}

fn decoded(response: &TestResponse) -> Vec<u8> {
    let mut plain = Vec::new();
    match response.header("content-encoding") {
        None => plain.clone_from(&response.body),
        Some("gzip") => drop(flate2::read::GzDecoder::new(&*response.body).read_to_end(&mut plain).unwrap()),
        Some("zstd") => plain = zstd::stream::decode_all(&*response.body).unwrap(),
        Some(other) => panic!("nobody asked for {other}"),
    }
    plain
}

#[test]
fn lists_are_compressed_as_negotiated_and_say_the_same() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    for path in ["/files/desertbus/source/2019-11-13T07?tombstones=true", "/extras/emotes"] {
        is_compressed_as_negotiated(&node, path);
    }
    let segment = archive.listing("desertbus/source/2019-11-13T07", false).remove(0);
    let video = node.get_with(
        &format!("/segments/{}", quoted(&format!("desertbus/source/2019-11-13T07/{segment}"))),
        &[("Accept-Encoding", "gzip, zstd")],
    );
    assert_eq!(video.header("content-encoding"), None, "video is compressed already");
}

fn is_compressed_as_negotiated(node: &TestNode, path: &str) {
    let plain = node.get(path);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    for (accept, encoding) in [
        ("gzip", Some("gzip")),
        ("zstd", Some("zstd")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("zstd;q=0.1, gzip;q=0.9", Some("gzip")),
        ("*", Some("zstd")),
        ("identity", None),
        ("br", None),
        ("", None),
        ("gzip;q=0", None),
        ("identity;q=0, gzip", Some("gzip")),
        // Nothing is left that both sides have; a readable body helps more than an error.
        ("identity;q=0", None),
    ] {
        // Twice: made, and from what is kept.
        for _ in 0..2 {
            let response = node.get_with(path, &[("Accept-Encoding", accept)]);
            assert_eq!(response.header("content-encoding"), encoding, "{accept}");
            assert_eq!(response.header("vary"), Some("accept-encoding"), "{accept}");
            assert!(decoded(&response) == plain.body, "{accept}");
            let tags_differ = response.etag() != plain.etag();
            assert_eq!(tags_differ, encoding.is_some(), "each form has its own tag");
            let again = node.get_with(path, &[("Accept-Encoding", accept), ("If-None-Match", &response.etag())]);
            assert_eq!((again.status, again.header("vary")), (304, Some("accept-encoding")));
        }
    }
}

#[test]
fn answers_of_the_api_are_compressed_for_whoever_accepts_it() {
    let archive = TestArchive::sample();
    let node = TestNode::start(&archive);
    node.wait_ready();
    for path in ["/api/v1/coverage/desertbus/source", "/api/v1/segments/desertbus/source?limit=9"] {
        let plain = node.get(path);
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")), "{path}");
        for (accept, encoding) in [("gzip", Some("gzip")), ("gzip, zstd", Some("zstd")), ("br", None)] {
            let got = node.get_with(path, &[("Accept-Encoding", accept)]);
            assert_eq!(got.header("content-encoding"), encoding, "{path}");
            assert_eq!(got.header("vary"), Some("accept-encoding"));
            assert!(decoded(&got) == plain.body, "{path}");
            assert!(encoding.is_none() || got.body.len() * 2 < plain.body.len(), "{path}: {}", got.body.len());
            let head = node.request("HEAD", path, &[("Accept-Encoding", accept)]);
            for name in ["content-length", "content-encoding", "vary", "content-type"] {
                assert_eq!(head.header(name), got.header(name), "{path}: {name}");
            }
            assert_eq!(head.body.len(), 0);
        }
    }
    let status = node.get_with("/api/v1/status", &[("Accept-Encoding", "gzip")]);
    assert_eq!(status.header("content-encoding"), Some("gzip"));
    let status: serde_json::Value = serde_json::from_slice(&decoded(&status)).unwrap();
    assert_eq!(status["base_dir"], node.get("/api/v1/status").json()["base_dir"]);
}

#[test]
fn any_page_may_read_and_none_may_write() {
    let (archive, path, _) = one_segment();
    let node = TestNode::start(&archive);
    for path in [path.as_str(), "/files", "/api/v1/status", "/healthz", "/nothing", "/metrics"] {
        let response = node.get_with(path, &[("Origin", "https://example.org")]);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{path}");
        let preflight = node.request(
            "OPTIONS",
            path,
            &[("Origin", "https://example.org"), ("Access-Control-Request-Method", "GET")],
        );
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    }
    for path in [path.as_str(), "/files", "/api/v1/status", "/healthz", "/extras/chan"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let response = node.request(method, path, &[("Content-Length", "0")]);
            response.problem(405);
            assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"), "{method} {path}");
        }
    }
    assert_eq!(archive.all_hours(), [HOUR], "and nothing was written");
}

#[test]
fn unknown_addresses_are_not_found() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    for path in ["/nothing", "/files/a/b/c/d", "/api/v1/nothing", "/api/v2/status", "/segments", "/FILES", "/extras"] {
        node.get(path).problem(404);
    }
}

#[test]
fn requests_may_come_one_behind_the_other_without_waiting() {
    let (archive, path, content) = one_segment();
    let node = TestNode::start(&archive);
    let mut connection = node.connect();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    connection.send([one("/files"), one(&path), one("/nothing"), one("/files/chan")].concat().as_bytes());
    assert_eq!(connection.read(true).list(), ["chan"]);
    assert!(connection.read(true).body == content);
    connection.read(true).problem(404);
    assert_eq!(connection.read(true).list(), ["source"]);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let (archive, ..) = one_segment();
    let node = TestNode::start(&archive);
    let answer = String::from_utf8(node.raw(b"GET /files HTTP/1.0\r\n\r\n")).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n[\"chan\"]"), "{answer}");
    let answer = String::from_utf8(node.raw(b"GET /files HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).unwrap();
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
}

#[test]
fn what_is_no_request_is_answered_with_400_and_closed() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    for request in [
        b"GARBAGE\r\n\r\n".as_slice(),
        b"GET\r\n\r\n",
        b"GET /fi les HTTP/1.1\r\n\r\n",
        b"GET /files\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /files HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /files HTTP/1.1\r\nHost: x\r\nBad\0Name: x\r\n\r\n",
        b"GET /files HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST /files HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /files HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ] {
        let answer = node.raw(request);
        let (request, answer) = (String::from_utf8_lossy(request), String::from_utf8_lossy(&answer));
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request:?}: {answer:?}");
    }
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    let fits = "x".repeat(8 * 1024);
    assert_eq!(node.get_with("/files", &[("X-Large", &fits)]).status, 200);
    for request in [
        format!("GET /files HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(20_000)),
        format!("GET /files HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(3_000)),
        format!("GET /files/{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000)),
    ] {
        let answer = node.raw(request.as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    }
}

#[test]
fn whoever_begins_with_http_2_is_closed_at_once() {
    let (archive, path, content) = one_segment();
    let node = TestNode::start(&archive);
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let answer = node.raw(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), settings].concat());
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    assert!(node.get(&path).body == content);
}
