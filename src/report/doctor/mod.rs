//! Looks at what surrounds a node, and says what is wrong and what to do: the machine, the disk, the index, other nodes.
//!
//! 1. `machine`, `archive` and `peers` gather facts; each may fail, and that is a fact as well.
//! 2. `verdict` judges them: pure functions from numbers to a [`CheckResult`].
//! 3. Nothing is mended here and nothing is changed, except that a file of a few bytes is written beside the marker and removed
//!    again: whether that can be done is known only by doing it.
//!
//! What the daemon says of itself, and how findings are shown, is the command line's affair.

pub mod archive;
pub mod machine;
pub mod peers;
pub mod processes;
pub mod recordings;
pub mod reported;
pub mod verdict;

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it before it does not.
    Warn,
    /// Something does not work, or will not after the next start.
    Fail,
}

impl fmt::Display for CheckLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// What was looked at, in a word or two that stay the same.
    pub check: String,
    /// How bad it is.
    pub level: CheckLevel,
    /// What was found.
    pub value: String,
    /// What to do about it; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl CheckResult {
    /// All is well.
    pub fn ok(check: &str, value: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: CheckLevel::Ok, value: value.into(), advice: None }
    }

    /// Somebody should look at it.
    pub fn warn(check: &str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: CheckLevel::Warn, value: value.into(), advice: Some(advice.into()) }
    }

    /// A problem of this kind and level, as the status has them.
    pub fn problem(kind: &str, level: &str, what: &str, advice: Option<&str>) -> Self {
        let found = Self { level: CheckLevel::Warn, advice: advice.map(str::to_owned), ..Self::ok(kind, what) };
        if level == "error" { Self { level: CheckLevel::Fail, ..found } } else { found }
    }

    /// It does not work.
    pub fn fail(check: &str, value: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: CheckLevel::Fail, value: value.into(), advice: Some(advice.into()) }
    }
}

/// How bad the worst of them is.
pub fn worst(findings: &[CheckResult]) -> CheckLevel {
    findings.iter().map(|finding| finding.level).max().unwrap_or(CheckLevel::Ok)
}
