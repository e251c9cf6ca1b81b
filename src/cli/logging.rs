//! Log lines to stderr, and their number as a metric. Does not decide what is worth a line; the filter does.
//!
//! One event is always one line without terminal commands, whatever its values hold: text for people, JSON for programs, and either for the
//! journal. An event's name is the same from version to version, even if its words change: `docs/logs.md` lists all of them. Events of
//! libraries have none.

#[cfg(test)]
mod reference;

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

use prometheus::{IntCounterVec, Opts, Registry};
use serde::ser::SerializeMap as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::config::LogFormat;
use crate::archive::escape;

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("log events cannot be counted")]
    Metric(#[from] prometheus::Error),
    #[error("logging was begun twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins logging to stderr, counting what passes the filter in `registry`. Once in a process.
pub fn init(filter: &str, format: LogFormat, registry: &Registry) -> Result<(), LoggingError> {
    let journal = std::env::var("JOURNAL_STREAM").ok();
    let lines = LineFormat::for_stderr(format, journal.as_deref());
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false).event_format(lines);
    let counter = LogCounter::new(registry)?;
    tracing_subscriber::registry().with(lines).with(counter).with(EnvFilter::try_new(filter)?).try_init()?;
    Ok(())
}

/// Counts log events into `log_count_total{level,module,function}`.
///
/// `function` is the event's own name, `tracing::info!(name: "open", ..)`, and empty for an event without one. It is part
/// of the program text, never data, so that the number of series stays bounded.
#[derive(Debug)]
pub struct LogCounter {
    count: IntCounterVec,
}

impl LogCounter {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new("log_count_total", "Log events by level, module and function");
        let count = IntCounterVec::new(options, &["level", "module", "function"])?;
        registry.register(Box::new(count.clone()))?;
        Ok(Self { count })
    }
}

impl<S: Subscriber> Layer<S> for LogCounter {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let name = name_of(metadata).unwrap_or("");
        let labels = [metadata.level().as_str(), metadata.module_path().unwrap_or(""), name];
        if let Ok(counter) = self.count.get_metric_with_label_values(&labels) {
            counter.inc();
        }
    }
}

/// Fields that every line has in JSON; a field of an event that is called the same gets a `_` behind its name.
const OWN: [&str; 5] = ["timestamp", "level", "event", "message", "target"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineFormat {
    pub(super) format: LogFormat,
    /// Whether the journal reads: it keeps the time itself and takes the level as `<N>` in front.
    pub(super) journal: bool,
    pub(super) colour: bool,
}

impl LineFormat {
    /// As stderr wants them.
    pub(super) fn for_stderr(format: LogFormat, journal_stream: Option<&str>) -> Self {
        let stderr = std::io::stderr();
        let journal = journal_stream.is_some_and(|named| is_stream(named, &stderr));
        Self {
            format,
            journal,
            colour: stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        }
    }
}

/// Whether this descriptor is the one that the journal named: who redirects it somewhere else still has the variable.
fn is_stream(named: &str, fd: impl rustix::fd::AsFd) -> bool {
    let stat = rustix::fs::fstat(fd).ok();
    stat.is_some_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The name that an event was given; those of libraries are called after their place in the program text.
pub(super) fn name_of(metadata: &Metadata<'static>) -> Option<&'static str> {
    Some(metadata.name()).filter(|name| !name.contains(' '))
}

/// As syslog numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if self.journal {
            write!(writer, "<{}>", priority(*event.metadata().level()))?;
        }
        let line = match self.format {
            LogFormat::Text => self.text(event.metadata(), &fields)?,
            LogFormat::Json => json(event.metadata(), &fields).map_err(|_| fmt::Error)?,
        };
        writeln!(writer, "{line}")
    }
}

