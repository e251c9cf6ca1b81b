//! Downloads from peers that cut, stretch, slow down and lie: nothing but the right content ever becomes visible.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};

use super::server::{PeerServer, ServerAction, client, endless, hour, ok, place, quality, with};
use crate::archive::{FileName, Hash, HourPlace, Stream, parse_file_name};
use crate::disk::{Base, Download, DownloadError, MissingFile, Published};
use crate::replicate::peer::{Peer, PeerClient, PeerError, ProbeAnswer};
use crate::replicate::remote::{Given, SegmentIntake};

fn hash_of(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

fn name_of(bytes: &[u8]) -> String {
    format!("45:51.608000-2.0-full-{}.ts", hash_of(bytes))
}

async fn downloaded(
    client: &PeerClient,
    peer: &Peer,
    place: &HourPlace,
    name: &str,
    into: Download,
    most: u64,
) -> Result<Given, PeerError> {
    // What its content has to be is looked at when it is finished.
    let file = MissingFile { name: name.into(), hash: hash_of(&[]) };
    let mut intake = SegmentIntake::<PeerError, _>::new(into, most, |_| ());
    client.download(peer, place, &file, &mut intake).await?;
    intake.given()
}

struct Archive {
    temp: tempfile::TempDir,
    base: Base,
}

impl Archive {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("base")).unwrap();
        let base = Base::open(&temp.path().join("base")).unwrap();
        Self { temp, base }
    }

    fn begin(&self, name: &str) -> Result<Download, DownloadError> {
        Download::begin(self.base.make_hour_dir(&place())?, name)
    }

    async fn fetch(&self, server: &PeerServer, name: &str) -> Result<Given, PeerError> {
        downloaded(&client(), &server.peer, &place(), name, self.begin(name).unwrap(), u64::MAX).await
    }

    /// Every file, relative to the temporary directory around the base.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut dirs = vec![self.temp.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    files.push(entry.path().strip_prefix(self.temp.path()).unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

/// The content, if it was fetched and published.
async fn published(archive: &Archive, server: &PeerServer, content: &[u8]) -> Result<u64, String> {
    let name = name_of(content);
    match archive.fetch(server, &name).await.map_err(|error| error.to_string())? {
        Given::Gone => Err("gone".to_owned()),
        Given::TooLarge => Err("too large".to_owned()),
        Given::Whole { download, bytes } => {
            let done = download.finish(&hash_of(content)).map_err(|error| error.to_string())?;
            assert_eq!(done, Published::New);
            let path = PathBuf::from(format!("base/c/q/2019-11-13T02/{name}"));
            assert_eq!(fs::read(archive.temp.path().join(&path)).unwrap(), content);
            assert_eq!(archive.files(), [path]);
            Ok(bytes)
        }
    }
}

#[tokio::test]
async fn a_segment_is_fetched_and_published() {
    let content = vec![7; 700_000];
    let server = PeerServer::saying(&content).await;
    assert_eq!(published(&Archive::new(), &server, &content).await, Ok(700_000));
    let head = server.request(0);
    assert!(
        head.starts_with(&format!("GET /segments/c/q/2019-11-13T02/{}?local=true HTTP/1.1", name_of(&content))),
        "{head}"
    );
    assert!(head.contains("accept-encoding: identity\r\n") && !head.contains("range"), "{head}");
}

#[tokio::test]
async fn what_is_gone_is_an_outcome() {
    for status in ["404 Not Found", "410 Gone"] {
        let archive = Archive::new();
        let server = PeerServer::doing(vec![with(status, "", "no")]).await;
        assert!(matches!(archive.fetch(&server, &name_of(b"x")).await, Ok(Given::Gone)));
        assert!(archive.files().is_empty());
    }
}

