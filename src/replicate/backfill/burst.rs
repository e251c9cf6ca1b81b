//! How many tombstones are too many to be taken on a peer's word alone.
//!
//! 1. Only *hits* are weighed: tombstones that hide what lies here, visible, with bytes, and was here before the peer was asked. A
//!    tombstone for anything else hides nothing and is not weighed.
//! 2. The yardsticks are what was here as well: never names that the peer lists. Hits on files that no peer gave lately are measured
//!    by such files alone, hits on files that the peer itself did not give by those, and all by all: what anybody gives makes no
//!    room for hiding what he did not give.
//! 3. Of an hour files and bytes count. A single file is no burst, however small the hour.
//! 4. Hits add up over [`WINDOW`], over all rounds, restarts and peers: who asks bit by bit, or under several names, gets no more.
//!    The window is one of time that this node has lived; clocks have no part in it.
//!
//! Nothing is read or written here: [`BurstAccount`] is a value, and is kept by others as [`BurstAccount::to_text`].

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use crate::archive::lived::LivedTime;
use crate::archive::{Channel, HourContents, HourPlace, SegmentFile, name};
use crate::sync::crawl::GIFT_WINDOW;

mod reason;

pub use reason::Burst;

/// How long hits are added up: no longer than it is remembered who gave what they are measured by.
pub const WINDOW: Duration = GIFT_WINDOW;
/// More than a fifth is a burst.
const SHARE: u64 = 5;
/// So many hits are a burst, however large the archive is.
const MOST: u64 = 1_000;
/// Fewer hits are no burst of a whole channel: a small one must be tidied without asking.
const MOST_IN_SMALL: u64 = 4;
/// Hits of an hour are kept by the time in steps of this many seconds.
const STEP_S: u64 = 3_600;

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl std::ops::Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { files: self.files.saturating_add(other.files), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl std::ops::Sub for Weight {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { files: self.files.saturating_sub(other.files), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// Files that are here, or are hidden by hits, by who gave them lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weights {
    /// Whoever gave them.
    pub all: Weight,
    /// Those that the peer with the tombstones did not give.
    pub others: Weight,
    /// Those that no peer gave.
    pub own: Weight,
}

impl Weights {
    /// One file more.
    fn add(&mut self, bytes: u64, source: Source) {
        let one = Weight { files: 1, bytes };
        self.all = self.all + one;
        if source != Source::ThisPeer {
            self.others = self.others + one;
        }
        if source == Source::Own {
            self.own = self.own + one;
        }
    }
}

impl std::ops::Add for Weights {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { all: self.all + other.all, others: self.others + other.others, own: self.own + other.own }
    }
}

/// By which files something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurstMeasure {
    /// All.
    All,
    /// Those that the peer with the tombstones did not give.
    Others,
    /// Those that no peer gave.
    Own,
}

/// What tombstones would hide of one hour, and what was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourHits {
    /// What they would hide.
    pub hits: Weights,
    /// What is visible there, that included.
    pub here: Weights,
    /// Who gave what of it is not known for certain.
    pub is_doubtful: bool,
}

/// Where a file that lies here is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// No peer gave it lately, as far as that is known.
    Own,
    /// Another peer than the one with the tombstones gave it.
    OtherPeer,
    /// The one with the tombstones gave it itself.
    ThisPeer,
    /// A peer gave it since that one was asked.
    Meanwhile,
}

/// What would be hidden of an hour if `hides` said so, and the stems of that.
pub fn of_hour(
    local: &HourContents,
    hides: impl Fn(&SegmentFile) -> bool,
    source: impl Fn(&str) -> Source,
) -> (HourHits, HashSet<Box<str>>) {
    let (mut found, mut stems) = (HourHits::default(), HashSet::new());
    let mut file_name = String::new();
    for file in local.visible().filter(|file| file.size > 0) {
        file_name.clear();
        file.push_name(&mut file_name);
        let source = source(&file_name);
        if source == Source::Meanwhile {
            continue;
        }
        found.here.add(file.size, source);
        if hides(file) {
            found.hits.add(file.size, source);
            stems.insert(name::stem(&file_name).into());
        }
    }
    (found, stems)
}

/// What peers' tombstones have hidden of late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BurstAccount {
    /// By this time hits grow old.
    lived: LivedTime,
    /// Hits by hour, and by when they were, in steps: all of them, and those on files that no peer had given.
    hits: BTreeMap<(HourPlace, u64), Hits>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Hits {
    all: Weight,
    own: Weight,
}

impl std::ops::Add for Hits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { all: self.all + other.all, own: self.own + other.own }
    }
}

impl From<Hits> for Weights {
    /// Nobody remembers who gave the others: whoever asks now did not.
    fn from(hits: Hits) -> Self {
        Self { all: hits.all, others: hits.all, own: hits.own }
    }
}

impl BurstAccount {
    /// So many seconds have passed since the machine was started this time.
    pub fn live(&mut self, boot: &str, uptime_s: u64) {
        self.lived.pass(boot, uptime_s);
        let (now, window) = (self.lived.seconds(), WINDOW.as_secs());
        self.hits.retain(|(_, step), _| now.saturating_sub(step.saturating_mul(STEP_S)) < window + STEP_S);
    }

