//! Erasing an account: the statements, and seeing to it that the files keep nothing of what was deleted.

use authlog_application::ports::StoreError;
use authlog_domain::{ResetId, UserId};
use rusqlite::{Connection, Result, params};

use super::rows::id;
use super::{SqliteStore, checkpoint};
use crate::store::Erasure;

/// Whether the account was erased.
pub(super) fn is_erased(connection: &Connection, user: UserId) -> Result<bool> {
    const SELECT: &str = "
        SELECT 1 FROM events INDEXED BY events_erasing WHERE event_type = 'UserErased' AND user_id = ?";
    connection
        .prepare_cached(SELECT)?
        .exists([user.to_string()])
}

/// Deletes all that is kept of an account beside its events.
pub(super) fn erase(connection: &Connection, erasure: &Erasure) -> Result<()> {
    const DELETE: [&str; 6] = [
        "DELETE FROM subject_keys WHERE user_id = ?",
        "DELETE FROM identifier_claims WHERE owner = ?",
        "DELETE FROM credentials WHERE user_id = ?",
        "DELETE FROM opaque_tokens WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = ?)",
        "DELETE FROM sessions WHERE user_id = ?",
        "DELETE FROM accounts WHERE user_id = ?",
    ];
    const DELETE_REQUEST: &str = "DELETE FROM reset_requests WHERE reset_id = ?";
    let user = erasure.user.to_string();
    for sql in DELETE {
        connection.prepare_cached(sql)?.execute([&user])?;
    }
    for reset in &erasure.resets {
        connection
            .prepare_cached(DELETE_REQUEST)?
            .execute([reset.to_string()])?;
    }
    Ok(())
}

/// Truncates the write-ahead log if anybody was ever erased: the program may have ended between an erasure and that.
pub(super) fn finish_interrupted(connection: &Connection) {
    const SELECT: &str =
        "SELECT 1 FROM events INDEXED BY events_erasing WHERE event_type = 'UserErased' LIMIT 1";
    let truncated = connection
        .prepare(SELECT)
        .and_then(|mut any| any.exists([]))
        .and_then(|any| {
            if any {
                checkpoint::truncate(connection)
            } else {
                Ok(())
            }
        });
    if let Err(error) = truncated {
        tracing::warn!(%error, "the write-ahead log could not be truncated");
    }
}

impl SqliteStore {
    /// The requests for a reset that were made under an identifier of the account.
    pub(super) async fn resets_about(
        &self,
        user: UserId,
    ) -> std::result::Result<Vec<ResetId>, StoreError> {
        let (claims, requests) = self
            .readers
            .read(move |connection| Ok((claims_of(connection, user)?, requests(connection)?)))
            .await?;
        Ok(self.vault.pepper.concerned(&claims, requests))
    }

    /// Truncates the write-ahead log, in which pages stand as they were before. What was deleted is overwritten with
    /// zeros in the database itself.
    ///
    /// Who reads for long keeps the log from being truncated: then that is for the next erasure, or the next opening.
    pub(super) async fn leave_nothing_in_the_log(&self) {
        let path = self.path.clone();
        let truncated =
            tokio::task::spawn_blocking(move || checkpoint::truncate_from_outside(&path)).await;
        match truncated {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::warn!(
                "somebody reads the database for long: what was erased stays in its write-ahead log until then"
            ),
            Ok(Err(error)) => {
                tracing::warn!(%error, "what was erased stays in the write-ahead log for now");
            }
            Err(error) => {
                tracing::error!(%error, "the write-ahead log could not be truncated");
            }
        }
    }
}

fn claims_of(connection: &Connection, user: UserId) -> Result<Vec<Vec<u8>>> {
    connection
        .prepare_cached("SELECT digest FROM identifier_claims WHERE owner = ?")?
        .query_map([user.to_string()], |row| row.get(0))?
        .collect()
}

fn requests(connection: &Connection) -> Result<Vec<(ResetId, String)>> {
    connection
        .prepare_cached("SELECT reset_id, identifier FROM reset_requests")?
        .query_map(params![], |row| {
            Ok((id(row, 0, ResetId::parse)?, row.get(1)?))
        })?
        .collect()
}
