//! Bounds the tombstones for names that are not here: each is a file, and a peer can make up as many names as it likes.
//!
//! They take a block each of what the peer may fill (`budget`), and no inodes that are to stay free. Those for which there is no room wait as
//! long as the peer lists them: what they would hide is fetched from nobody. Tombstones for what is here are none of these.

use std::collections::HashSet;
use std::sync::Arc;

use super::error::RoundError;
use super::shared::Shared;
use crate::archive::blocks::BLOCK;
use crate::archive::origins::GiftedHour;
use crate::archive::{HourContents, HourPlace, SegmentFile, name};
use crate::sync::crawl::{Allowance, FetchInProgress};

/// Those of a peer's tombstones of an hour.
#[derive(Default)]
pub(super) struct UnseenNames {
    names: HashSet<Box<str>>,
    /// Those that wait for room.
    pub(super) waiting: Vec<Box<str>>,
    /// What is wrong, where it is not the peer's budget.
    pub(super) error: Option<RoundError>,
    filling: Option<FetchInProgress>,
}

impl UnseenNames {
    /// Finds them, and takes those from the tombstones for which there is no room. Blocks.
    pub(super) fn of(
        shared: &Shared,
        peer: &str,
        place: &HourPlace,
        tombstones: &mut Vec<SegmentFile>,
    ) -> Result<Self, RoundError> {
        let local = shared.keeper.answer(place)?.contents;
        let mut names = not_here(&local, tombstones);
        if names.is_empty() {
            return Ok(Self::default());
        }
        let is_empty = local.files().iter().all(|file| file.key.tombstone);
        let room = usize::try_from(room(shared, peer, place, is_empty)? / BLOCK).unwrap_or(usize::MAX);
        let mut waiting = names.split_off(room.min(names.len()));
        let mut error = None;
        if let Err(no_inodes) = shared.inodes_for(names.len() as u64) {
            // Rarely: then none of them is taken at all.
            waiting.append(&mut names);
            error = Some(no_inodes);
        }
        let waits: HashSet<&str> = waiting.iter().map(|name| &**name).collect();
        tombstones.retain(|file| !waits.contains(file.name().as_str()));
        let filling = if names.is_empty() {
            None
        } else {
            Some(shared.keeper.fill(peer, place, is_empty, &Allowance::Unbounded)?)
        };
        Ok(Self { names: names.into_iter().collect(), waiting, error, filling })
    }

    /// These tombstones are about to be written. Blocks.
    pub(super) fn book<'n>(&self, written: impl IntoIterator<Item = &'n Box<str>>) -> Result<(), RoundError> {
        let given = self.among(written);
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.book(&given))?)
    }

    /// These were not written after all. Blocks.
    pub(super) fn take_back<'n>(&self, unwritten: impl IntoIterator<Item = &'n Box<str>>) -> Result<(), RoundError> {
        let given = self.among(unwritten);
        Ok(self.filling.as_ref().map_or(Ok(()), |filling| filling.take_back(&given))?)
    }

    fn among<'n>(&self, names: impl IntoIterator<Item = &'n Box<str>>) -> GiftedHour {
        let tombstones = names.into_iter().filter(|name| self.names.contains(*name)).count() as u64;
        GiftedHour { tombstones, ..GiftedHour::default() }
    }
}

/// The names of those tombstones that hide nothing under their own name, and are new.
fn not_here(local: &HourContents, tombstones: &[SegmentFile]) -> Vec<Box<str>> {
    let here: HashSet<String> = local.files().iter().map(|file| name::stem(&file.name()).to_owned()).collect();
    let names = tombstones.iter().map(|file| file.name().into_boxed_str());
    names.filter(|name| !here.contains(name::stem(name))).collect()
}

/// Bytes of the disk that the peer may still fill in this hour.
fn room(shared: &Shared, peer: &str, place: &HourPlace, is_empty: bool) -> Result<u64, RoundError> {
    let keeper: &Arc<_> = &shared.keeper;
    let in_budget = match keeper.allowance(peer, &place.stream, &shared.options.strangers)? {
        Allowance::Unbounded => u64::MAX,
        Allowance::Bytes(left) => left,
        Allowance::Full(_) => 0,
    };
    let is_own = !is_empty && !keeper.would_be_fetched(place);
    let beside_own = if is_own { shared.options.keeps.room_beside_own(place) } else { u64::MAX };
    Ok(in_budget.min(beside_own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_names_of_which_nothing_is_here_are_made_up() {
        let name = |second: u8, extension: &str| {
            format!("00:{second:02}.0-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.{extension}")
        };
        let of = |names: &[String]| HourContents::from_names(names.iter().map(|file| (&**file, 0)));
        let local = of(&[name(1, "ts"), name(2, "tombstone"), name(3, "ts"), name(3, "tombstone")]);
        let listed: Vec<String> = (1..6).map(|second| name(second, "tombstone")).collect();
        let found = not_here(&local, of(&listed).files());
        assert_eq!(found, [name(4, "tombstone").into_boxed_str(), name(5, "tombstone").into_boxed_str()]);
    }
}
