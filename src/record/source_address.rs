//! Where a stream is, as an operator or his command gave it: how it comes, and whether it is asked for or listened for.
//!
//! What may be a secret (user, password, query, the key of RTMP) is never shown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::address::{AddressError, bare, shown_url};
use crate::net::without_secrets;

/// Bytes of an address, at most; those with signatures have one or two thousand.
const LONGEST: usize = 16 << 10;

/// How a stream comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceProtocol {
    /// Over http and https.
    Hls,
    Rtmp,
    Rtsp,
    Srt,
    Udp,
}

impl SourceProtocol {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hls => "HLS",
            Self::Rtmp => "RTMP",
            Self::Rtsp => "RTSP",
            Self::Srt => "SRT",
            Self::Udp => "UDP",
        }
    }
}

/// Where a stream is, as the operator gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceAddress {
    url: Url,
    protocol: SourceProtocol,
    is_listened_for: bool,
}

impl SourceAddress {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |why| AddressError::NotOne { shown: shown_text(text), why };
        if text.len() > LONGEST {
            return Err(wrong("it is longer than 16 KiB"));
        }
        let mut url = Url::parse(&with_host(text)).map_err(|_| wrong("it cannot be understood"))?;
        let protocol = match url.scheme() {
            "http" | "https" => SourceProtocol::Hls,
            "rtmp" | "rtmps" => SourceProtocol::Rtmp,
            "rtsp" => SourceProtocol::Rtsp,
            "srt" => SourceProtocol::Srt,
            "udp" => SourceProtocol::Udp,
            _ => return Err(wrong("only http, https, rtmp, rtmps, rtsp, srt and udp are understood")),
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return Err(wrong("it names no host")) };
        let ip = bare(host).parse::<IpAddr>().ok();
        let is_unspecified = ip.is_some_and(|ip| ip.is_unspecified());
        let is_listener = url.query_pairs().any(|(name, value)| name == "mode" && value == "listener");
        let is_listened_for = match protocol {
            SourceProtocol::Hls | SourceProtocol::Rtsp => false,
            SourceProtocol::Rtmp => is_unspecified || ip.is_some_and(|ip| ip.is_loopback()),
            SourceProtocol::Srt => is_unspecified || is_listener,
            SourceProtocol::Udp => true,
        };
        if matches!(protocol, SourceProtocol::Srt | SourceProtocol::Udp) && url.port().is_none() {
            return Err(wrong("it names no port"));
        }
        if protocol == SourceProtocol::Srt && is_listened_for && !is_listener {
            url.query_pairs_mut().append_pair("mode", "listener");
        }
        if protocol == SourceProtocol::Rtmp && is_listened_for {
            if url.scheme() != "rtmp" {
                return Err(wrong("only rtmp is listened for; encryption is for a proxy in front, such as stunnel"));
            }
            if url.path().split('/').filter(|part| !part.is_empty()).count() < 2 {
                return Err(wrong("it names no application and key, as rtmp://0.0.0.0:1935/live/KEY does"));
            }
        }
        Ok(Self { url, protocol, is_listened_for })
    }

    pub const fn url(&self) -> &Url {
        &self.url
    }

    pub const fn protocol(&self) -> SourceProtocol {
        self.protocol
    }

    /// Whoever sends connects to this machine.
    pub const fn is_listened_for(&self) -> bool {
        self.is_listened_for
    }

    /// Where publishers of RTMP connect to, and the path that they have to name.
    pub fn rtmp_place(&self) -> Option<(SocketAddr, String)> {
        /// Of RTMP.
        const PORT: u16 = 1935;
        if self.protocol != SourceProtocol::Rtmp || !self.is_listened_for {
            return None;
        }
        let ip = bare(self.url.host_str()?).parse().ok()?;
        let path = percent_encoding::percent_decode_str(self.url.path()).decode_utf8_lossy();
        // What stands behind a key is a part of it.
        let query = self.url.query().map_or_else(String::new, |query| format!("?{query}"));
        Some((SocketAddr::new(ip, self.url.port().unwrap_or(PORT)), format!("{path}{query}")))
    }

    /// What may be secret in it, as others may repeat it.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![self.url.username().to_owned()];
        secrets.extend(self.url.password().map(str::to_owned));
        if let Some(query) = self.url.query() {
            secrets.push(query.to_owned());
            secrets.extend(self.url.query_pairs().map(|(_, value)| value.into_owned()).filter(|value| value.len() > 3));
        }
        if self.protocol == SourceProtocol::Rtmp {
            secrets.extend(self.url.path().rsplit('/').next().map(str::to_owned));
        }
        // What is shorter is none, and stands in many a word.
        secrets.retain(|secret| secret.len() > 2);
        // A secret that is a part of another one would leave the rest of it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.protocol == SourceProtocol::Rtmp {
            // The last part of its path is the key.
            let shown = Url::parse(self.url.as_str().split(['?', '#']).next().unwrap_or_default());
            let shown = shown.map(|url| shown_url(&url)).unwrap_or_default();
            return f.write_str(&without_last_part(&shown));
        }
        f.write_str(&shown_url(&self.url))
    }
}

