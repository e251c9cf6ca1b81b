//! How many tombstones are too many to be taken on a peer's word alone.
//!
//! 1. Only *hits* are weighed: tombstones that hide what lies here, visible, with bytes, and was here before the peer was asked. A
//!    tombstone for anything else costs nothing and is taken at once.
//! 2. The yardstick is what was here as well: never names that the peer lists. Of an hour it is what is visible now and what hits of
//!    the last days have hidden; files that peers gave lately cannot make it larger for those that they did not give.
//! 3. Hits add up over [`WINDOW`], over all rounds, restarts and peers: who asks bit by bit, or under several names, gets no more.
//!    The window is one of time that this node has lived; clocks have no part in it.
//!
//! Nothing is read or written here: [`Account`] is a value, and is kept by others as [`Account::to_text`].

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::{Channel, HourContents, HourPlace, SegmentFile, name};

/// How long hits are added up.
pub const WINDOW: Duration = Duration::from_secs(3 * 24 * 3600);
/// More than a fifth is a burst.
const SHARE: u64 = 5;
/// More than half of the bytes is one as well.
const SHARE_OF_BYTES: u64 = 2;
/// So many hits are a burst, however large the archive is.
const MOST: u64 = 1_000;
/// Fewer hits are no burst of a whole channel: a small one must be tidied without asking.
const MOST_IN_SMALL: u64 = 4;
/// Hits of an hour are kept by the time in steps of this many seconds.
const STEP_S: u64 = 3_600;

/// Files that are here, or are hidden by hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that no peer gave lately, as far as that is known.
    pub own: u64,
}

impl Weight {
    /// One file more.
    pub fn add(&mut self, bytes: u64, is_own: bool) {
        *self += Self { files: 1, bytes, own: is_own.into() };
    }
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.own = self.own.saturating_add(other.own);
    }
}

/// Why tombstones wait for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Burst {
    /// Too much of an hour.
    #[error("tombstones would hide {tombstones} of the {known} files that were here in the hour: more than a fifth")]
    Hour {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
        /// Of so many.
        known: u64,
    },
    /// Few files of an hour, with most of its bytes.
    #[error("tombstones would hide {tombstones} of the {known} bytes that were here in the hour: more than half")]
    Bytes {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
        /// Of so many.
        known: u64,
    },
    /// Too much of a channel.
    #[error("tombstones would hide {tombstones} of the {known} files that were here in the channel: more than a fifth")]
    Channel {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
        /// Of so many.
        known: u64,
    },
    /// Too many in all.
    #[error("tombstones would hide {tombstones} files within three days: a thousand or more")]
    Total {
        /// How many would be hidden, with those of the last three days.
        tombstones: u64,
    },
}

/// What tombstones would hide of one hour, and what was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfHour {
    /// What they would hide.
    pub hits: Weight,
    /// What is visible there, that included.
    pub here: Weight,
}

/// Where a file that lies here is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// No peer gave it lately, as far as that is known.
    Own,
    /// A peer gave it, before the one with the tombstones was asked.
    Given,
    /// A peer gave it since.
    Meanwhile,
}

/// What would be hidden of an hour if `hides` said so, and the stems of that.
pub fn of_hour(
    local: &HourContents,
    hides: impl Fn(&SegmentFile) -> bool,
    source: impl Fn(&str) -> Source,
) -> (OfHour, HashSet<Box<str>>) {
    let (mut found, mut stems) = (OfHour::default(), HashSet::new());
    let mut file_name = String::new();
    for file in local.visible().filter(|file| file.size > 0) {
        file_name.clear();
        file.push_name(&mut file_name);
        let is_own = match source(&file_name) {
            Source::Own => true,
            Source::Given => false,
            Source::Meanwhile => continue,
        };
        found.here.add(file.size, is_own);
        if hides(file) {
            found.hits.add(file.size, is_own);
            stems.insert(name::stem(&file_name).into());
        }
    }
    (found, stems)
}

/// What peers' tombstones have hidden of late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Seconds that were lived so far, and by which clock that was told: a boot of the machine, and the seconds since it.
    lived_s: u64,
    clock: Option<(String, u64)>,
    /// Hits by hour, and by when they were, in steps.
    hits: BTreeMap<(HourPlace, u64), Weight>,
}

impl Account {
    /// So many seconds have passed since the machine was started this time. Of an earlier time nothing is known to have passed.
    pub fn live(&mut self, boot: &str, uptime_s: u64) {
        if let Some((known, before)) = &self.clock
            && known == boot
        {
            self.lived_s = self.lived_s.saturating_add(uptime_s.saturating_sub(*before));
        }
        self.clock = Some((boot.to_owned(), uptime_s));
        let (now, window) = (self.lived_s, WINDOW.as_secs());
        self.hits.retain(|(_, step), _| now.saturating_sub(step.saturating_mul(STEP_S)) < window + STEP_S);
    }

