//! Places for those who stay: listeners and long polls. Each costs a connection and is woken by each commit, so there are few, and no
//! client has all of them.
//!
//! 1. A client has its share of them. One that wants more gives up the place that it has held longest, if it was held for a while: a
//!    page that was forgotten makes room for the one that is looked at, and nobody is sent around in circles.
//! 2. When all are taken, whoever holds the most gives one up to somebody who holds fewer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::auth::{Auth, Permission, TokenDigest};

/// Who counts as one: an address, and apart from others there whoever shows a token, because behind a proxy all have the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Client {
    network: u128,
    token: Option<TokenDigest>,
}

impl Client {
    /// Whoever sent a request.
    pub(super) async fn of(auth: &Arc<Auth>, request: &Parts) -> Self {
        let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let known = auth.right(&request.headers, peer).await > Permission::None;
        let token = if known { Auth::shown(&request.headers) } else { None };
        Self { network: peer.map_or(0, |peer| network(peer.0.ip())), token }
    }
}

/// What one client can have at most of addresses: one of IPv4, and of IPv6 the 64 bits that a subscriber is given at least.
pub(super) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

/// All places of a kind.
#[derive(Debug)]
pub(super) struct ListenerSeats {
    places: ClientSeats,
    taken: Mutex<(u64, BTreeMap<u64, SeatHolder>)>,
}

#[derive(Debug)]
struct SeatHolder {
    client: Client,
    since: Instant,
    leave: CancellationToken,
}

/// A place; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<ListenerSeats>,
    id: u64,
    /// It is wanted for somebody else.
    pub(super) leave: CancellationToken,
}

impl ListenerSeats {
    pub(super) fn new(places: ClientSeats) -> Arc<Self> {
        Arc::new(Self { places, taken: Mutex::default() })
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.taken.lock().1.len()
    }

    /// How many there are.
    pub(super) fn places(&self) -> ClientSeats {
        self.places
    }

    /// A place for this client, if it may have one now; somebody else may have to leave theirs.
    pub(super) fn take(self: &Arc<Self>, client: Client) -> Option<Seat> {
        let mut taken = self.taken.lock();
        let (next, holders) = &mut *taken;
        let list: Vec<TakenSeat<Client>> = holders
            .iter()
            .map(|(id, holder)| TakenSeat { client: holder.client, id: *id, held: holder.since.elapsed() })
            .collect();
        match decide(&list, client, &self.places) {
            SeatVerdict::Full => return None,
            SeatVerdict::Free => {}
            SeatVerdict::InPlaceOf(id) => {
                if let Some(holder) = holders.remove(&id) {
                    holder.leave.cancel();
                }
            }
        }
        let (id, leave) = (*next, CancellationToken::new());
        *next += 1;
        holders.insert(id, SeatHolder { client, since: Instant::now(), leave: leave.clone() });
        Some(Seat { seats: Arc::clone(self), id, leave })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.lock().1.remove(&self.id);
    }
}

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSeats {
    /// In all.
    pub total: usize,
    /// For one client.
    pub each: usize,
    /// How long a place is held at least against other wishes of the same client.
    pub tenure: Duration,
}

