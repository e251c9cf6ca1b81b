//! The documents hold together: links lead somewhere, tables are tables, the index names every page, and the
//! reference has every verb and every request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{TestArchive, TestNode, gapless};

/// A page without its code blocks.
struct Page {
    path: PathBuf,
    /// Numbers from 1 on.
    lines: Vec<(usize, String)>,
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let mut in_code = false;
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            lines.push((at + 1, if in_code || is_fence { String::new() } else { line.to_owned() }));
        }
        assert!(!in_code, "{}: a code block is not closed", path.display());
        Self { path, lines }
    }

    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }

    /// As GitHub makes them: letters, digits, dashes and underscores; a number is appended to those that repeat.
    fn anchors(&self) -> BTreeSet<String> {
        let mut times = BTreeMap::new();
        let headings = self.lines.iter().filter(|(_, line)| line.starts_with('#'));
        headings
            .map(|(_, line)| {
                let text = line.trim_start_matches('#').trim().to_lowercase();
                let kept = |char: &char| char.is_alphanumeric() || ['-', '_', ' '].contains(char);
                let slug: String = text.chars().filter(kept).collect::<String>().replace(' ', "-");
                let count = times.entry(slug.clone()).and_modify(|count| *count += 1).or_insert(0);
                if *count == 0 { slug } else { format!("{slug}-{count}") }
            })
            .collect()
    }

    /// Line and target of each link that does not lead to another host.
    fn links(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, line) in &self.lines {
            // What stands between backquotes is no link.
            let text: String = line.split('`').step_by(2).collect();
            for rest in text.split("](").skip(1) {
                let target = rest.split(')').next().unwrap_or_default();
                if !target.contains("://") {
                    found.push((*at, target.to_owned()));
                }
            }
        }
        found
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    paths.extend(["README.md", "CHANGELOG.md"].map(|name| root().join(name)));
    paths.sort_unstable();
    paths.into_iter().map(Page::read).collect()
}

/// How many cells a row has: a pipe that is not escaped ends one, also between backquotes.
fn cells(row: &str) -> usize {
    let bars = row.replace("\\|", "").matches('|').count();
    bars - 1
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: BTreeMap<PathBuf, _> =
        pages.iter().map(|page| (page.path.canonicalize().unwrap(), page.anchors())).collect();
    let mut dead = Vec::new();
    for page in &pages {
        for (at, target) in page.links() {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { page.path.clone() } else { page.path.with_file_name("").join(file) };
            let is_alive = path.canonicalize().is_ok_and(|path| {
                anchor.is_empty() || anchors.get(&path).is_some_and(|anchors| anchors.contains(anchor))
            });
            if !is_alive {
                dead.push(format!("{}:{at}: {target}", page.name()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn every_table_has_a_head_and_rows_as_wide() {
    let mut broken = Vec::new();
    for page in pages() {
        let mut width = None;
        let mut lines = page.lines.iter().peekable();
        while let Some((at, line)) = lines.next() {
            if !line.starts_with('|') {
                width = None;
                continue;
            }
            let is_head = width.is_none();
            let expected = *width.get_or_insert_with(|| cells(line));
            let is_ruled = lines.peek().is_some_and(|(_, next)| next.starts_with("|--") || next.starts_with("|:-"));
            if is_head && !is_ruled {
                broken.push(format!("{}:{at}: a row without a head above it", page.name()));
            } else if cells(line) != expected || !line.ends_with('|') {
                broken.push(format!("{}:{at}: {} cells, not {expected}", page.name(), cells(line)));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_index_names_every_page() {
    let pages = pages();
    let index = pages.iter().find(|page| page.path.ends_with("docs/README.md")).unwrap();
    let named: BTreeSet<String> = index.links().into_iter().map(|(_, target)| target).collect();
    let docs = pages.iter().filter(|page| page.path.parent().is_some_and(|dir| dir.ends_with("docs")));
    let missing: Vec<_> = docs
        .filter_map(|page| page.path.file_name()?.to_str())
        .filter(|name| *name != "README.md" && !named.contains(*name))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:?}");
}

#[test]
fn the_page_of_commands_has_every_verb() {
    let help = gapless(root(), &["help"]);
    let (_, list) = help.out.split_once("Commands:").unwrap();
    let (list, _) = list.split_once("Options:").unwrap();
    let verbs: Vec<&str> = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.len() > 10, "{}", help.out);
    let page = fs::read_to_string(root().join("docs/commands.md")).unwrap();
    let missing: Vec<_> = verbs.into_iter().filter(|verb| !page.contains(&format!("`gapless {verb}"))).collect();
    assert!(missing.is_empty(), "docs/commands.md says nothing of {missing:?}");
}

#[test]
fn the_page_of_requests_has_every_address() {
    let archive = TestArchive::empty();
    let node = TestNode::start(&archive);
    let described = node.get("/api/v1/openapi.json").json();
    let page = fs::read_to_string(root().join("docs/http.md")).unwrap();
    let mut missing = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") {
            continue;
        }
        let written = path
            .split('/')
            .map(|part| {
                part.strip_prefix('{')
                    .and_then(|part| part.strip_suffix('}'))
                    .map_or(part.to_owned(), str::to_uppercase)
            })
            .collect::<Vec<_>>()
            .join("/");
        for method in methods.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            if !page.contains(&format!("`{method} {written}`")) {
                missing.push(format!("{method} {written}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/http.md says nothing of {missing:#?}");
}
