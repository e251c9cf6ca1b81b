//! Files of video that lie where no segment is looked for: above the hours, in a tree that is laid out in another way, or in containers that
//! segments do not come in. Nothing of them is listed, played or fetched, which without a word would look like an archive without holes.

use std::collections::{BTreeMap, BTreeSet};

use super::{EXAMPLES, NAMES_PAGE, NodeProblem, ProblemKind, Severity};
use crate::archive::quantity::count;
use crate::archive::{Container, FileEnding, Hour, Stream};

/// Endings of files that hold video and are no transport streams. Outside of hours MP4 is more often a finished video than a segment.
const OTHER_ENDINGS: [&str; 9] = ["mp4", "m4s", "m4v", "mkv", "webm", "mov", "flv", "avi", "m2ts"];

/// What a file's name says of what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoFormat {
    /// What nothing but segments is in: transport streams.
    Segments,
    /// Something else that players play.
    Other,
}

impl VideoFormat {
    /// By the ending of the name; `None` if it is no video.
    pub fn of(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        let is = |known: &str| ending.eq_ignore_ascii_case(known);
        if is(Container::Ts.extension()) {
            return Some(Self::Segments);
        }
        OTHER_ENDINGS.iter().any(|known| is(known)).then_some(Self::Other)
    }
}

/// Files of video in one directory that is no hour, or those of an hour that do not end as segments do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VideoDir {
    /// Relative to the base; empty for the base itself.
    pub path: String,
    /// Files that end as segments do.
    pub segments: u64,
    /// Files that end in something else.
    pub others: u64,
    /// A few of their names.
    pub names: Vec<String>,
}

impl VideoDir {
    /// Counts a file, if it is one of video and of interest here.
    pub fn count(&mut self, name: &str) {
        let is_hour = is_hour(&self.path);
        // What ends as segments do is listed there, by a right name or as a bad one.
        let is_listed = is_hour && matches!(FileEnding::of(name), Some(FileEnding::Segment(_)));
        match VideoFormat::of(name).filter(|_| !is_listed) {
            Some(VideoFormat::Segments) if !is_hour => self.segments += 1,
            Some(VideoFormat::Other) => self.others += 1,
            _ => return,
        }
        if self.names.len() < EXAMPLES {
            self.names.push(name.to_owned());
        }
    }

    /// How many were counted.
    pub fn files(&self) -> u64 {
        self.segments + self.others
    }
}

/// Whether segments are looked for there.
pub fn is_hour(path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(stream, hour)| Stream::parse(stream).is_ok() && Hour::parse(hour).is_ok())
}

/// What is wrong with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Misplacement {
    /// It lies in an hour, and does not end as segments do.
    Container,
    /// It lies in the base, a channel or a quality.
    AboveTheHours,
    /// It lies in directories that are named by dates and hours in another way.
    OtherDates,
    /// It lies deeper, in directories of other names.
    Elsewhere,
}

impl Misplacement {
    fn with(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if is_hour(path) {
            Self::Container
        } else if parts.iter().any(|part| is_date(part)) {
            Self::OtherDates
        } else if parts.len() < 3 {
            Self::AboveTheHours
        } else {
            Self::Elsewhere
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Container => "not taken, because segments are MPEG transport streams (.ts) or fragmented MP4 (.mp4)",
            Self::AboveTheHours => "not in an hour: segments lie in CHANNEL/QUALITY/YYYY-MM-DDTHH",
            Self::OtherDates => "in a tree of another layout: directories are CHANNEL/QUALITY/YYYY-MM-DDTHH, in UTC",
            Self::Elsewhere => "in directories that are no hours: segments lie in CHANNEL/QUALITY/YYYY-MM-DDTHH",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Container => {
                "let the recorder write MPEG-TS (ffmpeg -f segment -segment_format mpegts), or convert them (ffmpeg -i IN -c copy OUT.ts) and run `gapless import`"
            }
            _ => {
                "`gapless import` puts .ts files where they belong, under the right names; docs/names.md describes both"
            }
        }
    }
}

/// `2026-03-04`, `20260304`, and the like with a time behind it.
fn is_date(part: &str) -> bool {
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    let starts_with_a_year = part.starts_with("19") || part.starts_with("20");
    starts_with_a_year && digits.len() >= 8 && part.chars().all(|c| c.is_ascii_digit() || "-_.T".contains(c))
}

