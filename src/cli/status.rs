//! The verb `status`: what a daemon says about itself, on one screen. Works nothing out on its own.

use std::io::Write;
use std::process::ExitCode;

use super::Exit;
use super::args::StatusArgs;
use super::client::Daemon;
use super::config::Config;

/// Prints the state of the daemon on this archive, or of the one that was named.
pub async fn run(config: &Config, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let daemon = match &args.node {
        Some(address) => Some(Daemon::at(address).map_err(|error| super::UsageError(error.to_string()))?),
        None => Daemon::find(&config.state_dir).await,
    };
    let Some(daemon) = daemon else {
        anyhow::bail!("no daemon runs on {}; start one with `gapless node`", config.base_dir.display());
    };
    let status: serde_json::Value = daemon.get_json("/api/v1/status").await?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &status)?;
    writeln!(out)?;
    out.flush()?;
    Ok(Exit::Done.into())
}
