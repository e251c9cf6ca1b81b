//! Places for those who stay: listeners and long polls. Each costs a connection and is woken by each commit, so there are few, and no
//! client has all of them. Who gets one is decided in [`crate::archive::seats`]; this keeps the list.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::auth::{Auth, Permission, TokenDigest};
use crate::archive::seats::{ClientSeats, SeatVerdict, TakenSeat, decide};

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
    taken: Mutex<(u64, BTreeMap<u64, Holder>)>,
}

#[derive(Debug)]
struct Holder {
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
        holders.insert(id, Holder { client, since: Instant::now(), leave: leave.clone() });
        Some(Seat { seats: Arc::clone(self), id, leave })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.lock().1.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
