//! Standard output and standard error of the verbs: the only way to print, and so the one place where what steers a terminal is escaped.
//!
//! 1. Each call prints one line, whatever the names in it hold; nothing that a terminal obeys comes through but colours that this program
//!    has set itself ([`LineOutput::painted`]).
//! 2. The reader may close the pipe early (`| head`): the rest is dropped, and work and exit code stay the same.
//!    Where printing fails otherwise (a full disk) the work is done likewise, and [`failure`] says at the end that it was not printed.
//!
//! Names that can be given back to a verb are to be [`escape`] before; what was forgotten is escaped here.

use std::fmt;
use std::io::{self, IsTerminal as _, StdoutLock, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::archive::escape;

/// Whether nothing more can be printed.
static GONE: AtomicBool = AtomicBool::new(false);
/// Why output failed, unless the reader closed the pipe.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Why standard output is not complete, if something went wrong with it.
pub fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

#[derive(Debug)]
pub struct LineOutput<'g, W: Write = StdoutLock<'static>> {
    to: W,
    gone: &'g AtomicBool,
}

/// Standard output, for this thread until it is dropped. Each line is written at once.
pub fn stdout() -> LineOutput<'static> {
    LineOutput { to: io::stdout().lock(), gone: &GONE }
}

/// Standard output as bytes, for what is no text.
pub fn raw_stdout() -> io::Stdout {
    io::stdout()
}

/// A line to standard error. A closed stderr is not a reason to end.
pub fn stderr_line(line: fmt::Arguments<'_>) {
    let text = format!("{}\n", escape::line(&line.to_string()));
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

/// A question on standard error, whose answer is to stand in the same line.
pub fn prompt(question: fmt::Arguments<'_>) -> io::Result<()> {
    let mut err = io::stderr();
    err.write_all(escape::line(&question.to_string()).as_bytes())?;
    err.flush()
}

impl LineOutput<'static> {
    /// Whether to print colours.
    pub fn is_in_colour(&self) -> bool {
        self.to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "`writeln!` and its callers treat it as any other stream")]
impl<W: Write> LineOutput<'_, W> {
    /// What `writeln!` calls: one line, however it ends.
    pub fn write_fmt(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        let text = line.to_string();
        self.put(&escape::line(text.strip_suffix('\n').unwrap_or(&text)));
        Ok(())
    }

    /// A line whose words were escaped before they were given a colour: colours come through.
    pub fn painted(&mut self, line: &str) -> io::Result<()> {
        self.put(&painted(line));
        Ok(())
    }

    /// A value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.put(&escape::json(&serde_json::to_string(value)?));
        Ok(())
    }

    /// A value as JSON in a line of its own, with this before and behind it: a piece of a document that is too long to be held.
    pub fn json_piece(&mut self, before: &str, value: &impl Serialize, behind: &str) -> io::Result<()> {
        self.put(&format!("{before}{}{behind}", escape::json(&serde_json::to_string(value)?)));
        Ok(())
    }

    /// Whether nothing more can be printed: who prints for ever is to end.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn put(&mut self, line: &str) {
        if !self.is_gone() {
            let done = self.to.write_all(line.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
            self.note(done);
        }
    }

    /// What goes wrong ends the printing and nothing else.
    fn note(&self, done: io::Result<()>) {
        let Err(error) = done else { return };
        self.gone.store(true, Ordering::Relaxed);
        if error.kind() != io::ErrorKind::BrokenPipe {
            // The first one counts.
            FAILURE.get_or_init(|| error.to_string());
        }
    }
}

/// The line with everything escaped but colours: `ESC [`, numbers, `m`.
pub fn painted(line: &str) -> String {
    let mut whole = String::with_capacity(line.len());
    let mut parts = line.split("\u{1b}[");
    whole.push_str(&escape::words(parts.next().unwrap_or_default()));
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(part.len());
        let is_colour = part.get(digits..).is_some_and(|rest| rest.starts_with('m'));
        whole.push_str(if is_colour { "\u{1b}[" } else { "\\x1b[" });
        whole.push_str(&escape::words(part));
    }
    whole
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::escape::steers;

    fn printed(print: impl FnOnce(&mut LineOutput<'_, &mut Vec<u8>>)) -> String {
        let (mut bytes, gone) = (Vec::new(), AtomicBool::new(false));
        print(&mut LineOutput { to: &mut bytes, gone: &gone });
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_a_name_holds_a_line_is_one_line_and_steers_nothing(name in any::<String>(), codes in "[\\x00-\\x1f\\x7f-\\x9f\\[;0-9mJ]{0,12}") {
            let name = format!("{name}{codes}");
            let all = [
                printed(|out| writeln!(out, "a {name}: {name}").unwrap()),
                printed(|out| writeln!(out, "{name}").unwrap()),
                printed(|out| out.json(&[&name]).unwrap()),
            ];
            for text in all {
                let text = text.strip_suffix('\n').unwrap();
                prop_assert!(!text.contains(|c| steers(c) && c != '\t'), "{text:?}");
            }
            let coloured = printed(|out| out.painted(&format!("\u{1b}[31m{}\u{1b}[0m", escape::words(&name))).unwrap());
            let inner = coloured.strip_prefix("\u{1b}[31m").unwrap().strip_suffix("\u{1b}[0m\n").unwrap();
            prop_assert!(!inner.contains(steers), "{inner:?}");
        }
    }

    #[test]
    fn of_what_was_forgotten_only_colours_come_through() {
        assert_eq!(
            painted("\u{1b}[1;31ma\u{1b}[2Jb\u{1b}]0;x\u{7}\n\u{1b}[0m"),
            "\u{1b}[1;31ma\\x1b[2Jb\\x1b]0;x\\x07\\n\u{1b}[0m"
        );
    }

    #[test]
    fn a_reader_that_has_enough_ends_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let gone = AtomicBool::new(false);
        let mut out = LineOutput { to: Closed, gone: &gone };
        writeln!(out, "a").unwrap();
        out.json(&1).unwrap();
        assert!(out.is_gone());
    }

    /// Who printed otherwise would print names as they are.
    #[test]
    fn no_verb_prints_but_by_this_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut directories, mut files) = (vec![root.join("cli")], vec![root.join("main.rs")]);
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        for file in files.iter().filter(|file| !file.ends_with("cli/out.rs")) {
            let text = std::fs::read_to_string(file).unwrap();
            let program = text.split("#[cfg(test)]").next().unwrap_or_default();
            for way in ["println!", "print!", "io::stdout()", "stdout().lock()", "stderr().lock()", "dbg!"] {
                assert!(!program.contains(way), "{} prints by {way}; print by `cli::out`", file.display());
            }
        }
    }
}
