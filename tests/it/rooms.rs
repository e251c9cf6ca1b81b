//! The house as drawn in `docs/design.md`: which room may use which.

use std::collections::BTreeSet;
use std::path::Path;

/// Left may use right; everybody may use `domain`. A room may always use itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("media", &[]),
    // A master playlist is made of what segments say of themselves.
    ("domain", &["media"]),
    ("guards", &[]),
    ("runtime", &[]),
    ("wire", &[]),
    ("tls", &[]),
    ("tokens", &[]),
    ("index", &[]),
    ("deleted", &["runtime"]),
    ("disk", &[]),
    ("coverage", &["crawl", "disk", "index", "runtime"]),
    ("peer", &["disk", "tls", "tokens", "wire"]),
    ("sources", &["disk", "peer", "runtime", "tls"]),
    ("peer_proxy", &["peer", "tls", "tokens", "wire"]),
    ("crawl", &["disk", "guards", "index", "runtime"]),
    ("playback", &["crawl", "disk", "index", "media", "runtime"]),
    ("check", &["crawl", "disk", "index", "wire"]),
    ("rebuild", &["check", "crawl", "disk", "index"]),
    ("startup", &["disk", "index"]),
    ("tombstones", &["crawl", "deleted", "disk", "guards", "index", "wire"]),
    ("scrub", &["crawl", "disk", "index", "media", "runtime", "wire"]),
    ("hole_reasons", &["index", "runtime"]),
    ("ffmpeg", &["crawl", "media", "playback"]),
    ("backfill", &["crawl", "disk", "guards", "hole_reasons", "index", "peer", "runtime", "tls", "tokens", "wire"]),
    ("clock", &["disk", "peer"]),
    ("retention", &["clock", "crawl", "deleted", "disk", "guards", "index", "peer", "runtime", "wire"]),
    (
        "http",
        &[
            "check",
            "coverage",
            "crawl",
            "deleted",
            "disk",
            "peer_proxy",
            "ffmpeg",
            "guards",
            "index",
            "playback",
            "retention",
            "runtime",
            "scrub",
            "tls",
            "tokens",
            "tombstones",
            "wire",
        ],
    ),
    (
        "node",
        &[
            "backfill",
            "clock",
            "coverage",
            "crawl",
            "deleted",
            "disk",
            "peer_proxy",
            "ffmpeg",
            "http",
            "index",
            "hole_reasons",
            "peer",
            "playback",
            "retention",
            "runtime",
            "scrub",
            "sources",
            "startup",
            "tls",
            "tokens",
            "tombstones",
            "wire",
        ],
    ),
    ("demo", &[]),
    ("service", &[]),
    ("doctor", &["check", "disk", "index", "peer", "retention", "tls", "tokens", "wire"]),
    (
        "cli",
        &[
            "backfill",
            "check",
            "clock",
            "coverage",
            "crawl",
            "deleted",
            "demo",
            "disk",
            "doctor",
            "ffmpeg",
            "http",
            "index",
            // What `import` is given has no name yet that says how long it lasts.
            "media",
            "node",
            "peer",
            // The routes are built over an archive that no daemon has open, and ask nobody.
            "peer_proxy",
            "playback",
            "rebuild",
            "retention",
            "runtime",
            "scrub",
            "service",
            "startup",
            "tls",
            "sources",
            "tokens",
            "tombstones",
            "wire",
        ],
    ),
];

/// Crates that belong to one room alone.
const ONLY_IN: &[(&str, &str)] = &[
    ("tokio_postgres", "sources"),
    ("png", "coverage"),
    ("redb", "index"),
    ("axum", "http"),
    ("hyper", "http"),
    ("rustls", "tls"),
    ("tokio_rustls", "tls"),
];

fn files(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
            found.push((relative.to_string_lossy().into_owned(), text));
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert!(found.len() > 50, "the sources are where they were");
    found
}

fn room(file: &str) -> &str {
    file.split_once('/').map_or_else(|| file.trim_end_matches(".rs"), |(room, _)| room)
}

/// What comes after each `needle` up to the end of the identifier, tests left out.
fn names_after<'t>(text: &'t str, needle: &'t str) -> impl Iterator<Item = &'t str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let of_line = move |line: &'t str| {
        let ends_another = |at: &usize| line[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let found = line.match_indices(needle).map(|(at, _)| at).filter(|at| !ends_another(at));
        found.map(|at| &line[at + needle.len()..]).collect::<Vec<_>>()
    };
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines
        .flat_map(of_line)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(""))
}

#[test]
fn rooms_use_only_the_rooms_that_the_drawing_allows() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let from = room(&file);
        if ["lib", "main"].contains(&from) || file.contains("/tests/") || file.contains("/test_") {
            continue;
        }
        let allowed =
            MAY_USE.iter().find(|(name, _)| *name == from).unwrap_or_else(|| panic!("{file} is in no room")).1;
        let used: BTreeSet<&str> = names_after(&text, "crate::").collect();
        for to in used {
            // What is in segments is judged without knowing of names.
            let is_free = to == from || to == "domain" && from != "media";
            if MAY_USE.iter().any(|(name, _)| *name == to) && !is_free && !allowed.contains(&to) {
                wrong.push(format!("{file} uses {to}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_library_belongs_to_the_room_it_was_taken_in_for() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (library, home) in ONLY_IN {
            let elsewhere = room(&file) != *home && !file.contains("/tests/");
            // The command line raises the limit of open files, which is no business of the disk's.
            if elsewhere
                && file != "cli/node.rs"
                && text.contains(&format!("{library}::"))
                && names_after(&text, &format!("{library}::")).next().is_some()
            {
                wrong.push(format!("{file} uses {library}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_opens_by_saying_why_it_exists_and_none_is_long() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not say why it exists");
        assert!(text.lines().count() <= 700, "{file} is longer than 700 lines");
    }
}
