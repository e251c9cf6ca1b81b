//! The gauges of coverage as Prometheus text, under the names that the dashboards of this field use.
//!
//! Written by hand, because a registry of the library holds some hundred bytes for each of the two dozen series of every hour, and
//! an archive of ten years has millions of them.

use std::fmt::Write as _;

use crate::archive::coverage::{CoverageKind, HourFigures, Totals};
use crate::archive::escape::exposition;
use crate::archive::metric_series::OTHERS;
use crate::archive::{SegmentKind, Stream};

/// Name and meaning of each, in the order in which they are written.
const FAMILIES: [(&str, &str); 10] = [
    ("segment_count", "Files of an hour by type"),
    ("segment_duration", "Seconds of an hour's segments by type, overlaps included"),
    ("raw_coverage", "Seconds of an hour that any segment covers"),
    ("editable_coverage", "Seconds of an hour that the editable sequence covers"),
    ("raw_holes", "Holes of an hour in the raw coverage"),
    ("editable_holes", "Holes of an hour in the editable sequence"),
    ("overlap_count", "Overlaps of an hour by type"),
    ("overlap_duration", "Seconds of an hour's overlaps by type"),
    ("raw_hole_seconds", "Seconds of an hour in holes of the raw coverage"),
    ("editable_hole_seconds", "Seconds of an hour in holes of the editable sequence"),
];

/// Series that an hour has.
pub(super) const SERIES: usize = 19;

/// What stands in place of the hour where several hours are told in one.
const OLDER: &str = "older";

/// Gauges of any number of hours.
#[derive(Debug, Default)]
pub struct CoverageGauges {
    samples: [String; FAMILIES.len()],
}

impl CoverageGauges {
    /// Adds the figures of an hour.
    pub fn add(&mut self, stream: &Stream, figures: &HourFigures) {
        self.add_totals(stream, &figures.hour.to_string(), &Totals::from(figures));
    }

    /// Adds what all qualities come to that have no gauges of their own.
    pub fn add_others(&mut self, others: &Totals) {
        self.add_labelled(OTHERS, OTHERS, OLDER, others);
    }

    /// Adds what all earlier hours come to.
    pub fn add_older(&mut self, stream: &Stream, older: &Totals) {
        self.add_totals(stream, OLDER, older);
    }

    fn add_totals(&mut self, stream: &Stream, hour: &str, figures: &Totals) {
        self.add_labelled(&escaped(stream.channel.as_str()), &escaped(stream.quality.as_str()), hour, figures);
    }

    fn add_labelled(&mut self, channel: &str, quality: &str, hour: &str, figures: &Totals) {
        let labels = format!("channel=\"{channel}\",quality=\"{quality}\",hour=\"{hour}\"");
        for (index, kind) in SegmentKind::VIDEO.iter().enumerate() {
            let labels = format!("{labels},type=\"{}\"", kind.as_str());
            self.sample(0, &labels, &figures.video[index].count.to_string());
            self.sample(1, &labels, &seconds(figures.video[index].us));
            self.sample(6, &labels, &figures.overlaps[index].count.to_string());
            self.sample(7, &labels, &seconds(figures.overlaps[index].us));
        }
        self.sample(0, &format!("{labels},type=\"bad\""), &figures.bad.to_string());
        for (index, lane) in CoverageKind::ALL.into_iter().enumerate() {
            let of = figures.lanes[lane as usize];
            self.sample(2 + index, &labels, &seconds(of.covered_us));
            self.sample(4 + index, &labels, &of.holes.to_string());
            self.sample(8 + index, &labels, &seconds(of.hole_us));
        }
    }

    /// All of it as text.
    pub fn finish(self) -> String {
        self.into_pieces().concat()
    }

    /// The same in pieces, none of which is copied: the text of a large archive has megabytes.
    pub fn into_pieces(self) -> Vec<String> {
        let families = FAMILIES.iter().zip(self.samples);
        families
            .flat_map(|((name, help), samples)| [format!("# HELP {name} {help}\n# TYPE {name} gauge\n"), samples])
            .collect()
    }

    fn sample(&mut self, family: usize, labels: &str, value: &str) {
        if let (Some((name, _)), Some(samples)) = (FAMILIES.get(family), self.samples.get_mut(family)) {
            writeln!(samples, "{name}{{{labels}}} {value}").unwrap_or_default();
        }
    }
}

/// Exact to the microsecond.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// A value of a label.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    exposition(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Hour;
    use crate::archive::coverage::{LaneFigures, TimeTally};

    #[test]
    fn gauges_have_the_names_labels_and_units_of_the_field() {
        let lane = |us| LaneFigures { covered_us: us, holes: 2, hole_us: 1 };
        let figures = HourFigures {
            hour: Hour::parse("2019-11-13T02").unwrap(),
            video: [
                TimeTally { count: 7, us: 14_000_001 },
                TimeTally::default(),
                TimeTally { count: 1, us: 2_000_000 },
            ],
            bad: 3,
            overlaps: [TimeTally { count: 1, us: 500_000 }, TimeTally::default(), TimeTally::default()],
            lanes: [lane(12_500_000), lane(10_000_000)],
        };
        let mut gauges = CoverageGauges::default();
        gauges.add(&Stream::parse("a\"\\/source").unwrap(), &figures);
        let text = gauges.finish();
        let labels = r#"channel="a\"\\",quality="source",hour="2019-11-13T02""#;
        for line in [
            format!("segment_count{{{labels},type=\"full\"}} 7"),
            format!("segment_count{{{labels},type=\"bad\"}} 3"),
            format!("segment_duration{{{labels},type=\"full\"}} 14.000001"),
            format!("overlap_duration{{{labels},type=\"full\"}} 0.500000"),
            format!("overlap_count{{{labels},type=\"partial\"}} 0"),
            format!("raw_coverage{{{labels}}} 12.500000"),
            format!("editable_coverage{{{labels}}} 10.000000"),
            format!("raw_holes{{{labels}}} 2"),
            format!("editable_hole_seconds{{{labels}}} 0.000001"),
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {text}");
        }
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 4 + 3 + 3 + 3 + 6);
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), SERIES);
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), FAMILIES.len());
    }
}
