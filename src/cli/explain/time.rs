//! A point in time explained: which segments cover it and which is played, or the hole that it lies in.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::cli::Exit;
use crate::cli::config::Config;
use crate::cli::side::{Scope, Side};
use crate::domain::best::{Piece, TOLERANCE};
use crate::domain::explain::{Instead, Moment, moment};
use crate::domain::{Hour, HourContents, HourPlace, Stream, Timestamp};
use crate::wire::{ClosedHole, HoleRecord};

/// Hours without a segment that are looked at in each direction for the end of a hole.
const REACH: usize = 500;

/// Prints what covers `at` in each channel and quality of `scope`.
pub(super) async fn explain(config: &Config, here: &Side, scope: &Scope, at: Timestamp) -> anyhow::Result<Exit> {
    let mut streams = here.streams(scope, &BTreeSet::new()).await?;
    streams.retain(|stream| !stream.quality.is_chat());
    if streams.is_empty() {
        anyhow::bail!("no channel and quality with video was found here; `gapless ls` lists what there is");
    }
    for stream in streams {
        let found = of_stream(here, &stream, at).await?;
        let ledger = here.ledger(&stream, at).await?;
        let mut out = std::io::stdout().lock();
        if config.json {
            writeln!(out, "{}", as_json(&stream, at, &found, &ledger))?;
        } else {
            as_text(&mut out, &stream, at, &found)?;
            ledger_as_text(&mut out, &ledger)?;
        }
    }
    Ok(Exit::Done)
}

async fn of_stream(here: &Side, stream: &Stream, at: Timestamp) -> anyhow::Result<Moment> {
    let hours = here.hours(stream, true).await?;
    let middle = at.hour();
    // A segment may run over its hour, and one of the hour before that may end later than all of the next.
    let first = middle.previous().previous();
    let near: BTreeSet<Hour> = hours.range(first..=middle).copied().collect();
    let mut looked_at = contents(here, stream, near).await?;
    let mut found = moment(&looked_at, at);
    if found.chosen.is_some() {
        return Ok(found);
    }
    for hour in hours.range(..first).rev().take(REACH) {
        if found.before.is_some() {
            break;
        }
        // One more, because a long segment of the hour before may end later.
        let earlier: BTreeSet<Hour> = hours.range(hour.previous()..=*hour).copied().collect();
        looked_at = contents(here, stream, earlier).await?.into_iter().chain(looked_at).collect();
        looked_at.dedup_by_key(|(known, _)| *known);
        found = moment(&looked_at, at);
    }
    for hour in hours.range(middle.next()..).filter(|hour| **hour > middle).take(REACH) {
        if found.after.is_some() {
            break;
        }
        looked_at.extend(contents(here, stream, BTreeSet::from([*hour])).await?);
        found = moment(&looked_at, at);
    }
    Ok(found)
}

async fn contents(here: &Side, stream: &Stream, hours: BTreeSet<Hour>) -> anyhow::Result<Vec<(Hour, HourContents)>> {
    let mut found = Vec::with_capacity(hours.len());
    for hour in hours {
        found.push((hour, here.contents(&HourPlace { stream: stream.clone(), hour }).await?));
    }
    Ok(found)
}

fn why(instead: &Instead) -> String {
    match instead {
        Instead::Hidden => "hidden by its tombstone".to_owned(),
        Instead::Beaten(by, merit) => format!("not the best for its start: {by} is, because {merit}"),
        Instead::Later => "it starts later than the one that is played".to_owned(),
    }
}

fn as_text(out: &mut impl std::io::Write, stream: &Stream, at: Timestamp, found: &Moment) -> std::io::Result<()> {
    let spans = |piece: &Piece| format!("{}/{}: {} to {}", piece.hour, piece.file.name(), piece.start(), piece.end());
    if let Some(piece) = &found.chosen {
        let alone = if found.others.is_empty() { ", the only one" } else { "" };
        writeln!(out, "{stream} at {at}: covered")?;
        writeln!(out, "  played  {}{alone}", spans(piece))?;
    } else {
        let end = |piece: &Option<Piece>| piece.as_ref().map_or_else(|| "nothing".to_owned(), spans);
        writeln!(out, "{stream} at {at}: a hole{}", length(found))?;
        writeln!(out, "  before  {}", end(&found.before))?;
        writeln!(out, "  after   {}", end(&found.after))?;
    }
    for (piece, instead) in &found.others {
        writeln!(out, "  also    {}; {}", spans(piece), why(instead))?;
    }
    Ok(())
}

fn length(found: &Moment) -> String {
    match found.hole() {
        Some(span) if span <= TOLERANCE => {
            format!(" of {} s, so short that what is around it counts as joined", span.seconds())
        }
        Some(span) => format!(" of {} s", span.seconds()),
        None if found.before.is_some() => ", after the last segment".to_owned(),
        None if found.after.is_some() => ", before the first segment".to_owned(),
        None => ", and no segment anywhere near".to_owned(),
    }
}

/// What the ledger knows of the moment.
type Ledger = (Option<HoleRecord>, Vec<ClosedHole>);

fn ledger_as_text(out: &mut impl std::io::Write, (open, closed): &Ledger) -> std::io::Result<()> {
    if let Some(hole) = open {
        if let Some(first_seen) = &hole.first_seen {
            writeln!(out, "  missing since {first_seen} at the latest, when that was first seen")?;
        }
        if let (Some(reason), Some(since), Some(detail)) = (&hole.reason, &hole.reason_since, &hole.detail) {
            writeln!(out, "  because {reason}: {detail} (known since {since})")?;
        }
    }
    for hole in closed {
        let by = hole.closed_by.as_ref().map_or_else(|| "nothing that came".to_owned(), Clone::clone);
        writeln!(
            out,
            "  was missing from {} to {}: first seen {}, closed {} by {by}",
            hole.start, hole.end, hole.first_seen, hole.closed
        )?;
    }
    Ok(())
}

fn as_json(stream: &Stream, at: Timestamp, found: &Moment, (open, closed): &Ledger) -> Value {
    let piece = |piece: &Piece| {
        json!({
            "hour": piece.hour.to_string(), "name": piece.file.name(), "start": piece.start().to_string(),
            "end": piece.end().to_string(), "type": piece.file.key.kind.as_str(), "size": piece.file.size,
        })
    };
    let others: Vec<Value> = found
        .others
        .iter()
        .map(|(other, instead)| json!({ "segment": piece(other), "not_played_because": why(instead) }))
        .collect();
    let hole = found.chosen.is_none().then(|| {
        json!({
            "start": found.before.as_ref().map(|before| before.end().to_string()),
            "end": found.after.as_ref().map(|after| after.start().to_string()),
            "seconds": found.hole().map(crate::domain::Span::seconds),
            "before": found.before.as_ref().map(piece), "after": found.after.as_ref().map(piece),
            "first_seen": open.as_ref().and_then(|hole| hole.first_seen.as_ref()),
            "reason": open.as_ref().and_then(|hole| hole.reason.as_ref()),
            "reason_since": open.as_ref().and_then(|hole| hole.reason_since.as_ref()),
            "peers": open.as_ref().map(|hole| &hole.peers), "detail": open.as_ref().and_then(|hole| hole.detail.as_ref()),
            "unfillable": open.as_ref().map(|hole| hole.unfillable),
        })
    });
    json!({
        "channel": stream.channel.as_str(), "quality": stream.quality.as_str(), "time": at.to_string(),
        "played": found.chosen.as_ref().map(piece), "others": others, "hole": hole, "was_missing": closed,
    })
}
