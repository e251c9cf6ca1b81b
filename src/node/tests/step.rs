//! The language of histories: what may happen, one thing at a time.

use super::clocks::{DAY, HOUR};
use super::truth::MACHINES;
use super::world::SeededNumbers;
use crate::archive::guards::Guard;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnFile {
    /// Everything under `.gapless` that protects: one copy of each, or all copies of one.
    Records {
        all: bool,
    },
    Index,
    Marker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileDamage {
    Flip,
    Remove,
    Cut,
    Foreign,
    /// Of a record: as it was when the disk was last copied.
    Older,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum OperatorLimit {
    Off,
    AgeHours(i64),
    Segments(u64),
    /// So many segments fewer than there are.
    Fewer(usize),
    /// More than is free by so many segments.
    Free(u64),
}

/// What another peer, which is not one of our nodes, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    /// Tombstones for so many segments of an hour, beside so many invented names.
    Burst {
        tombstones: usize,
        names: usize,
    },
    /// So many real segments in each hour that the machine holds.
    Gifts {
        each: usize,
    },
    Junk {
        hours: usize,
        each: usize,
    },
    /// Real bytes in hours of the year 2099.
    Future,
    /// It serves the directory of a machine of ours.
    Mirror(usize),
}

/// One thing that happens. A machine is meant by its number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ModelStep {
    Record {
        machine: usize,
        back: i64,
        count: usize,
    },
    Twin {
        machine: usize,
        apart_us: i64,
    },
    Tombstone {
        machine: usize,
        count: usize,
    },
    Purge {
        machine: usize,
    },
    Keep {
        machine: usize,
        release: bool,
    },
    Limit {
        machine: usize,
        limit: OperatorLimit,
    },
    /// Last copies stay, or not; whether the operator names another peer as a place of copies.
    LastCopy {
        machine: usize,
        keep: bool,
        at_other: bool,
    },
    Retain {
        machine: usize,
        confirmed: bool,
    },
    /// Retention is stopped in the middle of an hour.
    RetainCut {
        machine: usize,
    },
    Live {
        us: i64,
    },
    Clock {
        machine: usize,
        ahead: i64,
        reboot: bool,
    },
    Free {
        machine: usize,
        segments: u64,
    },
    Restart {
        machine: usize,
        kill: bool,
        lose_index: bool,
    },
    Down {
        machine: usize,
    },
    Snapshot {
        machine: usize,
    },
    Restore {
        machine: usize,
        records_only: bool,
    },
    Damage {
        machine: usize,
        what: OwnFile,
        harm: FileDamage,
    },
    Mount {
        machine: usize,
        mounted: bool,
    },
    Swap {
        machine: usize,
    },
    Occupy {
        machine: usize,
    },
    Round {
        machine: usize,
    },
    Line {
        from: usize,
        to: usize,
        cut: bool,
    },
    /// A node answers 500 to whatever begins so, or to nothing any more.
    Fail {
        machine: usize,
        path: Option<&'static str>,
    },
    /// In the list of one machine the name of another leads to the third.
    Readdress {
        machine: usize,
        other: usize,
    },
    Accept {
        machine: usize,
    },
    Other {
        door: usize,
        attack: Attack,
        against: usize,
    },
}

/// What a history is about; its steps come in this order, with others between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Theme {
    Anything,
    Burst,
    Hidden,
    Twins,
    Future,
    Clock,
    Reclaim,
    Holders,
    LastCopy,
    Records,
    Begun,
    Shrinking,
    Strangers,
    Budget,
    Occupied,
}

impl Theme {
    pub(super) const ALL: [Self; 15] = [
        Self::Anything,
        Self::Burst,
        Self::Hidden,
        Self::Twins,
        Self::Future,
        Self::Clock,
        Self::Reclaim,
        Self::Holders,
        Self::LastCopy,
        Self::Records,
        Self::Begun,
        Self::Shrinking,
        Self::Strangers,
        Self::Budget,
        Self::Occupied,
    ];

    pub(super) fn of(seed: u64) -> Self {
        *SeededNumbers::new(seed ^ 0x0074_6865_6d65).pick(&Self::ALL)
    }

