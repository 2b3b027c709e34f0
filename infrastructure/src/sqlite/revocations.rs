//! News of sessions that ended, whichever program on this database ended them.
//!
//! The cursor is a position. Positions are given in the order of commits, so whatever commits after a read has a greater
//! one than all that the read saw.

use async_trait::async_trait;
use authlog_application::ports::{
    HearRevocations, Revocation, RevocationCursor, RevocationSource, StoreError,
};
use authlog_domain::Timestamp;
use authlog_domain::user::UserEvent;
use rusqlite::{Connection, Params, Result, Row};
use uuid::Uuid;

use super::SqliteStore;
use super::errors::malformed;
use super::rows::id;
use crate::store::{self, REVOKING_EVENT_TYPES};

/// Selects revocations by an index that `condition` is about, in the order and the number that `order` says. The types are literals,
/// as in the partial indexes: SQLite uses such an index only if it sees the same words, and says so rather than read the
/// whole log without it.
fn statement(index: &str, condition: &str, order: &str) -> String {
    format!(
        "SELECT position, event_type, aggregate_id, payload, recorded_at FROM events INDEXED BY {index}
         WHERE {} AND {condition} ORDER BY {order}",
        revoking()
    )
}

/// Revocations that are read at once: ten milliseconds of a reader.
const PAGE: usize = 10_000;

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
        hear: HearRevocations<'_>,
    ) -> std::result::Result<RevocationCursor, StoreError> {
        // First: what is committed while the past is read comes after it.
        let end = self
            .readers
            .read(|connection| {
                connection
                    .prepare_cached(END)?
                    .query_row([], |row| row.get(0))
            })
            .await?;
        let condition = "recorded_at >= ?1 AND (recorded_at, position) > (?1, ?2)";
        let order = format!("recorded_at, position LIMIT {PAGE}");
        let sql = statement("events_revoking_by_time", condition, &order);
        let mut reached = (since.unix_millis().saturating_mul(1000), i64::MIN);
        loop {
            let sql = sql.clone();
            let page = self
                .readers
                .read(move |connection| select(connection, &sql, reached));
            let Page { news, last } = page.await?;
            let Some((position, recorded_at)) = last else {
                return Ok(RevocationCursor(end));
            };
            reached = (recorded_at, position);
            self.vault.heed(&news);
            hear(news);
        }
    }

    async fn revocations_after(
        &self,
        cursor: RevocationCursor,
    ) -> std::result::Result<(Vec<Revocation>, RevocationCursor), StoreError> {
        let sql = statement("events_revoking_by_position", "position > ?1", "position");
        let page = self
            .readers
            .read(move |connection| select(connection, &sql, [cursor.0]));
        let Page { news, last } = page.await?;
        self.vault.heed(&news);
        let reached = last.map_or(cursor.0, |(position, _)| position);
        Ok((news, RevocationCursor(reached)))
    }
}

/// Revocations, and the position and time of the last event that was looked at.
struct Page {
    news: Vec<Revocation>,
    last: Option<(i64, i64)>,
}

fn select(connection: &Connection, sql: &str, bounds: impl Params) -> Result<Page> {
    let (mut news, mut last) = (Vec::new(), None);
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(bounds)?;
    while let Some(row) = rows.next()? {
        last = Some((row.get(0)?, row.get(4)?));
        news.extend(revocation(row)?);
    }
    Ok(Page { news, last })
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
