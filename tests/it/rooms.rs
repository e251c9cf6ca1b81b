//! The house as drawn in `docs/design.md`: which room may use which, and which part of a room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rooms that have parts, each with its own row below.
const HAVE_PARTS: &[&str] = &["sync", "replicate", "lifecycle", "play", "report", "net"];

/// Left may use right; everybody may use `archive`. A room, or a part of one, may always use itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("media", &[]),
    // What the index remembers of a segment is what `media` says of it.
    ("archive", &["media"]),
    ("jobs", &[]),
    ("process", &[]),
    ("wire", &[]),
    ("net/tls", &[]),
    ("net/tokens", &[]),
    ("net/without_secrets", &[]),
    ("index", &[]),
    ("lifecycle/deleted", &["jobs"]),
    ("disk", &[]),
    ("report/coverage", &["sync/crawl", "disk", "index", "jobs"]),
    ("bucket", &["disk", "net/tls", "net/without_secrets"]),
    ("replicate/peer", &["disk", "net/tls", "net/tokens", "net/without_secrets", "wire"]),
    ("replicate/sources", &["disk", "replicate/peer", "jobs", "net/tls"]),
    ("replicate/placement", &["disk", "index", "replicate/sources"]),
    // What can be had from elsewhere, whoever has it.
    ("replicate/remote", &["bucket", "disk", "replicate/peer"]),
    // What the others have, for those who read.
    ("replicate/whole", &["disk", "index", "jobs", "replicate/peer", "replicate/placement", "sync/crawl"]),
    ("replicate/peer_proxy", &["replicate/peer", "net/tls", "net/tokens", "wire"]),
    ("sync/crawl", &["disk", "index", "jobs"]),
    ("play/playlist", &["media"]),
    ("play/playback", &["play/playlist", "sync/crawl", "disk", "index", "media", "jobs"]),
    ("sync/check", &["sync/crawl", "disk", "index", "wire"]),
    ("sync/rebuild", &["sync/check", "sync/crawl", "disk", "index"]),
    ("sync/startup", &["disk", "index"]),
    ("lifecycle/tombstones", &["sync/crawl", "lifecycle/deleted", "disk", "index", "wire"]),
    (
        "lifecycle/archiving",
        // What must not be purged because no other node has it.
        &[
            "sync/crawl",
            "bucket",
            "disk",
            "index",
            "jobs",
            // What was promised to other nodes stays.
            "lifecycle/handoffs",
            "lifecycle/seal",
            "lifecycle/tombstones",
            "replicate/remote",
            "wire",
        ],
    ),
    ("lifecycle/seal", &["sync/crawl", "replicate/placement", "disk", "index", "wire"]),
    ("sync/scrub", &["sync/crawl", "disk", "index", "media", "jobs", "wire"]),
    // What was damaged is a reason for a hole, and is not fetched again.
    ("replicate/hole_reasons", &["sync/scrub", "index", "jobs"]),
    ("play/ffmpeg", &["sync/crawl", "media", "play/playback", "process"]),
    (
        "replicate/backfill",
        &[
            "sync/crawl",
            "sync/scrub",
            "disk",
            "replicate/hole_reasons",
            "index",
            "replicate/peer",
            "replicate/placement",
            "replicate/remote",
            "jobs",
            "net/tls",
            "net/tokens",
            "wire",
        ],
    ),
    ("lifecycle/clock", &["disk", "replicate/peer"]),
    (
        "lifecycle/handoffs",
        &[
            "lifecycle/clock",
            "sync/crawl",
            // An hour of which something lies in the quarantine stays.
            "sync/scrub",
            "disk",
            "index",
            "replicate/peer",
            "replicate/placement",
            "jobs",
            "wire",
        ],
    ),
    (
        "lifecycle/retention",
        &[
            "lifecycle/archiving",
            "lifecycle/clock",
            "lifecycle/handoffs",
            "sync/crawl",
            "lifecycle/deleted",
            // What it holds counts as a copy.
            "bucket",
            "disk",
            "index",
            "replicate/peer",
            "replicate/remote",
            "jobs",
            "wire",
        ],
    ),
    (
        "http",
        &[
            "sync/check",
            "report/coverage",
            "sync/crawl",
            "lifecycle/deleted",
            "lifecycle/handoffs",
            "disk",
            "replicate/whole",
            "replicate/peer_proxy",
            "replicate/placement",
            "play/ffmpeg",
            "index",
            "play/playback",
            "play/playlist",
            "record",
            "lifecycle/archiving",
            // What is wrong with a bucket, and what it lists.
            "bucket",
            "lifecycle/retention",
            "lifecycle/seal",
            "jobs",
            "sync/scrub",
            "net/tls",
            "net/tokens",
            "lifecycle/tombstones",
            "wire",
        ],
    ),
    (
        "node",
        &[
            "replicate/backfill",
            "lifecycle/clock",
            "report/coverage",
            "sync/crawl",
            "lifecycle/deleted",
            "lifecycle/handoffs",
            "disk",
            "replicate/whole",
            "replicate/peer_proxy",
            "play/ffmpeg",
            "http",
            "index",
            "replicate/hole_reasons",
            "replicate/peer",
            "replicate/placement",
            "play/playback",
            "record",
            "lifecycle/archiving",
            "bucket",
            "lifecycle/retention",
            "lifecycle/seal",
            "jobs",
            "sync/scrub",
            "replicate/sources",
            "sync/startup",
            "net/tls",
            "net/tokens",
            "lifecycle/tombstones",
            "wire",
        ],
    ),
    // It writes the streams that its recorders record.
    ("demo", &["media"]),
    // What comes is judged by what is in it.
    ("record", &["disk", "jobs", "media", "net/tls", "net/without_secrets", "process"]),
    (
        "report/doctor",
        &[
            "sync/check",
            "bucket",
            "disk",
            "index",
            "replicate/peer",
            "lifecycle/archiving",
            "lifecycle/retention",
            "net/tls",
            "net/tokens",
            "wire",
        ],
    ),
    (
        "cli",
        &[
            "replicate/backfill",
            "sync/check",
            "lifecycle/clock",
            "report/coverage",
            "sync/crawl",
            "lifecycle/deleted",
            "lifecycle/handoffs",
            "demo",
            "disk",
            "report/doctor",
            "play/ffmpeg",
            "http",
            "index",
            // What `import` is given has no name yet that says how long it lasts.
            "media",
            "node",
            "replicate/peer",
            // The routes are built over an archive that no daemon has open, and ask nobody.
            "replicate/peer_proxy",
            "replicate/placement",
            "play/playback",
            "record",
            "sync/rebuild",
            "lifecycle/archiving",
            "bucket",
            "lifecycle/retention",
            "lifecycle/seal",
            "jobs",
            "sync/scrub",
            "sync/startup",
            "net/tls",
            "replicate/sources",
            "net/tokens",
            "lifecycle/tombstones",
            "wire",
        ],
    ),
];

