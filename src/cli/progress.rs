//! Progress of work that lasts: a bar on a terminal, else a line on stderr now and then.
//!
//! Counts and prints; decides nothing. May be advanced from any number of threads at once. Nothing goes to stdout.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::archive::escape;

/// Time between two lines where there is no terminal: often enough to see life, seldom enough for a log.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Time between two looks of the bar on a terminal.
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);

/// The bar of a phase whose end is known, and of one whose end is not.
const BAR: &str = "{msg} {wide_bar} {human_pos} of {human_len} ({percent} %), {per_sec}, {eta} left";
const SPINNER: &str = "{spinner} {human_pos} {msg}, {per_sec}, {elapsed}";

pub struct Progress {
    out: Option<Mutex<Box<dyn Write + Send>>>,
    phase: Mutex<Option<Phase>>,
    done: AtomicU64,
    /// When the next line or frame is due, in milliseconds after `origin`.
    due: AtomicU64,
    origin: Instant,
}

struct Phase {
    what: String,
    total: Option<u64>,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn stderr() -> Self {
        let lines: Option<Box<dyn Write + Send>> =
            if std::io::stderr().is_terminal() { None } else { Some(Box::new(std::io::stderr())) };
        Self::with(lines)
    }

    #[cfg(test)]
    pub fn lines(out: impl Write + Send + 'static) -> Self {
        Self::with(Some(Box::new(out)))
    }

    fn with(out: Option<Box<dyn Write + Send>>) -> Self {
        let (done, due) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { out: out.map(Mutex::new), phase: Mutex::new(None), done, due, origin: Instant::now() }
    }

    /// Begins a phase: `what` is counted, such as "files", up to `total` if that is known. Ends the one before.
    pub fn start(&self, total: Option<u64>, what: &str) {
        self.finish();
        let bar = self.out.is_none().then(|| bar(total, what));
        self.done.store(0, Ordering::Relaxed);
        self.put(Some(Phase { what: what.to_owned(), total, since: Instant::now(), bar }));
        self.due.store(self.now().saturating_add(self.interval()), Ordering::Relaxed);
    }

    pub fn advance(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let (now, due) = (self.now(), self.due.load(Ordering::Relaxed));
        let next = now.saturating_add(self.interval());
        if now >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.print(done, false);
        }
    }

    pub fn finish(&self) {
        self.due.store(u64::MAX, Ordering::Relaxed);
        self.print(self.done.load(Ordering::Relaxed), true);
        if let Some(bar) = self.put(None).and_then(|phase| phase.bar) {
            bar.finish();
        }
    }

    fn put(&self, phase: Option<Phase>) -> Option<Phase> {
        std::mem::replace(&mut *self.phase.lock(), phase)
    }

    fn interval(&self) -> u64 {
        millis(if self.out.is_some() { BETWEEN_LINES } else { BETWEEN_FRAMES })
    }

    fn now(&self) -> u64 {
        millis(self.origin.elapsed())
    }

    fn print(&self, done: u64, over: bool) {
        let text = self.phase.lock().as_ref().and_then(|phase| {
            if let Some(bar) = &phase.bar {
                bar.set_position(done);
                return None;
            }
            Some(line(&phase.what, done, phase.total, phase.since.elapsed(), over))
        });
        if let (Some(text), Some(mut out)) = (text, self.out.as_ref().map(Mutex::lock)) {
            // Stderr may be closed; the work itself must go on.
            writeln!(out, "{}", escape::line(&text)).unwrap_or_default();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("done", &self.done).finish_non_exhaustive()
    }
}

fn bar(total: Option<u64>, what: &str) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), BAR),
        None => (ProgressBar::new_spinner(), SPINNER),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_message(escape::line(what).into_owned())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One line, as in `files: 1000 of 4000 (25 %), 500/s, 6s left`.
fn line(what: &str, done: u64, total: Option<u64>, elapsed: Duration, over: bool) -> String {
    let rate = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    if over {
        let seconds = Duration::from_millis(millis(elapsed));
        return format!("{what}: {done} in {} ({rate}/s)", humantime::format_duration(seconds));
    }
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{what}: {done}, {rate}/s");
    };
    let percent = u128::from(done) * 100 / u128::from(total);
    let left = (u128::from(total.saturating_sub(done)).saturating_mul(elapsed.as_millis()))
        .checked_div(u128::from(done))
        .and_then(|left| u64::try_from(left.div_ceil(1000)).ok())
        .map_or_else(String::new, |left| format!(", {} left", humantime::format_duration(Duration::from_secs(left))));
    format!("{what}: {done} of {total} ({percent} %), {rate}/s{left}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_tell_rate_and_time_remaining() {
        let seconds = Duration::from_secs;
        assert_eq!(line("files", 1000, Some(4000), seconds(2), false), "files: 1000 of 4000 (25 %), 500/s, 6s left");
        assert_eq!(line("files", 0, Some(4000), seconds(2), false), "files: 0 of 4000 (0 %), 0/s");
        assert_eq!(line("files", 10, None, seconds(2), false), "files: 10, 5/s");
        assert_eq!(line("files", 10, Some(0), seconds(0), false), "files: 10, 10000/s");
        assert_eq!(line("files", 10, Some(10), seconds(70), true), "files: 10 in 1m 10s (0/s)");
    }

    #[test]
    fn the_bars_can_be_drawn() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        let progress = Progress::with(None);
        progress.start(Some(3), "files");
        progress.advance(3);
        progress.start(None, "files");
        progress.finish();
    }

    #[test]
    fn extreme_counts_do_not_overflow() {
        let text = line("files", u64::MAX, Some(u64::MAX), Duration::MAX, false);
        assert!(text.contains("100 %"), "{text}");
        assert!(line("files", 1, Some(u64::MAX), Duration::MAX, false).starts_with("files: 1 of"));
    }

    #[test]
    fn threads_add_up_and_every_phase_ends_with_one_line() {
        let out = Shared::default();
        let progress = Progress::lines(out.clone());
        progress.start(Some(400), "files");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| progress.advance(1)));
            }
        });
        progress.start(None, "rows");
        progress.advance(7);
        progress.finish();
        drop(progress);
        let text = String::from_utf8(out.0.lock().clone()).unwrap();
        let starts: Vec<&str> = text.lines().filter_map(|line| line.split(" in ").next()).collect();
        assert_eq!(starts, ["files: 400", "rows: 7"]);
    }
}