/// What is wrong with these directories, where these are the channels that there are: one problem for each directory of the base and reason.
///
/// Directories beside the channels may hold anything (extras). Video in them is a problem only if it looks like a recording, or if there is
/// no channel.
pub fn misplaced(dirs: &[VideoDir], channels: &BTreeSet<String>) -> Vec<NodeProblem> {
    let mut groups: BTreeMap<(&str, Misplacement), Vec<&VideoDir>> = BTreeMap::new();
    for dir in dirs.iter().filter(|dir| dir.files() > 0) {
        let top = dir.path.split('/').next().unwrap_or_default();
        let wrong = Misplacement::with(&dir.path);
        let is_recording = dir.segments > 0 || wrong == Misplacement::OtherDates;
        if channels.is_empty() || channels.contains(top) || is_recording {
            groups.entry((top, wrong)).or_default().push(dir);
        }
    }
    groups.into_iter().map(|((top, wrong), group)| problem(top, wrong, &group)).collect()
}

fn problem(top: &str, wrong: Misplacement, dirs: &[&VideoDir]) -> NodeProblem {
    let files: u64 = dirs.iter().map(|dir| dir.files()).sum();
    let paths = dirs.iter().flat_map(|dir| dir.names.iter().map(|name| format!("{}/{name}", dir.path)));
    let examples: Vec<String> = paths.map(|path| path.trim_start_matches('/').to_owned()).take(EXAMPLES).collect();
    let such_as = examples.first().map_or_else(String::new, |path| format!(", such as {path}"));
    let are = if files == 1 { "is" } else { "are" };
    let what = format!("{} of video{such_as} {are} {}", count(files, "file"), wrong.sentence());
    NodeProblem {
        count: Some(files),
        examples,
        page: Some(NAMES_PAGE),
        ..NodeProblem::new(ProblemKind::Layout, Severity::Warning, what).at(top).advise(wrong.advice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str, names: &[&str]) -> VideoDir {
        let mut dir = VideoDir { path: path.to_owned(), ..VideoDir::default() };
        for name in names {
            dir.count(name);
        }
        dir
    }

    fn channels(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn found(dirs: &[VideoDir], names: &[&str]) -> Vec<String> {
        misplaced(dirs, &channels(names)).iter().map(|problem| problem.what.clone()).collect()
    }

    #[test]
    fn a_tree_of_another_layout_is_called_that() {
        let frigate = dir("recordings/2026-03-04/10/cam", &["30.10.mp4", "30.20.mp4"]);
        let by_date = dir("cam/2026-03-04/10", &["seg00001.ts"]);
        assert_eq!(
            found(&[by_date, frigate], &[]),
            [
                "1 file of video, such as cam/2026-03-04/10/seg00001.ts is in a tree of another layout: directories are \
                 CHANNEL/QUALITY/YYYY-MM-DDTHH, in UTC",
                "2 files of video, such as recordings/2026-03-04/10/cam/30.10.mp4 are in a tree of another layout: directories are \
                 CHANNEL/QUALITY/YYYY-MM-DDTHH, in UTC"
            ]
        );
    }

    #[test]
    fn files_above_the_hours_and_containers_in_them_are_named() {
        let all = [
            dir("", &["movie.mkv"]),
            dir("cam", &["a.ts", "b.ts"]),
            dir("cam/source", &["c.ts", "d.TS", "e.ts", "f.ts"]),
            dir("cam/source/2026-03-04T10", &["g.ts", "g.mp4", "h.mkv", "init.m4s"]),
            dir("cam/source/old", &["i.ts"]),
        ];
        let problems = misplaced(&all, &channels(&["cam"]));
        let counts: Vec<(&str, Option<u64>)> =
            problems.iter().map(|problem| (problem.place.as_deref().unwrap(), problem.count)).collect();
        assert_eq!(counts, [("cam", Some(2)), ("cam", Some(6)), ("cam", Some(1))], "containers, above, elsewhere");
        assert!(problems[0].what.contains("cam/source/2026-03-04T10/h.mkv"), "{:?}", problems[0]);
        assert_eq!(problems[1].examples, ["cam/a.ts", "cam/b.ts", "cam/source/c.ts"]);
    }

    #[test]
    fn videos_among_extras_are_nobodys_business_unless_nothing_else_is_there() {
        let extras = [dir("prizes", &["tour.mp4"]), dir("emotes/1", &["light.webm"])];
        assert_eq!(found(&extras, &["cam"]), [""; 0]);
        assert_eq!(found(&extras, &[]).len(), 2);
        assert_eq!(found(&[dir("prizes/2026-03-04", &["tour.mp4"])], &["cam"]).len(), 1);
    }

    #[test]
    fn dates_are_told_from_other_names() {
        for date in ["2026-03-04", "20260304", "2026-03-04_10", "2026-03-04T10-30"] {
            assert!(is_date(date), "{date}");
        }
        for other in ["source", "1080p", "2026", "425618", "10", "emotesv2_20260304"] {
            assert!(!is_date(other), "{other}");
        }
    }
}
