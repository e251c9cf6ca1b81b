//! The reference of all events that the program logs, made from its text, so that `docs/logs.md` cannot drift from it.
//!
//! Only for tests. `UPDATE_DOCS=1 cargo test --lib reference` rewrites the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/logs.md");
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

const OPENING: &str = "\
# Log lines

The program logs to standard error, a line for each event: as text, or with `log_format = \"json\"` as one JSON object a line.
`log` selects what is logged, with a filter such as `info` or `gapless::http=debug,info` ([configuration](configuration.md)); it also applies to
messages of libraries.

```
2026-03-01T12:00:00.000000Z  INFO gapless::node index_migrated: the index was brought up to the current format from=3
{\"timestamp\":\"2026-03-01T12:00:00.000000Z\",\"level\":\"INFO\",\"event\":\"index_migrated\",\"message\":\"the index was brought up to the current format\",\"target\":\"gapless::node\",\"from\":3}
```

| field | meaning |
|---|---|
| `timestamp` | RFC 3339, UTC, microseconds |
| `level` | `ERROR`: something is lost or no longer works; `WARN`: somebody should look at it; `INFO`: useful to an operator afterwards; `DEBUG`, `TRACE`: for finding a fault |
| `event` | the event's name, from the list below. It stays the same from version to version, while the message may change: alert on the name. Lines of libraries have none |
| `message` | what happened, for people |
| `target` | the module |
| any other | values of the event: times in seconds unless the name says otherwise (`ms`), sizes in bytes. A name that is taken by a field above gets a `_` at its end |

Under systemd, where standard error is the journal, a line begins with its priority (`<4>` for `WARN`), which the journal strips and filters by
(`journalctl -p warning`); text lines have no time, because the journal adds its own.

`log_count_total{level,module,function}` counts lines, whether anybody reads them or not; `function` is the event's name. Lines that the filter drops are not counted.
`sum by (instance) (rate(log_count_total{level=\"ERROR\"}[5m])) > 0` is worth an alert.

Lines that requests cause are limited: at most one `request_failed` a second in the long run, the next of which says in
`unsaid` how many were dropped; `accept_failed` at most once a minute. Dropped lines are not counted either.

";

#[derive(Debug, PartialEq, Eq)]
struct Logged {
    level: String,
    name: Option<String>,
    message: String,
    place: String,
}

fn files(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(SOURCES).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((relative, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The arguments of a call whose opening parenthesis is behind us, split where no string, bracket or call is open.
fn arguments(text: &str) -> Vec<&str> {
    let (mut found, mut begun, mut depth) = (Vec::new(), 0, 0);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                while let Some((_, inside)) = letters.next() {
                    match inside {
                        '\\' => drop(letters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                found.push(text[begun..at].trim());
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(text[begun..at].trim());
                begun = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn quoted(argument: &str) -> Option<String> {
    Some(argument.strip_prefix('"')?.strip_suffix('"')?.replace("\\\"", "\""))
}

fn logged(file: &str, text: &str) -> Vec<Logged> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let comment = |line: &&str| line.trim_start().starts_with("//");
    let code: Vec<&str> = code.lines().map(|line| if comment(&line) { "" } else { line }).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("tracing::") {
        let Some((level, rest)) = code[at + "tracing::".len()..].split_once("!(") else { continue };
        if !LEVELS.contains(&level) {
            continue;
        }
        let arguments = arguments(rest);
        let name = arguments.first().and_then(|first| quoted(first.strip_prefix("name:")?.trim()));
        let message = arguments.iter().skip(usize::from(name.is_some())).find_map(|argument| quoted(argument));
        let line = code[..at].lines().count();
        let message = message.unwrap_or_default();
        found.push(Logged { level: level.to_owned(), name, message, place: format!("src/{file}:{line}") });
    }
    found
}

fn all() -> Vec<Logged> {
    let mut sources = Vec::new();
    files(Path::new(SOURCES), &mut sources);
    sources.sort();
    sources
        .retain(|(file, _)| !file.contains("/tests/") && !file.contains("tests.rs") && !file.contains("reference.rs"));
    sources.iter().flat_map(|(file, text)| logged(file, text)).collect()
}

fn reference() -> Result<String, std::fmt::Error> {
    let mut text = OPENING.to_owned();
    let mut events: BTreeMap<String, (BTreeSet<usize>, BTreeSet<String>)> = BTreeMap::new();
    for event in all() {
        let (levels, messages) = events.entry(event.name.unwrap()).or_default();
        levels.extend(LEVELS.iter().position(|level| *level == event.level));
        messages.insert(event.message);
    }
    for (most, title) in LEVELS.iter().enumerate() {
        writeln!(text, "## {}\n\n| event | message |\n|---|---|", title.to_uppercase())?;
        for (name, (levels, messages)) in events.iter().filter(|(_, (levels, _))| levels.first() == Some(&most)) {
            let others: Vec<&str> = levels.iter().skip(1).filter_map(|level| LEVELS.get(*level).copied()).collect();
            let also = if others.is_empty() { String::new() } else { format!(" (also as {})", others.join(", ")) };
            let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
            writeln!(text, "| `{name}` | {}{also} |", messages.join("; or: ").replace('|', "\\|"))?;
        }
        writeln!(text)?;
    }
    text.truncate(text.trim_end().len());
    writeln!(text)?;
    Ok(text)
}

#[test]
fn every_event_has_a_name_and_words() {
    let events = all();
    assert!(events.len() > 100, "the sources are where they were: {}", events.len());
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let nameless = |event: &&Logged| !event.name.as_ref().is_some_and(is_name) || event.message.is_empty();
    let wrong: Vec<&str> = events.iter().filter(nameless).map(|event| event.place.as_str()).collect();
    assert_eq!(wrong, Vec::<&str>::new(), "write tracing::info!(name: \"what_happened\", values, \"what happened\")");
}

#[test]
fn no_other_way_of_logging_is_used() {
    let mut sources = Vec::new();
    files(Path::new(SOURCES), &mut sources);
    let wrong: Vec<&str> = sources
        .iter()
        .filter(|(file, text)| {
            !file.starts_with("cli/logging") && (text.contains("use tracing::{") || text.contains("tracing::event!"))
        })
        .map(|(file, _)| file.as_str())
        .collect();
    assert_eq!(wrong, Vec::<&str>::new(), "macros are written out in full, tracing::info!, so that they can be found");
}

#[test]
fn the_reference_of_log_lines_is_what_the_code_says() {
    let expected = reference().unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &expected).unwrap();
    }
    let found = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(found == expected, "docs/logs.md differs from the program; UPDATE_DOCS=1 cargo test --lib reference");
}

#[test]
fn events_are_found_however_they_are_written() {
    let text = r#"
        tracing::info!(name: "a", x = f(1, "b)"), "words, \"quoted\"");
        tracing::warn!(
            name: "b", y = %z,
            "more"
        );
        tracing::debug!(%error, "nameless");
        use tracing::Level;
    "#;
    let found: Vec<_> =
        logged("x.rs", text).into_iter().map(|event| (event.level, event.name, event.message)).collect();
    let expected = [("info", Some("a"), "words, \"quoted\""), ("warn", Some("b"), "more"), ("debug", None, "nameless")];
    assert_eq!(
        found,
        expected.map(|(level, name, message)| (level.to_owned(), name.map(str::to_owned), message.to_owned()))
    );
}
