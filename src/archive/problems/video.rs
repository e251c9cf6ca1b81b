//! Problems of what is recorded: a stream that has fallen silent, a day with many holes, names that are not understood, no room, nothing there.
//!
//! A stream is *live* as long as its newest segment ended within the last day, whoever recorded it and however it got here. A live stream from
//! which nothing has come for minutes is silent; after a day it counts as ended, and is no problem any more. Nor is it one for a stream that
//! pauses at this time as a rule: one that is recorded from morning to night, or on Sundays.

use std::collections::BTreeMap;

use super::{EXAMPLES, NAMES_PAGE, NodeProblem, ProblemKind, Severity};
use crate::archive::coverage::Stretch;
use crate::archive::quantity::{count, exact_length, length, size};
use crate::archive::time::HOUR_US;
use crate::archive::{Channel, FileName, Hour, Span, Stream, Timestamp, parse_file_name};

/// How long after its last segment a stream counts as live, and what is called the last day.
pub const DAY: Span = Span::from_us(24 * HOUR_US);
/// A minute of a day is no problem, whatever share of a young archive it is.
const LEAST_MISSING_SECONDS: f64 = 60.0;
/// How far from a time a segment may lie and still count as recorded then: recorders start and end a little early or late.
const NEAR: Span = Span::from_us(60_000_000);
/// Below this whatever writes to the disk fails, or soon will.
const ALMOST_NOTHING: u64 = 16 << 20;
/// Qualities that are named.
const MOST_NAMED: usize = 4;

/// From where on something is a problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProblemThresholds {
    /// How long nothing may come from a live stream; never a problem where it is not given.
    pub silent_after: Option<Span>,
    /// What share of the last day may be missing.
    pub missing_share: f64,
    /// Free bytes below which nothing is fetched.
    pub keep_free: u64,
}

impl Default for ProblemThresholds {
    fn default() -> Self {
        Self { silent_after: Some(Span::from_us(300_000_000)), missing_share: 0.005, keep_free: 0 }
    }
}

/// Start and end of the segments of an hour.
pub type HourSpans = Vec<(Timestamp, Timestamp)>;

/// Live streams from which nothing has come for too long, by the end of the newest segment of each: one problem for each channel.
///
/// `hour_of` gives what was recorded in an hour of the last two weeks; nothing if the stream was not recorded at all in the week before it.
pub fn silent(
    newest: &[(Stream, Timestamp)],
    now: Timestamp,
    thresholds: &ProblemThresholds,
    hour_of: impl Fn(&Stream, Hour) -> Option<HourSpans>,
) -> Vec<NodeProblem> {
    let Some(patience) = thresholds.silent_after else { return Vec::new() };
    let is_silent = |end: Timestamp| (now - end) > patience && (now - end) < DAY;
    let silent = newest
        .iter()
        .filter(|(stream, end)| is_silent(*end) && !pauses_regularly(now, patience, |hour| hour_of(stream, hour)));
    let silent = silent.map(|(stream, end)| (stream, *end));
    let problem = |(channel, qualities): (&Channel, Vec<(&Stream, Timestamp)>)| {
        let last = qualities.iter().map(|(_, end)| *end).max()?;
        let (place, in_which) = place(channel, &qualities);
        let what = format!("{place}: no new segment for {}{in_which}", length((now - last).seconds()));
        Some(NodeProblem {
            since: Some(last),
            count: Some(qualities.len() as u64),
            ..NodeProblem::new(ProblemKind::Silent, Severity::Warning, what)
                .at(place)
                .advise("see whether the recorder runs and can write, or the peers that have it; a regular pause is recognised when it comes a third time, `[problems] silent_after` sets how long others may be, and after a day the stream counts as ended")
        })
    };
    by_channel(silent).into_iter().filter_map(problem).collect()
}

/// Whether a stream was not recorded at this time of the week twice before; while it is younger, at this time of the day.
fn pauses_regularly(now: Timestamp, patience: Span, hour_of: impl Fn(Hour) -> Option<HourSpans>) -> bool {
    let was_recorded = |at: Timestamp| {
        let (from, to) = (at - NEAR, at + NEAR);
        let is_near = |hour: Hour| Some(hour_of(hour)?.iter().any(|(start, end)| *start < to && *end > from));
        Some(is_near(from.hour())? || is_near(to.hour())?)
    };
    // At both ends of the patience, so that a start or an end that is a little late today is no alarm.
    let was_live = |days: i64| {
        let at = now - Span::from_us(days * DAY.us());
        Some(was_recorded(at - patience)? && was_recorded(at)?)
    };
    twice_before(was_live) == Some([false, false])
}

