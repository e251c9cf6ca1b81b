//! The command line: what a person types, the configuration it amounts to, and one file per verb.
//!
//! In reading order: `command` (as typed) → `config` (validated) → `options` (what settings mean to other rooms) → the verbs, each with its
//! own arguments; `api` is how they ask. Nothing else in the crate reads arguments, the environment or the configuration file. No rule
//! about archives stands here.

mod absent;
mod api;
mod archive_client;
mod archiving;
mod args;
mod backfill;
mod command;
mod config;
mod coverage;
mod crawl;
mod cut;
mod daemon_search;
mod demo;
mod diff;
mod doctor;
mod exit;
mod explain;
mod holes;
mod import;
mod layout;
mod layout_lines;
mod logging;
mod ls;
mod new_archive;
mod node;
mod offline;
mod options;
mod out;
mod peer_access;
mod progress;
mod rebuild;
mod record;
mod record_control;
mod record_lines;
mod record_report;
mod reference;
mod retention;
mod scrub;
mod seal;
mod status;
mod tombstone;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser};
use prometheus::Registry;

use crate::archive::escape::shown;
use command::{Args, Verb};
use config::{Config, ConfigError};
use exit::{Exit, UsageError};
use out::{failure, stderr_line};

/// How long work whose outcome nobody waits for may take to notice that the run is over.
const LINGERS: Duration = Duration::from_secs(1);

/// The whole program: arguments, configuration, logging, dispatch, exit code.
pub fn main() -> ExitCode {
    // Help and version are printed and end with 0, wrong usage ends with 2; both by clap.
    let args = Args::try_parse_from(typed(std::env::args_os())).unwrap_or_else(|error| refuse(&error));
    let exit = run(&args).unwrap_or_else(|error| fail(&error));
    match failure() {
        None => exit,
        Some(why) => {
            stderr_line(format_args!("gapless: standard output is not complete: {why}"));
            Exit::Failed.into()
        }
    }
}

