//! What is accepted as typed, and what is refused.

use std::path::PathBuf;

use clap::CommandFactory;

use super::*;
use crate::archive::Hour;

fn parse(line: &str) -> Args {
    Args::try_parse_from(line.split(' ')).unwrap()
}

fn refused(line: &str) -> bool {
    Args::try_parse_from(line.split(' ')).is_err_and(|error| error.exit_code() == 2)
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn what_every_verb_takes_may_stand_before_or_after_it() {
    for line in ["gapless --base-dir /a --json ls", "gapless ls --base-dir /a --json"] {
        let args = parse(line);
        assert_eq!(args.common.base_dir, PathBuf::from("/a"), "{line}");
        assert!(args.common.json, "{line}");
    }
}

#[test]
fn flags_that_are_settings_are_handed_on_as_text() {
    let args = parse("gapless node --listen nonsense --name a --log debug");
    let expected = [("log", "debug"), ("listen", "nonsense"), ("name", "a")];
    assert_eq!(args.flags(), expected.map(|(key, text)| (key, text.to_owned())));
    assert_eq!(parse("gapless backfill --once --name a").flags(), [("name", "a".to_owned())]);
    let retention = parse("gapless retention run --peer b=http://b.example --token-file t");
    let of_peers = [("backfill.token_file", "t"), ("backfill.peers", "b=http://b.example")];
    assert_eq!(retention.flags(), of_peers.map(|(key, text)| (key, text.to_owned())));
    assert_eq!(parse("gapless ls").flags(), []);
}

/// Every flag and operand that takes a time, in a line that parses; `{}` is where the time goes.
const TIMES: [&str; 13] = [
    "backfill --hour {}",
    "backfill --start {}",
    "cut a/source {} now -o x.ts",
    "cut a/source 2019-11-13 {} -o x.ts",
    "explain --hour {} name",
    "holes a/source --from {}",
    "holes a/source --to {}",
    "import --channel a --quality source --start {} x.ts",
    "timespans a/source --from {}",
    "timespans a/source --to {}",
    "backfill --hour={}",
    "holes a/source --from={}",
    "explain --hour={} name",
];

fn with_time(line: &str, time: &str) -> Result<Args, clap::Error> {
    let words = line.split(' ').map(|word| word.replace("{}", time));
    Args::try_parse_from(std::iter::once("gapless".to_owned()).chain(words))
}

#[test]
fn every_time_is_understood_as_people_give_it() {
    for line in TIMES {
        for time in
            ["2019-11-13T02:55:08", "2019-11-13T03:55+0100", "2019-11-13T02", "yesterday", "1h ago", "-90min", "now"]
        {
            assert!(with_time(line, time).is_ok(), "{line} with {time}: {}", with_time(line, time).unwrap_err());
        }
        for nonsense in ["tomorrow-ish", "13/11/2019", "2019-11-13T25:00", "14:30"] {
            let error = with_time(line, nonsense).unwrap_err().to_string();
            let says = ["2019-11-13T02:55:08 (UTC)", "1h ago", nonsense];
            assert!(says.iter().all(|part| error.contains(part)), "{line} with {nonsense}: {error}");
        }
    }
    let hours_ago = |text: &str| match parse(&format!("gapless backfill --start {text}")).verb {
        Verb::Backfill(backfill) => backfill.start.unwrap(),
        _ => unreachable!(),
    };
    assert_eq!(hours_ago("2019-11-13T02:55"), Hour::parse("2019-11-13T02").unwrap());
    assert!(hours_ago("2") < hours_ago("0"), "a number counts hours back");
}

#[test]
fn no_time_is_left_out_of_that() {
    let mut program = Args::command();
    program.build();
    let mut commands: Vec<_> = program.get_subcommands().map(|verb| (verb.get_name().to_owned(), verb)).collect();
    while let Some((path, command)) = commands.pop() {
        commands.extend(command.get_subcommands().map(|verb| (format!("{path} {}", verb.get_name()), verb)));
        for arg in command.get_arguments() {
            let takes_time = arg
                .get_value_names()
                .unwrap_or_default()
                .iter()
                .any(|name| ["TIME", "HOUR", "START", "END"].contains(&name.as_str()));
            let flag = arg.get_long().map_or_else(String::new, |long| format!("--{long} "));
            let has_line = TIMES.iter().any(|line| line.starts_with(&format!("{path} ")) && line.contains(&flag));
            let is_told = arg.get_action().takes_values();
            assert!(!takes_time || !is_told || has_line, "{path} {arg}");
        }
    }
}

#[test]
fn every_verb_has_examples_that_parse_and_help_that_fits_80_columns() {
    let mut program = Args::command().term_width(80);
    program.build();
    for verb in program.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        let usage_or_heading = |line: &&str| line.len() > 80;
        assert_eq!(help.lines().find(usage_or_heading), None, "{name}");
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
        let lines = examples.lines().map(str::trim).filter(|line| line.starts_with("gapless ") && !line.contains('>'));
        for line in lines {
            let typed = line.split("  ").next().unwrap_or_default();
            let parsed = Args::try_parse_from(typed.split(' '));
            assert!(parsed.is_ok() && typed.starts_with(&format!("gapless {name}")), "{typed}: {parsed:?}");
        }
    }
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "gapless",
        "gapless fly",
        "gapless ls --check",
        "gapless demo --history 7h",
        "gapless demo --for 0s",
        "gapless demo --for 10",
        "gapless demo --seed x",
        "gapless ls a/b/c/d",
        "gapless rebuild --listen x",
        "gapless holes",
        "gapless holes a/b --from",
        "gapless diff http://b.example",
        "gapless timespans a/b --edges",
        "gapless tombstone",
        "gapless tombstone add",
        "gapless tombstone purge --yes --dry-run",
        "gapless status --token-file x",
        "gapless status --watch 1ms",
    ] {
        assert!(refused(line), "{line}");
    }
}
