//! Attribute lists: `NAME=VALUE,NAME="VALUE"`, where commas within quotes separate nothing (RFC 8216, 4.2).

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
