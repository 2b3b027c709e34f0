//! Settings of the log lines on standard error.

use super::declare::settings;
use super::format::Format;
use super::sources::Sources;

settings! {
    /// What is logged, and how.
    pub(crate) struct Logging in "Logging settings" {
        /// What to log: a level or a filter, as in RUST_LOG
        log: String = FILTER.default("info"),
        /// Format of log lines: text or json
        log_format: LogFormat = FORMAT.default("text"),
    }
}

/// How a log line is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors: one JSON object per line.
    Json,
}

/// Any text: the filter is parsed when logging starts.
const FILTER: Format<String> = Format::new("FILTER", "a level or a filter", |text| {
    Some(text.to_owned())
});

const FORMAT: Format<LogFormat> = Format::new("FORMAT", "text or json", |text| match text {
    "text" => Some(LogFormat::Text),
    "json" => Some(LogFormat::Json),
    _ => None,
});

impl Logging {
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        Self::read(sources)
    }
}
