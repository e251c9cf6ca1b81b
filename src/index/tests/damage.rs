//! A file of the index in which anything may have been overwritten: what is answered is right, or an error, or the index has
//! been set aside. Never a panic that escapes, never a hang.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::model::{IndexModel, options};
use crate::index::{Batch, Index, IndexError, IndexOptions};

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(20);

/// Some of what happens to files.
fn damage(bytes: &mut Vec<u8>, random: &mut StdRng) -> String {
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..9) {
        0 => {
            let bit = random.random_range(0..8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        1 => {
            let count = random.random_range(1..200);
            for _ in 0..count {
                let each = random.random_range(0..bytes.len());
                bytes[each] = random.random();
            }
            format!("{count} bytes overwritten")
        }
        2 => {
            let until = (at + random.random_range(1..5000)).min(bytes.len());
            random.fill(&mut bytes[at..until]);
            format!("{at}..{until} overwritten")
        }
        3 => {
            bytes.truncate(at);
            format!("cut to {at}")
        }
        4 => {
            let more = random.random_range(1..100_000);
            bytes.resize(bytes.len() + more, random.random());
            format!("{more} bytes longer")
        }
        5 => {
            let page = at / 4096 * 4096;
            let until = (page + 4096 * random.random_range(1..4)).min(bytes.len());
            bytes[page..until].fill(0);
            format!("{page}..{until} zeroed")
        }
        6 => {
            let from = random.random_range(0..bytes.len() / 4096) * 4096;
            let to = random.random_range(0..bytes.len() / 4096) * 4096;
            bytes.copy_within(from..from + 4096, to);
            format!("page {from} copied over {to}")
        }
        7 => {
            let header = random.random_range(0..512);
            bytes[header] = random.random();
            format!("byte {header} of the header overwritten")
        }
        _ => {
            // Where tables and branches are: short numbers that lead elsewhere.
            let page = at / 4096 * 4096;
            let count = random.random_range(1..12);
            for _ in 0..count {
                let each = page + random.random_range(0..256).min(bytes.len() - page - 1);
                bytes[each] = random.random();
            }
            format!("{count} bytes at the beginning of page {page} overwritten")
        }
    }
}

/// Damages a copy, opens it and asks everything.
fn attack(path: &Path, original: &[u8], model: &IndexModel, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = original.to_vec();
    let mut what = damage(&mut bytes, &mut random);
    if random.random_bool(0.2) && bytes.len() >= 4096 {
        what = format!("{what}, {}", damage(&mut bytes, &mut random));
    }
    std::fs::write(path, &bytes).unwrap();
    let verify_below = if random.random_bool(0.7) { 0 } else { u64::MAX };
    let begun = Instant::now();
    let told = format!("seed {seed}: {what}, verified below {verify_below}");
    let index = match Index::open(path, IndexOptions { verify_below, ..options() }) {
        Ok(index) => index,
        // A format of which the lowest byte was hit is refused with the advice to delete the file.
        Err(IndexError::Newer { .. }) => return tidy(path),
        Err(error) => panic!("{told}: {error}"),
    };
    let (wrong, error) = model.compare(&index);
    if index.report().set_aside.is_some() || index.catalog().generation() > 1 {
        assert!(!index.set_aside().is_empty(), "{told}");
    } else {
        assert!(wrong.is_none() || error.is_some(), "{told}: {wrong:?}");
    }
    // What else can be asked.
    drop(index.directories());
    drop(index.changes_after(0, usize::MAX));
    drop(index.archive());
    // A file that was not verified may lead redb to abort the process when it is written to: see `file::open`.
    if verify_below == 0 && index.catalog().generation() == 1 && index.report().set_aside.is_none() {
        index.leave_open();
        return tidy(path);
    }
    // It can be written to; as often as damage is found then, it begins anew, and in the end all is right.
    for round in 0..4 {
        let hours = model.batches().into_iter().flat_map(|batch| batch.hours).collect();
        let written = index.apply(Batch { hours, ..Batch::default() });
        let (after, failed) = model.compare(&index);
        let right = after.is_none() && failed.is_none();
        assert!(right || failed.is_some() || written.is_err() || index.catalog().generation() > 1, "{told}: {after:?}");
        assert!(right || round < 3, "{told}: in the end {after:?} {failed:?} {written:?}");
    }
    drop(index);
    assert!(begun.elapsed() < BOUND, "{told}: {:?}", begun.elapsed());
    tidy(path);
}

fn tidy(path: &Path) {
    for entry in path.parent().unwrap().read_dir().unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

/// Set these to attack for longer: `GAPLESS_ATTACKS=5000 GAPLESS_SEED=1 GAPLESS_NAMES=2000`.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn a_damaged_file_never_gives_a_wrong_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.redb");
    let names = u32::try_from(setting("GAPLESS_NAMES", 60)).unwrap();
    let model = IndexModel::filled(&["a/source", "b/480p"], 3, names);
    let index = Index::open(&path, options()).unwrap();
    for batch in model.batches() {
        index.apply(batch).unwrap();
    }
    let left_open = std::fs::read(&path).unwrap();
    drop(index);
    let closed = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let seed = setting("GAPLESS_SEED", rand::random::<u32>().into());
    println!("the first seed is {seed}; the file has {} bytes", closed.len());
    for each in 0..setting("GAPLESS_ATTACKS", 150) {
        let original = if each % 2 == 0 { &closed } else { &left_open };
        attack(&path, original, &model, seed + each);
    }
}
