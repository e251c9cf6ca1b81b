//! Which addresses may be asked: those that the operator gave, and what playlists and redirects lead to as far as it is public.
//!
//! 1. Only `http` and `https`; from an encrypted playlist no key without encryption.
//! 2. The source's own host may be anything: the operator named it. Another host must not be this machine, nor any in a private network: a
//!    playlist must not read what only this machine can reach.
//! 3. Names are judged by the addresses that they resolve to, at the moment of connecting ([`PublicResolver`]); a name that leads to both
//!    leads to the public ones.
//! 4. What may be a secret (user, password, query) is never shown.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::RwLock;
use reqwest::Url;

use crate::net::without_secrets;

/// Hosts of one source, where a command names another one each time.
const OWN_HOSTS: usize = 4;

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{shown:?} is not an address to record from: {why}; expected one such as https://example.org/live.m3u8")]
    NotOne { shown: String, why: &'static str },
    #[error("{shown} is not asked: {why}")]
    Refused { shown: String, why: &'static str },
}

/// Of an address, without the brackets of IPv6.
pub fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// An address without what may be secret in it.
pub fn shown_url(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let query = if url.query().is_some() { "?…" } else { "" };
    let path: String = url.path().chars().take(200).collect();
    format!("{}://{}{port}{path}{query}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What may be asked beside the source itself. Clones share what is the source's.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    own: Arc<RwLock<VecDeque<String>>>,
}

impl AddressRules {
    /// From now on that host is the source's, too: the operator named it, or a command of his.
    pub fn allow(&self, host: &str) {
        let mut own = self.own.write();
        if !own.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            own.push_back(host.to_owned());
        }
        if own.len() > OWN_HOSTS {
            own.pop_front();
        }
    }

    /// Whether that host is one of the source's own.
    pub fn is_own(&self, host: &str) -> bool {
        self.own.read().iter().any(|known| known.eq_ignore_ascii_case(host))
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
            Ok(ip) if !is_public(ip) && !self.is_own(host) => refused(PRIVATE),
            _ => Ok(()),
        }
    }

    /// The addresses of a name that may be asked.
    pub async fn resolve(&self, name: &str) -> std::io::Result<Vec<SocketAddr>> {
        let is_source = self.is_own(name);
        let found = tokio::net::lookup_host((name, 0)).await?;
        let asked: Vec<SocketAddr> = found.filter(|address| is_source || is_public(address.ip())).collect();
        if asked.is_empty() {
            return Err(std::io::Error::other(format!("{name} is not asked: {PRIVATE}")));
        }
        Ok(asked)
    }
}

const PRIVATE: &str = "it is in a private network, and the source is not on that host";

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
        let (rules, url) = (AddressRules::default(), Url::parse(source).unwrap());
        rules.allow(url.host_str().unwrap());
        (rules, url)
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

    #[test]
    fn hosts_that_commands_name_are_the_sources_until_others_are() {
        let (rules, base) = rules("https://live.example/a.m3u8");
        (1..=4).for_each(|last| rules.allow(&format!("10.0.0.{last}")));
        assert!(rules.join(&base, "http://10.0.0.1/x").is_ok() && rules.join(&base, "http://10.0.0.5/x").is_err());
        rules.allow("10.0.0.5");
        assert!(rules.join(&base, "http://10.0.0.1/x").is_err() && rules.join(&base, "http://10.0.0.5/x").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_asked_unless_it_is_the_source() {
        let resolved = async |source: &str| {
            let (rules, _) = rules(source);
            rules.resolve("localhost").await.map(|all| all.len()).map_err(|error| error.to_string())
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
}
