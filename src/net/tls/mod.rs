//! Encryption with rustls: whom this side trusts, and what it shows of itself.
//!
//! 1. `server`: the certificate and key that a listener shows, read again when the files change.
//! 2. `client`: whom a client trusts: public authorities, one's own authority, or exactly one certificate.
//! 3. `explain`: what went wrong with a certificate, in words.
//!
//! The cryptography (ring) is named in every configuration and never installed for the process, so that there is no order in
//! which things have to be started. Client certificates are not asked for: who may do what is a matter of tokens. Nothing
//! here opens a connection.

mod client;
mod pem;
mod server;
mod tls_errors;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{for_http, pinned, trusting, trusting_nobody};
pub use rustls::ClientConfig;
pub use server::{Fingerprint, TlsAccept, TlsServer};
pub use tls_errors::{explain, explain_handshake};

/// Why there can be no encryption.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}; expected {expected} in PEM form", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// Why not.
        cause: std::io::Error,
    },
    /// A file holds something else.
    #[error("{} does not hold {expected} in PEM form that can be used: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A secret that is none.
    #[error("{} is readable by others; chmod 600 it", .0.display())]
    Exposed(PathBuf),
    /// Certificate and key are of different pairs.
    #[error("the key in {} does not belong to the certificate in {}; give the two that were made together", key.display(), certificate.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The library refuses.
    #[error("cannot set up encryption: {0}")]
    Setup(#[from] rustls::Error),
}

/// The cryptography that everything here uses.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;