#[tokio::test]
async fn other_answers_are_errors_and_leave_nothing() {
    let encoded = "Content-Encoding: gzip\r\n";
    for steps in [
        vec![with("302 Found", "Location: http://elsewhere.invalid/\r\n", "")],
        vec![with("206 Part", "Content-Range: bytes 0-0/1\r\n", "x")],
        vec![with("204 None", "", "")],
        vec![with("416 Range", "", "")],
        vec![with("500 Oops", "", "oops")],
        vec![with("200 OK", encoded, "x")],
        vec![ServerAction::Close],
        vec![ServerAction::Reset],
        vec![ServerAction::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()), ServerAction::Close],
        vec![with("200 OK", "", vec![0; (1 << 20) + 1])],
        vec![
            ServerAction::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n".to_vec()),
            ServerAction::SayForEver(vec![0; 999]),
        ],
        vec![endless(""), ServerAction::SayForEver(vec![0; 9999])],
        vec![
            ServerAction::Say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n".to_vec()),
            ServerAction::Close,
        ],
    ] {
        let archive = Archive::new();
        let server = PeerServer::doing(steps.clone()).await;
        let error = archive.fetch(&server, &name_of(b"x")).await.unwrap_err();
        assert!(error.is_peers_fault() && !error.is_away(), "{error}");
        assert!(archive.files().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_hash_is_never_published() {
    for body in ["", "wrong", "rightright"] {
        let archive = Archive::new();
        let server = PeerServer::saying(body).await;
        let told = published(&archive, &server, b"right").await.unwrap_err();
        assert!(told.contains(&hash_of(body.as_bytes()).to_string()), "{told}");
        assert!(archive.files().is_empty());
    }
    let cut_unseen = PeerServer::doing(vec![endless(""), ServerAction::Say(b"ri".to_vec()), ServerAction::Close]).await;
    assert!(published(&Archive::new(), &cut_unseen, b"right").await.unwrap_err().contains("hash"));
}

#[tokio::test]
async fn whoever_is_silent_or_slow_is_given_up() {
    let archive = Archive::new();
    let hanging = PeerServer::doing(vec![
        ServerAction::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec()),
        ServerAction::Hang,
    ])
    .await;
    let silent = archive.fetch(&hanging, &name_of(b"x")).await.unwrap_err();
    assert!(silent.is_away(), "{silent}");

    let began = Instant::now();
    let trickle = ServerAction::Trickle(b"x".to_vec(), Duration::from_millis(20));
    let slow = archive.fetch(&PeerServer::doing(vec![endless(""), trickle]).await, &name_of(b"x")).await.unwrap_err();
    assert!(matches!(slow, PeerError::TooSlow { .. }) && slow.is_peers_fault(), "{slow}");
    assert!(began.elapsed() < Duration::from_secs(30));

    let steady = ServerAction::Trickle(vec![0; 100], Duration::from_millis(10));
    let long = archive.fetch(&PeerServer::doing(vec![endless(""), steady]).await, &name_of(b"x")).await.unwrap_err();
    assert!(matches!(long, PeerError::TimedOut { .. }), "{long}");
    assert!(archive.files().is_empty());
}

#[tokio::test]
async fn giving_up_a_download_leaves_nothing() {
    let archive = Archive::new();
    let server =
        PeerServer::doing(vec![endless(""), ServerAction::Trickle(vec![0; 999], Duration::from_millis(1))]).await;
    for ms in [0, 1, 50, 200] {
        let fetching = archive.fetch(&server, "00:00-2.0-full-7IS92rssMzoSBQDIevHStbTNy-URRV3Vw-jzZ6pwOZM.ts");
        assert!(tokio::time::timeout(Duration::from_millis(ms), fetching).await.is_err());
    }
    // A piece that is being written at that moment takes its temporary along when it is done.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(archive.files().is_empty());
}

/// A server that cuts the first answer at a byte and can go on from there.
async fn cutting(
    content: &[u8],
    cut: usize,
    headers: &str,
    rest: impl Fn(&str) -> ServerAction + Send + Sync + 'static,
) -> PeerServer {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n", content.len());
    let first = [head.as_bytes(), &content[..cut]].concat();
    PeerServer::start(move |number, request| match number {
        0 => vec![ServerAction::Say(first.clone()), ServerAction::Close],
        _ => vec![rest(request)],
    })
    .await
}

fn content() -> Vec<u8> {
    (0..250_u8).collect()
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let content = content();
    for cut in (10..content.len()).step_by(10) {
        let rest = content[cut..].to_vec();
        let range = format!("Content-Range: bytes {cut}-{}/{}\r\n", content.len() - 1, content.len());
        let server = cutting(&content, cut, "ETag: \"tag\"\r\n", move |_| with("206 Partial", &range, &rest)).await;
        assert_eq!(published(&Archive::new(), &server, &content).await, Ok(content.len() as u64), "cut at {cut}");
        let second = server.request(1);
        assert!(
            second.contains(&format!("range: bytes={cut}-\r\n")) && second.contains("if-range: \"tag\"\r\n"),
            "{second}"
        );
    }
}

#[tokio::test]
async fn a_resumed_download_that_comes_whole_begins_again() {
    let content = content();
    let whole = content.clone();
    let server = cutting(&content, 100, "ETag: \"tag\"\r\n", move |_| ok(&whole)).await;
    assert_eq!(published(&Archive::new(), &server, &content).await, Ok(350));
}

#[tokio::test]
async fn a_resumed_download_takes_nothing_but_the_rest() {
    let content = content();
    for range in
        ["bytes 0-149/250", "bytes 101-249/250", "bytes 100-249/251", "bytes 100-99/250", "bytes */250", "x", ""]
    {
        let archive = Archive::new();
        let (headers, rest) = (format!("Content-Range: {range}\r\n"), content[100..].to_vec());
        let server = cutting(&content, 100, "ETag: \"tag\"\r\n", move |_| with("206 Partial", &headers, &rest)).await;
        let told = published(&archive, &server, &content).await.unwrap_err();
        assert!(told.contains("the rest from byte 100 on"), "{told}");
        assert!(archive.files().is_empty());
    }
    let short = content[100..200].to_vec();
    let range = "Content-Range: bytes 100-199/250\r\n";
    let server = cutting(&content, 100, "ETag: \"tag\"\r\n", move |_| with("206 Partial", range, &short)).await;
    assert!(published(&Archive::new(), &server, &content).await.is_err());
}

#[tokio::test]
async fn without_a_strong_tag_or_a_byte_nothing_is_resumed() {
    let content = content();
    for (headers, cut) in [("", 100), ("ETag: W/\"tag\"\r\n", 100), ("ETag: tag\r\n", 100), ("ETag: \"tag\"\r\n", 0)] {
        let whole = content.clone();
        let server = cutting(&content, cut, headers, move |_| ok(&whole)).await;
        assert!(published(&Archive::new(), &server, &content).await.unwrap_err().contains("broke after"));
        assert_eq!(server.count(), 1, "{headers}");
    }
}

#[tokio::test]
async fn a_download_is_resumed_only_once() {
    let content = content();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 250\r\nETag: \"tag\"\r\nConnection: close\r\n\r\n";
    let said = [head.as_bytes(), &content[..50]].concat();
    let server = PeerServer::doing(vec![ServerAction::Say(said), ServerAction::Close]).await;
    let archive = Archive::new();
    assert!(published(&archive, &server, &content).await.is_err());
    assert_eq!(server.count(), 2);
    assert!(archive.files().is_empty());
}

#[tokio::test]
async fn what_announces_more_than_there_is_room_for_is_not_read() {
    let content = vec![7; 500_000];
    let server = PeerServer::saying(&content).await;
    let (archive, name) = (Archive::new(), name_of(&content));
    for (most, fits) in [(499_999, false), (500_000, true)] {
        let into = archive.begin(&name).unwrap();
        let outcome = downloaded(&client(), &server.peer, &place(), &name, into, most).await.unwrap();
        assert_eq!(matches!(outcome, Given::Whole { .. }), fits);
        assert_eq!(matches!(outcome, Given::TooLarge), !fits);
    }
}

#[tokio::test]
async fn a_full_disk_is_our_own_trouble() {
    let small = tempfile::tempdir().unwrap();
    let options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
    let mounted = std::process::Command::new("mount").args(options).arg(small.path()).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    }
    let content = vec![7; 500_000];
    let server = PeerServer::saying(&content).await;
    let base = Base::open(small.path()).unwrap();
    let name = name_of(&content);
    let into = Download::begin(base.dir(Path::new("")).unwrap().unwrap(), &name).unwrap();
    let outcome = downloaded(&client(), &server.peer, &place(), &name, into, u64::MAX).await;
    let left = fs::read_dir(small.path()).unwrap().count();
    drop(base);
    assert!(std::process::Command::new("umount").arg(small.path()).status().unwrap().success());
    let error = outcome.unwrap_err();
    assert!(error.disk().unwrap().is_full() && !error.is_peers_fault() && !error.is_away(), "{error}");
    assert_eq!(left, 0);
}

