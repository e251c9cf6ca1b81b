//! Everything at once and at random: three nodes are killed, cut off, garbled, filled up and set to another decade while segments
//! come and go. When the storm is over they have what nobody deleted, and every invariant holds.
//!
//! `GAPLESS_STORM_SEED` gives a storm again, as far as time lets it; `GAPLESS_STORM_SECONDS` lets it last, for hours if need be.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::cluster::{Cluster, Ground};
use crate::support::link::Manner;
use crate::support::trouble::Chance;

/// How long a storm lasts before all is mended and looked at.
const GUST: Duration = Duration::from_secs(8);
/// How much three nodes are given to hold before three others take over.
const THINGS: usize = 4000;
/// Hours that things are put into.
const HOURS: usize = 12;

fn hour(chance: &mut Chance) -> String {
    let (channel, quality) = (["chan", "o t h é r"][chance.below(2)], ["source", "480p"][chance.below(2)]);
    format!("{channel}/{quality}/2010-01-0{}T{:02}", 1 + chance.below(2), chance.below(HOURS / 2))
}

fn manner(chance: &mut Chance) -> Manner {
    match chance.below(12) {
        0 => Manner::Cut,
        1 => Manner::Hang,
        2 => Manner::HangAnswers,
        3 => Manner::Delay(Duration::from_millis(1 + chance.below(200) as u64)),
        4 => Manner::Throttle(1 << (8 + chance.below(10))),
        5 => Manner::Truncate(chance.below(2000)),
        6 => Manner::Flip(chance.below(50_000)),
        7 => Manner::Duplicate,
        8 => Manner::Length([-1, 1, -300, 70_000][chance.below(4)]),
        9 => Manner::Endless,
        _ => Manner::Pass,
    }
}

/// One random thing; says what.
fn strike(cluster: &mut Cluster, chance: &mut Chance) -> String {
    let at = chance.below(cluster.len());
    let place = hour(chance);
    // The node whose disk is full records nothing.
    let with_room: Vec<usize> = (0..cluster.len()).filter(|at| !cluster.is_full(*at)).collect();
    let recorder = with_room[chance.below(with_room.len())];
    match chance.below(100) {
        0..40 => {
            let second = with_room[chance.below(with_room.len())];
            for _ in 0..=chance.below(8) {
                let holders = if chance.below(3) == 0 { vec![recorder, second] } else { vec![recorder] };
                cluster.thing(&place, &holders, chance);
            }
            format!("things on n{recorder}")
        }
        40..44 => {
            cluster.oddity(recorder, &place, chance);
            format!("an oddity on n{recorder}")
        }
        44..54 => {
            let paths = cluster.union.paths();
            let Some(path) = paths.get(chance.below(paths.len().max(1))).filter(|path| !path.ends_with(".tombstone"))
            else {
                return "nothing to delete".to_owned();
            };
            cluster.delete(recorder, path);
            format!("n{recorder} deletes {path}")
        }
        54..78 => {
            let links = cluster.links();
            let (link, manner) = (chance.below(links.len()), manner(chance));
            links[link].set(manner);
            format!("link {link}: {manner:?}")
        }
        78..84 if cluster.runs(at) => {
            cluster.kill(at);
            format!("n{at} is killed")
        }
        84..86 if cluster.runs(at) => {
            cluster.terminate(at);
            format!("n{at} ends")
        }
        86..87 if !cluster.is_full(at) => {
            cluster.rebuild(at);
            format!("n{at} is rebuilt")
        }
        87..88 => {
            cluster.lose_index(at);
            format!("n{at} loses its index")
        }
        88..91 => {
            cluster.fill_disk(at);
            format!("the disk of n{at} is full")
        }
        91..94 => {
            cluster.give_room(at);
            format!("the disk of n{at} has room")
        }
        94..97 => {
            let offset = ["+3650d", "-3650d", "+0", "+3d"][chance.below(4)];
            cluster.member(at).clock.iter().for_each(|clock| clock.set(offset));
            format!("the clock of n{at} is off by {offset}")
        }
        _ => {
            cluster.start_all();
            "all run".to_owned()
        }
    }
}

/// A storm, and the calm after it. What was deleted when it began must stay away all the time.
fn gust(cluster: &mut Cluster, chance: &mut Chance, lasts: Duration, deleted: &BTreeSet<String>) {
    let begun = Instant::now();
    while begun.elapsed() < lasts {
        let what = strike(cluster, chance);
        println!("{:6.2} {what}", begun.elapsed().as_secs_f32());
        std::thread::sleep(Duration::from_millis(chance.below(60) as u64));
        if chance.below(20) == 0 {
            cluster.nobody_lists(deleted);
        }
    }
    println!("{:6.2} all is mended", begun.elapsed().as_secs_f32());
    cluster.heal();
    cluster.converges();
    println!("{:6.2} all have everything", begun.elapsed().as_secs_f32());
    cluster.is_in_order();
    cluster.nobody_lists(deleted);
}

#[test]
fn after_every_storm_all_nodes_have_what_nobody_deleted_and_every_invariant_holds() {
    let lasts = std::env::var("GAPLESS_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    let lasts = lasts.map_or(GUST, Duration::from_secs);
    let mut chance = Chance::from("storm", "GAPLESS_STORM_SEED");
    let begun = Instant::now();
    let mut gusts = 0;
    while begun.elapsed() < lasts {
        let ground = [
            Ground::default(),
            Ground { small_disk: true, ..Ground::default() },
            Ground { clock: true, ..Ground::default() },
        ];
        let mut cluster = Cluster::of(&ground);
        cluster.start_all();
        let mut deleted = BTreeSet::new();
        while begun.elapsed() < lasts && cluster.union.paths().len() < THINGS {
            gust(&mut cluster, &mut chance, GUST.min(lasts), &deleted);
            deleted = cluster.union.deleted();
            gusts += 1;
        }
    }
    println!("{gusts} storms survived");
}
