//! What became of each file, as a line or as JSON, and how many there were of each.

use std::path::Path;

use serde::Serialize;

use super::start_time::Placement;
use crate::archive::escape::shown;
use crate::cli::out::stdout;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Linked,
    Copied,
    Moved,
    /// It would be imported, but for the dry run.
    Planned,
    AlreadyThere,
    /// A tombstone hides its content.
    Hidden,
    BeingWritten,
    Refused,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    file: String,
    outcome: Outcome,
    /// `CHANNEL/QUALITY/HOUR/NAME`, where it has one.
    path: Option<String>,
    start: Option<String>,
    duration: Option<f64>,
    kind: Option<&'static str>,
    start_from: Option<&'static str>,
    bytes: Option<u64>,
    /// Why it was not imported, why it is not `full`, why it was copied, or why the original is still there.
    note: Option<String>,
}

impl Line {
    pub fn new(file: &Path, outcome: Outcome, note: Option<String>) -> Self {
        let file = file.to_string_lossy().into_owned();
        Self { file, outcome, path: None, start: None, duration: None, kind: None, start_from: None, bytes: None, note }
    }

    pub fn placed(self, path: String, placement: &Placement, kind: &'static str, bytes: u64) -> Self {
        let (start, duration) = (placement.start.to_string(), placement.length.seconds());
        Self {
            path: Some(path),
            start: Some(start),
            duration: Some(duration),
            kind: Some(kind),
            start_from: Some(placement.from.as_str()),
            bytes: Some(bytes),
            ..self
        }
    }

    pub fn lies(self, path: String) -> Self {
        Self { path: Some(path), ..self }
    }

    fn text(&self, from: Option<&str>) -> String {
        let what = match self.outcome {
            Outcome::Linked => "linked as",
            Outcome::Copied => "copied to",
            Outcome::Moved => "moved to",
            Outcome::Planned => "would become",
            Outcome::AlreadyThere => "already there as",
            Outcome::Hidden => "not imported, its content is hidden by",
            Outcome::BeingWritten => "skipped, it is still being written",
            Outcome::Refused => "not imported",
        };
        let path = self.path.as_deref().map(|path| format!(" {}", shown(path))).unwrap_or_default();
        let notes: Vec<&str> = from.into_iter().chain(self.note.as_deref()).collect();
        let notes = match notes.as_slice() {
            [] => String::new(),
            notes if self.path.is_some() => format!(" ({})", notes.join("; ")),
            notes => format!(": {}", notes.join("; ")),
        };
        format!("{}: {what}{path}{notes}", shown(&self.file))
    }
}

#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    pub imported: usize,
    pub there: usize,
    pub being_written: usize,
    pub refused: usize,
}

impl Report {
    pub fn new(json: bool) -> Self {
        Self { json, imported: 0, there: 0, being_written: 0, refused: 0 }
    }

    pub fn add(&mut self, line: &Line, placement: Option<&Placement>) -> std::io::Result<()> {
        match line.outcome {
            Outcome::Linked | Outcome::Copied | Outcome::Moved | Outcome::Planned => self.imported += 1,
            Outcome::AlreadyThere | Outcome::Hidden => self.there += 1,
            Outcome::BeingWritten => self.being_written += 1,
            Outcome::Refused => self.refused += 1,
        }
        if self.json {
            return stdout().json(line);
        }
        let from = placement.map(|placement| placement.from.to_string());
        writeln!(stdout(), "{}", line.text(from.as_deref()))
    }

    pub fn summary(&self, is_dry: bool) -> String {
        let imported = if is_dry { "would be imported" } else { "imported" };
        let mut parts = vec![format!("{} {imported}", self.imported)];
        let others = [
            (self.there, "already there"),
            (self.being_written, "still being written"),
            (self.refused, "not imported"),
        ];
        parts.extend(others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        parts.join(", ")
    }
}