    /// Whether tombstones that would hide this wait for the operator. `of_channel` says how many files of a channel are here now by a
    /// yardstick; more than it is asked for it need not count.
    pub fn weigh(
        &self,
        new: &BTreeMap<HourPlace, HourHits>,
        of_channel: impl Fn(&Channel, BurstMeasure, u64) -> u64,
    ) -> Option<Burst> {
        let mut channels: BTreeMap<&Channel, Weights> = BTreeMap::new();
        for (place, of_hour) in new.iter().filter(|(_, of_hour)| of_hour.hits.all.files > 0) {
            let before = self.sum(|known| known == place);
            if let Some(burst) = hour(before.into(), of_hour) {
                return Some(burst);
            }
            let sum = channels.entry(&place.stream.channel).or_default();
            *sum = *sum + of_hour.hits;
        }
        for (channel, of_new) in channels {
            let of_before = Weights::from(self.sum(|known| known.stream.channel == *channel));
            for (yardstick, before, hits) in by_yardstick(of_before, of_new) {
                let tombstones = before.files.saturating_add(hits.files);
                if tombstones <= MOST_IN_SMALL {
                    continue;
                }
                let enough = tombstones.saturating_mul(SHARE);
                let known = before.files.saturating_add(of_channel(channel, yardstick, enough));
                if enough > known {
                    return Some(Burst::Channel { tombstones, known });
                }
            }
        }
        let new: u64 = new.values().map(|of_hour| of_hour.hits.all.files).sum();
        let tombstones = self.sum(|_| true).all.files.saturating_add(new);
        (new > 0 && tombstones >= MOST).then_some(Burst::Total { tombstones })
    }

    /// These were taken.
    pub fn add(&mut self, new: &BTreeMap<HourPlace, HourHits>) {
        let step = self.lived.seconds() / STEP_S;
        for (place, of_hour) in new.iter().filter(|(_, of_hour)| of_hour.hits.all.files > 0) {
            let known = self.hits.entry((place.clone(), step)).or_default();
            *known = *known + Hits { all: of_hour.hits.all, own: of_hour.hits.own };
        }
    }

    /// Of what was added last for an hour this was not hidden after all.
    pub fn take_back(&mut self, place: &HourPlace, hits: &Weights) {
        let of_hour = (place.clone(), 0)..=(place.clone(), u64::MAX);
        if let Some((_, known)) = self.hits.range_mut(of_hour).next_back() {
            *known = Hits { all: known.all - hits.all, own: known.own - hits.own };
        }
        self.hits.retain(|_, known| *known != Hits::default());
    }

    /// The operator has looked: what was hidden so far counts no more.
    pub fn clear(&mut self) {
        self.hits.clear();
    }

    /// Whether nothing was hidden of late.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    fn sum(&self, of: impl Fn(&HourPlace) -> bool) -> Hits {
        let known = self.hits.iter().filter(|((place, _), _)| of(place));
        known.fold(Hits::default(), |sum, (_, hits)| sum + *hits)
    }

    /// As it is kept: how much was lived, and a line for each hour and step.
    pub fn to_text(&self) -> String {
        let mut text = format!("lived {}\n", self.lived);
        for ((place, step), Hits { all, own }) in &self.hits {
            let numbers = format!("{step} {} {} {} {}", all.files, all.bytes, own.files, own.bytes);
            // A write to a String cannot fail.
            writeln!(text, "{numbers} {place}").unwrap_or_default();
        }
        text
    }

    /// The inverse; `None` if it is anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let lived = LivedTime::parse(lines.next()?.strip_prefix("lived ")?)?;
        let mut account = Self { lived, hits: BTreeMap::new() };
        for line in lines {
            let mut parts = line.splitn(6, ' ');
            let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
            let step = number()?;
            let all = Weight { files: number()?, bytes: number()? };
            let own = Weight { files: number()?, bytes: number()? };
            let place = HourPlace::parse(parts.next()?).ok()?;
            let known = account.hits.entry((place, step)).or_default();
            *known = *known + Hits { all, own };
        }
        Some(account)
    }
}

/// Two of them by each yardstick, the narrowest first.
fn by_yardstick(first: Weights, second: Weights) -> [(BurstMeasure, Weight, Weight); 3] {
    [
        (BurstMeasure::Own, first.own, second.own),
        (BurstMeasure::Others, first.others, second.others),
        (BurstMeasure::All, first.all, second.all),
    ]
}

/// One hour by itself. A single file is no burst, however small the hour.
fn hour(before: Weights, HourHits { hits, here, is_doubtful }: &HourHits) -> Option<Burst> {
    let hidden_in_all = (before + *hits).all.files;
    if *is_doubtful && hidden_in_all > 1 {
        return Some(Burst::Unknown { tombstones: hidden_in_all });
    }
    by_yardstick(before + *hits, before + *here).into_iter().find_map(|(_, hidden, known)| {
        if hidden.files < 2 {
            None
        } else if hidden.files.saturating_mul(SHARE) > known.files {
            Some(Burst::Hour { tombstones: hidden.files, known: known.files })
        } else if hidden.bytes.saturating_mul(SHARE) > known.bytes {
            Some(Burst::Bytes { tombstones: hidden.bytes, known: known.bytes })
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests;
