//! Whom a client trusts.
//!
//! An own authority is trusted *instead* of the public ones: where all nodes carry its certificates, nobody else in the world
//! can pass for one of them. The public ones are those of the system, which its administrator keeps; none are built in, because
//! those would age with the program.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use super::{Fingerprint, TlsError, pem, provider};

/// Trusts the authorities in `ca_file` and no others, or those of the system where there is no such file.
pub fn trusting(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca_file {
        Some(path) => own(path)?,
        None => public(),
    };
    if roots.is_empty() {
        // A node without encrypted peers needs none; the first certificate that is met says what is missing.
        return trusting_nobody();
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    Ok(Arc::new(builder()?.with_webpki_verifier(verifier).with_no_client_auth()))
}

/// Trusts no certificate at all: for clients that only speak without encryption.
pub fn trusting_nobody() -> Result<Arc<ClientConfig>, TlsError> {
    pinned(Vec::new())
}

/// Trusts exactly these certificates, whatever names and dates stand in them.
pub fn pinned(fingerprints: Vec<Fingerprint>) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = Arc::new(Pinned { fingerprints, provider: provider() });
    Ok(Arc::new(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// The same trust for a client that speaks HTTP/1.1.
pub fn for_http(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![super::server::HTTP.to_vec()];
    config
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    Ok(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?)
}

fn own(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Content {
            path: path.to_owned(),
            expected: "the certificate of an authority",
            why: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn public() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(name: "authorities_unreadable", %error, "some of the system's authorities cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // Systems carry a few that cannot be read; the others are as good without them.
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(name: "authorities", added, ignored, "the system's authorities are trusted");
    roots
}

/// Accepts certificates by their fingerprint. That the other side also has the key is checked as always, by its signature of
/// the handshake: a certificate itself is no secret.
#[derive(Debug)]
struct Pinned {
    fingerprints: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.fingerprints.contains(&Fingerprint::of(end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        let why = if self.fingerprints.is_empty() {
            CertificateError::UnknownIssuer
        } else {
            CertificateError::ApplicationVerificationFailure
        };
        Err(why.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
