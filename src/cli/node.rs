//! The verb `node`: run the daemon until it is told to stop. Builds nothing itself.

use std::process::ExitCode;

use prometheus::Registry;

use super::config::Config;

/// Runs the daemon. What it counts goes to `registry`, which counts log events already.
#[expect(clippy::unused_async, reason = "the daemon that is awaited here is joined in with the other rooms")]
pub async fn run(_config: &Config, _registry: Registry) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the daemon is not joined in yet")
}
