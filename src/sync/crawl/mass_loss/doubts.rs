//! Whether what is missing looks like an accident: a wrong disk with a right marker, a mount point with something missing, a slip of
//! the hand.
//!
//! 1. Losses that are found by comparing are counted for each channel, from the beginning of one *window* (catching up, or a cycle
//!    of the comparison) to the next.
//! 2. A loss by which more than half of what the channel has had in the window would be gone is not let go, if that is more than a
//!    number below which an accident is cheap to mend. The channel is in *doubt*: what is missing of it is held, also
//!    what is found missing later, in this window and the next ones.
//! 3. The doubt ends when nothing is missing any more, or when the operator accepts it. What is accepted may go, until
//!    everything has been compared once more.

use std::collections::BTreeMap;

use crate::archive::{Channel, Hour, HourPlace, Quality};

/// Entries that may always go: half an hour of two-second segments is fetched again in a moment, and small archives are often
/// changed as a whole.
pub const ABOVE: u64 = 1_000;

/// Windows for which what was accepted may go: the one that runs, and a whole one.
const ACCEPTED: u8 = 2;

/// What is missing of a channel at once, and was not let go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "of channel {channel}, {missing} of {had} files in {hours} hours are missing at once, which looks like an accident, so nothing is \
     concluded from it: put them back, or let them go with `gapless crawl accept CHANNEL`"
)]
pub struct MassLoss {
    /// The channel.
    pub channel: Channel,
    /// Segments, chat batches, tombstones and odd files that are missing, as far as they have been looked for.
    pub missing: u64,
    /// How many the channel has had.
    pub had: u64,
    /// Hours in which something is missing.
    pub hours: u64,
}

/// Whether a loss may be concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossVerdict {
    /// It may.
    Go,
    /// It may not.
    Hold,
    /// It may not, and from now on the channel is in doubt.
    Doubt,
}

type HeldHours = BTreeMap<(Quality, Hour), u64>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum ChannelStanding {
    Trusted,
    Doubted { had: u64, held: HeldHours },
    Accepted { windows: u8 },
}

#[derive(Debug, Clone)]
struct ChannelAccount {
    /// What has left in this window.
    gone: u64,
    standing: ChannelStanding,
}

/// What is missing, by channel.
#[derive(Debug, Clone)]
pub struct Doubts {
    above: u64,
    channels: BTreeMap<Channel, ChannelAccount>,
}

impl Doubts {
    /// Nothing is missing yet. In each window so many entries of a channel may go without a question.
    pub fn new(above: u64) -> Self {
        Self { above, channels: BTreeMap::new() }
    }

    /// A window begins. Doubts last.
    pub fn begin(&mut self) {
        self.channels.retain(|_, account| {
            account.gone = 0;
            match &mut account.standing {
                ChannelStanding::Trusted => false,
                ChannelStanding::Doubted { .. } => true,
                ChannelStanding::Accepted { windows } => {
                    *windows -= 1;
                    *windows > 0
                }
            }
        });
    }

    /// Whether the losses of some hours of a channel that has `has()` entries now may be concluded together; if so they count.
    pub fn weigh<E>(
        &mut self,
        channel: &Channel,
        losses: &[(HourPlace, u64)],
        has: impl FnOnce() -> Result<u64, E>,
    ) -> Result<LossVerdict, E> {
        let verdict = self.weigh_whole(channel, losses, has)?;
        if verdict == LossVerdict::Go
            && let Some(account) = self.channels.get_mut(channel)
        {
            account.gone += sum(losses);
        }
        Ok(verdict)
    }

    /// The same for what will be weighed in parts: if all of it may be concluded, nothing is counted yet.
    pub fn weigh_whole<E>(
        &mut self,
        channel: &Channel,
        losses: &[(HourPlace, u64)],
        has: impl FnOnce() -> Result<u64, E>,
    ) -> Result<LossVerdict, E> {
        let fresh = || ChannelAccount { gone: 0, standing: ChannelStanding::Trusted };
        let account = self.channels.entry(channel.clone()).or_insert_with(fresh);
        let missing = losses.iter().filter(|(_, missing)| *missing > 0);
        let new = missing.map(|(place, missing)| ((place.stream.quality.clone(), place.hour), *missing));
        match &mut account.standing {
            ChannelStanding::Accepted { .. } => Ok(LossVerdict::Go),
            ChannelStanding::Doubted { held, .. } => {
                held.extend(new);
                Ok(LossVerdict::Hold)
            }
            ChannelStanding::Trusted => {
                let leaving = account.gone + sum(losses);
                if leaving <= self.above {
                    return Ok(LossVerdict::Go);
                }
                let had = has()? + account.gone;
                if leaving <= had / 2 {
                    return Ok(LossVerdict::Go);
                }
                account.standing = ChannelStanding::Doubted { had, held: new.collect() };
                Ok(LossVerdict::Doubt)
            }
        }
    }

    /// What was to go has not gone after all.
    pub fn give_back(&mut self, channel: &Channel, count: u64) {
        if let Some(account) = self.channels.get_mut(channel) {
            account.gone = account.gone.saturating_sub(count);
        }
    }

    /// Nothing is missing in this hour. True if with that a doubt ends.
    pub fn found(&mut self, place: &HourPlace) -> bool {
        let Some(account) = self.channels.get_mut(&place.stream.channel) else { return false };
        let ChannelStanding::Doubted { held, .. } = &mut account.standing else { return false };
        held.remove(&(place.stream.quality.clone(), place.hour));
        let ends = held.is_empty();
        if ends {
            account.standing = ChannelStanding::Trusted;
        }
        ends
    }

    /// The doubt by which an hour is held, if it is.
    pub fn of(&self, place: &HourPlace) -> Option<MassLoss> {
        let account = self.channels.get(&place.stream.channel)?;
        let ChannelStanding::Doubted { had, held } = &account.standing else { return None };
        let is_held = held.contains_key(&(place.stream.quality.clone(), place.hour));
        is_held.then(|| doubt(&place.stream.channel, *had, held))
    }

    /// All doubts.
    pub fn all(&self) -> Vec<MassLoss> {
        let doubted = self.channels.iter().filter_map(|(channel, account)| match &account.standing {
            ChannelStanding::Doubted { had, held } => Some(doubt(channel, *had, held)),
            _ => None,
        });
        doubted.collect()
    }

    /// What is missing of a channel may go; these are its hours. `None` if it is not in doubt.
    pub fn accept(&mut self, channel: &Channel) -> Option<(MassLoss, Vec<HourPlace>)> {
        let account = self.channels.get_mut(channel)?;
        let ChannelStanding::Doubted { had, held } = &account.standing else { return None };
        let told = doubt(channel, *had, held);
        let place = |(quality, hour): &(Quality, Hour)| HourPlace {
            stream: crate::archive::Stream { channel: channel.clone(), quality: quality.clone() },
            hour: *hour,
        };
        let places = held.keys().map(place).collect();
        account.standing = ChannelStanding::Accepted { windows: ACCEPTED };
        Some((told, places))
    }
}

fn sum(losses: &[(HourPlace, u64)]) -> u64 {
    losses.iter().map(|(_, missing)| missing).sum()
}

fn doubt(channel: &Channel, had: u64, held: &HeldHours) -> MassLoss {
    MassLoss { channel: channel.clone(), missing: held.values().sum(), had, hours: held.len() as u64 }
}

#[cfg(test)]
mod tests;
