//! What is wrong with a node, as values: the one list that the status, the page, `doctor` and the metrics report.
//!
//! A problem says what is wrong, where, since when, and what to do about it. Rules from facts to problems stand beneath: [`video`] for what is
//! recorded, [`layout`] for files that are in the wrong place or have the wrong names. They read no clock, disk or index; whoever has the facts
//! gives them. What other parts of a node report about themselves becomes a problem where it is gathered.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;

use super::Timestamp;

pub mod layout;
pub mod video;

/// Problems that are reported one by one, and those of one kind among them: one bad disk must not hide a silent recorder.
const MOST: usize = 200;
const MOST_OF_A_KIND: usize = 50;
/// Characters of a text that others have a part in.
const LONGEST: usize = 1_000;
/// Examples of what is concerned.
pub const EXAMPLES: usize = 3;
/// How names of files are made, for whoever has to correct one.
pub const NAMES_PAGE: &str = "docs/names.md";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look; the node does what it should.
    Notice,
    /// It works, and something is missing or soon will be.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Notice, Self::Warning, Self::Error];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What kind of problem it is: few, whatever is recorded and whoever the peers are.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The base directory is not there.
    ArchiveAway = "archive-away",
    /// The index cannot be written, or is kept in memory.
    Index = "index",
    /// There is no room.
    DiskFull = "disk-full",
    /// Comparing the archive with the index fails.
    Crawl = "crawl",
    /// So much of a channel is missing at once that it needs confirmation.
    MissingFiles = "missing-files",
    /// Directories cannot be watched.
    Watch = "watch",
    /// A file of tokens cannot be used.
    Tokens = "tokens",
    /// A stream that was live has brought nothing for minutes.
    Silent = "silent",
    /// Much of the last day is missing.
    Holes = "holes",
    /// Names that are not understood.
    BadNames = "bad-names",
    /// Files where no segment is looked for.
    Layout = "layout",
    /// Nothing is there.
    Empty = "empty",
    /// A peer cannot be reached, or fails.
    Peer = "peer",
    /// A peer says of itself what only this node should.
    PeerConflict = "peer-conflict",
    /// A peer offers more of channels that nobody here names than it may fill.
    PeerBudget = "peer-budget",
    /// Tombstones of peers are held back until somebody accepts them.
    HeldTombstones = "held-tombstones",
    /// A list of peers cannot be read.
    PeerList = "peer-list",
    /// Retention does not do what it should.
    Retention = "retention",
    /// Hours stay because no other node has them.
    LastCopies = "last-copies",
    /// The layout cannot be read, or that of a peer is refused or not taken.
    Placement = "placement",
    /// Damaged files wait for a decision, or have no other copy.
    Damaged = "damaged",
    /// A job hangs or fails.
    Job = "job",
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProblem {
    /// Of which kind.
    pub kind: ProblemKind,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence without its full stop.
    pub what: String,
    /// The channel, quality, directory, peer or job concerned.
    pub place: Option<String>,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// How many files, qualities or the like, where they are counted.
    pub count: Option<u64>,
    /// A few of them.
    pub examples: Vec<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// The document that says more.
    pub page: Option<&'static str>,
}

impl NodeProblem {
    /// One of which nothing more is known.
    pub fn new(kind: ProblemKind, severity: Severity, what: impl Into<String>) -> Self {
        let (what, examples) = (what.into(), Vec::new());
        Self { kind, severity, what, place: None, since: None, count: None, examples, advice: None, page: None }
    }

    /// With the place concerned.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// With what to do about it.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// All of it on one line.
    pub fn line(&self) -> String {
        match &self.advice {
            Some(advice) => format!("{}; {advice}", self.what),
            None => self.what.clone(),
        }
    }
}

/// Most important first, each once, and as many and as long as a person reads: what is in them is partly up to other nodes.
pub fn in_order(mut problems: Vec<NodeProblem>) -> Vec<NodeProblem> {
    // The same may be reported by whoever meets it.
    let mut lines = HashSet::new();
    problems.retain(|problem| lines.insert(problem.line()));
    problems.sort_by_key(|problem| Reverse(problem.severity));
    let mut left_out = 0;
    for kind in ProblemKind::ALL {
        let mut of_kind = 0;
        problems.retain(|problem| {
            of_kind += usize::from(problem.kind == *kind);
            let stays = problem.kind != *kind || of_kind <= MOST_OF_A_KIND;
            left_out += usize::from(!stays);
            stays
        });
    }
    left_out += problems.len().saturating_sub(MOST);
    problems.truncate(MOST);
    for problem in &mut problems {
        let texts = [Some(&mut problem.what), problem.place.as_mut(), problem.advice.as_mut()];
        texts.into_iter().flatten().chain(&mut problem.examples).for_each(shorten);
    }
    if let (Some(last), true) = (problems.last(), left_out > 0) {
        problems.push(NodeProblem::new(last.kind, last.severity, format!("and {left_out} more problems")));
    }
    problems
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: ProblemKind, severity: Severity, what: &str) -> NodeProblem {
        NodeProblem::new(kind, severity, what)
    }

    #[test]
    fn the_worst_comes_first_and_each_once() {
        let all = vec![
            problem(ProblemKind::Empty, Severity::Notice, "nothing is there"),
            problem(ProblemKind::Peer, Severity::Warning, "a: no answer"),
            problem(ProblemKind::Index, Severity::Error, "no room"),
            problem(ProblemKind::Job, Severity::Warning, "a: no answer"),
        ];
        let lines: Vec<String> = in_order(all).iter().map(NodeProblem::line).collect();
        assert_eq!(lines, ["no room", "a: no answer", "nothing is there"]);
    }

    #[test]
    fn problems_are_as_many_and_as_long_as_one_reads_and_many_of_one_kind_hide_no_other() {
        let mut all: Vec<NodeProblem> =
            (0..2_000).map(|number| problem(ProblemKind::Peer, Severity::Warning, &format!("{number}"))).collect();
        all.push(problem(ProblemKind::Silent, Severity::Warning, &"é".repeat(LONGEST + 1)));
        let shown = in_order(all);
        assert_eq!(shown.len(), MOST_OF_A_KIND + 2);
        assert_eq!(shown[MOST_OF_A_KIND].what.chars().count(), LONGEST + 1);
        assert_eq!(shown.last().unwrap().line(), "and 1950 more problems");
    }

    #[test]
    fn kinds_are_written_as_words_that_a_label_may_hold() {
        let names: HashSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), ProblemKind::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
    }
}
