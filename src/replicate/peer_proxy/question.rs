//! What is asked of another node, and whether what it answers is about that: times that can be written, runs that fill the pixels,
//! holes that lie in the window. A browser believes what comes through here.

use crate::archive::{Channel, Quality, Stream, Timestamp};
use crate::wire::{HoleList, TimeExtent, Timeline, TimelineRun};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuestionKind {
    Timeline,
    Holes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub kind: QuestionKind,
    pub stream: Stream,
    /// From when on; from the first segment on if it is not given.
    pub from: Option<Timestamp>,
    /// Until when; until the furthest end if it is not given.
    pub to: Option<Timestamp>,
    pub pixels: Option<u64>,
    /// Of holes, also what is missing at the edges.
    pub edges: bool,
}

/// Pieces of a timeline where their number is not asked for; the other node may have another number in mind, but never more.
pub const MOST_PIXELS: u64 = 4_096;

impl Question {
    /// What of the address says which question it is.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            QuestionKind::Timeline => "timeline",
            QuestionKind::Holes => "holes",
        }
    }

    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let time = |name, time: Option<Timestamp>| time.map(|time| (name, time.to_string()));
        let pixels = self.pixels.map(|pixels| ("pixels", pixels.to_string()));
        let edges = self.edges.then(|| ("edges", "true".to_owned()));
        [time("from", self.from), time("to", self.to), pixels, edges].into_iter().flatten().collect()
    }

    /// A timeline that answers this.
    pub(super) fn timeline(&self, told: Timeline) -> Option<Timeline> {
        let (from, to) = (usual(told.from)?, usual(told.to)?);
        let drawn: u64 = told.runs.iter().map(|TimelineRun(pixels, ..)| u64::from(*pixels)).sum();
        let is_share = |TimelineRun(pixels, missing, partial): &TimelineRun| {
            *pixels > 0 && (-1..=1000).contains(missing) && (0..=1000).contains(partial)
        };
        let is_answer = self.is_about(&told.channel, &told.quality)
            && from < to
            && self.from.is_none_or(|asked| asked == from)
            && self.to.is_none_or(|asked| asked == to)
            && told.pixels == self.pixels.unwrap_or(told.pixels)
            && told.pixels <= MOST_PIXELS
            && drawn == told.pixels
            && told.runs.iter().all(is_share)
            && told.extent.as_ref().is_none_or(is_stretch)
            && told.in_bucket.len() as u64 <= MOST_PIXELS
            && told.in_bucket.iter().all(is_stretch);
        is_answer.then_some(told)
    }

    /// Holes that answer this.
    pub(super) fn holes(&self, mut told: HoleList) -> Option<HoleList> {
        let first = self.from.unwrap_or(Timestamp::MIN);
        let last = self.to.unwrap_or(Timestamp::MAX);
        let mut before = first;
        for hole in &mut told.holes {
            let (start, end) = (usual(hole.start)?, usual(hole.end)?);
            // In order, and none twice: what one adds up is never more than the window.
            if start < before || end <= start || end > last {
                return None;
            }
            before = end;
            hole.seconds = (end - start).seconds();
            for noted in [hole.first_seen, hole.reason_since].into_iter().flatten() {
                usual(noted)?;
            }
        }
        if let Some(next) = told.next.map(usual)
            && next.is_none_or(|at| at <= first || at > last)
        {
            return None;
        }
        self.is_about(&told.channel, &told.quality).then_some(told)
    }

    fn is_about(&self, channel: &Channel, quality: &Quality) -> bool {
        (channel, quality) == (&self.stream.channel, &self.stream.quality)
    }
}

/// A time that can be written with four digits of a year: others mean different things to different programs.
fn usual(time: Timestamp) -> Option<Timestamp> {
    (Timestamp::MIN..Timestamp::MAX).contains(&time).then_some(time)
}

