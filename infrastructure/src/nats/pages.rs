//! Reading the log ahead of the publisher.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{
    EventLog, LogCursor, LogFilter, LogPage, LoggedEvent, ReadOnError,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Events in a page.
pub(super) const PAGE: u32 = 500;

/// Pages that wait to be published, so that the store is read while the stream stores.
const AHEAD: usize = 2;

/// The interval at which the log is read after its end was reached. It is part of the delay between the response to a client
/// and the event on the stream.
const IDLE: Duration = Duration::from_millis(10);

/// The shortest of these intervals, if the node itself has added to the log.
const EARLIEST: Duration = Duration::from_millis(2);

/// The pages of the log. Reading stops when this is dropped.
pub(super) struct Pages {
    pages: mpsc::Receiver<Result<Vec<LoggedEvent>, ReadOnError>>,
    _reader: AbortOnDropHandle<()>,
}

impl Pages {
    /// The pages after `from`. Each page has to continue the history of the page before it (`docs/adr/0009`).
    pub(super) fn after(from: LogCursor, log: Arc<dyn EventLog>) -> Self {
        let (sender, pages) = mpsc::channel(AHEAD);
        let reader = tokio::spawn(read(log, from, sender));
        Self {
            pages,
            _reader: AbortOnDropHandle::new(reader),
        }
    }

    /// Waits for the next page, which is never empty; `None` after an error.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<LoggedEvent>, ReadOnError>> {
        self.pages.recv().await
    }
}

async fn read(
    log: Arc<dyn EventLog>,
    mut reached: LogCursor,
    pages: mpsc::Sender<Result<Vec<LoggedEvent>, ReadOnError>>,
) {
    let everything = LogFilter::default();
    let mut growth = log.growth();
    loop {
        let page = match log.read_on(reached, PAGE, &everything).await {
            Ok(LogPage { events, cursor }) => {
                reached = cursor;
                if events.is_empty() {
                    let read = Instant::now();
                    sleep_until(read + EARLIEST).await;
                    tokio::select! {
                        () = growth.wait() => {}
                        () = sleep_until(read + IDLE) => {}
                    }
                    continue;
                }
                Ok(events)
            }
            Err(error) => Err(error),
        };
        let failed = page.is_err();
        if pages.send(page).await.is_err() || failed {
            return;
        }
    }
}
