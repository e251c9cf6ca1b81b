//! `[[retention.stream]]`: limits of single channels and qualities, which stand in the file alone.

use std::ops::Range;

use toml::de::{DeArray, DeTable, DeValue};

use super::file::Written;
use super::setting::{BytesOrOff, SettingKind, Shape, TimeOrOff};
use crate::archive::retention::StreamLimit;
use crate::archive::{Channel, Quality, Span};

/// The key of the list in the table of retention.
pub(super) const KEY: &str = "stream";
/// The table that it stands in.
pub(super) const TABLE: &str = "retention";

/// What is wrong, and where in the file.
type Wrong = (Range<usize>, String);

/// Reads the sections of the list.
pub(super) fn read(value: &DeValue<'_>, span: &Range<usize>) -> Result<Vec<StreamLimit>, Wrong> {
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
    let (mut channel, mut quality, mut max_age, mut max_bytes) = (None, None, None, None);
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
            "max_age" => {
                let read = TimeOrOff::read(&written.text).filter(|_| is_text);
                max_age = Some(read.ok_or_else(|| wrong(TimeOrOff::EXPECTS))?);
            }
            "max_bytes" => {
                let fits = written.shape.is_some_and(|shape| BytesOrOff::SHAPES.contains(&shape));
                let read = BytesOrOff::read(&written.text).filter(|_| fits);
                max_bytes = read.ok_or_else(|| wrong(BytesOrOff::EXPECTS))?;
            }
            other => {
                let problem = format!(
                    "unknown key {other:?} in [[retention.stream]], expected one of channel, quality, max_age, max_bytes"
                );
                return Err((key.span(), problem));
            }
        }
    }
    let Some(channel) = channel else {
        return Err((span.clone(), "a [[retention.stream]] has no channel, expected channel = \"NAME\"".to_owned()));
    };
    if max_age.is_none() && max_bytes.is_none() {
        let problem =
            format!("the [[retention.stream]] for the channel {channel:?} says nothing, expected max_age or max_bytes");
        return Err((span.clone(), problem));
    }
    let us = |time: std::time::Duration| Span::from_us(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    Ok(StreamLimit { channel, quality, max_age: max_age.map(|age| age.map(us)), max_bytes })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::SETTINGS;
    use super::super::file::File;
    use super::*;

    fn parse(text: &str) -> Result<Vec<StreamLimit>, String> {
        let file = File::parse(Path::new("c.toml"), text, SETTINGS).map_err(|error| error.to_string())?;
        Ok(file.streams().to_vec())
    }

    #[test]
    fn limits_of_streams_are_read_beside_those_of_all() {
        let text = "[retention]\nmax_bytes = \"1TiB\"\n[[retention.stream]]\nchannel = \"a\"\nmax_age = \"1h\"\n\
                    [[retention.stream]]\nchannel = \"a\"\nquality = \"source\"\nmax_age = \"off\"\nmax_bytes = 5\n";
        let (channel, hour) = ("a".to_owned(), Some(Some(Span::from_us(3_600_000_000))));
        let all = StreamLimit { channel: channel.clone(), quality: None, max_age: hour, max_bytes: None };
        let source = Some("source".to_owned());
        let one = StreamLimit { channel, quality: source, max_age: Some(None), max_bytes: Some(5) };
        assert_eq!(parse(text), Ok(vec![all, one]));
        assert_eq!(parse("[retention]\nmax_bytes = \"1TiB\"\n"), Ok(Vec::new()));
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
            (format!("{head}max_bytes = 1\nquality = \"a/b\"\n"), "line 4: retention.stream.quality"),
            (
                format!("{head}max_bytes = 1\n{head}max_bytes = 2\n"),
                "there are two [[retention.stream]] for the channel \"a\"",
            ),
        ];
        for (text, expected) in cases {
            let said = parse(&text).unwrap_err();
            assert!(said.starts_with("c.toml, line ") && said.contains(expected), "{text:?}: {said}");
        }
    }
}
