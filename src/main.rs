//! Arguments, configuration, logging, dispatch, exit code. No verb does its work here.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use gapless::cli::args::{Args, Verb};
use gapless::cli::config::{Config, ConfigError};
use gapless::cli::{self, Exit, UsageError};
use prometheus::Registry;

fn main() -> ExitCode {
    // Help and version are printed and end with 0, wrong usage ends with 2; both by clap.
    let args = Args::parse();
    run(&args).unwrap_or_else(|error| fail(&error))
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = Config::load(args)?;
    let registry = Registry::new();
    cli::logging::init(&config.node.log, config.node.log_format, &registry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        match &args.verb {
            Verb::Demo(demo) => cli::demo::run(&config, demo).await,
            Verb::Node(node) => cli::node::run(&config, args, node, registry).await,
            Verb::Rebuild(rebuild) => cli::rebuild::run(&config, *rebuild).await,
            Verb::Backfill(backfill) => cli::backfill::run(&config, backfill).await,
            Verb::Ls(ls) => cli::ls::run(&config, ls).await,
            Verb::Diff(diff) => cli::diff::run(&config, diff).await,
            Verb::Explain(explain) => cli::explain::run(&config, explain).await,
            Verb::Cut(cut) => cli::cut::run(&config, cut).await,
            Verb::Holes(holes) => cli::holes::holes(&config, holes).await,
            Verb::Timespans(timespans) => cli::holes::timespans(&config, timespans).await,
            Verb::Coverage(coverage) => cli::coverage::run(&config, coverage).await,
            Verb::Tombstone(tombstone) => cli::tombstone::run(&config, tombstone).await,
            Verb::Retention(retention) => cli::retention::run(&config, retention).await,
            Verb::Scrub(scrub) => cli::scrub::run(&config, scrub).await,
            Verb::Quarantine(quarantine) => cli::quarantine::run(&config, quarantine),
            Verb::Doctor(_) => cli::doctor::run(&config).await,
            Verb::Crawl(crawl) => cli::crawl::run(&config, crawl).await,
            Verb::Status(status) => cli::status::run(&config, status).await,
        }
    })
}

/// Says on one line what went wrong, with its causes, and how the run ends.
fn fail(error: &anyhow::Error) -> ExitCode {
    let pipe_closed = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        kind.or(json) == Some(std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(pipe_closed) {
        // `gapless ls | head`: whoever reads has enough.
        return Exit::Done.into();
    }
    eprintln!("gapless: {}", format!("{error:#}").replace('\n', " "));
    if error.is::<ConfigError>() || error.is::<UsageError>() { Exit::Usage.into() } else { Exit::Failed.into() }
}
