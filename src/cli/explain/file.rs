//! A file explained: what its name says, whether it is on disk, listed or hidden and by what, the best for its start or not and why,
//! and what a peer has of it.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::archive::escape::shown;
use crate::archive::explain::{NameState, SegmentRank, standing, state};
use crate::archive::{
    FileName, Hash, HourContents, HourPlace, LARGEST_FILE, SegmentKey, SegmentKind, name, parse_file_name,
};
use crate::cli::archive_client::{ArchiveClient, ArchiveScope};
use crate::cli::config::Config;
use crate::cli::diff::DiffRules;
use crate::cli::diff::compare::fates;
use crate::cli::exit::Exit;
use crate::cli::out::stdout;
use crate::disk::{Base, DiskError, HeldFile, Quarantine};
use crate::lifecycle::tombstones;
use crate::replicate::backfill::plan::plan;
use crate::sync::scrub::quarantine_path;
use crate::wire::QuarantineReport;

/// What is read at once to hash a file.
const PIECE_BYTES: usize = 1 << 18;

/// What is known, line by line for people and as one value for programs.
#[derive(Default)]
struct Account {
    lines: Vec<(&'static str, String)>,
    json: Map<String, Value>,
}

impl Account {
    fn add(&mut self, topic: &'static str, sentence: String, value: Value) {
        self.lines.push((topic, sentence));
        self.json.insert(topic.to_owned(), value);
    }