    /// Whether tombstones that would hide this wait for the operator. `of_channel` says how many files of a channel are here now.
    pub fn weigh(&self, new: &BTreeMap<HourPlace, OfHour>, of_channel: impl Fn(&Channel, u64) -> u64) -> Option<Burst> {
        let mut channels: BTreeMap<&Channel, u64> = BTreeMap::new();
        for (place, of_hour) in new.iter().filter(|(_, of_hour)| of_hour.hits.files > 0) {
            let before = self.sum(|known| known == place);
            if let Some(burst) = hour(before, of_hour) {
                return Some(burst);
            }
            *channels.entry(&place.stream.channel).or_default() += of_hour.hits.files;
        }
        for (channel, hits) in channels {
            let before = self.sum(|known| known.stream.channel == *channel).files;
            let tombstones = before.saturating_add(hits);
            // More need not be counted.
            let known = before.saturating_add(of_channel(channel, tombstones.saturating_mul(SHARE)));
            if tombstones > MOST_IN_SMALL && tombstones.saturating_mul(SHARE) > known {
                return Some(Burst::Channel { tombstones, known });
            }
        }
        let new: u64 = new.values().map(|of_hour| of_hour.hits.files).sum();
        let tombstones = self.sum(|_| true).files.saturating_add(new);
        (new > 0 && tombstones >= MOST).then_some(Burst::Total { tombstones })
    }

    /// These were taken.
    pub fn add(&mut self, new: &BTreeMap<HourPlace, OfHour>) {
        let step = self.lived_s / STEP_S;
        for (place, of_hour) in new.iter().filter(|(_, of_hour)| of_hour.hits.files > 0) {
            *self.hits.entry((place.clone(), step)).or_default() += of_hour.hits;
        }
    }

    /// The operator has looked: what was hidden so far counts no more.
    pub fn clear(&mut self) {
        self.hits.clear();
    }

    /// Whether nothing was hidden of late.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    fn sum(&self, of: impl Fn(&HourPlace) -> bool) -> Weight {
        let mut sum = Weight::default();
        self.hits.iter().filter(|((place, _), _)| of(place)).for_each(|(_, weight)| sum += *weight);
        sum
    }

    /// As it is kept: how much was lived, and a line for each hour and step.
    pub fn to_text(&self) -> String {
        let mut text = format!("lived {}", self.lived_s);
        if let Some((boot, uptime_s)) = &self.clock {
            // A write to a String cannot fail.
            write!(text, " {uptime_s} {boot}").unwrap_or_default();
        }
        text.push('\n');
        for ((place, step), Weight { files, bytes, own }) in &self.hits {
            writeln!(text, "{step} {files} {bytes} {own} {place}").unwrap_or_default();
        }
        text
    }

    /// The inverse; `None` if it is anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut words = lines.next()?.strip_prefix("lived ")?.splitn(3, ' ');
        let lived_s = words.next()?.parse().ok()?;
        let clock = match (words.next(), words.next()) {
            (Some(uptime_s), Some(boot)) => Some((boot.to_owned(), uptime_s.parse().ok()?)),
            (None, _) => None,
            _ => return None,
        };
        let mut account = Self { lived_s, clock, hits: BTreeMap::new() };
        for line in lines {
            let mut parts = line.splitn(5, ' ');
            let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
            let (step, files, bytes, own) = (number()?, number()?, number()?, number()?);
            let place = HourPlace::parse(parts.next()?).ok()?;
            *account.hits.entry((place, step)).or_default() += Weight { files, bytes, own };
        }
        Some(account)
    }
}

/// One hour by itself. A single file is no burst, however small the hour.
fn hour(before: Weight, OfHour { hits, here }: &OfHour) -> Option<Burst> {
    let (mut hidden, mut known) = (before, before);
    hidden += *hits;
    known += *here;
    if hidden.files < 2 {
        None
    } else if is_more(hidden.files, SHARE, known.files) {
        Some(Burst::Hour { tombstones: hidden.files, known: known.files })
    } else if is_more(hidden.own, SHARE, known.own) {
        Some(Burst::Hour { tombstones: hidden.own, known: known.own })
    } else if is_more(hidden.bytes, SHARE_OF_BYTES, known.bytes) {
        Some(Burst::Bytes { tombstones: hidden.bytes, known: known.bytes })
    } else {
        None
    }
}

/// Whether several are more than one part in so many.
fn is_more(hidden: u64, share: u64, known: u64) -> bool {
    hidden > 1 && hidden.saturating_mul(share) > known
}

#[cfg(test)]
mod tests;
