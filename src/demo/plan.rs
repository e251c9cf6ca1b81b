//! Who records what, who misses it, and why: a pure function of a seed and a time. Knows no clock and no disk.
//!
//! Pieces are numbered from the moment at which the demonstration begins, so that a seed does the same whenever it is given: those
//! from 0 on are live, those before lie in the past. Chances are hashes of what they are about; nothing depends on the order in which
//! it is asked.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::archive::time::SECOND_US;
use crate::archive::{Span, Timestamp};

pub const NODES: [&str; 3] = ["north", "south", "west"];
pub const CHANNELS: [&str; 2] = ["harbour", "square"];
pub const QUALITIES: [&str; 2] = ["source", "480p"];

/// A live segment lasts as long as most of the field's do.
const LIVE: Span = Span(2 * SECOND_US);
/// One of the past lasts three times that: a third of the files says as much about the past.
const PAST: Span = Span(6 * SECOND_US);
/// At most one outage begins and ends in so many live segments of a channel, a minute; so there is always an end to it.
const LIVE_WINDOW: i64 = 30;
/// The same for the past: 20 minutes.
const PAST_WINDOW: i64 = 200;
/// Of how many a chance is one.
const CHANCES: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedPiece {
    pub channel: usize,
    pub quality: usize,
    /// Counted from the beginning; negative in the past.
    pub number: i64,
    pub start: Timestamp,
    pub duration: Span,
}

