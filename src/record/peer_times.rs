//! Agrees with the recorders of other nodes on the times of a source that tells none. Pure.
//!
//! 1. A recorder that begins is placed by what others have of the same content ([`PeerTimes`], rule 4 of `list_recorder`).
//! 2. Two that run already differ by what their networks do. The one whose archive has the lower id gives the time; the other follows it by at
//!    most 4 ms a segment, which with [`Drift`](super::drift::Drift) is neither a hole nor an overlap in this archive.
//! 3. Nobody leads further than 30 s from where the segments seem to be here, and content that recurs is no measure.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::archive::hidden_content::NEARBY;
use crate::archive::{Hash, PeerStart, Span, Stream, Timestamp};

/// How much a segment is moved at most.
const STEP: Span = Span::from_us(4_000);
/// Own segments that are compared with those of others.
const COMPARED: usize = 32;
/// Differences that have to agree before anybody is followed.
const AGREE: usize = 3;
/// By so much they may differ, as the other one lets out its own drift.
const ALIKE: Span = Span::from_us(50_000);

type Asked = dyn Fn(&Stream, &Hash, Timestamp) -> Vec<PeerStart> + Send + Sync;

/// Says what other nodes have of a content, near a time.
#[derive(Clone)]
pub struct PeerTimes(Arc<Asked>);

impl PeerTimes {
    pub fn new(asked: impl Fn(&Stream, &Hash, Timestamp) -> Vec<PeerStart> + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }

    pub fn of(&self, stream: &Stream, hash: &Hash, near: Timestamp) -> Vec<PeerStart> {
        (self.0)(stream, hash, near)
    }
}

impl Default for PeerTimes {
    /// Nobody is asked.
    fn default() -> Self {
        Self::new(|_, _, _| Vec::new())
    }
}

impl fmt::Debug for PeerTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerTimes")
    }
}

/// A segment that was recorded here: what it is, when it begins, and how far it was moved for that.
#[derive(Debug)]
struct OwnSegment {
    hash: Hash,
    start: Timestamp,
    moved: Span,
    is_compared: bool,
}

/// How far this recorder has moved its times to agree with another one's.
#[derive(Debug, Default)]
pub struct AgreedTimes {
    moved: Span,
    own: VecDeque<OwnSegment>,
    /// The id of the archive that is followed, and how far times would have to be moved by its last segments.
    leader: Option<(Arc<str>, VecDeque<Span>)>,
}

impl AgreedTimes {
    /// How far the next segment is moved.
    pub fn next(&mut self) -> Span {
        if let Some(wanted) = self.wanted() {
            let left = (wanted - self.moved).us().clamp(-STEP.us(), STEP.us());
            self.moved = self.moved + Span::from_us(left);
        }
        self.moved
    }

    /// A segment was recorded that was moved so far.
    pub fn recorded(&mut self, hash: Hash, start: Timestamp, moved: Span) {
        if self.own.len() >= COMPARED {
            self.own.pop_front();
        }
        self.own.push_back(OwnSegment { hash, start, moved, is_compared: false });
    }

    /// Compares what was recorded here with what others have. Returns the peer that is followed, and how much earlier it is (later, if negative), when
    /// something new is known.
    pub fn compare(&mut self, of: impl Fn(&Hash, Timestamp) -> Vec<PeerStart>) -> Option<(Arc<str>, Span)> {
        let mut news = None;
        for at in 0..self.own.len() {
            let Some(own) = self.own.get(at).filter(|own| !own.is_compared) else { continue };
            let (hash, start, moved) = (own.hash, own.start, own.moved);
            let recurs = self.own.iter().filter(|other| other.hash == hash).count() > 1;
            let said = if recurs { Vec::new() } else { of(&hash, start) };
            let Some(leader) = said.iter().filter(|said| said.lead.is_some()).min_by(|a, b| a.lead.cmp(&b.lead)) else {
                continue;
            };
            let is_one = said.iter().filter(|other| other.lead == leader.lead).count() == 1;
            let wanted = moved + (leader.start - start);
            if let Some(compared) = self.own.get_mut(at) {
                compared.is_compared = true;
            }
            if is_one && wanted.us().abs() <= NEARBY.us() {
                self.follow(leader.lead.as_ref(), wanted);
                news = Some((Arc::clone(&leader.peer), start - leader.start));
            }
        }
        news
    }

    fn follow(&mut self, lead: Option<&Arc<str>>, wanted: Span) {
        let Some(lead) = lead else { return };
        match &mut self.leader {
            Some((known, wishes)) if known == lead => {
                if wishes.len() >= AGREE {
                    wishes.pop_front();
                }
                wishes.push_back(wanted);
            }
            _ => self.leader = Some((Arc::clone(lead), VecDeque::from([wanted]))),
        }
    }

