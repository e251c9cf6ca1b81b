//! Quantities as people read them, written one way everywhere: binary units, two units of time, the right plural.

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `512 B`, `39.50 KiB`, `1.00 GiB`.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub fn size(bytes: u64) -> String {
    let fits = |unit: &usize| bytes >> (10 * unit) < 1024;
    match (1..=UNITS.len()).find(fits).and_then(|unit| Some((unit, UNITS.get(unit - 1)?))) {
        Some((unit, name)) if bytes >= 1024 => format!("{:.2} {name}", bytes as f64 / (1_u64 << (10 * unit)) as f64),
        _ => format!("{bytes} B"),
    }
}

/// The two largest units: `3days 2m`, `45s`, `0s`. What is negative is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds for display; a cast to an integer saturates"
)]
pub fn length(seconds: f64) -> String {
    let text = humantime::format_duration(std::time::Duration::from_secs(seconds as u64)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A length with tenths below a minute, where `0s` would hide that something is missing: `8.5 s`, `3m 2s`.
pub fn exact_length(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.1} s") } else { length(seconds) }
}

/// `1 file`, `2 files`.
pub fn count(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_nothing_overflows() {
        let sizes = [0, 1023, 1024, 40_448, (1 << 20) - 1, 1 << 30, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.00 KiB", "39.50 KiB", "1024.00 KiB", "1.00 GiB", "16.00 EiB"]);
    }

    #[test]
    fn lengths_have_two_units_and_counts_their_plural() {
        assert_eq!([3.0 * 86_400.0 + 125.0, 45.9, 0.0, -7.0].map(length), ["3days 2m", "45s", "0s", "0s"]);
        assert_eq!([8.54, 182.0].map(exact_length), ["8.5 s", "3m 2s"]);
        assert_eq!([0, 1, 2].map(|number| count(number, "file")), ["0 files", "1 file", "2 files"]);
    }
}
