//! The verb `rebuild`: make the index anew from the tree, or report where the two differ. Never changes the tree.

use std::process::ExitCode;

use super::args::RebuildArgs;
use super::client::Daemon;
use super::config::Config;

/// Rebuilds or checks the index.
pub async fn run(config: &Config, _args: RebuildArgs) -> anyhow::Result<ExitCode> {
    if let Some(daemon) = Daemon::find(&config.state_dir).await {
        anyhow::bail!("the daemon at {} has the index open; stop it first", daemon.address());
    }
    anyhow::bail!("the index is not joined in yet")
}
