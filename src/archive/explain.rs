//! Why a file is listed or not and is the best for its start or not, and what covers a point in time. Pure: what is on disk or at a
//! peer is not known here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::best::{Preference, SequencePiece, best_playable, best_sequence, is_playable, merit};
use super::name::tombstone_of;
use super::{AnyFile, FileName, Hour, HourContents, SegmentFile, Span, Timestamp, parse_file_name};

/// What an hour makes of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameState {
    /// It is there and listed.
    Listed {
        /// Bytes.
        size: u64,
    },
    /// It is there, and a tombstone hides it.
    Hidden {
        /// Bytes.
        size: u64,
        /// The tombstone.
        by: String,
    },
    /// It is not there, and a tombstone would hide it.
    Deleted {
        /// The tombstone.
        by: String,
    },
    /// It is not there.
    Absent,
    /// Names like this are never listed, counted or replicated: it is being written.
    Temporary,
    /// Names like this are never listed: hidden, or with an extension that is none of ours.
    Foreign,
}

/// What `contents` makes of `name`.
pub fn state(contents: &HourContents, name: &str) -> NameState {
    let hidden = contents.hidden();
    let (there, is_hidden) = match AnyFile::read(name, 0) {
        Some(AnyFile::Segment(file)) => {
            let at = (&file.key, &file.exact);
            let found = contents.files().binary_search_by(|known| (&known.key, &known.exact).cmp(&at));
            let size = found.ok().and_then(|index| contents.files().get(index)).map(|known| known.size);
            (size, !file.key.tombstone && hidden.hides(&file))
        }
        Some(AnyFile::Odd(file)) => {
            let found = contents.odd().iter().find(|known| known.name == file.name);
            (found.map(|known| known.size), !file.is_tombstone() && hidden.hides_odd(&file))
        }
        None if parse_file_name(name) == FileName::Temporary => return NameState::Temporary,
        None => return NameState::Foreign,
    };
    let by = || tombstone_of(name);
    match (there, is_hidden) {
        (Some(size), false) => NameState::Listed { size },
        (Some(size), true) => NameState::Hidden { size, by: by() },
        (None, true) => NameState::Deleted { by: by() },
        (None, false) => NameState::Absent,
    }
}

/// How a visible segment stands among those with the same start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentRank {
    /// It is the best: preferred to these.
    Best(Vec<(String, Preference)>),
    /// This one is preferred.
    Beaten(String, Preference),
    /// It is never played.
    Unplayable(Unplayable),
}

/// Why a segment is never played, whatever else starts with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unplayable {
    /// There are no bytes in it.
    #[error("its file is empty")]
    Empty,
    /// Its name says so.
    #[error("by its name it lasts no time")]
    NoLength,
}

/// How the segment called `name` stands; `None` if it is no visible segment.
pub fn standing(contents: &HourContents, name: &str) -> Option<SegmentRank> {
    let FileName::Understood(key) = parse_file_name(name) else { return None };
    let rivals = |file: &&SegmentFile| file.key.kind.is_video() && file.key.start_us == key.start_us;
    let rivals: Vec<&SegmentFile> = contents.visible().filter(rivals).collect();
    let asked = *rivals.iter().find(|file| file.key == key && file.name() == name)?;
    if !is_playable(asked) {
        let why = if asked.size == 0 { Unplayable::Empty } else { Unplayable::NoLength };
        return Some(SegmentRank::Unplayable(why));
    }
    let best = best_playable(contents).into_iter().find(|file| file.key.start_us == key.start_us)?;
    Some(if best == asked {
        let others = rivals.into_iter().filter(|file| *file != asked && is_playable(file));
        SegmentRank::Best(others.map(|other| (other.name(), merit(asked, other))).collect())
    } else {
        SegmentRank::Beaten(best.name(), merit(best, asked))
    })
}

/// Why a segment that covers a time is not the one that is chosen for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoveredBy {
    /// A tombstone hides it.
    Hidden,
    /// It is not the best for its start: this one is.
    Beaten(String, Preference),
    /// It is never played.
    Unplayable(Unplayable),
    /// It starts later than the one that is chosen, and so does not begin the sequence.
    Later,
}

/// What covers a point in time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moment {
    /// The one that is played.
    pub chosen: Option<SequencePiece>,
    /// The others that cover it, and why they are not chosen.
    pub others: Vec<(SequencePiece, CoveredBy)>,
    /// Where nothing is chosen: the last segment that ends before, among the hours that were looked at.
    pub before: Option<SequencePiece>,
    /// Where nothing is chosen: the first segment that starts after.
    pub after: Option<SequencePiece>,
}

