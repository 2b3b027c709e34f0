//! News of sessions that ended, whichever program on this database ended them.
//!
//! The cursor is a position. Positions are given in the order of commits, so whatever commits after a read has a greater
//! one than all that the read saw.

use async_trait::async_trait;
use authlog_application::ports::{Revocation, RevocationCursor, RevocationSource, StoreError};
use authlog_domain::Timestamp;
use authlog_domain::user::UserEvent;
use rusqlite::{Connection, Result, Row};
use uuid::Uuid;

use super::SqliteStore;
use super::errors::malformed;
use super::rows::id;
use crate::store::{self, REVOKING_EVENT_TYPES};

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
    let mut news = Vec::new();
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([bound])?;
    while let Some(row) = rows.next()? {
        if let Some(revocation) = revocation(row)? {
            news.push((row.get(0)?, revocation));
        }
    }
    Ok(news)
}

fn revocation(row: &Row<'_>) -> Result<Option<Revocation>> {
    let event_type = row.get_ref(1)?.as_str()?;
    let aggregate = id(row, 2, |text| Uuid::try_parse(text).ok())?;
    let raised = match event_type {
        "LoggedOut" | "RefreshTokenReused" | "SessionRevoked" => None,
        _ => {
            let payload = row.get_ref(3)?.as_str()?;
            let event: UserEvent =
                serde_json::from_str(payload).map_err(|error| malformed(3, error))?;
            event.raised_epoch()
        }
    };
    store::revocation(event_type, aggregate, raised).map_err(|error| malformed(3, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partial_indexes_name_the_revoking_types() {
        let migration = include_str!("../../../migrations/sqlite/0007_accounts.sql");
        assert_eq!(migration.matches(&revoking()).count(), 2);
    }
}
