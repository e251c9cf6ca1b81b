//! What the index should hold, as plain maps; and whether it does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::archive::coverage::{Coverage, CoverageKind, HourLine, Stretch, Window};
use crate::archive::test_names::any_name;
use crate::archive::{AnyFile, Hour, HourChange, HourContents, HourTotals, Stamp, Stream};
use crate::index::{Batch, ChangeRow, HourUpdate, HourView, Index, IndexError, IndexOptions, StampUpdate};

pub type Names = BTreeMap<String, u64>;
pub type ModelHour = (String, Hour);

pub fn hour(number: u8) -> Hour {
    Hour::parse(&format!("2019-11-13T{number:02}")).unwrap()
}

pub fn stream(name: &str) -> Stream {
    Stream::parse(name).unwrap()
}

pub fn contents(names: &Names) -> HourContents {
    HourContents::from_names(names.iter().map(|(name, size)| (name.as_str(), *size)))
}

pub fn stamp(number: u64) -> Stamp {
    Stamp { ino: number, mtime_ns: -1, ctime_ns: 1 }
}

/// Small enough a cache that pages are read from the file.
pub fn options() -> IndexOptions {
    IndexOptions { cache_bytes: 1 << 20, retry_after: std::time::Duration::from_millis(20), ..IndexOptions::default() }
}

/// What is done to an hour.
#[derive(Debug, Clone)]
pub enum HourStep {
    Put(String, u64),
    Remove(String),
}

#[derive(Debug, Clone)]
pub enum Act {
    Change { stream: &'static str, hour: u8, steps: Vec<HourStep> },
    RemoveHour { stream: &'static str, hour: u8 },
}

pub fn any_act() -> impl Strategy<Value = Act> {
    let place = (prop::sample::select(vec!["a/source", "a/chat", "ünï \"/480p"]), 0..3_u8);
    let size = prop_oneof![4 => 0..3_u64, 1 => Just(u64::MAX)];
    let step = prop_oneof![
        3 => (any_name(), size).prop_map(|(name, size)| HourStep::Put(name, size)),
        1 => any_name().prop_map(HourStep::Remove),
    ];
    prop_oneof![
        8 => (place.clone(), prop::collection::vec(step, 0..12))
            .prop_map(|((stream, hour), steps)| Act::Change { stream, hour, steps }),
        1 => place.prop_map(|(stream, hour)| Act::RemoveHour { stream, hour }),
    ]
}

/// Everything that should be in an index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexModel {
    pub hours: BTreeMap<ModelHour, Names>,
    pub archive: Option<[u8; 16]>,
}

impl IndexModel {
    /// Does it here, and tells how to ask for it and how many files came and went.
    pub fn act(&mut self, act: &Act) -> (HourUpdate, u64, u64) {
        let (mut put, mut removed) = (0, 0);
        let update = match act {
            Act::Change { stream: name, hour: number, steps } => {
                let names = self.hours.entry(((*name).to_owned(), hour(*number))).or_default();
                let mut changes = Vec::new();
                for step in steps {
                    let (file_name, size) = match step {
                        HourStep::Put(came, size) => (came, *size),
                        HourStep::Remove(gone) => (gone, 0),
                    };
                    let Some(file) = AnyFile::read(file_name, size) else { continue };
                    if matches!(step, HourStep::Put(..)) {
                        let kept = size.min((1 << 48) - 1);
                        put += u64::from(names.insert(file_name.clone(), kept) != Some(kept));
                        changes.push(HourChange::Put(file));
                    } else {
                        removed += u64::from(names.remove(file_name).is_some());
                        changes.push(HourChange::Remove(file));
                    }
                }
                HourUpdate::Change { stream: stream(name), hour: hour(*number), changes, stamp: StampUpdate::Keep }
            }
            Act::RemoveHour { stream: name, hour: number } => {
                let gone = self.hours.remove(&((*name).to_owned(), hour(*number)));
                removed += gone.map_or(0, |names| names.len() as u64);
                HourUpdate::Remove { stream: stream(name), hour: hour(*number) }
            }
        };
        (update, put, removed)
    }

    /// Puts many files in at once: `count` ordinary ones per hour and a few others.
    pub fn filled(streams: &[&str], hours: u8, count: u32) -> Self {
        let mut model = Self::default();
        for name in streams {
            for number in 0..hours {
                let names = model.hours.entry(((*name).to_owned(), hour(number))).or_default();
                names.extend(ordinary_names(u32::from(number), count));
                names.insert("garbage.ts".into(), 3);
                names.insert(format!("00:00-02.0-full-{}.tombstone", crate::archive::test_names::hash_text(number)), 0);
                names.insert(format!("00:00-02.0-full-{}.ts", crate::archive::test_names::hash_text(number)), 9);
            }
        }
        model
    }

    /// As batches, one per hour.
    pub fn batches(&self) -> Vec<Batch> {
        let update = |((name, at), names): (&ModelHour, &Names)| HourUpdate::Change {
            stream: stream(name),
            hour: *at,
            changes: names.iter().map(|(file, size)| HourChange::Put(AnyFile::read(file, *size).unwrap())).collect(),
            stamp: StampUpdate::Set(Some(stamp(7))),
        };
        self.hours.iter().map(|hour| Batch { hours: vec![update(hour)], ..Batch::default() }).collect()
    }