    pub(super) fn guard(self) -> Option<Guard> {
        Some(match self {
            Self::Anything => return None,
            Self::Burst => Guard::TombstoneBurst,
            Self::Hidden => Guard::HiddenStaysHidden,
            Self::Twins => Guard::ContentTwin,
            Self::Future => Guard::FutureHours,
            Self::Clock => Guard::ClockWitnesses,
            Self::Reclaim => Guard::LivedTime,
            Self::Holders => Guard::HoldersSeen,
            Self::LastCopy => Guard::LastCopy,
            Self::Records => Guard::RecordsIntact,
            Self::Begun => Guard::BegunChecked,
            Self::Shrinking => Guard::Shrinking,
            Self::Strangers => Guard::OwnFirst,
            Self::Budget => Guard::PeerBudget,
            Self::Occupied => Guard::LooksAtWhatIsThere,
        })
    }

    /// One other thing in so many comes before each step of its story. Where nodes have to be in reach of each other for what its
    /// guard is against, few do.
    fn quiet(self) -> usize {
        if matches!(self, Self::Hidden | Self::Reclaim | Self::Holders) { 8 } else { 3 }
    }

    /// The steps of its story, for a machine and another one.
    fn story(self, chance: &mut SeededNumbers, m: usize, o: usize) -> Vec<ModelStep> {
        let other = |attack| ModelStep::Other { door: 0, attack, against: m };
        let retain = ModelStep::Retain { machine: m, confirmed: false };
        let age = |hours| ModelStep::Limit { machine: m, limit: OperatorLimit::AgeHours(hours) };
        let (third, on_word) = (3 - m - o, ModelStep::Retain { machine: m, confirmed: true });
        match self {
            Self::Anything => Vec::new(),
            Self::Burst => {
                let (tombstones, names) = (3 + chance.below(9), chance.below(60));
                let burst = other(Attack::Burst { tombstones, names });
                let mut steps = Vec::new();
                if chance.one_in(2) {
                    // What it gives first is no yardstick for what it hides afterwards.
                    steps.push(other(Attack::Gifts { each: 6 + chance.below(20) }));
                    steps.push(ModelStep::Round { machine: m });
                    steps.push(ModelStep::Restart { machine: m, kill: chance.one_in(2), lose_index: false });
                }
                steps.extend([burst.clone(), ModelStep::Round { machine: m }, burst, ModelStep::Round { machine: m }]);
                steps
            }
            Self::Hidden => {
                // The fullest hours, which one node shows and another hides, and which this one has nothing of.
                let hours = 9..9 + chance.between(3, 5);
                let mut steps: Vec<ModelStep> =
                    hours.clone().map(|back| ModelStep::Record { machine: third, back, count: 8 }).collect();
                steps.push(ModelStep::Round { machine: o });
                steps.extend(hours.map(|_| ModelStep::Tombstone { machine: o, count: 3 + chance.below(3) }));
                steps.extend([ModelStep::Round { machine: m }, ModelStep::Round { machine: m }]);
                steps
            }
            Self::Twins => vec![
                ModelStep::Tombstone { machine: m, count: 1 },
                ModelStep::Twin { machine: m, apart_us: *chance.pick(&[500, 400_000, 20_000_000]) },
                ModelStep::Round { machine: o },
            ],
            Self::Future => vec![
                other(Attack::Future),
                ModelStep::Round { machine: m },
                ModelStep::Clock { machine: m, ahead: chance.between(2, 900) * DAY, reboot: false },
                ModelStep::Record { machine: m, back: 0, count: 1 },
                ModelStep::Clock { machine: m, ahead: 0, reboot: false },
                ModelStep::Record { machine: m, back: 0, count: 1 },
                ModelStep::Round { machine: o },
            ],
            Self::Clock => {
                // Ahead by so much that some hours look old enough, and not most.
                let ahead = 30 * DAY - 5 * HOUR - chance.between(0, 40) * 60_000_000;
                let reboot = chance.one_in(3);
                vec![
                    age(30 * 24),
                    retain.clone(),
                    ModelStep::Clock { machine: m, ahead, reboot },
                    ModelStep::Record { machine: m, back: 0, count: 2 },
                    retain.clone(),
                    ModelStep::Live { us: 10_000_000 },
                    retain,
                ]
            }
            Self::Reclaim => vec![
                ModelStep::Tombstone { machine: m, count: 1 },
                // Both hide it too, so that nobody is waited for.
                ModelStep::Round { machine: o },
                ModelStep::Round { machine: third },
                age(2),
                on_word.clone(),
                ModelStep::Clock { machine: m, ahead: chance.between(1, 10) * 365 * DAY, reboot: chance.one_in(3) },
                ModelStep::Live { us: 4_000_000 },
                // Somebody believes that clock.
                on_word,
                retain,
            ],
            Self::Holders => {
                let faults = [
                    ModelStep::Down { machine: o },
                    ModelStep::Line { from: m, to: o, cut: true },
                    ModelStep::Fail { machine: o, path: Some("") },
                    ModelStep::Fail { machine: o, path: Some("api/v1/digests") },
                    ModelStep::Fail { machine: o, path: Some("files/") },
                    ModelStep::Readdress { machine: m, other: o },
                    // It has not pulled from here since.
                    ModelStep::Round { machine: m },
                ];
                let fault = chance.pick(&faults).clone();
                let hide = [ModelStep::Tombstone { machine: m, count: 2 + chance.below(2) }, age(2), on_word.clone()];
                let later = [ModelStep::Live { us: 12 * DAY }, on_word];
                let mut steps = Vec::new();
                if chance.one_in(2) {
                    steps.push(fault);
                    steps.extend(hide);
                } else {
                    steps.extend(hide);
                    steps.push(fault);
                }
                steps.extend(later);
                steps.extend([ModelStep::Record { machine: m, back: 0, count: 2 }, retain]);
                steps
            }
            Self::LastCopy => vec![
                ModelStep::Record { machine: m, back: 6, count: 2 },
                other(Attack::Mirror(m)),
                ModelStep::LastCopy { machine: m, keep: true, at_other: chance.one_in(2) },
                age(3),
                retain.clone(),
                ModelStep::Retain { machine: m, confirmed: true },
            ],
            Self::Records => vec![
                ModelStep::Keep { machine: m, release: false },
                ModelStep::Keep { machine: (m + 1) % MACHINES, release: false },
                ModelStep::Snapshot { machine: m },
                ModelStep::Keep { machine: m, release: false },
                ModelStep::Keep { machine: m, release: false },
                ModelStep::Keep { machine: m, release: false },
                ModelStep::Damage {
                    machine: m,
                    what: OwnFile::Records { all: !chance.one_in(4) },
                    harm: *chance.pick(&[
                        FileDamage::Flip,
                        FileDamage::Remove,
                        FileDamage::Cut,
                        FileDamage::Foreign,
                        FileDamage::Older,
                    ]),
                },
                age(5),
                retain.clone(),
                ModelStep::Retain { machine: m, confirmed: true },
            ],
            Self::Begun => vec![
                age(5),
                ModelStep::RetainCut { machine: m },
                ModelStep::Limit { machine: m, limit: OperatorLimit::Off },
                retain.clone(),
                ModelStep::Live { us: HOUR },
                retain,
            ],
            Self::Shrinking => {
                let mut steps = vec![ModelStep::Limit { machine: m, limit: OperatorLimit::Free(0) }];
                for _ in 0..6 {
                    steps.push(ModelStep::Free { machine: m, segments: 9 });
                    steps.push(ModelStep::Live { us: chance.between(1, 9) * HOUR });
                    steps.push(retain.clone());
                }
                steps
            }
            Self::Strangers => {
                // Hours of a channel of its own, or files in the hours that lie here.
                let (attack, fewer) =
                    *chance.pick(&[(Attack::Junk { hours: 3, each: 6 }, 8), (Attack::Gifts { each: 6 }, 40)]);
                vec![
                    other(attack),
                    ModelStep::Round { machine: m },
                    ModelStep::Limit { machine: m, limit: OperatorLimit::Fewer(fewer) },
                    retain.clone(),
                    retain,
                ]
            }
            Self::Budget => vec![
                other(Attack::Junk { hours: 4, each: 12 }),
                ModelStep::Round { machine: m },
                other(Attack::Junk { hours: 8, each: 12 }),
                ModelStep::Round { machine: m },
            ],
            Self::Occupied => {
                vec![ModelStep::Occupy { machine: m }, ModelStep::Round { machine: m }, ModelStep::Round { machine: m }]
            }
        }
    }
}

