//! No file uses another that uses it, directly or by others, but for the circles that `docs/design.md` explains.
//!
//! A name counts for the file in which it is declared, also where it is taken from one that hands it on with `pub use`.

use std::collections::{BTreeMap, BTreeSet};

use crate::rooms::sources;

/// A module, from the room on: `["sync", "crawl", "keeper"]`.
type Module = Vec<String>;

/// What comes before the rows of the circles in `docs/design.md`.
const HEADING: &str = "| room | files in a circle | why |\n|---|---|---|\n";

#[test]
fn files_in_rooms_use_each_other_in_a_circle_only_where_the_design_says_why() {
    let circles = circles(&arrows(&program()));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/design.md")).unwrap();
    let table = page.split_once(HEADING).expect("the table of circles is where it was").1;
    let mut room = "";
    let rows = table.lines().take_while(|line| line.starts_with("| "));
    let explained: BTreeSet<BTreeSet<String>> = rows.map(|row| files_of_row(row, &mut room)).collect();
    let new: Vec<_> = circles.difference(&explained).collect();
    let gone: Vec<_> = explained.difference(&circles).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "move what they need of each other to where it belongs, or explain in docs/design.md why these are in a circle: {new:#?}\n\
         and take these out of it, which are in none, or in another: {gone:#?}"
    );
}

#[test]
fn an_arrow_is_seen_however_it_is_written() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = [
        file("room/mod.rs", "pub mod a;\npub mod b;\npub use b::{Both, own::Deep};\nuse a::One;"),
        file("room/a.rs", "use super::b::{Beside, own::{self, Deep}};\nfn f() { own::g(\"crate::room::c\") }"),
        file("room/b.rs", "use crate::room::{\n    c::Third, // room::a\n};\npub mod own;"),
        file("room/b/own.rs", "fn f() { let _ = super::super::c::f(); }"),
        file("room/c.rs", "use crate::room::Both;\n#[cfg(test)]\nmod tests {\n    use crate::room::a::One;\n}"),
        file("other/mod.rs", "use crate::room::Deep;"),
    ];
    let arrows = arrows(&modules(files));
    let used = |module: &str| {
        let named = |module: &Module| module.join("/");
        arrows.iter().find(|(from, _)| named(from) == module).unwrap().1.iter().map(named).collect::<Vec<_>>()
    };
    assert_eq!(used("room"), ["room/a"]);
    assert_eq!(used("room/a"), ["room/b", "room/b/own"]);
    assert_eq!(used("room/b"), ["room/c"]);
    assert_eq!(used("room/b/own"), ["room/c"]);
    assert_eq!(used("room/c"), ["room/b"]);
    assert_eq!(used("other"), ["room/b/own"]);
    let circle = ["room/b", "room/c"].map(str::to_owned);
    assert_eq!(circles(&arrows), BTreeSet::from([BTreeSet::from(circle)]));
}

/// The files of the program, without those of its tests.
fn program() -> BTreeMap<Module, String> {
    let is_test = |file: &str| file.contains("/tests") || file.contains("/test_") || file == "main.rs";
    modules(sources().into_iter().filter(|(file, _)| !is_test(file)))
}

fn modules(files: impl IntoIterator<Item = (String, String)>) -> BTreeMap<Module, String> {
    let module = |file: &str| -> Module {
        let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
    };
    files.into_iter().map(|(file, text)| (module(&file), text)).collect()
}

/// Which files a row of the table names; a row without a room is about that of the row before.
fn files_of_row<'t>(row: &'t str, room: &mut &'t str) -> BTreeSet<String> {
    let mut cells = row.split('|').skip(1).map(|cell| cell.split('`').skip(1).step_by(2));
    *room = cells.next().and_then(|mut named| named.next()).unwrap_or(room);
    let file = |name: &str| if name == "mod" { (*room).to_owned() } else { format!("{room}/{name}") };
    cells.next().into_iter().flatten().map(file).collect()
}

/// Every set of at least two files of one room of which each uses all others, directly or by others.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<BTreeSet<String>> {
    let all: BTreeMap<&Module, BTreeSet<&Module>> = arrows.keys().map(|file| (file, reached(file, arrows))).collect();
    let circle = |file: &&Module| -> BTreeSet<String> {
        let others = all[*file].iter().filter(|other| all[**other].contains(*file));
        others.map(|other| other.join("/")).collect()
    };
    all.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

fn reached<'m>(from: &'m Module, arrows: &'m BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'m Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        let used = arrows.get(at).into_iter().flatten().filter(|to| to.first() == from.first());
        open.extend(used.filter(|to| reached.insert(*to)));
    }
    reached
}

/// What a file uses: paths, and names by the path that they are taken from, for itself or for others.
struct Used {
    paths: Vec<Vec<String>>,
    own_names: Vec<String>,
    names: BTreeMap<String, Vec<String>>,
}

