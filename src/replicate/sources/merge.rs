//! The entries of all sources as one list of peers: each once, this node itself left out. Pure.
//!
//! 1. On equal names the later source wins, and within a source the later line.
//! 2. An address is asked by one worker only: of several names for it a given one beats none, and then the later one.
//! 3. This node is left out by its address where that is certain. Under other names of its host it is recognised by the random number
//!    in its digests, which is not done here. Its name proves nothing: two machines may have one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::entry::SourceEntry;
use crate::replicate::peer::{Peer, PeerUrl};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnNode {
    /// Where it listens; none if it does not.
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    All,
    None,
    Names(BTreeSet<String>),
}

impl OwnNode {
    fn is(&self, entry: &SourceEntry) -> bool {
        self.listen.is_some_and(|listen| leads_to(&entry.url, listen))
    }
}

/// Whether this address is certainly the one that is listened on.
fn leads_to(url: &PeerUrl, listen: SocketAddr) -> bool {
    let is_here = |ip: IpAddr| {
        let (ip, own) = (ip.to_canonical(), listen.ip().to_canonical());
        // Who listens everywhere listens on the loopback, too; and a host connects to itself by 0.0.0.0.
        ip == own || (own.is_unspecified() && ip.is_loopback()) || (ip.is_unspecified() && own.is_loopback())
    };
    let host = url.host();
    let leads_here = if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
        is_here(ip)
    } else {
        let own = listen.ip().to_canonical();
        host.eq_ignore_ascii_case("localhost") && (own.is_loopback() || own.is_unspecified())
    };
    leads_here && url.port() == listen.port()
}

impl Trust {
    /// Reads `all`, `none`, or names.
    pub fn parse(names: &[String]) -> Self {
        match names {
            [] => Self::All,
            [one] if one == "all" => Self::All,
            [one] if one == "none" => Self::None,
            names => Self::Names(names.iter().cloned().collect()),
        }
    }

    /// Whether a node of this name is trusted.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Names(names) => names.contains(name),
        }
    }
}

