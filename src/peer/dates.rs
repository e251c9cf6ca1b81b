//! What other nodes say of the time: the `Date` of the last answer of each, and how long ago that was by the monotonic clock.
//!
//! Whether this node's clock is right is not judged here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{DATE, HeaderMap};

use super::url::PeerUrl;
use crate::domain::clock::PeerTime;
use crate::domain::{Span, Timestamp};

/// An answer that is older says nothing any more.
const FRESH: Duration = Duration::from_secs(6 * 3_600);
/// Nodes that are remembered at most.
const MOST: usize = 1_000;

/// Cloning it shares what is known.
#[derive(Debug, Clone, Default)]
pub struct Dates(Arc<Mutex<BTreeMap<String, Said>>>);

#[derive(Debug, Clone, Copy)]
struct Said {
    date: Timestamp,
    heard: Instant,
    is_local: bool,
}

impl Dates {
    /// An answer has come from there.
    pub(super) fn hear(&self, url: &Url, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| httpdate(date.to_str().ok()?));
        let (Some(date), Some((host, name))) = (date, named(url)) else { return };
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_local = ip.map_or(host == "localhost" || host.ends_with(".localhost"), |ip| ip.is_loopback());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST || all.contains_key(&name) {
            all.insert(name, Said { date, heard: Instant::now(), is_local });
        }
    }

    /// What time it is by all other nodes than this one, which is what its word about the time is held against: of all that they say
    /// what lies in the middle, the earlier of two. Nothing where no other has answered.
    pub fn of_others(&self, peer: &PeerUrl) -> Option<Timestamp> {
        let (_, own) = named(peer.base())?;
        let mut others: Vec<Timestamp> =
            self.now().into_iter().filter(|other| other.name != own).map(|other| other.wall).collect();
        others.sort_unstable();
        others.get(others.len().checked_sub(1)? / 2).copied()
    }

    /// What their clocks say now, if they have gone on since.
    pub fn now(&self) -> Vec<PeerTime> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, said| said.heard.elapsed() <= FRESH);
        let since = |heard: Instant| Span::from_us(i64::try_from(heard.elapsed().as_micros()).unwrap_or(i64::MAX));
        let now = |said: &Said| said.date + since(said.heard);
        all.iter()
            .map(|(name, said)| PeerTime { name: name.clone(), wall: now(said), is_local: said.is_local })
            .collect()
    }
}

/// The host of an address, and the name under which its clock is remembered.
fn named(url: &Url) -> Option<(&str, String)> {
    let host = url.host_str()?;
    Some((host, url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, as every server writes it.
fn httpdate(text: &str) -> Option<Timestamp> {
    let time = chrono::NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    Some(Timestamp::from_us(time.and_utc().timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_of_each_node_counts() {
        let dates = Dates::default();
        let headers = |date: &str| HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
        let (one, other) =
            (Url::parse("http://127.0.0.1:8080/files").unwrap(), Url::parse("https://b.example/").unwrap());
        dates.hear(&one, &headers("Sun, 06 Nov 1994 08:49:37 GMT"));
        dates.hear(&one, &headers("Sun, 06 Nov 1994 08:49:47 GMT"));
        dates.hear(&other, &headers("Sun, 06 Nov 1994 08:49:37 GMT"));
        dates.hear(&other, &headers("yesterday"));
        let now = dates.now();
        assert_eq!(
            now.iter().map(|peer| (peer.name.as_str(), peer.is_local)).collect::<Vec<_>>(),
            [("127.0.0.1:8080", true), ("b.example", false)]
        );
        assert!(now[0].wall >= Timestamp::parse("1994-11-06T08:49:47").unwrap());
        assert!(now[1].wall < Timestamp::parse("1994-11-06T08:49:47").unwrap());
        let peer = |address: &str| PeerUrl::parse(address).unwrap();
        assert_eq!(dates.of_others(&peer("http://127.0.0.1:8080")).map(|time| time >= now[0].wall), Some(false));
        let others = dates.of_others(&peer("https://b.example"));
        assert!(others >= Some(now[0].wall), "not its own clock");
        assert!(dates.of_others(&peer("http://c.example")) < others, "the earlier of two");
        assert_eq!(Dates::default().of_others(&peer("http://c.example")), None);
    }
}