fn hostile_name() -> impl Strategy<Value = String> {
    let escape = prop::sample::select(vec![
        "../../../../escaped.ts",
        "../escaped.ts",
        "/tmp/escaped.ts",
        "..",
        ".",
        "",
        ".hidden.ts",
        "a\0b.ts",
        "link",
        "link/escaped.ts",
        "%2e%2e%2fescaped.ts",
        "..\\escaped.ts",
    ]);
    prop_oneof![
        2 => escape.prop_map(str::to_owned),
        1 => any::<String>(),
        2 => (prop::sample::select(vec!["../", "", ".", "x/"]), 0..3_u8, prop::sample::select(vec![".ts", ".json", ".tombstone"]))
            .prop_map(|(front, body, end)| format!("{front}00:00-2.0-full-{}{end}", hash_of(&[body]))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_peer_says_nothing_is_made_outside_the_archive_and_nothing_wrong_inside(
        names in prop::collection::vec(hostile_name(), 0..6),
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..3), (0..3_u8).prop_map(|byte| vec![byte])],
        junk in prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..50)),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let archive = Archive::new();
            fs::create_dir(archive.temp.path().join("outside")).unwrap();
            std::os::unix::fs::symlink("../outside", archive.temp.path().join("base/link")).unwrap();
            let list = junk.unwrap_or_else(|| serde_json::to_vec(&names).unwrap());
            let server = PeerServer::start(move |_, head| {
                vec![if head.starts_with("GET /files") { ok(&list) } else { ok(&body) }]
            }).await;
            let client = client();
            let mut expected = vec![PathBuf::from("base/link")];
            for channel in client.channels(&server.peer).await.map(|listing| listing.names).unwrap_or_default() {
                let place = HourPlace { stream: Stream { channel, quality: quality() }, hour: hour() };
                let Ok(dir) = archive.base.make_hour_dir(&place) else { continue };
                let dir = std::sync::Arc::new(dir);
                let Ok(listing) = client.segments(&server.peer, &place.stream.channel, &quality(), hour()).await else { continue };
                for name in &listing.names {
                    let Ok(into) = Download::begin(std::sync::Arc::clone(&dir), name) else { continue };
                    let FileName::Understood(key) = parse_file_name(name) else { panic!("{name}") };
                    let fetched = downloaded(&client, &server.peer, &place, name, into, u64::MAX).await;
                    if let Given::Whole { download, .. } = fetched.unwrap() && download.finish(&key.hash).is_ok() {
                        let path = Path::new("base").join(place.path()).join(&**name);
                        assert_eq!(hash_of(&fs::read(archive.temp.path().join(&path)).unwrap()), key.hash);
                        expected.push(path);
                    }
                }
            }
            expected.sort();
            assert_eq!(archive.files(), expected);
            assert_eq!(fs::read_dir(archive.temp.path()).unwrap().count(), 2);
        });
    }
}