/// Crates that belong to these rooms alone.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tokio_postgres", &["replicate/sources"]),
    ("png", &["report/coverage"]),
    ("redb", &["index"]),
    // The origin of a demonstration is a server of its own, and nothing that a node serves.
    ("axum", &["http", "demo"]),
    // What `reqwest` stands on, where its buffers have to be bounded.
    ("hyper", &["http", "record"]),
    ("hyper_rustls", &["record"]),
    ("rustls", &["net/tls"]),
    ("tokio_rustls", &["net/tls"]),
    ("tar", &["archive"]),
    ("object_store", &["bucket"]),
    // What a store answers, and what the library's traits are written with.
    ("quick_xml", &["bucket"]),
    ("async_trait", &["bucket"]),
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

pub fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert!(found.len() > 50, "the sources are where they were");
    found
}

/// The room of a file, with its part if the room has parts.
fn room(file: &str) -> String {
    let mut names = file.trim_end_matches(".rs").split('/');
    let room = names.next().unwrap_or_default();
    match names.next() {
        Some(part) if HAVE_PARTS.contains(&room) && part != "mod" => format!("{room}/{part}"),
        _ => room.to_owned(),
    }
}

/// The same of every path of the crate in a text, tests left out.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let mut used: BTreeSet<String> = names_after(text, "crate::").map(str::to_owned).collect();
    for room in HAVE_PARTS {
        if used.remove(*room) {
            used.extend(names_after(text, &format!("crate::{room}::")).map(|part| format!("{room}/{part}")));
        }
    }
    used
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
        let holds_parts = HAVE_PARTS.contains(&&*from);
        if ["lib", "main"].contains(&&*from) || holds_parts || file.contains("/tests/") || file.contains("/test_") {
            continue;
        }
        let allowed =
            MAY_USE.iter().find(|(name, _)| *name == from).unwrap_or_else(|| panic!("{file} is in no room")).1;
        for to in rooms_used(&text) {
            // What is in segments is judged without knowing of names.
            let is_free = to == from || to == "archive" && from != "media";
            if MAY_USE.iter().any(|(name, _)| *name == to) && !is_free && !allowed.contains(&&*to) {
                wrong.push(format!("{file} uses {to}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_room_uses_one_that_uses_it() {
    let whole = |name: &'static str| name.split('/').next().unwrap_or(name);
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in MAY_USE.iter().flat_map(|(from, all)| all.iter().map(move |to| (*from, *to))) {
        uses.entry(whole(from)).or_default().insert(whole(to));
    }
    for (room, used) in &mut uses {
        used.remove(room);
    }
    // Rooms that use none that is left are taken away, until none is left: a circle would stay.
    while !uses.is_empty() {
        let left: BTreeSet<&str> = uses.keys().copied().collect();
        uses.retain(|_, used| used.iter().any(|to| left.contains(to)));
        assert!(uses.len() < left.len(), "these rooms use each other: {uses:#?}");
    }
}

#[test]
fn a_library_belongs_to_the_room_it_was_taken_in_for() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (library, homes) in ONLY_IN {
            let elsewhere = !homes.contains(&&*room(&file)) && !file.contains("/tests/");
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
