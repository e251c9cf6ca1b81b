//! The address of a peer, and the addresses beneath it.
//!
//! What a name says never changes the host and never climbs: parts are encoded one by one, and the result is compared with
//! what was meant. Whether anybody answers there is not known here.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::net::without_secrets;

/// Longest address that is taken; no sensible one comes near.
const MAX_BYTES: usize = 2048;

/// What is not encoded in a part of a path: RFC 3986's unreserved characters and the colon, which times are written with.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Why something is no address. Credentials and queries are left out of the message, because they may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("{shown:?} is not the address of a node: {why}; expected one such as https://archive.example:8000/prefix")]
    Base {
        /// The address, without what may be secret.
        shown: String,
        why: &'static str,
    },
    #[error("{part:?} cannot be asked for: it is no name of one thing in an archive")]
    Part { part: String },
}

/// A validated base address: `http[s]://host[:port][/prefix]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerUrl {
    /// Without a query or fragment; the path does not end in a slash, unless it is one.
    base: Url,
}

impl PeerUrl {
    /// Checks an address. A slash at its end makes no difference.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let wrong = |why| BadUrl::Base { shown: without_secrets(text), why };
        if text.len() > MAX_BYTES {
            return Err(wrong("it is longer than 2048 bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it holds more than printable ASCII"));
        }
        for (character, why) in [
            ('@', "it holds credentials"),
            ('?', "it holds a query"),
            ('#', "it holds a fragment"),
            ('\\', "it holds a backslash"),
        ] {
            if text.contains(character) {
                return Err(wrong(why));
            }
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("it does not begin with http:// or https://"));
        };
        if !["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            return Err(wrong("it does not begin with http:// or https://"));
        }
        let (host, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("it names no host"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut base = Url::parse(text).map_err(|_| wrong("its host or port cannot be understood"))?;
        if base.port() == Some(0) {
            return Err(wrong("its port is 0"));
        }
        base.set_path(prefix);
        if base.path().strip_suffix('/').unwrap_or(base.path()) != prefix || prefix.contains("//") {
            return Err(wrong("its prefix is not written plainly"));
        }
        Ok(Self { base })
    }

    pub fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The host, as in an address: an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    pub(super) const fn base(&self) -> &Url {
        &self.base
    }

    /// The port, also where it is not written.
    pub fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or_default()
    }

    pub fn join<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Result<Url, BadUrl> {
        let mut path = self.prefix().to_owned();
        for part in parts {
            // Encoding would not help: an encoded dot is a dot.
            if matches!(part, "" | "." | "..") || part.contains(['/', '\0']) {
                return Err(BadUrl::Part { part: part.to_owned() });
            }
            path.push('/');
            path.extend(utf8_percent_encode(part, KEPT));
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        let as_meant = url.path().strip_suffix('/').unwrap_or(url.path()) == path && url.host() == self.base.host();
        if as_meant { Ok(url) } else { Err(BadUrl::Part { part: path }) }
    }

    fn prefix(&self) -> &str {
        let path = self.base.path();
        path.strip_suffix('/').unwrap_or(path)
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.base.as_str();
        f.write_str(text.strip_suffix('/').unwrap_or(text))
    }
}

impl FromStr for PeerUrl {
    type Err = BadUrl;
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("http://a", "http://a"),
            ("http://a/", "http://a"),
            ("HTTPS://Archive.Example:8443/some/Prefix/", "https://archive.example:8443/some/Prefix"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("http://a:80", "http://a"),
            ("http://a/p%20q", "http://a/p%20q"),
        ] {
            let url = PeerUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), expected);
            assert_eq!(PeerUrl::parse(expected), Ok(url));
        }
        assert!(PeerUrl::parse("https://a").unwrap().is_https() && !PeerUrl::parse("http://a").unwrap().is_https());
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        for text in [
            "",
            "a",
            "a:8000",
            "/",
            "//a",
            "http:",
            "http:a",
            "http:/a",
            "http://",
            "http:///a",
            "http://:80",
            "ftp://a",
            "file:///etc/passwd",
            "http://a:0",
            "http://a:99999",
            "http://a:b",
            "http://u@a",
            "http://u:p@a",
            "http://@a",
            "http://a\\@b",
            "http://a?x",
            "http://a#x",
            "http://a/../b",
            "http://a/./b",
            "http://a/%2e%2E/b",
            "http://a//b",
            "http://a/b//",
            "http://a b",
            "http://a\n",
            " http://a",
            "http://ä",
            "http://a/ä",
            "http://a/<b>",
            "http://[::1",
        ] {
            assert!(PeerUrl::parse(text).is_err(), "{text:?}");
        }
        assert!(PeerUrl::parse(&format!("http://a/{}", "x".repeat(2048))).is_err());
    }

    #[test]
    fn secrets_are_not_told() {
        for text in
            ["https://user:secret@a/x", "user:secret@a", "http://a/x?key=secret", "http://a@secret@b?secret#secret"]
        {
            let told = PeerUrl::parse(text).unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn names_are_encoded_one_by_one() {
        let url = PeerUrl::parse("http://a:1/p/").unwrap();
        let joined = |parts: &[&str]| url.join(parts.iter().copied()).map(|url| url.to_string());
        assert_eq!(joined(&[]).unwrap(), "http://a:1/p");
        assert_eq!(joined(&["files", "a b", "45:51.6-x_~.ts"]).unwrap(), "http://a:1/p/files/a%20b/45:51.6-x_~.ts");
        assert_eq!(joined(&["?#%\\ü", "@b"]).unwrap(), "http://a:1/p/%3F%23%25%5C%C3%BC/%40b");
        assert_eq!(joined(&["%2e%2e", "%2F"]).unwrap(), "http://a:1/p/%252e%252e/%252F");
        assert_eq!(PeerUrl::parse("http://a").unwrap().join(["x"]).unwrap().as_str(), "http://a/x");
        for bad in ["", ".", "..", "a/b", "/", "a\0b"] {
            assert!(joined(&["files", bad]).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_changes_the_host_or_climbs(parts in prop::collection::vec(any::<String>(), 0..4), dots in "[./\\\\%2eE:@?#]{0,6}") {
            let url = PeerUrl::parse("http://host.example:8000/pre/fix").unwrap();
            let all: Vec<&str> = parts.iter().map(String::as_str).chain([dots.as_str()]).collect();
            if let Ok(joined) = url.join(all.iter().copied()) {
                prop_assert_eq!(joined.host_str(), Some("host.example"));
                prop_assert_eq!((joined.port(), joined.query(), joined.fragment(), joined.username()), (Some(8000), None, None, ""));
                let encoded: Vec<&str> = joined.path().strip_prefix("/pre/fix/").unwrap().split('/').collect();
                let decoded: Vec<String> = encoded.iter()
                    .map(|part| percent_encoding::percent_decode_str(part).decode_utf8().unwrap().into_owned()).collect();
                prop_assert_eq!(decoded, all);
            }
        }

        #[test]
        fn any_text_is_an_address_or_refused(text in any::<String>(), tail in "[ -~]{0,12}") {
            for candidate in [text, format!("http://{tail}")] {
                if let Ok(url) = PeerUrl::parse(&candidate) {
                    prop_assert_eq!(PeerUrl::parse(&url.to_string()), Ok(url));
                }
            }
        }
    }
}