/// A segment of these five bytes.
const BYTES: &[u8] = b"hello";
const NAME: &str = "00:00-2.0-full-LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ.ts";
const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5";

async fn asked_for(head: &str, body: &[u8], most: u64) -> Result<ProbeAnswer, PeerError> {
    let answer = [head.as_bytes(), b"\r\nConnection: close\r\n\r\n", body].concat();
    let server = PeerServer::doing(vec![ServerAction::Say(answer), ServerAction::Close]).await;
    client().gives_segment(&server.peer, &place(), NAME, most).await
}

async fn asked(head: &str, body: &[u8]) -> Result<ProbeAnswer, PeerError> {
    asked_for(head, body, 100).await
}

#[tokio::test]
async fn a_segment_is_there_when_all_of_it_comes() {
    assert_eq!(asked(WHOLE, BYTES).await.unwrap(), ProbeAnswer::Right(5));
    for status in ["404 Not Found", "410 Gone"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0");
        assert_eq!(asked(&head, b"").await.unwrap(), ProbeAnswer::Nothing);
    }
}

#[tokio::test]
async fn one_byte_for_every_file_is_no_segment() {
    assert_eq!(asked("HTTP/1.1 200 OK\r\nContent-Length: 1", b"G").await.unwrap(), ProbeAnswer::Wrong(1));
    assert_eq!(asked(WHOLE, b"hullo").await.unwrap(), ProbeAnswer::Wrong(5));
    assert_eq!(asked("HTTP/1.1 200 OK\r\nContent-Length: 0", b"").await.unwrap(), ProbeAnswer::Wrong(0));
    // A part that nobody asked for.
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1";
    assert_eq!(asked(part, b"G").await.unwrap_err().status(), Some(StatusCode::PARTIAL_CONTENT));
}

#[tokio::test]
async fn what_breaks_off_fails_or_is_too_much_is_not_known() {
    assert!(matches!(asked(WHOLE, b"hel").await, Err(PeerError::Broken { .. })));
    let failed = asked("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0", b"").await.unwrap_err();
    assert_eq!(failed.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert!(matches!(asked_for(WHOLE, BYTES, 4).await, Err(PeerError::TooLarge { .. })));
}