/// The steps of a seed: those of its theme, with whatever else happens between them.
pub(super) fn history(seed: u64) -> Vec<ModelStep> {
    let mut chance = SeededNumbers::new(seed);
    let machine = chance.below(3);
    let other = (machine + 1 + chance.below(2)) % 3;
    let theme = Theme::of(seed);
    let story = theme.story(&mut chance, machine, other);
    let mut steps = Vec::new();
    for step in story {
        while chance.one_in(theme.quiet()) {
            steps.push(anything(&mut chance));
        }
        steps.push(step);
    }
    let after = chance.below(if steps.is_empty() { 14 } else { 4 });
    steps.extend((0..after).map(|_| anything(&mut chance)));
    steps
}

fn anything(chance: &mut SeededNumbers) -> ModelStep {
    let machine = chance.below(3);
    let other = (machine + 1 + chance.below(2)) % 3;
    match chance.below(28) {
        0..3 => ModelStep::Record { machine, back: chance.between(0, 12), count: 1 + chance.below(3) },
        3 => ModelStep::Twin { machine, apart_us: chance.between(200, 29_000_000) },
        4 => ModelStep::Tombstone { machine, count: 1 + chance.below(2) },
        5 => ModelStep::Purge { machine },
        6 => ModelStep::Keep { machine, release: chance.one_in(4) },
        7 => {
            let limit = *chance.pick(&[
                OperatorLimit::Off,
                OperatorLimit::AgeHours(9),
                OperatorLimit::AgeHours(200),
                OperatorLimit::Segments(60),
            ]);
            ModelStep::Limit { machine, limit }
        }
        8 | 9 => ModelStep::Retain { machine, confirmed: chance.one_in(8) },
        10 | 11 => ModelStep::Live { us: *chance.pick(&[1_000_000, HOUR, 7 * HOUR, 3 * DAY]) },
        12 => ModelStep::Clock {
            machine,
            ahead: *chance.pick(&[0, 0, 30_000_000, -5_000_000, 5 * HOUR, -2 * DAY, 300 * DAY]),
            reboot: chance.one_in(2),
        },
        13 => ModelStep::Restart { machine, kill: chance.one_in(2), lose_index: chance.one_in(5) },
        14 => ModelStep::Down { machine },
        15 => ModelStep::Snapshot { machine },
        16 => ModelStep::Restore { machine, records_only: chance.one_in(2) },
        17 => ModelStep::Damage {
            machine,
            what: *chance.pick(&[
                OwnFile::Records { all: false },
                OwnFile::Records { all: false },
                OwnFile::Records { all: true },
                OwnFile::Index,
                OwnFile::Marker,
            ]),
            harm: *chance.pick(&[
                FileDamage::Flip,
                FileDamage::Flip,
                FileDamage::Remove,
                FileDamage::Cut,
                FileDamage::Foreign,
                FileDamage::Older,
            ]),
        },
        18 => ModelStep::Mount { machine, mounted: chance.one_in(2) },
        19 => ModelStep::Line { from: machine, to: other, cut: !chance.one_in(3) },
        20 => ModelStep::Accept { machine },
        21 => ModelStep::Swap { machine },
        22 => {
            let paths = [None, Some(""), Some("api/"), Some("api/v1/digests"), Some("files/"), Some("segments/")];
            ModelStep::Fail { machine, path: *chance.pick(&paths) }
        }
        23 => ModelStep::Readdress { machine, other },
        _ => ModelStep::Round { machine },
    }
}

#[test]
fn a_seed_gives_the_same_history_again() {
    for seed in 0..200 {
        assert_eq!(history(seed), history(seed));
    }
    let themes: std::collections::BTreeSet<Theme> = (0..200).map(Theme::of).collect();
    assert_eq!(themes.len(), Theme::ALL.len());
}
