//! Not a bench itself: plans a change of a layout for `scripts/bench-placement`, and prints what it comes to.
//!
//! `cargo bench --bench placement -- FILE` reads lines `NAME ZONE BEFORE AFTER`, the last two in terabytes, with 0 for a node that is not there,
//! and prints: copies that move, the fewest that have to by the shares alone, the largest deviation from a share in percent, crowded slots,
//! versions, seconds, and seconds of the first layout.

#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

use std::time::Instant;

use gapless::archive::placement::{CopiesWanted, Layout, LayoutChange, PlaceName, TableFigures, moves, plan};

const COPIES: u8 = 3;
const TERABYTE: u64 = 1_000_000_000_000;

fn main() {
    let Some(file) = std::env::args().skip(1).find(|argument| argument != "--bench") else {
        // `cargo bench` without arguments runs all benches; there is nothing to measure here.
        return;
    };
    let text = std::fs::read_to_string(file).expect("the file can be read");
    let (mut first, mut change) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, zone, before, after]: [&str; 4] = words.try_into().expect("NAME ZONE BEFORE AFTER");
        let name = PlaceName::new(name).expect("a name");
        let terabytes = |number: &str| number.parse::<u64>().expect("terabytes") * TERABYTE;
        let add =
            |weight: u64| LayoutChange::Add { name: name.clone(), zone: PlaceName::new(zone).expect("a zone"), weight };
        let (weight_before, weight_after) = (terabytes(before), terabytes(after));
        if weight_before > 0 {
            first.push(add(weight_before));
        }
        if weight_after == 0 {
            change.push(LayoutChange::Drain(name.clone()));
        } else if weight_after != weight_before {
            change.push(add(weight_after));
        }
    }
    first.push(LayoutChange::Copies { channel: None, copies: Some(CopiesWanted::Number(COPIES)) });
    let begin = Instant::now();
    let before = plan(&Layout::none(), &first).expect("a first layout").pop().expect("a version");
    let first_seconds = begin.elapsed().as_secs_f64();
    let begin_change = Instant::now();
    let versions = plan(&before, &change).expect("a plan");
    let seconds = begin_change.elapsed().as_secs_f64();
    let after = versions.last().expect("a version");

    let moved = moves(&before, after, None).iter().filter(|one| one.to.is_some()).count();
    let figures = TableFigures::of(after, COPIES).expect("a table");
    let owned = |node: u8| {
        let called = &after.nodes().get(usize::from(node)).expect("a node").name;
        let old = (0..=u8::MAX).zip(before.nodes()).find(|(_, one)| one.name == *called);
        old.map_or(0, |(number, _)| before.tables().get(&COPIES).expect("a table").load(number))
    };
    let lacking: usize = figures.loads.iter().map(|load| load.share.floor().saturating_sub(owned(load.node))).sum();
    let spare: usize = figures.loads.iter().map(|load| owned(load.node).saturating_sub(load.share.ceil())).sum();
    println!(
        "{moved} {} {:.3} {} {} {seconds:.4} {first_seconds:.4}",
        lacking.max(spare),
        figures.off_balance() * 100.0,
        figures.crowded,
        versions.len()
    );
}
