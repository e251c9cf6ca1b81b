//! Tests of the client against a server that says what it is told to say.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every request with `answer`, one connection each, and returns the address.
async fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    address
}

async fn daemon(answer: &'static [u8]) -> Daemon {
    Daemon::at(&format!("http://{}", server(answer).await), &tls::trusting_nobody().unwrap()).unwrap()
}

#[test]
fn parts_are_encoded_so_that_they_stay_parts() {
    assert_eq!(
        path(["segments", "a/b", "ä?#%", "45:51.6-2.0-full-x_-.ts"]),
        "/segments/a%2Fb/%C3%A4%3F%23%25/45:51.6-2.0-full-x_-.ts"
    );
    assert_eq!(path([]), "");
}

#[test]
fn only_a_plain_address_is_one() {
    let nobody = tls::trusting_nobody().unwrap();
    assert_eq!(Daemon::at("http://127.0.0.1:8000/", &nobody).unwrap().address(), "http://127.0.0.1:8000");
    assert_eq!(Daemon::at("https://a", &nobody).unwrap().address(), "https://a");
    for wrong in ["127.0.0.1:8000", "file:///etc/passwd", "ftp://a", "http://a/files", ""] {
        assert!(matches!(Daemon::at(wrong, &nobody), Err(ClientError::Address(_))), "{wrong}");
    }
}

#[tokio::test]
async fn json_is_read() {
    let daemon = daemon(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n[\"a\", \"b\"]").await;
    assert_eq!(daemon.get_json::<Vec<String>>("/files").await.unwrap(), ["a", "b"]);
    let wrong = daemon.get_json::<u64>("/files").await.unwrap_err().to_string();
    assert!(wrong.contains("/files gave an answer that cannot be read"), "{wrong}");
}

#[tokio::test]
async fn lines_are_read_to_the_last_even_without_an_end() {
    let daemon = daemon(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na\n\nb\nc").await;
    let mut lines = daemon.get_lines("/x").await.unwrap();
    let mut seen = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        seen.push(line);
    }
    assert_eq!(seen, ["a", "", "b", "c"]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_an_end() {
    let daemon = daemon(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\na\nb").await;
    let mut lines = daemon.get_lines("/x").await.unwrap();
    assert_eq!(lines.next().await.unwrap().as_deref(), Some("a"));
    assert!(lines.next().await.is_err());
}

#[tokio::test]
async fn a_problem_document_speaks_for_itself() {
    let daemon =
        daemon(b"HTTP/1.1 503 X\r\nConnection: close\r\n\r\n{\"title\":\"t\",\"detail\":\"The disk is not there.\"}")
            .await;
    let said = daemon.get_json::<u64>("/files").await.unwrap_err().to_string();
    assert!(said.ends_with("answered 503 Service Unavailable: The disk is not there."), "{said}");
}

#[tokio::test]
async fn a_daemon_is_found_only_while_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Daemon::find(dir.path()).await.is_none());
    let write = |text: String| std::fs::write(dir.path().join("daemon.json"), text).unwrap();
    let address = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    write(format!(r#"{{"address":"{address}","pid":7,"name":"n"}}"#));
    assert!(Daemon::find(dir.path()).await.is_none(), "nobody holds the lock: another answers at that address");
    let _lock = crate::disk::DirLock::acquire(dir.path(), Duration::ZERO).unwrap();
    let found = Daemon::find(dir.path()).await.unwrap();
    assert_eq!((found.pid, found.name.as_deref()), (Some(7), Some("n")));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for text in [format!(r#"{{"address":"{free}","pid":7,"name":"n"}}"#), "{".into(), String::new()] {
        write(text);
        assert!(Daemon::find(dir.path()).await.is_none());
    }
}
