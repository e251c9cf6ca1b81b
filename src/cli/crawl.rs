//! The verb `crawl`: the operator's word to the crawl of the daemon that runs.

use std::process::ExitCode;

use clap::Subcommand;
use reqwest::StatusCode;

use super::absent;
use super::api::Api;
use super::config::Config;
use super::exit::Exit;
use super::out::stdout;
use crate::archive::escape::{shown, unshown};
use crate::wire::{AcceptMissing, DoubtReport};

#[derive(Debug, Clone, clap::Args)]
pub struct CrawlArgs {
    #[command(subcommand)]
    pub verb: CrawlVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum CrawlVerb {
    /// Confirm that a channel's missing files are gone for good
    Accept {
        /// The channel, as `gapless status` names it
        channel: String,
    },
}

pub async fn run(config: &Config, args: &CrawlArgs) -> anyhow::Result<ExitCode> {
    let CrawlVerb::Accept { channel } = &args.verb;
    let Some(daemon) = Api::running(config).await else {
        anyhow::bail!("no daemon runs here, so there is nothing to confirm; `gapless rebuild` indexes what is there");
    };
    let order = AcceptMissing { channel: unshown(channel).into_owned() };
    let accepted: DoubtReport = match daemon.post("api/v1/crawl/accept", &order)?.json().await {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
            absent::require(&daemon, &order.channel, None).await?;
            return Err(error.into());
        }
        answer => answer?,
    };
    let mut out = stdout();
    if config.json {
        out.json(&accepted)?;
    } else {
        let DoubtReport { missing, hours, .. } = accepted;
        writeln!(out, "{missing} files in {hours} hours of channel {} leave the index", shown(channel))?;
    }
    Ok(Exit::Done.into())
}
