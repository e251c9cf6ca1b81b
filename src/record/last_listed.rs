//! Which of the playlists of one quality has listed a segment last: that one says whether it is missing.
//!
//! Where an address with a token in its path is replaced, the same segments are listed under both; what the old address gives up, the new one brings.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Segments that are remembered: more than two windows of all real servers.
const REMEMBERED: usize = 4096;

/// A playlist that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowedId(u64);

/// Its number in the playlist, and what it is called there.
pub type ListedName = (u64, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct LastListed(Mutex<Listings>);

#[derive(Debug, Default)]
struct Listings {
    playlists: u64,
    by_name: HashMap<ListedName, FollowedId>,
}

impl LastListed {
    pub fn new_playlist(&self) -> FollowedId {
        let mut listings = self.0.lock();
        listings.playlists += 1;
        FollowedId(listings.playlists)
    }

    pub fn listed(&self, by: FollowedId, names: impl Iterator<Item = ListedName>) {
        let mut listings = self.0.lock();
        for name in names {
            if listings.by_name.len() >= REMEMBERED {
                listings.by_name.clear();
            }
            listings.by_name.insert(name, by);
        }
    }

    /// Another playlist has listed it since.
    pub fn is_taken_over(&self, by: FollowedId, name: ListedName) -> bool {
        self.0.lock().by_name.get(&name).is_some_and(|last| *last != by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_that_listed_it_answers_for_it() {
        let all = LastListed::default();
        let (old, new) = (all.new_playlist(), all.new_playlist());
        all.listed(old, [(1, 7), (2, 8)].into_iter());
        all.listed(new, [(2, 8), (3, 9)].into_iter());
        assert!(!all.is_taken_over(old, (1, 7)) && all.is_taken_over(old, (2, 8)) && !all.is_taken_over(new, (2, 8)));
        assert!(!all.is_taken_over(old, (2, 7)), "another segment of that number");
    }

    #[test]
    fn memory_is_bounded() {
        let all = LastListed::default();
        let one = all.new_playlist();
        all.listed(one, (0..100_000).map(|number| (number, number)));
        assert!(all.0.lock().by_name.len() <= REMEMBERED);
    }
}
