//! What origins send that is wrong, too much, or leads elsewhere.

mod redirected_key;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::source_address::SourceAddress;
use super::*;

const LIMITS: OriginLimits = OriginLimits {
    connect: Duration::from_secs(5),
    silence: Duration::from_millis(300),
    playlist_time: Duration::from_secs(5),
    playlist_bytes: 100_000,
    segment_time: Duration::from_secs(5),
    segment_bytes: 100_000,
    redirects: 3,
};

/// A server that gives this answer to every request, with `more` again and again behind it; counts the bytes that it could send.
fn origin(answer: &str, more: &'static [u8]) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/live.m3u8", listener.local_addr().unwrap())).unwrap();
    // Each connection has one answer, and the client has to know that.
    let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let sent = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4_096];
            // What the client hangs up on is what this is for.
            if stream.read(&mut head).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                continue;
            }
            while !more.is_empty() && stream.write_all(more).is_ok() {
                counted.fetch_add(more.len(), Ordering::SeqCst);
            }
            if answer.contains("silent") {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    });
    (url, sent)
}

fn client(url: &Url) -> OriginClient {
    let source = SourceAddress::parse(url.as_str()).unwrap();
    let client = OriginClient::new(SourceHeaders::default(), &tls::trusting_nobody().unwrap(), LIMITS);
    client.rules().allow(source.url().host_str().unwrap());
    client
}

#[tokio::test]
async fn a_cookie_that_a_source_sets_is_sent_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/live/master.m3u8", listener.local_addr().unwrap())).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4_096];
            let length = stream.read(&mut head).unwrap();
            tell.send(String::from_utf8_lossy(&head[..length]).to_lowercase()).unwrap();
            let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";
            let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nSet-Cookie: token=abc; Path=/live; HttpOnly\r\n";
            stream.write_all(format!("{ok}Content-Length: {}\r\n\r\n{list}", list.len()).as_bytes()).unwrap();
        }
    });
    let client = client(&url);
    for expected in [false, true] {
        client.playlist(&url).await.unwrap();
        assert_eq!(told.recv().unwrap().contains("cookie: token=abc\r\n"), expected);
    }
}

async fn problem(answer: &str, more: &'static [u8]) -> (String, usize) {
    let (url, sent) = origin(answer, more);
    let error = client(&url).playlist(&url).await.unwrap_err();
    (error.to_string(), sent.load(Ordering::SeqCst))
}

#[tokio::test]
async fn bad_playlists_are_refused_with_a_reason_and_without_being_read() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (answer, expected) in [
        (format!("{ok}Content-Length: 6\r\n\r\n<html>"), "it is no HLS playlist: it begins with \"<html>\""),
        (
            format!("{ok}Content-Length: 1000000000\r\n\r\n#EXTM3U"),
            "has more than 97.66 KiB, which is the limit for a playlist",
        ),
        (format!("{ok}Content-Length: 9\r\nContent-Encoding: br\r\n\r\n#EXTM3U\n\n"), "it is compressed"),
        (format!("{ok}Content-Length: 99\r\nX: silent\r\n\r\n#EXTM3U"), "sent nothing more within"),
        (format!("{ok}Content-Length: 99\r\n\r\n#EXTM3U"), "broke after 7 B"),
        ("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".to_owned(), "more than 3 redirects"),
        (
            "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "only http and https are asked",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "it is in a private network",
        ),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned(), "this address is not allowed"),
    ] {
        let (said, _) = problem(&answer, b"").await;
        assert!(said.contains(expected), "{answer}: {said}");
    }
}

#[tokio::test]
async fn an_endless_playlist_is_read_up_to_its_limit() {
    let (said, sent) = problem("HTTP/1.1 200 OK\r\n\r\n#EXTM3U\n", b"#EXTINF:2,\na.ts\n").await;
    assert!(said.contains("limit for a playlist"), "{said}");
    // What the sockets of both sides hold comes on top.
    assert!(sent < 16 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_segment_that_is_too_long_is_refused_before_it_comes_or_read_up_to_its_limit() {
    let (url, _) = origin("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\nG", b"");
    let said = client(&url).open(&url, None).await.map(|_| ()).unwrap_err();
    assert!(said.to_string().contains("has more than 97.66 KiB, which is the limit for a segment"), "{said}");
    let (endless, sent) =
        origin("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10\r\n#EXTM3U\n#0123456\r\n");
    let (mut body, mut taken) = (client(&endless).open(&endless, None).await.unwrap(), 0);
    let error = loop {
        match body.next().await {
            Ok(piece) => taken += piece.expect("it has no end").len() as u64,
            Err(error) => break error,
        }
    };
    assert!(error.is_final() && error.to_string().contains("which is the limit for a segment"), "{error}");
    assert!(taken <= LIMITS.segment_bytes && sent.load(Ordering::SeqCst) < 16 << 20, "{taken}");
    // A playlist may be another one next time.
    let of_a_playlist = client(&endless).playlist(&endless).await.unwrap_err();
    assert!(!of_a_playlist.is_final(), "{of_a_playlist}");
}

#[tokio::test]
async fn an_address_is_told_without_its_secrets() {
    let (mut url, _) = origin("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", b"");
    url.set_query(Some("token=secret"));
    url.set_username("secret").unwrap();
    let error = client(&url).playlist(&url).await.unwrap_err();
    assert!(error.is_gone() && !error.to_string().contains("secret"), "{error}");
    let nowhere = Url::parse("http://127.0.0.1:9/live.m3u8?token=secret").unwrap();
    let unreachable = client(&nowhere).playlist(&nowhere).await.unwrap_err().to_string();
    assert!(unreachable.contains("cannot be reached") && !unreachable.contains("secret"), "{unreachable}");
}

#[tokio::test]
async fn a_part_is_the_part_that_was_asked_for_whether_the_server_knows_of_parts_or_not() {
    let range = Some(ByteRange { first: 3, length: 4 });
    let part = async |answer: &str| {
        let (url, _) = origin(answer, b"");
        let mut body = client(&url).open(&url, range).await.map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(piece) = body.next().await.map_err(|error| error.to_string())? {
            all.extend_from_slice(&piece);
        }
        Ok::<_, String>(String::from_utf8(all).unwrap())
    };
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    assert_eq!(part(whole).await.unwrap(), "3456");
    let right = "HTTP/1.1 206 Part\r\nContent-Range: bytes 3-6/10\r\nContent-Length: 4\r\n\r\n3456";
    assert_eq!(part(right).await.unwrap(), "3456");
    let other = "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-3/10\r\nContent-Length: 4\r\n\r\n0123";
    assert!(part(other).await.unwrap_err().contains("another part than bytes 3-6/*"));
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234";
    assert!(part(short).await.unwrap_err().contains("it ends before the 4 bytes"));
}

#[tokio::test]
async fn a_playlist_takes_over_the_variables_of_the_master_that_led_to_it() {
    let answer = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let master = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8?b=y\n";
    let (first, _) = origin(&answer(master), b"");
    let text = "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"a\"\n#EXT-X-DEFINE:QUERYPARAM=\"b\"\n#EXTINF:2,\n{$a}/{$b}.ts\n";
    let (mut second, _) = origin(&answer(text), b"");
    second.set_query(Some("b=y"));
    let client = client(&first);
    assert!(client.playlist(&second).await.unwrap_err().to_string().contains("declares no variable"));
    client.playlist(&first).await.unwrap();
    let Ok((_, HlsPlaylist::Media(list))) = client.playlist(&second).await else { panic!("no list") };
    assert_eq!(list.segments[0].uri, "x/y.ts");
}
