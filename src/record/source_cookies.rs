//! Cookies that a source sets, sent back to whom they belong: some origins give one with the master playlist, and nothing without it.
//!
//! In memory, of one recorder alone. What a source may leave with us is bounded; who may read what is up to `cookie_store` (RFC 6265).

use bytes::Bytes;
use cookie_store::{CookieStore, RawCookie};
use parking_lot::RwLock;
use reqwest::Url;
use reqwest::header::HeaderValue;

/// Cookies of one source; browsers keep 50 of a domain, too.
const MOST: usize = 50;
/// Bytes of one, with its attributes (RFC 6265, 6.1).
const LONGEST: usize = 4096;

#[derive(Debug, Default)]
pub struct SourceCookies(RwLock<CookieStore>);

impl SourceCookies {
    /// Keeps what an answer sets.
    pub fn set<'h>(&self, headers: impl Iterator<Item = &'h HeaderValue>, url: &Url) {
        let mut kept = self.0.write();
        for text in headers.filter(|value| value.len() <= LONGEST).filter_map(|value| value.to_str().ok()) {
            let Ok(cookie) = RawCookie::parse(text.to_owned()) else { continue };
            let is_room = kept.iter_any().count() < MOST || kept.iter_any().any(|known| known.name() == cookie.name());
            // One of another domain, or that has expired, is none.
            if !is_room || kept.insert_raw(&cookie, url).is_err() {
                tracing::debug!(name: "cookie_refused", host = url.host_str(), "a cookie of a source was not kept");
            }
        }
    }

    /// What is sent with a request.
    pub fn of(&self, url: &Url) -> Option<HeaderValue> {
        let kept = self.0.read();
        let sent: Vec<String> = kept.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::from_maybe_shared(Bytes::from(sent.join("; "))).ok()?;
        header.set_sensitive(true);
        Some(header).filter(|header| !header.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(cookies: &SourceCookies, url: &str) -> String {
        let header = cookies.of(&Url::parse(url).unwrap());
        header.map_or(String::new(), |header| header.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_go_to_whom_they_belong_and_there_is_a_bound() {
        let cookies = SourceCookies::default();
        let set = |url: &str, lines: &[String]| {
            let values: Vec<HeaderValue> = lines.iter().map(|line| HeaderValue::from_str(line).unwrap()).collect();
            cookies.set(values.iter(), &Url::parse(url).unwrap());
        };
        let from = "https://cdn.example/live/a.m3u8";
        let lines = ["a=1; Path=/live", "b=2; Secure; HttpOnly; Path=/", "c=3; Domain=other.example", "d"];
        set(from, &lines.map(str::to_owned));
        let mut both: Vec<String> = sent(&cookies, from).split("; ").map(str::to_owned).collect();
        both.sort();
        assert_eq!(both, ["a=1", "b=2"]);
        assert_eq!(sent(&cookies, "https://cdn.example/key"), "b=2");
        assert_eq!(sent(&cookies, "http://cdn.example/key"), "", "it is for https");
        assert_eq!(sent(&cookies, "https://other.example/live/a"), "");
        set(from, &["a=; Max-Age=0; Path=/live".to_owned()]);
        assert_eq!(sent(&cookies, from), "b=2");
        set(from, &[format!("e={}; Path=/", "x".repeat(LONGEST))]);
        set(from, &(0..1_000).map(|number| format!("n{number}=1; Path=/")).collect::<Vec<_>>());
        set(from, &["b=4; Secure; HttpOnly; Path=/".to_owned()]);
        let all = sent(&cookies, from);
        assert!(all.contains("b=4") && all.split("; ").count() <= MOST && !all.contains("e="), "{all}");
    }
}