/// What was so many days ago, of two times that show what is usual: a week and two weeks ago, or nearer ones while a stream is younger.
pub fn twice_before<T>(days_ago: impl Fn(i64) -> Option<T>) -> Option<[T; 2]> {
    match (days_ago(7), days_ago(14)) {
        (Some(week), Some(fortnight)) => Some([week, fortnight]),
        (Some(week), None) => Some([week, days_ago(1)?]),
        (None, _) => Some([days_ago(1)?, days_ago(2)?]),
    }
}

/// How much of these holes lies in regular pauses: where both earlier days had a hole at the same time, for an hour at least. Shorter ones are
/// losses, however regular. The earlier days' holes are given as if they were today's.
pub fn paused(holes: &[Stretch], before: &[Vec<Stretch>; 2]) -> Span {
    let [one, other] = before;
    let mut paused_us = 0;
    for (hole, (a, b)) in
        holes.iter().flat_map(|hole| one.iter().flat_map(move |a| other.iter().map(move |b| (hole, (a, b)))))
    {
        let (start, end) = (hole.start.max(a.start).max(b.start), hole.end.min(a.end).min(b.end));
        let common = (end - start).us();
        paused_us += if common >= HOUR_US { common } else { 0 };
    }
    Span::from_us(paused_us)
}

/// What there is of a stream in the last day, within its extent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayGaps {
    /// Seconds that a segment covers.
    pub covered_seconds: f64,
    /// Seconds that none does.
    pub missing_seconds: f64,
}

impl DayGaps {
    fn share_missing(self) -> f64 {
        let all = self.covered_seconds + self.missing_seconds;
        if all > 0.0 { self.missing_seconds / all } else { 0.0 }
    }
}

/// Streams of whose last day too much is missing: one problem for each channel, which tells of the worst. `paused` says how much of what is
/// missing lies in regular pauses.
pub fn holes(
    days: &[(Stream, DayGaps)],
    thresholds: &ProblemThresholds,
    paused: impl Fn(&Stream) -> Span,
) -> Vec<NodeProblem> {
    let is_much =
        |day: DayGaps| day.missing_seconds >= LEAST_MISSING_SECONDS && day.share_missing() > thresholds.missing_share;
    let torn = days.iter().filter(|(_, day)| is_much(*day)).map(|(stream, day)| {
        let missing_seconds = (day.missing_seconds - paused(stream).seconds()).max(0.0);
        (stream, DayGaps { missing_seconds, ..*day })
    });
    let torn = torn.filter(|(_, day)| is_much(*day));
    let problem = |(channel, qualities): (&Channel, Vec<(&Stream, DayGaps)>)| {
        let (worst, day) = *qualities.iter().max_by(|a, b| a.1.missing_seconds.total_cmp(&b.1.missing_seconds))?;
        let (place, in_which) = place(channel, &qualities);
        let what = format!(
            "{place}: {} of the last 24 hours missing ({:.1} %){in_which}",
            exact_length(day.missing_seconds),
            day.share_missing() * 100.0
        );
        let advice = format!("`gapless holes {worst}` lists the holes, and why each is open");
        let problem = NodeProblem::new(ProblemKind::Holes, Severity::Warning, what).at(place).advise(advice);
        Some(NodeProblem { count: Some(qualities.len() as u64), ..problem })
    };
    by_channel(torn).into_iter().filter_map(problem).collect()
}

fn by_channel<'s, T>(streams: impl Iterator<Item = (&'s Stream, T)>) -> BTreeMap<&'s Channel, Vec<(&'s Stream, T)>> {
    let mut grouped: BTreeMap<&Channel, Vec<(&Stream, T)>> = BTreeMap::new();
    for (stream, fact) in streams {
        grouped.entry(&stream.channel).or_default().push((stream, fact));
    }
    grouped
}

/// The stream if it is one alone, else the channel and which of its qualities.
fn place<T>(channel: &Channel, qualities: &[(&Stream, T)]) -> (String, String) {
    if let [(stream, _)] = qualities {
        return (stream.to_string(), String::new());
    }
    let mut names: Vec<&str> = qualities.iter().take(MOST_NAMED).map(|(stream, _)| stream.quality.as_str()).collect();
    if qualities.len() > MOST_NAMED {
        names.push("…");
    }
    (channel.to_string(), format!(" in {} qualities ({})", qualities.len(), names.join(", ")))
}

