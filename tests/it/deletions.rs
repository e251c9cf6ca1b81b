//! `docs/what-can-delete.md` names every place in the code that takes something away: unlinks, renames over, truncates, hides, retires or
//! forgets. A new one is not merged without a word about its guards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Calls that take bytes or names from a disk, or write over them.
const ON_DISK: [&str; 24] = [
    "remove_file(",
    "remove_dir(",
    "remove_dir_all(",
    "unlink(",
    "unlinkat(",
    "rename(",
    "renameat(",
    "renameat_with(",
    "set_len(",
    "ftruncate(",
    "truncate(true)",
    "TRUNC",
    "File::create(",
    "fs::write(",
    "fs::copy(",
    "replace(",
    "replace_secret(",
    "move_new(",
    "write_tombstone(",
    "remove_tombstoned(",
    "remove_empty_dir(",
    "remove_empty_hour(",
    "clear_temporaries(",
    "set_aside(",
];
/// What hides, retires, evicts or forgets.
const FORGETS: [&str; 15] = [
    "JournalStep::Retiring",
    "JournalStep::Retired",
    "JournalStep::Gone",
    "HourUpdate::Remove",
    "HourChange::Remove",
    "begin_anew(",
    "extract_if(",
    "pop_first()?",
    ".forget(",
    ".forget_files(",
    "memory.clear(",
    "delete_table(",
    ".report_damage(",
    // Of a bucket.
    "store.delete(",
    "bucket.delete(",
];
/// Of text, values and this program's own views: nothing of these is anybody's file.
const HARMLESS: [&str; 4] = [".replace(", "mem::replace(", "matches!(", "known.begin_anew("];
/// What only tests write. `demo` and its verb write beside nodes of their own.
const LEFT_OUT: [&str; 5] = ["/tests/", "/tests.rs", "/test_", "demo/", "/reference.rs"];

/// Function by file.
type Places = BTreeSet<(String, String)>;

fn files(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name =
            path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Whether a line of code holds this call, and not as the end of a longer name.
fn calls(line: &str, call: &str) -> bool {
    line.match_indices(call).any(|(at, _)| {
        let before = &line[..at];
        let is_whole = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') || call.starts_with('.');
        let is_harmless = HARMLESS
            .iter()
            .any(|harmless| harmless.ends_with(call) && before.ends_with(&harmless[..harmless.len() - call.len()]));
        is_whole && !is_harmless && !before.ends_with("fn ")
    })
}

/// A row of the index leaves it.
fn drops_a_row(file: &str, line: &str) -> bool {
    file.starts_with("index/") && line.contains(".remove(") && line.contains('?')
}

/// The name of the function that a line begins, if it does.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        ["pub", "const", "async", "unsafe"].contains(&word) || word.starts_with("pub(") || word.ends_with(')')
    });
    is_head.then(|| after.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
}

/// The lines of a file up to the tests that stand in it. Where tests lie in a file of their own the line that names it ends nothing.
fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        let begins_tests =
            line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        (!begins_tests).then_some(line)
    })
}

fn in_source() -> Places {
    let mut sources = Vec::new();
    files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut sources);
    let mut places = Places::new();
    for (file, text) in
        sources.iter().filter(|(file, _)| !LEFT_OUT.iter().any(|part| format!("/{file}").contains(part)))
    {
        let mut current = "";
        for line in without_tests(text).filter(|line| !line.trim_start().starts_with("//")) {
            current = function(line).unwrap_or(current);
            if ON_DISK.iter().chain(&FORGETS).any(|call| calls(line, call)) || drops_a_row(file, line) {
                places.insert((file.clone(), current.to_owned()));
            }
        }
    }
    places
}

/// Rows of the page begin with a file and functions of it.
fn on_the_page() -> Places {
    let page = include_str!("../../docs/what-can-delete.md");
    let mut places = Places::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split(" | ");
        let file = cells.next().unwrap_or_default().trim().trim_matches('`');
        if Path::new(file).extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        for function in cells.next().unwrap_or_default().split(',') {
            places.insert((file.to_owned(), function.trim().trim_matches('`').to_owned()));
        }
    }
    places
}

fn by_file(places: Vec<&(String, String)>) -> BTreeMap<&str, Vec<&str>> {
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, function) in places {
        rows.entry(file).or_default().push(function);
    }
    rows
}

#[test]
fn every_place_that_takes_something_away_is_on_the_page() {
    let (source, page) = (in_source(), on_the_page());
    let missing = by_file(source.difference(&page).collect());
    let gone = by_file(page.difference(&source).collect());
    assert!(missing.is_empty(), "docs/what-can-delete.md says nothing of these: {missing:#?}");
    assert!(gone.is_empty(), "docs/what-can-delete.md names what is not there: {gone:#?}");
}

#[test]
fn a_file_is_read_up_to_its_tests_and_beyond_the_name_of_those_elsewhere() {
    let lines = |text: &'static str| without_tests(text).collect::<Vec<_>>();
    assert_eq!(lines("a\n#[cfg(test)]\nmod tests;\nb\n"), ["a", "#[cfg(test)]", "mod tests;", "b"]);
    assert_eq!(lines("a\n#[cfg(test)]\nmod tests {\nb\n}\n"), ["a"]);
    let node = include_str!("../../src/node.rs");
    assert!(
        without_tests(node).any(|line| line.starts_with("impl Node {")),
        "what comes after `mod tests;` is read, too"
    );
}

#[test]
fn a_call_is_found_where_it_is_one() {
    for line in [
        "        std::fs::rename(&from, &to)?;",
        "renameat(dir, from, dir, name)",
        "    atomic::replace(&own, NAME, &bytes)?;",
    ] {
        assert!(ON_DISK.iter().any(|call| calls(line, call)), "{line}");
    }
    for line in
        ["std::mem::replace(&mut a, b)", "text.replace(\"a\", \"b\")", "pub fn replace(dir: &Dir)", "text.truncate(3)"]
    {
        assert!(!ON_DISK.iter().any(|call| calls(line, call)), "{line}");
    }
    assert_eq!(function("    pub(super) async fn take_over(job: &mut Job) {"), Some("take_over"));
    assert_eq!(function("    // as fn says"), None);
}
