//! What a listener shows of itself, and how it follows its files.
//!
//! 1. Certificate and key are read and checked at the start; what is wrong is an error there.
//! 2. Every two seconds the files are looked at. What has changed is read again, announced, and shown to whoever comes then;
//!    connections that are open keep what they began with.
//! 3. What cannot be used changes nothing: the old pair is shown on, the reason is logged once, and it is tried again.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{TlsError, pem, provider};

/// What is spoken within: HTTP/1.1 and nothing else.
pub(super) const HTTP: &[u8] = b"http/1.1";
/// How often the files are looked at: a renewed certificate may wait this long, and a `stat` costs nothing.
const LOOK: Duration = Duration::from_secs(2);

/// A connection that was shaken hands on.
pub type TlsAccept<S> = tokio_rustls::server::TlsStream<S>;

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What tells a file from another version of it: inode, size, and both times to the nanosecond.
type FileStamp = [i128; 4];

/// The pair that is shown, and the files it came from.
#[derive(Debug)]
struct ShownCertificate {
    pair: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    stamps: Option<[FileStamp; 2]>,
}

/// Hands out the pair that is shown now.
#[derive(Debug)]
struct Showing(RwLock<ShownCertificate>);

impl ResolvesServerCert for Showing {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().pair))
    }
}

/// The encrypted side of a listener.
pub struct TlsServer {
    certificate: PathBuf,
    key: PathBuf,
    showing: Arc<Showing>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("certificate", &self.certificate).field("key", &self.key).finish_non_exhaustive()
    }
}

impl TlsServer {
    /// Shows the chain in `certificate`, its own certificate first, and proves it with `key`.
    pub fn new(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let showing = Arc::new(Showing(RwLock::new(read(certificate, key)?)));
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&showing) as _;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), showing, acceptor })
    }

    /// Shakes hands. It has no limit in time of its own.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<TlsAccept<S>> {
        self.acceptor.accept(stream).await
    }

    /// Of the certificate that is shown now.
    pub fn fingerprint(&self) -> Fingerprint {
        self.showing.0.read().fingerprint
    }

    /// Follows the files for ever. Each new certificate is announced before it is shown.
    pub async fn follow_files(self: Arc<Self>, announce: impl Fn(Fingerprint) + Send + Sync + 'static) {
        let announce = Arc::new(announce);
        let mut told = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let (server, announcing) = (Arc::clone(&self), Arc::clone(&announce));
            let looked = tokio::task::spawn_blocking(move || server.look(&*announcing)).await;
            // It ends early only where the process does.
            let Ok(result) = looked else { return };
            told = result.err().map(|error| error.to_string()).inspect(|problem| {
                if told.as_ref() != Some(problem) {
                    tracing::error!(name: "certificate_not_renewed", problem, "the new certificate cannot be used; the old one stays in use");
                }
            });
        }
    }

    /// Reads the files again if they have changed.
    pub(super) fn look(&self, announce: impl Fn(Fingerprint)) -> Result<(), TlsError> {
        let found = stamps(&self.certificate, &self.key);
        if found.is_some() && found == self.showing.0.read().stamps {
            return Ok(());
        }
        let fresh = read(&self.certificate, &self.key)?;
        if fresh.fingerprint != self.fingerprint() {
            announce(fresh.fingerprint);
            tracing::info!(name: "certificate_renewed", fingerprint = %fresh.fingerprint, "a new certificate is shown from now on");
        }
        *self.showing.0.write() = fresh;
        Ok(())
    }
}

/// The files' stamps; `None` if one of them cannot be looked at.
fn stamps(certificate: &Path, key: &Path) -> Option<[FileStamp; 2]> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        let (changed, modified) = (ns(found.ctime(), found.ctime_nsec()), ns(found.mtime(), found.mtime_nsec()));
        Some([i128::from(found.ino()), i128::from(found.size()), changed, modified])
    };
    Some([stamp(certificate)?, stamp(key)?])
}

fn read(certificate: &Path, key: &Path) -> Result<ShownCertificate, TlsError> {
    // Before reading: what changes meanwhile is then seen the next time.
    let stamps = stamps(certificate, key);
    let chain = pem::certificates(certificate)?;
    let own = pem::key(key)?;
    let signer = provider().key_provider.load_private_key(own).map_err(|error| pem::unusable_key(key, &error))?;
    let fingerprint = chain.first().map(|first| Fingerprint::of(first)).ok_or(Error::NoCertificatesPresented)?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err(TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() });
        }
        Err(error) => {
            let why = error.to_string();
            return Err(TlsError::Content { path: certificate.to_owned(), expected: "a certificate", why });
        }
    }
    Ok(ShownCertificate { pair: Arc::new(pair), fingerprint, stamps })
}