impl Moment {
    /// How long the hole is, where it has two ends.
    pub fn hole(&self) -> Option<Span> {
        Some(self.after.as_ref()?.start() - self.before.as_ref()?.end())
    }
}

/// What covers `at`, by these hours in order.
pub fn moment(hours: &[(Hour, HourContents)], at: Timestamp) -> Moment {
    let best: Vec<SequencePiece> = hours
        .iter()
        .flat_map(|(hour, contents)| {
            best_playable(contents).into_iter().map(|file| SequencePiece { hour: *hour, file: file.clone() })
        })
        .collect();
    let covers = |piece: &SequencePiece| piece.start() <= at && at < piece.end();
    let mut moment = Moment::default();
    let sequence = best_sequence(best.iter().cloned(), at, at + Span::from_us(1));
    moment.chosen = sequence.into_iter().flatten().find(covers);
    for (hour, contents) in hours {
        let hidden = contents.hidden();
        let video = contents.files().iter().filter(|file| file.key.kind.is_video() && !file.key.tombstone);
        for file in video {
            let piece = SequencePiece { hour: *hour, file: file.clone() };
            if !covers(&piece) || moment.chosen.as_ref() == Some(&piece) {
                continue;
            }
            let instead = if hidden.hides(file) {
                CoveredBy::Hidden
            } else {
                match standing(contents, &file.name()) {
                    Some(SegmentRank::Beaten(by, merit)) => CoveredBy::Beaten(by, merit),
                    Some(SegmentRank::Unplayable(why)) => CoveredBy::Unplayable(why),
                    _ => CoveredBy::Later,
                }
            };
            moment.others.push((piece, instead));
        }
    }
    if moment.chosen.is_none() {
        moment.before = best.iter().filter(|piece| piece.end() <= at).max_by_key(|piece| piece.end()).cloned();
        moment.after = best.iter().filter(|piece| piece.start() > at).min_by_key(|piece| piece.start()).cloned();
    }
    moment
}

/// Hours without a segment that are looked at in each direction for the end of a hole.
const REACH: usize = 500;

/// Says which hours have to be looked at to know what covers a point in time, one after the other: those around it, and where nothing
/// covers it, those before and after it until the ends of the hole are found.
#[derive(Debug)]
pub struct Search {
    at: Timestamp,
    wanted: VecDeque<Hour>,
    /// Not looked at yet; the next one is the last.
    earlier: Vec<Hour>,
    /// Not looked at yet; the next one is the last.
    later: Vec<Hour>,
    looked_at: BTreeMap<Hour, HourContents>,
    found: Moment,
}

impl Search {
    /// What covers `at`, where these are the hours that there are.
    pub fn new(at: Timestamp, hours: &BTreeSet<Hour>) -> Self {
        let middle = at.hour();
        // A segment may run over its hour, and one of the hour before that may end later than all of the next.
        let first = middle.previous().previous();
        let mut earlier: Vec<Hour> = hours.range(..first).rev().take(REACH).copied().collect();
        let mut later: Vec<Hour> = hours.range(middle..).filter(|hour| **hour > middle).take(REACH).copied().collect();
        earlier.reverse();
        later.reverse();
        let wanted = hours.range(first..=middle).copied().collect();
        Self { at, wanted, earlier, later, looked_at: BTreeMap::new(), found: Moment::default() }
    }

    /// The next hour to be looked at; `None` when it is known what can be known.
    pub fn wanted(&mut self) -> Option<Hour> {
        if let Some(hour) = self.wanted.front() {
            return Some(*hour);
        }
        let hours: Vec<(Hour, HourContents)> = std::mem::take(&mut self.looked_at).into_iter().collect();
        self.found = moment(&hours, self.at);
        self.looked_at = hours.into_iter().collect();
        if self.found.chosen.is_some() {
            return None;
        }
        let before = self.found.before.as_ref().map(|piece| piece.hour.previous());
        // Also the hour before the one that it was found in, because a long segment of that may end later.
        self.wanted.extend(self.earlier.pop_if(|hour| before.is_none_or(|before| *hour == before)));
        if self.wanted.is_empty() && self.found.after.is_none() {
            self.wanted.extend(self.later.pop());
        }
        self.wanted.front().copied()
    }

    /// What the hour that was wanted holds.
    pub fn give(&mut self, contents: HourContents) {
        if let Some(hour) = self.wanted.pop_front() {
            self.looked_at.insert(hour, contents);
        }
    }

