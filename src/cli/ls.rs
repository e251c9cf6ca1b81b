//! The verb `ls`: names from the index, one a line, or as the JSON list that the daemon gives. Asks the daemon if one runs.

use std::io::Write;
use std::process::ExitCode;

use super::Exit;
use super::args::{LsArgs, Target};
use super::client::{Daemon, path};
use super::config::Config;

/// Prints what lies in a place of the archive.
pub async fn run(config: &Config, args: &LsArgs) -> anyhow::Result<ExitCode> {
    let Some(daemon) = Daemon::find(&config.state_dir).await else {
        anyhow::bail!("no daemon runs on {}; start one with `gapless node`", config.base_dir.display());
    };
    let names: Vec<String> = daemon.get_json(&request(args)).await?;
    let mut out = std::io::stdout().lock();
    if config.json {
        serde_json::to_writer(&mut out, &names)?;
        writeln!(out)?;
    } else {
        for name in names {
            writeln!(out, "{name}")?;
        }
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn request(args: &LsArgs) -> String {
    let parts = args.target.iter().flat_map(Target::parts);
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
