//! Arguments, configuration, logging, dispatch, exit code. No verb does its work here.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use gapless::archive::escape::shown;
use gapless::cli::args::{Args, Verb};
use gapless::cli::config::{Config, ConfigError};
use gapless::cli::out::{failure, stderr_line};
use gapless::cli::{self, Exit, UsageError};
use prometheus::Registry;

/// How long work whose outcome nobody waits for may take to notice that the run is over.
const LINGERS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Help and version are printed and end with 0, wrong usage ends with 2; both by clap.
    let args = Args::try_parse().unwrap_or_else(|error| refuse(&error));
    let exit = run(&args).unwrap_or_else(|error| fail(&error));
    match failure() {
        None => exit,
        Some(why) => {
            stderr_line(format_args!("gapless: standard output is not complete: {why}"));
            Exit::Failed.into()
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // What needs no settings does not fail because of them.
    match &args.verb {
        Verb::Completions(completions) => return cli::reference::completions(*completions),
        Verb::Man(man) => return cli::reference::man(man),
        _ => {}
    }
    let config = Config::load(args)?;
    let registry = Registry::new();
    cli::logging::init(&config.node.log, config.node.log_format, &registry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let done = runtime.block_on(async {
        match &args.verb {
            Verb::Demo(demo) => cli::demo::run(&config, demo).await,
            Verb::Node(node) => cli::node::run(&config, args, node, registry).await,
            Verb::Rebuild(rebuild) => cli::rebuild::run(&config, *rebuild).await,
            Verb::Backfill(backfill) => cli::backfill::run(&config, backfill).await,
            Verb::Import(import) => cli::import::run(&config, import),
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
            Verb::Flagged => cli::flagged::run(&config),
            Verb::Quarantine(quarantine) => cli::quarantine::run(&config, quarantine),
            Verb::Doctor(_) => cli::doctor::run(&config).await,
            Verb::Crawl(crawl) => cli::crawl::run(&config, crawl).await,
            Verb::Status(status) => cli::status::run(&config, status).await,
            Verb::Completions(completions) => cli::reference::completions(*completions),
            Verb::Man(man) => cli::reference::man(man),
        }
    });
    // What still reads for somebody who is gone does not hold up the end.
    runtime.shutdown_timeout(LINGERS);
    done
}

/// Clap echoes what was typed, and names are typed that come from other nodes: it is given them again as they are shown.
fn refuse(error: &clap::Error) -> ! {
    let typed = std::env::args_os().map(|arg| shown(&arg.to_string_lossy()).into_owned());
    match Args::try_parse_from(typed) {
        Err(same) if same.kind() == error.kind() => {
            same.print().unwrap_or_default();
            if let Some(ContextValue::String(word)) = same.get(ContextKind::InvalidArg)
                && Path::new(word).is_dir()
            {
                stderr_line(format_args!("The archive is given with --base-dir {word}, or in GAPLESS_BASE_DIR."));
            }
            std::process::exit(same.exit_code())
        }
        _ => {
            error.render().to_string().lines().for_each(|line| stderr_line(format_args!("{line}")));
            std::process::exit(error.exit_code())
        }
    }
}

/// An error with its causes, down to the one that says what the last of them says.
fn words(error: &anyhow::Error) -> String {
    let root = error.root_cause().to_string();
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        if text.contains(&root) {
            break;
        }
        text = format!("{text}: {cause}");
    }
    text
}

/// Says on one line what went wrong, with its causes, and how the run ends.
fn fail(error: &anyhow::Error) -> ExitCode {
    stderr_line(format_args!("gapless: {}", words(error).replace('\n', " ")));
    if error.is::<ConfigError>() || error.is::<UsageError>() { Exit::Usage.into() } else { Exit::Failed.into() }
}