    /// How far times are to be moved, once that is certain.
    fn wanted(&self) -> Option<Span> {
        let (_, wishes) = self.leader.as_ref()?;
        let (least, most) = (wishes.iter().min()?, wishes.iter().max()?);
        (wishes.len() >= AGREE && *most - *least <= ALIKE).then(|| wishes.back().copied())?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::time::SECOND_US;

    /// A recorder of 2 s segments that appear with a delay, which holds its own times steady.
    struct Simulated {
        id: &'static str,
        off: i64,
        agreed: AgreedTimes,
        /// The content and start of each.
        names: Vec<(u64, Timestamp)>,
    }

    fn hash(number: u64) -> Hash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Hash(bytes)
    }

    impl Simulated {
        fn new(id: &'static str, off: i64) -> Self {
            Self { id, off, agreed: AgreedTimes::default(), names: Vec::new() }
        }

        fn record(&mut self, number: u64, content: u64) {
            let moved = self.agreed.next();
            let start = Timestamp::from_us(i64::try_from(number).unwrap() * 2 * SECOND_US + self.off) + moved;
            self.names.push((content, start));
            self.agreed.recorded(hash(content), start, moved);
        }

        fn hear(&mut self, others: &[(&'static str, Vec<(u64, Timestamp)>)]) {
            let id = self.id;
            let of = |wanted: &Hash, near: Timestamp| {
                let said = others.iter().flat_map(|(other, names)| names.iter().map(move |name| (*other, name)));
                let is_it = |(_, (content, start)): &(&'static str, &(u64, Timestamp))| {
                    hash(*content) == *wanted && (*start - near).us().abs() <= NEARBY.us()
                };
                said.filter(is_it)
                    .map(|(other, (_, start))| PeerStart {
                        peer: other.into(),
                        start: *start,
                        lead: (other < id).then(|| other.into()),
                    })
                    .collect()
            };
            self.agreed.compare(of);
        }
    }

    fn round(nodes: &mut [Simulated], number: u64, content: u64) {
        for node in nodes.iter_mut() {
            node.record(number, content);
        }
        let said: Vec<_> =
            nodes.iter().map(|node| (node.id, node.names[node.names.len().saturating_sub(60)..].to_vec())).collect();
        for node in nodes.iter_mut() {
            let others: Vec<_> = said.iter().filter(|(id, _)| *id != node.id).cloned().collect();
            node.hear(&others);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn recorders_come_to_the_same_times_and_none_has_a_hole_or_an_overlap_of_them(
            offs in prop::collection::vec(-1_500_000_i64..1_500_000, 2..4), at in 100_u64..200,
        ) {
            let ids = ["0a", "1b", "2c"];
            let mut nodes: Vec<Simulated> = ids.into_iter().zip(&offs).map(|(id, off)| Simulated::new(id, *off)).collect();
            for number in 0..1_000 {
                // Half a minute of a still picture in between.
                let content = if (at..at + 15).contains(&number) { 1_000_000 } else { number };
                round(&mut nodes, number, content);
            }
            let leader = nodes[0].names.clone();
            prop_assert!(leader.windows(2).all(|pair| pair[1].1 - pair[0].1 == Span(2 * SECOND_US)), "it follows nobody");
            for node in &nodes {
                prop_assert_eq!(&node.names[900..], &leader[900..], "{}", node.id);
                for pair in node.names.windows(2) {
                    let gap = (pair[1].1 - pair[0].1).us() - 2 * SECOND_US;
                    prop_assert!(gap.abs() <= STEP.us(), "{} moves by {gap} µs at once", node.id);
                }
            }
        }
    }

    #[test]
    fn nobody_is_followed_further_than_half_a_minute_or_by_content_that_recurs() {
        let mut far = AgreedTimes::default();
        let start = Timestamp::from_us(1_000 * SECOND_US);
        let said = |us: i64| {
            move |_: &Hash, near: Timestamp| {
                vec![PeerStart { peer: "b".into(), start: near + Span(us), lead: Some("0".into()) }]
            }
        };
        for number in 0..4 {
            far.recorded(hash(number), start, Span(0));
        }
        assert_eq!(far.compare(said(31 * SECOND_US)), None);
        assert_eq!(far.next(), Span(0));
        let mut still = AgreedTimes::default();
        for _ in 0..4 {
            still.recorded(hash(1), start, Span(0));
        }
        assert_eq!(still.compare(said(SECOND_US)), None);
        let mut follows = AgreedTimes::default();
        for number in 0..4 {
            follows.recorded(hash(number), start, Span(0));
        }
        assert_eq!(follows.compare(said(-SECOND_US)), Some(("b".into(), Span(SECOND_US))));
        assert_eq!(follows.next(), Span(-STEP.us()));
    }
}
