//! Names say what they name: one type for one name, and files whose names are made of words that the documents use or explain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn no_two_public_types_share_a_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        for name in text.lines().filter_map(public_type) {
            places.entry(name.to_owned()).or_default().push(name_of(&file));
        }
    }
    assert!(places.len() > 500, "only {} types were found: is this looked for in the right place?", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "rename all of these but one, by what it is: {places:#?}");
}

#[test]
fn every_word_in_the_name_of_a_file_is_in_the_documents() {
    let words: BTreeSet<String> = documents().iter().flat_map(|page| words(page)).collect();
    let is_explained = |word: &str| {
        let singular = word.strip_suffix('s').unwrap_or(word);
        [word, singular, &format!("{word}s")].iter().any(|form| words.contains(*form))
    };
    let mut unexplained = BTreeMap::new();
    for file in sources() {
        let name = name_of(&file);
        for word in name.trim_end_matches(".rs").split(['/', '_']).filter(|word| !is_explained(word)) {
            unexplained.insert(word.to_owned(), name.clone());
        }
    }
    assert!(
        unexplained.is_empty(),
        "name the files by plain words, or explain these in docs/glossary.md: {unexplained:#?}"
    );
}

#[test]
fn a_public_type_is_found_where_it_is_one() {
    assert_eq!(public_type("    pub(super) struct Round<'a> {"), Some("Round"));
    assert_eq!(public_type("pub type Names = Vec<String>;"), Some("Names"));
    assert_eq!(public_type("struct Own;"), None);
    assert_eq!(public_type("pub fn structure() {}"), None);
}

/// The name of the type that a line declares for other modules.
fn public_type(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scoped) => scoped.split_once(')')?.1,
        None => rest,
    };
    let rest = rest.strip_prefix(' ')?;
    let name = ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|kind| rest.strip_prefix(kind))?;
    name.split(|char: char| !char.is_alphanumeric() && char != '_').next().filter(|name| !name.is_empty())
}

/// The program's files, those of its tests left out.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    files.retain(|file| {
        let is_of_tests = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
        file.extension().is_some_and(|end| end == "rs") && !file.iter().any(is_of_tests)
    });
    files
}

/// Pages that are written by hand: one that is generated from the program explains nothing.
fn documents() -> Vec<String> {
    let mut files = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut files);
    files.retain(|file| file.extension().is_some_and(|end| end == "md") && !file.ends_with("logs.md"));
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn words(text: &str) -> Vec<String> {
    let split = text.split(|char: char| !char.is_ascii_alphanumeric());
    split.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn name_of(file: &Path) -> String {
    file.strip_prefix(root().join("src")).unwrap_or(file).display().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
