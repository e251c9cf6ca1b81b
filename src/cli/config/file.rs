//! The configuration file: TOML, with the line of every value, so that an error can say where.
//!
//! Knows no particular setting; it is given the list of those there are. Reads only, and never goes on without a file
//! that could not be read.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeArray, DeTable, DeValue};

use super::ConfigError;
use super::record_sections::{RECORD_KEY, read_recorded};
use super::setting::{BytesOrOff, Setting, SettingKind, Shape, TimeOrOff};
use super::written::{Written, Wrong};
use crate::archive::retention::StreamLimit;
use crate::archive::{Channel, Quality, Span, misspelt};
use crate::record::RecordOptions;

/// More than any sensible file: a wrong path (a disk, a segment) must not be read into memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    values: BTreeMap<String, Written>,
    streams: Vec<StreamLimit>,
    recorded: Vec<RecordOptions>,
}

impl File {
    /// Reads the file; `None` if it does not exist.
    pub(super) fn open(path: &Path, settings: &[Setting]) -> Result<Option<Self>, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { file: path.to_owned(), source };
        let mut bytes = Vec::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
            return Err(unreadable(std::io::Error::other("it is larger than 1 MiB")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = line_of(error.as_bytes(), error.utf8_error().valid_up_to());
            wrong(path, line, "expected UTF-8 text".into())
        })?;
        Self::parse(path, &text, settings).map(Some)
    }

    /// Takes the text apart and refuses keys that no setting has.
    pub(super) fn parse(path: &Path, text: &str, settings: &[Setting]) -> Result<Self, ConfigError> {
        let at = |span: &Range<usize>| line_of(text.as_bytes(), span.start);
        let top = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| at(&span));
            wrong(path, line, error.message().replace('\n', ", "))
        })?;
        let (mut values, mut limited, mut recorded) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (key, value) in top.get_ref() {
            let is_table = settings.iter().any(|setting| !setting.table.is_empty() && setting.table == key.get_ref());
            match value.get_ref() {
                sections if key.get_ref() == RECORD_KEY => {
                    let read = read_recorded(sections, &value.span());
                    recorded = read.map_err(|(span, problem)| wrong(path, at(&span), problem))?;
                }
                DeValue::Table(table) if is_table => {
                    for (inner, written) in table {
                        if (key.get_ref().as_ref(), inner.get_ref().as_ref()) == (STREAMS_TABLE, STREAMS_KEY) {
                            let read = read_streams(written.get_ref(), &written.span());
                            limited = read.map_err(|(span, problem)| wrong(path, at(&span), problem))?;
                            continue;
                        }
                        let full = format!("{}.{}", key.get_ref(), inner.get_ref());
                        if !settings.iter().any(|setting| setting.full_key() == full) {
                            return Err(wrong(
                                path,
                                at(&inner.span()),
                                unknown(key.get_ref(), inner.get_ref(), settings),
                            ));
                        }
                        values.insert(full, Written::new(written.get_ref(), at(&written.span())));
                    }
                }
                _ if is_table => {
                    let problem =
                        format!("{0} is not a table, expected a line [{0}] with its keys below", key.get_ref());
                    return Err(wrong(path, at(&value.span()), problem));
                }
                other => {
                    if !settings.iter().any(|setting| setting.table.is_empty() && setting.key == key.get_ref()) {
                        return Err(wrong(path, at(&key.span()), unknown("", key.get_ref(), settings)));
                    }
                    values.insert(key.get_ref().to_string(), Written::new(other, at(&value.span())));
                }
            }
        }
        Ok(Self { path: path.to_owned(), values, streams: limited, recorded })
    }

    pub(super) fn get(&self, setting: &Setting) -> Option<&Written> {
        self.values.get(&setting.full_key())
    }

    pub(super) fn streams(&self) -> &[StreamLimit] {
        &self.streams
    }

    pub(super) fn recorded(&self) -> &[RecordOptions] {
        &self.recorded
    }

    pub(super) fn wrong(&self, written: &Written, problem: String) -> ConfigError {
        wrong(&self.path, written.line, problem)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn wrong(path: &Path, line: usize, problem: String) -> ConfigError {
    ConfigError::InFile { file: path.to_owned(), line, problem }
}

fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn unknown(table: &str, key: &str, settings: &[Setting]) -> String {
    let keys: Vec<&str> = settings.iter().filter(|setting| setting.table == table).map(|setting| setting.key).collect();
    let keys = keys.join(", ");
    if !table.is_empty() {
        return format!("unknown key {key:?} in [{table}], expected one of {keys}{}", meant(table, key, settings));
    }
    let mut tables: Vec<String> = settings
        .iter()
        .filter(|setting| !setting.table.is_empty())
        .map(|setting| format!("[{}]", setting.table))
        .collect();
    tables.dedup();
    let tables = tables.join(", ");
    format!("unknown key {key:?}, expected one of {keys} or a table {tables}{}", meant(table, key, settings))
}

/// What was meant by an unknown key: the right one in the wrong table, or one with a slip.
fn meant(table: &str, key: &str, settings: &[Setting]) -> String {
    match settings.iter().find(|setting| setting.key == key) {
        Some(Setting { table: "", .. }) => return format!("; {key} belongs before the first table"),
        Some(Setting { table: other, .. }) => return format!("; {key} belongs in [{other}]"),
        None => {}
    }
    let here = settings.iter().filter(|setting| setting.table == table).map(|setting| setting.key);
    let tables = settings.iter().map(|setting| setting.table).filter(|name| table.is_empty() && !name.is_empty());
    misspelt::meant(key, here.chain(tables)).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

const STREAMS_KEY: &str = "stream";
const STREAMS_TABLE: &str = "retention";
const SECTION_KEYS: [&str; 5] = ["channel", "quality", "max_age", "archive_max_age", "max_bytes"];

fn read_streams(value: &DeValue<'_>, span: &Range<usize>) -> Result<Vec<StreamLimit>, Wrong> {
    let not_a_list = || {
        (
            span.clone(),
            "retention.stream is no list of tables, expected lines [[retention.stream]] with their keys below"
                .to_owned(),
        )
    };
    let DeValue::Array(list) = value else { return Err(not_a_list()) };
    sections(list, &not_a_list)
}

fn sections(list: &DeArray<'_>, not_a_list: &dyn Fn() -> Wrong) -> Result<Vec<StreamLimit>, Wrong> {
    let mut sections: Vec<StreamLimit> = Vec::new();
    for item in list {
        let DeValue::Table(table) = item.get_ref() else { return Err(not_a_list()) };
        let section = section(table, &item.span())?;
        let is_same = |other: &StreamLimit| (&other.channel, &other.quality) == (&section.channel, &section.quality);
        if sections.iter().any(is_same) {
            let quality =
                section.quality.as_ref().map_or_else(String::new, |quality| format!(" and the quality {quality:?}"));
            let problem = format!(
                "there are two [[retention.stream]] for the channel {:?}{quality}, expected one",
                section.channel
            );
            return Err((item.span(), problem));
        }
        sections.push(section);
    }
    Ok(sections)
}

fn section(table: &DeTable<'_>, span: &Range<usize>) -> Result<StreamLimit, Wrong> {
    let (mut channel, mut quality, mut max_age, mut bucket_age, mut max_bytes) = (None, None, None, None, None);
    for (key, value) in table {
        let written = Written::new(value.get_ref(), 0);
        let wrong = |expected: &str| {
            (value.span(), format!("retention.stream.{} is {}, expected {expected}", key.get_ref(), written.quoted()))
        };
        let is_text = written.shape == Some(Shape::Text);
        match key.get_ref().as_ref() {
            "channel" if is_text && Channel::new(&written.text).is_ok() => channel = Some(written.text),
            "channel" => return Err(wrong("the name of a channel")),
            "quality" if is_text && Quality::new(&written.text).is_ok() => quality = Some(written.text),
            "quality" => return Err(wrong("the name of a quality")),
            name @ ("max_age" | "archive_max_age") => {
                let read = TimeOrOff::read(&written.text).filter(|_| is_text);
                let read = Some(read.ok_or_else(|| wrong(TimeOrOff::EXPECTS))?);
                *(if name == "max_age" { &mut max_age } else { &mut bucket_age }) = read;
            }
            "max_bytes" => {
                let fits = written.shape.is_some_and(|shape| BytesOrOff::SHAPES.contains(&shape));
                let read = BytesOrOff::read(&written.text).filter(|_| fits);
                max_bytes = read.ok_or_else(|| wrong(BytesOrOff::EXPECTS))?;
            }
            other => {
                let meant = misspelt::meant(other, SECTION_KEYS);
                let meant = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
                let keys = SECTION_KEYS.join(", ");
                let problem = format!("unknown key {other:?} in [[retention.stream]], expected one of {keys}{meant}");
                return Err((key.span(), problem));
            }
        }
    }
    let Some(channel) = channel else {
        return Err((span.clone(), "a [[retention.stream]] has no channel, expected channel = \"NAME\"".to_owned()));
    };
    if max_age.is_none() && bucket_age.is_none() && max_bytes.is_none() {
        let problem = format!(
            "the [[retention.stream]] for the channel {channel:?} says nothing, expected max_age, archive_max_age or max_bytes"
        );
        return Err((span.clone(), problem));
    }
    let us = |time: std::time::Duration| Span::from_us(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    let [max_age, bucket_age] = [max_age, bucket_age].map(|given| given.map(|age| age.map(us)));
    Ok(StreamLimit { channel, quality, max_age, bucket_age, max_bytes })
}

#[cfg(test)]
mod tests {
    use super::super::SETTINGS;
    use super::super::file::File;
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("c.toml"), text, SETTINGS).map_err(|error| error.to_string())
    }

    fn problem(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn values_keep_their_line_whatever_they_are_written_like() {
        let file = parse("# a\nname = \"x\"\n\n[http]\nmax_connections = 0x1_0\n[crawl]\ncpu_share = 0.5\n").unwrap();
        let read: Vec<_> = file.values.iter().map(|(key, it)| (key.as_str(), it.text.as_str(), it.line)).collect();
        assert_eq!(read, [("crawl.cpu_share", "0.5", 7), ("http.max_connections", "16", 5), ("name", "x", 2)]);
        assert_eq!(parse("http.drain = \"5s\"").unwrap().values.len(), 1);
    }

    #[test]
    fn a_list_is_one_of_texts() {
        let file = parse("[backfill]\npeers = [\"a=http://x\", 'b']\nreread = [1]\n").unwrap();
        let written = |key: &str| file.values[key].clone();
        let list = written("backfill.peers");
        assert_eq!((list.text.as_str(), list.shape, list.line), ("a=http://x\nb", Some(Shape::List), 2));
        assert_eq!((written("backfill.reread").shape, &*written("backfill.reread").quoted()), (None, "a list"));
    }

    #[test]
    fn unknown_keys_name_the_line_and_what_there_is() {
        let text = problem("[http]\ndrain = \"1s\"\ndrian = 1\n");
        assert!(
            text.starts_with(r#"c.toml, line 3: unknown key "drian" in [http], expected one of tls_certificate"#),
            "{text}"
        );
        let top = problem("\nport = 1\n");
        assert!(top.starts_with(r#"c.toml, line 2: unknown key "port", expected one of name, listen"#), "{top}");
        assert!(top.contains("[index], [http]"), "{top}");
        assert!(problem("[backfil]\npeers = []\n").ends_with("; did you mean backfill?"));
        assert!(problem("listn = \"[::]:80\"\n").ends_with("; did you mean listen?"));
        assert!(problem("[http]\nlisten = \"[::]:80\"\n").ends_with("; listen belongs before the first table"));
        assert!(problem("drain = \"1s\"\n").ends_with("; drain belongs in [http]"));
        assert!(problem("[htpp]\ndrain = 1\n").starts_with(r#"c.toml, line 1: unknown key "htpp""#));
    }

    #[test]
    fn what_is_not_toml_names_the_line() {
        for (text, line) in
            [("a = 1\nb = = 2\n", 2), ("[http]\n[http]\n", 2), ("name = \"a\"\nname = \"b\"", 2), ("x", 1)]
        {
            let said = problem(text);
            assert!(said.starts_with(&format!("c.toml, line {line}: ")), "{text:?}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn a_table_is_a_table() {
        assert_eq!(
            problem("\nhttp = 5"),
            "c.toml, line 2: http is not a table, expected a line [http] with its keys below"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(File::open(&dir.path().join("none"), SETTINGS).unwrap().is_none());
        assert!(matches!(File::open(dir.path(), SETTINGS), Err(ConfigError::Unreadable { .. })));
        let latin = dir.path().join("latin");
        std::fs::write(&latin, b"# a\n# \xe9\n").unwrap();
        assert!(File::open(&latin, SETTINGS).unwrap_err().to_string().ends_with("line 2: expected UTF-8 text"));
        let large = dir.path().join("large");
        std::fs::write(&large, vec![b'\n'; 2 << 20]).unwrap();
        assert!(matches!(File::open(&large, SETTINGS), Err(ConfigError::Unreadable { .. })));
    }

    fn limits(text: &str) -> Result<Vec<StreamLimit>, String> {
        let file = File::parse(Path::new("c.toml"), text, SETTINGS).map_err(|error| error.to_string())?;
        Ok(file.streams().to_vec())
    }

    #[test]
    fn limits_of_streams_are_read_beside_those_of_all() {
        let text = "[retention]\nmax_bytes = \"1TiB\"\n[[retention.stream]]\nchannel = \"a\"\nmax_age = \"1h\"\n\
                    [[retention.stream]]\nchannel = \"a\"\nquality = \"source\"\nmax_age = \"off\"\n\
                    archive_max_age = \"1h\"\nmax_bytes = 5\n";
        let (channel, hour) = ("a".to_owned(), Some(Some(Span::from_us(3_600_000_000))));
        let all =
            StreamLimit { channel: channel.clone(), quality: None, max_age: hour, bucket_age: None, max_bytes: None };
        let source = Some("source".to_owned());
        let one = StreamLimit { channel, quality: source, max_age: Some(None), bucket_age: hour, max_bytes: Some(5) };
        assert_eq!(limits(text), Ok(vec![all, one]));
        assert_eq!(limits("[retention]\nmax_bytes = \"1TiB\"\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_names_its_line_and_what_was_expected() {
        let head = "[[retention.stream]]\nchannel = \"a\"\n";
        let cases = [
            ("[retention]\nstream = 5\n".to_owned(), "line 2: retention.stream is no list"),
            ("[[retention.stream]]\nmax_age = \"1h\"\n".to_owned(), "has no channel"),
            (head.to_owned(), "says nothing"),
            (
                format!("{head}max_age = \"soon\"\n"),
                "line 3: retention.stream.max_age is the text \"soon\", expected a time",
            ),
            (format!("{head}max_bytes = -1\n"), "line 3: retention.stream.max_bytes"),
            (format!("{head}min_free = 1\n"), "line 3: unknown key \"min_free\""),
            ("[[retention.stream]]\nchanel = \"a\"\n".to_owned(), "max_age, max_bytes; did you mean channel?"),
            (format!("{head}max_bytes = 1\nquality = \"a/b\"\n"), "line 4: retention.stream.quality"),
            (
                format!("{head}max_bytes = 1\n{head}max_bytes = 2\n"),
                "there are two [[retention.stream]] for the channel \"a\"",
            ),
        ];
        for (text, expected) in cases {
            let said = limits(&text).unwrap_err();
            assert!(said.starts_with("c.toml, line ") && said.contains(expected), "{text:?}: {said}");
        }
    }
}
