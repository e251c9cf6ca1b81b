//! What is asked, against a server that answers what a test wants.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

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

async fn node(answer: &'static [u8]) -> Api {
    Api::at(&format!("http://{}", server(answer).await), &tls::trusting_nobody().unwrap()).unwrap()
}

#[test]
fn only_an_address_is_one() {
    let nobody = tls::trusting_nobody().unwrap();
    assert_eq!(Api::at("http://127.0.0.1:8000/", &nobody).unwrap().address(), "http://127.0.0.1:8000");
    assert_eq!(Api::at("https://a/prefix", &nobody).unwrap().address(), "https://a/prefix");
    for wrong in ["127.0.0.1:8000", "file:///etc/passwd", "ftp://a", "http://a?b", ""] {
        assert!(matches!(Api::at(wrong, &nobody), Err(ApiError::Address(_))), "{wrong}");
    }
}

#[tokio::test]
async fn json_is_read() {
    let node = node(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n[\"a\", \"b\"]").await;
    assert_eq!(node.get("files").json::<Vec<String>>().await.unwrap(), ["a", "b"]);
    let wrong = node.get("files").json::<u64>().await.unwrap_err().to_string();
    assert!(wrong.starts_with("the answer cannot be read"), "{wrong}");
}

#[tokio::test]
async fn lines_are_read_to_the_last_even_without_an_end() {
    let node = node(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na\n\nb\nc").await;
    let mut lines = node.get("x").ask().await.unwrap();
    let mut seen = Vec::new();
    while let Some(line) = lines.line().await.unwrap() {
        seen.push(line);
    }
    assert_eq!(seen, ["a", "", "b", "c"]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_an_end() {
    let node = node(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\na\nb").await;
    let mut lines = node.get("x").ask().await.unwrap();
    assert_eq!(lines.line().await.unwrap().as_deref(), Some("a"));
    assert!(lines.line().await.is_err());
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_first_and_speaks_of_flags() {
    let gone =
        node(b"HTTP/1.1 503 X\r\nConnection: close\r\n\r\n{\"title\":\"t\",\"detail\":\"The disk is not there.\"}")
            .await;
    let said = gone.get("files").json::<u64>().await.unwrap_err().to_string();
    let address = gone.address();
    assert_eq!(said, format!("The disk is not there. ({address} answered 503 Service Unavailable)"));
    let closed = node(b"HTTP/1.1 401 X\r\nConnection: close\r\n\r\nno").await;
    let denied = closed.get("files").json::<u64>().await.unwrap_err().to_string();
    assert!(denied.starts_with("this takes a token: give the file that holds it with --token-file ("), "{denied}");
    let own = Api { pid: Some(7), ..closed };
    let own_denied = own.get("files").json::<u64>().await.unwrap_err().to_string();
    assert!(own_denied.contains("run it as the daemon's user"), "{own_denied}");
}

#[tokio::test]
async fn a_question_is_encoded_so_that_names_stay_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node =
        Api::at(&format!("http://{}", listener.local_addr().unwrap()), &tls::trusting_nobody().unwrap()).unwrap();
    let stream = Stream::parse("a b/ä#%").unwrap();
    let question = node.get("api/v1/holes").of(&stream).with("to", "x").with("to", "2019-11-13T02:00:00+01:00&a=b");
    let answering = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await.unwrap();
        String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned()
    };
    let (line, answer) = tokio::join!(answering, question.json::<u64>());
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(line, "GET /api/v1/holes/a%20b/%C3%A4%23%25?to=2019-11-13T02%3A00%3A00%2B01%3A00%26a%3Db HTTP/1.1");
    let above = node.get("files").part("..").json::<u64>().await.unwrap_err();
    assert!(matches!(above, ApiError::Address(_)), "{above}");
}

#[tokio::test]
async fn a_daemon_is_found_only_while_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    assert!(find(dir.path()).await.is_none());
    let write = |text: String| std::fs::write(dir.path().join("daemon.json"), text).unwrap();
    let address = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    write(format!(r#"{{"address":"{address}","pid":7,"name":"n"}}"#));
    assert!(find(dir.path()).await.is_none(), "nobody holds the lock: another answers at that address");
    let _lock = crate::disk::DirLock::acquire(dir.path(), Duration::ZERO).unwrap();
    let found = find(dir.path()).await.unwrap();
    assert_eq!(found.pid, Some(7));
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for text in [format!(r#"{{"address":"{free}","pid":7,"name":"n"}}"#), "{".into(), String::new()] {
        write(text);
        assert!(find(dir.path()).await.is_none());
    }
}