    fn print(mut self, config: &Config, path: &str) -> std::io::Result<()> {
        let mut out = stdout();
        if config.json {
            self.json.insert("path".to_owned(), path.into());
            return out.json(&Value::Object(self.json));
        }
        writeln!(out, "{}", shown(path))?;
        self.lines.iter().try_for_each(|(topic, sentence)| writeln!(out, "  {topic:<6} {sentence}"))
    }
}

pub(super) async fn explain(
    config: &Config,
    here: &ArchiveClient,
    there: Option<&ArchiveClient>,
    rules: &DiffRules,
    places: &[HourPlace],
    name: &str,
) -> anyhow::Result<Exit> {
    let base = Base::open(&config.base_dir)?;
    let mut exit = Exit::Done;
    let mut printed = false;
    for (number, place) in places.iter().enumerate() {
        let contents = here.contents(place).await?;
        let state = state(&contents, name);
        let disk = on_disk(&base, &place.path(), name)?;
        let offered = match there {
            Some(there) => Some((there, there.listing(place).await?)),
            None => None,
        };
        let is_offered = offered.as_ref().is_some_and(|(_, names)| names.iter().any(|listed| listed == name));
        let held: Vec<HeldFile> =
            Quarantine::of(&base).held(place)?.into_iter().filter(|held| held.name == name).collect();
        let is_known = !held.is_empty()
            || disk.is_some()
            || is_offered
            || !matches!(state, NameState::Absent | NameState::Temporary | NameState::Foreign);
        let is_last = number + 1 == places.len();
        if !is_known && (!is_last || printed) {
            continue;
        }
        if !is_known {
            // In a channel and quality that are not here it is the path that is wrong.
            here.require(&ArchiveScope::of(&place.stream)).await?;
        }
        let mut account = Account::default();
        add_name(&mut account, place, name);
        let matches = add_disk(&mut account, &base, place, name, disk)?;
        add_state(&mut account, &state, name);
        if let Some(note) = tombstones::note_of(&base, place, name)? {
            let sentence = format!("deleted because: {} ({}, on {})", note.reason, note.at, note.node);
            account.add("reason", sentence, json!(note));
        }
        add_quarantine(&mut account, place, held);
        if let Some(standing) = standing(&contents, name) {
            add_rank(&mut account, &standing);
        }
        if let Some((peer, names)) = &offered {
            add_peer(&mut account, peer, rules, place, &contents, names, name);
        }
        let explained = here.explained_file(place, name).await?;
        if let Some(stored) = explained.stored {
            account.add("bucket", stored.to_string(), json!(stored));
        }
        if let Some(limits) = explained.limits {
            account.add("limits", limits.to_string(), json!(limits));
        }
        if matches == Some(false) {
            exit = Exit::DataWrong;
        }
        account.print(config, &format!("{place}/{name}"))?;
        printed = true;
    }
    Ok(exit)
}

/// Something below the base that is in no hour directory.
pub(super) fn other(config: &Config, path: &Path) -> anyhow::Result<ExitCode> {
    let base = Base::open(&config.base_dir)?;
    let mut account = Account::default();
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let hidden = parts.iter().any(|part| part.starts_with('.'));
    let (sentence, kind) = if hidden {
        ("hidden: never listed, served or replicated", "hidden")
    } else if base.dir(path)?.is_some() {
        ("a directory; see `gapless ls`", "directory")
    } else {
        (
            "in no hour directory: an extra, served under /segments and listed under /extras, and not in the index",
            "extra",
        )
    };
    account.add("name", sentence.to_owned(), json!({ "kind": kind }));
    let size = base.open_file(path)?.map(|file| file.metadata().map(|meta| meta.len())).transpose()?;
    let words = size.map_or_else(|| "no file of this name".to_owned(), |size| format!("{size} bytes"));
    let is_here = size.is_some() || base.dir(path)?.is_some();
    account.add("disk", words, json!({ "there": size.is_some(), "size": size }));
    account.print(config, &parts.join("/"))?;
    Ok(if is_here { Exit::Done.into() } else { Exit::DataWrong.into() })
}

/// Damaged files of this name in the quarantine, and what is wrong with them.
fn add_quarantine(account: &mut Account, place: &HourPlace, held: Vec<HeldFile>) {
    if held.is_empty() {
        return;
    }
    let (mut sentences, mut values) = (Vec::new(), Vec::new());
    for file in held {
        let stored = quarantine_path(place, &file.stored);
        let report: QuarantineReport = serde_json::from_slice(&file.report).unwrap_or_default();
        let fate = report.healed.as_ref().map_or_else(
            || "the name is not listed again".to_owned(),
            |when| format!("the name is listed again since {when}"),
        );
        let why = report.faults.join("; ");
        sentences.push(format!("a damaged file of this name lies in {stored} since {}: {why}; {fate}", report.at));
        values.push(json!({ "kept": stored, "size": file.size, "report": report }));
    }
    account.add("kept", sentences.join("; "), Value::Array(values));
}

fn add_name(account: &mut Account, place: &HourPlace, text: &str) {
    let (sentence, value) = match parse_file_name(text) {
        FileName::Understood(key) => understood(place, &key),
        FileName::Temporary => (
            "temporary: a segment that is still being written; never listed, counted or replicated".to_owned(),
            json!({ "kind": "temporary" }),
        ),
        FileName::Odd(why) => (
            format!("not understood: {why}; listed, never replicated"),
            json!({ "kind": "odd", "why": why.to_string() }),
        ),
        FileName::Foreign if name::is_too_long_to_hide(text) => (
            "so long that its tombstone's name would have more than 255 bytes: not listed, never replicated".to_owned(),
            json!({ "kind": "foreign" }),
        ),
        FileName::Foreign => {
            ("hidden, or with an extension that is none of ours: not listed".to_owned(), json!({ "kind": "foreign" }))
        }
    };
    account.add("name", sentence, value);
}

fn understood(place: &HourPlace, key: &SegmentKey) -> (String, Value) {
    let (start, end) = (key.start(place.hour), key.end(place.hour));
    let what = match (key.tombstone, key.kind) {
        (true, _) => "a tombstone, which hides the file of the same name for ever; that one",
        (false, SegmentKind::Chat) => "a batch of chat lines; it",
        (false, _) => "a segment; it",
    };
    let kind = match (key.tombstone, key.kind.is_video()) {
        (true, _) => "tombstone",
        (false, true) => "segment",
        (false, false) => "chat",
    };
    let mut value = json!({ "kind": kind, "start": start.to_string(), "hash": key.hash.to_string() });
    if !key.kind.is_video() {
        return (format!("{what} starts {start} and has the SHA-256 {}", key.hash), value);
    }
    let means = match key.kind {
        SegmentKind::Full => "complete",
        SegmentKind::Suspect => "complete by its length, and possibly wrong",
        _ => "known to be incomplete",
    };
    value["end"] = end.to_string().into();
    value["duration"] = key.duration().seconds().into();
    value["type"] = key.kind.as_str().into();
    let sentence = format!(
        "{what} starts {start}, lasts {} s until {end}, is {} ({means}), and has the SHA-256 {}",
        key.duration().seconds(),
        key.kind.as_str(),
        key.hash
    );
    (sentence, value)
}

/// Bytes, if it lies there.
fn on_disk(base: &Base, directory: &Path, name: &str) -> Result<Option<u64>, DiskError> {
    let Some(dir) = base.dir(directory)? else { return Ok(None) };
    Ok(dir.stat_file(OsStr::new(name))?.map(|meta| meta.size))
}

/// Says whether the content has the hash in the name, if it can be read.
fn add_disk(
    account: &mut Account,
    base: &Base,
    place: &HourPlace,
    text: &str,
    size: Option<u64>,
) -> anyhow::Result<Option<bool>> {
    let Some(size) = size else {
        account.add("disk", "not on disk".to_owned(), json!({ "there": false }));
        return Ok(None);
    };
    let promised = match parse_file_name(text) {
        FileName::Understood(key) if !key.tombstone => Some(key.hash),
        _ => None,
    };
    let is_read = promised.is_some() && size <= LARGEST_FILE;
    let found = if is_read { hash(base, &place.path().join(text))? } else { None };
    let matches = promised.zip(found).map(|(promised, found)| promised == found);
    let content = match (matches, found) {
        (Some(true), _) => "; its content has the SHA-256 that its name says".to_owned(),
        (Some(false), Some(found)) => {
            format!("; WRONG: its content has the SHA-256 {found}, which its name does not say")
        }
        _ if size > LARGEST_FILE => "; larger than any segment may be, so that it was not read".to_owned(),
        _ => String::new(),
    };
    account.add(
        "disk",
        format!("{size} bytes{content}"),
        json!({ "there": true, "size": size, "hash_matches": matches }),
    );
    Ok(matches)
}

fn hash(base: &Base, path: &Path) -> anyhow::Result<Option<Hash>> {
    let Some(mut file) = base.open_file(path)? else { return Ok(None) };
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Some(Hash(hasher.finalize().into())));
        }
        hasher.update(piece.get(..read).unwrap_or_default());
    }
}

