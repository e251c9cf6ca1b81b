//! What a visitor found, in counts by name: each visitor has its own names, and reports need not know them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of one visitor: more names than any has, and a bound on its row in the index.
const MOST_NAMES: usize = 64;

/// Counts by name, and the last error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlCounts {
    counts: BTreeMap<Cow<'static, str>, u64>,
    /// The last thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl CrawlCounts {
    /// Directories that had to be read.
    pub const READ: &'static str = "read";
    /// Files that the index did not have, or had with another size.
    pub const PUT: &'static str = "put";
    /// Files that were gone.
    pub const REMOVED: &'static str = "removed";
    /// Hours that could not be looked at.
    pub const ERRORS: &'static str = "errors";

    /// Nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// So many of something.
    pub fn of(name: &'static str, count: u64) -> Self {
        Self::default().and(name, count)
    }

    /// These, and so many of something.
    #[must_use]
    pub fn and(mut self, name: &'static str, count: u64) -> Self {
        if count > 0 {
            *self.counts.entry(Cow::Borrowed(name)).or_default() += count;
        }
        self
    }

    /// Something that could not be looked at.
    pub fn error(error: String) -> Self {
        Self { last_error: Some(error), ..Self::of(Self::ERRORS, 1) }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            if self.counts.len() < MOST_NAMES || self.counts.contains_key(name) {
                let sum = self.counts.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        if other.last_error.is_some() {
            self.last_error.clone_from(&other.last_error);
        }
    }

    /// How many of something.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// All of them.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_ref(), *count))
    }
}
