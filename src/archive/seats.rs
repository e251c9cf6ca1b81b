//! Who gets a place where places are few and are held for long: those who listen, and those who wait for changes.
//!
//! 1. A client has its share of them. One that wants more gives up the place that it has held longest, if it was held for a while: a
//!    page that was forgotten makes room for the one that is looked at, and nobody is sent around in circles.
//! 2. When all are taken, whoever holds the most gives one up to somebody who holds fewer.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

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
