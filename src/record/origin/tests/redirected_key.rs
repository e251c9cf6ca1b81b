//! Redirects of keys: a real server of https that leads to one without encryption.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};

use super::*;

/// A server of https that answers each path so, and who trusts it.
fn encrypted_origin(answers: Vec<(String, String)>) -> (Url, ClientConfig) {
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let shown = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&pair, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let server = Arc::new(server.with_no_client_auth().with_single_cert(vec![shown.der().clone()], key).unwrap());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(issuer.der().to_vec())).unwrap();
    let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
            let (mut stream, mut head) = (rustls::StreamOwned::new(connection, stream), [0; 4_096]);
            let read = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = answers.iter().find(|(of, _)| of == path).map_or("", |(_, answer)| answer);
            stream.write_all(answer.as_bytes()).unwrap_or_default();
            stream.conn.send_close_notify();
            stream.flush().unwrap_or_default();
        }
    });
    (url, client.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn a_key_of_https_comes_by_no_address_without_encryption_not_even_in_between() {
    let to = |place: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let (plain, asked) = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let back = "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/key\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(back.as_bytes()).unwrap_or_default();
            }
        });
        (format!("http://{address}/hop"), asked)
    };
    let key = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n0123456789abcdef".to_owned();
    let answers = [("/there", key), ("/moved", to("/there")), ("/away", to(&plain))];
    let (url, tls) = encrypted_origin(answers.map(|(path, answer)| (path.to_owned(), answer)).to_vec());
    let client = OriginClient::new(SourceHeaders::default(), &tls, LIMITS);
    client.rules().allow("127.0.0.1");
    for path in ["there", "moved"] {
        assert_eq!(client.key(&url.join(path).unwrap()).await.unwrap(), *b"0123456789abcdef", "{path}");
    }
    let said = client.key(&url.join("away").unwrap()).await.unwrap_err().to_string();
    assert!(said.contains("led to an address without encryption"), "{said}");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "it was asked in clear text");
}