fn add_state(account: &mut Account, state: &NameState, text: &str) {
    // A daemon lists sizes of segments and chat batches only.
    let has_size = matches!(parse_file_name(text), FileName::Understood(key) if !key.tombstone);
    let bytes = |size: &u64| if has_size { format!(", {size} bytes") } else { String::new() };
    let (sentence, value) = match state {
        NameState::Listed { size } => (
            format!("in the index and listed{}", bytes(size)),
            json!({ "state": "listed", "size": has_size.then_some(size) }),
        ),
        NameState::Hidden { size, by } => (
            format!("in the index{}, and hidden: deleted by the tombstone {by}", bytes(size)),
            json!({ "state": "hidden", "size": has_size.then_some(size), "by": by }),
        ),
        NameState::Deleted { by } => (
            format!("not in the index; if it appeared it would be hidden by the tombstone {by}"),
            json!({ "state": "deleted", "by": by }),
        ),
        NameState::Absent => ("not in the index".to_owned(), json!({ "state": "absent" })),
        NameState::Temporary => (
            "not in the index: such names are never taken up until they are renamed".to_owned(),
            json!({ "state": "temporary" }),
        ),
        NameState::Foreign => {
            ("not in the index: such names are never taken up".to_owned(), json!({ "state": "foreign" }))
        }
    };
    account.add("index", sentence, value);
}

fn add_rank(account: &mut Account, standing: &SegmentRank) {
    let (sentence, value) = match standing {
        SegmentRank::Best(over) if over.is_empty() => {
            ("the only segment with this start, so the best".to_owned(), json!({ "is": true, "over": [] }))
        }
        SegmentRank::Best(over) => {
            let each: Vec<String> = over.iter().map(|(name, merit)| format!("{name} because {merit}")).collect();
            let values: Vec<Value> =
                over.iter().map(|(name, merit)| json!({ "name": name, "because": merit.to_string() })).collect();
            (
                format!("the best for its start; preferred to {}", each.join(", to ")),
                json!({ "is": true, "over": values }),
            )
        }
        SegmentRank::Beaten(by, merit) => (
            format!("not the best for its start: {by} is, because {merit}"),
            json!({ "is": false, "by": by, "because": merit.to_string() }),
        ),
        SegmentRank::Unplayable(why) => {
            (format!("never played: {why}"), json!({ "is": false, "because": why.to_string() }))
        }
    };
    account.add("best", sentence, value);
}

fn add_peer(
    account: &mut Account,
    peer: &ArchiveClient,
    rules: &DiffRules,
    place: &HourPlace,
    local: &HourContents,
    names: &[String],
    asked: &str,
) {
    let remote: Vec<&str> = names.iter().map(String::as_str).collect();
    let planned = plan(local, &remote, &rules.of(place.hour));
    let peer = peer.name();
    let tombstone = name::tombstone_of(asked);
    let (sentence, value) = if let Some(fate) = fates(&planned, place, local).get(asked) {
        let value = json!({ "name": peer, "lists": true, "backfill": fate.word(), "why": fate.why() });
        (format!("{peer} lists it; {fate}"), value)
    } else if names.contains(&tombstone) {
        let value = json!({ "name": peer, "lists": false, "tombstone": tombstone });
        (format!("{peer} does not list it: it has been deleted there, by the tombstone {tombstone}"), value)
    } else {
        (format!("{peer} does not list it"), json!({ "name": peer, "lists": false }))
    };
    account.add("peer", sentence, value);
}