/// Files of a stream whose names are not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddNames {
    /// The stream.
    pub stream: Stream,
    /// How many there are.
    pub files: u64,
    /// How many files of it are understood.
    pub understood: u64,
    /// The newest hour that holds such a name, how many it holds, and a few of them.
    pub newest: Option<(Hour, Vec<String>)>,
    /// How many that hour holds.
    pub in_newest: u64,
}

/// Names that are not understood. Those of today, or most names of a stream, are a recorder that does not do what it should; a few old ones
/// are worth a look.
pub fn bad_names(odd: &OddNames, now: Timestamp) -> NodeProblem {
    let is_recent = odd.newest.as_ref().is_some_and(|(hour, _)| now - hour.start() < DAY + Span::from_us(HOUR_US));
    let severity = if is_recent || odd.files >= odd.understood { Severity::Warning } else { Severity::Notice };
    let names = odd.newest.iter().flat_map(|(_, names)| names);
    let expected = names.clone().find_map(|name| match parse_file_name(name) {
        FileName::Odd(why) => Some(why.to_string()),
        _ => None,
    });
    let newest = odd.newest.as_ref().map(|(hour, _)| hour);
    let in_newest = newest.map_or_else(String::new, |hour| format!(" ({} in {hour})", odd.in_newest));
    let such_as = names.clone().next().map_or_else(String::new, |name| format!(", such as {name}"));
    let (are, names_are) = if odd.files == 1 { ("is", "its name is") } else { ("are", "their names are") };
    let what = format!(
        "{} in {} {are} ignored{in_newest}, because {names_are} not understood{such_as}: {}",
        count(odd.files, "file"),
        odd.stream,
        expected.as_deref().unwrap_or("a segment is named TIME-DURATION-TYPE-HASH.ts"),
    );
    let advice = if names.clone().any(|name| is_numbered(name)) {
        format!(
            "they are numbered as ffmpeg and OBS number them: `gapless import` names such files (import --help); {NAMES_PAGE} says how names are made"
        )
    } else {
        format!("`gapless import` names files, and {NAMES_PAGE} says how names are made; remove what is no segment")
    };
    let place = newest.map_or_else(|| odd.stream.to_string(), |hour| format!("{}/{hour}", odd.stream));
    let path = |name: &String| format!("{place}/{name}");
    NodeProblem {
        count: Some(odd.files),
        examples: names.take(EXAMPLES).map(path).collect(),
        page: Some(NAMES_PAGE),
        ..NodeProblem::new(ProblemKind::BadNames, severity, what).at(odd.stream.to_string()).advise(advice)
    }
}

/// Whether a name is a word and a number, as `seg00001.ts`, `stream-3.ts` or `out003.ts` are.
pub fn is_numbered(name: &str) -> bool {
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let word = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    word.len() < stem.len()
        && word.matches('-').count() < 3
        && word.chars().all(|c| c.is_alphabetic() || "-_ .".contains(c))
}

/// A disk that has no room.
pub fn disk_full(free: u64, thresholds: &ProblemThresholds, fetches: bool) -> Option<NodeProblem> {
    let problem = |severity, what: String| NodeProblem::new(ProblemKind::DiskFull, severity, what);
    let advice = "free some space, or let [retention] min_free or max_bytes delete the oldest hours";
    if free < ALMOST_NOTHING {
        let what = format!("the archive's disk is full ({} free): nothing can be recorded or fetched", size(free));
        return Some(problem(Severity::Error, what).advise(advice));
    }
    (fetches && free < thresholds.keep_free).then(|| {
        let (free, floor) = (size(free), size(thresholds.keep_free));
        let what = format!("only {free} free on the archive's disk, less than keep_free ({floor}): nothing is fetched");
        problem(Severity::Warning, what).advise(advice)
    })
}

