//! Erasing an account: the statements, and the removal of the deleted data from the files.

use std::path::Path;

use authlog_application::ports::StoreError;
use authlog_domain::{ResetId, UserId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result, params};

use super::logouts::queue_logouts_of;
use super::rows::id;
use super::{SqliteStore, checkpoint, traces};
use crate::store::Erasure;

/// Whether the account was erased.
pub(super) fn is_erased(connection: &Connection, user: UserId) -> Result<bool> {
    const SELECT: &str = "
        SELECT 1 FROM events INDEXED BY events_erasing WHERE event_type = 'UserErased' AND user_id = ?";
    connection
        .prepare_cached(SELECT)?
        .exists([user.to_string()])
}

/// Sessions that an erasure deletes in its own commit: all that most accounts have, and a few milliseconds of work. The
/// function `erase_account` of the other store has the same number.
const SESSIONS_AT_ONCE: u32 = 1000;

/// What was removed of an account.
#[derive(Clone, Copy, Default)]
pub(super) struct Removed {
    pub(super) sessions: usize,
    /// All rows that were deleted, sessions among them, or written to delete the rest.
    pub(super) rows: usize,
}

/// Deletes up to `limit` sessions of an account with their opaque tokens, and queues the logouts that this leads to.
///
/// Rows do not say whether a session ended with its parent or with an epoch. What ended with an earlier epoch than the last, or
/// more than an hour ago with its parent, was queued then; later ends were perhaps not read yet.
pub(super) fn remove_sessions(connection: &Connection, user: &str, limit: u32) -> Result<Removed> {
    const SELECT: &str = "
        SELECT s.session_id,
               s.ended_at IS NULL AND s.expires_at > unixepoch('subsec') * 1000
               AND s.epoch >= ifnull((SELECT a.session_epoch FROM accounts AS a WHERE a.user_id = ?1), 0) - 1
               AND NOT EXISTS (SELECT 1 FROM sessions AS p
                                WHERE p.session_id = s.parent AND p.ended_at < (unixepoch('subsec') - 3600) * 1000)
        FROM sessions AS s WHERE s.user_id = ?1 LIMIT ?2";
    const DELETE: [&str; 2] = [
        "DELETE FROM opaque_tokens WHERE session_id = ?",
        "DELETE FROM sessions WHERE session_id = ?",
    ];
    let sessions: Vec<(String, bool)> = connection
        .prepare_cached(SELECT)?
        .query_map(params![user, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    let live = sessions.iter().filter(|(_, is_live)| *is_live);
    let live: Vec<&str> = live.map(|(session, _)| session.as_str()).collect();
    let mut removed = Removed {
        sessions: sessions.len(),
        rows: queue_logouts_of(connection, &live, None)?,
    };
    for sql in DELETE {
        let mut delete = connection.prepare_cached(sql)?;
        for (session, _) in &sessions {
            removed.rows += delete.execute([session])?;
        }
    }
    Ok(removed)
}

/// Deletes all data of an account apart from its events, but at most [`SESSIONS_AT_ONCE`] of its sessions. Without the
/// account's row the other sessions grant nothing, and housekeeping removes them. Returns how many rows were written or
/// deleted.
pub(super) fn erase(connection: &Connection, erasure: &Erasure) -> Result<usize> {
    const UNFINISHED: &str = "INSERT OR IGNORE INTO unfinished_erasures (user_id) VALUES (?)";
    const DELETE: [&str; 7] = [
        "DELETE FROM second_factors WHERE user_id = ?",
        "DELETE FROM passkeys WHERE user_id = ?",
        "DELETE FROM recovery_codes WHERE user_id = ?",
        "DELETE FROM subject_keys WHERE user_id = ?",
        "DELETE FROM identifier_claims WHERE owner = ?",
        "DELETE FROM credentials WHERE user_id = ?",
        "DELETE FROM mail_queue WHERE user_id = ?",
    ];
    const DELETE_ACCOUNT: &str = "DELETE FROM accounts WHERE user_id = ?";
    const DELETE_REQUEST: &str = "DELETE FROM reset_requests WHERE reset_id = ?";
    let user = erasure.user.to_string();
    let Removed { sessions, mut rows } = remove_sessions(connection, &user, SESSIONS_AT_ONCE)?;
    if sessions == SESSIONS_AT_ONCE as usize {
        rows += connection.prepare_cached(UNFINISHED)?.execute([&user])?;
    }
    for sql in DELETE {
        rows += connection.prepare_cached(sql)?.execute([&user])?;
    }
    // A trigger marks the entry of the account in the account list as removed.
    rows += 2 * connection
        .prepare_cached(DELETE_ACCOUNT)?
        .execute([&user])?;
    for reset in &erasure.resets {
        rows += connection
            .prepare_cached(DELETE_REQUEST)?
            .execute([reset.to_string()])?;
    }
    Ok(rows)
}

/// Truncates the write-ahead log if an account was ever erased, because the program may have ended between an erasure
/// and the truncation.
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

    /// The byte strings that would reveal the account in the files: its personal data and its secrets.
    pub(super) async fn traces_of(
        &self,
        user: UserId,
    ) -> std::result::Result<Vec<Vec<u8>>, StoreError> {
        self.readers
            .read(move |connection| read_traces(connection, user))
            .await
    }

    /// Removes the `traces` of an erased account from the files. The write-ahead log, which holds older versions of
    /// pages, is truncated. If a copy was left behind in the database, the whole database is rewritten.
    ///
    /// A long read prevents the truncation. It is then left to the next erasure or the next opening.
    pub(super) async fn remove_traces(&self, traces: Vec<Vec<u8>>) {
        let path = self.path.clone();
        let _one_at_a_time = self.removing_traces.lock().await;
        let removed = tokio::task::spawn_blocking(move || remove_traces(&path, &traces)).await;
        match removed {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::warn!(
                "a long-running reader keeps erased data in the write-ahead log of the database until it ends"
            ),
            Ok(Err(error)) => {
                tracing::warn!(%error, "erased data may remain in the database files");
            }
            Err(error) => {
                tracing::error!(%error, "erased data could not be removed from the database files");
            }
        }
    }
}

/// Why a file may still contain erased data.
#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    File(#[from] std::io::Error),
}