impl LineFormat {
    /// `TIME LEVEL target event: message field=value …`
    fn text(self, metadata: &Metadata<'static>, fields: &Fields) -> Result<String, fmt::Error> {
        let mut line = String::with_capacity(256);
        let (dim, plain) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        if !self.journal {
            let strong = match *metadata.level() {
                _ if !self.colour => "",
                Level::ERROR => "\x1b[31m",
                Level::WARN => "\x1b[33m",
                Level::INFO => "\x1b[32m",
                Level::DEBUG => "\x1b[34m",
                Level::TRACE => "\x1b[35m",
            };
            write!(line, "{dim}{}{plain} {strong}{:>5}{plain} ", now(), metadata.level().as_str())?;
        }
        write!(line, "{dim}{}", escape::words(fields.target(metadata)))?;
        if let Some(name) = name_of(metadata) {
            write!(line, " {name}")?;
        }
        write!(line, ":{plain}")?;
        if let Some(message) = &fields.message {
            write!(line, " {}", escape::words(message))?;
        }
        for (name, value) in &fields.others {
            let value = match value {
                // Quoted, to show where it ends.
                Written { value: Value::String(text), quoted: true } => format!("{text:?}"),
                Written { value: Value::String(text), .. } => text.clone(),
                Written { value, .. } => value.to_string(),
            };
            write!(line, " {dim}{name}={plain}{}", escape::words(&value))?;
        }
        Ok(line)
    }
}

fn json(metadata: &Metadata<'static>, fields: &Fields) -> serde_json::Result<String> {
    use serde::Serializer as _;
    let mut bytes = Vec::with_capacity(256);
    let mut to = serde_json::Serializer::new(&mut bytes);
    let mut map = to.serialize_map(None)?;
    map.serialize_entry("timestamp", &now())?;
    map.serialize_entry("level", metadata.level().as_str())?;
    if let Some(name) = name_of(metadata) {
        map.serialize_entry("event", name)?;
    }
    if let Some(message) = &fields.message {
        map.serialize_entry("message", message)?;
    }
    map.serialize_entry("target", fields.target(metadata))?;
    for (name, written) in &fields.others {
        if OWN.contains(name) {
            map.serialize_entry(&format!("{name}_"), &written.value)?;
        } else {
            map.serialize_entry(name, &written.value)?;
        }
    }
    map.end()?;
    // serde_json writes UTF-8.
    Ok(escape::json(&String::from_utf8_lossy(&bytes)).into_owned())
}

/// A value, and whether it was text to begin with.
#[derive(Debug)]
struct Written {
    value: Value,
    quoted: bool,
}

