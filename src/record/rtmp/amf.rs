//! Values of the commands of RTMP (AMF 0): as much of them as publishing needs. No bytes make this panic.

/// Objects in objects, at most: real ones have two.
const DEPTH: usize = 4;
/// Values of one message, at most.
const MOST: usize = 256;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum AmfValue {
    Number(f64),
    Flag(bool),
    Text(String),
    Object(Vec<(String, AmfValue)>),
    Null,
}

impl AmfValue {
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The values of a message, as far as they can be understood.
pub fn read_values(mut bytes: &[u8]) -> Vec<AmfValue> {
    let (mut values, mut left) = (Vec::new(), MOST);
    while let Some(value) = value(&mut bytes, 0, &mut left) {
        values.push(value);
    }
    values
}

fn value(bytes: &mut &[u8], depth: usize, left: &mut usize) -> Option<AmfValue> {
    *left = left.checked_sub(1)?;
    Some(match take::<1>(bytes)?[0] {
        0 => AmfValue::Number(f64::from_be_bytes(take(bytes)?)),
        1 => AmfValue::Flag(take::<1>(bytes)?[0] != 0),
        2 => AmfValue::Text(text(bytes)?),
        3 => object(bytes, depth, left)?,
        5 | 6 => AmfValue::Null,
        // An array with names: a count that nobody relies on, and an object.
        8 => {
            take::<4>(bytes)?;
            object(bytes, depth, left)?
        }
        _ => return None,
    })
}

fn object(bytes: &mut &[u8], depth: usize, left: &mut usize) -> Option<AmfValue> {
    if depth >= DEPTH {
        return None;
    }
    let mut fields = Vec::new();
    loop {
        let name = text(bytes)?;
        if name.is_empty() {
            return (take::<1>(bytes)? == [9]).then_some(AmfValue::Object(fields));
        }
        fields.push((name, value(bytes, depth + 1, left)?));
    }
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(take(bytes)?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// Writes values one behind the other.
pub fn written(values: &[AmfValue]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        write(value, &mut out);
    }
    out
}

fn write(value: &AmfValue, out: &mut Vec<u8>) {
    match value {
        AmfValue::Number(number) => {
            out.push(0);
            out.extend(number.to_be_bytes());
        }
        AmfValue::Flag(flag) => out.extend([1, u8::from(*flag)]),
        AmfValue::Text(text) => {
            out.push(2);
            write_text(text, out);
        }
        AmfValue::Object(fields) => {
            out.push(3);
            for (name, field) in fields {
                write_text(name, out);
                write(field, out);
            }
            out.extend([0, 0, 9]);
        }
        AmfValue::Null => out.push(5),
    }
}

/// Only texts of this program are written, which are short.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).unwrap_or_default();
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes().get(..usize::from(length)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_objects_in_objects_end_somewhere() {
        let object = AmfValue::Object(vec![
            ("app".to_owned(), AmfValue::Text("live".to_owned())),
            ("ok".to_owned(), AmfValue::Flag(true)),
        ]);
        let values = [AmfValue::Text("connect".to_owned()), AmfValue::Number(1.0), AmfValue::Null, object];
        let read = read_values(&written(&values));
        assert_eq!(read, values);
        assert_eq!(read[3].field("app").and_then(AmfValue::text), Some("live"));
        let deep = [3, 0, 1, b'a'].repeat(100_000);
        assert_eq!(read_values(&deep), []);
        assert_eq!(read_values(&[5; 10_000]).len(), MOST);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(0_u8..12, 0..300)) {
            read_values(&bytes);
        }
    }
}