    fn wrong_view(names: &Names, view: &HourView) -> Option<String> {
        let right = contents(names);
        if view.contents != right {
            return Some("other files".into());
        }
        (view.row.totals != HourTotals::of(&right)).then(|| format!("totals {:?}", view.row.totals))
    }

    /// Asks the index everything: the first contradiction, and the first error.
    pub fn compare(&self, index: &Index) -> (Option<String>, Option<IndexError>) {
        let mut error = None;
        for ((name, at), names) in &self.hours {
            match index.hour(name, *at) {
                Ok(Some(view)) => {
                    if let Some(wrong) = Self::wrong_view(names, &view) {
                        return (Some(format!("{name} {at}: {wrong}")), error);
                    }
                    if Some(view.version) != index.catalog().hour_version(name, *at) {
                        return (Some(format!("{name} {at}: {:?} is not in the catalog", view.version)), error);
                    }
                }
                Ok(None) => return (Some(format!("{name} {at} is missing")), error),
                Err(why) => error = Some(why),
            }
        }
        (self.compare_lists(index, &mut error), error)
    }

    /// The coverage of a stream, made from scratch.
    pub fn coverage(&self, name: &str) -> Coverage {
        let mut coverage = Coverage::default();
        if !stream(name).quality.is_chat() {
            for ((_, at), names) in self.hours.iter().filter(|((of, _), _)| of == name) {
                coverage.push(*at, &HourLine::of(&contents(names)));
            }
        }
        coverage
    }

    fn compare_lists(&self, index: &Index, error: &mut Option<IndexError>) -> Option<String> {
        let catalog = index.catalog();
        let mut channels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut hours: BTreeMap<&str, Vec<Hour>> = BTreeMap::new();
        for (name, at) in self.hours.keys() {
            let (channel, quality) = name.split_once('/').unwrap();
            channels.entry(channel).or_default().insert(quality);
            hours.entry(name).or_default().push(*at);
        }
        if catalog.channels() != channels.keys().copied().collect::<Vec<_>>() {
            return Some(format!("channels are {:?}", catalog.channels()));
        }
        for (channel, qualities) in channels {
            if catalog.qualities(channel) != qualities.into_iter().collect::<Vec<_>>() {
                return Some(format!("qualities are {:?}", catalog.qualities(channel)));
            }
        }
        for (name, expected) in hours {
            match index.coverage(&stream(name), &Window::default(), usize::MAX) {
                Ok(found) if found.coverage == self.coverage(name) => {}
                Ok(found) => return Some(format!("coverage of {name} is {:?}", found.coverage)),
                Err(why) => *error = Some(why),
            }
            if catalog.hours(name, ..) != expected {
                return Some(format!("hours of {name} are {:?}", catalog.hours(name, ..)));
            }
            match index.hour_rows(name, Hour::MIN, Hour::MAX) {
                Ok(rows) => {
                    let right = |(at, row): &(Hour, crate::index::HourRow)| {
                        row.totals == HourTotals::of(&contents(&self.hours[&(name.to_owned(), *at)]))
                    };
                    if rows.iter().map(|(at, _)| *at).collect::<Vec<_>>() != expected || !rows.iter().all(right) {
                        return Some(format!("hour rows of {name}"));
                    }
                }
                Err(why) => *error = Some(why),
            }
        }
        None
    }

    /// The index answers everything, and rightly.
    #[track_caller]
    pub fn assert_is(&self, index: &Index) {
        let (wrong, error) = self.compare(index);
        assert!(wrong.is_none() && error.is_none(), "{wrong:?} {error:?}");
        // Not where a file is damaged: the ledger may be lost without harm, and is mended.
        for name in self.hours.keys().map(|(name, _)| name).collect::<BTreeSet<_>>() {
            let ledger: Vec<Stretch> =
                index.ledger(&stream(name)).unwrap().into_iter().map(|entry| entry.hole).collect();
            assert_eq!(ledger, self.coverage(name).holes_within(CoverageKind::Raw, &Window::default()), "{name}");
            assert_eq!(index.wrong_days(&stream(name)).unwrap(), [], "{name}");
        }
    }
}

/// Ordinary names with hashes that no compression and no chance makes equal.
pub fn ordinary_names(seed: u32, count: u32) -> impl Iterator<Item = (String, u64)> {
    use sha2::{Digest as _, Sha256};
    (0..count).map(move |n| {
        let hash = crate::archive::Hash(Sha256::digest([seed.to_le_bytes(), n.to_le_bytes()].concat()).into());
        (format!("{:02}:{:02}.{:06}-2.0-full-{hash}.ts", n / 30 % 60, n * 2 % 60, n / 1800), 1_000_000 + u64::from(n))
    })
}

/// Does to plain maps what the change log says.
pub fn replay(hours: &mut BTreeMap<ModelHour, Names>, changes: &[ChangeRow]) {
    for change in changes {
        let place = (change.stream.clone().unwrap(), change.hour);
        if change.put {
            hours.entry(place).or_default().insert(change.file.name(), change.file.size());
        } else {
            hours.entry(place).or_default().remove(&change.file.name());
        }
    }
}

/// Without hours that hold nothing, which the change log does not tell.
pub fn without_empty(hours: &BTreeMap<ModelHour, Names>) -> BTreeMap<ModelHour, Names> {
    hours.iter().filter(|(_, names)| !names.is_empty()).map(|(place, names)| (place.clone(), names.clone())).collect()
}
