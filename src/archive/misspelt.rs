//! What was meant by a name that is not here: a slip of one letter is common, and what it protects is then not protected.

/// The first of these names that differs from the one that was asked for by upper and lower case alone, or else by one letter, or two that were swapped.
pub fn meant<'n>(asked: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let others: Vec<&str> = known.into_iter().filter(|name| *name != asked).collect();
    let is_same = |name: &&&str| name.to_lowercase() == asked.to_lowercase();
    others.iter().find(is_same).or_else(|| others.iter().find(|name| differ_by_one(name, asked))).copied()
}

/// Whether one letter was changed, left out or added, or two that stand beside each other were swapped.
fn differ_by_one(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    let (of_one, of_other) = (one.get(1..), other.get(1..));
    let is_swapped = match (one, other) {
        ([a, b, rest @ ..], [c, d, others @ ..]) => a == d && b == c && rest == others,
        _ => false,
    };
    is_swapped || of_one.is_some() && of_one == of_other || of_one == Some(other) || of_other == Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_one_letter_is_found_and_nothing_further_away() {
        let found = |text: &str| meant(text, ["a/source", "c/480p", "c/source"]);
        for slip in ["c/sorce", "c/soource", "c/sourcf", "C/source", "C/SOURCE", "cc/source", "c/sources", "c/soruce"] {
            assert_eq!(found(slip), Some("c/source"), "{slip}");
        }
        for far in ["c/srce", "c/uosrce", "other/source", "c/160p", "x/y"] {
            assert_eq!(found(far), None, "{far}");
        }
    }
}