impl PlannedPiece {
    /// When it ends, and is written by a recorder that does what it should.
    pub fn end(&self) -> Timestamp {
        self.start + self.duration
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceFate {
    Complete,
    Partial,
    Late(Span),
    Dropped,
    Away,
    /// Every recorder is away.
    Silent,
}

impl PieceFate {
    /// Whether other nodes can get the whole of it here, sooner or later.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Complete | Self::Late(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Where; nowhere is it recorded if it is not one node's.
    pub node: Option<usize>,
    /// The first piece that is missed.
    pub first: i64,
    pub pieces: i64,
}

impl Outage {
    fn holds(&self, number: i64) -> bool {
        (self.first..self.first + self.pieces).contains(&number)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct DemoPlan {
    seed: u64,
    begin: Timestamp,
    past: i64,
}

impl DemoPlan {
    /// The plan of a demonstration that begins now, with so much of a past. Both are cut to whole pieces.
    pub fn new(seed: u64, now: Timestamp, history: Span) -> Self {
        let begin = Timestamp(now.us() - now.us().rem_euclid(PAST.us()));
        Self { seed, begin, past: history.us() / PAST.us() }
    }

    #[cfg(test)]
    pub fn history(&self) -> Span {
        Span(self.past * PAST.us())
    }

    pub fn past(&self) -> impl Iterator<Item = PlannedPiece> + use<> {
        let plan = *self;
        (-self.past..0).flat_map(move |number| plan.pieces(number))
    }

    pub fn pieces(&self, number: i64) -> impl Iterator<Item = PlannedPiece> + use<> {
        let duration = if number < 0 { PAST } else { LIVE };
        let start = self.begin + Span(number * duration.us());
        let streams =
            (0..CHANNELS.len()).flat_map(|channel| (0..QUALITIES.len()).map(move |quality| (channel, quality)));
        streams.map(move |(channel, quality)| PlannedPiece { channel, quality, number, start, duration })
    }

    /// The first number that has not ended by then.
    pub fn not_ended(&self, now: Timestamp) -> i64 {
        (now - self.begin).us().div_euclid(LIVE.us())
    }

    /// How long so many live pieces last.
    pub fn live_length(pieces: i64) -> Span {
        Span(pieces * LIVE.us())
    }

    pub fn fate(&self, piece: &PlannedPiece, node: usize) -> PieceFate {
        let outage = self.outage(piece.channel, window_of(piece.number)).filter(|outage| outage.holds(piece.number));
        match outage.map(|outage| outage.node) {
            Some(None) => return PieceFate::Silent,
            Some(Some(away)) if away == node => return PieceFate::Away,
            _ => {}
        }
        let stream = [number(piece.channel), number(piece.quality), piece.number];
        if self.chance(b"what is sent breaks off", &stream) < 20 {
            return PieceFate::Partial;
        }
        let about = [stream[0], stream[1], stream[2], number(node)];
        match self.chance(b"a recorder misses", &about) {
            0..80 => PieceFate::Dropped,
            80..120 => PieceFate::Partial,
            120..180 => PieceFate::Late(Span(self.between(b"how late", &about, 5, 30) * SECOND_US)),
            _ => PieceFate::Complete,
        }
    }

    /// The nodes where a piece can be had as a whole, sooner or later.
    pub fn holders(&self, piece: &PlannedPiece) -> Vec<usize> {
        (0..NODES.len()).filter(|node| self.fate(piece, *node).is_whole()).collect()
    }

    /// The outage of a channel that begins with this number.
    pub fn outage_from(&self, channel: usize, first: i64) -> Option<Outage> {
        self.outage(channel, window_of(first)).filter(|outage| outage.first == first)
    }

    /// How many live pieces of a channel before this one a node's recorder misses because it, or everybody's, is away.
    pub fn away_before(&self, channel: usize, node: usize, number: i64) -> i64 {
        let outages = (0..=window_of(number.max(0))).filter_map(|window| self.outage(channel, window));
        let of_node = outages.filter(|outage| outage.node.is_none_or(|away| away == node));
        of_node.map(|outage| (number - outage.first).clamp(0, outage.pieces)).sum()
    }

    /// The piece of the past that everybody has and that is hidden by a tombstone.
    pub fn hidden(&self) -> Option<PlannedPiece> {
        let candidates = (-self.past / 2..0).flat_map(|number| self.pieces(number));
        let everybody =
            |piece: &PlannedPiece| (0..NODES.len()).all(|node| self.fate(piece, node) == PieceFate::Complete);
        candidates.filter(|piece| piece.channel == 1 && piece.quality == 0).find(everybody)
    }

    fn outage(&self, channel: usize, window: i64) -> Option<Outage> {
        let about = [number(channel), window];
        let which = || usize::try_from(self.between(b"which node", &about, 0, number(NODES.len()) - 1)).ok();
        if (channel, window) == (0, 0) {
            // Early and certain, so that whoever has just opened the page sees one: from the 8th second to the 20th.
            return Some(Outage { node: which(), first: 4, pieces: 6 });
        }
        let is_past = window < 0;
        let between = |what: &[u8], least, most| self.between(what, &about, least, most);
        // In percent: one node's, everybody's.
        let (one, all) = if is_past { (70, 12) } else { (45, 8) };
        let kind = between(b"an outage", 0, 99);
        let node = if kind < one {
            which()
        } else if kind < one + all {
            None
        } else {
            return None;
        };
        // They end within their window, some pieces before the next may begin.
        let (offset, pieces) = match (is_past, node) {
            (false, Some(_)) => (between(b"from", 2, 7), between(b"pieces", 5, 20)),
            (false, None) => (between(b"from", 2, 20), between(b"pieces", 3, 7)),
            (true, Some(_)) => (between(b"from", 5, 80), between(b"pieces", 10, 100)),
            (true, None) => (between(b"from", 5, 150), between(b"pieces", 4, 30)),
        };
        let window_starts = window * if is_past { PAST_WINDOW } else { LIVE_WINDOW };
        Some(Outage { node, first: window_starts + offset, pieces })
    }

    /// A number below [`CHANCES`].
    fn chance(&self, what: &[u8], about: &[i64]) -> u64 {
        self.hash(what, about) % CHANCES
    }

    fn between(&self, what: &[u8], about: &[i64], least: i64, most: i64) -> i64 {
        let choices = u64::try_from(most - least + 1).unwrap_or(1);
        least + i64::try_from(self.hash(what, about) % choices).unwrap_or_default()
    }

    fn hash(&self, what: &[u8], about: &[i64]) -> u64 {
        let numbers = about.iter().flat_map(|number| number.to_le_bytes());
        xxh3_64_with_seed(&what.iter().copied().chain(numbers).collect::<Vec<u8>>(), self.seed)
    }
}

/// Windows of the past are negative as its numbers are.
fn window_of(number: i64) -> i64 {
    number.div_euclid(if number < 0 { PAST_WINDOW } else { LIVE_WINDOW })
}

/// An index as a number to be hashed.
fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(seed: u64) -> DemoPlan {
        DemoPlan::new(seed, Timestamp::parse("2019-11-13T02:55:11.5").unwrap(), Span(3 * 3600 * SECOND_US))
    }

    proptest! {
        #[test]
        fn pieces_follow_one_another_without_a_gap_and_none_runs_over_the_hour(seed: u64, us in 0..4_000_000_000_000_000_i64) {
            let plan = DemoPlan::new(seed, Timestamp(us), Span(700 * SECOND_US));
            let pieces: Vec<PlannedPiece> = (-plan.past..100).filter_map(|number| plan.pieces(number).next()).collect();
            for pair in pieces.windows(2) {
                prop_assert_eq!(pair[0].end(), pair[1].start);
            }
            for piece in &pieces {
                prop_assert_eq!(Timestamp(piece.end().us() - 1).hour(), piece.start.hour());
            }
            prop_assert_eq!(pieces[0].start + plan.history(), plan.begin);
            prop_assert!((0..PAST.us()).contains(&(us - plan.begin.us())));
        }

        #[test]
        fn a_piece_has_not_ended_before_it_ends(seed: u64, after in 0..1_000_000_000_i64) {
            let plan = plan(seed);
            let now = plan.begin + Span(after);
            let number = plan.not_ended(now);
            prop_assert!(plan.pieces(number).all(|piece| piece.start <= now && now < piece.end()));
        }

        #[test]
        fn an_outage_stays_in_its_window_and_is_one_nodes_or_everybodys(seed: u64, channel in 0..2_usize, window in -9..200_i64) {
            let plan = plan(seed);
            let Some(outage) = plan.outage(channel, window) else { return Ok(()) };
            let last = outage.first + outage.pieces - 1;
            prop_assert_eq!((window_of(outage.first - 2), window_of(last + 2)), (window, window), "{:?}", outage);
            prop_assert_eq!(plan.outage_from(channel, outage.first), Some(outage));
            for number in [outage.first - 1, outage.first, last, last + 1] {
                let piece = plan.pieces(number).find(|piece| piece.channel == channel).unwrap();
                for node in 0..NODES.len() {
                    let is_out = outage.holds(number) && outage.node.is_none_or(|away| away == node);
                    if number >= 0 {
                        let grown = plan.away_before(channel, node, number + 1) - plan.away_before(channel, node, number);
                        prop_assert_eq!(grown, i64::from(is_out));
                    }
                    prop_assert_eq!(matches!(plan.fate(&piece, node), PieceFate::Away | PieceFate::Silent), is_out);
                }
            }
        }

        #[test]
        fn every_seed_begins_with_an_outage_that_others_can_fill(seed: u64) {
            let outage = plan(seed).outage_from(0, 4).unwrap();
            prop_assert!(outage.node.is_some_and(|node| node < NODES.len()));
        }

        #[test]
        fn a_seed_does_the_same_whenever_it_is_given(seed: u64, number in -1800..10_000_i64, other in 0..1_000_000_000_000_000_i64) {
            let (one, another) = (plan(seed), DemoPlan::new(seed, Timestamp(other), Span(0)));
            for (a, b) in one.pieces(number).zip(another.pieces(number)) {
                for node in 0..NODES.len() {
                    prop_assert_eq!(one.fate(&a, node), another.fate(&b, node));
                }
            }
        }

        #[test]
        fn what_is_hidden_is_one_that_everybody_has(seed: u64) {
            let plan = plan(seed);
            let hidden = plan.hidden().unwrap();
            prop_assert_eq!(plan.holders(&hidden).len(), NODES.len());
            prop_assert!(plan.past().any(|piece| piece == hidden));
        }
    }

    #[test]
    fn recorders_miss_little_at_a_time_and_each_something_else() {
        let plan = plan(1);
        let (mut missed, mut partial, mut late, mut lost) = (0, 0, 0, 0);
        let pieces: Vec<PlannedPiece> = (0..10_000).flat_map(|number| plan.pieces(number)).collect();
        for piece in &pieces {
            for node in 0..NODES.len() {
                match plan.fate(piece, node) {
                    PieceFate::Dropped => missed += 1,
                    PieceFate::Partial => partial += 1,
                    PieceFate::Late(by) => {
                        assert!((5..=30).contains(&(by.us() / SECOND_US)), "{by:?}");
                        late += 1;
                    }
                    _ => {}
                }
            }
            lost += i32::from(plan.holders(piece).is_empty());
        }
        // Of 120,000: 0.8 %, 0.6 % and 0.6 % by the numbers above; of 40,000 pieces few are lost to everybody.
        for (what, count) in [("missed", missed), ("partial", partial), ("late", late)] {
            assert!((400..1_200).contains(&count), "{what}: {count}");
        }
        assert!((100..2_000).contains(&lost), "lost: {lost}");
        assert!(DemoPlan::new(1, plan.begin, Span(0)).hidden().is_none(), "without a past nothing of it is hidden");
    }
}