    /// What covers the point in time, when nothing more is wanted.
    pub fn found(self) -> Moment {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::test_names::{any_name, hash_text};

    fn hour() -> Hour {
        Hour::parse("2019-11-13T02").unwrap()
    }

    fn name(time: &str, duration: &str, kind: &str, hash: u8) -> String {
        format!("{time}-{duration}-{kind}-{}.ts", hash_text(hash))
    }

    fn contents(names: &[(&str, u64)]) -> HourContents {
        HourContents::from_names(names.iter().copied())
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_name_is_listed_hidden_deleted_absent_or_never_listed() {
        let (file, gone) = (name("00:00", "2.0", "full", 1), name("00:02", "2.0", "full", 2));
        let grave = |name: &str| name.replace(".ts", ".tombstone");
        let other = name("00:04", "2.0", "full", 3);
        let held = contents(&[(&file, 7), (&grave(&gone), 0), (&other, 5), (&grave(&other), 0), ("odd.ts", 3)]);
        assert_eq!(state(&held, &file), NameState::Listed { size: 7 });
        assert_eq!(state(&held, &gone), NameState::Deleted { by: grave(&gone) });
        assert_eq!(state(&held, &other), NameState::Hidden { size: 5, by: grave(&other) });
        assert_eq!(state(&held, &grave(&other)), NameState::Listed { size: 0 });
        assert_eq!(state(&held, &name("00:06", "2.0", "full", 1)), NameState::Absent);
        assert_eq!(state(&held, "odd.ts"), NameState::Listed { size: 3 });
        assert_eq!(state(&held, &name("00:00", "2.0", "temp", 1)), NameState::Temporary);
        assert_eq!(state(&held, ".hidden"), NameState::Foreign);
    }

    #[test]
    fn the_best_for_a_start_is_told_with_its_merit() {
        let (full, long) = (name("00:00", "2.0", "full", 1), name("00:00", "3.0", "full", 2));
        let (large, high) = (name("00:00", "3.0", "full", 3), name("00:00", "3.0", "full", 4));
        let partial = name("00:00", "9.0", "partial", 5);
        let held = contents(&[(&full, 1), (&long, 1), (&large, 2), (&high, 2), (&partial, 9)]);
        let Some(SegmentRank::Best(over)) = standing(&held, &high) else { unreachable!("it is the best") };
        let expected = [
            (long, Preference::Size),
            (large, Preference::Hash),
            (full, Preference::Duration),
            (partial.clone(), Preference::Kind),
        ];
        assert_eq!(over.len(), 4);
        assert!(expected.iter().all(|pair| over.contains(pair)), "{over:?}");
        assert_eq!(standing(&held, &partial), Some(SegmentRank::Beaten(high, Preference::Kind)));
        assert_eq!(standing(&held, "odd.ts"), None);
    }

    #[test]
    fn what_is_empty_or_lasts_no_time_is_never_the_best() {
        let (empty, instant) = (name("00:00", "9.0", "full", 1), name("00:02", "0.0", "full", 2));
        let short = name("00:00", "1.0", "partial", 3);
        let held = contents(&[(&empty, 0), (&instant, 7), (&short, 1)]);
        assert_eq!(standing(&held, &empty), Some(SegmentRank::Unplayable(Unplayable::Empty)));
        assert_eq!(standing(&held, &instant), Some(SegmentRank::Unplayable(Unplayable::NoLength)));
        assert_eq!(standing(&held, &short), Some(SegmentRank::Best(Vec::new())));
        let found = moment(&[(hour(), held)], at("2019-11-13T02:00:00.5"));
        assert_eq!(found.chosen.map(|piece| piece.file.name()), Some(short));
        assert!(matches!(found.others[..], [(_, CoveredBy::Unplayable(Unplayable::Empty))]), "{:?}", found.others);
    }

    #[test]
    fn a_time_is_covered_by_the_one_that_starts_first_and_is_best_for_its_start() {
        let (first, twin) = (name("00:00", "2.0", "full", 2), name("00:00", "2.0", "suspect", 3));
        let (later, grave) = (name("00:01", "2.0", "full", 4), name("00:00", "2.0", "full", 5));
        let held =
            contents(&[(&first, 1), (&twin, 1), (&later, 1), (&grave, 1), (&grave.replace(".ts", ".tombstone"), 0)]);
        let found = moment(&[(hour(), held)], at("2019-11-13T02:00:01"));
        assert_eq!(found.chosen.unwrap().file.name(), first);
        let others: Vec<(String, CoveredBy)> =
            found.others.into_iter().map(|(piece, instead)| (piece.file.name(), instead)).collect();
        assert_eq!(
            others,
            [(grave, CoveredBy::Hidden), (twin, CoveredBy::Beaten(first, Preference::Kind)), (later, CoveredBy::Later)]
        );
    }

    #[test]
    fn a_hole_reaches_from_the_end_before_to_the_start_after_even_across_hours() {
        let (before, after) = (name("59:50", "2.0", "full", 1), name("00:05.5", "2.0", "full", 2));
        let hours = [(hour(), contents(&[(&before, 1)])), (hour().next(), contents(&[(&after, 1)]))];
        let found = moment(&hours, at("2019-11-13T03:00:00"));
        assert_eq!(found.chosen, None);
        assert_eq!(found.hole(), Some(Span::from_us(13_500_000)));
        let at_end = moment(&hours, at("2019-11-13T02:59:52"));
        assert_eq!((at_end.chosen, at_end.before.map(|piece| piece.file.name())), (None, Some(before)));
        assert_eq!(moment(&hours, at("2019-11-13T02:59:49")).hole(), None, "nothing is known of before");
        assert_eq!(moment(&[], at("2019-11-13T02:59:49")), Moment::default());
    }

    #[test]
    fn only_as_many_hours_are_looked_at_as_it_takes_to_find_both_ends() {
        let ago = |hours: i64| Hour::parse("2019-11-13T12").unwrap().start() - Span::from_us(hours * 3_600_000_000);
        let name = name("10:00", "2.0", "full", 1);
        // Empty directories lie between the hole's ends and the hours around it.
        let held: BTreeMap<Hour, HourContents> = (-30..40)
            .map(|hours| {
                let full = hours >= 7 || hours <= -5;
                (ago(hours).hour(), if full { contents(&[(&name, 1)]) } else { HourContents::default() })
            })
            .collect();
        let mut search = Search::new(ago(0), &held.keys().copied().collect());
        let mut looked_at = 0;
        while let Some(hour) = search.wanted() {
            looked_at += 1;
            search.give(held[&hour].clone());
        }
        let found = search.found();
        assert_eq!(found.before.unwrap().hour, ago(7).hour());
        assert_eq!(found.after.unwrap().hour, ago(-5).hour());
        assert!(looked_at <= 16, "{looked_at}");
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_look_at_all_hours_finds(
            starts in prop::collection::vec((0..30_u32, 0..60_u32, 1..3600_u32), 0..12), asked in 0..110_000_i64,
        ) {
            let mut held: BTreeMap<Hour, Vec<String>> = BTreeMap::new();
            for (number, (hours, minute, seconds)) in starts.into_iter().enumerate() {
                let place = (hour().start() + Span::from_us(i64::from(hours) * 3_600_000_000)).hour();
                let name = name(&format!("{minute:02}:00"), &format!("{seconds}.0"), "full", u8::try_from(number).unwrap());
                held.entry(place).or_default().push(name);
            }
            let all: Vec<(Hour, HourContents)> = held
                .into_iter()
                .map(|(hour, names)| (hour, HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)))))
                .collect();
            let at = hour().start() + Span::from_us(asked * 1_000_000);
            let mut search = Search::new(at, &all.iter().map(|(hour, _)| *hour).collect());
            while let Some(hour) = search.wanted() {
                search.give(all.iter().find(|(known, _)| *known == hour).unwrap().1.clone());
            }
            let (found, expected) = (search.found(), moment(&all, at));
            prop_assert_eq!(found.chosen, expected.chosen);
            prop_assert_eq!(found.after.map(|piece| piece.start()), expected.after.map(|piece| piece.start()));
            prop_assert_eq!(found.before.map(|piece| piece.end()), expected.before.map(|piece| piece.end()));
        }

