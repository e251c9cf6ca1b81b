//! Names as they are shown: other nodes choose them, and a terminal, a log or a scraper must not take a part of one for an order or for
//! the end of a line.
//!
//! A character that steers is written as `\n`, `\r`, `\t`, `\x1b` or `\u{202e}`. Where a name holds a backslash that would read as one of
//! these, the backslash is written as `\x5c`, so that [`unshown`] gives back every name to the byte. Nothing else is changed, and nothing
//! is decided here about who may see what.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character ends a line, gives orders to a terminal, changes the order of what is read, or is not seen at all.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name as it is shown to people and scripts; [`unshown`] is the way back.
pub fn shown(name: &str) -> Cow<'_, str> {
    rewritten(
        name,
        |c| steers(c) || c == '\\',
        |out, c, rest| match c {
            '\\' if escape(rest).is_none() => out.push(c),
            c => push_escape(out, c),
        },
    )
}

/// The name that is shown like this.
pub fn unshown(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut name, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let (c, length) = escape(rest).unwrap_or((c, c.len_utf8()));
        name.push(c);
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(name)
}

/// A line that may hold names which were shown already, or were forgotten: what steers in it is escaped, but for tabs between columns.
pub fn line(text: &str) -> Cow<'_, str> {
    rewritten(text, |c| steers(c) && c != '\t', |out, c, _| push_escape(out, c))
}

/// The same for words in a table or on a screen, where a tab moves what follows.
pub fn words(text: &str) -> Cow<'_, str> {
    rewritten(text, steers, |out, c, _| push_escape(out, c))
}

/// A JSON text whose strings hold nothing that steers. Outside of strings there is nothing but line breaks.
pub fn json(text: &str) -> Cow<'_, str> {
    rewritten(
        text,
        |c| steers(c) && c != '\n',
        |out, c, _| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A write to a String cannot fail.
                write!(out, "\\u{unit:04x}").unwrap_or_default();
            }
        },
    )
}

/// Metrics as Prometheus text whose labels hold nothing that steers. A line break within a label is `\n` already, as the format has it.
pub fn exposition(text: &str) -> Cow<'_, str> {
    rewritten(
        text,
        |c| steers(c) && c != '\n',
        |out, c, _| {
            out.push('\\');
            push_escape(out, c);
        },
    )
}

/// The text with each character that `is_meant` written by `write`, which is given what begins with it.
fn rewritten(text: &str, is_meant: impl Fn(char) -> bool, write: impl Fn(&mut String, char, &str)) -> Cow<'_, str> {
    let Some(first) = text.find(&is_meant) else { return Cow::Borrowed(text) };
    let (plain, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(plain);
    for (at, c) in rest.char_indices() {
        if is_meant(c) { write(&mut out, c, rest.get(at..).unwrap_or_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn push_escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)).unwrap_or_default(),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default(),
    }
}

/// The character whose escape this begins with, and how long that is; only as [`push_escape`] writes it.
fn escape(text: &str) -> Option<(char, usize)> {
    let body = text.strip_prefix('\\')?;
    let digits = match body.chars().next()? {
        'n' => return Some(('\n', 2)),
        'r' => return Some(('\r', 2)),
        't' => return Some(('\t', 2)),
        'x' => body.get(1..3)?,
        'u' => body.strip_prefix("u{")?.split_once('}')?.0,
        _ => return None,
    };
    let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).filter(|c| steers(*c) || *c == '\\')?;
    let mut canonical = String::new();
    push_escape(&mut canonical, c);
    text.starts_with(&canonical).then_some((c, canonical.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of what matters, and of anything.
    fn names() -> impl Strategy<Value = String> {
        let tokens = prop_oneof![
            Just("\\".to_owned()),
            Just("\\x1b".to_owned()),
            Just("\\u{202e}".to_owned()),
            Just("\\n".to_owned()),
            Just("x5c".to_owned()),
            "[\\x00-\\x1f\\x7f-\\xa0]",
            "[\\u{200b}-\\u{200f}\\u{2028}-\\u{202e}\\u{e0000}-\\u{e007f}]",
            any::<String>(),
        ];
        prop::collection::vec(tokens, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_name_that_is_shown_steers_nothing_and_can_be_given_back(name in names()) {
            let text = shown(&name);
            prop_assert!(!text.contains(steers), "{text:?}");
            prop_assert_eq!(&*unshown(&text), &name);
            // What was shown already stays as it is.
            prop_assert_eq!(&line(&text), &text);
            prop_assert_eq!(&words(&text), &text);
        }

        #[test]
        fn lines_words_and_labels_steer_nothing_whatever_is_in_them(text in names()) {
            prop_assert!(!line(&text).contains(|c| steers(c) && c != '\t'));
            prop_assert!(!words(&text).contains(steers));
            prop_assert!(!exposition(&text).contains(|c| steers(c) && c != '\n'));
        }

        #[test]
        fn json_says_the_same_without_what_steers(name in names()) {
            for plain in [serde_json::to_string(&[&name]).unwrap(), serde_json::to_string_pretty(&[&name]).unwrap()] {
                let text = json(&plain);
                prop_assert!(!text.contains(|c| steers(c) && c != '\n'), "{text:?}");
                prop_assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), vec![name.clone()]);
            }
        }
    }

    #[test]
    fn escapes_look_as_people_know_them() {
        assert_eq!(shown("a\nb\r\t\u{1b}]0;x\u{7}\u{9b}\u{202e}é"), "a\\nb\\r\\t\\x1b]0;x\\x07\\x9b\\u{202e}é");
        // Of backslashes only those are written that would read as an escape.
        assert_eq!(shown("C:\\dir\\new \\x41 \\\\"), "C:\\dir\\x5cnew \\x41 \\\\");
        assert_eq!(unshown("\\x1B\\x41\\u{00202e}\\u{202e"), "\\x1B\\x41\\u{00202e}\\u{202e");
        assert_eq!(exposition("a{b=\"\u{1b}[2J\"} 1\n"), "a{b=\"\\\\x1b[2J\"} 1\n");
        assert_eq!(json("[\"\u{9b}\u{e0041}\"]"), "[\"\\u009b\\udb40\\udc41\"]");
    }
}