/// The fields of one event, in the order of the program text.
#[derive(Debug, Default)]
struct Fields {
    message: Option<String>,
    others: Vec<(&'static str, Written)>,
    /// Of what libraries log by the older `log` crate, which is handed on with the place as fields.
    log_target: Option<String>,
}

impl Fields {
    fn target<'f>(&'f self, metadata: &'f Metadata<'static>) -> &'f str {
        self.log_target.as_deref().unwrap_or_else(|| metadata.target())
    }

    fn add(&mut self, field: &Field, value: Value, quoted: bool) {
        let text = |any: &Value| any.as_str().map_or_else(|| any.to_string(), str::to_owned);
        match field.name() {
            "message" => self.message = Some(text(&value)),
            "log.target" => self.log_target = Some(text(&value)),
            name if name.starts_with("log.") => {}
            // A keyword of Rust as a field's name, such as r#type.
            name => self.others.push((name.trim_start_matches("r#"), Written { value, quoted })),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into(), false);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into(), false);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into(), false);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        let value = u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from);
        self.add(field, value, false);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into(), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into(), true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tracing_subscriber::fmt::MakeWriter;

    #[test]
    fn events_that_pass_the_filter_are_counted_by_level_module_and_name() {
        let registry = Registry::new();
        let counter = LogCounter::new(&registry).unwrap();
        let count = counter.count.clone();
        let subscriber = tracing_subscriber::registry().with(counter).with(EnvFilter::new("info"));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("one");
            tracing::warn!(name: "open", file = "x", "two");
            tracing::warn!(name: "open", file = "y", "three");
            tracing::debug!("not logged");
        });
        let module = module_path!();
        assert_eq!(count.with_label_values(&["INFO", module, ""]).get(), 1);
        assert_eq!(count.with_label_values(&["WARN", module, "open"]).get(), 2);
        assert_eq!(count.with_label_values(&["DEBUG", module, ""]).get(), 0);
        assert_eq!(registry.gather().first().map(prometheus::proto::MetricFamily::name), Some("log_count_total"));
    }

    #[test]
    fn a_name_that_is_taken_is_an_error() {
        let registry = Registry::new();
        let _first = LogCounter::new(&registry).unwrap();
        assert!(LogCounter::new(&registry).is_err());
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Buffer {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    const TEXT: LineFormat = LineFormat { format: LogFormat::Text, journal: false, colour: false };
    const JSON: LineFormat = LineFormat { format: LogFormat::Json, ..TEXT };

    fn written(lines: LineFormat, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(buffer.clone()).event_format(lines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(buffer.0.lock().clone()).unwrap()
    }

    fn migrated() {
        tracing::info!(name: "index_migrated", from = 3, file = "a b", "brought up");
    }

    #[test]
    fn json_tells_the_events_name_and_the_time_to_the_microsecond() {
        let line: Value = serde_json::from_str(&written(JSON, migrated)).unwrap();
        let time = line["timestamp"].as_str().unwrap();
        assert_eq!((time.len(), &time[10..11], &time[19..20], &time[26..]), (27, "T", ".", "Z"), "{time}");
        let expected = serde_json::json!({
            "timestamp": time, "level": "INFO", "event": "index_migrated", "message": "brought up",
            "target": module_path!(), "from": 3, "file": "a b",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn text_tells_the_same_in_short() {
        let line = written(TEXT, migrated);
        let (time, rest) = line.split_once("  INFO ").unwrap();
        assert_eq!(time.len(), 27, "{line}");
        assert_eq!(rest, format!("{} index_migrated: brought up from=3 file=\"a b\"\n", module_path!()));
    }

    #[test]
    fn the_journal_keeps_the_time_itself_and_is_told_the_level_in_front() {
        let text = written(LineFormat { journal: true, ..TEXT }, migrated);
        assert_eq!(text, format!("<6>{} index_migrated: brought up from=3 file=\"a b\"\n", module_path!()));
        let json = written(LineFormat { journal: true, ..JSON }, || tracing::error!(name: "x", "y"));
        assert!(json.starts_with("<3>{\"timestamp\":"), "{json}");
    }

    #[test]
    fn the_journal_is_known_by_its_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        assert!(is_stream(&format!("{}:{}", stat.st_dev, stat.st_ino), &file));
        for wrong in ["", "8:1", &format!("{}:{}", stat.st_dev, stat.st_ino + 1)] {
            assert!(!is_stream(wrong, &file), "{wrong}");
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_a_value_holds() {
        let hostile = "a\nlevel=ERROR \x1b[2J\u{9b}2J\u{202e}\u{2028}\t";
        for lines in [TEXT, JSON, LineFormat { journal: true, ..TEXT }] {
            let line = written(lines, || tracing::warn!(name: "x", path = %hostile, quoted = hostile, "{hostile}"));
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(escape::steers), "{line:?}");
        }
    }

    #[test]
    fn fields_that_are_called_like_ours_do_not_take_their_place() {
        let line = written(JSON, || tracing::info!(name: "x", event = 1, level = 2, "y"));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["event"], &line["event_"]), (&"x".into(), &1.into()));
        assert_eq!((&line["level"], &line["level_"]), (&"INFO".into(), &2.into()));
    }

    #[test]
    fn events_without_a_name_tell_none() {
        let line = written(JSON, || tracing::info!("y"));
        assert!(!line.contains("\"event\""), "{line}");
        assert!(written(TEXT, || tracing::info!("y")).ends_with(&format!("{}: y\n", module_path!())));
    }
}
