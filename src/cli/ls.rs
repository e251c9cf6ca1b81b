//! The verb `ls`: names, one a line, or as the JSON list that a node gives.

use std::process::ExitCode;

use super::absent;
use super::api::{Api, ApiRequest, OpenNeeds};
use super::args::ArchiveTarget;
use super::config::Config;
use super::exit::{Exit, UsageError};
use super::out::stdout;
use crate::archive::Hour;
use crate::archive::escape::shown;

#[derive(Debug, Clone, clap::Args)]
pub struct LsArgs {
    /// What to list; without it, the channels
    #[arg(value_name = "CHANNEL[/QUALITY[/HOUR]]")]
    pub target: Option<ArchiveTarget>,
    /// Also list tombstones
    #[arg(long)]
    pub tombstones: bool,
}

pub async fn run(config: &Config, args: &LsArgs) -> anyhow::Result<ExitCode> {
    let parts: Vec<&str> = args.target.iter().flat_map(ArchiveTarget::parts).collect();
    if let Some(hour) = parts.get(2) {
        Hour::parse(hour).map_err(|error| UsageError(format!("{hour}: {error}")))?;
    }
    let names = Api::with(config, OpenNeeds::default(), async |api| {
        let question = parts.iter().fold(api.get("files"), ApiRequest::part);
        let names: Vec<String> = question.with("tombstones", args.tombstones).json().await?;
        if let (true, Some(target)) = (names.is_empty(), &args.target) {
            absent::require_target(api, target).await?;
        }
        Ok(names)
    })
    .await?;
    let mut out = stdout();
    if config.json {
        out.json(&names)?;
    } else {
        for name in names {
            writeln!(out, "{}", shown(&name))?;
        }
    }
    Ok(Exit::Done.into())
}