/// An archive that holds nothing; where files lie in the wrong places that is the problem, and this is none beside it.
pub fn empty(base_dir: &str) -> NodeProblem {
    let what = format!("nothing is recorded in {base_dir} yet: segments are expected in CHANNEL/QUALITY/HOUR below it");
    let advice = format!(
        "let a recorder write there, `gapless import` files, or fetch from another node with --peer; {NAMES_PAGE} says how names are made"
    );
    NodeProblem {
        page: Some(NAMES_PAGE),
        ..NodeProblem::new(ProblemKind::Empty, Severity::Notice, what).at(base_dir).advise(advice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn stream(name: &str) -> Stream {
        Stream::parse(name).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-04T10:30:00").unwrap()
    }

    fn ago(minutes: i64) -> Timestamp {
        now() - Span::from_us(minutes * MINUTE)
    }

    fn lines(problems: &[NodeProblem]) -> Vec<&str> {
        problems.iter().map(|problem| problem.what.as_str()).collect()
    }

    #[test]
    fn a_recorder_that_died_is_reported_once_for_its_channel_and_one_that_runs_is_not() {
        let newest = [
            (stream("cam/480p"), ago(24)),
            (stream("cam/source"), ago(25)),
            (stream("door/source"), ago(4)),
            (stream("desk/source"), ago(6)),
        ];
        let found = silent(&newest, now(), &ProblemThresholds::default(), |_, _| None);
        assert_eq!(
            lines(&found),
            ["cam: no new segment for 24m in 2 qualities (480p, source)", "desk/source: no new segment for 6m"]
        );
        assert_eq!((found[0].since, found[0].count), (Some(ago(24)), Some(2)));
        let never = ProblemThresholds { silent_after: None, ..ProblemThresholds::default() };
        assert_eq!(silent(&newest, now(), &never, |_, _| None), []);
    }

    proptest! {
        #[test]
        fn a_stream_is_silent_only_between_the_threshold_and_a_day(minutes in -600..6_000_i64) {
            let found = silent(&[(stream("a/b"), ago(minutes))], now(), &ProblemThresholds::default(), |_, _| None);
            prop_assert_eq!(found.len(), usize::from(minutes > 5 && minutes < 24 * 60));
        }
    }

    /// Whether a stream that is recorded by `is_on`, from so many days ago on, is called silent at a time at which its last segment ended so
    /// many minutes ago.
    fn is_called_silent(at: Timestamp, minutes: i64, days: i64, is_on: impl Fn(Timestamp) -> bool) -> bool {
        let begin = at - Span::from_us(days * DAY.us());
        let hour_of = |_: &Stream, hour: Hour| {
            let spans = (0..3_600 / 10).map(|part| hour.start() + Span::from_us(part * 10_000_000));
            let spans = spans.filter(|start| *start >= begin && *start < at && is_on(*start));
            (hour.start() >= begin).then(|| spans.map(|start| (start, start + Span::from_us(10_000_000))).collect())
        };
        let last = at - Span::from_us(minutes * MINUTE);
        !silent(&[(stream("a/b"), last)], at, &ProblemThresholds::default(), hour_of).is_empty()
    }

    #[test]
    fn a_stream_that_pauses_every_night_or_week_is_not_called_silent_then_and_at_other_times_it_is() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        // From 10:00 to 22:00. 2026-03-04 is a Wednesday.
        let daily = |time: Timestamp| (10..22).contains(&time.to_string()[11..13].parse::<u32>().unwrap());
        let (night, noon) = (at("2026-03-04T23:30:00"), at("2026-03-04T12:30:00"));
        for days in [3, 9, 30] {
            assert!(!is_called_silent(night, 90, days, daily), "{days} days old, at night");
            assert!(is_called_silent(noon, 10, days, daily), "{days} days old, at noon");
            assert!(!is_called_silent(at("2026-03-04T10:01:00"), 12 * 60 + 1, days, daily), "it starts a little late");
            assert!(is_called_silent(at("2026-03-04T10:10:00"), 12 * 60 + 10, days, daily), "it has not started");
        }
        assert!(is_called_silent(night, 90, 1, daily), "its first night");
        // On Sundays from 10:00 to 12:00.
        let sundays = |time: Timestamp| {
            let hours = (time - at("2026-03-01T10:00:00")).us().rem_euclid(7 * DAY.us()) / HOUR_US;
            hours < 2
        };
        assert!(!is_called_silent(at("2026-03-01T12:30:00"), 30, 30, sundays), "it is over");
        assert!(is_called_silent(at("2026-03-01T11:00:00"), 10, 30, sundays), "it broke off");
        // Around the clock.
        assert!(is_called_silent(night, 90, 30, |_| true));
    }

    #[test]
    fn much_that_is_missing_is_a_problem_and_a_moment_of_a_young_archive_is_none() {
        let day = |covered, missing| DayGaps { covered_seconds: covered, missing_seconds: missing };
        let days = [
            (stream("cam/480p"), day(85_000.0, 900.0)),
            (stream("cam/source"), day(85_000.0, 1_200.0)),
            (stream("young/source"), day(100.0, 40.0)),
            (stream("good/source"), day(86_000.0, 400.0)),
            (stream("none/source"), day(0.0, 0.0)),
        ];
        let found = holes(&days, &ProblemThresholds::default(), |_| Span::default());
        assert_eq!(lines(&found), ["cam: 20m of the last 24 hours missing (1.4 %) in 2 qualities (480p, source)"]);
        assert!(found[0].advice.as_ref().unwrap().contains("gapless holes cam/source"), "the worst of them");
        let paused = |_: &Stream| Span::from_us(1_180 * 1_000_000);
        assert_eq!(holes(&days, &ProblemThresholds::default(), paused), []);
    }

    #[test]
    fn only_long_holes_that_both_earlier_days_had_at_the_same_time_are_pauses() {
        let stretch = |from: i64, to: i64| Stretch { start: ago(-from), end: ago(-to) };
        // Minutes: a night, a minute of loss, and a restart that takes 20 minutes each day.
        let today = [stretch(0, 720), stretch(800, 801), stretch(900, 920)];
        let before = [vec![stretch(5, 725), stretch(900, 920)], vec![stretch(-5, 715), stretch(900, 920)]];
        assert_eq!(paused(&today, &before), Span::from_us(710 * MINUTE));
        assert_eq!(paused(&today, &[before[0].clone(), Vec::new()]), Span::default());
    }

    fn odd(files: u64, understood: u64, hour: &str, names: &[&str]) -> OddNames {
        let newest = Some((Hour::parse(hour).unwrap(), names.iter().map(|&name| name.to_owned()).collect()));
        OddNames { stream: stream("cam/source"), files, understood, newest, in_newest: files }
    }

    #[test]
    fn what_ffmpeg_wrote_is_recognised_and_the_reason_is_given() {
        let problem =
            bad_names(&odd(10, 0, "2026-03-04T10", &["seg00001.ts", "seg00002.ts", "seg00003.ts", "x"]), now());
        assert_eq!(
            problem.what,
            "10 files in cam/source are ignored (10 in 2026-03-04T10), because their names are not understood, such as seg00001.ts: \
             a segment is named TIME-DURATION-TYPE-HASH and a chat batch TIME-HASH"
        );
        assert!(problem.advice.as_ref().unwrap().contains("ffmpeg"), "{problem:?}");
        assert_eq!(problem.examples.len(), 3);
        assert_eq!(problem.examples[0], "cam/source/2026-03-04T10/seg00001.ts");
        let hash = "A".repeat(43);
        let wrong_time = format!("90:00-2.0-full-{hash}.ts");
        let one = bad_names(&odd(1, 0, "2026-03-04T10", &[&wrong_time]), now());
        assert!(
            one.what.contains("1 file in cam/source is ignored") && one.what.contains("a time is written MM:SS"),
            "{one:?}"
        );
        assert!(!one.advice.as_ref().unwrap().contains("ffmpeg"), "{one:?}");
    }

    #[test]
    fn a_few_old_names_are_worth_a_look_and_those_of_today_are_a_warning() {
        let severity =
            |files, understood, hour| bad_names(&odd(files, understood, hour, &["garbage.ts"]), now()).severity;
        assert_eq!(severity(1, 300, "2019-11-13T03"), Severity::Notice);
        assert_eq!(severity(1, 300, "2026-03-04T09"), Severity::Warning);
        assert_eq!(severity(300, 300, "2019-11-13T03"), Severity::Warning);
    }

    #[test]
    fn numbered_names_are_told_from_others() {
        for name in ["seg00001.ts", "stream-3.ts", "out_003.ts", "0001.ts", "file Sequence12.ts"] {
            assert!(is_numbered(name), "{name}");
        }
        for name in ["garbage.ts", "x", "00:00.0-2.0-full-1.ts", "2026-03-04 10-30-00.ts", "a-b-c-1.ts"] {
            assert!(!is_numbered(name), "{name}");
        }
    }

    #[test]
    fn a_disk_is_full_for_all_and_short_of_room_for_those_who_fetch() {
        let thresholds = ProblemThresholds { keep_free: 1 << 30, ..ProblemThresholds::default() };
        let severity = |free, fetches| disk_full(free, &thresholds, fetches).map(|problem| problem.severity);
        assert_eq!(severity(1 << 20, false), Some(Severity::Error));
        assert_eq!(severity(1 << 29, true), Some(Severity::Warning));
        assert_eq!((severity(1 << 29, false), severity(1 << 30, true)), (None, None));
    }
}
