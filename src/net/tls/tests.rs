//! Handshakes in memory: who is trusted, and that a fingerprint alone proves nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion, version};

use super::*;

/// Shows this certificate with this key, whether they belong together or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn signing(key: &KeyPair) -> Arc<dyn rustls::sign::SigningKey> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    provider().key_provider.load_private_key(key).unwrap()
}

/// What comes of a handshake with a server of this version that shows `certificate` and signs with `key`.
fn handshake(
    client: &Arc<ClientConfig>,
    certificate: &rcgen::Certificate,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> Result<(), rustls::Error> {
    let shown = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing(key)));
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Shows(shown)));
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let name = ServerName::try_from("archive.example").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut answer = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answer).unwrap();
        }
        let mut unread = answer.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

fn self_signed(names: &[&str]) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    (params.self_signed(&key).unwrap(), key)
}

#[test]
fn a_pinned_certificate_is_trusted_whatever_its_name_and_only_with_its_key() {
    let (certificate, key) = self_signed(&["elsewhere.example"]);
    let (other, other_key) = self_signed(&["archive.example"]);
    let client = pinned(vec![Fingerprint::of(certificate.der())]).unwrap();
    for version in [&version::TLS12, &version::TLS13] {
        handshake(&client, &certificate, &key, version).unwrap();
        // A certificate is no secret: anybody can show it, and cannot sign for it.
        assert!(handshake(&client, &certificate, &other_key, version).is_err(), "{version:?}");
        let error = handshake(&client, &other, &other_key, version).unwrap_err();
        assert_eq!(explain(&error).unwrap(), "its certificate is not the one that was expected");
        assert!(handshake(&trusting_nobody().unwrap(), &certificate, &key, version).is_err());
    }
}

#[test]
fn an_own_authority_is_trusted_instead_of_all_others() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let client = trusting(Some(&file)).unwrap();
    let certify = |name: &str| {
        let own = KeyPair::generate().unwrap();
        let named = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (named.signed_by(&own, &authority).unwrap(), own)
    };
    let (right, own) = certify("archive.example");
    handshake(&client, &right, &own, &version::TLS13).unwrap();
    let said = |certificate: &rcgen::Certificate, key: &KeyPair| {
        let error = handshake(&client, certificate, key, &version::TLS13).unwrap_err();
        // As it arrives from a client of HTTP: wrapped.
        explain(&std::io::Error::other(error)).unwrap()
    };
    let (elsewhere, its) = certify("elsewhere.example");
    assert!(said(&elsewhere, &its).contains("not for archive.example but for"), "{}", said(&elsewhere, &its));
    let (stranger, own_of_stranger) = self_signed(&["archive.example"]);
    assert!(said(&stranger, &own_of_stranger).contains("not signed by an authority that is trusted here"));
    assert!(said(authority.as_ref(), authority.key()).contains("one of an authority and not of a host"));

    fs::write(&file, "nothing").unwrap();
    assert!(matches!(trusting(Some(&file)), Err(TlsError::Content { .. })));
    assert!(matches!(trusting(Some(dir.path())), Err(TlsError::Unreadable { .. })));
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certificate(&self, certificate: &rcgen::Certificate) {
        fs::write(self.at("cert.pem"), certificate.pem()).unwrap();
    }

    fn key(&self, key: &KeyPair) {
        fs::write(self.at("key.pem"), key.serialize_pem()).unwrap();
        fs::set_permissions(self.at("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    }

    fn server(&self) -> Result<TlsServer, TlsError> {
        TlsServer::new(&self.at("cert.pem"), &self.at("key.pem"))
    }
}

#[test]
fn a_new_pair_is_announced_and_then_shown_when_it_is_whole() {
    let files = Files::new();
    let ((first, first_key), (second, second_key)) = (self_signed(&["a.example"]), self_signed(&["a.example"]));
    files.certificate(&first);
    files.key(&first_key);
    let server = files.server().unwrap();
    let announced = Mutex::new(Vec::new());
    let look = || {
        server.look(|fresh| {
            assert_ne!(server.fingerprint(), fresh, "it is announced before it is shown");
            announced.lock().push(fresh);
        })
    };
    look().unwrap();
    files.certificate(&second);
    assert!(matches!(look(), Err(TlsError::Mismatch { .. })), "its key is not there yet");
    assert_eq!(server.fingerprint(), Fingerprint::of(first.der()));
    files.key(&second_key);
    look().unwrap();
    look().unwrap();
    assert_eq!(server.fingerprint(), Fingerprint::of(second.der()));
    assert_eq!(*announced.lock(), [Fingerprint::of(second.der())]);
    fs::remove_file(files.at("cert.pem")).unwrap();
    assert!(matches!(look(), Err(TlsError::Unreadable { .. })));
    assert_eq!(server.fingerprint(), Fingerprint::of(second.der()));
}

#[test]
fn a_key_is_the_groups_business_and_nobody_elses() {
    let files = Files::new();
    let (certificate, key) = self_signed(&["a.example"]);
    files.certificate(&certificate);
    files.key(&key);
    assert!(files.server().is_ok());
    for mode in [0o644, 0o602] {
        fs::set_permissions(files.at("key.pem"), fs::Permissions::from_mode(mode)).unwrap();
        let said = files.server().unwrap_err().to_string();
        assert_eq!(said, format!("{} is readable by others; chmod 600 it", files.at("key.pem").display()));
    }
}

#[test]
fn fingerprints_come_out_as_they_went_in() {
    let (certificate, _) = self_signed(&["a.example"]);
    let fingerprint = Fingerprint::of(certificate.der());
    assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
    for wrong in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
        assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
    }
}
