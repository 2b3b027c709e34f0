//! Reading the log ahead of those who publish it.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{EventLog, LogFilter, LoggedEvent, StoreError};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Events on a page.
pub(super) const PAGE: u32 = 500;

/// Pages that wait to be published: the store is read while the stream stores.
const AHEAD: usize = 2;

/// How often the log is looked at when its end was reached. It is part of the delay between an answer to a client and
/// the event on the stream.
const IDLE: Duration = Duration::from_millis(10);

/// The log, page by page, for as long as this is held.
pub(super) struct Pages {
    pages: mpsc::Receiver<Result<Vec<LoggedEvent>, StoreError>>,
    _reader: AbortOnDropHandle<()>,
}

impl Pages {
    /// The pages after the place `after`.
    pub(super) fn after(after: u64, log: Arc<dyn EventLog>) -> Self {
        let (sender, pages) = mpsc::channel(AHEAD);
        let reader = tokio::spawn(read(log, after, sender));
        Self {
            pages,
            _reader: AbortOnDropHandle::new(reader),
        }
    }

    /// Waits for the next page, which is never empty; `None` after an error.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<LoggedEvent>, StoreError>> {
        self.pages.recv().await
    }
}

async fn read(
    log: Arc<dyn EventLog>,
    mut reached: u64,
    pages: mpsc::Sender<Result<Vec<LoggedEvent>, StoreError>>,
) {
    let everything = LogFilter::default();
    loop {
        let page = log.read_log(reached, PAGE, &everything).await;
        match &page {
            Ok(events) => match events.last() {
                Some(last) => reached = last.log_index,
                None => {
                    tokio::time::sleep(IDLE).await;
                    continue;
                }
            },
            Err(_) => {
                let _ = pages.send(page).await;
                return;
            }
        }
        if pages.send(page).await.is_err() {
            return;
        }
    }
}
