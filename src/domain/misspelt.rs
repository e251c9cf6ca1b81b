//! What was meant by a channel and quality that are not here: a slip of one letter is common, and what it protects is then not protected.

use super::Stream;

/// The first of these that differs from the one that was asked for by upper and lower case alone, or else by one letter.
pub fn meant<'s>(asked: &Stream, known: impl IntoIterator<Item = &'s Stream>) -> Option<&'s Stream> {
    let asked = asked.to_string();
    let others: Vec<(String, &Stream)> = known.into_iter().map(|stream| (stream.to_string(), stream)).collect();
    let find = |is_meant: &dyn Fn(&str) -> bool| {
        others.iter().find(|(text, _)| *text != asked && is_meant(text)).map(|(_, stream)| *stream)
    };
    find(&|text| text.to_lowercase() == asked.to_lowercase()).or_else(|| find(&|text| differ_by_one(text, &asked)))
}

/// Whether one letter was changed, left out or added.
fn differ_by_one(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    let (of_one, of_other) = (one.get(1..), other.get(1..));
    of_one.is_some() && of_one == of_other || of_one == Some(other) || of_other == Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_one_letter_is_found_and_nothing_further_away() {
        let known = ["a/source", "c/480p", "c/source"].map(|text| Stream::parse(text).unwrap());
        let found = |text: &str| meant(&Stream::parse(text).unwrap(), &known).map(Stream::to_string);
        for slip in ["c/sorce", "c/soource", "c/sourcf", "C/source", "C/SOURCE", "cc/source", "c/sources"] {
            assert_eq!(found(slip).as_deref(), Some("c/source"), "{slip}");
        }
        for far in ["c/srce", "c/uosrce", "other/source", "c/160p", "x/y"] {
            assert_eq!(found(far), None, "{far}");
        }
    }
}
