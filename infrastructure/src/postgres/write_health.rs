//! Whether the database takes writes.

use std::sync::Arc;

use authlog_application::ports::{AppendError, StoreError};
use sqlx::Executor as _;

use super::PostgresStore;
use super::connections::Connections;
use crate::write_health::{WriteAttempt, WriteHealth};

/// What an append needs, without leaving anything behind: locks that it can have, a page that the disk has room for, and a
/// commit that the standby confirms where the database waits for one. Several statements in one text are one transaction.
///
/// The row fills a page, so that one after the other is added at the end of the table, as events are. Vacuum gives them back.
const PROBE: &str = "
    LOCK TABLE events, accounts, sessions IN ROW EXCLUSIVE MODE;
    INSERT INTO write_probe (filler) VALUES (repeat('x', 8000));
    DELETE FROM write_probe";

impl PostgresStore {
    /// Appends by `append`, and notes whether the database could do it.
    pub(super) async fn noted(
        &self,
        append: impl Future<Output = Result<(), AppendError>>,
    ) -> Result<(), AppendError> {
        let attempt = self.writes.begin();
        let appended = append.await;
        match &appended {
            Ok(()) => attempt.succeeded(),
            Err(AppendError::Store(error)) => note_failure(attempt, error),
            // The database did what it was asked for. That says little about its disk.
            Err(
                AppendError::Conflict
                | AppendError::IdentifierTaken(_)
                | AppendError::AccountErased
                | AppendError::LastAdministrator,
            ) => {}
        }
        appended
    }

    /// Writes what is no append by `write`, and notes whether the database could do it.
    pub(super) async fn noted_write<T>(
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

    /// Does `step` of a write, and notes if the database could not do it. That it could says little: a number is drawn from a
    /// sequence while the disk has no room for a row, and each registration that fails would count as a success as well.
    pub(super) async fn noted_if_failed<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let attempt = self.writes.begin();
        step.await.inspect_err(|error| note_failure(attempt, error))
    }

    /// Makes sure that writes work.
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
        // What cannot be read is one row, not the whole database.
        StoreError::Unreadable(_) => {}
    }
}