impl fmt::Debug for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceAddress({self})")
    }
}

/// `udp://:5000`, and `udp://@…` as players write it, are about all addresses of this machine.
fn with_host(text: &str) -> String {
    let text = text.trim();
    match text.split_once("://") {
        Some((scheme @ ("udp" | "srt"), rest)) => {
            let rest = rest.strip_prefix('@').unwrap_or(rest);
            let host = if rest.starts_with(':') { "0.0.0.0" } else { "" };
            format!("{scheme}://{host}{rest}")
        }
        _ => text.to_owned(),
    }
}

/// What was typed, as far as it is no secret.
fn shown_text(text: &str) -> String {
    let shown = without_secrets(text);
    if shown.trim_start().starts_with("rtmp") { without_last_part(&shown) } else { shown }
}

fn without_last_part(shown: &str) -> String {
    match shown.rsplit_once('/') {
        Some((before, last)) if !before.ends_with('/') && !last.is_empty() => format!("{before}/…"),
        _ => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_asked_or_listened_for_by_their_address() {
        let read = |text: &str| SourceAddress::parse(text).map(|source| (source.to_string(), source.is_listened_for()));
        for (text, shown, is_listened_for) in [
            ("rtmp://live.example/app/key", "rtmp://live.example/app/…", false),
            ("rtmps://u:p@live.example:8443/app/key?token=x", "rtmps://live.example:8443/app/…", false),
            ("rtsp://admin:secret@10.0.0.7/h264", "rtsp://10.0.0.7/h264", false),
            ("srt://live.example:9000?streamid=x", "srt://live.example:9000?…", false),
            ("srt://0.0.0.0:9000", "srt://0.0.0.0:9000?…", true),
            ("srt://:9000?mode=listener", "srt://0.0.0.0:9000?…", true),
            ("udp://@239.1.1.1:5000", "udp://239.1.1.1:5000", true),
            ("udp://:5000", "udp://0.0.0.0:5000", true),
            ("rtmp://0.0.0.0/live/key", "rtmp://0.0.0.0/live/…", true),
            ("rtmp://[::1]:1936/live/key", "rtmp://[::1]:1936/live/…", true),
            ("rtmp://localhost/live/key", "rtmp://localhost/live/…", false),
        ] {
            assert_eq!(read(text).unwrap(), (shown.to_owned(), is_listened_for), "{text}");
        }
        for text in
            ["udp://h", "srt://h", "rtsp://", "ftp://h/x", "live/x", "rtmp://0.0.0.0/live", "rtmp://0.0.0.0/live/"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        let place = SourceAddress::parse("rtmp://127.0.0.1/live/a%20b?c").unwrap().rtmp_place();
        assert_eq!(place, Some(("127.0.0.1:1935".parse().unwrap(), "/live/a b?c".to_owned())));
        let source = SourceAddress::parse("rtmp://u:pass@h/live/key?token=1234").unwrap();
        assert_eq!(source.secrets(), ["token=1234", "pass", "1234", "key"]);
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = SourceAddress::parse("https://user:secret@live.example:8443/a.m3u8?key=secret#secret").unwrap();
        assert_eq!(
            format!("{shown} {shown:?}"),
            "https://live.example:8443/a.m3u8?… SourceAddress(https://live.example:8443/a.m3u8?…)"
        );
        for text in [
            "rtmps://user:secret@0.0.0.0/live/secret?secret",
            "rtmp://h:port/live/secret",
            "file://secret@x",
            "secret@x:y?secret",
        ] {
            let told = SourceAddress::parse(text).unwrap_err().to_string();
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
