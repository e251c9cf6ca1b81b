//! What is accepted as typed, and what is refused.

use clap::CommandFactory;

use super::*;

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
    assert_eq!(args.settings(), expected.map(|(key, text)| (key, text.to_owned())));
    assert_eq!(parse("gapless backfill --once --name a").settings(), [("name", "a".to_owned())]);
    assert_eq!(parse("gapless ls").settings(), []);
}

#[test]
fn targets_have_one_to_three_visible_parts() {
    let parts = |text: &str| text.parse::<ArchiveTarget>().map(|target| target.0);
    assert_eq!(parts("a").unwrap(), ["a"]);
    assert_eq!(parts("a/b/2019-11-13T02/").unwrap(), ["a", "b", "2019-11-13T02"]);
    // As it is printed.
    assert_eq!(parts(r"a\x1b/b\n").unwrap(), ["a\x1b", "b\n"]);
    for wrong in ["", "/", "/a", "a//b", "a/b/c/d", ".gapless", "a/..", "a\0"] {
        assert!(parts(wrong).is_err(), "{wrong:?}");
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
        "gapless timespans a/b --edges",
        "gapless coverage",
        "gapless tombstone",
        "gapless tombstone add",
        "gapless tombstone purge --yes --dry-run",
        "gapless status --token-file x",
        "gapless status --watch 1ms",
    ] {
        assert!(refused(line), "{line}");
    }
}
