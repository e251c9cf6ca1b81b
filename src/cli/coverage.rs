//! The verb `coverage`: a table of the hours of each quality, and, on request, gauges, maps and pages. Writes nothing that was not
//! asked for.

mod ask;
mod print;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context as _;

use self::print::CoveragePrinter;
use super::archive_client::{ArchiveClient, ArchiveScope};
use super::args::CoverageArgs;
use super::config::Config;
use super::{Exit, UsageError, absent};
use crate::archive::escape::{shown, unshown};
use crate::archive::{Channel, Quality, Stream, Timestamp};
use crate::disk::Base;
use crate::replicate::sources::SourceEntry;
use crate::report::coverage::{self, CoverageGauges, ShownNode};
use crate::wire::Status;

/// Works everything out once.
pub async fn run(config: &Config, args: &CoverageArgs) -> anyhow::Result<ExitCode> {
    let selection = Selection::new(args)?;
    let here = ArchiveClient::here(config).await?;
    let done = all(config, args, &selection, &here).await;
    here.close().await?;
    done.map(ExitCode::from)
}

/// Which channels and qualities; all where none is named.
struct Selection {
    channels: BTreeSet<Channel>,
    qualities: BTreeSet<Quality>,
}

impl Selection {
    fn new(args: &CoverageArgs) -> Result<Self, UsageError> {
        let wrong = |text: &String, error: &dyn std::fmt::Display| UsageError(format!("{text}: {error}"));
        let channels =
            args.channel.iter().map(|text| Channel::new(&unshown(text)).map_err(|error| wrong(text, &error)));
        let qualities =
            args.quality.iter().map(|text| Quality::new(&unshown(text)).map_err(|error| wrong(text, &error)));
        Ok(Self { channels: channels.collect::<Result<_, _>>()?, qualities: qualities.collect::<Result<_, _>>()? })
    }

    /// An error where one that was named is not here.
    fn are_all_among(&self, streams: &BTreeSet<Stream>) -> anyhow::Result<()> {
        let names = |of: fn(&Stream) -> String| -> Vec<String> {
            streams.iter().map(of).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let (channels, qualities) =
            (names(|stream| stream.channel.to_string()), names(|stream| stream.quality.to_string()));
        let is_here =
            |what, name: &str, known: &[String]| absent::among(&format!("{what} {}", shown(name)), name, known);
        self.channels.iter().try_for_each(|channel| is_here("channel", channel.as_str(), &channels))?;
        self.qualities.iter().try_for_each(|quality| is_here("quality", quality.as_str(), &qualities))
    }

    fn holds(&self, stream: &Stream) -> bool {
        (self.channels.is_empty() || self.channels.contains(&stream.channel))
            && (self.qualities.is_empty() || self.qualities.contains(&stream.quality))
            && !stream.quality.is_chat()
    }
}

/// The nodes whose maps a page shows: this one, and those that its daemon knows, or else those that the configuration names.
async fn nodes(config: &Config, here: &ArchiveClient) -> anyhow::Result<Vec<ShownNode>> {
    let own = ShownNode { name: config.node.name.clone(), url: None };
    if let Some(daemon) = here.api().filter(|api| api.local().is_none()) {
        let status: Status = daemon.get("api/v1/status").json().await?;
        let peers = status.peers.into_iter().map(|peer| ShownNode::peer(peer.name, &peer.url));
        return Ok(std::iter::once(own).chain(peers).collect());
    }
    let other = |text: &String| {
        let entry = SourceEntry::parse(text).map_err(|error| UsageError(format!("backfill.peers: {error}")))?;
        Ok(ShownNode::peer(entry.name, &entry.url.to_string()))
    };
    std::iter::once(Ok(own)).chain(config.backfill.peers.iter().map(other)).collect()
}

async fn all(
    config: &Config,
    args: &CoverageArgs,
    selection: &Selection,
    here: &ArchiveClient,
) -> anyhow::Result<Exit> {
    let nodes = nodes(config, here).await?;
    let mut streams = here.streams(&ArchiveScope::default(), &BTreeSet::new()).await?;
    selection.are_all_among(&streams)?;
    streams.retain(|stream| selection.holds(stream));
    let mut gauges = args.gauges.as_ref().map(|_| CoverageGauges::default());
    let mut exit = Exit::Done;
    for stream in streams {
        let found = ask::of_stream(here, &stream, args.maps).await?;
        let mut printer = CoveragePrinter::new(config.json, &stream)?;
        for figures in &found.hours {
            printer.hour(figures)?;
            if let Some(gauges) = &mut gauges {
                gauges.add(&stream, figures);
            }
        }
        printer.end()?;
        if let Some(picture) = found.picture {
            // One that cannot be written, its name too long, costs no other.
            if let Err(error) = draw(config, &stream, &nodes, &picture) {
                let place = coverage::maps_of(&config.base_dir).display().to_string();
                tracing::error!(name: "map_failed", %stream, place, error = format!("{error:#}"), "the map was not written");
                exit = Exit::Failed;
            }
        }
    }
    if let (Some(path), Some(gauges)) = (&args.gauges, gauges) {
        tokio::task::block_in_place(|| coverage::write_file(path, gauges.finish().as_bytes()))
            .with_context(|| format!("the gauges were not written to {}", path.display()))?;
    }
    Ok(exit)
}

fn draw(config: &Config, stream: &Stream, nodes: &[ShownNode], picture: &[u8]) -> anyhow::Result<()> {
    tokio::task::block_in_place(|| {
        let base = Base::open(&config.base_dir)?;
        Ok(coverage::publish(&base, stream, picture, &coverage::page(stream, nodes))?)
    })
}

/// What the machine says it is.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
