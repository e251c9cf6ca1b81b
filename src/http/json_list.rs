//! Writes lists of names as the tools of this field send them: `["a", "b"]`, everything beyond ASCII escaped.
//!
//! Source of the format: Python's `json.dumps`, which the listing services in use today answer with.

use std::fmt::Write as _;

use bytes::Bytes;

/// A JSON array of strings that is being written.
#[derive(Debug)]
pub struct JsonList {
    text: String,
}

impl JsonList {
    /// Empty, with room for this many names of ordinary length.
    pub fn with_capacity(names: usize) -> Self {
        let mut text = String::with_capacity(names.saturating_mul(72).saturating_add(2));
        text.push('[');
        Self { text }
    }

    /// One name more.
    pub fn push(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push_str(", ");
        }
        self.text.push('"');
        if name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\') {
            self.text.push_str(name);
        } else {
            escape(&mut self.text, name);
        }
        self.text.push('"');
    }

    /// The bytes.
    pub fn finish(mut self) -> Bytes {
        self.text.push(']');
        self.text.into()
    }
}

fn escape(text: &mut String, name: &str) {
    for character in name.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='\u{7f}' => text.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // A write to a String cannot fail.
                    write!(text, "\\u{unit:04x}").unwrap_or_default();
                }
            }
        }
    }
}

impl<S: AsRef<str>> FromIterator<S> for JsonList {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut list = Self::with_capacity(16);
        names.into_iter().for_each(|name| list.push(name.as_ref()));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_written_as_python_writes_them() {
        // json.dumps(["a", "é\"\\", "\x00\x1f\x7f\n", "😀"])
        let list: JsonList = ["a", "é\"\\", "\0\u{1f}\u{7f}\n", "😀"].into_iter().collect();
        assert_eq!(
            list.finish(),
            r#"["a", "\u00e9\"\\", "\u0000\u001f"#.to_owned() + "\u{7f}" + r#"\n", "\ud83d\ude00"]"#
        );
        assert_eq!(JsonList::with_capacity(0).finish(), "[]");
    }

    proptest! {
        #[test]
        fn any_names_come_back(names in prop::collection::vec(any::<String>(), 0..8)) {
            let bytes = names.iter().collect::<JsonList>().finish();
            prop_assert!(bytes.is_ascii());
            prop_assert_eq!(serde_json::from_slice::<Vec<String>>(&bytes).unwrap(), names);
        }
    }
}