        #[test]
        fn what_is_told_agrees_with_what_is_listed_and_chosen(
            names in prop::collection::vec((any_name(), 0..3_u64), 0..12), asked in any_name(), second in 0..6_i64,
        ) {
            let held = HourContents::from_names(names.iter().map(|(name, size)| (name.as_str(), *size)));
            let listed = held.listed(true);
            prop_assert_eq!(matches!(state(&held, &asked), NameState::Listed { .. }), listed.contains(&asked));
            let best: Vec<String> = best_playable(&held).into_iter().map(SegmentFile::name).collect();
            for name in &listed {
                prop_assert_eq!(matches!(state(&held, name), NameState::Listed { .. }), true);
                prop_assert_eq!(matches!(standing(&held, name), Some(SegmentRank::Best(_))), best.contains(name));
            }
            let time = hour().start() + Span::from_us(second * 1_000_000);
            let found = moment(&[(hour(), held)], time);
            if let Some(chosen) = found.chosen {
                prop_assert!(best.contains(&chosen.file.name()) && chosen.start() <= time && time < chosen.end());
                prop_assert!(found.before.is_none() && found.after.is_none());
            } else {
                prop_assert!(found.before.is_none_or(|piece| piece.end() <= time));
                prop_assert!(found.after.is_none_or(|piece| piece.start() > time));
                prop_assert!(found.others.iter().all(|(_, instead)| *instead != CoveredBy::Later));
            }
        }
    }
}
