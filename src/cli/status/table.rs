//! What a screen is made of: words that have a tone, and columns beneath each other.

use console::{Alignment, Style, measure_text_width, pad_str};

use crate::archive::escape::words;

/// The widest column but the last: one long name must not push everything else from the screen.
const WIDEST: usize = 32;

/// What colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Title,
    Faint,
    Good,
    Busy,
    Bad,
}

/// Makes words of a tone, in colour or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColourWriter {
    pub(super) colour: bool,
}

impl ColourWriter {
    /// These words, which may come from anywhere.
    pub(super) fn words(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            _ if text.is_empty() => return String::new(),
            Tone::Plain => return words(text).into_owned(),
            Tone::Title => Style::new().bold(),
            Tone::Faint => Style::new().dim(),
            Tone::Good => Style::new().green(),
            Tone::Busy => Style::new().cyan(),
            Tone::Bad => Style::new().red().bold(),
        };
        style.apply_to(words(text)).force_styling(self.colour).to_string()
    }
}

#[derive(Debug)]
pub(super) struct TextTable {
    /// Which columns are numbers, and stand at the right.
    numbers: &'static [usize],
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(super) fn new(paint: ColourWriter, titles: &[&str], numbers: &'static [usize]) -> Self {
        let titles = titles.iter().map(|title| paint.words(Tone::Faint, title)).collect();
        Self { numbers, rows: vec![titles] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn lines(self) -> Vec<String> {
        if self.rows.len() < 2 {
            return Vec::new();
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0).min(WIDEST)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let side = if self.numbers.contains(&column) { Alignment::Right } else { Alignment::Left };
                let padded = match widths.get(column) {
                    Some(width) if column + 1 < columns => pad_str(cell, *width, side, Some("…")),
                    _ => cell.into(),
                };
                line.push_str(if column > 0 { "  " } else { "" });
                line.push_str(&padded);
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let loud = ColourWriter { colour: true }.words(Tone::Bad, "a\u{7}b");
        assert!(loud.contains("a\\x07b") && loud.starts_with('\u{1b}') && loud.ends_with("\u{1b}[0m"), "{loud:?}");
        assert_eq!(ColourWriter { colour: false }.words(Tone::Bad, "a\u{7}b"), "a\\x07b");
    }

    #[test]
    fn columns_stand_beneath_each_other_also_in_colour() {
        for colour in [false, true] {
            let paint = ColourWriter { colour };
            let mut table = TextTable::new(paint, &["name", "size", ""], &[1]);
            table.row([paint.words(Tone::Bad, "a"), "10".to_owned(), "all of it".to_owned()]);
            table.row([paint.words(Tone::Plain, &"x".repeat(100)), "9".to_owned(), String::new()]);
            let lines = table.lines();
            let plain: Vec<_> = lines.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect();
            let name = |text: &str| format!("{text:<32}");
            let long = format!("{}…", "x".repeat(31));
            assert_eq!(plain, [name("name") + "  size", name("a") + "    10  all of it", name(&long) + "     9"]);
        }
    }
}