/// Who asks `help` for help is given that of the program.
fn typed(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let asks_help = |word: &OsString| ["help", "--help", "-h"].iter().any(|each| word == *each);
    if words.get(1).is_some_and(|first| first == "help") && words.get(2).is_some_and(asks_help) {
        words.remove(1);
    }
    words
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // What needs no settings does not fail because of them.
    match &args.verb {
        Verb::Completions(completions) => return reference::completions(*completions, &mut Args::command()),
        Verb::Man(man) => return reference::man(man, Args::command()),
        _ => {}
    }
    let given = args.settings();
    let config = Config::load(&given)?;
    let registry = Registry::new();
    logging::init(&config.node.log, config.node.log_format, &registry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let done = runtime.block_on(async {
        match &args.verb {
            Verb::Demo(demo) => demo::run(&config, demo).await,
            Verb::Node(node) => node::run(&config, &given, node, registry).await,
            Verb::Rebuild(rebuild) => rebuild::run(&config, *rebuild).await,
            Verb::Backfill(backfill) => backfill::run(&config, backfill).await,
            Verb::Import(import) => import::run(&config, import),
            Verb::Record(record) => record::run(&config, record).await,
            Verb::Ls(ls) => ls::run(&config, ls).await,
            Verb::Diff(diff) => diff::run(&config, diff).await,
            Verb::Explain(explain) => explain::run(&config, explain).await,
            Verb::Cut(cut) => cut::run(&config, cut).await,
            Verb::Holes(holes) => holes::holes(&config, holes).await,
            Verb::Timespans(timespans) => holes::timespans(&config, timespans).await,
            Verb::Coverage(coverage) => coverage::run(&config, coverage).await,
            Verb::Tombstone(tombstone) => tombstone::run(&config, tombstone).await,
            Verb::Retention(retention) => retention::run(&config, retention).await,
            Verb::Scrub(scrub) => scrub::run(&config, scrub).await,
            Verb::Seal(seal) => seal::run(&config, seal).await,
            Verb::Archive(archive) => archiving::run(&config, archive).await,
            Verb::Layout(args) => layout::run(&config, args).await,
            Verb::Manifest(manifest) => seal::manifest(&config, manifest).await,
            Verb::Flagged => scrub::flagged(&config),
            Verb::Quarantine(quarantine) => scrub::quarantine(&config, quarantine).await,
            Verb::Doctor(_) => doctor::run(&config).await,
            Verb::Crawl(crawl) => crawl::run(&config, crawl).await,
            Verb::Status(status) => status::run(&config, status).await,
            Verb::Completions(completions) => reference::completions(*completions, &mut Args::command()),
            Verb::Man(man) => reference::man(man, Args::command()),
        }
    });
    // What still reads for somebody who is gone does not hold up the end.
    runtime.shutdown_timeout(LINGERS);
    done
}

/// Clap echoes what was typed, and names are typed that come from other nodes: it is given them again as they are shown.
fn refuse(error: &clap::Error) -> ! {
    let words = typed(std::env::args_os()).into_iter();
    match Args::try_parse_from(words.map(|arg| shown(&arg.to_string_lossy()).into_owned())) {
        Err(same) if same.kind() == error.kind() => {
            same.print().unwrap_or_default();
            if let Some(advice) = misplaced_word(&same).and_then(on_unexpected) {
                stderr_line(format_args!("{advice}"));
            }
            std::process::exit(same.exit_code())
        }
        _ => {
            error.render().to_string().lines().for_each(|line| stderr_line(format_args!("{line}")));
            std::process::exit(error.exit_code())
        }
    }
}

/// The word that was typed where another one belongs. All other errors name the argument that they are about.
fn misplaced_word(error: &clap::Error) -> Option<&str> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => text(ContextKind::InvalidArg),
        // `cut CHANNEL QUALITY START END`: the quality stands where the start should.
        ErrorKind::ValueValidation if text(ContextKind::InvalidArg) == Some("<START>") => {
            text(ContextKind::InvalidValue)
        }
        _ => None,
    }
}

/// What was probably meant by a word that has no place where it stands.
fn on_unexpected(word: &str) -> Option<String> {
    let typed: Vec<String> = std::env::args().map(|arg| shown(&arg).into_owned()).collect();
    let command = Args::command();
    let verb = typed.iter().skip(1).find(|arg| command.find_subcommand(arg.as_str()).is_some());
    let is_verb = |verbs: &[&str]| verb.is_some_and(|verb| verbs.contains(&verb.as_str()));
    let before = typed.iter().skip(1).take_while(|arg| *arg != word).last().filter(|arg| !arg.starts_with('-'));
    match before {
        _ if word.starts_with('-') => None,
        _ if Path::new(word).is_dir() => {
            Some(format!("The archive is given with --base-dir {word}, or in GAPLESS_BASE_DIR."))
        }
        Some(channel) if is_verb(&["ls", "holes", "timespans", "cut", "diff"]) && !channel.contains('/') => {
            Some(format!("A channel and its quality are one word: {channel}/{word}"))
        }
        _ if is_verb(&["coverage", "backfill", "explain"]) => Some(format!("A channel is given with --channel {word}")),
        _ => None,
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

fn fail(error: &anyhow::Error) -> ExitCode {
    stderr_line(format_args!("gapless: {}", words(error).replace('\n', " ")));
    if error.is::<ConfigError>() || error.is::<UsageError>() { Exit::Usage.into() } else { Exit::Failed.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_about_help_is_that_of_the_program() {
        let typed = |line: &str| typed(line.split(' ').map(OsString::from)).join(&OsString::from(" "));
        assert_eq!(typed("gapless help --help"), "gapless --help");
        assert_eq!(typed("gapless help -h"), "gapless -h");
        for as_it_is in ["gapless help cut", "gapless help", "gapless ls help", "gapless"] {
            assert_eq!(typed(as_it_is), as_it_is);
        }
    }
}
