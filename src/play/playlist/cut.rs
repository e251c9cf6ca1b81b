//! What is cut out: stretches one after the other, what of each is not there, and what the file is called.

use crate::archive::best::{Sequence, SequencePiece};
use crate::archive::escape::steers;
use crate::archive::segment::SegmentKind;
use crate::archive::time::{Span, Timestamp};

/// What keeps a stretch from being whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutHoleReason {
    /// From when on.
    pub start: Timestamp,
    /// Until when; not before `start`.
    pub end: Timestamp,
    /// The type of the segment before it, where that is why: nothing may be missing beside it.
    pub because: Option<SegmentKind>,
}

impl CutHoleReason {
    /// How long.
    pub fn length(&self) -> Span {
        self.end - self.start
    }
}

/// What keeps the best sequence of `[start, end)` from being whole: one for each of its discontinuities.
pub fn lacks(sequence: &Sequence, start: Timestamp, end: Timestamp) -> Vec<CutHoleReason> {
    let mut lacks = Vec::new();
    let mut before: Option<&SequencePiece> = None;
    for (at, each) in sequence.iter().enumerate() {
        let Some(piece) = each else {
            let from = before.map_or(start, SequencePiece::end).min(end);
            let next = sequence.get(at + 1).and_then(Option::as_ref);
            let to = next.map_or(end, SequencePiece::start).max(from);
            let because = before.map(|piece| piece.file.key.kind).filter(|kind| *kind != SegmentKind::Full);
            lacks.push(CutHoleReason { start: from, end: to, because });
            continue;
        };
        before = Some(piece);
    }
    lacks
}

/// A file name for a stretch: names of people's channels, and times that any file system takes.
pub fn file_name(channel: &str, quality: &str, start: Timestamp, end: Timestamp, extension: &str) -> String {
    let time = |time: Timestamp| {
        let text = time.to_string().replace(':', "-");
        text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let plain = |name: &str| -> String {
        let is_awkward = |letter: char| steers(letter) || r#"/\:*?"<>|%"#.contains(letter);
        name.chars().map(|letter| if is_awkward(letter) { '_' } else { letter }).take(60).collect()
    };
    format!("{}_{}_{}_{}.{extension}", plain(channel), plain(quality), time(start), time(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::test_names::hash_text;
    use crate::archive::{Hour, HourContents, best_per_start, best_sequence};

    fn sequence(names: &[String], start: Timestamp, end: Timestamp) -> Sequence {
        let hour = Hour::parse("2019-11-13T02").unwrap();
        let contents = HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
        let best: Vec<SequencePiece> =
            best_per_start(&contents).into_iter().map(|file| SequencePiece { hour, file: file.clone() }).collect();
        best_sequence(best, start, end)
    }

    #[test]
    fn what_is_missing_is_told_at_the_front_between_and_at_the_end() {
        let start = Timestamp::parse("2019-11-13T02:00:00").unwrap();
        let at = |seconds: i64| start + Span(seconds * 1_000_000);
        let h = hash_text(1);
        let names =
            [format!("00:02-2.0-full-{h}.ts"), format!("00:06-2.0-partial-{h}.ts"), format!("00:08-2.0-full-{h}.ts")];
        let found = lacks(&sequence(&names, start, at(12)), start, at(12));
        let expected = [(0, 2, None), (4, 6, None), (8, 8, Some(SegmentKind::Partial)), (10, 12, None)];
        let expected = expected.map(|(from, to, because)| CutHoleReason { start: at(from), end: at(to), because });
        assert_eq!(found, expected);
        assert_eq!(lacks(&Vec::new(), start, at(1)), []);
        assert_eq!(lacks(&vec![None], start, at(1)), [CutHoleReason { start, end: at(1), because: None }]);
    }

    #[test]
    fn a_file_name_is_one_on_any_system() {
        let start = Timestamp::parse("2019-11-13T02:55:08.5").unwrap();
        let end = Timestamp::parse("2019-11-13T03:00").unwrap();
        assert_eq!(
            file_name("des\"ert:bus", "720p60", start, end, "ts"),
            "des_ert_bus_720p60_2019-11-13T02-55-08.5_2019-11-13T03-00-00.ts"
        );
    }
}
