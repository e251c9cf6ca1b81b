//! A stretch as a file: the segments as they lie on disk, back to back, with all that downloads want.

use crate::support::{Kind, SOON, TestArchive, TestNode, eventually};

const HOUR: &str = "chan/source/2019-11-13T02";

/// Five segments of 2 s from 02:00:00 on, without one after the third; says their bytes.
fn archive() -> (TestArchive, Vec<Vec<u8>>) {
    let archive = TestArchive::empty();
    let mut all = Vec::new();
    for (number, second) in [0, 2, 4, 8, 10].into_iter().enumerate() {
        let content: Vec<u8> = (0..700 + 100 * number).map(|at| u8::try_from((at + number) % 251).unwrap()).collect();
        archive.named(HOUR, &format!("00:{second:02}-2.0-full"), "ts", &content);
        all.push(content);
    }
    (archive, all)
}

fn whole(end: &str) -> String {
    format!("/cut/chan/source.ts?start=2019-11-13T02:00:00Z&end=2019-11-13T02:00:{end}Z")
}

#[test]
fn any_range_of_a_cut_is_that_range_of_its_segments_back_to_back() {
    let (archive, files) = archive();
    let node = TestNode::start(&archive);
    let all = files[..3].concat();
    let len = all.len();
    let path = whole("06");
    let cut = node.get(&path);
    assert_eq!((cut.status, cut.header("content-type")), (200, Some("video/MP2T")));
    assert_eq!(cut.header("content-length"), Some(len.to_string().as_str()));
    assert_eq!(cut.header("accept-ranges"), Some("bytes"));
    assert_eq!(
        cut.header("content-disposition"),
        Some(
            "attachment; filename=\"chan_source_2019-11-13T02-00-00_2019-11-13T02-00-06.ts\"; filename*=UTF-8''chan%5Fsource%5F2019%2D11%2D13T02%2D00%2D00%5F2019%2D11%2D13T02%2D00%2D06%2Ets"
        )
    );
    assert!(cut.body == all);
    let head = node.request("HEAD", &path, &[]);
    assert_eq!(
        (head.status, head.header("content-length"), head.etag()),
        (200, cut.header("content-length"), cut.etag())
    );
    let mut connection = node.connect();
    // Beginnings and ends of files, and a byte to each side.
    let edges = [0, 1, 699, 700, 701, 1_499, 1_500, 1_501, len - 1];
    for from in edges {
        for to in edges.into_iter().filter(|to| from <= *to) {
            let answer = connection.request("GET", &path, &[("Range", &format!("bytes={from}-{to}"))]);
            assert_eq!(answer.status, 206, "{from}-{to}");
            assert_eq!(answer.header("content-range"), Some(format!("bytes {from}-{to}/{len}").as_str()));
            assert!(answer.body == all[from..=to], "{from}-{to}");
        }
    }
    for (range, bytes) in
        [("bytes=-1000", &all[len - 1_000..]), ("bytes=1450-", &all[1_450..]), ("bytes=1450-999999", &all[1_450..])]
    {
        assert!(connection.request("GET", &path, &[("Range", range)]).body == bytes, "{range}");
    }
    let beyond = connection.request("GET", &path, &[("Range", &format!("bytes={len}-"))]);
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{len}").as_str()));
    beyond.problem(416);
    let is_same = connection.request("GET", &path, &[("Range", "bytes=0-9"), ("If-Range", &cut.etag())]);
    let is_other = connection.request("GET", &path, &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")]);
    assert_eq!((is_same.status, is_other.status), (206, 200));
    let known = connection.request("GET", &path, &[("If-None-Match", &cut.etag())]);
    assert_eq!((known.status, known.etag()), (304, cut.etag()));
    assert_eq!(connection.request("GET", &path, &[("If-Match", "\"other\"")]).status, 412);
}

#[test]
fn holes_are_listed_unless_they_are_allowed() {
    let (archive, files) = archive();
    archive.segment(HOUR, "00:12", 2.0, Kind::Suspect);
    let node = TestNode::start(&archive);
    let path = "/cut/chan/source.ts?start=2019-11-13T01:59:59&end=2019-11-13T02:00:20";
    let refused = node.get(path);
    let (_, detail) = refused.problem(406);
    assert!(detail.contains("3 parts") && detail.contains("allow_holes"), "{detail}");
    let holes = refused.json()["holes"].clone();
    let expected = serde_json::json!([
        {"start": "2019-11-13T01:59:59.000000Z", "end": "2019-11-13T02:00:00.000000Z", "seconds": 1.0, "why": "missing"},
        {"start": "2019-11-13T02:00:06.000000Z", "end": "2019-11-13T02:00:08.000000Z", "seconds": 2.0, "why": "missing"},
        {"start": "2019-11-13T02:00:14.000000Z", "end": "2019-11-13T02:00:20.000000Z", "seconds": 6.0, "why": "suspect"},
    ]);
    assert_eq!(holes, expected);
    let allowed = node.get(&format!("{path}&allow_holes=True"));
    assert!(allowed.status == 200 && allowed.body.starts_with(&files.concat()));
    // Nothing at all is no file, whatever is allowed.
    for more in ["", "&allow_holes=true"] {
        node.get(&format!("/cut/chan/source.ts?start=2019-11-13T05&end=2019-11-13T06{more}")).problem(406);
    }
}

#[test]
fn several_stretches_are_one_file_in_the_order_in_which_they_are_given() {
    let (archive, files) = archive();
    let node = TestNode::start(&archive);
    let range = |from: &str, to: &str| format!("range=2019-11-13T02:00:{from},2019-11-13T02:00:{to}Z");
    let path = format!(
        "/cut/chan/source.ts?{}&{}&{}&start=2001-01-01&end=2002-01-01",
        range("08", "12"),
        range("00", "03"),
        range("08", "09")
    );
    let cut = node.get(&path);
    let expected = [&files[3], &files[4], &files[0], &files[1], &files[3]].map(Vec::as_slice).concat();
    assert!(cut.status == 200 && cut.body == expected, "{}", cut.status);
    let seam = files[3].len() + files[4].len();
    let part = node.get_with(&path, &[("Range", &format!("bytes={}-{}", seam - 5, seam + 4))]);
    assert!(part.body == expected[seam - 5..seam + 5]);
    assert!(
        cut.header("content-disposition").unwrap().contains("chan_source_2019-11-13T02-00-08_2019-11-13T02-00-09.ts")
    );
    node.get(&format!("/cut/chan/source.ts?{}&{}", range("00", "02"), range("05", "09"))).problem(406);
    let many = vec![range("00", "02"); 101].join("&");
    node.get(&format!("/cut/chan/source.ts?{many}")).problem(400);
    node.get("/cut/chan/source.ts?range=2019-11-13T02:00:03,2019-11-13T02:00:01").problem(400);
}

#[test]
fn a_cut_is_another_file_as_soon_as_one_of_its_segments_is() {
    let (archive, files) = archive();
    let node = TestNode::start(&archive);
    let path = whole("06");
    let before = node.get(&path);
    let better = archive.named(HOUR, "00:02-2.005-full", "ts", b"longer, and so better");
    let answer = || node.get_with(&path, &[("If-None-Match", &before.etag())]);
    eventually(SOON, || answer().status == 200);
    assert!(answer().body == [&files[0][..], b"longer, and so better", &files[2]].concat());
    archive.tombstone(&better);
    // Until the node knows, a cut of what is gone breaks off.
    eventually(SOON, || node.files(HOUR).len() == files.len());
    assert_eq!(answer().status, 304);
}
