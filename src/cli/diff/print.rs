//! What `diff` prints: for people, or one JSON value a line. Counts what it prints.

use std::collections::HashMap;

use serde::Serialize;

use super::compare::{HourDifference, NameFate};
use crate::archive::HourPlace;
use crate::archive::escape::shown;
use crate::cli::out::stdout;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    only_here: usize,
    only_there: usize,
    tombstones_only_here: usize,
    tombstones_only_there: usize,
    /// Of what is only there: what backfill would fetch or take over now.
    backfill_would_take: usize,
}

impl Counts {
    fn of(difference: &HourDifference, fates: &HashMap<String, NameFate>) -> Self {
        let offered = difference.there.files.iter().chain(&difference.there.tombstones);
        Self {
            only_here: difference.here.files.len(),
            only_there: difference.there.files.len(),
            tombstones_only_here: difference.here.tombstones.len(),
            tombstones_only_there: difference.there.tombstones.len(),
            backfill_would_take: offered
                .filter(|name| matches!(fates.get(*name), Some(NameFate::Fetch | NameFate::TakeOver)))
                .count(),
        }
    }

    fn add(&mut self, other: Self) {
        self.only_here += other.only_here;
        self.only_there += other.only_there;
        self.tombstones_only_here += other.tombstones_only_here;
        self.tombstones_only_there += other.tombstones_only_there;
        self.backfill_would_take += other.backfill_would_take;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} only here, {} only there", self.only_here, self.only_there)?;
        if self.tombstones_only_here + self.tombstones_only_there > 0 {
            let (here, there) = (self.tombstones_only_here, self.tombstones_only_there);
            write!(f, "; tombstones: {here} only here, {there} only there")?;
        }
        if self.only_there + self.tombstones_only_there > 0 {
            write!(f, "; backfill would take {}", self.backfill_would_take)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Offered<'a> {
    name: &'a str,
    backfill: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct HourLine<'a> {
    channel: &'a str,
    quality: &'a str,
    hour: String,
    counts: Counts,
    #[serde(flatten)]
    names: Option<Names<'a>>,
}

#[derive(Serialize)]
struct Names<'a> {
    only_here: &'a [String],
    only_there: Vec<Offered<'a>>,
    tombstones_only_here: &'a [String],
    tombstones_only_there: Vec<Offered<'a>>,
}

#[derive(Serialize)]
struct LastLine<'a> {
    total: Counts,
    peer: &'a str,
    equal: bool,
    hours_compared: u64,
    hours_different: u64,
    hours_failed: u64,
    by_digests: bool,
    requests_here: u64,
    requests_there: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DiffResult {
    pub(super) different: u64,
    pub(super) failed: u64,
    compared: u64,
    counts: Counts,
}

pub(super) struct DiffPrinter {
    json: bool,
    summary: bool,
    peer: String,
    result: DiffResult,
}

impl DiffPrinter {
    pub(super) fn new(json: bool, summary: bool, peer: &str) -> Self {
        Self { json, summary, peer: peer.to_owned(), result: DiffResult::default() }
    }

    pub(super) fn hour(
        &mut self,
        place: &HourPlace,
        difference: &HourDifference,
        fates: &HashMap<String, NameFate>,
    ) -> anyhow::Result<()> {
        self.result.compared += 1;
        if difference.is_empty() {
            return Ok(());
        }
        let counts = Counts::of(difference, fates);
        self.result.different += 1;
        self.result.counts.add(counts);
        let mut out = stdout();
        if self.json {
            let names = (!self.summary).then(|| names(difference, fates));
            let (channel, quality) = (place.stream.channel.as_str(), place.stream.quality.as_str());
            let line = HourLine { channel, quality, hour: place.hour.to_string(), counts, names };
            out.json(&line)?;
            return Ok(());
        }
        writeln!(out, "{}: {counts}", shown(&place.to_string()))?;
        if !self.summary {
            for name in difference.here.files.iter().chain(&difference.here.tombstones) {
                writeln!(out, "  here   {}", shown(name))?;
            }
            for name in difference.there.files.iter().chain(&difference.there.tombstones) {
                match fates.get(name) {
                    Some(fate) => writeln!(out, "  there  {}: {fate}", shown(name))?,
                    None => writeln!(out, "  there  {}", shown(name))?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn failed(&mut self, place: &HourPlace, error: &anyhow::Error) {
        self.result.failed += 1;
        tracing::error!(name: "hour_not_compared", hour = %place, error = format!("{error:#}"), "an hour could not be compared");
    }

    pub(super) fn end(self, by_digests: bool, requests: (u64, u64)) -> anyhow::Result<DiffResult> {
        let result = self.result;
        let equal = result.different == 0 && result.failed == 0;
        let mut out = stdout();
        if self.json {
            let line = LastLine {
                total: result.counts,
                peer: &self.peer,
                equal,
                hours_compared: result.compared,
                hours_different: result.different,
                hours_failed: result.failed,
                by_digests,
                requests_here: requests.0,
                requests_there: requests.1,
            };
            out.json(&line)?;
        } else if equal {
            let by = if by_digests { "digests" } else { "listings" };
            writeln!(out, "equal: {} by {by}, {} asked for", self.peer, count(requests.1, "request"))?;
        } else {
            let failed = if result.failed > 0 {
                format!(", {} not compared", count(result.failed, "hour"))
            } else {
                String::new()
            };
            writeln!(
                out,
                "different: {} of {}{failed}: {}",
                count(result.different, "hour"),
                self.peer,
                result.counts
            )?;
        }
        Ok(result)
    }
}

fn names<'a>(difference: &'a HourDifference, fates: &HashMap<String, NameFate>) -> Names<'a> {
    let offered = |names: &'a [String]| {
        names
            .iter()
            .map(|name| {
                let fate = fates.get(name);
                Offered {
                    name,
                    backfill: fate.map_or("unknown", |fate| fate.word()),
                    why: fate.and_then(|fate| fate.why()),
                }
            })
            .collect()
    };
    Names {
        only_here: &difference.here.files,
        only_there: offered(&difference.there.files),
        tombstones_only_here: &difference.here.tombstones,
        tombstones_only_there: offered(&difference.there.tombstones),
    }
}

fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_say_what_there_is_to_say() {
        let one = Counts { only_here: 1, ..Counts::default() };
        assert_eq!(one.to_string(), "1 only here, 0 only there");
        let counts = Counts { only_there: 2, tombstones_only_here: 3, backfill_would_take: 1, ..Counts::default() };
        let expected = "0 only here, 2 only there; tombstones: 3 only here, 0 only there; backfill would take 1";
        assert_eq!(counts.to_string(), expected);
    }
}
