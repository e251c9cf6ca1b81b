//! Which `Host` a request may name, so that nobody else's name can stand for this node.
//!
//! 1. HTTP/1.1 wants exactly one `Host`, and no version may have two (RFC 9112, 3.2): what proxies disagree about is refused.
//! 2. A page whose own name was made to point at this machine (DNS rebinding) would be of the node's origin for a browser. So over
//!    the loopback only names are answered that cannot be somebody else's: addresses, `localhost`, names without a dot, which no
//!    public DNS gives out, the machine's own, and those of `http.hosts`.
//!
//! This decides who is meant, never who asks: what an address proves of a client is nothing (`auth`).

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version};

/// The names by which a node may be asked over the loopback.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[String]>);

/// Why nothing can be said about whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHost {
    #[error("an HTTP/1.1 request must have one Host field, and this has none")]
    Missing,
    #[error("a request must have one Host field, and this has several")]
    Several,
    #[error("the Host field holds no name or address with an optional port")]
    Malformed,
}

impl Hosts {
    /// These names, in any case, with or without a dot at the end.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(names.into_iter().map(|name| plain(name.as_ref())).filter(|name| !name.is_empty()).collect())
    }

    /// Whether this name (without a port) can only be meant for this machine.
    fn stands_for_us(&self, host: &str) -> bool {
        let host = plain(host);
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        bare.parse::<IpAddr>().is_ok() || !host.contains('.') || host.ends_with(".localhost") || self.0.contains(&host)
    }

    /// The name that a request over the loopback gives, if it may be somebody else's. A target in absolute form goes before the field.
    pub(super) fn foreign<'r>(&self, uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
        let named = match uri.host() {
            Some(host) => host,
            None => host_of(headers.get(HOST)?.to_str().ok()?),
        };
        (!self.stands_for_us(named)).then_some(named)
    }
}

/// Whether the `Host` fields are what the version asks for.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), BadHost> {
    let mut fields = headers.get_all(HOST).iter();
    match (fields.next(), fields.next()) {
        (None, _) if version == Version::HTTP_10 || version == Version::HTTP_09 => Ok(()),
        (None, _) => Err(BadHost::Missing),
        (Some(_), Some(_)) => Err(BadHost::Several),
        // A target without an authority has an empty field.
        (Some(field), None) if field.is_empty() => Ok(()),
        (Some(field), None) => match Authority::try_from(field.as_bytes()) {
            Ok(authority) if !authority.as_str().contains('@') && !authority.host().is_empty() => Ok(()),
            _ => Err(BadHost::Malformed),
        },
    }
}

fn plain(name: &str) -> String {
    name.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// The name in a field that may have a port.
fn host_of(field: &str) -> &str {
    let end = match field.rsplit_once(':') {
        Some((before, port)) if !before.contains(':') || before.ends_with(']') => field.len() - port.len() - 1,
        _ => field.len(),
    };
    field.get(..end).unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (HOST, value.parse().unwrap())).collect()
    }

    #[test]
    fn one_host_is_wanted_and_two_are_refused() {
        for (version, values, right) in [
            (Version::HTTP_11, &["a.example:8000"][..], Ok(())),
            (Version::HTTP_11, &["[::1]:8000"], Ok(())),
            (Version::HTTP_11, &[""], Ok(())),
            (Version::HTTP_11, &[], Err(BadHost::Missing)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_11, &["a", "a"], Err(BadHost::Several)),
            (Version::HTTP_10, &["a", "b"], Err(BadHost::Several)),
            (Version::HTTP_11, &["a@b"], Err(BadHost::Malformed)),
            (Version::HTTP_11, &["a b"], Err(BadHost::Malformed)),
            (Version::HTTP_11, &["a/b"], Err(BadHost::Malformed)),
        ] {
            assert_eq!(check(version, &fields(values)), right, "{version:?} {values:?}");
        }
    }

    #[test]
    fn a_name_that_may_be_somebody_elses_is_foreign() {
        let hosts = Hosts::new(["Archive.Example.", "  "]);
        let origin: Uri = "/files".parse().unwrap();
        for (field, foreign) in [
            ("127.0.0.1:8000", None),
            ("[::1]:8000", None),
            ("[::1]", None),
            ("localhost", None),
            ("LOCALHOST.:8000", None),
            ("a.localhost:1", None),
            ("archive:8000", None),
            ("archive.example:443", None),
            ("ARCHIVE.example.", None),
            ("", None),
            ("evil.example:8000", Some("evil.example")),
            ("127.0.0.1.evil.example", Some("127.0.0.1.evil.example")),
            ("localhost.evil.example:1", Some("localhost.evil.example")),
            ("evilarchive.example", Some("evilarchive.example")),
        ] {
            assert_eq!(hosts.foreign(&origin, &fields(&[field])), foreign, "{field}");
        }
        let absolute: Uri = "http://evil.example/files".parse().unwrap();
        assert_eq!(hosts.foreign(&absolute, &fields(&["localhost"])), Some("evil.example"));
        assert_eq!(hosts.foreign(&origin, &HeaderMap::new()), None, "HTTP/1.0 may leave it out; no browser speaks it");
    }

    proptest! {
        #[test]
        fn no_field_panics(field in "[ -~]{0,40}") {
            let headers = HeaderMap::from_iter([(HOST, field.parse().unwrap())]);
            let origin = Uri::from_static("/");
            let _either = (check(Version::HTTP_11, &headers), Hosts::default().foreign(&origin, &headers));
        }
    }
}
