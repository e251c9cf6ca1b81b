//! The verb `diff`: what this archive or another node has and the other lacks. Fetches nothing, and changes nothing on either side.
//!
//! 1. A node of our kind is asked for digests: one request when nothing differs, then days, then hours that differ. Any other is
//!    listed hour by hour.
//! 2. Only hours that differ are listed on both sides and compared name by name ([`compare`]); what backfill would do about a name is
//!    what its plan says.
//! 3. An hour that cannot be compared is reported, and the others go on; a peer that is away ends the run.

pub(super) mod compare;
mod print;

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;

use futures_util::StreamExt as _;

use self::print::{DiffPrinter, DiffResult};
use super::archive_client::{ArchiveClient, ArchiveScope, Digests};
use super::args::{ArchiveTarget, RuleArgs};
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::progress::Progress;
use crate::archive::{Channel, Hour, HourContents, HourPlace, Quality, Span, Stream, Timestamp};
use crate::replicate::backfill::plan::{Rules, plan};
use crate::replicate::peer::PeerError;
use compare::{HourDifference, NameFate, compare, fates};

#[derive(Debug, Clone, clap::Args)]
pub struct DiffArgs {
    /// The other node
    #[arg(long, value_name = "[NAME=]URL")]
    pub peer: String,
    /// What to compare; without it, everything
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub target: Option<ArchiveTarget>,
    /// Only how many, not which
    #[arg(long)]
    pub summary: bool,
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// Hours that are asked for at once: enough to hide the way to the peer, few enough not to be felt there.
const AT_ONCE: usize = 4;

pub async fn run(config: &Config, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let scope = scope(args.target.as_ref())?;
    let rules = DiffRules::new(config, &args.rules)?;
    let there = ArchiveClient::peer(&args.peer, config)?;
    let here = ArchiveClient::here(config).await?.of_this_node_alone();
    let result = differences(config, args, &here, &there, &scope, &rules).await;
    here.close().await?;
    let result = result?;
    Ok(if result.failed > 0 {
        Exit::Failed.into()
    } else if result.different > 0 {
        Exit::DataWrong.into()
    } else {
        Exit::Done.into()
    })
}

fn scope(target: Option<&ArchiveTarget>) -> Result<ArchiveScope, UsageError> {
    let parts: Vec<&str> = target.into_iter().flat_map(ArchiveTarget::parts).collect();
    let wrong = |part: &&str, error: &dyn std::fmt::Display| UsageError(format!("{part}: {error}"));
    Ok(ArchiveScope {
        channel: parts.first().map(|part| Channel::new(part).map_err(|error| wrong(part, &error))).transpose()?,
        quality: parts.get(1).map(|part| Quality::new(part).map_err(|error| wrong(part, &error))).transpose()?,
        hour: parts.get(2).map(|part| Hour::parse(part).map_err(|error| wrong(part, &error))).transpose()?,
    })
}

/// The rules of backfill, as this configuration and these arguments have them.
#[derive(Debug, Clone, Copy)]
pub struct DiffRules {
    now: Timestamp,
    cutoff: Span,
    trusted: bool,
}

impl DiffRules {
    /// Reads the clock: only whether a segment is too recent depends on it.
    pub fn new(config: &Config, args: &RuleArgs) -> anyhow::Result<Self> {
        Ok(Self {
            now: super::args::now(),
            cutoff: super::options::recent_cutoff(config, &args.cutoff)?,
            trusted: !args.distrust_tombstones,
        })
    }

