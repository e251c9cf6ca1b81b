//! Log lines to stderr, and their number as a metric. Does not decide what is worth a line; the filter does.

mod lines;
#[cfg(test)]
mod reference;

use prometheus::{IntCounterVec, Opts, Registry};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::config::LogFormat;
use lines::LineFormat;

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be read.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The metric's name is taken in the registry.
    #[error("log events cannot be counted")]
    Metric(#[from] prometheus::Error),
    /// Another subscriber is in place already.
    #[error("logging was begun twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins logging to stderr, counting what passes the filter in `registry`. Once in a process.
pub fn init(filter: &str, format: LogFormat, registry: &Registry) -> Result<(), LoggingError> {
    let journal = std::env::var("JOURNAL_STREAM").ok();
    let lines = LineFormat::for_stderr(format, journal.as_deref());
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false).event_format(lines);
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
    /// Registers the metric.
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
        let name = lines::name_of(metadata).unwrap_or("");
        let labels = [metadata.level().as_str(), metadata.module_path().unwrap_or(""), name];
        if let Ok(counter) = self.count.get_metric_with_label_values(&labels) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
