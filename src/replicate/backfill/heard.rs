//! What peers said lately of their newest segments, by content: recorders of this node give equal content the same times.
//!
//! In memory only, and bounded: what is forgotten costs two recorders a difference of their times, and nothing else.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::archive::hidden_content::NEARBY;
use crate::archive::{Hash, PeerStart, SegmentKey, SegmentKind, Stream, Timestamp};

/// Segments that are remembered of a quality: two minutes of 2 s.
const MOST_SEGMENTS: usize = 64;
/// Qualities.
const MOST_STREAMS: usize = 1024;

#[derive(Debug, Default)]
pub struct HeardSegments(Mutex<HashMap<Stream, VecDeque<(Hash, PeerStart)>>>);

impl HeardSegments {
    pub(super) fn hear(&self, stream: &Stream, key: &SegmentKey, said: PeerStart) {
        if key.tombstone || key.kind != SegmentKind::Full {
            return;
        }
        let mut heard = self.0.lock();
        if heard.len() >= MOST_STREAMS && !heard.contains_key(stream) {
            // Of the one whose newest segment is the oldest, nobody asks any more.
            let newest = |of: &VecDeque<(Hash, PeerStart)>| of.back().map(|(_, last)| last.start);
            let oldest = heard.iter().min_by_key(|(_, of)| newest(of)).map(|(known, _)| known.clone());
            if let Some(oldest) = oldest {
                heard.remove(&oldest);
            }
        }
        let of_stream = heard.entry(stream.clone()).or_default();
        let known = of_stream.iter_mut().find(|(hash, known)| *hash == key.hash && known.start == said.start);
        match known {
            Some((_, known)) if known.lead.is_none() => *known = said,
            Some(_) => {}
            None => {
                if of_stream.len() >= MOST_SEGMENTS {
                    of_stream.pop_front();
                }
                of_stream.push_back((key.hash, said));
            }
        }
    }

    /// What was said of a content that begins within 30 s of then.
    pub fn of(&self, stream: &Stream, hash: &Hash, near: Timestamp) -> Vec<PeerStart> {
        let heard = self.0.lock();
        let of_stream = heard.get(stream).into_iter().flatten();
        let is_it = |(known, said): &&(Hash, PeerStart)| {
            known == hash && (said.start - near).us().unsigned_abs() <= NEARBY.us().unsigned_abs()
        };
        of_stream.filter(is_it).map(|(_, said)| said.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::hash_text;
    use crate::archive::{FileName, Hour, Span, parse_file_name};

    fn key(letter: u8) -> SegmentKey {
        let name = format!("10:00-2.0-full-{}.ts", hash_text(letter));
        let FileName::Understood(key) = parse_file_name(&name) else { panic!("{name}") };
        key
    }

    fn said(us: i64, lead: bool) -> PeerStart {
        let start = Hour::parse("2019-11-13T02").unwrap().start() + Span::from_us(us);
        PeerStart { peer: "b".into(), start, lead: lead.then(|| "0a".into()) }
    }

    #[test]
    fn what_was_said_of_a_content_nearby_is_known_and_no_more_than_there_is_room_for() {
        let heard = HeardSegments::default();
        let stream = Stream::parse("a/source").unwrap();
        heard.hear(&stream, &key(1), said(0, false));
        heard.hear(&stream, &key(1), said(0, true));
        heard.hear(&stream, &SegmentKey { kind: SegmentKind::Partial, ..key(2) }, said(0, false));
        assert_eq!(heard.of(&stream, &key(1).hash, said(30_000_000, false).start), [said(0, true)]);
        assert!(heard.of(&stream, &key(1).hash, said(30_000_001, false).start).is_empty());
        assert!(heard.of(&stream, &key(2).hash, said(0, false).start).is_empty(), "a partial one is no measure");
        for number in 0..100 {
            heard.hear(&stream, &key(3), said(number, false));
        }
        assert!(heard.of(&stream, &key(1).hash, said(0, false).start).is_empty());
        for number in 0..MOST_STREAMS {
            heard.hear(&Stream::parse(&format!("b{number}/source")).unwrap(), &key(3), said(1_000_000, false));
        }
        assert!(heard.of(&stream, &key(3).hash, said(0, false).start).is_empty());
        assert_eq!(heard.0.lock().len(), MOST_STREAMS);
    }
}
