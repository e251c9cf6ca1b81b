//! The sections `[[record]]` of the configuration file: what a node records by itself.

use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::setting::Shape;
use super::written::{Written, Wrong};
use crate::archive::{Channel, Quality};
use crate::record::{AddressCommand, RecordOptions, RecordSource, SOURCE, SourceAddress, SourceHeaders};

/// What the sections are called.
pub(super) const RECORD_KEY: &str = "record";

/// Reads all sections; an error says where, and what was expected.
pub(super) fn read_recorded(value: &DeValue<'_>, span: &Range<usize>) -> Result<Vec<RecordOptions>, Wrong> {
    let not_a_list =
        || (span.clone(), "record is no list of tables, expected lines [[record]] with their keys below".to_owned());
    let DeValue::Array(list) = value else { return Err(not_a_list()) };
    let mut recorded: Vec<RecordOptions> = Vec::new();
    for item in list {
        let DeValue::Table(table) = item.get_ref() else { return Err(not_a_list()) };
        let section = section(table, &item.span())?;
        if recorded.iter().any(|other| other.channel == section.channel) {
            let problem =
                format!("there are two [[record]] for the channel {:?}, expected one", section.channel.as_str());
            return Err((item.span(), problem));
        }
        recorded.push(section);
    }
    Ok(recorded)
}

