//! The program's own log, on standard error.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::settings::Settings;

/// What is not logged unless it is asked for by name: the publisher says itself, once, what the connection to NATS does.
const QUIET: &str = "async_nats=off";

/// Starts logging.
///
/// # Errors
/// The filter cannot be read.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.log)).with_context(|| {
        format!(
            "AUTHLOG_LOG is {:?}, but it should be a level or a filter, such as info or authlog=debug,warn",
            settings.log
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if settings.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
    Ok(())
}
