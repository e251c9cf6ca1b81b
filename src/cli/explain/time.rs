//! A point in time explained: which segments cover it and which is played, or the hole that it lies in.

use std::collections::BTreeSet;

use crate::archive::best::{SequencePiece, TOLERANCE};
use crate::archive::escape::shown;
use crate::archive::explain::{Moment, Search};
use crate::archive::{HourPlace, Stream, Timestamp};
use crate::cli::Exit;
use crate::cli::archive_client::{ArchiveClient, ArchiveScope};
use crate::cli::config::Config;
use crate::cli::out::{LineOutput, stdout};
use crate::wire::{ClosedHole, ExplainedTime, HoleRecord, why_not_played};

/// Prints what covers `at` in each channel and quality of `scope`.
pub(super) async fn explain(
    config: &Config,
    here: &ArchiveClient,
    scope: &ArchiveScope,
    at: Timestamp,
) -> anyhow::Result<Exit> {
    let mut streams = here.streams(scope, &BTreeSet::new()).await?;
    streams.retain(|stream| !stream.quality.is_chat());
    if streams.is_empty() {
        here.require(scope).await?;
        anyhow::bail!("no channel with video here; see `gapless ls`");
    }
    for stream in streams {
        let found = of_stream(here, &stream, at).await?;
        let ledger = here.ledger(&stream, at).await?;
        let mut out = stdout();
        if config.json {
            let explained = ExplainedTime::new(&stream, at, &found).with_ledger(ledger.0, ledger.1);
            out.json(&explained)?;
        } else {
            as_text(&mut out, &stream, at, &found)?;
            ledger_as_text(&mut out, &ledger)?;
        }
    }
    Ok(Exit::Done)
}

async fn of_stream(here: &ArchiveClient, stream: &Stream, at: Timestamp) -> anyhow::Result<Moment> {
    let mut search = Search::new(at, &here.hours(stream, true).await?);
    while let Some(hour) = search.wanted() {
        search.give(here.contents(&HourPlace { stream: stream.clone(), hour }).await?);
    }
    Ok(search.found())
}

fn as_text(out: &mut LineOutput<'_>, stream: &Stream, at: Timestamp, found: &Moment) -> std::io::Result<()> {
    let spans =
        |piece: &SequencePiece| format!("{}/{}: {} to {}", piece.hour, piece.file.name(), piece.start(), piece.end());
    if let Some(piece) = &found.chosen {
        let alone = if found.others.is_empty() { ", the only one" } else { "" };
        writeln!(out, "{} at {at}: covered", shown(&stream.to_string()))?;
        writeln!(out, "  played  {}{alone}", spans(piece))?;
    } else {
        let end = |piece: &Option<SequencePiece>| piece.as_ref().map_or_else(|| "nothing".to_owned(), spans);
        writeln!(out, "{} at {at}: a hole{}", shown(&stream.to_string()), length(found))?;
        writeln!(out, "  before  {}", end(&found.before))?;
        writeln!(out, "  after   {}", end(&found.after))?;
    }
    for (piece, instead) in &found.others {
        writeln!(out, "  also    {}; {}", spans(piece), why_not_played(instead))?;
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

fn ledger_as_text(out: &mut LineOutput<'_>, (open, closed): &Ledger) -> std::io::Result<()> {
    if let Some(hole) = open {
        if let Some(first_seen) = &hole.first_seen {
            writeln!(out, "  missing since {first_seen} or earlier")?;
        }
        if let (Some(reason), Some(since), Some(detail)) = (&hole.reason, &hole.reason_since, &hole.detail) {
            writeln!(out, "  reason  {reason}: {detail} (since {since})")?;
        }
    }
    for hole in closed {
        let by = hole.closed_by.as_ref().map_or_else(|| "nothing".to_owned(), Clone::clone);
        writeln!(
            out,
            "  was missing from {} to {}: first seen {}, closed {} by {by}",
            hole.start, hole.end, hole.first_seen, hole.closed
        )?;
    }
    Ok(())
}
