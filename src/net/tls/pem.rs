//! Reads certificates and keys from PEM files. What they are worth is not judged here.

use std::fs::File;
use std::io::{Error, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// A whole system's authorities are about 200 kB; a wrong path (a disk, a segment) must not be read into memory.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Reading, writing and running by those who are neither the owner nor of the group.
const OTHERS: u32 = 0o007;
const KEY: &str = "a private key";

/// The certificates in a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let expected = "a certificate";
    let content = |why| TlsError::Content { path: path.to_owned(), expected, why };
    let (bytes, _) = read(path, expected)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| content(error.to_string()))?;
    if found.is_empty() { Err(content("there is none".to_owned())) } else { Ok(found) }
}

/// The private key in a file that others may not read.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (bytes, mode) = read(path, KEY)?;
    if mode & OTHERS != 0 {
        return Err(TlsError::Exposed(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| unusable_key(path, &error))
}

pub(super) fn unusable_key(path: &Path, why: &dyn std::error::Error) -> TlsError {
    TlsError::Content { path: path.to_owned(), expected: KEY, why: why.to_string() }
}

/// The content of a file, and its mode.
fn read(path: &Path, expected: &'static str) -> Result<(Vec<u8>, u32), TlsError> {
    let unreadable = |cause| TlsError::Unreadable { path: path.to_owned(), expected, cause };
    // Opening a pipe would wait for somebody to write to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(Error::other("it is no file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(unreadable(Error::other("it is larger than 1 MiB")));
    }
    Ok((bytes, mode))
}