/// One list of what these sources say, the later ones last, in order of names.
pub fn merge<'a>(sources: impl IntoIterator<Item = &'a [SourceEntry]>, own: &OwnNode, trust: &Trust) -> Vec<Peer> {
    let mut by_name: BTreeMap<&str, (usize, &SourceEntry)> = BTreeMap::new();
    for (place, entry) in sources.into_iter().flatten().enumerate() {
        by_name.insert(&entry.name, (place, entry));
    }
    let mut by_url: HashMap<&PeerUrl, (bool, usize, &SourceEntry)> = HashMap::new();
    for (place, entry) in by_name.into_values().filter(|(_, entry)| !own.is(entry)) {
        let best = by_url.entry(&entry.url).or_insert((entry.is_named, place, entry));
        if (entry.is_named, place) > (best.0, best.1) {
            *best = (entry.is_named, place, entry);
        }
    }
    let peer = |entry: &SourceEntry| Peer {
        name: entry.name.clone(),
        url: entry.url.clone(),
        trusted: trust.has(&entry.name),
    };
    let mut peers: Vec<Peer> = by_url.into_values().map(|(.., entry)| peer(entry)).collect();
    peers.sort_by(|a, b| a.name.cmp(&b.name));
    peers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(texts: &[&str]) -> Vec<SourceEntry> {
        texts.iter().map(|text| SourceEntry::parse(text).unwrap()).collect()
    }

    fn own(listen: &str) -> OwnNode {
        OwnNode { listen: Some(listen.parse().unwrap()) }
    }

    fn merged(sources: &[&[&str]]) -> Vec<String> {
        let sources: Vec<Vec<SourceEntry>> = sources.iter().map(|texts| entries(texts)).collect();
        let peers = merge(sources.iter().map(Vec::as_slice), &own("192.0.2.1:8000"), &Trust::All);
        peers.into_iter().map(|peer| format!("{}={}", peer.name, peer.url)).collect()
    }

    #[test]
    fn later_sources_win_on_equal_names() {
        assert_eq!(
            merged(&[
                &["a=http://h1", "b=http://h2"],
                &["b=http://h3", "c=http://h4"],
                &["c=http://h5", "c=http://h6"]
            ]),
            ["a=http://h1", "b=http://h3", "c=http://h6"]
        );
    }

    #[test]
    fn an_address_is_asked_once_under_the_name_that_was_given_last() {
        assert_eq!(
            merged(&[&["a=http://x", "http://y"], &["b=http://x/", "y=http://y"]]),
            ["b=http://x", "y=http://y"]
        );
        // A name is worth more than a later line without one.
        assert_eq!(merged(&[&["a=http://x"], &["http://x:80"]]), ["a=http://x"]);
        // A name that leads elsewhere now does not hold its old address.
        assert_eq!(merged(&[&["a=http://x", "http://x"], &["a=http://z"]]), ["a=http://z", "http://x=http://x"]);
    }

    #[test]
    fn this_node_is_left_out_by_its_address_and_another_of_its_name_is_not() {
        let kept = merged(&[&[
            "me=http://elsewhere",
            "x=http://192.0.2.1:8000/p",
            "y=http://192.0.2.1:8001",
            "z=http://localhost:8000",
        ]]);
        assert_eq!(kept, ["me=http://elsewhere", "y=http://192.0.2.1:8001", "z=http://localhost:8000"]);
        for (listen, url, is_own) in [
            ("0.0.0.0:80", "http://127.0.0.1", true),
            ("0.0.0.0:8000", "http://127.3.2.1:8000", true),
            ("0.0.0.0:8000", "http://LOCALHOST:8000", true),
            ("0.0.0.0:8000", "http://192.0.2.1:8000", false),
            ("[::]:8000", "http://[::1]:8000", true),
            ("[::]:8000", "http://127.0.0.1:8000", true),
            ("[::ffff:192.0.2.1]:8000", "http://192.0.2.1:8000", true),
            ("127.0.0.1:8000", "http://localhost:8000", true),
            ("127.0.0.1:8000", "http://0.0.0.0:8000", true),
            ("127.0.0.1:8000", "http://127.0.0.1:8001", false),
            ("127.0.0.1:8000", "http://127.0.0.2:8000", false),
            ("127.0.0.1:443", "https://127.0.0.1", true),
        ] {
            let entry = SourceEntry::parse(url).unwrap();
            assert_eq!(own(listen).is(&entry), is_own, "{listen} and {url}");
        }
        let nobody = OwnNode { listen: None };
        assert!(!nobody.is(&SourceEntry::parse("http://127.0.0.1:8000").unwrap()));
    }

    #[test]
    fn trust_is_given_by_name() {
        let texts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let trusted = |trust: &Trust| {
            let entries = entries(&["a=http://a", "b=http://b"]);
            merge([&*entries], &own("127.0.0.1:1"), trust).iter().map(|peer| peer.trusted).collect::<Vec<_>>()
        };
        assert_eq!(trusted(&Trust::parse(&texts(&["all"]))), [true, true]);
        assert_eq!(trusted(&Trust::parse(&texts(&["none"]))), [false, false]);
        assert_eq!(trusted(&Trust::parse(&texts(&["b", "c"]))), [false, true]);
        // Who is called "all" beside others is one of them.
        assert_eq!(trusted(&Trust::parse(&texts(&["all", "b"]))), [false, true]);
    }

    fn some_entries() -> impl Strategy<Value = Vec<Vec<SourceEntry>>> {
        let entry = (prop::option::of("[a-e]"), "[v-z]")
            .prop_map(|(name, host)| SourceEntry::new(name.as_deref(), &format!("http://{host}")).unwrap());
        prop::collection::vec(prop::collection::vec(entry, 0..8), 0..4)
    }

    proptest! {
        #[test]
        fn each_name_and_address_comes_once_and_from_the_last_who_named_it(sources in some_entries()) {
            let own = OwnNode { listen: None };
            let peers = merge(sources.iter().map(Vec::as_slice), &own, &Trust::All);
            let all: Vec<&SourceEntry> = sources.iter().flatten().collect();
            let names: BTreeSet<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
            let urls: BTreeSet<String> = peers.iter().map(|peer| peer.url.to_string()).collect();
            prop_assert_eq!((names.len(), urls.len()), (peers.len(), peers.len()));
            for peer in &peers {
                let last = all.iter().rfind(|entry| entry.name == peer.name).unwrap();
                prop_assert_eq!(&last.url, &peer.url);
            }
            // What is left out is this node, or had its name taken by a later one.
            for entry in &all {
                let is_last = all.iter().rfind(|other| other.name == entry.name).unwrap().url == entry.url;
                prop_assert!(!is_last || urls.contains(&entry.url.to_string()));
            }
        }

        #[test]
        fn merging_what_was_merged_changes_nothing(sources in some_entries()) {
            let own = OwnNode { listen: None };
            let peers = merge(sources.iter().map(Vec::as_slice), &own, &Trust::All);
            let again: Vec<SourceEntry> = peers.iter()
                .map(|peer| SourceEntry { name: peer.name.clone(), url: peer.url.clone(), is_named: peer.name.len() == 1 }).collect();
            prop_assert_eq!(merge([&*again], &own, &Trust::All), peers);
        }
    }
}