fn section(table: &DeTable<'_>, span: &Range<usize>) -> Result<RecordOptions, Wrong> {
    let (mut channel, mut given, mut qualities) = (None, Vec::new(), vec![SOURCE.to_owned()]);
    let mut headers = SourceHeaders::default();
    let (mut skips_ads, mut ca_file) = (false, None);
    for (key, value) in table {
        let written = Written::new(value.get_ref(), 0);
        let wrong = |expected: &str| {
            (value.span(), format!("record.{} is {}, expected {expected}", key.get_ref(), written.quoted()))
        };
        match (key.get_ref().as_ref(), written.shape) {
            ("channel", Some(Shape::Text)) => {
                channel = Some(Channel::new(&written.text).map_err(|_| wrong("the name of a channel"))?);
            }
            ("channel", _) => return Err(wrong("the name of a channel")),
            ("source", Some(Shape::Text)) => {
                // What is wrong with it is said without its secrets.
                let read = SourceAddress::parse(&written.text).map_err(|error| (value.span(), error.to_string()));
                given.push(RecordSource::Address(read?));
            }
            ("resolve", Some(Shape::List)) => {
                let words = written.text.lines().map(str::to_owned).collect();
                given.push(RecordSource::Command(AddressCommand::new(words).map_err(wrong)?));
            }
            // What was written there may be a secret.
            ("resolve", _) => {
                let expected = "expected a list such as [\"streamlink\", \"--stream-url\", \"URL\", \"best\"]";
                return Err((value.span(), format!("record.resolve: {expected}")));
            }
            ("headers", _) => {
                let expected = "expected a table such as { \"User-Agent\" = \"TEXT\" }";
                let not_one = || (value.span(), format!("record.headers: {expected}"));
                let DeValue::Table(named) = value.get_ref() else { return Err(not_one()) };
                for (name, text) in named {
                    let text = text.get_ref().as_str().ok_or_else(not_one)?;
                    let added = headers.add(name.get_ref(), text);
                    added.map_err(|why| (value.span(), format!("record.headers: {why}")))?;
                }
            }
            ("source", _) => return Err(wrong("the address of a stream, such as https://example.org/live.m3u8")),
            ("qualities", Some(Shape::List)) if !written.text.is_empty() => {
                qualities = written.text.lines().map(str::to_owned).collect();
            }
            ("qualities", _) => return Err(wrong("a list of qualities such as [\"source\", \"480p\"]")),
            ("ca_file", Some(Shape::Text)) if !written.text.is_empty() => ca_file = Some(PathBuf::from(&written.text)),
            ("ca_file", _) => return Err(wrong("a file of certificates (PEM)")),
            ("skip_ads", Some(Shape::Boolean)) => skips_ads = written.text == "true",
            ("skip_ads", _) => return Err(wrong("true or false")),
            (other, _) => {
                let problem = format!(
                    "unknown key {other:?} in [[record]], expected one of channel, source, resolve, headers, ca_file, qualities, skip_ads"
                );
                return Err((key.span(), problem));
            }
        }
    }
    let missing = |what: &str| (span.clone(), format!("a [[record]] has no {what}"));
    let channel = channel.ok_or_else(|| missing("channel, expected channel = \"NAME\""))?;
    let source = given.pop().ok_or_else(|| missing("source, expected source = \"https://example.org/live.m3u8\""))?;
    if !given.is_empty() {
        return Err((span.clone(), "a [[record]] has both source and resolve, expected one of them".to_owned()));
    }
    let quality = |name: &String| {
        let read = Quality::new(name).ok().filter(|quality| !quality.is_chat());
        read.ok_or_else(|| {
            (span.clone(), format!("record.qualities has {name:?}, expected names such as source or 480p"))
        })
    };
    let mut qualities = qualities.iter().map(quality).collect::<Result<Vec<_>, _>>()?;
    qualities.sort_unstable();
    qualities.dedup();
    let options = RecordOptions { channel, source, headers, ca_file, qualities, skips_ads };
    match options.refusal() {
        Some(why) => Err((span.clone(), format!("record.qualities: {why}"))),
        None => Ok(options),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::SETTINGS;
    use super::super::file::File;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let file = File::parse(Path::new("c.toml"), text, SETTINGS).map_err(|error| error.to_string())?;
        let shown = |one: &super::RecordOptions| {
            let qualities: Vec<String> = one.qualities.iter().map(ToString::to_string).collect();
            let ads = if one.skips_ads { " without ads" } else { "" };
            format!("{} {} {}{ads}", one.channel, one.source, qualities.join(","))
        };
        Ok(file.recorded().iter().map(shown).collect())
    }

    #[test]
    fn what_is_recorded_is_read_with_the_best_quality_by_default() {
        let text = "name = \"n\"\n[[record]]\nchannel = \"a\"\nsource = \"https://h/a.m3u8?key=x\"\n\
                    [[record]]\nchannel = \"b\"\nsource = \"http://h/b\"\nqualities = [\"480p\", \"source\"]\nskip_ads = true\n\
                    [[record]]\nchannel = \"c\"\nresolve = [\"streamlink\", \"secret\"]\nheaders = { Cookie = \"a=b\" }\n";
        let of_command = "c the address that streamlink prints source";
        assert_eq!(
            read(text).unwrap(),
            ["a https://h/a.m3u8?… source", "b http://h/b 480p,source without ads", of_command]
        );
        assert_eq!(read("name = \"n\"\n").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_names_its_line_and_no_secret() {
        let head = "[[record]]\nchannel = \"a\"\n";
        let whole = format!("{head}source = \"https://h/x\"\n");
        for (text, expected) in [
            ("record = 5\n".to_owned(), "line 1: record is no list"),
            (head.to_owned(), "line 1: a [[record]] has no source"),
            ("[[record]]\nsource = \"https://h/x\"\n".to_owned(), "has no channel"),
            (format!("{head}source = \"ftp://u:secret@h/x?secret\"\n"), "line 3: \"ftp://…@h/x\" is not an address"),
            (format!("{head}source = \"srt://h:9\"\nqualities = [\"480p\"]\n"), "SRT has one quality"),
            (format!("{whole}qualities = \"source\"\n"), "line 4: record.qualities is the text"),
            (format!("{whole}qualities = [\"chat\"]\n"), "has \"chat\""),
            (
                format!("{whole}skip_ads = \"yes\"\n"),
                "line 4: record.skip_ads is the text \"yes\", expected true or false",
            ),
            (format!("{whole}url = \"x\"\n"), "line 4: unknown key \"url\" in [[record]]"),
            (format!("{whole}resolve = [\"x\"]\n"), "both source and resolve"),
            (format!("{head}resolve = []\n"), "record.resolve is a list, expected a program and its arguments"),
            (
                format!("{whole}headers = {{ Host = \"secret\" }}\n"),
                "line 4: record.headers: host is written by gapless",
            ),
            (format!("{whole}headers = \"Cookie: secret\"\n"), "expected a table such as"),
            (format!("{head}resolve = \"tool --secret\"\n"), "expected a list such as"),
            (format!("{whole}{whole}"), "two [[record]] for the channel \"a\""),
        ] {
            let said = read(&text).unwrap_err();
            assert!(said.contains(expected) && !said.contains("secret"), "{text}: {said}");
        }
    }
}
