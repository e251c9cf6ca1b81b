//! Writes decimal digits of fixed width: names and playlists are mostly made of them, tens of thousands at a time.

const PAIRS: &str = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
                     5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

fn pair(number: u32) -> &'static str {
    let at = usize::try_from(number % 100).unwrap_or_default() * 2;
    PAIRS.get(at..at + 2).unwrap_or("??")
}

/// The last two digits of a number.
pub(super) fn push_two(text: &mut String, number: u32) {
    text.push_str(pair(number));
}

/// A point and the first `count` digits of so many microseconds; nothing at all if that is 0.
pub(super) fn push_fraction(text: &mut String, us: u32, count: u8) {
    if count == 0 {
        return;
    }
    text.push('.');
    let pairs = [pair(us / 10_000), pair(us / 100), pair(us)];
    for (at, pair) in (0_u8..).step_by(2).zip(pairs) {
        match count.saturating_sub(at) {
            0 => return,
            1 => text.push_str(pair.get(..1).unwrap_or_default()),
            _ => text.push_str(pair),
        }
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
