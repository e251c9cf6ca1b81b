//! Which bucket of which store, checked once: what is wrong with an address is said when the program starts, and not at the first upload.

use std::fmt;
use std::net::IpAddr;

use object_store::path::Path as Key;
use reqwest::Url;

use super::credentials::CredentialSource;
use crate::net::without_secrets;

/// Bytes of a part, unless something else is said: an hour of 4.5 GB takes 70 requests.
pub const PART_BYTES: u64 = 64 << 20;
/// Bytes of what may stand before the names of objects: with the longest name of an hour it stays below the 1,024 of S3.
const LONGEST_PREFIX: usize = 256;

/// Why there can be no such bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBucket {
    /// The address is none.
    #[error(
        "'{0}' is no address of an object store; expected http(s)://HOST[:PORT], such as https://s3.eu-central-1.amazonaws.com"
    )]
    Endpoint(String),
    /// There is something in it that belongs elsewhere.
    #[error("'{0}' has more than scheme, host and port; the bucket and the access key are settings of their own")]
    EndpointParts(String),
    /// It would be read along the way.
    #[error("'{0}' is not encrypted; give an address with https://, or allow http in a network that nobody else reads")]
    Unencrypted(String),
    /// No bucket is called so.
    #[error(
        "archive.bucket is no name of a bucket; expected 3 to 63 lower-case letters, digits, dots and dashes, and found {0} characters, which are not repeated here, as they may be a secret"
    )]
    Name(usize),
    /// No region is.
    #[error("'{0}' is no region; expected one such as us-east-1, in letters, digits and dashes")]
    Region(String),
    /// Nothing can stand before names so.
    #[error(
        "'{0}' cannot stand before the names of objects; expected at most {LONGEST_PREFIX} bytes such as gapless/, without empty parts, '.' and '..'"
    )]
    Prefix(String),
}

/// A bucket, as the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// Where the store is.
    endpoint: Url,
    bucket: String,
    region: String,
    /// Stands before the names of objects; empty, or with a slash at its end.
    prefix: String,
    is_in_host: bool,
    /// What requests are signed with.
    pub credentials: CredentialSource,
    /// Bytes of a part of an upload.
    pub part_bytes: u64,
    /// Bytes a second that are sent and read back, on average; none where it may be as many as come.
    pub bytes_per_second: Option<u64>,
}

/// Which bucket something lies in, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketIdentity {
    /// Scheme, host and port.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// What stands before the names of objects.
    pub prefix: String,
}

impl fmt::Display for BucketIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.endpoint, self.bucket, self.prefix)
    }
}

impl BucketSettings {
    /// Checks them. Without encryption only a store on this machine is spoken to, unless that is allowed.
    pub fn new(
        endpoint: &str,
        bucket: &str,
        region: &str,
        prefix: &str,
        allows_http: bool,
        credentials: CredentialSource,
    ) -> Result<Self, BadBucket> {
        let shown = || without_secrets(endpoint);
        let url = Url::parse(endpoint).map_err(|_| BadBucket::Endpoint(shown()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(BadBucket::Endpoint(shown()));
        }
        let is_more = !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
            || url.path() != "/";
        if is_more {
            return Err(BadBucket::EndpointParts(shown()));
        }
        if url.scheme() == "http" && !allows_http && !is_this_machine(&url) {
            return Err(BadBucket::Unencrypted(shown()));
        }
        let is_named = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-');
        let ends = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let name = bucket.as_bytes();
        let is_name = (3..=63).contains(&name.len()) && name.iter().all(|c| is_named(*c)) && !bucket.contains("..");
        if !is_name || !ends(name.first()) || !ends(name.last()) {
            return Err(BadBucket::Name(bucket.chars().count()));
        }
        let is_region = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        if !(1..=64).contains(&region.len()) || !region.bytes().all(is_region) {
            return Err(BadBucket::Region(region.chars().take(100).collect()));
        }
        let parts = prefix.trim_end_matches('/');
        let is_prefix = prefix.is_empty()
            || parts.len() < LONGEST_PREFIX
                && !prefix.starts_with('/')
                && !parts.is_empty()
                && Key::parse(parts).is_ok_and(|key| key.as_ref() == parts);
        if !is_prefix {
            return Err(BadBucket::Prefix(prefix.chars().take(100).collect()));
        }
        Ok(Self {
            endpoint: url,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            prefix: if parts.is_empty() { String::new() } else { format!("{parts}/") },
            is_in_host: false,
            credentials,
            part_bytes: PART_BYTES,
            bytes_per_second: None,
        })
    }

    /// The bucket stands in the name of the host, and not in the path.
    #[must_use]
    pub fn in_host(self) -> Self {
        Self { is_in_host: true, ..self }
    }

    /// Which bucket it is.
    pub fn identity(&self) -> BucketIdentity {
        BucketIdentity { endpoint: self.address(), bucket: self.bucket.clone(), prefix: self.prefix.clone() }
    }

    /// What stands before the names of objects.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn is_in_host(&self) -> bool {
        self.is_in_host
    }

