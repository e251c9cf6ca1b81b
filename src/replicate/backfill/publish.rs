//! Makes files of a peer visible. What others have to know about a file is noted once it was found to hold what its name says, and before it
//! appears.
//!
//! No later, because whoever sees it first must know that a peer gave it, and a process that is killed must not forget it. No sooner, because
//! a peer can offer whatever name it likes: what is recorded under that name later would count as given by the peer.

use super::error::RoundError;
use super::fetch::is_there;
use super::fetch_outcome::looked_at;
use super::shared::Shared;
use super::targets::HourTarget;
use crate::archive::origins::GiftedHour;
use crate::disk::{DownloadError, Published, Verified};
use crate::sync::crawl::{CrawlError, Keeper};

/// What became of a file.
pub(super) type PublishOutcome = Result<Published, DownloadError>;

/// Publishes files of an hour, for each of which there is room in the target: tells `note` which of them are about to appear, books
/// them, and has them made visible by `finish`. Tells of each what became of it, in the same order. Blocks.
pub(super) fn publish(
    (keeper, target): (&Keeper, &HourTarget),
    files: Vec<(&str, Verified)>,
    note: impl FnOnce(&[&str]) -> Result<(), CrawlError>,
    finish: impl FnOnce(Vec<Verified>) -> Result<Vec<PublishOutcome>, DownloadError>,
) -> Result<Vec<PublishOutcome>, RoundError> {
    let sizes: Vec<u64> = files.iter().map(|(_, file)| file.bytes()).collect();
    let done = try_to_publish((keeper, target), files, note, finish);
    let appeared = |number: usize| match &done {
        Ok(outcomes) => matches!(outcomes.get(number), Some(Ok(Published::New))),
        Err(_) => false,
    };
    for (_, bytes) in sizes.iter().enumerate().filter(|(number, _)| !appeared(*number)) {
        target.give_back(*bytes);
    }
    done
}

fn try_to_publish(
    (keeper, target): (&Keeper, &HourTarget),
    files: Vec<(&str, Verified)>,
    note: impl FnOnce(&[&str]) -> Result<(), CrawlError>,
    finish: impl FnOnce(Vec<Verified>) -> Result<Vec<PublishOutcome>, DownloadError>,
) -> Result<Vec<PublishOutcome>, RoundError> {
    let (mut names, mut gifts, mut verified) = (Vec::new(), Vec::with_capacity(files.len()), Vec::new());
    for (name, file) in files {
        // A recorder may have written it while it was fetched: then nobody gives it.
        let gift = (!is_there(&target.dir, name)?).then_some(file.bytes());
        names.extend(gift.map(|_| name));
        gifts.push(gift);
        verified.push(file);
    }
    note(&names)?;
    target.book(&sum(gifts.iter().flatten()))?;
    // Where this fails as a whole some of them may be visible: they stay booked.
    let outcomes: Vec<PublishOutcome> =
        finish(verified)?.into_iter().map(|outcome| looked_at(keeper, outcome)).collect();
    let in_vain = gifts.iter().zip(&outcomes).filter(|(_, outcome)| !matches!(outcome, Ok(Published::New)));
    target.take_back(&sum(in_vain.filter_map(|(gift, _)| gift.as_ref())))?;
    Ok(outcomes)
}

fn sum<'b>(sizes: impl Iterator<Item = &'b u64>) -> GiftedHour {
    sizes.fold(GiftedHour::default(), |sum, bytes| sum + GiftedHour { files: 1, bytes: *bytes, tombstones: 0 })
}

/// Notes that these files of a peer are about to appear. Blocks.
pub(super) fn note(shared: &Shared, peer: &str, target: &HourTarget, names: &[&str]) -> Result<(), CrawlError> {
    let names = || names.iter().copied();
    // The watcher may see them first.
    shared.keeper.index().expect_from(peer, &target.place, names());
    shared.arrivals.note(&target.place, names());
    shared.keeper.note_gifts(&target.place, peer, names())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sha2::{Digest as _, Sha256};

    use super::super::targets::Targets;
    use super::*;
    use crate::archive::{Hash, HourPlace};
    use crate::disk::{ArchiveId, Base, BaseGuard, BaseIdentity, Download, marker};
    use crate::index::{Index, IndexOptions};
    use crate::sync::crawl::Allowance;

    /// What came under the name of a file that holds `says`.
    fn fetched(target: &HourTarget, says: &str, holds: &str) -> (String, Result<Verified, DownloadError>) {
        let named = Hash(Sha256::digest(says).into());
        let name = format!("00:00-2.0-full-{named}.ts");
        let mut download = Download::begin(Arc::clone(&target.dir), &name).unwrap();
        download.write(holds.as_bytes()).unwrap();
        (name, download.verify(&named))
    }

    fn each(files: Vec<Verified>) -> Vec<PublishOutcome> {
        files.into_iter().map(Verified::finish).collect()
    }

    #[test]
    fn only_what_is_right_and_new_is_noted_as_given_and_before_it_appears() {
        let tree = tempfile::tempdir().unwrap();
        let base = Base::open(tree.path()).unwrap();
        marker::create(&base, ArchiveId::random()).unwrap();
        let index =
            Arc::new(Index::in_memory(IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }).unwrap());
        let guard = BaseGuard::new(Base::open(tree.path()).unwrap(), BaseIdentity::Unmarked { channels: Vec::new() });
        let keeper = Arc::new(Keeper::new(index, Arc::new(guard)));
        let place = HourPlace::parse("a/source/2019-11-13T02").unwrap();
        let filling = keeper.fill("evil", &place, true, &Allowance::Unbounded).unwrap();
        let target = Targets::default().open(&base, &place).unwrap().filled_by(filling);
        let account = || std::fs::read_to_string(tree.path().join(".gapless/fetched")).unwrap();
        let hour = tree.path().join(place.path());

        let (wrong, refused) = fetched(&target, "recorded later", "junk");
        assert!(matches!(refused, Err(DownloadError::WrongHash { .. })));
        let ((new, is_new), (both, is_both)) = (fetched(&target, "new", "new"), fetched(&target, "both", "both"));
        std::fs::write(hour.join(&both), "both").unwrap();
        let noting = |names: &[&str]| {
            assert_eq!(names, [&new]);
            assert!(!hour.join(&new).exists());
            keeper.note_gifts(&place, "evil", names.iter().copied())
        };
        let booked = |files: Vec<Verified>| {
            assert!(account().contains("given 1 3 evil"), "{}", account());
            Ok(each(files))
        };
        let came = vec![(&*new, is_new.unwrap()), (&*both, is_both.unwrap())];
        let outcomes = publish((&keeper, &target), came, noting, booked).unwrap();
        assert!(matches!(outcomes[..], [Ok(Published::New), Ok(Published::AlreadyThere)]), "{outcomes:?}");
        let gifts = keeper.recent_gifts().unwrap().of(&place).unwrap();
        assert_eq!([&wrong, &new, &both].map(|name| gifts.giver(name)), [None, Some("evil"), None]);
        // What does not appear after all is nobody's.
        let (late, is_late) = fetched(&target, "late", "late");
        let in_vain = |files: Vec<Verified>| {
            std::fs::write(hour.join(&late), "late").unwrap();
            Ok(each(files))
        };
        publish((&keeper, &target), vec![(&*late, is_late.unwrap())], |_| Ok(()), in_vain).unwrap();
        assert!(account().lines().last().unwrap().starts_with("given 1 3 evil"), "{}", account());
    }
}