/// A place that is taken.
#[derive(Debug, Clone, Copy)]
pub struct TakenSeat<C> {
    /// By whom.
    pub client: C,
    /// Which; later ones have greater numbers.
    pub id: u64,
    /// For how long.
    pub held: Duration,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatVerdict {
    /// There is room.
    Free,
    /// In the place of this one.
    InPlaceOf(u64),
    /// Not now.
    Full,
}

/// Decides about the wish of `client` among those that are taken.
pub fn decide<C: Copy + Eq + Hash>(taken: &[TakenSeat<C>], client: C, places: &ClientSeats) -> SeatVerdict {
    let of_client = || taken.iter().filter(|seat| seat.client == client);
    let own = of_client().count();
    if own >= places.each.min(places.total) {
        let rested = of_client().min_by_key(|seat| seat.id).filter(|seat| seat.held >= places.tenure);
        return rested.map_or(SeatVerdict::Full, |seat| SeatVerdict::InPlaceOf(seat.id));
    }
    if taken.len() < places.total {
        return SeatVerdict::Free;
    }
    let mut held: HashMap<C, (usize, Reverse<u64>)> = HashMap::new();
    for seat in taken {
        let (count, oldest) = held.entry(seat.client).or_insert((0, Reverse(seat.id)));
        (*count, *oldest) = (*count + 1, (*oldest).max(Reverse(seat.id)));
    }
    // Of those who hold equally many the one who has held longest.
    match held.into_values().max() {
        Some((most, Reverse(oldest))) if most > own + 1 => SeatVerdict::InPlaceOf(oldest),
        _ => SeatVerdict::Full,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_that_is_given_up_or_taken_away_is_free() {
        let seats = ListenerSeats::new(ClientSeats { total: 2, each: 1, tenure: Duration::ZERO });
        let client = |address: &str| Client { network: network(address.parse().unwrap()), token: None };
        let first = seats.take(client("192.0.2.1")).unwrap();
        let second = seats.take(client("::ffff:192.0.2.1")).unwrap();
        assert!(first.leave.is_cancelled() && !second.leave.is_cancelled());
        let other = seats.take(client("2001:db8::1")).unwrap();
        assert!(seats.take(client("2001:db8:1::1")).is_none(), "all have one");
        drop(first);
        assert!(seats.take(client("2001:db8:1::1")).is_none(), "what was taken away is not given up twice");
        drop(second);
        assert!(seats.take(client("2001:db8:1::1")).is_some());
        let same = seats.take(client("2001:db8::ffff:1")).unwrap();
        assert!(other.leave.is_cancelled() && !same.leave.is_cancelled(), "a network of 64 bits is one client");
    }

    const PLACES: ClientSeats = ClientSeats { total: 6, each: 4, tenure: Duration::from_secs(30) };

    fn taken(clients: &str, seconds: u64) -> Vec<TakenSeat<char>> {
        let held = Duration::from_secs(seconds);
        clients.chars().zip(0..).map(|(client, id)| TakenSeat { client, id, held }).collect()
    }

    #[test]
    fn a_client_has_its_share_and_the_one_with_most_makes_room() {
        for (held, seconds, client, right) in [
            ("", 0, 'a', SeatVerdict::Free),
            ("aaa", 0, 'a', SeatVerdict::Free),
            ("aaaa", 0, 'a', SeatVerdict::Full),
            ("baaaa", 30, 'a', SeatVerdict::InPlaceOf(1)),
            ("aaaa", 0, 'b', SeatVerdict::Free),
            ("aaaabb", 0, 'c', SeatVerdict::InPlaceOf(0)),
            ("bbaaaa", 0, 'b', SeatVerdict::InPlaceOf(2)),
            ("aaabbb", 0, 'c', SeatVerdict::InPlaceOf(0)),
            ("abcdef", 99, 'g', SeatVerdict::Full),
            ("abcdef", 99, 'a', SeatVerdict::Full),
        ] {
            assert_eq!(decide(&taken(held, seconds), client, &PLACES), right, "{held} {client}");
        }
    }

    proptest! {
        #[test]
        fn whoever_holds_fewer_than_the_greediest_by_two_gets_one(wishes in "[a-d]{0,60}", newcomer in "[a-z]") {
            let mut held: Vec<TakenSeat<char>> = Vec::new();
            for (client, id) in wishes.chars().zip(0..) {
                match decide(&held, client, &PLACES) {
                    SeatVerdict::Full => continue,
                    SeatVerdict::Free => {}
                    SeatVerdict::InPlaceOf(gone) => held.retain(|seat| seat.id != gone),
                }
                held.push(TakenSeat { client, id, held: Duration::ZERO });
                prop_assert!(held.len() <= PLACES.total);
            }
            let count = |client| held.iter().filter(|seat| seat.client == client).count();
            let client = newcomer.chars().next().unwrap();
            let most = ('a'..='d').map(count).max().unwrap_or_default();
            if count(client) < PLACES.each && (held.len() < PLACES.total || most > count(client) + 1) {
                prop_assert_ne!(decide(&held, client, &PLACES), SeatVerdict::Full);
            }
        }
    }
}
