//! Removal of expired data.

use async_trait::async_trait;
use authlog_application::ports::{Housekeeping, LogMark, StoreError, SweptSessions};
use authlog_domain::{SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result as Answer, params};

use super::SqliteStore;
use super::erasure::remove_sessions;
use super::errors::{malformed, store_error};

#[async_trait]
impl Housekeeping for SqliteStore {
    async fn remove_expired_tokens(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.remove("DELETE FROM opaque_tokens WHERE expires_at <= ?", now)
            .await
    }

    async fn remove_unused_mail_budgets(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.remove("DELETE FROM mail_budgets WHERE used_until <= ?", now)
            .await
    }

    async fn remove_expired_device_authorizations(
        &self,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.remove(
            "DELETE FROM device_authorizations WHERE expires_at <= ?",
            now,
        )
        .await
    }

    async fn remove_ended_sessions(
        &self,
        ended_before: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Option<SweptSessions>, StoreError> {
        let after = after.map(|session| session.to_string()).unwrap_or_default();
        let read_after = after.clone();
        // Most batches have nothing to remove, and then cost the writer nothing.
        let batch = self
            .readers
            .read(move |connection| over_sessions(connection, ended_before, &read_after, limit))
            .await?;
        let Some((last, over)) = batch else {
            return Ok(None);
        };
        let removed = if over == 0 {
            0
        } else {
            let until = last.to_string();
            self.writer
                .write(move |connection| {
                    const DELETE: &str = "
                        DELETE FROM sessions WHERE session_id > ? AND session_id <= ?
                        AND min(ifnull(ended_at, expires_at), expires_at) <= ?";
                    connection
                        .prepare_cached(DELETE)
                        .and_then(|mut delete| {
                            delete.execute(params![after, until, ended_before.unix_millis()])
                        })
                        .map_err(store_error)
                })
                .await?
        };
        Ok(Some(SweptSessions {
            last,
            removed: removed as u64,
        }))
    }

    async fn continue_erasures(&self, limit: u32) -> Result<bool, StoreError> {
        self.writer
            .write(move |connection| continue_erasures(connection, limit).map_err(store_error))
            .await
    }

    async fn mark_log(&self, last: Option<LogMark>, keep: u32) -> Result<LogMark, StoreError> {
        let Some(LogMark(last)) = last else {
            return self.readers.read(newest_mark).await;
        };
        self.writer
            .write(move |connection| mark_log(connection, last, keep).map_err(store_error))
            .await
    }
}

fn mark_log(connection: &Connection, last: i64, keep: u32) -> Answer<LogMark> {
    const INSERT: &str = "
        INSERT INTO log_marks (number, position)
        SELECT ?1 + 1, (SELECT ifnull(max(position), 0) FROM events)
        WHERE ?1 = (SELECT max(number) FROM log_marks)";
    const FORGET: &str =
        "DELETE FROM log_marks WHERE number <= (SELECT max(number) FROM log_marks) - ?";
    connection.prepare_cached(INSERT)?.execute([last])?;
    connection.prepare_cached(FORGET)?.execute([keep])?;
    newest_mark(connection)
}

fn newest_mark(connection: &Connection) -> Answer<LogMark> {
    const SELECT: &str = "SELECT max(number) FROM log_marks";
    let number = connection
        .prepare_cached(SELECT)?
        .query_row([], |row| row.get(0))?;
    Ok(LogMark(number))
}

/// The last of the next sessions, and how many of them are over; `None` where there is none.
fn over_sessions(
    connection: &Connection,
    ended_before: Timestamp,
    after: &str,
    limit: u32,
) -> Answer<Option<(SessionId, i64)>> {
    const SELECT: &str = "
        SELECT max(session_id), count(*) FILTER (WHERE min(ifnull(ended_at, expires_at), expires_at) <= ?)
        FROM (SELECT * FROM sessions WHERE session_id > ? ORDER BY session_id LIMIT ?)";
    connection.prepare_cached(SELECT)?.query_row(
        params![ended_before.unix_millis(), after, limit],
        |row| {
            let last: Option<String> = row.get(0)?;
            let Some(last) = last else {
                return Ok(None);
            };
            let last = SessionId::parse(&last).ok_or_else(|| malformed(0, "it is no id"))?;
            Ok(Some((last, row.get(1)?)))
        },
    )
}

/// Continues one unfinished erasure, and returns whether there was one.
fn continue_erasures(connection: &Connection, limit: u32) -> Answer<bool> {
    const SELECT: &str = "SELECT user_id FROM unfinished_erasures LIMIT 1";
    const DELETE: &str = "DELETE FROM unfinished_erasures WHERE user_id = ?";
    let user: Option<String> = connection
        .prepare_cached(SELECT)?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(user) = user else {
        return Ok(false);
    };
    if remove_sessions(connection, &user, limit)?.sessions < limit as usize {
        connection.prepare_cached(DELETE)?.execute([&user])?;
    }
    Ok(true)
}

impl SqliteStore {
    async fn remove(&self, delete: &'static str, now: Timestamp) -> Result<u64, StoreError> {
        self.writer
            .write(move |connection| {
                connection
                    .prepare_cached(delete)
                    .and_then(|mut delete| delete.execute([now.unix_millis()]))
                    .map(|removed| removed as u64)
                    .map_err(store_error)
            })
            .await
    }
}