    pub fn of(&self, hour: Hour) -> Rules {
        Rules {
            hour,
            now: self.now,
            cutoff: self.cutoff,
            oldest: None,
            wanted: true,
            trusted: self.trusted,
            hides_equal: true,
            keeps_one_name: true,
            takes_all_names: false,
        }
    }
}

struct Pair {
    place: HourPlace,
    here: bool,
    there: bool,
}

/// What the hours to compare were found by, and which they are.
struct Found {
    pairs: Vec<Pair>,
    by_digests: bool,
}

async fn differences(
    config: &Config,
    args: &DiffArgs,
    here: &ArchiveClient,
    there: &ArchiveClient,
    scope: &ArchiveScope,
    rules: &DiffRules,
) -> anyhow::Result<DiffResult> {
    let found = match scope.place() {
        Some(place) => {
            if there.qualities(scope).await?.is_some() && here.qualities(scope).await?.is_some() {
                here.require_another(there)?;
            }
            if let Err(absent) = here.require(scope).await
                && there.listing(&place).await?.is_empty()
            {
                return Err(absent);
            }
            Found { pairs: vec![Pair { place, here: true, there: true }], by_digests: false }
        }
        None => match by_digests(here, there, scope).await? {
            Some(pairs) => Found { pairs, by_digests: true },
            None => Found { pairs: by_listings(here, there, scope).await?, by_digests: false },
        },
    };
    let progress = Progress::stderr();
    if found.pairs.is_empty() {
        // What neither side has is not equal, but misspelt.
        here.require(scope).await?;
    } else {
        progress.start(Some(found.pairs.len() as u64), "hours compared");
    }
    let mut printer = DiffPrinter::new(config.json, args.summary, &there.name());
    let mut compared = futures_util::stream::iter(&found.pairs)
        .map(|pair| async move { (pair, hour(here, there, pair, rules).await) })
        .buffered(AT_ONCE);
    while let Some((pair, result)) = compared.next().await {
        match result {
            Ok((difference, fates)) => printer.hour(&pair.place, &difference, &fates)?,
            Err(error) if error.downcast_ref::<PeerError>().is_none_or(PeerError::is_away) => return Err(error),
            Err(error) => printer.failed(&pair.place, &error),
        }
        progress.advance(1);
    }
    progress.finish();
    printer.end(found.by_digests, (here.requests(), there.requests()))
}

/// The hours whose digests differ; `None` if one of the sides knows no digests.
async fn by_digests(
    here: &ArchiveClient,
    there: &ArchiveClient,
    scope: &ArchiveScope,
) -> anyhow::Result<Option<Vec<Pair>>> {
    let Some(theirs) = there.qualities(scope).await? else { return Ok(None) };
    here.catch_up(scope).await?;
    let Some(ours) = here.qualities(scope).await? else { return Ok(None) };
    here.require_another(there)?;
    let mut pairs = Vec::new();
    for stream in different(&ours, &theirs) {
        let (held, offered) = (ours.contains_key(stream), theirs.contains_key(stream));
        let days = if held { here.days(stream).await? } else { Digests::new() };
        let their_days = if offered { there.days(stream).await? } else { Digests::new() };
        for day in different(&days, &their_days) {
            let hours = if days.contains_key(day) { here.hours_of_day(stream, *day).await? } else { Digests::new() };
            let their_hours =
                if their_days.contains_key(day) { there.hours_of_day(stream, *day).await? } else { Digests::new() };
            pairs.extend(different(&hours, &their_hours).map(|hour| Pair {
                place: HourPlace { stream: stream.clone(), hour: *hour },
                here: hours.contains_key(hour),
                there: their_hours.contains_key(hour),
            }));
        }
    }
    Ok(Some(pairs))
}

/// The keys of which two maps of digests have different ones, in order.
fn different<'a, K: Ord>(ours: &'a Digests<K>, theirs: &'a Digests<K>) -> impl Iterator<Item = &'a K> + use<'a, K> {
    let keys: BTreeSet<&K> = ours.keys().chain(theirs.keys()).collect();
    keys.into_iter().filter(|key| ours.get(key) != theirs.get(key))
}

async fn by_listings(here: &ArchiveClient, there: &ArchiveClient, scope: &ArchiveScope) -> anyhow::Result<Vec<Pair>> {
    let ours = here.streams(scope, &BTreeSet::new()).await?;
    let theirs = there.streams(scope, &ours).await?;
    let mut pairs = Vec::new();
    let streams: BTreeSet<&Stream> = ours.union(&theirs).collect();
    for stream in streams {
        let hours = if ours.contains(stream) { here.hours(stream, true).await? } else { BTreeSet::new() };
        let their_hours =
            if theirs.contains(stream) { there.hours(stream, ours.contains(stream)).await? } else { BTreeSet::new() };
        pairs.extend(hours.union(&their_hours).map(|hour| Pair {
            place: HourPlace { stream: stream.clone(), hour: *hour },
            here: hours.contains(hour),
            there: their_hours.contains(hour),
        }));
    }
    Ok(pairs)
}

async fn hour(
    here: &ArchiveClient,
    there: &ArchiveClient,
    pair: &Pair,
    rules: &DiffRules,
) -> anyhow::Result<(HourDifference, HashMap<String, NameFate>)> {
    let offered = if pair.there { there.listing(&pair.place).await? } else { Vec::new() };
    let held = if pair.here { here.listing(&pair.place).await? } else { Vec::new() };
    // Sizes are not listed; of all there is something.
    let contents = |names: &[String]| HourContents::from_names(names.iter().map(|name| (name.as_str(), 1)));
    let local = contents(&held);
    let difference = compare(&local, &contents(&offered));
    let remote: Vec<&str> = offered.iter().map(String::as_str).collect();
    let fates = if difference.there.is_empty() {
        HashMap::new()
    } else {
        let planned = plan(&local, &remote, &rules.of(pair.place.hour));
        fates(&planned, &pair.place, &local).into_iter().map(|(name, fate)| (name.to_owned(), fate)).collect()
    };
    Ok((difference, fates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_with_another_digest_are_looked_at() {
        let map = |pairs: &[(u8, &str)]| pairs.iter().map(|&(key, digest)| (key, digest.to_owned())).collect();
        let (ours, theirs): (Digests<u8>, Digests<u8>) =
            (map(&[(1, "a"), (2, "b"), (3, "c")]), map(&[(2, "b"), (3, "d"), (4, "e")]));
        assert_eq!(different(&ours, &theirs).copied().collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(different(&ours, &ours).count(), 0);
    }

    #[test]
    fn a_target_is_read_to_the_hour() {
        let read = |text: &str| scope(Some(&text.parse().unwrap()));
        let place = read("a/b/2019-11-13T02").unwrap().place().unwrap();
        assert_eq!(place.to_string(), "a/b/2019-11-13T02");
        assert!(read("a").unwrap().holds(&Stream::parse("a/x").unwrap()));
        assert!(!read("a/b").unwrap().holds(&Stream::parse("a/x").unwrap()));
        assert_eq!(
            read("a/b/monday").unwrap_err().0,
            "monday: an hour is written YYYY-MM-DDTHH in UTC, such as 2019-11-13T02"
        );
        assert_eq!(scope(None).unwrap(), ArchiveScope::default());
    }
}
