//! A value of the configuration file as it was written, and what is wrong with one.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::DeValue;

use super::setting::Shape;

/// Where in the file, and what was expected there.
pub(super) type Wrong = (Range<usize>, String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub text: String,
    /// How it was written; `None` if no setting is ever written so.
    pub shape: Option<Shape>,
    pub line: usize,
}

impl Written {
    pub(super) fn new(value: &DeValue<'_>, line: usize) -> Self {
        let (text, shape) = match value {
            DeValue::String(text) => (text.to_string(), Some(Shape::Text)),
            DeValue::Integer(number) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix()).map(|number| number.to_string());
                (decimal.unwrap_or_else(|_| number.as_str().to_owned()), Some(Shape::Integer))
            }
            DeValue::Float(number) => (number.as_str().to_owned(), Some(Shape::Float)),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<_>>>();
                texts.map_or_else(|| ("array".to_owned(), None), |texts| (texts.join("\n"), Some(Shape::List)))
            }
            DeValue::Boolean(value) => (value.to_string(), Some(Shape::Boolean)),
            other => (other.type_str().to_owned(), None),
        };
        Self { text, shape, line }
    }

    /// The value as a person wrote it, for an error about its shape.
    pub(super) fn quoted(&self) -> Cow<'_, str> {
        match self.shape {
            Some(Shape::Text) => Cow::Owned(format!("the text {:?}", self.text)),
            Some(Shape::List) => Cow::Borrowed("a list"),
            Some(Shape::Boolean) => Cow::Borrowed("true or false"),
            Some(_) => Cow::Owned(format!("the number {}", self.text)),
            None => Cow::Borrowed(match self.text.as_str() {
                "array" => "a list",
                "table" => "a table",
                _ => "a date or time",
            }),
        }
    }
}
