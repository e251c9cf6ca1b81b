//! Which addresses may be asked: those that the operator gave, and what playlists and redirects lead to as far as it is public.
//!
//! 1. Only `http` and `https`; from an encrypted playlist no key without encryption.
//! 2. The source's own host may be anything: the operator named it. Another host must not be this machine, nor any in a private network: a
//!    playlist must not read what only this machine can reach.
//! 3. Names are judged by the addresses that they resolve to, at the moment of connecting ([`PublicResolver`]); a name that leads to both
//!    leads to the public ones.
//! 4. What may be a secret (user, password, query) is never shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::net::without_secrets;

/// Bytes of an address, at most; those with signatures have one or two thousand.
const LONGEST: usize = 16 << 10;

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{shown:?} is not an address to record from: {why}; expected one such as https://example.org/live.m3u8")]
    NotOne { shown: String, why: &'static str },
    #[error("{shown} is not asked: {why}")]
    Refused { shown: String, why: &'static str },
}

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
        secrets.retain(|secret| !secret.is_empty());
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

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// An address without what may be secret in it.
pub fn shown_url(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let query = if url.query().is_some() { "?…" } else { "" };
    let path: String = url.path().chars().take(200).collect();
    format!("{}://{}{port}{path}{query}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What may be asked beside the source itself.
#[derive(Debug, Clone)]
pub struct AddressRules {
    source_host: Arc<str>,
}

impl AddressRules {
    pub fn new(source: &SourceAddress) -> Self {
        Self { source_host: source.url.host_str().unwrap_or_default().into() }
    }

    /// The address that stands in a playlist of that address.
    pub fn join(&self, base: &Url, reference: &str) -> Result<Url, AddressError> {
        let refused = || AddressError::Refused { shown: without_secrets(reference), why: "it cannot be understood" };
        let url = base.join(reference).map_err(|_| refused())?;
        self.check(&url)?;
        Ok(url)
    }

    /// The same of a key.
    pub fn join_key(&self, base: &Url, reference: &str) -> Result<Url, AddressError> {
        let url = self.join(base, reference)?;
        if base.scheme() == "https" && url.scheme() != "https" {
            let why = "it is a key that would come without encryption, for a playlist that came with it";
            return Err(AddressError::Refused { shown: shown_url(&url), why });
        }
        Ok(url)
    }

    /// As far as the address itself says it.
    pub fn check(&self, url: &Url) -> Result<(), AddressError> {
        let refused = |why| Err(AddressError::Refused { shown: shown_url(url), why });
        if !matches!(url.scheme(), "http" | "https") {
            return refused("only http and https are asked, whatever a playlist names");
        }
        let Some(host) = url.host_str() else { return refused("it names no host") };
        match bare(host).parse::<IpAddr>() {
            Ok(ip) if !is_public(ip) && *host != *self.source_host => refused(PRIVATE),
            _ => Ok(()),
        }
    }

    pub fn resolver(&self) -> Arc<PublicResolver> {
        Arc::new(PublicResolver { rules: self.clone() })
    }
}

const PRIVATE: &str = "it is in a private network, and the source is not on that host";

/// Resolves names to addresses that may be asked.
#[derive(Debug)]
pub struct PublicResolver {
    rules: AddressRules,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_source = name.as_str().eq_ignore_ascii_case(&self.rules.source_host);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let asked: Vec<SocketAddr> = found.filter(|address| is_source || is_public(address.ip())).collect();
            if asked.is_empty() {
                return Err(format!("{} is not asked: {PRIVATE}", name.as_str()).into());
            }
            Ok(Box::new(asked.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the Internet's (the registries of special addresses of RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_special = a == 0 || a >= 224 || (a, b, c) == (192, 0, 0) || a == 198 && (18..20).contains(&b);
    let is_local = ip.is_private() || ip.is_loopback() || ip.is_link_local();
    !(is_shared || is_special || is_local || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            v4(high, low)
        }
        [0x2001, 0xdb8 | 0, ..] => false,
        // Only these are given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(source: &str) -> (AddressRules, Url) {
        let source = SourceAddress::parse(source).unwrap();
        (AddressRules::new(&source), source.url().clone())
    }

    #[test]
    fn playlists_lead_to_public_hosts_and_to_their_own() {
        let (rules, base) = rules("https://live.example/a/master.m3u8?token=secret");
        for (reference, expected) in [
            ("v.m3u8", "https://live.example/a/v.m3u8"),
            ("/x/1.ts?a=b", "https://live.example/x/1.ts?a=b"),
            ("//cdn.example/1.ts", "https://cdn.example/1.ts"),
            ("http://93.184.216.34:8080/1.ts", "http://93.184.216.34:8080/1.ts"),
            ("https://[2a00:1450::1]/1.ts", "https://[2a00:1450::1]/1.ts"),
        ] {
            assert_eq!(rules.join(&base, reference).unwrap().as_str(), expected);
        }
        for reference in [
            "file:///etc/passwd",
            "data:text/plain,x",
            "ftp://a.example/",
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://224.0.0.1/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
        ] {
            let error = rules.join(&base, reference).unwrap_err().to_string();
            assert!(error.contains("is not asked"), "{error}");
        }
    }

    #[test]
    fn a_source_at_home_may_lead_to_itself_and_to_no_neighbour() {
        let (rules, base) = rules("http://192.168.1.5:8080/live.m3u8");
        assert!(rules.join(&base, "1.ts").is_ok() && rules.join(&base, "http://192.168.1.5/1.ts").is_ok());
        assert!(
            rules.join(&base, "http://192.168.1.6/1.ts").is_err() && rules.join(&base, "http://127.0.0.1/").is_err()
        );
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_asked_unless_it_is_the_source() {
        let resolved = async |source: &str| {
            let (rules, _) = rules(source);
            rules
                .resolver()
                .resolve("localhost".parse().unwrap())
                .await
                .map(Iterator::count)
                .map_err(|error| error.to_string())
        };
        assert!(resolved("http://localhost/live.m3u8").await.unwrap() > 0);
        assert!(resolved("https://live.example/a.m3u8").await.unwrap_err().contains("private network"));
    }

    #[test]
    fn keys_of_an_encrypted_playlist_come_encrypted() {
        let (with, base) = rules("https://live.example/a.m3u8");
        assert!(with.join_key(&base, "k").is_ok() && with.join_key(&base, "http://live.example/k").is_err());
        let (without, plain) = rules("http://live.example/a.m3u8");
        assert!(without.join_key(&plain, "k").is_ok());
    }

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
        assert_eq!(source.secrets(), ["token=1234", "pass", "1234", "key", "u"]);
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
