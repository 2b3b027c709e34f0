//! News of sessions that ended, whichever program on this database ended them.
//!
//! The cursor is a position. Positions are given in the order of commits, so whatever commits after a read has a greater
//! one than all that the read saw.

use async_trait::async_trait;
use authlog_application::ports::{Revocation, RevocationCursor, RevocationSource, StoreError};
use authlog_domain::user::UserEvent;
use authlog_domain::{SessionId, Timestamp, UserId};
use rusqlite::{Connection, Result, Row};

use super::SqliteStore;
use super::errors::malformed;
use super::rows::id;
use crate::store::REVOKING_EVENT_TYPES;

/// Selects revocations by an index that `condition` is about. The types are literals, as in the partial indexes: SQLite
/// uses such an index only if it sees the same words, and says so rather than read the whole log without it.
fn statement(index: &str, condition: &str) -> String {
    format!(
        "SELECT position, event_type, aggregate_id, payload FROM events INDEXED BY {index}
         WHERE {} AND {condition} ORDER BY position",
        revoking()
    )
}

fn revoking() -> String {
    let types = REVOKING_EVENT_TYPES.map(|name| format!("'{name}'"));
    format!("event_type IN ({})", types.join(", "))
}

const END: &str = "SELECT coalesce(max(position), 0) FROM events";

#[async_trait]
impl RevocationSource for SqliteStore {
    async fn revocations_since(
        &self,
        since: Timestamp,
    ) -> std::result::Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        let sql = statement("events_revoking_by_time", "recorded_at >= ?");
        self.readers
            .read(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let end = snapshot
                    .prepare_cached(END)?
                    .query_row([], |row| row.get(0))?;
                let since = since.unix_millis().saturating_mul(1000);
                let news = select(&snapshot, &sql, since)?;
                let news = news.into_iter().map(|(_, revocation)| revocation);
                Ok((news.collect::<Vec<_>>(), RevocationCursor(end)))
            })
            .await
            .inspect(|(news, _)| self.vault.heed(news))
    }

    async fn revocations_after(
        &self,
        cursor: RevocationCursor,
    ) -> std::result::Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        let sql = statement("events_revoking_by_position", "position > ?");
        self.readers
            .read(move |connection| {
                let news = select(connection, &sql, cursor.0)?;
                let reached = news.last().map_or(cursor.0, |(position, _)| *position);
                let news = news.into_iter().map(|(_, revocation)| revocation);
                Ok((news.collect::<Vec<_>>(), RevocationCursor(reached)))
            })
            .await
            .inspect(|(news, _)| self.vault.heed(news))
    }
}

fn select(connection: &Connection, sql: &str, bound: i64) -> Result<Vec<(i64, Revocation)>> {
    connection
        .prepare_cached(sql)?
        .query_map([bound], |row| Ok((row.get(0)?, revocation(row)?)))?
        .filter_map(|read| match read {
            Ok((position, revocation)) => revocation.map(|it| Ok((position, it))),
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// What an event ends; nothing, if it is a change of role of before those ended sessions.
fn revocation(row: &Row<'_>) -> Result<Option<Revocation>> {
    let event_type = row.get_ref(1)?.as_str()?;
    if !matches!(event_type, "PasswordReset" | "UserErased" | "RoleChanged") {
        return Ok(Some(Revocation::Session(id(row, 2, SessionId::parse)?)));
    }
    let payload = row.get_ref(3)?.as_str()?;
    match serde_json::from_str(payload).map_err(|error| malformed(3, error))? {
        UserEvent::PasswordReset(event) => Ok(Some(Revocation::Epoch {
            user: id(row, 2, UserId::parse)?,
            epoch: event.session_epoch,
        })),
        UserEvent::RoleChanged(event) => {
            let user = id(row, 2, UserId::parse)?;
            let began = event.session_epoch;
            Ok(began.map(|epoch| Revocation::Epoch { user, epoch }))
        }
        UserEvent::UserErased(event) => Ok(Some(Revocation::Erased {
            user: id(row, 2, UserId::parse)?,
            epoch: event.session_epoch,
        })),
        _ => Err(malformed(3, "the payload is not of the event's type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partial_indexes_name_the_revoking_types() {
        let migration = include_str!("../../../migrations/sqlite/0006_keys_and_roles.sql");
        assert_eq!(migration.matches(&revoking()).count(), 2);
    }
}
