//! Decimal numbers, and attribute lists: `NAME=VALUE,NAME="VALUE"`, where commas within quotes separate nothing (RFC 8216, 4.2).

/// The attributes of a tag, one after the other.
pub(super) struct Attributes<'t> {
    rest: &'t str,
}

impl<'t> Attributes<'t> {
    pub(super) const fn of(text: &'t str) -> Self {
        Self { rest: text }
    }

    /// The end is behind the closing quote, or before the next comma.
    fn value(&mut self) -> Result<&'t str, &'static str> {
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let (value, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
            self.rest = rest;
            return Ok(value);
        }
        let end = self.rest.find(',').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(value.trim())
    }
}

impl<'t> Iterator for Attributes<'t> {
    type Item = Result<(&'t str, &'t str), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_start_matches([',', ' ']);
        if self.rest.is_empty() {
            return None;
        }
        let Some((name, rest)) = self.rest.split_once('=') else {
            self.rest = "";
            return Some(Err("expected attributes such as NAME=VALUE"));
        };
        self.rest = rest;
        let value = self.value().inspect_err(|_| self.rest = "");
        Some(value.map(|value| (name.trim(), value)))
    }
}

/// A decimal number in millionths, to the nearest; half goes up.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !are_digits || whole.is_empty() && fraction.is_empty() || whole.len() > 10 {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut below = 0;
    let mut digits = fraction.bytes().map(|byte| i64::from(byte - b'0'));
    for _ in 0..6 {
        below = below * 10 + digits.next().unwrap_or_default();
    }
    let rounded = i64::from(digits.next().unwrap_or_default() >= 5);
    Some(whole * 1_000_000 + below + rounded)
}
