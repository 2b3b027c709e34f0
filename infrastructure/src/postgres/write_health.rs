//! The check that the database accepts writes.

use std::sync::Arc;

use authlog_application::ports::{AppendError, StoreError};
use sqlx::Executor as _;

use super::PostgresStore;
use super::connections::Connections;
use crate::write_health::{WriteAttempt, WriteHealth};

/// Tests what an append needs, and leaves nothing behind: the locks, room for a page on the disk, and a commit, which a
/// synchronous standby has to confirm. Several statements in one text are one transaction.
///
/// The row fills a page, so that each one is added at the end of the table, like an event. Vacuum frees the pages.
const PROBE: &str = "
    LOCK TABLE events, accounts, sessions IN ROW EXCLUSIVE MODE;
    INSERT INTO write_probe (filler) VALUES (repeat('x', 8000));
    DELETE FROM write_probe";

impl PostgresStore {
    /// Runs an append, and records whether the database could execute it.
    pub(super) async fn monitor_append(
        &self,
        append: impl Future<Output = Result<(), AppendError>>,
    ) -> Result<(), AppendError> {
        let attempt = self.writes.begin();
        let appended = append.await;
        match &appended {
            Ok(()) => {
                self.signals.has_appended();
                attempt.succeeded();
            }
            Err(AppendError::Store(error)) => note_failure(attempt, error),
            // The database executed the statement, but that says little about its disk.
            Err(
                AppendError::Conflict
                | AppendError::IdentifierTaken(_)
                | AppendError::AccountErased
                | AppendError::LastAdministrator
                | AppendError::PasskeyTaken
                | AppendError::CodeUsed,
            ) => {}
        }
        appended
    }

    /// Runs another write, and records whether the database could execute it.
    pub(super) async fn monitor_write<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let attempt = self.writes.begin();
        let written = write.await;
        match &written {
            Ok(_) => attempt.succeeded(),
            Err(error) => note_failure(attempt, error),
        }
        written
    }

    /// Runs a step of a write, and records only a failure. A success says little: a sequence draws numbers even if the
    /// disk has no room for a row, so a registration that fails would count as a success as well.
    pub(super) async fn monitor_step<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let attempt = self.writes.begin();
        step.await.inspect_err(|error| note_failure(attempt, error))
    }

    /// Checks that writes work.
    pub(super) async fn check_writes(&self) -> Result<(), StoreError> {
        self.writes
            .check(|| probe(Arc::clone(&self.connections), Arc::clone(&self.writes)))
            .await
    }
}

async fn probe(connections: Arc<Connections>, writes: Arc<WriteHealth>) {
    let attempt = writes.begin();
    let probed = connections.ask_once(async { connections.pool().execute(PROBE).await });
    match probed.await {
        Ok(_) => attempt.succeeded(),
        Err(error) => note_failure(attempt, &error),
    }
}

fn note_failure(attempt: WriteAttempt, error: &StoreError) {
    match error {
        StoreError::Unavailable(_) => attempt.failed(error),
        // One row cannot be read; the database works.
        StoreError::Unreadable(_) => {}
    }
}
