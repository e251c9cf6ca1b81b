//! An archive that is being given another id, interrupted wherever a process may be killed.

use std::cell::Cell;

use crate::disk::{ArchiveId, BaseIdentity, DiskError, marker};
use crate::index::{IndexOptions, LedgerCopy};
use crate::sync::rebuild::{RebuildObserver, rebuild};
use crate::sync::startup::Locked;

/// By kill -9.
#[derive(Debug)]
struct Killed;

impl From<DiskError> for Killed {
    fn from(error: DiskError) -> Self {
        panic!("{error}");
    }
}

struct Silent;

impl RebuildObserver for Silent {
    fn begin(&self, _hours: u64) {}

    fn hour_done(&self, _files: u64) {}
}

fn options() -> IndexOptions {
    IndexOptions { cache_bytes: 1 << 20, ..IndexOptions::default() }
}

/// The steps of `gapless rebuild`, of which so many are left until it is killed; true if it came to its end.
fn rebuilt(locked: &Locked, new_id: Option<ArchiveId>, steps: u32) -> bool {
    let left = Cell::new(steps);
    let step = || {
        left.set(left.get().checked_sub(1).ok_or(Killed)?);
        Ok::<_, Killed>(())
    };
    let all = || {
        let index = locked.open_index(options()).unwrap();
        locked.identify_renewed(&index).unwrap();
        index.close();
        step()?;
        if let Some(id) = new_id {
            marker::renew(&locked.base, id, |_| step())?;
        }
        step()?;
        rebuild(&locked.base, &locked.index_path(), &options(), 1, LedgerCopy::default(), &Silent).unwrap();
        marker::finish(&locked.base, |_| step())
    };
    all().is_ok()
}

#[test]
fn an_archive_whose_new_id_was_interrupted_anywhere_is_not_locked_out() {
    let id = |number: u8| ArchiveId::from_bytes([number; 16]);
    for (first, second) in (0..5).flat_map(|first| (0..6).map(move |second| (first, second))) {
        let tree = tempfile::tempdir().unwrap();
        let own = tree.path().join(marker::OWN_DIR);
        let locked = Locked::acquire(tree.path(), &own).unwrap();
        let node = || {
            let index = locked.open_index(options()).unwrap();
            let identity = locked.identify(&index);
            index.close();
            identity
        };
        let before = node().unwrap();
        rebuilt(&locked, Some(id(1)), first);
        if let Err(error) = node() {
            assert!(error.to_string().contains("`gapless rebuild` completes it"), "{first} {second}: {error}");
        }
        let again = (second > 0).then(|| id(2));
        rebuilt(&locked, again, second);
        assert!(rebuilt(&locked, None, 99), "{first} {second}");
        let after = node().unwrap();
        let known = [before, BaseIdentity::Marked(id(1)), BaseIdentity::Marked(id(2))];
        assert!(known.contains(&after), "{first} {second}: {after:?}");
        assert_eq!(marker::ids(&locked.base).unwrap().unwrap().former, None);
    }
}
