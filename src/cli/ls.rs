//! The verb `ls`: names from the index, one a line, or as the JSON list that the daemon gives. Asks the daemon if one runs,
//! and the index itself if none does.

use std::process::ExitCode;

use super::args::{ArchiveTarget, LsArgs};
use super::client::{Daemon, path};
use super::config::Config;
use super::offline::Offline;
use super::out::stdout;
use super::{Exit, UsageError};
use crate::domain::escape::shown;
use crate::domain::{Hour, HourPlace, Stream};

/// Prints what lies in a place of the archive.
pub async fn run(config: &Config, args: &LsArgs) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = match Daemon::find(&config.state_dir).await {
        Some(daemon) => daemon.get_json(&request(args)).await?,
        None => offline(config, args)?,
    };
    let mut out = stdout();
    if config.json {
        out.json(&names)?;
    } else {
        for name in names {
            writeln!(out, "{}", shown(&name))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

/// Asks the index itself, after bringing what is asked for into line with the disk, as the daemon does.
fn offline(config: &Config, args: &LsArgs) -> anyhow::Result<Vec<String>> {
    let parts: Vec<&str> = args.target.iter().flat_map(ArchiveTarget::parts).collect();
    let place = match parts.as_slice() {
        [channel, quality, hour, ..] => Some(hour_place(channel, quality, hour)?),
        _ => None,
    };
    let offline = Offline::open(config)?;
    let catalog = offline.keeper.index().catalog();
    let names = match (place, parts.as_slice()) {
        (Some(place), _) => offline.keeper.answer(&place)?.contents.listed(args.tombstones),
        (None, [channel, quality, ..]) => {
            catalog.hours(&format!("{channel}/{quality}"), ..).iter().map(Hour::to_string).collect()
        }
        (None, [channel]) => catalog.qualities(channel),
        (None, []) => catalog.channels(),
    };
    offline.close();
    Ok(names)
}

fn hour_place(channel: &str, quality: &str, hour: &str) -> Result<HourPlace, UsageError> {
    let stream = Stream::new(channel, quality).map_err(|error| UsageError(error.to_string()))?;
    let hour = Hour::parse(hour).map_err(|error| UsageError(format!("{hour}: {error}")))?;
    Ok(HourPlace { stream, hour })
}

fn request(args: &LsArgs) -> String {
    let parts = args.target.iter().flat_map(ArchiveTarget::parts);
    let query = if args.tombstones { "?tombstones=true" } else { "" };
    format!("{}{query}", path(std::iter::once("files").chain(parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_listing_of_the_place() {
        let ask = |target: Option<&str>, tombstones| {
            request(&LsArgs { target: target.map(|text| text.parse().unwrap()), tombstones })
        };
        assert_eq!(ask(None, false), "/files");
        assert_eq!(ask(Some("a b/source"), false), "/files/a%20b/source");
        assert_eq!(ask(Some("a/b/2019-11-13T02"), true), "/files/a/b/2019-11-13T02?tombstones=true");
    }
}
