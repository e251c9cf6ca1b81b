//! Cookies that a source sets, sent back to whom they belong: some origins give one with the master playlist, and nothing without it.
//!
//! In memory, of one recorder alone. What a source may leave with us is bounded; who may read what is up to `cookie_store` (RFC 6265).

use bytes::Bytes;
use cookie_store::{Cookie, CookieStore, RawCookie};
use parking_lot::RwLock;
use reqwest::Url;
use reqwest::header::HeaderValue;

/// Cookies of one source; browsers keep 50 of a domain, too.
const MOST: usize = 50;
/// Bytes of one, with its attributes (RFC 6265, 6.1).
const LONGEST: usize = 4096;

/// Bytes of all that are sent with a request; servers take no more of them.
const LONGEST_HEADER: usize = 8 << 10;

#[derive(Debug, Default)]
pub struct SourceCookies(RwLock<CookieStore>);

impl SourceCookies {
    /// Keeps what an answer sets.
    pub fn set<'h>(&self, headers: impl Iterator<Item = &'h HeaderValue>, url: &Url) {
        let mut kept = self.0.write();
        for text in headers.filter(|value| value.len() <= LONGEST).filter_map(|value| value.to_str().ok()) {
            let Ok(cookie) = RawCookie::parse(text.to_owned()) else { continue };
            if kept.iter_any().count() >= MOST {
                drop_expired(&mut kept);
            }
            // One of another domain is none; one that has expired takes another one away.
            let is_kept = Cookie::try_from_raw_cookie(&cookie, url).is_ok_and(|cookie| {
                let (domain, path) = (String::from(&cookie.domain), String::from(&cookie.path));
                let is_known = kept.contains_any(&domain, &path, cookie.name());
                let is_room = is_known || kept.iter_any().count() < MOST;
                is_room && kept.insert(cookie.into_owned(), url).is_ok()
            });
            if !is_kept {
                tracing::debug!(name: "cookie_refused", host = url.host_str(), "a cookie of a source was not kept");
            }
        }
    }

    /// What is sent with a request.
    pub fn of(&self, url: &Url) -> Option<HeaderValue> {
        let kept = self.0.read();
        let mut room = LONGEST_HEADER;
        let pairs = kept.get_request_values(url).map(|(name, value)| format!("{name}={value}"));
        let sent: Vec<String> = pairs
            .take_while(|pair| {
                let rest = usize::checked_sub(room, pair.len() + 2);
                room = rest.unwrap_or_default();
                rest.is_some()
            })
            .collect();
        let mut header = HeaderValue::from_maybe_shared(Bytes::from(sent.join("; "))).ok()?;
        header.set_sensitive(true);
        Some(header).filter(|header| !header.is_empty())
    }
}

fn drop_expired(kept: &mut CookieStore) {
    let fresh: Vec<_> = kept.iter_unexpired().cloned().map(Ok::<_, std::convert::Infallible>).collect();
    let Ok(fresh) = CookieStore::from_cookies(fresh, false);
    *kept = fresh;
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

    fn take(cookies: &SourceCookies, url: &Url, lines: impl Iterator<Item = String>) {
        let values: Vec<HeaderValue> = lines.map(|line| HeaderValue::try_from(line).unwrap()).collect();
        cookies.set(values.iter(), url);
    }

    #[test]
    fn cookies_of_one_name_for_many_paths_are_bounded_as_well() {
        let (cookies, paths) = (SourceCookies::default(), |depth: usize| "/a".repeat(depth));
        let deep = Url::parse(&format!("https://cdn.example{}", paths(90))).unwrap();
        take(&cookies, &deep, (1..90).map(|depth| format!("a={}; Path={}", "x".repeat(300), paths(depth))));
        assert!(cookies.0.read().iter_any().count() <= MOST);
        let bytes = sent(&cookies, deep.as_str()).len();
        assert!(bytes > 0 && bytes <= LONGEST_HEADER, "{bytes}");
    }

    #[test]
    fn what_has_expired_makes_room() {
        let (cookies, url) = (SourceCookies::default(), Url::parse("https://cdn.example/a").unwrap());
        take(&cookies, &url, (0..MOST).map(|number| format!("s{number}=1; Max-Age=1; Path=/")));
        std::thread::sleep(std::time::Duration::from_millis(2_100));
        take(&cookies, &url, std::iter::once("new=1; Path=/".to_owned()));
        assert_eq!(sent(&cookies, url.as_str()), "new=1");
    }
}
