//! The program's own log, on standard error.

mod throttle;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::{LogFormat, Settings};
use throttle::Throttle;
use writer::LogWriter;

/// Targets that are silent unless the filter names them. The publisher logs each change of its connection to NATS once, so
/// the lines of the client library would repeat it.
const QUIET: &str = "async_nats=off";

/// How long the end of the program waits for its last lines to be written.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(500);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts logging.
///
/// # Errors
/// The filter cannot be read, or the operating system gives no thread or descriptor.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.logging.log)).with_context(|| {
        format!(
            "AUTHLOG_LOG is {:?}, but it should be a level or a filter, such as info or authlog=debug,warn",
            settings.logging.log
        )
    })?;
    let throttle = Throttle::default();
    let suppressed = throttle.clone();
    // A descriptor of its own: a write that hangs holds no lock that others wait for.
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let writer = LogWriter::start(stderr, move |lost| {
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "log lines were lost because the log could not be written"
            );
        }
        suppressed.report();
    })
    .context("the thread that writes the log cannot be started")?;
    let writer = WRITER.get_or_init(|| writer).clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // A line that cannot be formatted is no reason to write to standard error, which may hang.
        .log_internal_errors(false);
    let lines = if settings.logging.log_format == LogFormat::Json {
        lines.json().boxed()
    } else {
        lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed()
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(throttle)
        .with(lines)
        .init();
    // The usual hook writes to standard error and waits for it.
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// How many lines of the log were lost so far.
pub(crate) fn lost_lines() -> u64 {
    WRITER.get().map_or(0, LogWriter::lost)
}

/// Waits until the buffered lines are written, at most for [`LAST_LINES_WITHIN`].
pub(crate) fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES_WITHIN);
    }
}

/// Writes a last line to standard error: why the program ends. Waits at most for [`LAST_LINES_WITHIN`] once logging has
/// started.
pub(crate) fn write_last_line(reason: &str) {
    let line = format!("{reason}\n");
    match WRITER.get() {
        Some(mut writer) => {
            let _ = writer.write_all(line.as_bytes());
            flush();
        }
        None => _ = std::io::stderr().write_all(line.as_bytes()),
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        thread = thread.name(),
        location = panic.location().map(tracing::field::display),
        reason = panic.payload_as_str(),
        backtrace = backtrace.as_ref().map(tracing::field::display),
        "a thread panicked"
    );
}