/// Which modules each one uses.
fn arrows(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let used: BTreeMap<&Module, Used> = modules.iter().map(|(module, text)| (module, used(text))).collect();
    // The path from the crate on; nothing for what is of another crate.
    let absolute = |module: &Module, path: &[String]| -> Option<Vec<String>> {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let child = || [module.as_slice(), &path[..1]].concat();
        match path.first()?.as_str() {
            // Not `pub(super)`.
            _ if path.len() < 2 => None,
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module.as_slice(), &path[1..]].concat()),
            "super" => Some([module.get(..module.len().checked_sub(supers)?)?, &path[supers..]].concat()),
            _ if modules.contains_key(&child()) => Some([module.as_slice(), path].concat()),
            _ => None,
        }
    };
    // The module in which something is declared, wherever it is handed on.
    let declared = |path: Vec<String>| -> Option<Module> {
        let mut path = path;
        for _ in 0..9 {
            let length = (1..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
            let module = path[..length].to_vec();
            let from = path.get(length).and_then(|name| used[&module].names.get(name));
            match from.and_then(|from| absolute(&module, from)) {
                Some(from) if from != path[..=length] => path = [from.as_slice(), &path[length + 1..]].concat(),
                _ => return Some(module),
            }
        }
        None
    };
    let of = |module: &Module| -> BTreeSet<Module> {
        let Used { paths, own_names, names } = &used[module];
        let through_name = |path: &Vec<String>| match path.first().and_then(|first| names.get(first)) {
            Some(from) => absolute(module, &[from.as_slice(), &path[1..]].concat()),
            None => absolute(module, path),
        };
        // A module that is named is used where something of it is.
        let taken = own_names.iter().filter_map(|name| absolute(module, &names[name]));
        let taken = taken.filter(|path| !modules.contains_key(path));
        let mut to: BTreeSet<Module> =
            paths.iter().filter_map(through_name).chain(taken).filter_map(declared).collect();
        to.remove(module);
        to
    };
    modules.keys().map(|module| (module.clone(), of(module))).collect()
}

/// Takes the declarations of a file from the rest of it.
fn used(text: &str) -> Used {
    let (mut paths, mut own_names, mut names) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    let words = words(text);
    let mut at = 0;
    while let Some(word) = words.get(at) {
        // What comes before it.
        let before = |back: usize| at.checked_sub(back).map_or("", |at| words[at]);
        if *word == "use" {
            let end = words[at..].iter().position(|word| *word == ";").map_or(words.len(), |length| at + length);
            let mut declared = BTreeMap::new();
            declare(&[], &words[at + 1..end], &mut declared);
            let hands_on = ["pub", ")"].contains(&before(1));
            own_names.extend(declared.keys().filter(|_| !hands_on).cloned());
            names.extend(declared);
            at = end;
        } else if *word == "mod" {
            // That there is one is no use of it.
            at += 1;
        } else if is_name(word) {
            // Neither `pub(in crate::room)` nor a field or a method; but `0..LIMIT`.
            let is_none = matches!((before(2), before(1)), ("(", "in")) || before(1) == "." && before(2) != ".";
            let start = at;
            while words.get(at + 1) == Some(&"::") && words.get(at + 2).is_some_and(|word| is_name(word)) {
                at += 2;
            }
            if !is_none {
                paths.insert(words[start..=at].iter().step_by(2).copied().collect::<Vec<_>>());
            }
        }
        at += 1;
    }
    let owned = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Used { paths: paths.into_iter().map(owned).collect(), own_names, names }
}

/// Adds every name of a tree of `use` with the path that it stands for.
fn declare(before: &[String], tree: &[&str], names: &mut BTreeMap<String, Vec<String>>) {
    let mut depth = 0_usize;
    let branches = tree.split(|word| {
        depth = depth + usize::from(*word == "{") - usize::from(*word == "}");
        depth == 0 && *word == ","
    });
    for branch in branches {
        let head = branch.iter().take_while(|word| is_name(word) || **word == "::").count();
        let path = |words: &[&str]| -> Vec<String> {
            let more = words.iter().filter(|word| is_name(word)).map(ToString::to_string);
            before.iter().cloned().chain(more).collect()
        };
        match (branch.get(head), branch) {
            (Some(&"{"), _) => declare(&path(&branch[..head]), &branch[head + 1..branch.len() - 1], names),
            (None, [real @ .., "as", name]) => drop(names.insert((*name).to_owned(), path(real))),
            (None, [_, ..]) => {
                let mut path = path(branch);
                path.pop_if(|last| last == "self");
                names.extend(path.last().cloned().map(|name| (name, path.clone())));
            }
            _ => {}
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The words and signs of a text without its comments, literals and tests.
fn words(text: &str) -> Vec<&str> {
    let mut rest = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let mut words = Vec::new();
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            let mut is_escaped = false;
            let is_end = |(_, c): &(usize, char)| {
                let ends = !is_escaped && *c == '"';
                is_escaped = !is_escaped && *c == '\\';
                ends
            };
            rest.char_indices().skip(1).find(is_end).map_or(rest.len(), |(end, _)| end + 1)
        } else if ["'\"'", "'\\''", "'\\\"'"].iter().any(|quote| rest.starts_with(quote)) {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2) + usize::from(rest.starts_with("'\\''"))
        } else if is_part(first) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        if word == "::" || word.len() == 1 && !first.is_whitespace() || is_part(first) {
            words.push(word);
        }
        rest = after;
    }
    words
}
