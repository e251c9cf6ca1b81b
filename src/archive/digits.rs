//! Writes decimal digits of fixed width: names and playlists are mostly made of them, tens of thousands at a time.

/// Every number of three digits.
const TRIPLES: &str = {
    const BYTES: [u8; 3_000] = {
        let mut bytes = [b'0'; 3_000];
        let (mut at, mut number) = (0, 0_u16);
        while number < 1_000 {
            bytes[at] += (number / 100).to_le_bytes()[0];
            bytes[at + 1] += (number / 10 % 10).to_le_bytes()[0];
            bytes[at + 2] += (number % 10).to_le_bytes()[0];
            (at, number) = (at + 3, number + 1);
        }
        bytes
    };
    match str::from_utf8(&BYTES) {
        Ok(digits) => digits,
        Err(_) => "",
    }
};

/// The digits `from..to` of a number's last three.
fn digits(number: u32, from: usize, to: usize) -> &'static str {
    let at = usize::try_from(number % 1_000).unwrap_or_default() * 3;
    TRIPLES.get(at + from..at + to).unwrap_or("?")
}

/// The last two digits of a number.
pub(crate) fn push_two(text: &mut String, number: u32) {
    text.push_str(digits(number % 100, 1, 3));
}

/// A point and the first `count` digits of so many microseconds, of which there are six; nothing at all if that is 0.
pub(crate) fn push_fraction(text: &mut String, us: u32, count: u8) {
    let count = usize::from(count.min(6));
    if count == 0 {
        return;
    }
    text.push('.');
    text.push_str(digits(us / 1_000, 0, count.min(3)));
    if count > 3 {
        text.push_str(digits(us, 0, count - 3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_those_of_the_number(us in 0..1_000_000_u32, count in 0..=6_u8, two in 0..100_u32) {
            let mut text = String::new();
            push_two(&mut text, two);
            push_fraction(&mut text, us, count);
            let all = format!("{us:06}");
            let point = if count == 0 { "" } else { "." };
            prop_assert_eq!(text, format!("{two:02}{point}{}", &all[..usize::from(count)]));
        }
    }
}