fn remove_traces(path: &Path, traces: &[Vec<u8>]) -> std::result::Result<bool, TraceError> {
    let truncated = checkpoint::truncate_from_outside(path)?;
    if !traces::any_in(path, traces)? {
        return Ok(truncated);
    }
    tracing::info!("rewriting the database to remove a copy of erased data");
    traces::rewrite(path)?;
    Ok(checkpoint::truncate_from_outside(path)?)
}

fn read_traces(connection: &Connection, user: UserId) -> Result<Vec<Vec<u8>>> {
    const SELECT: &str = "
        SELECT username FROM accounts WHERE user_id = ?1 UNION ALL
        SELECT email FROM accounts WHERE user_id = ?1 UNION ALL
        SELECT name FROM accounts WHERE user_id = ?1 UNION ALL
        SELECT phone FROM accounts WHERE user_id = ?1 UNION ALL
        SELECT verification_email FROM accounts WHERE user_id = ?1 UNION ALL
        SELECT password_hash FROM credentials WHERE user_id = ?1 UNION ALL
        SELECT sealed FROM credentials WHERE user_id = ?1 UNION ALL
        SELECT wrapped FROM subject_keys WHERE user_id = ?1";
    let mut select = connection.prepare_cached(SELECT)?;
    let found = select.query_map([user.to_string()], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
            _ => vec![],
        })
    })?;
    found
        .filter(|it| !matches!(it, Ok(bytes) if bytes.is_empty()))
        .collect()
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
