//! What is recorded, looked at from the disk alone where no daemon reports it: newest segments, names that are not understood, and video that
//! lies where no segment is looked for. The rules are those of the daemon.

use std::collections::BTreeSet;

use super::CheckResult;
use crate::archive::problems::video::{HourSpans, OddNames, ProblemThresholds, bad_names, empty, silent};
use crate::archive::problems::{EXAMPLES, NodeProblem, in_order, layout};
use crate::archive::{Horizon, Hour, HourContents, HourPlace, Stream, Timestamp};
use crate::disk::{Base, TreeSurvey};

/// Newest hours of each of which the names are looked at.
const HOURS: usize = 2;
/// Channels and qualities that are looked at.
const STREAMS: usize = 100;

/// Problems of these streams and of what lies beside them.
pub fn examine(
    base: &Base,
    streams: &[(Stream, Vec<Hour>)],
    now: Timestamp,
    thresholds: &ProblemThresholds,
) -> Vec<CheckResult> {
    let (mut newest, mut odd, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for (stream, hours) in streams.iter().take(STREAMS) {
        let looked_at = look(base, stream, hours, Horizon::at(now));
        newest.extend(looked_at.newest.map(|end| (stream.clone(), end)));
        odd.extend((looked_at.odd.files > 0).then_some(looked_at.odd));
        without.extend(looked_at.without_segments);
    }
    let channels: BTreeSet<String> = streams.iter().map(|(stream, _)| stream.channel.to_string()).collect();
    let mut problems = silent(&newest, now, thresholds, |stream, hour| {
        let (_, hours) = streams.iter().find(|(other, _)| other == stream)?;
        hours.iter().any(|other| (hour.earlier(7 * 24)..=hour).contains(other)).then(|| spans(base, stream, hour))
    });
    problems.extend(odd.iter().map(|odd| bad_names(odd, now)));
    let misplaced = layout::misplaced(&TreeSurvey::default().look(base, &without), &channels);
    if streams.is_empty() && misplaced.is_empty() {
        problems.push(empty(&base.path().display().to_string()));
    }
    problems.extend(misplaced);
    in_order(problems).iter().map(of_problem).collect()
}

/// Start and end of the segments of an hour.
fn spans(base: &Base, stream: &Stream, hour: Hour) -> HourSpans {
    let Some(contents) = contents(base, &HourPlace { stream: stream.clone(), hour }) else { return HourSpans::new() };
    let video = contents.visible().filter(|file| file.key.kind.is_video());
    video.map(|file| (file.key.start(hour), file.key.end(hour))).collect()
}

/// What lies in an hour, if it can be read.
fn contents(base: &Base, place: &HourPlace) -> Option<HourContents> {
    let scan = base.dir(&place.path()).ok().flatten()?.scan().ok()?;
    let names = scan.iter().filter_map(|(name, meta)| Some((std::str::from_utf8(name).ok()?, meta.size)));
    Some(HourContents::from_names(names))
}

/// A problem as a check.
fn of_problem(problem: &NodeProblem) -> CheckResult {
    CheckResult::problem(problem.kind.as_str(), problem.severity.as_str(), &problem.what, problem.advice.as_deref())
}

struct Recordings {
    newest: Option<Timestamp>,
    odd: OddNames,
    /// The newest hour, if it holds nothing that is listed.
    without_segments: Option<HourPlace>,
}

fn look(base: &Base, stream: &Stream, hours: &[Hour], horizon: Horizon) -> Recordings {
    let odd = OddNames { stream: stream.clone(), files: 0, understood: 0, newest: None, in_newest: 0 };
    let mut found = Recordings { newest: None, odd, without_segments: None };
    let by_hour = hours.iter().map(|hour| (*hour, ())).collect();
    for (number, hour) in horizon.newest(&by_hour).take(HOURS).enumerate() {
        let place = HourPlace { stream: stream.clone(), hour };
        let Some(contents) = contents(base, &place) else { continue };
        let video = contents.visible().filter(|file| file.key.kind.is_video());
        found.newest = found.newest.max(video.map(|file| file.key.end(hour)).max());
        found.odd.understood += contents.visible().count() as u64;
        let hidden = contents.hidden();
        let strange = || contents.odd().iter().filter(|file| !file.is_tombstone() && !hidden.hides_odd(file));
        let files = strange().count() as u64;
        found.odd.files += files;
        if files > 0 && found.odd.newest.is_none() {
            let examples = strange().take(EXAMPLES).map(|file| file.name.to_string()).collect();
            (found.odd.newest, found.odd.in_newest) = (Some((hour, examples)), files);
        }
        if number == 0 && contents.is_empty() {
            found.without_segments = Some(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::CheckLevel;
    use super::*;
    use crate::sync::check::hours_on_disk;

    fn checks(files: &[&str]) -> Vec<(String, CheckLevel)> {
        let tree = tempfile::tempdir().unwrap();
        for file in files {
            let path = tree.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let base = Base::open(tree.path()).unwrap();
        let now = Timestamp::parse("2026-03-04T10:30:00").unwrap();
        let found = examine(&base, &hours_on_disk(&base).unwrap(), now, &ProblemThresholds::default());
        found.into_iter().map(|check| (check.check, check.level)).collect()
    }

    #[test]
    fn what_looks_like_an_archive_without_holes_and_is_none_is_found_without_a_daemon() {
        let hash = "A".repeat(43);
        let at = |minute: u32| format!("cam/source/2026-03-04T10/{minute:02}:00.000000-2.0-full-{hash}.ts");
        let with = |some: &[String], more: &[String]| {
            let all: Vec<&str> = some.iter().chain(more).map(String::as_str).collect();
            checks(&all)
        };
        let warn = |kind: &str| vec![(kind.to_owned(), CheckLevel::Warn)];
        assert_eq!(checks(&[&at(29)]), []);
        assert_eq!(checks(&[&at(6)]), warn("silent"), "a recorder that died");
        let paused = ["04T09", "03T08", "02T08"].map(|hour| at(5).replace("04T10", hour));
        assert_eq!(with(&paused, &[]), [], "it pauses at this time of the day");
        let recorded: Vec<String> = (0..40).map(|minute| at(minute).replace("04T10", "03T10")).collect();
        let chat: Vec<String> =
            recorded.iter().map(|file| file.replace("2.0-full-", "").replace(".ts", ".json")).collect();
        assert_eq!(with(&paused, &chat), [], "chat is no recording");
        assert_eq!(with(&paused, &recorded), warn("silent"), "yesterday it was recorded at this time");
        assert_eq!(checks(&["cam/source/2026-03-04T10/seg00001.ts"]), warn("bad-names"), "as ffmpeg names them");
        assert_eq!(checks(&["cam/2026-03-04/10/seg00001.ts"]), warn("layout"), "another layout");
        assert_eq!(checks(&["cam/source/2026-03-04T10/a.mkv"]), warn("layout"), "another container");
        assert_eq!(checks(&["cam/source/2026-03-04T10/a.mp4"]), warn("bad-names"), "no name of a segment");
        assert_eq!(checks(&[]), warn("empty"));
    }
}