fn is_stretch(told: &TimeExtent) -> bool {
    usual(told.start).zip(usual(told.end)).is_some_and(|(start, end)| start <= end)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn question(kind: QuestionKind) -> Question {
        Question {
            kind,
            stream: Stream::new("a", "source").unwrap(),
            from: Timestamp::parse("2020-01-01T05:00:00Z"),
            to: Timestamp::parse("2020-01-01T06:00:00Z"),
            pixels: (kind == QuestionKind::Timeline).then_some(60),
            edges: false,
        }
    }

    fn changed(good: &Value, path: &str, value: Value) -> Value {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    }

    #[test]
    fn a_timeline_is_passed_on_only_if_it_is_the_one_that_was_asked_for() {
        let good = json!({
            "channel": "a", "quality": "source", "from": "2020-01-01T05:00:00Z", "to": "2020-01-01T06:00Z", "pixels": 60,
            "extent": { "start": "2020-01-01T05:00:00Z", "end": "2020-01-01T05:59:00Z" }, "runs": [[3, 0, 0], [57, 1000, 0]],
        });
        let read =
            |value: &Value| question(QuestionKind::Timeline).timeline(serde_json::from_value(value.clone()).ok()?);
        let passed = read(&good).unwrap();
        assert_eq!(json!(passed.to), json!("2020-01-01T06:00:00.000000Z"), "as every browser reads it");
        assert!(read(&changed(&good, "/extent", Value::Null)).is_some());
        for (path, value) in [
            ("/channel", json!("b")),
            ("/quality", json!("")),
            ("/from", json!("x")),
            ("/from", json!("2020-01-01T04:00:00Z")),
            ("/to", json!("")),
            ("/to", json!("2020-01-01T05:00:00Z")),
            ("/pixels", json!(61)),
            ("/extent/start", json!("x")),
            ("/extent/end", json!("+12020-01-01T05:59:00")),
            ("/extent/end", json!("2020-01-01T04:59:59Z")),
            ("/runs", json!([])),
            ("/runs", json!([[60, 1001, 0]])),
            ("/runs", json!([[60, 0, -1]])),
            ("/runs", json!([[60, -2, 0]])),
            ("/runs", json!([[60, 0, 0], [0, 0, 0]])),
            ("/runs/0/0", json!(4)),
            ("/runs/0/0", json!(4_294_967_295_u32)),
        ] {
            assert!(read(&changed(&good, path, value.clone())).is_none(), "{path} {value}");
        }
        let open = Question { from: None, to: None, pixels: None, ..question(QuestionKind::Timeline) };
        let many = json!({ "channel": "a", "quality": "source", "from": "2020-01-01T05:00:00Z", "to": "2020-01-01T06:00:00Z",
            "pixels": MOST_PIXELS + 1, "extent": null, "runs": [[MOST_PIXELS + 1, 0, 0]] });
        assert!(open.timeline(serde_json::from_value(many).unwrap()).is_none());
        assert!(open.timeline(serde_json::from_value(good).unwrap()).is_some());
    }

    #[test]
    fn holes_are_passed_on_only_if_they_lie_in_the_window_in_order() {
        let good = json!({
            "channel": "a", "quality": "source", "kind": "raw", "covered_seconds": 0.0,
            "holes": [
                { "start": "2020-01-01T05:00:00Z", "end": "2020-01-01T05:01:00Z", "seconds": 1e300, "first_seen": "2020-01-02T00:00" },
                { "start": "2020-01-01T05:30:00Z", "end": "2020-01-01T06:00:00Z", "seconds": 0.0 },
            ],
            "next": "2020-01-01T06:00:00Z",
        });
        let read = |value: &Value| question(QuestionKind::Holes).holes(serde_json::from_value(value.clone()).ok()?);
        let passed = read(&good).unwrap();
        assert!((passed.holes[0].seconds - 60.0).abs() < 1e-9, "counted here");
        assert_eq!(json!(passed.holes[0].first_seen), json!("2020-01-02T00:00:00.000000Z"));
        for (path, value) in [
            ("/channel", json!("b")),
            ("/holes/0/start", json!("x")),
            ("/holes/0/start", json!("2020-01-01T04:59:59Z")),
            ("/holes/0/end", json!("2020-01-01T05:00:00Z")),
            ("/holes/0/end", json!("2020-01-01T05:30:01Z")),
            ("/holes/1/end", json!("2020-01-01T06:00:01Z")),
            ("/holes/0/first_seen", json!("soon")),
            ("/next", json!("2020-01-01T05:00:00Z")),
            ("/next", json!("later")),
        ] {
            assert!(read(&changed(&good, path, value.clone())).is_none(), "{path} {value}");
        }
        let query = question(QuestionKind::Holes).query();
        assert_eq!(query[0], ("from", "2020-01-01T05:00:00.000000Z".to_owned()));
        assert_eq!(query.len(), 2);
    }
}