    /// Scheme, host and port of the store.
    pub(super) fn address(&self) -> String {
        self.endpoint.as_str().trim_end_matches('/').to_owned()
    }

    /// The address of the bucket itself.
    pub(super) fn bucket_address(&self) -> String {
        if !self.is_in_host {
            return format!("{}/{}", self.address(), self.bucket);
        }
        let port = self.endpoint.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{}.{}{port}", self.endpoint.scheme(), self.bucket, self.endpoint.host_str().unwrap_or_default())
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.endpoint.scheme() == "https"
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: &str, bucket: &str, region: &str, prefix: &str) -> Result<BucketSettings, String> {
        BucketSettings::new(endpoint, bucket, region, prefix, false, CredentialSource::Instance)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_bucket_has_an_address_in_its_path_or_its_host() {
        let settings = read("https://s3.example:8443", "my.bucket-1", "eu-central-1", "a/b").unwrap();
        assert_eq!(settings.bucket_address(), "https://s3.example:8443/my.bucket-1");
        assert_eq!(settings.identity().to_string(), "https://s3.example:8443/my.bucket-1/a/b/");
        assert_eq!(settings.in_host().bucket_address(), "https://my.bucket-1.s3.example:8443");
        for local in ["http://127.0.0.1:9000", "http://localhost/", "http://[::1]:1"] {
            assert_eq!(read(local, "bucket", "us-east-1", "").unwrap().prefix(), "", "{local}");
        }
        let allowed = BucketSettings::new("http://10.0.0.1", "abc", "r", "x/", true, CredentialSource::Instance);
        assert_eq!(allowed.unwrap().prefix(), "x/");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let long = "x".repeat(300);
        for (endpoint, bucket, region, prefix, expected) in [
            ("s3.example", "abc", "r", "", "no address of an object store"),
            ("ftp://h", "abc", "r", "", "no address of an object store"),
            ("https://user:hush@h", "abc", "r", "", "more than scheme, host and port"),
            ("https://h/abc?hush", "abc", "r", "", "more than scheme, host and port"),
            ("http://10.0.0.1", "abc", "r", "", "is not encrypted"),
            ("http://127.0.0.1.example", "abc", "r", "", "is not encrypted"),
            ("https://h", "a", "r", "", "no name of a bucket"),
            ("https://h", "abc/d", "r", "", "no name of a bucket"),
            ("https://h", "-abc", "r", "", "no name of a bucket"),
            ("https://h", "A/hush", "r", "", "found 6 characters"),
            ("https://h", "abc", "", "", "no region"),
            ("https://h", "abc", "a/b", "", "no region"),
            ("https://h", "abc", "r", "/a", "cannot stand before"),
            ("https://h", "abc", "r", "a//b", "cannot stand before"),
            ("https://h", "abc", "r", "../a", "cannot stand before"),
            ("https://h", "abc", "r", &long, "cannot stand before"),
        ] {
            let said = read(endpoint, bucket, region, prefix).unwrap_err();
            assert!(said.contains(expected) && !said.contains("hush"), "{said}");
        }
    }
}
