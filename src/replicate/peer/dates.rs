//! What other nodes say of the time: the `Date` of the last answer of each, and how long ago that was by the monotonic clock.
//!
//! This node's own answers say nothing about its clock, and what else answers on this machine goes by the same one: both are told apart
//! here. Whether this node's clock is right is not judged here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use reqwest::Url;
use reqwest::header::{DATE, HeaderMap};

use super::url::PeerUrl;
use crate::archive::clock::PeerTime;
use crate::archive::{Span, Timestamp};

/// An answer that is older says nothing any more.
const FRESH: Duration = Duration::from_secs(6 * 3_600);
/// Nodes that are remembered at most.
const MOST: usize = 1_000;

#[derive(Debug, Clone, Default)]
pub struct Dates {
    instance: Option<u64>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    said: BTreeMap<String, Said>,
    /// Names under which this process itself answers.
    ourselves: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    date: Timestamp,
    heard: Instant,
    is_local: bool,
}

impl Dates {
    pub fn of(instance: u64) -> Self {
        Self { instance: Some(instance), ..Self::default() }
    }

    /// The process that answers at this address has this number. This one's own clock is no witness of itself, under whatever name.
    pub fn identify(&self, peer: &PeerUrl, process: Option<u64>) {
        let (Some(own), Some((_, name))) = (self.instance, named(peer.base())) else { return };
        let mut heard = self.heard.lock();
        if process == Some(own) {
            heard.said.remove(&name);
            heard.ourselves.insert(name);
        } else {
            heard.ourselves.remove(&name);
        }
    }

    /// An answer to a request for this address has come from that one.
    pub(super) fn hear(&self, url: &Url, from: Option<SocketAddr>, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| httpdate(date.to_str().ok()?));
        let (Some(date), Some((_, name))) = (date, named(url)) else { return };
        let said = Said { date, heard: Instant::now(), is_local: from.is_none_or(is_ours) };
        let mut heard = self.heard.lock();
        let has_room = heard.said.len() < MOST || heard.said.contains_key(&name);
        if has_room && !heard.ourselves.contains(&name) {
            heard.said.insert(name, said);
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

    /// By how much this node's clock is ahead of that one, by its last answer.
    pub fn ahead_of(&self, peer: &PeerUrl) -> Option<Span> {
        let (_, name) = named(peer.base())?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let theirs = self.now().into_iter().find(|other| other.name == name)?;
        Some(Timestamp::from_us(i64::try_from(now.as_micros()).ok()?) - theirs.wall)
    }

    /// What their clocks say now, if they have gone on since.
    pub fn now(&self) -> Vec<PeerTime> {
        let all = &mut self.heard.lock().said;
        all.retain(|_, said| said.heard.elapsed() <= FRESH);
        let since = |heard: Instant| Span::from_us(i64::try_from(heard.elapsed().as_micros()).unwrap_or(i64::MAX));
        let now = |said: &Said| said.date + since(said.heard);
        all.iter()
            .map(|(name, said)| PeerTime { name: name.clone(), wall: now(said), is_local: said.is_local })
            .collect()
    }
}

/// Whether an address is one of this machine's, whatever it is called: only those can be bound to. Where that cannot be found out
/// it counts as one, and as no witness for this machine's clock.
fn is_ours(mut address: SocketAddr) -> bool {
    address.set_port(0);
    UdpSocket::bind(address).map_or_else(|error| error.kind() != ErrorKind::AddrNotAvailable, |_| true)
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

    fn headers(date: &str) -> HeaderMap {
        HeaderMap::from_iter([(DATE, date.parse().unwrap())])
    }

    /// Who is known, and whether it is on this machine.
    fn known(dates: &Dates) -> Vec<(String, bool)> {
        dates.now().into_iter().map(|peer| (peer.name, peer.is_local)).collect()
    }

    #[test]
    fn what_answers_on_this_machine_is_local_whatever_it_is_called() {
        // No packet is sent: the kernel only says by which of its addresses it would be.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let lan = socket.connect("192.0.2.7:9").and_then(|()| socket.local_addr()).ok();
        let (near, far) = (lan.or_else(|| "127.0.0.1:80".parse().ok()), "192.0.2.7:80".parse().ok());
        for (from, is_local) in [(near, true), ("127.0.0.1:80".parse().ok(), true), (None, true), (far, false)] {
            let dates = Dates::default();
            let url = Url::parse("http://archive.example/files").unwrap();
            dates.hear(&url, from, &headers("Sun, 06 Nov 1994 08:49:37 GMT"));
            assert_eq!(known(&dates), [("archive.example".to_owned(), is_local)], "{from:?}");
        }
    }

    #[test]
    fn this_process_is_no_witness_of_its_own_clock() {
        let (dates, far) = (Dates::of(7), "192.0.2.7:80".parse().ok());
        let peer = PeerUrl::parse("http://archive.example").unwrap();
        let hear = || dates.hear(peer.base(), far, &headers("Sun, 06 Nov 1994 08:49:37 GMT"));
        hear();
        dates.clone().identify(&peer, Some(7));
        assert_eq!(known(&dates), []);
        hear();
        assert_eq!(known(&dates), [], "nor later");
        dates.identify(&peer, Some(8));
        hear();
        assert_eq!(known(&dates), [("archive.example".to_owned(), false)], "another process took its place");
    }

    #[test]
    fn the_last_answer_of_each_node_counts() {
        let dates = Dates::default();
        let (loopback, far) = ("127.0.0.1:8080".parse().ok(), "192.0.2.7:443".parse().ok());
        let (one, other) =
            (Url::parse("http://127.0.0.1:8080/files").unwrap(), Url::parse("https://b.example/").unwrap());
        dates.hear(&one, loopback, &headers("Sun, 06 Nov 1994 08:49:37 GMT"));
        dates.hear(&one, loopback, &headers("Sun, 06 Nov 1994 08:49:47 GMT"));
        dates.hear(&other, far, &headers("Sun, 06 Nov 1994 08:49:37 GMT"));
        dates.hear(&other, far, &headers("yesterday"));
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
